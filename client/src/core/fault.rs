//! Why the connection cannot go on, and what the broker is told about it.

use crate::ConnectError;
use symbolon_mqtt_proto::{DecodeError, ReasonCode};

/// The end of a connection.
#[derive(Debug)]
pub(super) enum Fault {
    /// The broker broke the protocol: it is told the Reason Code before we close (MQTT 5.0 §4.13).
    Broken(ReasonCode, String),
    /// There is nothing to tell the broker.
    Over(ConnectError),
}

impl Fault {
    /// What the application is told.
    pub(super) fn into_error(self) -> ConnectError {
        match self {
            Self::Broken(_, how) => ConnectError::Protocol(how),
            Self::Over(error) => error,
        }
    }

    /// A Protocol Error (§1.2).
    pub(super) fn protocol(how: &str) -> Self {
        Self::Broken(ReasonCode::ProtocolError, how.to_owned())
    }
}

impl From<ConnectError> for Fault {
    fn from(error: ConnectError) -> Self {
        Self::Over(error)
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Broken(error.reason_code(), error.to_string())
    }
}
