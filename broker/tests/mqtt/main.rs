//! The broker from outside: real sockets.

#[cfg(test)]
mod delivery;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod management;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reload;
mod resumption;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod websocket;
