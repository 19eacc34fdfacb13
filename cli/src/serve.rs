//! `symbolon up`, `as` and `broker`: the servers, until a signal.

use crate::{
    config::{self, Opened, Snapshot},
    hardening,
    logging::{self, LogArgs, LogSwitch},
    reload::{self, Reading, Reloader, Source},
    service,
};
use anyhow::Context as _;
use std::{future::pending, io::Write as _, net::SocketAddr, path::PathBuf, time::Duration};
use symbolon_auth_server::AuthServer;
use symbolon_broker::Broker;
use tokio::{sync::oneshot, task::JoinHandle};

/// How long clients of the broker and requests to the authorization server get to finish.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
/// Threads for the authorization server; the broker has its own.
const AUTHORIZATION_SERVER_THREADS: usize = 2;

/// Which servers to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Which {
    /// Both.
    Both,
    /// The authorization server.
    AuthorizationServer,
    /// The broker.
    Broker,
}

impl Which {
    /// The command that runs them.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Both => "up",
            Self::AuthorizationServer => "as",
            Self::Broker => "broker",
        }
    }
}

/// `symbolon up DIR` and the like.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The directory that `symbolon init` made, or a configuration file
    #[arg(
        value_name = "DIR",
        env = "SYMBOLON_DIR",
        hide_env_values = true,
        default_value = "."
    )]
    directory: PathBuf,
    /// Set a key over file and environment, as in as.listen=127.0.0.1:8443
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Let a crash leave a core dump, and debuggers attach: they see every key
    #[arg(long)]
    allow_core_dumps: bool,
}

impl ServeArgs {
    /// Starts, says `ready`, and serves until SIGTERM or SIGINT.
    pub(crate) fn run(self, which: Which, logs: &LogArgs) -> anyhow::Result<()> {
        hardening::apply(self.allow_core_dumps);
        let source = Source {
            directory: self.directory,
            set: self.set,
            which,
            logs: logs.clone(),
        };
        let reading = source.read()?;
        let (level, format) = logs.resolve(&reading.opened.settings);
        let log = logging::start(&level, format)?;
        let runtime = server_runtime()?;
        let ended = runtime.block_on(serve(source, reading, log));
        // After a second signal nothing that the first began is waited for.
        runtime.shutdown_background();
        ended
    }
}

