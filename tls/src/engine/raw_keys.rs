//! Raw public keys (RFC 7250) on rustls: TLS 1.3 only. What is judged here is possession; whether a key is known is the caller's matter.

use crate::Spki;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
    sign::CertifiedKey,
};
use std::sync::Arc;

/// What we verify signatures of raw keys with: the two algorithms an [`Spki`] can hold.
const SCHEMES: [SignatureScheme; 2] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
];

/// Takes any well-formed raw public key whose possession the handshake proves. A client that shows none after all is anonymous.
#[derive(Debug)]
pub(super) struct AnyRawKey(pub(super) WebPkiSupportedAlgorithms);

/// Takes one raw public key and no other.
#[derive(Debug)]
pub(super) struct ThisRawKey {
    pub(super) key: Spki,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// The same key as a raw public key: what stands for the certificate is the `SubjectPublicKeyInfo` (RFC 7250 §3).
pub(super) fn raw_key(
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Error> {
    let key = provider.key_provider.load_private_key(key)?;
    let public = key
        .public_key()
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let public = CertificateDer::from(public.as_ref().to_vec());
    Ok(Arc::new(CertifiedKey::new(vec![public], key)))
}

/// The raw key a peer showed in place of a certificate.
pub(super) fn shown(certificates: Option<&[CertificateDer<'_>]>) -> Option<Spki> {
    let [key] = certificates? else { return None };
    Spki::parse(key).ok()
}

fn well_formed(shown: &CertificateDer<'_>) -> Result<Spki, Error> {
    Spki::parse(shown).map_err(|_other| CertificateError::BadEncoding.into())
}

fn verify(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    shown: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
    verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
}

/// On TLS 1.2, rustls has no raw public keys.
fn not_on_tls12() -> Error {
    PeerIncompatible::Tls12NotOffered.into()
}

impl ClientCertVerifier for AnyRawKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        well_formed(end_entity).map(|_key| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_on_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.0, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for ThisRawKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if well_formed(end_entity)? == self.key {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_on_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.algorithms, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
