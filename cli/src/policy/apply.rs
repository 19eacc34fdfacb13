//! `symbolon policy apply`: a file of groups and rules, and what it would change.

use super::{ShownPolicy, effect};
use crate::{
    allow::{self, Allowed},
    clock,
    config::DirectoryArg,
    exit::usage,
    output::{self, OutputArgs},
    private_file, registry,
};
use chrono::DateTime;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use symbolon_ace_proto::UnixTime;
use symbolon_auth_server::store::{
    Desired, Effect, IssuedToken, Loss, Plan, Policy, Subject, Validity,
};

/// `symbolon policy apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    /// A TOML file of groups and policies; what it does not name stays as it is
    file: PathBuf,
    #[command(flatten)]
    directory: DirectoryArg,
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

#[derive(serde::Serialize)]
struct Shown<'a> {
    dry_run: bool,
    new_groups: &'a [String],
    new_members: &'a [(String, String)],
    gone_members: &'a [(String, String)],
    new_policies: Vec<ShownPolicy>,
    gone_policies: Vec<ShownPolicy>,
    losses: Vec<ShownLoss<'a>>,
}

#[derive(serde::Serialize)]
struct ShownLoss<'a> {
    client_id: &'a str,
    audience: &'a str,
    scope: serde_json::Value,
    /// How many of its tokens are good now.
    tokens: usize,
    /// When the last of them expires.
    until: Option<u64>,
}

impl ApplyArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let settings = self.directory.settings()?;
        let audience = registry::audience(&settings, self.audience)?;
        let place = self.file.display();
        let text = private_file::read_text(&self.file)
            .map_err(|error| usage(format!("{place}: {error}")))?;
        let desired =
            desired(&text, &audience).map_err(|error| usage(format!("{place}: {error}")))?;
        let store = registry::open(&settings).await?;
        let now = clock::now();
        // Before the change: it may end some.
        let mut tokens = store.tokens(None, now).await?;
        tokens.retain(|token| token.revoked_at.is_none());
        let (plan, losses) = store.apply(&desired, self.dry_run, now).await?;
        if self.output.is_json() {
            return output::print_json(&shown(&plan, &losses, &tokens, self.dry_run)?);
        }
        print(&plan, &losses, &tokens, self.dry_run);
        Ok(())
    }
}

fn desired(text: &str, audience: &str) -> Result<Desired, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut desired = Desired::default();
    for (name, group) in file.group {
        if let Some(members) = group.members {
            desired.members.insert(name.clone(), members);
        }
        if let Some(rules) = group.rule {
            let subject = Subject::Group(name);
            let policies = policies(rules, &subject, audience)?;
            desired.rules.insert(subject, policies);
        }
    }
    for (name, client) in file.client {
        let subject = Subject::Client(name);
        let policies = policies(client.rule, &subject, audience)?;
        desired.rules.insert(subject, policies);
    }
    Ok(desired)
}

fn policies(rules: Vec<Rule>, subject: &Subject, audience: &str) -> Result<Vec<Policy>, String> {
    let mut policies = Vec::new();
    for rule in rules {
        let in_rule = |error: String| format!("{subject}: {error}");
        let entries = |texts: &[String]| -> Result<Vec<Allowed>, String> {
            let parsed = texts.iter().map(|text| {
                text.parse()
                    .map_err(|error| format!("{subject}: {text:?}: {error}"))
            });
            parsed.collect()
        };
        if rule.allow.is_empty() && rule.deny.is_empty() {
            return Err(in_rule("a rule has `allow` or `deny`".to_owned()));
        }
        if rule.token_lifetime_secs.is_some() && !rule.deny.is_empty() {
            return Err(in_rule("a deny has no token lifetime".to_owned()));
        }
        let like = Policy {
            subject: subject.clone(),
            validity: Validity {
                from: moment(rule.from).map_err(in_rule)?,
                until: moment(rule.until).map_err(in_rule)?,
            },
            token_lifetime_secs: rule.token_lifetime_secs,
            ..Policy::allow("", rule.audience.as_deref().unwrap_or(audience), "")
        };
        policies.extend(allow::policies(&entries(&rule.allow)?, &like));
        let denying = Policy {
            effect: Effect::Deny,
            ..like
        };
        policies.extend(allow::policies(&entries(&rule.deny)?, &denying));
    }
    Ok(policies)
}

