//! Another configuration while requests are served: checked as a whole, then taken over as a whole or not at all.

use crate::{
    AdminConfig, Config, ManagementConfig, StartError,
    issuing::{Issuing, now},
    store::Location,
    tls::{self, ServerTls},
};
use arc_swap::ArcSwap;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Why another configuration is not taken over. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It changes what only a restart can change; what.
    #[error("cannot change while the authorization server runs: {}", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// It would not do for a start either.
    #[error(transparent)]
    Config(#[from] StartError),
}

/// Changes the configuration of an [`AuthServer`](crate::AuthServer) at work, from any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloader {
    fixed: Arc<Fixed>,
    pub(crate) tls: Arc<ArcSwap<ServerTls>>,
    pub(crate) issuing: Arc<ArcSwap<Issuing>>,
    /// One change at a time.
    changing: Arc<Mutex<()>>,
}

/// What only a restart changes.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Fixed {
    pub(crate) listen: SocketAddr,
    pub(crate) issuer: String,
    pub(crate) database: Location,
    pub(crate) client_ca_pem: Option<String>,
    pub(crate) registration: bool,
    pub(crate) admin: Option<AdminConfig>,
    pub(crate) management: Option<ManagementConfig>,
}

/// A configuration that has been checked: taking it over cannot fail.
#[derive(Debug)]
#[must_use = "nothing changes before it is taken over"]
pub struct Prepared {
    reloader: Reloader,
    tls: Arc<ServerTls>,
    issuing: Issuing,
}

impl Reloader {
    pub(crate) fn new(fixed: Fixed, tls: Arc<ServerTls>, issuing: Issuing) -> Self {
        Self {
            fixed: Arc::new(fixed),
            tls: Arc::new(ArcSwap::new(tls)),
            issuing: Arc::new(ArcSwap::from_pointee(issuing)),
            changing: Arc::default(),
        }
    }

    /// Checks another configuration. `listen`, `issuer` and `database` must be as they are.
    pub fn prepare(&self, config: Config) -> Result<Prepared, ReloadError> {
        let mut differ = Vec::new();
        if self.fixed.listen != config.listen {
            differ.push("listen");
        }
        if self.fixed.issuer != config.issuer {
            differ.push("issuer");
        }
        if self.fixed.database != config.database {
            differ.push("database");
        }
        if self.fixed.client_ca_pem != config.client_ca_pem {
            differ.push("client_ca");
        }
        if self.fixed.registration != config.registration {
            differ.push("registration");
        }
        if self.fixed.admin != config.admin {
            differ.push("admin");
        }
        if self.fixed.management != config.management {
            differ.push("management");
        }
        if !differ.is_empty() {
            return Err(ReloadError::NeedsRestart(differ));
        }
        if config.token_lifetime_secs == 0 {
            return Err(StartError::TokenLifetime.into());
        }
        if !config.signing_key.is_ready(now()) {
            return Err(StartError::NoHsm.into());
        }
        let tls = tls::server_config(&config.certificate_chain_pem, &config.private_key_pem)
            .map_err(StartError::Certificate)?;
        Ok(Prepared {
            reloader: self.clone(),
            tls,
            issuing: Issuing::new(config.signing_key, config.token_lifetime_secs),
        })
    }
}

impl Prepared {
    /// From now on: the certificate for new connections, signing key and lifetime for new tokens. A signing key that was replaced stays in
    /// the key set until the last of its tokens has run out.
    pub fn take_over(self) {
        let Self {
            reloader,
            tls,
            issuing,
        } = self;
        // It guards nothing that a panic could leave half done.
        let _one_at_a_time = reloader
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        reloader.tls.store(tls);
        let before = reloader.issuing.load_full();
        let next = issuing.after(&before, now());
        reloader.issuing.store(Arc::new(next));
    }
}
