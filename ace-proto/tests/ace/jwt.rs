use aws_lc_rs::hmac;
use serde_json::{Value, json};
use symbolon_ace_proto::{
    Claims, Confirmation, KeySet, PopError, PopKey, PopSigner, Scope, ScopeError, SigningKey,
    TokenError, UnixTime, Validation,
    jwe::ContentKeys,
    jwt::{MAX_TOKEN_LENGTH, SigningAlgorithm, take_apart, verify},
};

use crate::vectors::{
    AUDIENCE, ED25519_PRIVATE, ED25519_PUBLIC, ISSUER, P256_PRIVATE, P256_PUBLIC, SCOPE, SYMMETRIC,
    base64url, from_base64url, jwk, jws, signer,
};

const NOW: UnixTime = UnixTime(1_800_000_000);

// Made with Python's joserfc 1.8: fractions in exp and iat, a list for aud, a claim that we do not know.
const EDDSA_TOKEN: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2FzLmV4YW1wbGUuY29tIiwiYXVkIjpbIm1xdHRzOi8vb3RoZXIuZXhhbXBsZS5jb20iLCJtcXR0czovL2Jyb2tlci5leGFtcGxlLmNvbSJdLCJleHAiOjQxMDI0NDQ4MDAuNSwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAuMjUsImp0aSI6InQyIiwic3ViIjoiYzEiLCJjbGllbnRfaWQiOiJjMSIsInNjb3BlIjoiVzFzaWRHOXdhV014SWl4YkluQjFZaUlzSW5OMVlpSmRYU3hiSW5SdmNHbGpNaThqSWl4YkluQjFZaUpkWFN4Yklpc3ZkRzl3YVdNeklpeGJJbk4xWWlKZFhWMCIsImNuZiI6eyJqd2siOnsia3R5IjoiT0tQIiwiY3J2IjoiRWQyNTUxOSIsIngiOiIxMXFZQVlLeENyZlZTXzdUeVdRSE9nN2hjdlBhcGlNbHJ3SWFhUGNIVVJvIn19LCJ1bmtub3duIjp7ImEiOlsxLG51bGxdfX0.5sKHxzxf0M4Jl0cvWy2bl1wzPBTtQByDY-lHZsA501gIvx3t90xIi0MZaFRFFkpXHhBO5zYKLvpEM2YAZ7sDBw";
const ES256_TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImVjIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2FzLmV4YW1wbGUuY29tIiwiYXVkIjpbIm1xdHRzOi8vb3RoZXIuZXhhbXBsZS5jb20iLCJtcXR0czovL2Jyb2tlci5leGFtcGxlLmNvbSJdLCJleHAiOjQxMDI0NDQ4MDAuNSwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAuMjUsImp0aSI6InQyIiwic3ViIjoiYzEiLCJjbGllbnRfaWQiOiJjMSIsInNjb3BlIjoiVzFzaWRHOXdhV014SWl4YkluQjFZaUlzSW5OMVlpSmRYU3hiSW5SdmNHbGpNaThqSWl4YkluQjFZaUpkWFN4Yklpc3ZkRzl3YVdNeklpeGJJbk4xWWlKZFhWMCIsImNuZiI6eyJqd2siOnsia3R5IjoiT0tQIiwiY3J2IjoiRWQyNTUxOSIsIngiOiIxMXFZQVlLeENyZlZTXzdUeVdRSE9nN2hjdlBhcGlNbHJ3SWFhUGNIVVJvIn19LCJ1bmtub3duIjp7ImEiOlsxLG51bGxdfX0.ndseDiK-6OH0Xg7JiYJ7_ukxzwTyPwkVfXyO3jgzdyMH5c_WkQzJdG7AOT5mTMIM2sqIlC_i83QS2ZWYo_qJhg";
/// Under the HS256 key 00..1f.
pub(crate) const HS256_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImFzMSJ9.eyJpc3MiOiJodHRwczovL2FzLmV4YW1wbGUuY29tIiwic3ViIjoiYzEiLCJhdWQiOiJtcXR0czovL2Jyb2tlci5leGFtcGxlLmNvbSIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzAwMDAwMDAwLCJqdGkiOiJ0MSIsInNjb3BlIjoiVzFzaWRHOXdhV014SWl4YkluQjFZaUlzSW5OMVlpSmRYU3hiSW5SdmNHbGpNaThqSWl4YkluQjFZaUpkWFN4Yklpc3ZkRzl3YVdNeklpeGJJbk4xWWlKZFhWMCIsImNuZiI6eyJqd2siOnsia3R5IjoiT0tQIiwiY3J2IjoiRWQyNTUxOSIsIngiOiIxMXFZQVlLeENyZlZTXzdUeVdRSE9nN2hjdlBhcGlNbHJ3SWFhUGNIVVJvIn19fQ.4t3dIiSfCyd-wt175dHKefX-tle_5NM3l0mZJ_k97Zc";

