//! What the authorization server remembers, in SQLite. Several processes may use one file at a time: what one writes, the next call of
//! every other sees.

//!
//! | module | holds |
//! |---|---|
//! | `authentication` | how clients and resource servers prove who they are |
//! | `resource_server` | resource servers and the kinds of their tokens |
//! | `token` | tokens that were issued, refresh tokens, the token revocation list |
//! | `schema`, `sqlite` | the database |

mod authentication;
mod resource_server;
mod schema;
mod sqlite;
mod token;

pub use authentication::{CertificateName, CertificateNameError, ClientAuthentication};
pub use resource_server::{
    Lifetime, Protection, ResourceServer, ServerAccess, SymmetricKeys, TokenFormat, TokenKind,
};
pub use token::{IssuedToken, Revocation};
pub(crate) use token::{
    ListUpdate, NewRefreshToken, NewToken, Refresh, RefreshGrant, Requester, StoredToken, Swept,
};

use crate::core::policy::{ClientId, filter_of};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlite::Sqlite;
use std::path::Path;
use symbolon_ace_proto::{PopAlgorithm, Scope, ScopeEntry, TokenHash, UnixTime, cwt, token::Form};

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
    /// The client has [`Store::MAX_POLICIES_PER_CLIENT`] policies already.
    #[error(
        "client {0:?} would have more than {max} policies",
        max = Store::MAX_POLICIES_PER_CLIENT
    )]
    TooManyPolicies(String),
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
    /// It gets refresh tokens (RFC 9200 §5.8.2).
    pub refresh_tokens: bool,
}

/// A policy: a client may do this on these filters at this audience.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Given by the store; 0 in a new one.
    pub id: i64,
    /// Which client.
    pub client_id: String,
    /// At which resource server; it must be registered.
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

/// A policy with its client's identifier filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Allowed {
    /// The Topic Filter and what may be done on it.
    pub(crate) entry: ScopeEntry,
    /// The longest life of a token that uses it, seconds.
    pub(crate) token_lifetime_secs: Option<u64>,
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
    /// The most policies of one client, so that all it may do fits a scope.
    pub const MAX_POLICIES_PER_CLIENT: usize = Scope::MAX_ENTRIES;
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
        let database = Sqlite::open(path).await?;
        Ok(Self { database })
    }

    /// Closes it, which also folds SQLite's `-wal` file into the database file where nobody else has it open.
    pub async fn close(self) {
        self.database.close().await;
    }

    /// Registers a client with its policies, all or nothing.
    pub async fn add_client(&self, client: &Client, policies: &[Policy]) -> Result<(), StoreError> {
        let client_id = client_id_of(&client.client_id)?;
        let client = Client {
            authentication: client.authentication.storable(client_id.as_str())?,
            ..client.clone()
        };
        for policy in policies {
            if policy.client_id != client.client_id {
                return Err(StoreError::Invalid(
                    "policy",
                    policy.filter.clone(),
                    "it is for another client".to_owned(),
                ));
            }
            check_policy(policy, client_id)?;
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

    /// Removes a client and its policies, and revokes its tokens.
    pub async fn remove_client(&self, client_id: &str, now: UnixTime) -> Result<(), StoreError> {
        self.database.remove_client(client_id, now).await
    }

    /// Adds a policy; its identifier. Client and resource server must be registered.
    pub async fn add_policy(&self, policy: &Policy) -> Result<i64, StoreError> {
        check_policy(policy, client_id_of(&policy.client_id)?)?;
        self.database.add_policy(policy).await
    }

    /// Policies, of one client or of all, in the order they were added.
    pub async fn policies(&self, client_id: Option<&str>) -> Result<Vec<Policy>, StoreError> {
        self.database.policies(client_id).await
    }

    /// Removes a policy.
    pub async fn remove_policy(&self, id: i64) -> Result<(), StoreError> {
        self.database.remove_policy(id).await
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
        self.database.resource_servers(i64::MAX).await
    }

    /// One resource server.
    pub async fn resource_server(
        &self,
        audience: &str,
    ) -> Result<Option<ResourceServer>, StoreError> {
        let named = self.database.resource_servers_named(audience).await?;
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

    /// What a client may do at an audience, `${client_id}` filled in. Each filter stands once.
    pub async fn scope_of(&self, client_id: &str, audience: &str) -> Result<Scope, StoreError> {
        let allowed = self.allowed(client_id, audience).await?;
        Ok(crate::core::policy::whole_scope(&allowed))
    }

    /// The policies of a client at an audience, as the token endpoint uses them.
    pub(crate) async fn allowed(
        &self,
        client_id: &str,
        audience: &str,
    ) -> Result<Vec<Allowed>, StoreError> {
        self.database.allowed(client_id, audience).await
    }

    /// The resource server with this audience, or those of the group of this name; without one, the only registered one, or two of more.
    pub(crate) async fn resource_servers_for(
        &self,
        audience: Option<&str>,
    ) -> Result<Vec<ResourceServer>, StoreError> {
        match audience {
            Some(audience) => self.database.resource_servers_named(audience).await,
            None => self.database.resource_servers(2).await,
        }
    }

    /// The resource server that authenticates by this identifier.
    pub(crate) async fn resource_server_of(
        &self,
        client_id: &str,
    ) -> Result<Option<ResourceServer>, StoreError> {
        self.database.resource_server_of(client_id).await
    }

    /// The next sequence number of a token with `exi` for this resource server; never the same twice.
    pub(crate) async fn next_sequence_number(&self, audience: &str) -> Result<u64, StoreError> {
        self.database.next_sequence_number(audience).await
    }

    /// Remembers a token that is about to be given out; `false` where the client has too many already.
    pub(crate) async fn remember_token(
        &self,
        token: &NewToken<'_>,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        self.database.remember_token(token, now).await
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
        self.database.sweep(now).await
    }
}

fn client_id_of(text: &str) -> Result<ClientId<'_>, StoreError> {
    ClientId::parse(text).map_err(|error| {
        StoreError::Invalid("client identifier", text.to_owned(), error.to_string())
    })
}

fn check_policy(policy: &Policy, client_id: ClientId<'_>) -> Result<(), StoreError> {
    let refused = |why: String| Err(StoreError::Invalid("policy", policy.filter.clone(), why));
    if let Err(error) = filter_of(&policy.filter, client_id) {
        return refused(error.to_string());
    }
    if !policy.publish && !policy.subscribe {
        return refused("it allows neither publishing nor subscribing".to_owned());
    }
    match policy.token_lifetime_secs {
        Some(0) => refused("a token lifetime of 0 seconds".to_owned()),
        Some(secs) if i64::try_from(secs).is_err() => {
            refused("a token lifetime longer than time".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}
