//! The server's end of a handshake.

use crate::{
    Channel, HandshakeError, SetupError,
    engine::{HTTP_ALPN, MQTT_ALPN, ServerEngine},
    socket::Socket,
};
use std::time::Duration;
use tokio::net::TcpStream;

/// Accepts TLS 1.3, and TLS 1.2 with extended main secret (RFC 7627), presenting an X.509 certificate; ALPN `mqtt`; no tickets, no
/// resumption, no early data. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    engine: ServerEngine,
    handshake_timeout: Duration,
}

impl Acceptor {
    /// From PEM texts: the certificate chain, leaf first, and its private key. `handshake_timeout` bounds each handshake as a whole.
    pub fn new(
        certificate_chain_pem: &str,
        private_key_pem: &str,
        handshake_timeout: Duration,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            engine: ServerEngine::new(certificate_chain_pem, private_key_pem, MQTT_ALPN)?,
            handshake_timeout,
        })
    }

    /// The same with ALPN `http/1.1`, for a WebSocket.
    pub(crate) fn for_http(
        certificate_chain_pem: &str,
        private_key_pem: &str,
        handshake_timeout: Duration,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            engine: ServerEngine::new(certificate_chain_pem, private_key_pem, HTTP_ALPN)?,
            handshake_timeout,
        })
    }

    /// Does the handshake. A client that offers ALPN protocols without `mqtt` is refused; one that offers none is not.
    pub async fn accept(&self, stream: TcpStream) -> Result<Channel, HandshakeError> {
        stream.set_nodelay(true).map_err(HandshakeError::Io)?;
        let handshake = self.engine.accept(Socket::Attached(stream));
        let secured = tokio::time::timeout(self.handshake_timeout, handshake)
            .await
            .map_err(|_elapsed| HandshakeError::Timeout)??;
        Ok(secured.into())
    }
}
