//! Servers that make tokens of one kind, and devices.

use crate::cell::{Cell, Key};
use std::fs;
use symbolon_client::{Mode, Profile, token::Encoding};
use symbolon_e2e::{Command, System};

/// The life of a token that is to run out while the test looks on, seconds.
pub(crate) const SHORT_SECS: u64 = 12;
const ALLOW: &str = "--allow pubsub:rooms/#";

/// What the tokens of a world are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Signed JWTs, symmetric keys in a JWE.
    Jwt,
    /// Signed CWTs, symmetric keys in a `COSE_Encrypt0`, as text in JSON.
    Cwt,
    /// The same as bytes in CBOR.
    CwtInCbor,
    /// 32 random bytes; the broker asks what they stand for.
    Reference,
    /// JWTs with a MAC, symmetric keys derived from the token (RFC 9202 §3.3.1).
    MacedJwt,
    /// CWTs with a MAC, symmetric keys derived from the token.
    MacedCwt,
}

impl Kind {
    /// `symbolon rs set`, `SITE` stands for the site.
    fn words(self) -> &'static str {
        match self {
            Self::Jwt => "--format jwt",
            Self::Cwt | Self::CwtInCbor => "--format cwt",
            Self::Reference => "--format reference",
            Self::MacedJwt => "--format jwt --protection mac --symmetric-keys derived KEYS",
            Self::MacedCwt => "--format cwt --protection mac --symmetric-keys derived KEYS",
        }
    }

    /// Whether a cell can be with such tokens: nobody asks the authorization server in a handshake what a reference stands for.
    pub(crate) fn has(self, cell: Cell) -> bool {
        self != Self::Reference || cell.mode != Mode::PskToken
    }

    /// Of the broker.
    fn settings(self, issuer: &str) -> Vec<(&'static str, String)> {
        let mut settings = vec![("SYMBOLON_BROKER_AUTHZ_INFO", "true".to_owned())];
        match self {
            Self::Jwt | Self::Cwt | Self::CwtInCbor => {}
            // The rest of the section stands in what `init` wrote.
            Self::Reference => settings.push((
                "SYMBOLON_BROKER_INTROSPECTION_ENDPOINT",
                format!("{issuer}/introspect"),
            )),
            Self::MacedJwt | Self::MacedCwt => settings.extend([
                ("SYMBOLON_BROKER_MAC_KEY", "keys/mac.jwk".to_owned()),
                (
                    "SYMBOLON_BROKER_DERIVATION_KEY",
                    "keys/derivation.jwk".to_owned(),
                ),
            ]),
        }
        settings
    }
}

/// Both servers, and what their tokens are.
pub(crate) struct World {
    system: System,
    kind: Kind,
}

/// The devices of a cell: one whose tokens last, one whose tokens do not.
pub(crate) struct Devices {
    pub(crate) lasting: Profile,
    pub(crate) short: Profile,
}

impl World {
    pub(crate) fn start(kind: Kind) -> Self {
        let mut system = System::initialized();
        let site = system.site();
        let keys = "--mac-key SITE/keys/mac.jwk --derivation-key SITE/keys/derivation.jwk";
        let words = kind.words().replace("KEYS", keys);
        let words = words.replace("SITE", &site.to_string_lossy());
        let set = Command::symbolon()
            .words("rs set")
            .arg(&system.init().audience);
        set.words(&words).arg("--dir").arg(&site).run().success();
        let settings = kind.settings(&system.init().issuer);
        let borrowed: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        system.up(&borrowed);
        Self { system, kind }
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
        let profile = Profile::from_json(&json).expect("which is one");
        Profile {
            encoding: (self.kind == Kind::CwtInCbor).then_some(Encoding::Cbor),
            ..profile
        }
    }
}
