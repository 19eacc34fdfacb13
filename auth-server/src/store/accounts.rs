//! Who administers, and how they prove who they are.

use super::{Store, StoreError};
use crate::core::policy::ClientId;
use std::fmt;
use symbolon_ace_proto::UnixTime;

/// An account of the administration API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// Its name: as a client identifier, without `:`, which HTTP Basic cannot carry in one.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it has a password.
    pub has_password: bool,
    /// SHA-256 of the certificate that it may come with.
    pub certificate: Option<[u8; 32]>,
    /// When it was made.
    pub created_at: UnixTime,
    /// Differs once password or certificate do.
    pub(crate) stamp: [u8; 32],
}

/// What an account may do.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// Everything.
    Administrator,
    /// See everything, and change nothing.
    Auditor,
    /// See and change the rules that this resource owner granted.
    Owner(String),
}

/// A password as it is kept: argon2id in PHC form. `Debug` does not show it.
#[derive(Clone, Eq, PartialEq)]
pub struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl PasswordHash {
    pub(crate) fn from_phc(phc: String) -> Self {
        Self(phc)
    }

    pub(crate) fn as_phc(&self) -> &str {
        &self.0
    }
}

/// What an account is made with.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its password.
    pub password: Option<PasswordHash>,
    /// SHA-256 of the certificate that it may come with.
    pub certificate: Option<[u8; 32]>,
}

impl Role {
    /// Its word: `administrator`, `auditor` or `owner`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::Owner(_) => "owner",
        }
    }

    /// Of the role `owner`: which.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Administrator | Self::Auditor => None,
            Self::Owner(owner) => Some(owner),
        }
    }
}

impl Store {
    /// The most accounts.
    pub const MAX_ACCOUNTS: u32 = 10_000;
    /// The most sessions of one account; the one that was not used for longest goes.
    pub const MAX_SESSIONS_PER_ACCOUNT: u32 = 16;

    /// Makes an account. Without password and certificate it cannot be used yet.
    pub async fn add_account(&self, new: &NewAccount, now: UnixTime) -> Result<(), StoreError> {
        let refused = |why: String| StoreError::Invalid("account", new.name.clone(), why);
        ClientId::parse(&new.name).map_err(|error| refused(error.to_string()))?;
        if new.name.contains(':') {
            return Err(refused(
                "it has a ':', which HTTP Basic cannot carry".to_owned(),
            ));
        }
        self.database.add_account(new, now).await
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.database.accounts().await
    }

    /// Removes an account and its sessions.
    pub async fn remove_account(&self, name: &str) -> Result<(), StoreError> {
        self.database.remove_account(name).await
    }

    /// Gives an account another password and ends its sessions.
    pub async fn set_password(
        &self,
        name: &str,
        password: &PasswordHash,
    ) -> Result<(), StoreError> {
        self.database.set_password(name, password).await
    }

    /// Gives an account another certificate and ends its sessions.
    pub async fn set_certificate(&self, name: &str, sha256: [u8; 32]) -> Result<(), StoreError> {
        self.database.set_certificate(name, &sha256).await
    }

    /// An account and its password.
    pub(crate) async fn account(
        &self,
        name: &str,
    ) -> Result<Option<(Account, Option<PasswordHash>)>, StoreError> {
        if super::is_nowhere(name) {
            return Ok(None);
        }
        self.database.account(name).await
    }

    /// The account that may come with this certificate.
    pub(crate) async fn account_of_certificate(
        &self,
        sha256: &[u8; 32],
    ) -> Result<Option<Account>, StoreError> {
        self.database.account_of_certificate(sha256).await
    }

    /// Begins a session under the digest of its token; `false` where the account is not any more what it was when it proved who it is.
    pub(crate) async fn add_session(
        &self,
        account: &Account,
        sha256: &[u8; 32],
        (now, expires_at): (UnixTime, UnixTime),
    ) -> Result<bool, StoreError> {
        self.database
            .add_session(account, sha256, now, expires_at)
            .await
    }

    /// The account whose session this is, unless it has expired or nobody has used it since `idle_since`. It is used now.
    pub(crate) async fn session(
        &self,
        sha256: &[u8; 32],
        (now, idle_since): (UnixTime, UnixTime),
    ) -> Result<Option<Account>, StoreError> {
        self.database.session(sha256, now, idle_since).await
    }

    /// Ends a session.
    pub(crate) async fn remove_session(&self, sha256: &[u8; 32]) -> Result<(), StoreError> {
        self.database.remove_session(sha256).await
    }
}
