//! What the authorization server remembers, in SQLite.

use std::path::Path;
use symbolon_ace_proto::{Jwk, PopAlgorithm, Scope, jwe::ContentKey};

/// The database. Cheap to clone; every call is one transaction.
#[derive(Clone, Debug)]
pub struct Store {}

/// Why the store cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is already one of this name; what and which.
    #[error("{0} {1:?} exists already")]
    Exists(&'static str, String),
    /// There is none of this name; what and which.
    #[error("there is no {0} {1:?}")]
    NotFound(&'static str, String),
    /// The database was written by a newer version.
    #[error("the database was written by a newer version of symbolon")]
    Newer,
    /// The database itself failed.
    #[error("database: {0}")]
    Database(String),
}

/// A registered client.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client identifier.
    pub client_id: String,
    /// How it authenticates to the token endpoint.
    pub authentication: ClientAuthentication,
    /// The algorithm of its proof-of-possession key.
    pub pop_algorithm: PopAlgorithm,
}

/// How a client authenticates to the token endpoint.
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// `client_secret_basic`: SHA-256 of the secret, which has 256 random bits.
    Secret {
        /// The digest.
        sha256: [u8; 32],
    },
    /// `private_key_jwt`: the public key.
    Key(Box<Jwk>),
}

/// A registered resource server: a broker.
#[derive(Clone, Debug)]
pub struct ResourceServer {
    /// The audience in its tokens.
    pub audience: String,
    /// The content key shared with it, for symmetric proof-of-possession keys.
    pub content_key: ContentKey,
    /// `rs_cnf` for clients: `{"x5t#S256": "..."}` of its certificate, or absent.
    pub rs_cnf: Option<serde_json::Value>,
}

/// A policy: a client may do this on these filters at this audience.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Given by the store; 0 in a new one.
    pub id: i64,
    /// Which client.
    pub client_id: String,
    /// At which resource server.
    pub audience: String,
    /// A Topic Filter template: `${client_id}` stands for the client's identifier.
    pub filter: String,
    /// May publish.
    pub publish: bool,
    /// May subscribe.
    pub subscribe: bool,
    /// The longest life of a token that uses it, seconds; the server's own where absent.
    pub token_lifetime_secs: Option<u64>,
}

#[expect(clippy::unused_async, reason = "bodies follow")]
impl Store {
    /// Opens the file, makes it (mode 0600) where there is none, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let _ = path;
        todo!()
    }

    /// Registers a client with its policies, all or nothing.
    pub async fn add_client(&self, client: &Client, policies: &[Policy]) -> Result<(), StoreError> {
        let _ = (client, policies);
        todo!()
    }

    /// One client.
    pub async fn client(&self, client_id: &str) -> Result<Option<Client>, StoreError> {
        let _ = client_id;
        todo!()
    }

    /// All clients, by name.
    pub async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        todo!()
    }

    /// Removes a client and its policies.
    pub async fn remove_client(&self, client_id: &str) -> Result<(), StoreError> {
        let _ = client_id;
        todo!()
    }

    /// Adds a policy; its identifier.
    pub async fn add_policy(&self, policy: &Policy) -> Result<i64, StoreError> {
        let _ = policy;
        todo!()
    }

    /// Policies, of one client or of all.
    pub async fn policies(&self, client_id: Option<&str>) -> Result<Vec<Policy>, StoreError> {
        let _ = client_id;
        todo!()
    }

    /// Removes a policy.
    pub async fn remove_policy(&self, id: i64) -> Result<(), StoreError> {
        let _ = id;
        todo!()
    }

    /// Registers a resource server, or replaces the one with this audience.
    pub async fn put_resource_server(&self, server: &ResourceServer) -> Result<(), StoreError> {
        let _ = server;
        todo!()
    }

    /// All resource servers, by audience.
    pub async fn resource_servers(&self) -> Result<Vec<ResourceServer>, StoreError> {
        todo!()
    }

    /// What a client may do at an audience, `${client_id}` filled in.
    pub async fn scope_of(&self, client_id: &str, audience: &str) -> Result<Scope, StoreError> {
        let _ = (client_id, audience);
        todo!()
    }
}