/// A date with a time and an offset: without one it would mean something else elsewhere.
fn moment(date: Option<toml::value::Datetime>) -> Result<Option<UnixTime>, String> {
    let Some(date) = date else {
        return Ok(None);
    };
    let text = date.to_string();
    let wrong = || format!("{text}: expected a date and time with an offset, 2026-12-01T00:00:00Z");
    let date = DateTime::parse_from_rfc3339(&text).map_err(|_| wrong())?;
    let secs = u64::try_from(date.timestamp()).map_err(|_| wrong())?;
    Ok(Some(UnixTime(secs)))
}

/// How many tokens of a client are good, and until when the last one is.
fn live(tokens: &[IssuedToken], client_id: &str) -> (usize, Option<UnixTime>) {
    let own = tokens.iter().filter(|token| token.client_id == client_id);
    let until = own.clone().map(|token| token.expires_at).max();
    (own.count(), until)
}

fn shown<'a>(
    plan: &'a Plan,
    losses: &'a [Loss],
    tokens: &[IssuedToken],
    dry_run: bool,
) -> anyhow::Result<Shown<'a>> {
    let losses = losses.iter().map(|loss| {
        let (count, until) = live(tokens, &loss.client_id);
        Ok(ShownLoss {
            tokens: count,
            until: until.map(|until| until.0),
            client_id: &loss.client_id,
            audience: &loss.audience,
            scope: serde_json::from_str(&loss.scope.to_json())?,
        })
    });
    Ok(Shown {
        dry_run,
        new_groups: &plan.new_groups,
        new_members: &plan.new_members,
        gone_members: &plan.gone_members,
        new_policies: plan.new_policies.iter().map(ShownPolicy::from).collect(),
        gone_policies: plan.gone_policies.iter().map(ShownPolicy::from).collect(),
        losses: losses.collect::<anyhow::Result<_>>()?,
    })
}

fn print(plan: &Plan, losses: &[Loss], tokens: &[IssuedToken], dry_run: bool) {
    for group in &plan.new_groups {
        println!("+ group {group}");
    }
    for (group, client) in &plan.new_members {
        println!("+ {client} in group {group}");
    }
    for (group, client) in &plan.gone_members {
        println!("- {client} in group {group}");
    }
    let line = |policy: &Policy| {
        format!(
            "{}: {} {} {} at {}",
            policy.subject,
            effect(policy.effect),
            allow::permissions(policy.publish, policy.subscribe).join(" "),
            policy.filter,
            policy.audience
        )
    };
    for policy in &plan.gone_policies {
        println!("- policy {}, {}", policy.id, line(policy));
    }
    for policy in &plan.new_policies {
        println!("+ {}", line(policy));
    }
    for loss in losses {
        let out = match live(tokens, &loss.client_id) {
            (count @ 1.., Some(until)) => {
                format!("; tokens out: {count}, until {}", clock::local(until))
            }
            (_, _) => String::new(),
        };
        for entry in loss.scope.entries() {
            let may = allow::permissions(entry.publish, entry.subscribe).join(" ");
            println!(
                "! {} loses {may} {} at {}{out}",
                loss.client_id,
                entry.filter.as_str(),
                loss.audience
            );
        }
    }
    match (plan.is_empty(), dry_run) {
        (true, _) => println!("nothing to change"),
        (false, true) => println!("nothing was changed: --dry-run"),
        (false, false) => println!("done; tokens that are out run out in their time"),
    }
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
        assert_eq!(desired.members["meters"].len(), 2);
        let rules = &desired.rules[&Subject::Group("meters".to_owned())];
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[0].validity.until, Some(UnixTime(1_798_761_600)));
        assert_eq!(rules[2].effect, Effect::Deny);
        assert_eq!(rules[2].audience, "broker");
        assert_eq!(desired.rules[&Subject::Client("m1".to_owned())], []);
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
