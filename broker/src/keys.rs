//! The authorization servers' keys: fetched at the start, then again and again, and at once when a token names one we do not know.

use crate::{
    config::{AuthorizationConfig, AuthorizationServerConfig},
    core::{
        authority::KeySets,
        introspected::{Introspected, Reference},
    },
    credential::Credential,
    introspection::{Introspector, Questions},
    reload::{Announced, Announcement},
    revocations::ListSource,
};
use arc_swap::{ArcSwap, Guard};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use symbolon_ace_proto::{KeySet, MacKey, TokenError, UnixTime};
use symbolon_tls::https::{HttpsClient, HttpsError, HttpsRequest, Method};
use tokio::{
    sync::{Mutex, mpsc, oneshot, watch},
    task::JoinSet,
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

/// The keys as known now, shared by all shards, and whom to ask for more.
#[derive(Debug)]
pub(crate) struct Keys {
    current: ArcSwap<KeySets>,
    servers: ArcSwap<Vec<Arc<Server>>>,
    fetches: Fetches,
    questions: Questions,
}

/// One authorization server that is asked.
#[derive(Debug)]
pub(crate) struct Server {
    issuer: Arc<str>,
    /// Where its keys are.
    keys: Option<(HttpsClient, String)>,
    /// The same, and the CAs that it was checked against: what was fetched stays good where other things of the server change.
    fetched_from: (Option<String>, String),
    mac_keys: Vec<MacKey>,
    introspector: Option<Introspector>,
    /// Where it lists revoked tokens.
    list: Option<ListSource>,
    /// Its keys have been fetched, or need not be.
    is_ready: AtomicBool,
    requests: mpsc::Sender<oneshot::Sender<()>>,
    /// The other end, for whoever fetches now.
    waiting: Mutex<mpsc::Receiver<oneshot::Sender<()>>>,
}

/// The authorization servers that are asked from now on.
#[derive(Debug, Default)]
pub(crate) struct Source {
    servers: Vec<Arc<Server>>,
}

/// Servers that are asked already, each with what it was made of.
pub(crate) type Kept<'a> = (&'a Source, &'a AuthorizationConfig);

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
    source: Announced<Source>,
}

impl Source {
    /// Of these authorization servers; without any nothing is fetched. One that is asked already, and in the same way, is kept with its keys.
    /// Fails with a sentence that says what of the configuration is wrong.
    pub(crate) fn new(
        authorization: Option<&AuthorizationConfig>,
        introspected: &Arc<Introspected>,
        kept: Option<Kept<'_>>,
    ) -> Result<Self, String> {
        let servers = authorization.iter().flat_map(|config| &config.servers);
        let servers = servers.map(|config| match kept.and_then(|kept| kept_of(kept, config)) {
            Some(server) => Ok(server),
            None => Server::new(config, introspected).map(Arc::new),
        });
        let servers = servers.collect::<Result<_, _>>()?;
        Ok(Self { servers })
    }

    /// Whom to ask.
    pub(crate) fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Whether it asks the same servers as the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.servers.len() == other.servers.len()
            && (self.servers.iter().zip(&other.servers)).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

fn kept_of((source, held): Kept<'_>, config: &AuthorizationServerConfig) -> Option<Arc<Server>> {
    let mut pairs = source.servers.iter().zip(&held.servers);
    let same = pairs.find(|(_, held)| is_asked_alike(held, config))?;
    Some(Arc::clone(same.0))
}

/// Whether what is fetched from and asked of them is the same, so that the keys of one are those of the other.
fn is_asked_alike(one: &AuthorizationServerConfig, other: &AuthorizationServerConfig) -> bool {
    one.issuer == other.issuer
        && one.jwks_uri == other.jwks_uri
        && one.ca_pem == other.ca_pem
        && one.introspection == other.introspection
        && one.revocation_list == other.revocation_list
        && one.mac_keys == other.mac_keys
}

impl Server {
    fn new(
        config: &AuthorizationServerConfig,
        introspected: &Arc<Introspected>,
    ) -> Result<Self, String> {
        let (requests, waiting) = mpsc::channel(WAITING_AT_MOST);
        let mut server = Self {
            issuer: config.issuer.as_str().into(),
            keys: None,
            fetched_from: (config.jwks_uri.clone(), config.ca_pem.clone()),
            mac_keys: config.mac_keys.clone(),
            introspector: None,
            list: None,
            is_ready: AtomicBool::new(config.jwks_uri.is_none()),
            requests,
            waiting: Mutex::new(waiting),
        };
        if config.jwks_uri.is_none()
            && config.introspection.is_none()
            && config.revocation_list.is_none()
        {
            return Ok(server);
        }
        let client = HttpsClient::new(&config.ca_pem)
            .map_err(|error| format!("CA for the authorization server: {error}"))?;
        let list = config.revocation_list.as_ref().map(|list| {
            let credential = Credential::new(&list.client_id, &config.issuer, &list.credential)?;
            Ok::<_, String>(ListSource::new(&client, &list.endpoint, credential))
        });
        server.list = list.transpose()?;
        server.introspector = Introspector::new(config, client.clone(), introspected)?;
        server.keys = (config.jwks_uri.clone()).map(|uri| (client, uri));
        Ok(server)
    }

