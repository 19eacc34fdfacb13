//! The public face of the crate, on real sockets.

#[cfg(test)]
mod foreign;
#[cfg(test)]
mod foreign_server;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod https;
mod https_certificate;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod pki;
#[cfg(test)]
mod psk;
#[cfg(test)]
mod raw_keys;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod talk;
#[cfg(test)]
mod websocket;
