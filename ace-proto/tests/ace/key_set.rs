use serde_json::{Value, json};
use symbolon_ace_proto::{KeySet, SigningKey, TokenError, jwt::SigningAlgorithm};

use crate::vectors::{ED25519_PRIVATE, ED25519_PUBLIC, P256_PUBLIC, SYMMETRIC, jwk};

#[test]
fn a_set_is_written_and_read_back() {
    let keys = [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256]
        .map(|algorithm| SigningKey::generate(algorithm).unwrap());
    let set = KeySet::from_keys(keys.iter().map(SigningKey::to_public_jwk).collect());
    let json = set.to_json();
    let again = KeySet::from_json(json.as_bytes()).unwrap();
    assert_eq!(again.to_json(), json);
    assert_eq!(again.len(), 2);

    let value: Value = serde_json::from_str(&json).unwrap();
    for (published, key) in value["keys"].as_array().unwrap().iter().zip(&keys) {
        assert_eq!(published["kid"], key.kid());
        assert_eq!(published["use"], "sig");
        assert!(published["alg"].is_string());
    }
}

// RFC 7517 §5
#[test]
fn keys_that_we_cannot_use_are_left_out() {
    let set = json!({ "keys": [
        { "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa" },
        { "kty": "OKP", "crv": "X25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
        { "kty": "OKP", "crv": "Ed25519", "x": "short" },
        { "kty": "OKP", "crv": "Ed25519", "x": 1 },
        { "kty": "future", "x": { "a": [] } },
        jwk(SYMMETRIC),
        { "kty": "OKP", "crv": "Ed25519", "use": "enc", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
        {},
        [],
        null,
        jwk(ED25519_PUBLIC),
    ], "unknown": 1 });
    let set = KeySet::from_json(set.to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), 1);
    assert!(KeySet::from_json(br#"{"keys":[]}"#).unwrap().is_empty());
}

#[test]
fn a_private_part_is_never_published() {
    let set = KeySet::from_keys(vec![jwk(ED25519_PRIVATE), jwk(P256_PUBLIC)]);
    assert_eq!(set.len(), 2);
    assert!(!set.to_json().contains("\"d\""));
}

#[test]
fn what_is_no_jwk_set_is_refused() {
    for json in [
        "",
        "[]",
        "{}",
        "null",
        r#"{"keys":null}"#,
        r#"{"keys":{}}"#,
        r#"{"keys":"x"}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[]"#,
        ED25519_PUBLIC,
    ] {
        let refused = KeySet::from_json(json.as_bytes()).map(|_| ());
        assert_eq!(refused, Err(TokenError::NotAKeySet), "{json}");
    }
}

#[test]
fn more_keys_than_the_limit_are_refused() {
    let set = |count: usize| json!({ "keys": vec![jwk(ED25519_PUBLIC); count] }).to_string();
    let most = KeySet::from_json(set(KeySet::MAX_KEYS).as_bytes());
    assert_eq!(most.unwrap().len(), KeySet::MAX_KEYS);
    assert!(KeySet::from_json(set(KeySet::MAX_KEYS + 1).as_bytes()).is_err());
}
