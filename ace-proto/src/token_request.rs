//! The request to the token endpoint (RFC 9200 §5.8.1, RFC 6749 §4.4, RFC 9201 §3.1), in JSON or as a form.

mod cbor;
mod form;

pub(crate) use form::parse as parse_form;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    Confirmation, ErrorCode, ErrorResponse, PROFILE, Scope, base64url,
    json_object::{BadMember, Members, to_json},
};

/// The longest `cnonce` accepted, bytes: it goes into the token.
const MAX_NONCE_LENGTH: usize = 64;

/// A token request, whatever encoding it came in. `Debug` shows no credential.
#[derive(Clone, Default)]
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
    /// `req_cnf`: the client's own public key, or the name of a key that it has a token for (RFC 9202 §4).
    pub req_cnf: Option<Confirmation>,
    /// `cnonce`: the nonce of the resource server's hint, bytes (RFC 9200 §5.8.4.4).
    pub client_nonce: Option<Vec<u8>>,
    /// `refresh_token`, base64url where it is bytes in CBOR.
    pub refresh_token: Option<String>,
    /// `ace_profile` was sent, empty, null or `mqtt_tls`: the answer must name the profile (RFC 9200 §5.8.1).
    pub profile_asked: bool,
}

impl TokenRequest {
    /// From `application/ace+json` or `application/json`. Unknown members are ignored (RFC 6749 §3.2); the same name twice is refused.
    pub fn from_json(body: &[u8]) -> Result<Self, ErrorResponse> {
        let members = Members::parse(body)
            .map_err(|_| invalid_request("the body is not a JSON object with unique members"))?;
        let text = |name| members.take::<String>(name).map_err(malformed);
        let scope: Option<String> = members.take("scope").map_err(malformed_scope)?;
        Ok(Self {
            grant_type: text("grant_type")?,
            client_id: text("client_id")?,
            client_secret: text("client_secret")?,
            client_assertion_type: text("client_assertion_type")?,
            client_assertion: text("client_assertion")?,
            audience: text("audience")?,
            scope: scope.as_deref().map(parse_scope).transpose()?,
            req_cnf: members.take("req_cnf").map_err(malformed)?,
            client_nonce: text("cnonce")?.as_deref().map(parse_nonce).transpose()?,
            refresh_token: text("refresh_token")?,
            // Twice an Option: absent, or null, or a text.
            profile_asked: members
                .take::<Option<String>>("ace_profile")
                .map_err(malformed)?
                .map(|profile| check_profile(profile.as_deref()))
                .transpose()?
                .is_some(),
        })
    }

    /// From `application/x-www-form-urlencoded`; `req_cnf` is JSON text there. A parameter given twice is refused, one without a value is
    /// taken for absent (RFC 6749 §3.2), except `ace_profile`, whose empty value has a meaning (RFC 9200 §5.8.4.3).
    pub fn from_form(body: &[u8]) -> Result<Self, ErrorResponse> {
        let mut form = form::parse(body)?;
        let profile = form.remove("ace_profile");
        let mut text = |name| form.remove(name).filter(|value| !value.is_empty());
        let req_cnf = text("req_cnf")
            .map(|json| serde_json::from_str(&json).map_err(|_| malformed(BadMember("req_cnf"))));
        Ok(Self {
            grant_type: text("grant_type"),
            client_id: text("client_id"),
            client_secret: text("client_secret"),
            client_assertion_type: text("client_assertion_type"),
            client_assertion: text("client_assertion"),
            audience: text("audience"),
            scope: text("scope").as_deref().map(parse_scope).transpose()?,
            req_cnf: req_cnf.transpose()?,
            client_nonce: text("cnonce").as_deref().map(parse_nonce).transpose()?,
            refresh_token: text("refresh_token"),
            profile_asked: profile
                .map(|profile| check_profile(Some(&profile)))
                .transpose()?
                .is_some(),
        })
    }

    /// As JSON, for a client.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl Serialize for TokenRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = [
            ("grant_type", &self.grant_type),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("client_assertion_type", &self.client_assertion_type),
            ("client_assertion", &self.client_assertion),
            ("audience", &self.audience),
            ("refresh_token", &self.refresh_token),
        ];
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in texts {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        if let Some(scope) = &self.scope {
            map.serialize_entry("scope", scope)?;
        }
        if let Some(req_cnf) = &self.req_cnf {
            map.serialize_entry("req_cnf", req_cnf)?;
        }
        if let Some(nonce) = &self.client_nonce {
            map.serialize_entry("cnonce", &base64url::encode(nonce))?;
        }
        if self.profile_asked {
            map.serialize_entry("ace_profile", "")?;
        }
        map.end()
    }
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequest")
            .field("grant_type", &self.grant_type)
            .field("client_id", &self.client_id)
            .field("audience", &self.audience)
            .field("scope", &self.scope)
            .field("req_cnf", &self.req_cnf)
            .field("profile_asked", &self.profile_asked)
            .finish_non_exhaustive()
    }
}

fn parse_scope(text: &str) -> Result<Scope, ErrorResponse> {
    Scope::from_base64url(text)
        .map_err(|error| ErrorResponse::new(ErrorCode::InvalidScope, &error.to_string()))
}

/// base64url, of as many bytes as a token has room for.
fn parse_nonce(text: &str) -> Result<Vec<u8>, ErrorResponse> {
    base64url::decode(text)
        .filter(|nonce| nonce.len() <= MAX_NONCE_LENGTH)
        .ok_or_else(|| malformed(BadMember("cnonce")))
}

/// Refuses every profile but ours.
fn check_profile(profile: Option<&str>) -> Result<(), ErrorResponse> {
    match profile {
        None | Some("" | PROFILE) => Ok(()),
        Some(_) => Err(ErrorResponse::new(
            ErrorCode::IncompatibleAceProfiles,
            "the only profile here is mqtt_tls",
        )),
    }
}

fn malformed(BadMember(name): BadMember) -> ErrorResponse {
    invalid_request(&format!("{name} is malformed"))
}

fn malformed_scope(_: BadMember) -> ErrorResponse {
    ErrorResponse::new(
        ErrorCode::InvalidScope,
        "scope is not a text: base64url of an AIF-MQTT array is asked for",
    )
}

fn invalid_request(description: &str) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::InvalidRequest, description)
}
