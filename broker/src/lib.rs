//! The MQTT broker that is the resource server of RFC 9431.
//!
//! | module | holds |
//! |---|---|
//! | [`Config`], [`Broker`] | start it, stop it |
//! | `core/` | decides, without IO |
//! | `driver/` | sockets, threads, timers |
//! | `keys`, `introspection` | what the authorization server is asked for: its keys, what a token says |
//! | `management` | health and metrics |
//! | `threads` | the threads, and the word that one has failed |
//! | `revocations` | follows the list of revoked tokens |
//! | [`store`] | what outlives the process |
//! | [`Reloader`] | another configuration while it runs |

mod config;
#[doc(hidden)]
pub mod core;
mod credential;
mod driver;
mod introspection;
mod keys;
mod management;
mod reload;
mod revocations;
pub mod store;
mod threads;

pub use config::{
    AuthorizationConfig, AuthorizationServerConfig, Config, Durability, IntrospectionConfig,
    IntrospectionCredential, Limits, ListenerConfig, ManagementConfig, RevocationListConfig,
    StoreConfig, TokensConfig, Transport,
};
pub use reload::{ReloadError, Reloader};

use crate::core::{
    admission::{Admission, TokenKeeping},
    authority::Authority,
    freshness::ClientNonces,
    grant::PublicTopics,
    hash_seed::HashSeed,
    journal::StoredSession,
    message::Message,
    quota::Quotas,
    reloading::Rules,
    retaining::Stamp,
};
use crate::driver::{
    addresses::Addresses,
    arrival::Arrival,
    known::TokenKeys,
    listener::{self, Entrance, Listener},
    lives::{self, Falls},
    reclaiming,
    shard::{ARRIVALS, Batch, Common, MAILBOX_BATCHES, ShardStart, ShardStore},
    time_of_day::TimeOfDay,
};
use arc_swap::ArcSwap;
use driver::restored::Restored;
use keys::{Fetcher, Keys, Source};
use management::published::Published;
use reload::{Announced, Announcement, Changing};
use revocations::Revocations;
use std::{
    collections::BTreeSet,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    thread,
    time::{Duration, Instant},
};
use store::{StoreError, writer::StoreWriter};
use symbolon_ace_proto::{AsHint, DerivationKey, MacKey, jwe::ContentKeys};
use threads::Threads;
use tokio::sync::{Barrier, mpsc, watch};

/// The most shards.
const SHARDS_AT_MOST: usize = 256;
/// The largest packet size that can be configured, bytes: what is forwarded in another version may be a little larger.
const PACKET_SIZE_AT_MOST: u32 = 256 * 1024 * 1024 - 64 * 1024;

/// The longest template of Response Information, bytes.
const RESPONSE_INFORMATION_AT_MOST: usize = 4_096;

