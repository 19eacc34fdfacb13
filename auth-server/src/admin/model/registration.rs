//! Initial access tokens: who may register without an administrator.

use super::{ModelError, Permission, SecretText};
use crate::store::{self, Admission, Allowance, NewName};
use serde::{Deserialize, Serialize};
use symbolon_ace_proto::UnixTime;
use utoipa::ToSchema;

/// A Topic Filter template and what a client may do on it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// `${client_id}` stands for the client's identifier.
    pub filter: String,
    /// Not empty.
    pub permissions: Vec<Permission>,
}

/// A client that shall register itself.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedClient {
    /// The name that it will have.
    pub client_id: String,
    /// What it may do besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allow>,
    /// Groups that it joins besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// In place of what holds for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime_secs: Option<u64>,
}

/// Initial access tokens to be made, all or none: one for each of `clients` and one use, or one for all whose names begin with `beginning`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInitialAccessTokens {
    /// At which resource server; it must be registered.
    pub audience: String,
    /// Where that is, `mqtts://host:port`: told to whoever registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// What each may do.
    #[serde(default)]
    pub allow: Vec<Allow>,
    /// The groups that each joins.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The longest life of their tokens, seconds; the server's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime_secs: Option<u64>,
    /// They get refresh tokens if they ask for them.
    #[serde(default)]
    pub refresh_tokens: bool,
    /// When they end.
    pub expires_at: u64,
    /// Who shall register.
    #[serde(default)]
    pub clients: Vec<ExpectedClient>,
    /// Or how the names of those who register begin; 16 random characters follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beginning: Option<String>,
    /// How many may register with the token for `beginning`; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
}

/// An initial access token that was made. No other answer has the token.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct NewInitialAccessToken {
    /// Its name for people; no secret.
    pub id: String,
    /// The client that it is for, or the beginning with `*`.
    pub name: String,
    /// The token.
    pub token: SecretText,
}

/// What was made, in the order of `clients`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct MadeInitialAccessTokens {
    /// Each with its token.
    pub tokens: Vec<NewInitialAccessToken>,
}

/// An initial access token, without the token.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct InitialAccessToken {
    /// Its name for people.
    pub id: String,
    /// The client that it is for, or the beginning with `*`.
    pub name: String,
    /// At which resource server.
    pub audience: String,
    /// Where that is.
    pub broker: Option<String>,
    /// What each client may do that registers with it.
    pub allow: Vec<Allow>,
    /// The groups that each joins.
    pub groups: Vec<String>,
    /// The longest life of their tokens, seconds; the server's own where absent.
    pub token_lifetime_secs: Option<u64>,
    /// They get refresh tokens if they ask for them.
    pub refresh_tokens: bool,
    /// How many may still register with it.
    pub uses_left: u64,
    /// When it was made.
    pub created_at: u64,
    /// When it ends.
    pub expires_at: u64,
}

impl NewInitialAccessTokens {
    /// What each token admits to, and how often.
    pub(crate) fn admissions(&self) -> Result<Vec<(Admission, u64)>, ModelError> {
        match (&self.beginning, self.clients.as_slice()) {
            (Some(prefix), []) => {
                let name = NewName::Beginning(prefix.clone());
                let admission = self.admission(name, &ExpectedClient::default())?;
                Ok(vec![(admission, self.uses.unwrap_or(1))])
            }
            (None, []) => {
                let why = "say who shall register, by clients or by beginning";
                Err(ModelError::new("clients", why))
            }
            (Some(_), _) => Err(ModelError::new("beginning", "not beside clients")),
            (None, _) if self.uses.is_some_and(|uses| uses != 1) => {
                Err(ModelError::new("uses", "one name is registered once"))
            }
            (None, clients) => {
                let each = clients.iter().map(|client| {
                    let name = NewName::Exactly(client.client_id.clone());
                    Ok((self.admission(name, client)?, 1))
                });
                each.collect()
            }
        }
    }

    /// When they end.
    pub(crate) fn ends(&self) -> UnixTime {
        UnixTime(self.expires_at)
    }

    fn admission(&self, name: NewName, of: &ExpectedClient) -> Result<Admission, ModelError> {
        let allow = self.allow.iter().chain(&of.allow).map(Allowance::try_from);
        Ok(Admission {
            name,
            audience: self.audience.clone(),
            allow: allow.collect::<Result<_, _>>()?,
            groups: self.groups.iter().chain(&of.groups).cloned().collect(),
            token_lifetime_secs: of.token_lifetime_secs.or(self.token_lifetime_secs),
            refresh_tokens: self.refresh_tokens,
            broker: self.broker.clone(),
        })
    }
}

impl TryFrom<&Allow> for Allowance {
    type Error = ModelError;

    fn try_from(allow: &Allow) -> Result<Self, ModelError> {
        let [publish, subscribe] = [Permission::Publish, Permission::Subscribe]
            .map(|permission| allow.permissions.contains(&permission));
        if !publish && !subscribe {
            return Err(ModelError::new("permissions", "must not be empty"));
        }
        Ok(Self {
            filter: allow.filter.clone(),
            publish,
            subscribe,
        })
    }
}

impl From<store::InitialAccessToken> for InitialAccessToken {
    fn from(token: store::InitialAccessToken) -> Self {
        let admission = token.admission;
        let allow = admission.allow.into_iter().map(|entry| Allow {
            permissions: Permission::of(entry.publish, entry.subscribe),
            filter: entry.filter,
        });
        Self {
            id: token.id,
            name: admission.name.to_string(),
            audience: admission.audience,
            broker: admission.broker,
            allow: allow.collect(),
            groups: admission.groups,
            token_lifetime_secs: admission.token_lifetime_secs,
            refresh_tokens: admission.refresh_tokens,
            uses_left: token.uses_left,
            created_at: token.created_at.0,
            expires_at: token.expires_at.0,
        }
    }
}
