//! A symmetric proof-of-possession key that AS and RS compute from the token, so that the token need not carry it (RFC 9202 §3.3.1).

use aws_lc_rs::{digest, hkdf};
use zeroize::Zeroizing;

use crate::{PopError, SymmetricKey, cbor::Value};

/// Length of the key that AS and RS share for this, and of each key derived with it, bytes.
pub const DERIVED_KEY_LENGTH: usize = 32;

/// Length of the mark of a derivation key at the beginning of `cnf.kid`, bytes.
pub const DERIVATION_MARK_LENGTH: usize = 4;

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

/// A key that AS and RS share to derive others with, under a name. `Debug` shows no secret.
///
/// RFC 9202 does not say how the RS knows with which of several keys it is to derive, and leaves the choice of `cnf.kid` to the AS. So the AS
/// lets `cnf.kid` begin with the key's [`mark`](Self::mark): nothing is tried, and to everyone else it is a name like any other.
#[derive(Clone)]
pub struct DerivationKey {
    kid: String,
    key: Zeroizing<[u8; DERIVED_KEY_LENGTH]>,
}

impl DerivationKey {
    /// Takes the key; [`PopError::UnsupportedKey`] unless it has 32 bytes. The name may be empty: then nothing begins with its mark.
    pub fn new(kid: &str, key: &SymmetricKey) -> Result<Self, PopError> {
        let bytes = key.as_bytes().try_into();
        Ok(Self {
            kid: kid.to_owned(),
            key: Zeroizing::new(bytes.map_err(|_| PopError::UnsupportedKey)?),
        })
    }

    /// Its name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What the names of the keys begin with that are derived with it; `None` where it has no name.
    pub fn mark(&self) -> Option<[u8; DERIVATION_MARK_LENGTH]> {
        (!self.kid.is_empty()).then(|| derivation_mark(&self.kid))
    }

    /// The key of a token.
    pub fn derive(&self, token: &[u8]) -> SymmetricKey {
        let key = Zeroizing::new(derived_key(&self.key, token));
        SymmetricKey::from_bytes(&*key)
    }

    /// The key for tokens whose `cnf.kid` is this: the one whose mark it begins with, and else the first, which is the one of before there were
    /// several.
    pub fn choose<'a>(keys: &'a [Self], kid: &[u8]) -> Option<&'a Self> {
        let is_marked = |key: &&Self| key.mark().is_some_and(|mark| kid.starts_with(&mark));
        keys.iter().find(is_marked).or_else(|| keys.first())
    }

    /// The key itself, for whoever keeps it.
    pub fn key(&self) -> SymmetricKey {
        SymmetricKey::from_bytes(&*self.key)
    }
}

impl std::fmt::Debug for DerivationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DerivationKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The mark of a derivation key of this name: the first bytes of its SHA-256.
pub fn derivation_mark(kid: &str) -> [u8; DERIVATION_MARK_LENGTH] {
    let digest = digest::digest(&digest::SHA256, kid.as_bytes());
    let mut mark = [0; DERIVATION_MARK_LENGTH];
    mark.copy_from_slice(&digest.as_ref()[..DERIVATION_MARK_LENGTH]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, byte: u8) -> DerivationKey {
        DerivationKey::new(kid, &SymmetricKey::from_bytes(&[byte; 32])).unwrap()
    }

    #[test]
    fn of_several_keys_the_marked_one_derives_and_else_the_first() {
        let keys = [key("", 1), key("b", 2), key("c", 3)];
        let named = |kid: &[u8]| DerivationKey::choose(&keys, kid).unwrap().kid().to_owned();
        let marked = |kid: &str| [&derivation_mark(kid)[..], b"twelve bytes"].concat();
        assert_eq!(named(&marked("b")), "b");
        assert_eq!(named(&marked("c")), "c");
        assert_eq!(named(&marked("another")), "");
        assert_eq!(named(b""), "");
        assert!(DerivationKey::choose(&[], b"kid").is_none());
        let derived = keys[1].derive(b"token");
        assert_eq!(derived.as_bytes(), derived_key(&[2; 32], b"token"));
    }

    #[test]
    fn a_derivation_key_of_another_length_is_refused_and_none_is_shown() {
        let short = DerivationKey::new("a", &SymmetricKey::from_bytes(&[1; 31]));
        assert!(short.is_err());
        assert_eq!(
            format!("{:?}", key("a", 7)),
            "DerivationKey { kid: \"a\", .. }"
        );
    }
}
