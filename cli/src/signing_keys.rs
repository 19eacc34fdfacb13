//! `symbolon key`: the keys that sign tokens, each in its time.

use crate::{
    clock,
    config::{self, AuthorizationServerSettings, DirectoryArg, Settings, SigningKeys},
    exit::{NoServer, usage},
    output::{self, OutputArgs},
    private_file, registry,
    reload::ReloadArgs,
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};
use symbolon_ace_proto::{Jwk, SigningKey, UnixTime, jwt::SigningAlgorithm};
use symbolon_auth_server::{
    KeyRing, KeyState, NextKey, RingKey,
    pkcs11::{Hsm, HsmError, KeyUri},
};

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
        /// What it signs with, where it is made
        #[arg(long, value_enum, default_value_t = AlgorithmName::Eddsa)]
        alg: AlgorithmName,
        /// Where it lives: `file`, or a token as a PKCS #11 URI. A key that the URI names and that is there is taken, otherwise one is made.
        /// Default: where the last one lives
        #[arg(long = "in", value_name = "PLACE")]
        place: Option<Place>,
        /// Sign with it at once, or with the one that waits
        #[arg(long, conflicts_with = "after")]
        now: bool,
        /// How long it is published before it signs, seconds
        #[arg(long, value_name = "SECS", default_value_t = PUBLISHED_BEFORE_SECS)]
        after: u64,
    },
    /// Make a file for keys that take turns, of the one key in a token that the configuration names
    Ring {
        /// The file to make; `as.signing_key` is to name it then
        file: PathBuf,
        #[command(flatten)]
        directory: DirectoryArg,
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

/// `--in`.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File,
    Token(KeyUri),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            _ => text
                .parse()
                .map(Self::Token)
                .map_err(|error| format!("neither `file` nor a token: it {error}")),
        }
    }
}

#[derive(serde::Serialize)]
struct ShownKey {
    kid: String,
    alg: String,
    /// `file`, a PKCS #11 URI, or nothing where the private half is gone.
    place: String,
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
                place,
                now,
                after,
            } => change(&directory, "key.rotate", |ring, section| {
                let time = clock::now();
                let lifetime_secs = section.token_lifetime_secs;
                if now && ring.hasten(lifetime_secs, time) {
                    return Ok("the next key signs from now on".to_owned());
                }
                // Before a key is made that nobody would ever ask for.
                ring.has_room(time)
                    .map_err(|error| usage(error.to_string()))?;
                let place = place.unwrap_or_else(|| ring.last().map_or(Place::File, place_of));
                let (key, kid) = next_key(place, alg.algorithm(), section)?;
                let from = time.plus_secs(if now { 0 } else { after });
                ring.rotate(key, from, lifetime_secs, time)
                    .map_err(|error| usage(error.to_string()))?;
                Ok(format!("{kid} signs from {} on", clock::local(from)))
            }),
            Self::Ring { file, directory } => make_ring(&file, &directory),
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

/// In the place of the last one: its token, or the file.
fn place_of(key: &RingKey) -> Place {
    match key.uri() {
        Some(uri) => Place::Token(uri.without_key()),
        None => Place::File,
    }
}

/// The next key, with its name: made, or found in the token.
fn next_key(
    place: Place,
    algorithm: SigningAlgorithm,
    section: &AuthorizationServerSettings,
) -> anyhow::Result<(NextKey, String)> {
    match place {
        Place::File => {
            let key = SigningKey::generate(algorithm)?;
            let kid = key.kid().to_owned();
            Ok((key.into(), kid))
        }
        Place::Token(uri) => {
            let hsm = config::hsm(section).map_err(usage)?;
            let refused = |error: HsmError| usage(error.to_string());
            let (uri, public) = in_token(&hsm, uri, algorithm).map_err(refused)?;
            hsm.try_key(&uri, &public).map_err(refused)?;
            let kid = public.kid.clone().unwrap_or_default();
            Ok((NextKey::InToken(uri, Box::new(public)), kid))
        }
    }
}

fn in_token(
    hsm: &Hsm,
    uri: KeyUri,
    algorithm: SigningAlgorithm,
) -> Result<(KeyUri, Jwk), HsmError> {
    if uri.names_a_key() {
        match hsm.public_key(&uri) {
            Ok(public) => return Ok((uri, public)),
            Err(HsmError::NoKey(_)) => {}
            Err(error) => return Err(error),
        }
    }
    hsm.generate(&uri, algorithm)
}

fn read(section: &AuthorizationServerSettings) -> anyhow::Result<KeyRing> {
    let refused = |error: String| usage(format!("{}: {error}", section.signing_key));
    match &section.signing_key {
        SigningKeys::File(path) => config::ring_in(path).map_err(refused),
        SigningKeys::Token(uri) => {
            let hsm = config::hsm(section).map_err(refused)?;
            KeyRing::of_token(hsm, uri).map_err(|error| refused(error.to_string()))
        }
    }
}

fn make_ring(file: &Path, directory: &DirectoryArg) -> anyhow::Result<()> {
    let settings = directory.settings()?;
    let section = section(&settings)?;
    if section.signing_key.file().is_some() {
        return Err(usage("as.signing_key names a file already"));
    }
    private_file::write_secret(file, &read(section)?.to_json(), false)?;
    println!("made {}: let as.signing_key name it", file.display());
    Ok(())
}

fn list(directory: &DirectoryArg, output: OutputArgs) -> anyhow::Result<()> {
    let settings = directory.settings()?;
    let section = section(&settings)?;
    let ring = read(section)?;
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
                place: match key.uri() {
                    Some(uri) => uri.to_string(),
                    None if key.is_in_file() => "file".to_owned(),
                    None => String::new(),
                },
                state,
                time: time.map(|time| time.0),
            }
        });
    let keys: Vec<ShownKey> = keys.collect();
    if output.is_json() {
        return output::print_json(&keys);
    }
    let rows = keys.iter().map(|key| {
        let time = key.time.map(UnixTime);
        let when = match (key.state, time) {
            ("next", Some(from)) => format!("signs {}", clock::distance(from, now)),
            (_, Some(until)) => format!("published until {}", clock::local(until)),
            (_, None) => String::new(),
        };
        let state = key.state.to_owned();
        vec![
            key.kid.clone(),
            key.alg.clone(),
            state,
            when,
            key.place.clone(),
        ]
    });
    output::print_table(
        &["KEY", "ALGORITHM", "STATE", "WHEN", "PLACE"],
        &rows.collect::<Vec<_>>(),
    )
}

/// Changes the ring in its file, records it, and lets running servers read it.
fn change(
    directory: &DirectoryArg,
    action: &str,
    how: impl FnOnce(&mut KeyRing, &AuthorizationServerSettings) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let settings = directory.settings()?;
    let section = section(&settings)?;
    let path = section.signing_key.file().ok_or_else(|| {
        usage("as.signing_key names one key in a token; for keys that take turns make a file: symbolon key ring FILE")
    })?;
    let mut ring = read(section)?;
    let told = how(&mut ring, section)?;
    crate::runtime::block_on(async {
        let store = registry::open(&settings).await?;
        private_file::swap_secret(path, &ring.to_json())?;
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
