//! `symbolon group`: devices that share policies.

use crate::{
    config::DirectoryArg,
    output::{self, OutputArgs},
    registry,
};
use symbolon_auth_server::store::{Group, StoreError};

/// `symbolon group ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum GroupCommand {
    /// Make a group, or add devices to one
    Add {
        /// The group's name
        name: String,
        /// Devices that are to be members
        clients: Vec<String>,
        #[command(flatten)]
        directory: DirectoryArg,
    },
    /// Remove devices from a group; without any, the group with its policies
    Remove {
        /// The group's name
        name: String,
        /// Devices that are to be members no more
        clients: Vec<String>,
        #[command(flatten)]
        directory: DirectoryArg,
    },
    /// List the groups
    List {
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the members of a group
    Members {
        /// The group's name
        name: String,
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(serde::Serialize)]
struct ShownGroup {
    name: String,
    members: Vec<String>,
}

impl From<Group> for ShownGroup {
    fn from(Group { name, members }: Group) -> Self {
        Self { name, members }
    }
}

impl GroupCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::Add {
                name,
                clients,
                directory,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                let known = store.groups().await?;
                let is_new = !known.iter().any(|group| group.name == name);
                if is_new || clients.is_empty() {
                    store.add_group(&name).await?;
                }
                if !clients.is_empty() {
                    store.change_members(&name, &clients, &[]).await?;
                }
                println!("group {name}: added {}", counted(clients.len()));
            }
            Self::Remove {
                name,
                clients,
                directory,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                if clients.is_empty() {
                    store.remove_group(&name).await?;
                    println!("removed group {name} and its policies");
                } else {
                    store.change_members(&name, &[], &clients).await?;
                    println!("group {name}: removed {}", counted(clients.len()));
                }
            }
            Self::List { directory, output } => {
                let store = registry::open(&directory.settings()?).await?;
                let groups = store.groups().await?.into_iter().map(ShownGroup::from);
                let groups: Vec<ShownGroup> = groups.collect();
                if output.is_json() {
                    return output::print_json(&groups);
                }
                let rows = groups
                    .iter()
                    .map(|group| vec![group.name.clone(), group.members.len().to_string()]);
                output::print_table(&["GROUP", "MEMBERS"], &rows.collect::<Vec<_>>())?;
            }
            Self::Members {
                name,
                directory,
                output,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                let groups = store.groups().await?;
                let group = groups.into_iter().find(|group| group.name == name);
                let group = group.ok_or(StoreError::NotFound("group", name))?;
                if output.is_json() {
                    return output::print_json(&group.members);
                }
                group.members.iter().for_each(|member| println!("{member}"));
            }
        }
        Ok(())
    }
}

fn counted(members: usize) -> String {
    match members {
        0 => "no member".to_owned(),
        1 => "1 member".to_owned(),
        count => format!("{count} members"),
    }
}
