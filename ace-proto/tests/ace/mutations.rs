//! Good inputs harmed by a seed, for every decoder: none panics, each comes back soon, and what is read once is read as the same when it
//! is written again. `SYMBOLON_SEEDS` says how many seeds are tried.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use symbolon_ace_proto::{
    AsHint, ChallengeResponse, Confirmation, ConnectData, ErrorResponse, IntrospectionRequest,
    IntrospectionResponse, Jwk, KeySet, Lifetimes, MacKey, PopKey, Scope, SigningKey, SymmetricKey,
    TokenRequest, TokenResponse, UnixTime, Validation, client_assertion, cwt, dpop,
    jwe::ContentKeys, jwt, psk_identity::PskIdentity, token,
};

use crate::{
    cbor::Item,
    cwt::content_key,
    mutator::harmed,
    vectors::{
        AUDIENCE, ED25519_PRIVATE, ED25519_PUBLIC, ISSUER, P256_PRIVATE, P256_PUBLIC, SCOPE,
        SCOPE_CBOR, SCOPE_JSON, SYMMETRIC, base64url, hex, jwk, jws, signer,
    },
};

const SEEDS: u64 = 4_000;
/// Where each input costs a signature.
const SEEDS_SIGNED: u64 = 1_500;
const NOW: UnixTime = UnixTime(1_800_000_000);
const KID: &[u8] = b"\x3d\x02\x78\x33\xfc\x62\x67\xce";

/// How long a decoder may take for one input, however it was harmed: hundreds of times what it takes.
const DECODE_LIMIT: Duration = Duration::from_secs(2);

/// Calls `decode` with harmed inputs: it must come back, and soon.
#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the clock to see that a decoder came back in time"
)]
fn for_each_harmed(corpus: &[Vec<u8>], by_default: u64, decode: impl Fn(&[u8])) {
    for (seed, input) in harmed(corpus, by_default) {
        let began = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| decode(&input)));
        let shown = input.escape_ascii();
        assert!(ended.is_ok(), "seed {seed}: it panics with {shown}");
        let took = began.elapsed();
        assert!(took < DECODE_LIMIT, "seed {seed}: {took:?} with {shown}");
    }
}

/// `write` of what `read` makes of `bytes` is read as the same; what is the same, `shown` says.
fn stable<T, E, S: PartialEq + Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, E>,
    write: impl Fn(&T) -> Option<Vec<u8>>,
    shown: impl Fn(&T) -> S,
) {
    let Ok(first) = read(bytes) else { return };
    let Some(written) = write(&first) else { return };
    let again = read(&written).ok().map(|again| shown(&again));
    assert_eq!(again, Some(shown(&first)), "{}", written.escape_ascii());
}

