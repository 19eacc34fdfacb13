//! Plain keys and values in LMDB, for the broker's sessions and retained messages.
//!
//! | module | holds |
//! |---|---|
//! | [`store`] | [`Store`]: opened by one process, writes groups of changes, each whole or not at all |
//! | [`reader`] | [`Reader`]: looks into a store, also while another process writes |
//! | `pages` | the file read page by page, every number checked, so that a damaged file is found and not mapped |
//! | `directory` | the directory, its lock, and how a damaged one is set aside |
//! | `environment` | LMDB itself, and the one unsafe call |
//! | `sealed` | a checksum behind every value |
//!
//! What is promised after a commit is in [`Sync`].

mod directory;
mod environment;
mod pages;
pub mod reader;
mod sealed;
pub mod store;

pub use directory::{DirectoryError, SetAside};
pub use pages::{Damage, ReadError, Visit};
pub use reader::Reader;
pub use store::{
    BYTES_AT_LEAST, KEY_BYTES_AT_MOST, OpenError, Opened, Settings, Store, Sync, Table, Write,
    WriteError,
};
