//! `symbolon reload`, and what a server does when it is asked: another configuration without a restart.
//!
//! | module | holds |
//! |---|---|
//! | `reloader` | reads, compares, changes |
//! | `control` | the socket that `symbolon reload` speaks to |
//! | `report` | what came of it, in words and on the socket |

#[cfg(unix)]
mod control;
mod reloader;
mod report;

pub(crate) use reloader::{Reading, Reloader, Source};

use std::path::PathBuf;

/// `symbolon reload DIR`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReloadArgs {
    /// The directory that `symbolon init` made, or a configuration file, as the server was started with
    #[arg(
        value_name = "DIR",
        env = "SYMBOLON_DIR",
        hide_env_values = true,
        default_value = "."
    )]
    directory: PathBuf,
}

impl ReloadArgs {
    /// For the servers of a directory, or of a configuration file.
    pub(crate) fn of(directory: &std::path::Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }
}

#[cfg(not(unix))]
impl ReloadArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!(
            "{}: reloading needs Unix domain sockets; restart the server",
            self.directory.display()
        )
    }
}

#[cfg(unix)]
pub(crate) use unix::{Hangup, is_running, listen, serve};

#[cfg(unix)]
mod unix {
    use super::{
        ReloadArgs, Reloader,
        control::{ControlSocket, Peer, path_in},
        report::{Line, Report, Request},
    };
    use crate::{
        clock, config,
        exit::{NoServer, TimedOut},
        serve::Which,
    };
    use anyhow::Context as _;
    use std::{
        io::{self, BufRead as _, BufReader, Read as _, Write as _},
        os::unix::net::UnixStream,
        path::Path,
        sync::{Arc, Mutex, PoisonError},
        time::Duration,
    };
    use symbolon_ace_proto::UnixTime;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// The longest answer, bytes.
    const ANSWER_BYTES: u64 = 1024 * 1024;
    /// How long a reload may take.
    const ANSWER_LIMIT: Duration = Duration::from_secs(30);
    /// The longest until the end of keys is looked at again: the clock may be set meanwhile.
    const LOOK_AGAIN: Duration = Duration::from_mins(15);
    const SERVERS: [Which; 3] = [Which::Both, Which::AuthorizationServer, Which::Broker];

