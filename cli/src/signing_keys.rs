//! `symbolon key`: the keys that sign tokens, each in its time.

use crate::{
    clock,
    config::{AuthorizationServerSettings, DirectoryArg, Settings},
    exit::{NoServer, usage},
    output::{self, OutputArgs},
    private_file, registry,
    reload::ReloadArgs,
};
use std::path::Path;
use symbolon_ace_proto::{SigningKey, jwt::SigningAlgorithm};
use symbolon_auth_server::{KeyRing, KeyState};

/// How long the next key is published before it signs, seconds: brokers fetch the key set again within it, and caches of it end.
const PUBLISHED_BEFORE_SECS: u64 = 300;

/// `symbolon key ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// List the signing keys and what they do
    List {
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Make the next signing key: it is published at once, signs after a while, and the one before it is published until its last token has
    /// run out. Running servers take it over
    Rotate {
        #[command(flatten)]
        directory: DirectoryArg,
        /// What it signs with
        #[arg(long, value_enum, default_value_t = AlgorithmName::Eddsa)]
        alg: AlgorithmName,
        /// Sign with it at once, or with the one that waits
        #[arg(long, conflicts_with = "after")]
        now: bool,
        /// How long it is published before it signs, seconds
        #[arg(long, value_name = "SECS", default_value_t = PUBLISHED_BEFORE_SECS)]
        after: u64,
    },
    /// Publish a key no more that signs no more: its tokens are refused wherever the key set is fetched again
    Revoke {
        /// The key's identifier, as `key list` shows it
        kid: String,
        #[command(flatten)]
        directory: DirectoryArg,
    },
}

/// `--alg`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum AlgorithmName {
    /// Ed25519
    Eddsa,
    /// ECDSA on P-256
    Es256,
}

#[derive(serde::Serialize)]
struct ShownKey {
    kid: String,
    alg: String,
    state: &'static str,
    /// From when on it signs, or until when it is published.
    time: Option<u64>,
}

impl KeyCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { directory, output } => list(&directory, output),
            Self::Rotate {
                directory,
                alg,
                now,
                after,
            } => change(&directory, "key.rotate", |ring, lifetime_secs| {
                let time = clock::now();
                if now && ring.hasten(lifetime_secs, time) {
                    return Ok("the next key signs from now on".to_owned());
                }
                let key = SigningKey::generate(alg.algorithm())?;
                let kid = key.kid().to_owned();
                let from = time.plus_secs(if now { 0 } else { after });
                ring.rotate(key, from, lifetime_secs, time)
                    .map_err(|error| usage(error.to_string()))?;
                Ok(format!("{kid} signs from {} on", clock::local(from)))
            }),
            Self::Revoke { kid, directory } => change(&directory, "key.revoke", |ring, _| {
                ring.revoke(&kid, clock::now())
                    .map_err(|error| usage(error.to_string()))?;
                Ok(format!("{kid} is published no more"))
            }),
        }
    }
}

impl AlgorithmName {
    fn algorithm(self) -> SigningAlgorithm {
        match self {
            Self::Eddsa => SigningAlgorithm::EdDsa,
            Self::Es256 => SigningAlgorithm::Es256,
        }
    }
}

fn section(settings: &Settings) -> anyhow::Result<&AuthorizationServerSettings> {
    settings.authorization_server.as_ref().ok_or_else(|| {
        let file = settings.file.display();
        usage(format!("{file}: there is no section [as]"))
    })
}

fn read(path: &Path) -> anyhow::Result<KeyRing> {
    let text = private_file::read_secret(path)
        .map_err(|error| usage(format!("{}: {error}", path.display())))?;
    KeyRing::from_json(&text, clock::now())
        .map_err(|error| usage(format!("{} {error}", path.display())))
}

fn list(directory: &DirectoryArg, output: OutputArgs) -> anyhow::Result<()> {
    let settings = directory.settings()?;
    let section = section(&settings)?;
    let ring = read(&section.signing_key)?;
    let now = clock::now();
    let keys = ring
        .keys(section.token_lifetime_secs, now)
        .map(|(key, state)| {
            let (state, time) = match state {
                KeyState::Next(from) => ("next", Some(from)),
                KeyState::Active => ("active", None),
                KeyState::Retired(until) => ("retired", Some(until)),
                KeyState::Gone => ("gone", None),
            };
            ShownKey {
                kid: key.kid().to_owned(),
                alg: key.algorithm().to_owned(),
                state,
                time: time.map(|time| time.0),
            }
        });
    let keys: Vec<ShownKey> = keys.collect();
    if output.is_json() {
        return output::print_json(&keys);
    }
    let rows = keys.iter().map(|key| {
        let time = key.time.map(symbolon_ace_proto::UnixTime);
        let when = match (key.state, time) {
            ("next", Some(from)) => format!("signs {}", clock::distance(from, now)),
            (_, Some(until)) => format!("published until {}", clock::local(until)),
            (_, None) => String::new(),
        };
        vec![key.kid.clone(), key.alg.clone(), key.state.to_owned(), when]
    });
    output::print_table(
        &["KEY", "ALGORITHM", "STATE", "WHEN"],
        &rows.collect::<Vec<_>>(),
    )
}

/// Changes the ring in its file, records it, and lets running servers read it.
fn change(
    directory: &DirectoryArg,
    action: &str,
    how: impl FnOnce(&mut KeyRing, u64) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let settings = directory.settings()?;
    let section = section(&settings)?;
    let mut ring = read(&section.signing_key)?;
    let told = how(&mut ring, section.token_lifetime_secs)?;
    crate::runtime::block_on(async {
        let store = registry::open(&settings).await?;
        private_file::swap_secret(&section.signing_key, &ring.to_json())?;
        store.record(action, "signing key", &told).await?;
        anyhow::Ok(())
    })??;
    println!("{told}");
    match ReloadArgs::of(&directory.dir).run() {
        Err(error) if error.is::<NoServer>() => {
            println!("no server is running; the next start reads it");
            Ok(())
        }
        reloaded => reloaded,
    }
}
