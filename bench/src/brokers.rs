//! The brokers that are compared. Each is a process on ports of its own, on the loopback interface, that ends when it is dropped.

mod floor;
mod mosquitto;
mod symbolon;

use crate::{
    load::{Target, admission::Credentials},
    wire::secure::ClientTls,
};
use anyhow::{Context as _, bail};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};
use symbolon::Site;
use symbolon_ace_proto::PopAlgorithm;

/// How long one may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// What is needed to start one kind of broker.
pub(crate) trait Broker {
    /// What the table calls it.
    fn name(&self) -> &str;

    /// The command that serves at `addresses`; what it writes goes to `directory`, which is empty and its own.
    fn command(&self, addresses: Addresses, directory: &Path) -> anyhow::Result<Command>;

    /// Whether messages wait for a client that is away.
    fn keeps_sessions(&self) -> bool {
        true
    }

    /// What its clients come in with.
    fn credentials(&self) -> Option<Arc<Credentials>> {
        None
    }
}

/// Where a broker listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
}

/// A certificate chain, its key and the CA, PEM files: the same for all brokers.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A broker at work.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    addresses: Addresses,
    tls: ClientTls,
    credentials: Option<Arc<Credentials>>,
    _directory: tempfile::TempDir,
}

/// All that are found on this machine, and what they were set up from, which must outlive them.
pub(crate) struct Brokers {
    pub(crate) all: Vec<Box<dyn Broker>>,
    site: Site,
}

impl Brokers {
    /// Looks for them; Symbolon with so many shards, and tokens bound to keys of this algorithm.
    pub(crate) fn find(shards: u16, pop: PopAlgorithm) -> anyhow::Result<Self> {
        let site = Site::make()?;
        let certificates = site.certificates();
        let mut all: Vec<Box<dyn Broker>> = Vec::new();
        if let Some(mosquitto) = mosquitto::Mosquitto::find(&certificates) {
            all.push(Box::new(mosquitto));
        }
        all.push(Box::new(site.with_tokens(shards, pop)?));
        all.push(Box::new(site.open_to_all(shards)));
        all.push(Box::new(floor::Floor(certificates)));
        Ok(Self { all, site })
    }

    /// Starts one and waits until it listens.
    pub(crate) fn start(&self, broker: &dyn Broker) -> anyhow::Result<Running> {
        let addresses = Addresses {
            tcp: free_address()?,
            tls: free_address()?,
        };
        let directory = tempfile::tempdir()?;
        let child = broker
            .command(addresses, directory.path())?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", broker.name()))?;
        let mut running = Running {
            child,
            addresses,
            tls: ClientTls::trusting(&self.site.certificates().ca)?,
            credentials: broker.credentials(),
            _directory: directory,
        };
        running.wait_until_ready()?;
        Ok(running)
    }
}

impl Running {
    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let is_there = |address: &SocketAddr| TcpStream::connect(address).is_ok();
        while ![self.addresses.tcp, self.addresses.tls]
            .iter()
            .all(is_there)
        {
            if let Some(status) = self.child.try_wait()? {
                bail!("it has ended: {status}");
            }
            if began.elapsed() > START_LIMIT {
                bail!("it does not listen");
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// What the load generator needs to know.
    pub(crate) fn target(&self, over_tls: bool) -> Target {
        Target {
            process: self.child.id(),
            address: if over_tls {
                self.addresses.tls
            } else {
                self.addresses.tcp
            },
            tls: over_tls.then(|| self.tls.clone()),
            credentials: self.credentials.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is our child, and what it kept is thrown away: nothing is lost by not asking it first.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
