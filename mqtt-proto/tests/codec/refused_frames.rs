//! Fixed headers and data types that are refused (§1.5, §2.1).

use crate::{V5, V311, decoder, refusal};
use symbolon_mqtt_proto::DecodeError::{Malformed, Protocol, TooLarge, WrongSender};
use symbolon_mqtt_proto::{Decoder, PacketType, ReasonCode, Sender, TopicError};

const NOT_SHORTEST: &str = "Variable Byte Integer is not in its shortest form";
const PAST_THE_END: &str = "a field reaches past the end";
const BEHIND: &str = "bytes behind the last field";

#[test]
fn each_error_has_its_reason_code() {
    // §2.4, §4.13
    use symbolon_mqtt_proto::DecodeError;
    for (error, code) in [
        (Malformed(""), ReasonCode::MalformedPacket),
        (Protocol(""), ReasonCode::ProtocolError),
        (WrongSender(PacketType::ConnAck), ReasonCode::ProtocolError),
        (TooLarge { size: 0 }, ReasonCode::PacketTooLarge),
        (
            DecodeError::UnsupportedProtocolVersion,
            ReasonCode::UnsupportedProtocolVersion,
        ),
        (
            DecodeError::ClientIdentifierNotValid,
            ReasonCode::ClientIdentifierNotValid,
        ),
        (
            DecodeError::TopicAliasInvalid,
            ReasonCode::TopicAliasInvalid,
        ),
        (
            DecodeError::Topic(TopicError::WildcardInName),
            ReasonCode::TopicNameInvalid,
        ),
        (
            DecodeError::Topic(TopicError::Share),
            ReasonCode::TopicFilterInvalid,
        ),
        (
            DecodeError::Topic(TopicError::SingleLevelWildcard),
            ReasonCode::TopicFilterInvalid,
        ),
    ] {
        assert_eq!(error.reason_code(), code);
    }
}

#[test]
fn a_remaining_length_that_is_not_in_its_shortest_form_is_refused() {
    // [MQTT-1.5.5-1]
    for version in [V311, V5] {
        for wire in [
            &[0xC0, 0x80, 0x00][..],
            &[0xC0, 0x80, 0x80, 0x00],
            &[0xC0, 0x80, 0x80, 0x80, 0x00],
            &[0x30, 0x87, 0x00, 0, 1, b't', 0, 1, 2, 3],
        ] {
            let refused = decoder(version, Sender::Client).decode(wire);
            assert_eq!(refused, Err(Malformed(NOT_SHORTEST)));
        }
    }
}

