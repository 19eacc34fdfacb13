//! Servers that make tokens of one kind, and devices.

use crate::cell::{Cell, Key};
use std::fs;
use symbolon_client::Profile;
use symbolon_e2e::System;

/// The life of a token that is to run out while the test looks on, seconds.
pub(crate) const SHORT_SECS: u64 = 12;
const ALLOW: &str = "--allow pubsub:rooms/#";

/// What the tokens of a world are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Jwt,
}

/// Both servers, and what their tokens are.
pub(crate) struct World {
    system: System,
}

/// The devices of a cell: one whose tokens last, one whose tokens do not.
pub(crate) struct Devices {
    pub(crate) lasting: Profile,
    pub(crate) short: Profile,
}

impl World {
    pub(crate) fn start(kind: Kind) -> Self {
        let mut system = System::initialized();
        match kind {
            Kind::Jwt => system.up(&[("SYMBOLON_BROKER_AUTHZ_INFO", "true")]),
        }
        Self { system }
    }

    pub(crate) fn devices(&self, cell: Cell) -> Devices {
        let short = format!("--token-lifetime-secs {SHORT_SECS}");
        Devices {
            lasting: self.device(cell, "lasting", ""),
            short: self.device(cell, "short", &short),
        }
    }

    fn device(&self, cell: Cell, name: &str, more: &str) -> Profile {
        let pop = match cell.key {
            Key::Hs256 => "hs256",
            Key::Ed25519 => "ed25519",
            Key::Es256 => "es256",
        };
        let name = format!("{name}-{cell}");
        let path = self
            .system
            .device(&name, &format!("--pop {pop} {ALLOW} {more}"));
        let json = fs::read_to_string(path).expect("a device has a profile");
        Profile::from_json(&json).expect("which is one")
    }
}