/// A broker at work. Dropping it stops it at once; [`Broker::shutdown`] says goodbye to the clients first.
#[derive(Debug)]
pub struct Broker {
    local_addrs: Vec<SocketAddr>,
    management_addr: Option<SocketAddr>,
    shutdown: watch::Sender<bool>,
    reloader: Reloader,
    threads: Threads,
    store: Option<StoreWriter>,
}

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// The configuration contradicts itself; how.
    #[error("{0}")]
    Config(String),
    /// The store cannot be used.
    #[error("store {}: {source}", path.display())]
    Store {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

impl Broker {
    /// Binds every listener and starts the shards. When it returns, connections are accepted.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        config.check()?;
        let shards = config.shard_count();
        let token_keys = Arc::<TokenKeys>::default();
        let bound = Bound::new(config, shards, &token_keys)?;
        let management = (config.management.as_ref().map(management::bind)).transpose()?;
        let management_addr = management.as_ref().map(|(address, _)| *address);
        let rules = config.rules();
        let source = source_of(config, &rules)?;
        let (source, announced_source) = watch::channel(Announcement::first(source));
        let (keys, fetcher) = Keys::new(announced_source.clone());
        let (announced_rules, _) = watch::channel(Announcement::first(rules.clone()));
        let (mailboxes, mail) = channels(shards, MAILBOX_BATCHES);
        let (arrivals, arriving) = channels(shards, ARRIVALS);
        let (started, home) = (Instant::now(), random_seed()?);
        let time = TimeOfDay::new(config.has_clock(), started);
        let restored = Restored::open(config.store.as_ref(), shards, &home, (started, time))?;
        (rules.admission.tokens.spans).restore(restored.expired_numbers);
        let common = Arc::new(Common {
            rules: ArcSwap::from_pointee(rules),
            keys,
            revocations: Revocations::new(),
            home,
            connections: Arc::new(AtomicUsize::new(0)),
            addresses: Arc::new(Addresses::default()),
            mailboxes,
            arrivals,
            started,
            time,
            restored: Barrier::new(shards),
            published: (0..shards).map(|_| Published::new()).collect(),
            commits: (restored.store.as_ref()).map(|store| Arc::clone(&store.commits)),
            falls: Falls::new(shards),
        });
        token_keys.serve(&common);
        let (shutdown, _) = watch::channel(false);
        let mut threads = Threads::new();
        let mut spawn = |name, work: Work| threads.spawn(name, work).map_err(StartError::Thread);
        let work = background(fetcher, announced_source, &common, shutdown.subscribe());
        spawn("background".into(), work)?;
        if let Some((_, listener)) = management {
            let work = management_work(listener, &common, shutdown.subscribe());
            spawn("management".into(), work)?;
        }
        let shards = Shards {
            common: &common,
            shutdown: &shutdown,
            rules: &announced_rules,
            store: restored.store,
            retained: restored.retained,
        };
        let parts = (bound.listeners.into_iter().zip(mail).zip(arriving)).zip(restored.sessions);
        for (index, (((listeners, mailbox), arrivals), sessions)) in (0..).zip(parts) {
            let work = shards.work(index, (listeners, mailbox, arrivals, sessions))?;
            spawn(format!("shard-{index}"), work)?;
        }
        let changing = Changing {
            entrances: bound.entrances,
            common,
            rules: announced_rules,
            source,
        };
        Ok(Self {
            local_addrs: bound.local_addrs,
            management_addr,
            shutdown,
            reloader: Reloader::new(config.clone(), changing),
            threads,
            store: restored.writer,
        })
    }

    /// Where it listens, in the order of the configuration.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Where health and metrics are asked for, if anywhere.
    pub fn management_addr(&self) -> Option<SocketAddr> {
        self.management_addr
    }

    /// Takes another configuration over while it runs, all of it or, where anything in it cannot be used or needs a restart, nothing.
    /// When it returns, it holds in every shard; one that is busy for seconds is not waited for.
    ///
    /// Listeners (all but their certificates), `shards` and `management` must be as they are. A new certificate is for new connections.
    /// New limits hold for new connections or from the next packet on, and disconnect nobody. Other public topics are for every session at
    /// once: subscriptions that they do not cover any more end. Another authorization server is for new tokens: those that were accepted
    /// count until they run out.
    pub fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        self.reloader.reload(config)
    }

    /// For reloading from elsewhere; it may outlive the broker, and then does nothing.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// For tests: the next turn of this shard panics when all of it is done and nothing given away.
    #[cfg(feature = "faults")]
    #[doc(hidden)]
    pub fn let_shard_fall(&self, shard: usize) {
        self.reloader.let_shard_fall(shard);
    }

    /// Waits until a thread of the broker has failed, which none should. A shard that panics begins anew, a few times; any other thread, or a
    /// shard too often, is a failure: its clients hang. Whoever runs the broker
    /// should end the process, to have it started anew: what is stored is there again then. Cancel safe.
    pub async fn failed(&self) {
        let mut failed = self.threads.failed();
        // An error would say that the broker is gone, which we hold.
        drop(failed.wait_for(|failed| *failed).await);
    }

    /// Sends DISCONNECT 0x8B to every client, ends the shards and brings what they have to the store. Wills of stored sessions are kept
    /// there, others are not published. Waits at most `limit`; whether all have ended.
    pub fn shutdown(self, limit: Duration) -> bool {
        self.shutdown.send_replace(true);
        let deadline = Instant::now() + limit;
        for thread in self.threads.into_running() {
            while !thread.is_finished() {
                if Instant::now() >= deadline {
                    return false;
                }
                thread::sleep(Duration::from_millis(5));
            }
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a thread of the broker failed"),
                Err(_) => tracing::error!("a thread of the broker panicked"),
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match self.store.map(|store| store.finish(left)) {
            None | Some(Ok(())) => true,
            Some(Err(not_written)) => {
                tracing::error!("{not_written}");
                false
            }
        }
    }
}

/// Every listener, bound.
struct Bound {
    local_addrs: Vec<SocketAddr>,
    /// One for each listener.
    entrances: Vec<Entrance>,
    /// For each shard one of each listener.
    listeners: Vec<Vec<Listener>>,
}

