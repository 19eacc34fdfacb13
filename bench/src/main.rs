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
//! | [`site`], [`registered`] | an authorization server and a broker, and clients that they know |
//! | [`serving`] | a server as a child process |
//! | [`https`] | requests over connections that are kept |
//! | [`latencies`] | percentiles |
//! | [`revocation`] | from the answer that a right is gone until its client is sent away |
//! | [`growth`] | whether a message costs the same however much there is beside it |
//! | [`guard`] | instructions for a PUBLISH, against regressions |
//! | [`tokens`] | tokens that an authorization server issues for a second of CPU time |
//!
//! ```text
//! cargo build --release -p symbolon-cli
//! cargo run --release -p symbolon-bench -- compare --chart docs/performance.svg
//! cargo run --release -p symbolon-bench -- tokens
//! cargo run --release -p symbolon-bench -- revocation
//! ```

mod brokers;
mod compare;
mod growth;
mod guard;
mod https;
mod latencies;
mod load;
mod process;
mod registered;
mod relay;
mod report;
mod revocation;
mod scenario;
mod serving;
mod site;
mod tokens;
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
    /// Measure whether a message costs the same with few connections, subscriptions and filters and with many
    Growth(growth::GrowthArgs),
    /// Count the instructions of a PUBLISH, and compare them with what a file says
    Guard(guard::GuardArgs),
    /// Serve as the floor; `compare` starts this by itself
    Relay(relay::RelayArgs),
    /// Measure how long it takes until a client whose right is taken away is sent away
    Revocation(revocation::RevocationArgs),
    /// Measure what a token costs the authorization server
    Tokens(tokens::TokensArgs),
    /// Sign tokens without a store; `tokens` starts this by itself
    Signer(tokens::floor::SignerArgs),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Compare(arguments) => arguments.run(),
        Verb::Growth(arguments) => arguments.run(),
        Verb::Guard(arguments) => arguments.run(),
        Verb::Relay(arguments) => arguments.run(),
        Verb::Revocation(arguments) => arguments.run(),
        Verb::Tokens(arguments) => arguments.run(),
        Verb::Signer(arguments) => arguments.run(),
    }
}
