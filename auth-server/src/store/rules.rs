//! Rules, groups and resource owners, as the store keeps them.

use super::{Store, StoreError, database::Deed};
use crate::core::{
    audit::{AuditDamage, AuditMark, AuditOutcome, AuditRecord},
    policy::{
        ClientId,
        explanation::{Standing, Verdict, judge},
        plan::{Desired, Group, Loss, Plan},
        rule::{Effect, Policy, Rule, Subject},
    },
};
use std::fmt;
use symbolon_ace_proto::{Permission, Scope, UnixTime};
use symbolon_mqtt_proto::TopicFilter;

/// Someone who owns Topic Filter trees and may grant within them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// The owner's name.
    pub name: String,
    /// What they own.
    pub trees: Vec<Tree>,
}

/// A Topic Filter at a resource server, and all that it matches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tree {
    /// At which resource server; it must be registered.
    pub audience: String,
    /// The filter.
    pub filter: TopicFilter,
}

/// Whether a client may do something, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// The answer.
    pub verdict: Verdict,
    /// All rules that are about it, and what each has to say.
    pub considered: Vec<Considered>,
}

/// A rule that is about what was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Considered {
    /// The rule.
    pub policy: Policy,
    /// Its filter for this client, placeholders filled in.
    pub filter: TopicFilter,
    /// What it has to say.
    pub standing: Standing,
    /// An allow whose filter is granted in part only when a narrower one is asked for: the deny that cuts it.
    pub cut_by: Option<i64>,
}

impl Store {
    /// The most groups of one client.
    pub const MAX_GROUPS_PER_CLIENT: usize = 32;
    /// The most trees named in one call.
    pub const MAX_TREES: usize = 1024;

    /// Adds a rule; its number. Client or group, resource server and owner must be registered, and the owner must own what it is about.
    pub async fn add_policy(&self, policy: &Policy) -> Result<i64, StoreError> {
        check_policy(policy)?;
        self.database.add_policy(policy).await
    }

    /// Rules in the order they were added: all, or those that bear on a client, its own and those of its groups.
    pub async fn policies(&self, client_id: Option<&str>) -> Result<Vec<Policy>, StoreError> {
        self.database.policies(client_id).await
    }

    /// Removes a rule.
    pub async fn remove_policy(&self, id: i64) -> Result<(), StoreError> {
        self.database.remove_policy(id).await
    }

    /// Makes groups, members and rules as they shall be, all or nothing, and says what that changes and who loses what. With `dry_run`
    /// nothing is changed, but all is tried.
    pub async fn apply(
        &self,
        desired: &Desired,
        dry_run: bool,
        now: UnixTime,
    ) -> Result<(Plan, Vec<Loss>), StoreError> {
        for name in desired.members.keys() {
            name_of("group", name)?;
        }
        for (subject, policies) in &desired.rules {
            let what = match subject {
                Subject::Client(_) => "client",
                Subject::Group(_) => "group",
            };
            name_of(what, subject.name())?;
            for policy in policies {
                if policy.subject != *subject || policy.granted_by.is_some() {
                    let why = "it is for another".to_owned();
                    return Err(StoreError::Invalid("policy", policy.filter.clone(), why));
                }
                check_policy(policy)?;
            }
        }
        self.database.apply(desired, dry_run, now).await
    }

    /// Makes a group without members.
    pub async fn add_group(&self, name: &str) -> Result<(), StoreError> {
        name_of("group", name)?;
        self.database.add_group(name).await
    }

    /// Removes a group and its rules; its members stay clients.
    pub async fn remove_group(&self, name: &str) -> Result<(), StoreError> {
        self.database.remove_group(name).await
    }

    /// Adds clients to a group and removes others, all or nothing.
    pub async fn change_members(
        &self,
        group: &str,
        added: &[String],
        removed: &[String],
    ) -> Result<(), StoreError> {
        self.database.change_members(group, added, removed).await
    }

    /// All groups, by name.
    pub async fn groups(&self) -> Result<Vec<Group>, StoreError> {
        self.database.groups().await
    }

