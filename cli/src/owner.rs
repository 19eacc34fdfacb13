//! `symbolon owner`: who owns which topics, and may grant within them.

use crate::{
    administration::{Administration, Place},
    exit::usage,
    output::{self, OutputArgs},
};
use symbolon_auth_server::{
    admin::model::{Owner, Tree},
    store,
};
use symbolon_mqtt_proto::TopicFilter;

/// `symbolon owner ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum OwnerCommand {
    /// Make a resource owner, or give one more
    Add {
        /// The owner's name
        name: String,
        #[command(flatten)]
        trees: Trees,
        #[command(flatten)]
        place: Place,
    },
    /// Take topics from an owner, or remove one, with the policies that they granted and that then lie outside
    Remove {
        /// The owner's name
        name: String,
        #[command(flatten)]
        trees: Trees,
        #[command(flatten)]
        place: Place,
    },
    /// List owners and what they own
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// What is owned.
#[derive(Debug, clap::Args)]
pub(crate) struct Trees {
    /// A Topic Filter; all that it matches is the owner's to grant
    #[arg(long, value_name = "FILTER")]
    tree: Vec<String>,
    /// At which broker, if not this configuration's
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
}

impl OwnerCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::Add { name, trees, place } => {
                if trees.tree.is_empty() {
                    return Err(usage("say what they own, with --tree FILTER"));
                }
                let administration = place.open().await?;
                let trees = trees.parse(&administration).await?;
                let owner = Owner { name, trees };
                administration.add_owner(&owner).await?;
                for tree in &owner.trees {
                    println!("{} owns {}", owner.name, tree.filter);
                }
            }
            Self::Remove { name, trees, place } => {
                let administration = place.open().await?;
                let trees = trees.parse(&administration).await?;
                let is_whole = trees.is_empty();
                let gone = administration.remove_owner(&name, trees).await?;
                if is_whole {
                    println!("removed owner {name}");
                } else {
                    println!("{name} owns less");
                }
                for policy in gone.policies {
                    let policy = store::Policy::try_from(policy)?;
                    println!("removed policy {}, {policy}", policy.id);
                }
            }
            Self::List { place, output } => {
                return list(&place.open().await?.owners().await?, output);
            }
        }
        Ok(())
    }
}

fn list(shown: &[Owner], output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&shown);
    }
    let mut rows = Vec::new();
    for owner in shown {
        if owner.trees.is_empty() {
            rows.push(vec![owner.name.clone(), String::new(), String::new()]);
        }
        rows.extend(owner.trees.iter().map(|tree| {
            let (filter, audience) = (tree.filter.clone(), tree.audience.clone());
            vec![owner.name.clone(), filter, audience]
        }));
    }
    output::print_table(&["OWNER", "OWNS", "AUDIENCE"], &rows)
}

impl Trees {
    async fn parse(self, administration: &Administration) -> anyhow::Result<Vec<Tree>> {
        if self.tree.is_empty() {
            return Ok(Vec::new());
        }
        let audience = administration.audience(self.audience).await?;
        let trees = self.tree.into_iter().map(|filter| {
            TopicFilter::parse(&filter)
                .map_err(|error| usage(format!("--tree {filter}: {error}")))?;
            Ok(Tree {
                audience: audience.clone(),
                filter,
            })
        });
        trees.collect()
    }
}
