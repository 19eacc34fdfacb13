//! What encoding refuses, maps and leaves out.

use crate::{V5, V311, encode, frame};
use symbolon_mqtt_proto::connack::ConnAckProperties;
use symbolon_mqtt_proto::connect::ConnectProperties;
use symbolon_mqtt_proto::property::PropertyBuffer;
use symbolon_mqtt_proto::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, EncodeError, Packet, PacketIdentifier,
    PacketType, ProtocolVersion, Publish, PublishProperties, Qos, ReasonCode, RetainHandling,
    Sender, ShareName, SubAck, Subscribe, Subscription, TopicFilter, TopicName, UnsubAck,
    Unsubscribe, UserProperties, Will,
};

/// Both `encode` and `encoded_len` refuse, and nothing is written.
fn refused(packet: &Packet<'_>, version: ProtocolVersion) -> EncodeError {
    let mut out = b"before".to_vec();
    let error = packet.encode(version, &mut out).unwrap_err();
    assert_eq!(out, b"before");
    assert_eq!(packet.encoded_len(version), Err(error));
    error
}

fn publish() -> Publish<'static> {
    Publish {
        duplicate: false,
        delivery: Delivery::AtLeastOnce(PacketIdentifier::MIN),
        retain: false,
        topic: TopicName::parse("topic").ok(),
        properties: PublishProperties::default(),
        payload: b"payload",
    }
}

fn connect() -> Connect<'static> {
    Connect {
        version: V5,
        clean_start: true,
        keep_alive_secs: 60,
        client_identifier: "c",
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn connack(reason_code: ReasonCode) -> ConnAck<'static> {
    ConnAck {
        session_present: false,
        reason_code,
        properties: ConnAckProperties::default(),
    }
}