fn keys() -> KeySet {
    KeySet::from_keys(vec![
        jwk(ED25519_PUBLIC).with_kid("ed"),
        jwk(P256_PUBLIC).with_kid("ec"),
    ])
}

fn validation(keys: &KeySet) -> Validation<'_> {
    Validation {
        keys,
        issuer: ISSUER,
        audience: AUDIENCE,
        now: NOW,
        leeway_secs: 30,
        lifetimes: symbolon_ace_proto::Lifetimes::default(),
    }
}

fn claims() -> Claims {
    Claims {
        issuer: ISSUER.to_owned(),
        subject: Some("c1".to_owned()),
        client_id: Some("c1".to_owned()),
        audience: vec![AUDIENCE.to_owned()],
        expires_at: NOW.plus_secs(60),
        not_before: Some(NOW),
        issued_at: Some(NOW),
        token_identifier: Some("t1".to_owned()),
        scope: Scope::from_base64url(SCOPE).unwrap(),
        expires_in_secs: None,
        client_nonce: None,
        confirmation: Confirmation::Key(Box::new(jwk(ED25519_PUBLIC))),
    }
}

/// The claims as JSON, to be changed.
fn claims_json() -> Value {
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": NOW.0 + 60,
        "scope": SCOPE,
        "cnf": { "jwk": jwk(ED25519_PUBLIC) },
    })
}

fn refusal(token: &str) -> Option<TokenError> {
    verify(token, &validation(&keys())).err()
}

/// Verifies these claims under a good signature.
fn refusal_of_claims(claims: &Value) -> Option<TokenError> {
    refusal_of_claims_text(&claims.to_string())
}

fn refusal_of_claims_text(claims: &str) -> Option<TokenError> {
    let header = r#"{"alg":"EdDSA","kid":"ed"}"#;
    refusal(&jws(header, claims, &signer(ED25519_PRIVATE)))
}

/// Verifies good claims under this header and a good signature.
fn refusal_of_header(header: &str) -> Option<TokenError> {
    let claims = claims_json().to_string();
    refusal(&jws(header, &claims, &signer(ED25519_PRIVATE)))
}

#[test]
fn what_is_signed_is_verified() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let token = key.sign(&claims()).unwrap();
        let keys = KeySet::from_keys(vec![key.to_public_jwk()]);
        let read = verify(&token, &validation(&keys)).unwrap();
        assert_eq!(json!(read), json!(claims()));

        let (header, _) = take_apart(&token).unwrap();
        assert_eq!(header["kid"], key.kid());
        assert_eq!(header["typ"], "at+jwt");
    }
}

#[test]
fn a_token_with_the_fewest_claims_is_accepted() {
    assert_eq!(refusal_of_claims(&claims_json()), None);
}

#[test]
fn what_another_implementation_signs_is_verified() {
    for token in [EDDSA_TOKEN, ES256_TOKEN] {
        let claims = verify(token, &validation(&keys())).unwrap();
        assert_eq!(claims.issuer, ISSUER);
        assert_eq!(claims.subject.as_deref(), Some("c1"));
        assert_eq!(claims.client_id.as_deref(), Some("c1"));
        assert_eq!(claims.audience, ["mqtts://other.example.com", AUDIENCE]);
        assert_eq!(claims.expires_at, UnixTime(4_102_444_800));
        assert_eq!(claims.not_before, Some(UnixTime(1_700_000_000)));
        assert_eq!(claims.issued_at, Some(UnixTime(1_700_000_000)));
        assert_eq!(claims.token_identifier.as_deref(), Some("t2"));
        assert_eq!(claims.scope.to_base64url(), SCOPE);
        let key = claims.confirmation.resolve(&ContentKeys::default());
        assert_eq!(key, PopKey::from_jwk(&jwk(ED25519_PUBLIC)));
    }
}

