//! The authorization server's keys: fetched at the start, then again and again, and at once when a token names one we do not know.

use crate::{
    config::AuthorizationConfig,
    core::introspected::{Introspected, Reference},
    credential::Credential,
    introspection::{Introspector, Questions},
    reload::{Announced, Announcement},
    revocations::ListSource,
};
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use symbolon_ace_proto::{KeySet, TokenError, UnixTime};
use symbolon_tls::https::{HttpsClient, HttpsError, HttpsRequest, Method};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

/// Key sets are fetched anew this often, so that retired keys are forgotten.
const REFETCH_EVERY: Duration = Duration::from_mins(15);
/// After a failure the next try comes this much later.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// After a failure a waiting client makes us try again this early.
const RETRY_FOR_CLIENT_AFTER: Duration = Duration::from_millis(250);
/// Unknown keys make us fetch at most this often: strangers can invent as many as they like.
const FETCH_AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// How long a client waits for a fetch.
const WAIT_AT_MOST: Duration = Duration::from_secs(5);
/// Clients that wait for a fetch; more are judged by the keys we have.
const WAITING_AT_MOST: usize = 1_024;

/// The keys as known now, shared by all shards.
#[derive(Debug)]
pub(crate) struct Keys {
    current: ArcSwap<KeySet>,
    /// They have been fetched from where they are now.
    fetched: AtomicBool,
    requests: mpsc::Sender<oneshot::Sender<()>>,
    fetches: Fetches,
    introspector: ArcSwapOption<Introspector>,
    questions: Questions,
}

/// How often the keys were fetched.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Fetches {
    pub(crate) fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Fetches for [`Keys`].
#[derive(Debug)]
pub(crate) struct Fetcher {
    keys: Arc<Keys>,
    requests: mpsc::Receiver<oneshot::Sender<()>>,
    source: Announced<Source>,
}

/// Where the keys are fetched.
#[derive(Debug, Default)]
pub(crate) struct Source {
    keys: Option<(HttpsClient, String)>,
    introspector: Option<Arc<Introspector>>,
    /// Where it lists revoked tokens.
    pub(crate) list: Option<ListSource>,
}

impl Source {
    /// Of this authorization server; without one nothing is fetched. Fails with a sentence that says what of the configuration is wrong.
    pub(crate) fn new(
        authorization: Option<&AuthorizationConfig>,
        introspected: &Arc<Introspected>,
    ) -> Result<Self, String> {
        let Some(config) = authorization else {
            return Ok(Self::default());
        };
        let client = HttpsClient::new(&config.ca_pem)
            .map_err(|error| format!("CA for the authorization server: {error}"))?;
        let introspector = Introspector::new(config, client.clone(), introspected)?;
        let list = config.revocation_list.as_ref().map(|list| {
            let credential = Credential::new(&list.client_id, &config.issuer, &list.credential)?;
            Ok::<_, String>(ListSource::new(&client, &list.endpoint, credential))
        });
        Ok(Self {
            list: list.transpose()?,
            keys: Some((client, config.jwks_uri.clone())),
            introspector: introspector.map(Arc::new),
        })
    }
}

impl Keys {
    /// No keys yet, and the fetcher that gets them.
    pub(crate) fn new(source: Announced<Source>) -> (Arc<Self>, Fetcher) {
        let (sender, requests) = mpsc::channel(WAITING_AT_MOST);
        let keys = Arc::new(Self {
            current: ArcSwap::default(),
            fetched: AtomicBool::new(false),
            requests: sender,
            fetches: Fetches::default(),
            introspector: ArcSwapOption::empty(),
            questions: Questions::default(),
        });
        (
            Arc::clone(&keys),
            Fetcher {
                keys,
                requests,
                source,
            },
        )
    }

    pub(crate) fn current(&self) -> Guard<Arc<KeySet>> {
        self.current.load()
    }

    pub(crate) fn fetches(&self) -> &Fetches {
        &self.fetches
    }

