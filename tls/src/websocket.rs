//! MQTT over WebSocket (RFC 6455; MQTT 5.0 §6, 3.1.1 §6): binary frames out and in, whose borders mean nothing.

mod acceptor;
mod upgrade;

pub use acceptor::{WebSocketAcceptor, WebSocketPolicy};

use crate::carrier::Carrier;
use bytes::{Buf, Bytes};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext, frame::coding::CloseCode},
};

/// The largest frame we send, bytes: a TLS record.
const FRAME_BYTES: usize = 16 * 1024;
/// What is read from the carrier at once, bytes.
const READ_BYTES: usize = 4 * 1024;
/// What may wait for the carrier, bytes: a frame that did not fit, its header, and control frames.
const UNSENT_BYTES: usize = 2 * FRAME_BYTES;
/// What is read of a client that broke RFC 6455 before it is left, bytes.
const DISCARD_BYTES: usize = 64 * 1024;

/// The server's end of an open WebSocket: a stream of bytes.
pub(crate) struct WebSocket {
    carrier: Carrier,
    frames: WebSocketContext,
    /// The carrier did not take all of the last frame.
    is_blocked: bool,
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
    /// The same, because the client did what it must not. Not yet told to our reader.
    Failed(&'static str),
    /// Told. As many more bytes are read and dropped, so that no reset overtakes the Close frame.
    Discarding(usize),
}

/// The carrier as tungstenite wants it, for the length of one poll: what would wait says so, and `cx` is woken.
struct Polled<'a, 'b> {
    carrier: &'a mut Carrier,
    cx: &'a mut Context<'b>,
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl io::Read for Polled<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut target = ReadBuf::new(bytes);
        or_would_block(Pin::new(&mut *self.carrier).poll_read(self.cx, &mut target))?;
        Ok(target.filled().len())
    }
}

impl io::Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.carrier).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_would_block(Pin::new(&mut *self.carrier).poll_flush(self.cx))
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

impl WebSocket {
    /// `unread` came behind the request; `message_bytes` bounds a frame and a message.
    pub(crate) fn new(carrier: Carrier, unread: Vec<u8>, message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(UNSENT_BYTES)
            .max_frame_size(Some(message_bytes))
            .max_message_size(Some(message_bytes));
        Self {
            carrier,
            frames: WebSocketContext::from_partially_read(unread, Role::Server, Some(config)),
            is_blocked: false,
            unread: Bytes::new(),
            ending: Ending::Open,
        }
    }

    /// From the next frame on, other bounds of a frame and a message.
    pub(crate) fn set_message_bytes(&mut self, message_bytes: usize) {
        self.frames.set_config(|config| {
            config.max_frame_size = Some(message_bytes);
            config.max_message_size = Some(message_bytes);
        });
    }

    pub(crate) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    pub(crate) fn carrier_mut(&mut self) -> &mut Carrier {
        &mut self.carrier
    }

    /// Ends the connection because of what the client did (RFC 6455 §7.4.1). The Close frame leaves with the next polls.
    fn fail(
        &mut self,
        cx: &mut Context<'_>,
        code: CloseCode,
        offence: &'static str,
    ) -> io::Result<()> {
        self.ending = Ending::Failed(offence);
        self.send_close(cx, code, offence)
    }

    fn send_close(
        &mut self,
        cx: &mut Context<'_>,
        code: CloseCode,
        reason: &'static str,
    ) -> io::Result<()> {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        self.send(cx, Message::Close(Some(frame)))
    }

    /// Hands a message over; what the carrier does not take now waits within [`UNSENT_BYTES`].
    fn send(&mut self, cx: &mut Context<'_>, message: Message) -> io::Result<()> {
        let is_close = message.is_close();
        let carrier = &mut self.carrier;
        match self.frames.write(&mut Polled { carrier, cx }, message) {
            Ok(()) => Ok(()),
            Err(error) if would_block(&error) => {
                self.is_blocked = true;
                Ok(())
            }
            // The client has closed already: there is nothing left to say.
            Err(Error::ConnectionClosed | Error::AlreadyClosed) if is_close => Ok(()),
            Err(error) => Err(broken(error)),
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let carrier = &mut self.carrier;
        match self.frames.flush(&mut Polled { carrier, cx }) {
            // Closed by both: nothing waits any more.
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                self.is_blocked = false;
                Poll::Ready(Ok(()))
            }
            Err(error) if would_block(&error) => Poll::Pending,
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }

    fn handle_message(&mut self, cx: &mut Context<'_>, message: Message) -> io::Result<()> {
        match message {
            Message::Binary(payload) => self.unread = payload,
            // [MQTT-6.0.0-1]
            Message::Text(_) => self.fail(cx, CloseCode::Unsupported, "text frame")?,
            // Answered below us.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: Error) -> io::Result<()> {
        if matches!(error, Error::Capacity(_)) {
            self.fail(cx, CloseCode::Size, "frame or message too large")
        } else if matches!(error, Error::Utf8(_)) {
            self.fail(cx, CloseCode::Unsupported, "text frame")
        } else if matches!(error, Error::Protocol(_)) {
            self.fail(cx, CloseCode::Protocol, "frame against RFC 6455")
        } else {
            Err(broken(error))
        }
    }

    /// Ready at the end of what the client sends, or after the bound.
    fn discard(&mut self, cx: &mut Context<'_>, mut left: usize) -> Poll<io::Result<()>> {
        let mut scratch = [0; 1024];
        while left > 0 {
            let mut target = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.carrier).poll_read(cx, &mut target))?;
            let count = target.filled().len();
            left = if count == 0 {
                0
            } else {
                left.saturating_sub(count)
            };
            self.ending = Ending::Discarding(left);
        }
        Poll::Ready(Ok(()))
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
            match this.ending {
                Ending::Failed(offence) => {
                    ready!(this.flush(cx))?;
                    this.ending = Ending::Discarding(DISCARD_BYTES);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, offence)));
                }
                Ending::Discarding(left) => return this.discard(cx, left),
                Ending::Open | Ending::Closing => {}
            }
            let carrier = &mut this.carrier;
            match this.frames.read(&mut Polled { carrier, cx }) {
                Ok(message) => this.handle_message(cx, message)?,
                Err(error) if would_block(&error) => return Poll::Pending,
                Err(
                    Error::ConnectionClosed
                    | Error::AlreadyClosed
                    | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                ) => return Poll::Ready(Ok(())),
                Err(error) => this.handle_error(cx, error)?,
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
        if this.is_blocked {
            ready!(this.flush(cx))?;
        }
        let count = buf.len().min(FRAME_BYTES);
        let frame = Message::Binary(Bytes::copy_from_slice(&buf[..count]));
        this.send(cx, frame)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending == Ending::Open {
            this.ending = Ending::Closing;
            this.send_close(cx, CloseCode::Normal, "")?;
        }
        ready!(this.flush(cx))?;
        Pin::new(&mut this.carrier).poll_shutdown(cx)
    }
}
