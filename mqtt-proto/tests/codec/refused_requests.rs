//! SUBSCRIBE and UNSUBSCRIBE that are refused (§3.8, §3.10).

use crate::{V5, V311, refusal};
use symbolon_mqtt_proto::DecodeError::{self, Malformed, Protocol, Topic};
use symbolon_mqtt_proto::{ProtocolVersion, ReasonCode, Sender, TopicError};

/// Why a SUBSCRIBE of this one filter is refused.
fn subscribe(version: ProtocolVersion, filter: &str, options: u8) -> DecodeError {
    let mut body = vec![0, 1];
    if version == V5 {
        body.push(0);
    }
    body.extend([0, u8::try_from(filter.len()).unwrap()]);
    body.extend(filter.as_bytes());
    let unsubscribe = refusal_of_filter(version, &body, filter);
    body.push(options);
    let refused = refusal(version, Sender::Client, 0x82, &body);
    if let Some(error) = unsubscribe {
        assert_eq!(refused, error);
    }
    refused
}

/// UNSUBSCRIBE refuses the same filters.
fn refusal_of_filter(version: ProtocolVersion, body: &[u8], filter: &str) -> Option<DecodeError> {
    symbolon_mqtt_proto::TopicFilter::parse_shared(filter)
        .is_err()
        .then(|| refusal(version, Sender::Client, 0xA2, body))
}

#[test]
fn a_request_without_topic_filter_is_refused() {
    // [MQTT-3.8.3-2], [MQTT-3.10.3-2]; MQTT 3.1.1 [MQTT-3.8.3-3], [MQTT-3.10.3-2]
    for (version, body) in [(V311, &[0, 1][..]), (V5, &[0, 1, 0])] {
        let refused = refusal(version, Sender::Client, 0x82, body);
        assert_eq!(refused, Protocol("SUBSCRIBE without Topic Filter"));
        let refused = refusal(version, Sender::Client, 0xA2, body);
        assert_eq!(refused, Protocol("UNSUBSCRIBE without Topic Filter"));
    }
}

#[test]
fn a_bad_topic_filter_is_refused() {
    for (filter, error) in [
        // [MQTT-4.7.3-1]
        ("", TopicError::Empty),
        // [MQTT-4.7.1-1]
        ("sport/tennis#", TopicError::MultiLevelWildcard),
        ("sport/tennis/#/ranking", TopicError::MultiLevelWildcard),
        ("##", TopicError::MultiLevelWildcard),
        ("#/", TopicError::MultiLevelWildcard),
        // [MQTT-4.7.1-2]
        ("sport+", TopicError::SingleLevelWildcard),
        ("++", TopicError::SingleLevelWildcard),
        ("a/+b/c", TopicError::SingleLevelWildcard),
        // [MQTT-4.8.2-1]
        ("$share/", TopicError::Share),
        ("$share//a", TopicError::Share),
        ("$share/+/a", TopicError::Share),
        ("$share/#/a", TopicError::Share),
        ("$share/g+/a", TopicError::Share),
        ("$share/#", TopicError::Share),
        // [MQTT-4.8.2-2]
        ("$share/g", TopicError::Share),
        ("$share/g/", TopicError::Share),
        ("$share/g/a#", TopicError::MultiLevelWildcard),
        ("$share/g/+a", TopicError::SingleLevelWildcard),
    ] {
        for version in [V311, V5] {
            let refused = subscribe(version, filter, 0);
            assert_eq!(refused, Topic(error), "{filter}");
            assert_eq!(refused.reason_code(), ReasonCode::TopicFilterInvalid);
        }
    }
}

#[test]
fn no_local_on_a_shared_subscription_is_refused() {
    // [MQTT-3.8.3-4]
    let refused = subscribe(V5, "$share/g/a", 0b0100);
    assert_eq!(refused, Protocol("No Local on a Shared Subscription"));
}

#[test]
fn reserved_subscription_options_are_refused() {
    // [MQTT-3.8.3-5]
    let reserved = Malformed("reserved Subscription Options");
    for options in [0x40, 0x80, 0xC0, 0xC2] {
        assert_eq!(subscribe(V5, "a", options), reserved);
    }
    // MQTT 3.1.1 [MQTT-3-8.3-4]
    for options in 4..=u8::MAX {
        assert_eq!(subscribe(V311, "a", options), reserved);
    }
}

#[test]
fn a_maximum_qos_of_3_is_refused() {
    // §3.8.3.1; MQTT 3.1.1 [MQTT-3-8.3-4]
    assert_eq!(subscribe(V5, "a", 3), Protocol("Maximum QoS 3"));
    assert_eq!(subscribe(V311, "a", 3), Malformed("QoS 3"));
}

#[test]
fn retain_handling_3_is_refused() {
    // §3.8.3.1
    assert_eq!(subscribe(V5, "a", 0x30), Protocol("Retain Handling 3"));
}

#[test]
fn one_bad_filter_refuses_the_whole() {
    // §4.13: a Malformed Packet is not taken in part.
    let body = [0, 1, 0, 0, 1, b'a', 0, 0, 2, b'a', b'#', 0];
    let refused = refusal(V5, Sender::Client, 0x82, &body);
    assert_eq!(refused, Topic(TopicError::MultiLevelWildcard));
}

#[test]
fn subscription_identifier_0_is_refused() {
    // §3.8.2.1.2
    let body = [0, 1, 2, 0x0B, 0, 0, 1, b'a', 0];
    let refused = refusal(V5, Sender::Client, 0x82, &body);
    assert_eq!(refused, Protocol("Subscription Identifier is 0"));
}
