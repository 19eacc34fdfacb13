//! `symbolon rs group`: audiences that stand for several resource servers (RFC 9200 §6.9).

use crate::{
    config::DirectoryArg,
    output::{self, OutputArgs},
    registry,
};

/// `symbolon rs group ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum GroupCommand {
    /// Let one audience stand for several resource servers; not with HS256 keys
    Add {
        /// The audience
        name: String,
        /// Audiences of registered resource servers
        #[arg(required = true)]
        members: Vec<String>,
        #[command(flatten)]
        directory: DirectoryArg,
    },
    /// List such audiences
    List {
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove such an audience; its resource servers stay
    Remove {
        /// The audience
        name: String,
        #[command(flatten)]
        directory: DirectoryArg,
    },
}

#[derive(serde::Serialize)]
struct Shown {
    name: String,
    members: Vec<String>,
}

impl GroupCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add {
                name,
                members,
                directory,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                store.add_to_audience_group(&name, &members).await?;
                println!("{name} stands for {}", members.join(", "));
                Ok(())
            }
            Self::List { directory, output } => {
                let store = registry::open(&directory.settings()?).await?;
                list(store.audience_groups().await?, output)
            }
            Self::Remove { name, directory } => {
                let store = registry::open(&directory.settings()?).await?;
                store.remove_audience_group(&name).await?;
                println!("removed {name}");
                Ok(())
            }
        }
    }
}

fn list(pairs: Vec<(String, String)>, output: OutputArgs) -> anyhow::Result<()> {
    let mut groups: Vec<Shown> = Vec::new();
    for (name, member) in pairs {
        match groups.last_mut() {
            Some(last) if last.name == name => last.members.push(member),
            Some(_) | None => groups.push(Shown {
                name,
                members: vec![member],
            }),
        }
    }
    if output.is_json() {
        return output::print_json(&groups);
    }
    let row = |group: &Shown| vec![group.name.clone(), group.members.join(" ")];
    let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
    output::print_table(&["AUDIENCE", "RESOURCE SERVERS"], &rows)
}
