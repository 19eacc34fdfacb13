//! The server's end of the way from TCP to an open WebSocket.

use super::upgrade;
use crate::{Acceptor, Channel, HandshakeError, SetupError};
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

/// Accepts a WebSocket of the subprotocol `mqtt` at `/mqtt` and `/`, over TLS or bare TCP. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebSocketAcceptor {
    tls: Option<Acceptor>,
    policy: WebSocketPolicy,
    handshake_timeout: Duration,
}

impl WebSocketAcceptor {
    /// Over bare TCP. `handshake_timeout` bounds each handshake as a whole.
    pub fn plain(policy: WebSocketPolicy, handshake_timeout: Duration) -> Self {
        Self {
            tls: None,
            policy,
            handshake_timeout,
        }
    }

    /// Over TLS as [`Acceptor`] does it, with ALPN `http/1.1`. `handshake_timeout` bounds TLS and request together.
    pub fn secured(
        certificate_chain_pem: &str,
        private_key_pem: &str,
        policy: WebSocketPolicy,
        handshake_timeout: Duration,
    ) -> Result<Self, SetupError> {
        let tls = Acceptor::for_http(certificate_chain_pem, private_key_pem, handshake_timeout)?;
        Ok(Self {
            tls: Some(tls),
            policy,
            handshake_timeout,
        })
    }

    /// Does the handshake. What is refused gets an HTTP answer that says why.
    pub async fn accept(&self, stream: TcpStream) -> Result<Channel, HandshakeError> {
        tokio::time::timeout(self.handshake_timeout, self.open(stream))
            .await
            .map_err(|_elapsed| HandshakeError::Timeout)?
    }

    async fn open(&self, stream: TcpStream) -> Result<Channel, HandshakeError> {
        let channel = if let Some(tls) = &self.tls {
            tls.accept(stream).await?
        } else {
            stream.set_nodelay(true).map_err(HandshakeError::Io)?;
            Channel::plain(stream)
        };
        upgrade::serve(channel, &self.policy).await
    }
}
