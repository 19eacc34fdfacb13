use serde_json::{Value, json};
use symbolon_ace_proto::{Confirmation, ErrorCode, ErrorResponse, Scope, TokenRequest};

use crate::vectors::{AUDIENCE, ED25519_PUBLIC, SCOPE, jwk};

fn request() -> TokenRequest {
    TokenRequest {
        grant_type: Some("client_credentials".to_owned()),
        client_id: Some("c1".to_owned()),
        client_secret: Some("s3cret-value".to_owned()),
        client_assertion_type: Some("urn:x".to_owned()),
        client_assertion: Some("head.claims.signature".to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        scope: Some(Scope::from_base64url(SCOPE).unwrap()),
        req_cnf: Some(Confirmation::Key(Box::new(jwk(ED25519_PUBLIC)))),
        client_nonce: Some(vec![1, 2, 3]),
        refresh_token: Some("AAEC".to_owned()),
        profile_asked: true,
    }
}

fn request_json() -> Value {
    json!({
        "grant_type": "client_credentials",
        "client_id": "c1",
        "client_secret": "s3cret-value",
        "client_assertion_type": "urn:x",
        "client_assertion": "head.claims.signature",
        "audience": AUDIENCE,
        "scope": SCOPE,
        "req_cnf": { "jwk": jwk(ED25519_PUBLIC) },
        "cnonce": "AQID",
        "refresh_token": "AAEC",
        "ace_profile": "",
    })
}

fn from_json(json: &Value) -> Result<Value, ErrorResponse> {
    let request = TokenRequest::from_json(json.to_string().as_bytes())?;
    Ok(serde_json::from_str(&request.to_json()).unwrap())
}

fn code(json: &Value) -> Option<ErrorCode> {
    from_json(json).err().map(|error| error.code)
}

// RFC 9200 §5.8.1, RFC 9431 §2.1
#[test]
fn a_request_is_written_and_read_back() {
    let written: Value = serde_json::from_str(&request().to_json()).unwrap();
    assert_eq!(written, request_json());
    assert_eq!(from_json(&written), Ok(written));
}

// RFC 9200 §5.8.1: grant_type may be absent.
#[test]
fn an_empty_object_is_a_request() {
    let request = TokenRequest::from_json(b"{}").unwrap();
    assert!(request.grant_type.is_none() && request.scope.is_none());
    assert!(!request.profile_asked);
    assert_eq!(request.to_json(), "{}");
}

#[test]
fn unknown_parameters_are_ignored() {
    let mut json = request_json();
    json["resource"] = json!("x");
    json["other"] = json!({ "a": [null] });
    assert_eq!(from_json(&json), Ok(request_json()));
}

// RFC 9200 §5.8.4.3
#[test]
fn the_profile_is_asked_for_by_an_empty_one() {
    for profile in [json!(""), json!(null), json!("mqtt_tls")] {
        let json = json!({ "ace_profile": profile });
        assert_eq!(from_json(&json), Ok(json!({ "ace_profile": "" })));
    }
    let other = json!({ "ace_profile": "coap_dtls" });
    assert_eq!(code(&other), Some(ErrorCode::IncompatibleAceProfiles));
    let wrong = json!({ "ace_profile": 3 });
    assert_eq!(code(&wrong), Some(ErrorCode::InvalidRequest));
}

#[test]
fn a_parameter_of_the_wrong_type_is_named() {
    let texts = [
        "grant_type",
        "client_id",
        "client_secret",
        "client_assertion_type",
        "client_assertion",
        "audience",
    ];
    for name in texts {
        for wrong in [json!(null), json!(1), json!(["x"]), json!({})] {
            let mut json = request_json();
            json[name] = wrong;
            let error = from_json(&json).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest);
            assert_eq!(error.description, format!("{name} is malformed"));
        }
    }
    for wrong in [json!(null), json!("kid"), json!({}), json!({ "jwk": 1 })] {
        let mut json = request_json();
        json["req_cnf"] = wrong;
        let error = from_json(&json).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert_eq!(error.description, "req_cnf is malformed");
    }
}

// RFC 9431 §2.3: base64url of the array and nothing else.
#[test]
fn a_malformed_scope_is_an_invalid_scope() {
    for wrong in [
        json!("pub sub"),
        json!(""),
        json!([["a", ["pub"]]]),
        json!(null),
        json!(1),
        json!("bm8ganNvbg"),
    ] {
        assert_eq!(
            code(&json!({ "scope": wrong })),
            Some(ErrorCode::InvalidScope)
        );
    }
}

#[test]
fn what_is_no_object_with_unique_names_is_an_invalid_request() {
    for body in [
        "",
        "[]",
        "null",
        "{",
        "grant_type=client_credentials",
        r#"{"audience":"a","audience":"b"}"#,
        r#"{"audience":"a","\u0061udience":"b"}"#,
        "{\"audience\":\"\u{0}\"}",
    ] {
        let error = TokenRequest::from_json(body.as_bytes()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest, "{body}");
    }
    assert!(TokenRequest::from_json(b"{\"audience\":\"\xff\"}").is_err());
}

// RFC 6749 Appendix B
#[test]
fn a_form_says_the_same() {
    let body = format!(
        "grant_type=client_credentials&client_id=c1&client_secret=s3cret-value\
         &client_assertion_type=urn%3Ax&client_assertion=head.claims.signature\
         &audience=mqtts%3A%2F%2Fbroker.example.com&scope={SCOPE}\
         &req_cnf=%7B%22jwk%22%3A%7B%22kty%22%3A%22OKP%22%2C%22crv%22%3A%22Ed25519%22%2C\
         %22x%22%3A%2211qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo%22%7D%7D&cnonce=AQID&refresh_token=AAEC&ace_profile=&x=y"
    );
    let request = TokenRequest::from_form(body.as_bytes()).unwrap();
    let read: Value = serde_json::from_str(&request.to_json()).unwrap();
    assert_eq!(read, request_json());
}

// RFC 6749 §3.2: a parameter without a value counts as left out.
#[test]
fn a_parameter_without_a_value_in_a_form_is_absent() {
    let body = b"grant_type=&client_id=&client_secret&audience=&scope=&req_cnf=";
    let request = TokenRequest::from_form(body).unwrap();
    assert_eq!(request.to_json(), "{}");
    assert_eq!(TokenRequest::from_form(b"").unwrap().to_json(), "{}");
}

#[test]
fn a_form_that_is_not_as_it_must_be_is_refused() {
    for (body, code) in [
        // RFC 6749 §3.2: each parameter at most once.
        ("audience=a&audience=b", ErrorCode::InvalidRequest),
        ("x=a&x=b", ErrorCode::InvalidRequest),
        ("audience=%", ErrorCode::InvalidRequest),
        ("audience=%ff", ErrorCode::InvalidRequest),
        ("req_cnf=%7B", ErrorCode::InvalidRequest),
        ("req_cnf=[]", ErrorCode::InvalidRequest),
        ("scope=pub+sub", ErrorCode::InvalidScope),
        (
            "ace_profile=coap_oscore",
            ErrorCode::IncompatibleAceProfiles,
        ),
    ] {
        let error = TokenRequest::from_form(body.as_bytes()).unwrap_err();
        assert_eq!(error.code, code, "{body}");
    }
}

#[test]
fn debug_shows_no_credential() {
    let shown = format!("{:?}", request());
    assert!(!shown.contains("s3cret-value"), "{shown}");
    assert!(!shown.contains("head.claims.signature"), "{shown}");
}
