//! The MQTT broker that is the resource server of RFC 9431.
//!
//! | module | holds |
//! |---|---|
//! | [`Config`], [`Broker`] | start it, stop it |
//! | `core/` | decides, without IO |
//! | `driver/` | sockets, threads, timers |
//! | `keys` | the authorization server's keys |
//! | `management` | health and metrics |

mod config;
#[doc(hidden)]
pub mod core;
mod driver;
mod keys;
mod management;

pub use config::{
    AuthorizationConfig, Config, Limits, ListenerConfig, ManagementConfig, Transport,
};

use crate::core::{
    admission::{Admission, Authority},
    grant::PublicTopics,
    hash_seed::HashSeed,
};
use crate::driver::{
    listener,
    shard::{self, ARRIVALS, Common, MAILBOX_BATCHES, ShardStart},
};
use keys::{Fetcher, Keys};
use management::published::Published;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use symbolon_ace_proto::{AsHint, jwe::ContentKeys};
use tokio::sync::{mpsc, watch};

/// The most shards.
const SHARDS_AT_MOST: usize = 256;
/// The largest packet size that can be configured, bytes: what is forwarded in another version may be a little larger.
const PACKET_SIZE_AT_MOST: u32 = 256 * 1024 * 1024 - 64 * 1024;

/// A broker at work. Dropping it stops it at once; [`Broker::shutdown`] says goodbye to the clients first.
#[derive(Debug)]
pub struct Broker {
    local_addrs: Vec<SocketAddr>,
    management_addr: Option<SocketAddr>,
    shutdown: watch::Sender<bool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
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
}

impl Broker {
    /// Binds every listener and starts the shards. When it returns, connections are accepted.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        config.check()?;
        let shards = config.shard_count();
        let mut local_addrs = Vec::new();
        let mut listeners: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
        for listener in &config.listeners {
            let (address, bound) = listener::bind(listener, shards, &config.limits)?;
            local_addrs.push(address);
            for (one, of_shard) in bound.into_iter().zip(&mut listeners) {
                of_shard.push(one);
            }
        }
        let management = (config.management.as_ref())
            .map(management::bind)
            .transpose()?;
        let management_addr = management.as_ref().map(|(address, _)| *address);
        let (keys, fetcher) = Keys::new(config.authorization.as_ref()).map_err(|error| {
            StartError::Config(format!("CA for the authorization server: {error}"))
        })?;
        let (mailboxes, mail): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| mpsc::channel(MAILBOX_BATCHES)).unzip();
        let (arrivals, arriving): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| mpsc::channel(ARRIVALS)).unzip();
        let common = Arc::new(Common {
            limits: config.limits,
            admission: Arc::new(config.admission()),
            keys,
            home: random_seed()?,
            connections: Arc::new(AtomicUsize::new(0)),
            mailboxes,
            arrivals,
            started: Instant::now(),
            published: (0..shards).map(|_| Published::new()).collect(),
        });
        let (shutdown, _) = watch::channel(false);
        let mut threads = vec![spawn("keys".into(), {
            let shutdown = shutdown.subscribe();
            move || run_fetcher(fetcher, shutdown)
        })?];
        if let Some((_, listener)) = management {
            let (common, shutdown) = (Arc::clone(&common), shutdown.subscribe());
            threads.push(spawn("management".into(), move || {
                management::run(listener, common, shutdown)
            })?);
        }
        for (index, ((listeners, mailbox), arrivals)) in
            (0..).zip(listeners.into_iter().zip(mail).zip(arriving))
        {
            let common = Arc::clone(&common);
            let start = ShardStart {
                index,
                common,
                listeners,
                mailbox,
                arrivals,
                shutdown: shutdown.subscribe(),
                seed: random_seed()?,
            };
            threads.push(spawn(format!("shard-{index}"), move || shard::run(start))?);
        }
        Ok(Self {
            local_addrs,
            management_addr,
            shutdown,
            threads,
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

    /// Sends DISCONNECT 0x8B to every client, publishes no Will for them, and ends the shards. Waits for them at most `limit`; whether
    /// all have ended.
    pub fn shutdown(self, limit: Duration) -> bool {
        self.shutdown.send_replace(true);
        let deadline = Instant::now() + limit;
        for thread in self.threads {
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
        true
    }
}

impl Config {
    fn check(&self) -> Result<(), StartError> {
        let complaint = if self.listeners.is_empty() {
            "no listener"
        } else if self.shards > SHARDS_AT_MOST {
            "more than 256 shards"
        } else if self.limits.packet_size > PACKET_SIZE_AT_MOST {
            "packet_size is above 268369920 bytes"
        } else if self.limits.packet_size < 128 {
            "packet_size is below 128 bytes"
        } else if self.limits.receive_maximum == 0 {
            "receive_maximum is 0"
        } else if self.limits.handshakes == 0 || self.limits.connections == 0 {
            "a limit of 0 connections or handshakes lets nobody in"
        } else {
            return Ok(());
        };
        Err(StartError::Config(complaint.into()))
    }

    fn shard_count(&self) -> usize {
        match self.shards {
            0 => thread::available_parallelism()
                .map_or(1, std::num::NonZero::get)
                .min(SHARDS_AT_MOST),
            count => count,
        }
    }

    fn admission(&self) -> Admission {
        let authority = self.authorization.as_ref().map(|config| Authority {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            content_keys: ContentKeys(config.content_keys.clone()),
            hint: AsHint {
                authorization_server: config.token_endpoint.clone(),
                audience: Some(config.audience.clone()),
                scope: config.hint_scope.clone(),
            }
            .to_json(),
        });
        Admission {
            authority,
            public_topics: Arc::new(PublicTopics::compile(
                &self.public_topics,
                &self.private_topics,
                self.conceal_topics,
            )),
        }
    }
}

fn spawn(
    name: String,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<JoinHandle<io::Result<()>>, StartError> {
    thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(StartError::Thread)
}

fn run_fetcher(fetcher: Fetcher, shutdown: watch::Receiver<bool>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(fetcher.run(shutdown));
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
