//! What the authorization server remembers, in SQLite or PostgreSQL. Several processes may use one database at a time: what one writes, the
//! next call of every other sees.
//!
//! | module | holds |
//! |---|---|
//! | `accounts` | who administers |
//! | `location` | where the database is |
//! | `authentication` | how clients and resource servers prove who they are |
//! | `pages` | long lists, a part at a time |
//! | `shared_keys` | keys shared with resource servers, while they rotate |
//! | `resource_server` | resource servers and the kinds of their tokens |
//! | `times` | how long changes take |
//! | `token` | tokens that were issued, refresh tokens, the token revocation list |
//! | `snapshot` | what tokens are decided by, read once |
//! | `issuance` | tokens that are stored together |
//! | `registration` | initial access tokens, and clients that register themselves |
//! | `rules` | rules, groups, resource owners, the audit log |
//! | `schema`, `database` | the database |

mod accounts;
mod authentication;
mod database;
mod issuance;
mod location;
mod pages;
mod registration;
mod resource_server;
mod rules;
mod schema;
mod shared_keys;
mod snapshot;
mod times;
mod token;

pub use accounts::{Account, NewAccount, PasswordHash, Role};
pub use authentication::{CertificateName, CertificateNameError, ClientAuthentication};
pub(crate) use issuance::Remembered;
pub use location::{Location, LocationError, PostgresUrl};
pub(crate) use pages::Selection;
pub use registration::{
    Admission, Allowance, InitialAccessToken, NewInitialAccessToken, NewName, Secret,
};
pub(crate) use registration::{NewRegistration, Registration, SUFFIX_CHARACTERS, Update};
pub use resource_server::{
    Lifetime, Protection, ResourceServer, ServerAccess, SymmetricKeys, TokenFormat, TokenKind,
};
pub use shared_keys::{NextSharedKey, Rotation};
pub(crate) use snapshot::{Registered, Snapshot};
pub(crate) use times::DatabaseTimes;
pub use token::{IssuedToken, Revocation};
pub(crate) use token::{
    ListUpdate, NewRefreshToken, NewToken, Refresh, RefreshGrant, Requester, StoredToken, Swept,
};

pub use crate::core::{
    audit::{AuditDamage, AuditMark, AuditOutcome, AuditRecord},
    policy::{
        explanation::{Standing, Verdict},
        plan::{Desired, Group, Loss, Plan},
        rule::{Effect, Policy, Subject, Validity},
    },
    shared_keys::{KeyPurpose, SharedKey, SharedKeyError, SharedKeyRing},
};
pub use rules::{Considered, Explanation, Owner, Tree};

use crate::{core::policy::ClientId, issuing::now};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use database::Database;
use issuance::Issuance;
use std::{path::Path, sync::Arc};
use symbolon_ace_proto::{PopAlgorithm, Scope, TokenHash, UnixTime, cwt, token::Form};

/// The database. Cheap to clone; every call is one transaction.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    issuance: Arc<Issuance>,
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
    /// The database is not reached, or too busy; the same may go well in a moment.
    #[error("the database is not available: {0}")]
    Unavailable(String),
}

impl StoreError {
    /// When it is worth another try after [`StoreError::Unavailable`], seconds.
    pub(crate) const RETRY_AFTER_SECS: u64 = 1;
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
    /// It gets refresh tokens (RFC 9200 §5.8.2).
    pub refresh_tokens: bool,
}

