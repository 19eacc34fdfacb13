//! Which authorization server to trust that a broker names (RFC 9431 §2.4.1). It will be shown our credentials, and nobody vouches for a
//! hint: one that was not seen before is asked about, or has to be accepted by a flag, and is remembered then.

use super::device::Device;
use crate::{
    broker_address::bracketed,
    exit::{Refused, usage},
    private_file,
};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    env,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};
use symbolon_client::{ConnectOptions, Connection, Profile, discovery};

/// Below the configuration directory.
const FILE: &str = "symbolon/authorization-servers.json";
/// The longest answer to a question, bytes.
const ANSWER_BYTES: u64 = 64;

/// The device's profile with the authorization server that the broker names, once that is trusted and says the same of itself.
pub(super) async fn complete(
    device: &Device,
    visit: ConnectOptions<'static>,
) -> anyhow::Result<Profile> {
    let broker = format!("{}:{}", bracketed(&visit.host), visit.port);
    let ca = visit.ca_pem.clone();
    let ca =
        ca.ok_or_else(|| usage("name the CA of broker and authorization server with --cafile"))?;
    tracing::debug!(broker, "asking the broker where tokens are issued");
    let hint = Connection::discover(visit).await.context(broker.clone())?;
    let hint = hint.ok_or_else(|| {
        let line =
            format!("the broker {broker} does not say where tokens are issued: use a profile");
        anyhow::Error::new(Refused(line))
    })?;
    let endpoint = hint.authorization_server.as_str();
    discovery::check_endpoint(endpoint)?;
    let known = Known::load()?;
    let is_new = known.of(&broker) != Some(endpoint);
    if is_new {
        accept(device, &broker, endpoint, known.of(&broker))?;
    }
    let metadata = discovery::metadata(&ca, endpoint).await?;
    if is_new {
        known.remember(&broker, endpoint)?;
    }
    let mut profile = device.profile.with_authorization_server(&metadata, &hint);
    profile.ca = ca;
    if profile.audience.is_empty() {
        return Err(usage(
            "the broker does not say by which name it is known to the authorization server: use a profile with audience",
        ));
    }
    if device.scope.is_none() && is_empty(&profile.scope) {
        let scope = hint.scope.as_ref();
        let scope = scope.ok_or_else(|| usage("name what to ask for with --scope pub:FILTER"))?;
        profile.scope = serde_json::from_str(&scope.to_json())?;
    }
    Ok(profile)
}

fn is_empty(scope: &serde_json::Value) -> bool {
    scope.as_array().is_some_and(Vec::is_empty)
}

/// Asks whether an authorization server is to be trusted, where there is somebody to ask.
fn accept(
    device: &Device,
    broker: &str,
    endpoint: &str,
    before: Option<&str>,
) -> anyhow::Result<()> {
    let client = &device.profile.client_id;
    let changed = before.map_or_else(String::new, |before| {
        format!(" (until now it said {before})")
    });
    match &device.trust_as {
        Some(trusted) if trusted == endpoint => return Ok(()),
        Some(trusted) => {
            return Err(usage(format!(
                "the broker {broker} says that tokens are issued at {endpoint}{changed}, and --trust-as is {trusted}"
            )));
        }
        None => {}
    }
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        eprint!(
            "The broker {broker} says that tokens are issued at {endpoint}{changed}.\nShow it the credentials of {client:?}, now and from now on? [y/N] "
        );
        io::stderr().flush()?;
        let mut answer = String::new();
        io::Read::take(io::stdin().lock(), ANSWER_BYTES).read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        return Err(usage(format!("{endpoint} is not trusted")));
    }
    Err(usage(format!(
        "the broker {broker} says that tokens are issued at {endpoint}{changed}, which is not trusted yet; to show it the credentials of {client:?}, add: --trust-as {endpoint}"
    )))
}

/// The authorization servers that were accepted, by broker.
struct Known {
    path: PathBuf,
    servers: BTreeMap<String, String>,
}

impl Known {
    /// What was accepted until now.
    fn load() -> anyhow::Result<Self> {
        Self::read(path(env::var_os("XDG_CONFIG_HOME"), env::var_os("HOME"))?)
    }

    fn read(path: PathBuf) -> anyhow::Result<Self> {
        if !path.exists() {
            return Ok(Self {
                path,
                servers: BTreeMap::new(),
            });
        }
        // Who may write there decides whom we trust: a file that is not understood is not passed over.
        let wrong = |error: String| usage(format!("{}: {error}", path.display()));
        let text = private_file::read_secret(&path).map_err(wrong)?;
        let servers = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { path, servers })
    }

    fn of(&self, broker: &str) -> Option<&str> {
        self.servers.get(broker).map(String::as_str)
    }

    fn remember(mut self, broker: &str, endpoint: &str) -> anyhow::Result<()> {
        self.servers.insert(broker.to_owned(), endpoint.to_owned());
        if let Some(directory) = self.path.parent() {
            private_file::make_private_directory(directory)?;
        }
        let text = serde_json::to_string_pretty(&self.servers)? + "\n";
        let new = self.path.with_extension("json.new");
        private_file::write_secret(&new, &text, true)?;
        std::fs::rename(&new, &self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Where the file is (XDG Base Directory Specification): a relative `XDG_CONFIG_HOME` counts as none.
fn path(
    config_home: Option<std::ffi::OsString>,
    home: Option<std::ffi::OsString>,
) -> anyhow::Result<PathBuf> {
    let absolute = |text: &std::ffi::OsString| Path::new(text).is_absolute();
    if let Some(config_home) = config_home.filter(absolute) {
        return Ok(Path::new(&config_home).join(FILE));
    }
    let home = home.filter(absolute).ok_or_else(|| {
        usage("there is no place to remember an authorization server: set XDG_CONFIG_HOME or HOME")
    })?;
    Ok(Path::new(&home).join(".config").join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_is_remembered_by_broker() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(Some(directory.path().into()), None).unwrap();
        let known = Known::read(path.clone()).unwrap();
        assert_eq!(known.of("b:8883"), None);
        known.remember("b:8883", "https://as/token").unwrap();
        let known = Known::read(path.clone()).unwrap();
        assert_eq!(known.of("b:8883"), Some("https://as/token"));
        assert_eq!(known.of("c:8883"), None);
        known.remember("b:8883", "https://other/token").unwrap();
        let known = Known::read(path).unwrap();
        assert_eq!(known.of("b:8883"), Some("https://other/token"));
    }

    #[test]
    fn a_file_that_others_may_write_or_that_is_broken_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("known.json");
        private_file::write_secret(&path, "[]", false).unwrap();
        assert!(Known::read(path.clone()).is_err());
        std::fs::remove_file(&path).unwrap();
        private_file::write_public(&path, "{}").unwrap();
        assert!(Known::read(path).is_err());
    }

    #[test]
    fn the_file_is_where_the_specification_has_it() {
        let at = |config: Option<&str>, home: Option<&str>| {
            let path = path(config.map(Into::into), home.map(Into::into));
            path.ok().map(|path| path.display().to_string())
        };
        let expected = Some("/c/symbolon/authorization-servers.json".to_owned());
        assert_eq!(at(Some("/c"), Some("/h")), expected);
        let expected = Some("/h/.config/symbolon/authorization-servers.json".to_owned());
        assert_eq!(at(None, Some("/h")), expected);
        assert_eq!(at(Some("c"), Some("/h")), expected);
        assert_eq!(at(None, None), None);
    }
}
