//! What a revoked token is called in the list of the AS (RFC 9770 §4): a hash, so that the list gives no token away.

use crate::base64url;
use aws_lc_rs::digest::{SHA256, digest};

/// A token's name in the token revocation list: in the binary form of RFC 6920 with SHA-256, one byte that says so and 32 of the hash.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenHash([u8; 32]);

/// The suite `sha-256` in the binary form (RFC 6920 §6 and §9.4).
const SUITE: u8 = 1;

impl TokenHash {
    /// Bytes of it.
    pub const LENGTH: usize = 33;

    /// Of a token that the AS gave in a JSON answer, by the text of its `access_token`.
    pub fn of_json_answer(access_token: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, access_token).as_ref());
        Self(hash)
    }

    /// Of a token that the AS gave in a CBOR answer, by the bytes of its `access_token`.
    pub fn of_cbor_answer(access_token: &[u8]) -> Self {
        Self::of_json_answer(base64url::encode(access_token).as_bytes())
    }

    /// The names that a token may have: an RS does not know what the answer was in that the client got it by. A JWT is its own text; of a CWT
    /// the text in JSON is the base64url of its bytes, and that is its name in both.
    pub fn seen_by_rs(token: &[u8]) -> [Self; 2] {
        [Self::of_json_answer(token), Self::of_cbor_answer(token)]
    }

    /// As it stands in the list.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [SUITE; Self::LENGTH];
        bytes[1..].copy_from_slice(&self.0);
        bytes
    }

    /// From the list; `None` for a hash of another suite or length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&SUITE, hash)) => hash.try_into().ok().map(Self),
            Some(_) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<Vec<_>>().concat()
    }

    // RFC 9770 §4, the vectors of this project.
    #[test]
    fn a_token_has_one_name_for_each_encoding_of_the_answer() {
        let token = b"abc.def.ghi";
        let [json, cbor] = TokenHash::seen_by_rs(token);
        assert_eq!(
            hex(&json.to_bytes()),
            "016559e90b5dd57405bdf180f29b509053a3d36c4abf3de535ab249b54d4327234"
        );
        assert_eq!(
            hex(&cbor.to_bytes()),
            "01420ed0c100adcee3dcd6e7a52ae1152411704f3bb6cc8f18c0bae91b772cdc7e"
        );
    }

    #[test]
    fn a_hash_of_another_suite_or_length_is_none() {
        let bytes = TokenHash::of_json_answer(b"a").to_bytes();
        assert_eq!(
            TokenHash::from_bytes(&bytes),
            Some(TokenHash::of_json_answer(b"a"))
        );
        assert_eq!(TokenHash::from_bytes(&bytes[..32]), None);
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(TokenHash::from_bytes(&other), None);
        assert_eq!(TokenHash::from_bytes(&[]), None);
    }
}
