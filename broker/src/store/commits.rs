//! How far each shard's journal is written, and whether there is room: what the store's thread tells the shards.

use super::Usage;
use crate::core::router::ShardIndex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// See the module. The store's thread writes it, shards read it.
#[derive(Debug)]
pub(crate) struct Commits {
    shards: Box<[OfShard]>,
    is_full: AtomicBool,
    has_ended: AtomicBool,
    used_bytes: AtomicU64,
    max_bytes: AtomicU64,
    written: AtomicU64,
    entries: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct OfShard {
    up_to: AtomicU64,
    changed: Notify,
}

/// The store's thread has ended: nothing more is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ended;

impl Commits {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| OfShard::default()).collect(),
            is_full: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            used_bytes: AtomicU64::new(0),
            max_bytes: AtomicU64::new(0),
            written: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// The last entry of a shard's journal that is written; 0 before the first is.
    pub(crate) fn up_to(&self, shard: ShardIndex) -> u64 {
        let of_shard = self.shards.get(usize::from(shard));
        of_shard.map_or(0, |of_shard| of_shard.up_to.load(Ordering::Acquire))
    }

    /// Waits until more than `known` is written, and says how far. For one task of each shard. Cancel safe, and no change is missed:
    /// one that happens while nobody waits is kept for the next who does.
    pub(crate) async fn wait_beyond(&self, shard: ShardIndex, known: u64) -> Result<u64, Ended> {
        loop {
            let up_to = self.up_to(shard);
            if up_to > known {
                return Ok(up_to);
            }
            if self.has_ended() {
                return Err(Ended);
            }
            match self.shards.get(usize::from(shard)) {
                Some(of_shard) => of_shard.changed.notified().await,
                None => return Err(Ended),
            }
        }
    }

    /// Whether there is no room for anything new.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Bytes in use.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// How many there should be at most.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// Groups that were written.
    pub(crate) fn commits(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Entries in them.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Times that a group could not be written; it is tried again each time.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether the store's thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    pub(super) fn written(&self, shard: ShardIndex, up_to: u64) {
        if let Some(of_shard) = self.shards.get(usize::from(shard)) {
            of_shard.up_to.fetch_max(up_to, Ordering::Release);
            of_shard.changed.notify_one();
        }
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    pub(super) fn set_usage(&self, usage: Usage) {
        self.used_bytes.store(usage.used_bytes, Ordering::Relaxed);
        self.max_bytes.store(usage.max_bytes, Ordering::Relaxed);
    }

    pub(super) fn note_commit(&self, entries: usize) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    pub(super) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        for of_shard in &self.shards {
            of_shard.changed.notify_one();
        }
    }
}
