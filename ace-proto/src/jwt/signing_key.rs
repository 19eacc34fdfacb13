//! What an authorization server signs with.

use crate::{
    Claims, Confirmation, Jwk, PopAlgorithm, PopError, PopSigner, base64url, json_object::to_json,
    jws,
};

/// The algorithms an authorization server signs with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SigningAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
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
        let signer = PopSigner::generate(match algorithm {
            SigningAlgorithm::EdDsa => PopAlgorithm::EdDsa,
            SigningAlgorithm::Es256 => PopAlgorithm::Es256,
        })?;
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

    pub(crate) fn signer(&self) -> &PopSigner {
        &self.signer
    }

    /// The key identifier.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs the claims, `typ` `at+jwt`. A secret key in `cnf` is refused as [`PopError::UnsupportedKey`]: what is only signed can be read
    /// by whoever sees it, so it belongs in a JWE (RFC 7800 §3.3).
    pub fn sign(&self, claims: &Claims) -> Result<String, PopError> {
        match &claims.confirmation {
            Confirmation::Key(jwk) if jwk.is_secret() => return Err(PopError::UnsupportedKey),
            Confirmation::Key(_) | Confirmation::Encrypted(_) | Confirmation::KeyIdentifier(_) => {}
        }
        let header = serde_json::json!({
            "alg": self.signer.algorithm().as_str(),
            "kid": self.kid,
            "typ": "at+jwt",
        });
        jws::sign(&header.to_string(), &to_json(claims), &self.signer)
    }
}
