//! What a token says (RFC 7519 §4.1, RFC 9200 §5.10, RFC 9431 §2.2.5).

use crate::{Confirmation, Scope, UnixTime};

/// The claims of a token for an MQTT broker, whatever form the token has.
#[derive(Clone, Debug)]
pub struct Claims {
    /// `iss`: the authorization server.
    pub issuer: String,
    /// `sub`: whom it speaks for; our AS writes the client identifier.
    pub subject: Option<String>,
    /// `client_id` (RFC 8693 §4.3).
    pub client_id: Option<String>,
    /// `aud`: the resource servers it is for, at least one.
    pub audience: Vec<String>,
    /// `exp`.
    pub expires_at: UnixTime,
    /// `nbf`.
    pub not_before: Option<UnixTime>,
    /// `iat`.
    pub issued_at: Option<UnixTime>,
    /// `jti`.
    pub token_identifier: Option<String>,
    /// `scope`.
    pub scope: Scope,
    /// `cnf`.
    pub confirmation: Confirmation,
}
