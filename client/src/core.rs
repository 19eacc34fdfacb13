//! The client's end of MQTT, without IO: bytes, values and a clock reading in; bytes and events out.
//!
//! | module | holds |
//! |---|---|
//! | `opening` | from CONNECT to CONNACK, proof of possession included |
//! | `connected` | the life after that: what a packet or the clock does to each part below |
//! | `session` | what outlives a network connection: messages in flight |
//! | `publishing`, `receiving` | messages out, messages in |
//! | `keep_alive`, `renewal` | pings, and a new token in time |
//! | `inbox`, `outbox` | bytes to packets, packets to bytes |
//! | `event`, `backlog` | what the application is told, and what waits for it to ask |

mod backlog;
pub(crate) mod connected;
pub(crate) mod event;
mod fault;
mod inbox;
mod keep_alive;
pub(crate) mod opening;
mod outbox;
pub(crate) mod publishing;
mod receiving;
pub(crate) mod renewal;
pub(crate) mod session;

#[cfg(test)]
mod tests;
