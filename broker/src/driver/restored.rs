//! What was stored, dealt out: each session to the shard where its client is at home.

use super::{
    shard::{ShardStore, home_of},
    time_of_day::TimeOfDay,
};
use crate::{
    StartError,
    config::StoreConfig,
    core::{
        hash_seed::HashSeed, journal::StoredSession, message::Message, retaining::Stamp, shard::Now,
    },
    store::{self, writer::StoreWriter},
};
use std::{sync::Arc, time::Instant};

/// See the module.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) store: Option<ShardStore>,
    pub(crate) writer: Option<StoreWriter>,
    /// By shard.
    pub(crate) sessions: Vec<Vec<StoredSession>>,
    pub(crate) retained: Arc<[(Arc<Message>, Stamp)]>,
    /// Of tokens with `exi`, by issuer: the highest number that is over.
    pub(crate) expired_numbers: Vec<(Box<str>, u64)>,
}

impl Restored {
    /// Opens the store, where there is one, and reads all of it.
    pub(crate) fn open(
        config: Option<&StoreConfig>,
        shards: usize,
        home: &HashSeed,
        (started, time): (Instant, TimeOfDay),
    ) -> Result<Self, StartError> {
        let mut sessions: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
        let Some(config) = config else {
            return Ok(Self {
                store: None,
                writer: None,
                sessions,
                retained: Arc::default(),
                expired_numbers: Vec::new(),
            });
        };
        let clock = move || Now {
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            unix: time.now(),
        };
        let opened = store::start(config, shards, clock).map_err(|source| StartError::Store {
            path: config.path.clone(),
            source,
        })?;
        let stored = opened.stored;
        tracing::info!(
            sessions = stored.sessions.len(),
            retained = stored.retained.len(),
            "store read"
        );
        let newest = stored.sessions.iter().map(|session| session.id).max();
        for session in stored.sessions {
            let shard = home_of(home, shards, &session.record.client_identifier);
            sessions[shard].push(session);
        }
        Ok(Self {
            store: Some(ShardStore {
                sender: opened.writer.sender(),
                commits: opened.writer.commits(),
                first_session: newest.map_or(1, |newest| newest + 1),
            }),
            writer: Some(opened.writer),
            sessions,
            retained: stored.retained.into(),
            expired_numbers: stored.expired_numbers,
        })
    }
}
