//! The server's end of a handshake: the door, and what stands behind it.

use super::{
    EXPORTER_CONTEXT, EXPORTER_LABEL, TlsStream, certificates, failed, handshake_error,
    hello::{Beginning, Hello, Offer},
    keyed::KeyedStream,
    private_key, provider,
    raw_keys::{self, AnyRawKey},
    refused,
    replay::Replay,
};
use crate::{
    HandshakeError, KeySource, Peer, SetupError, Spki,
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
use std::{fmt, io, sync::Arc};
use symbolon_tls_psk::{Connection, PskServer, RawKeyServer};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

/// Enough for the `ClientHello` of most; the buffer grows to the limit of a `Beginning`.
const FIRST_READ_BYTES: usize = 2048;

#[derive(Clone)]
pub(crate) struct ServerEngine {
    behind: Arc<Behind>,
    raw_keys_12: RawKeyServer,
    alpn: &'static [u8],
}

/// The engine for clients with pre-shared keys.
#[derive(Clone)]
pub(crate) struct KeyedEngine {
    server: PskServer,
    keys: Arc<dyn KeySource>,
}

/// Who answers a `ClientHello`.
enum Door<'a> {
    /// rustls.
    Certificate(&'a Arc<ServerConfig>),
    /// OpenSSL.
    Keyed(Result<Connection, symbolon_tls_psk::SetupError>),
}

/// A configuration for each way to identify both ends: one that asks for raw public keys refuses every client without them.
#[derive(Clone, Debug)]
struct Behind {
    certificate: Arc<ServerConfig>,
    certificate_and_client_key: Arc<ServerConfig>,
    raw_key: Arc<ServerConfig>,
    raw_key_and_client_key: Arc<ServerConfig>,
}

impl KeyedEngine {
    pub(crate) fn new(keys: Arc<dyn KeySource>) -> Result<Self, SetupError> {
        let server = PskServer::new().map_err(refused)?;
        Ok(Self { server, keys })
    }
}

impl ServerEngine {
    pub(crate) fn new(
        chain_pem: &str,
        key_pem: &str,
        alpn: &'static [u8],
    ) -> Result<Self, SetupError> {
        let chain = certificates(chain_pem, "certificate")?;
        let key = private_key(key_pem)?;
        let provider = provider();
        refuse_ca(&chain, &provider)?;
        let behind = Behind::new(chain, &key, &provider)
            .map_err(refused)?
            .with_alpn(alpn);
        let raw_keys_12 =
            RawKeyServer::new(chain_pem.as_bytes(), key_pem.as_bytes()).map_err(refused)?;
        Ok(Self {
            behind: Arc::new(behind),
            raw_keys_12,
            alpn,
        })
    }

    /// The same for another protocol.
    pub(crate) fn with_alpn(&self, alpn: &'static [u8]) -> Self {
        Self {
            behind: Arc::new(self.behind.with_alpn(alpn)),
            raw_keys_12: self.raw_keys_12.clone(),
            alpn,
        }
    }

    /// Without `keyed`, a client that offers pre-shared keys is one that does not.
    pub(crate) async fn accept(
        &self,
        mut socket: Socket,
        keyed: Option<&KeyedEngine>,
    ) -> Result<Secured, HandshakeError> {
        let (hello, beginning) = read_hello(&mut socket).await.map_err(HandshakeError::Io)?;
        match self.choose(&hello, keyed) {
            Door::Certificate(config) => accept_rustls(socket, beginning, config).await,
            Door::Keyed(connection) => {
                accept_openssl(socket, &beginning, connection.map_err(failed)?).await
            }
        }
    }

    fn choose(&self, hello: &Hello, keyed: Option<&KeyedEngine>) -> Door<'_> {
        let offer = match hello {
            Hello::Offer(offer) => offer,
            Hello::Unreadable => return Door::Certificate(&self.behind.certificate),
        };
        if let Some(KeyedEngine { server, keys }) = keyed {
            let keys = Arc::clone(keys);
            if offer.tls13 && offer.external_keys > 0 {
                return Door::Keyed(server.accept_tls13(self.alpn, keys, offer.external_keys));
            }
            if offer.psk_suite {
                return Door::Keyed(server.accept_tls12(self.alpn, keys));
            }
        }
        if !offer.tls13 && offer.raw_keys.client {
            return Door::Keyed(self.raw_keys_12.accept(self.alpn));
        }
        Door::Certificate(self.behind.choose(offer))
    }
}

async fn accept_rustls(
    socket: Socket,
    beginning: Vec<u8>,
    config: &Arc<ServerConfig>,
) -> Result<Secured, HandshakeError> {
    let stream = TlsAcceptor::from(Arc::clone(config))
        .accept(Replay::new(socket, beginning))
        .await
        .map_err(handshake_error)?;
    let session = stream.get_ref().1;
    let exporter = session
        .export_keying_material([0; 32], EXPORTER_LABEL.as_bytes(), EXPORTER_CONTEXT)
        .map_err(failed)?;
    let peer =
        raw_keys::shown(session.peer_certificates()).map_or(Peer::Anonymous, Peer::RawPublicKey);
    Ok(Secured {
        stream: TlsStream::Rustls(stream.into()),
        peer,
        exporter: ExporterValue(exporter),
        server_certificates: Vec::new(),
    })
}

async fn accept_openssl(
    socket: Socket,
    beginning: &[u8],
    connection: Connection,
) -> Result<Secured, HandshakeError> {
    let mut stream = KeyedStream::new(socket, connection, beginning);
    let peer = match stream.handshake().await? {
        symbolon_tls_psk::Peer::PreSharedKey(identity) => Peer::PreSharedKey { identity },
        symbolon_tls_psk::Peer::RawPublicKey(key) => {
            Peer::RawPublicKey(Spki::parse(&key).map_err(HandshakeError::RawKey)?)
        }
        symbolon_tls_psk::Peer::Anonymous | symbolon_tls_psk::Peer::OwnKey => Peer::Anonymous,
    };
    let exporter = stream.exporter()?;
    Ok(Secured {
        stream: TlsStream::OpenSsl(stream),
        peer,
        exporter,
        server_certificates: Vec::new(),
    })
}

impl fmt::Debug for ServerEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerEngine").finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedEngine").finish_non_exhaustive()
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

    fn choose(&self, offer: &Offer) -> &Arc<ServerConfig> {
        // rustls has raw public keys on TLS 1.3 alone.
        match (offer.tls13, offer.raw_keys.server, offer.raw_keys.client) {
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
