//! `symbolon init`: everything an authorization server and a broker need, in one directory.

use crate::{
    broker_address, certificates, config,
    exit::usage,
    output::{self, OutputArgs},
    private_file, registry,
    shared_key::{self, Purpose},
};
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};
use symbolon_ace_proto::{SigningKey, jwt::SigningAlgorithm};
use symbolon_auth_server::store::{ClientAuthentication, ResourceServer, ServerAccess};

/// The management listener's port.
const MANAGEMENT_PORT: u16 = 9880;
/// The first port that is tried where a free one is asked for.
const FIRST_FREE_PORT: u16 = 20_000;
/// How many ports from there on.
const FREE_PORTS: u16 = 12_000;
/// How many of them are tried before the system may choose.
const FREE_PORT_TRIES: usize = 100;

/// `symbolon init DIR`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Where everything goes; made if it does not exist, and it must be empty
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The name that devices reach authorization server and broker by
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    host: String,
    /// The authorization server's port; 0 picks a free one and writes it down
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    as_port: u16,
    /// The broker's port; 0 picks a free one and writes it down
    #[arg(long, value_name = "PORT", default_value_t = broker_address::TLS_PORT)]
    broker_port: u16,
    /// The port of health and metrics, on 127.0.0.1; 0 picks a free one (default: 9880, or 0 where another port is 0)
    #[arg(long, value_name = "PORT")]
    management_port: Option<u16>,
    /// The address both listen on (default: 127.0.0.1 for the host localhost, else 0.0.0.0)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<IpAddr>,
    /// The broker's audience in tokens (default: `mqtts://NAME`)
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What `init` made; with `-o json` this is printed.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Made {
    /// The issuer identifier.
    pub(crate) issuer: String,
    /// The token endpoint.
    pub(crate) token_endpoint: String,
    /// `mqtts://host:port`.
    pub(crate) broker: String,
    /// The broker's audience.
    pub(crate) audience: String,
    /// The CA's certificate, a PEM file.
    pub(crate) ca: PathBuf,
    /// The configuration file.
    pub(crate) config: PathBuf,
    /// The management listener's URL: `/health/live`, `/health/ready`, `/metrics` are below it.
    pub(crate) management: String,
}

/// Who the broker is at the authorization server.
const BROKER_CLIENT_ID: &str = "symbolon-broker";

/// Where the files are, relative to the directory; `symbolon.toml` says the same.
mod layout {
    pub(super) const CA: &str = "certificates/ca.pem";
    pub(super) const CA_KEY: &str = "certificates/ca.key";
    pub(super) const SERVER: &str = "certificates/server.pem";
    pub(super) const SERVER_KEY: &str = "certificates/server.key";
    pub(super) const SIGNING_KEY: &str = "keys/signing.jwk";
    pub(super) const CONTENT_KEY: &str = "keys/content.jwk";
    /// What the broker authenticates to the authorization server with.
    pub(super) const BROKER_SECRET: &str = "keys/broker.secret";
    pub(super) const DATABASE: &str = "symbolon.db";
    /// Made by the broker at its first start.
    pub(super) const STORE: &str = "store";
    /// What is removed again when `init` fails half way.
    pub(super) const ALL: [&str; 5] =
        ["certificates", "keys", "clients", DATABASE, "symbolon.toml"];
}

impl InitArgs {
    /// For `host` localhost and free ports, as the demonstration wants it.
    pub(crate) fn on_free_ports(directory: PathBuf) -> Self {
        Self {
            directory,
            host: "localhost".into(),
            as_port: 0,
            broker_port: 0,
            management_port: None,
            listen: None,
            audience: None,
            output: OutputArgs {
                format: output::Format::Table,
            },
        }
    }

    pub(crate) fn run(self) -> anyhow::Result<()> {
        let made = crate::runtime::block_on(self.make())??;
        if self.output.is_json() {
            return output::print_json(&made);
        }
        let directory = self.directory.display();
        println!("made {}", made.config.display());
        println!();
        println!("  issuer    {}", made.issuer);
        println!("  broker    {}", made.broker);
        println!("  audience  {}", made.audience);
        println!("  metrics   {}/metrics", made.management);
        println!("  CA        {}", made.ca.display());
        println!();
        println!("next:");
        println!("  symbolon client add sensor --dir {directory} --allow pub:sensors/#");
        println!("  symbolon up {directory}");
        println!(
            "  symbolon pub --profile {directory}/clients/sensor.json -t sensors/1 -m 21.5 -q 1"
        );
        Ok(())
    }

