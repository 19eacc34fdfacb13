//! The answers' form: status, content type, caching.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use symbolon_ace_proto::{ErrorCode, ErrorResponse};

/// What RFC 9431 §2.1 calls JSON in ACE.
pub(super) const ACE_JSON: &str = "application/ace+json";

/// The content type of an answer; the content is JSON in both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Json,
    AceJson,
}

impl Format {
    /// ACE's own where the request is written in it or asks for it.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let sent = media_type(headers.get(header::CONTENT_TYPE)) == Some(ACE_JSON.to_owned());
        let accepted = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(accepts_ace_json);
        if sent || accepted {
            Self::AceJson
        } else {
            Self::Json
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::AceJson => ACE_JSON,
        }
    }
}

/// The media type without its parameters, in lower case.
pub(super) fn media_type(value: Option<&HeaderValue>) -> Option<String> {
    let text = value?.to_str().ok()?;
    let media_type = text.split(';').next().unwrap_or_default();
    Some(media_type.trim().to_ascii_lowercase())
}

fn accepts_ace_json(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let named = parts
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case(ACE_JSON));
    // RFC 9110 §12.4.2: a weight of 0 means not acceptable.
    let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
    named && !refused
}

/// An answer of the token endpoint: never cached. RFC 6749 §5.1 demands both headers.
pub(super) fn no_store(status: StatusCode, format: Format, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
    ];
    (status, headers, body).into_response()
}

/// An error response of RFC 6749 §5.2 with the status that fits its code.
pub(super) fn refusal(error: &ErrorResponse, format: Format) -> Response {
    let status = match error.code {
        ErrorCode::InvalidClient => StatusCode::UNAUTHORIZED,
        ErrorCode::InvalidRequest
        | ErrorCode::InvalidGrant
        | ErrorCode::UnauthorizedClient
        | ErrorCode::UnsupportedGrantType
        | ErrorCode::InvalidScope
        | ErrorCode::UnsupportedPopKey
        | ErrorCode::IncompatibleAceProfiles => StatusCode::BAD_REQUEST,
    };
    let mut response = no_store(status, format, error.to_json());
    if status == StatusCode::UNAUTHORIZED {
        // Required where the Authorization header was used (RFC 6749 §5.2), and with any 401 (RFC 9110 §15.5.2).
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"token\""),
        );
    }
    response
}

/// A request that is refused before it is understood, with an HTTP status of its own.
pub(super) fn malformed(status: StatusCode, description: &str, format: Format) -> Response {
    let error = ErrorResponse::new(ErrorCode::InvalidRequest, description);
    no_store(status, format, error.to_json())
}

/// A failure that OAuth has no code for.
pub(super) fn failure(status: StatusCode, error: &str, format: Format) -> Response {
    no_store(status, format, json!({ "error": error }).to_string())
}
