use std::hint::black_box;

use proptest::prelude::*;
use symbolon_ace_proto::{
    Confirmation, Jwk, KeySet, MacKey, PopKey, PopSigner, SigningKey, SymmetricKey, TokenError,
    jwe::ContentKeys, jwt::SigningAlgorithm,
};

use crate::{
    cbor::{Item, map},
    vectors::{
        ED25519_PRIVATE, ED25519_PUBLIC, P256_PRIVATE, P256_PUBLIC, SYMMETRIC, base64url, hex, jwk,
    },
};

/// The example of RFC 9679 §6 and its thumbprint.
const RFC_9679_X: &str = "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d";
const RFC_9679_Y: &str = "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c";
const RFC_9679_CKT: &str = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec";

fn p256(x: &str, y: &str) -> Vec<(i64, Item)> {
    vec![
        (1, Item::Int(2)),
        (-1, Item::Int(1)),
        (-2, Item::Bytes(hex(x))),
        (-3, Item::Bytes(hex(y))),
    ]
}

fn read(members: Vec<(i64, Item)>) -> Option<Jwk> {
    Jwk::from_cose_key(&map(members).encode()).ok()
}

#[test]
fn a_key_has_the_same_identity_in_both_forms() {
    for text in [ED25519_PUBLIC, P256_PUBLIC, SYMMETRIC] {
        let key = PopKey::from_jwk(&jwk(text)).unwrap();
        let encoded = key.to_jwk().to_cose_key().unwrap();
        let read = PopKey::from_jwk(&Jwk::from_cose_key(&encoded).unwrap()).unwrap();
        assert_eq!(read, key);
        assert_eq!(read.thumbprint(), key.thumbprint());
        assert_eq!(read.cose_thumbprint(), key.cose_thumbprint());
        assert_ne!(key.thumbprint(), key.cose_thumbprint());
    }
}

#[test]
fn private_keys_come_back() {
    for text in [ED25519_PRIVATE, P256_PRIVATE] {
        let signer = PopSigner::from_jwk(&jwk(text).with_kid("k-1")).unwrap();
        let encoded = signer.to_jwk().with_kid("k-1").to_cose_key().unwrap();
        let read = Jwk::from_cose_key(&encoded).unwrap();
        assert_eq!(read.kid.as_deref(), Some("k-1"));
        let read = PopSigner::from_jwk(&read).unwrap();
        assert_eq!(read.verifying_key(), signer.verifying_key());
    }
}

// RFC 9679 §6
#[test]
fn the_thumbprint_is_that_of_the_standard() {
    let mut members = p256(RFC_9679_X, RFC_9679_Y);
    let kid = "1decade2facade3";
    members.push((2, Item::Bytes(kid.as_bytes().to_vec())));
    let key = PopKey::from_jwk(&read(members).unwrap()).unwrap();
    assert_eq!(key.cose_thumbprint().to_vec(), hex(RFC_9679_CKT));
}

// RFC 8747 §3.3
#[test]
fn the_standards_symmetric_key_is_read() {
    let encoded = hex(
        "a30104030520582066 84523ab17337f173500e5728c628547cb37dfe68449c65f885d1b73b49eae1"
            .replace(' ', "")
            .as_str(),
    );
    let key = PopKey::from_jwk(&Jwk::from_cose_key(&encoded).unwrap()).unwrap();
    assert!(matches!(key, PopKey::Hs256(_)));
    assert_eq!(*key.to_jwk().to_cose_key().unwrap(), encoded);
}

// RFC 9202 §3.3.2: what the PSK identity of the example holds.
#[test]
fn a_symmetric_key_may_be_only_named() {
    let named = Confirmation::from_cbor(&hex("a101a2010402483d027833fc6267ce")).unwrap();
    let Confirmation::Key(key) = &named else {
        panic!("not a key");
    };
    assert!(key.is_symmetric() && !key.is_secret());
    assert_eq!(key.kid.as_deref(), Some("PQJ4M_xiZ84"));
    assert!(named.resolve(&ContentKeys::default()).is_err());
    let encoded = named.to_cbor().unwrap();
    assert_eq!(*encoded, hex("a101a2010402483d027833fc6267ce"));
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let x = || Item::Bytes(vec![1; 32]);
    let okp = |crv| vec![(1, Item::Int(1)), (-1, crv), (-2, x())];
    for members in [
        vec![],
        vec![(1, Item::Int(1))],
        okp(Item::Int(4)),
        okp(Item::Text("Ed25519")),
        vec![(1, Item::Int(3)), (-1, x()), (-2, x())],
        vec![(1, Item::Text("OKP")), (-1, Item::Int(6)), (-2, x())],
        vec![(1, Item::Int(1)), (-1, Item::Int(6)), (-2, Item::Text("x"))],
        // A compressed point.
        vec![
            (1, Item::Int(2)),
            (-1, Item::Int(1)),
            (-2, x()),
            (-3, Item::Raw(vec![0xf5])),
        ],
        vec![(1, Item::Int(2)), (-1, Item::Int(2)), (-2, x()), (-3, x())],
        vec![(1, Item::Int(4)), (-1, Item::Text("secret"))],
        vec![(1, Item::Int(4)), (2, Item::Text("kid"))],
    ] {
        assert!(read(members).is_none());
    }
}

