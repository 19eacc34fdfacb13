//! Asking the AS for a token (RFC 9431 §2.1).

mod answer;
mod request;

use crate::{Profile, clock, profile::ProfileError};
use std::fmt;
use symbolon_ace_proto::{PopSigner, Scope, UnixTime};
use symbolon_tls::https::{HttpsClient, HttpsError};

pub use symbolon_tls::https::TIME_LIMIT as TIMEOUT;

/// A token with the key that proves possession of it. `Debug` shows neither.
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
    /// What was asked for, where it was not the profile's own scope: renewing asks for the same again.
    pub requested_scope: Option<Scope>,
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

/// Gets a token for `scope`, or for the profile's own scope. Takes at most [`TIMEOUT`].
pub async fn obtain(profile: &Profile, scope: Option<&Scope>) -> Result<Token, TokenRequestError> {
    // Read before asking: the token is surely not younger.
    let now = clock::unix_now();
    let post = request::post(profile, scope, now)?;
    let client = HttpsClient::new(&profile.ca)
        .map_err(|error| TokenRequestError::Profile(format!("ca: {error}")))?;
    let response = client.send(post).await?;
    answer::token(profile, scope, now, &response)
}

impl From<ProfileError> for TokenRequestError {
    fn from(error: ProfileError) -> Self {
        Self::Profile(error.to_string())
    }
}

impl From<HttpsError> for TokenRequestError {
    fn from(error: HttpsError) -> Self {
        match error {
            HttpsError::Url => Self::Profile(format!("token_endpoint: {error}")),
            HttpsError::Header(_) => Self::Profile(error.to_string()),
            HttpsError::Http(_) | HttpsError::TooLong | HttpsError::Incomplete => {
                Self::Answer(error.to_string())
            }
            HttpsError::Handshake(_) | HttpsError::Timeout | _ => {
                Self::Unreachable(error.to_string())
            }
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires_at", &self.expires_at)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
