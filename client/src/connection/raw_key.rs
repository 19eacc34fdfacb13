//! A proof-of-possession key as the TLS engine wants it: PKCS#8 (RFC 5958) in PEM.

use super::ConnectError;
use base64::{Engine, prelude::BASE64_STANDARD};
use symbolon_ace_proto::{PopKey, PopSigner};
use zeroize::Zeroizing;

/// `SEQUENCE { INTEGER 0, SEQUENCE { OID 1.3.101.112 }, OCTET STRING { OCTET STRING (32 bytes) } }` up to the key (RFC 8410 §7).
const ED25519_PREFIX: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// `SEQUENCE { INTEGER 0, SEQUENCE { id-ecPublicKey, prime256v1 }, OCTET STRING { SEQUENCE { INTEGER 1, OCTET STRING (32 bytes)`, up to the
/// private key (RFC 5915 §3).
const P256_PREFIX: &[u8] =
    b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
/// `, [1] { BIT STRING (65 bytes) } } }`, up to the public point.
const P256_MIDDLE: &[u8] = b"\xa1\x44\x03\x42\x00";

/// The private key as PEM.
pub(crate) fn pem(signer: &PopSigner) -> Result<Zeroizing<String>, ConnectError> {
    let secret = signer.secret();
    let der = Zeroizing::new(match signer.verifying_key() {
        PopKey::Hs256(_) => {
            return Err(ConnectError::Options("a shared key is no raw public key"));
        }
        PopKey::Ed25519(_) => [ED25519_PREFIX, secret].concat(),
        PopKey::Es256(point) => [P256_PREFIX, secret, P256_MIDDLE, &point].concat(),
    });
    let mut pem = Zeroizing::new(String::with_capacity(2 * der.len() + 64));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    BASE64_STANDARD.encode_string(&*der, &mut pem);
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_ace_proto::PopAlgorithm;

    #[test]
    fn the_tls_engine_takes_a_key_of_either_kind() {
        let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
            let signer = PopSigner::generate(algorithm).unwrap();
            let connector =
                symbolon_tls::Connector::new(&ca.cert.pem(), std::time::Duration::from_secs(1));
            let shown = connector.unwrap().showing_raw_key(&pem(&signer).unwrap());
            assert!(shown.is_ok(), "{algorithm:?}: {shown:?}");
        }
    }

    #[test]
    fn a_shared_key_is_none() {
        let signer = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
        assert!(pem(&signer).is_err());
    }
}
