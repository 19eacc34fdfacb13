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
    let cells = CELLS.into_iter().filter(|cell| kind.has(*cell));
    let mut wrong = Vec::new();
    wait(async {
        let runs: Vec<_> = cells
            .map(|cell| (cell, tokio::spawn(cell.run(world.devices(cell)))))
            .collect();
        for (cell, run) in runs {
            match run.await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => wrong.push(format!("{cell}: {why}")),
                Err(panicked) => wrong.push(format!("{cell}: {panicked}")),
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(future)
}

#[test]
fn a_jwt_works_in_every_mode() {
    every_mode(Kind::Jwt);
}

#[test]
fn a_cwt_works_in_every_mode() {
    every_mode(Kind::Cwt);
}

#[test]
fn a_cwt_that_came_in_cbor_works_in_every_mode() {
    every_mode(Kind::CwtInCbor);
}

#[test]
fn a_token_by_reference_works_in_every_mode() {
    every_mode(Kind::Reference);
}

#[test]
fn a_jwt_with_a_mac_and_a_derived_key_works_in_every_mode() {
    every_mode(Kind::MacedJwt);
}

#[test]
fn a_cwt_with_a_mac_and_a_derived_key_works_in_every_mode() {
    every_mode(Kind::MacedCwt);
}

// RFC 9431 §2.2.3.2 has a JWT or a CWT there.
#[test]
fn a_reference_is_an_identity_once_the_broker_has_asked_about_it() {
    let world = World::start(Kind::Reference);
    for cell in CELLS.into_iter().filter(|cell| !Kind::Reference.has(*cell)) {
        let devices = world.devices(cell);
        let outcome = wait(cell.is_known_once_published(&devices.lasting));
        assert_eq!(outcome, Ok(()), "{cell}");
    }
}
