//! Rules.

use super::ModelError;
use crate::store::{self, Subject, Validity};
use serde::{Deserialize, Serialize};
use symbolon_ace_proto::UnixTime;
use utoipa::ToSchema;

/// What a rule is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub enum Permission {
    /// Publishing.
    #[serde(rename = "pub")]
    Publish,
    /// Subscribing.
    #[serde(rename = "sub")]
    Subscribe,
}

/// Whether a rule gives or takes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It gives.
    #[default]
    Allow,
    /// It takes, whatever else allows.
    Deny,
}

/// A rule. It has a client or a group.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Policy {
    /// Its number.
    pub id: i64,
    /// The client it is about.
    pub client_id: Option<String>,
    /// The group it is about.
    pub group: Option<String>,
    /// Whether it gives or takes.
    pub effect: Effect,
    /// At which resource server.
    pub audience: String,
    /// A Topic Filter template: `${client_id}` stands for the client's identifier, in a group's rule `${group}` for the group's name.
    pub filter: String,
    /// What it is about.
    pub permissions: Vec<Permission>,
    /// From when on it holds.
    pub from: Option<u64>,
    /// Before when it holds.
    pub until: Option<u64>,
    /// The longest life of a token that uses it, seconds; the server's own where absent.
    pub token_lifetime_secs: Option<u64>,
    /// The resource owner who granted it; absent where an administrator did.
    pub owner: Option<String>,
}

/// A rule to be added. Where the place that it stands in says whom it is about, it need not say so itself, and must not say otherwise.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    /// The client it is about, or else:
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The group it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether it gives or takes.
    #[serde(default)]
    pub effect: Effect,
    /// At which resource server; it must be registered.
    pub audience: String,
    /// A Topic Filter template, as in [`Policy::filter`].
    pub filter: String,
    /// What it is about; not empty.
    pub permissions: Vec<Permission>,
    /// From when on it holds; from ever where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Before when it holds; for ever where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The longest life of a token that uses it, seconds; the server's own where absent. A deny has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime_secs: Option<u64>,
    /// The resource owner in whose name it is, within their own trees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl Permission {
    /// `pub` or `sub`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "pub",
            Self::Subscribe => "sub",
        }
    }

    pub(super) fn of(publish: bool, subscribe: bool) -> Vec<Self> {
        let named = [(publish, Self::Publish), (subscribe, Self::Subscribe)];
        named
            .into_iter()
            .filter_map(|(granted, permission)| granted.then_some(permission))
            .collect()
    }
}

impl From<Permission> for symbolon_ace_proto::Permission {
    fn from(permission: Permission) -> Self {
        match permission {
            Permission::Publish => Self::Publish,
            Permission::Subscribe => Self::Subscribe,
        }
    }
}

impl From<symbolon_ace_proto::Permission> for Permission {
    fn from(permission: symbolon_ace_proto::Permission) -> Self {
        match permission {
            symbolon_ace_proto::Permission::Publish => Self::Publish,
            symbolon_ace_proto::Permission::Subscribe => Self::Subscribe,
        }
    }
}

impl Effect {
    /// `allow` or `deny`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl From<store::Effect> for Effect {
    fn from(effect: store::Effect) -> Self {
        match effect {
            store::Effect::Allow => Self::Allow,
            store::Effect::Deny => Self::Deny,
        }
    }
}

impl From<Effect> for store::Effect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Allow => Self::Allow,
            Effect::Deny => Self::Deny,
        }
    }
}

impl From<&store::Policy> for Policy {
    fn from(policy: &store::Policy) -> Self {
        let (client_id, group) = names(&policy.subject);
        Self {
            id: policy.id,
            client_id,
            group,
            effect: policy.effect.into(),
            audience: policy.audience.clone(),
            filter: policy.filter.clone(),
            permissions: Permission::of(policy.publish, policy.subscribe),
            from: policy.validity.from.map(|time| time.0),
            until: policy.validity.until.map(|time| time.0),
            token_lifetime_secs: policy.token_lifetime_secs,
            owner: policy.granted_by.clone(),
        }
    }
}

impl TryFrom<Policy> for store::Policy {
    type Error = ModelError;

    fn try_from(policy: Policy) -> Result<Self, ModelError> {
        let id = policy.id;
        let policy = NewPolicy {
            client_id: policy.client_id,
            group: policy.group,
            effect: policy.effect,
            audience: policy.audience,
            filter: policy.filter,
            permissions: policy.permissions,
            from: policy.from,
            until: policy.until,
            token_lifetime_secs: policy.token_lifetime_secs,
            owner: policy.owner,
        };
        Ok(Self {
            id,
            ..policy.try_into()?
        })
    }
}

