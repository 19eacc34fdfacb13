//! Client authentication by a signed assertion, `private_key_jwt` (RFC 7521, RFC 7523).

use crate::{PopKey, PopSigner, UnixTime};

/// The value of `client_assertion_type`.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A verified assertion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientAssertion {
    /// `iss` and `sub`: the client.
    pub client_id: String,
    /// `jti`, kept until `expires_at` against replay.
    pub identifier: String,
    /// `exp`; at most [`MAX_LIFETIME_SECS`] ahead.
    pub expires_at: UnixTime,
}

/// The longest life of an assertion, seconds.
pub const MAX_LIFETIME_SECS: u64 = 300;

/// Why an assertion is refused. The peer is told `invalid_client` and no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("client assertion refused: {0}")]
pub struct AssertionError(pub &'static str);

/// Makes an assertion for `client_id` at the AS `audience`, signed with an Ed25519 or P-256 key, valid for a minute.
pub fn make(
    client_id: &str,
    audience: &str,
    signer: &PopSigner,
    now: UnixTime,
) -> Result<String, AssertionError> {
    let _ = (client_id, audience, signer, now);
    todo!()
}

/// The client an assertion claims to be from, nothing verified: to look up its key.
pub fn claimed_client_id(assertion: &str) -> Result<String, AssertionError> {
    let _ = assertion;
    todo!()
}

/// Verifies an assertion. `audiences` are the issuer and the token endpoint.
pub fn verify(
    assertion: &str,
    key: &PopKey,
    audiences: &[&str],
    now: UnixTime,
) -> Result<ClientAssertion, AssertionError> {
    let _ = (assertion, key, audiences, now);
    todo!()
}
