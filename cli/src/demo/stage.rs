//! Authorization server, broker and three registered devices, in a directory that is gone afterwards.

use super::narrator::Narrator;
use crate::{
    administration::Administration,
    broker_address,
    client::{Authentication, Destination, DestinationArgs, Device, PopName, register},
    config,
    init::InitArgs,
    registry,
    serve::{Configs, Servers, Which},
};
use anyhow::Context as _;
use std::time::Duration;
use symbolon_client::{
    ConnectError, ConnectOptions, Connection, Mode, Profile, connection::Credentials, token::Token,
};
use tempfile::TempDir;

/// How long connecting, and any one answer, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The life of the token that runs out on stage, seconds.
pub(super) const SHORT_LIFE_SECS: u64 = 2;

/// All that the story needs.
pub(super) struct Stage {
    servers: Servers,
    /// Publishes; Ed25519, exporter.
    pub(super) sensor: Profile,
    /// Subscribes; HS256, challenge.
    pub(super) dashboard: Profile,
    /// Gets tokens that hardly live.
    pub(super) visitor: Profile,
    /// Removed at the end.
    directory: TempDir,
}

impl Stage {
    /// Sets up and starts everything.
    pub(super) async fn set(narrator: &mut Narrator) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let site = directory.path().join("site");
        let made = InitArgs::on_free_ports(site.clone()).make().await;
        let made = made.map(|made| {
            let outcome = "a CA, a certificate for both servers, a signing key, a configuration";
            (made, outcome.to_owned())
        });
        narrator.need("symbolon init", made)?;
        let opened = config::open(&site, &[])?;
        let servers = start(&opened).await;
        let servers = narrator.need("symbolon up", servers)?;

        let store = registry::open(&opened.settings).await?;
        let administration = Administration::local(store, Some(opened.settings.clone()));
        let arguments = DestinationArgs::default();
        let destination = Destination::choose(&administration, arguments).await?;
        let mut devices = Vec::new();
        for (client, words) in [
            (
                SENSOR,
                "may publish to sensors/#; its Ed25519 key never leaves it",
            ),
            (
                DASHBOARD,
                "may subscribe to sensors/#; the authorization server makes its key, HS256",
            ),
            (
                VISITOR,
                "may publish to sensors/#, with tokens that live for 2 s",
            ),
        ] {
            let allow = [client.allow.parse().map_err(anyhow::Error::msg)?];
            let new = Device {
                name: client.name,
                authentication: client.authentication,
                pop: client.pop,
                allow: &allow,
                token_lifetime_secs: client.token_lifetime_secs,
                refresh_tokens: false,
            };
            let profile = register(&administration, &new, &destination).await;
            let profile = profile.map(|profile| (profile, words.to_owned()));
            devices.push(narrator.need(&format!("symbolon client add {}", client.name), profile)?);
        }
        let [sensor, dashboard, visitor] = devices
            .try_into()
            .map_err(|_| anyhow::anyhow!("three devices were to be registered"))?;
        Ok(Self {
            servers,
            sensor,
            dashboard,
            visitor,
            directory,
        })
    }

    /// Ends the servers and removes the directory.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.servers.stop().await?;
        self.directory
            .close()
            .context("the temporary directory cannot be removed")
    }
}

struct Role {
    name: &'static str,
    allow: &'static str,
    authentication: Authentication,
    pop: PopName,
    token_lifetime_secs: Option<u64>,
}

const SENSOR: Role = Role {
    name: "sensor",
    allow: "pub:sensors/#",
    authentication: Authentication::Key,
    pop: PopName::Ed25519,
    token_lifetime_secs: None,
};
const DASHBOARD: Role = Role {
    name: "dashboard",
    allow: "sub:sensors/#",
    authentication: Authentication::Secret,
    pop: PopName::Hs256,
    token_lifetime_secs: None,
};
const VISITOR: Role = Role {
    name: "visitor",
    allow: "pub:sensors/#",
    authentication: Authentication::Key,
    pop: PopName::Es256,
    token_lifetime_secs: Some(SHORT_LIFE_SECS),
};

async fn start(opened: &config::Opened) -> anyhow::Result<(Servers, String)> {
    let servers = Servers::start(Configs::load(opened, Which::Both)?).await?;
    let broker = servers.broker_addresses().first().context("no listener")?;
    let authorization_server = servers
        .authorization_server_address()
        .context("no listener")?;
    let outcome = format!("authorization server on {authorization_server}, broker on {broker}");
    Ok((servers, outcome))
}

/// Connects with a token, or without.
pub(super) async fn connect(
    profile: &Profile,
    token: Option<(Token, Mode)>,
) -> anyhow::Result<Result<Connection, ConnectError>> {
    let broker = broker_address::parse(&profile.broker).map_err(anyhow::Error::msg)?;
    let options = ConnectOptions {
        ca_pem: Some(profile.ca.clone()),
        client_identifier: profile.client_id.clone(),
        timeout: PATIENCE,
        ..ConnectOptions::new(broker.host, broker.port)
    };
    let credentials = token.map(|(token, mode)| Credentials {
        profile: None,
        token,
        mode,
    });
    Ok(Connection::connect(options, credentials).await)
}
