//! A store in LMDB.

use super::{
    FORMAT, Store, StoreError, Usage,
    load::{self, Tables, Visit},
    plan::{Deletions, plan},
    records::TABLES,
};
use crate::{
    config::{Durability, StoreConfig},
    core::{
        journal::{Entry, Stored},
        shard::Now,
    },
};
use symbolon_store_lmdb::{Opened, SetAside, Settings, Sync, Table, WriteError};

/// How many deletions of rubbish go into one commit.
const RUBBISH_AT_ONCE: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub(super) struct LmdbStore {
    store: symbolon_store_lmdb::Store,
    deletions: Deletions,
}

impl LmdbStore {
    /// Opens it, or makes it, and reads it. One that is damaged is set aside.
    pub(super) fn open_and_load(
        config: &StoreConfig,
        now: Now,
    ) -> Result<(Self, Stored), StoreError> {
        let mut store = Self::open(config, now)?;
        match store.load(now) {
            Ok(stored) => Ok((store, stored)),
            Err(error @ (StoreError::Record(_) | StoreError::Damaged(_))) => {
                let why = error.to_string();
                let opened = store.store.set_aside(&why, now.unix.0)?;
                Ok((Self::from_opened(opened, config), Stored::default()))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens it, or makes it.
    pub(super) fn open(config: &StoreConfig, now: Now) -> Result<Self, StoreError> {
        let settings = Settings {
            directory: &config.path,
            tables: &TABLES,
            format: FORMAT,
            max_bytes: config.max_bytes,
            sync: match config.durability {
                Durability::ProcessCrash => Sync::ProcessCrash,
                Durability::PowerLoss => Sync::PowerLoss,
            },
        };
        let opened = symbolon_store_lmdb::Store::open(&settings, now.unix.0)?;
        Ok(Self::from_opened(opened, config))
    }

    fn from_opened(opened: Opened, config: &StoreConfig) -> Self {
        if let Some(SetAside { path, damage }) = opened.set_aside {
            tracing::error!(
                store = %config.path.display(),
                moved_to = %path.display(),
                %damage,
                "the store is damaged: it was set aside, and the broker begins with an empty one"
            );
        }
        Self {
            store: opened.store,
            deletions: Deletions::default(),
        }
    }
}

impl Tables for symbolon_store_lmdb::Store {
    fn for_each(&self, table: Table, visit: Visit<'_>) -> Result<(), StoreError> {
        Self::for_each(self, table, visit)
    }
}

impl Store for LmdbStore {
    fn commit(&mut self, entries: &[Entry], now: Now) -> Result<(), StoreError> {
        let writes = plan(entries, &mut self.deletions, now);
        Ok(self.store.write(&writes)?)
    }

    fn load(&mut self, now: Now) -> Result<Stored, StoreError> {
        let loaded = load::load(&self.store, now)?;
        if loaded.orphans > 0 {
            let records = loaded.orphans;
            tracing::warn!(records, "the store holds records of no session");
        }
        for rubbish in loaded.rubbish.chunks(RUBBISH_AT_ONCE) {
            // It is only rubbish: a full disk must not keep the broker from starting.
            if let Err(error) = self.store.write(rubbish) {
                tracing::warn!(%error, "what has expired stays in the store");
                break;
            }
        }
        Ok(loaded.stored)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(self.store.force_sync()?)
    }

    fn usage(&self) -> Usage {
        Usage {
            used_bytes: self.store.used_bytes(),
            max_bytes: self.store.max_bytes(),
        }
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => Self::Full,
            WriteError::Io(error) => Self::Io(error),
            WriteError::Damaged(what) => Self::Damaged(what),
            error @ (WriteError::Key(_) | WriteError::Lmdb(_)) => Self::Other(error.to_string()),
        }
    }
}
