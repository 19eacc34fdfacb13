//! TLS for HTTPS: rustls with aws-lc-rs, TLS 1.3 and 1.2. Clients may show a certificate, or on TLS 1.3 a raw public key (RFC 7250), and need
//! not.

use crate::core::certificate::{Certificate, raw_public_key};
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::SubjectPublicKeyInfoDer,
    server::{
        ClientHello, NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use std::{sync::Arc, time::Duration};
use symbolon_ace_proto::PopKey;

/// What handshakes are done with: who asks for raw public keys refuses every client without, so there are two.
#[derive(Debug)]
pub(crate) struct ServerTls {
    certificates: Arc<ServerConfig>,
    raw_keys: Arc<ServerConfig>,
}

impl ServerTls {
    /// What fits the client. One that can show either is taken at its word which it likes better (RFC 7250 §4.1).
    pub(crate) fn choose(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let known = [RAW_PUBLIC_KEY, X509];
        let kinds = hello.client_cert_types().unwrap_or_default();
        let mut kinds = kinds.iter().map(|kind| u8::from(*kind));
        let liked = kinds.find(|kind| known.contains(kind));
        let tls13 = hello.cipher_suites().iter().any(|suite| is_tls13(*suite));
        if tls13 && liked == Some(RAW_PUBLIC_KEY) {
            Arc::clone(&self.raw_keys)
        } else {
            Arc::clone(&self.certificates)
        }
    }
}

/// RFC 7250 §8.
const X509: u8 = 0;
const RAW_PUBLIC_KEY: u8 = 2;

/// RFC 8446 Appendix B.4: suites 0x1301 to 0x1305 are of TLS 1.3 alone.
fn is_tls13(suite: CipherSuite) -> bool {
    (0x1301..=0x1305).contains(&u16::from(suite))
}

/// What a client showed in the handshake: its own certificate first, or a raw public key in the place of one. That it has the key is proved;
/// nothing else is.
#[derive(Clone, Debug)]
pub(crate) struct PeerCertificates {
    kind: Kind,
    shown: Arc<[CertificateDer<'static>]>,
}

/// What stands in the place of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    X509,
    RawPublicKey,
}

impl PeerCertificates {
    /// Of a handshake; `None` where the client showed none.
    pub(crate) fn shown(certificates: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let certificates = certificates.filter(|certificates| !certificates.is_empty())?;
        let owned = certificates.iter().map(|one| one.clone().into_owned());
        let shown: Arc<[_]> = owned.collect();
        // No certificate is a bare `SubjectPublicKeyInfo` too: its first element is itself a sequence of sequences.
        let raw = shown.len() == 1 && raw_public_key(&shown[0]).is_some();
        let kind = if raw { Kind::RawPublicKey } else { Kind::X509 };
        Some(Self { kind, shown })
    }

    /// One alone.
    #[cfg(test)]
    pub(crate) fn from_end_entity(der: Vec<u8>) -> Self {
        Self {
            kind: Kind::X509,
            shown: [CertificateDer::from(der)].into(),
        }
    }

    /// The client's own certificate, DER; `None` where it showed a raw public key.
    pub(crate) fn end_entity(&self) -> Option<&[u8]> {
        match self.kind {
            Kind::X509 => self.shown.first().map(AsRef::as_ref),
            Kind::RawPublicKey => None,
        }
    }

    /// The raw public key, where it showed one.
    pub(crate) fn raw_public_key(&self) -> Option<PopKey> {
        match self.kind {
            Kind::X509 => None,
            Kind::RawPublicKey => raw_public_key(self.shown.first()?),
        }
    }

    /// The key that it proved to have, where it is one for `EdDSA` with Ed25519 or for ES256.
    pub(crate) fn public_key(&self) -> Option<PopKey> {
        match self.end_entity() {
            Some(der) => Certificate::parse(der)?.public_key(),
            None => self.raw_public_key(),
        }
    }
}

/// Whose certificates are believed where a client authenticates by its name in one (`tls_client_auth`, RFC 8705 §2.1).
#[derive(Clone, Debug)]
pub(crate) struct CertificateAuthorities(Arc<dyn ClientCertVerifier>);

impl CertificateAuthorities {
    /// From their certificates in PEM.
    pub(crate) fn parse(pem: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("client CA: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("client CA: {error}"))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        verifier
            .build()
            .map(Self)
            .map_err(|error| format!("client CA: {error}"))
    }

    /// Whether one of them has issued the certificate, directly or through what came with it, for clients and for now.
    pub(crate) fn vouch_for(
        &self,
        certificates: &PeerCertificates,
        now: symbolon_ace_proto::UnixTime,
    ) -> bool {
        let Some((end_entity, intermediates)) = certificates.shown.split_first() else {
            return false;
        };
        if certificates.kind == Kind::RawPublicKey {
            return false;
        }
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
        let verified = self.0.verify_client_cert(end_entity, intermediates, now);
        verified.is_ok()
    }
}

/// Takes any certificate whose key the client proves to have: who may use it is decided where the client is known.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Takes any raw public key of Ed25519 or P-256 that the client proves to have: whose it is is decided where the client is known.
#[derive(Debug)]
struct AnyRawKey(WebPkiSupportedAlgorithms);

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
        match raw_public_key(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Raw public keys are for TLS 1.3 alone here.
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(cert.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The configurations for a certificate chain, leaf first, and its key. The error says what is wrong, and shows nothing of the key.
pub(crate) fn server_config(
    certificate_chain_pem: &str,
    private_key_pem: &str,
) -> Result<Arc<ServerTls>, String> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificate_chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("certificate chain: {error}"))?;
    if chain.is_empty() {
        return Err("certificate chain: no certificate in it".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(private_key_pem.as_bytes())
        .map_err(|_| "private key: not a PEM key".to_owned())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let both = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::new(AnyCertificate(algorithms)))
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(|error| error.to_string())?;
    let tls13 = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::new(AnyRawKey(algorithms)))
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(ServerTls {
        certificates: Arc::new(for_https(both)),
        raw_keys: Arc::new(for_https(tls13)),
    }))
}

fn for_https(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // RFC 9325 §3.4: TLS 1.2 without the extended main secret invites triple handshakes.
    config.require_ems = true;
    // A resumed session would bring a certificate along whose key is not proved again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{
        ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConnection,
        SupportedProtocolVersion, pki_types::ServerName, version,
    };

    /// Shakes hands in memory; what both ends agree on.
    fn negotiate(
        version: &'static SupportedProtocolVersion,
        alpn: &[&[u8]],
    ) -> Result<(Option<ProtocolVersion>, Option<Vec<u8>>), Error> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = certified.signing_key.serialize_pem();
        let config = server_config(&certified.cert.pem(), &key).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&config.certificates)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        let alpn = server.alpn_protocol().map(<[u8]>::to_vec);
        Ok((server.protocol_version(), alpn))
    }

    #[test]
    fn tls_1_3_and_1_2_are_spoken_and_http_1_1_is_agreed_on() {
        for version in [&TLS13, &version::TLS12] {
            let agreed = negotiate(version, &[b"h2", b"http/1.1"]).unwrap();
            assert_eq!(agreed, (Some(version.version), Some(b"http/1.1".to_vec())));
            let without = negotiate(version, &[]).unwrap();
            assert_eq!(without, (Some(version.version), None));
        }
    }

    // RFC 7301 §3.2
    #[test]
    fn a_client_that_speaks_no_http_is_refused() {
        assert!(negotiate(&TLS13, &[b"mqtt"]).is_err());
    }

    #[test]
    fn a_refused_key_is_not_shown() {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let error = server_config(&certified.cert.pem(), pem).unwrap_err();
        assert!(
            !error.contains("c2VjcmV0") && !error.contains("secret"),
            "{error}"
        );
    }
}
