//! MQTT over WebSocket (RFC 6455; MQTT 5.0 §6, 3.1.1 §6): binary frames out and in, whose borders mean nothing.

mod acceptor;
mod upgrade;

pub use acceptor::{WebSocketAcceptor, WebSocketPolicy};

use crate::carrier::Carrier;
use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// The largest frame we send, bytes: a TLS record.
const FRAME_BYTES: usize = 16 * 1024;
/// What is read from the carrier at once, bytes.
const READ_BYTES: usize = 4 * 1024;
/// What may wait for the carrier, bytes: a frame that did not fit, its header, and control frames.
const UNSENT_BYTES: usize = 2 * FRAME_BYTES;

/// The server's end of an open WebSocket: a stream of bytes.
pub(crate) struct WebSocket {
    stream: WebSocketStream<Carrier>,
    /// Payload that was not taken yet.
    unread: Bytes,
    ending: Ending,
}

/// How far the end has come that we began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    Open,
    /// Our Close frame is sent or waits for the carrier.
    Closing,
    /// The same, because the client did what it must not.
    Failed(&'static str),
}

impl WebSocket {
    /// `unread` came behind the request; `message_bytes` bounds a frame and a message.
    pub(crate) async fn new(carrier: Carrier, unread: Vec<u8>, message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(UNSENT_BYTES)
            .max_frame_size(Some(message_bytes))
            .max_message_size(Some(message_bytes));
        Self {
            stream: WebSocketStream::from_partially_read(
                carrier,
                unread,
                Role::Server,
                Some(config),
            )
            .await,
            unread: Bytes::new(),
            ending: Ending::Open,
        }
    }

    pub(crate) fn carrier(&self) -> &Carrier {
        self.stream.get_ref()
    }

    pub(crate) fn carrier_mut(&mut self) -> &mut Carrier {
        self.stream.get_mut()
    }

    /// Ends the connection because of what the client did (RFC 6455 §7.4.1). The Close frame leaves with the next polls.
    fn fail(&mut self, code: CloseCode, offence: &'static str) -> io::Result<()> {
        self.ending = Ending::Failed(offence);
        self.send_close(code, offence)
    }

    fn send_close(&mut self, code: CloseCode, reason: &'static str) -> io::Result<()> {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        match Pin::new(&mut self.stream).start_send(Message::Close(Some(frame))) {
            // The client has closed already: there is nothing left to say.
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Ok(()),
            Err(error) => Err(broken(error)),
        }
    }

    fn handle_message(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Binary(payload) => self.unread = payload,
            // [MQTT-6.0.0-1]
            Message::Text(_) => {
                self.fail(CloseCode::Unsupported, "text frame")?;
            }
            // Answered below us.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    fn handle_error(&mut self, error: Error) -> io::Result<()> {
        if matches!(error, Error::Capacity(_)) {
            self.fail(CloseCode::Size, "frame or message too large")
        } else if matches!(error, Error::Utf8(_)) {
            self.fail(CloseCode::Unsupported, "text frame")
        } else if matches!(error, Error::Protocol(_)) {
            self.fail(CloseCode::Protocol, "frame against RFC 6455")
        } else {
            Err(broken(error))
        }
    }
}

fn broken(error: Error) -> io::Error {
    if let Error::Io(error) = error {
        return error;
    }
    io::Error::new(io::ErrorKind::BrokenPipe, error.to_string())
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            if let Ending::Failed(offence) = this.ending {
                ready!(Pin::new(&mut this.stream).poll_flush(cx)).map_err(broken)?;
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, offence)));
            }
            match ready!(Pin::new(&mut this.stream).poll_next(cx)) {
                None | Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(message)) => this.handle_message(message)?,
                Some(Err(error)) => this.handle_error(error)?,
            }
        }
        let count = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.unread[..count]);
        this.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    /// One binary frame for each call, of at most [`FRAME_BYTES`].
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut this.stream).poll_ready(cx)).map_err(broken)?;
        let count = buf.len().min(FRAME_BYTES);
        let frame = Message::Binary(Bytes::copy_from_slice(&buf[..count]));
        Pin::new(&mut this.stream)
            .start_send(frame)
            .map_err(broken)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream)
            .poll_flush(cx)
            .map_err(broken)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending == Ending::Open {
            this.ending = Ending::Closing;
            this.send_close(CloseCode::Normal, "")?;
        }
        ready!(Pin::new(&mut this.stream).poll_flush(cx)).map_err(broken)?;
        Pin::new(this.carrier_mut()).poll_shutdown(cx)
    }
}
