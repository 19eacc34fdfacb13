//! A symmetric proof-of-possession key that AS and RS compute from the token, so that the token need not carry it (RFC 9202 §3.3.1).

use aws_lc_rs::hkdf;

use crate::cbor::Value;

/// Length of the key that AS and RS share for this, and of each key derived with it, bytes.
pub const DERIVED_KEY_LENGTH: usize = 32;

/// What the derivation is for, first in its `info`.
const TYPE: &str = "ACE-CoAP-DTLS-key-derivation";

/// The key of `token`: HKDF-SHA-256 with an empty salt over the key that AS and RS share.
///
/// `token` is what reaches the RS, byte for byte: the text of a JWT or of a reference, the raw bytes of a CWT.
#[expect(
    clippy::missing_panics_doc,
    reason = "one block of HKDF is always to be had"
)]
pub fn derived_key(
    derivation_key: &[u8; DERIVED_KEY_LENGTH],
    token: &[u8],
) -> [u8; DERIVED_KEY_LENGTH] {
    let info = Value::Array(vec![
        Value::Text(TYPE),
        Value::Unsigned(DERIVED_KEY_LENGTH as u64),
        Value::Bytes(token),
    ])
    .encode();
    let mut key = [0; DERIVED_KEY_LENGTH];
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(derivation_key)
        .expand(&[&info], hkdf::HKDF_SHA256)
        .and_then(|material| material.fill(&mut key))
        .expect("32 bytes are one block of HKDF-SHA-256, which gives up to 255");
    key
}
