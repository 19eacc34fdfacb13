//! Logs go to stderr, as text or JSON lines. No secret is ever in them.

use crate::{config::Settings, exit::usage};
use std::{fmt, io::IsTerminal as _};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    layer::{Layered, SubscriberExt as _},
    reload,
    util::SubscriberInitExt as _,
};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `--log-level` and `--log-format`, for every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What to log: error, warn, info, debug, trace or off; or by target, as in `warn,symbolon_broker=debug`
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "SYMBOLON_LOG_LEVEL",
        hide_env_values = true,
        help_heading = "Logs"
    )]
    pub(crate) log_level: Option<String>,
    /// How a log line looks
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "SYMBOLON_LOG_FORMAT",
        hide_env_values = true,
        help_heading = "Logs"
    )]
    pub(crate) log_format: Option<LogFormat>,
}

type Lines = Box<dyn Layer<WithTargets> + Send + Sync>;
type WithTargets = Layered<reload::Layer<Targets, Registry>, Registry>;

/// Changes level and format while the program runs.
#[derive(Clone)]
pub(crate) struct LogSwitch {
    targets: reload::Handle<Targets, Registry>,
    lines: reload::Handle<Lines, WithTargets>,
}

impl fmt::Debug for LogSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSwitch").finish_non_exhaustive()
    }
}

impl LogArgs {
    /// Level and format of a server: the command line, or else its configuration.
    pub(crate) fn resolve(&self, settings: &Settings) -> (String, LogFormat) {
        let level = self.log_level.as_ref().or(settings.log_level.as_ref());
        let format = self.log_format.or(settings.log_format);
        let level = level.map_or("info", String::as_str).to_owned();
        (level, format.unwrap_or_default())
    }
}

impl LogSwitch {
    /// From now on.
    pub(crate) fn set(&self, level: &str, format: LogFormat) -> anyhow::Result<()> {
        let targets = parse_level(level).map_err(usage)?;
        self.lines.reload(lines(format))?;
        self.targets.reload(targets)?;
        Ok(())
    }
}

/// Starts logging. `level` is a word for all of symbolon, or a list `target=level`.
pub(crate) fn start(level: &str, format: LogFormat) -> anyhow::Result<LogSwitch> {
    let (targets, targets_handle) = reload::Layer::new(parse_level(level).map_err(usage)?);
    let (lines, lines_handle) = reload::Layer::new(lines(format));
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init()?;
    Ok(LogSwitch {
        targets: targets_handle,
        lines: lines_handle,
    })
}

fn lines(format: LogFormat) -> Lines {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}

/// A bare level is for symbolon's own crates; of the others only warnings are of interest to an operator.
pub(crate) fn parse_level(level: &str) -> Result<Targets, String> {
    let wrong = || {
        format!(
            "log level {level:?} is not known: error, warn, info, debug, trace, off, or target=level"
        )
    };
    if level.contains(['=', ',']) {
        return level.parse().map_err(|_| wrong());
    }
    let own: LevelFilter = level.parse().map_err(|_| wrong())?;
    Ok(Targets::new()
        .with_default(own.min(LevelFilter::WARN))
        .with_target("symbolon", own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_bare_level_is_for_our_own_crates() {
        let targets = parse_level("debug").unwrap();
        assert!(targets.would_enable("symbolon_broker::shard", &Level::DEBUG));
        assert!(!targets.would_enable("rustls", &Level::INFO));
        assert!(targets.would_enable("rustls", &Level::WARN));
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        assert!(parse_level("loud").is_err());
    }
}
