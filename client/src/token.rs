//! Asking the AS for a token (RFC 9431 §2.1).

mod answer;
mod request;

use crate::{BrokerKey, ConnectError, Profile, clock, connection::raw_key, profile::ProfileError};
use std::fmt;
use symbolon_ace_proto::{ErrorCode, PopError, PopSigner, Scope, UnixTime};
use symbolon_mqtt_proto::ReasonCode;
use symbolon_tls::https::{HttpsClient, HttpsError};

pub use symbolon_tls::https::TIME_LIMIT as TIMEOUT;

/// A token with the key that proves possession of it. `Debug` shows neither.
pub struct Token {
    /// The token as text; opaque to the client. A CWT as base64url.
    pub text: String,
    /// The bytes of a CWT that came in CBOR: these go to the broker then, and not the text.
    pub raw: Option<Vec<u8>>,
    /// The proof-of-possession key.
    pub signer: PopSigner,
    /// The key's name where it came with the token, bytes.
    pub key_identifier: Option<Vec<u8>>,
    /// When it ends.
    pub expires_at: UnixTime,
    /// When it was got, for renewing at 80 % of its life.
    pub obtained_at: UnixTime,
    /// What was granted, where the AS said.
    pub scope: Option<Scope>,
    /// What was asked for, where it was not the profile's own scope: renewing asks for the same again.
    pub requested_scope: Option<Scope>,
    /// `rs_cnf`: the broker that it is for, checked before anything is proved to it.
    pub broker: Option<BrokerKey>,
}

/// What is spoken with the AS (RFC 9431 §2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// `application/ace+json`.
    #[default]
    Json,
    /// `application/ace+cbor` (RFC 9200 §8.16).
    Cbor,
}

/// What is asked for, beside what the profile says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Another scope than the profile's.
    pub scope: Option<&'a Scope>,
    /// The nonce of the broker's hint, for the token to come back with (RFC 9200 §5.3.1).
    pub client_nonce: Option<&'a [u8]>,
    /// The symmetric key that an earlier token came with: the new token should be for the same (RFC 9202 §4). An AS that does not do so
    /// gives another key.
    pub held: Option<&'a HeldKey>,
}

/// A symmetric key that came with a token, and its name.
#[derive(Debug)]
pub struct HeldKey {
    /// The name, bytes.
    pub key_identifier: Vec<u8>,
    /// The key.
    pub signer: PopSigner,
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
    /// The AS gave a token, and the broker does not take it at `authz-info` (RFC 9431 §2.2.2).
    #[error("the broker does not take the new token: {reason_code:?}{}", reason_string.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    NotTaken {
        /// PUBACK.
        reason_code: ReasonCode,
        /// Its Reason String.
        reason_string: Option<String>,
    },
}

/// Gets a token for `scope`, or for the profile's own scope. Takes at most [`TIMEOUT`].
pub async fn obtain(profile: &Profile, scope: Option<&Scope>) -> Result<Token, TokenRequestError> {
    let ask = Ask {
        scope,
        ..Ask::default()
    };
    obtain_with(profile, ask).await
}

/// Gets a token for what is asked. An AS that refuses to bind it to the key that is held is asked once more, for a new key: then it takes at
/// most twice [`TIMEOUT`].
pub async fn obtain_with(profile: &Profile, ask: Ask<'_>) -> Result<Token, TokenRequestError> {
    match obtain_once(profile, ask).await {
        Err(TokenRequestError::Refused(refusal))
            if ask.held.is_some()
                && matches!(
                    refusal.code,
                    ErrorCode::UnsupportedPopKey | ErrorCode::InvalidRequest
                ) =>
        {
            obtain_once(profile, Ask { held: None, ..ask }).await
        }
        obtained => obtained,
    }
}

async fn obtain_once(profile: &Profile, ask: Ask<'_>) -> Result<Token, TokenRequestError> {
    // Read before asking: the token is surely not younger.
    let now = clock::unix_now();
    let post = request::post(profile, ask, now)?;
    let mut client = HttpsClient::new(&profile.ca)
        .map_err(|error| TokenRequestError::Profile(format!("ca: {error}")))?;
    if let Some(signer) = profile.raw_key_signer()? {
        let wrong = |error: String| TokenRequestError::Profile(format!("client_auth.jwk: {error}"));
        let pem = raw_key::pem(&signer).map_err(|error| wrong(error.to_string()))?;
        client = client
            .showing_raw_key(&pem)
            .map_err(|error| wrong(error.to_string()))?;
    }
    let response = client.send(post).await?;
    answer::token(profile, ask, now, &response)
}

impl Token {
    /// What goes to the broker.
    pub fn as_bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// The same token with the same key.
    pub(crate) fn copy(&self) -> Result<Self, ConnectError> {
        let signer =
            copy(&self.signer).ok_or_else(|| ConnectError::not_sent(PopError::UnsupportedKey))?;
        Ok(Self {
            text: self.text.clone(),
            raw: self.raw.clone(),
            signer,
            key_identifier: self.key_identifier.clone(),
            expires_at: self.expires_at,
            obtained_at: self.obtained_at,
            scope: self.scope.clone(),
            requested_scope: self.requested_scope.clone(),
            broker: self.broker.clone(),
        })
    }

    /// The symmetric key that came with it, where the key has a name by which the AS can be asked for another token for it.
    pub fn held_key(&self) -> Option<HeldKey> {
        Some(HeldKey {
            key_identifier: self.key_identifier.clone()?,
            signer: copy(&self.signer)?,
        })
    }
}

/// The same key again.
pub(crate) fn copy(signer: &PopSigner) -> Option<PopSigner> {
    PopSigner::from_jwk(&signer.to_jwk()).ok()
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
