//! Issued tokens.

use super::{ModelError, SecretText, client::digest};
use crate::store::{self, IssuedToken, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token that was issued and has not expired.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Token {
    /// `jti`, or `cti` as base64url.
    pub identifier: String,
    /// Whose it is.
    pub client_id: String,
    /// The resource server or the group it is for.
    pub audience: String,
    /// When it ends; of one with `exi`, when it is forgotten.
    pub expires_at: u64,
    /// Since when it is revoked.
    pub revoked_at: Option<u64>,
}

/// Which tokens are to be revoked: one of these.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// All of this client, refresh tokens too.
    Client(String),
    /// The one with this identifier.
    Identifier(String),
    /// The one with this SHA-256 as base64url: of the token as it reaches the resource server, a CWT with tag 61.
    Hash(String),
    /// This token itself, a CWT as base64url.
    Token(SecretText),
}

/// What was revoked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Revoked {
    /// How many tokens that were good until now.
    pub revoked: u64,
}

impl From<IssuedToken> for Token {
    fn from(token: IssuedToken) -> Self {
        Self {
            identifier: token.identifier,
            client_id: token.client_id,
            audience: token.audience,
            expires_at: token.expires_at.0,
            revoked_at: token.revoked_at.map(|time| time.0),
        }
    }
}

impl TryFrom<Revocation> for store::Revocation {
    type Error = ModelError;

    fn try_from(revocation: Revocation) -> Result<Self, ModelError> {
        match revocation {
            Revocation::Client(client) => Ok(Self::Client(client)),
            Revocation::Identifier(identifier) => Ok(Self::Identifier(identifier)),
            Revocation::Hash(hash) => digest("hash", &hash).map(Self::Sha256),
            Revocation::Token(token) => {
                let token = symbolon_ace_proto::token::to_bytes(token.as_str());
                Ok(Self::Sha256(Store::token_sha256(&token)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_says_which_tokens_are_to_be_revoked() {
        let read = |text: &str| serde_json::from_str::<Revocation>(text);
        let token = read(r#"{"token":"a.b.c"}"#).unwrap();
        assert!(!format!("{token:?}").contains("a.b.c"));
        let store::Revocation::Sha256(sha256) = token.try_into().unwrap() else {
            panic!("a token is known by its digest");
        };
        assert_eq!(sha256, Store::token_sha256(b"a.b.c"));
        assert!(read(r#"{"client":"c","identifier":"i"}"#).is_err());
        assert!(read("{}").is_err());
        let hash = read(r#"{"hash":"AA"}"#).unwrap();
        assert!(store::Revocation::try_from(hash).is_err());
    }
}
