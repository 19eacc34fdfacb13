//! The broker is killed again and again, at any moment, while clients publish at full speed: what it acknowledged is not lost, and at
//! `QoS` 2 nothing comes twice.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod kills;
