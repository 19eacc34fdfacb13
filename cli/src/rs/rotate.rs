//! `symbolon rs rotate`: the keys that authorization server and broker share take turns, and the broker knows each before it is used.

use crate::{
    clock,
    config::{DirectoryArg, Settings},
    exit::{NoServer, usage},
    output::{self, OutputArgs},
    private_file, registry,
    reload::ReloadArgs,
    shared_key::{Purpose, SharedKey},
};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use std::path::{Path, PathBuf};
use symbolon_ace_proto::{UnixTime, jwe::ContentKey};
use symbolon_auth_server::{
    KeyState,
    store::{KeyPurpose, NextSharedKey, ResourceServer, SharedKeyRing, Store, StoreError},
};

/// How long the next key is known before it is used, seconds: time to carry it to a broker elsewhere.
const KNOWN_BEFORE_SECS: u64 = 300;

/// `symbolon rs rotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    /// The audience of the resource server
    audience: String,
    #[command(flatten)]
    directory: DirectoryArg,
    /// Which key takes turns
    #[arg(default_value = "all", value_parser = PossibleValuesParser::new(["content", "mac", "derivation", "all"])
        .map(|name| Which(KeyPurpose::from_name(&name))))]
    which: Which,
    /// The file in which its broker has the keys, or a copy that you carry there. Default: what the broker of this configuration reads
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Use it at once, or the one that waits
    #[arg(long, conflicts_with = "after")]
    now: bool,
    /// How long the broker knows it before it is used, seconds
    #[arg(long, value_name = "SECS", default_value_t = KNOWN_BEFORE_SECS)]
    after: u64,
}

/// `symbolon rs keys`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeysArgs {
    /// The audience of the resource server
    audience: String,
    #[command(flatten)]
    directory: DirectoryArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// One purpose, or all for which there is a key.
#[derive(Clone, Copy, Debug)]
struct Which(Option<KeyPurpose>);

#[derive(serde::Serialize)]
struct ShownKey {
    purpose: &'static str,
    kid: String,
    state: &'static str,
    /// From when on it is used, or until when it is good.
    time: Option<u64>,
}

impl KeysArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let store = registry::open(&self.directory.settings()?).await?;
        let now = clock::now();
        let mut keys = Vec::new();
        for purpose in KeyPurpose::ALL {
            let ring = store.shared_keys(&self.audience, purpose).await?;
            keys.extend(ring.states(now).map(|(key, state)| {
                let (state, time) = match state {
                    KeyState::Next(from) => ("next", Some(from.0)),
                    KeyState::Active => ("active", None),
                    KeyState::Retired(until) => ("retired", Some(until.0)),
                    KeyState::Gone => ("gone", None),
                };
                ShownKey {
                    purpose: purpose.as_str(),
                    kid: key.kid().to_owned(),
                    state,
                    time,
                }
            }));
        }
        if self.output.is_json() {
            return output::print_json(&keys);
        }
        let rows = keys.iter().map(|key| {
            let when = match (key.state, key.time.map(UnixTime)) {
                ("next", Some(from)) => format!("used {}", clock::distance(from, now)),
                (_, Some(until)) => format!("good until {}", clock::local(until)),
                (_, None) => String::new(),
            };
            let state = key.state.to_owned();
            vec![key.purpose.to_owned(), key.kid.clone(), state, when]
        });
        output::print_table(&["FOR", "KEY", "STATE", "WHEN"], &rows.collect::<Vec<_>>())
    }
}

