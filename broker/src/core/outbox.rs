//! Bytes that wait for one connection's socket, in order. Small frames are copied together, large payloads are shared.

use bytes::Bytes;
use std::collections::VecDeque;

/// Above this many bytes a payload is shared and not copied: below, one copy is cheaper than one more segment.
pub(crate) const SHARED_FROM_BYTES: usize = 4096;

/// A tail that is never empty is cut once this much of it is written, so that it does not grow for ever.
const COMPACT_BYTES: usize = 64 * 1024;

/// An empty outbox keeps at most this much memory.
const IDLE_CAPACITY: usize = 256;

/// What waits for the socket.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Closed segments; all of them go before `tail`.
    segments: VecDeque<Bytes>,
    /// The segment that frames are appended to.
    tail: Vec<u8>,
    /// How much of the first segment (or of `tail`, where there is none) is already written.
    written: usize,
    /// Bytes in `segments`.
    segment_bytes: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.segment_bytes + self.tail.len() - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where to append a frame.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends bytes that are shared with others.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.segment_bytes += tail.len();
            self.segments.push_back(tail.into());
        }
        self.segment_bytes += bytes.len();
        self.segments.push_back(bytes);
    }

    /// The next bytes to write, contiguous; empty where nothing waits.
    pub(crate) fn front(&self) -> &[u8] {
        self.segments
            .front()
            .map_or(&self.tail[..], |segment| &segment[..])
            .get(self.written..)
            .unwrap_or_default()
    }

    /// The socket took `count` bytes of [`Outbox::front`].
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        if let Some(first) = self.segments.front() {
            if self.written >= first.len() {
                self.segment_bytes -= first.len();
                self.segments.pop_front();
                self.written = 0;
            }
        } else if self.written >= self.tail.len() {
            self.written = 0;
            if self.tail.capacity() > IDLE_CAPACITY {
                self.tail = Vec::new();
            } else {
                self.tail.clear();
            }
        } else if self.written >= COMPACT_BYTES {
            self.tail.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let front = outbox.front();
            let count = front.len().min(step);
            all.extend_from_slice(&front[..count]);
            outbox.advance(count);
        }
        all
    }

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        for step in [1, 2, 3, 100] {
            let mut outbox = Outbox::default();
            outbox.tail().extend_from_slice(b"ab");
            outbox.push_shared(Bytes::from_static(b"cdef"));
            outbox.push_shared(Bytes::from_static(b"gh"));
            outbox.tail().extend_from_slice(b"ij");
            assert_eq!(outbox.len(), 10);
            assert_eq!(drain(&mut outbox, step), b"abcdefghij");
            assert_eq!(outbox.len(), 0);
        }
    }

    #[test]
    fn an_empty_outbox_gives_its_memory_back() {
        let mut outbox = Outbox::default();
        outbox.tail().resize(100_000, 7);
        outbox.advance(100_000);
        assert!(outbox.is_empty());
        assert!(outbox.tail.capacity() <= IDLE_CAPACITY);
    }

    #[test]
    fn appending_behind_a_partial_write_loses_nothing() {
        let mut outbox = Outbox::default();
        outbox.tail().extend_from_slice(b"abcd");
        outbox.advance(2);
        outbox.tail().extend_from_slice(b"ef");
        assert_eq!(outbox.front(), b"cdef");
        outbox.push_shared(Bytes::from_static(b"gh"));
        assert_eq!(drain(&mut outbox, 3), b"cdefgh");
    }
}
