//! Listening sockets: one for each shard on the same address, so that the kernel spreads connections over the shards.

use crate::{
    StartError,
    config::{ListenerConfig, Transport},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use symbolon_tls::Acceptor;

/// Connections that the kernel keeps until we accept them.
const BACKLOG: i32 = 4_096;

/// One listener of the configuration, as a shard sees it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// `None` is bare TCP.
    pub(crate) acceptor: Option<Acceptor>,
}

/// Binds a listener once for each shard; where it listens, and the listeners.
pub(crate) fn bind(
    config: &ListenerConfig,
    shards: usize,
    handshake_timeout: Duration,
) -> Result<(SocketAddr, Vec<Listener>), StartError> {
    let acceptor = match &config.transport {
        Transport::Tls {
            certificate_chain_pem,
            private_key_pem,
        } => Some(
            Acceptor::new(certificate_chain_pem, private_key_pem, handshake_timeout).map_err(
                |error| StartError::Config(format!("listener {}: {error}", config.address)),
            )?,
        ),
        Transport::Tcp { insecure } => {
            if !config.address.ip().is_loopback() && !insecure {
                return Err(StartError::Config(format!(
                    "listener {}: bare TCP outside loopback needs insecure = true",
                    config.address
                )));
            }
            None
        }
    };
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
            acceptor: acceptor.clone(),
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
