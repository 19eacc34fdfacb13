//! Client library for RFC 9431: get a token, connect, publish, subscribe, renew.
//!
//! | module | holds |
//! |---|---|
//! | [`Profile`] | what a device knows, one JSON object (`docs/profile.md`) |
//! | [`token`] | asks the AS for a token |
//! | [`connection`] | an MQTT connection that proves possession and renews its token in time |
//! | `clock` | where the clocks are read |
//! | `core` | what `connection` decides, without IO |

mod clock;
pub mod connection;
mod core;
pub mod profile;
pub mod token;

pub use connection::{ConnectError, ConnectOptions, Connection, Event};
pub use profile::Profile;
