//! Who may register a client without an administrator, and what such a client is (RFC 7591, RFC 7592).

use super::{Client, Policy, Store, StoreError, client_id_of, rules, sha256_of};
use crate::core::{minting, policy::ClientId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;
use symbolon_ace_proto::{PopError, UnixTime};

/// What an initial access token lets whoever has it do: register clients of these names, which may do this and no more.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Admission {
    /// What they are called.
    pub name: NewName,
    /// At which resource server; it must be registered.
    pub audience: String,
    /// What each may do there.
    pub allow: Vec<Allowance>,
    /// The groups that each joins; they must be there.
    pub groups: Vec<String>,
    /// The longest life of a token that uses one of `allow`, seconds; the server's own where absent.
    pub token_lifetime_secs: Option<u64>,
    /// They get refresh tokens if they ask for them.
    pub refresh_tokens: bool,
    /// Where that resource server is reached, `mqtts://host:port`: told to whoever registers, and of no meaning here.
    pub broker: Option<String>,
}

/// A Topic Filter template and what may be done on it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Allowance {
    /// `${client_id}` stands for the client's identifier.
    pub filter: String,
    /// Publish.
    pub publish: bool,
    /// Subscribe.
    pub subscribe: bool,
}

/// What a client that registers itself is called.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NewName {
    /// This, so that only one can register.
    Exactly(String),
    /// This with 16 random characters behind it.
    Beginning(String),
}

/// A secret of 256 random bits that the server makes and keeps the digest of. `Debug` does not show it.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

/// An initial access token as the store knows it, without the token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InitialAccessToken {
    /// Its name for people: 16 hexadecimal digits. No secret.
    pub id: String,
    /// What it allows.
    pub admission: Admission,
    /// How many clients may still register with it.
    pub uses_left: u64,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends.
    pub expires_at: UnixTime,
}

/// An initial access token to be made.
#[derive(Clone, Debug)]
pub struct NewInitialAccessToken<'a> {
    /// The token.
    pub secret: &'a Secret,
    /// What it allows.
    pub admission: Admission,
    /// How many clients may register with it; 1 for [`NewName::Exactly`].
    pub uses: u64,
    /// When it ends.
    pub expires_at: UnixTime,
}

/// A client that registers.
#[derive(Debug)]
pub(crate) struct NewRegistration<'a> {
    /// Of the initial access token.
    pub(crate) initial: [u8; 32],
    pub(crate) client: &'a Client,
    /// Of the registration access token.
    pub(crate) sha256: [u8; 32],
    pub(crate) metadata: &'a str,
}

/// What a client registered.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// Of the registration access token.
    pub(crate) sha256: [u8; 32],
    /// What the client says of itself, in JSON.
    pub(crate) metadata: String,
    /// It may have refresh tokens.
    pub(crate) refresh_tokens: bool,
    pub(crate) registered_at: UnixTime,
}

/// What a registered client changes of itself.
#[derive(Debug)]
pub(crate) struct Update<'a> {
    pub(crate) client: &'a Client,
    /// Of the registration access token, before and from now on.
    pub(crate) before: [u8; 32],
    pub(crate) sha256: [u8; 32],
    pub(crate) metadata: &'a str,
}

