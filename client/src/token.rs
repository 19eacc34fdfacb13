//! Asking the AS for a token (RFC 9431 §2.1).

use crate::Profile;
use symbolon_ace_proto::{PopSigner, Scope, UnixTime};

/// A token with the key that proves possession of it.
#[derive(Debug)]
pub struct Token {
    /// The token as text; opaque to the client.
    pub text: String,
    /// The proof-of-possession key.
    pub signer: PopSigner,
    /// When it ends.
    pub expires_at: UnixTime,
    /// When it was got, for renewing at 80 % of its life.
    pub obtained_at: UnixTime,
    /// What was granted, where the AS said.
    pub scope: Option<Scope>,
    /// `x5t#S256` of `rs_cnf`: the SHA-256 of the broker's certificate, checked before anything is proved to it.
    pub broker_certificate_sha256: Option<[u8; 32]>,
}

/// Why there is no token. One line each, for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRequestError {
    /// The profile is wrong; how.
    #[error("profile: {0}")]
    Profile(String),
    /// The AS cannot be reached or its certificate is refused.
    #[error("cannot reach the authorization server: {0}")]
    Unreachable(String),
    /// The AS refuses.
    #[error("the authorization server refuses: {0}")]
    Refused(symbolon_ace_proto::ErrorResponse),
    /// The AS answers something that is no token response.
    #[error("the authorization server's answer is not understood: {0}")]
    Answer(String),
}

/// Gets a token for `scope`, or for the profile's own scope.
pub async fn obtain(profile: &Profile, scope: Option<&Scope>) -> Result<Token, TokenRequestError> {
    let _ = (profile, scope);
    todo!()
}
