//! Brokers side by side: the same scenarios against each, in turn, measured by the CPU time that the broker takes.
//!
//! | module | holds |
//! |---|---|
//! | [`scenario`] | what is measured: data |
//! | [`brokers`] | what is measured against it: one small adapter each |
//! | [`load`] | the load generator: one thread, packets made ahead |
//! | [`wire`] | sockets, with TLS or without, and where a packet ends |
//! | [`relay`] | the floor: a server that makes the system calls and TLS records of a broker and does nothing else |
//! | [`process`] | what a process takes |
//! | [`compare`] | rounds |
//! | [`report`] | a table and a chart |
//!
//! ```text
//! cargo build --release -p symbolon-cli
//! cargo run --release -p symbolon-bench -- compare --chart docs/performance.svg
//! ```

mod brokers;
mod compare;
mod load;
mod process;
mod relay;
mod report;
mod scenario;
mod wire;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Brokers side by side", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run all scenarios against all brokers that are found, in turn, and print the medians
    Compare(compare::CompareArgs),
    /// Serve as the floor; `compare` starts this by itself
    Relay(relay::RelayArgs),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Compare(arguments) => arguments.run(),
        Verb::Relay(arguments) => arguments.run(),
    }
}
