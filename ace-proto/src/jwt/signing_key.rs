//! What an authorization server signs with.

use crate::{
    Claims, Jwk, PopAlgorithm, PopError, PopSigner, SignedToken, UnsignedToken, base64url,
};

/// The algorithms an authorization server signs with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SigningAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl SigningAlgorithm {
    /// Its name in `alg`.
    pub fn as_str(self) -> &'static str {
        self.pop_algorithm().as_str()
    }

    fn pop_algorithm(self) -> PopAlgorithm {
        match self {
            Self::EdDsa => PopAlgorithm::EdDsa,
            Self::Es256 => PopAlgorithm::Es256,
        }
    }
}

/// A private signing key of an authorization server.
#[derive(Debug)]
pub struct SigningKey {
    kid: String,
    signer: PopSigner,
}

impl SigningKey {
    /// Makes a key from the system's random source; its `kid` is its JWK Thumbprint.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, PopError> {
        let signer = PopSigner::generate(algorithm.pop_algorithm())?;
        Ok(Self {
            kid: base64url::encode(&signer.verifying_key().thumbprint()),
            signer,
        })
    }

    /// From a private JWK with `d`. Without `kid` the JWK Thumbprint is taken for it.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, PopError> {
        let signer = PopSigner::from_jwk(jwk)?;
        if signer.algorithm() == PopAlgorithm::Hs256 {
            return Err(PopError::UnsupportedKey);
        }
        let thumbprint = || base64url::encode(&signer.verifying_key().thumbprint());
        Ok(Self {
            kid: jwk.kid.clone().unwrap_or_else(thumbprint),
            signer,
        })
    }

    /// As a private JWK, for its file.
    pub fn to_jwk(&self) -> Jwk {
        self.labelled(self.signer.to_jwk())
    }

    /// As a public JWK with `kid`, `alg` and `use`, for the JWKS.
    pub fn to_public_jwk(&self) -> Jwk {
        self.labelled(self.signer.verifying_key().to_jwk())
    }

    fn labelled(&self, mut jwk: Jwk) -> Jwk {
        jwk.alg = Some(self.signer.algorithm().as_str().to_owned());
        jwk.public_key_use = Some("sig".to_owned());
        jwk.with_kid(&self.kid)
    }

    /// The key identifier.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Which algorithm it signs with.
    pub fn algorithm(&self) -> SigningAlgorithm {
        match self.signer.algorithm() {
            PopAlgorithm::Es256 => SigningAlgorithm::Es256,
            // HS256 is refused where one is made.
            PopAlgorithm::EdDsa | PopAlgorithm::Hs256 => SigningAlgorithm::EdDsa,
        }
    }

    /// The raw signature over what an [`UnsignedToken`] is to have signed.
    pub fn signature(&self, signing_input: &[u8]) -> Result<Vec<u8>, PopError> {
        self.signer.sign(signing_input)
    }

    /// Signs the claims as a JWT, `typ` `at+jwt`. What is refused is as in [`UnsignedToken::jwt`].
    pub fn sign(&self, claims: &Claims) -> Result<String, PopError> {
        let unsigned = UnsignedToken::jwt(claims, self.algorithm(), &self.kid)?;
        match self.complete(unsigned)? {
            SignedToken::Jwt(text) => Ok(text),
            SignedToken::Cwt(_) => Err(PopError::Crypto),
        }
    }

    /// Signs the claims as a CWT: `COSE_Sign1` with both tags. What is refused is as in [`UnsignedToken::cwt`];
    /// [`ContentKey::encrypt_cose_key`](crate::jwe::ContentKey::encrypt_cose_key) makes what belongs there (RFC 8747 §3.3).
    pub fn sign_cwt(&self, claims: &Claims) -> Result<Vec<u8>, PopError> {
        let unsigned = UnsignedToken::cwt(claims, self.algorithm(), &self.kid)?;
        match self.complete(unsigned)? {
            SignedToken::Cwt(token) => Ok(token),
            SignedToken::Jwt(_) => Err(PopError::Crypto),
        }
    }

    fn complete(&self, unsigned: UnsignedToken) -> Result<SignedToken, PopError> {
        let signature = self.signature(unsigned.signing_input())?;
        unsigned.with_signature(&signature)
    }
}
