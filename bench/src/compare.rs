//! Rounds: each scenario against each broker, one after the other, several times, so that what else the machine does meets all alike.

use crate::{
    brokers::{Broker, Brokers},
    load::{self, Span},
    process,
    report::{Measured, chart, table},
    scenario::{Load, SCENARIOS, Scenario},
};
use anyhow::ensure;
use std::{fs, path::PathBuf, time::Duration};
use symbolon_ace_proto::PopAlgorithm;

/// Files that each process may have open: the idle clients, and more.
pub(crate) const OPEN_FILES: u64 = 12_000;

/// `symbolon-bench compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// How often everything is measured; the medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each load is measured, milliseconds
    #[arg(long, default_value_t = 2_000)]
    millis: u64,
    /// Only scenarios whose name contains this; more than once for more
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Only brokers whose name contains this; more than once for more
    #[arg(long, value_name = "TEXT")]
    broker: Vec<String>,
    /// Threads of Symbolon; the others have one
    #[arg(long, default_value_t = 1)]
    shards: u16,
    /// The key that tokens are bound to, and that Symbolon's clients prove to hold
    #[arg(long, value_enum, default_value_t = Pop::Es256)]
    pop: Pop,
    /// Where an SVG chart is written
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
}

/// The part of a measurement that is not counted is so many times shorter.
const WARM_UP_PART: u64 = 4;

/// `--pop`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Pop {
    Es256,
    Ed25519,
    Hs256,
}

impl Pop {
    fn algorithm(self) -> PopAlgorithm {
        match self {
            Self::Es256 => PopAlgorithm::Es256,
            Self::Ed25519 => PopAlgorithm::EdDsa,
            Self::Hs256 => PopAlgorithm::Hs256,
        }
    }
}

impl CompareArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        process::allow_files(OPEN_FILES)?;
        let brokers = Brokers::find(self.shards, self.pop.algorithm())?;
        let compared: Vec<&dyn Broker> = (brokers.all.iter())
            .map(AsRef::as_ref)
            .filter(|broker| is_wanted(&self.broker, broker.name()))
            .collect();
        let scenarios = SCENARIOS
            .iter()
            .filter(|scenario| is_wanted(&self.only, scenario.name));
        let scenarios: Vec<&Scenario> = scenarios.collect();
        let mut measured = Measured::default();
        let mut failed = 0;
        for round in 1..=self.rounds {
            for scenario in &scenarios {
                for broker in compared.iter().filter(|broker| can(**broker, scenario)) {
                    match self.measure(&brokers, *broker, scenario) {
                        Ok(figures) => measured.add(scenario.name, broker.name(), &figures),
                        Err(error) => {
                            eprintln!("{}, {}: {error:#}", scenario.name, broker.name());
                            failed += 1;
                        }
                    }
                }
            }
            eprintln!("round {round} of {} is over", self.rounds);
        }
        let names: Vec<&str> = compared.iter().map(|broker| broker.name()).collect();
        print!("{}", table::markdown(&measured, &names));
        if let Some(file) = &self.chart {
            fs::write(file, chart::svg(&measured, &names))?;
        }
        ensure!(failed == 0, "{failed} measurements have failed");
        Ok(())
    }

    fn measure(
        &self,
        brokers: &Brokers,
        broker: &dyn Broker,
        scenario: &Scenario,
    ) -> anyhow::Result<load::Figures> {
        let running = brokers.start(broker)?;
        let span = Span {
            warm_up: Duration::from_millis(self.millis / WARM_UP_PART),
            measured: Duration::from_millis(self.millis),
        };
        load::run(scenario, &running.target(scenario.over_tls), span)
    }
}

/// Whether the broker does at all what the scenario measures.
fn can(broker: &dyn Broker, scenario: &Scenario) -> bool {
    match scenario.load {
        Load::Durable { .. } => broker.keeps_sessions(),
        Load::Traffic(_) | Load::Paced { .. } | Load::Connecting { .. } | Load::Idle { .. } => true,
    }
}

/// Nothing wanted is everything wanted.
fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|text| name.contains(text.as_str()))
}
