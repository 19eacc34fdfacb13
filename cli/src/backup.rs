//! `symbolon backup` and `symbolon restore`: what the authorization server itself writes, in a directory and back.

use crate::{
    clock,
    config::{AuthorizationServerSettings, DirectoryArg, Settings},
    exit::usage,
    private_file, registry,
};
use anyhow::Context as _;
use std::{
    fs,
    path::{Path, PathBuf},
};
use symbolon_auth_server::{
    KeyRing,
    store::{Store, StoreError},
};

/// The files of a backup.
const DATABASE: &str = "symbolon.db";
const SIGNING_KEY: &str = "signing.jwk";

/// `symbolon backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// A directory to make: the database and the signing keys go into it
    to: PathBuf,
    #[command(flatten)]
    directory: DirectoryArg,
}

/// `symbolon restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The directory that `symbolon backup` made
    from: PathBuf,
    #[command(flatten)]
    directory: DirectoryArg,
}

impl BackupArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let settings = self.directory.settings()?;
        let section = section(&settings)?;
        if self.to.exists() {
            let to = self.to.display();
            return Err(usage(format!("{to} exists; name a directory to make")));
        }
        let keys = section.signing_key.file().map(read_keys).transpose()?;
        crate::runtime::block_on(async {
            let store = registry::open(&settings).await?;
            private_file::make_private_directory(&self.to)?;
            // An absolute path, or the file would lie elsewhere than the name says.
            let to = fs::canonicalize(&self.to)?;
            if let Some(keys) = &keys {
                private_file::write_secret(&to.join(SIGNING_KEY), keys, false)?;
            }
            store.backup(&to.join(DATABASE)).await?;
            println!("backed up to {}", self.to.display());
            if keys.is_none() {
                println!("the signing key is in a token, and no backup holds it");
            }
            anyhow::Ok(())
        })?
    }
}

impl RestoreArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let settings = self.directory.settings()?;
        let section = section(&settings)?;
        #[cfg(unix)]
        if crate::reload::is_running(&settings.directory)? {
            return Err(usage("a server is running on this directory: end it first"));
        }
        let ring_file = section.signing_key.file();
        let keys = match ring_file {
            Some(_) => Some(read_keys(&self.from.join(SIGNING_KEY))?),
            None => None,
        };
        let copy = self.from.join(DATABASE);
        let refused = |error| usage(format!("{}: {error}", copy.display()));
        private_file::refuse_if_others_may_use(&copy).map_err(refused)?;
        let aside = match section.database.file() {
            Some(database) => Some(put_in_place(&copy, database)?),
            None => {
                fill(section, &copy)?;
                None
            }
        };
        if let (Some(path), Some(keys)) = (ring_file, &keys) {
            private_file::swap_secret(path, keys)?;
        }
        println!("restored from {}", self.from.display());
        if let Some(aside) = aside.filter(|aside| aside.exists()) {
            println!("what was there before is {}", aside.display());
        }
        println!(
            "tokens that were revoked since the backup are good again until they expire; to end them: symbolon key rotate --now, then symbolon key revoke"
        );
        Ok(())
    }
}

fn section(settings: &Settings) -> anyhow::Result<&AuthorizationServerSettings> {
    settings.authorization_server.as_ref().ok_or_else(|| {
        let file = settings.file.display();
        usage(format!("{file}: there is no section [as]"))
    })
}

fn read_keys(path: &Path) -> anyhow::Result<String> {
    let text = private_file::read_secret(path)
        .map_err(|error| usage(format!("{}: {error}", path.display())))?;
    KeyRing::from_json(&text, clock::now())
        .map_err(|error| usage(format!("{} {error}", path.display())))?;
    Ok(text)
}

/// Puts the copy in the place of the file; where that is now.
fn put_in_place(copy: &Path, database: &Path) -> anyhow::Result<PathBuf> {
    // Beside the database, so that one step puts it in its place.
    let waiting = beside(database, "restoring");
    let revived = revive(copy, &waiting);
    if revived.is_err() {
        remove(&waiting);
    }
    revived?;
    private_file::give_to_the_owner_of(database, &waiting)
        .with_context(|| format!("cannot give {} away", waiting.display()))?;
    let aside = beside(database, &format!("before-{}", clock::now().0));
    put_aside(database, &aside)?;
    fs::rename(&waiting, database)
        .with_context(|| format!("cannot make {}", database.display()))?;
    Ok(aside)
}

/// Fills an empty database of PostgreSQL with the copy: all of it, or nothing.
fn fill(section: &AuthorizationServerSettings, copy: &Path) -> anyhow::Result<()> {
    // Of mode 0700: the copy holds secrets.
    let directory = tempfile::tempdir().context("cannot make a directory")?;
    let waiting = directory.path().join(DATABASE);
    revive(copy, &waiting)?;
    crate::runtime::block_on(async {
        let copy = Store::open(&waiting).await?;
        let store = registry::open_configured(section).await?;
        let filled = store.take_over(&copy).await;
        copy.close().await;
        store.close().await;
        match filled {
            Err(StoreError::Exists(..)) => Err(usage(format!(
                "{} is not empty: name an empty database in as.database",
                section.database.shown()
            ))),
            filled => Ok(filled?),
        }
    })?
}

/// The copy, checked, of today's schema, closed.
fn revive(copy: &Path, waiting: &Path) -> anyhow::Result<()> {
    remove(waiting);
    fs::copy(copy, waiting).with_context(|| format!("cannot copy {}", copy.display()))?;
    crate::runtime::block_on(async {
        let store = Store::open(waiting).await?.acting_as(&registry::actor());
        let revived = store.revive().await;
        let whole = store.verify_audit(None).await;
        store.close().await;
        revived?;
        if let Err(damage) = whole? {
            eprintln!("note: the audit log of the backup: {damage}");
        }
        anyhow::Ok(())
    })?
}

/// The database with its log, which belongs to it and to no other.
fn put_aside(database: &Path, aside: &Path) -> anyhow::Result<()> {
    for end in ["", "-wal", "-shm"] {
        let file = with_end(database, end);
        if file.exists() {
            fs::rename(&file, with_end(aside, end))
                .with_context(|| format!("cannot put {} aside", file.display()))?;
        }
    }
    Ok(())
}

fn remove(database: &Path) {
    for end in ["", "-wal", "-shm"] {
        let file = with_end(database, end);
        if file.exists()
            && let Err(error) = fs::remove_file(&file)
        {
            tracing::warn!(path = %file.display(), %error, "cannot be removed");
        }
    }
}

fn beside(database: &Path, what: &str) -> PathBuf {
    with_end(database, &format!(".{what}"))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}
