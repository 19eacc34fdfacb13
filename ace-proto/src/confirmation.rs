//! The `cnf` claim and parameter (RFC 7800 §3, RFC 9201 §3).

use crate::{Jwk, PopError, PopKey, jwe::ContentKeys};

/// How a token names its proof-of-possession key: exactly one way.
#[derive(Clone, Debug)]
pub enum Confirmation {
    /// `jwk`: the key itself; symmetric only where the whole is confidential.
    Key(Box<Jwk>),
    /// `jwe`: a symmetric key under the key of AS and RS, in compact form.
    Encrypted(String),
    /// `kid`: a key the receiver knows, bytes (text in JSON is base64url of them).
    KeyIdentifier(Vec<u8>),
}

impl Confirmation {
    /// The key, decrypted with `keys` where it must be. A `kid` alone is not resolved here.
    pub fn resolve(&self, keys: &ContentKeys) -> Result<PopKey, PopError> {
        let _ = keys;
        todo!()
    }
}
