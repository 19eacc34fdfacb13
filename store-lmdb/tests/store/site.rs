//! A store in a directory that goes with the test.

use std::path::{Path, PathBuf};
use symbolon_store_lmdb::{BYTES_AT_LEAST, ReadError, Settings, Store, Sync, Table, Write};

pub(crate) const FORMAT: u32 = 7;
pub(crate) const TABLE: Table = Table(0);

pub(crate) struct Site {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join("store"),
            _directory: directory,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data.mdb")
    }

    pub(crate) fn settings(&self) -> Settings<'_> {
        settings(&self.path)
    }

    /// Opens it; it must be sound.
    pub(crate) fn store(&self) -> Store {
        let opened = Store::open(&self.settings(), 0).unwrap();
        assert_eq!(opened.set_aside, None);
        opened.store
    }
}

pub(crate) fn settings(directory: &Path) -> Settings<'_> {
    Settings {
        directory,
        tables: &["things", "others"],
        format: FORMAT,
        max_bytes: BYTES_AT_LEAST,
        sync: Sync::ProcessCrash,
    }
}

pub(crate) fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put {
        table: TABLE,
        key: key.to_vec(),
        value: value.to_vec(),
    }
}

pub(crate) fn delete(key: &[u8]) -> Write {
    Write::Delete {
        table: TABLE,
        key: key.to_vec(),
    }
}

pub(crate) fn all(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    store
        .for_each(TABLE, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            Ok::<(), ReadError>(())
        })
        .unwrap();
    found
}
