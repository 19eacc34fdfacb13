//! `symbolon owner`: who owns which topics, and may grant within them.

use crate::{
    config::{DirectoryArg, Settings},
    exit::usage,
    output::{self, OutputArgs},
    registry,
};
use symbolon_auth_server::store::{Owner, Tree};
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
        directory: DirectoryArg,
    },
    /// Take topics from an owner, or remove one, with the policies that they granted and that then lie outside
    Remove {
        /// The owner's name
        name: String,
        #[command(flatten)]
        trees: Trees,
        #[command(flatten)]
        directory: DirectoryArg,
    },
    /// List owners and what they own
    List {
        #[command(flatten)]
        directory: DirectoryArg,
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

#[derive(serde::Serialize)]
struct ShownOwner {
    name: String,
    trees: Vec<ShownTree>,
}

#[derive(serde::Serialize)]
struct ShownTree {
    audience: String,
    filter: String,
}

impl OwnerCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::Add {
                name,
                trees,
                directory,
            } => {
                let settings = directory.settings()?;
                let trees = trees.parse(&settings)?;
                if trees.is_empty() {
                    return Err(usage("say what they own, with --tree FILTER"));
                }
                let store = registry::open(&settings).await?;
                let owner = Owner { name, trees };
                store.add_owner(&owner).await?;
                for tree in &owner.trees {
                    println!("{} owns {}", owner.name, tree.filter.as_str());
                }
            }
            Self::Remove {
                name,
                trees,
                directory,
            } => {
                let settings = directory.settings()?;
                let trees = trees.parse(&settings)?;
                let store = registry::open(&settings).await?;
                let gone = store.remove_owner(&name, &trees).await?;
                match trees.len() {
                    0 => println!("removed owner {name}"),
                    _ => println!("{name} owns less"),
                }
                for policy in gone {
                    println!("removed policy {}, {policy}", policy.id);
                }
            }
            Self::List { directory, output } => {
                let store = registry::open(&directory.settings()?).await?;
                return list(store.owners().await?, output);
            }
        }
        Ok(())
    }
}

fn list(owners: Vec<Owner>, output: OutputArgs) -> anyhow::Result<()> {
    let shown = owners.into_iter().map(|owner| ShownOwner {
        name: owner.name,
        trees: owner
            .trees
            .into_iter()
            .map(|tree| ShownTree {
                audience: tree.audience,
                filter: tree.filter.as_str().to_owned(),
            })
            .collect(),
    });
    let shown: Vec<ShownOwner> = shown.collect();
    if output.is_json() {
        return output::print_json(&shown);
    }
    let mut rows = Vec::new();
    for owner in &shown {
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
    fn parse(self, settings: &Settings) -> anyhow::Result<Vec<Tree>> {
        if self.tree.is_empty() {
            return Ok(Vec::new());
        }
        let audience = registry::audience(settings, self.audience)?;
        let trees = self.tree.iter().map(|text| {
            let filter = TopicFilter::parse(text);
            let filter = filter.map_err(|error| usage(format!("--tree {text}: {error}")))?;
            Ok(Tree {
                audience: audience.clone(),
                filter,
            })
        });
        trees.collect()
    }
}
