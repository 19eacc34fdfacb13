//! `symbolon policy`: who may do what.
//!
//! | module | holds |
//! |---|---|
//! | [`apply`] | a file of groups and rules |
//! | [`explain`] | `policy test`, and `symbolon why` |

mod apply;
pub(crate) mod explain;

use crate::{
    allow::{self, Allowed},
    clock,
    config::DirectoryArg,
    exit::usage,
    moment::Moment,
    output::{self, OutputArgs},
    registry,
};
use symbolon_auth_server::store::{Effect, Policy, Store, Subject, Validity};

/// `symbolon policy ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PolicyCommand {
    /// Let a device or a group do more, or less; its next token has it, once its profile's scope asks for it
    Add(Box<AddArgs>),
    /// List policies: all, those of a device with those of its groups, or those of a group
    List {
        /// The device's name
        #[arg(conflicts_with = "group")]
        client: Option<String>,
        /// The group's name
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove a policy; tokens that have it run out in their time
    Remove {
        /// The policy's number, as `policy list` shows it
        id: i64,
        #[command(flatten)]
        directory: DirectoryArg,
    },
    /// Say whether a device may use a topic, and which policy decides; ends with code 1 if it may not
    Test(explain::TestArgs),
    /// Make groups and policies as a file says
    Apply(apply::ApplyArgs),
}

/// `symbolon policy add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The device's name
    #[arg(required_unless_present = "group", conflicts_with = "group")]
    client: Option<String>,
    /// The group's name, instead of a device's
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    #[command(flatten)]
    directory: DirectoryArg,
    /// What it may do: pub:FILTER, sub:FILTER or pubsub:FILTER; `${client_id}` in FILTER stands for the device's name, `${group}` for the group's
    #[arg(long, value_name = "pub:FILTER", required_unless_present = "deny")]
    allow: Vec<Allowed>,
    /// What it must not do, whatever allows it, in the same way
    #[arg(long, value_name = "pub:FILTER")]
    deny: Vec<Allowed>,
    /// From when on: a date like 2026-12-01T00:00:00Z, or 30s, 15m, 12h, 30d from now
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Until when; no token lives longer
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// The longest life of a token that uses it, seconds (default: the server's)
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "deny")]
    token_lifetime_secs: Option<u64>,
    /// In the name of this resource owner, who must own what it is about
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// The broker it is for, if not this configuration's
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A policy as it is printed.
#[derive(Debug, serde::Serialize)]
pub(crate) struct ShownPolicy {
    id: i64,
    client_id: Option<String>,
    group: Option<String>,
    effect: &'static str,
    audience: String,
    filter: String,
    permissions: Vec<&'static str>,
    from: Option<u64>,
    until: Option<u64>,
    token_lifetime_secs: Option<u64>,
    owner: Option<String>,
}

impl From<&Policy> for ShownPolicy {
    fn from(policy: &Policy) -> Self {
        let (client_id, group) = match &policy.subject {
            Subject::Client(name) => (Some(name.clone()), None),
            Subject::Group(name) => (None, Some(name.clone())),
        };
        Self {
            id: policy.id,
            client_id,
            group,
            effect: effect(policy.effect),
            audience: policy.audience.clone(),
            filter: policy.filter.clone(),
            permissions: allow::permissions(policy.publish, policy.subscribe),
            from: policy.validity.from.map(|time| time.0),
            until: policy.validity.until.map(|time| time.0),
            token_lifetime_secs: policy.token_lifetime_secs,
            owner: policy.granted_by.clone(),
        }
    }
}

impl PolicyCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::Add(arguments) => arguments.run().await,
            Self::List {
                client,
                group,
                directory,
                output,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                let mut policies = store.policies(client.as_deref()).await?;
                if let Some(group) = group {
                    policies.retain(|policy| policy.subject == Subject::Group(group.clone()));
                }
                let shown: Vec<ShownPolicy> = policies.iter().map(ShownPolicy::from).collect();
                print(&shown, output)
            }
            Self::Remove { id, directory } => {
                let store = registry::open(&directory.settings()?).await?;
                store.remove_policy(id).await?;
                println!("removed policy {id}");
                Ok(())
            }
            Self::Test(arguments) => arguments.run().await,
            Self::Apply(arguments) => arguments.run().await,
        }
    }
}