/// The runtime that the authorization server runs on.
pub(crate) fn server_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(AUTHORIZATION_SERVER_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// What is to be started, checked as a whole before anything is.
#[derive(Debug)]
pub(crate) struct Configs {
    pub(crate) authorization_server: Option<symbolon_auth_server::Config>,
    pub(crate) broker: Option<symbolon_broker::Config>,
}

impl Configs {
    /// Reads keys and certificates.
    pub(crate) fn load(opened: &Opened, which: Which) -> anyhow::Result<Self> {
        let authorization_server = match which {
            Which::Broker => None,
            Which::Both | Which::AuthorizationServer => Some(config::authorization_server(opened)?),
        };
        let broker = match which {
            Which::AuthorizationServer => None,
            Which::Both | Which::Broker => Some(config::broker(opened)?),
        };
        Ok(Self {
            authorization_server,
            broker,
        })
    }
}

/// Servers at work.
#[derive(Debug)]
pub(crate) struct Servers {
    authorization_server: Option<RunningAuthorizationServer>,
    broker: Option<Broker>,
}

#[derive(Debug)]
struct RunningAuthorizationServer {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    management_address: Option<SocketAddr>,
    reloader: symbolon_auth_server::Reloader,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Servers {
    /// Starts the authorization server first: the broker asks it for its keys.
    pub(crate) async fn start(configs: Configs) -> anyhow::Result<Self> {
        let authorization_server = match configs.authorization_server {
            Some(config) => Some(RunningAuthorizationServer::start(config).await?),
            None => None,
        };
        let broker = match configs.broker {
            Some(config) => {
                let started = tokio::task::spawn_blocking(move || Broker::start(&config)).await;
                match started.context("the broker's start panicked")? {
                    Ok(broker) => Some(broker),
                    Err(error) => {
                        if let Some(server) = authorization_server {
                            server.stop().await?;
                        }
                        return Err(error).context("broker");
                    }
                }
            }
            None => None,
        };
        Ok(Self {
            authorization_server,
            broker,
        })
    }

    /// Where the authorization server listens.
    pub(crate) fn authorization_server_address(&self) -> Option<SocketAddr> {
        self.authorization_server
            .as_ref()
            .map(|server| server.address)
    }

    /// Where the broker listens.
    pub(crate) fn broker_addresses(&self) -> &[SocketAddr] {
        self.broker
            .as_ref()
            .map(Broker::local_addrs)
            .unwrap_or_default()
    }

    /// Where the broker's health and metrics are asked for.
    pub(crate) fn management_address(&self) -> Option<SocketAddr> {
        self.broker.as_ref().and_then(Broker::management_addr)
    }

    /// What can change their configuration while they run.
    fn reloader(&self, source: Source, held: Snapshot, log: LogSwitch) -> Reloader {
        let authorization_server = self.authorization_server.as_ref();
        Reloader {
            source,
            held,
            log,
            authorization_server: authorization_server.map(|server| server.reloader.clone()),
            broker: self.broker.as_ref().map(Broker::reloader),
        }
    }

    /// Ends when a server fails by itself, which none should; which.
    async fn failed(&mut self) -> &'static str {
        let authorization_server = async {
            match &mut self.authorization_server {
                Some(server) => (&mut server.task).await,
                None => pending().await,
            }
        };
        let broker = async {
            match &self.broker {
                Some(broker) => broker.failed().await,
                None => pending().await,
            }
        };
        tokio::select! {
            ended = authorization_server => {
                tracing::error!(?ended, "the authorization server ended by itself");
                "the authorization server"
            }
            () = broker => "the broker",
        }
    }

    /// Says goodbye to clients, lets requests finish, and ends. The broker goes first, since it needs the other.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some(broker) = self.broker {
            tokio::task::spawn_blocking(|| broker.shutdown(SHUTDOWN_LIMIT))
                .await
                .context("the broker's shutdown panicked")?;
        }
        match self.authorization_server {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}

impl RunningAuthorizationServer {
    async fn start(config: symbolon_auth_server::Config) -> anyhow::Result<Self> {
        let server = AuthServer::bind(config)
            .await
            .context("authorization server")?;
        let address = server.local_addr();
        let admin_address = server.admin_addr();
        let management_address = server.management_addr();
        let reloader = server.reloader();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async {
            // An error says that the sender is gone: stop just the same.
            stopped.await.unwrap_or_default();
        }));
        Ok(Self {
            address,
            admin_address,
            management_address,
            reloader,
            stop,
            task,
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        // The receiver is gone only where the server has ended already.
        if self.stop.send(()).is_err() && self.task.is_finished() {
            return Err(anyhow::anyhow!("the authorization server ended by itself"));
        }
        if let Ok(ended) = tokio::time::timeout(SHUTDOWN_LIMIT, self.task).await {
            return ended.context("the authorization server panicked");
        }
        tracing::warn!("the authorization server took too long to end");
        Ok(())
    }
}

async fn serve(source: Source, reading: Reading, log: LogSwitch) -> anyhow::Result<()> {
    let Reading {
        opened,
        configs,
        snapshot,
    } = reading;
    let mut signals = Signals::listen()?;
    #[cfg(unix)]
    let hangup = reload::Hangup::listen()?;
    let mut servers = Servers::start(configs).await?;
    say_if_files_are_few(&opened);
    let which = source.which;
    let reloader = servers.reloader(source, snapshot, log);
    #[cfg(unix)]
    let reloading = {
        let control = reload::listen(&opened.settings.directory, which);
        tokio::spawn(reload::serve(reloader, hangup, control))
    };
    say_ready(&servers)?;
    service::ready();
    let failed = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping; a second signal ends at once");
            None
        }
        which = servers.failed() => Some(which),
    };
    service::stopping();
    #[cfg(unix)]
    reloading.abort();
    if let Some(which) = failed {
        return Err(anyhow::anyhow!("{which} has failed; the log says how"));
    }
    tokio::select! {
        stopped = servers.stop() => stopped,
        name = signals.next() => Err(anyhow::anyhow!("ended by a second {name}")),
    }
}

/// Each connection is an open file.
fn say_if_files_are_few(opened: &Opened) {
    let wanted = (opened.settings.broker.as_ref()).map(|broker| broker.limits.connections);
    if let (Some(connections), Some(open_files)) = (wanted, hardening::open_files_at_most())
        && u64::try_from(connections).is_ok_and(|connections| connections > open_files)
    {
        tracing::warn!(
            connections,
            open_files,
            "broker.limits.connections is above the limit of open files (ulimit -n, LimitNOFILE=)"
        );
    }
}

fn say_ready(servers: &Servers) -> anyhow::Result<()> {
    let mut words = vec!["ready".to_owned()];
    words.extend(
        servers
            .authorization_server_address()
            .map(|address| format!("as={address}")),
    );
    if let Some(server) = &servers.authorization_server {
        let own = server.admin_address;
        words.extend(own.map(|address| format!("admin={address}")));
        let own = server.management_address;
        words.extend(own.map(|address| format!("as_management={address}")));
    }
    let addresses = servers.broker_addresses();
    if !addresses.is_empty() {
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        words.push(format!("broker={}", addresses.join(",")));
    }
    words.extend(
        servers
            .management_address()
            .map(|address| format!("management={address}")),
    );
    let line = words.join(" ");
    tracing::info!("{line}");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// SIGTERM and SIGINT; elsewhere Ctrl-C.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on the signals come here.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// The name of the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
            }
        }
        #[cfg(not(unix))]
        {
            match tokio::signal::ctrl_c().await {
                Ok(()) => "Ctrl-C",
                Err(_) => std::future::pending().await,
            }
        }
    }
}