impl Secret {
    /// A new one; fails where the system's source of random numbers does.
    pub fn generate() -> Result<Self, PopError> {
        let random = minting::random::<32>()?;
        // Not to be taken for an option by a command line that it is pasted into.
        Ok(Self(format!("sym_{}", URL_SAFE_NO_PAD.encode(random))))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is kept.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        sha256_of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Display for NewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => f.write_str(name),
            Self::Beginning(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// Random characters behind a prefix.
pub(crate) const SUFFIX_CHARACTERS: usize = 16;

impl Admission {
    /// As policies of a client.
    pub(super) fn policies(&self, client_id: &str) -> Vec<Policy> {
        let policy = |entry: &Allowance| Policy {
            publish: entry.publish,
            subscribe: entry.subscribe,
            token_lifetime_secs: self.token_lifetime_secs,
            ..Policy::allow(client_id, &self.audience, &entry.filter)
        };
        self.allow.iter().map(policy).collect()
    }

    fn check(&self, uses: u64) -> Result<(), StoreError> {
        let refused = |why: &str| {
            let name = self.name.to_string();
            StoreError::Invalid("initial access token for", name, why.to_owned())
        };
        let client_id = match &self.name {
            NewName::Exactly(name) => name.clone(),
            NewName::Beginning(prefix) => format!("{prefix}{}", "x".repeat(SUFFIX_CHARACTERS)),
        };
        client_id_of(&client_id)?;
        if matches!(self.name, NewName::Exactly(_)) && uses != 1 {
            return Err(refused("one name is registered once"));
        }
        if !(1..=Store::MAX_USES).contains(&uses) {
            return Err(refused("it is used 1 to 1000000 times"));
        }
        if self.allow.len() > Store::MAX_ALLOWANCES {
            return Err(refused("it allows at most 64 filters"));
        }
        if self.groups.len() > Store::MAX_GROUPS_PER_CLIENT {
            return Err(refused("a client is in at most 32 groups"));
        }
        if self.allow.is_empty() && self.groups.is_empty() {
            return Err(refused("it allows nothing"));
        }
        for policy in self.policies(&client_id) {
            rules::check_policy(&policy)?;
        }
        for group in &self.groups {
            ClientId::parse(group)
                .map_err(|error| StoreError::Invalid("group", group.clone(), error.to_string()))?;
        }
        Ok(())
    }
}

impl Store {
    /// The most clients that one initial access token lets in.
    pub const MAX_USES: u64 = 1_000_000;
    /// The most filters that an initial access token allows each of them.
    pub const MAX_ALLOWANCES: usize = 64;
    /// The most initial access tokens at a time.
    pub const MAX_INITIAL_ACCESS_TOKENS: usize = 200_000;

    /// Remembers initial access tokens, all or none; their names, in the same order.
    pub async fn add_initial_access_tokens(
        &self,
        tokens: &[NewInitialAccessToken<'_>],
        now: UnixTime,
    ) -> Result<Vec<String>, StoreError> {
        for token in tokens {
            token.admission.check(token.uses)?;
            if token.expires_at <= now {
                let name = token.admission.name.to_string();
                let why = "it ends before it begins".to_owned();
                return Err(StoreError::Invalid("initial access token for", name, why));
            }
        }
        self.database.add_initial_access_tokens(tokens, now).await
    }

    /// All initial access tokens that have not expired, used up or not; of the one client, or all, by name.
    pub async fn initial_access_tokens(
        &self,
        client_id: Option<&str>,
        now: UnixTime,
    ) -> Result<Vec<InitialAccessToken>, StoreError> {
        self.database.initial_access_tokens(client_id, now).await
    }

    /// Removes an initial access token. Clients that registered with it stay.
    pub async fn remove_initial_access_token(&self, id: &str) -> Result<(), StoreError> {
        self.database.remove_initial_access_token(id).await
    }

    /// What the initial access token with this digest allows, where it is good.
    pub(crate) async fn admission(
        &self,
        sha256: &[u8; 32],
        now: UnixTime,
    ) -> Result<Option<Admission>, StoreError> {
        self.database.admission(sha256, now).await
    }

    /// Registers a client and uses its initial access token up by one, both or neither. `false` where the token is not good any more.
    pub(crate) async fn register(
        &self,
        registration: &NewRegistration<'_>,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let client = storable(registration.client)?;
        self.database.register(registration, &client, now).await
    }

    /// What a client registered of itself; nothing where an administrator registered it.
    pub(crate) async fn registration(
        &self,
        client_id: &str,
    ) -> Result<Option<Registration>, StoreError> {
        self.database.registration(client_id).await
    }

    /// Puts what a client says of itself now in the place of what it said before. `false` where somebody did so meanwhile.
    pub(crate) async fn update_registration(
        &self,
        update: &Update<'_>,
    ) -> Result<bool, StoreError> {
        let client = storable(update.client)?;
        self.database.update_registration(update, &client).await
    }

    /// The same store for what a client does to itself.
    pub(crate) fn as_client(&self, client_id: &str) -> Self {
        self.clone().acting_as(&format!("client {client_id}"))
    }
}

fn storable(client: &Client) -> Result<Client, StoreError> {
    client_id_of(&client.client_id)?;
    Ok(Client {
        authentication: client.authentication.storable(&client.client_id)?,
        ..client.clone()
    })
}

/// A name for people: the beginning of a digest.
pub(super) fn id_of(sha256: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    let mut id = String::with_capacity(16);
    for byte in &sha256[..8] {
        // Writing to a String cannot fail.
        write!(id, "{byte:02x}").unwrap_or_default();
    }
    id
}
