//! How long it takes until a client whose right is taken away is sent away: from the answer of whoever took it to DISCONNECT on the client's
//! wire.

use crate::{
    https::{self, Pool},
    latencies::Latencies,
    load::{
        Target,
        admission::{Credentials, Hello},
        clients::{Clients, LIMIT},
        packets,
    },
    process,
    registered::{Authentication, Fleet, Method, Registered},
    serving::Serving,
    site::Site,
    wire::secure::ClientTls,
};
use anyhow::{Context as _, bail, ensure};
use std::{
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use symbolon_ace_proto::{Confirmation, PopSigner, TokenResponse, form};

/// Clients that connect at the same time.
const ADMITTED_AT_ONCE: usize = 64;
/// Token Revoked: RFC 9431 names none, and MQTT 5.0 §2.4 has Not authorized.
const NOT_AUTHORIZED: u8 = 0x87;
const FORM: &str = "grant_type=client_credentials";
/// How long is waited at once.
const WAIT: Duration = Duration::from_millis(20);

/// `symbolon-bench revocation`.
#[derive(Debug, clap::Args)]
pub(crate) struct RevocationArgs {
    /// Clients that are connected over TLS, each with a token of its own
    #[arg(long, default_value_t = 5_000)]
    clients: usize,
    /// How many of their tokens are revoked one by one
    #[arg(long, default_value_t = 500)]
    revoked: usize,
}

/// Clients that are connected, and the server that they are connected to.
struct Scene {
    site: Site,
    _server: Serving,
    fleet: Fleet,
    tokens: Vec<String>,
    tls: ClientTls,
    clients: Clients,
}

impl RevocationArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        ensure!(
            self.revoked < self.clients,
            "more are to be revoked than there are"
        );
        process::allow_files(u64::try_from(self.clients)? + 1_000)?;
        let mut scene = Scene::set(self.clients)?;
        eprintln!("{} clients are connected", self.clients);
        let one_by_one = scene.revoke(self.revoked)?;
        println!("| from | to DISCONNECT of | p50 ms | p90 ms | p99 ms | max ms |");
        println!("|---|---:|---:|---:|---:|---:|");
        println!("| the answer to `POST /revoke`, one token at a time | {one_by_one} |");
        let (at_once, spent) = scene.shrink(self.clients - self.revoked)?;
        println!("| the end of `symbolon policy remove`, a rule of all | {at_once} |");
        let millis = spent.as_millis();
        println!("\n`symbolon policy remove` itself took {millis} ms.");
        Ok(())
    }
}

impl Scene {
    /// Registers clients, starts both servers, gets tokens, connects.
    fn set(count: usize) -> anyhow::Result<Self> {
        let site = Site::make()?;
        let fleet = Fleet::register(&site, count, Method::Secret)?;
        let mut command = Command::new(&site.program);
        command
            .arg("up")
            .arg(site.path())
            .env("SYMBOLON_LOG_LEVEL", "error");
        let addresses = [site.authorization_server, site.broker];
        let server = Serving::start("Symbolon", command, &addresses)?;
        let tls = ClientTls::trusting(&site.certificates().ca)?;
        let mut pool = Pool::connect(site.authorization_server, &tls, 1)?;
        let (mut tokens, mut hellos) = (Vec::new(), Vec::new());
        for client in &fleet.clients {
            let credentials = credentials_of(client, &mut pool)?;
            tokens.push(credentials.token.clone());
            hellos.push(Hello {
                credentials: Some(Arc::new(credentials)),
                ..Hello::brief(client.client_id.clone())
            });
        }
        let mut clients = Clients::new(&Target {
            process: server.id(),
            address: site.broker,
            tls: Some(tls.clone()),
            credentials: None,
        })?;
        clients.admit(hellos, ADMITTED_AT_ONCE)?;
        Ok(Self {
            site,
            _server: server,
            fleet,
            tokens,
            tls,
            clients,
        })
    }

    /// Revokes the tokens of so many clients, one after the other.
    fn revoke(&mut self, count: usize) -> anyhow::Result<Latencies> {
        let mut pool = Pool::connect(self.site.authorization_server, &self.tls, 1)?;
        let mut latencies = Latencies::default();
        for place in 0..count {
            let form = form::encode([("token", self.tokens[place].as_str())]);
            let authorization = authorization_of(&self.fleet.clients[place])?;
            pool.ask(&https::post("/revoke", Some(authorization), &form), 200)?;
            let answered = Instant::now();
            loop {
                let mut gone = Vec::new();
                self.clients.turn(WAIT, |place, frame, _| {
                    gone.push(sent_away(place, frame)?);
                    Ok(())
                })?;
                if gone.contains(&place) {
                    break;
                }
                ensure!(answered.elapsed() < LIMIT, "{place} is not sent away");
            }
            latencies.add(answered.elapsed());
        }
        Ok(latencies)
    }

    /// Takes a right from all that are left; what it cost them, and how long the command took.
    fn shrink(&mut self, left: usize) -> anyhow::Result<(Latencies, Duration)> {
        let mut command = Command::new(&self.site.program);
        command
            .args(["policy", "remove", &self.fleet.subscribing.to_string()])
            .arg("--dir")
            .arg(self.site.path());
        let began = Instant::now();
        let command = thread::spawn(move || {
            let output = command.output();
            (Instant::now(), output)
        });
        let mut gone_at = Vec::new();
        while gone_at.len() < left {
            self.clients.turn(WAIT, |place, frame, _| {
                sent_away(place, frame)?;
                gone_at.push(Instant::now());
                Ok(())
            })?;
            ensure!(
                began.elapsed() < LIMIT,
                "only {} of {left} are sent away",
                gone_at.len()
            );
        }
        let Ok((answered, output)) = command.join() else {
            bail!("the thread that waits for the command panicked");
        };
        let output = output?;
        ensure!(output.status.success(), "{output:?}");
        let mut latencies = Latencies::default();
        for gone in gone_at {
            // Whoever was gone before did not wait.
            latencies.add(gone.saturating_duration_since(answered));
        }
        Ok((latencies, answered - began))
    }
}

/// Whom a DISCONNECT was for; nothing else is expected.
fn sent_away(place: usize, frame: crate::wire::Frame<'_>) -> anyhow::Result<usize> {
    let reason = frame.body.first().copied();
    ensure!(
        frame.first >> 4 == packets::DISCONNECT && reason == Some(NOT_AUTHORIZED),
        "{place} gets packet {:#x} with {reason:?}",
        frame.first
    );
    Ok(place)
}

fn authorization_of(client: &Registered) -> anyhow::Result<&str> {
    match &client.authentication {
        Authentication::Basic(header) => Ok(header),
        Authentication::Signer(_) => bail!("these clients have secrets"),
    }
}

/// Asks for a token, as any device does.
fn credentials_of(client: &Registered, pool: &mut Pool) -> anyhow::Result<Credentials> {
    let request = https::post("/token", Some(authorization_of(client)?), FORM);
    let (_, body) = pool.ask(&request, 200)?;
    let response: TokenResponse = serde_json::from_slice(&body)?;
    let Some(Confirmation::Key(jwk)) = response.cnf else {
        bail!("a token without its key");
    };
    Ok(Credentials {
        token: response.access_token,
        signer: PopSigner::from_jwk(&jwk).context("the token's key")?,
    })
}
