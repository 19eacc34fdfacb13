use std::hint::black_box;

use proptest::prelude::*;
use serde_json::json;
use symbolon_ace_proto::{
    AsHint, Confirmation, ErrorCode, ErrorResponse, MalformedMessage, PopKey, Scope, SigningKey,
    TokenRequest, TokenResponse, jwt::SigningAlgorithm,
};

use crate::{
    cbor::{Item, map, raw},
    vectors::{ED25519_PUBLIC, SCOPE, SCOPE_CBOR, SYMMETRIC, hex, jwk},
};

fn scope() -> Scope {
    Scope::from_base64url(SCOPE).unwrap()
}

// RFC 9431 §2.3
#[test]
fn the_scope_of_the_standard_is_read_and_written() {
    let read = Scope::from_cbor(&hex(SCOPE_CBOR)).unwrap();
    assert_eq!(read, scope());
    assert_eq!(read.to_cbor(), hex(SCOPE_CBOR));
    assert_eq!(read.to_cbor().len(), 48);
}

#[test]
fn the_longest_scope_fits() {
    let entries = |count: usize| -> Scope {
        let entries: Vec<_> = (0..count)
            .map(|i| json!([format!("a/{i}"), ["pub", "sub"]]))
            .collect();
        Scope::from_json(&json!(entries).to_string()).unwrap()
    };
    let longest = entries(Scope::MAX_ENTRIES);
    assert_eq!(Scope::from_cbor(&longest.to_cbor()), Ok(longest));
    let entry = raw("8261618163707562");
    let longer = Item::Array(vec![entry; Scope::MAX_ENTRIES + 1]).encode();
    assert!(Scope::from_cbor(&longer).is_err());
}

fn request() -> TokenRequest {
    TokenRequest {
        grant_type: Some("client_credentials".to_owned()),
        client_id: Some("c1".to_owned()),
        client_secret: Some("s".to_owned()),
        client_assertion_type: Some("t".to_owned()),
        client_assertion: Some("a.b.c".to_owned()),
        audience: Some("mqtts://broker.example.com".to_owned()),
        scope: Some(scope()),
        req_cnf: Some(Confirmation::Key(Box::new(jwk(ED25519_PUBLIC)))),
        client_nonce: Some(vec![1, 2, 3]),
        refresh_token: Some("AAEC".to_owned()),
        profile_asked: true,
    }
}

#[test]
fn a_request_comes_back() {
    for request in [request(), TokenRequest::default()] {
        let encoded = request.to_cbor().unwrap();
        let read = TokenRequest::from_cbor(&encoded).unwrap();
        assert_eq!(read.to_json(), request.to_json());
    }
}

// RFC 9200 Figure 12 and Figure 11
#[test]
fn a_request_is_read_by_the_numbers_of_the_standard() {
    let body = map(vec![
        (33, Item::Int(2)),
        (24, Item::Text("myclient")),
        (25, Item::Bytes(b"qwerty".to_vec())),
        (5, Item::Text("tempSensor4711")),
        (9, Item::Bytes(hex(SCOPE_CBOR))),
        (4, map(vec![(3, Item::Bytes(vec![1]))])),
        (38, raw("f6")),
        (99, raw("f6")),
    ]);
    let read = TokenRequest::from_cbor(&body.encode()).unwrap();
    assert_eq!(read.grant_type.as_deref(), Some("client_credentials"));
    assert_eq!(read.client_id.as_deref(), Some("myclient"));
    assert_eq!(read.client_secret.as_deref(), Some("qwerty"));
    assert_eq!(read.audience.as_deref(), Some("tempSensor4711"));
    assert_eq!(read.scope, Some(scope()));
    assert!(matches!(read.req_cnf, Some(Confirmation::KeyIdentifier(_))));
    assert!(read.profile_asked);
}

