//! Proof-of-possession keys (RFC 7800, RFC 9431 §2.2.5).
//!
//! A [`Jwk`] is what stands on the wire, a [`PopKey`] or [`PopSigner`] is what has been checked and can be used.

mod cose;
mod jwk;
mod signer;

use aws_lc_rs::{
    constant_time, digest, hmac,
    signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm},
};
use zeroize::Zeroizing;

pub use cose::MalformedCoseKey;
pub use jwk::Jwk;
pub use signer::PopSigner;

use crate::base64url;

/// The least length of an HS256 key, bytes (RFC 7518 §3.2).
pub const MIN_SYMMETRIC_LENGTH: usize = 32;

/// The algorithms a proof may use: HS256 and Ed25519 as RFC 9431 §2.2.5 demands, ES256 besides.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PopAlgorithm {
    /// HMAC-SHA-256; proofs of 32 bytes. JWA name `HS256`.
    Hs256,
    /// Ed25519; proofs of 64 bytes. JWA name `EdDSA`.
    EdDsa,
    /// ECDSA on P-256 with SHA-256; proofs are R||S, 64 bytes. JWA name `ES256`.
    Es256,
}

/// A symmetric key. Wiped when dropped, compared in constant time, never shown by `Debug`.
#[derive(Clone)]
pub struct SymmetricKey(Zeroizing<Vec<u8>>);

/// A key that verifies proofs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PopKey {
    /// The shared secret, at least 32 bytes (RFC 7518 §3.2).
    Hs256(SymmetricKey),
    /// The public key, 32 bytes.
    Ed25519([u8; 32]),
    /// The public key, an uncompressed point of 65 bytes, 04 || x || y.
    Es256([u8; 65]),
}

/// Why a proof or a key is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PopError {
    /// MAC or signature does not match, or has the wrong length.
    #[error("proof of possession does not match")]
    Mismatch,
    /// The key's type, curve, algorithm or length is not one we do (RFC 9200 `unsupported_pop_key`).
    #[error("proof-of-possession key is not supported")]
    UnsupportedKey,
    /// A `kid` stands where the key itself is needed; whoever stores keys has to resolve it.
    #[error("proof-of-possession key is only named, not given")]
    KeyIdentifierOnly,
    /// A JWE cannot be decrypted: one error for all reasons.
    #[error("proof-of-possession key cannot be decrypted")]
    Undecryptable,
    /// The system's random source or the cryptographic library failed.
    #[error("the random source or the cryptographic library failed")]
    Crypto,
}

impl PopAlgorithm {
    /// The JWA name (RFC 7518 §3.1, RFC 8037 §3.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    /// From the JWA name. `Ed25519` (RFC 9864) is the same as `EdDSA` here, since we do no other curve.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

impl SymmetricKey {
    /// Takes the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// Takes `length` bytes of the system's random source.
    pub(crate) fn random(length: usize) -> Result<Self, PopError> {
        let mut bytes = Zeroizing::new(vec![0; length]);
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PopError::Crypto)?;
        Ok(Self(bytes))
    }

    /// The secret bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for SymmetricKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for SymmetricKey {}

impl std::fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricKey(..)")
    }
}

impl PopKey {
    /// Which algorithm it verifies.
    pub fn algorithm(&self) -> PopAlgorithm {
        match self {
            Self::Hs256(_) => PopAlgorithm::Hs256,
            Self::Ed25519(_) => PopAlgorithm::EdDsa,
            Self::Es256(_) => PopAlgorithm::Es256,
        }
    }

