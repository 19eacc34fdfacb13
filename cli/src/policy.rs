//! `symbolon policy`: who may do what.
//!
//! | module | holds |
//! |---|---|
//! | [`apply`] | a file of groups and rules |
//! | [`explain`] | `policy test`, and `symbolon why` |

mod apply;
pub(crate) mod explain;

use crate::{
    administration::{Administration, AdministrationError, Place, Subjects},
    allow::{self, Allowed},
    clock,
    moment::Moment,
    output::{self, OutputArgs},
};
use symbolon_auth_server::admin::model::{Effect, NewPolicy, Policy};

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
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove a policy; tokens that have it run out in their time
    Remove {
        /// The policy's number, as `policy list` shows it
        id: i64,
        #[command(flatten)]
        place: Place,
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
    place: Place,
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
                place,
                output,
            } => {
                let of = Subjects {
                    client: client.as_deref(),
                    group: group.as_deref(),
                };
                print(&place.open().await?.policies(of).await?, output)
            }
            Self::Remove { id, place } => {
                place.open().await?.remove_policy(id).await?;
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
        let administration = self.place.open().await?;
        let audience = administration.audience(self.audience).await?;
        let like = NewPolicy {
            client_id: self.client,
            group: self.group,
            from: self.from.map(|moment| moment.0.0),
            until: self.until.map(|moment| moment.0.0),
            token_lifetime_secs: self.token_lifetime_secs,
            owner: self.owner,
            ..allow::anything_at(&audience)
        };
        let denying = NewPolicy {
            effect: Effect::Deny,
            ..like.clone()
        };
        let mut added = Vec::new();
        let policies = allow::policies(&self.allow, &like).into_iter();
        for policy in policies.chain(allow::policies(&self.deny, &denying)) {
            added.push(administration.add_policy(&policy).await?);
        }
        print(&added, self.output)?;
        match warn_of_cuts(&administration, &added).await {
            // Resource owners do not see what others grant and deny.
            Err(error) if error.refuses_the_account() => Ok(()),
            warned => Ok(warned?),
        }
    }
}

/// A scope has no "but not": what a deny cuts is said at once, and not first when a device asks.
async fn warn_of_cuts(
    administration: &Administration,
    added: &[Policy],
) -> Result<(), AdministrationError> {
    let groups = administration.groups().await?;
    let mut clients: Vec<(&str, &str)> = Vec::new();
    for policy in added {
        let names = policy.client_id.iter().map(String::as_str);
        // The rules of a group are alike for all of its members: one stands for them.
        let group = groups
            .iter()
            .filter(|group| Some(&group.name) == policy.group.as_ref())
            .filter_map(|group| group.members.first().map(String::as_str));
        for name in names.chain(group) {
            if !clients.contains(&(name, &policy.audience)) {
                clients.push((name, &policy.audience));
            }
        }
    }
    for (client, audience) in clients {
        for cut in administration.scope(client, audience).await?.cuts {
            eprintln!(
                "note: policy {} allows {client} {}, of which policy {} denies a part that leaves no Topic Filter: \
                 the device gets nothing of it unless it asks for less",
                cut.policy, cut.filter, cut.cut_by
            );
        }
    }
    Ok(())
}

fn print(policies: &[Policy], output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&policies);
    }
    print_table(policies)
}

/// For people.
pub(crate) fn print_table(policies: &[Policy]) -> anyhow::Result<()> {
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
                policy.effect.as_str().to_owned(),
                allow::words(&policy.permissions),
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