    impl ReloadArgs {
        /// Asks every server of the directory.
        pub(crate) fn run(self) -> anyhow::Result<()> {
            let file = config::file_in(&self.directory);
            let directory = match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                Some(_) | None => Path::new("."),
            };
            // One that cannot be spoken to is told before any of them changes.
            let mut servers = Vec::new();
            for which in SERVERS {
                servers.extend(connect(directory, which)?.map(|stream| (which, stream)));
            }
            if servers.is_empty() {
                let place = directory.display();
                return Err(NoServer(format!("no server of {place} is running here")).into());
            }
            let several = servers.len() > 1;
            let mut ended = Ok(());
            for (which, stream) in servers {
                let told = ask(stream).and_then(Report::print);
                let told = if several {
                    told.with_context(|| format!("symbolon {}", which.command()))
                } else {
                    told
                };
                // The first that fails is the one to speak of; the others are told all the same.
                ended = ended.and(told);
            }
            ended
        }
    }

    /// Whether a server of this directory is at work.
    pub(crate) fn is_running(directory: &Path) -> anyhow::Result<bool> {
        for which in SERVERS {
            if connect(directory, which)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A server of this kind, if one is at work.
    fn connect(directory: &Path, which: Which) -> anyhow::Result<Option<UnixStream>> {
        let path = path_in(directory, which);
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Some(stream)),
            Err(error)
                if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]
                    .contains(&error.kind()) =>
            {
                Ok(None)
            }
            Err(error) => Err(NoServer(format!("{}: {error}", path.display())).into()),
        }
    }

    fn ask(mut stream: UnixStream) -> anyhow::Result<Report> {
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let mut request = serde_json::to_vec(&Request::Reload {})?;
        request.push(b'\n');
        stream.write_all(&request)?;
        let mut changes = Vec::new();
        for line in BufReader::new(stream.take(ANSWER_BYTES)).lines() {
            let line = match line {
                Err(error)
                    if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut]
                        .contains(&error.kind()) =>
                {
                    return Err(TimedOut(": the server does not answer").into());
                }
                line => line?,
            };
            match serde_json::from_str(&line).context("the server's answer makes no sense")? {
                Line::Change { change } => changes.push(change),
                Line::Outcome(outcome) => return Ok(Report { changes, outcome }),
            }
        }
        anyhow::bail!("the server hung up without an answer")
    }

    /// SIGHUP.
    #[derive(Debug)]
    pub(crate) struct Hangup(Signal);

    impl Hangup {
        /// From now on the signal comes here, and ends the process no more.
        pub(crate) fn listen() -> anyhow::Result<Self> {
            Ok(Self(signal(SignalKind::hangup())?))
        }
    }

    /// The control socket, or a warning in the log: without it there is still SIGHUP.
    pub(crate) fn listen(directory: &Path, which: Which) -> Option<ControlSocket> {
        ControlSocket::bind(directory, which)
            .inspect_err(|error| {
                let error = format!("{error:#}");
                tracing::warn!(%error, "`symbolon reload` cannot reach this server, only SIGHUP can");
            })
            .ok()
    }

    /// Reloads whenever somebody asks, one after the other, for ever.
    pub(crate) async fn serve(
        reloader: Reloader,
        mut hangup: Hangup,
        control: Option<ControlSocket>,
    ) {
        let reloader = Arc::new(Mutex::new(reloader));
        let next_peer = async || match &control {
            Some(control) => control.accept().await,
            None => std::future::pending().await,
        };
        loop {
            let end = next_end(&reloader).await;
            tokio::select! {
                () = tokio::time::sleep(until(end)) => {
                    if end.is_some_and(|end| end <= clock::now()) {
                        tracing::info!("a key that is shared with an authorization server ends");
                        reload(&reloader).await;
                    }
                }
                _ = hangup.0.recv() => {
                    tracing::info!(signal = "SIGHUP", "reloading the configuration");
                    reload(&reloader).await;
                }
                peer = next_peer() => {
                    if let Err(error) = answer(peer, &reloader).await {
                        tracing::warn!(%error, "control socket: a request failed");
                    }
                }
            }
        }
    }

    /// Files are read for it, as for a reload.
    async fn next_end(reloader: &Arc<Mutex<Reloader>>) -> Option<UnixTime> {
        let reloader = Arc::clone(reloader);
        let found = tokio::task::spawn_blocking(move || {
            let held = reloader.lock();
            held.unwrap_or_else(PoisonError::into_inner).next_end()
        });
        found.await.unwrap_or_default()
    }

    fn until(end: Option<UnixTime>) -> Duration {
        let secs = end.map_or(u64::MAX, |end| clock::now().secs_until(end));
        Duration::from_secs(secs).min(LOOK_AGAIN)
    }

    async fn answer(mut peer: Peer, reloader: &Arc<Mutex<Reloader>>) -> io::Result<()> {
        let report = match peer.request().await? {
            Ok(Request::Reload {}) => reload(reloader).await,
            Err(why) => Report::refused(why),
        };
        peer.answer(&report).await
    }

    /// Files are read and shards waited for: not on a thread that serves requests.
    async fn reload(reloader: &Arc<Mutex<Reloader>>) -> Report {
        let reloader = Arc::clone(reloader);
        let done = tokio::task::spawn_blocking(move || {
            let held = reloader.lock();
            held.unwrap_or_else(PoisonError::into_inner).reload()
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a reload failed by our fault");
            Report::refused("the reload failed by a fault of the program; see its log")
        })
    }
}
