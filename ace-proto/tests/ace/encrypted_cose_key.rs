use symbolon_ace_proto::{Confirmation, PopError, PopKey, SymmetricKey, jwe::ContentKeys};

use crate::{
    cbor::{Item, map, raw},
    cwt::content_key,
    vectors::{ED25519_PUBLIC, SYMMETRIC, base64url, from_base64url, jwk},
};

// RFC 8747 §3.3: what is encrypted with AES-CCM and a tag of 8 bytes is recognized, and not decrypted.
#[test]
fn the_standards_encrypted_key_is_read_and_refused() {
    let ciphertext = Item::Bytes(vec![0; 49]);
    let cnf = map(vec![(
        2,
        Item::Array(vec![
            raw("43a1010a"),
            raw("a1054d636898994ff0ec7bfcf6d3f95b"),
            ciphertext,
        ]),
    )]);
    let read = Confirmation::from_cbor(&cnf.encode()).unwrap();
    assert!(matches!(read, Confirmation::Encrypted(_)));
    assert_eq!(*read.to_cbor().unwrap(), cnf.encode());
    let key = read.resolve(&ContentKeys(vec![content_key()]));
    assert_eq!(key, Err(PopError::Undecryptable));
}

#[test]
fn an_encrypted_key_comes_back_with_the_right_key_only() {
    let secret = jwk(SYMMETRIC);
    let encrypted = content_key().encrypt_cose_key(&secret).unwrap();
    let confirmation = Confirmation::Encrypted(encrypted.clone());
    let keys = ContentKeys(vec![content_key()]);
    assert_eq!(confirmation.resolve(&keys), PopKey::from_jwk(&secret));

    let mut other = content_key();
    other.key = SymmetricKey::from_bytes(&[9; 32]);
    for keys in [ContentKeys(vec![other]), ContentKeys::default()] {
        let refused = confirmation.resolve(&keys);
        assert_eq!(refused, Err(PopError::Undecryptable));
    }
    let bytes = from_base64url(&encrypted);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let refused = Confirmation::Encrypted(base64url(changed)).resolve(&keys);
        assert!(refused.is_err(), "byte {at}");
    }
}

#[test]
fn what_is_encrypted_must_be_symmetric() {
    let encrypted = content_key()
        .encrypt_cose_key(&jwk(ED25519_PUBLIC))
        .unwrap();
    let resolved = Confirmation::Encrypted(encrypted).resolve(&ContentKeys(vec![content_key()]));
    assert_eq!(resolved, Err(PopError::UnsupportedKey));
}
