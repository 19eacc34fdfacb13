//! What a token costs the authorization server, beside a server that signs and stores nothing, and beside others (`--beside`).
//!
//! | module | holds |
//! |---|---|
//! | [`issuers`] | what is measured: one small adapter each |
//! | [`load`] | requests over connections that are kept |
//! | [`floor`] | the server that stores nothing |

pub(crate) mod floor;
mod issuers;
mod load;

use crate::{
    latencies::Latencies,
    load::Span,
    process::{self, precise},
    registered::{Fleet, Method},
    site::Site,
};
use issuers::Issuer;
use load::Run;
use std::{fmt::Write as _, time::Duration};

/// The part of a measurement that is not counted is so many times shorter.
const WARM_UP_PART: u64 = 4;

/// `symbolon-bench tokens`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokensArgs {
    /// How often everything is measured; the medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each is measured, milliseconds
    #[arg(long, default_value_t = 2_000)]
    millis: u64,
    /// Connections that are kept, each with one request at a time
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Clients that ask in turn
    #[arg(long, default_value_t = 512)]
    clients: usize,
    /// Measure the authorization servers of others that are found, too
    #[arg(long)]
    beside: bool,
    /// Only servers whose name contains this; more than once for more
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
}

/// All runs of one server with one method.
#[derive(Debug)]
struct Line {
    method: Method,
    name: &'static str,
    per_sec: Vec<f64>,
    per_cpu_sec: Vec<f64>,
    latencies: Latencies,
    answer_bytes: usize,
}

/// A site for each method, with its clients.
pub(crate) struct Sites {
    pub(crate) secret: (Site, Fleet),
    pub(crate) key: (Site, Fleet),
}

impl Sites {
    fn make(clients: usize) -> anyhow::Result<Self> {
        let make = |method| {
            let site = Site::make()?;
            let fleet = Fleet::register(&site, clients, method)?;
            site.keep_database()?;
            anyhow::Ok((site, fleet))
        };
        Ok(Self {
            secret: make(Method::Secret)?,
            key: make(Method::Key)?,
        })
    }

    pub(crate) fn of(&self, method: Method) -> &(Site, Fleet) {
        match method {
            Method::Secret => &self.secret,
            Method::Key => &self.key,
        }
    }
}

impl TokensArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        process::allow_files(u64::try_from(self.connections)? + 256)?;
        let sites = Sites::make(self.clients)?;
        let issuers: Vec<Box<dyn Issuer>> = issuers::find(self.beside)?
            .into_iter()
            .filter(|issuer| self.is_wanted(issuer.name()))
            .collect();
        let mut lines: Vec<Line> = Vec::new();
        for round in 1..=self.rounds {
            for method in [Method::Secret, Method::Key] {
                for issuer in issuers.iter().filter(|issuer| issuer.takes(method)) {
                    let run = self.measure(issuer.as_ref(), &sites, method)?;
                    let known = lines
                        .iter_mut()
                        .find(|line| line.method == method && line.name == issuer.name());
                    if let Some(line) = known {
                        line.add(run);
                    } else {
                        let mut line = Line::new(method, issuer.name());
                        line.add(run);
                        lines.push(line);
                    }
                }
            }
            eprintln!("round {round} of {} is over", self.rounds);
        }
        lines.sort_by_key(|line| line.method != Method::Secret);
        print!("{}", table(&lines));
        Ok(())
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| name.contains(text.as_str()))
    }

    fn measure(&self, issuer: &dyn Issuer, sites: &Sites, method: Method) -> anyhow::Result<Run> {
        let span = Span {
            warm_up: Duration::from_millis(self.millis / WARM_UP_PART),
            measured: Duration::from_millis(self.millis),
        };
        let mut running = issuer.start(sites, method)?;
        load::run(&mut running, self.connections, span)
    }
}

impl Line {
    fn new(method: Method, name: &'static str) -> Self {
        Self {
            method,
            name,
            per_sec: Vec::new(),
            per_cpu_sec: Vec::new(),
            latencies: Latencies::default(),
            answer_bytes: 0,
        }
    }

    fn add(&mut self, run: Run) {
        let tokens = precise(run.tokens);
        self.per_sec.push(tokens / run.elapsed.as_secs_f64());
        self.per_cpu_sec.push(tokens / run.cpu_secs);
        self.latencies.extend(run.latencies);
        self.answer_bytes = run.answer_bytes;
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (lower, upper) = (
        sorted.get((sorted.len().max(1) - 1) / 2),
        sorted.get(sorted.len() / 2),
    );
    f64::midpoint(
        lower.copied().unwrap_or_default(),
        upper.copied().unwrap_or_default(),
    )
}

/// In Markdown; in brackets the part of what the floor reaches.
fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "| authentication | server | tokens/s | tokens/CPU s | tokens | p50 ms | p90 ms | p99 ms | max ms | answer bytes |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for line in lines {
        let floor = lines
            .iter()
            .find(|other| other.method == line.method && other.name == floor::NAME);
        let per_cpu_sec = median(&line.per_cpu_sec);
        let part = match floor {
            Some(floor) if floor.name != line.name => {
                format!(" ({:.2})", per_cpu_sec / median(&floor.per_cpu_sec))
            }
            Some(_) | None => String::new(),
        };
        // Writing to a text does not fail.
        writeln!(
            text,
            "| {} | {} | {:.0} | {per_cpu_sec:.0}{part} | {} | {} |",
            line.method.name(),
            line.name,
            median(&line.per_sec),
            line.latencies,
            line.answer_bytes,
        )
        .ok();
    }
    text
}
