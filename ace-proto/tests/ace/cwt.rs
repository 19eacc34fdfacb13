use std::hint::black_box;

use aws_lc_rs::hmac;
use proptest::prelude::*;
use serde_json::{Value, json};
use symbolon_ace_proto::{
    Claims, Confirmation, Jwk, KeySet, MacKey, PopError, PopKey, PopSigner, Scope, ScopeError,
    SigningKey, SymmetricKey, TokenError, UnixTime, Validation, cwt,
    jwe::{ContentKey, ContentKeys},
    jwt,
    jwt::{MAX_TOKEN_LENGTH, SigningAlgorithm},
    token,
};

use crate::{
    cbor::{Item, map, raw},
    vectors::{
        AUDIENCE, ED25519_PRIVATE, ED25519_PUBLIC, ISSUER, P256_PRIVATE, P256_PUBLIC, SCOPE,
        SCOPE_CBOR, SYMMETRIC, base64url, hex, jwk, signer,
    },
};

const NOW: UnixTime = UnixTime(1_800_000_000);

/// `cwt_eddsa` of the project's own vectors, made with cbor2 and cryptography.
const EDDSA_VECTOR: &str = "d83dd28448a201270443617331a058a3a7017668747470733a2f2f61732e6578616d706c652e636f6d03781a6d717474733a2f2f62726f6b65722e6578616d706c652e636f6d041af4865700061a6553f100074101095830838266746f706963318263707562637375628268746f706963322f23816370756282682b2f746f70696333816373756208a101a301012006215820d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a5840526e6a00a80dace9b3e46fd35e9c3b8f330429090ea3854cdff987f6e5124f3e29c1b62e0be06141a6c747a4926c0892221590ec1db9002206d768e8924c240c";

/// RFC 8392 A.2.3.
const RFC_8392_KEY: &str = "a72358206c1382765aec5358f117733d281c1c7bdc39884d04a45a1e6c67c858bc206c1922582060f7f1a780d8a783bfb7a2dd6b2796e8128dbbcef9d3d168db9529971a36e7b9215820143329cce7868e416927599cf65a34f3ce2ffda55a7eca69ed8919a394d42f0f2001010202524173796d6d657472696345434453413235360326";
/// RFC 8392 A.3.
const RFC_8392_SIGNED: &str = "d28443a10126a104524173796d6d657472696345434453413235365850a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b7158405427c1ff28d23fbad1f29c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ecee743a52b9b63632c57209120e1c9e30";
/// RFC 8392 A.4.
const RFC_8392_MACED: &str = "d83dd18443a10104a1044c53796d6d65747269633235365850a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b7148093101ef6d789200";

fn mac_key() -> MacKey {
    let key: Vec<u8> = (0..32).collect();
    MacKey::new("mac", SymmetricKey::from_bytes(&key)).unwrap()
}

pub(crate) fn content_key() -> ContentKey {
    let key: Vec<u8> = (32..64).collect();
    ContentKey {
        kid: "rs1".to_owned(),
        key: SymmetricKey::from_bytes(&key),
    }
}

fn keys() -> KeySet {
    KeySet::from_keys(vec![
        jwk(ED25519_PUBLIC).with_kid("ed"),
        jwk(P256_PUBLIC).with_kid("ec"),
    ])
    .with_mac_keys(vec![mac_key()])
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
        expires_at: UnixTime(4_102_444_800),
        not_before: Some(UnixTime(1_700_000_000)),
        issued_at: Some(UnixTime(1_700_000_000)),
        token_identifier: Some("Af8".to_owned()),
        scope: Scope::from_base64url(SCOPE).unwrap(),
        expires_in_secs: None,
        client_nonce: None,
        confirmation: Confirmation::Key(Box::new(jwk(ED25519_PUBLIC))),
    }
}

fn holder() -> Item {
    let x = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    map(vec![
        (1, Item::Int(1)),
        (-1, Item::Int(6)),
        (-2, Item::Bytes(x)),
    ])
}

