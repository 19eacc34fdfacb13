//! Tokens that are asked for at the same time are stored together, in one transaction; each is given out once that is written.

use super::{
    Store, StoreError,
    database::{Database, Issued},
    snapshot::{Registered, Snapshot},
    token::NewToken,
};
use crate::{core::policy::rule::Rule, issuing::now, store::ResourceServer};
use arc_swap::ArcSwapOption;
use std::sync::{Arc, OnceLock};
use symbolon_ace_proto::UnixTime;
use tokio::sync::{mpsc, oneshot};

/// The most tokens that one transaction stores.
pub(super) const MAX_TOGETHER: usize = 64;
/// The most tokens that wait to be stored: twice the connections that there may be. Past it whoever asks waits.
const MAX_WAITING: usize = 1_024;

/// What came of storing a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Remembered {
    /// It may be given out.
    Stored,
    /// The client has too many already.
    TooMany,
    /// What it was decided by has changed: it must be decided anew.
    Outdated,
}

/// What all copies of a [`Store`] share.
#[derive(Debug, Default)]
pub(super) struct Issuance {
    current: ArcSwapOption<Snapshot>,
    waiting: OnceLock<mpsc::Sender<Waiting>>,
}

/// A token that waits to be stored.
#[derive(Debug)]
struct Waiting {
    token: NewToken,
    snapshot: Arc<Snapshot>,
    now: UnixTime,
    answer: oneshot::Sender<Result<Remembered, StoreError>>,
}

impl Store {
    /// The newest there is.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        if let Some(current) = self.issuance.current.load_full() {
            return Ok(current);
        }
        let until = self.database.last_record().await?;
        let begun = Arc::new(Snapshot::at(until));
        // Of two that begin at once each is right, and one is used on.
        self.issuance.current.store(Some(Arc::clone(&begun)));
        Ok(begun)
    }

    /// Whether nothing has changed since; where something has, the next snapshot is a new one.
    pub(crate) async fn is_current(&self, snapshot: &Arc<Snapshot>) -> Result<bool, StoreError> {
        let unchanged = self.database.unchanged_since(snapshot.until()).await?;
        if let Some(until) = unchanged {
            snapshot.extend(until);
        } else {
            self.issuance.forget(snapshot);
        }
        Ok(unchanged.is_some())
    }

    /// Who is registered under this identifier now, and is known from now on. Both are looked up for any name, so that the time tells nothing.
    pub(crate) async fn look_up(
        &self,
        snapshot: Option<&Snapshot>,
        client_id: &str,
    ) -> Result<Option<Arc<Registered>>, StoreError> {
        let client = self.client(client_id).await?.map(Registered::Client);
        let server = self.resource_server_of(client_id).await?;
        let server = server.map(|server| Registered::ResourceServer(Box::new(server)));
        let registered = client.or(server).map(Arc::new);
        if let (Some(snapshot), Some(registered)) = (snapshot, &registered) {
            snapshot.keep_registered(client_id, registered);
        }
        Ok(registered)
    }

    /// [`Store::resource_servers_for`] of a snapshot.
    pub(crate) async fn servers_for(
        &self,
        snapshot: &Snapshot,
        audience: Option<&str>,
    ) -> Result<Arc<Vec<ResourceServer>>, StoreError> {
        if let Some(known) = snapshot.servers(audience) {
            return Ok(ResourceServer::settled(known, now()));
        }
        let servers = Arc::new(self.resource_servers_for(audience).await?);
        // Names that nobody has are not kept: anybody could fill the memory with them.
        if !servers.is_empty() {
            snapshot.keep_servers(audience, &servers);
        }
        Ok(servers)
    }

    /// What bears on a client at an audience, of a snapshot.
    pub(crate) async fn rules_for(
        &self,
        snapshot: &Snapshot,
        client_id: &str,
        audience: &str,
    ) -> Result<Arc<Vec<Rule>>, StoreError> {
        let key = (client_id.to_owned(), audience.to_owned());
        if let Some(known) = snapshot.rules(&key) {
            return Ok(known);
        }
        let rules = Arc::new(self.rules(client_id, audience).await?);
        snapshot.keep_rules(key, &rules);
        Ok(rules)
    }

    /// Remembers a token that is about to be given out, where nothing has changed since the snapshot that it was decided by.
    pub(crate) async fn remember(
        &self,
        token: NewToken,
        snapshot: &Arc<Snapshot>,
        now: UnixTime,
    ) -> Result<Remembered, StoreError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            token,
            snapshot: Arc::clone(snapshot),
            now,
            answer,
        };
        let gone = || StoreError::Database("nobody stores tokens any more".to_owned());
        let queue = self.issuance.waiting.get_or_init(|| {
            let (queue, tokens) = mpsc::channel(MAX_WAITING);
            // It ends with the last copy of the store.
            let issuance = Arc::downgrade(&self.issuance);
            tokio::spawn(store_all(self.database.clone(), issuance, tokens));
            queue
        });
        queue.send(waiting).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Issuance {
    /// The next who asks gets a new snapshot instead of this one.
    fn forget(&self, snapshot: &Arc<Snapshot>) {
        self.current
            .compare_and_swap(&Some(Arc::clone(snapshot)), None);
    }

    fn is_newest(&self, snapshot: &Arc<Snapshot>) -> bool {
        let current = self.current.load();
        (current.as_ref()).is_some_and(|current| Arc::ptr_eq(current, snapshot))
    }
}

/// Stores what waits, as much at once as there is.
async fn store_all(
    database: Database,
    issuance: std::sync::Weak<Issuance>,
    mut tokens: mpsc::Receiver<Waiting>,
) {
    let mut together = Vec::with_capacity(MAX_TOGETHER);
    while tokens.recv_many(&mut together, MAX_TOGETHER).await > 0 {
        let Some(issuance) = issuance.upgrade() else {
            return;
        };
        let (newest, outdated): (Vec<_>, Vec<_>) = (together.drain(..))
            .partition(|waiting: &Waiting| issuance.is_newest(&waiting.snapshot));
        for waiting in outdated {
            waiting.answer(Ok(Remembered::Outdated));
        }
        if let Some(first) = newest.first() {
            let snapshot = Arc::clone(&first.snapshot);
            store_together(&database, &issuance, &snapshot, newest).await;
        }
    }
}

/// All of them were decided by the same snapshot.
async fn store_together(
    database: &Database,
    issuance: &Issuance,
    snapshot: &Arc<Snapshot>,
    waiting: Vec<Waiting>,
) {
    let now = waiting.iter().map(|one| one.now).max();
    let tokens: Vec<&NewToken> = waiting.iter().map(|one| &one.token).collect();
    let issued = database
        .issue(&tokens, snapshot.until(), now.unwrap_or(UnixTime(0)))
        .await;
    match issued {
        Ok(Issued::Outdated { until }) => {
            issuance.forget(snapshot);
            tracing::debug!(until, "tokens are decided anew");
            for one in waiting {
                one.answer(Ok(Remembered::Outdated));
            }
        }
        Ok(Issued::Done { stored, until }) => {
            snapshot.extend(until);
            for (one, is_stored) in waiting.into_iter().zip(stored) {
                one.answer(Ok(if is_stored {
                    Remembered::Stored
                } else {
                    Remembered::TooMany
                }));
            }
        }
        Err(error) => {
            for one in waiting {
                one.answer(Err(error.again()));
            }
        }
    }
}

impl Waiting {
    fn answer(self, answer: Result<Remembered, StoreError>) {
        // Whoever asked may have hung up: the token is stored and nobody has it.
        self.answer.send(answer).ok();
    }
}
