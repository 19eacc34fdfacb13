//! Another configuration while clients are connected: checked as a whole, then taken over as a whole or not at all.

use crate::{
    Config, ListenerConfig, Transport,
    core::reloading::Rules,
    driver::{
        listener::{Entrance, certificate},
        shard::Common,
    },
    keys::Source,
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};
use symbolon_tls::ServerCertificate;
use tokio::sync::watch;

/// How long a reload waits until every shard and the fetcher of keys have taken it over.
const TAKEN_OVER_LIMIT: Duration = Duration::from_secs(5);

/// Why another configuration is not taken over. Nothing has changed then.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It changes what only a restart can change; what.
    #[error("cannot change while the broker runs: {}", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// It contradicts itself, or a certificate, key or CA cannot be used; how.
    #[error("{0}")]
    Config(String),
}

/// Changes the configuration of a [`Broker`](crate::Broker) at work, from any thread. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    shared: Arc<Shared>,
}

struct Shared {
    /// What holds now. Whoever changes it holds the lock until all is taken over.
    config: Mutex<Config>,
    changing: Changing,
}

/// What of a broker can change.
pub(crate) struct Changing {
    /// One for each listener.
    pub(crate) entrances: Vec<Entrance>,
    pub(crate) common: Arc<Common>,
    pub(crate) rules: watch::Sender<Announcement<Rules>>,
    pub(crate) source: watch::Sender<Announcement<Source>>,
}

/// What is announced to those that work with it.
#[derive(Debug)]
pub(crate) struct Announcement<T> {
    pub(crate) content: Arc<T>,
    /// Who wants to know that it was taken over.
    pub(crate) done: Option<Done>,
}

/// Where announcements come from.
pub(crate) type Announced<T> = watch::Receiver<Announcement<T>>;

/// Tells that an announcement was taken over.
#[derive(Clone, Debug)]
pub(crate) struct Done(SyncSender<()>);

impl<T> Announcement<T> {
    /// Of what holds from the start.
    pub(crate) fn first(content: T) -> Self {
        Self {
            content: Arc::new(content),
            done: None,
        }
    }
}

impl<T> Clone for Announcement<T> {
    fn clone(&self) -> Self {
        Self {
            content: Arc::clone(&self.content),
            done: self.done.clone(),
        }
    }
}

impl Done {
    pub(crate) fn tell(&self) {
        // There is room for each; whoever waited may have given up.
        if self.0.try_send(()).is_err() {
            tracing::debug!("nobody waits for a reload any more");
        }
    }
}

/// All of a new configuration that can fail, done: taking it over cannot.
struct Prepared {
    certificates: Vec<(ListenerConfig, Option<ServerCertificate>)>,
    rules: Rules,
    /// `None` where the keys stay where they are.
    source: Option<Source>,
}

impl Reloader {
    pub(crate) fn new(config: Config, changing: Changing) -> Self {
        Self {
            shared: Arc::new(Shared {
                config: Mutex::new(config),
                changing,
            }),
        }
    }

    /// See [`Broker::reload`](crate::Broker::reload).
    pub fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        // A panic elsewhere leaves the configuration that was taken over last: still the right one.
        let held = self.shared.config.lock();
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        let prepared = self.shared.changing.prepare(&held, config)?;
        self.shared.changing.take_over(prepared);
        held.clone_from(config);
        Ok(())
    }

    #[cfg(feature = "faults")]
    pub(crate) fn let_shard_fall(&self, shard: usize) {
        let faults = &self.shared.changing.common.falls.wanted;
        faults[shard].store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Has the authorization server's keys fetched at once, for one that knows that they have changed. Those there are count until then.
    pub fn fetch_keys_anew(&self) {
        // Not while a reload waits for its announcement to be taken over.
        let _held = self.shared.config.lock();
        // The same once more: who works with it begins again.
        let source = &self.shared.changing.source;
        source.send_modify(|announcement| announcement.done = None);
    }
}

/// Private keys are in the configuration.
impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

