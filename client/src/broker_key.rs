//! Which broker is the right one, by the word of the AS (`rs_cnf`, RFC 9431 §2.2.1, RFC 9201 §3.2).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use symbolon_ace_proto::{Jwk, PopKey};
use symbolon_tls::{PublicKey, Spki};

/// What the AS says of the broker that a token is for. It is checked before anything is proved to a broker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BrokerKey {
    /// `x5t#S256`: the SHA-256 of its certificate (RFC 8705 §3.1), besides what the certificate authorities say.
    CertificateSha256([u8; 32]),
    /// `jwk`: its raw public key, in place of a certificate (RFC 7250).
    Raw(Spki),
}

/// Why `rs_cnf` is no use. A client that went on regardless would make it worth nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BrokerKeyError {
    /// Another way to name a key than the two we can check.
    #[error("rs_cnf has neither x5t#S256 nor jwk")]
    Unknown,
    /// More than one way: which of them should count?
    #[error("rs_cnf has x5t#S256 and jwk")]
    Both,
    /// Not 32 bytes as base64url.
    #[error("x5t#S256 is not a SHA-256 digest")]
    Digest,
    /// Not a public key of Ed25519 or P-256.
    #[error("the key in rs_cnf is not a public key of Ed25519 or P-256")]
    Key,
}

impl BrokerKey {
    /// From the value of `rs_cnf`.
    pub fn parse(rs_cnf: &serde_json::Value) -> Result<Self, BrokerKeyError> {
        match (rs_cnf.get("x5t#S256"), rs_cnf.get("jwk")) {
            (Some(thumbprint), None) => {
                let text = thumbprint.as_str().ok_or(BrokerKeyError::Digest)?;
                let digest = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
                let digest = digest.and_then(|bytes| bytes.try_into().ok());
                digest
                    .map(Self::CertificateSha256)
                    .ok_or(BrokerKeyError::Digest)
            }
            (None, Some(jwk)) => {
                let jwk: Jwk =
                    serde_json::from_value(jwk.clone()).map_err(|_| BrokerKeyError::Key)?;
                spki(&jwk).map(Self::Raw).ok_or(BrokerKeyError::Key)
            }
            (None, None) => Err(BrokerKeyError::Unknown),
            (Some(_), Some(_)) => Err(BrokerKeyError::Both),
        }
    }
}

fn spki(jwk: &Jwk) -> Option<Spki> {
    match PopKey::from_jwk(jwk).ok()? {
        PopKey::Hs256(_) => None,
        PopKey::Ed25519(key) => Some(Spki::of(PublicKey::Ed25519(&key))),
        PopKey::Es256(point) => {
            let (x, y) = (point[1..33].try_into().ok()?, point[33..].try_into().ok()?);
            Some(Spki::of(PublicKey::P256 { x: &x, y: &y }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use symbolon_ace_proto::{PopAlgorithm, PopSigner};

    #[test]
    fn a_public_key_of_either_kind_is_taken_and_a_shared_one_is_not() {
        for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
            let key = PopSigner::generate(algorithm).unwrap();
            let read = BrokerKey::parse(&json!({"jwk": key.verifying_key().to_jwk()}));
            assert!(matches!(read, Ok(BrokerKey::Raw(_))), "{read:?}");
            // The private half is nothing that we should be told.
            let private = BrokerKey::parse(&json!({"jwk": key.to_jwk()}));
            assert_eq!(private, Err(BrokerKeyError::Key));
        }
        let shared = PopSigner::generate(PopAlgorithm::Hs256).unwrap().to_jwk();
        assert_eq!(
            BrokerKey::parse(&json!({"jwk": shared})),
            Err(BrokerKeyError::Key)
        );
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for (rs_cnf, error) in [
            (json!({"kid": "1"}), BrokerKeyError::Unknown),
            (json!({"x5t#S256": "AAAA"}), BrokerKeyError::Digest),
            (json!({"x5t#S256": 1}), BrokerKeyError::Digest),
            (json!({"jwk": "key"}), BrokerKeyError::Key),
            (json!({"jwk": {}, "x5t#S256": ""}), BrokerKeyError::Both),
        ] {
            assert_eq!(BrokerKey::parse(&rs_cnf), Err(error));
        }
    }
}
