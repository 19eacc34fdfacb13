//! Shards, clients, network, store and clock in one thread, all by one seed: whatever happens, what was promised holds.
//!
//! | file | holds |
//! |---|---|
//! | `world.rs` | everything there is, step by step; crashes, restarts, and the rest at the end |
//! | `falls.rs` | a shard falls in the middle of a turn, and another goes on in its place |
//! | `broker_end.rs` | the driver's part: bytes in and out of the shards, mail, the store |
//! | `client_end.rs`, `client_reads.rs`, `client.rs` | clients that keep to the standard: what they do, how they take what comes, what they know |
//! | `network.rs`, `disk.rs`, `dice.rs` | a connection, the store, chance |
//! | `oracle.rs` | what must hold |
//! | `scopes.rs` | what tokens let pass, beside a model of few lines |
//!
//! `SYMBOLON_SEEDS` says how many seeds are tried, `SYMBOLON_SEED` names one, which is then told step by step.

#![expect(
    clippy::struct_excessive_bools,
    reason = "what is known of a run is a list of facts"
)]

mod broker_end;
mod client;
mod client_end;
mod client_reads;
mod dice;
mod disk;
mod falls;
mod network;
mod oracle;
mod scopes;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// How many seeds are tried where nothing is said.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

fn run(seed: u64, traces: bool) -> bool {
    catch_unwind(AssertUnwindSafe(|| World::new(seed, traces).run())).is_ok()
}

#[test]
fn whatever_happens_what_was_promised_holds() {
    if let Some(seed) = number("SYMBOLON_SEED") {
        assert!(run(seed, true), "seed {seed} fails");
        return;
    }
    let first = number("SYMBOLON_FIRST_SEED").unwrap_or(0);
    let seeds = number("SYMBOLON_SEEDS").unwrap_or(SEEDS);
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        if !run(seed, false) {
            println!(
                "seed {seed} fails; again, step by step: SYMBOLON_SEED={seed} cargo test -p symbolon-broker --lib simulation -- --nocapture"
            );
            failed.push(seed);
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds fail: {failed:?}",
        failed.len()
    );
}