impl From<&store::Policy> for NewPolicy {
    fn from(policy: &store::Policy) -> Self {
        let (client_id, group) = names(&policy.subject);
        Self {
            client_id,
            group,
            effect: policy.effect.into(),
            audience: policy.audience.clone(),
            filter: policy.filter.clone(),
            permissions: Permission::of(policy.publish, policy.subscribe),
            from: policy.validity.from.map(|time| time.0),
            until: policy.validity.until.map(|time| time.0),
            token_lifetime_secs: policy.token_lifetime_secs,
            owner: policy.granted_by.clone(),
        }
    }
}

impl TryFrom<NewPolicy> for store::Policy {
    type Error = ModelError;

    fn try_from(policy: NewPolicy) -> Result<Self, ModelError> {
        let subject = match (&policy.client_id, &policy.group) {
            (Some(client_id), None) => Subject::Client(client_id.clone()),
            (None, Some(group)) => Subject::Group(group.clone()),
            (Some(_), Some(_)) | (None, None) => {
                return Err(ModelError::new(
                    "client_id",
                    "a policy is about a client, or about a group",
                ));
            }
        };
        Ok(policy.about(subject))
    }
}

impl NewPolicy {
    /// The rule, where it stands in a place that says whom it is about.
    pub fn within(self, subject: &Subject) -> Result<store::Policy, ModelError> {
        let policy = match (&self.client_id, &self.group) {
            (None, None) => self.about(subject.clone()),
            (Some(_), _) | (None, Some(_)) => self.try_into()?,
        };
        if policy.subject != *subject {
            return Err(ModelError::new("policies", "one is for another"));
        }
        Ok(policy)
    }

    fn about(self, subject: Subject) -> store::Policy {
        store::Policy {
            id: 0,
            subject,
            effect: self.effect.into(),
            audience: self.audience,
            filter: self.filter,
            publish: self.permissions.contains(&Permission::Publish),
            subscribe: self.permissions.contains(&Permission::Subscribe),
            validity: Validity {
                from: self.from.map(UnixTime),
                until: self.until.map(UnixTime),
            },
            token_lifetime_secs: self.token_lifetime_secs,
            granted_by: self.owner,
        }
    }
}

/// The client's, or the group's.
fn names(subject: &Subject) -> (Option<String>, Option<String>) {
    match subject {
        Subject::Client(name) => (Some(name.clone()), None),
        Subject::Group(name) => (None, Some(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> store::Policy {
        store::Policy {
            id: 7,
            subject: Subject::Group("meters".to_owned()),
            effect: store::Effect::Deny,
            subscribe: false,
            validity: Validity {
                from: Some(UnixTime(10)),
                until: None,
            },
            granted_by: Some("acme".to_owned()),
            ..store::Policy::allow("", "broker", "a/${client_id}")
        }
    }

    #[test]
    fn a_policy_comes_back_from_its_message() {
        let shown = serde_json::to_value(Policy::from(&policy())).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({
                "id": 7, "client_id": null, "group": "meters", "effect": "deny", "audience": "broker", "filter": "a/${client_id}",
                "permissions": ["pub"], "from": 10, "until": null, "token_lifetime_secs": null, "owner": "acme"
            })
        );
        let read: Policy = serde_json::from_value(shown).unwrap();
        assert_eq!(store::Policy::try_from(read).unwrap(), policy());
        let new = serde_json::to_string(&NewPolicy::from(&policy())).unwrap();
        let new: NewPolicy = serde_json::from_str(&new).unwrap();
        let expected = store::Policy { id: 0, ..policy() };
        assert_eq!(store::Policy::try_from(new).unwrap(), expected);
    }

    #[test]
    fn a_policy_is_about_one_subject_and_no_other_than_its_place_says() {
        let text = r#"{"audience":"b","filter":"a","permissions":["pub"]}"#;
        let new: NewPolicy = serde_json::from_str(text).unwrap();
        assert!(store::Policy::try_from(new.clone()).is_err());
        let client = Subject::Client("c".to_owned());
        assert_eq!(new.clone().within(&client).unwrap().subject, client);
        let other = NewPolicy {
            client_id: Some("d".to_owned()),
            ..new
        };
        assert!(other.within(&client).is_err());
    }

    #[test]
    fn a_member_that_a_request_does_not_know_is_refused() {
        let text = r#"{"audience":"b","filter":"a","permissions":["pub"],"allow":true}"#;
        assert!(serde_json::from_str::<NewPolicy>(text).is_err());
    }
}
