//! Packets on their way to be bytes for the broker.

use symbolon_mqtt_proto::{EncodeError, Packet, ProtocolVersion};

/// The buffer is given back once it is empty and larger than this, bytes.
const KEPT_CAPACITY: usize = 64 * 1024;

/// What is to be written, in order. Each call of the application adds one packet and waits for it; the rest are answers, one for each
/// packet that was read: so it is bounded by what is read between two writes.
#[derive(Debug)]
pub(crate) struct Outbox {
    version: ProtocolVersion,
    bytes: Vec<u8>,
    written: usize,
    /// Grows with each packet: tells that something was sent.
    packets: u64,
}

impl Outbox {
    pub(super) fn new(version: ProtocolVersion) -> Self {
        Self {
            version,
            bytes: Vec::new(),
            written: 0,
            packets: 0,
        }
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.version
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    pub(super) fn push(&mut self, packet: &Packet<'_>) -> Result<(), EncodeError> {
        packet.encode(self.version, &mut self.bytes)?;
        self.packets += 1;
        Ok(())
    }

    /// A packet that is encoded already.
    pub(super) fn push_encoded(&mut self, packet: &[u8]) {
        self.bytes.extend_from_slice(packet);
        self.packets += 1;
    }

    /// The last so many bytes pushed.
    pub(super) fn last_mut(&mut self, length: usize) -> &mut [u8] {
        let start = self.bytes.len().saturating_sub(length);
        &mut self.bytes[start..]
    }

    /// What is to be written next.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So many bytes of [`Outbox::pending`] were written.
    pub(crate) fn handle_written(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY);
            self.written = 0;
        }
    }
}
