//! Tokens that end by `exp` or by `exi` (RFC 9200 §5.10.3), and `cnonce` (RFC 9200 §5.3.1), as JWT and as CWT.

use symbolon_ace_proto::{
    Claims, Confirmation, KeySet, Lifetimes, Scope, SigningKey, TokenError, UnixTime, Validation,
    jwt::SigningAlgorithm, token,
};

use crate::vectors::{AUDIENCE, ED25519_PUBLIC, ISSUER, SCOPE, jwk};

const NOW: UnixTime = UnixTime(1_800_000_000);

fn claims(expires_in_secs: Option<u64>) -> Claims {
    Claims {
        issuer: ISSUER.to_owned(),
        subject: Some("c1".to_owned()),
        client_id: None,
        audience: vec![AUDIENCE.to_owned()],
        expires_at: NOW.plus_secs(60),
        expires_in_secs,
        not_before: None,
        issued_at: None,
        token_identifier: Some("Af8".to_owned()),
        scope: Scope::from_base64url(SCOPE).unwrap(),
        confirmation: Confirmation::Key(Box::new(jwk(ED25519_PUBLIC))),
        client_nonce: Some(vec![0xff; 24]),
    }
}

/// In both forms, judged by what the receiver can judge.
fn both(claims: &Claims, lifetimes: Lifetimes, now: UnixTime) -> [Result<Claims, TokenError>; 2] {
    let signer = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let keys = KeySet::from_keys(vec![signer.to_public_jwk()]);
    let jwt = signer.sign(claims).unwrap().into_bytes();
    let cwt = signer.sign_cwt(claims).unwrap();
    [jwt, cwt].map(|token| {
        let validation = Validation {
            keys: &keys,
            issuer: ISSUER,
            audience: AUDIENCE,
            now,
            leeway_secs: 0,
            lifetimes,
        };
        token::verify(&token, &validation)
    })
}

#[test]
fn a_span_begins_when_the_token_is_first_seen() {
    for lifetimes in [Lifetimes::Spans, Lifetimes::DatesAndSpans] {
        for seen in both(&claims(Some(10)), lifetimes, NOW.plus_secs(1_000)) {
            let seen = seen.unwrap();
            assert_eq!(seen.expires_at, NOW.plus_secs(1_010));
            assert_eq!(seen.expires_in_secs, Some(10));
        }
    }
}

#[test]
fn who_cannot_judge_an_end_refuses_the_token() {
    for refused in both(&claims(Some(10)), Lifetimes::Dates, NOW) {
        assert_eq!(refused.unwrap_err(), TokenError::BadClaim("exp"));
    }
    for refused in both(&claims(None), Lifetimes::Spans, NOW) {
        assert_eq!(refused.unwrap_err(), TokenError::BadClaim("exi"));
    }
}

#[test]
fn a_span_of_nothing_is_over_at_once() {
    for refused in both(&claims(Some(0)), Lifetimes::Spans, NOW) {
        assert_eq!(refused.unwrap_err(), TokenError::Expired);
    }
}

#[test]
fn a_nonce_comes_back_as_it_was_given() {
    for seen in both(&claims(None), Lifetimes::Dates, NOW) {
        assert_eq!(seen.unwrap().client_nonce, Some(vec![0xff; 24]));
    }
}