/// The fewest claims, to be changed.
fn fewest() -> Vec<(i64, Item)> {
    vec![
        (1, Item::Text(ISSUER)),
        (3, Item::Text(AUDIENCE)),
        (4, Item::Int(1_800_000_060)),
        (8, map(vec![(1, holder())])),
        (9, Item::Bytes(hex(SCOPE_CBOR))),
    ]
}

fn with(label: i64, item: Item) -> Vec<(i64, Item)> {
    let mut claims = without(label);
    claims.push((label, item));
    claims
}

fn without(label: i64) -> Vec<(i64, Item)> {
    let mut claims = fewest();
    claims.retain(|(own, _)| *own != label);
    claims
}

/// A `COSE_Sign1` of whatever header and payload, signed well.
fn sign1(protected: &[u8], payload: &[u8], signer: &PopSigner) -> Vec<u8> {
    let structure = Item::Array(vec![
        Item::Text("Signature1"),
        Item::Bytes(protected.to_vec()),
        Item::Bytes(Vec::new()),
        Item::Bytes(payload.to_vec()),
    ]);
    let signature = signer.sign(&structure.encode()).unwrap();
    message("d83dd2", protected, "a0", payload, &signature)
}

fn message(tags: &str, protected: &[u8], unprotected: &str, payload: &[u8], end: &[u8]) -> Vec<u8> {
    let message = Item::Array(vec![
        Item::Bytes(protected.to_vec()),
        raw(unprotected),
        Item::Bytes(payload.to_vec()),
        Item::Bytes(end.to_vec()),
    ]);
    [hex(tags), message.encode()].concat()
}

fn header() -> Vec<(i64, Item)> {
    vec![(1, Item::Int(-8)), (4, Item::Bytes(b"ed".to_vec()))]
}

fn refusal(token: &[u8]) -> Option<TokenError> {
    token::verify(token, &validation(&keys())).err()
}

fn refusal_of_payload(payload: &[u8]) -> Option<TokenError> {
    refusal(&sign1(
        &map(header()).encode(),
        payload,
        &signer(ED25519_PRIVATE),
    ))
}

fn refusal_of_claims(claims: Vec<(i64, Item)>) -> Option<TokenError> {
    refusal_of_payload(&map(claims).encode())
}

fn refusal_of_header(protected: &[u8]) -> Option<TokenError> {
    let payload = map(fewest()).encode();
    refusal(&sign1(protected, &payload, &signer(ED25519_PRIVATE)))
}

// --- what is accepted ---

#[test]
fn what_is_signed_is_verified() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let token = key.sign_cwt(&claims()).unwrap();
        let keys = KeySet::from_keys(vec![key.to_public_jwk()]);
        let read = token::verify(&token, &validation(&keys)).unwrap();
        assert_eq!(json!(read), json!(claims()));
        // RFC 9770: both tags, and nothing unprotected.
        assert_eq!(token[..3], hex("d83dd2"));
    }
}

#[test]
fn what_has_a_mac_is_verified() {
    let token = mac_key().mac_cwt(&claims()).unwrap();
    let read = token::verify(&token, &validation(&keys())).unwrap();
    assert_eq!(json!(read), json!(claims()));

    let key = MacKey::generate().unwrap();
    let token = key.mac_cwt(&claims()).unwrap();
    assert_eq!(refusal(&token), Some(TokenError::UnknownKey));
    let keys = KeySet::default().with_mac_keys(vec![key]);
    assert!(token::verify(&token, &validation(&keys)).is_ok());
}

#[test]
fn a_token_with_the_fewest_claims_is_accepted() {
    assert_eq!(refusal_of_claims(fewest()), None);
}

#[test]
fn the_vector_of_the_project_is_verified() {
    let keys = KeySet::from_keys(vec![jwk(ED25519_PUBLIC).with_kid("as1")]);
    let read = token::verify(&hex(EDDSA_VECTOR), &validation(&keys)).unwrap();
    assert_eq!(read.expires_at, UnixTime(4_102_444_800));
    assert_eq!(read.token_identifier.as_deref(), Some("AQ"));
    assert_eq!(read.scope.to_base64url(), SCOPE);
}

