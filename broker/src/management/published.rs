//! What shards let others read of them. Each writes its own about once a second, and the management listener reads all of them.

use crate::core::counters::{Count, Counters, NUMBERS};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One shard's numbers, in cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Published {
    numbers: [AtomicU64; NUMBERS],
    accepting: AtomicBool,
}

/// Says that a shard accepts connections, until it is dropped.
#[derive(Debug)]
pub(crate) struct Accepting<'a>(&'a Published);

impl Published {
    pub(crate) fn new() -> Self {
        Self {
            numbers: [const { AtomicU64::new(0) }; NUMBERS],
            accepting: AtomicBool::new(false),
        }
    }

    /// Called by the shard alone, so that what is there need not be read.
    pub(crate) fn store(&self, counters: &Counters) {
        for (published, number) in self.numbers.iter().zip(counters.numbers()) {
            published.store(*number, Ordering::Relaxed);
        }
    }

    pub(crate) fn number(&self, what: Count) -> u64 {
        self.numbers[what.place()].load(Ordering::Relaxed)
    }

    pub(crate) fn accept(&self) -> Accepting<'_> {
        self.accepting.store(true, Ordering::Relaxed);
        Accepting(self)
    }

    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::Relaxed)
    }
}

/// What all shards counted together.
pub(crate) fn sum(shards: &[Published], what: Count) -> u64 {
    shards.iter().map(|shard| shard.number(what)).sum()
}

/// Of what every shard has all of.
pub(crate) fn most(shards: &[Published], what: Count) -> u64 {
    (shards.iter().map(|shard| shard.number(what)).max()).unwrap_or_default()
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        self.0.accepting.store(false, Ordering::Relaxed);
    }
}
