//! Client library for RFC 9431: get a token, connect, publish, subscribe, renew.
//!
//! | module | holds |
//! |---|---|
//! | [`Profile`] | what a device knows, one JSON object (`docs/profile.md`) |
//! | [`Mode`] | how a client says who it is |
//! | [`token`] | asks the AS for a token |
//! | [`connection`] | an MQTT connection that proves possession and renews its token in time |
//! | [`BrokerKey`] | which broker the AS vouches for |
//! | [`discovery`] | from a broker's address to its authorization server |
//! | [`enrolment`] | a device registers itself |
//! | `clock` | where the clocks are read |
//! | `core` | what `connection` decides, without IO |

mod broker_key;
mod clock;
pub mod connection;
mod core;
pub mod discovery;
pub mod enrolment;
mod mode;
pub mod profile;
pub mod token;

pub use broker_key::{BrokerKey, BrokerKeyError};
pub use connection::{ConnectError, ConnectOptions, Connection, Event};
pub use mode::{Mode, ModeError};
pub use profile::Profile;
