//! Asking an authorization server what a token says (RFC 7662, RFC 9200 §5.9): the messages.

mod cbor;
mod claims;
mod form;
mod json;

use crate::{Confirmation, Scope, UnixTime};

/// The question. `Debug` does not show the token.
#[derive(Clone, Eq, PartialEq)]
pub struct IntrospectionRequest {
    /// `token`, as it came: in JSON, a CWT becomes base64url, as the AS would have given it out there.
    pub token: Vec<u8>,
    /// `token_type_hint` (RFC 7662 §2.1).
    pub token_type_hint: Option<String>,
}

/// The answer.
#[derive(Clone, Debug)]
pub enum IntrospectionResponse {
    /// `active` is false: expired, revoked, unknown or none of the asker's business (RFC 7662 §2.2). Nothing else is said.
    Inactive,
    /// `active` is true.
    Active(Box<ActiveToken>),
}

/// What an active token says. What the AS leaves out is `None`; whether it may is for the asker to judge.
#[derive(Clone, Debug, Default)]
pub struct ActiveToken {
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `aud`; empty if absent.
    pub audience: Vec<String>,
    /// `exp`.
    pub expires_at: Option<UnixTime>,
    /// `nbf`.
    pub not_before: Option<UnixTime>,
    /// `iat`.
    pub issued_at: Option<UnixTime>,
    /// `jti`, or `cti` as text: see [`Claims::token_identifier`](crate::Claims::token_identifier).
    pub token_identifier: Option<String>,
    /// `exi`, seconds from when the RS first sees the token (RFC 9200 §5.10.3).
    pub expires_in_secs: Option<u64>,
    /// `scope`.
    pub scope: Option<Scope>,
    /// `cnf`; required for proof-of-possession tokens (RFC 9201 §4).
    pub confirmation: Option<Confirmation>,
    /// `cnonce`, bytes (RFC 9200 §5.3.1).
    pub client_nonce: Option<Vec<u8>>,
    /// `ace_profile` names ours.
    pub profile_named: bool,
}

impl std::fmt::Debug for IntrospectionRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntrospectionRequest")
            .field("token_type_hint", &self.token_type_hint)
            .finish_non_exhaustive()
    }
}
