use serde_json::{Value, json};
use symbolon_ace_proto::{
    PopAlgorithm, PopKey, PopSigner, UnixTime,
    dpop::{DpopError, DpopProof, MAX_IDENTIFIER_LENGTH, MAX_LENGTH, WINDOW_SECS, make, verify},
    jwt::take_apart,
};

use crate::vectors::{ED25519_PRIVATE, ED25519_PUBLIC, P256_PUBLIC, SYMMETRIC, jwk, jws, signer};

const NOW: UnixTime = UnixTime(1_800_000_000);
const URI: &str = "https://as.example.com/token";

fn header() -> Value {
    json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk(ED25519_PUBLIC) })
}

fn claims() -> Value {
    json!({ "jti": "p1", "htm": "POST", "htu": URI, "iat": NOW.0 })
}

fn read(header: &Value, claims: &Value) -> Result<DpopProof, DpopError> {
    let signer = signer(ED25519_PRIVATE);
    let proof = jws(&header.to_string(), &claims.to_string(), &signer);
    verify(&proof, "POST", URI, NOW)
}

fn read_with(name: &str, value: Value) -> Result<DpopProof, DpopError> {
    let mut claims = claims();
    claims[name] = value;
    read(&header(), &claims)
}

fn read_header_with(name: &str, value: Value) -> Result<DpopProof, DpopError> {
    let mut header = header();
    header[name] = value;
    read(&header, &claims())
}

#[test]
fn what_is_made_is_verified() {
    for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
        let signer = PopSigner::generate(algorithm).unwrap();
        let proof = make("POST", URI, &signer, NOW).unwrap();
        let read = verify(&proof, "POST", URI, NOW).unwrap();
        assert_eq!(read.key, signer.verifying_key());
        assert_eq!(read.issued_at, NOW);

        let other = make("POST", URI, &signer, NOW).unwrap();
        let other = verify(&other, "POST", URI, NOW).unwrap();
        assert_ne!(other.identifier, read.identifier);
    }
}

// RFC 9449 §4.1: its example.
#[test]
fn the_proof_of_rfc_9449_is_verified() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let now = UnixTime(1_562_262_616);
    let read = verify(proof, "POST", "https://server.example.com/token", now).unwrap();
    assert_eq!(read.identifier, "-BwC3ESc6acc2lTc");
    assert_eq!(read.issued_at, now);
}

// RFC 9449 §4.2
#[test]
fn a_proof_says_what_rfc_9449_wants() {
    let uri = format!("{URI}?a=b#c");
    let proof = make("POST", &uri, &signer(ED25519_PRIVATE), NOW).unwrap();
    let (read_header, read_claims) = take_apart(&proof).unwrap();
    assert_eq!(read_header, header());
    let jti = read_claims["jti"].clone();
    let expected = json!({ "jti": jti, "htm": "POST", "htu": URI, "iat": NOW.0 });
    assert_eq!(read_claims, expected);
}

// RFC 9449 §4.3 points 4 to 7
#[test]
fn a_header_that_is_not_as_it_must_be_is_refused() {
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!("at+jwt")),
        ("typ", json!(null)),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES256")),
        ("alg", json!("RS256")),
        ("crit", json!(["exp"])),
        ("jwk", json!(null)),
        ("jwk", json!({})),
        ("jwk", json!("key")),
        ("jwk", json!(jwk(P256_PUBLIC))),
        ("jwk", json!(jwk(SYMMETRIC))),
        // RFC 9449 §4.2: MUST NOT contain a private key.
        ("jwk", json!(jwk(ED25519_PRIVATE))),
    ] {
        assert!(
            read_header_with(name, value.clone()).is_err(),
            "{name} {value}"
        );
    }
    for name in ["typ", "alg", "jwk"] {
        let mut missing = header();
        missing.as_object_mut().unwrap().remove(name);
        assert!(read(&missing, &claims()).is_err(), "{name}");
    }
    assert!(read_header_with("kid", json!("ignored")).is_ok());
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let other = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let proof = jws(&header().to_string(), &claims().to_string(), &other);
    assert!(verify(&proof, "POST", URI, NOW).is_err());
}

#[test]
fn a_symmetric_key_neither_makes_nor_verifies_a_proof() {
    let symmetric = signer(SYMMETRIC);
    assert!(make("POST", URI, &symmetric, NOW).is_err());
    let header = json!({ "typ": "dpop+jwt", "alg": "HS256", "jwk": jwk(SYMMETRIC) });
    let proof = jws(&header.to_string(), &claims().to_string(), &symmetric);
    assert!(verify(&proof, "POST", URI, NOW).is_err());
}

