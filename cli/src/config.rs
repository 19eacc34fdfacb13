//! The configuration: command line over environment over file; the file is only ever read.
//!
//! | module | holds |
//! |---|---|
//! | [`keys`] | every key there is, for suggestions and the environment |
//! | [`schema`] | the file as it is written |
//! | [`document`] | text, overrides, and where a key stands |
//! | [`diagnostic`] | `file:line:col: message` |
//! | [`settings`] | what the keys mean together |
//! | [`load`] | settings into what the servers are started with: keys and certificates are read here |
//! | [`check`] | `symbolon config check` |
//! | [`changes`] | what differs between two readings |

mod changes;
pub(crate) mod check;
mod database;
mod diagnostic;
mod document;
mod keys;
mod load;
mod schema;
mod settings;

pub(crate) use changes::{Change, Snapshot};
pub(crate) use diagnostic::ConfigError;
pub(crate) use document::Override;
pub(crate) use load::{authorization_server, broker, hsm, ring_in};
pub(crate) use settings::{
    AuthorizationServerSettings, Settings, SigningKeys, introspection_endpoint, jwks_uri,
    revocation_list, token_endpoint,
};

use document::Document;
use std::path::{Path, PathBuf};

/// The file's name in its directory.
pub(crate) const FILE_NAME: &str = "symbolon.toml";

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DirectoryArg {
    /// The directory that `symbolon init` made, or a configuration file
    #[arg(
        long,
        value_name = "DIR",
        env = "SYMBOLON_DIR",
        hide_env_values = true,
        default_value = "."
    )]
    pub(crate) dir: PathBuf,
}

impl DirectoryArg {
    /// Reads and checks the configuration there, with what the environment says.
    pub(crate) fn settings(&self) -> Result<Settings, ConfigError> {
        let overrides = document::from_environment(std::env::vars_os())?;
        read(&self.dir, overrides).map(|(_, settings)| settings)
    }
}

/// Reads and checks a configuration: the environment over the file, `set` over both.
pub(crate) fn open(path: &Path, set: &[String]) -> Result<Opened, ConfigError> {
    let mut overrides = document::from_environment(std::env::vars_os())?;
    overrides.extend(document::from_command_line(set)?);
    let (document, settings) = read(path, overrides)?;
    Ok(Opened { document, settings })
}

/// A configuration with its text, so that later complaints can point at it.
#[derive(Debug)]
pub(crate) struct Opened {
    document: Document,
    /// What it says.
    pub(crate) settings: Settings,
}

fn read(path: &Path, overrides: Vec<Override>) -> Result<(Document, Settings), ConfigError> {
    let document = Document::read(&file_in(path), overrides)?;
    let settings = Settings::resolve(&document)?;
    Ok((document, settings))
}

/// `path` itself, or the configuration file in it.
pub(crate) fn file_in(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(FILE_NAME)
    } else {
        path.to_owned()
    }
}
