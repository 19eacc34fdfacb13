//! What introspection and revocation are asked.

use symbolon_ace_proto::{ErrorCode, TokenQuestion};

use crate::{
    cbor::{Item, map},
    vectors::hex,
};

#[test]
fn a_question_is_read_from_each_form() {
    let form =
        TokenQuestion::from_form(b"token=a.b.c&client_id=rs&token_type_hint=access_token&x=1");
    let json = TokenQuestion::from_json(
        br#"{"token":"a.b.c","client_id":"rs","token_type_hint":"access_token","x":1}"#,
    );
    let cbor = TokenQuestion::from_cbor(
        &map(vec![
            (11, Item::Bytes(b"a.b.c".to_vec())),
            (24, Item::Text("rs")),
            (33, Item::Text("access_token")),
        ])
        .encode(),
    );
    for question in [form, json, cbor] {
        let question = question.unwrap();
        assert_eq!(question.token, b"a.b.c");
        assert_eq!(question.token_type_hint.as_deref(), Some("access_token"));
        assert_eq!(question.credentials.client_id.as_deref(), Some("rs"));
        assert!(!format!("{question:?}").contains("a.b.c"));
    }
}

// RFC 9200 §5.9.1: in CBOR, client_secret is bytes as at the token endpoint.
#[test]
fn an_asker_may_show_its_secret_in_the_body() {
    let body = map(vec![
        (11, Item::Bytes(b"a".to_vec())),
        (24, Item::Text("rs")),
        (25, Item::Bytes(b"secret".to_vec())),
    ]);
    let question = TokenQuestion::from_cbor(&body.encode()).unwrap();
    assert_eq!(
        question.credentials.client_secret.as_deref(),
        Some("secret")
    );
    let question = TokenQuestion::from_form(b"token=a&client_id=rs&client_secret=secret").unwrap();
    assert_eq!(
        question.credentials.client_secret.as_deref(),
        Some("secret")
    );
}

#[test]
fn a_cwt_is_bytes_whatever_it_comes_in() {
    let cwt = hex("d83dd284");
    for question in [
        TokenQuestion::from_form(b"token=2D3ShA"),
        TokenQuestion::from_json(br#"{"token":"2D3ShA"}"#),
        TokenQuestion::from_cbor(&map(vec![(11, Item::Bytes(cwt.clone()))]).encode()),
        TokenQuestion::from_cbor(&map(vec![(11, Item::Bytes(b"2D3ShA".to_vec()))]).encode()),
    ] {
        assert_eq!(question.unwrap().token, cwt);
    }
}

// RFC 7662 §2.1: token is required.
#[test]
fn a_question_without_a_token_is_refused() {
    for refused in [
        TokenQuestion::from_form(b"client_id=a"),
        TokenQuestion::from_form(b"token="),
        TokenQuestion::from_form(b"token=a&token=b"),
        TokenQuestion::from_json(b"{}"),
        TokenQuestion::from_json(b"[]"),
        TokenQuestion::from_json(br#"{"token":1}"#),
        TokenQuestion::from_cbor(&hex("a0")),
        TokenQuestion::from_cbor(&hex("a10b01")),
    ] {
        assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
