//! The public face of the crate, both ends in memory.

#[cfg(test)]
mod handshakes;
