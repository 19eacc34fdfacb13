use std::hint::black_box;

use proptest::prelude::*;
use serde_json::{Value, json};
use symbolon_ace_proto::{
    Confirmation, IntrospectionRequest, IntrospectionResponse, Scope, UnixTime,
    introspection::ActiveToken,
};

use crate::{
    cbor::{Item, map, raw},
    vectors::{AUDIENCE, ED25519_PUBLIC, ISSUER, SCOPE, hex, jwk},
};

fn active() -> ActiveToken {
    ActiveToken {
        issuer: Some(ISSUER.to_owned()),
        subject: Some("c1".to_owned()),
        client_id: Some("c1".to_owned()),
        audience: vec![AUDIENCE.to_owned()],
        expires_at: Some(UnixTime(1_800_000_000)),
        not_before: Some(UnixTime(1)),
        issued_at: Some(UnixTime(2)),
        token_identifier: Some("Af8".to_owned()),
        expires_in_secs: Some(60),
        scope: Some(Scope::from_base64url(SCOPE).unwrap()),
        confirmation: Some(Confirmation::Key(Box::new(jwk(ED25519_PUBLIC)))),
        client_nonce: Some(vec![1, 2, 3]),
        profile_named: true,
    }
}

fn json_of(response: &IntrospectionResponse) -> Value {
    serde_json::from_str(&response.to_json()).unwrap()
}

#[test]
fn an_answer_comes_back_in_both_forms() {
    for token in [active(), ActiveToken::default()] {
        let response = IntrospectionResponse::Active(Box::new(token));
        let json = json_of(&response);
        let read = IntrospectionResponse::from_json(response.to_json().as_bytes()).unwrap();
        assert_eq!(json_of(&read), json);
        let read = IntrospectionResponse::from_cbor(&response.to_cbor().unwrap()).unwrap();
        assert_eq!(json_of(&read), json);
    }
}

#[test]
fn an_answer_says_what_the_token_says() {
    let json = json_of(&IntrospectionResponse::Active(Box::new(active())));
    assert_eq!(
        json,
        json!({
            "active": true, "iss": ISSUER, "sub": "c1", "client_id": "c1", "aud": AUDIENCE,
            "exp": 1_800_000_000, "nbf": 1, "iat": 2, "jti": "Af8", "exi": 60, "scope": SCOPE,
            "cnf": { "jwk": jwk(ED25519_PUBLIC) }, "cnonce": "AQID", "ace_profile": "mqtt_tls",
        })
    );
}

// RFC 7662 §2.2
#[test]
fn of_an_inactive_token_nothing_else_is_said() {
    let inactive = IntrospectionResponse::Inactive;
    assert_eq!(inactive.to_json().as_str(), r#"{"active":false}"#);
    assert_eq!(*inactive.to_cbor().unwrap(), hex("a10af4"));
    for body in [r#"{"active":false}"#, r#"{"active":false,"exp":"x"}"#] {
        let read = IntrospectionResponse::from_json(body.as_bytes()).unwrap();
        assert!(matches!(read, IntrospectionResponse::Inactive));
    }
}

#[test]
fn malformed_answers_are_refused() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"active":1}"#,
        r#"{"active":null}"#,
        r#"{"active":"true"}"#,
        r#"{"active":true,"active":false}"#,
        r#"{"active":true,"exp":"1"}"#,
        r#"{"active":true,"scope":"pub sub"}"#,
        r#"{"active":true,"cnf":{}}"#,
        r#"{"active":true,"cnonce":"!"}"#,
        r#"{"active":true,"aud":1}"#,
    ] {
        let read = IntrospectionResponse::from_json(body.as_bytes());
        assert!(read.is_err(), "{body}");
    }
    for label in [1, 2, 3, 4, 5, 6, 7, 8, 9, 24, 38, 39, 40] {
        for wrong in ["f6", "a0", "f4"] {
            let body = map(vec![(10, raw("f5")), (label, raw(wrong))]).encode();
            let read = IntrospectionResponse::from_cbor(&body);
            assert!(read.is_err(), "{label} {wrong}");
        }
    }
    for body in ["", "a0", "a10a01", "a20af50af5", "a10af5f6"] {
        assert!(
            IntrospectionResponse::from_cbor(&hex(body)).is_err(),
            "{body}"
        );
    }
}

// RFC 9200 §5.9.1
#[test]
fn a_question_comes_back_in_both_forms() {
    for token in [b"a.b.c".to_vec(), hex("d83dd284")] {
        let request = IntrospectionRequest {
            token,
            token_type_hint: Some("PoP".to_owned()),
        };
        let read = IntrospectionRequest::from_cbor(&request.to_cbor());
        assert_eq!(read, Ok(request.clone()));
        let json = request.to_json().unwrap();
        assert_eq!(
            IntrospectionRequest::from_json(json.as_bytes()),
            Ok(request.clone())
        );
        assert!(!format!("{request:?}").contains("a.b.c"));
    }
    let text = r#"{"token":"2D3ShA"}"#;
    let read = IntrospectionRequest::from_json(text.as_bytes()).unwrap();
    assert_eq!(read.token, hex("d83dd284"));
    assert_eq!(read.to_json().unwrap(), text);
}

// RFC 9200 Figure 14 has a number where Figure 16 has a text.
#[test]
fn the_hint_may_be_a_number() {
    let body = map(vec![(11, Item::Bytes(vec![1])), (33, Item::Int(2))]).encode();
    let read = IntrospectionRequest::from_cbor(&body).unwrap();
    assert_eq!(read.token_type_hint.as_deref(), Some("PoP"));
}

#[test]
fn malformed_questions_are_refused() {
    for body in ["", "a0", "a10b60", "a10bf6", "a20b4101182140"] {
        assert!(
            IntrospectionRequest::from_cbor(&hex(body)).is_err(),
            "{body}"
        );
    }
    for body in [
        "",
        "{}",
        r#"{"token":1}"#,
        r#"{"token":"a","token":"b"}"#,
        r#"["a"]"#,
    ] {
        assert!(
            IntrospectionRequest::from_json(body.as_bytes()).is_err(),
            "{body}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        label in 0_i64..45,
    ) {
        let member = map(vec![(10, raw("f5")), (label, Item::Raw(bytes.clone()))]).encode();
        for body in [bytes, member] {
            black_box(IntrospectionRequest::from_cbor(&body).map(|read| read.to_json()).is_ok());
            black_box(IntrospectionRequest::from_json(&body).map(|read| read.to_cbor()).is_ok());
            black_box(IntrospectionResponse::from_json(&body).map(|read| read.to_cbor()).is_ok());
            black_box(IntrospectionResponse::from_cbor(&body).map(|read| read.to_json()).is_ok());
        }
    }
}