impl RotateArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let settings = self.directory.settings()?;
        let store = registry::open(&settings).await?;
        let server = store
            .resource_server(&self.audience)
            .await?
            .ok_or_else(|| StoreError::NotFound("resource server", self.audience.clone()))?;
        let purposes: Vec<KeyPurpose> = match self.which {
            Which(Some(purpose)) => vec![purpose],
            Which(None) => KeyPurpose::ALL
                .into_iter()
                .filter(|purpose| has(&server, *purpose))
                .collect(),
        };
        if self.file.is_some() && purposes.len() != 1 {
            return Err(usage("--file holds keys for one purpose: say which"));
        }
        for purpose in purposes {
            self.rotate(&settings, &store, purpose).await?;
        }
        Ok(())
    }

    async fn rotate(
        &self,
        settings: &Settings,
        store: &Store,
        purpose: KeyPurpose,
    ) -> anyhow::Result<()> {
        let name = purpose.as_str();
        let file = self.file_of(settings, purpose)?;
        let refused = |why: String| usage(format!("{}: {why}", file.display()));
        let text = private_file::read_secret(&file).map_err(refused)?;
        let own = in_files(purpose);
        let mut keys = own.parse_all(&text).map_err(refused)?;
        let now = clock::now();
        let mut ring = store.shared_keys(&self.audience, purpose).await?;
        let lifetime_secs = token_lifetime_secs(settings)?;
        let waits = ring
            .states(now)
            .any(|(_, state)| matches!(state, KeyState::Next(_)));
        let ring = if waits && self.now {
            println!("{name}: the next key is used from now on");
            let hastened = store.use_next_shared_key(&self.audience, purpose, lifetime_secs, now);
            hastened.await?
        } else {
            // Before anybody gets to know a key that never comes.
            ring.has_room(now)
                .map_err(|error| usage(format!("{name}: {error}")))?;
            let present_name = keys.last().map_or("", |key| &key.key.kid).to_owned();
            let next = ContentKey::generate()?;
            keys.retain(|key| key.is_good(now));
            if keys.len() >= SharedKeyRing::MAX_KEYS {
                let most = SharedKeyRing::MAX_KEYS;
                return Err(refused(format!("has {most} keys that are good already")));
            }
            keys.push(SharedKey {
                key: next.clone(),
                good_until: None,
            });
            // First the broker, which uses none by itself.
            write(own, &file, &keys)?;
            let from = now.plus_secs(if self.now { 0 } else { self.after });
            let next = NextSharedKey {
                purpose,
                key: &next,
                used_from: from,
                present_name: &present_name,
            };
            let rotated = match tell(&self.directory.dir) {
                Ok(()) => {
                    let rotated = store.rotate_shared_key(&self.audience, next, lifetime_secs, now);
                    rotated.await.map_err(anyhow::Error::from)
                }
                Err(error) => Err(error),
            };
            if rotated.is_err() {
                private_file::swap_secret(&file, &text)?;
            }
            let rotated = rotated?;
            println!("{name}: a new key is used from {} on", clock::local(from));
            rotated
        };
        write(own, &file, &with_ends(keys, &ring, now))?;
        tell(&self.directory.dir)
    }

    fn file_of(&self, settings: &Settings, purpose: KeyPurpose) -> anyhow::Result<PathBuf> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let issuer = (settings.authorization_server.as_ref()).map(|server| &server.issuer);
        let trusted = settings.broker.iter().flat_map(|one| &one.authorization);
        let mut trusted = trusted.filter(|server| {
            server.audience == self.audience && issuer.is_none_or(|issuer| *issuer == server.issuer)
        });
        let file = trusted.find_map(|server| match purpose {
            KeyPurpose::Content => server.content_key.clone(),
            KeyPurpose::Mac => server.mac_key.clone(),
            KeyPurpose::Derivation => server.derivation_key.clone(),
        });
        file.ok_or_else(|| {
            let (name, audience) = (purpose.as_str(), &self.audience);
            usage(format!(
                "no broker of this configuration reads a {name} key of {audience:?}: name the file that its broker reads, or a copy, with --file"
            ))
        })
    }
}

fn has(server: &ResourceServer, purpose: KeyPurpose) -> bool {
    match purpose {
        KeyPurpose::Content => server.content_key.is_some(),
        KeyPurpose::Mac => server.mac_key.is_some(),
        KeyPurpose::Derivation => server.derivation_key.is_some(),
    }
}

/// The same on our side of the files.
fn in_files(purpose: KeyPurpose) -> Purpose {
    match purpose {
        KeyPurpose::Content => Purpose::Content,
        KeyPurpose::Mac => Purpose::Mac,
        KeyPurpose::Derivation => Purpose::Derivation,
    }
}

/// The keys of a file with what the authorization server says of their ends; those that have ended are left out.
fn with_ends(keys: Vec<SharedKey>, ring: &SharedKeyRing, now: UnixTime) -> Vec<SharedKey> {
    let ends = keys.into_iter().map(|mut key| {
        let mut states = ring.states(now);
        let known = states.find(|(known, _)| known.kid() == key.key.kid);
        key.good_until = known.and_then(|(known, _)| known.good_until());
        key
    });
    ends.filter(|key| key.is_good(now)).collect()
}

fn write(purpose: Purpose, file: &Path, keys: &[SharedKey]) -> anyhow::Result<()> {
    private_file::swap_secret(file, &purpose.to_text(keys)?)
}

fn tell(directory: &Path) -> anyhow::Result<()> {
    match ReloadArgs::of(directory).run() {
        Err(error) if error.is::<NoServer>() => Ok(()),
        reloaded => reloaded,
    }
}

fn token_lifetime_secs(settings: &Settings) -> anyhow::Result<u64> {
    let section = settings.authorization_server.as_ref();
    let section = section.ok_or_else(|| {
        let file = settings.file.display();
        usage(format!("{file}: there is no section [as]"))
    })?;
    Ok(section.token_lifetime_secs)
}
