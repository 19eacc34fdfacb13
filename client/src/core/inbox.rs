//! Bytes from the broker, on their way to be packets.

use symbolon_mqtt_proto::{DecodeError, Decoder, Packet, ProtocolVersion, Sender};

/// The buffer is given back once it is empty and larger than this, bytes.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Holds at most one packet that is not whole yet, and whole ones until they are taken: Maximum Packet Size and one read in all.
#[derive(Debug)]
pub(super) struct Inbox {
    decoder: Decoder,
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbox {
    pub(super) fn new(version: ProtocolVersion, maximum_packet_size: u32) -> Self {
        Self {
            decoder: Decoder {
                version,
                sender: Sender::Server,
                maximum_packet_size,
            },
            bytes: Vec::new(),
            taken: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEPT_CAPACITY);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next packet, if it is whole.
    pub(super) fn take_packet(&mut self) -> Result<Option<Packet<'_>>, DecodeError> {
        let decoded = self.decoder.decode(&self.bytes[self.taken..])?;
        Ok(decoded.map(|(packet, length)| {
            self.taken += length;
            packet
        }))
    }
}
