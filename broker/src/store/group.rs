//! Batches that are written together.

use super::{commits::Commits, writer::Batch};
use crate::core::{journal::Entry, router::ShardIndex};

/// About how many entries are written together: no batch is begun beyond, but for what belongs to a transaction. A smaller
/// group takes less memory while it is written.
pub(super) const ENTRIES: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Group {
    entries: Vec<Entry>,
    /// What may be told once it is written.
    marks: Vec<(ShardIndex, u64)>,
}

impl Group {
    pub(super) fn push(&mut self, batch: Batch) {
        for entry in batch.entries {
            if let Entry::Part { entries, .. } = entry {
                self.entries.extend(entries);
            } else {
                self.entries.push(entry);
            }
        }
        self.marks.push((batch.shard, batch.up_to));
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
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
        | Entry::PutReceived { .. }
        | Entry::Expired { .. }
        | Entry::Part { .. } => false,
    }
}
