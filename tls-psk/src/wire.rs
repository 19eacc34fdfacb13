//! The bytes between OpenSSL and the socket.

use std::io::{self, Read, Write};

/// Ciphertext that came and was not read by OpenSSL yet, and ciphertext that has to leave.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    incoming: Vec<u8>,
    read: usize,
    pub(crate) outgoing: Vec<u8>,
    /// The peer sends no more.
    pub(crate) has_ended: bool,
}

impl Wire {
    pub(crate) fn append(&mut self, ciphertext: &[u8]) {
        if self.read == self.incoming.len() {
            self.incoming.clear();
            self.read = 0;
        }
        self.incoming.extend_from_slice(ciphertext);
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.has_ended && self.read == self.incoming.len()
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = &self.incoming[self.read..];
        if left.is_empty() && !self.has_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = left.len().min(buf.len());
        buf[..count].copy_from_slice(&left[..count]);
        self.read += count;
        if self.read == self.incoming.len() {
            // An idle connection holds no buffer.
            self.incoming = Vec::new();
            self.read = 0;
        }
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
