//! The authorization server of RFC 9200 for MQTT (RFC 9431): it knows clients, resource servers and policies, and issues tokens.
//!
//! | module | holds |
//! |---|---|
//! | [`Config`], [`AuthServer`] | start it, stop it |
//! | [`store`] | clients, resource servers, policies in SQLite or PostgreSQL |
//! | [`admin`] | the administration API |
//! | `core/` | decides: authenticate, policy, possession, grant |
//! | `http` | the endpoints, moves bytes |
//! | `listener`, `tls` | connections |
//! | [`import`] | what other brokers' files say of clients and rights |
//! | `issuer` | the URLs of the endpoints |
//! | `issuing` | what tokens are signed with |
//! | `management`, `metrics` | health and numbers |
//! | [`KeyRing`] | signing keys by time |
//! | [`pkcs11`] | signing keys in hardware |
//! | [`Reloader`] | another configuration while it runs |

use crate::core::authenticate::{AuthenticationRules, Decoys};
use std::{future::Future, hash::RandomState, net::SocketAddr, sync::Arc};
use symbolon_ace_proto::{PopAlgorithm, PopSigner};
use tokio::{net::TcpListener, sync::watch};

pub mod admin;
mod config;
mod core;
mod http;
pub mod import;
mod issuer;
mod issuing;
mod key_ring;
mod listener;
mod management;
mod metrics;
pub mod pkcs11;
mod reload;
pub mod store;
mod tls;

pub use config::{AdminConfig, ManagementConfig};
pub use issuer::IssuerError;
pub use key_ring::{KeyRing, KeyRingError, KeyState, NextKey, RingKey};
pub use reload::{Prepared, ReloadError, Reloader};

/// How long a token with `exi` is remembered beyond its span, seconds: whoever shows it to its resource server for the first time later than
/// that can use it, and it cannot be revoked or asked about any more.
pub(crate) const EXI_KEPT_SECS: u64 = 30 * 24 * 3600;

/// Everything the authorization server is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Where HTTPS listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The issuer identifier, an `https` URL without query and fragment (RFC 8414 §2). The endpoints are below it: `/token`, `/introspect`,
    /// `/revoke`, `/trl`, `/jwks.json`, `/cose-keys`.
    pub issuer: String,
    /// The certificate chain, PEM, leaf first.
    pub certificate_chain_pem: String,
    /// Its private key, PEM.
    pub private_key_pem: String,
    /// Whose certificates are believed where a client authenticates by a name in one (`tls_client_auth`), PEM; nobody's where absent.
    pub client_ca_pem: Option<String>,
    /// Where the database is.
    pub database: store::Location,
    /// The keys that sign tokens, each in its time.
    pub signing_key: KeyRing,
    /// The longest life of a token, seconds, at least 1; policies may shorten it.
    pub token_lifetime_secs: u64,
    /// Clients may register themselves with an initial access token (RFC 7591), below the issuer at `/register`. Without such a token nobody
    /// can.
    pub registration: bool,
    /// The administration API over HTTPS; absent: it is for programs on this machine alone, by [`admin::LocalApi`].
    pub admin: Option<AdminConfig>,
    /// Health and metrics; absent: there is no such listener.
    pub management: Option<ManagementConfig>,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Certificate or key are refused.
    #[error("certificate or key refused: {0}")]
    Certificate(String),
    /// The issuer identifier is refused.
    #[error("issuer {0:?} refused: {1}")]
    Issuer(String, IssuerError),
    /// The administration API would stand where the issuer's endpoints are.
    #[error("the issuer's path lies within {path}, where the administration API is: give it a listener of its own", path = admin::model::PATH)]
    AdminPath,
    /// Health and metrics outside of loopback.
    #[error("management listener {0}: outside loopback it needs insecure = true")]
    Plaintext(SocketAddr),
    /// The token lifetime is 0 seconds.
    #[error("a token lifetime of 0 seconds makes tokens that are never valid")]
    TokenLifetime,
    /// Keys of the ring are in a token, and no [`Hsm`](pkcs11::Hsm) is attached.
    #[error("keys of the ring are in a PKCS #11 token, and no module is named")]
    NoHsm,
    /// The system's source of random numbers failed.
    #[error("cannot make a key: {0}")]
    Random(symbolon_ace_proto::PopError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// A bound authorization server.
#[derive(Debug)]
pub struct AuthServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    reloader: Reloader,
    store: store::Store,
    endpoints: Arc<http::Endpoints>,
    administration: Administration,
    management: Option<(SocketAddr, TcpListener)>,
}

/// Where the administration API is served.
#[derive(Debug)]
enum Administration {
    /// Nowhere.
    Absent,
    /// With the endpoints.
    Beside,
    /// On a listener of its own.
    Own(SocketAddr, TcpListener),
}

