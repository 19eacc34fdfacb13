//! Client library for RFC 9431: get a token, connect, publish, subscribe, renew.
//!
//! | module | holds |
//! |---|---|
//! | [`Profile`] | what a device knows, one JSON object (`docs/profile.md`) |
//! | [`token`] | asks the AS for a token |
//! | [`connection`] | an MQTT 5.0 connection that proves possession and renews its token in time |

pub mod connection;
mod https;
pub mod profile;
pub mod token;

pub use connection::{ConnectError, ConnectOptions, Connection, Event};
pub use profile::Profile;