#[test]
fn what_other_implementations_make_is_verified() {
    let theirs: Value = serde_json::from_str(include_str!("cwt_theirs.json")).unwrap();
    let accepted = theirs["accepted"].as_object().unwrap();
    assert_eq!(accepted.len(), 7);
    for (name, token) in accepted {
        let token = hex(token.as_str().unwrap());
        let read = token::verify(&token, &validation(&keys())).map_err(|e| (name, e));
        let mut expected = claims();
        expected.audience = vec!["mqtts://other.example.com".to_owned(), AUDIENCE.to_owned()];
        assert_eq!(json!(read.unwrap()), json!(expected), "{name}");
    }
}

// RFC 9770
#[test]
fn a_header_that_is_not_protected_is_refused() {
    let theirs: Value = serde_json::from_str(include_str!("cwt_theirs.json")).unwrap();
    let token = hex(theirs["kid_unprotected"].as_str().unwrap());
    assert_eq!(refusal(&token), Some(TokenError::NotAToken));
}

#[test]
fn a_key_that_another_implementation_encrypted_is_decrypted() {
    let theirs: Value = serde_json::from_str(include_str!("cwt_theirs.json")).unwrap();
    let token = hex(theirs["encrypted_key"].as_str().unwrap());
    let read = token::verify(&token, &validation(&keys())).unwrap();
    let key = read.confirmation.resolve(&ContentKeys(vec![content_key()]));
    let expected: Vec<u8> = (64..96).collect();
    let expected = PopKey::Hs256(SymmetricKey::from_bytes(&expected));
    assert_eq!(key, Ok(expected));
}

/// What Python reads: `e2e/python/cwt_vectors.py check`. The deterministic ones must still be what they were then.
#[test]
fn what_others_have_verified_is_what_we_make() {
    let ours: Value = serde_json::from_str(include_str!("cwt_ours.json")).unwrap();
    let made = ours_made_anew();
    for name in ["eddsa", "mac"] {
        assert_eq!(ours[name], made[name], "{name}");
    }
    for name in ["es256", "encrypted_key"] {
        let token = hex(ours[name].as_str().unwrap());
        assert!(
            token::verify(&token, &validation(&keys())).is_ok(),
            "{name}"
        );
    }
}

#[test]
#[ignore = "writes anew what Python is to verify: set SYMBOLON_CWT_OURS to the file"]
fn tokens_for_others_are_written() {
    let path = std::env::var("SYMBOLON_CWT_OURS").unwrap();
    std::fs::write(path, format!("{:#}\n", ours_made_anew())).unwrap();
}

fn ours_made_anew() -> Value {
    let key = |text, kid| SigningKey::from_jwk(&jwk(text).with_kid(kid)).unwrap();
    let secret: Vec<u8> = (64..96).collect();
    let secret = PopKey::Hs256(SymmetricKey::from_bytes(&secret)).to_jwk();
    let mut symmetric = claims();
    symmetric.confirmation =
        Confirmation::Encrypted(content_key().encrypt_cose_key(&secret).unwrap());
    let to_hex = |bytes: Vec<u8>| crate::vectors::to_hex(&bytes);
    json!({
        "eddsa": to_hex(key(ED25519_PRIVATE, "ed").sign_cwt(&claims()).unwrap()),
        "es256": to_hex(key(P256_PRIVATE, "ec").sign_cwt(&claims()).unwrap()),
        "mac": to_hex(mac_key().mac_cwt(&claims()).unwrap()),
        "encrypted_key": to_hex(key(ED25519_PRIVATE, "ed").sign_cwt(&symmetric).unwrap()),
    })
}

// --- RFC 8392 Appendix A ---