#[test]
fn each_member_of_a_request_must_be_of_its_type() {
    for label in [4, 5, 24, 25, 33] {
        for wrong in ["f6", "a0", "80", "f5"] {
            let refused = TokenRequest::from_cbor(&map(vec![(label, raw(wrong))]).encode());
            let code = refused.map(|_| label).unwrap_err().code;
            assert_eq!(code, ErrorCode::InvalidRequest, "{label} {wrong}");
        }
    }
    for (label, wrong, code) in [
        (9, "64707562 20", ErrorCode::InvalidScope),
        (9, "40", ErrorCode::InvalidScope),
        (9, "f6", ErrorCode::InvalidScope),
        (25, "41ff", ErrorCode::InvalidRequest),
        (33, "04", ErrorCode::InvalidRequest),
        (33, "20", ErrorCode::InvalidRequest),
        (38, "01", ErrorCode::IncompatibleAceProfiles),
        (38, "20", ErrorCode::IncompatibleAceProfiles),
        (38, "60", ErrorCode::InvalidRequest),
    ] {
        let body = map(vec![(label, raw(&wrong.replace(' ', "")))]).encode();
        let refused = TokenRequest::from_cbor(&body).map(|_| label).unwrap_err();
        assert_eq!(refused.code, code, "{label} {wrong}");
    }
    assert!(
        TokenRequest::from_cbor(&map(vec![(38, Item::Int(3))]).encode())
            .unwrap()
            .profile_asked
    );
    for body in ["", "80", "a2182460182460", "bfff", "a000", "a1184e00ff"] {
        let refused = TokenRequest::from_cbor(&hex(body)).map(|_| body);
        assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidRequest);
    }
}

fn response(access_token: &str) -> TokenResponse {
    TokenResponse {
        access_token: access_token.to_owned(),
        token_type: Some("PoP".to_owned()),
        expires_in_secs: Some(3600),
        scope: Some(scope()),
        cnf: Some(Confirmation::Key(Box::new(jwk(SYMMETRIC)))),
        rs_cnf: None,
        refresh_token: Some("AAEC".to_owned()),
        ace_profile: Some("mqtt_tls".to_owned()),
    }
}

#[test]
fn a_response_comes_back() {
    let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let x5t = json!({ "x5t#S256": "AQID" });
    let jwk_of = json!({ "jwk": PopKey::from_jwk(&key.to_public_jwk()).unwrap().to_jwk() });
    // The second is base64url of 61(18(..)).
    for (token, rs_cnf) in [
        ("a.b.c", None),
        ("2D3ShA", Some(x5t)),
        ("a.b.c", Some(jwk_of)),
    ] {
        let response = TokenResponse {
            rs_cnf,
            ..response(token)
        };
        let encoded = response.to_cbor().unwrap();
        let read = TokenResponse::from_cbor(&encoded).unwrap();
        assert_eq!(read.to_json(), response.to_json());
    }
}

// RFC 9200 Figure 12: `access_token` is a byte string.
#[test]
fn a_cwt_stands_in_a_response_as_its_own_bytes() {
    let encoded = response("2D3ShA").to_cbor().unwrap();
    assert!(
        encoded
            .windows(6)
            .any(|window| window == hex("0144d83dd284"))
    );
    let encoded = response("a.b.c").to_cbor().unwrap();
    assert!(
        encoded
            .windows(7)
            .any(|window| window == [&hex("0145")[..], b"a.b.c"].concat())
    );
    assert!(encoded.windows(3).any(|window| window == hex("182603")));
    assert!(encoded.windows(3).any(|window| window == hex("182202")));
}

#[test]
fn malformed_responses_are_refused() {
    let with = |label, item: Item| {
        let members = vec![(1, Item::Bytes(b"a.b.c".to_vec())), (label, item)];
        TokenResponse::from_cbor(&map(members).encode()).is_ok()
    };
    assert!(with(99, raw("f6")));
    assert!(with(34, Item::Int(1)));
    for label in [2, 8, 9, 34, 38, 41] {
        assert!(!with(label, raw("f6")), "{label}");
        assert!(!with(label, Item::Text("x")), "{label}");
    }
    assert!(!with(34, Item::Int(3)));
    assert!(!with(41, map(vec![])));
    for body in ["", "a0", "a10160", "a10140", "a10142ffff", "a10143e0e0e0"] {
        assert!(TokenResponse::from_cbor(&hex(body)).is_err(), "{body}");
    }
    let other = map(vec![
        (1, Item::Bytes(b"a.b.c".to_vec())),
        (38, Item::Int(1)),
    ]);
    let read = TokenResponse::from_cbor(&other.encode()).unwrap();
    assert_eq!(read.ace_profile.as_deref(), Some("1"));
}

