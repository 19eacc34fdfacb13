//! CONNECT and CONNACK that are refused (§3.1, §3.2).

use crate::{V5, V311, refusal};
use symbolon_mqtt_proto::DecodeError::{self, Malformed, Protocol, Topic};
use symbolon_mqtt_proto::{ReasonCode, Sender, TopicError};

/// Why a CONNECT of this level and these flags is refused, `rest` being what stands behind Keep Alive.
fn connect(level: u8, flags: u8, rest: &[u8]) -> DecodeError {
    let head = [0, 4, b'M', b'Q', b'T', b'T', level, flags, 0, 60];
    // The version of the decoder plays no part.
    let refused = refusal(V311, Sender::Client, 0x10, &[&head, rest].concat());
    let same = refusal(V5, Sender::Client, 0x10, &[&head, rest].concat());
    assert_eq!(refused, same);
    refused
}

/// Properties (for level 5) and Client Identifier `c`.
const V5_CLIENT: &[u8] = &[0, 0, 1, b'c'];
const V311_CLIENT: &[u8] = &[0, 1, b'c'];

#[test]
fn a_protocol_name_other_than_mqtt_is_refused() {
    // [MQTT-3.1.2-1]
    for body in [
        &b"\0\x06MQIsdp\x03\x02\0\x3C\0\x01c"[..],
        b"\0\x06MQIsdp\x04\x02\0\x3C\0\x01c",
        b"\0\x04mqtt\x04\x02\0\x3C\0\x01c",
        b"\0\x04MQTU\x05\x02\0\x3C\0\0\x01c",
        b"\0\0\x04\x02\0\x3C\0\x01c",
        b"\0\x05MQTT/\x04\x02\0\x3C\0\x01c",
    ] {
        let refused = refusal(V5, Sender::Client, 0x10, body);
        assert_eq!(refused, DecodeError::UnsupportedProtocolVersion);
    }
}

#[test]
fn a_level_other_than_4_and_5_is_refused() {
    // [MQTT-3.1.2-2]; MQTT 3.1.1 [MQTT-3.1.2-2]
    for level in (0..=u8::MAX).filter(|level| ![4, 5].contains(level)) {
        let refused = connect(level, 0x02, V311_CLIENT);
        assert_eq!(refused, DecodeError::UnsupportedProtocolVersion);
        let code = refused.reason_code();
        assert_eq!(code, ReasonCode::UnsupportedProtocolVersion);
    }
}

#[test]
fn the_reserved_connect_flag_is_refused() {
    // [MQTT-3.1.2-3]
    let reserved = Malformed("reserved Connect Flag");
    assert_eq!(connect(4, 0x03, V311_CLIENT), reserved);
    assert_eq!(connect(5, 0x03, V5_CLIENT), reserved);
}

#[test]
fn will_qos_and_will_retain_are_refused_without_will() {
    // [MQTT-3.1.2-11], [MQTT-3.1.2-13]; MQTT 3.1.1 [MQTT-3.1.2-13], [MQTT-3.1.2-15]
    let lost = Malformed("Will QoS or Will Retain without Will");
    for flags in [0x0A, 0x12, 0x1A, 0x22, 0x2A] {
        assert_eq!(connect(4, flags, V311_CLIENT), lost);
        assert_eq!(connect(5, flags, V5_CLIENT), lost);
    }
}

#[test]
fn will_qos_3_is_refused() {
    // [MQTT-3.1.2-12]; MQTT 3.1.1 [MQTT-3.1.2-14]
    let three = Malformed("Will QoS 3");
    assert_eq!(connect(4, 0x1E, b"\0\x01c\0\x01t\0\0"), three);
    assert_eq!(connect(5, 0x1E, b"\0\0\x01c\0\0\x01t\0\0"), three);
}

#[test]
fn a_will_topic_has_no_wildcard_and_is_not_empty() {
    // [MQTT-4.7.1-1], [MQTT-4.7.3-1]
    for topic in [b'+', b'#'] {
        let refused = connect(4, 0x06, &[0, 1, b'c', 0, 1, topic, 0, 0]);
        assert_eq!(refused, Topic(TopicError::WildcardInName));
        let refused = connect(5, 0x06, &[0, 0, 1, b'c', 0, 0, 1, topic, 0, 0]);
        assert_eq!(refused, Topic(TopicError::WildcardInName));
        assert_eq!(refused.reason_code(), ReasonCode::TopicNameInvalid);
    }
    let empty = Protocol("Topic Name is empty");
    assert_eq!(connect(4, 0x06, b"\0\x01c\0\0\0\0"), empty);
    assert_eq!(connect(5, 0x06, b"\0\0\x01c\0\0\0\0\0"), empty);
}

