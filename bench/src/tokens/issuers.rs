//! The authorization servers that are compared. Each is a process on a port of its own, on the loopback interface, over HTTPS with the same
//! certificate, that ends when it is dropped.

mod glewlwyd;
mod oidc_provider;

use super::{Sites, floor};
use crate::{
    registered::{Method, Registered},
    serving::Serving,
    site::{Site, free_address},
    wire::secure::ClientTls,
};
use anyhow::Context as _;
use glewlwyd::Glewlwyd;
use oidc_provider::OidcProvider;
use std::{env, net::SocketAddr, process::Command};

/// What is needed to start one kind.
pub(super) trait Issuer {
    /// What the table calls it.
    fn name(&self) -> &'static str;

    /// Whether its clients can introduce themselves like this.
    fn takes(&self, method: Method) -> bool;

    /// Starts it, with a store that is empty but for its clients.
    fn start<'s>(&self, sites: &'s Sites, method: Method) -> anyhow::Result<Running<'s>>;
}

/// One at work, and how it is asked.
pub(super) struct Running<'s> {
    pub(super) serving: Serving,
    pub(super) address: SocketAddr,
    pub(super) tls: ClientTls,
    pub(super) asking: Asking<'s>,
    /// Where it keeps what it keeps.
    _directory: Option<tempfile::TempDir>,
}

/// What requests are made of.
pub(super) struct Asking<'s> {
    pub(super) path: &'static str,
    pub(super) form: &'static str,
    /// What assertions name.
    pub(super) audience: String,
    pub(super) clients: &'s [Registered],
}

/// Ours and the floor; those of others where they are asked for and found.
pub(super) fn find(beside: bool) -> anyhow::Result<Vec<Box<dyn Issuer>>> {
    let mut all: Vec<Box<dyn Issuer>> = vec![Box::new(Symbolon), Box::new(Floor)];
    if beside {
        // This program lies in TARGET/release.
        let program = env::current_exe()?;
        let target = program.ancestors().nth(2).context("no target directory")?;
        let directory = target.join("beside");
        all.push(Box::new(OidcProvider::find(&directory)?));
        match Glewlwyd::find(&directory) {
            Some(glewlwyd) => all.push(Box::new(glewlwyd)),
            None => eprintln!(
                "Glewlwyd is not found: apt-get download glewlwyd, dpkg -x it to {}/root",
                directory.display()
            ),
        }
    }
    Ok(all)
}

/// `symbolon as`.
struct Symbolon;

/// A server that signs alone.
struct Floor;

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Secret => "client_secret_basic",
            Self::Key => "private_key_jwt",
        }
    }
}

impl Asking<'_> {
    fn of<'s>(site: &Site, clients: &'s [Registered]) -> Asking<'s> {
        Asking {
            path: "/token",
            form: "grant_type=client_credentials",
            audience: site.issuer.clone(),
            clients,
        }
    }
}

impl Issuer for Symbolon {
    fn name(&self) -> &'static str {
        "Symbolon"
    }

    fn takes(&self, _: Method) -> bool {
        true
    }

    fn start<'s>(&self, sites: &'s Sites, method: Method) -> anyhow::Result<Running<'s>> {
        let (site, fleet) = sites.of(method);
        site.forget_tokens()?;
        let mut command = Command::new(&site.program);
        command
            .arg("as")
            .arg(site.path())
            .env("SYMBOLON_LOG_LEVEL", "error");
        let address = site.authorization_server;
        Ok(Running {
            serving: Serving::start(self.name(), command, &[address])?,
            address,
            tls: ClientTls::trusting(&site.certificates().ca)?,
            asking: Asking::of(site, &fleet.clients),
            _directory: None,
        })
    }
}

impl Issuer for Floor {
    fn name(&self) -> &'static str {
        floor::NAME
    }

    fn takes(&self, _: Method) -> bool {
        true
    }

    fn start<'s>(&self, sites: &'s Sites, method: Method) -> anyhow::Result<Running<'s>> {
        let (site, fleet) = sites.of(method);
        let address = free_address()?;
        let mut command = Command::new(env::current_exe()?);
        command
            .args(["signer", "--issuer", &site.issuer])
            .args(["--audience", &site.audience])
            .args(["--listen", &address.to_string()])
            .arg("--site")
            .arg(site.path());
        Ok(Running {
            serving: Serving::start(self.name(), command, &[address])?,
            address,
            tls: ClientTls::trusting(&site.certificates().ca)?,
            asking: Asking::of(site, &fleet.clients),
            _directory: None,
        })
    }
}
