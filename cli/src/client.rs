//! `symbolon client`: registers devices and writes their profiles.

mod destination;

pub(crate) use destination::{Destination, DestinationArgs};

use crate::{
    administration::{Administration, Place},
    allow::{self, Allowed},
    certificate_file, config,
    exit::usage,
    output::{self, OutputArgs},
    private_file, profile_file,
};
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::path::{Path, PathBuf};
use symbolon_ace_proto::{PopAlgorithm, PopSigner};
use symbolon_auth_server::{
    admin::model::{self, NewClient, NewPolicy},
    store::{CertificateName, ClientAuthentication},
};
use symbolon_client::{
    Profile,
    profile::{ClientAuth, Pop},
};

/// Random bytes in a client secret.
const SECRET_BYTES: usize = 32;
/// The longest name of a client, bytes: it stands in every token.
const MAX_NAME_BYTES: usize = 128;

/// `symbolon client ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ClientCommand {
    /// Register a device and write its profile
    Add(Box<AddArgs>),
    /// List the registered devices
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a device and what it may do
    Show {
        /// The device's name
        name: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove a device and its policies; it gets no more tokens, and those it has are revoked
    Remove {
        /// The device's name
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

/// `symbolon client add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The device's name: its client identifier, and its MQTT Client Identifier
    name: String,
    #[command(flatten)]
    place: Place,
    /// What it may do: pub:FILTER, sub:FILTER or pubsub:FILTER; `${client_id}` in FILTER stands for NAME
    #[arg(long, value_name = "pub:FILTER", required = true)]
    allow: Vec<Allowed>,
    /// How it authenticates to the authorization server
    #[arg(long, value_enum, default_value_t = Authentication::Key)]
    auth: Authentication,
    /// It authenticates with this certificate (PEM); no profile is written, since the key stays with the device
    #[arg(long, value_name = "FILE", conflicts_with_all = ["auth", "profile", "force"])]
    client_certificate: Option<PathBuf>,
    /// It authenticates with a certificate of `as.client_ca` that has this name: dns:NAME, uri:NAME, ip:ADDRESS, email:ADDRESS or dn:NAME; no
    /// profile is written
    #[arg(long, value_name = "dns:NAME", conflicts_with_all = ["auth", "profile", "force", "client_certificate"])]
    certificate_name: Option<CertificateName>,
    /// It gets refresh tokens
    #[arg(long)]
    refresh_tokens: bool,
    /// The algorithm of its proof-of-possession key
    #[arg(long, value_enum, default_value_t = PopName::Ed25519)]
    pop: PopName,
    /// The longest life of its tokens, seconds (default: the server's)
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    token_lifetime_secs: Option<u64>,
    #[command(flatten)]
    destination: DestinationArgs,
    /// Where the profile goes (default: DIR/clients/NAME.json)
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Replace a profile file that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// `--auth`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Authentication {
    /// A shared secret (`client_secret_basic`)
    Secret,
    /// A key pair (`private_key_jwt`)
    Key,
}

/// `--pop`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum PopName {
    /// A symmetric key that comes with each token
    Hs256,
    /// A key pair
    Ed25519,
    /// A key pair on P-256
    Es256,
}

/// A device to register.
#[derive(Clone, Debug)]
pub(crate) struct Device<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// How it authenticates to the authorization server.
    pub(crate) authentication: Authentication,
    /// Its proof-of-possession key.
    pub(crate) pop: PopName,
    /// What it may do.
    pub(crate) allow: &'a [Allowed],
    /// The longest life of its tokens.
    pub(crate) token_lifetime_secs: Option<u64>,
    /// It gets refresh tokens.
    pub(crate) refresh_tokens: bool,
}

