//! `symbolon group`: devices that share policies.

use crate::{
    administration::Place,
    exit::missing,
    output::{self, OutputArgs},
};
use symbolon_auth_server::admin::model::MemberChange;

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
        place: Place,
    },
    /// Remove devices from a group; without any, the group with its policies
    Remove {
        /// The group's name
        name: String,
        /// Devices that are to be members no more
        clients: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List the groups
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the members of a group
    Members {
        /// The group's name
        name: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
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
                place,
            } => {
                let administration = place.open().await?;
                let known = administration.groups().await?;
                let is_new = !known.iter().any(|group| group.name == name);
                if is_new || clients.is_empty() {
                    administration.add_group(&name).await?;
                }
                let count = clients.len();
                if count > 0 {
                    let change = MemberChange {
                        add: clients,
                        remove: Vec::new(),
                    };
                    administration.change_members(&name, &change).await?;
                }
                println!("group {name}: added {}", counted(count));
            }
            Self::Remove {
                name,
                clients,
                place,
            } => {
                let administration = place.open().await?;
                if clients.is_empty() {
                    administration.remove_group(&name).await?;
                    println!("removed group {name} and its policies");
                    return Ok(());
                }
                let count = clients.len();
                let change = MemberChange {
                    add: Vec::new(),
                    remove: clients,
                };
                administration.change_members(&name, &change).await?;
                println!("group {name}: removed {}", counted(count));
            }
            Self::List { place, output } => {
                let groups = place.open().await?.groups().await?;
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
                place,
                output,
            } => {
                let groups = place.open().await?.groups().await?;
                let group = groups.into_iter().find(|group| group.name == name);
                let group = group.ok_or_else(|| missing("group", &name))?;
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