    /// Whether what was fetched from it is what would be fetched from the other.
    fn vouches_alike(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.fetched_from == other.fetched_from
    }

    /// Where it lists revoked tokens.
    pub(crate) fn list(&self) -> Option<&ListSource> {
        self.list.as_ref()
    }

    /// With the keys that are shared with it.
    fn complete(&self, fetched: KeySet) -> KeySet {
        fetched.with_mac_keys(self.mac_keys.clone())
    }
}

impl Keys {
    /// No keys yet, and the fetcher that gets them.
    pub(crate) fn new(source: Announced<Source>) -> (Arc<Self>, Fetcher) {
        let keys = Arc::new(Self {
            current: ArcSwap::default(),
            servers: ArcSwap::default(),
            fetches: Fetches::default(),
            questions: Questions::default(),
        });
        keys.take_over(&source.borrow().content);
        let fetcher = Fetcher {
            keys: Arc::clone(&keys),
            source,
        };
        (keys, fetcher)
    }

    pub(crate) fn current(&self) -> Guard<Arc<KeySets>> {
        self.current.load()
    }

    pub(crate) fn fetches(&self) -> &Fetches {
        &self.fetches
    }

    pub(crate) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Asks the authorization servers what a token says, one after the other until one vouches for it, within a limit; admission finds their
    /// answers. With `issuer` only that one is asked.
    pub(crate) async fn introspect(
        &self,
        reference: &Reference,
        issuer: Option<&str>,
        now: UnixTime,
    ) {
        for server in self.servers.load_full().iter() {
            let is_meant = issuer.is_none_or(|issuer| *server.issuer == *issuer);
            if let Some(introspector) = server.introspector.as_ref().filter(|_| is_meant)
                && introspector.ask(reference, now, &self.questions).await
            {
                return;
            }
        }
    }

    /// Whether an authorization server's keys are there, so that clients can come in. One that is away does not keep those of others out.
    pub(crate) fn are_fetched(&self) -> bool {
        let servers = self.servers.load();
        (servers.iter()).any(|server| server.is_ready.load(Ordering::Relaxed))
    }

    /// A token names an unknown key of this issuer: waits, within a limit, until its keys have been fetched or may not be fetched yet.
    pub(crate) async fn refresh(&self, issuer: &str) {
        let servers = self.servers.load_full();
        let Some(server) = servers.iter().find(|server| *server.issuer == *issuer) else {
            return;
        };
        let (done, wait) = oneshot::channel();
        if server.keys.is_some() && server.requests.try_send(done).is_ok() {
            // Fetched, failed, or too late: the token is judged by what is there then.
            drop(timeout(WAIT_AT_MOST, wait).await);
        }
    }

    /// These servers count from now on. Keys of one that is not among them vouch for nobody any more.
    fn take_over(&self, source: &Source) {
        let held = self.current.load();
        let sets = source.servers.iter().map(|server| {
            let before = self.servers.load();
            let before = before.iter().find(|before| before.vouches_alike(server));
            let fetched = before.and_then(|before| {
                let is_ready = before.is_ready.load(Ordering::Relaxed);
                server.is_ready.fetch_or(is_ready, Ordering::Relaxed);
                held.of(&server.issuer).cloned()
            });
            let keys = server.complete(fetched.unwrap_or_default());
            (Arc::clone(&server.issuer), keys)
        });
        let sets = KeySets::new(sets.collect()).after(&held);
        self.servers.store(Arc::new(source.servers.clone()));
        self.current.store(Arc::new(sets));
    }
}

impl Fetcher {
    /// Fetches until `shutdown` says so, from wherever the keys are now.
    pub(crate) async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        loop {
            let Announcement { content, done } = self.source.borrow_and_update().clone();
            self.keys.take_over(&content);
            if let Some(done) = done {
                done.tell();
            }
            // Dropped with the next announcement, and with it all that is under way.
            let mut fetching = JoinSet::new();
            for server in &content.servers {
                fetching.spawn(fetch_from(Arc::clone(&self.keys), Arc::clone(server)));
            }
            tokio::select! {
                changed = self.source.changed() => if changed.is_err() {
                    return;
                },
                // The sender lives as long as the Broker: its end means shutdown too.
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Fetches one server's keys again and again.
async fn fetch_from(keys: Arc<Keys>, server: Arc<Server>) {
    let Some((client, uri)) = &server.keys else {
        return;
    };
    let mut requests = server.waiting.lock().await;
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        let fetched = fetch(client, uri).await;
        let fetched_at = Instant::now();
        let failed = fetched.is_err();
        let (mut next, not_before) = match fetched {
            Ok(set) => {
                let set = server.complete(set);
                // Several servers may be done at once.
                keys.current.rcu(|sets| sets.with(&server.issuer, &set));
                server.is_ready.store(true, Ordering::Relaxed);
                keys.fetches.succeeded.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%uri, "fetched the authorization server's keys");
                (fetched_at + REFETCH_EVERY, fetched_at + FETCH_AT_MOST_EVERY)
            }
            Err(error) => {
                keys.fetches.failed.fetch_add(1, Ordering::Relaxed);
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
                request = requests.recv() => match request {
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
