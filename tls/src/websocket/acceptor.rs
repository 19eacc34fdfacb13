//! The server's end of the way from TCP to an open WebSocket.

use super::upgrade;
use crate::{Acceptor, Channel, HandshakeError, KeySource, ServerCertificate, SetupError};
use arc_swap::ArcSwap;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// Which clients a WebSocket listener lets in, and how much they may send at once.
#[derive(Clone, Debug)]
pub struct WebSocketPolicy {
    /// The origins of the pages that may connect, as browsers write them (RFC 6454 §6.2); `*` is any. A client that names no origin
    /// is no browser, and not asked for one.
    pub origins: Arc<[String]>,
    /// The largest frame and the largest message, bytes, until [`Channel::set_message_bytes`] says otherwise.
    pub message_bytes: usize,
}

/// Accepts a WebSocket of the subprotocol `mqtt` at `/mqtt` and `/`, over TLS or bare TCP. Cheap to clone; all clones work alike, also
/// after a change.
#[derive(Clone, Debug)]
pub struct WebSocketAcceptor {
    tls: Option<Acceptor>,
    rules: Arc<ArcSwap<Rules>>,
}

/// What the next handshake is done with.
#[derive(Debug)]
struct Rules {
    policy: WebSocketPolicy,
    handshake_timeout: Duration,
}

impl WebSocketAcceptor {
    /// Over TLS with this certificate and ALPN `http/1.1`, or over bare TCP. `handshake_timeout` bounds TLS and request together.
    pub fn new(
        certificate: Option<&ServerCertificate>,
        policy: WebSocketPolicy,
        handshake_timeout: Duration,
    ) -> Self {
        let tls = certificate
            .map(|certificate| Acceptor::presenting(certificate.for_http(), handshake_timeout));
        let rules = Rules {
            policy,
            handshake_timeout,
        };
        Self {
            tls,
            rules: Arc::new(ArcSwap::from_pointee(rules)),
        }
    }

    /// The same, also for clients that offer a pre-shared key ([`Acceptor::with_pre_shared_keys`]). Means nothing over bare TCP.
    pub fn with_pre_shared_keys(self, keys: Arc<dyn KeySource>) -> Result<Self, SetupError> {
        let tls = self.tls.map(|tls| tls.with_pre_shared_keys(keys));
        Ok(Self {
            tls: tls.transpose()?,
            ..self
        })
    }

    /// From the next handshake on, these hold. The certificate means nothing over bare TCP, and must be there over TLS to be replaced.
    pub fn replace(
        &self,
        certificate: Option<&ServerCertificate>,
        policy: WebSocketPolicy,
        handshake_timeout: Duration,
    ) {
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.replace_certificate(certificate.for_http(), handshake_timeout);
        }
        self.rules.store(Arc::new(Rules {
            policy,
            handshake_timeout,
        }));
    }

    /// Does the handshake. What is refused gets an HTTP answer that says why.
    pub async fn accept(&self, stream: TcpStream) -> Result<Channel, HandshakeError> {
        let rules = self.rules.load_full();
        let opened = self.open(stream, &rules.policy);
        tokio::time::timeout(rules.handshake_timeout, opened)
            .await
            .map_err(|_elapsed| HandshakeError::Timeout)?
    }

    async fn open(
        &self,
        stream: TcpStream,
        policy: &WebSocketPolicy,
    ) -> Result<Channel, HandshakeError> {
        let channel = if let Some(tls) = &self.tls {
            tls.accept(stream).await?
        } else {
            stream.set_nodelay(true).map_err(HandshakeError::Io)?;
            Channel::plain(stream)
        };
        upgrade::serve(channel, policy).await
    }
}