impl Bound {
    fn new(
        config: &Config,
        shards: usize,
        token_keys: &Arc<TokenKeys>,
    ) -> Result<Self, StartError> {
        let mut all = Self {
            local_addrs: Vec::new(),
            entrances: Vec::new(),
            listeners: (0..shards).map(|_| Vec::new()).collect(),
        };
        for listener in &config.listeners {
            let (address, bound) = listener::bind(listener, shards, &config.limits, token_keys)?;
            all.local_addrs.push(address);
            let entrance = bound.first().map(|one| one.entrance.clone());
            all.entrances.extend(entrance);
            for (one, of_shard) in bound.into_iter().zip(&mut all.listeners) {
                of_shard.push(one);
            }
        }
        Ok(all)
    }
}

impl Config {
    fn check(&self) -> Result<(), StartError> {
        self.complaint().map_or(Ok(()), |complaint| {
            Err(StartError::Config(complaint.into()))
        })
    }

    /// How it contradicts itself, if it does.
    fn complaint(&self) -> Option<&'static str> {
        Some(if self.listeners.is_empty() {
            "no listener"
        } else if self.shards > SHARDS_AT_MOST {
            "more than 256 shards"
        } else if self.limits.packet_size > PACKET_SIZE_AT_MOST {
            "packet_size is above 268369920 bytes"
        } else if self.limits.packet_size < 128 {
            "packet_size is below 128 bytes"
        } else if self.limits.receive_maximum == 0 {
            "receive_maximum is 0"
        } else if self.limits.send_maximum == 0 {
            "send_maximum is 0"
        } else if self.limits.handshakes == 0
            || self.limits.connections == 0
            || self.limits.sessions == 0
        {
            "a limit of 0 connections, handshakes or sessions lets nobody in"
        } else if !(self.response_information.as_deref()).is_none_or(is_response_information) {
            "response_information is no text of 1 to 4096 bytes without control characters"
        } else {
            return (self.authorization.as_ref()).and_then(AuthorizationConfig::complaint);
        })
    }

    fn shard_count(&self) -> usize {
        match self.shards {
            0 => thread::available_parallelism()
                .map_or(1, std::num::NonZero::get)
                .min(SHARDS_AT_MOST),
            count => count,
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            limits: self.limits,
            admission: Arc::new(self.admission()),
            sys_interval_secs: self.sys_interval_secs,
        }
    }

    /// Whether the system's clock tells the time of day.
    pub(crate) fn has_clock(&self) -> bool {
        (self.authorization.as_ref()).is_none_or(|config| config.clock)
    }

    fn token_keeping(&self) -> TokenKeeping {
        let keeping = self.authorization.as_ref().map(|config| TokenKeeping {
            authz_info: config.tokens.authz_info,
            stored_token_challenge: config.tokens.stored_token_challenge,
            from_connect: config.tokens.store_connect_tokens,
            nonces: (config.tokens.client_nonce).then(fresh_nonces),
            ..TokenKeeping::default()
        });
        keeping.unwrap_or_default()
    }

    fn admission(&self) -> Admission {
        let servers = self.authorization.iter().flat_map(|config| &config.servers);
        Admission {
            authorities: servers.map(AuthorizationServerConfig::authority).collect(),
            generation: 0,
            clock: self.has_clock(),
            public_topics: Arc::new(PublicTopics::compile(
                &self.public_topics,
                &self.private_topics,
                self.hide_topics,
            )),
            response_information: self.response_information.clone(),
            quotas: Quotas::new(&self.limits),
            tokens: self.token_keeping(),
        }
    }
}

impl AuthorizationConfig {
    /// How it contradicts itself, if it does.
    fn complaint(&self) -> Option<&'static str> {
        let servers = &self.servers;
        if servers.is_empty() {
            return Some("no authorization server");
        }
        if servers.len() > Self::SERVERS_AT_MOST {
            return Some("more than 16 authorization servers");
        }
        let issuers = servers.iter().map(|server| &server.issuer);
        if issuers.collect::<BTreeSet<_>>().len() < servers.len() {
            return Some("two authorization servers have the same issuer");
        }
        (servers.iter()).find_map(AuthorizationServerConfig::complaint)
    }
}

