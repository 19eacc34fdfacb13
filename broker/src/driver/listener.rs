//! Listening sockets: one for each shard on the same address, so that the kernel spreads connections over the shards.

use super::{arrival::UNADMITTED_PACKET_BYTES, known::TokenKeys};
use crate::{
    StartError,
    config::{Limits, ListenerConfig, Transport},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};
use symbolon_tls::{
    Acceptor, Channel, HandshakeError, KeySource, ServerCertificate, WebSocketAcceptor,
    WebSocketPolicy,
};
use tokio::net::TcpStream;

/// Connections that the kernel keeps until we accept them.
const BACKLOG: i32 = 4_096;

/// The largest message of a WebSocket is the largest packet, but at least this, bytes: small packets may come together.
const WEBSOCKET_MESSAGE_BYTES: usize = 64 * 1024;

/// One listener of the configuration, as a shard sees it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) entrance: Entrance,
}

/// What is done before MQTT begins.
#[derive(Clone, Debug)]
pub(crate) enum Entrance {
    Tcp,
    Tls(Acceptor),
    WebSocket(WebSocketAcceptor),
}

impl Entrance {
    fn new(
        config: &ListenerConfig,
        limits: &Limits,
        keys: &Arc<TokenKeys>,
    ) -> Result<Self, StartError> {
        let certificate = certificate(config).map_err(StartError::Config)?;
        let timeout = limits.handshake_timeout;
        match (&config.transport, certificate) {
            (Transport::Tls { .. }, Some(certificate)) => {
                let keys: Arc<dyn KeySource> = Arc::<TokenKeys>::clone(keys);
                let acceptor = Acceptor::presenting(certificate, timeout);
                let acceptor = acceptor.with_pre_shared_keys(keys).map_err(|error| {
                    StartError::Config(format!("listener {}: {error}", config.address))
                })?;
                Ok(Self::Tls(acceptor))
            }
            (Transport::WebSocketTls { origins, .. }, certificate @ Some(_)) => {
                let policy = policy(origins, limits);
                let acceptor = WebSocketAcceptor::new(certificate.as_ref(), policy, timeout);
                Ok(Self::WebSocket(acceptor))
            }
            (Transport::WebSocketTcp { insecure, origins }, _) => {
                refuse_bare(config, *insecure)?;
                let policy = policy(origins, limits);
                Ok(Self::WebSocket(WebSocketAcceptor::new(
                    None, policy, timeout,
                )))
            }
            (Transport::Tcp { insecure }, _) => {
                refuse_bare(config, *insecure)?;
                Ok(Self::Tcp)
            }
            (Transport::Tls { .. } | Transport::WebSocketTls { .. }, None) => Err(
                StartError::Config(format!("listener {}: no certificate", config.address)),
            ),
        }
    }

    /// From the next handshake on, this certificate and what follows from these limits hold.
    pub(crate) fn replace(
        &self,
        config: &ListenerConfig,
        certificate: Option<ServerCertificate>,
        limits: &Limits,
    ) {
        match (self, &config.transport) {
            (Self::Tls(acceptor), _) => {
                if let Some(certificate) = certificate {
                    acceptor.replace_certificate(certificate, limits.handshake_timeout);
                }
            }
            (
                Self::WebSocket(acceptor),
                Transport::WebSocketTls { origins, .. } | Transport::WebSocketTcp { origins, .. },
            ) => acceptor.replace(
                certificate.as_ref(),
                policy(origins, limits),
                limits.handshake_timeout,
            ),
            (Self::Tcp | Self::WebSocket(_), _) => {}
        }
    }

    /// The handshakes of the transport, within their limit.
    pub(crate) async fn enter(&self, stream: TcpStream) -> Result<Channel, HandshakeError> {
        match self {
            Self::Tcp => {
                stream.set_nodelay(true).map_err(HandshakeError::Io)?;
                Ok(Channel::plain(stream))
            }
            Self::Tls(acceptor) => acceptor.accept(stream).await,
            Self::WebSocket(acceptor) => acceptor.accept(stream).await,
        }
    }
}

/// The certificate of a listener that has one; why it cannot be used.
pub(crate) fn certificate(config: &ListenerConfig) -> Result<Option<ServerCertificate>, String> {
    match &config.transport {
        Transport::Tls {
            certificate_chain_pem,
            private_key_pem,
        }
        | Transport::WebSocketTls {
            certificate_chain_pem,
            private_key_pem,
            ..
        } => ServerCertificate::parse(certificate_chain_pem, private_key_pem)
            .map(Some)
            .map_err(|error| format!("listener {}: {error}", config.address)),
        Transport::Tcp { .. } | Transport::WebSocketTcp { .. } => Ok(None),
    }
}

fn policy(origins: &[String], limits: &Limits) -> WebSocketPolicy {
    WebSocketPolicy {
        origins: origins.into(),
        message_bytes: websocket_message_bytes(limits.packet_size.min(UNADMITTED_PACKET_BYTES)),
    }
}

/// How large a frame and a message of a WebSocket may be, bytes, where this is the largest packet.
pub(super) fn websocket_message_bytes(packet_size: u32) -> usize {
    usize::try_from(packet_size)
        .unwrap_or(usize::MAX)
        .max(WEBSOCKET_MESSAGE_BYTES)
}

fn refuse_bare(config: &ListenerConfig, insecure: bool) -> Result<(), StartError> {
    if config.address.ip().is_loopback() || insecure {
        return Ok(());
    }
    Err(StartError::Config(format!(
        "listener {}: bare TCP outside loopback needs insecure = true",
        config.address
    )))
}

/// Binds a listener once for each shard; where it listens, and the listeners.
pub(crate) fn bind(
    config: &ListenerConfig,
    shards: usize,
    limits: &Limits,
    keys: &Arc<TokenKeys>,
) -> Result<(SocketAddr, Vec<Listener>), StartError> {
    let entrance = Entrance::new(config, limits, keys)?;
    let mut address = config.address;
    let mut listeners = Vec::with_capacity(shards);
    for _ in 0..shards {
        let socket = listen(address).map_err(|source| StartError::Listen { address, source })?;
        // Port 0 was for the first to choose; the others join it.
        address = socket
            .local_addr()
            .map_err(|source| StartError::Listen { address, source })?;
        listeners.push(Listener {
            socket,
            entrance: entrance.clone(),
        });
    }
    Ok((address, listeners))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
