//! The authorization server's database, for the commands that administer it. A running server sees what they change.

use crate::{
    config::{AuthorizationServerSettings, Settings},
    exit::usage,
};
use anyhow::Context as _;
use std::path::Path;
use symbolon_auth_server::store::Store;

/// Makes the database.
pub(crate) async fn create(path: &Path) -> anyhow::Result<Store> {
    Store::open(path)
        .await
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Opens the database that the configuration names. It must exist: a mistyped path must not make an empty one.
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Store> {
    let section = settings.authorization_server.as_ref().ok_or_else(|| {
        usage(format!(
            "{}: there is no section [as]; clients and policies are kept where the authorization server is",
            settings.file.display()
        ))
    })?;
    if let Some(file) = section.database.file()
        && !file.exists()
    {
        return Err(usage(format!(
            "there is no database {}; make one with: symbolon init DIR",
            file.display()
        )));
    }
    Ok(open_configured(section).await?.acting_as(&actor()))
}

/// Wherever the configuration says that the database is; of PostgreSQL it must be there, but may be empty.
pub(crate) async fn open_configured(
    section: &AuthorizationServerSettings,
) -> anyhow::Result<Store> {
    let location = section.database.location();
    let location = location.map_err(|error| usage(format!("as.database: {error}")))?;
    Store::open_at(&location)
        .await
        .with_context(|| format!("cannot open {location}"))
}

/// Whom the audit log names: the user that runs the command, and who became it by sudo.
pub(crate) fn actor() -> String {
    let sudo = std::env::var("SUDO_USER").map(|user| format!(" sudo={user}"));
    format!("cli uid={}{}", user(), sudo.unwrap_or_default())
}

#[cfg(unix)]
fn user() -> String {
    use std::os::unix::fs::MetadataExt as _;
    // Of a new file of ours the owner is the user; no call for it is in the standard library.
    let owner = tempfile::tempfile().and_then(|file| file.metadata());
    owner.map_or_else(|_| "unknown".to_owned(), |owner| owner.uid().to_string())
}

#[cfg(not(unix))]
fn user() -> String {
    "unknown".to_owned()
}

/// The audience to work with: the one given, or the broker's of this configuration.
pub(crate) fn audience(settings: &Settings, given: Option<String>) -> anyhow::Result<String> {
    let configured = || {
        let broker = settings.broker.as_ref()?;
        Some(broker.authorization.first()?.audience.clone())
    };
    given
        .or_else(configured)
        .ok_or_else(|| usage("the configuration names no broker: say which with --audience"))
}