#[test]
fn what_a_response_cannot_say_in_cbor_is_refused() {
    let jwe = Some(Confirmation::Encrypted("a..b.c.d".to_owned()));
    let refused = TokenResponse {
        cnf: jwe,
        ..response("a.b.c")
    };
    assert!(refused.to_cbor().is_err());
    let refused = TokenResponse {
        rs_cnf: Some(json!({})),
        ..response("a.b.c")
    };
    assert!(refused.to_cbor().is_err());
    let refused = TokenResponse {
        ace_profile: Some("x".to_owned()),
        ..response("a.b.c")
    };
    assert!(refused.to_cbor().is_err());
    let refused = TokenResponse {
        token_type: Some("x".to_owned()),
        ..response("a.b.c")
    };
    assert!(refused.to_cbor().is_err());
}

// RFC 9200 Figure 10
#[test]
fn errors_have_the_numbers_of_the_standard() {
    for (number, name) in [
        (1, "invalid_request"),
        (2, "invalid_client"),
        (3, "invalid_grant"),
        (4, "unauthorized_client"),
        (5, "unsupported_grant_type"),
        (6, "invalid_scope"),
        (7, "unsupported_pop_key"),
        (8, "incompatible_ace_profiles"),
    ] {
        let body = map(vec![(30, Item::Int(number)), (31, Item::Text("why"))]).encode();
        let read = ErrorResponse::from_cbor(&body).unwrap();
        assert_eq!(read.code.as_str(), name);
        assert_eq!(read.description, "why");
        assert_eq!(read.to_cbor(), body);
    }
    for body in [
        "",
        "a0",
        "a1181e00",
        "a1181e09",
        "a1181e20",
        "a1181e6130",
        "a2181e01181f01",
    ] {
        assert!(ErrorResponse::from_cbor(&hex(body)).is_err(), "{body}");
    }
    let silent = ErrorResponse::new(ErrorCode::InvalidGrant, "");
    assert_eq!(silent.to_cbor(), hex("a1181e03"));
}

// RFC 9200 Figure 3: the hint there, its scope a text, which is no AIF.
#[test]
fn the_hint_of_the_standard_is_read() {
    let hint = AsHint::from_cbor(&hex("a401781c636f6170733a2f2f61732e6578616d706c652e636f6d2f746f6b656e0576636f6170733a2f2f72732e6578616d706c652e636f6d09667254656d7043182745e0a156bb3f")).unwrap();
    assert_eq!(hint.authorization_server, "coaps://as.example.com/token");
    assert_eq!(hint.audience.as_deref(), Some("coaps://rs.example.com"));
    assert_eq!(hint.scope, None);
}

#[test]
fn a_hint_comes_back() {
    let hint = AsHint {
        cnonce: None,
        authorization_server: "https://as.example.com/token".to_owned(),
        audience: Some("mqtts://broker.example.com".to_owned()),
        scope: Some(scope()),
    };
    assert_eq!(AsHint::from_cbor(&hint.to_cbor()), Ok(hint));
    for body in [
        "",
        "a0",
        "a10160",
        "a10140",
        "a101f6",
        "a20161610501",
        "a201616109f6",
    ] {
        assert!(AsHint::from_cbor(&hex(body)).is_err(), "{body}");
    }
    assert_eq!(
        AsHint::from_cbor(&hex("a0")).err(),
        AsHint::from_cbor(&hex("a10140")).err()
    );
    let not_a_map: Result<_, MalformedMessage> = AsHint::from_cbor(&hex("80"));
    assert!(not_a_map.unwrap_err().to_string().contains("map"));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_of_messages_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        label in -3_i64..45,
    ) {
        for body in [bytes.clone(), map(vec![(label, Item::Raw(bytes))]).encode()] {
            black_box(TokenRequest::from_cbor(&body).map(|read| read.to_cbor()).is_ok());
            black_box(TokenResponse::from_cbor(&body).map(|read| read.to_cbor()).is_ok());
            black_box(ErrorResponse::from_cbor(&body).map(|read| read.to_cbor()).is_ok());
            black_box(AsHint::from_cbor(&body).map(|read| read.to_cbor()).is_ok());
            black_box(Scope::from_cbor(&body).map(|read| read.to_cbor()).is_ok());
        }
    }
}