#[test]
fn a_key_comes_back_from_its_jwk() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let again = SigningKey::from_jwk(&key.to_jwk()).unwrap();
        assert_eq!(again.kid(), key.kid());
        let token = again.sign(&claims()).unwrap();
        let keys = KeySet::from_keys(vec![key.to_public_jwk()]);
        assert!(verify(&token, &validation(&keys)).is_ok());
    }
    // RFC 8037 Appendix A.3
    let unnamed = SigningKey::from_jwk(&jwk(ED25519_PRIVATE)).unwrap();
    assert_eq!(unnamed.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let named = SigningKey::from_jwk(&jwk(ED25519_PRIVATE).with_kid("as1")).unwrap();
    assert_eq!(named.kid(), "as1");
}

#[test]
fn a_server_does_not_sign_with_a_symmetric_or_public_key() {
    for json in [SYMMETRIC, ED25519_PUBLIC, P256_PUBLIC] {
        let refused = SigningKey::from_jwk(&jwk(json)).map(|_| ());
        assert_eq!(refused, Err(PopError::UnsupportedKey));
    }
}

// RFC 7800 §3.3, RFC 9431 §2.1: a symmetric key is encrypted.
#[test]
fn a_secret_key_is_neither_signed_nor_accepted_in_the_open() {
    let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    for json in [SYMMETRIC, ED25519_PRIVATE] {
        let mut open = claims();
        open.confirmation = Confirmation::Key(Box::new(jwk(json)));
        assert_eq!(key.sign(&open), Err(PopError::UnsupportedKey));

        let mut open = claims_json();
        open["cnf"] = json!({ "jwk": jwk(json) });
        assert_eq!(refusal_of_claims(&open), Some(TokenError::BadClaim("cnf")));
    }
}

#[test]
fn an_encrypted_or_named_key_is_accepted() {
    for cnf in [
        json!({ "jwe": "a..b.c.d" }),
        json!({ "kid": "PQJ4M_xiZ84" }),
    ] {
        let mut claims = claims_json();
        claims["cnf"] = cnf;
        assert_eq!(refusal_of_claims(&claims), None);
    }
}

// --- the protection ---

// RFC 8725 §3.1 and §3.2, RFC 9431 §2.2.5: `none` fails.
#[test]
fn no_algorithm_is_no_protection() {
    let claims = claims_json().to_string();
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": alg, "kid": "ed" }).to_string();
        let unsigned = format!("{}.{}.", base64url(&header), base64url(&claims));
        assert_eq!(refusal(&unsigned), Some(TokenError::AlgorithmNotAllowed));
        let signed = jws(&header, &claims, &signer(ED25519_PRIVATE));
        assert_eq!(refusal(&signed), Some(TokenError::AlgorithmNotAllowed));
    }
}

