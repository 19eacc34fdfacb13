//! `symbolon policy`: who may do what.

use crate::{
    allow::{self, Allowed},
    config::DirectoryArg,
    output::{self, OutputArgs},
    registry,
};
use symbolon_auth_server::store::{Policy, StoreError};

/// `symbolon policy ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PolicyCommand {
    /// Let a device do more; its next token has it, once its profile's scope asks for it
    Add {
        /// The device's name
        client: String,
        #[command(flatten)]
        directory: DirectoryArg,
        /// What it may do: pub:FILTER, sub:FILTER or pubsub:FILTER; `${client_id}` in FILTER stands for its name
        #[arg(long, value_name = "pub:FILTER", required = true)]
        allow: Vec<Allowed>,
        /// The longest life of a token that uses it, seconds (default: the server's)
        #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
        token_lifetime_secs: Option<u64>,
        /// The broker it is for, if not this configuration's
        #[arg(long, value_name = "TEXT")]
        audience: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List policies, of one device or of all
    List {
        /// The device's name
        client: Option<String>,
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
}

/// A policy as it is printed.
#[derive(Debug, serde::Serialize)]
pub(crate) struct ShownPolicy {
    id: i64,
    client_id: String,
    audience: String,
    filter: String,
    permissions: Vec<&'static str>,
    token_lifetime_secs: Option<u64>,
}

impl From<&Policy> for ShownPolicy {
    fn from(policy: &Policy) -> Self {
        Self {
            id: policy.id,
            client_id: policy.client_id.clone(),
            audience: policy.audience.clone(),
            filter: policy.filter.clone(),
            permissions: allow::permissions(policy.publish, policy.subscribe),
            token_lifetime_secs: policy.token_lifetime_secs,
        }
    }
}

impl PolicyCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::Add {
                client,
                directory,
                allow,
                token_lifetime_secs,
                audience,
                output,
            } => {
                let settings = directory.settings()?;
                let audience = registry::audience(&settings, audience)?;
                let store = registry::open(&settings).await?;
                if store.client(&client).await?.is_none() {
                    return Err(StoreError::NotFound("client", client).into());
                }
                let mut added = Vec::new();
                for mut policy in allow::policies(&allow, &client, &audience, token_lifetime_secs) {
                    policy.id = store.add_policy(&policy).await?;
                    added.push(ShownPolicy::from(&policy));
                }
                print(&added, output)
            }
            Self::List {
                client,
                directory,
                output,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                let policies = store.policies(client.as_deref()).await?;
                let shown: Vec<ShownPolicy> = policies.iter().map(ShownPolicy::from).collect();
                print(&shown, output)
            }
            Self::Remove { id, directory } => {
                let store = registry::open(&directory.settings()?).await?;
                store.remove_policy(id).await?;
                println!("removed policy {id}");
                Ok(())
            }
        }
    }
}

fn print(policies: &[ShownPolicy], output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&policies);
    }
    print_table(policies)
}

/// For people.
pub(crate) fn print_table(policies: &[ShownPolicy]) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = policies
        .iter()
        .map(|policy| {
            let lifetime = policy
                .token_lifetime_secs
                .map_or_else(|| "default".to_owned(), |secs| format!("{secs} s"));
            vec![
                policy.id.to_string(),
                policy.client_id.clone(),
                policy.permissions.join(" "),
                policy.filter.clone(),
                policy.audience.clone(),
                lifetime,
            ]
        })
        .collect();
    output::print_table(
        &["ID", "CLIENT", "MAY", "FILTER", "AUDIENCE", "TOKEN LIFE"],
        &rows,
    )
}
