//! The server's end of a handshake: the door, and what stands behind it.

use super::{
    EXPORTER_CONTEXT, EXPORTER_LABEL, EngineError, TlsStream, certificates, handshake_error,
    hello::{Beginning, Hello},
    private_key, provider,
    raw_keys::{self, AnyRawKey},
    refused,
    replay::Replay,
};
use crate::{
    HandshakeError, Peer, SetupError,
    channel::{ExporterValue, Secured},
    socket::Socket,
};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoClientAuth, NoServerSessionStorage,
        ResolvesServerCert, danger::ClientCertVerifier,
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use std::{io, sync::Arc};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

/// Enough for the `ClientHello` of most; the buffer grows to the limit of a `Beginning`.
const FIRST_READ_BYTES: usize = 2048;

#[derive(Clone, Debug)]
pub(crate) struct ServerEngine {
    behind: Arc<Behind>,
}

/// A configuration for each way to identify both ends: one that asks for raw public keys refuses every client without them.
#[derive(Clone, Debug)]
struct Behind {
    certificate: Arc<ServerConfig>,
    certificate_and_client_key: Arc<ServerConfig>,
    raw_key: Arc<ServerConfig>,
    raw_key_and_client_key: Arc<ServerConfig>,
}

impl ServerEngine {
    pub(crate) fn new(chain_pem: &str, key_pem: &str, alpn: &[u8]) -> Result<Self, SetupError> {
        let chain = certificates(chain_pem, "certificate")?;
        let key = private_key(key_pem)?;
        let provider = provider();
        refuse_ca(&chain, &provider)?;
        let behind = Behind::new(chain, &key, &provider)
            .map_err(refused)?
            .with_alpn(alpn);
        Ok(Self {
            behind: Arc::new(behind),
        })
    }

    /// The same for another protocol.
    pub(crate) fn with_alpn(&self, alpn: &[u8]) -> Self {
        Self {
            behind: Arc::new(self.behind.with_alpn(alpn)),
        }
    }

    pub(crate) async fn accept(&self, mut socket: Socket) -> Result<Secured, HandshakeError> {
        let (hello, beginning) = read_hello(&mut socket).await.map_err(HandshakeError::Io)?;
        let config = self.behind.choose(&hello);
        let stream = TlsAcceptor::from(Arc::clone(config))
            .accept(Replay::new(socket, beginning))
            .await
            .map_err(handshake_error)?;
        let session = stream.get_ref().1;
        let exporter = session
            .export_keying_material([0; 32], EXPORTER_LABEL, EXPORTER_CONTEXT)
            .map_err(|error| HandshakeError::Tls(EngineError::from(error)))?;
        let peer = raw_keys::shown(session.peer_certificates())
            .map_or(Peer::Anonymous, Peer::RawPublicKey);
        Ok(Secured {
            stream: TlsStream::from(tokio_rustls::TlsStream::from(stream)),
            peer,
            exporter: ExporterValue(exporter),
            server_certificates: Vec::new(),
        })
    }
}

/// Reads until it is known what the client offers. What was read comes along, for the engine to read again.
async fn read_hello(socket: &mut Socket) -> io::Result<(Hello, Vec<u8>)> {
    let mut beginning = Beginning::default();
    loop {
        beginning.records.reserve(FIRST_READ_BYTES);
        if socket.read_buf(&mut beginning.records).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(hello) = beginning.look() {
            return Ok((hello, beginning.records));
        }
    }
}

impl Behind {
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let certificate = CertifiedKey::from_der(chain, key.clone_key(), provider)?;
        let certificate = Arc::new(SingleCertAndKey::from(certificate));
        let raw_key = raw_keys::raw_key(key.clone_key(), provider)?;
        let raw_key = Arc::new(AlwaysResolvesServerRawPublicKeys::new(raw_key));
        let anonymous: Arc<dyn ClientCertVerifier> = Arc::new(NoClientAuth);
        let any_key = AnyRawKey(provider.signature_verification_algorithms);
        let any_key: Arc<dyn ClientCertVerifier> = Arc::new(any_key);
        let config = |client: &Arc<dyn ClientCertVerifier>, server: Arc<dyn ResolvesServerCert>| {
            config(provider, Arc::clone(client), server).map(Arc::new)
        };
        Ok(Self {
            certificate: config(&anonymous, certificate.clone())?,
            certificate_and_client_key: config(&any_key, certificate)?,
            raw_key: config(&anonymous, raw_key.clone())?,
            raw_key_and_client_key: config(&any_key, raw_key)?,
        })
    }

    fn with_alpn(&self, alpn: &[u8]) -> Self {
        let with_alpn = |config: &Arc<ServerConfig>| {
            let mut config = ServerConfig::clone(config);
            config.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(config)
        };
        Self {
            certificate: with_alpn(&self.certificate),
            certificate_and_client_key: with_alpn(&self.certificate_and_client_key),
            raw_key: with_alpn(&self.raw_key),
            raw_key_and_client_key: with_alpn(&self.raw_key_and_client_key),
        }
    }

    fn choose(&self, hello: &Hello) -> &Arc<ServerConfig> {
        let offer = match hello {
            Hello::Offer(offer) => offer,
            Hello::Unreadable => return &self.certificate,
        };
        // rustls has raw public keys on TLS 1.3 alone.
        match (offer.tls13, offer.server_raw_key, offer.client_raw_key) {
            (false, _, _) | (true, false, false) => &self.certificate,
            (true, false, true) => &self.certificate_and_client_key,
            (true, true, false) => &self.raw_key,
            (true, true, true) => &self.raw_key_and_client_key,
        }
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    client: Arc<dyn ClientCertVerifier>,
    server: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[_] = if client.requires_raw_public_keys() || server.only_raw_public_keys() {
        &[&TLS13]
    } else {
        &[&TLS13, &TLS12]
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(client)
        .with_cert_resolver(server);
    config.require_ems = true;
    // No resumption: it would skip the authentication, and an exporter value must not be used twice (RFC 9431 §4). The ticketer
    // of a new configuration makes no tickets; early data is off too.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    Ok(config)
}

/// Clients refuse a CA certificate that a Server presents as its own. Told at the start, it is found; told in a handshake, it is not.
fn refuse_ca(chain: &[CertificateDer<'_>], provider: &CryptoProvider) -> Result<(), SetupError> {
    let Some(leaf) = chain.first() else {
        return Err(SetupError::Missing("certificate"));
    };
    let refused = |error: rustls::Error| refused(error);
    let certificate = webpki::EndEntityCert::try_from(leaf)
        .map_err(|_error| refused(rustls::CertificateError::BadEncoding.into()))?;
    // Judged against no CA at all, every certificate fails; this failure comes before that one.
    match certificate.verify_for_usage(
        provider.signature_verification_algorithms.all,
        &[],
        &[],
        UnixTime::now(),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    ) {
        Err(webpki::Error::CaUsedAsEndEntity) => Err(SetupError::CaAsServer),
        Ok(_) | Err(_) => Ok(()),
    }
}
