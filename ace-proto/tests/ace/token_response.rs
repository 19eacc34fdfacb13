use proptest::prelude::*;
use serde_json::{Value, json};
use symbolon_ace_proto::{Confirmation, ErrorCode, ErrorResponse, Scope, TokenResponse};

use crate::vectors::{SCOPE, SYMMETRIC, jwk};

fn response() -> TokenResponse {
    TokenResponse {
        access_token: "abc.def.ghi".to_owned(),
        token_type: Some("PoP".to_owned()),
        expires_in_secs: Some(3600),
        scope: Some(Scope::from_base64url(SCOPE).unwrap()),
        cnf: Some(Confirmation::Key(Box::new(jwk(SYMMETRIC)))),
        rs_cnf: Some(json!({ "x5t#S256": "abc" })),
        refresh_token: Some("AAEC".to_owned()),
        ace_profile: Some("mqtt_tls".to_owned()),
    }
}

fn response_json() -> Value {
    json!({
        "access_token": "abc.def.ghi",
        "token_type": "PoP",
        "expires_in": 3600,
        "scope": SCOPE,
        "cnf": { "jwk": jwk(SYMMETRIC) },
        "rs_cnf": { "x5t#S256": "abc" },
        "refresh_token": "AAEC",
        "ace_profile": "mqtt_tls",
    })
}

// RFC 9200 §5.8.2, RFC 9201 §3.2
#[test]
fn a_response_is_written_and_read_back() {
    let json = response().to_json();
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        response_json()
    );
    let read = TokenResponse::from_json(json.as_bytes()).unwrap();
    assert_eq!(read.to_json(), json);
}

#[test]
fn a_token_alone_is_a_response() {
    let read = TokenResponse::from_json(br#"{"access_token":"t","other":"x"}"#).unwrap();
    assert_eq!(read.to_json(), r#"{"access_token":"t"}"#);
}

#[test]
fn a_malformed_response_is_refused() {
    for json in [
        "",
        "{}",
        "[]",
        r#"["t"]"#,
        r#"{"access_token":null}"#,
        r#"{"access_token":"t","access_token":"u"}"#,
        r#"{"access_token":"t","expires_in":"3600"}"#,
        r#"{"access_token":"t","expires_in":-1}"#,
        r#"{"access_token":"t","expires_in":null}"#,
        r#"{"access_token":"t","scope":"pub"}"#,
        r#"{"access_token":"t","cnf":{}}"#,
        r#"{"access_token":"t"}x"#,
    ] {
        assert!(TokenResponse::from_json(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn debug_shows_no_token_and_no_key() {
    let shown = format!("{:?}", response());
    assert!(!shown.contains("abc.def.ghi"), "{shown}");
    assert!(!shown.contains("AAECAw"), "{shown}");
}

// RFC 6749 §5.2, RFC 9200 §5.8.3
#[test]
fn every_error_code_comes_back() {
    for (code, name) in [
        (ErrorCode::InvalidRequest, "invalid_request"),
        (ErrorCode::InvalidClient, "invalid_client"),
        (ErrorCode::InvalidGrant, "invalid_grant"),
        (ErrorCode::UnauthorizedClient, "unauthorized_client"),
        (ErrorCode::UnsupportedGrantType, "unsupported_grant_type"),
        (ErrorCode::InvalidScope, "invalid_scope"),
        (ErrorCode::UnsupportedPopKey, "unsupported_pop_key"),
        (
            ErrorCode::IncompatibleAceProfiles,
            "incompatible_ace_profiles",
        ),
    ] {
        let error = ErrorResponse::new(code, "why");
        let json = format!(r#"{{"error":"{name}","error_description":"why"}}"#);
        assert_eq!(error.to_json(), json);
        assert_eq!(ErrorResponse::from_json(json.as_bytes()).unwrap(), error);
    }
}

#[test]
fn a_description_is_optional() {
    let error = ErrorResponse::from_json(br#"{"error":"invalid_scope","error_uri":"x"}"#).unwrap();
    assert_eq!(error, ErrorResponse::new(ErrorCode::InvalidScope, ""));
    assert_eq!(error.to_json(), r#"{"error":"invalid_scope"}"#);
}

#[test]
fn a_malformed_error_is_refused() {
    for json in [
        "",
        "{}",
        r#"["invalid_scope"]"#,
        r#"{"error":"teapot"}"#,
        r#"{"error":6}"#,
        r#"{"error":null}"#,
        r#"{"error":"invalid_scope","error_description":1}"#,
    ] {
        assert!(ErrorResponse::from_json(json.as_bytes()).is_err(), "{json}");
    }
}

proptest! {
    // RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E
    #[test]
    fn a_description_never_holds_a_forbidden_character(description in any::<String>()) {
        let error = ErrorResponse { code: ErrorCode::InvalidRequest, description };
        let json: Value = serde_json::from_str(&error.to_json()).unwrap();
        let written = json["error_description"].as_str().unwrap_or_default();
        prop_assert!(written.bytes().all(|byte| matches!(byte, 0x20..=0x7e if byte != b'"' && byte != b'\\')));
        prop_assert_eq!(written.chars().count(), error.description.chars().count());
    }
}