fn light(keys: &KeySet) -> Validation<'_> {
    Validation {
        keys,
        issuer: "coap://as.example.com",
        audience: "coap://light.example.com",
        now: UnixTime(1_443_944_944),
        leeway_secs: 0,
        lifetimes: symbolon_ace_proto::Lifetimes::default(),
    }
}

// RFC 8392 §A.3: its kid stands unprotected, which is refused; without it the signature is still good.
#[test]
fn the_signature_of_the_standards_example_verifies() {
    let mut key = Jwk::from_cose_key(&hex(RFC_8392_KEY)).unwrap();
    assert_eq!(key.alg.as_deref(), Some("ES256"));
    assert!(PopSigner::from_jwk(&key).is_ok());
    key.kid = None;
    let keys = KeySet::from_keys(vec![key]);
    let refused = cwt::verify(&hex(RFC_8392_SIGNED), &light(&keys)).err();
    assert_eq!(refused, Some(TokenError::NotAToken));

    let stripped = RFC_8392_SIGNED.replace("a104524173796d6d65747269634543445341323536", "a0");
    // All is well up to the scope, which the example does not have.
    let refused = cwt::verify(&hex(&stripped), &light(&keys)).err();
    assert_eq!(refused, Some(TokenError::BadClaim("scope")));
    let forged = stripped.replace("656572696b77", "656572696b78");
    let refused = cwt::verify(&hex(&forged), &light(&keys)).err();
    assert_eq!(refused, Some(TokenError::BadSignature));
}

// RFC 8392 §A.4: the MAC is good, but 64 bits of it are too few.
#[test]
fn a_mac_that_is_cut_off_is_refused() {
    let key = hex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388");
    let token = hex(RFC_8392_MACED);
    let payload = &token[25..105];
    let structure = Item::Array(vec![
        Item::Text("MAC0"),
        Item::Bytes(hex("a10104")),
        Item::Bytes(Vec::new()),
        Item::Bytes(payload.to_vec()),
    ]);
    let mac = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &key),
        &structure.encode(),
    );
    assert_eq!(mac.as_ref()[..8], hex("093101ef6d789200"));

    let key = MacKey::new("Symmetric256", SymmetricKey::from_bytes(&key)).unwrap();
    let keys = KeySet::default().with_mac_keys(vec![key]);
    let stripped = RFC_8392_MACED.replace("a1044c53796d6d6574726963323536", "a0");
    let refused = cwt::verify(&hex(&stripped), &light(&keys)).err();
    assert_eq!(refused, Some(TokenError::AlgorithmNotAllowed));
}

// --- the door ---

#[test]
fn the_first_byte_tells_a_jwt_from_a_cwt() {
    let key = SigningKey::from_jwk(&jwk(ED25519_PRIVATE).with_kid("ed")).unwrap();
    let (json_token, cbor_token) = (
        key.sign(&claims()).unwrap(),
        key.sign_cwt(&claims()).unwrap(),
    );
    let text = base64url(&cbor_token);
    for token in [json_token.as_bytes(), &cbor_token, text.as_bytes()] {
        let read = token::verify(token, &validation(&keys())).unwrap();
        assert_eq!(json!(read), json!(claims()));
    }
    let without_tag = base64url(&cbor_token[2..]);
    assert_eq!(refusal(without_tag.as_bytes()), None);
    for token in [
        &b""[..],
        &[0xff],
        &[0x84],
        &[0xd3],
        b"2",
        b"0D0",
        b"e",
        b" ",
        b"\xc3\xbc",
    ] {
        assert_eq!(refusal(token), Some(TokenError::NotAToken), "{token:?}");
    }
    assert_eq!(
        refusal(&vec![0xd2; MAX_TOKEN_LENGTH + 1]),
        Some(TokenError::NotAToken)
    );
    assert!(jwt::verify(&text, &validation(&keys())).is_err());
}

// RFC 9770: a token is named by a hash of its bytes, with both tags.
#[test]
fn the_outer_tag_comes_back() {
    let token = mac_key().mac_cwt(&claims()).unwrap();
    assert_eq!(cwt::with_tag(&token), token);
    assert_eq!(cwt::with_tag(&token[2..]), token);
}

