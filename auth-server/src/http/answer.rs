//! The answers' form: status, content type, caching.

use crate::store::StoreError;
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use symbolon_ace_proto::{CBOR_MEDIA_TYPE, ErrorCode, ErrorResponse};

/// What RFC 9431 §2.1 calls JSON in ACE.
pub(super) const ACE_JSON: &str = "application/ace+json";
/// JSON without more.
pub(super) const JSON: &str = "application/json";
/// A form (RFC 6749 Appendix B).
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// The content type of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Json,
    AceJson,
    AceCbor,
}

impl Format {
    /// What the request asks for by Accept; otherwise what it is written in, and JSON to a form.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let sent = media_type(headers.get(header::CONTENT_TYPE));
        let own = sent.as_deref().and_then(Self::named).unwrap_or(Self::Json);
        let ranges = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(acceptable);
        let mut best = None;
        for (format, weight) in ranges {
            let better = best.is_none_or(|(_, known)| weight > known);
            let as_good = best.is_some_and(|(_, known)| (weight - known).abs() < f32::EPSILON);
            if better || (as_good && format == own) {
                best = Some((format, weight));
            }
        }
        best.map_or(own, |(format, _)| format)
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Json, Self::AceJson, Self::AceCbor]
            .into_iter()
            .find(|format| name.eq_ignore_ascii_case(format.content_type()))
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::AceJson => ACE_JSON,
            Self::AceCbor => CBOR_MEDIA_TYPE,
        }
    }

    /// Whether the content is CBOR; else it is JSON.
    pub(super) fn is_cbor(self) -> bool {
        match self {
            Self::AceCbor => true,
            Self::Json | Self::AceJson => false,
        }
    }
}

/// The media type without its parameters, in lower case.
pub(crate) fn media_type(value: Option<&HeaderValue>) -> Option<String> {
    let text = value?.to_str().ok()?;
    let media_type = text.split(';').next().unwrap_or_default();
    Some(media_type.trim().to_ascii_lowercase())
}

/// One range of Accept, if we have something for it, with its weight (RFC 9110 §12.4.2).
fn acceptable(range: &str) -> Option<(Format, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let format = Format::named(parts.next()?)?;
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    let weight = weight.map_or(Some(1.0), |weight| weight.parse().ok())?;
    // A weight of 0 means not acceptable.
    (weight > 0.0).then_some((format, weight))
}

/// An answer that is never cached. RFC 6749 §5.1 demands both headers.
pub(super) fn no_store(status: StatusCode, format: Format, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
    ];
    (status, headers, body).into_response()
}

/// A status alone, never cached.
pub(super) fn empty(status: StatusCode) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
    ];
    let mut response = (status, headers).into_response();
    add_challenge(&mut response);
    response
}

fn error_body(error: &ErrorResponse, format: Format) -> Vec<u8> {
    if format.is_cbor() {
        error.to_cbor()
    } else {
        error.to_json().into_bytes()
    }
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
    let mut response = no_store(status, format, error_body(error, format));
    add_challenge(&mut response);
    response
}

/// Required where the Authorization header was used (RFC 6749 §5.2), and with any 401 (RFC 9110 §15.5.2).
fn add_challenge(response: &mut Response) {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"token\""),
        );
    }
}

/// A request that is refused before it is understood, with an HTTP status of its own.
pub(super) fn malformed(status: StatusCode, description: &str, format: Format) -> Response {
    let error = ErrorResponse::new(ErrorCode::InvalidRequest, description);
    no_store(status, format, error_body(&error, format))
}

/// What the store's failure is to whoever asked: nobody's fault where the database is away, and then worth another try soon.
pub(super) fn store_failure(error: &StoreError, format: Format) -> Response {
    if let StoreError::Unavailable(_) = error {
        return not_now(failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            format,
        ));
    }
    failure(StatusCode::INTERNAL_SERVER_ERROR, "server_error", format)
}

/// With the time after which it is worth another try (RFC 9110 §10.2.3).
pub(super) fn not_now(mut response: Response) -> Response {
    let secs = HeaderValue::from(StoreError::RETRY_AFTER_SECS);
    response.headers_mut().insert(header::RETRY_AFTER, secs);
    response
}

/// A failure that OAuth has no code for; in CBOR, where a code is a number, the status says it alone.
pub(super) fn failure(status: StatusCode, error: &str, format: Format) -> Response {
    if format.is_cbor() {
        return empty(status);
    }
    let body = json!({ "error": error }).to_string();
    no_store(status, format, body.into_bytes())
}