#[test]
fn the_payload_holds_what_the_flags_say_and_nothing_else() {
    // [MQTT-3.1.2-9], [MQTT-3.1.2-16] to [MQTT-3.1.2-19]
    let end = Malformed("a field reaches past the end");
    for flags in [0x06, 0x82, 0xC2] {
        assert_eq!(connect(4, flags, V311_CLIENT), end);
        assert_eq!(connect(5, flags, V5_CLIENT), end);
    }
    let behind = Malformed("bytes behind the last field");
    assert_eq!(connect(4, 0x02, b"\0\x01c\0\x01u"), behind);
    assert_eq!(connect(5, 0x02, b"\0\0\x01c\0\x01u"), behind);
}

#[test]
fn a_password_without_user_name_is_refused_in_311() {
    // MQTT 3.1.1 [MQTT-3.1.2-22]
    let refused = connect(4, 0x42, b"\0\x01c\0\x01p");
    assert_eq!(refused, Malformed("Password without User Name"));
}

#[test]
fn an_empty_client_identifier_without_clean_session_is_refused_in_311() {
    // MQTT 3.1.1 [MQTT-3.1.3-8]
    let refused = connect(4, 0x00, b"\0\0");
    assert_eq!(refused, DecodeError::ClientIdentifierNotValid);
    let code = refused.reason_code();
    assert_eq!(code, ReasonCode::ClientIdentifierNotValid);
}

#[test]
fn limits_of_0_are_refused() {
    // §3.1.2.11.3, §3.1.2.11.4, §3.2.2.3.3, §3.2.2.3.6
    let receive = Protocol("Receive Maximum is 0");
    assert_eq!(connect(5, 0x02, b"\x03\x21\0\0\0\x01c"), receive);
    let body = b"\0\0\x03\x21\0\0";
    assert_eq!(refusal(V5, Sender::Server, 0x20, body), receive);
    let size = Protocol("Maximum Packet Size is 0");
    assert_eq!(connect(5, 0x02, b"\x05\x27\0\0\0\0\0\x01c"), size);
    let body = b"\0\0\x05\x27\0\0\0\0";
    assert_eq!(refusal(V5, Sender::Server, 0x20, body), size);
}

#[test]
fn authentication_data_without_method_is_refused() {
    // §3.1.2.11.10
    let lost = Protocol("Authentication Data without Authentication Method");
    assert_eq!(connect(5, 0x02, b"\x04\x16\0\x01d\0\x01c"), lost);
    let body = b"\0\0\x04\x16\0\x01d";
    assert_eq!(refusal(V5, Sender::Server, 0x20, body), lost);
}

#[test]
fn a_maximum_qos_of_2_is_refused() {
    // §3.2.2.3.4
    let refused = refusal(V5, Sender::Server, 0x20, b"\0\0\x02\x24\x02");
    assert_eq!(refused, Protocol("property is neither 0 nor 1"));
}

#[test]
fn reserved_connect_acknowledge_flags_are_refused() {
    // [MQTT-3.2.2-1]
    for flags in 2..=u8::MAX {
        let reserved = Malformed("reserved Connect Acknowledge Flags");
        assert_eq!(refusal(V311, Sender::Server, 0x20, &[flags, 0]), reserved);
        assert_eq!(refusal(V5, Sender::Server, 0x20, &[flags, 0, 0]), reserved);
    }
}

#[test]
fn session_present_with_a_failure_is_refused() {
    // [MQTT-3.2.2-6]; MQTT 3.1.1 [MQTT-3.2.2-4]
    let refused = Protocol("Session Present with a failure");
    assert_eq!(refusal(V311, Sender::Server, 0x20, &[1, 5]), refused);
    assert_eq!(refusal(V5, Sender::Server, 0x20, &[1, 0x87, 0]), refused);
}

#[test]
fn a_reserved_return_code_is_refused_in_311() {
    // MQTT 3.1.1 [MQTT-3.2.2-6]
    for code in 6..=u8::MAX {
        let refused = refusal(V311, Sender::Server, 0x20, &[0, code]);
        assert_eq!(refused, Malformed("reserved Connect Return Code"));
    }
}
