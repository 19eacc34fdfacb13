//! A store in memory: for tests, and for what they let go wrong.

use super::{
    Store, StoreError, Usage,
    load::{self, Tables, Visit},
    plan::{Deletions, plan},
};
use crate::core::{
    journal::{Entry, Stored},
    shard::Now,
};
use std::collections::BTreeMap;
use symbolon_store_lmdb::{Table, Write};

/// See the module. Keeps the same records as the other.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    records: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    deletions: Deletions,
    used_bytes: u64,
    max_bytes: u64,
}

impl MemoryStore {
    /// Empty; it refuses groups that would let it grow beyond twice `max_bytes`.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self {
            records: BTreeMap::new(),
            deletions: Deletions::default(),
            used_bytes: 0,
            max_bytes,
        }
    }

    /// With one record that nobody wrote.
    #[cfg(test)]
    pub(super) fn with_record(table: usize, key: Vec<u8>, value: Vec<u8>) -> Self {
        let mut store = Self::new(u64::MAX);
        store.records.insert((Table(table), key), value);
        store
    }

    fn write(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        let before = self.records.clone();
        for write in writes {
            self.apply(write);
        }
        let bytes = self.records.iter();
        let bytes = bytes.map(|((_, key), value)| key.len() + value.len());
        let used_bytes = bytes.sum::<usize>() as u64;
        if used_bytes > self.max_bytes.saturating_mul(2) && used_bytes > self.used_bytes {
            self.records = before;
            return Err(StoreError::Full);
        }
        self.used_bytes = used_bytes;
        Ok(())
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Put { table, key, value } => {
                self.records.insert((table, key), value);
            }
            Write::PutUnlessLower {
                table,
                key,
                value,
                compared,
            } => {
                let at = (table, key);
                let found = self.records.get(&at);
                if found.is_none_or(|found| found[compared.clone()] <= value[compared.clone()]) {
                    self.records.insert(at, value);
                }
            }
            Write::DeleteUnlessHigher {
                table,
                key,
                than,
                from,
            } => {
                let at = (table, key);
                let found = self.records.get(&at);
                if found.is_some_and(|found| found[from..from + than.len()] <= *than) {
                    self.records.remove(&at);
                }
            }
            Write::Delete { table, key } => {
                self.records.remove(&(table, key));
            }
            Write::DeletePrefix { table, prefix } => {
                self.records
                    .retain(|(of, key), _| *of != table || !key.starts_with(&prefix));
            }
        }
    }
}

impl Tables for MemoryStore {
    fn for_each(&self, table: Table, visit: Visit<'_>) -> Result<(), StoreError> {
        let of_table = |((of, _), _): &(&(Table, Vec<u8>), &Vec<u8>)| *of == table;
        for ((_, key), value) in self.records.iter().filter(of_table) {
            visit(key, value)?;
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, entries: &[Entry], now: Now) -> Result<(), StoreError> {
        let writes = plan(entries, &mut self.deletions, now);
        self.write(writes)
    }

    fn load(&mut self, now: Now) -> Result<Stored, StoreError> {
        let loaded = load::load(self, now)?;
        self.write(loaded.rubbish)?;
        Ok(loaded.stored)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage {
            used_bytes: self.used_bytes,
            max_bytes: self.max_bytes,
        }
    }
}