impl ClientCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(async {
            match self {
                Self::Add(arguments) => arguments.run().await,
                Self::List { place, output } => list(&place.open().await?.clients().await?, output),
                Self::Show {
                    name,
                    place,
                    output,
                } => show(&place.open().await?.client(&name).await?, output),
                Self::Remove { name, place } => {
                    place.open().await?.remove_client(&name).await?;
                    println!("removed {name}");
                    Ok(())
                }
            }
        })?
    }
}

impl AddArgs {
    async fn run(self) -> anyhow::Result<()> {
        check_name(&self.name)?;
        if let Some(authentication) = self.certificate()? {
            return self.register_without_profile(&authentication).await;
        }
        let administration = self.place.open().await?;
        let destination = Destination::choose(&administration, self.destination).await?;
        let file = if let Some(file) = self.profile {
            file
        } else {
            let directory = self.place.profiles(&administration);
            private_file::make_private_directory(&directory)?;
            directory.join(format!("{}.json", self.name))
        };
        if file.exists() && !self.force {
            return Err(usage(format!(
                "{} exists; choose another with --profile, or replace it with --force",
                file.display()
            )));
        }
        let device = Device {
            name: &self.name,
            authentication: self.auth,
            pop: self.pop,
            allow: &self.allow,
            token_lifetime_secs: self.token_lifetime_secs,
            refresh_tokens: self.refresh_tokens,
        };
        let profile = register(&administration, &device, &destination).await?;
        write_profile(&administration, &profile, &file).await?;
        if self.output.is_json() {
            return output::print_json(&profile);
        }
        println!(
            "registered {}; its profile is {}",
            self.name,
            file.display()
        );
        Ok(())
    }

    /// The certificate it authenticates with, where it does.
    fn certificate(&self) -> anyhow::Result<Option<ClientAuthentication>> {
        if let Some(file) = &self.client_certificate {
            let sha256 = certificate_file::sha256(file)?;
            return Ok(Some(ClientAuthentication::Certificate { sha256 }));
        }
        let name = self.certificate_name.clone();
        Ok(name.map(ClientAuthentication::CertificateName))
    }

    /// Its key is its own already: there is nothing to write down for it.
    async fn register_without_profile(
        self,
        authentication: &ClientAuthentication,
    ) -> anyhow::Result<()> {
        let administration = self.place.open().await?;
        let audience = administration.audience(self.destination.audience).await?;
        let like = NewPolicy {
            token_lifetime_secs: self.token_lifetime_secs,
            ..allow::anything_at(&audience)
        };
        let new = NewClient {
            client_id: self.name,
            authentication: authentication.into(),
            pop: self.pop.algorithm().into(),
            refresh_tokens: self.refresh_tokens,
            policies: allow::policies(&self.allow, &like),
        };
        let registered = administration.add_client(&new).await?;
        if self.output.is_json() {
            return show(&registered, self.output);
        }
        println!("registered {}", registered.client_id);
        Ok(())
    }
}

/// Without its profile a client is of no use: it goes again when the file cannot be written.
pub(crate) async fn write_profile(
    administration: &Administration,
    profile: &Profile,
    file: &Path,
) -> anyhow::Result<()> {
    let written = private_file::write_secret(file, &profile_file::to_text(profile), true);
    if written.is_err() {
        administration.remove_client(&profile.client_id).await?;
    }
    written
}