impl AuthServer {
    /// Opens the database, binds the address, loads the certificate. Connections wait until [`AuthServer::serve`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let issuer = issuer::Issuer::parse(&config.issuer)
            .map_err(|error| StartError::Issuer(config.issuer.clone(), error))?;
        if config.token_lifetime_secs == 0 {
            return Err(StartError::TokenLifetime);
        }
        if !config.signing_key.is_ready(issuing::now()) {
            return Err(StartError::NoHsm);
        }
        let tls = tls::server_config(&config.certificate_chain_pem, &config.private_key_pem)
            .map_err(StartError::Certificate)?;
        let store = store::Store::open_at(&config.database).await?;
        let refused = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let administration = administration(config.admin, &issuer).await?;
        let management = match config.management {
            Some(management) => Some(management::bind(management).await?),
            None => None,
        };
        let authorities = config.client_ca_pem.as_deref();
        let authorities = authorities.map(tls::CertificateAuthorities::parse);
        let rules = AuthenticationRules {
            audiences: [issuer.as_str().to_owned(), issuer.token_endpoint()],
            decoys: decoys().map_err(StartError::Random)?,
            certificate_authorities: authorities.transpose().map_err(StartError::Certificate)?,
        };
        let issuing = issuing::Issuing::new(config.signing_key, config.token_lifetime_secs);
        let fixed = reload::Fixed {
            listen: config.listen,
            issuer: config.issuer,
            database: config.database,
            client_ca_pem: config.client_ca_pem,
            registration: config.registration,
            admin: config.admin,
            management: config.management,
        };
        let reloader = Reloader::new(fixed, tls, issuing);
        let issuing = Arc::clone(&reloader.issuing);
        let endpoints = http::Endpoints::new(store.clone(), issuer, issuing, rules)
            .with_registration(config.registration);
        Ok(Self {
            listener,
            local_addr,
            reloader,
            store,
            endpoints: Arc::new(endpoints),
            administration,
            management,
        })
    }

    /// Where the administration API listens, if it has a listener of its own.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        match &self.administration {
            Administration::Own(address, _) => Some(*address),
            Administration::Absent | Administration::Beside => None,
        }
    }

    /// Where health and metrics are, if they are.
    pub fn management_addr(&self) -> Option<SocketAddr> {
        self.management.as_ref().map(|(address, _)| *address)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// For changing its configuration while it serves.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown` is done, then lets running requests finish for 10 seconds.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let metrics = Arc::clone(&self.endpoints.metrics);
        let served = |router| listener::Served {
            router,
            connections: metrics.connections.clone(),
        };
        let api = admin::Administration::new(self.store.clone(), self.endpoints.changes());
        let api = admin::router(&api.counted_by(Arc::clone(&metrics)));
        let mut router = http::router(Arc::clone(&self.endpoints));
        let mut own = None;
        match self.administration {
            Administration::Absent => {}
            Administration::Beside => router = router.merge(api),
            Administration::Own(_, listener) => own = Some((listener, api)),
        }
        let (stop, stopped) = watch::channel(());
        let endpoints = Arc::clone(&self.endpoints);
        let shutdown = async move {
            shutdown.await;
            endpoints.close();
            stop.send_replace(());
        };
        let tls = &self.reloader.tls;
        let limits = listener::Limits::SERVER;
        let endpoints = served(router);
        let endpoints =
            listener::serve(self.listener, Arc::clone(tls), endpoints, limits, shutdown);
        let administration = async {
            let Some((listener, api)) = own else {
                return;
            };
            let limits = listener::Limits::ADMINISTRATION;
            let mut stopped = stopped;
            let stopped = async move {
                // That the sender is gone means the same.
                drop(stopped.changed().await);
            };
            listener::serve(listener, Arc::clone(tls), served(api), limits, stopped).await;
        };
        let management = async {
            let Some((_, listener)) = self.management else {
                return std::future::pending().await;
            };
            let store = self.store.clone();
            let metrics = Arc::clone(&self.endpoints.metrics);
            let management = management::Management { store, metrics };
            Arc::new(management).serve(listener).await;
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(endpoints, administration) } => {}
            () = self.endpoints.sweep() => {}
            () = self.endpoints.watch_others() => {}
            () = management => {}
        }
        self.store.close().await;
    }
}

async fn administration(
    config: Option<AdminConfig>,
    issuer: &issuer::Issuer,
) -> Result<Administration, StartError> {
    let address = match config {
        None => return Ok(Administration::Absent),
        Some(AdminConfig { listen: None }) if issuer.is_within(admin::model::PATH) => {
            return Err(StartError::AdminPath);
        }
        Some(AdminConfig { listen: None }) => return Ok(Administration::Beside),
        Some(AdminConfig {
            listen: Some(address),
        }) => address,
    };
    let refused = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let local_addr = listener.local_addr().map_err(refused)?;
    Ok(Administration::Own(local_addr, listener))
}

fn decoys() -> Result<Decoys, symbolon_ace_proto::PopError> {
    let public_key = |algorithm| Ok(PopSigner::generate(algorithm)?.verifying_key());
    Ok(Decoys {
        keys: [
            public_key(PopAlgorithm::EdDsa)?,
            public_key(PopAlgorithm::Es256)?,
        ],
        choice: RandomState::new(),
    })
}
