//! `symbolon config check`.

use std::path::PathBuf;

/// `symbolon config ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration: keys, values, and the files they name
    ///
    /// Prints `FILE:LINE:COLUMN: what is wrong` with a suggestion and ends with code 2, or prints `FILE: ok`.
    /// Nothing is started and nothing is changed.
    Check {
        /// The configuration file, or the directory that has it
        #[arg(
            value_name = "FILE or DIR",
            env = "SYMBOLON_DIR",
            hide_env_values = true,
            default_value = "."
        )]
        path: PathBuf,
        /// Set a key over file and environment, as in as.listen=127.0.0.1:8443
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
}

impl ConfigCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check { path, set } => check(&path, &set),
        }
    }
}

fn check(path: &std::path::Path, set: &[String]) -> anyhow::Result<()> {
    let opened = super::open(path, set)?;
    if opened.settings.authorization_server.is_some() {
        super::authorization_server(&opened)?;
    }
    if opened.settings.broker.is_some() {
        super::broker(&opened)?;
    }
    println!("{}: ok", opened.settings.file.display());
    Ok(())
}