/// Registers a device with fresh keys; what it needs to know.
pub(crate) async fn register(
    administration: &Administration,
    device: &Device<'_>,
    destination: &Destination,
) -> anyhow::Result<Profile> {
    let pop_algorithm = device.pop.algorithm();
    let pop_key = match device.pop {
        PopName::Hs256 => None,
        PopName::Ed25519 | PopName::Es256 => Some(PopSigner::generate(pop_algorithm)?),
    };
    let (authentication, client_auth) = credentials(device.authentication, pop_key.as_ref())?;
    let like = NewPolicy {
        token_lifetime_secs: device.token_lifetime_secs,
        ..allow::anything_at(&destination.audience)
    };
    let new = NewClient {
        client_id: device.name.to_owned(),
        authentication: (&authentication).into(),
        pop: pop_algorithm.into(),
        refresh_tokens: device.refresh_tokens,
        policies: allow::policies(device.allow, &like),
    };
    administration.add_client(&new).await?;
    let granted = administration
        .scope(device.name, &destination.audience)
        .await?;
    Ok(Profile {
        client_id: device.name.to_owned(),
        issuer: destination.issuer.clone(),
        token_endpoint: config::token_endpoint(&destination.issuer),
        broker: destination.broker.clone(),
        audience: destination.audience.clone(),
        ca: destination.ca.clone(),
        client_auth,
        pop: Pop {
            alg: jwa_name(pop_algorithm).to_owned(),
            jwk: pop_key.map(|key| Box::new(key.to_jwk())),
        },
        scope: granted.scope,
        auth: None,
        encoding: None,
    })
}

/// What the server keeps and what the device keeps. One key pair may serve for both purposes; HS256 has none, so it gets one.
fn credentials(
    authentication: Authentication,
    pop_key: Option<&PopSigner>,
) -> anyhow::Result<(ClientAuthentication, ClientAuth)> {
    match authentication {
        Authentication::Secret => {
            let mut random = [0; SECRET_BYTES];
            aws_lc_rs::rand::fill(&mut random).context("no random numbers")?;
            let secret = URL_SAFE_NO_PAD.encode(random);
            Ok((
                ClientAuthentication::from_secret(&secret),
                ClientAuth::Secret { secret },
            ))
        }
        Authentication::Key => {
            let own;
            let key = if let Some(key) = pop_key {
                key
            } else {
                own = PopSigner::generate(PopAlgorithm::EdDsa)?;
                &own
            };
            Ok((
                ClientAuthentication::Key(Box::new(key.verifying_key().to_jwk())),
                ClientAuth::Key {
                    jwk: Box::new(key.to_jwk()),
                },
            ))
        }
    }
}

fn list(clients: &[model::Client], output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&clients);
    }
    let rows: Vec<Vec<String>> = clients
        .iter()
        .map(|client| {
            vec![
                client.client_id.clone(),
                client.client_auth.clone(),
                client.pop.as_str().to_owned(),
                client.policies.len().to_string(),
            ]
        })
        .collect();
    output::print_table(
        &["CLIENT", "AUTHENTICATION", "PROOF KEY", "POLICIES"],
        &rows,
    )
}

fn show(client: &model::Client, output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&client);
    }
    output::print_pairs(&[
        ("client", client.client_id.clone()),
        ("authentication", client.client_auth.clone()),
        ("proof key", client.pop.as_str().to_owned()),
        (
            "refresh tokens",
            if client.refresh_tokens { "yes" } else { "no" }.to_owned(),
        ),
    ])?;
    println!();
    crate::policy::print_table(&client.policies)
}

impl PopName {
    fn algorithm(self) -> PopAlgorithm {
        match self {
            Self::Hs256 => PopAlgorithm::Hs256,
            Self::Ed25519 => PopAlgorithm::EdDsa,
            Self::Es256 => PopAlgorithm::Es256,
        }
    }
}

/// The name in JWA (RFC 7518, RFC 8037).
pub(crate) fn jwa_name(algorithm: PopAlgorithm) -> &'static str {
    algorithm.as_str()
}

/// A name becomes a file name and stands for `${client_id}` in Topic Filters, so it has neither separators nor wildcards.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
    let good = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(['.', '-']);
    if good {
        return Ok(());
    }
    Err(usage(format!(
        "the name {name:?} must have 1 to {MAX_NAME_BYTES} letters, digits and any of - _ . : @, and not begin with . or -"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_directory_or_widen_a_filter_is_refused() {
        for name in ["", "../x", "a/b", "+", "#", ".hidden", "-x", "a b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("urn:dev:mac:0024befffe804ff1").is_ok());
    }
}
