//! What the authorization server remembers, in SQLite. Several processes may use one file at a time: what one writes, the next call of
//! every other sees.

mod rules;
mod schema;
mod sqlite;

pub use crate::core::{
    audit::{AuditDamage, AuditMark, AuditOutcome, AuditRecord},
    policy::{
        explanation::{Standing, Verdict},
        plan::{Desired, Group, Loss, Plan},
        rule::{Effect, Policy, Subject, Validity},
    },
};
pub use rules::{Considered, Explanation, Owner, Tree};

use crate::core::policy::ClientId;
use sqlite::Sqlite;
use std::path::Path;
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopKey, Scope, jwe::ContentKey};

/// The database. Cheap to clone; every call is one transaction.
#[derive(Clone, Debug)]
pub struct Store {
    database: Sqlite,
}

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
    /// A value that must not be stored; what, which and why.
    #[error("{0} {1:?} is refused: {2}")]
    Invalid(&'static str, String, String),
    /// The client, or the group, has [`Store::MAX_POLICIES_PER_CLIENT`] policies already.
    #[error(
        "{0:?} would have more than {max} policies",
        max = Store::MAX_POLICIES_PER_CLIENT
    )]
    TooManyPolicies(String),
    /// The client is in [`Store::MAX_GROUPS_PER_CLIENT`] groups already.
    #[error(
        "client {0:?} would be in more than {max} groups",
        max = Store::MAX_GROUPS_PER_CLIENT
    )]
    TooManyGroups(String),
    /// An owner grants outside of what they own; who, and what.
    #[error("owner {0:?} does not own all of {1:?}")]
    NotOwned(String, String),
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
    /// The client identifier: 1 to 256 printable ASCII characters without space, `/`, `+` and `#`, not beginning with `$`, since it may
    /// become a topic level.
    pub client_id: String,
    /// How it authenticates to the token endpoint.
    pub authentication: ClientAuthentication,
    /// The algorithm of its proof-of-possession key.
    pub pop_algorithm: PopAlgorithm,
}

/// How a client authenticates to the token endpoint. `Debug` does not show the digest.
#[derive(Clone)]
pub enum ClientAuthentication {
    /// `client_secret_basic`: SHA-256 of the secret, which has 256 random bits.
    Secret {
        /// The digest of the secret's text, as the client sends it.
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
    /// `rs_cnf` for clients: `{"x5t#S256": "..."}` of its certificate, or absent. Clients with a symmetric key never see it (RFC 9201 §3.2).
    pub rs_cnf: Option<serde_json::Value>,
}

impl std::fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret { .. } => f.write_str("Secret(..)"),
            Self::Key(jwk) => f.debug_tuple("Key").field(jwk).finish(),
        }
    }
}

impl ClientAuthentication {
    /// For a client with this secret; only its SHA-256 is kept. The secret must have 256 random bits: the digest is not stretched.
    pub fn from_secret(secret: &str) -> Self {
        Self::Secret {
            sha256: sha256_of(secret.as_bytes()),
        }
    }
}