impl AddArgs {
    async fn run(self) -> anyhow::Result<()> {
        let settings = self.directory.settings()?;
        let audience = registry::audience(&settings, self.audience)?;
        let subject = match (self.client, self.group) {
            (Some(client), _) => Subject::Client(client),
            (None, Some(group)) => Subject::Group(group),
            (None, None) => return Err(usage("name a device, or a group with --group")),
        };
        let like = Policy {
            subject,
            validity: Validity {
                from: self.from.map(|moment| moment.0),
                until: self.until.map(|moment| moment.0),
            },
            token_lifetime_secs: self.token_lifetime_secs,
            granted_by: self.owner,
            ..Policy::allow("", &audience, "")
        };
        let denying = Policy {
            effect: Effect::Deny,
            ..like.clone()
        };
        let store = registry::open(&settings).await?;
        let mut added = Vec::new();
        let policies = allow::policies(&self.allow, &like).into_iter();
        for mut policy in policies.chain(allow::policies(&self.deny, &denying)) {
            policy.id = store.add_policy(&policy).await?;
            added.push(policy);
        }
        let shown: Vec<ShownPolicy> = added.iter().map(ShownPolicy::from).collect();
        print(&shown, self.output)?;
        warn_of_cuts(&store, &added).await
    }
}

/// A scope has no "but not": what a deny cuts is said at once, and not first when a device asks.
async fn warn_of_cuts(store: &Store, added: &[Policy]) -> anyhow::Result<()> {
    let members = store.groups().await?;
    let mut clients: Vec<(&str, &str)> = Vec::new();
    for policy in added {
        let names: Vec<&str> = match &policy.subject {
            Subject::Client(name) => vec![name],
            // The rules of a group are alike for all of its members: one stands for them.
            Subject::Group(name) => members
                .iter()
                .filter(|group| group.name == *name)
                .filter_map(|group| group.members.first().map(String::as_str))
                .collect(),
        };
        for name in names {
            if !clients.contains(&(name, &policy.audience)) {
                clients.push((name, &policy.audience));
            }
        }
    }
    for (client, audience) in clients {
        for cut in store.cuts(client, audience, clock::now()).await? {
            eprintln!(
                "note: policy {} allows {client} {}, of which policy {} denies a part that leaves no Topic Filter: \
                 the device gets nothing of it unless it asks for less",
                cut.policy.id,
                cut.filter.as_str(),
                cut.cut_by.unwrap_or_default()
            );
        }
    }
    Ok(())
}

fn print(policies: &[ShownPolicy], output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&policies);
    }
    print_table(policies)
}

pub(crate) fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

/// For people.
pub(crate) fn print_table(policies: &[ShownPolicy]) -> anyhow::Result<()> {
    let time = |secs: Option<u64>| {
        secs.map_or_else(String::new, |secs| {
            clock::local(symbolon_ace_proto::UnixTime(secs))
        })
    };
    let rows: Vec<Vec<String>> = policies
        .iter()
        .map(|policy| {
            let lifetime = policy
                .token_lifetime_secs
                .map_or_else(|| "default".to_owned(), |secs| format!("{secs} s"));
            let subject = match (&policy.client_id, &policy.group) {
                (Some(name), _) => name.clone(),
                (None, group) => format!("group {}", group.as_deref().unwrap_or_default()),
            };
            vec![
                policy.id.to_string(),
                subject,
                policy.effect.to_owned(),
                policy.permissions.join(" "),
                policy.filter.clone(),
                policy.audience.clone(),
                lifetime,
                time(policy.from),
                time(policy.until),
                policy.owner.clone().unwrap_or_default(),
            ]
        })
        .collect();
    output::print_table(
        &[
            "ID",
            "CLIENT",
            "EFFECT",
            "WHAT",
            "FILTER",
            "AUDIENCE",
            "TOKEN LIFE",
            "FROM",
            "UNTIL",
            "OWNER",
        ],
        &rows,
    )
}
