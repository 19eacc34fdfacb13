//! A symmetric proof-of-possession key inside a JWE (RFC 7516): `dir` with A256GCM under the key that AS and RS share.

use crate::{Jwk, PopError, SymmetricKey};

/// A content encryption key shared by an AS and an RS, 32 bytes, with its `kid`.
#[derive(Clone, Debug)]
pub struct ContentKey {
    /// Written into the JWE's header.
    pub kid: String,
    /// 32 bytes.
    pub key: SymmetricKey,
}

/// The content keys an RS accepts, found by `kid`.
#[derive(Clone, Debug, Default)]
pub struct ContentKeys(pub Vec<ContentKey>);

impl ContentKey {
    /// Makes one with a random `kid`.
    pub fn generate() -> Result<Self, PopError> {
        todo!()
    }

    /// Encrypts a JWK: the compact serialization.
    pub fn encrypt(&self, jwk: &Jwk) -> Result<String, PopError> {
        let _ = jwk;
        todo!()
    }
}

impl ContentKeys {
    /// Decrypts a compact JWE to the JWK inside. One error for all failures, so that a peer learns nothing from it.
    pub fn decrypt(&self, jwe: &str) -> Result<Jwk, PopError> {
        let _ = jwe;
        todo!()
    }
}
