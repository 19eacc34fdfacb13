//! What tokens are decided by, as it was at one moment of the database: clients, resource servers and rules, each read once.
//!
//! Nothing here needs to be fresh. A token that was decided by a snapshot is stored only where nothing has changed since
//! ([`Store::remember`](super::Store::remember)), whoever changed it: every change writes the audit log in the same transaction, so the number
//! of the log's last record says whether there was one.

use super::{Client, ResourceServer};
use crate::core::policy::rule::Rule;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The most entries of each kind; past it all of that kind are read anew.
const MAX_ENTRIES: usize = 16_384;

/// See the module.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The number of a record of the audit log: nothing that is in here has changed up to it.
    until: AtomicU64,
    principals: Known<String, Registered>,
    servers: Known<Option<String>, Vec<ResourceServer>>,
    rules: Known<(String, String), Vec<Rule>>,
}

type Known<Key, Value> = Mutex<HashMap<Key, Arc<Value>>>;

/// Who is registered under a client identifier.
#[derive(Clone, Debug)]
pub(crate) enum Registered {
    /// A client.
    Client(Client),
    /// A resource server.
    ResourceServer(Box<ResourceServer>),
}

impl Snapshot {
    /// Empty, of the moment of this record.
    pub(super) fn at(until: u64) -> Self {
        Self {
            until: AtomicU64::new(until),
            principals: Mutex::default(),
            servers: Mutex::default(),
            rules: Mutex::default(),
        }
    }

    pub(super) fn until(&self) -> u64 {
        self.until.load(Ordering::Acquire)
    }

    /// Nothing has changed up to this record either.
    pub(super) fn extend(&self, until: u64) {
        self.until.fetch_max(until, Ordering::AcqRel);
    }

    /// Who is registered under this identifier, where that was read already.
    pub(crate) fn registered(&self, client_id: &str) -> Option<Arc<Registered>> {
        let known = lock(&self.principals);
        known.get(client_id).map(Arc::clone)
    }

    pub(super) fn keep_registered(&self, client_id: &str, registered: &Arc<Registered>) {
        keep(&self.principals, client_id.to_owned(), registered);
    }

    pub(super) fn servers(&self, audience: Option<&str>) -> Option<Arc<Vec<ResourceServer>>> {
        let known = lock(&self.servers);
        known.get(&audience.map(str::to_owned)).map(Arc::clone)
    }

    pub(super) fn keep_servers(&self, audience: Option<&str>, servers: &Arc<Vec<ResourceServer>>) {
        keep(&self.servers, audience.map(str::to_owned), servers);
    }

    pub(super) fn rules(&self, of: &(String, String)) -> Option<Arc<Vec<Rule>>> {
        lock(&self.rules).get(of).map(Arc::clone)
    }

    pub(super) fn keep_rules(&self, of: (String, String), rules: &Arc<Vec<Rule>>) {
        keep(&self.rules, of, rules);
    }
}

fn keep<Key: Eq + Hash, Value>(known: &Known<Key, Value>, key: Key, value: &Arc<Value>) {
    let mut known = lock(known);
    if known.len() >= MAX_ENTRIES {
        known.clear();
    }
    known.insert(key, Arc::clone(value));
}

/// An entry is put in one step: whoever panics leaves it whole.
fn lock<T>(known: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
