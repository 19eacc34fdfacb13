//! What outlives the process: sessions, what waits for their clients, retained messages.
//!
//! | file | holds |
//! |---|---|
//! | `records.rs`, `fields.rs` | entries of the journal to keys and values, and back |
//! | `plan.rs` | the changes of tables that a group of entries means |
//! | `load.rs` | tables to `Stored` |
//! | `lmdb.rs`, `memory.rs` | the two stores |
//! | `writer.rs`, `group.rs`, `joining.rs` | the thread that writes, group by group |
//! | `commits.rs` | how far each shard's journal is written, and whether there is room |
//! | `inspect.rs` | a look into a store from outside |
//!
//! How a shard uses it: it numbers its entries from 1, sends them in order as `writer::Batch`es, and holds back what it must not
//! tell a client before they are written: `commits::Commits::wait_beyond` says how far the store is. While
//! `commits::Commits::is_full` it takes nothing new that would be stored: QoS 1 and 2 are refused with Quota exceeded, and so are new
//! sessions that outlive their connection, and retained messages. What is under way then still finds room.
//!
//! ```text
//! let started = store::start(&config, shards, clock)?;   // opens, reads everything, starts the thread
//! started.stored                                          // what was stored: each session goes to its home shard
//! started.writer.sender()                                 // for each shard: bounded; `send` waits, `try_send` does not
//! started.writer.commits()                                // shared
//! started.writer.finish(limit)                            // after the shards have dropped their senders
//! ```

pub(crate) mod commits;
mod fields;
mod group;
mod inspect;
pub(crate) mod joining;
mod lmdb;
mod load;
#[cfg(test)]
pub(crate) mod memory;
mod plan;
mod records;
pub(crate) mod writer;

pub use inspect::{Census, Exported, ExportedMessage, Inspection};
pub use records::RecordError;

use crate::{
    config::StoreConfig,
    core::{
        journal::{Entry, Stored},
        shard::Now,
    },
};
use lmdb::LmdbStore;
use std::io;
use writer::StoreWriter;

/// The version of what is written here. One that is higher is refused.
pub const FORMAT: u32 = 1;

/// Why the store does not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is full.
    #[error("the store is full")]
    Full,
    /// The system could not write or read: no space on the disk, or worse.
    #[error("the store cannot be written or read: {0}")]
    Io(#[from] io::Error),
    /// It is damaged; how.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// A record in it makes no sense.
    #[error("the store is damaged: {0}")]
    Record(#[from] RecordError),
    /// It cannot be opened. Nothing in it was changed.
    #[error(transparent)]
    Open(#[from] symbolon_store_lmdb::OpenError),
    /// Anything else; what.
    #[error("the store cannot be used: {0}")]
    Other(String),
}

/// How much is stored, bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Usage {
    pub(crate) used_bytes: u64,
    /// How much it should be at most.
    pub(crate) max_bytes: u64,
}

/// A place where entries are kept.
pub(crate) trait Store: Send {
    /// Writes all of them, in this order, or nothing. After an error the same entries can be tried again: writing them twice is the same
    /// as once.
    fn commit(&mut self, entries: &[Entry], now: Now) -> Result<(), StoreError>;

    /// Everything that is stored and has not expired; what has is deleted.
    fn load(&mut self, now: Now) -> Result<Stored, StoreError>;

    /// Brings what was committed to the disk.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// How much there is.
    fn usage(&self) -> Usage;
}

/// A store that was opened and read, and is being written.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) writer: StoreWriter,
    pub(crate) stored: Stored,
}

/// Opens the store of `config`, or makes it; reads everything; and starts the thread that writes. A damaged store is set aside, which is
/// logged. `clock` is the clock that the shards read too.
pub(crate) fn start(
    config: &StoreConfig,
    shards: usize,
    clock: impl Fn() -> Now + Send + 'static,
) -> Result<Started, StoreError> {
    let (store, stored) = LmdbStore::open_and_load(config, clock())?;
    let writer = StoreWriter::start(Box::new(store), shards, clock)?;
    Ok(Started { writer, stored })
}

#[cfg(test)]
mod tests;