/// The digest under which a secret is stored and compared.
pub(crate) fn sha256_of(secret: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

impl Store {
    /// The most policies of one client or group, so that all it may do fits a scope.
    pub const MAX_POLICIES_PER_CLIENT: usize = Scope::MAX_ENTRIES;
    /// The most records of the audit log; past it the oldest tenth goes.
    pub const MAX_AUDIT_RECORDS: u64 = 1_000_000;
    /// The longest audience, bytes.
    pub const MAX_AUDIENCE_BYTES: usize = 1024;

    /// Opens the file, makes it (mode 0600) where there is none, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Sqlite::open(path).await?;
        Ok(Self { database })
    }

    /// For whoever changes something by it: the name that the audit log gets, as `cli root`.
    #[must_use]
    pub fn acting_as(mut self, actor: &str) -> Self {
        self.database.set_actor(actor);
        self
    }

    /// The same with another bound on the records of the audit log: past it the oldest tenth goes.
    #[must_use]
    pub fn with_audit_records(mut self, most: u64) -> Self {
        self.database.set_audit_records(most);
        self
    }

    /// Closes it, which also folds SQLite's `-wal` file into the database file where nobody else has it open.
    pub async fn close(self) {
        self.database.close().await;
    }

    /// Registers a client with its policies, all or nothing.
    pub async fn add_client(&self, client: &Client, policies: &[Policy]) -> Result<(), StoreError> {
        let client_id = client_id_of(&client.client_id)?;
        let client = Client {
            authentication: storable(&client.authentication, client_id)?,
            ..client.clone()
        };
        for policy in policies {
            if policy.subject != Subject::Client(client.client_id.clone()) {
                return Err(StoreError::Invalid(
                    "policy",
                    policy.filter.clone(),
                    "it is for another client".to_owned(),
                ));
            }
            rules::check_policy(policy)?;
        }
        self.database.add_client(&client, policies).await
    }

    /// One client.
    pub async fn client(&self, client_id: &str) -> Result<Option<Client>, StoreError> {
        self.database.client(client_id).await
    }

    /// All clients, by name.
    pub async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        self.database.clients().await
    }

    /// Removes a client and its policies.
    pub async fn remove_client(&self, client_id: &str) -> Result<(), StoreError> {
        self.database.remove_client(client_id).await
    }

    /// Registers a resource server, or replaces the one with this audience.
    pub async fn put_resource_server(&self, server: &ResourceServer) -> Result<(), StoreError> {
        check_resource_server(server)?;
        self.database.put_resource_server(server).await
    }

    /// All resource servers, by audience.
    pub async fn resource_servers(&self) -> Result<Vec<ResourceServer>, StoreError> {
        self.database.resource_servers(i64::MAX).await
    }

    /// The resource server with this audience; without one, the only registered one, or two of more.
    pub(crate) async fn resource_servers_for(
        &self,
        audience: Option<&str>,
    ) -> Result<Vec<ResourceServer>, StoreError> {
        match audience {
            Some(audience) => self.database.resource_server(audience).await,
            None => self.database.resource_servers(2).await,
        }
    }
}

fn client_id_of(text: &str) -> Result<ClientId<'_>, StoreError> {
    ClientId::parse(text).map_err(|error| {
        StoreError::Invalid("client identifier", text.to_owned(), error.to_string())
    })
}

/// The authentication as it is kept: of a key, the public members and nothing else, so that a private key given by mistake is not stored.
fn storable(
    authentication: &ClientAuthentication,
    client_id: ClientId<'_>,
) -> Result<ClientAuthentication, StoreError> {
    let jwk = match authentication {
        ClientAuthentication::Secret { .. } => return Ok(authentication.clone()),
        ClientAuthentication::Key(jwk) => jwk,
    };
    let refused =
        |why: String| StoreError::Invalid("key of client", client_id.as_str().to_owned(), why);
    let key = PopKey::from_jwk(jwk).map_err(|error| refused(error.to_string()))?;
    match key.algorithm() {
        PopAlgorithm::Hs256 => Err(refused("a client assertion needs a key pair".to_owned())),
        PopAlgorithm::EdDsa | PopAlgorithm::Es256 => {
            Ok(ClientAuthentication::Key(Box::new(key.to_jwk())))
        }
    }
}

fn check_resource_server(server: &ResourceServer) -> Result<(), StoreError> {
    let refused = |why: &str| {
        Err(StoreError::Invalid(
            "resource server",
            server.audience.clone(),
            why.to_owned(),
        ))
    };
    if server.audience.is_empty() || server.audience.len() > Store::MAX_AUDIENCE_BYTES {
        return refused("an audience has 1 to 1024 bytes");
    }
    if server.audience.chars().any(char::is_control) {
        return refused("an audience has no control characters");
    }
    if server.content_key.key.as_bytes().len() != 32 {
        return refused("a content key has 32 bytes");
    }
    match &server.rs_cnf {
        Some(rs_cnf) if !rs_cnf.is_object() => refused("rs_cnf is a JSON object"),
        Some(_) | None => Ok(()),
    }
}