fn subscription() -> Subscription {
    Subscription {
        share_name: None,
        filter: TopicFilter::parse("a/+").unwrap(),
        maximum_qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

fn subscribe(subscription: Subscription) -> Subscribe<'static> {
    Subscribe {
        packet_identifier: PacketIdentifier::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: vec![subscription],
    }
}

#[test]
fn the_offset_of_the_packet_identifier_is_given() {
    for version in [V311, V5] {
        let mut out = b"before".to_vec();
        let offset = publish().encode(version, &mut out).unwrap().unwrap();
        assert_eq!(out[offset..offset + 2], [0, 1]);
        let patched = PacketIdentifier::new(0x1234).unwrap();
        out[offset..offset + 2].copy_from_slice(&patched.get().to_be_bytes());
        let expected = Publish {
            delivery: Delivery::AtLeastOnce(patched),
            ..publish()
        };
        assert_eq!(
            crate::accept(version, Sender::Server, &out[6..]),
            Packet::Publish(expected)
        );
    }
    let at_most_once = Publish {
        delivery: Delivery::AtMostOnce,
        ..publish()
    };
    assert_eq!(at_most_once.encode(V5, &mut Vec::new()), Ok(None));
}

#[test]
fn the_payload_may_be_sent_by_the_caller() {
    for version in [V311, V5] {
        let (mut head, mut whole) = (Vec::new(), Vec::new());
        let offset = publish().encode_without_payload(version, &mut head);
        assert_eq!(offset, publish().encode(version, &mut whole));
        assert_eq!([&head, publish().payload].concat(), whole);
    }
}

#[test]
fn a_field_past_its_length_prefix_is_refused() {
    // §1.5.4, §1.5.6
    let long = "x".repeat(65_536);
    let packet = Packet::Connect(Box::new(Connect {
        client_identifier: &long,
        ..connect()
    }));
    assert_eq!(
        refused(&packet, V5),
        EncodeError::FieldTooLong("Client Identifier")
    );
    let packet = Packet::Connect(Box::new(Connect {
        password: Some(long.as_bytes()),
        ..connect()
    }));
    assert_eq!(refused(&packet, V5), EncodeError::FieldTooLong("Password"));
    let mut disconnect = Disconnect::new(ReasonCode::NotAuthorized, Some(&long));
    let packet = Packet::Disconnect(disconnect);
    assert_eq!(
        refused(&packet, V5),
        EncodeError::FieldTooLong("Reason String")
    );
    disconnect.reason_string = None;
    disconnect.server_reference = Some(&long);
    let packet = Packet::Disconnect(disconnect);
    assert_eq!(
        refused(&packet, V5),
        EncodeError::FieldTooLong("Server Reference")
    );
    // A group and a filter that fit each, but not together.
    let half = "x".repeat(40_000);
    let packet = Packet::Subscribe(subscribe(Subscription {
        share_name: ShareName::parse(&half).ok(),
        filter: TopicFilter::parse(&half).unwrap(),
        ..subscription()
    }));
    assert_eq!(
        refused(&packet, V5),
        EncodeError::FieldTooLong("Topic Filter")
    );
    let mut buffer = PropertyBuffer::default();
    for (name, value) in [(&long[..], ""), ("", &long[..])] {
        let pushed = buffer.push_user_property(name, value);
        assert!(matches!(pushed, Err(EncodeError::FieldTooLong(_))));
        assert!(buffer.user_properties().is_empty());
    }
}

#[test]
fn a_packet_past_the_largest_remaining_length_is_refused() {
    // §2.1.4
    let payload = vec![0; 268_435_456 - 5 - 2 - 2 - 1];
    let packet = Packet::Publish(Publish {
        payload: &payload,
        ..publish()
    });
    assert_eq!(refused(&packet, V5), EncodeError::PacketTooLong);
    assert!(packet.encoded_len(V311).is_ok());
}

#[test]
fn u_0000_is_not_written() {
    // [MQTT-1.5.4-2]
    let packet = Packet::Connect(Box::new(Connect {
        user_name: Some("a\0"),
        ..connect()
    }));
    assert_eq!(refused(&packet, V5), EncodeError::InvalidField("User Name"));
    let mut buffer = PropertyBuffer::default();
    for (name, value) in [("\0", ""), ("", "\0")] {
        let pushed = buffer.push_user_property(name, value);
        assert!(matches!(pushed, Err(EncodeError::InvalidField(_))));
        assert!(buffer.user_properties().is_empty());
    }
}

#[test]
fn a_publish_that_no_peer_may_accept_is_not_written() {
    // [MQTT-3.3.1-2]
    let packet = Packet::Publish(Publish {
        duplicate: true,
        delivery: Delivery::AtMostOnce,
        ..publish()
    });
    for version in [V311, V5] {
        assert_eq!(
            refused(&packet, version),
            EncodeError::InvalidField("DUP at QoS 0")
        );
    }
    // §3.3.2.1
    let mut nameless = Publish {
        topic: None,
        ..publish()
    };
    for version in [V311, V5] {
        let error = refused(&Packet::Publish(nameless), version);
        assert_eq!(error, EncodeError::InvalidField("Topic Name"));
    }
    // 3.1.1 has no Topic Alias to stand for it.
    nameless.properties.topic_alias = std::num::NonZeroU16::new(1);
    let error = refused(&Packet::Publish(nameless), V311);
    assert_eq!(error, EncodeError::InvalidField("Topic Name"));
    assert!(Packet::Publish(nameless).encoded_len(V5).is_ok());
}

#[test]
fn a_connect_that_no_server_may_accept_is_not_written() {
    let invalid = |connect: Connect<'_>| refused(&Packet::Connect(Box::new(connect)), V5);
    // MQTT 3.1.1 [MQTT-3.1.2-22]
    let error = invalid(Connect {
        version: V311,
        password: Some(b"p"),
        ..connect()
    });
    assert_eq!(
        error,
        EncodeError::InvalidField("Password without User Name")
    );
    // MQTT 3.1.1 [MQTT-3.1.3-8]
    let error = invalid(Connect {
        version: V311,
        clean_start: false,
        client_identifier: "",
        ..connect()
    });
    assert_eq!(error, EncodeError::InvalidField("empty Client Identifier"));
    // §3.1.2.11.10
    let mut unnamed = connect();
    unnamed.properties.authentication_data = Some(b"d");
    let error = invalid(unnamed.clone());
    let lost = "Authentication Data without Authentication Method";
    assert_eq!(error, EncodeError::InvalidField(lost));
    // A Client that means to prove itself is not let through without.
    unnamed.properties.authentication_method = Some("ace");
    unnamed.version = V311;
    let error = invalid(unnamed);
    assert_eq!(
        error,
        EncodeError::InvalidField("Authentication Method in 3.1.1")
    );
    // §3.1.3.2
    let mut will = Will {
        topic: TopicName::parse("t").unwrap(),
        payload: b"",
        qos: Qos::AtMostOnce,
        retain: false,
        delay_interval_secs: 0,
        properties: PublishProperties::default(),
    };
    will.properties.topic_alias = std::num::NonZeroU16::new(1);
    let error = invalid(Connect {
        will: Some(will),
        ..connect()
    });
    assert_eq!(error, EncodeError::InvalidField("property of a Will"));
}

#[test]
fn a_connect_is_written_in_its_own_version() {
    let packet = Packet::Connect(Box::new(Connect {
        version: V311,
        ..connect()
    }));
    let wire = frame(0x10, b"\0\x04MQTT\x04\x02\0\x3C\0\x01c");
    assert_eq!(encode(&packet, V5), wire);
    assert_eq!(encode(&packet, V311), wire);
}

#[test]
fn a_connack_that_no_client_may_accept_is_not_written() {
    // [MQTT-3.2.2-6]
    let packet = Packet::ConnAck(Box::new(ConnAck {
        session_present: true,
        ..connack(ReasonCode::NotAuthorized)
    }));
    for version in [V311, V5] {
        let error = refused(&packet, version);
        assert_eq!(
            error,
            EncodeError::InvalidField("Session Present with a failure")
        );
    }
    // §3.2.2.3.4
    let mut full = connack(ReasonCode::Success);
    full.properties.maximum_qos = Some(Qos::ExactlyOnce);
    let error = refused(&Packet::ConnAck(Box::new(full.clone())), V5);
    assert_eq!(error, EncodeError::InvalidField("Maximum QoS"));
    full.properties.maximum_qos = None;
    full.properties.authentication_data = Some(b"d");
    let error = refused(&Packet::ConnAck(Box::new(full)), V5);
    let lost = "Authentication Data without Authentication Method";
    assert_eq!(error, EncodeError::InvalidField(lost));
}

#[test]
fn connack_of_311_has_the_nearest_return_code() {
    // MQTT 3.1.1 §3.2.2.3
    for value in 0..=u8::MAX {
        let Some(code) = ReasonCode::from_u8(value) else {
            continue;
        };
        let packet = Packet::ConnAck(Box::new(connack(code)));
        if !code.is_allowed_in(PacketType::ConnAck, Sender::Server) {
            let error = EncodeError::InvalidField("Reason Code");
            assert_eq!(refused(&packet, V311), error);
            assert_eq!(refused(&packet, V5), error);
            continue;
        }
        let expected = match value {
            0x00 => 0,
            0x84 => 1,
            0x85 => 2,
            0x80 | 0x83 | 0x88 | 0x89 | 0x97 | 0x9C | 0x9D | 0x9F => 3,
            0x86 => 4,
            _ => 5,
        };
        assert_eq!(encode(&packet, V311), [0x20, 2, 0, expected], "{code:?}");
        assert_eq!(encode(&packet, V5), [0x20, 3, 0, value, 0]);
    }
}

#[test]
fn suback_of_311_has_one_failure() {
    // MQTT 3.1.1 §3.9.3
    let suback = SubAck {
        packet_identifier: PacketIdentifier::MIN,
        reason_string: Some("r"),
        user_properties: UserProperties::default(),
        reason_codes: vec![
            ReasonCode::Success,
            ReasonCode::GrantedQos1,
            ReasonCode::GrantedQos2,
            ReasonCode::NotAuthorized,
            ReasonCode::QuotaExceeded,
        ],
    };
    let wire = encode(&Packet::SubAck(suback.clone()), V311);
    assert_eq!(wire, [0x90, 7, 0, 1, 0, 1, 2, 0x80, 0x80]);
    for reason_codes in [vec![], vec![ReasonCode::NoSubscriptionExisted]] {
        let packet = Packet::SubAck(SubAck {
            reason_codes,
            ..suback.clone()
        });
        for version in [V311, V5] {
            refused(&packet, version);
        }
    }
}

#[test]
fn unsuback_of_311_has_no_codes() {
    // MQTT 3.1.1 §3.11.3
    let unsuback = UnsubAck {
        packet_identifier: PacketIdentifier::MIN,
        reason_string: None,
        user_properties: UserProperties::default(),
        reason_codes: vec![ReasonCode::NoSubscriptionExisted],
    };
    assert_eq!(encode(&Packet::UnsubAck(unsuback), V311), [0xB0, 2, 0, 1]);
}

#[test]
fn acknowledgements_of_311_are_two_bytes_behind_the_header() {
    // MQTT 3.1.1 §3.4.2
    let mut ack = Ack::new(PacketIdentifier::MIN, ReasonCode::NotAuthorized);
    ack.reason_string = Some("r");
    assert_eq!(encode(&Packet::PubAck(ack), V311), [0x40, 2, 0, 1]);
}

#[test]
fn a_publish_of_311_has_no_properties() {
    let mut full = publish();
    full.properties.content_type = Some("text");
    full.properties.message_expiry_interval_secs = Some(9);
    let plain = Packet::Publish(publish());
    assert_eq!(encode(&Packet::Publish(full), V311), encode(&plain, V311));
}

#[test]
fn what_311_cannot_say_and_the_peer_would_mistake_is_not_written() {
    // MQTT 3.1.1 §3.14: a DISCONNECT is a Client's and a normal one.
    for code in [
        ReasonCode::NotAuthorized,
        ReasonCode::DisconnectWithWillMessage,
    ] {
        let packet = Packet::Disconnect(Disconnect::new(code, None));
        let error = refused(&packet, V311);
        assert_eq!(
            error,
            EncodeError::InvalidField("reason of DISCONNECT in 3.1.1")
        );
    }
    let auth = Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        authentication_method: Some("ace"),
        authentication_data: None,
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    let error = refused(&Packet::Auth(auth), V311);
    assert_eq!(error, EncodeError::InvalidField("AUTH in 3.1.1"));
    for subscription in [
        Subscription {
            no_local: true,
            ..subscription()
        },
        Subscription {
            retain_as_published: true,
            ..subscription()
        },
        Subscription {
            retain_handling: RetainHandling::DoNotSend,
            ..subscription()
        },
    ] {
        let packet = Packet::Subscribe(subscribe(subscription));
        let error = refused(&packet, V311);
        assert_eq!(
            error,
            EncodeError::InvalidField("Subscription Options in 3.1.1")
        );
        assert!(packet.encoded_len(V5).is_ok());
    }
    let packet = Packet::Subscribe(Subscribe {
        subscription_identifier: Some(1),
        ..subscribe(subscription())
    });
    let error = refused(&packet, V311);
    assert_eq!(error, EncodeError::InvalidField("Subscription Identifier"));
}

#[test]
fn a_request_that_no_server_may_accept_is_not_written() {
    // [MQTT-3.8.3-4]
    let packet = Packet::Subscribe(subscribe(Subscription {
        share_name: ShareName::parse("g").ok(),
        no_local: true,
        ..subscription()
    }));
    let error = refused(&packet, V5);
    assert_eq!(
        error,
        EncodeError::InvalidField("No Local on a Shared Subscription")
    );
    // §3.8.2.1.2
    for identifier in [0, 268_435_456] {
        let packet = Packet::Subscribe(Subscribe {
            subscription_identifier: Some(identifier),
            ..subscribe(subscription())
        });
        let error = refused(&packet, V5);
        assert_eq!(error, EncodeError::InvalidField("Subscription Identifier"));
        let pushed = PropertyBuffer::default().push_subscription_identifier(identifier);
        assert_eq!(pushed, Err(error));
    }
    // [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    let mut empty = subscribe(subscription());
    empty.subscriptions.clear();
    let unsubscribe = Unsubscribe {
        packet_identifier: PacketIdentifier::MIN,
        user_properties: UserProperties::default(),
        filters: vec![],
    };
    for version in [V311, V5] {
        refused(&Packet::Subscribe(empty.clone()), version);
        refused(&Packet::Unsubscribe(unsubscribe.clone()), version);
    }
}

#[test]
fn a_reason_code_of_another_packet_is_not_written() {
    // [MQTT-3.4.2-1], [MQTT-3.6.2-1], [MQTT-3.14.2-1], [MQTT-3.15.2-1]
    let one = PacketIdentifier::MIN;
    let auth = Auth {
        reason_code: ReasonCode::NotAuthorized,
        authentication_method: Some("ace"),
        authentication_data: None,
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    for packet in [
        Packet::PubAck(Ack::new(one, ReasonCode::PacketIdentifierNotFound)),
        Packet::PubRec(Ack::new(one, ReasonCode::GrantedQos1)),
        Packet::PubRel(Ack::new(one, ReasonCode::NotAuthorized)),
        Packet::PubComp(Ack::new(one, ReasonCode::NoMatchingSubscribers)),
        Packet::Disconnect(Disconnect::new(ReasonCode::ReAuthenticate, None)),
        Packet::Auth(auth),
    ] {
        assert_eq!(
            refused(&packet, V5),
            EncodeError::InvalidField("Reason Code")
        );
    }
}

#[test]
fn secrets_and_payloads_are_not_in_debug_output() {
    let mut buffer = PropertyBuffer::default();
    buffer.push_user_property("name", "SECRET").unwrap();
    let user_properties = buffer.user_properties();
    let mut secret = Connect {
        user_name: Some("SECRET"),
        password: Some(b"SECRET"),
        ..connect()
    };
    secret.properties.authentication_method = Some("ace");
    secret.properties.authentication_data = Some(b"SECRET");
    secret.properties.user_properties = user_properties;
    secret.will = Some(Will {
        topic: TopicName::parse("t").unwrap(),
        payload: b"SECRET",
        qos: Qos::AtMostOnce,
        retain: false,
        delay_interval_secs: 0,
        properties: PublishProperties {
            correlation_data: Some(b"SECRET"),
            ..PublishProperties::default()
        },
    });
    let mut answer = connack(ReasonCode::Success);
    answer.properties.authentication_data = Some(b"SECRET");
    let auth = Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        authentication_method: Some("ace"),
        authentication_data: Some(b"SECRET"),
        reason_string: None,
        user_properties,
    };
    for packet in [
        Packet::Connect(Box::new(secret)),
        Packet::ConnAck(Box::new(answer)),
        Packet::Auth(auth),
        Packet::Publish(Publish {
            payload: b"SECRET",
            ..publish()
        }),
    ] {
        let shown = format!("{packet:?}");
        let bytes = format!("{:?}", b"SECRET");
        assert!(
            !shown.contains("SECRET") && !shown.contains(&bytes),
            "{shown}"
        );
        assert!(
            shown.contains("<6 bytes>") || shown.contains("<7 bytes>"),
            "{shown}"
        );
    }
}
