//! Whatever a peer sends, no parser panics.

use std::hint::black_box;

use proptest::prelude::*;
use symbolon_ace_proto::{
    AsHint, ChallengeResponse, Confirmation, ConnectData, ErrorResponse, Jwk, KeySet, PopKey,
    PopSigner, Scope, SigningKey, SymmetricKey, TokenRequest, TokenResponse, UnixTime, Validation,
    client_assertion, dpop,
    jwe::{ContentKey, ContentKeys},
    jwt,
};

use crate::vectors::{
    AUDIENCE, ED25519_PRIVATE, ED25519_PUBLIC, ISSUER, SCOPE, base64url, jwk, jws, signer,
};

/// JSON and what is nearly JSON, with the names that the parsers know.
fn nearly_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just(format!("\"{ISSUER}\"")),
        Just(format!("\"{AUDIENCE}\"")),
        Just(format!("\"{SCOPE}\"")),
        Just(ED25519_PUBLIC.to_owned()),
        Just(ED25519_PRIVATE.to_owned()),
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
        any::<String>(),
    ];
    let name = prop::sample::select(vec![
        "alg",
        "kid",
        "typ",
        "crit",
        "jwk",
        "kty",
        "crv",
        "x",
        "y",
        "d",
        "k",
        "use",
        "key_ops",
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "scope",
        "cnf",
        "jwe",
        "jku",
        "htm",
        "htu",
        "keys",
        "enc",
        "zip",
        "AS",
        "audience",
        "access_token",
        "expires_in",
        "error",
        "req_cnf",
        "ace_profile",
        "grant_type",
        "error_description",
        "client_id",
        "other",
    ]);
    leaf.prop_recursive(4, 32, 8, move |inner| {
        let member = (name.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..8).prop_map(|all| {
                let all: Vec<String> = all.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
                format!("{{{}}}", all.join(","))
            }),
        ]
    })
}

fn read_everything(text: &str, bytes: &[u8]) {
    let keys = KeySet::from_keys(vec![jwk(ED25519_PUBLIC)]);
    let validation = Validation {
        keys: &keys,
        issuer: ISSUER,
        audience: AUDIENCE,
        now: UnixTime(1),
        leeway_secs: u64::MAX,
        lifetimes: symbolon_ace_proto::Lifetimes::default(),
    };
    let content_keys = ContentKeys(vec![ContentKey {
        kid: "k".to_owned(),
        key: SymmetricKey::from_bytes(&[0; 32]),
    }]);
    let key = signer(ED25519_PRIVATE).verifying_key();
    let now = UnixTime(u64::MAX);

    black_box([
        jwt::verify(text, &validation).is_ok(),
        jwt::take_apart(text).is_ok(),
        content_keys.decrypt(text).is_ok(),
        client_assertion::verify(text, &key, &[ISSUER], now).is_ok(),
        client_assertion::claimed_client_id(text).is_ok(),
        dpop::verify(text, text, text, now).is_ok(),
        dpop::make(text, text, &signer(ED25519_PRIVATE), now).is_ok(),
        Scope::from_json(text).is_ok(),
        Scope::from_base64url(text).is_ok(),
        AsHint::from_json(text).is_ok(),
        KeySet::from_json(bytes).is_ok(),
        TokenRequest::from_json(bytes).is_ok(),
        TokenRequest::from_form(bytes).is_ok(),
        TokenResponse::from_json(bytes).is_ok(),
        ErrorResponse::from_json(bytes).is_ok(),
        ConnectData::parse(Some(bytes)).is_ok(),
        ChallengeResponse::parse(bytes).is_ok(),
        key.verify(bytes, bytes).is_ok(),
        serde_json::from_slice(bytes).is_ok_and(|json| Confirmation::parse(&json).is_ok()),
    ]);
    if let Ok(jwk) = Jwk::from_json(bytes) {
        black_box([
            PopKey::from_jwk(&jwk).is_ok(),
            PopSigner::from_jwk(&jwk).is_ok(),
            SigningKey::from_jwk(&jwk).is_ok(),
        ]);
    }
}

proptest! {
    #[test]
    fn on_arbitrary_text(text in any::<String>()) {
        read_everything(&text, text.as_bytes());
    }

    #[test]
    fn on_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&String::from_utf8_lossy(&bytes), &bytes);
    }

    #[test]
    fn on_what_is_nearly_json(text in nearly_json()) {
        read_everything(&text, text.as_bytes());
    }

    #[test]
    fn on_tokens_of_what_is_nearly_json(header in nearly_json(), claims in nearly_json()) {
        let unsigned = format!("{}.{}.AA", base64url(&header), base64url(&claims));
        read_everything(&unsigned, unsigned.as_bytes());
        let signer = signer(ED25519_PRIVATE);
        for header in [header.as_str(), r#"{"alg":"EdDSA"}"#] {
            let signed = jws(header, &claims, &signer);
            read_everything(&signed, signed.as_bytes());
        }
        let encrypted = format!("{}..AAAAAAAAAAAAAAAA.{}.AA", base64url(&header), base64url(&claims));
        read_everything(&encrypted, encrypted.as_bytes());
    }
}