// RFC 8725 §2.1: a public key taken for the secret of a MAC.
#[test]
fn a_mac_under_the_public_key_is_refused() {
    let public = from_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    for secret in [public.as_slice(), ED25519_PUBLIC.as_bytes()] {
        let header = base64url(r#"{"alg":"HS256","kid":"ed"}"#);
        let input = format!("{header}.{}", base64url(claims_json().to_string()));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        let token = format!("{input}.{}", base64url(mac));
        assert_eq!(refusal(&token), Some(TokenError::AlgorithmNotAllowed));
    }
}

// RFC 7515 Appendix A.1, and the project's own vector: both HS256.
#[test]
fn a_mac_is_refused_where_no_key_for_one_is_shared() {
    for token in [
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        HS256_TOKEN,
    ] {
        assert_eq!(refusal(token), Some(TokenError::AlgorithmNotAllowed));
    }
}

#[test]
fn an_algorithm_that_we_do_not_do_is_refused() {
    for alg in ["RS256", "ES384", "HS512", "PS256", "eddsa", "Ed448"] {
        let header = json!({ "alg": alg, "kid": "ed" }).to_string();
        let expected = Some(TokenError::AlgorithmNotAllowed);
        assert_eq!(refusal_of_header(&header), expected, "{alg}");
    }
}

// RFC 9864 names the curve in the algorithm.
#[test]
fn ed25519_is_another_name_for_eddsa() {
    assert_eq!(refusal_of_header(r#"{"alg":"Ed25519","kid":"ed"}"#), None);
}

// RFC 8725 §3.1: one key, one algorithm.
#[test]
fn a_token_under_the_kid_of_a_key_for_another_algorithm_is_refused() {
    let claims = claims_json().to_string();
    let expected = Some(TokenError::AlgorithmNotAllowed);
    let token = jws(
        r#"{"alg":"ES256","kid":"ed"}"#,
        &claims,
        &signer(P256_PRIVATE),
    );
    assert_eq!(refusal(&token), expected);
    assert_eq!(refusal_of_header(r#"{"alg":"EdDSA","kid":"ec"}"#), expected);
    // The algorithm of the kid, the signature of the other.
    let token = jws(
        r#"{"alg":"EdDSA","kid":"ed"}"#,
        &claims,
        &signer(P256_PRIVATE),
    );
    assert_eq!(refusal(&token), Some(TokenError::BadSignature));
}

#[test]
fn an_unknown_kid_is_an_unknown_key() {
    let expected = Some(TokenError::UnknownKey);
    for kid in ["", "ED", "ed ", "other", "../../etc/passwd", "' OR 1=1"] {
        let header = json!({ "alg": "EdDSA", "kid": kid }).to_string();
        assert_eq!(refusal_of_header(&header), expected, "{kid}");
    }
}

#[test]
fn without_a_kid_the_only_key_of_the_algorithm_counts() {
    assert_eq!(refusal_of_header(r#"{"alg":"EdDSA"}"#), None);
    let two = KeySet::from_keys(vec![
        jwk(ED25519_PUBLIC).with_kid("one"),
        jwk(ED25519_PUBLIC).with_kid("two"),
    ]);
    let token = jws(
        r#"{"alg":"EdDSA"}"#,
        &claims_json().to_string(),
        &signer(ED25519_PRIVATE),
    );
    for keys in [two, KeySet::default()] {
        let refused = verify(&token, &validation(&keys)).err();
        assert_eq!(refused, Some(TokenError::UnknownKey));
    }
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let other = PopSigner::generate(symbolon_ace_proto::PopAlgorithm::EdDsa).unwrap();
    let token = jws(
        r#"{"alg":"EdDSA","kid":"ed"}"#,
        &claims_json().to_string(),
        &other,
    );
    assert_eq!(refusal(&token), Some(TokenError::BadSignature));
}

// RFC 7515 §4.1.11
#[test]
fn a_critical_header_is_refused_whatever_it_holds() {
    for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", "1", r#"{"a":1}"#] {
        let header = format!(r#"{{"alg":"EdDSA","kid":"ed","crit":{crit},"b64":false,"exp":1}}"#);
        let expected = Some(TokenError::UnknownCriticalHeader);
        assert_eq!(refusal_of_header(&header), expected, "{crit}");
    }
}

// RFC 8725 §3.10: nothing is fetched, and no key from the token is used.
#[test]
fn keys_that_the_header_brings_along_are_not_looked_at() {
    let extra = json!({
        "jku": "https://evil.example.com/jwks",
        "x5u": "https://evil.example.com/cert",
        "x5c": ["junk"],
        "jwk": { "kty": "nonsense" },
    });
    let mut header = extra.clone();
    header["alg"] = json!("EdDSA");
    header["kid"] = json!("ed");
    assert_eq!(refusal_of_header(&header.to_string()), None);

    let attacker = PopSigner::generate(symbolon_ace_proto::PopAlgorithm::EdDsa).unwrap();
    header["jwk"] = json!(attacker.verifying_key().to_jwk());
    let claims = claims_json().to_string();
    let token = jws(&header.to_string(), &claims, &attacker);
    assert_eq!(refusal(&token), Some(TokenError::BadSignature));
    header["kid"] = json!("mine");
    let token = jws(&header.to_string(), &claims, &attacker);
    assert_eq!(refusal(&token), Some(TokenError::UnknownKey));
}

// RFC 8725 §3.11
#[test]
fn a_token_of_another_type_is_refused() {
    for typ in ["dpop+jwt", "logout+jwt", "", "JWT2", "application/"] {
        let header = json!({ "alg": "EdDSA", "kid": "ed", "typ": typ }).to_string();
        let expected = Some(TokenError::WrongType);
        assert_eq!(refusal_of_header(&header), expected, "{typ}");
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt"] {
        let header = json!({ "alg": "EdDSA", "kid": "ed", "typ": typ }).to_string();
        assert_eq!(refusal_of_header(&header), None, "{typ}");
    }
}

#[test]
fn a_malformed_header_is_no_token() {
    for header in [
        "",
        "{}",
        "[]",
        r#"["EdDSA","ed"]"#,
        "null",
        r#"{"kid":"ed"}"#,
        r#"{"alg":null,"kid":"ed"}"#,
        r#"{"alg":1,"kid":"ed"}"#,
        r#"{"alg":["EdDSA"],"kid":"ed"}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#"{"alg":"EdDSA","kid":null}"#,
        r#"{"alg":"EdDSA","kid":"ed","typ":1}"#,
        r#"{"alg":"EdDSA","kid":"ed""#,
        r#"{"alg":"EdDSA","kid":"ed"}{}"#,
        // RFC 7515 §4: names are unique.
        r#"{"alg":"none","alg":"EdDSA","kid":"ed"}"#,
        r#"{"alg":"EdDSA","kid":"ec","kid":"ed"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"EdDSA","kid":"ed"}"#,
        r#"{"alg":"EdDSA","kid":"ed","x":1,"x":2}"#,
    ] {
        assert_eq!(
            refusal_of_header(header),
            Some(TokenError::NotAToken),
            "{header}"
        );
    }
}

#[test]
fn what_is_not_three_parts_of_base64url_is_no_token() {
    let [header, payload, signature]: [&str; 3] = EDDSA_TOKEN
        .split('.')
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "abc.def.ghi".to_owned(),
        format!("{header}.{payload}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}."),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}..{payload}.{signature}"),
        format!(" {EDDSA_TOKEN}"),
        format!("{EDDSA_TOKEN} "),
        format!("{EDDSA_TOKEN}\n"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.{payload}.é"),
        // a JWE
        "eyJhbGciOiJkaXIifQ..a.b.c".to_owned(),
    ] {
        assert_eq!(refusal(&token), Some(TokenError::NotAToken), "{token}");
    }
    // Three parts, but nothing is no signature.
    let unsigned = format!("{header}.{payload}.");
    assert_eq!(refusal(&unsigned), Some(TokenError::BadSignature));
}

#[test]
fn a_truncated_or_changed_token_is_refused() {
    for token in [EDDSA_TOKEN, ES256_TOKEN] {
        for at in 0..token.len() {
            assert!(refusal(&token[..at]).is_some());
            let mut changed = token.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(
                refusal(&String::from_utf8(changed).unwrap()).is_some(),
                "{at}"
            );
        }
    }
}

#[test]
fn a_token_of_65535_bytes_is_read_and_a_longer_one_is_not() {
    let padded = |length: usize| {
        let mut claims = claims_json();
        claims["pad"] = json!("x".repeat(length));
        let header = r#"{"alg":"EdDSA","kid":"ed"}"#;
        jws(header, &claims.to_string(), &signer(ED25519_PRIVATE))
    };
    let base = padded(0).len();
    let longest = padded((MAX_TOKEN_LENGTH - base) * 3 / 4);
    assert!(longest.len() <= MAX_TOKEN_LENGTH && longest.len() > MAX_TOKEN_LENGTH - 4);
    assert_eq!(refusal(&longest), None);
    let too_long = padded((MAX_TOKEN_LENGTH - base) * 3 / 4 + 6);
    assert!(too_long.len() > MAX_TOKEN_LENGTH);
    assert_eq!(refusal(&too_long), Some(TokenError::NotAToken));
}

// --- the claims ---

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims_json();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims_json();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn a_claim_that_must_be_there_is_missed_by_name() {
    for name in ["iss", "exp", "aud", "scope", "cnf"] {
        let expected = Some(TokenError::BadClaim(name));
        assert_eq!(refusal_of_claims(&without(name)), expected);
    }
}

#[test]
fn a_claim_of_the_wrong_type_is_named() {
    for (name, values) in [
        ("iss", vec![json!(1), json!([ISSUER]), json!(null)]),
        (
            "exp",
            vec![
                json!("1900000000"),
                json!(null),
                json!(-1),
                json!([1]),
                json!(true),
            ],
        ),
        ("nbf", vec![json!("1"), json!(null), json!(-1.5)]),
        ("iat", vec![json!("1"), json!(null), json!({})]),
        (
            "aud",
            vec![
                json!(1),
                json!(null),
                json!({}),
                json!([1]),
                json!([AUDIENCE, null]),
            ],
        ),
        ("sub", vec![json!(1), json!(null), json!(["c1"])]),
        ("client_id", vec![json!(1), json!(null)]),
        ("jti", vec![json!(1), json!(null)]),
        (
            "scope",
            vec![
                json!([["topic1", ["pub"]]]),
                json!(null),
                json!(1),
                json!({}),
            ],
        ),
        (
            "cnf",
            vec![
                json!("kid"),
                json!(null),
                json!([]),
                json!({}),
                json!({ "jwk": 1 }),
            ],
        ),
        (
            "cnf",
            vec![
                json!({ "jwk": jwk(ED25519_PUBLIC), "kid": "a" }),
                json!({ "jku": "https://a" }),
            ],
        ),
    ] {
        for value in values {
            let expected = Some(TokenError::BadClaim(name));
            assert_eq!(
                refusal_of_claims(&with(name, value.clone())),
                expected,
                "{value}"
            );
        }
    }
}

// RFC 7519 §4
#[test]
fn claims_that_are_no_object_with_unique_names_are_no_token() {
    let twice = |name: &str| {
        let text = claims_json().to_string();
        text.replacen('{', &format!(r#"{{"{name}":"x","#), 1)
    };
    for claims in [
        String::new(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"text\"".to_owned(),
        "{".to_owned(),
        format!("{}x", claims_json()),
        twice("iss"),
        twice("exp"),
        twice("cnf"),
        twice("unknown").replacen('{', r#"{"unknown":1,"#, 1),
    ] {
        assert_eq!(
            refusal_of_claims_text(&claims),
            Some(TokenError::NotAToken),
            "{claims}"
        );
    }
}

#[test]
fn nested_junk_is_refused_without_harm() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let text = claims_json().to_string();
    for name in ["cnf", "scope", "unknown"] {
        let claims = text.replacen('{', &format!(r#"{{"{name}2":{deep},"#), 1);
        // Either is right: what we do not know we need not read.
        assert!(matches!(
            refusal_of_claims_text(&claims),
            None | Some(TokenError::NotAToken)
        ));
    }
    let mut cnf = without("cnf").to_string();
    cnf.insert_str(1, &format!(r#""cnf":{deep},"#));
    let refused = refusal_of_claims_text(&cnf);
    assert!(matches!(
        refused,
        Some(TokenError::NotAToken | TokenError::BadClaim("cnf"))
    ));
}

// RFC 9200 §5.10.1.1
#[test]
fn a_token_from_another_issuer_is_refused() {
    for issuer in [
        "",
        "https://as.example.com/",
        "https://AS.example.com",
        "https://as.example",
    ] {
        let refused = refusal_of_claims(&with("iss", json!(issuer)));
        assert_eq!(refused, Some(TokenError::WrongIssuer), "{issuer}");
    }
}

// RFC 7519 §4.1.4: at `exp` itself the token is over.
#[test]
fn a_token_that_expires_now_has_expired() {
    let expired = Some(TokenError::Expired);
    assert_eq!(refusal_of_claims(&with("exp", json!(NOW.0))), expired);
    assert_eq!(refusal_of_claims(&with("exp", json!(NOW.0 - 1))), expired);
    assert_eq!(refusal_of_claims(&with("exp", json!(0))), expired);
    assert_eq!(refusal_of_claims(&with("exp", json!(NOW.0 + 1))), None);
    // The fraction is cut off, which is the stricter way.
    let text = claims_json().to_string();
    let fraction = |secs: u64| text.replace(&(NOW.0 + 60).to_string(), &format!("{secs}.9"));
    assert_eq!(refusal_of_claims_text(&fraction(NOW.0)), expired);
    assert_eq!(refusal_of_claims_text(&fraction(NOW.0 + 1)), None);
}

// RFC 7519 §4.1.5
#[test]
fn a_token_is_not_valid_before_its_time_but_for_the_leeway() {
    assert_eq!(refusal_of_claims(&with("nbf", json!(NOW.0 + 30))), None);
    let refused = refusal_of_claims(&with("nbf", json!(NOW.0 + 31)));
    assert_eq!(refused, Some(TokenError::NotYetValid));
    let refused = refusal_of_claims(&with("nbf", json!(u64::MAX)));
    assert_eq!(refused, Some(TokenError::NotYetValid));
}

// RFC 7519 §4.1.3
#[test]
fn one_audience_of_a_list_must_be_ours() {
    let wrong = Some(TokenError::WrongAudience);
    assert_eq!(refusal_of_claims(&with("aud", json!([AUDIENCE]))), None);
    assert_eq!(
        refusal_of_claims(&with("aud", json!(["x", AUDIENCE]))),
        None
    );
    assert_eq!(refusal_of_claims(&with("aud", json!(["x", "y"]))), wrong);
    assert_eq!(refusal_of_claims(&with("aud", json!([]))), wrong);
    assert_eq!(
        refusal_of_claims(&with("aud", json!("mqtts://broker"))),
        wrong
    );
}

#[test]
fn a_malformed_scope_is_refused() {
    for (scope, error) in [
        (json!("pub sub"), ScopeError::Base64),
        (json!(""), ScopeError::Structure),
        (json!(base64url("{}")), ScopeError::Structure),
        (
            json!(base64url(r#"[["a",["read"]]]"#)),
            ScopeError::Permission,
        ),
    ] {
        let refused = refusal_of_claims(&with("scope", scope));
        assert_eq!(refused, Some(TokenError::Scope(error)));
    }
}

#[test]
fn an_empty_scope_is_a_scope() {
    assert_eq!(refusal_of_claims(&with("scope", json!("W10"))), None);
}

// RFC 9200 §5.10.1.1: protection, then iss, exp, aud, scope.
#[test]
fn the_checks_are_made_in_the_order_of_rfc_9200() {
    let mut claims = json!({ "iss": "x", "exp": 1, "aud": "x", "scope": "!", "cnf": {} });
    let header = r#"{"alg":"EdDSA","kid":"ed"}"#;
    let other = PopSigner::generate(symbolon_ace_proto::PopAlgorithm::EdDsa).unwrap();
    let forged = jws(header, &claims.to_string(), &other);
    assert_eq!(refusal(&forged), Some(TokenError::BadSignature));
    assert_eq!(refusal_of_claims(&claims), Some(TokenError::WrongIssuer));
    claims["iss"] = json!(ISSUER);
    assert_eq!(refusal_of_claims(&claims), Some(TokenError::Expired));
    claims["exp"] = json!(NOW.0 + 1);
    assert_eq!(refusal_of_claims(&claims), Some(TokenError::WrongAudience));
    claims["aud"] = json!(AUDIENCE);
    let base64 = TokenError::Scope(ScopeError::Base64);
    assert_eq!(refusal_of_claims(&claims), Some(base64));
    claims["scope"] = json!(SCOPE);
    assert_eq!(
        refusal_of_claims(&claims),
        Some(TokenError::BadClaim("cnf"))
    );
}

// --- for people ---

#[test]
fn a_token_is_shown_whatever_its_signature() {
    let (header, claims) = take_apart(HS256_TOKEN).unwrap();
    assert_eq!(
        header,
        json!({ "alg": "HS256", "typ": "at+jwt", "kid": "as1" })
    );
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["scope"], SCOPE);
    assert_eq!(claims["cnf"]["jwk"], json!(jwk(ED25519_PUBLIC)));
}

#[test]
fn what_is_no_token_is_not_shown() {
    for text in [
        "",
        "abc.def.ghi",
        "e30.e30",
        "e30.W10.",
        "W10.e30.",
        "e30.e30.!",
    ] {
        assert_eq!(take_apart(text), Err(TokenError::NotAToken), "{text}");
    }
    assert!(take_apart("e30.e30.").is_ok());
}

#[test]
fn debug_of_a_signing_key_shows_no_secret() {
    let key = SigningKey::from_jwk(&jwk(ED25519_PRIVATE)).unwrap();
    let shown = format!("{key:?} {:?}", key.to_jwk());
    assert!(!shown.contains("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"));
    assert!(!shown.contains("9d61"));
}
