use serde_json::{Value, json};
use symbolon_ace_proto::{
    PopAlgorithm, PopKey, PopSigner, UnixTime,
    client_assertion::{
        AssertionError, ClientAssertion, MAX_IDENTIFIER_LENGTH, MAX_LENGTH, MAX_LIFETIME_SECS,
        claimed_client_id, make, verify,
    },
    jwt::take_apart,
};

use crate::vectors::{ED25519_PRIVATE, ISSUER, SYMMETRIC, base64url, jws, signer};

const NOW: UnixTime = UnixTime(1_800_000_000);
const TOKEN_ENDPOINT: &str = "https://as.example.com/token";
const AUDIENCES: [&str; 2] = [ISSUER, TOKEN_ENDPOINT];
const HEADER: &str = r#"{"alg":"EdDSA"}"#;

fn key() -> PopKey {
    signer(ED25519_PRIVATE).verifying_key()
}

fn claims() -> Value {
    json!({ "iss": "c1", "sub": "c1", "aud": ISSUER, "jti": "a1", "exp": NOW.0 + 60 })
}

fn read(header: &str, claims: &str) -> Result<ClientAssertion, AssertionError> {
    let assertion = jws(header, claims, &signer(ED25519_PRIVATE));
    verify(&assertion, &key(), &AUDIENCES, NOW)
}

fn read_with(name: &str, value: Value) -> Result<ClientAssertion, AssertionError> {
    let mut claims = claims();
    claims[name] = value;
    read(HEADER, &claims.to_string())
}

#[test]
fn what_is_made_is_verified() {
    for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
        let signer = PopSigner::generate(algorithm).unwrap();
        let assertion = make("c1", ISSUER, &signer, NOW).unwrap();
        assert_eq!(claimed_client_id(&assertion).unwrap(), "c1");
        let read = verify(&assertion, &signer.verifying_key(), &AUDIENCES, NOW).unwrap();
        assert_eq!(read.client_id, "c1");
        assert_eq!(read.expires_at, NOW.plus_secs(60));
        assert!(!read.identifier.is_empty());

        let other = make("c1", ISSUER, &signer, NOW).unwrap();
        let other = verify(&other, &signer.verifying_key(), &AUDIENCES, NOW).unwrap();
        assert_ne!(other.identifier, read.identifier);
    }
}

// RFC 7523 §3
#[test]
fn an_assertion_says_what_rfc_7523_wants() {
    let assertion = make("c1", ISSUER, &signer(ED25519_PRIVATE), NOW).unwrap();
    let (header, claims) = take_apart(&assertion).unwrap();
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "JWT" }));
    let jti = claims["jti"].clone();
    let expected = json!({
        "iss": "c1", "sub": "c1", "aud": ISSUER, "jti": jti, "iat": NOW.0, "exp": NOW.0 + 60,
    });
    assert_eq!(claims, expected);
}

// RFC 7523 §3 point 3: the issuer or the token endpoint.
#[test]
fn the_audience_is_the_issuer_or_the_token_endpoint() {
    for audience in [json!(ISSUER), json!(TOKEN_ENDPOINT), json!(["x", ISSUER])] {
        assert!(read_with("aud", audience).is_ok());
    }
    for audience in [
        json!("https://other"),
        json!([]),
        json!(["x"]),
        json!(1),
        json!(null),
    ] {
        assert!(read_with("aud", audience.clone()).is_err(), "{audience}");
    }
}

#[test]
fn a_claim_that_is_missing_or_malformed_is_refused() {
    for name in ["iss", "sub", "aud", "jti", "exp"] {
        let mut missing = claims();
        missing.as_object_mut().unwrap().remove(name);
        assert!(read(HEADER, &missing.to_string()).is_err(), "{name}");
        for wrong in [json!(null), json!({}), json!(true), json!("")] {
            assert!(read_with(name, wrong.clone()).is_err(), "{name} {wrong}");
        }
    }
}

// RFC 7523 §3 points 1 and 2
#[test]
fn issuer_and_subject_are_the_same_client() {
    assert!(read_with("iss", json!("c2")).is_err());
}

