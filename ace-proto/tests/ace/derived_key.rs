//! Keys derived from tokens (RFC 9202 §3.3.1).

use symbolon_ace_proto::derived_key;

use crate::vectors::hex;

/// The bytes 00 to 1f.
fn shared() -> [u8; 32] {
    std::array::from_fn(|place| u8::try_from(place).unwrap())
}

// RFC 9202 §3.3.1: computed apart from this with Python's cryptography.
#[test]
fn the_key_of_a_token_is_that_of_the_standard() {
    let expected = "4b011bdf8ea5d8220b6aed74ce03d3479040e2bebdbf0cd92f197ff840ee62bc";
    assert_eq!(
        derived_key(&shared(), &hex("d08343a1")).to_vec(),
        hex(expected)
    );
}

#[test]
fn another_token_or_another_shared_key_is_another_key() {
    let key = derived_key(&shared(), b"token");
    assert_ne!(key, derived_key(&shared(), b"tokem"));
    assert_ne!(key, derived_key(&shared(), b"token\0"));
    assert_ne!(key, derived_key(&[0; 32], b"token"));
}

// RFC 8949 §4.2.1: the head of the token in `info` is as short as it can be, whatever its length.
#[test]
fn tokens_of_every_length_have_keys_of_their_own() {
    let lengths = [0, 23, 24, 255, 256, 65_535];
    let keys = lengths.map(|length| derived_key(&shared(), &vec![b'a'; length]));
    for (place, key) in keys.iter().enumerate() {
        assert!(!keys[..place].contains(key), "{}", lengths[place]);
    }
}
