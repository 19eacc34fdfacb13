//! Proof-of-possession keys (RFC 7800, RFC 9431 §2.2.5).

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
pub struct SymmetricKey(Vec<u8>);

/// A key that verifies proofs.
#[derive(Clone, Debug)]
pub enum PopKey {
    /// The shared secret, at least 32 bytes (RFC 7518 §3.2).
    Hs256(SymmetricKey),
    /// The public key, 32 bytes.
    Ed25519([u8; 32]),
    /// The public key, an uncompressed point of 65 bytes, 04 || x || y.
    Es256([u8; 65]),
}

/// A key that makes proofs. Its secret is wiped when dropped and never shown by `Debug`.
pub struct PopSigner {
    algorithm: PopAlgorithm,
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
}

/// A JSON Web Key (RFC 7517), public, private or symmetric. `Debug` shows no secret member.
#[derive(Clone, serde::Deserialize, serde::Serialize)]
pub struct Jwk {
    /// `OKP`, `EC` or `oct`.
    pub kty: String,
}

impl SymmetricKey {
    /// Takes the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The secret bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricKey(..)")
    }
}

impl std::fmt::Debug for Jwk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwk")
            .field("kty", &self.kty)
            .finish_non_exhaustive()
    }
}

impl PopKey {
    /// Which algorithm it verifies.
    pub fn algorithm(&self) -> PopAlgorithm {
        todo!()
    }

    /// Checks a proof over `message`; symmetric ones in constant time.
    pub fn verify(&self, message: &[u8], proof: &[u8]) -> Result<(), PopError> {
        let _ = (message, proof);
        todo!()
    }

    /// From a public or symmetric JWK; `alg`, where present, must fit.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, PopError> {
        let _ = jwk;
        todo!()
    }

    /// As a JWK; a symmetric one contains the secret.
    pub fn to_jwk(&self) -> Jwk {
        todo!()
    }

    /// The JWK Thumbprint (RFC 7638) with SHA-256: what identifies the key.
    pub fn thumbprint(&self) -> [u8; 32] {
        todo!()
    }
}

impl PopSigner {
    /// Makes a key. Fails only where the system's random source does.
    pub fn generate(algorithm: PopAlgorithm) -> Result<Self, PopError> {
        let _ = algorithm;
        todo!()
    }

    /// From a private or symmetric JWK.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, PopError> {
        let _ = jwk;
        todo!()
    }

    /// As a private JWK: handle with care.
    pub fn to_jwk(&self) -> Jwk {
        todo!()
    }

    /// Which algorithm it signs with.
    pub fn algorithm(&self) -> PopAlgorithm {
        self.algorithm
    }

    /// The key that verifies what this one signs.
    pub fn verifying_key(&self) -> PopKey {
        todo!()
    }

    /// Makes the proof over `message`: the raw MAC or signature.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PopError> {
        let _ = message;
        todo!()
    }
}

impl std::fmt::Debug for PopSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PopSigner")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