// RFC 7523 §3 point 4
#[test]
fn an_assertion_lives_for_five_minutes_at_most() {
    assert!(read_with("exp", json!(NOW.0)).is_err());
    assert!(read_with("exp", json!(NOW.0 + 1)).is_ok());
    assert!(read_with("exp", json!(NOW.0 + MAX_LIFETIME_SECS)).is_ok());
    assert!(read_with("exp", json!(NOW.0 + MAX_LIFETIME_SECS + 1)).is_err());
    assert!(read_with("exp", json!(u64::MAX)).is_err());
}

#[test]
fn an_assertion_that_says_when_it_was_made_is_good_for_five_minutes_from_then() {
    let made = |ago: u64, exp: u64| {
        let mut claims = claims();
        claims["iat"] = json!(NOW.0 - ago);
        claims["exp"] = json!(exp);
        read(HEADER, &claims.to_string())
    };
    let an_hour = NOW.0 + 3600;
    let good = made(10, an_hour).unwrap();
    assert_eq!(good.expires_at, NOW.plus_secs(MAX_LIFETIME_SECS - 10));
    assert!(made(MAX_LIFETIME_SECS - 1, an_hour).is_ok());
    assert!(made(MAX_LIFETIME_SECS, an_hour).is_err());
    assert!(made(0, u64::MAX).is_ok());
    assert_eq!(made(10, NOW.0 + 5).unwrap().expires_at, NOW.plus_secs(5));
}

#[test]
fn an_assertion_from_the_future_is_refused_but_for_the_leeway() {
    for name in ["nbf", "iat"] {
        assert!(read_with(name, json!(NOW.0 + 60)).is_ok());
        assert!(read_with(name, json!(NOW.0 + 61)).is_err());
        assert!(read_with(name, json!("now")).is_err());
    }
}

#[test]
fn an_identifier_that_is_too_long_to_keep_is_refused() {
    let identifier = |length: usize| json!("x".repeat(length));
    assert!(read_with("jti", identifier(MAX_IDENTIFIER_LENGTH)).is_ok());
    assert!(read_with("jti", identifier(MAX_IDENTIFIER_LENGTH + 1)).is_err());
}

#[test]
fn a_header_that_is_not_as_it_must_be_is_refused() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"EdDSA","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","typ":"dpop+jwt"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
        "{}",
        "",
    ] {
        assert!(read(header, &claims().to_string()).is_err(), "{header}");
    }
    let typed = r#"{"alg":"EdDSA","typ":"client-authentication+jwt"}"#;
    assert!(read(typed, &claims().to_string()).is_ok());
}

#[test]
fn another_key_does_not_verify() {
    let assertion = jws(HEADER, &claims().to_string(), &signer(ED25519_PRIVATE));
    for algorithm in [
        PopAlgorithm::EdDsa,
        PopAlgorithm::Es256,
        PopAlgorithm::Hs256,
    ] {
        let other = PopSigner::generate(algorithm).unwrap().verifying_key();
        assert!(verify(&assertion, &other, &AUDIENCES, NOW).is_err());
    }
}

// private_key_jwt only: a shared secret would let the AS speak for the client.
#[test]
fn a_symmetric_key_neither_makes_nor_verifies_an_assertion() {
    let symmetric = signer(SYMMETRIC);
    assert!(make("c1", ISSUER, &symmetric, NOW).is_err());
    let assertion = jws(r#"{"alg":"HS256"}"#, &claims().to_string(), &symmetric);
    assert!(verify(&assertion, &symmetric.verifying_key(), &AUDIENCES, NOW).is_err());
}

#[test]
fn what_is_no_assertion_or_too_long_is_refused() {
    let padded = |length: usize| {
        let mut claims = claims();
        claims["pad"] = json!("x".repeat(length));
        jws(HEADER, &claims.to_string(), &signer(ED25519_PRIVATE))
    };
    let base = padded(0).len();
    let fits = padded((MAX_LENGTH - base) * 3 / 4 - 3);
    assert!(verify(&fits, &key(), &AUDIENCES, NOW).is_ok());
    for text in ["", "a.b.c", "..", &padded(MAX_LENGTH)] {
        assert!(verify(text, &key(), &AUDIENCES, NOW).is_err());
        assert!(claimed_client_id(text).is_err());
    }
    let no_subject = format!("{}.{}.", base64url(HEADER), base64url("{}"));
    assert!(claimed_client_id(&no_subject).is_err());
}
