//! The request to the token endpoint (RFC 9200 §5.8.1, RFC 6749 §4.4, RFC 9201 §3.1), in JSON or as a form.

use crate::{Confirmation, ErrorResponse, Scope};

/// A token request, whatever encoding it came in.
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// `grant_type`; absent means `client_credentials` (RFC 9200 §5.8.1).
    pub grant_type: Option<String>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `client_secret` (RFC 6749 §2.3.1).
    pub client_secret: Option<String>,
    /// `client_assertion_type` (RFC 7521 §4.2).
    pub client_assertion_type: Option<String>,
    /// `client_assertion`.
    pub client_assertion: Option<String>,
    /// `audience`.
    pub audience: Option<String>,
    /// `scope`.
    pub scope: Option<Scope>,
    /// `req_cnf`: the client's own public key.
    pub req_cnf: Option<Confirmation>,
    /// `ace_profile` was sent, empty or null: the answer must name the profile (RFC 9200 §5.8.1).
    pub profile_asked: bool,
}

impl TokenRequest {
    /// From `application/ace+json` or `application/json`.
    pub fn from_json(body: &[u8]) -> Result<Self, ErrorResponse> {
        let _ = body;
        todo!()
    }

    /// From `application/x-www-form-urlencoded`; `req_cnf` is JSON text there. A parameter given twice is refused (RFC 6749 §3.2).
    pub fn from_form(body: &[u8]) -> Result<Self, ErrorResponse> {
        let _ = body;
        todo!()
    }

    /// As JSON, for a client.
    pub fn to_json(&self) -> String {
        todo!()
    }
}
