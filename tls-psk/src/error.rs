//! What goes wrong.

use openssl::error::ErrorStack;

/// OpenSSL refuses a configuration: a certificate or a private key that it cannot read or that do not fit.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

/// Why a connection cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// What OpenSSL says: for people and logs.
    #[error("{0}")]
    OpenSsl(String),
    /// The peer went away without saying so in TLS.
    #[error("the connection ended without close_notify")]
    Truncated,
    /// TLS 1.2 without the extended main secret (RFC 7627), which RFC 9431 §2.2.3 demands.
    #[error("the peer does not do the extended main secret")]
    ExtendedMainSecret,
    /// The handshake ended, but no key that we know had a part in it.
    #[error("the handshake was not done with a pre-shared key")]
    NoKey,
}

impl From<ErrorStack> for SetupError {
    fn from(errors: ErrorStack) -> Self {
        Self(reasons(&errors))
    }
}

impl From<ErrorStack> for TlsError {
    fn from(errors: ErrorStack) -> Self {
        Self::OpenSsl(reasons(&errors))
    }
}

/// The reasons alone: file names and line numbers of OpenSSL tell our users nothing.
pub(crate) fn reasons(errors: &ErrorStack) -> String {
    let reasons: Vec<_> = errors
        .errors()
        .iter()
        .filter_map(openssl::error::Error::reason)
        .collect();
    if reasons.is_empty() {
        return "OpenSSL gives no reason".to_owned();
    }
    reasons.join(", ")
}
