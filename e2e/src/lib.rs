//! Starts and drives the program `symbolon` for whole-system tests.
//!
//! | module | holds |
//! |---|---|
//! | [`program`] | where the program is, running commands with a bound |
//! | [`system`] | an authorization server and a broker in a temporary directory |
//! | [`messages`] | a subscriber and the publisher it listens to |
//! | [`node`] | MQTT.js in `node/` |
//! | [`soft_hsm`] | a hardware token in software |
//! | [`peer`] | the foreign client in `python/` |

pub mod messages;
pub mod node;
pub mod peer;
pub mod program;
pub mod soft_hsm;
pub mod system;

pub use program::{Command, Finished, Running};
pub use system::System;