impl Changing {
    fn prepare(&self, held: &Config, config: &Config) -> Result<Prepared, ReloadError> {
        config.complaint().map_or(Ok(()), |complaint| {
            Err(ReloadError::Config(complaint.into()))
        })?;
        let fixed = fixed_that_differ(held, config);
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed));
        }
        let certificates = (config.listeners.iter())
            .map(|one| certificate(one).map(|certificate| (one.clone(), certificate)))
            .collect::<Result<_, _>>()
            .map_err(ReloadError::Config)?;
        let mut admission = config.admission();
        let in_force = self.common.rules.load();
        // What was said of tokens stays true: it is known by who said it.
        admission.tokens.introspected = Arc::clone(&in_force.admission.tokens.introspected);
        let asked = Arc::clone(&self.source.borrow().content);
        let kept = held.authorization.as_ref().map(|held| (&*asked, held));
        let introspected = &admission.tokens.introspected;
        let source = Source::new(config.authorization.as_ref(), introspected, kept);
        let source = source.map_err(ReloadError::Config)?;
        let source = (!source.is(&asked)).then_some(source);
        admission.quotas = in_force.admission.quotas.limited_by(&config.limits);
        if let (Some(nonces), Some(in_force)) = (
            &mut admission.tokens.nonces,
            &in_force.admission.tokens.nonces,
        ) {
            // Those that are on their way back stay good.
            nonces.clone_from(in_force);
        }
        admission.tokens.stored = Arc::clone(&in_force.admission.tokens.stored);
        admission.tokens.revoked = Arc::clone(&in_force.admission.tokens.revoked);
        admission.tokens.publishers = Arc::clone(&in_force.admission.tokens.publishers);
        admission.generation = in_force.admission.generation + 1;
        admission.tokens.spans = Arc::clone(&in_force.admission.tokens.spans);
        if in_force.admission.public_topics.is_of(
            &config.public_topics,
            &config.private_topics,
            config.hide_topics,
        ) {
            // The same list must be the same to the shards, or each would go through its sessions.
            admission.public_topics = Arc::clone(&in_force.admission.public_topics);
        }
        Ok(Prepared {
            certificates,
            rules: Rules {
                limits: config.limits,
                admission: Arc::new(admission),
                sys_interval_secs: config.sys_interval_secs,
            },
            source,
        })
    }

    fn take_over(&self, prepared: Prepared) {
        let limits = prepared.rules.limits;
        for (entrance, (listener, certificate)) in self.entrances.iter().zip(prepared.certificates)
        {
            entrance.replace(&listener, certificate, &limits);
        }
        // Before the rules: no token of the new authority is judged by keys of the old one.
        if let Some(source) = prepared.source {
            announce(&self.source, Arc::new(source), 1);
        }
        let rules = Arc::new(prepared.rules);
        self.common.rules.store(Arc::clone(&rules));
        announce(&self.rules, rules, self.common.mailboxes.len());
    }
}

/// Announces, and waits until `listeners` have taken it over. One that does not in time still will, once it comes to it.
fn announce<T>(to: &watch::Sender<Announcement<T>>, content: Arc<T>, listeners: usize) {
    if to.receiver_count() == 0 {
        // The broker has ended.
        return;
    }
    let (done, told) = sync_channel(listeners);
    to.send_replace(Announcement {
        content,
        done: Some(Done(done)),
    });
    if !all_told(&told, listeners) {
        tracing::warn!("the new configuration is taken over late: a thread of the broker is busy");
    }
}

fn all_told(told: &Receiver<()>, listeners: usize) -> bool {
    let deadline = Instant::now() + TAKEN_OVER_LIMIT;
    (0..listeners).all(|_| {
        let left = deadline.saturating_duration_since(Instant::now());
        told.recv_timeout(left).is_ok()
    })
}

/// What must stay while the broker runs, and does not.
fn fixed_that_differ(held: &Config, config: &Config) -> Vec<&'static str> {
    let listeners = |config: &Config| -> Vec<_> { config.listeners.iter().map(place).collect() };
    let mut differ = Vec::new();
    if listeners(held) != listeners(config) {
        differ.push("listeners");
    }
    if held.shards != config.shards {
        differ.push("shards");
    }
    if held.management != config.management {
        differ.push("management");
    }
    if held.store != config.store {
        differ.push("store");
    }
    if held.has_clock() != config.has_clock() {
        differ.push("clock");
    }
    differ
}

/// What of a listener stays: all but its certificate and the origins it lets in.
fn place(listener: &ListenerConfig) -> (std::net::SocketAddr, &'static str, bool) {
    let (transport, insecure) = match &listener.transport {
        Transport::Tls { .. } => ("tls", false),
        Transport::Tcp { insecure } => ("tcp", *insecure),
        Transport::WebSocketTls { .. } => ("wss", false),
        Transport::WebSocketTcp { insecure, .. } => ("ws", *insecure),
    };
    (listener.address, transport, insecure)
}
