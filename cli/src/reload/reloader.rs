//! Reads the configuration again, and changes the servers at work by it, all of it or nothing.

use super::report::{Outcome, Report};
use crate::{
    clock,
    config::{self, Opened, Snapshot},
    exit::one_line,
    logging::{LogArgs, LogSwitch},
    serve::{Configs, Which},
    service, shared_key,
};
use std::path::PathBuf;
use symbolon_ace_proto::UnixTime;

/// Where the configuration is read from, each time in the same way.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) directory: PathBuf,
    /// `--set`.
    pub(crate) set: Vec<String>,
    pub(crate) which: Which,
    pub(crate) logs: LogArgs,
}

/// A configuration as it was read, checked with all of its files.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) opened: Opened,
    pub(crate) configs: Configs,
    pub(crate) snapshot: Snapshot,
}

/// Servers that can take another configuration over.
#[derive(Debug)]
pub(crate) struct Reloader {
    pub(crate) source: Source,
    /// What holds now.
    pub(crate) held: Snapshot,
    pub(crate) log: LogSwitch,
    pub(crate) authorization_server: Option<symbolon_auth_server::Reloader>,
    pub(crate) broker: Option<symbolon_broker::Reloader>,
}

impl Source {
    /// Reads and checks everything; nothing changes.
    pub(crate) fn read(&self) -> anyhow::Result<Reading> {
        let opened = config::open(&self.directory, &self.set)?;
        // Before the files are loaded: one that changes in between is at worst reported once more the next time.
        let mut snapshot = Snapshot::take(&opened, self.which);
        if self.logs.log_level.is_some() {
            snapshot = snapshot.without("log.level");
        }
        if self.logs.log_format.is_some() {
            snapshot = snapshot.without("log.format");
        }
        let configs = Configs::load(&opened, self.which)?;
        Ok(Reading {
            opened,
            configs,
            snapshot,
        })
    }
}

impl Reloader {
    /// When one of the keys ends that the broker shares with an authorization server: it is forgotten by another reading.
    pub(crate) fn next_end(&self) -> Option<UnixTime> {
        let opened = config::open(&self.source.directory, &self.source.set).ok()?;
        shared_key::next_end(&opened.settings, clock::now())
    }

    /// Does it, and tells the log and the service manager.
    pub(crate) fn reload(&mut self) -> Report {
        service::reloading();
        let report = self.source.read().map_or_else(
            |error| Report::refused(one_line(&error)),
            |reading| self.take_over(reading),
        );
        report.log();
        service::ready();
        report
    }

    fn take_over(&mut self, reading: Reading) -> Report {
        let changes = self.held.changes_to(&reading.snapshot, self.source.which);
        if changes.is_empty() {
            return Report::of(&changes, Outcome::Unchanged);
        }
        let fixed = changes.iter().filter(|change| change.needs_restart);
        let fixed: Vec<&str> = fixed.map(|change| change.key.as_str()).collect();
        if !fixed.is_empty() {
            let keys = fixed.join(", ");
            return Report::of(&changes, Outcome::NeedsRestart(keys));
        }
        match self.change(reading) {
            Ok(()) => Report::of(&changes, Outcome::Changed),
            Err(error) => Report::of(&changes, Outcome::Refused(one_line(&error))),
        }
    }

    /// All that can fail comes before the first change.
    fn change(&mut self, reading: Reading) -> anyhow::Result<()> {
        let configs = reading.configs;
        let prepared = match (&self.authorization_server, configs.authorization_server) {
            (Some(server), Some(config)) => Some(server.prepare(config)?),
            (Some(_) | None, _) => None,
        };
        if let (Some(broker), Some(config)) = (&self.broker, &configs.broker) {
            broker.reload(config)?;
        }
        if let Some(prepared) = prepared {
            prepared.take_over();
            // Tokens of a new signing key would be refused for as long as the broker does not ask again.
            if let Some(broker) = &self.broker {
                broker.fetch_keys_anew();
            }
        }
        let (level, format) = self.source.logs.resolve(&reading.opened.settings);
        self.log.set(&level, format)?;
        self.held = reading.snapshot;
        Ok(())
    }
}
