//! The matrix: every mode of RFC 9431 §2.2.1 that our client speaks, by every key, with every kind of token that our authorization server
//! makes, against the program. What others' TLS adds (raw public keys and short identities on TLS 1.2) stands in `python/cases/known.py`.
//!
//! | module | holds |
//! |---|---|
//! | `cell` | one mode, one version of MQTT, one key, and what must hold there |
//! | `world` | servers that make tokens of one kind, and devices |

#[cfg(test)]
mod cell;
#[cfg(test)]
mod world;

use cell::CELLS;
use world::{Kind, World};

/// All cells in a world of this kind, at once: they wait for tokens to run out, not for each other.
fn every_mode(kind: Kind) {
    let world = World::start(kind);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let mut wrong = Vec::new();
    runtime.block_on(async {
        let runs = CELLS.map(|cell| (cell, tokio::spawn(cell.run(world.devices(cell)))));
        for (cell, run) in runs {
            match run.await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => wrong.push(format!("{cell}: {why}")),
                Err(panicked) => wrong.push(format!("{cell}: {panicked}")),
            }
        }
    });
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        CELLS.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_jwt_works_in_every_mode() {
    every_mode(Kind::Jwt);
}
