//! Rules and groups as they shall be, and what that changes.

use super::{ModelError, NewPolicy, Policy};
use crate::store::{self, IssuedToken, Subject};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// How it shall be, and whether it is only asked what that would change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// How it shall be.
    pub desired: Desired,
    /// Change nothing, but try all.
    #[serde(default)]
    pub dry_run: bool,
}

/// How it shall be. What is not named in it stays as it is; so does what an owner granted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Groups by name.
    #[serde(default)]
    pub groups: BTreeMap<String, DesiredGroup>,
    /// Clients by identifier.
    #[serde(default)]
    pub clients: BTreeMap<String, DesiredClient>,
}

/// A group as it shall be.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredGroup {
    /// All of its members; absent: they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<BTreeSet<String>>,
    /// All of its rules; absent: they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<NewPolicy>>,
}

/// A client as it shall be.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredClient {
    /// All of its own rules.
    pub policies: Vec<NewPolicy>,
}

/// What was changed, or would be.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Plan {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Groups that are made.
    pub new_groups: Vec<String>,
    /// Group and client.
    pub new_members: Vec<(String, String)>,
    /// Group and client.
    pub gone_members: Vec<(String, String)>,
    /// Rules that are added; without their numbers, which are 0.
    pub new_policies: Vec<Policy>,
    /// Rules that are removed.
    pub gone_policies: Vec<Policy>,
    /// Who loses what.
    pub losses: Vec<Loss>,
}

/// What a client loses.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Loss {
    /// The client.
    pub client_id: String,
    /// Where.
    pub audience: String,
    /// What it could be granted before and cannot any more, an AIF array.
    #[schema(value_type = Vec<Object>)]
    pub scope: serde_json::Value,
    /// How many of its tokens are good.
    pub tokens: usize,
    /// When the last of them expires.
    pub until: Option<u64>,
}

impl From<&store::Desired> for Desired {
    fn from(desired: &store::Desired) -> Self {
        let mut message = Self::default();
        for (name, members) in &desired.members {
            let group = message.groups.entry(name.clone()).or_default();
            group.members = Some(members.clone());
        }
        for (subject, policies) in &desired.rules {
            let policies = policies.iter().map(NewPolicy::from).collect();
            match subject {
                Subject::Client(name) => {
                    let client = DesiredClient { policies };
                    message.clients.insert(name.clone(), client);
                }
                Subject::Group(name) => {
                    let group = message.groups.entry(name.clone()).or_default();
                    group.policies = Some(policies);
                }
            }
        }
        message
    }
}

impl TryFrom<Desired> for store::Desired {
    type Error = ModelError;

    fn try_from(message: Desired) -> Result<Self, ModelError> {
        let mut desired = Self::default();
        let within = |policies: Vec<NewPolicy>, subject: &Subject| {
            let policies = policies.into_iter().map(|policy| policy.within(subject));
            policies.collect::<Result<Vec<_>, ModelError>>()
        };
        for (name, group) in message.groups {
            let subject = Subject::Group(name.clone());
            if let Some(policies) = group.policies {
                let policies = within(policies, &subject)?;
                desired.rules.insert(subject, policies);
            }
            if let Some(members) = group.members {
                desired.members.insert(name, members);
            }
        }
        for (name, client) in message.clients {
            let subject = Subject::Client(name);
            let policies = within(client.policies, &subject)?;
            desired.rules.insert(subject, policies);
        }
        Ok(desired)
    }
}

impl Plan {
    /// What [`Store::apply`](store::Store::apply) answered. `tokens` are those that were issued and had not expired before it.
    pub fn new(
        plan: &store::Plan,
        losses: &[store::Loss],
        tokens: &[IssuedToken],
        dry_run: bool,
    ) -> Self {
        Self {
            dry_run,
            new_groups: plan.new_groups.clone(),
            new_members: plan.new_members.clone(),
            gone_members: plan.gone_members.clone(),
            new_policies: plan.new_policies.iter().map(Policy::from).collect(),
            gone_policies: plan.gone_policies.iter().map(Policy::from).collect(),
            losses: losses.iter().map(|loss| Loss::new(loss, tokens)).collect(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.new_groups.is_empty()
            && self.new_members.is_empty()
            && self.gone_members.is_empty()
            && self.new_policies.is_empty()
            && self.gone_policies.is_empty()
    }
}

impl Loss {
    fn new(loss: &store::Loss, tokens: &[IssuedToken]) -> Self {
        let good = || {
            let own = tokens.iter().filter(|one| one.client_id == loss.client_id);
            own.filter(|token| token.revoked_at.is_none())
        };
        Self {
            client_id: loss.client_id.clone(),
            audience: loss.audience.clone(),
            scope: super::explanation::aif(&loss.scope),
            tokens: good().count(),
            until: good().map(|token| token.expires_at.0).max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shall_be_comes_back_from_its_message() {
        let mut desired = store::Desired::default();
        let members = BTreeSet::from(["m1".to_owned()]);
        desired.members.insert("meters".to_owned(), members);
        desired.members.insert("empty".to_owned(), BTreeSet::new());
        for subject in [
            Subject::Group("meters".to_owned()),
            Subject::Client("c".to_owned()),
        ] {
            let policy = store::Policy {
                subject: subject.clone(),
                ..store::Policy::allow("", "broker", "a/#")
            };
            desired.rules.insert(subject, vec![policy]);
        }
        let nothing = Subject::Client("d".to_owned());
        desired.rules.insert(nothing, Vec::new());
        let text = serde_json::to_string(&Desired::from(&desired)).unwrap();
        let read: Desired = serde_json::from_str(&text).unwrap();
        assert_eq!(store::Desired::try_from(read).unwrap(), desired);
    }

    #[test]
    fn the_rule_of_one_client_cannot_stand_under_another() {
        let text = r#"{"clients":{"c":{"policies":[{"client_id":"d","audience":"b","filter":"a","permissions":["pub"]}]}}}"#;
        let read: Desired = serde_json::from_str(text).unwrap();
        assert!(store::Desired::try_from(read).is_err());
    }
}
