//! The answers of registration: a client's information (RFC 7591 §3.2.1, RFC 7592 §3), and refusals (RFC 7591 §3.2.2, RFC 6750 §3).

use super::Refusal;
use crate::http::answer::{self, Format};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use symbolon_ace_proto::{Scope, UnixTime};

/// How a request went well.
pub(super) enum Answered {
    /// With what the client is told of itself.
    Registration(StatusCode, Told),
    /// The client is gone.
    Removed,
}

/// What a client is told of itself. It has no `Debug`: it holds secrets.
pub(super) struct Told {
    pub(super) client_id: String,
    pub(super) registered_at: UnixTime,
    /// Where it manages its registration,
    pub(super) uri: String,
    /// and by what.
    pub(super) token: String,
    /// Where it has one, and it is new or was shown: the server itself keeps the digest alone.
    pub(super) secret: Option<String>,
    /// What it may be granted now.
    pub(super) scope: Scope,
    /// What it says of itself, as it was understood.
    pub(super) members: Map<String, Value>,
}

impl Answered {
    pub(super) fn respond(self) -> Response {
        match self {
            Self::Registration(status, told) => {
                let body = told.to_json().to_string().into_bytes();
                answer::no_store(status, Format::Json, body)
            }
            Self::Removed => answer::empty(StatusCode::NO_CONTENT),
        }
    }
}

impl Told {
    fn to_json(&self) -> Value {
        let mut all = self.members.clone();
        let mut tell = |name: &str, value: Value| all.insert(name.to_owned(), value);
        tell("client_id", self.client_id.as_str().into());
        tell("client_id_issued_at", self.registered_at.0.into());
        tell("registration_client_uri", self.uri.as_str().into());
        tell("registration_access_token", self.token.as_str().into());
        // RFC 9431 §3: a scope is text in base64url.
        tell("scope", self.scope.to_base64url().into());
        if let Some(secret) = &self.secret {
            tell("client_secret", secret.as_str().into());
            // RFC 7591 §3.2.1: 0 is never.
            tell("client_secret_expires_at", 0.into());
        }
        Value::Object(all)
    }
}

impl Refusal {
    pub(super) fn respond(&self) -> Response {
        let (status, code) = match self {
            Self::Store(error) => return answer::store_failure(error, Format::Json),
            Self::NoToken | Self::WrongToken => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::Throttled => (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request"),
            Self::Body(error) => (error.status(), "invalid_request"),
            Self::Metadata(error) => (StatusCode::BAD_REQUEST, error.code()),
            Self::NotToBeHad(_) => (StatusCode::BAD_REQUEST, "invalid_client_metadata"),
            Self::Secret(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        };
        let mut body = json!({ "error": code });
        if !self.is_ours() {
            // RFC 6749 §5.2: no quotes and backslashes, and ASCII alone.
            let plain = |char: char| match char {
                '"' => '\'',
                ' '..='~' if char != '\\' => char,
                _ => '?',
            };
            let text: String = self.to_string().chars().map(plain).collect();
            body["error_description"] = text.into();
        }
        let mut response = answer::no_store(status, Format::Json, body.to_string().into_bytes());
        if let Some(challenge) = self.challenge() {
            let challenge = HeaderValue::from_static(challenge);
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// RFC 6750 §3.
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::NoToken => Some("Bearer realm=\"register\""),
            Self::WrongToken => Some("Bearer realm=\"register\", error=\"invalid_token\""),
            Self::Throttled
            | Self::MediaType
            | Self::Body(_)
            | Self::Metadata(_)
            | Self::NotToBeHad(_)
            | Self::Store(_)
            | Self::Secret(_) => None,
        }
    }
}

/// A name as one segment of a path (RFC 3986 §2.1, §3.3).
pub(super) fn path_segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(segment, "%{byte:02X}").unwrap_or_default();
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path_whatever_is_in_it() {
        assert_eq!(path_segment("urn:a?b%c"), "urn%3Aa%3Fb%25c");
    }

    #[test]
    fn failures_of_ours_say_so_and_no_more() {
        let error = crate::store::StoreError::Database("secret".to_owned());
        let response = Refusal::from(error).respond();
        assert_eq!(response.status(), 500);
        assert!(!format!("{:?}", response.body()).contains("secret"));
    }
}
