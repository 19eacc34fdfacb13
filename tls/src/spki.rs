//! A raw public key as TLS shows it (RFC 7250): a `SubjectPublicKeyInfo`.

use std::{fmt, sync::Arc};

/// `SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING (32 bytes) }` up to the key (RFC 8410 §4).
const ED25519_PREFIX: &[u8; 12] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// `SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING (65 bytes) }` up to the point, and the octet that says that the point
/// is not compressed (RFC 5480 §2).
const P256_PREFIX: &[u8; 27] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";

/// A public key of Ed25519 or P-256 as a `SubjectPublicKeyInfo` in DER, in the one encoding there is without point compression. So two
/// keys are the same exactly where their bytes are. Cheap to clone.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Spki(Arc<[u8]>);

/// The key inside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublicKey<'a> {
    /// EdDSA with Curve25519 (RFC 8032 §5.1).
    Ed25519(&'a [u8; 32]),
    /// A point of P-256, its coordinates big-endian (SEC 1 §2.3.3).
    P256 {
        /// The first coordinate.
        x: &'a [u8; 32],
        /// The second.
        y: &'a [u8; 32],
    },
}

/// Not a public key of Ed25519 or P-256 in uncompressed DER.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a SubjectPublicKeyInfo of Ed25519 or P-256")]
pub struct SpkiError;

impl Spki {
    /// From DER. Whether a point lies on its curve is found out when a signature is verified with it.
    pub fn parse(der: &[u8]) -> Result<Self, SpkiError> {
        public_key(der)
            .map(|_key| Self(der.into()))
            .ok_or(SpkiError)
    }

    /// Writes the key down.
    pub fn of(key: PublicKey<'_>) -> Self {
        Self(match key {
            PublicKey::Ed25519(key) => [&ED25519_PREFIX[..], key].concat().into(),
            PublicKey::P256 { x, y } => [&P256_PREFIX[..], x, y].concat().into(),
        })
    }

    /// DER.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// The key inside.
    #[expect(
        clippy::missing_panics_doc,
        reason = "both constructors leave a key that can be read"
    )]
    pub fn public_key(&self) -> PublicKey<'_> {
        public_key(&self.0).expect("both constructors leave a key that can be read")
    }
}

fn public_key(der: &[u8]) -> Option<PublicKey<'_>> {
    if let Some(key) = der.strip_prefix(ED25519_PREFIX) {
        return key.try_into().ok().map(PublicKey::Ed25519);
    }
    let point: &[u8; 64] = der.strip_prefix(P256_PREFIX)?.try_into().ok()?;
    let (x, y) = point.split_first_chunk::<32>()?;
    Some(PublicKey::P256 {
        x,
        y: y.try_into().ok()?,
    })
}

impl fmt::Debug for Spki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spki").field(&self.public_key()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_written_down_is_read_again() {
        let (x, y) = ([1; 32], [2; 32]);
        for key in [PublicKey::Ed25519(&x), PublicKey::P256 { x: &x, y: &y }] {
            let spki = Spki::of(key);
            assert_eq!(spki.public_key(), key);
            assert_eq!(Spki::parse(spki.as_der()), Ok(spki));
        }
    }

    // The example of RFC 8410 §10.1.
    #[test]
    fn the_key_of_rfc_8410_is_read() {
        let der = [
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0x19, 0xbf,
            0x44, 0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc, 0x3b, 0x96,
            0xc8, 0x50, 0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70, 0x31,
            0x66, 0xe1,
        ];
        let spki = Spki::parse(&der).unwrap();
        let key: &[u8; 32] = der.last_chunk().unwrap();
        assert_eq!(spki.public_key(), PublicKey::Ed25519(key));
    }

    #[test]
    fn other_lengths_curves_and_compressed_points_are_refused() {
        let p256 = Spki::of(PublicKey::P256 {
            x: &[1; 32],
            y: &[2; 32],
        });
        let mut compressed = p256.as_der().to_vec();
        compressed[26] = 2;
        let mut longer = p256.as_der().to_vec();
        longer.push(0);
        for der in [
            &compressed[..],
            &longer,
            &p256.as_der()[..90],
            ED25519_PREFIX,
            b"",
        ] {
            assert_eq!(Spki::parse(der), Err(SpkiError));
        }
    }
}
