//! Tokens that are protected by a MAC, under a key that AS and RS share.

use aws_lc_rs::hmac;
use serde_json::json;
use symbolon_ace_proto::{
    Claims, KeySet, MacKey, SymmetricKey, TokenError, UnixTime, Validation, token,
};

use crate::{
    jwt::HS256_TOKEN,
    vectors::{
        AUDIENCE, ED25519_PRIVATE, ED25519_PUBLIC, ISSUER, SCOPE, SYMMETRIC, base64url,
        from_base64url, jwk, jws, signer,
    },
};

/// The bytes 00 to 1f, as `kid` "as1"; and a public key, "ed".
fn keys() -> KeySet {
    let secret: Vec<u8> = (0..32).collect();
    let mac = MacKey::new("as1", SymmetricKey::from_bytes(&secret)).unwrap();
    KeySet::from_keys(vec![jwk(ED25519_PUBLIC).with_kid("ed")]).with_mac_keys(vec![mac])
}

fn verify(token: &[u8], keys: &KeySet) -> Result<Claims, TokenError> {
    token::verify(
        token,
        &Validation {
            keys,
            issuer: ISSUER,
            audience: AUDIENCE,
            now: UnixTime(1_800_000_000),
            leeway_secs: 0,
            lifetimes: symbolon_ace_proto::Lifetimes::default(),
        },
    )
}

fn refusal(token: &str) -> Option<TokenError> {
    verify(token.as_bytes(), &keys()).err()
}

fn payload(cnf: &serde_json::Value) -> String {
    let claims =
        json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": 1_800_000_060, "scope": SCOPE, "cnf": cnf });
    base64url(claims.to_string())
}

/// With a MAC under `secret`, whatever the header says.
fn maced(header: &str, payload: &str, secret: &[u8]) -> String {
    let input = format!("{}.{payload}", base64url(header));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", base64url(mac))
}

// The project's own vector, made with Python's hmac.
#[test]
fn a_jwt_with_a_mac_is_verified_under_the_key_that_it_names() {
    let claims = verify(HS256_TOKEN.as_bytes(), &keys()).unwrap();
    assert_eq!(claims.subject.as_deref(), Some("c1"));
    let other = MacKey::generate().unwrap();
    let others = KeySet::default().with_mac_keys(vec![other]);
    let refused = verify(HS256_TOKEN.as_bytes(), &others).unwrap_err();
    assert_eq!(refused, TokenError::UnknownKey);
}

#[test]
fn a_changed_token_does_not_match_its_mac() {
    let (input, mac) = HS256_TOKEN.rsplit_once('.').unwrap();
    let mut mac = from_base64url(mac);
    mac[31] ^= 1;
    let changed = format!("{input}.{}", base64url(&mac));
    assert_eq!(refusal(&changed), Some(TokenError::BadSignature));
    let cut = format!("{input}.{}", base64url(&mac[..16]));
    assert_eq!(refusal(&cut), Some(TokenError::BadSignature));
}

#[test]
fn a_token_must_name_the_key_of_its_mac() {
    let secret: Vec<u8> = (0..32).collect();
    let payload = payload(&json!({ "jwk": jwk(ED25519_PUBLIC) }));
    let refused = |header| refusal(&maced(header, &payload, &secret));
    assert_eq!(refused(r#"{"alg":"HS256","kid":"as1"}"#), None);
    let unknown = Some(TokenError::UnknownKey);
    assert_eq!(refused(r#"{"alg":"HS256"}"#), unknown);
    assert_eq!(refused(r#"{"alg":"HS256","kid":"as2"}"#), unknown);
}

// RFC 8725 §2.1, §3.1.
#[test]
fn keys_for_macs_and_public_keys_never_stand_for_each_other() {
    let public = from_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let payload = payload(&json!({ "jwk": jwk(ED25519_PUBLIC) }));
    let not_allowed = Some(TokenError::AlgorithmNotAllowed);
    let forged = maced(r#"{"alg":"HS256","kid":"ed"}"#, &payload, &public);
    assert_eq!(refusal(&forged), not_allowed);
    let claims = String::from_utf8(from_base64url(&payload)).unwrap();
    let signed = jws(
        r#"{"alg":"EdDSA","kid":"as1"}"#,
        &claims,
        &signer(ED25519_PRIVATE),
    );
    assert_eq!(refusal(&signed), not_allowed);
}

// RFC 7800 §3.3: a MAC hides nothing.
#[test]
fn a_secret_key_that_anybody_can_read_is_refused() {
    let secret: Vec<u8> = (0..32).collect();
    let payload = payload(&json!({ "jwk": jwk(SYMMETRIC) }));
    let token = maced(r#"{"alg":"HS256","kid":"as1"}"#, &payload, &secret);
    assert_eq!(refusal(&token), Some(TokenError::BadClaim("cnf")));
}

#[test]
fn the_own_bytes_of_a_token_are_those_of_the_cwt_in_a_text() {
    let cwt = MacKey::generate()
        .unwrap()
        .mac_cwt(&verify(HS256_TOKEN.as_bytes(), &keys()).unwrap());
    let cwt = cwt.unwrap();
    assert_eq!(token::own_bytes(&cwt), cwt.as_slice());
    assert_eq!(token::own_bytes(base64url(&cwt).as_bytes()), cwt.as_slice());
    assert_eq!(
        token::own_bytes(HS256_TOKEN.as_bytes()),
        HS256_TOKEN.as_bytes()
    );
    assert_eq!(token::own_bytes(b"0 is no CWT").as_ref(), b"0 is no CWT");
}