#[test]
fn a_point_that_is_not_on_the_curve_is_no_key() {
    let jwk = read(p256(RFC_9679_X, RFC_9679_X)).unwrap();
    assert!(PopKey::from_jwk(&jwk).is_err());
    let mut short = jwk;
    short.x = Some(base64url([1; 31]));
    assert!(PopKey::from_jwk(&short).is_err());
}

// RFC 9201 §3.1
#[test]
fn algorithm_and_operations_must_fit() {
    let with = |label, item| {
        let mut members = p256(RFC_9679_X, RFC_9679_Y);
        members.push((label, item));
        PopKey::from_jwk(&read(members).unwrap()).is_ok()
    };
    let operations = |number| Item::Array(vec![Item::Int(number)]);
    assert!(with(3, Item::Int(-7)));
    assert!(with(3, Item::Int(-9)));
    for algorithm in [-8, -35, 5, 3, 1000] {
        assert!(!with(3, Item::Int(algorithm)), "{algorithm}");
    }
    assert!(!with(3, Item::Text("ES256")));
    assert!(with(4, operations(2)));
    for operation in [1, 3, 7, 99] {
        assert!(!with(4, operations(operation)), "{operation}");
    }
    assert!(!with(4, Item::Array(vec![])));
}

#[test]
fn operations_of_a_mac_come_back() {
    let mut members = vec![(1, Item::Int(4)), (-1, Item::Bytes(vec![7; 32]))];
    members.push((4, Item::Array(vec![Item::Int(9), Item::Int(10)])));
    let encoded = map(members.clone()).encode();
    let key = Jwk::from_cose_key(&encoded).unwrap();
    assert!(PopSigner::from_jwk(&key).is_ok());
    let again = Jwk::from_cose_key(&key.to_cose_key().unwrap()).unwrap();
    assert_eq!(again.to_json(), key.to_json());
    assert!(key.to_cose_key().unwrap().ends_with(&[7; 32]));
    assert!(
        key.to_cose_key()
            .unwrap()
            .windows(4)
            .any(|w| w == [4, 0x82, 9, 10])
    );
}

#[test]
fn what_has_no_form_in_cose_is_refused() {
    let mut key = jwk(ED25519_PUBLIC);
    key.alg = Some("RS256".to_owned());
    assert!(key.to_cose_key().is_err());
    key.alg = None;
    key.x = None;
    assert!(key.to_cose_key().is_err());
    assert!(Jwk::default().to_cose_key().is_err());
}

#[test]
fn a_key_set_comes_back_without_secrets() {
    let key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
    let mac = MacKey::new("m", SymmetricKey::from_bytes(&[7; 32])).unwrap();
    let set = KeySet::from_keys(vec![key.to_jwk(), jwk(ED25519_PRIVATE).with_kid("ed")])
        .with_mac_keys(vec![mac]);
    assert_eq!(set.len(), 3);
    let encoded = set.to_cose();
    assert!(!encoded.windows(32).any(|window| window == [7; 32]));
    let d = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    assert!(!encoded.windows(32).any(|window| window == d));
    let read = KeySet::from_cose(&encoded).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read.to_json(), {
        let public = KeySet::from_keys(vec![
            key.to_public_jwk(),
            jwk(ED25519_PUBLIC).with_kid("ed"),
        ]);
        public.to_json()
    });
}

// A `kid` that is letters is the same letters in a JWK Set, in a `COSE_KeySet` and in a token.
#[test]
fn names_of_keys_are_the_same_in_either_set() {
    for kid in [
        "mac",
        "abcd",
        "as1",
        "https://as.example.com/keys#1",
        "\u{fc}",
    ] {
        let set = KeySet::from_keys(vec![jwk(ED25519_PUBLIC).with_kid(kid)]);
        let encoded = set.to_cose();
        let name = kid.as_bytes();
        assert!(
            encoded.windows(name.len()).any(|window| window == name),
            "{kid}"
        );
        let read = KeySet::from_cose(&encoded).unwrap();
        if kid.is_ascii() {
            assert_eq!(read.to_json(), set.to_json());
        }
        assert_eq!(
            read.to_cose().len(),
            encoded.len() + usize::from(!kid.is_ascii())
        );
    }
}

#[test]
fn what_is_no_key_set_is_refused() {
    for text in ["a0", "f6", "", "8100 00", "9fff"] {
        let refused = KeySet::from_cose(&hex(&text.replace(' ', ""))).err();
        assert_eq!(refused, Some(TokenError::NotAKeySet), "{text}");
    }
    let many = Item::Array(vec![map(vec![]); KeySet::MAX_KEYS + 1]).encode();
    assert!(KeySet::from_cose(&many).is_err());
    let others = Item::Array(vec![map(vec![]), Item::Int(1)]).encode();
    assert!(KeySet::from_cose(&others).unwrap().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_of_keys_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        black_box(KeySet::from_cose(&bytes).is_ok());
        black_box(Confirmation::from_cbor(&bytes).map(|cnf| cnf.resolve(&ContentKeys::default())).is_ok());
        black_box(Confirmation::Encrypted(base64url(&bytes)).resolve(&ContentKeys::default()).is_ok());
        if let Ok(jwk) = Jwk::from_cose_key(&bytes) {
            black_box(PopKey::from_jwk(&jwk).is_ok());
            black_box(jwk.to_cose_key().is_ok());
        }
    }
}
