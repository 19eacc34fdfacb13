//! Acknowledgements, DISCONNECT and AUTH that are refused (§3.2, §3.4 to §3.7, §3.9, §3.11, §3.14, §3.15).

use crate::{V5, V311, decoder, frame, refusal};
use symbolon_mqtt_proto::DecodeError::{Malformed, Protocol};
use symbolon_mqtt_proto::{ReasonCode, Sender};

/// For each packet and sender the codes that §2.4 and the packet's own section allow, and the bytes around the code.
struct Row {
    first_byte: u8,
    sender: Sender,
    before: &'static [u8],
    behind: &'static [u8],
    allowed: &'static [u8],
}

const CLIENT: Sender = Sender::Client;
const SERVER: Sender = Sender::Server;

/// Written down from the tables of the standard, and not from the code.
const ROWS: &[Row] = &[
    // §3.2.2.2
    Row {
        first_byte: 0x20,
        sender: SERVER,
        before: &[0],
        behind: &[0],
        allowed: &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
            0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
    },
    // §3.4.2.1, [MQTT-3.4.2-1]; No matching subscribers is from the Server alone.
    Row {
        first_byte: 0x40,
        sender: CLIENT,
        before: &[0, 1],
        behind: &[],
        allowed: &[0x00, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    },
    Row {
        first_byte: 0x40,
        sender: SERVER,
        before: &[0, 1],
        behind: &[],
        allowed: &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    },
    // §3.5.2.1, [MQTT-3.5.2-1]
    Row {
        first_byte: 0x50,
        sender: CLIENT,
        before: &[0, 1],
        behind: &[],
        allowed: &[0x00, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    },
    Row {
        first_byte: 0x50,
        sender: SERVER,
        before: &[0, 1],
        behind: &[],
        allowed: &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    },
    // §3.6.2.1, [MQTT-3.6.2-1]
    Row {
        first_byte: 0x62,
        sender: CLIENT,
        before: &[0, 1],
        behind: &[],
        allowed: &[0x00, 0x92],
    },
    Row {
        first_byte: 0x62,
        sender: SERVER,
        before: &[0, 1],
        behind: &[],
        allowed: &[0x00, 0x92],
    },
    // §3.7.2.1, [MQTT-3.7.2-1]
    Row {
        first_byte: 0x70,
        sender: CLIENT,
        before: &[0, 1],
        behind: &[],
        allowed: &[0x00, 0x92],
    },
    Row {
        first_byte: 0x70,
        sender: SERVER,
        before: &[0, 1],
        behind: &[],
        allowed: &[0x00, 0x92],
    },
    // §3.9.3, [MQTT-3.9.3-2]
    Row {
        first_byte: 0x90,
        sender: SERVER,
        before: &[0, 1, 0],
        behind: &[],
        allowed: &[
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ],
    },
    // §3.11.3, [MQTT-3.11.3-2]
    Row {
        first_byte: 0xB0,
        sender: SERVER,
        before: &[0, 1, 0],
        behind: &[],
        allowed: &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
    },
    // §3.14.2.1, [MQTT-3.14.2-1]
    Row {
        first_byte: 0xE0,
        sender: CLIENT,
        before: &[],
        behind: &[],
        allowed: &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
        ],
    },
    Row {
        first_byte: 0xE0,
        sender: SERVER,
        before: &[],
        behind: &[],
        allowed: &[
            0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
            0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ],
    },
    // §3.15.2.1, [MQTT-3.15.2-1]
    Row {
        first_byte: 0xF0,
        sender: CLIENT,
        before: &[],
        behind: &[4, 0x15, 0, 1, b'm'],
        allowed: &[0x18, 0x19],
    },
    Row {
        first_byte: 0xF0,
        sender: SERVER,
        before: &[],
        behind: &[4, 0x15, 0, 1, b'm'],
        allowed: &[0x00, 0x18],
    },
];

#[test]
fn each_packet_takes_the_reason_codes_of_its_table_from_each_sender() {
    for row in ROWS {
        for code in 0..=u8::MAX {
            let body = [row.before, &[code], row.behind].concat();
            let wire = frame(row.first_byte, &body);
            let decoded = decoder(V5, row.sender).decode(&wire).map(|_| ());
            let expected = if row.allowed.contains(&code) {
                Ok(())
            } else if ReasonCode::from_u8(code).is_none() {
                Err(Malformed("unknown Reason Code"))
            } else {
                Err(Protocol("Reason Code is not for this packet and sender"))
            };
            assert_eq!(decoded, expected, "{code:02X} in {:02X}", row.first_byte);
        }
    }
}

#[test]
fn a_reserved_return_code_in_suback_is_refused_in_311() {
    // MQTT 3.1.1 [MQTT-3.9.3-2]
    for code in (3..=u8::MAX).filter(|code| *code != 0x80) {
        let refused = refusal(V311, SERVER, 0x90, &[0, 1, 0, code]);
        assert_eq!(refused, Malformed("reserved return code"));
    }
}

#[test]
fn an_answer_without_reason_code_is_refused() {
    // [MQTT-3.8.4-6], [MQTT-3.10.4-5]: one for each Topic Filter, of which there is at least one.
    let suback = Protocol("SUBACK without Reason Code");
    assert_eq!(refusal(V311, SERVER, 0x90, &[0, 1]), suback);
    assert_eq!(refusal(V5, SERVER, 0x90, &[0, 1, 0]), suback);
    let unsuback = Protocol("UNSUBACK without Reason Code");
    assert_eq!(refusal(V5, SERVER, 0xB0, &[0, 1, 0]), unsuback);
}

#[test]
fn an_answer_without_packet_identifier_is_refused() {
    // §3.4.2
    let end = Malformed("a field reaches past the end");
    for version in [V311, V5] {
        for first_byte in [0x40, 0x50, 0x62, 0x70, 0x90, 0xB0] {
            assert_eq!(refusal(version, SERVER, first_byte, &[]), end);
            assert_eq!(refusal(version, SERVER, first_byte, &[1]), end);
        }
    }
}

#[test]
fn a_session_expiry_interval_from_a_server_is_refused_in_disconnect() {
    // [MQTT-3.14.2-2]
    let refused = refusal(V5, SERVER, 0xE0, &[0x80, 5, 0x11, 0, 0, 0, 1]);
    assert_eq!(refused, Protocol("Session Expiry Interval from a Server"));
}

#[test]
fn a_server_reference_from_a_client_is_refused() {
    // §3.14.2.2.5
    let refused = refusal(V5, CLIENT, 0xE0, &[0, 4, 0x1C, 0, 1, b's']);
    assert_eq!(refused, Protocol("Server Reference from a Client"));
}

#[test]
fn a_disconnect_without_reason_code_is_a_clients() {
    // §3.14.2.1: it stands for 0x00, which the Client alone sends.
    let refused = refusal(V5, SERVER, 0xE0, &[]);
    let not_its = Protocol("Reason Code is not for this packet and sender");
    assert_eq!(refused, not_its);
}

#[test]
fn auth_without_method_is_refused_unless_it_is_a_bare_success() {
    // §3.15.2.2.2
    let lost = Protocol("no Authentication Method");
    for sender in [CLIENT, SERVER] {
        assert_eq!(refusal(V5, sender, 0xF0, &[0x18, 0]), lost);
        let data = [0x18, 4, 0x16, 0, 1, b'd'];
        assert_eq!(refusal(V5, sender, 0xF0, &data), lost);
    }
    let reason = [0, 4, 0x1F, 0, 1, b'r'];
    assert_eq!(refusal(V5, SERVER, 0xF0, &reason), lost);
}

#[test]
fn auth_with_a_reason_code_has_a_property_length() {
    // §3.15.2.2.1
    let end = Malformed("a field reaches past the end");
    for sender in [CLIENT, SERVER] {
        assert_eq!(refusal(V5, sender, 0xF0, &[0x18]), end);
    }
}
