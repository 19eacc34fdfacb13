//! Batches that are written together.

use super::{commits::Commits, writer::Batch};
use crate::core::{
    journal::{Entry, SessionRecord, StoredMessage},
    message::Message,
    router::ShardIndex,
};

/// How many entries are written together at the most; a batch that is larger goes alone.
pub(super) const ENTRIES: usize = 16_384;
/// How many bytes of messages are written together at the most, but for the last batch.
pub(super) const BYTES: usize = 16 * 1024 * 1024;
/// What an entry takes beside its message, bytes, about.
const ENTRY_BYTES: usize = 128;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Group {
    entries: Vec<Entry>,
    bytes: usize,
    /// What may be told once it is written.
    marks: Vec<(ShardIndex, u64)>,
}

impl Group {
    pub(super) fn push(&mut self, batch: Batch) {
        self.bytes += batch.entries.iter().map(entry_bytes).sum::<usize>();
        self.entries.extend(batch.entries);
        self.marks.push((batch.shard, batch.up_to));
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub(super) fn is_large(&self) -> bool {
        self.entries.len() >= ENTRIES || self.bytes >= BYTES
    }

    /// How many of the first entries only delete.
    pub(super) fn leading_deletions(&self) -> usize {
        self.entries
            .iter()
            .take_while(|entry| deletes(entry))
            .count()
    }

    /// The first `count` entries are written already.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.entries.drain(..count);
    }

    /// Tells the shards that it is written, and is empty again.
    pub(super) fn tell(&mut self, commits: &Commits) {
        for (shard, up_to) in self.marks.drain(..) {
            commits.written(shard, up_to);
        }
        self.entries.clear();
        // What one large group took is not kept for ever.
        self.entries.shrink_to(ENTRIES);
        self.bytes = 0;
    }
}

fn deletes(entry: &Entry) -> bool {
    match entry {
        Entry::RemoveSession { .. }
        | Entry::RemoveSubscription { .. }
        | Entry::RemoveMessage { .. }
        | Entry::RemoveReceived { .. } => true,
        Entry::Retain { message, .. } => message.publish().payload.is_empty(),
        Entry::PutSession { .. }
        | Entry::PutSubscription { .. }
        | Entry::PutMessage { .. }
        | Entry::Release { .. }
        | Entry::PutReceived { .. } => false,
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    let frame = |message: &Message| message.frame.len();
    let content = match entry {
        Entry::PutSession { record, .. } => {
            let SessionRecord { will, .. } = record.as_ref();
            will.as_ref().map_or(0, |(message, _)| frame(message))
        }
        Entry::PutMessage { message, .. } => {
            let StoredMessage { message, .. } = message.as_ref();
            message.as_ref().map_or(0, |message| frame(message))
        }
        Entry::Retain { message, .. } => frame(message),
        Entry::PutSubscription { subscription, .. }
        | Entry::RemoveSubscription { subscription, .. } => subscription.filter.as_str().len(),
        Entry::RemoveSession { .. }
        | Entry::Release { .. }
        | Entry::RemoveMessage { .. }
        | Entry::PutReceived { .. }
        | Entry::RemoveReceived { .. } => 0,
    };
    ENTRY_BYTES + content
}