    /// Makes an owner, or gives one that there is more trees.
    pub async fn add_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        name_of("owner", &owner.name)?;
        for tree in &owner.trees {
            if tree.filter.as_str().starts_with("$share/") {
                let why = "name the filter inside of $share/NAME/FILTER".to_owned();
                let filter = tree.filter.as_str().to_owned();
                return Err(StoreError::Invalid("tree", filter, why));
            }
        }
        self.database.add_owner(owner).await
    }

    /// Takes these trees of an owner away, or, where none is named, the owner. The rules that they granted and that then lie outside of what
    /// is left go too, and are told.
    pub async fn remove_owner(
        &self,
        name: &str,
        trees: &[Tree],
    ) -> Result<Vec<Policy>, StoreError> {
        self.database.remove_owner(name, trees).await
    }

    /// All owners, by name.
    pub async fn owners(&self) -> Result<Vec<Owner>, StoreError> {
        self.database.owners().await
    }

    /// What a client may be granted at an audience, names filled in. Each filter stands once.
    pub async fn scope_of(
        &self,
        client_id: &str,
        audience: &str,
        now: UnixTime,
    ) -> Result<Scope, StoreError> {
        let rules = self.rules(client_id, audience).await?;
        Ok(crate::core::policy::whole_scope(&rules, now))
    }

    /// The rules that bear on a client at an audience, as the token endpoint uses them.
    pub(crate) async fn rules(
        &self,
        client_id: &str,
        audience: &str,
    ) -> Result<Vec<Rule>, StoreError> {
        self.database.rules(client_id, audience).await
    }

    /// Whether a client may publish to a topic, or subscribe to a topic or a filter, at this moment, and which rule says so.
    pub async fn explain(
        &self,
        (client_id, audience): (&str, &str),
        permission: Permission,
        asked: &TopicFilter,
        now: UnixTime,
    ) -> Result<Explanation, StoreError> {
        let rules = self.rules(client_id, audience).await?;
        let policies = self.policies(Some(client_id)).await?;
        let (verdict, standings) = judge(&rules, permission, asked, now);
        let considered = standings.into_iter().filter_map(|(id, standing)| {
            // One that was removed between the two readings is left out.
            let policy = policies.iter().find(|policy| policy.id == id)?.clone();
            let rule = rules.iter().find(|rule| rule.id == id)?;
            let cut_by = match rule.effect {
                Effect::Allow => crate::core::policy::cut_by(rule, &rules, now),
                Effect::Deny => None,
            };
            Some(Considered {
                policy,
                filter: rule.filter.clone(),
                standing,
                cut_by: cut_by.map(|rule| rule.id),
            })
        });
        let considered = considered.collect();
        Ok(Explanation {
            verdict,
            considered,
        })
    }

    /// The rules that allow a client a filter of which a deny leaves no Topic Filter, so that it is granted in part only when less is asked for.
    pub async fn cuts(
        &self,
        client_id: &str,
        audience: &str,
        now: UnixTime,
    ) -> Result<Vec<Considered>, StoreError> {
        let rules = self.rules(client_id, audience).await?;
        let policies = self.policies(Some(client_id)).await?;
        let allowing = rules.iter().filter(|rule| rule.holds(Effect::Allow, now));
        let cuts = allowing.filter_map(|rule| {
            let cut_by = crate::core::policy::cut_by(rule, &rules, now)?;
            let policy = policies.iter().find(|policy| policy.id == rule.id)?;
            Some(Considered {
                policy: policy.clone(),
                filter: rule.filter.clone(),
                standing: Standing::InPart,
                cut_by: Some(cut_by.id),
            })
        });
        Ok(cuts.collect())
    }

    /// Records in the audit log what was done elsewhere than in the database.
    pub async fn record(&self, action: &str, object: &str, detail: &str) -> Result<(), StoreError> {
        self.database
            .record_own(Deed::done(action, object, detail))
            .await
    }

    /// Records in the audit log what was asked for and refused; who asked, for what, and why it was refused.
    pub(crate) async fn record_refusal(
        &self,
        actor: &str,
        (action, object): (&str, &str),
        why: &str,
    ) -> Result<(), StoreError> {
        let deed = Deed {
            action,
            object,
            outcome: AuditOutcome::Refused,
            detail: why,
        };
        self.database.record(actor, deed).await
    }

    /// The records of the audit log from this number on, or the last ones, at most `limit`.
    pub async fn audit_records(
        &self,
        from: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        self.database.audit_records(from, limit).await
    }

    /// Follows the whole audit log, and past a mark that was noted before. The mark of its end, to be noted; or what is wrong.
    pub async fn verify_audit(
        &self,
        note: Option<AuditMark>,
    ) -> Result<Result<AuditMark, AuditDamage>, StoreError> {
        self.database.verify_audit(note).await
    }
}

pub(super) fn check_policy(policy: &Policy) -> Result<(), StoreError> {
    policy
        .check()
        .map_err(|error| StoreError::Invalid("policy", policy.filter.clone(), error.to_string()))
}

fn name_of<'a>(what: &'static str, text: &'a str) -> Result<ClientId<'a>, StoreError> {
    ClientId::parse(text)
        .map_err(|error| StoreError::Invalid(what, text.to_owned(), error.to_string()))
}

impl fmt::Display for Subject {
    /// `client NAME` or `group NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(name) => write!(f, "client {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

impl fmt::Display for Policy {
    /// In one line, for the audit log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        };
        let what = match (self.publish, self.subscribe) {
            (true, true) => "pubsub",
            (true, false) => "pub",
            (false, _) => "sub",
        };
        let Self {
            subject,
            filter,
            audience,
            ..
        } = self;
        write!(f, "{subject}: {effect} {what}:{filter} at {audience}")?;
        if let Some(from) = self.validity.from {
            write!(f, " from {}", from.0)?;
        }
        if let Some(until) = self.validity.until {
            write!(f, " until {}", until.0)?;
        }
        if let Some(secs) = self.token_lifetime_secs {
            write!(f, " for {secs} s")?;
        }
        match &self.granted_by {
            Some(owner) => write!(f, " by owner {owner}"),
            None => Ok(()),
        }
    }
}
