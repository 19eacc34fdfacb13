//! LMDB, opened.

use crate::store::Sync;
use heed::{
    CommitOrAbort, CommitToken, EnvFlags, EnvOpenOptions, MdbError, OnCommit, RwTxn, WithoutTls,
    types::Bytes,
};
use std::path::Path;

/// A table of keys and values.
pub(crate) type Database = heed::Database<'static, Bytes, Bytes>;

/// The most programs that read at once beside the one that writes.
const READERS: u32 = 126;

/// An open file with its tables.
pub(crate) struct Environment {
    pub(crate) env: heed::Env<WithoutTls>,
    pub(crate) tables: Vec<Database>,
}

/// Maps the file.
///
/// The caller has looked into the file first, and holds the lock of its directory or reads alone.
#[expect(
    unsafe_code,
    reason = "only a call that the compiler cannot check maps a file"
)]
fn open(
    directory: &Path,
    map_bytes: usize,
    tables: u32,
    flags: EnvFlags,
) -> heed::Result<heed::Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options
        .map_size(map_bytes)
        .max_readers(READERS)
        .max_dbs(tables);
    // SAFETY: nothing of ours changes the file but through LMDB, and the directory is its owner's alone; two processes that use it
    // keep order by LMDB's own lock, which stays on (no NO_LOCK). NO_SYNC without WRITE_MAP writes in order with `pwrite`: what
    // is in the system's cache is whole after a crash of the process; after a crash of the system the file is looked into, page by
    // page, before it is mapped again.
    unsafe {
        options.flags(flags);
        options.open(directory)
    }
}

impl Environment {
    /// Opens the file for writing; makes it, and the tables that are missing. The value is put into the last of the tables, in the same
    /// commit.
    pub(crate) fn open(
        directory: &Path,
        map_bytes: u64,
        names: &[&str],
        (sync, key, value): (Sync, &[u8], &[u8]),
    ) -> heed::Result<Self> {
        let flags = match sync {
            Sync::ProcessCrash => EnvFlags::NO_SYNC,
            Sync::PowerLoss => EnvFlags::empty(),
        };
        let map_bytes = usize::try_from(map_bytes).unwrap_or(usize::MAX);
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let env = open(directory, map_bytes, count, flags)?;
        // Readers that were killed keep pages from being used again.
        env.clear_stale_readers()?;
        let transaction = env.write_txn()?;
        let tables = env.create_databases_and_commit(transaction, |opener, transaction| {
            let mut tables = Vec::with_capacity(names.len());
            for name in names {
                tables.push(opener.create_database(transaction, Some(name))?);
            }
            let opened = Uncommitted(tables);
            opened.put_into_last(transaction, key, value)?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(opened))
        })?;
        let tables = tables.commit().unwrap_or_default();
        Ok(Self { env, tables })
    }

    /// Opens the file to keep what it holds now from being overwritten while it is read.
    pub(crate) fn pin(directory: &Path, map_bytes: u64) -> heed::Result<Pin> {
        let map_bytes = usize::try_from(map_bytes).unwrap_or(usize::MAX);
        let env = open(directory, map_bytes, 1, EnvFlags::READ_ONLY)?;
        Ok(Pin(env.static_read_txn()?))
    }

    /// Bytes of the pages in use, but for those of the free list.
    pub(crate) fn used_bytes(&self) -> heed::Result<u64> {
        let transaction = self.env.read_txn()?;
        let mut stats = vec![self.env.unnamed_database_stat()];
        for table in &self.tables {
            stats.push(table.stat(&transaction)?);
        }
        let used = stats.iter().map(|stat| {
            let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
            pages as u64 * u64::from(stat.page_size)
        });
        Ok(used.sum())
    }
}

/// Tables that may be used by others once the transaction that opened them is committed.
struct Uncommitted<'e>(Vec<heed::Database<'e, Bytes, Bytes>>);

impl Uncommitted<'_> {
    fn put_into_last(
        &self,
        transaction: &mut RwTxn<'_>,
        key: &[u8],
        value: &[u8],
    ) -> heed::Result<()> {
        match self.0.last() {
            Some(table) if table.get(transaction, key)? != Some(value) => {
                table.put(transaction, key, value)
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl OnCommit for Uncommitted<'_> {
    type Committed = Vec<Database>;

    fn on_commit(self, token: &CommitToken) -> Self::Committed {
        let tables = self.0.into_iter();
        tables.map(|table| table.on_commit(token)).collect()
    }
}

/// A state of the file that stays while this lives.
pub(crate) struct Pin(heed::RoTxn<'static, WithoutTls>);

impl Pin {
    /// The transaction that made the state.
    pub(crate) fn transaction(&self) -> u64 {
        self.0.id() as u64
    }
}

/// Whether LMDB must be opened anew before anything else can be written.
pub(crate) fn is_fatal(error: &heed::Error) -> bool {
    matches!(error, heed::Error::Mdb(MdbError::Panic))
}
