//! Keys that make proofs.

use aws_lc_rs::{
    encoding::{AsBigEndian as _, EcPrivateKeyBin},
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};

use super::{Jwk, PopAlgorithm, PopError, PopKey, SymmetricKey};
use crate::base64url;

/// Length of an Ed25519 seed, of a P-256 private key, and of the HS256 keys made here, bytes.
const SECRET_LENGTH: usize = 32;

/// A key that makes proofs. Its secret is wiped when dropped and never shown by `Debug`.
pub struct PopSigner {
    pair: Pair,
    /// `d`, or `k` of a symmetric key.
    secret: SymmetricKey,
    verifying_key: PopKey,
}

/// The secret in the form that the cryptographic library takes.
enum Pair {
    Hs256(Box<hmac::Key>),
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

impl PopSigner {
    /// Makes a key from the system's random source. Fails only where that does.
    pub fn generate(algorithm: PopAlgorithm) -> Result<Self, PopError> {
        match algorithm {
            PopAlgorithm::Hs256 => Ok(Self::hs256(SymmetricKey::random(SECRET_LENGTH)?)),
            PopAlgorithm::EdDsa => {
                let seed = SymmetricKey::random(SECRET_LENGTH)?;
                let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_bytes());
                Self::ed25519(seed, pair.map_err(|_| PopError::Crypto)?)
            }
            PopAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                    .map_err(|_| PopError::Crypto)?;
                let d: EcPrivateKeyBin<'_> = pair
                    .private_key()
                    .as_be_bytes()
                    .map_err(|_| PopError::Crypto)?;
                Self::es256(SymmetricKey::from_bytes(d.as_ref()), pair)
            }
        }
    }

    /// From a private or symmetric JWK. The public members must be there and fit the private one; `alg`, `use` and `key_ops` must fit where
    /// they are present.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, PopError> {
        let unsupported = PopError::UnsupportedKey;
        let key = PopKey::from_members(jwk).ok_or(unsupported)?;
        if !jwk.may("sign") {
            return Err(unsupported);
        }
        let private = || {
            let d = jwk.d().and_then(base64url::decode_secret);
            d.filter(|d| d.len() == SECRET_LENGTH)
                .map(SymmetricKey)
                .ok_or(unsupported)
        };
        match &key {
            PopKey::Hs256(_) if jwk.d().is_some() => Err(unsupported),
            PopKey::Hs256(secret) => Ok(Self::hs256(secret.clone())),
            PopKey::Ed25519(x) => {
                let seed = private()?;
                let pair = Ed25519KeyPair::from_seed_and_public_key(seed.as_bytes(), x);
                Self::ed25519(seed, pair.map_err(|_| unsupported)?)
            }
            PopKey::Es256(point) => {
                let d = private()?;
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    d.as_bytes(),
                    point,
                );
                Self::es256(d, pair.map_err(|_| unsupported)?)
            }
        }
    }

    fn hs256(secret: SymmetricKey) -> Self {
        Self {
            pair: Pair::Hs256(Box::new(hmac::Key::new(
                hmac::HMAC_SHA256,
                secret.as_bytes(),
            ))),
            verifying_key: PopKey::Hs256(secret.clone()),
            secret,
        }
    }

    fn ed25519(secret: SymmetricKey, pair: Ed25519KeyPair) -> Result<Self, PopError> {
        let x = pair.public_key().as_ref().try_into();
        Ok(Self {
            verifying_key: PopKey::Ed25519(x.map_err(|_| PopError::Crypto)?),
            pair: Pair::Ed25519(pair),
            secret,
        })
    }

    fn es256(secret: SymmetricKey, pair: EcdsaKeyPair) -> Result<Self, PopError> {
        let point = pair.public_key().as_ref().try_into();
        Ok(Self {
            verifying_key: PopKey::Es256(point.map_err(|_| PopError::Crypto)?),
            pair: Pair::Es256(pair),
            secret,
        })
    }

    /// As a private JWK: handle with care.
    pub fn to_jwk(&self) -> Jwk {
        let public = self.verifying_key.to_jwk();
        match self.pair {
            Pair::Hs256(_) => public,
            Pair::Ed25519(_) | Pair::Es256(_) => public.with_private(self.secret.as_bytes()),
        }
    }

    /// The secret bytes: those of `d`, or of `k` of a symmetric key. Handle with care.
    pub fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// Which algorithm it signs with.
    pub fn algorithm(&self) -> PopAlgorithm {
        self.verifying_key.algorithm()
    }

    /// The key that verifies what this one signs.
    pub fn verifying_key(&self) -> PopKey {
        self.verifying_key.clone()
    }

    /// Makes the proof over `message`: the raw MAC or signature. ES256 draws on the system's random source.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PopError> {
        let signature = match &self.pair {
            Pair::Hs256(key) => return Ok(hmac::sign(key, message).as_ref().to_vec()),
            Pair::Ed25519(pair) => pair.try_sign(message),
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), message),
        };
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| PopError::Crypto)
    }
}

impl std::fmt::Debug for PopSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PopSigner")
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}
