//! The answers of the token endpoint (RFC 9200 §5.8.2 and §5.8.3, RFC 6749 §5, RFC 9201 §3.2).

use crate::{Confirmation, Scope};

/// A granted token.
#[derive(Clone, Debug)]
pub struct TokenResponse {
    /// `access_token`, as the text that goes to the RS.
    pub access_token: String,
    /// `token_type`: `PoP` (RFC 9200 §8.7), written out for clients that expect it.
    pub token_type: Option<String>,
    /// `expires_in`, seconds.
    pub expires_in_secs: Option<u64>,
    /// `scope` that was granted.
    pub scope: Option<Scope>,
    /// `cnf`: the symmetric key that the AS made.
    pub cnf: Option<Confirmation>,
    /// `rs_cnf`: the RS's public key or certificate thumbprint (`x5t#S256`), as a JSON value.
    pub rs_cnf: Option<serde_json::Value>,
    /// `ace_profile`.
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
}

impl TokenResponse {
    /// From JSON, at a client.
    pub fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let _ = body;
        todo!()
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        todo!()
    }
}

impl ErrorResponse {
    /// From JSON, at a client.
    pub fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let _ = body;
        todo!()
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        todo!()
    }
}
