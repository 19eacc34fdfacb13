//! The brokers that are compared. Each is a process on ports of its own, on the loopback interface, that ends when it is dropped.

mod floor;
mod mosquitto;
mod symbolon;

use crate::{
    load::{Target, admission::Credentials},
    serving::Serving,
    site::{Certificates, Site, free_address},
    wire::secure::ClientTls,
};
use std::{net::SocketAddr, path::Path, process::Command, sync::Arc};
use symbolon_ace_proto::PopAlgorithm;

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

/// A broker at work.
#[derive(Debug)]
pub(crate) struct Running {
    serving: Serving,
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
        all.push(Box::new(site.with_tokens(
            shards,
            pop,
            symbolon::FILTERS,
        )?));
        all.push(Box::new(site.open_to_all(shards)));
        all.push(Box::new(floor::Floor(certificates)));
        Ok(Self { all, site })
    }

    /// Starts one and waits until it listens.
    pub(crate) fn start(&self, broker: &dyn Broker) -> anyhow::Result<Running> {
        Running::start(broker, &self.site)
    }
}

impl Running {
    /// Starts one and waits until it listens.
    pub(crate) fn start(broker: &dyn Broker, site: &Site) -> anyhow::Result<Self> {
        let addresses = Addresses {
            tcp: free_address()?,
            tls: free_address()?,
        };
        let directory = tempfile::tempdir()?;
        let command = broker.command(addresses, directory.path())?;
        let listening = [addresses.tcp, addresses.tls];
        Ok(Self {
            serving: Serving::start(broker.name(), command, &listening)?,
            addresses,
            tls: ClientTls::trusting(&site.certificates().ca)?,
            credentials: broker.credentials(),
            _directory: directory,
        })
    }

    /// What the load generator needs to know.
    pub(crate) fn target(&self, over_tls: bool) -> Target {
        Target {
            process: self.serving.id(),
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
