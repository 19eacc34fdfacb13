//! `symbolon import`: clients and policies from other brokers' files.

use crate::{
    administration::{Administration, Place, Subjects},
    client::{
        Authentication, Destination, DestinationArgs, Device, PopName, check_name, register,
        write_profile,
    },
    exit::usage,
    output::{self, OutputArgs},
    private_file,
};
use std::path::{Path, PathBuf};
use symbolon_auth_server::{
    admin::model,
    import::{self, Imported, Target},
    store::{Desired, Policy, Subject},
};

/// The group that gets what a file says of all clients, where no other is named.
const GROUP: &str = "imported";

/// `symbolon import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// What the file is
    #[arg(value_enum, value_name = "FORMAT")]
    kind: Format,
    /// The file
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Show what would be added and what cannot be carried over, and add nothing
    #[arg(long)]
    dry_run: bool,
    /// The group that gets what the file says of all clients
    #[arg(long, value_name = "NAME", default_value = GROUP)]
    group: String,
    #[command(flatten)]
    destination: DestinationArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The formats.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Mosquitto's `acl_file`
    MosquittoAcl,
    /// The JSON of Mosquitto's dynamic security plugin
    MosquittoDynsec,
    /// EMQX's `acl.conf`
    EmqxAcl,
}

#[derive(serde::Serialize)]
struct Shown {
    dry_run: bool,
    new_clients: Vec<String>,
    groups: Vec<String>,
    policies: Vec<String>,
    notes: Vec<String>,
}

impl ImportArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        let administration = self.place.open().await?;
        let destination = Destination::choose(&administration, self.destination.clone()).await?;
        let mut imported = self.read(destination.audience())?;
        let mut new_clients = Vec::new();
        for name in imported.clients.clone() {
            if administration.find_client(&name).await?.is_some() {
                continue;
            }
            match check_name(&name) {
                Ok(()) => new_clients.push(name),
                Err(error) => leave_out(&mut imported, &name, &error.to_string()),
            }
        }
        if !self.dry_run {
            let places = Places::free(&self.place.profiles(&administration), &new_clients)?;
            let added = add(&administration, &imported.desired, &places, &destination).await;
            if added.is_err() {
                for name in &new_clients {
                    if administration.find_client(name).await?.is_some() {
                        administration.remove_client(name).await?;
                    }
                }
            }
            added?;
        }
        self.print(&imported, new_clients)
    }

    fn read(&self, audience: &str) -> anyhow::Result<Imported> {
        let place = self.file.display();
        let text = private_file::read_text(&self.file)
            .map_err(|error| usage(format!("{place}: {error}")))?;
        let target = Target {
            audience,
            group: &self.group,
        };
        let imported = match self.kind {
            Format::MosquittoAcl => Ok(import::mosquitto_acl(&text, target)),
            Format::MosquittoDynsec => import::mosquitto_dynsec(&text, target),
            Format::EmqxAcl => import::emqx_acl(&text, target),
        };
        imported.map_err(|error| usage(format!("{place}: {error}")))
    }

    fn print(&self, imported: &Imported, new_clients: Vec<String>) -> anyhow::Result<()> {
        let members = imported.desired.members.iter();
        let policies = imported.desired.rules.values().flatten();
        let notes = imported.notes.iter();
        let shown = Shown {
            dry_run: self.dry_run,
            new_clients,
            groups: members
                .map(|(name, members)| {
                    let members: Vec<&str> = members.iter().map(String::as_str).collect();
                    format!("{name}: {}", members.join(" "))
                })
                .collect(),
            policies: policies.map(ToString::to_string).collect(),
            notes: notes
                .map(|note| format!("{}: {}", note.place, note.text))
                .collect(),
        };
        if self.output.is_json() {
            return output::print_json(&shown);
        }
        shown
            .new_clients
            .iter()
            .for_each(|name| println!("+ client {name}"));
        shown
            .groups
            .iter()
            .for_each(|group| println!("+ group {group}"));
        shown
            .policies
            .iter()
            .for_each(|policy| println!("+ {policy}"));
        shown.notes.iter().for_each(|note| println!("! {note}"));
        if self.dry_run {
            println!("nothing was changed: --dry-run");
        }
        Ok(())
    }
}

/// New clients, each with the file of its profile, where `client add` would put it.
struct Places(Vec<(String, PathBuf)>);

impl Places {
    /// Fails before anything is added where a file is there already.
    fn free(directory: &Path, clients: &[String]) -> anyhow::Result<Self> {
        private_file::make_private_directory(directory)?;
        let places = clients.iter().map(|name| {
            let file = directory.join(format!("{name}.json"));
            if file.exists() {
                let file = file.display();
                return Err(usage(format!(
                    "{file} exists, and {name} is no client: move it away"
                )));
            }
            Ok((name.clone(), file))
        });
        places.collect::<anyhow::Result<_>>().map(Self)
    }
}

/// Clients with keys of their own, then rules, then profiles that ask for all that the rules allow.
async fn add(
    administration: &Administration,
    desired: &Desired,
    places: &Places,
    destination: &Destination,
) -> anyhow::Result<()> {
    let mut profiles = Vec::new();
    for (name, file) in &places.0 {
        let device = Device {
            name,
            authentication: Authentication::Key,
            pop: PopName::Ed25519,
            allow: &[],
            token_lifetime_secs: None,
            refresh_tokens: false,
        };
        profiles.push((register(administration, &device, destination).await?, file));
    }
    let desired = beside_what_there_is(administration, desired).await?;
    let desired = model::Desired::from(&desired);
    administration.apply(desired, false).await?;
    for (mut profile, file) in profiles {
        let granted = administration
            .scope(&profile.client_id, &profile.audience)
            .await?;
        profile.scope = granted.scope;
        write_profile(administration, &profile, file).await?;
    }
    Ok(())
}

/// An import adds: rules and members that there are stay.
async fn beside_what_there_is(
    administration: &Administration,
    imported: &Desired,
) -> anyhow::Result<Desired> {
    let mut desired = imported.clone();
    for group in administration.groups().await? {
        if let Some(members) = desired.members.get_mut(&group.name) {
            members.extend(group.members);
        }
    }
    for policy in administration.policies(Subjects::default()).await? {
        let policy = Policy::try_from(policy)?;
        if policy.granted_by.is_none()
            && let Some(rules) = desired.rules.get_mut(&policy.subject)
        {
            rules.push(policy);
        }
    }
    Ok(desired)
}

/// Without a client that can be none here.
fn leave_out(imported: &mut Imported, name: &str, why: &str) {
    imported.notes.push(import::Note {
        place: format!("client {name}"),
        text: format!("not carried over: {why}"),
    });
    imported.clients.remove(name);
    imported
        .desired
        .rules
        .remove(&Subject::Client(name.to_owned()));
    for members in imported.desired.members.values_mut() {
        members.remove(name);
    }
}
