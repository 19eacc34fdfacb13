//! `symbolon policy apply`: a file of groups and rules, and what it would change.

use crate::{
    administration::Place,
    allow::{self, Allowed},
    clock,
    exit::usage,
    output::{self, OutputArgs},
    private_file,
};
use chrono::DateTime;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use symbolon_ace_proto::{Scope, UnixTime};
use symbolon_auth_server::admin::model::{
    Desired, DesiredClient, DesiredGroup, Effect, Loss, NewPolicy, Plan, Policy,
};

/// `symbolon policy apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    /// A TOML file of groups and policies; what it does not name stays as it is
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Show what would change and who would lose what, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The broker of policies that name none, if not this configuration's
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    group: BTreeMap<String, Group>,
    #[serde(default)]
    client: BTreeMap<String, Client>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    members: Option<BTreeSet<String>>,
    rule: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    #[serde(default)]
    rule: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    audience: Option<String>,
    from: Option<toml::value::Datetime>,
    until: Option<toml::value::Datetime>,
    token_lifetime_secs: Option<u64>,
}

impl ApplyArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let place = self.file.display();
        let text = private_file::read_text(&self.file)
            .map_err(|error| usage(format!("{place}: {error}")))?;
        let administration = self.place.open().await?;
        let audience = administration.audience(self.audience).await?;
        let desired =
            desired(&text, &audience).map_err(|error| usage(format!("{place}: {error}")))?;
        let plan = administration.apply(desired, self.dry_run).await?;
        if self.output.is_json() {
            return output::print_json(&plan);
        }
        print(&plan)
    }
}

fn desired(text: &str, audience: &str) -> Result<Desired, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut desired = Desired::default();
    for (name, group) in file.group {
        let rules = group.rule;
        let policies = rules.map(|rules| policies(rules, &format!("group {name}"), audience));
        let group = DesiredGroup {
            members: group.members,
            policies: policies.transpose()?,
        };
        desired.groups.insert(name, group);
    }
    for (name, client) in file.client {
        let policies = policies(client.rule, &format!("client {name}"), audience)?;
        desired.clients.insert(name, DesiredClient { policies });
    }
    Ok(desired)
}

/// `of` says in errors whose they are.
fn policies(rules: Vec<Rule>, of: &str, audience: &str) -> Result<Vec<NewPolicy>, String> {
    let mut policies = Vec::new();
    for rule in rules {
        let in_rule = |error: String| format!("{of}: {error}");
        let entries = |texts: &[String]| -> Result<Vec<Allowed>, String> {
            let parsed = texts.iter().map(|text| {
                text.parse()
                    .map_err(|error| format!("{of}: {text:?}: {error}"))
            });
            parsed.collect()
        };
        if rule.allow.is_empty() && rule.deny.is_empty() {
            return Err(in_rule("a rule has `allow` or `deny`".to_owned()));
        }
        if rule.token_lifetime_secs.is_some() && !rule.deny.is_empty() {
            return Err(in_rule("a deny has no token lifetime".to_owned()));
        }
        let like = NewPolicy {
            from: moment(rule.from).map_err(in_rule)?,
            until: moment(rule.until).map_err(in_rule)?,
            token_lifetime_secs: rule.token_lifetime_secs,
            ..allow::anything_at(rule.audience.as_deref().unwrap_or(audience))
        };
        policies.extend(allow::policies(&entries(&rule.allow)?, &like));
        let denying = NewPolicy {
            effect: Effect::Deny,
            ..like
        };
        policies.extend(allow::policies(&entries(&rule.deny)?, &denying));
    }
    Ok(policies)
}

/// A date with a time and an offset: without one it would mean something else elsewhere.
fn moment(date: Option<toml::value::Datetime>) -> Result<Option<u64>, String> {
    let Some(date) = date else {
        return Ok(None);
    };
    let text = date.to_string();
    let wrong = || format!("{text}: expected a date and time with an offset, 2026-12-01T00:00:00Z");
    let date = DateTime::parse_from_rfc3339(&text).map_err(|_| wrong())?;
    let secs = u64::try_from(date.timestamp()).map_err(|_| wrong())?;
    Ok(Some(secs))
}

fn print(plan: &Plan) -> anyhow::Result<()> {
    for group in &plan.new_groups {
        println!("+ group {group}");
    }
    for (group, client) in &plan.new_members {
        println!("+ {client} in group {group}");
    }
    for (group, client) in &plan.gone_members {
        println!("- {client} in group {group}");
    }
    for policy in &plan.gone_policies {
        println!("- policy {}, {}", policy.id, line(policy));
    }
    for policy in &plan.new_policies {
        println!("+ {}", line(policy));
    }
    plan.losses.iter().try_for_each(print_loss)?;
    match (plan.is_empty(), plan.dry_run) {
        (true, _) => println!("nothing to change"),
        (false, true) => println!("nothing was changed: --dry-run"),
        (false, false) => println!("done; tokens that are out run out in their time"),
    }
    Ok(())
}

fn line(policy: &Policy) -> String {
    let subject = match (&policy.client_id, &policy.group) {
        (Some(name), _) => format!("client {name}"),
        (None, group) => format!("group {}", group.as_deref().unwrap_or_default()),
    };
    format!(
        "{subject}: {} {} {} at {}",
        policy.effect.as_str(),
        allow::words(&policy.permissions),
        policy.filter,
        policy.audience
    )
}

fn print_loss(loss: &Loss) -> anyhow::Result<()> {
    let out = match (loss.tokens, loss.until) {
        (count @ 1.., Some(until)) => {
            let until = clock::local(UnixTime(until));
            format!("; tokens out: {count}, until {until}")
        }
        (_, _) => String::new(),
    };
    for entry in Scope::from_json(&loss.scope.to_string())?.entries() {
        let may = allow::words(&allow::permissions(entry.publish, entry.subscribe));
        println!(
            "! {} loses {may} {} at {}{out}",
            loss.client_id,
            entry.filter.as_str(),
            loss.audience
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_groups_members_and_rules() {
        let text = r#"
            [group.meters]
            members = ["m2", "m1"]
            [[group.meters.rule]]
            allow = ["pub:meters/${client_id}/#", "sub:set/${group}"]
            until = 2027-01-01T00:00:00Z
            token_lifetime_secs = 60
            [[group.meters.rule]]
            deny = ["pub:meters/+/secret"]
            [client.m1]
        "#;
        let desired = desired(text, "broker").unwrap();
        let meters = &desired.groups["meters"];
        assert_eq!(meters.members.as_ref().unwrap().len(), 2);
        let rules = meters.policies.as_ref().unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[0].until, Some(1_798_761_600));
        assert_eq!(rules[2].effect, Effect::Deny);
        assert_eq!(rules[2].audience, "broker");
        assert_eq!(desired.clients["m1"].policies, []);
    }

    #[test]
    fn what_a_file_must_not_say_is_told() {
        for (text, told) in [
            ("[group.g]\nmember = []", "member"),
            (
                "[[client.c.rule]]\nallow = [\"a/b\"]",
                "expected pub:FILTER",
            ),
            ("[[client.c.rule]]", "`allow` or `deny`"),
            (
                "[[client.c.rule]]\nallow = [\"pub:a\"]\nfrom = 2027-01-01",
                "with an offset",
            ),
            (
                "[[client.c.rule]]\ndeny = [\"pub:a\"]\ntoken_lifetime_secs = 1",
                "no token lifetime",
            ),
        ] {
            let error = desired(text, "broker").unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
