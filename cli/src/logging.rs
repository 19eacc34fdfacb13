//! Logs go to stderr, as text or JSON lines. No secret is ever in them.

use crate::exit::usage;
use std::io::IsTerminal as _;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
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

/// Starts logging. `level` is a word for all of symbolon, or a list `target=level`.
pub(crate) fn start(level: &str, format: LogFormat) -> anyhow::Result<()> {
    let targets = parse_level(level).map_err(usage)?;
    let registry = tracing_subscriber::registry();
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => registry.with(lines.with_filter(targets)).try_init()?,
        LogFormat::Json => registry
            .with(lines.json().with_filter(targets))
            .try_init()?,
    }
    Ok(())
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
