//! What `pub` and `sub` share: mosquitto's flags, and the connection they describe.
//!
//! | module | holds |
//! |---|---|
//! | [`arguments`] | the flags |
//! | [`refused`] | flags of mosquitto that cannot be honoured, each with the reason |
//! | [`device`] | who we are: a profile, or flags in its place |
//! | [`discovery`] | which authorization server to trust that a broker names |
//! | [`property`] | `-D`: MQTT 5.0 properties |
//! | [`target`] | from flags to a connection |

pub(crate) mod arguments;
mod device;
mod discovery;
pub(crate) mod property;
pub(crate) mod refused;
pub(crate) mod target;

use symbolon_mqtt_proto::{Qos, ReasonCode};

/// The largest payload that a packet can carry, bytes (MQTT 5.0 §1.5.5).
pub(crate) const MAX_PAYLOAD_BYTES: u64 = 268_435_455;

/// `-q`: 0, 1 or 2.
pub(crate) fn parse_qos(text: &str) -> Result<Qos, String> {
    match text {
        "0" => Ok(Qos::AtMostOnce),
        "1" => Ok(Qos::AtLeastOnce),
        "2" => Ok(Qos::ExactlyOnce),
        _ => Err("QoS is 0, 1 or 2".into()),
    }
}

/// A Reason Code for people: `not authorized (0x87)`.
pub(crate) fn describe(code: ReasonCode, reason_string: Option<&str>) -> String {
    let name = format!("{code:?}");
    let mut words = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(character.to_ascii_lowercase());
    }
    let words = words.replace("qos", "QoS ");
    let number = code as u8;
    match reason_string {
        None => format!("{words} (0x{number:02X})"),
        Some(reason) => format!("{words} (0x{number:02X}): {}", printable(reason)),
    }
}

/// What a broker says, such that it does nothing to a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_code_reads_like_the_standard() {
        assert_eq!(
            describe(ReasonCode::NotAuthorized, None),
            "not authorized (0x87)"
        );
        assert_eq!(
            describe(ReasonCode::GrantedQos1, Some("why")),
            "granted QoS 1 (0x01): why"
        );
        assert_eq!(
            describe(ReasonCode::GrantedQos1, Some("\u{1b}[2Jwhy\n")),
            "granted QoS 1 (0x01): \u{fffd}[2Jwhy\u{fffd}"
        );
    }
}
