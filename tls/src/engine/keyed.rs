//! A TLS stream on OpenSSL: moves the ciphertext of a `Connection` over a socket.

use super::{EXPORTER_LABEL, failed};
use crate::{HandshakeError, channel::ExporterValue, socket::Socket};
use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};
use symbolon_tls_psk::{Connection, Peer, Progress, TlsError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// What is read from the socket at once, bytes.
const READ_BYTES: usize = 16 * 1024;
/// The plaintext of one full record, bytes (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;
/// Ciphertext that may wait for the socket while we go on reading, bytes. Only answers to the peer's own messages get there.
const WAITING_LIMIT: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct KeyedStream {
    pub(super) socket: Socket,
    connection: Connection,
    /// Written and not encrypted yet: small writes share a record.
    plaintext: Vec<u8>,
}

impl KeyedStream {
    /// `beginning` was read from the socket already.
    pub(super) fn new(socket: Socket, mut connection: Connection, beginning: &[u8]) -> Self {
        connection.handle_ciphertext(beginning);
        Self {
            socket,
            connection,
            plaintext: Vec::new(),
        }
    }

    /// Does the handshake. Where it fails, the alert is sent if the socket takes it.
    pub(super) async fn handshake(&mut self) -> Result<Peer, HandshakeError> {
        loop {
            let progress = self.connection.handshake();
            let sent = self.flush().await;
            match progress {
                Ok(Progress::Done(peer)) => {
                    sent.map_err(HandshakeError::Io)?;
                    return Ok(peer);
                }
                Ok(Progress::Blocked) => sent.map_err(HandshakeError::Io)?,
                Err(TlsError::Truncated) => {
                    return Err(HandshakeError::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                Err(error) => return Err(failed(error)),
            }
            std::future::poll_fn(|cx| self.poll_fill(cx))
                .await
                .map_err(HandshakeError::Io)?;
        }
    }

    pub(super) fn exporter(&self) -> Result<ExporterValue, HandshakeError> {
        let mut value = [0; 32];
        self.connection
            .export(EXPORTER_LABEL, &mut value)
            .map_err(failed)?;
        Ok(ExporterValue(value))
    }

    /// Reads ciphertext from the socket.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
        match space.filled() {
            [] => self.connection.handle_end(),
            ciphertext => self.connection.handle_ciphertext(ciphertext),
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.connection.ciphertext().is_empty() {
            let ciphertext = self.connection.ciphertext();
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, ciphertext))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.connection.handle_sent(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts and sends what was written.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was encrypted before leaves first, so that a slow socket holds back one record and not more.
        ready!(self.poll_send(cx))?;
        if !self.plaintext.is_empty() {
            let plaintext = std::mem::take(&mut self.plaintext);
            self.connection.write(&plaintext).map_err(broken)?;
        }
        self.poll_send(cx)
    }
}

fn broken(error: TlsError) -> io::Error {
    let kind = if matches!(error, TlsError::Truncated) {
        io::ErrorKind::UnexpectedEof
    } else {
        io::ErrorKind::InvalidData
    };
    io::Error::new(kind, error)
}

impl AsyncRead for KeyedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let waits = this.connection.ciphertext().len();
            let progress = this.connection.read(buf.initialize_unfilled());
            // An answer to a key update, or an alert. It need not leave before we read on. Where a writer waits for the socket already,
            // it stays the one to be woken, and takes this along.
            let is_held_up = if waits == 0 || waits > WAITING_LIMIT {
                this.poll_send(cx)?.is_pending() && waits > WAITING_LIMIT
            } else {
                false
            };
            match progress.map_err(broken)? {
                Progress::Done(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Progress::Blocked => {}
            }
            if is_held_up {
                return Poll::Pending;
            }
            ready!(this.poll_fill(cx))?;
        }
    }
}

impl AsyncWrite for KeyedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.plaintext.len() >= RECORD_BYTES {
            ready!(this.poll_drain(cx))?;
        }
        let count = buf.len().min(RECORD_BYTES - this.plaintext.len());
        this.plaintext.extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        this.connection.close().map_err(broken)?;
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
