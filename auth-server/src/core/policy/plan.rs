//! From the groups and rules there are to those there shall be, and who loses what by it.

use super::rule::{Policy, Subject};
use std::collections::{BTreeMap, BTreeSet};
use symbolon_ace_proto::{Scope, ScopeEntry};

/// How it shall be. What is not named in it stays as it is; so does what an owner granted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Desired {
    /// For each group named all of its members.
    pub members: BTreeMap<String, BTreeSet<String>>,
    /// For each client and group named all of its rules that no owner granted.
    pub rules: BTreeMap<Subject, Vec<Policy>>,
}

/// A group of clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// Its name; what `${group}` stands for.
    pub name: String,
    /// The identifiers of its members, in their order.
    pub members: Vec<String>,
}

/// What has to be done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Groups to make.
    pub new_groups: Vec<String>,
    /// Group and client.
    pub new_members: Vec<(String, String)>,
    /// Group and client.
    pub gone_members: Vec<(String, String)>,
    /// Rules to add.
    pub new_policies: Vec<Policy>,
    /// Rules to remove.
    pub gone_policies: Vec<Policy>,
}

/// What a client loses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loss {
    /// The client.
    pub client_id: String,
    /// Where.
    pub audience: String,
    /// Filters that it could be granted before, and cannot any more.
    pub scope: Scope,
}

impl Plan {
    /// Whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn from_to(groups: &[Group], policies: &[Policy], desired: &Desired) -> Self {
        let mut plan = Self::default();
        for (name, members) in &desired.members {
            let known = groups.iter().find(|group| group.name == *name);
            if known.is_none() {
                plan.new_groups.push(name.clone());
            }
            let before: BTreeSet<&String> = known
                .map(|group| group.members.iter().collect())
                .unwrap_or_default();
            let after: BTreeSet<&String> = members.iter().collect();
            let named = |client: &&String| (name.clone(), (*client).clone());
            plan.new_members
                .extend(after.difference(&before).map(named));
            plan.gone_members
                .extend(before.difference(&after).map(named));
        }
        for (subject, rules) in &desired.rules {
            let before: Vec<&Policy> = policies
                .iter()
                .filter(|policy| policy.subject == *subject && policy.granted_by.is_none())
                .collect();
            let mut after: Vec<&Policy> = Vec::new();
            for rule in rules {
                if !after.iter().any(|known| say_the_same(known, rule)) {
                    after.push(rule);
                }
            }
            let missing = |from: &[&Policy], of: &[&Policy]| -> Vec<Policy> {
                of.iter()
                    .filter(|one| !from.iter().any(|other| say_the_same(one, other)))
                    .map(|one| (*one).clone())
                    .collect()
            };
            plan.new_policies.extend(missing(&before, &after));
            plan.gone_policies.extend(missing(&after, &before));
        }
        plan
    }
}

fn say_the_same(one: &Policy, other: &Policy) -> bool {
    *one == Policy {
        id: one.id,
        ..other.clone()
    }
}

/// What of `before` no entry of `after` says.
pub(crate) fn lost(before: &Scope, after: &Scope) -> Scope {
    let entries = before.entries().iter().map(|entry| {
        let still = |given: fn(&ScopeEntry) -> bool| {
            let mut entries = after.entries().iter();
            entries.any(|other| given(other) && other.filter.covers(&entry.filter))
        };
        ScopeEntry {
            filter: entry.filter.clone(),
            publish: entry.publish && !still(|entry| entry.publish),
            subscribe: entry.subscribe && !still(|entry| entry.subscribe),
        }
    });
    Scope::from_entries(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(id: i64, client: &str, filter: &str) -> Policy {
        Policy {
            id,
            ..Policy::allow(client, "broker", filter)
        }
    }

    #[test]
    fn what_is_named_becomes_as_it_is_said_and_the_rest_stays() {
        let groups = [Group {
            name: "g".to_owned(),
            members: vec!["a".to_owned(), "b".to_owned()],
        }];
        let mut owned = policy(3, "a", "z");
        owned.granted_by = Some("owner".to_owned());
        let policies = [
            policy(1, "a", "x"),
            policy(2, "a", "y"),
            owned,
            policy(4, "b", "x"),
        ];
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let desired = Desired {
            members: BTreeMap::from([
                ("g".to_owned(), names(&["b", "c"])),
                ("h".to_owned(), names(&[])),
            ]),
            rules: BTreeMap::from([(
                Subject::Client("a".to_owned()),
                vec![
                    policy(0, "a", "y"),
                    policy(0, "a", "w"),
                    policy(0, "a", "w"),
                ],
            )]),
        };
        let plan = Plan::from_to(&groups, &policies, &desired);
        let pair = |group: &str, client: &str| (group.to_owned(), client.to_owned());
        let expected = Plan {
            new_groups: vec!["h".to_owned()],
            new_members: vec![pair("g", "c")],
            gone_members: vec![pair("g", "a")],
            new_policies: vec![policy(0, "a", "w")],
            gone_policies: vec![policy(1, "a", "x")],
        };
        assert_eq!(plan, expected);
        let nothing = Plan::from_to(&groups, &policies, &Desired::default());
        assert!(nothing.is_empty());
    }

    #[test]
    fn what_a_wider_entry_still_says_is_not_lost() {
        let scope = |json| Scope::from_json(json).unwrap();
        let before = scope(r#"[["a/b",["pub","sub"]],["c",["pub"]]]"#);
        let after = scope(r#"[["a/#",["pub"]]]"#);
        let expected = scope(r#"[["a/b",["sub"]],["c",["pub"]]]"#);
        assert_eq!(lost(&before, &after), expected);
    }
}
