//! One secure channel: who the peer proved to be, and the exporter value of RFC 9431 §2.2.4.2.1.
//!
//! Server side: [`Acceptor`]; client side: [`Connector`]. Both end in a [`Channel`], which may also be a bare TCP connection
//! (for public topics on loopback and for measuring).

use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// Whom the handshake proved the peer to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peer {
    /// Nobody: no client authentication took place.
    Anonymous,
}

/// The 32 bytes both ends derive from one TLS connection. Never shown by `Debug`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ExporterValue(pub [u8; 32]);

/// A connection, secured or not: `AsyncRead + AsyncWrite`, and it may move between runtimes.
#[derive(Debug)]
pub struct Channel {}

/// Why no channel came to be. Never a reason to stop listening.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer took longer than the limit.
    #[error("TLS handshake took too long")]
    Timeout,
    /// The peer broke TLS, or offers nothing we accept.
    #[error("TLS handshake failed: {0}")]
    Tls(rustls::Error),
    /// The connection broke.
    #[error("connection lost in the TLS handshake: {0}")]
    Io(io::Error),
}

/// Why a configuration cannot serve: certificate, key or CA are unreadable or do not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No certificate, key or CA in the PEM text; which.
    #[error("no {0} found in the PEM text")]
    Missing(&'static str),
    /// rustls refuses them.
    #[error("certificate or key refused: {0}")]
    Refused(rustls::Error),
}

/// Accepts TLS 1.3, and TLS 1.2 with extended main secret, presenting an X.509 certificate; ALPN `mqtt`; no tickets, no resumption.
#[derive(Clone, Debug)]
pub struct Acceptor {
    handshake_timeout: Duration,
}

/// Opens channels and checks the Server's certificate against given CAs.
#[derive(Clone, Debug)]
pub struct Connector {
    handshake_timeout: Duration,
}

impl Acceptor {
    /// From PEM texts: the certificate chain, leaf first, and its private key.
    pub fn new(
        certificate_chain_pem: &str,
        private_key_pem: &str,
        handshake_timeout: Duration,
    ) -> Result<Self, SetupError> {
        let _ = (certificate_chain_pem, private_key_pem, handshake_timeout);
        todo!()
    }

    /// Does the handshake.
    pub async fn accept(&self, stream: TcpStream) -> Result<Channel, HandshakeError> {
        let _ = (stream, self.handshake_timeout);
        todo!()
    }
}

impl Connector {
    /// Trusts exactly the CAs in the PEM text.
    pub fn new(ca_pem: &str, handshake_timeout: Duration) -> Result<Self, SetupError> {
        let _ = (ca_pem, handshake_timeout);
        todo!()
    }

    /// Connects TCP to `address` and does the handshake for `server_name` (SNI and certificate check; a DNS name or an IP address).
    pub async fn connect(
        &self,
        address: SocketAddr,
        server_name: &str,
    ) -> Result<Channel, HandshakeError> {
        let _ = (address, server_name, self.handshake_timeout);
        todo!()
    }
}

impl Channel {
    /// A bare TCP connection.
    pub fn plain(stream: TcpStream) -> Self {
        let _ = stream;
        todo!()
    }

    /// Whom the peer proved to be.
    pub fn peer(&self) -> &Peer {
        todo!()
    }

    /// The exporter value; `None` on a bare TCP connection.
    pub fn exporter(&self) -> Option<ExporterValue> {
        todo!()
    }

    /// The certificate chain the Server presented, DER, leaf first; empty on the server's side and on bare TCP.
    pub fn server_certificates(&self) -> &[Arc<[u8]>] {
        todo!()
    }

    /// Takes the socket off this thread's runtime, so that the channel can be attached on another. TLS state goes along.
    pub fn detach(self) -> io::Result<DetachedChannel> {
        todo!()
    }
}

/// A channel on its way to another runtime. `Send`.
#[derive(Debug)]
pub struct DetachedChannel {}

impl DetachedChannel {
    /// Registers the socket with the runtime of the calling thread.
    pub fn attach(self) -> io::Result<Channel> {
        todo!()
    }
}
