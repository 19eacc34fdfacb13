//! Who may use this API.

use super::{ModelError, SecretText, client::digest};
use crate::store;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The shortest password, bytes.
pub const MIN_PASSWORD_BYTES: usize = 12;
/// The longest password, bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// What an account may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Administrator,
    /// See everything, change nothing.
    Auditor,
    /// See and change the rules that one resource owner grants within their trees.
    Owner,
}

/// An account.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The resource owner it acts for, where that is its role.
    pub owner: Option<String>,
    /// It can log in with a password.
    pub password: bool,
    /// SHA-256 of the certificate it can log in with, base64url.
    #[serde(rename = "x5t#S256")]
    pub certificate_sha256: Option<String>,
}

/// An account to be made. Without password and certificate it cannot be used yet.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The resource owner it acts for: where that is its role, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
    /// SHA-256 of its certificate in DER, base64url.
    #[serde(rename = "x5t#S256", default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

/// An account's new password.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPassword {
    /// The password.
    pub password: SecretText,
}

/// The certificate that an account can log in with from now on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountCertificate {
    /// SHA-256 of it in DER, base64url.
    #[serde(rename = "x5t#S256")]
    pub certificate_sha256: String,
}

/// A session that was opened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Login {
    /// For `Authorization: Bearer`.
    pub token: SecretText,
    /// For how long, seconds.
    pub expires_in: u64,
}

impl From<&store::Account> for Account {
    fn from(account: &store::Account) -> Self {
        Self {
            name: account.name.clone(),
            role: match account.role {
                store::Role::Administrator => Role::Administrator,
                store::Role::Auditor => Role::Auditor,
                store::Role::Owner(_) => Role::Owner,
            },
            owner: account.role.owner().map(str::to_owned),
            password: account.has_password,
            certificate_sha256: account
                .certificate
                .map(|sha256| URL_SAFE_NO_PAD.encode(sha256)),
        }
    }
}

/// A certificate's SHA-256 from its base64url.
pub(crate) fn certificate_digest(text: &str) -> Result<[u8; 32], ModelError> {
    digest("x5t#S256", text)
}

impl Role {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::Owner => "owner",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Administrator, Self::Auditor, Self::Owner];
        all.into_iter().find(|role| role.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_debug_output_shows_a_password() {
        let text = r#"{"name":"root","role":"administrator","password":"correct horse"}"#;
        let account: NewAccount = serde_json::from_str(text).unwrap();
        assert!(!format!("{account:?}").contains("horse"));
        assert_eq!(serde_json::to_string(&account).unwrap(), text);
    }

    #[test]
    fn a_role_has_the_same_name_in_messages_and_elsewhere() {
        for role in [Role::Administrator, Role::Auditor, Role::Owner] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
            assert_eq!(Role::from_name(role.as_str()), Some(role));
        }
    }
}