    /// Checks a proof over `message`; symmetric ones in constant time. A symmetric key that is too short proves nothing and is refused as
    /// [`PopError::UnsupportedKey`].
    pub fn verify(&self, message: &[u8], proof: &[u8]) -> Result<(), PopError> {
        let outcome = match self {
            Self::Hs256(key) if key.as_bytes().len() < MIN_SYMMETRIC_LENGTH => {
                return Err(PopError::UnsupportedKey);
            }
            Self::Hs256(key) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
                hmac::verify(&key, message, proof)
            }
            Self::Ed25519(_) | Self::Es256(_) => self.parse_public()?.verify_sig(message, proof),
        };
        outcome.map_err(|_| PopError::Mismatch)
    }

    /// From a public or symmetric JWK. `alg`, `use` and `key_ops` must fit where they are present (RFC 9201 §3.1), lengths must be exact and
    /// a point must be on its curve. A JWK with a private part is refused: it does not belong where public keys are read.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, PopError> {
        if jwk.d().is_some() || !jwk.may("verify") {
            return Err(PopError::UnsupportedKey);
        }
        Self::from_members(jwk).ok_or(PopError::UnsupportedKey)
    }

    /// The public or symmetric part; a private part and `key_ops` are not looked at.
    pub(crate) fn from_members(jwk: &Jwk) -> Option<Self> {
        let curve = jwk.crv.as_deref();
        let key = match (jwk.kty.as_str(), curve) {
            ("oct", None) => {
                let bytes = base64url::decode_secret(jwk.k()?)?;
                if bytes.len() < MIN_SYMMETRIC_LENGTH {
                    return None;
                }
                Self::Hs256(SymmetricKey(bytes))
            }
            ("OKP", Some("Ed25519")) => Self::Ed25519(base64url::decode_exact(jwk.x.as_deref()?)?),
            ("EC", Some("P-256")) => {
                let x: [u8; 32] = base64url::decode_exact(jwk.x.as_deref()?)?;
                let y: [u8; 32] = base64url::decode_exact(jwk.y.as_deref()?)?;
                let mut point = [4; 65];
                point[1..33].copy_from_slice(&x);
                point[33..].copy_from_slice(&y);
                Self::Es256(point)
            }
            _ => return None,
        };
        match key {
            Self::Hs256(_) => {}
            Self::Ed25519(_) | Self::Es256(_) => drop(key.parse_public().ok()?),
        }
        jwk.is_for(key.algorithm()).then_some(key)
    }

    /// As a JWK; a symmetric one contains the secret.
    pub fn to_jwk(&self) -> Jwk {
        match self {
            Self::Hs256(key) => Jwk::symmetric(key.as_bytes()),
            Self::Ed25519(x) => Jwk::ed25519(x),
            Self::Es256(point) => Jwk::p256(&point[1..33], &point[33..]),
        }
    }

    /// The JWK Thumbprint (RFC 7638) with SHA-256: what identifies the key. That of a symmetric key is as good as a fast hash of the secret:
    /// keep it to yourself (RFC 7638 §7).
    pub fn thumbprint(&self) -> [u8; 32] {
        let encode = base64url::encode;
        let members = Zeroizing::new(match self {
            Self::Hs256(key) => {
                let k = Zeroizing::new(encode(key.as_bytes()));
                format!(r#"{{"k":"{}","kty":"oct"}}"#, *k)
            }
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
            Self::Es256(point) => format!(
                r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                encode(&point[1..33]),
                encode(&point[33..])
            ),
        });
        let mut thumbprint = [0; 32];
        let hash = digest::digest(&digest::SHA256, members.as_bytes());
        thumbprint.copy_from_slice(hash.as_ref());
        thumbprint
    }

    /// The public key, ready to verify many signatures; a symmetric one is refused.
    pub(crate) fn parse_public(&self) -> Result<ParsedPublicKey, PopError> {
        let (algorithm, bytes): (&'static dyn VerificationAlgorithm, &[u8]) = match self {
            Self::Hs256(_) => return Err(PopError::UnsupportedKey),
            Self::Ed25519(bytes) => (&ED25519, bytes),
            Self::Es256(bytes) => (&ECDSA_P256_SHA256_FIXED, bytes),
        };
        ParsedPublicKey::new(algorithm, bytes).map_err(|_| PopError::UnsupportedKey)
    }
}