impl AuthorizationServerConfig {
    fn complaint(&self) -> Option<&'static str> {
        let content = self.content_keys.iter().map(|key| key.kid.as_str());
        let macs = self.mac_keys.iter().map(MacKey::kid);
        let derivation = self.derivation_keys.iter().map(DerivationKey::kid);
        let named = [content.collect(), macs.collect(), derivation.collect()];
        let named: [Vec<&str>; 3] = named;
        let most = Self::SHARED_KEYS_AT_MOST;
        if named.iter().any(|names| names.len() > most) {
            Some("more than 4 keys are shared for one purpose")
        } else if named.iter().any(|names| has_twice(names)) {
            Some("two keys that are shared for one purpose have the same name")
        } else if self.jwks_uri.is_none()
            && self.mac_keys.is_empty()
            && self.introspection.is_none()
        {
            Some(
                "an authorization server whose tokens nothing vouches for: no key set, no key for MACs, no introspection",
            )
        } else {
            None
        }
    }

    fn authority(&self) -> Authority {
        Authority {
            issuer: self.issuer.as_str().into(),
            audience: self.audience.clone(),
            content_keys: ContentKeys(self.content_keys.clone()),
            derivation_keys: self.derivation_keys.clone(),
            introspection: self.introspection.is_some(),
            hint: AsHint {
                cnonce: None,
                authorization_server: self.token_endpoint.clone(),
                audience: Some(self.audience.clone()),
                scope: self.hint_scope.clone(),
            },
        }
    }
}

fn has_twice(names: &[&str]) -> bool {
    (1..names.len()).any(|at| names[..at].contains(&names[at]))
}

/// Nonces under a new secret.
fn fresh_nonces() -> Arc<ClientNonces> {
    let mut secret = [0; 32];
    let filled = aws_lc_rs::rand::fill(&mut secret).is_ok();
    Arc::new(ClientNonces::new(filled.then_some(secret)))
}

/// Where the authorization server is asked; what it says of tokens is put where these rules look.
fn source_of(config: &Config, rules: &Rules) -> Result<Source, StartError> {
    let introspected = &rules.admission.tokens.introspected;
    Source::new(config.authorization.as_ref(), introspected, None).map_err(StartError::Config)
}

/// Whether `text` can be Response Information: 1 to 4096 bytes without control characters, since it becomes a topic for the client.
pub fn is_response_information(text: &str) -> bool {
    (1..=RESPONSE_INFORMATION_AT_MOST).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// One channel for each shard.
fn channels<T>(count: usize, bound: usize) -> (Vec<mpsc::Sender<T>>, Vec<mpsc::Receiver<T>>) {
    (0..count).map(|_| mpsc::channel(bound)).unzip()
}

/// What all shards are started with.
struct Shards<'a> {
    common: &'a Arc<Common>,
    shutdown: &'a watch::Sender<bool>,
    rules: &'a watch::Sender<Announcement<Rules>>,
    store: Option<ShardStore>,
    retained: Arc<[(Arc<Message>, Stamp)]>,
}

/// What is one shard's alone.
type Own = (
    Vec<Listener>,
    mpsc::Receiver<Batch>,
    mpsc::Receiver<Arrival>,
    Vec<StoredSession>,
);

impl Shards<'_> {
    fn work(
        &self,
        index: u16,
        (listeners, mailbox, arrivals, sessions): Own,
    ) -> Result<Work, StartError> {
        let start = ShardStart {
            index,
            common: Arc::clone(self.common),
            listeners,
            mailbox,
            arrivals,
            shutdown: self.shutdown.subscribe(),
            rules: self.rules.subscribe(),
            seed: random_seed()?,
            store: self.store.clone(),
            sessions,
            retained: Arc::clone(&self.retained),
        };
        Ok(Box::new(move || lives::run(start)))
    }
}

/// What a thread does.
type Work = Box<dyn FnOnce() -> io::Result<()> + Send>;

fn management_work(
    listener: TcpListener,
    common: &Arc<Common>,
    shutdown: watch::Receiver<bool>,
) -> Work {
    let common = Arc::clone(common);
    Box::new(move || management::run(listener, common, shutdown))
}

fn background(
    fetcher: Fetcher,
    source: Announced<Source>,
    common: &Arc<Common>,
    shutdown: watch::Receiver<bool>,
) -> Work {
    let common = Arc::clone(common);
    Box::new(move || run_background(fetcher, source, common, shutdown))
}

/// What goes on beside the shards, and seldom.
fn run_background(
    fetcher: Fetcher,
    source: Announced<Source>,
    common: Arc<Common>,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = driver::runtime()?;
    runtime.block_on(async {
        tokio::join!(
            fetcher.run(shutdown.clone()),
            revocations::run(source, Arc::clone(&common), shutdown.clone()),
            reclaiming::run(common, shutdown)
        )
    });
    Ok(())
}

/// A hash keyed with a secret of its own.
fn random_seed() -> Result<HashSeed, StartError> {
    let mut words = [0; 4];
    for word in &mut words {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StartError::Random)?;
        *word = u64::from_ne_bytes(bytes);
    }
    Ok(HashSeed::from_words(words))
}