// --- each part wrong in turn ---

#[test]
fn every_changed_byte_is_noticed() {
    for token in [
        SigningKey::from_jwk(&jwk(ED25519_PRIVATE).with_kid("ed"))
            .unwrap()
            .sign_cwt(&claims())
            .unwrap(),
        mac_key().mac_cwt(&claims()).unwrap(),
    ] {
        assert_eq!(refusal(&token), None);
        for at in 0..token.len() {
            for bit in 0..8 {
                let mut changed = token.clone();
                changed[at] ^= 1 << bit;
                assert!(refusal(&changed).is_some(), "byte {at}, bit {bit}");
            }
            assert!(refusal(&token[..at]).is_some());
        }
        let longer = [token.as_slice(), &[0]].concat();
        assert_eq!(refusal(&longer), Some(TokenError::NotAToken));
    }
}

#[test]
fn other_messages_and_tags_are_no_tokens() {
    let header = map(header()).encode();
    let payload = map(fewest()).encode();
    let good = sign1(&header, &payload, &signer(ED25519_PRIVATE));
    assert_eq!(refusal(&good), None);
    assert_eq!(refusal(&good[2..]), None);
    let signature = &good[good.len() - 64..];
    for tags in [
        "",
        "d83d",
        "d83dd0",
        "d0",
        "d862",
        "d2d2",
        "d83dd83dd2",
        "d2d83d",
        "d8d2",
        "da0000003dd2",
        "d90012",
    ] {
        let token = message(tags, &header, "a0", &payload, signature);
        assert_eq!(refusal(&token), Some(TokenError::NotAToken), "{tags}");
    }
    for unprotected in ["a10127", "a104426564", "80", "f6", "40", "b800", "bfff"] {
        let token = message("d83dd2", &header, unprotected, &payload, signature);
        assert_eq!(
            refusal(&token),
            Some(TokenError::NotAToken),
            "{unprotected}"
        );
    }
    let other_kind = message("d83dd1", &header, "a0", &payload, signature);
    assert_eq!(refusal(&other_kind), Some(TokenError::AlgorithmNotAllowed));
}

#[test]
fn the_header_must_be_as_demanded() {
    use TokenError::{
        AlgorithmNotAllowed, NotAToken, UnknownCriticalHeader, UnknownKey, WrongType,
    };
    let kid = || (4, Item::Bytes(b"ed".to_vec()));
    let alg = |number| (1, Item::Int(number));
    for (header, expected) in [
        (vec![alg(-8), kid()], None),
        // RFC 9864
        (vec![alg(-19), kid()], None),
        (vec![alg(-8)], None),
        (vec![alg(-7), kid()], Some(AlgorithmNotAllowed)),
        (vec![alg(-7)], Some(TokenError::BadSignature)),
        (vec![alg(5), kid()], Some(AlgorithmNotAllowed)),
        (vec![alg(4), kid()], Some(AlgorithmNotAllowed)),
        (vec![alg(3), kid()], Some(AlgorithmNotAllowed)),
        (vec![alg(0), kid()], Some(AlgorithmNotAllowed)),
        (vec![alg(-35), kid()], Some(AlgorithmNotAllowed)),
        (
            vec![(1, Item::Text("EdDSA")), kid()],
            Some(AlgorithmNotAllowed),
        ),
        (vec![(1, Item::Bytes(vec![])), kid()], Some(NotAToken)),
        (vec![kid()], Some(NotAToken)),
        (vec![alg(-8), (4, Item::Text("ed"))], Some(NotAToken)),
        (
            vec![alg(-8), (4, Item::Bytes(b"xx".to_vec()))],
            Some(UnknownKey),
        ),
        (vec![alg(-8), (4, Item::Bytes(vec![]))], Some(UnknownKey)),
        (
            vec![alg(-8), kid(), (2, raw("8118ff"))],
            Some(UnknownCriticalHeader),
        ),
        (
            vec![alg(-8), kid(), (2, raw("80"))],
            Some(UnknownCriticalHeader),
        ),
        (vec![alg(-8), kid(), (16, Item::Int(61))], None),
        (
            vec![alg(-8), kid(), (16, Item::Text("application/CWT"))],
            None,
        ),
        (
            vec![alg(-8), kid(), (16, Item::Text("application/other"))],
            Some(WrongType),
        ),
        (vec![alg(-8), kid(), (16, Item::Int(60))], Some(WrongType)),
        (vec![alg(-8), kid(), kid()], Some(NotAToken)),
        (vec![alg(-8), alg(-8), kid()], Some(NotAToken)),
        (vec![alg(-8), kid(), (-70_000, raw("f6"))], None),
    ] {
        let encoded = map(header).encode();
        assert_eq!(refusal_of_header(&encoded), expected, "{encoded:02x?}");
    }
    for encoded in [
        "",
        "80",
        "f6",
        "a2012704426564f6",
        "a2382704426564",
        "a20127045802 6564",
    ] {
        let refused = refusal_of_header(&hex(&encoded.replace(' ', "")));
        assert_eq!(refused, Some(NotAToken), "{encoded}");
    }
}

