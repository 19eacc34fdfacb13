//! The client's end of a handshake.

use super::{
    EXPORTER_CONTEXT, EXPORTER_LABEL, TlsStream, certificates, failed, handshake_error,
    keyed::KeyedStream,
    private_key, provider,
    raw_keys::{self, ThisRawKey},
    refused,
    replay::Replay,
};
use crate::{
    HandshakeError, Peer, PreSharedKey, SetupError, Spki,
    channel::{ExporterValue, Secured},
    socket::Socket,
};
use rustls::{
    ClientConfig, RootCertStore,
    client::{AlwaysResolvesClientRawPublicKeys, Resumption},
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use std::{fmt, sync::Arc};
use symbolon_tls_psk::PskClient;
use tokio_rustls::TlsConnector;

#[derive(Clone, Debug)]
pub(crate) struct ClientEngine {
    trust: Trust,
    config: Arc<ClientConfig>,
}

/// The client's end with a pre-shared key.
#[derive(Clone)]
pub(crate) struct KeyedClient {
    client: PskClient,
    identity: Arc<[u8]>,
    alpn: &'static [u8],
}

/// Which Server is the right one.
#[derive(Clone, Debug)]
enum Trust {
    /// One with a certificate for its name from one of these.
    Authorities(Arc<RootCertStore>),
    /// The one with this key.
    RawKey(Spki),
}

/// What the client shows of itself, where the Server asks.
#[derive(Clone, Debug)]
enum Shown {
    Nothing,
    RawKey(Arc<CertifiedKey>),
    Certificate(Arc<CertifiedKey>),
}

impl ClientEngine {
    pub(crate) fn trusting_authorities(ca_pem: &str, alpn: &[u8]) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca_pem, "CA certificate")? {
            roots.add(certificate).map_err(refused)?;
        }
        let trust = Trust::Authorities(Arc::new(roots));
        Self::build(trust, Shown::Nothing, alpn.to_vec())
    }

    pub(crate) fn trusting_raw_key(key: Spki, alpn: &[u8]) -> Result<Self, SetupError> {
        Self::build(Trust::RawKey(key), Shown::Nothing, alpn.to_vec())
    }

    /// The same, showing the public key of this private key.
    pub(crate) fn with_raw_key(&self, key_pem: &str) -> Result<Self, SetupError> {
        let key = raw_keys::raw_key(private_key(key_pem)?, &provider()).map_err(refused)?;
        if raw_keys::shown(Some(&key.cert)).is_none() {
            return Err(SetupError::RawKey);
        }
        let alpn = self.config.alpn_protocols.concat();
        Self::build(self.trust.clone(), Shown::RawKey(key), alpn)
    }

    /// The same, showing this certificate.
    pub(crate) fn with_certificate(
        &self,
        chain_pem: &str,
        key_pem: &str,
    ) -> Result<Self, SetupError> {
        let chain = certificates(chain_pem, "certificate")?;
        let key = CertifiedKey::from_der(chain, private_key(key_pem)?, &provider());
        let shown = Shown::Certificate(Arc::new(key.map_err(refused)?));
        let alpn = self.config.alpn_protocols.concat();
        Self::build(self.trust.clone(), shown, alpn)
    }

    fn build(trust: Trust, shown: Shown, alpn: Vec<u8>) -> Result<Self, SetupError> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        // Raw public keys are for TLS 1.3 alone; so a Server cannot make us do without by choosing TLS 1.2.
        let versions: &[_] = match (&trust, &shown) {
            (Trust::Authorities(_), Shown::Nothing | Shown::Certificate(_)) => &[&TLS13, &TLS12],
            (Trust::Authorities(_), Shown::RawKey(_)) | (Trust::RawKey(_), _) => &[&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(refused)?;
        let builder = match &trust {
            Trust::Authorities(roots) => builder.with_root_certificates(Arc::clone(roots)),
            Trust::RawKey(key) => {
                let key = key.clone();
                let verifier = Arc::new(ThisRawKey { key, algorithms });
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = match shown {
            Shown::Nothing => builder.with_no_client_auth(),
            Shown::RawKey(key) => builder
                .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key))),
            Shown::Certificate(key) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        config.alpn_protocols = vec![alpn];
        config.require_ems = true;
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        Ok(Self { trust, config })
    }

    pub(crate) async fn connect(
        &self,
        socket: Socket,
        server_name: &str,
    ) -> Result<Secured, HandshakeError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_invalid| HandshakeError::ServerName(server_name.to_owned()))?;
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, Replay::new(socket, Vec::new()))
            .await
            .map_err(handshake_error)?;
        let session = stream.get_ref().1;
        let exporter = session
            .export_keying_material([0; 32], EXPORTER_LABEL.as_bytes(), EXPORTER_CONTEXT)
            .map_err(failed)?;
        let (peer, server_certificates) = match &self.trust {
            Trust::RawKey(key) => (Peer::RawPublicKey(key.clone()), Vec::new()),
            Trust::Authorities(_) => {
                let chain = session.peer_certificates().unwrap_or_default();
                let chain = chain.iter().map(|one| Arc::from(one.as_ref())).collect();
                (Peer::Anonymous, chain)
            }
        };
        Ok(Secured {
            stream: TlsStream::Rustls(stream.into()),
            peer,
            exporter: ExporterValue(exporter),
            server_certificates,
        })
    }
}

impl KeyedClient {
    pub(crate) fn new(
        identity: &[u8],
        key: PreSharedKey,
        alpn: &'static [u8],
    ) -> Result<Self, SetupError> {
        Ok(Self {
            client: PskClient::new(identity, key).map_err(refused)?,
            identity: identity.into(),
            alpn,
        })
    }

    pub(crate) async fn connect(
        &self,
        socket: Socket,
        server_name: &str,
    ) -> Result<Secured, HandshakeError> {
        let dns_name = match ServerName::try_from(server_name) {
            Ok(ServerName::DnsName(name)) => Some(name),
            // SNI has no addresses (RFC 6066 §3).
            Ok(_address) => None,
            Err(_invalid) => return Err(HandshakeError::ServerName(server_name.to_owned())),
        };
        let dns_name = dns_name.as_ref().map(AsRef::as_ref);
        let connection = self.client.connect(self.alpn, dns_name).map_err(failed)?;
        let mut stream = KeyedStream::new(socket, connection, &[]);
        // It is our own key, or no handshake.
        stream.handshake().await?;
        let exporter = stream.exporter()?;
        let identity = Arc::clone(&self.identity);
        Ok(Secured {
            stream: TlsStream::OpenSsl(stream),
            peer: Peer::PreSharedKey { identity },
            exporter,
            server_certificates: Vec::new(),
        })
    }
}

impl fmt::Debug for KeyedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedClient").finish_non_exhaustive()
    }
}
