//! A TCP socket that may leave its runtime.

use std::{
    io, net,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::Handle,
};

/// A TCP socket, registered with a runtime or on its way to one. Only an attached one moves bytes; the others answer
/// [`io::ErrorKind::NotConnected`].
#[derive(Debug)]
pub(crate) enum Socket {
    /// Registered with the runtime it was attached on.
    Attached(TcpStream),
    /// Non-blocking, registered nowhere.
    Detached(net::TcpStream),
    /// Lost: attaching or detaching failed.
    Lost,
}

impl Socket {
    /// Takes the socket off its runtime, in place, so that what wraps it stays where it is.
    pub(crate) fn detach(&mut self) -> io::Result<()> {
        if let Self::Attached(stream) = std::mem::replace(self, Self::Lost) {
            *self = Self::Detached(stream.into_std()?);
            return Ok(());
        }
        Err(not_attached())
    }

    /// Registers the socket with the runtime of the calling thread, in place.
    pub(crate) fn attach(&mut self) -> io::Result<()> {
        // TcpStream::from_std panics outside a runtime; we would rather answer.
        let _runtime = Handle::try_current().map_err(io::Error::other)?;
        if let Self::Detached(stream) = std::mem::replace(self, Self::Lost) {
            *self = Self::Attached(TcpStream::from_std(stream)?);
            return Ok(());
        }
        Err(not_attached())
    }

    pub(crate) fn peer_addr(&self) -> io::Result<net::SocketAddr> {
        match self {
            Self::Attached(stream) => stream.peer_addr(),
            Self::Detached(stream) => stream.peer_addr(),
            Self::Lost => Err(not_attached()),
        }
    }

    fn attached(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        match self.get_mut() {
            Self::Attached(stream) => Ok(Pin::new(stream)),
            Self::Detached(_) | Self::Lost => Err(not_attached()),
        }
    }
}

fn not_attached() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the socket is not attached to a runtime",
    )
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.attached()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.attached()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.attached()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attached()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attached()?.poll_shutdown(cx)
    }
}