#[test]
fn a_key_signs_with_its_own_algorithm_only() {
    let payload = map(fewest()).encode();
    let header = map(vec![(1, Item::Int(-8)), (4, Item::Bytes(b"ec".to_vec()))]).encode();
    let refused = refusal(&sign1(&header, &payload, &signer(P256_PRIVATE)));
    assert_eq!(refused, Some(TokenError::AlgorithmNotAllowed));
}

// RFC 8725 §2.1: a public key is never taken for the key of a MAC.
#[test]
fn a_public_key_makes_no_mac() {
    let x = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let forger = MacKey::new("ed", SymmetricKey::from_bytes(&x)).unwrap();
    let token = forger.mac_cwt(&claims()).unwrap();
    assert_eq!(refusal(&token), Some(TokenError::AlgorithmNotAllowed));
}

#[test]
fn payloads_that_are_not_in_preferred_serialization_are_refused() {
    let good = map(fewest()).encode();
    let mut padded = good.clone();
    // 5 members with the number in a second byte.
    padded.splice(0..1, [0xb8, 5]);
    let mut indefinite = good.clone();
    indefinite[0] = 0xbf;
    indefinite.push(0xff);
    let trailing = [good.as_slice(), &[0xf6]].concat();
    let nested = [
        hex("a6 18ff".replace(' ', "").as_str()),
        vec![0x81; 200],
        vec![0],
        good[1..].to_vec(),
    ];
    for payload in [
        padded,
        indefinite,
        trailing,
        nested.concat(),
        vec![],
        vec![0x80],
    ] {
        assert_eq!(refusal_of_payload(&payload), Some(TokenError::NotAToken));
    }
}

#[test]
fn claims_that_stand_twice_are_refused() {
    let mut twice = fewest();
    twice.push((4, Item::Int(4_000_000_000)));
    assert_eq!(refusal_of_claims(twice), Some(TokenError::NotAToken));
    let key = map(vec![(1, holder()), (1, holder())]);
    assert_eq!(refusal_of_claims(with(8, key)), Some(TokenError::NotAToken));
}

#[test]
fn each_required_claim_must_be_there() {
    for (label, name) in [(1, "iss"), (3, "aud"), (4, "exp"), (8, "cnf"), (9, "scope")] {
        let refused = refusal_of_claims(without(label));
        assert_eq!(refused, Some(TokenError::BadClaim(name)), "{name}");
    }
    // RFC 9200 §5.10.3: an `exi` is no `exp`.
    let mut claims = without(4);
    claims.push((40, Item::Int(60)));
    assert_eq!(refusal_of_claims(claims), Some(TokenError::BadClaim("exp")));
}