/// The digest under which a secret is stored and compared.
pub(crate) fn sha256_of(secret: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl Store {
    /// The most policies of one client or group, so that all it may do fits a scope.
    pub const MAX_POLICIES_PER_CLIENT: usize = Scope::MAX_ENTRIES;
    /// The most records of the audit log; past it the oldest tenth goes.
    pub const MAX_AUDIT_RECORDS: u64 = 1_000_000;
    /// The longest audience, bytes.
    pub const MAX_AUDIENCE_BYTES: usize = 1024;
    /// The most tokens of one client that are good at a time; further ones are refused.
    pub const MAX_TOKENS_PER_CLIENT: usize = 4096;
    /// The most refresh tokens of one client, exchanged ones included; those that expire first go.
    pub const MAX_REFRESH_TOKENS_PER_CLIENT: usize = 1024;
    /// How many updates to the token revocation list are kept for each who may ask: `MAX_N` of RFC 9770.
    pub const MAX_LIST_UPDATES: usize = 128;
    /// The most resource servers in one audience.
    pub const MAX_GROUP_MEMBERS: usize = 64;

    /// Opens the file, makes it (mode 0600) where there is none, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_at(&path.into()).await
    }

    /// The same wherever the database is. A database of PostgreSQL must be there; our tables are made where it has none.
    pub async fn open_at(location: &Location) -> Result<Self, StoreError> {
        let database = Database::open(location).await?;
        let issuance = Arc::default();
        Ok(Self { database, issuance })
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

    /// Copies all that there is at one moment into a new file of mode 0600, while others read and write. It is a file of SQLite whatever the
    /// database is.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.database.backup(to).await
    }

    /// Makes a copy ready to take the place of the original; fails where it is not sound. Sequence numbers of tokens jump, so that none is
    /// used twice.
    pub async fn revive(&self) -> Result<(), StoreError> {
        self.database.revive().await
    }

    /// Fills this database, which must be empty, with all that is in another: of the two one is a file. So a copy gets into PostgreSQL.
    pub async fn take_over(&self, copy: &Self) -> Result<(), StoreError> {
        self.database.fill_from(&copy.database).await
    }

    /// Registers a client with its policies, all or nothing.
    pub async fn add_client(&self, client: &Client, policies: &[Policy]) -> Result<(), StoreError> {
        let client_id = client_id_of(&client.client_id)?;
        let client = Client {
            authentication: client.authentication.storable(client_id.as_str())?,
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
        if is_nowhere(client_id) {
            return Ok(None);
        }
        self.database.client(client_id).await
    }

    /// All clients, by name.
    pub async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        self.database.clients().await
    }

    /// Removes a client and its policies, and revokes its tokens.
    pub async fn remove_client(&self, client_id: &str, now: UnixTime) -> Result<(), StoreError> {
        self.database.remove_client(client_id, now).await
    }

    /// Registers a resource server, or replaces the one with this audience; its sequence numbers go on.
    pub async fn put_resource_server(&self, server: &ResourceServer) -> Result<(), StoreError> {
        let server = server.storable()?;
        let groups = self.database.audience_groups().await?;
        if groups.iter().any(|(name, _)| *name == server.audience) {
            return Err(StoreError::Exists("audience group", server.audience));
        }
        if groups.iter().any(|(_, member)| *member == server.audience) {
            server.may_share_an_audience().map_err(|why| {
                StoreError::Invalid("resource server", server.audience.clone(), why.to_owned())
            })?;
        }
        self.database.put_resource_server(&server).await
    }

    /// All resource servers, by audience.
    pub async fn resource_servers(&self) -> Result<Vec<ResourceServer>, StoreError> {
        let servers = self.database.resource_servers(i64::MAX).await?;
        self.settle(servers, now()).await
    }

    /// One resource server.
    pub async fn resource_server(
        &self,
        audience: &str,
    ) -> Result<Option<ResourceServer>, StoreError> {
        let named = self.database.resource_servers_named(audience).await?;
        let named = self.settle(named, now()).await?;
        Ok(named.into_iter().find(|one| one.audience == audience))
    }

    /// Removes a resource server with its policies. Tokens for it run out in their time.
    pub async fn remove_resource_server(&self, audience: &str) -> Result<(), StoreError> {
        self.database.remove_resource_server(audience).await
    }

    /// Makes an audience that stands for several resource servers, or adds to it (RFC 9200 §6.9).
    pub async fn add_to_audience_group(
        &self,
        name: &str,
        members: &[String],
    ) -> Result<(), StoreError> {
        let refused =
            |why: &str| StoreError::Invalid("audience group", name.to_owned(), why.to_owned());
        resource_server::check_audience(name).map_err(refused)?;
        let known = self.database.audience_groups().await?;
        let before = known.iter().filter(|(group, _)| group == name).count();
        if before.saturating_add(members.len()) > Self::MAX_GROUP_MEMBERS {
            return Err(refused("a group has at most 64 members"));
        }
        for member in members {
            let server = self.resource_server(member).await?;
            let server =
                server.ok_or_else(|| StoreError::NotFound("resource server", member.clone()))?;
            server.may_share_an_audience().map_err(refused)?;
        }
        self.database.add_to_audience_group(name, members).await
    }

    /// Removes such an audience; its resource servers stay.
    pub async fn remove_audience_group(&self, name: &str) -> Result<(), StoreError> {
        self.database.remove_audience_group(name).await
    }

    /// The names of all such audiences with a member each, in their order.
    pub async fn audience_groups(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.database.audience_groups().await
    }

    /// The tokens that have not expired, of one client or of all.
    pub async fn tokens(
        &self,
        client_id: Option<&str>,
        now: UnixTime,
    ) -> Result<Vec<IssuedToken>, StoreError> {
        self.database.tokens(client_id, now).await
    }

    /// Revokes tokens; how many that were good until now.
    pub async fn revoke(&self, which: &Revocation, now: UnixTime) -> Result<u64, StoreError> {
        self.database.revoke(which, now).await
    }

    /// The digest under which a token is remembered: of the token as it reaches the resource server, a CWT with tag 61.
    pub fn token_sha256(token: &[u8]) -> [u8; 32] {
        if Form::of(token) == Some(Form::Cwt) {
            sha256_of(&cwt::with_tag(token))
        } else {
            sha256_of(token)
        }
    }

    /// The resource server with this audience, or those of the group of this name; without one, the only registered one, or two of more.
    pub(crate) async fn resource_servers_for(
        &self,
        audience: Option<&str>,
    ) -> Result<Vec<ResourceServer>, StoreError> {
        let servers = match audience {
            Some(audience) if is_nowhere(audience) => Ok(Vec::new()),
            Some(audience) => self.database.resource_servers_named(audience).await,
            None => self.database.resource_servers(2).await,
        };
        self.settle(servers?, now()).await
    }

    /// The resource server that authenticates by this identifier.
    pub(crate) async fn resource_server_of(
        &self,
        client_id: &str,
    ) -> Result<Option<ResourceServer>, StoreError> {
        if is_nowhere(client_id) {
            return Ok(None);
        }
        let server = self.database.resource_server_of(client_id).await?;
        let settled = self.settle(server.into_iter().collect(), now()).await?;
        Ok(settled.into_iter().next())
    }

    /// The next sequence number of a token with `exi` for this resource server; never the same twice.
    pub(crate) async fn next_sequence_number(&self, audience: &str) -> Result<u64, StoreError> {
        self.database.next_sequence_number(audience).await
    }

    /// How often the token revocation list has changed, by whatever process.
    pub(crate) async fn list_number(&self) -> Result<i64, StoreError> {
        self.database.list_number().await
    }

    /// Remembers the mark of an identifier until `expires_at`, that second included; `false` where it was seen before, by whatever process.
    pub(crate) async fn see(
        &self,
        mark: &[u8; 16],
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        self.database.see(mark, expires_at, now).await
    }

    /// The token with this digest, expired or not.
    pub(crate) async fn token(&self, sha256: &[u8; 32]) -> Result<Option<StoredToken>, StoreError> {
        self.database.token(sha256).await
    }

    /// What the newest good token of a client with a key of this name says, in JSON.
    pub(crate) async fn answer_for_key(
        &self,
        (client_id, audience): (&str, &str),
        kid: &[u8],
        now: UnixTime,
    ) -> Result<Option<String>, StoreError> {
        self.database
            .answer_for_key(client_id, audience, kid, now)
            .await
    }

    pub(crate) async fn add_refresh_token(
        &self,
        token: &NewRefreshToken<'_>,
    ) -> Result<(), StoreError> {
        self.database.add_refresh_token(token).await
    }

    /// What a client's refresh token stands for; a replayed one takes its family with it.
    pub(crate) async fn refresh_token(
        &self,
        sha256: &[u8; 32],
        client_id: &str,
        now: UnixTime,
    ) -> Result<Refresh, StoreError> {
        self.database.refresh_token(sha256, client_id, now).await
    }

    /// Puts `next` in the place of the one with the digest `before`; `false` where that was exchanged meanwhile.
    pub(crate) async fn rotate_refresh_token(
        &self,
        before: &[u8; 32],
        next: &NewRefreshToken<'_>,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        self.database.rotate_refresh_token(before, next, now).await
    }

    /// Revokes a client's refresh token with all of its family; whether there was one.
    pub(crate) async fn revoke_refresh_token(
        &self,
        sha256: &[u8; 32],
        client_id: &str,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let Some(family) = self.database.family_of(sha256, client_id).await? else {
            return Ok(false);
        };
        self.database.revoke_family(&family, now).await?;
        Ok(true)
    }

    /// The tokens on the token revocation list that this requester may see.
    pub(crate) async fn revoked(
        &self,
        requester: Requester<'_>,
        now: UnixTime,
    ) -> Result<Vec<TokenHash>, StoreError> {
        self.database.revoked(requester, now).await
    }

    /// The last updates of that part, the newest first.
    pub(crate) async fn list_updates(
        &self,
        requester: Requester<'_>,
    ) -> Result<Vec<ListUpdate>, StoreError> {
        self.database.list_updates(requester).await
    }

    /// The number of the last of them.
    pub(crate) async fn last_list_update(
        &self,
        requester: Requester<'_>,
    ) -> Result<Option<u64>, StoreError> {
        self.database.last_list_update(requester).await
    }

    /// Forgets tokens that have expired, a part at a time.
    pub(crate) async fn sweep(&self, now: UnixTime) -> Result<Swept, StoreError> {
        const SWEPT_AT_ONCE: i64 = 1000;
        let swept = self.database.sweep(now).await?;
        let initial = self
            .database
            .sweep_initial_access_tokens(now, SWEPT_AT_ONCE)
            .await?;
        Ok(Swept {
            more: swept.more || initial,
            ..swept
        })
    }
}

impl StoreError {
    /// The same, for another of those whom it befell.
    fn again(&self) -> Self {
        match self {
            Self::Unavailable(why) => Self::Unavailable(why.clone()),
            Self::Database(why) => Self::Database(why.clone()),
            Self::Exists(..)
            | Self::NotFound(..)
            | Self::Invalid(..)
            | Self::TooManyPolicies(_)
            | Self::TooManyGroups(_)
            | Self::NotOwned(..)
            | Self::Newer => Self::Database(self.to_string()),
        }
    }
}

/// Whether a text stands nowhere in the database: no name has U+0000 in it, and PostgreSQL takes no such text, not even to look for it.
fn is_nowhere(text: &str) -> bool {
    text.contains('\0')
}

fn client_id_of(text: &str) -> Result<ClientId<'_>, StoreError> {
    ClientId::parse(text).map_err(|error| {
        StoreError::Invalid("client identifier", text.to_owned(), error.to_string())
    })
}