fn text(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> {
    std::str::from_utf8(bytes)
}

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn keys() -> KeySet {
    let named = |json, kid| jwk(json).with_kid(kid);
    let mac = MacKey::new("mac", SymmetricKey::from_bytes(&[3; 32])).unwrap();
    KeySet::from_keys(vec![named(ED25519_PUBLIC, "ed"), named(P256_PUBLIC, "ec")])
        .with_mac_keys(vec![mac])
}

fn with_validation(check: impl Fn(&Validation<'_>)) {
    let keys = keys();
    for lifetimes in [Lifetimes::Dates, Lifetimes::DatesAndSpans, Lifetimes::Spans] {
        check(&Validation {
            keys: &keys,
            issuer: ISSUER,
            audience: AUDIENCE,
            now: NOW,
            leeway_secs: 30,
            lifetimes,
        });
    }
}

fn claims_json() -> String {
    let cnf = format!(r#"{{"jwk":{ED25519_PUBLIC}}}"#);
    format!(
        r#"{{"iss":"{ISSUER}","sub":"c1","client_id":"c1","aud":["{AUDIENCE}","x"],"exp":1900000000.5,"nbf":1700000000,"iat":1700000000,"jti":"AQID","exi":600,"cnonce":"AQID","scope":"{SCOPE}","cnf":{cnf}}}"#
    )
}

#[test]
fn harmed_scopes_never_panic_and_stay_the_same() {
    let mut corpus = texts(&[
        SCOPE_JSON,
        "[]",
        r#"[["$SYS/#",["sub"]],["a/+/b",["pub"]]]"#,
    ]);
    corpus.push(hex(SCOPE_CBOR));
    corpus.push(SCOPE.into());
    for_each_harmed(&corpus, SEEDS, |bytes| {
        let read = |bytes: &[u8]| Scope::from_json(text(bytes).map_err(drop)?).map_err(drop);
        stable(
            bytes,
            read,
            |scope| Some(scope.to_json().into()),
            Scope::clone,
        );
        let read = |bytes: &[u8]| Scope::from_base64url(text(bytes).map_err(drop)?).map_err(drop);
        stable(
            bytes,
            read,
            |scope| Some(scope.to_base64url().into()),
            Scope::clone,
        );
        stable(
            bytes,
            Scope::from_cbor,
            |scope| Some(scope.to_cbor()),
            Scope::clone,
        );
    });
}

#[test]
fn harmed_keys_never_panic_and_stay_the_same() {
    let all = [
        ED25519_PRIVATE,
        ED25519_PUBLIC,
        P256_PRIVATE,
        P256_PUBLIC,
        SYMMETRIC,
    ];
    let mut corpus = texts(&all);
    let full = jwk(P256_PRIVATE).with_kid("a name");
    corpus.push(full.to_json().as_bytes().to_vec());
    corpus.extend(all.map(|json| jwk(json).to_cose_key().unwrap().to_vec()));
    corpus.push(keys().to_json().into());
    corpus.push(keys().to_cose());
    let shown = |jwk: &Jwk| jwk.to_json().to_string();
    for_each_harmed(&corpus, SEEDS, |bytes| {
        stable(
            bytes,
            Jwk::from_json,
            |jwk| Some(jwk.to_json().as_bytes().into()),
            shown,
        );
        let write = |jwk: &Jwk| jwk.to_cose_key().ok().map(|key| key.to_vec());
        stable(bytes, Jwk::from_cose_key, write, shown);
        stable(
            bytes,
            KeySet::from_json,
            |set| Some(set.to_json().into()),
            KeySet::to_json,
        );
        stable(
            bytes,
            KeySet::from_cose,
            |set| Some(set.to_cose()),
            KeySet::to_cose,
        );
        for jwk in [Jwk::from_json(bytes).ok(), Jwk::from_cose_key(bytes).ok()] {
            let Some(jwk) = jwk else { continue };
            if let Ok(key) = PopKey::from_jwk(&jwk) {
                assert_eq!(
                    PopKey::from_jwk(&key.to_jwk()).unwrap().thumbprint(),
                    key.thumbprint()
                );
                assert!(key.verify(bytes, bytes).is_err());
            }
            drop(SigningKey::from_jwk(&jwk));
        }
    });
}

#[test]
fn harmed_confirmations_never_panic_and_stay_the_same() {
    let key = content_key();
    let secret = jwk(SYMMETRIC).with_kid("psk");
    let (jwe, cose) = (
        key.encrypt(&secret).unwrap(),
        key.encrypt_cose_key(&secret).unwrap(),
    );
    let public = format!(r#"{{"jwk":{ED25519_PUBLIC}}}"#);
    let mut corpus = texts(&[&jwe, &cose, r#"{"kid":"AQID"}"#, &public]);
    corpus.push(format!(r#"{{"jwe":"{jwe}"}}"#).into());
    let confirmations = [
        Confirmation::Encrypted(cose),
        Confirmation::KeyIdentifier(KID.into()),
        Confirmation::Key(Box::new(jwk(P256_PUBLIC))),
    ];
    corpus.extend(confirmations.map(|cnf| cnf.to_cbor().unwrap().to_vec()));
    let keys = ContentKeys(vec![key]);
    let shown = |cnf: &Confirmation| cnf.to_json().to_string();
    for_each_harmed(&corpus, SEEDS, |bytes| {
        let read = |bytes: &[u8]| serde_json::from_slice::<Confirmation>(bytes);
        stable(
            bytes,
            read,
            |cnf| Some(cnf.to_json().to_string().into()),
            shown,
        );
        let write = |cnf: &Confirmation| cnf.to_cbor().ok().map(|cnf| cnf.to_vec());
        stable(bytes, Confirmation::from_cbor, write, shown);
        for cnf in [read(bytes).ok(), Confirmation::from_cbor(bytes).ok()] {
            drop(cnf.map(|cnf| cnf.resolve_named(&keys)));
        }
        if let Ok(encrypted) = text(bytes) {
            let known = corpus.iter().any(|good| good == bytes);
            assert!(
                known || keys.decrypt(encrypted).is_err(),
                "a forged key: {encrypted}"
            );
        }
    });
}

#[test]
fn harmed_tokens_never_verify() {
    let claims = claims_json();
    let mac = MacKey::new("mac", SymmetricKey::from_bytes(&[3; 32])).unwrap();
    let jwts = [
        ("ed", "EdDSA", ED25519_PRIVATE),
        ("ec", "ES256", P256_PRIVATE),
    ];
    let jwts = jwts.map(|(kid, alg, key)| {
        jws(
            &format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"at+jwt"}}"#),
            &claims,
            &signer(key),
        )
    });
    with_validation(|validation| {
        let verified = jwt::verify(&jwts[0], validation).unwrap();
        let signing = SigningKey::from_jwk(&jwk(ED25519_PRIVATE).with_kid("ed")).unwrap();
        let cwts = [
            signing.sign_cwt(&verified).unwrap(),
            mac.mac_cwt(&verified).unwrap(),
        ];
        let mut corpus = texts(&[&jwts[0], &jwts[1]]);
        corpus.extend(cwts.iter().map(|cwt| base64url(cwt).into()));
        corpus.extend(cwts);
        assert!(
            corpus
                .iter()
                .take(2)
                .all(|good| token::verify(good, validation).is_ok())
        );
        for_each_harmed(&corpus, SEEDS, |bytes| {
            // One is good with and without its tag; another one that is good was put together from pieces of two.
            let known = corpus.iter().any(|good| {
                bytes == good
                    || cwt::with_tag(bytes) == *good
                    || base64url(bytes).as_bytes() == good
            });
            assert!(
                known || token::verify(bytes, validation).is_err(),
                "a forged token"
            );
            drop(text(bytes).map(jwt::take_apart));
        });
    });
}

#[test]
fn harmed_claims_under_a_good_signature_never_panic() {
    let claims = claims_json();
    let header = r#"{"alg":"EdDSA","kid":"ed","typ":"at+jwt"}"#;
    let corpus = texts(&[&claims, header, SCOPE, ED25519_PUBLIC]);
    let signer = signer(ED25519_PRIVATE);
    for_each_harmed(&corpus, SEEDS_SIGNED, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for (header, claims) in [(header, &*text), (&*text, &claims)] {
            let token = jws(header, claims, &signer);
            with_validation(|validation| drop(token::verify(token.as_bytes(), validation)));
        }
    });
}

#[test]
fn harmed_cbor_under_a_good_signature_never_panics() {
    let signing = SigningKey::from_jwk(&jwk(ED25519_PRIVATE).with_kid("ed")).unwrap();
    let keys = keys();
    let validation = Validation {
        keys: &keys,
        issuer: ISSUER,
        audience: AUDIENCE,
        now: NOW,
        leeway_secs: 30,
        lifetimes: Lifetimes::DatesAndSpans,
    };
    let token = jws(
        r#"{"alg":"EdDSA","kid":"ed"}"#,
        &claims_json(),
        &signer(ED25519_PRIVATE),
    );
    let cwt = signing
        .sign_cwt(&jwt::verify(&token, &validation).unwrap())
        .unwrap();
    // d8 3d d2 84, the protected header in 8 bytes, a0, then the payload and the signature, each with a head of 2.
    let (head, payload) = (&cwt[4..12], &cwt[15..cwt.len() - 66]);
    assert_eq!(cwt[12..14], [0xa0, 0x58]);
    let corpus = [payload.to_vec(), head[1..].to_vec(), hex(SCOPE_CBOR)];
    let of = |bytes: &[u8]| Item::Bytes(bytes.to_vec()).encode();
    let signed = |head: &[u8], payload: &[u8]| {
        let context = b"\x84\x6aSignature1";
        let signed = [&context[..], head, &[0x40], payload].concat();
        let signature = signer(ED25519_PRIVATE).sign(&signed).unwrap();
        let parts = [
            &[0xd2, 0x84][..],
            head,
            &[0xa0],
            payload,
            &[0x58, 64],
            &signature,
        ];
        parts.concat()
    };
    let good = signed(head, &of(payload));
    assert!(cwt::verify(&good, &validation).is_ok());
    for_each_harmed(&corpus, SEEDS_SIGNED, |bytes| {
        drop(cwt::verify(&signed(head, &of(bytes)), &validation));
        drop(cwt::verify(&signed(&of(bytes), &of(payload)), &validation));
    });
}

#[test]
fn harmed_authentication_data_never_panics_and_stays_the_same() {
    let data = ConnectData::TokenAndProof {
        token: b"abc.def.ghi",
        proof: &[7; 64],
    };
    let corpus = [
        data.encode().unwrap(),
        b"\0\x03abc".to_vec(),
        vec![0; 72],
        b"\0\0".to_vec(),
    ];
    for_each_harmed(&corpus, SEEDS, |bytes| {
        match ConnectData::parse(Some(bytes)) {
            Ok(ConnectData::NoToken) => assert!(bytes.is_empty() || bytes == [0, 0]),
            Ok(data) if bytes.len() <= 65_535 => assert_eq!(data.encode().unwrap(), bytes),
            Ok(ConnectData::Token(_) | ConnectData::TokenAndProof { .. }) | Err(_) => {}
        }
        if let Ok(response) = ChallengeResponse::parse(bytes) {
            assert_eq!(response.encode(), bytes);
        }
    });
}

#[test]
fn harmed_psk_identities_never_panic_and_name_a_key_or_are_a_token() {
    let identity = PskIdentity::of_key(KID);
    let mut corpus = texts(&[
        r#"{"cnf":{"jwk":{"kty":"oct","kid":"PQJ4M_xiZ84"}}}"#,
        r#"{"jwk":{"kid":"PQJ4M_xiZ84","kty":"oct"}}"#,
        &base64url(&identity),
        "eyJhbGciOiJFZERTQSJ9.e30.AA",
    ]);
    corpus.push(identity);
    for_each_harmed(&corpus, SEEDS, |bytes| match PskIdentity::parse(bytes) {
        PskIdentity::Token(token) => assert_eq!(token, bytes),
        PskIdentity::KeyIdentifier(kid) => {
            let again = PskIdentity::of_key(&kid);
            assert_eq!(PskIdentity::parse(&again), PskIdentity::KeyIdentifier(kid));
        }
    });
}

#[test]
fn harmed_token_requests_never_panic_and_stay_the_same() {
    let json = format!(
        r#"{{"grant_type":"client_credentials","client_id":"c","client_secret":"s","client_assertion_type":"t","client_assertion":"a.b.c","audience":"x","scope":"{SCOPE}","req_cnf":{{"jwk":{ED25519_PUBLIC}}},"ace_profile":""}}"#
    );
    let request = TokenRequest::from_json(json.as_bytes()).unwrap();
    let form = format!(
        "grant_type=client_credentials&client_id=c%20d&audience=x&scope={SCOPE}&req_cnf=%7B%22kid%22%3A%22AQID%22%7D&ace_profile="
    );
    let corpus = [
        json.into_bytes(),
        form.into_bytes(),
        request.to_cbor().unwrap().to_vec(),
    ];
    for_each_harmed(&corpus, SEEDS, |bytes| {
        let write = |request: &TokenRequest| Some(request.to_json().into());
        stable(bytes, TokenRequest::from_json, write, TokenRequest::to_json);
        let write = |request: &TokenRequest| request.to_cbor().ok().map(|body| body.to_vec());
        stable(bytes, TokenRequest::from_cbor, write, TokenRequest::to_json);
        if let Ok(request) = TokenRequest::from_form(bytes) {
            assert!(TokenRequest::from_json(request.to_json().as_bytes()).is_ok());
        }
    });
}

fn answers() -> Vec<Vec<u8>> {
    let json = format!(
        r#"{{"access_token":"eyJ.e30.AA","token_type":"PoP","expires_in":3600,"scope":"{SCOPE}","cnf":{{"jwk":{SYMMETRIC}}},"rs_cnf":{{"x5t#S256":"AAAA"}},"ace_profile":"mqtt_tls"}}"#
    );
    let error = r#"{"error":"invalid_request","error_description":"x"}"#;
    let active = format!(
        r#"{{"active":true,"iss":"{ISSUER}","sub":"c","client_id":"c","aud":"{AUDIENCE}","exp":1900000000,"scope":"{SCOPE}","cnf":{{"jwk":{ED25519_PUBLIC}}}}}"#
    );
    let hint = r#"{"AS":"https://as.example.com/token","audience":"x","cnonce":"AQID"}"#;
    let mut corpus = texts(&[&json, error, &active, r#"{"active":false}"#, hint]);
    let response = TokenResponse::from_json(json.as_bytes()).unwrap();
    corpus.push(response.to_cbor().unwrap().to_vec());
    corpus.push(
        ErrorResponse::from_json(error.as_bytes())
            .unwrap()
            .to_cbor(),
    );
    corpus.push(AsHint::from_json(hint).unwrap().to_cbor());
    corpus
}

#[test]
fn harmed_answers_never_panic_and_stay_the_same() {
    let corpus = answers();
    for_each_harmed(&corpus, SEEDS, |bytes| {
        let write = |answer: &TokenResponse| Some(answer.to_json().into());
        stable(
            bytes,
            TokenResponse::from_json,
            write,
            TokenResponse::to_json,
        );
        let write = |answer: &TokenResponse| answer.to_cbor().ok().map(|body| body.to_vec());
        stable(
            bytes,
            TokenResponse::from_cbor,
            write,
            TokenResponse::to_json,
        );
        stable(
            bytes,
            ErrorResponse::from_json,
            |error| Some(error.to_json().into()),
            ErrorResponse::clone,
        );
        stable(
            bytes,
            ErrorResponse::from_cbor,
            |error| Some(error.to_cbor()),
            ErrorResponse::clone,
        );
        let read = |bytes: &[u8]| AsHint::from_json(text(bytes).map_err(drop)?).map_err(drop);
        stable(
            bytes,
            read,
            |hint| Some(hint.to_json().into()),
            AsHint::to_json,
        );
        stable(
            bytes,
            AsHint::from_cbor,
            |hint| Some(hint.to_cbor()),
            AsHint::to_json,
        );
        let shown = |answer: &IntrospectionResponse| answer.to_json().to_string();
        let write = |answer: &IntrospectionResponse| Some(answer.to_json().as_bytes().into());
        stable(bytes, IntrospectionResponse::from_json, write, shown);
        let write =
            |answer: &IntrospectionResponse| answer.to_cbor().ok().map(|body| body.to_vec());
        stable(bytes, IntrospectionResponse::from_cbor, write, shown);
        let write = |request: &IntrospectionRequest| request.to_json().ok().map(String::into_bytes);
        stable(bytes, IntrospectionRequest::from_json, write, |request| {
            request.token.clone()
        });
        let write = |request: &IntrospectionRequest| Some(request.to_cbor());
        stable(bytes, IntrospectionRequest::from_cbor, write, |request| {
            request.token.clone()
        });
    });
}

#[test]
fn harmed_assertions_and_proofs_never_verify() {
    let url = "https://as.example.com/token";
    let proof = dpop::make("POST", url, &signer(ED25519_PRIVATE), NOW).unwrap();
    let assertion = jws(
        r#"{"alg":"EdDSA"}"#,
        &format!(r#"{{"iss":"c","sub":"c","aud":"{ISSUER}","jti":"x","exp":1800000060}}"#),
        &signer(ED25519_PRIVATE),
    );
    let key = signer(ED25519_PRIVATE).verifying_key();
    assert!(dpop::verify(&proof, "POST", url, NOW).is_ok());
    assert!(client_assertion::verify(&assertion, &key, &[ISSUER], NOW).is_ok());
    let corpus = texts(&[&proof, &assertion]);
    for_each_harmed(&corpus, SEEDS_SIGNED, |bytes| {
        let Ok(text) = text(bytes) else { return };
        let known = corpus.iter().any(|good| good == bytes);
        assert!(
            known || dpop::verify(text, "POST", url, NOW).is_err(),
            "{text}"
        );
        assert!(
            known || client_assertion::verify(text, &key, &[ISSUER], NOW).is_err(),
            "{text}"
        );
        drop(client_assertion::claimed_client_id(text));
    });
}
