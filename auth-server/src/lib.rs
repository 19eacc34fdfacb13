//! The authorization server of RFC 9200 for MQTT (RFC 9431): it knows clients, resource servers and policies, and issues tokens.
//!
//! | module | holds |
//! |---|---|
//! | [`Config`], [`AuthServer`] | start it, stop it |
//! | [`store`] | clients, resource servers, policies in SQLite |
//! | `core/` | decides: authenticate, policy, possession, grant |
//! | `http` | the endpoints, moves bytes |
//! | `listener`, `tls` | connections |
//! | [`import`] | what other brokers' files say of clients and rights |
//! | `issuer` | the URLs of the endpoints |
//! | `issuing` | what tokens are signed with |
//! | [`KeyRing`] | signing keys by time |
//! | [`pkcs11`] | signing keys in hardware |
//! | [`Reloader`] | another configuration while it runs |

use crate::core::authenticate::{AuthenticationRules, Decoys};
use std::{future::Future, hash::RandomState, net::SocketAddr, path::PathBuf, sync::Arc};
use symbolon_ace_proto::{PopAlgorithm, PopSigner};
use tokio::net::TcpListener;

mod core;
mod http;
pub mod import;
mod issuer;
mod issuing;
mod key_ring;
mod listener;
pub mod pkcs11;
mod reload;
pub mod store;
mod tls;

pub use issuer::IssuerError;
pub use key_ring::{KeyRing, KeyRingError, KeyState, NextKey, RingKey};
pub use reload::{Prepared, ReloadError, Reloader};

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
    /// The database file.
    pub database: PathBuf,
    /// The keys that sign tokens, each in its time.
    pub signing_key: KeyRing,
    /// The longest life of a token, seconds, at least 1; policies may shorten it.
    pub token_lifetime_secs: u64,
    /// Clients may register themselves with an initial access token (RFC 7591), below the issuer at `/register`. Without such a token nobody
    /// can.
    pub registration: bool,
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
        let store = store::Store::open(&config.database).await?;
        let refused = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
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
        })
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
        let router = http::router(Arc::clone(&self.endpoints));
        let limits = listener::Limits::SERVER;
        let endpoints = Arc::clone(&self.endpoints);
        let shutdown = async move {
            shutdown.await;
            endpoints.close();
        };
        tokio::select! {
            () = listener::serve(self.listener, self.reloader.tls, router, limits, shutdown) => {}
            () = self.endpoints.sweep() => {}
        }
        self.store.close().await;
    }
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
