use serde_json::json;
use symbolon_ace_proto::{
    Confirmation, PopError, PopKey,
    confirmation::MalformedConfirmation,
    jwe::{ContentKey, ContentKeys},
};

use crate::vectors::{ED25519_PRIVATE, ED25519_PUBLIC, SYMMETRIC, jwk};

// RFC 7800 §3.2
#[test]
fn a_jwk_is_the_key_itself() {
    let value = json!({ "jwk": jwk(ED25519_PUBLIC) });
    let cnf = Confirmation::parse(&value).unwrap();
    assert_eq!(cnf.to_json(), value);
    let key = cnf.resolve(&ContentKeys::default()).unwrap();
    assert_eq!(key, PopKey::from_jwk(&jwk(ED25519_PUBLIC)).unwrap());
}

// RFC 7800 §3.3
#[test]
fn a_jwe_is_opened_with_the_content_key() {
    let content_key = ContentKey::generate().unwrap();
    let jwe = content_key.encrypt(&jwk(SYMMETRIC)).unwrap();
    let value = json!({ "jwe": jwe });
    let cnf = Confirmation::parse(&value).unwrap();
    assert_eq!(cnf.to_json(), value);

    let keys = ContentKeys(vec![ContentKey::generate().unwrap(), content_key]);
    let key = cnf.resolve(&keys).unwrap();
    assert_eq!(key, PopKey::from_jwk(&jwk(SYMMETRIC)).unwrap());
    let none = cnf.resolve(&ContentKeys::default());
    assert_eq!(none, Err(PopError::Undecryptable));
}

// RFC 7800 §3.3: what is encrypted is a symmetric key.
#[test]
fn a_jwe_with_a_public_key_inside_is_refused() {
    let content_key = ContentKey::generate().unwrap();
    let jwe = content_key.encrypt(&jwk(ED25519_PUBLIC)).unwrap();
    let resolved = Confirmation::Encrypted(jwe).resolve(&ContentKeys(vec![content_key]));
    assert_eq!(resolved, Err(PopError::UnsupportedKey));
}

// RFC 7800 §3.4
#[test]
fn a_kid_is_bytes_and_base64url_of_them_in_json() {
    let cnf = Confirmation::parse(&json!({ "kid": "PQJ4M_xiZ84" })).unwrap();
    let Confirmation::KeyIdentifier(kid) = &cnf else {
        panic!("not a kid: {cnf:?}")
    };
    assert_eq!(kid, b"\x3d\x02\x78\x33\xfc\x62\x67\xce");
    assert_eq!(cnf.to_json(), json!({ "kid": "PQJ4M_xiZ84" }));
    let resolved = cnf.resolve(&ContentKeys::default());
    assert_eq!(resolved, Err(PopError::KeyIdentifierOnly));
}

#[test]
fn a_kid_that_is_not_base64url_stands_for_its_own_bytes() {
    let cnf = Confirmation::parse(&json!({ "kid": "key one!" })).unwrap();
    assert!(matches!(cnf, Confirmation::KeyIdentifier(kid) if kid == b"key one!"));
}

// RFC 9431 §2.2.3.2
#[test]
fn a_symmetric_jwk_with_nothing_but_a_kid_names_a_key() {
    let cnf = Confirmation::parse(&json!({ "jwk": { "kty": "oct", "kid": "PQJ4M_xiZ84" } }));
    let resolved = cnf.unwrap().resolve(&ContentKeys::default());
    assert_eq!(resolved, Err(PopError::KeyIdentifierOnly));
}

#[test]
fn unknown_members_are_ignored() {
    let value = json!({ "jwk": jwk(ED25519_PUBLIC), "x5t#S256": "abc", "jkt": 1 });
    assert!(Confirmation::parse(&value).is_ok());
}

// RFC 7800 §3.1
#[test]
fn anything_but_exactly_one_key_is_refused() {
    let key = jwk(ED25519_PUBLIC);
    for value in [
        json!({}),
        json!({ "jwk": key, "jwe": "a..b.c.d" }),
        json!({ "jwk": key, "kid": "a" }),
        json!({ "jwe": "a..b.c.d", "kid": "a" }),
        json!({ "jwk": key, "jwe": "a..b.c.d", "kid": "a" }),
        json!({ "jkt": "abc" }),
        json!({ "jwk": null }),
        json!({ "jwk": "text" }),
        json!({ "jwk": [] }),
        json!({ "jwk": {} }),
        json!({ "jwe": {} }),
        json!({ "kid": 1 }),
        json!([key]),
        json!("kid"),
        json!(null),
    ] {
        let refused = Confirmation::parse(&value).map(|_| ());
        assert_eq!(refused, Err(MalformedConfirmation), "{value}");
    }
}

// RFC 8725 §3.10
#[test]
fn a_place_to_fetch_the_key_from_is_refused() {
    for value in [
        json!({ "jku": "https://keys.example.com/jwks" }),
        json!({ "jku": "https://keys.example.com/jwks", "kid": "a" }),
        json!({ "jwk": jwk(ED25519_PUBLIC), "jku": "https://keys.example.com/jwks" }),
        json!({ "jwk": jwk(ED25519_PUBLIC), "jku": null }),
    ] {
        assert!(Confirmation::parse(&value).is_err(), "{value}");
    }
}

#[test]
fn a_private_key_is_refused() {
    let cnf = Confirmation::Key(Box::new(jwk(ED25519_PRIVATE)));
    let resolved = cnf.resolve(&ContentKeys::default());
    assert_eq!(resolved, Err(PopError::UnsupportedKey));
}
