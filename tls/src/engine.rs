//! The TLS engine: rustls with aws-lc-rs. No other file names it, and no type of it is in the crate's public face.

use crate::{
    HandshakeError, Peer, SetupError,
    channel::{ExporterValue, Secured},
    socket::Socket,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage},
    version::{TLS12, TLS13},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

/// The ALPN protocol name of MQTT over TLS (RFC 9431 §2.2.3).
pub(crate) const MQTT_ALPN: &[u8] = b"mqtt";
/// That of HTTP/1.1 (RFC 7301 §6).
pub(crate) const HTTP_ALPN: &[u8] = b"http/1.1";
/// RFC 9431 §7.1.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-ACE-MQTT-Sign-Challenge";
/// Present and empty. On TLS 1.2 that is not the same as absent (RFC 5705 §4).
const EXPORTER_CONTEXT: Option<&[u8]> = Some(&[]);

/// What the TLS engine says: for people and logs.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(rustls::Error);

/// A TLS stream of either end.
#[derive(Debug)]
pub(crate) struct TlsStream(tokio_rustls::TlsStream<Socket>);

#[derive(Clone, Debug)]
pub(crate) struct ServerEngine {
    certificate: Arc<ServerConfig>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClientEngine {
    config: Arc<ClientConfig>,
}

/// Which configuration answers a `ClientHello`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Door {
    /// X.509 for the Server, nothing for the Client.
    Certificate,
}

impl Door {
    /// Raw public keys and PSKs will be told apart here: a configuration that asks for raw keys refuses every client without them.
    fn choose(_hello: &ClientHello<'_>) -> Self {
        Self::Certificate
    }
}

impl ServerEngine {
    pub(crate) fn new(chain_pem: &str, key_pem: &str, alpn: &[u8]) -> Result<Self, SetupError> {
        let chain = certificates(chain_pem, "certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| {
            if matches!(error, pem::Error::NoItemsFound) {
                SetupError::Missing("private key")
            } else {
                SetupError::Unreadable("private key")
            }
        })?;
        let provider = provider();
        refuse_ca(&chain, &provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![alpn.to_vec()];
        config.require_ems = true;
        // No resumption: it would skip the authentication, and an exporter value must not be used twice (RFC 9431 §4). The ticketer
        // of a new configuration makes no tickets; early data is off too.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_tls13_tickets = 0;
        Ok(Self {
            certificate: Arc::new(config),
        })
    }

    /// The same for another protocol.
    pub(crate) fn with_alpn(&self, alpn: &[u8]) -> Self {
        let mut config = ServerConfig::clone(&self.certificate);
        config.alpn_protocols = vec![alpn.to_vec()];
        Self {
            certificate: Arc::new(config),
        }
    }

    pub(crate) async fn accept(&self, socket: Socket) -> Result<Secured, HandshakeError> {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket)
            .await
            .map_err(handshake_error)?;
        let config = match Door::choose(&start.client_hello()) {
            Door::Certificate => Arc::clone(&self.certificate),
        };
        let stream = start.into_stream(config).await.map_err(handshake_error)?;
        let exporter = stream
            .get_ref()
            .1
            .export_keying_material([0; 32], EXPORTER_LABEL, EXPORTER_CONTEXT)
            .map_err(|error| HandshakeError::Tls(EngineError(error)))?;
        Ok(Secured {
            stream: TlsStream(stream.into()),
            peer: Peer::Anonymous,
            exporter: ExporterValue(exporter),
            server_certificates: Vec::new(),
        })
    }
}

impl ClientEngine {
    pub(crate) fn new(ca_pem: &str, alpn: &[u8]) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca_pem, "CA certificate")? {
            roots.add(certificate).map_err(refused)?;
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(refused)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.require_ems = true;
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(crate) async fn connect(
        &self,
        socket: Socket,
        server_name: &str,
    ) -> Result<Secured, HandshakeError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_invalid| HandshakeError::ServerName(server_name.to_owned()))?;
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, socket)
            .await
            .map_err(handshake_error)?;
        let session = stream.get_ref().1;
        let exporter = session
            .export_keying_material([0; 32], EXPORTER_LABEL, EXPORTER_CONTEXT)
            .map_err(|error| HandshakeError::Tls(EngineError(error)))?;
        let server_certificates = session
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| Arc::from(certificate.as_ref()))
            .collect();
        Ok(Secured {
            stream: TlsStream(stream.into()),
            peer: Peer::Anonymous,
            exporter: ExporterValue(exporter),
            server_certificates,
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_error| SetupError::Unreadable(what))?;
    if chain.is_empty() {
        return Err(SetupError::Missing(what));
    }
    Ok(chain)
}

/// Clients refuse a CA certificate that a Server presents as its own. Told at the start, it is found; told in a handshake, it is not.
fn refuse_ca(chain: &[CertificateDer<'_>], provider: &CryptoProvider) -> Result<(), SetupError> {
    let Some(leaf) = chain.first() else {
        return Err(SetupError::Missing("certificate"));
    };
    let refused = |error| SetupError::Refused(EngineError(error));
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

fn refused(error: rustls::Error) -> SetupError {
    SetupError::Refused(EngineError(error))
}

/// The stream wraps what the engine says in an [`io::Error`].
fn handshake_error(error: io::Error) -> HandshakeError {
    match error.downcast::<rustls::Error>() {
        Ok(error) => HandshakeError::Tls(EngineError(error)),
        Err(error) => HandshakeError::Io(error),
    }
}

impl TlsStream {
    pub(crate) fn socket(&self) -> &Socket {
        self.0.get_ref().0
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket {
        self.0.get_mut().0
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