#[test]
fn a_remaining_length_of_more_than_four_bytes_is_refused_before_the_fifth() {
    // §1.5.5; MQTT 3.1.1 §2.2.3
    let long = Malformed("Variable Byte Integer is longer than 4 bytes");
    for version in [V311, V5] {
        let decoder = decoder(version, Sender::Client);
        assert_eq!(decoder.decode(&[0x30, 0x80, 0x80, 0x80]), Ok(None));
        assert_eq!(decoder.decode(&[0x30, 0x80, 0x80, 0x80, 0x80]), Err(long));
        let wire = [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        assert_eq!(decoder.decode(&wire), Err(long));
    }
}

#[test]
fn the_maximum_packet_size_is_checked_once_the_fixed_header_is_there() {
    // [MQTT-3.1.2-24], [MQTT-3.2.2-15]
    let decoder = Decoder {
        maximum_packet_size: 20,
        ..decoder(V5, Sender::Client)
    };
    assert_eq!(decoder.decode(&[0x30, 18]), Ok(None));
    assert_eq!(decoder.decode(&[0x30, 19]), Err(TooLarge { size: 21 }));
    let largest = decoder.decode(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert_eq!(largest, Err(TooLarge { size: 268_435_460 }));
}

#[test]
fn a_reserved_packet_type_is_refused() {
    // §2.1.2; MQTT 3.1.1 §2.2.1
    let reserved = Malformed("reserved packet type");
    for sender in [Sender::Client, Sender::Server] {
        for version in [V311, V5] {
            assert_eq!(refusal(version, sender, 0x00, &[]), reserved);
        }
        assert_eq!(refusal(V311, sender, 0xF0, &[]), reserved);
    }
}

#[test]
fn reserved_flags_of_the_fixed_header_are_refused() {
    // [MQTT-2.1.3-1], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1]; MQTT 3.1.1 [MQTT-2.2.2-2]
    let reserved = Malformed("reserved flags of the fixed header");
    for (packet_type, only_valid) in [
        (1, 0),
        (2, 0),
        (4, 0),
        (5, 0),
        (6, 2),
        (7, 0),
        (8, 2),
        (9, 0),
        (10, 2),
        (11, 0),
        (12, 0),
        (13, 0),
        (14, 0),
        (15, 0),
    ] {
        for flags in (0..16).filter(|flags| *flags != only_valid) {
            for (version, sender) in [
                (V5, Sender::Client),
                (V5, Sender::Server),
                (V311, Sender::Client),
            ] {
                if packet_type == 15 && version == V311 {
                    continue;
                }
                // At the first byte already.
                let wire = [packet_type << 4 | flags];
                let refused = decoder(version, sender).decode(&wire);
                assert_eq!(refused, Err(reserved), "{packet_type} with {flags:04b}");
            }
        }
    }
}

#[test]
fn a_packet_of_the_other_end_is_refused() {
    // §2.1.2, Table 2-1
    for (first_byte, packet_type) in [
        (0x20, PacketType::ConnAck),
        (0x90, PacketType::SubAck),
        (0xB0, PacketType::UnsubAck),
        (0xD0, PacketType::PingResp),
    ] {
        for version in [V311, V5] {
            let refused = refusal(version, Sender::Client, first_byte, &[]);
            assert_eq!(refused, WrongSender(packet_type));
        }
    }
    for (first_byte, packet_type) in [
        (0x10, PacketType::Connect),
        (0x82, PacketType::Subscribe),
        (0xA2, PacketType::Unsubscribe),
        (0xC0, PacketType::PingReq),
    ] {
        for version in [V311, V5] {
            let refused = refusal(version, Sender::Server, first_byte, &[]);
            assert_eq!(refused, WrongSender(packet_type));
        }
    }
    // MQTT 3.1.1 §3.14: from the Client alone.
    let refused = refusal(V311, Sender::Server, 0xE0, &[]);
    assert_eq!(refused, WrongSender(PacketType::Disconnect));
}

/// A CONNECT of 5.0 with this Client Identifier.
fn connect_with_client_identifier(identifier: &[u8]) -> Vec<u8> {
    let length = u8::try_from(identifier.len()).unwrap();
    let head = [0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, length];
    [&head, identifier].concat()
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    // [MQTT-1.5.4-1]; MQTT 3.1.1 [MQTT-1.5.3-1]
    for text in [
        &b"\xFF"[..],
        b"a\x80",
        b"\xC3",
        // Overlong `/` and U+0000.
        b"\xC0\xAF",
        b"\xC0\x80",
        // Surrogates U+D800 and U+DFFF.
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        // Above U+10FFFF.
        b"\xF4\x90\x80\x80",
    ] {
        let body = connect_with_client_identifier(text);
        let refused = refusal(V5, Sender::Client, 0x10, &body);
        assert_eq!(refused, Malformed("text is not UTF-8"), "{text:02X?}");
    }
}

#[test]
fn u_0000_is_refused_in_any_text() {
    // [MQTT-1.5.4-2], [MQTT-4.7.3-2]; MQTT 3.1.1 [MQTT-1.5.3-2]
    let null = Malformed("text contains U+0000");
    let body = connect_with_client_identifier(b"a\0b");
    assert_eq!(refusal(V5, Sender::Client, 0x10, &body), null);
    // Topic Name, of each length around a machine word.
    for length in 1..20 {
        for at in 0..length {
            let mut topic = vec![b't'; length];
            topic[at] = 0;
            let body = [&[0, u8::try_from(length).unwrap()], &topic[..]].concat();
            assert_eq!(refusal(V311, Sender::Client, 0x30, &body), null);
        }
    }
    // Topic Filter.
    let body = [0, 1, 0, 3, b'a', 0, b'b', 0];
    assert_eq!(refusal(V311, Sender::Client, 0x82, &body), null);
    // Reason String, Content Type, both texts of a User Property.
    let body = [0, 1, 0, 4, 0x1F, 0, 1, 0];
    assert_eq!(refusal(V5, Sender::Client, 0x40, &body), null);
    let body = [0, 1, b't', 4, 0x03, 0, 1, 0];
    assert_eq!(refusal(V5, Sender::Client, 0x30, &body), null);
    let body = [0, 1, b't', 7, 0x26, 0, 1, 0, 0, 1, b'v'];
    assert_eq!(refusal(V5, Sender::Client, 0x30, &body), null);
    let body = [0, 1, b't', 7, 0x26, 0, 1, b'n', 0, 1, 0];
    assert_eq!(refusal(V5, Sender::Client, 0x30, &body), null);
}

#[test]
fn a_field_that_reaches_past_the_packet_is_refused() {
    // §1.5.4, §1.5.6, §2.2.2.1
    let end = Malformed(PAST_THE_END);
    for (version, first_byte, body) in [
        // Topic Name, Packet Identifier.
        (V311, 0x30, &[0, 2, b't'][..]),
        (V311, 0x30, &[0]),
        (V311, 0x32, &[0, 1, b't', 0]),
        // Property Length: absent, incomplete, too long; and a property that reaches past it.
        (V5, 0x30, &[0, 1, b't']),
        (V5, 0x30, &[0, 1, b't', 0x80]),
        (V5, 0x30, &[0, 1, b't', 1]),
        (V5, 0x30, &[0, 1, b't', 2, 0x02, 0, 0, 0, 9, 0]),
        // The identifier alone.
        (V5, 0x30, &[0, 1, b't', 1, 0x01]),
        // A filter without its options.
        (V5, 0x82, &[0, 1, 0, 0, 1, b'a']),
    ] {
        let refused = refusal(version, Sender::Client, first_byte, body);
        assert_eq!(refused, end, "{body:02X?}");
    }
}

#[test]
fn a_property_length_or_identifier_that_is_not_in_its_shortest_form_is_refused() {
    // [MQTT-1.5.5-1], §2.2.2.1
    let refused = refusal(V5, Sender::Client, 0x30, &[0, 1, b't', 0x80, 0]);
    assert_eq!(refused, Malformed(NOT_SHORTEST));
    // Property Identifier (§2.2.2.2).
    let body = [0, 1, b't', 3, 0x81, 0, 1];
    let refused = refusal(V5, Sender::Client, 0x30, &body);
    assert_eq!(refused, Malformed(NOT_SHORTEST));
    // Subscription Identifier (§3.3.2.3.8).
    let body = [0, 1, b't', 3, 0x0B, 0x81, 0];
    let refused = refusal(V5, Sender::Server, 0x30, &body);
    assert_eq!(refused, Malformed(NOT_SHORTEST));
    let body = [0, 1, b't', 6, 0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 1];
    let refused = refusal(V5, Sender::Server, 0x30, &body);
    let long = Malformed("Variable Byte Integer is longer than 4 bytes");
    assert_eq!(refused, long);
}

#[test]
fn bytes_behind_the_last_field_are_refused() {
    // §1.2: they are no part of what the packet's section lists.
    let refused = |version, sender, first_byte, body: &[u8]| {
        assert_eq!(
            refusal(version, sender, first_byte, body),
            Malformed(BEHIND),
            "{first_byte:02X} {body:02X?}"
        );
    };
    let connect = [&connect_with_client_identifier(b"c")[..], &[0]].concat();
    refused(V5, Sender::Client, 0x10, &connect);
    refused(V5, Sender::Server, 0x20, &[0, 0, 0, 0]);
    refused(V311, Sender::Server, 0x20, &[0, 0, 0]);
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        refused(V311, Sender::Client, first_byte, &[0, 1, 0]);
        refused(V5, Sender::Client, first_byte, &[0, 1, 0, 0, 0]);
    }
    refused(V311, Sender::Server, 0xB0, &[0, 1, 0]);
    for version in [V311, V5] {
        refused(version, Sender::Client, 0xC0, &[0]);
        refused(version, Sender::Server, 0xD0, &[0]);
    }
    refused(V311, Sender::Client, 0xE0, &[0]);
    refused(V5, Sender::Client, 0xE0, &[0, 0, 0]);
    let auth = [0x18, 5, 0x15, 0, 2, b'm', b'n', 0];
    refused(V5, Sender::Client, 0xF0, &auth);
}

#[test]
fn packet_identifier_0_is_refused() {
    // [MQTT-2.2.1-3], [MQTT-2.2.1-4]; MQTT 3.1.1 [MQTT-2.3.1-1]
    let zero = Protocol("Packet Identifier is 0");
    for version in [V311, V5] {
        for first_byte in [0x40, 0x50, 0x62, 0x70] {
            for sender in [Sender::Client, Sender::Server] {
                assert_eq!(refusal(version, sender, first_byte, &[0, 0]), zero);
            }
        }
        for first_byte in [0x32, 0x34] {
            let body = [0, 1, b't', 0, 0, 0];
            assert_eq!(refusal(version, Sender::Client, first_byte, &body), zero);
        }
        for first_byte in [0x82, 0xA2] {
            let body = [0, 0, 0, 0, 1, b'a', 0];
            assert_eq!(refusal(version, Sender::Client, first_byte, &body), zero);
        }
        for first_byte in [0x90, 0xB0] {
            let body = [0, 0, 0, 0];
            assert_eq!(refusal(version, Sender::Server, first_byte, &body), zero);
        }
    }
}
