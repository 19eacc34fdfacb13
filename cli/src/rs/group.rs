//! `symbolon rs group`: audiences that stand for several resource servers (RFC 9200 §6.9).

use crate::{
    administration::Place,
    output::{self, OutputArgs},
};
use symbolon_auth_server::admin::model::AudienceGroup;

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
        place: Place,
    },
    /// List such audiences
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove such an audience; its resource servers stay
    Remove {
        /// The audience
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

impl GroupCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add {
                name,
                members,
                place,
            } => {
                let administration = place.open().await?;
                let listed = members.join(", ");
                administration.add_to_audience_group(&name, members).await?;
                println!("{name} stands for {listed}");
                Ok(())
            }
            Self::List { place, output } => {
                list(&place.open().await?.audience_groups().await?, output)
            }
            Self::Remove { name, place } => {
                place.open().await?.remove_audience_group(&name).await?;
                println!("removed {name}");
                Ok(())
            }
        }
    }
}

fn list(groups: &[AudienceGroup], output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&groups);
    }
    let row = |group: &AudienceGroup| vec![group.name.clone(), group.members.join(" ")];
    let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
    output::print_table(&["AUDIENCE", "RESOURCE SERVERS"], &rows)
}
