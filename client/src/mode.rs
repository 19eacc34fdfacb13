//! How a client says who it is: the combinations of RFC 9431 §2.2.1.

use crate::Profile;
use symbolon_ace_proto::PopAlgorithm;
use symbolon_mqtt_proto::ProtocolVersion;

/// How a client says who it is (RFC 9431 §2.2.1). The texts are those of the member `auth` of a profile.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// TLS:Anon, MQTT:None: not at all, for public topics.
    Anon,
    /// TLS:Anon, MQTT:ace: the token in CONNECT with a proof over the TLS exporter value (§2.2.4.2.1).
    Exporter,
    /// TLS:Anon, MQTT:ace: the token in CONNECT, the proof in answer to the broker's challenge (§2.2.4.2.2).
    Challenge,
    /// TLS:Known, MQTT:None: the token at `authz-info` first, its key pair as a raw public key in the handshake (§2.2.3.1).
    Rpk,
    /// TLS:Known, MQTT:None: a pre-shared key whose identity is the token (§2.2.3.2).
    PskToken,
    /// TLS:Known, MQTT:None: the token at `authz-info` first, a pre-shared key whose identity names the token's key (§2.2.3.2).
    PskKid,
    /// MQTT 3.1.1: the token in User Name, the proof over the TLS exporter value in Password (§6).
    V311,
}

/// Why a mode cannot be. One line each, for people.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ModeError {
    /// 3.1.1 has no AUTH and no properties.
    #[error("{} needs MQTT 5.0; in MQTT 3.1.1 there are v311, rpk, psk-token and psk-kid", .0.as_str())]
    NeedsV5(Mode),
    /// User Name and Password stay empty in 5.0 (RFC 9431 §2.2.4.1).
    #[error("v311 is for MQTT 3.1.1 alone; in MQTT 5.0 take exporter")]
    NeedsV311,
    /// A shared secret is no raw public key.
    #[error(
        "rpk needs a key pair of the device's own (pop.alg EdDSA or ES256), and the profile has HS256: take psk-token or psk-kid"
    )]
    NeedsKeyPair,
    /// A key pair is no shared secret.
    #[error("{} needs a shared key (pop.alg HS256), and the profile has a key pair: take rpk", .0.as_str())]
    NeedsSharedKey(Mode),
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Anon,
        Self::Exporter,
        Self::Challenge,
        Self::Rpk,
        Self::PskToken,
        Self::PskKid,
        Self::V311,
    ];

    /// As in a profile and on a command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Exporter => "exporter",
            Self::Challenge => "challenge",
            Self::Rpk => "rpk",
            Self::PskToken => "psk-token",
            Self::PskKid => "psk-kid",
            Self::V311 => "v311",
        }
    }

    /// What a profile says, or else TLS:Anon with the method `ace`, which every broker must take and clients should try first (RFC 9431
    /// §2.2.1), by the exporter: one round trip less than a challenge, and bound to the channel. In 3.1.1 the one way that it has.
    pub fn choose(profile: &Profile, version: ProtocolVersion) -> Self {
        match (profile.auth, version) {
            (Some(mode), _) => mode,
            (None, ProtocolVersion::V5) => Self::Exporter,
            (None, ProtocolVersion::V311) => Self::V311,
        }
    }

    /// Whether it can be, in this version of MQTT and with a key for this algorithm.
    pub fn check(self, version: ProtocolVersion, key: PopAlgorithm) -> Result<(), ModeError> {
        match (self, version) {
            (Self::Exporter | Self::Challenge, ProtocolVersion::V311) => {
                return Err(ModeError::NeedsV5(self));
            }
            (Self::V311, ProtocolVersion::V5) => return Err(ModeError::NeedsV311),
            (Self::Exporter | Self::Challenge, ProtocolVersion::V5)
            | (Self::V311, ProtocolVersion::V311)
            | (Self::Anon | Self::Rpk | Self::PskToken | Self::PskKid, _) => {}
        }
        match (self, key) {
            (Self::Rpk, PopAlgorithm::Hs256) => Err(ModeError::NeedsKeyPair),
            (Self::PskToken | Self::PskKid, PopAlgorithm::EdDsa | PopAlgorithm::Es256) => {
                Err(ModeError::NeedsSharedKey(self))
            }
            (Self::Rpk, PopAlgorithm::EdDsa | PopAlgorithm::Es256)
            | (Self::PskToken | Self::PskKid, PopAlgorithm::Hs256)
            | (Self::Anon | Self::Exporter | Self::Challenge | Self::V311, _) => Ok(()),
        }
    }

    /// Whether TLS says who the client is, and not MQTT.
    pub(crate) fn is_known_to_tls(self) -> bool {
        match self {
            Self::Rpk | Self::PskToken | Self::PskKid => true,
            Self::Anon | Self::Exporter | Self::Challenge | Self::V311 => false,
        }
    }

    /// Whether the token must be at `authz-info` before the handshake.
    pub(crate) fn publishes_first(self) -> bool {
        match self {
            Self::Rpk | Self::PskKid => true,
            Self::Anon | Self::Exporter | Self::Challenge | Self::PskToken | Self::V311 => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V5: ProtocolVersion = ProtocolVersion::V5;
    const V311: ProtocolVersion = ProtocolVersion::V311;

    #[test]
    fn a_mode_is_checked_against_version_and_key_before_anything_is_sent() {
        use PopAlgorithm::{EdDsa, Hs256};
        for (mode, version, key, expected) in [
            (Mode::Exporter, V5, Hs256, Ok(())),
            (
                Mode::Exporter,
                V311,
                Hs256,
                Err(ModeError::NeedsV5(Mode::Exporter)),
            ),
            (
                Mode::Challenge,
                V311,
                EdDsa,
                Err(ModeError::NeedsV5(Mode::Challenge)),
            ),
            (Mode::V311, V311, EdDsa, Ok(())),
            (Mode::V311, V5, EdDsa, Err(ModeError::NeedsV311)),
            (Mode::Rpk, V5, EdDsa, Ok(())),
            (Mode::Rpk, V311, EdDsa, Ok(())),
            (Mode::Rpk, V5, Hs256, Err(ModeError::NeedsKeyPair)),
            (Mode::PskToken, V5, Hs256, Ok(())),
            (
                Mode::PskKid,
                V5,
                EdDsa,
                Err(ModeError::NeedsSharedKey(Mode::PskKid)),
            ),
            (Mode::Anon, V311, EdDsa, Ok(())),
        ] {
            assert_eq!(mode.check(version, key), expected, "{mode:?}");
        }
    }

    #[test]
    fn a_mode_is_written_as_it_is_read() {
        for mode in Mode::ALL {
            let written = serde_json::to_value(mode).unwrap();
            assert_eq!(written, mode.as_str());
        }
    }
}