    /// Makes everything, or nothing.
    pub(crate) async fn make(&self) -> anyhow::Result<Made> {
        self.check()?;
        make_or_find_empty(&self.directory)?;
        let made = self.fill().await;
        if made.is_err() {
            for name in layout::ALL {
                remove(&self.directory.join(name));
            }
        }
        made
    }

    fn check(&self) -> anyhow::Result<()> {
        if rustls_pki_types::ServerName::try_from(self.host.as_str()).is_err() {
            return Err(usage(format!(
                "--host {:?} is neither a DNS name nor an IP address",
                self.host
            )));
        }
        if self.audience.as_deref() == Some("") {
            return Err(usage("--audience must not be empty"));
        }
        Ok(())
    }

    async fn fill(&self) -> anyhow::Result<Made> {
        let listen = self.listen.unwrap_or(match self.host.as_str() {
            "localhost" | "127.0.0.1" => Ipv4Addr::LOCALHOST.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        });
        let ports = self.ports(listen)?;
        let host = broker_address::bracketed(&self.host);
        let issuer = format!("https://{host}:{}", ports.authorization_server);
        let audience = self
            .audience
            .clone()
            .unwrap_or_else(|| format!("mqtts://{host}"));
        let made = Made {
            token_endpoint: config::token_endpoint(&issuer),
            broker: broker_address::format(&self.host, ports.broker),
            ca: self.directory.join(layout::CA),
            config: self.directory.join(config::FILE_NAME),
            management: format!("http://{}", ports.management_address()),
            issuer,
            audience,
        };
        let certificates = certificates::issue(&self.host, chrono::Utc::now().date_naive())?;
        self.write_keys(&certificates)?;
        let content_key =
            Purpose::Content.read_or_make(&self.directory.join(layout::CONTENT_KEY))?;
        let secret = shared_key::secret(&self.directory.join(layout::BROKER_SECRET))?;
        let server = ResourceServer {
            rs_cnf: Some(serde_json::json!({
                "x5t#S256": URL_SAFE_NO_PAD.encode(certificates.server_sha256),
            })),
            access: Some(ServerAccess {
                client_id: BROKER_CLIENT_ID.to_owned(),
                authentication: ClientAuthentication::from_secret(&secret),
            }),
            ..ResourceServer::new(&made.audience, content_key)
        };
        let store = registry::create(&self.directory.join(layout::DATABASE)).await?;
        store.put_resource_server(&server).await?;
        private_file::write_public(&made.config, &configuration(&made, listen, &ports))?;
        Ok(made)
    }

    /// The ports asked for; for 0 a free one. Listeners are held until all ports are known, so that they differ.
    fn ports(&self, listen: IpAddr) -> anyhow::Result<Ports> {
        let any_free = self.as_port == 0 || self.broker_port == 0;
        let management = if any_free { 0 } else { MANAGEMENT_PORT };
        let pick = |port: u16, listen| match port {
            0 => free_port(listen).map(|(port, held)| (port, Some(held))),
            _ => Ok((port, None)),
        };
        let (authorization_server, _held) = pick(self.as_port, listen)?;
        let (broker, _broker_held) = pick(self.broker_port, listen)?;
        let management = self.management_port.unwrap_or(management);
        let (management, _management_held) = pick(management, Ipv4Addr::LOCALHOST.into())?;
        if authorization_server == broker || [authorization_server, broker].contains(&management) {
            return Err(usage(
                "--as-port, --broker-port and --management-port must differ",
            ));
        }
        Ok(Ports {
            authorization_server,
            broker,
            management,
        })
    }

