//! Proof that a client holds the key of its `req_cnf`, by a DPoP header (RFC 9449 §4): RFC 9431 defines none of its own.

use crate::{PopKey, PopSigner, UnixTime};

/// A verified DPoP proof.
#[derive(Clone, Debug)]
pub struct DpopProof {
    /// The key that signed it.
    pub key: PopKey,
    /// `jti`, kept against replay until `issued_at` + [`WINDOW_SECS`].
    pub identifier: String,
    /// `iat`.
    pub issued_at: UnixTime,
}

/// How far `iat` may be from now, seconds.
pub const WINDOW_SECS: u64 = 120;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("DPoP proof refused: {0}")]
pub struct DpopError(pub &'static str);

/// Makes a proof for a request `method uri`.
pub fn make(
    method: &str,
    uri: &str,
    signer: &PopSigner,
    now: UnixTime,
) -> Result<String, DpopError> {
    let _ = (method, uri, signer, now);
    todo!()
}

/// Verifies the value of a DPoP header.
pub fn verify(proof: &str, method: &str, uri: &str, now: UnixTime) -> Result<DpopProof, DpopError> {
    let _ = (proof, method, uri, now);
    todo!()
}