#[test]
fn each_claim_must_be_of_its_type() {
    let wrong = || raw("a0");
    for (label, name) in [
        (1, "iss"),
        (2, "sub"),
        (3, "aud"),
        (4, "exp"),
        (5, "nbf"),
        (6, "iat"),
        (7, "cti"),
        (8, "cnf"),
        (9, "scope"),
    ] {
        for item in [wrong(), raw("f6")] {
            let refused = refusal_of_claims(with(label, item));
            assert_eq!(refused, Some(TokenError::BadClaim(name)), "{name}");
        }
    }
    for date in [
        "20",
        "fbbff0000000000000",
        "fb7ff8000000000000",
        "fb7ff0000000000000",
        "61 31",
    ] {
        let refused = refusal_of_claims(with(4, raw(&date.replace(' ', ""))));
        assert_eq!(refused, Some(TokenError::BadClaim("exp")), "{date}");
    }
    // RFC 8392 §2: dates are not tagged.
    let tagged = refusal_of_claims(with(4, raw("c11af4865700")));
    assert_eq!(tagged, Some(TokenError::BadClaim("exp")));
    let text = refusal_of_claims(with(9, Item::Text(SCOPE)));
    assert_eq!(text, Some(TokenError::BadClaim("scope")));
    let mut claims = Item::Map(vec![(Item::Text("client_id"), Item::Int(1))]);
    if let (Item::Map(members), Item::Map(others)) = (&mut claims, map(fewest())) {
        members.extend(others);
    }
    let refused = refusal_of_payload(&claims.encode());
    assert_eq!(refused, Some(TokenError::BadClaim("client_id")));
}

#[test]
fn issuer_dates_and_audience_are_judged_as_in_a_jwt() {
    use TokenError::{Expired, NotYetValid, WrongAudience, WrongIssuer};
    let audiences = |all: Vec<&'static str>| Item::Array(all.into_iter().map(Item::Text).collect());
    for (label, item, expected) in [
        (1, Item::Text("https://as.example.com/"), Some(WrongIssuer)),
        (1, Item::Text(""), Some(WrongIssuer)),
        (4, Item::Int(1_800_000_000), Some(Expired)),
        (4, Item::Int(0), Some(Expired)),
        (4, Item::Int(1_800_000_001), None),
        // 1 800 000 000.5 is cut off, 1 800 000 001.5 is not yet there.
        (4, raw("fb41dad27480200000"), Some(Expired)),
        (4, raw("fb41dad27480600000"), None),
        (5, Item::Int(1_800_000_030), None),
        (5, Item::Int(1_800_000_031), Some(NotYetValid)),
        (5, raw("1bffffffffffffffff"), Some(NotYetValid)),
        (3, audiences(vec![AUDIENCE]), None),
        (3, audiences(vec!["x", AUDIENCE]), None),
        (3, audiences(vec!["x"]), Some(WrongAudience)),
        (3, audiences(vec![]), Some(WrongAudience)),
        (3, Item::Text("mqtts://broker"), Some(WrongAudience)),
    ] {
        let encoded = item.encode();
        let refused = refusal_of_claims(with(label, item));
        assert_eq!(refused, expected, "{label}: {encoded:02x?}");
    }
}

#[test]
fn a_malformed_scope_is_refused() {
    for (scope, error) in [
        ("", ScopeError::Structure),
        ("a0", ScopeError::Structure),
        ("8161 61", ScopeError::Structure),
        ("81826161 80", ScopeError::Permission),
        ("81826161 816472656164", ScopeError::Permission),
        ("81826161 8263707562 63707562", ScopeError::Permission),
        ("81836161 8163707562 00", ScopeError::Structure),
        ("81 8261618163707562 00", ScopeError::Structure),
        ("9f 8261618163707562 ff", ScopeError::Structure),
    ] {
        let scope = Item::Bytes(hex(&scope.replace(' ', "")));
        let refused = refusal_of_claims(with(9, scope));
        assert_eq!(refused, Some(TokenError::Scope(error)));
    }
    assert_eq!(refusal_of_claims(with(9, Item::Bytes(hex("80")))), None);
}

