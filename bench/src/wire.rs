//! One connection on a poll of edges: with TLS or without, client or server. It is read until nothing is there, and written at once.

pub(crate) mod secure;

use mio::{Interest, Registry, Token, net::TcpStream};
use secure::Secure;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
};

/// What one read takes at the most, bytes.
pub(crate) const SCRATCH_BYTES: usize = 256 * 1024;
/// The most that a Remaining Length takes, bytes (MQTT 5.0 §1.5.5).
const LENGTH_BYTES: usize = 4;

/// A connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    secure: Option<Box<Secure>>,
    /// The beginning of a packet.
    partial: Vec<u8>,
    /// What is to be written: append here, then [`Socket::flush`].
    pub(crate) out: Vec<u8>,
    written: usize,
    /// The other end writes no more.
    pub(crate) has_ended: bool,
}

/// A whole packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8],
    /// The first byte of its fixed header: type and flags.
    pub(crate) first: u8,
    /// What follows the fixed header.
    pub(crate) body: &'a [u8],
}

impl Socket {
    /// Begins to connect.
    pub(crate) fn connect(
        address: SocketAddr,
        secure: Option<Secure>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        Self::new(TcpStream::connect(address)?, secure, registry, token)
    }

    /// Takes a stream that is new.
    pub(crate) fn new(
        mut stream: TcpStream,
        secure: Option<Secure>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            secure: secure.map(Box::new),
            partial: Vec::new(),
            out: Vec::new(),
            written: 0,
            has_ended: false,
        })
    }

    /// The connection is there: small packets leave at once.
    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)
    }

    /// Whether packets can be sent: TLS is agreed upon, or not used.
    pub(crate) fn is_open(&self) -> bool {
        self.secure.as_ref().is_none_or(|secure| secure.is_open())
    }

    /// The TLS exporter value (RFC 9431 §2.2.4.2.1), once the connection is open and where it is over TLS.
    pub(crate) fn exporter(&self) -> Option<[u8; 32]> {
        self.secure.as_ref().and_then(|secure| secure.exporter())
    }

    /// Whether what is in `out` waits for the other end.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.out.is_empty()
    }

    /// Reads until nothing is there and hands over every whole packet; what `handle` appends to `out` is then written.
    pub(crate) fn read_all<E: From<io::Error>>(
        &mut self,
        scratch: &mut [u8],
        mut handle: impl FnMut(Frame<'_>, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let kept = self.partial.len();
            scratch[..kept].copy_from_slice(&self.partial);
            self.partial.clear();
            let room = &mut scratch[kept..];
            let size = room.len();
            let count = self.read_some(room)?;
            let bytes = &scratch[..kept + count];
            let mut taken = 0;
            while let Some(frame) = split(&bytes[taken..])? {
                handle(frame, &mut self.out)?;
                taken += frame.bytes.len();
            }
            self.partial.extend_from_slice(&bytes[taken..]);
            // Less than there was room for: the rest comes with another edge.
            if self.has_ended || count < size / 2 {
                return Ok(self.flush()?);
            }
        }
    }

    /// Reads until nothing is there, whatever it is, and appends it to `incoming`.
    pub(crate) fn read_into(
        &mut self,
        scratch: &mut [u8],
        incoming: &mut Vec<u8>,
    ) -> io::Result<()> {
        loop {
            let count = self.read_some(scratch)?;
            incoming.extend_from_slice(&scratch[..count]);
            if self.has_ended || count < scratch.len() / 2 {
                return self.flush();
            }
        }
    }

    fn read_some(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if let Some(secure) = &mut self.secure {
            return secure.read(&mut self.stream, room, &mut self.has_ended);
        }
        let mut count = 0;
        while count < room.len() / 2 {
            match self.stream.read(&mut room[count..]) {
                Ok(0) => {
                    self.has_ended = true;
                    break;
                }
                Ok(more) => {
                    let was_short = more < room.len() - count;
                    count += more;
                    if was_short {
                        break;
                    }
                }
                Err(error) if is_not_now(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Writes what is in `out`, as far as the other end takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(secure) = &mut self.secure {
            return secure.write(&mut self.stream, &mut self.out);
        }
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if is_not_now(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        self.out.clear();
        Ok(())
    }

    /// Says goodbye where TLS does, as far as that needs no waiting.
    pub(crate) fn close(mut self) {
        if let Some(secure) = &mut self.secure {
            secure.say_goodbye();
        }
        // Nobody waits for an answer, so nobody minds that there is none.
        self.flush().ok();
    }
}

/// Not an error: nothing is there, or the connection is not made yet.
fn is_not_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted
    )
}

/// The first packet, where it is whole.
pub(crate) fn split(bytes: &[u8]) -> io::Result<Option<Frame<'_>>> {
    let Some((first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut length = 0;
    for (place, byte) in rest.iter().take(LENGTH_BYTES).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let start = 1 + place + 1;
            let whole = bytes.get(..start + length);
            return Ok(whole.map(|bytes| Frame {
                bytes,
                first: *first,
                body: &bytes[start..],
            }));
        }
    }
    if rest.len() < LENGTH_BYTES {
        Ok(None)
    } else {
        Err(io::Error::new(ErrorKind::InvalidData, "no packet length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_whole_when_its_last_byte_is_there() {
        let mut bytes = vec![0x30, 0xc8, 0x01];
        bytes.resize(3 + 200, 7);
        for end in 0..bytes.len() {
            assert!(split(&bytes[..end]).unwrap().is_none());
        }
        bytes.push(0xd0);
        let frame = split(&bytes).unwrap().unwrap();
        assert_eq!((frame.first, frame.body.len()), (0x30, 200));
        assert_eq!(frame.bytes.len(), 203);
        assert!(split(&[0x30, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
