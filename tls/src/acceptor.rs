//! The server's end of a handshake.

use crate::{
    Channel, HandshakeError, KeySource, SetupError,
    engine::{HTTP_ALPN, KeyedEngine, MQTT_ALPN, ServerEngine},
    socket::Socket,
};
use arc_swap::ArcSwap;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// Accepts TLS 1.3, and TLS 1.2 with extended main secret (RFC 7627); ALPN `mqtt`; no tickets, no resumption, no early data. Presents an
/// X.509 certificate, or the raw public key of the same private key to clients that like it better (RFC 7250). Clients may show a raw
/// public key of their own. Cheap to clone; all clones present the same certificate, also after it was replaced.
#[derive(Clone, Debug)]
pub struct Acceptor {
    presented: Arc<ArcSwap<Presented>>,
    keyed: Option<KeyedEngine>,
}

/// What the next handshake is done with.
#[derive(Debug)]
struct Presented {
    certificate: ServerCertificate,
    handshake_timeout: Duration,
}

/// A certificate chain with the private key that fits it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerCertificate(ServerEngine);

impl ServerCertificate {
    /// From PEM texts: the certificate chain, leaf first, and its private key.
    pub fn parse(certificate_chain_pem: &str, private_key_pem: &str) -> Result<Self, SetupError> {
        ServerEngine::new(certificate_chain_pem, private_key_pem, MQTT_ALPN).map(Self)
    }

    /// The same for HTTP, as a WebSocket begins.
    pub(crate) fn for_http(&self) -> Self {
        Self(self.0.with_alpn(HTTP_ALPN))
    }
}

impl Acceptor {
    /// From PEM texts: the certificate chain, leaf first, and its private key. `handshake_timeout` bounds each handshake as a whole.
    pub fn new(
        certificate_chain_pem: &str,
        private_key_pem: &str,
        handshake_timeout: Duration,
    ) -> Result<Self, SetupError> {
        let certificate = ServerCertificate::parse(certificate_chain_pem, private_key_pem)?;
        Ok(Self::presenting(certificate, handshake_timeout))
    }

    /// Presents this certificate. `handshake_timeout` bounds each handshake as a whole.
    pub fn presenting(certificate: ServerCertificate, handshake_timeout: Duration) -> Self {
        let presented = Presented {
            certificate,
            handshake_timeout,
        };
        Self {
            presented: Arc::new(ArcSwap::from_pointee(presented)),
            keyed: None,
        }
    }

    /// From now on this acceptor, and the clones made of it, also serve clients that offer a pre-shared key, and them alone by that
    /// key: never by a certificate. Without this, what they offer is ignored.
    pub fn with_pre_shared_keys(self, keys: Arc<dyn KeySource>) -> Result<Self, SetupError> {
        let keyed = Some(KeyedEngine::new(keys)?);
        Ok(Self { keyed, ..self })
    }

    /// From the next handshake on, this certificate and this limit hold. Handshakes under way and channels that stand are not touched.
    pub fn replace_certificate(&self, certificate: ServerCertificate, handshake_timeout: Duration) {
        self.presented.store(Arc::new(Presented {
            certificate,
            handshake_timeout,
        }));
    }

    /// Does the handshake. A client that offers ALPN protocols without `mqtt` is refused; one that offers none is not.
    pub async fn accept(&self, stream: TcpStream) -> Result<Channel, HandshakeError> {
        stream.set_nodelay(true).map_err(HandshakeError::Io)?;
        let presented = self.presented.load_full();
        let socket = Socket::Attached(stream);
        let engine = &presented.certificate.0;
        let handshake = engine.accept(socket, self.keyed.as_ref());
        let secured = tokio::time::timeout(presented.handshake_timeout, handshake)
            .await
            .map_err(|_elapsed| HandshakeError::Timeout)??;
        Ok(secured.into())
    }
}
