//! Why there is no connection, or none any more.

use crate::{ModeError, token::TokenRequestError};
use symbolon_ace_proto::AsHint;
use symbolon_mqtt_proto::ReasonCode;
use symbolon_tls::{HandshakeError, SetupError};

/// Why there is no connection, or none any more. One line each, for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host has no address or does not answer.
    #[error("cannot reach {0}: {1}")]
    Unreachable(String, String),
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The broker's certificate or raw public key is not the one the token is for (`rs_cnf`).
    #[error(
        "the broker's certificate or key is not the one that the authorization server vouches for"
    )]
    WrongBroker,
    /// The broker does not take the token at `authz-info` (RFC 9431 §2.2.2): it is not valid there (0x87), no token to it (0x99), or it has
    /// no room for it (0x97).
    #[error("the broker does not take the token at authz-info: {reason_code:?}{}", reason_string.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    NotTaken {
        /// PUBACK.
        reason_code: ReasonCode,
        /// Its Reason String.
        reason_string: Option<String>,
    },
    /// This mode cannot be, whatever the broker says. Nothing was sent.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// The broker refuses; its code, its words, and where to ask for a token if it said.
    #[error("the broker refuses: {reason_code:?}{}", reason_string.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// CONNACK or DISCONNECT.
        reason_code: ReasonCode,
        /// Its Reason String.
        reason_string: Option<String>,
        /// `ace_as_hint`.
        hint: Option<Box<AsHint>>,
    },
    /// The broker ended the connection without a word, or it broke.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The broker breaks the protocol; how.
    #[error("the broker broke the protocol: {0}")]
    Protocol(String),
    /// It took too long.
    #[error("timed out")]
    Timeout,
    /// Renewing the token failed, and the old one has ended.
    #[error("token not renewed: {0}")]
    NotRenewed(TokenRequestError),
    /// What is asked for contradicts itself; how. Nothing was sent.
    #[error("{0}")]
    Options(&'static str),
    /// This one message or request cannot be sent; why. The connection goes on.
    #[error("not sent: {0}")]
    NotSent(String),
    /// So many events wait that the answer cannot be waited for: ask for events first. The connection goes on.
    #[error("too many events wait: ask for them first")]
    Backlog,
}

impl ConnectError {
    #[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
    pub(crate) fn not_sent(why: impl ToString) -> Self {
        Self::NotSent(why.to_string())
    }
}

impl From<SetupError> for ConnectError {
    fn from(error: SetupError) -> Self {
        Self::Tls(error.to_string())
    }
}

impl From<HandshakeError> for ConnectError {
    fn from(error: HandshakeError) -> Self {
        if matches!(error, HandshakeError::Timeout) {
            return Self::Timeout;
        }
        Self::Tls(error.to_string())
    }
}