    fn write_keys(&self, certificates: &certificates::Certificates) -> anyhow::Result<()> {
        let at = |name: &str| self.directory.join(name);
        fs::create_dir(at("certificates"))?;
        private_file::make_private_directory(&at("keys"))?;
        private_file::make_private_directory(&at("clients"))?;
        private_file::write_public(&at(layout::CA), &certificates.ca)?;
        private_file::write_secret(&at(layout::CA_KEY), &certificates.ca_key, false)?;
        private_file::write_public(&at(layout::SERVER), &certificates.server)?;
        private_file::write_secret(&at(layout::SERVER_KEY), &certificates.server_key, false)?;
        let signing_key = SigningKey::generate(SigningAlgorithm::EdDsa)?.to_jwk();
        let signing_key = serde_json::to_string(&signing_key)?;
        private_file::write_secret(&at(layout::SIGNING_KEY), &signing_key, false)
    }
}

fn make_or_find_empty(directory: &Path) -> anyhow::Result<()> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(usage(format!(
                "{} is not empty; choose another directory",
                directory.display()
            ))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display())),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", directory.display())),
    }
}

// Best effort after a failure that is reported already.
fn remove(path: &Path) {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else if path.exists() {
        fs::remove_file(path)
    } else {
        Ok(())
    };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "cannot be removed");
    }
}

/// Where what listens.
#[derive(Debug)]
struct Ports {
    authorization_server: u16,
    broker: u16,
    management: u16,
}

impl Ports {
    fn management_address(&self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.management)
    }
}

/// A port that will still be free when the server comes up: below those that systems hand out to outgoing connections.
fn free_port(listen: IpAddr) -> anyhow::Result<(u16, TcpListener)> {
    for _ in 0..FREE_PORT_TRIES {
        let mut random = [0; 2];
        aws_lc_rs::rand::fill(&mut random).context("no random numbers")?;
        let port = FIRST_FREE_PORT + u16::from_le_bytes(random) % FREE_PORTS;
        if let Ok(listener) = TcpListener::bind((listen, port)) {
            return Ok((port, listener));
        }
    }
    let listener = TcpListener::bind((listen, 0)).context("no free port")?;
    Ok((listener.local_addr()?.port(), listener))
}

fn configuration(made: &Made, listen: IpAddr, ports: &Ports) -> String {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let address = |port| text(&SocketAddr::new(listen, port).to_string());
    format!(
        r#"# Made by `symbolon init`, yours to edit: symbolon only ever reads it. All keys: docs/configuration.md
# Check it with `symbolon config check`. Clients and policies are in the database, not here.

[as]
listen = {as_listen}
issuer = {issuer}
certificate = "{server}"
key = "{server_key}"
signing_key = "{signing_key}"
database = "{database}"
token_lifetime_secs = 3600

[broker]
audience = {audience}
issuer = {issuer}
jwks_uri = {jwks_uri}
token_endpoint = {token_endpoint}
ca = "{ca}"
content_key = "{content_key}"
certificate = "{server}"
key = "{server_key}"
# Topic Filters that anyone may publish and subscribe to without a token, such as ["public/#"].
public_topics = []

# What the broker asks about tokens: which have been revoked; and what those by reference say, where there are any.
[broker.introspection]
revocation_list = {revocation_list}
# endpoint = {introspection_endpoint}
client_id = "{broker_client_id}"
secret = "{broker_secret}"

[[broker.listener]]
address = {broker_listen}
transport = "tls"

# Health and metrics over plain HTTP: /health/live, /health/ready, /metrics.
[broker.management]
address = {management}

# Sessions and retained messages, which so outlive the broker. Without this section they live in memory only.
[broker.store]
path = "{store}"

# What `symbolon client add` writes into device profiles.
[profile]
broker = {broker}
ca = "{ca}"
"#,
        as_listen = address(ports.authorization_server),
        broker_listen = address(ports.broker),
        management = text(&ports.management_address().to_string()),
        issuer = text(&made.issuer),
        audience = text(&made.audience),
        jwks_uri = text(&config::jwks_uri(&made.issuer)),
        token_endpoint = text(&made.token_endpoint),
        introspection_endpoint = text(&config::introspection_endpoint(&made.issuer)),
        revocation_list = text(&config::revocation_list(&made.issuer)),
        broker_client_id = BROKER_CLIENT_ID,
        broker_secret = layout::BROKER_SECRET,
        broker = text(&made.broker),
        ca = layout::CA,
        server = layout::SERVER,
        server_key = layout::SERVER_KEY,
        signing_key = layout::SIGNING_KEY,
        content_key = layout::CONTENT_KEY,
        database = layout::DATABASE,
        store = layout::STORE,
    )
}