// RFC 8747 §3.1
#[test]
fn the_confirmation_is_exactly_one() {
    let kid = || Item::Bytes(vec![1, 2]);
    let bad = Some(TokenError::BadClaim("cnf"));
    for (cnf, expected) in [
        (map(vec![(3, kid())]), None),
        (map(vec![(3, kid()), (99, raw("f6"))]), None),
        (map(vec![]), bad.clone()),
        (map(vec![(99, kid())]), bad.clone()),
        (map(vec![(1, holder()), (3, kid())]), bad.clone()),
        (
            map(vec![(1, holder()), (2, raw("8343a10103a040"))]),
            bad.clone(),
        ),
        (map(vec![(3, Item::Text("kid"))]), bad.clone()),
        (map(vec![(1, kid())]), bad.clone()),
        (Item::Array(vec![]), bad.clone()),
    ] {
        let encoded = cnf.encode();
        assert_eq!(refusal_of_claims(with(8, cnf)), expected, "{encoded:02x?}");
    }
}

// RFC 8747 §3.2, RFC 9202 §3.3: a secret that is only signed can be read by all.
#[test]
fn a_secret_in_the_clear_is_refused_on_both_sides() {
    let symmetric = map(vec![(1, Item::Int(4)), (-1, Item::Bytes(vec![7; 32]))]);
    let refused = refusal_of_claims(with(8, map(vec![(1, symmetric)])));
    assert_eq!(refused, Some(TokenError::BadClaim("cnf")));

    let mut secret = claims();
    secret.confirmation = Confirmation::Key(Box::new(jwk(SYMMETRIC)));
    let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    assert_eq!(key.sign_cwt(&secret), Err(PopError::UnsupportedKey));
    assert_eq!(mac_key().mac_cwt(&secret), Err(PopError::UnsupportedKey));
    secret.confirmation = Confirmation::Encrypted("a..b.c.d".to_owned());
    assert_eq!(key.sign_cwt(&secret), Err(PopError::UnsupportedKey));
}

#[test]
fn the_checks_are_made_in_the_order_of_rfc_9200() {
    let all_wrong = vec![
        (1, Item::Text("x")),
        (3, Item::Text("x")),
        (4, Item::Int(1)),
        (8, map(vec![])),
        (9, Item::Bytes(vec![])),
    ];
    let right = fewest();
    let mut now = all_wrong;
    let expected = [
        (1, TokenError::WrongIssuer),
        (4, TokenError::Expired),
        (3, TokenError::WrongAudience),
        (9, TokenError::Scope(ScopeError::Structure)),
        (8, TokenError::BadClaim("cnf")),
    ];
    for (label, error) in expected {
        assert_eq!(refusal_of_claims(now.clone()), Some(error));
        let good = right.iter().find(|(own, _)| *own == label).unwrap();
        now.retain(|(own, _)| *own != label);
        now.push(good.clone());
    }
    assert_eq!(refusal_of_claims(now), None);
}

#[test]
fn debug_of_a_mac_key_shows_no_secret() {
    let shown = format!("{:?}", keys());
    assert!(shown.contains("SymmetricKey(..)"));
    assert!(!shown.contains("[0, 1, 2"));
}

proptest! {
    #[test]
    fn whatever_stands_in_a_well_signed_token_does_not_panic(
        header in prop::collection::vec(any::<u8>(), 0..24),
        payload in prop::collection::vec(any::<u8>(), 0..64),
        label in -8_i64..45,
        value in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        black_box(refusal_of_payload(&payload));
        black_box(refusal_of_header(&header));
        black_box(refusal(&header));
        black_box(refusal_of_claims(with(label, Item::Raw(value.clone()))));
        let mut protected = super::cwt::header();
        protected.push((label, Item::Raw(value)));
        black_box(refusal_of_header(&map(protected).encode()));
    }
}