    pub(crate) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Asks the authorization server what a token says, within a limit; admission finds the answer.
    pub(crate) async fn introspect(&self, reference: &Reference, now: UnixTime) {
        if let Some(introspector) = self.introspector.load_full() {
            introspector.ask(reference, now, &self.questions).await;
        }
    }

    /// Whether there was an answer from where the keys are now.
    pub(crate) fn are_fetched(&self) -> bool {
        self.fetched.load(Ordering::Relaxed)
    }

    /// A token names an unknown key: waits, within a limit, until the keys have been fetched or may not be fetched yet.
    pub(crate) async fn refresh(&self) {
        let (done, wait) = oneshot::channel();
        if self.requests.try_send(done).is_ok() {
            // Fetched, failed, or too late: the token is judged by what is there then.
            drop(timeout(WAIT_AT_MOST, wait).await);
        }
    }
}

impl Fetcher {
    /// Fetches until `shutdown` says so, from wherever the keys are now.
    pub(crate) async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut held: Option<Arc<Source>> = None;
        loop {
            let Announcement { content, done } = self.source.borrow_and_update().clone();
            if held.is_none_or(|held| !Arc::ptr_eq(&held, &content)) {
                // Keys of an earlier source vouch for nobody any more.
                self.keys.current.store(Arc::default());
                self.keys.fetched.store(false, Ordering::Relaxed);
            }
            self.keys.introspector.store(content.introspector.clone());
            held = Some(Arc::clone(&content));
            if let Some(done) = done {
                done.tell();
            }
            let mut next = self.source.clone();
            tokio::select! {
                () = self.fetch_from(&content) => return,
                changed = next.changed() => if changed.is_err() {
                    return;
                },
                // The sender lives as long as the Broker: its end means shutdown too.
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Fetches again and again.
    async fn fetch_from(&mut self, source: &Source) {
        let Some((client, uri)) = &source.keys else {
            self.answer_without_source().await;
            return;
        };
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        loop {
            let fetched = fetch(client, uri).await;
            let fetched_at = Instant::now();
            let failed = fetched.is_err();
            let (mut next, not_before) = match fetched {
                Ok(set) => {
                    self.keys.current.store(Arc::new(set));
                    self.keys.fetched.store(true, Ordering::Relaxed);
                    self.keys.fetches.succeeded.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%uri, "fetched the authorization server's keys");
                    (fetched_at + REFETCH_EVERY, fetched_at + FETCH_AT_MOST_EVERY)
                }
                Err(error) => {
                    self.keys.fetches.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%uri, %error, "cannot fetch the authorization server's keys");
                    (
                        fetched_at + RETRY_AFTER,
                        fetched_at + RETRY_FOR_CLIENT_AFTER,
                    )
                }
            };
            // Dropping a sender tells its client that there is nothing newer to wait for.
            waiting.clear();
            loop {
                tokio::select! {
                    () = sleep_until(next) => break,
                    request = self.requests.recv() => match request {
                        None => return,
                        Some(done) if failed || Instant::now() >= not_before => {
                            if waiting.len() < WAITING_AT_MOST {
                                waiting.push(done);
                            }
                            next = next.min(not_before);
                        }
                        // The keys are a few seconds old: this one is not the authorization server's.
                        Some(_) => {}
                    },
                }
            }
        }
    }

    /// There is nothing to wait for.
    async fn answer_without_source(&mut self) {
        while let Some(done) = self.requests.recv().await {
            drop(done);
        }
    }
}

async fn fetch(client: &HttpsClient, uri: &str) -> Result<KeySet, FetchError> {
    let request = HttpsRequest {
        method: Method::GET,
        url: uri.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let response = client.send(request).await?;
    if response.status != 200 {
        return Err(FetchError::Status(response.status));
    }
    Ok(KeySet::from_json(&response.body)?)
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Https(#[from] HttpsError),
    #[error("the authorization server answers with status {0}")]
    Status(u16),
    #[error("the answer is no key set: {0}")]
    Answer(#[from] TokenError),
}
