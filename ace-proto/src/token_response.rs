//! The answers of the token endpoint (RFC 9200 §5.8.2 and §5.8.3, RFC 6749 §5, RFC 9201 §3.2).

mod cbor;

use serde::{Deserialize, Serialize, de};

use crate::{
    Confirmation, Scope,
    json_object::{Object, present, to_json},
};

/// A granted token. `Debug` shows neither it nor the refresh token.
#[derive(Clone, Deserialize, Serialize)]
pub struct TokenResponse {
    /// `access_token`, as the text that goes to the RS; a CWT as base64url.
    pub access_token: String,
    /// `token_type`: `PoP` (RFC 9200 §8.7), written out for clients that expect it.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub token_type: Option<String>,
    /// `expires_in`, seconds.
    #[serde(
        default,
        rename = "expires_in",
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in_secs: Option<u64>,
    /// `scope` that was granted.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub scope: Option<Scope>,
    /// `cnf`: the symmetric key that the AS made.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub cnf: Option<Confirmation>,
    /// `rs_cnf`: the RS's public key or certificate thumbprint (`x5t#S256`), as a JSON value.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub rs_cnf: Option<serde_json::Value>,
    /// `refresh_token`, base64url where it is bytes in CBOR.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub refresh_token: Option<String>,
    /// `ace_profile`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub ace_profile: Option<String>,
}

/// Error codes of RFC 6749 §5.2 and RFC 9200 §5.8.3.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorCode {
    /// `invalid_request`.
    InvalidRequest,
    /// `invalid_client`.
    InvalidClient,
    /// `invalid_grant`.
    InvalidGrant,
    /// `unauthorized_client`.
    UnauthorizedClient,
    /// `unsupported_grant_type`.
    UnsupportedGrantType,
    /// `invalid_scope`.
    InvalidScope,
    /// `unsupported_pop_key`.
    UnsupportedPopKey,
    /// `incompatible_ace_profiles`.
    IncompatibleAceProfiles,
}

/// A refusal.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct ErrorResponse {
    /// `error`.
    pub code: ErrorCode,
    /// `error_description`, for people; printable ASCII without `"` and `\` (RFC 6749 §5.2).
    pub description: String,
}

impl ErrorCode {
    const ALL: [Self; 8] = [
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::UnsupportedPopKey,
        Self::IncompatibleAceProfiles,
    ];

    /// The text of RFC 6749 and RFC 9200.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::UnsupportedPopKey => "unsupported_pop_key",
            Self::IncompatibleAceProfiles => "incompatible_ace_profiles",
        }
    }

    /// From that text.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

impl TokenResponse {
    /// From JSON, at a client; unknown members are ignored.
    pub fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Object<Self>>(body).map(|object| object.0)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in_secs", &self.expires_in_secs)
            .field("scope", &self.scope)
            .field("cnf", &self.cnf)
            .field("rs_cnf", &self.rs_cnf)
            .field("ace_profile", &self.ace_profile)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize, Serialize)]
struct WireError {
    error: String,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    error_description: Option<String>,
}

impl ErrorResponse {
    /// What an AS answers. Characters that RFC 6749 §5.2 forbids in a description are replaced.
    pub fn new(code: ErrorCode, description: &str) -> Self {
        Self {
            code,
            description: describable(description),
        }
    }

    /// From JSON, at a client; unknown members are ignored. Fails for an error code that RFC 9200 does not know.
    pub fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let Object(wire) = serde_json::from_slice::<Object<WireError>>(body)?;
        let code = ErrorCode::from_name(&wire.error)
            .ok_or_else(|| de::Error::custom("unknown error code"))?;
        Ok(Self::new(code, &wire.error_description.unwrap_or_default()))
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        let description = describable(&self.description);
        let wire = WireError {
            error: self.code.as_str().to_owned(),
            error_description: (!description.is_empty()).then_some(description),
        };
        to_json(&wire)
    }
}

/// Replaces what `error_description` must not hold (RFC 6749 §5.2): all but printable ASCII, the quotation mark and the backslash.
fn describable(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => char,
            _ => '?',
        })
        .collect()
}
