//! The authorization server of RFC 9200 for MQTT (RFC 9431): it knows clients, resource servers and policies, and issues tokens.
//!
//! | module | holds |
//! |---|---|
//! | [`Config`], [`AuthServer`] | start it, stop it |
//! | [`store`] | clients, resource servers, policies in SQLite |
//! | `core/` | decides: authenticate, policy, grant |
//! | `http` | the endpoints, moves bytes |

use std::{future::Future, net::SocketAddr, path::PathBuf};
use symbolon_ace_proto::SigningKey;

pub mod store;

/// Everything the authorization server is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Where HTTPS listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The issuer identifier, an `https` URL without query and fragment (RFC 8414 §2).
    pub issuer: String,
    /// The certificate chain, PEM, leaf first.
    pub certificate_chain_pem: String,
    /// Its private key, PEM.
    pub private_key_pem: String,
    /// The database file.
    pub database: PathBuf,
    /// The key that signs tokens.
    pub signing_key: SigningKey,
    /// The longest life of a token, seconds; policies and clients may shorten it.
    pub token_lifetime_secs: u64,
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
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// A bound authorization server.
#[derive(Debug)]
pub struct AuthServer {}

impl AuthServer {
    /// Opens the database, binds the address, loads the certificate. Connections wait until [`AuthServer::serve`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let _ = config;
        todo!()
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// Serves until `shutdown` is done, then lets running requests finish within a limit.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let _ = shutdown;
        todo!()
    }
}
