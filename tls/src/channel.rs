//! A connection that may be secured, and may move between runtimes.

use crate::{Spki, carrier::Carrier, engine::TlsStream, socket::Socket, websocket::WebSocket};
use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Whom the handshake proved the peer to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peer {
    /// Nobody by a key. On the server's side: no client authentication took place. On the client's side, the Server's certificate
    /// was checked: [`Channel::server_certificates`].
    Anonymous,
    /// The holder of the private key to this public key (RFC 9431 §2.2.3.1). On the server's side any well-formed key gets this far:
    /// whether it is known is for the caller to say. On the client's side it is the key that was expected.
    RawPublicKey(Spki),
    /// A holder of the key that belongs to this identity, which may be a whole token (RFC 9431 §2.2.3.2). On the server's side the key
    /// is what the [`crate::KeySource`] gave for it; on the client's side it is the client's own.
    PreSharedKey {
        /// As it came in the handshake.
        identity: Arc<[u8]>,
    },
}

/// The 32 bytes both ends derive from one TLS connection (RFC 9431 §2.2.4.2.1). Never shown by `Debug`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ExporterValue(pub [u8; 32]);

/// A connection, secured or not: `AsyncRead + AsyncWrite`, and it may move between runtimes.
///
/// Writes on TLS are gathered into records until [`AsyncWrite::poll_flush`]; shutting down sends `close_notify`, and before it the Close
/// frame of a WebSocket.
pub struct Channel {
    transport: Transport,
    peer: Peer,
    exporter: Option<ExporterValue>,
    server_certificates: Vec<Arc<[u8]>>,
}

/// A channel on its way to another runtime. `Send`.
#[derive(Debug)]
pub struct DetachedChannel {
    channel: Channel,
}

enum Transport {
    Direct(Carrier),
    // Boxed: several times the size of the other.
    WebSocket(Box<WebSocket>),
}

/// What a handshake established.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream,
    pub(crate) peer: Peer,
    pub(crate) exporter: ExporterValue,
    pub(crate) server_certificates: Vec<Arc<[u8]>>,
}

impl Channel {
    /// A bare TCP connection. `TCP_NODELAY` is left as it is.
    pub fn plain(stream: TcpStream) -> Self {
        Self {
            transport: Transport::Direct(Carrier::Tcp(Socket::Attached(stream))),
            peer: Peer::Anonymous,
            exporter: None,
            server_certificates: Vec::new(),
        }
    }

    /// The same connection with WebSocket frames over it: `unread` came behind the request.
    pub(crate) fn into_websocket(self, unread: Vec<u8>, message_bytes: usize) -> Self {
        let transport = match self.transport {
            Transport::Direct(carrier) => {
                Transport::WebSocket(Box::new(WebSocket::new(carrier, unread, message_bytes)))
            }
            already @ Transport::WebSocket(_) => already,
        };
        Self { transport, ..self }
    }

    /// From now on, how large a frame and a message of a WebSocket may be, bytes. Other channels know no such bound.
    pub fn set_message_bytes(&mut self, message_bytes: usize) {
        match &mut self.transport {
            Transport::Direct(_) => {}
            Transport::WebSocket(socket) => socket.set_message_bytes(message_bytes),
        }
    }

    /// Whom the peer proved to be.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The exporter value; `None` on a bare TCP connection.
    pub fn exporter(&self) -> Option<ExporterValue> {
        self.exporter
    }

    /// The certificate chain the Server presented, DER, leaf first; empty on the server's side and on bare TCP.
    pub fn server_certificates(&self) -> &[Arc<[u8]>] {
        &self.server_certificates
    }

    /// The peer's address. Fails once the operating system has given the connection up.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.transport {
            Transport::Direct(carrier) => carrier.socket().peer_addr(),
            Transport::WebSocket(socket) => socket.carrier().socket().peer_addr(),
        }
    }

    /// Takes the socket off this thread's runtime, so that the channel can be attached on another. TLS state and plaintext that was
    /// decrypted but not yet read go along. On failure the connection is lost.
    pub fn detach(mut self) -> io::Result<DetachedChannel> {
        self.transport.socket_mut().detach()?;
        Ok(DetachedChannel { channel: self })
    }
}

impl DetachedChannel {
    /// Registers the socket with the runtime of the calling thread. On failure, also where there is no runtime, the connection is lost.
    ///
    /// # Panics
    /// Where the runtime was built without IO.
    pub fn attach(self) -> io::Result<Channel> {
        let mut channel = self.channel;
        channel.transport.socket_mut().attach()?;
        Ok(channel)
    }
}

impl Transport {
    fn socket_mut(&mut self) -> &mut Socket {
        match self {
            Self::Direct(carrier) => carrier.socket_mut(),
            Self::WebSocket(socket) => socket.carrier_mut().socket_mut(),
        }
    }
}

impl From<Secured> for Channel {
    fn from(secured: Secured) -> Self {
        Self {
            transport: Transport::Direct(Carrier::Tls(Box::new(secured.stream))),
            peer: secured.peer,
            exporter: Some(secured.exporter),
            server_certificates: secured.server_certificates,
        }
    }
}

impl fmt::Debug for ExporterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExporterValue(..)")
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match &self.transport {
            Transport::Direct(Carrier::Tcp(_)) => "TCP",
            Transport::Direct(Carrier::Tls(_)) => "TLS",
            Transport::WebSocket(_) => "WebSocket",
        };
        f.debug_struct("Channel")
            .field("transport", &transport)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Direct(carrier) => Pin::new(carrier).poll_read(cx, buf),
            Transport::WebSocket(socket) => Pin::new(&mut **socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Direct(carrier) => Pin::new(carrier).poll_write(cx, buf),
            Transport::WebSocket(socket) => Pin::new(&mut **socket).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Direct(carrier) => Pin::new(carrier).poll_write_vectored(cx, bufs),
            Transport::WebSocket(socket) => Pin::new(&mut **socket).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Direct(carrier) => Pin::new(carrier).poll_flush(cx),
            Transport::WebSocket(socket) => Pin::new(&mut **socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Direct(carrier) => Pin::new(carrier).poll_shutdown(cx),
            Transport::WebSocket(socket) => Pin::new(&mut **socket).poll_shutdown(cx),
        }
    }
}
