//! PUBLISH that is refused (§3.3).

use crate::{V5, V311, refusal};
use symbolon_mqtt_proto::DecodeError::{self, Malformed, Protocol, Topic};
use symbolon_mqtt_proto::{ReasonCode, Sender, TopicError};

#[test]
fn qos_3_is_refused() {
    // [MQTT-3.3.1-4]
    for version in [V311, V5] {
        for flags in [0x36, 0x37, 0x3E, 0x3F] {
            let refused = refusal(version, Sender::Client, flags, &[0, 1, b't', 0, 1, 0]);
            assert_eq!(refused, Malformed("QoS 3"));
        }
    }
}

#[test]
fn dup_at_qos_0_is_refused() {
    // [MQTT-3.3.1-2]
    for version in [V311, V5] {
        for flags in [0x38, 0x39] {
            let refused = refusal(version, Sender::Client, flags, &[0, 1, b't', 0]);
            assert_eq!(refused, Malformed("DUP at QoS 0"));
        }
    }
}

#[test]
fn a_topic_name_with_a_wildcard_is_refused() {
    // [MQTT-3.3.2-2]
    for version in [V311, V5] {
        for wildcard in [b'+', b'#'] {
            // At each place around a machine word.
            for length in 1..20 {
                for at in 0..length {
                    let mut topic = vec![b'/'; length];
                    topic[at] = wildcard;
                    let length = u8::try_from(length).unwrap();
                    let body = [&[0, length], &topic[..], &[0]].concat();
                    let refused = refusal(version, Sender::Client, 0x30, &body);
                    assert_eq!(refused, Topic(TopicError::WildcardInName));
                    assert_eq!(refused.reason_code(), ReasonCode::TopicNameInvalid);
                }
            }
        }
    }
}

#[test]
fn an_empty_topic_name_is_refused_without_topic_alias() {
    // §3.3.2.1; MQTT 3.1.1 [MQTT-4.7.3-1]
    let refused = Protocol("neither Topic Name nor Topic Alias");
    assert_eq!(refusal(V311, Sender::Client, 0x30, &[0, 0]), refused);
    assert_eq!(refusal(V5, Sender::Client, 0x30, &[0, 0, 0]), refused);
    let expiry = [0, 0, 5, 0x02, 0, 0, 0, 9];
    assert_eq!(refusal(V5, Sender::Client, 0x30, &expiry), refused);
}

#[test]
fn topic_alias_0_is_refused() {
    // [MQTT-3.3.2-8]
    for topic in [&[0, 1, b't'][..], &[0, 0]] {
        let body = [topic, &[3, 0x23, 0, 0]].concat();
        let refused = refusal(V5, Sender::Client, 0x30, &body);
        assert_eq!(refused, DecodeError::TopicAliasInvalid);
        assert_eq!(refused.reason_code(), ReasonCode::TopicAliasInvalid);
    }
}

#[test]
fn a_response_topic_with_a_wildcard_or_without_text_is_refused() {
    // [MQTT-3.3.2-14], [MQTT-4.7.3-1]
    for wildcard in [b'+', b'#'] {
        let body = [0, 1, b't', 6, 0x08, 0, 3, b'a', b'/', wildcard];
        let refused = refusal(V5, Sender::Client, 0x30, &body);
        assert_eq!(refused, Topic(TopicError::WildcardInName));
    }
    let body = [0, 1, b't', 3, 0x08, 0, 0];
    let refused = refusal(V5, Sender::Client, 0x30, &body);
    assert_eq!(refused, Protocol("Topic Name is empty"));
}

#[test]
fn a_subscription_identifier_from_a_client_is_refused() {
    // [MQTT-3.3.4-6]
    let refused = refusal(V5, Sender::Client, 0x30, &[0, 1, b't', 2, 0x0B, 1]);
    assert_eq!(refused, Protocol("Subscription Identifier from a Client"));
}

#[test]
fn subscription_identifier_0_is_refused() {
    // §3.3.2.3.8
    let refused = refusal(V5, Sender::Server, 0x30, &[0, 1, b't', 2, 0x0B, 0]);
    assert_eq!(refused, Protocol("Subscription Identifier is 0"));
}
