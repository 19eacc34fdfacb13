//! Why a configuration cannot serve, and why a handshake failed.

use crate::{EngineError, SpkiError};
use std::io;

/// Why no channel came to be. Never a reason to stop listening.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer took longer than the limit.
    #[error("TLS handshake took too long")]
    Timeout,
    /// The peer broke TLS, or offers nothing we accept.
    #[error("TLS handshake failed: {0}")]
    Tls(EngineError),
    /// The peer showed a raw public key of a kind we do not take.
    #[error("raw public key refused: {0}")]
    RawKey(SpkiError),
    /// The connection broke.
    #[error("connection lost in the TLS handshake: {0}")]
    Io(io::Error),
    /// The peer did not open a WebSocket as we ask.
    #[error("WebSocket refused: {0}")]
    Upgrade(UpgradeError),
    /// Nobody answers at the address; only when connecting.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The name to check the Server against is neither a DNS name nor an IP address; only when connecting.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
}

/// Why a configuration cannot serve: certificate, key or CA are unreadable or do not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No certificate, key or CA in the PEM text; which.
    #[error("no {0} found in the PEM text")]
    Missing(&'static str),
    /// The text is not PEM; of what.
    #[error("{0} is not readable as PEM")]
    Unreadable(&'static str),
    /// The Server's own certificate is a CA's: clients built on this library, among others, refuse it.
    #[error(
        "the server's certificate is a CA certificate; clients would refuse it: issue another from it"
    )]
    CaAsServer,
    /// A private key that is to be shown as a raw public key is of another kind than Ed25519 and P-256.
    #[error("a raw public key is of Ed25519 or P-256")]
    RawKey,
    /// A client with a pre-shared key shows no raw public key.
    #[error("a pre-shared key or a raw public key, not both")]
    TwoIdentities,
    /// The identity of a pre-shared key is empty, or too long for a handshake.
    #[error("the identity of a pre-shared key has 1 to 62000 bytes")]
    PskIdentity,
    /// The TLS engine refuses them.
    #[error("certificate or key refused: {0}")]
    Refused(EngineError),
}

/// Why a request does not open a WebSocket (RFC 6455 §4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Not HTTP/1.1, or a header that must stand there once does not.
    #[error("malformed request")]
    Malformed,
    /// Longer than we read.
    #[error("request header too large")]
    TooLarge,
    /// Another path than `/mqtt` and `/`.
    #[error("no such path")]
    Path,
    /// Another method than GET.
    #[error("method is not GET")]
    Method,
    /// No WebSocket is asked for, or another version than 13.
    #[error("not a WebSocket request of version 13")]
    NotWebSocket,
    /// A page of an origin that is not on the list (RFC 6455 §10.2).
    #[error("origin not allowed: it is not among the listener's `origins`")]
    Origin,
    /// The subprotocol `mqtt` is not offered (MQTT 5.0 §6).
    #[error("Sec-WebSocket-Protocol does not offer the subprotocol mqtt")]
    Subprotocol,
}