#[test]
fn a_claim_that_is_missing_or_malformed_is_refused() {
    for name in ["jti", "htm", "htu", "iat"] {
        let mut missing = claims();
        missing.as_object_mut().unwrap().remove(name);
        assert!(read(&header(), &missing).is_err(), "{name}");
        for wrong in [json!(null), json!({}), json!(true), json!(""), json!([])] {
            assert!(read_with(name, wrong.clone()).is_err(), "{name} {wrong}");
        }
    }
}

// RFC 9449 §4.3 point 8
#[test]
fn a_proof_for_another_method_is_refused() {
    assert!(read_with("htm", json!("GET")).is_err());
    assert!(read_with("htm", json!("post")).is_err());
}

// RFC 9449 §4.3 point 9
#[test]
fn a_proof_is_for_one_uri_however_it_is_written() {
    for same in [
        URI,
        "https://as.example.com:443/token",
        "https://as.example.com:/token",
        "HTTPS://AS.Example.COM/token",
        "https://as.example.com/token?a=b",
        "https://as.example.com/token#a?b",
    ] {
        assert!(read_with("htu", json!(same)).is_ok(), "{same}");
    }
    for other in [
        "http://as.example.com/token",
        "http://as.example.com:443/token",
        "https://as.example.com:8443/token",
        "https://as.example.com/Token",
        "https://as.example.com/token/",
        "https://as.example.com",
        "https://as.example.com.evil.example/token",
        "https://evil.example/https://as.example.com/token",
        "https://as.example.com@evil.example/token",
        "https://x@as.example.com/token",
        "https:///token",
        "as.example.com/token",
        "/token",
        "ftp://as.example.com/token",
        "?https://as.example.com/token",
    ] {
        assert!(read_with("htu", json!(other)).is_err(), "{other}");
    }
}

#[test]
fn a_uri_with_a_user_in_it_is_refused_on_either_side() {
    let uri = "https://user@as.example.com/token";
    let proof = make("POST", uri, &signer(ED25519_PRIVATE), NOW).unwrap();
    assert!(verify(&proof, "POST", uri, NOW).is_err());
}

#[test]
fn an_address_of_ip_version_6_keeps_its_colons() {
    let signer = signer(ED25519_PRIVATE);
    let proof = make("POST", "https://[2001:db8::1]/", &signer, NOW).unwrap();
    assert!(verify(&proof, "POST", "https://[2001:DB8::1]:443", NOW).is_ok());
    assert!(verify(&proof, "POST", "https://[2001:db8::1]:8443/", NOW).is_err());
    assert!(verify(&proof, "POST", "https://[2001:db8::2]/", NOW).is_err());
}

// RFC 9449 §4.3 point 11
#[test]
fn a_proof_that_is_too_old_or_from_the_future_is_refused() {
    for iat in [NOW.0 - WINDOW_SECS, NOW.0 + WINDOW_SECS] {
        assert!(read_with("iat", json!(iat)).is_ok());
    }
    for iat in [
        0,
        NOW.0 - WINDOW_SECS - 1,
        NOW.0 + WINDOW_SECS + 1,
        u64::MAX,
    ] {
        assert!(read_with("iat", json!(iat)).is_err(), "{iat}");
    }
}

#[test]
fn an_identifier_that_is_too_long_to_keep_is_refused() {
    let identifier = |length: usize| json!("x".repeat(length));
    assert!(read_with("jti", identifier(MAX_IDENTIFIER_LENGTH)).is_ok());
    assert!(read_with("jti", identifier(MAX_IDENTIFIER_LENGTH + 1)).is_err());
}

#[test]
fn what_is_no_proof_or_too_long_is_refused() {
    let mut long = claims();
    long["pad"] = json!("x".repeat(MAX_LENGTH));
    assert!(read(&header(), &long).is_err());
    for text in ["", "a.b.c", "..", "é"] {
        assert!(verify(text, "POST", URI, NOW).is_err());
    }
}

#[test]
fn the_key_of_a_proof_is_the_one_in_its_header() {
    let key = read(&header(), &claims()).unwrap().key;
    assert_eq!(key, PopKey::from_jwk(&jwk(ED25519_PUBLIC)).unwrap());
}
