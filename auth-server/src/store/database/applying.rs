//! Many changes as one transaction, and what they would come to.

use super::{Database, Engine, StoreError, audit::Deed, corrupt, groups, policies, rights};
use crate::{
    core::policy::{
        ClientId,
        plan::{Desired, Loss, Plan, lost},
        rule::{Policy, Rule, Subject},
        whole_scope,
    },
    store::Group,
};
use sqlx::Transaction;
use std::collections::{BTreeMap, BTreeSet};
use symbolon_ace_proto::{Scope, UnixTime};

/// What each client may be granted, by client and audience.
type Granted = BTreeMap<(String, String), Scope>;

impl Database {
    /// Makes it so, all or nothing; with `dry_run` nothing, but all that can fail is tried.
    pub(crate) async fn apply(
        &self,
        desired: &Desired,
        dry_run: bool,
        now: UnixTime,
    ) -> Result<(Plan, Vec<Loss>), StoreError> {
        let mut transaction = self.write().await?;
        let groups = groups::all_groups(&mut transaction).await?;
        let policies = policies::all(&mut transaction).await?;
        let plan = Plan::from_to(&groups, &policies, desired);
        let mut concerned = concerned(desired, &groups);
        let before = granted(&concerned, &groups, &policies, now)?;
        carry_out(&mut transaction, &plan).await?;
        let groups = groups::all_groups(&mut transaction).await?;
        let policies = policies::all(&mut transaction).await?;
        // Members that come lose nothing, but a deny of the group may take from them.
        concerned.extend(self::concerned(desired, &groups));
        let after = granted(&concerned, &groups, &policies, now)?;
        let losses = before.into_iter().filter_map(|(key, scope)| {
            let nothing = Scope::default();
            let scope = lost(&scope, after.get(&key).unwrap_or(&nothing));
            let (client_id, audience) = key;
            (!scope.is_empty()).then_some(Loss {
                client_id,
                audience,
                scope,
            })
        });
        let losses = losses.collect();
        if dry_run || plan.is_empty() {
            transaction.rollback().await?;
        } else {
            rights::revoke_excess(&mut transaction, &concerned).await?;
            self.commit_plan(transaction, &plan).await?;
        }
        Ok((plan, losses))
    }

    /// One record for each change, so that each is found by what it is about.
    async fn commit_plan(
        &self,
        mut transaction: Transaction<'static, Engine>,
        plan: &Plan,
    ) -> Result<(), StoreError> {
        for name in &plan.new_groups {
            self.record_within(&mut transaction, Deed::done("group.add", name, ""))
                .await?;
        }
        let members = [
            ("added", &plan.new_members),
            ("removed", &plan.gone_members),
        ];
        for (what, pairs) in members {
            for (group, client) in pairs {
                let detail = format!("{what} {client}");
                let deed = Deed::done("group.members", group, &detail);
                self.record_within(&mut transaction, deed).await?;
            }
        }
        let policies = [
            ("policy.add", &plan.new_policies),
            ("policy.remove", &plan.gone_policies),
        ];
        for (action, policies) in policies {
            for policy in policies {
                let (object, detail) = (policy.subject.to_string(), policy.to_string());
                let deed = Deed::done(action, &object, &detail);
                self.record_within(&mut transaction, deed).await?;
            }
        }
        self.finish(transaction).await
    }
}

async fn carry_out(
    transaction: &mut Transaction<'static, Engine>,
    plan: &Plan,
) -> Result<(), StoreError> {
    for name in &plan.new_groups {
        groups::insert_group(transaction, name).await?;
    }
    for (group, client) in &plan.gone_members {
        groups::delete_member(transaction, group, client).await?;
    }
    for (group, client) in &plan.new_members {
        groups::insert_member(transaction, group, client).await?;
    }
    for policy in &plan.gone_policies {
        policies::delete(transaction, policy.id).await?;
    }
    for policy in &plan.new_policies {
        policies::insert(transaction, policy).await?;
    }
    Ok(())
}

/// The clients that are named, and the members of the groups that are.
fn concerned(desired: &Desired, groups: &[Group]) -> BTreeSet<String> {
    let mut clients = BTreeSet::new();
    let mut named: BTreeSet<&String> = desired.members.keys().collect();
    for subject in desired.rules.keys() {
        match subject {
            Subject::Client(name) => {
                clients.insert(name.clone());
            }
            Subject::Group(name) => {
                named.insert(name);
            }
        }
    }
    for group in groups.iter().filter(|group| named.contains(&group.name)) {
        clients.extend(group.members.iter().cloned());
    }
    clients
}

fn granted(
    clients: &BTreeSet<String>,
    groups: &[Group],
    policies: &[Policy],
    now: UnixTime,
) -> Result<Granted, StoreError> {
    let mut granted = Granted::new();
    for client in clients {
        let bears = |policy: &&Policy| match &policy.subject {
            Subject::Client(name) => name == client,
            Subject::Group(name) => groups
                .iter()
                .any(|group| group.name == *name && group.members.contains(client)),
        };
        let client_id = ClientId::parse(client).map_err(|_| corrupt("client"))?;
        let mut rules: BTreeMap<&str, Vec<Rule>> = BTreeMap::new();
        for policy in policies.iter().filter(bears) {
            let rule = policy.for_client(client_id);
            let rule = rule.map_err(|_| corrupt("policy"))?;
            rules.entry(&policy.audience).or_default().push(rule);
        }
        for (audience, rules) in rules {
            let key = (client.clone(), audience.to_owned());
            granted.insert(key, whole_scope(&rules, now));
        }
    }
    Ok(granted)
}
