//! The public face of a connection, against brokers that are scripted packet by packet.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod secure;
