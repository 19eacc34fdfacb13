//! Messages of the broker.

use super::*;
use symbolon_mqtt_proto::{Ack, property::PropertyBuffer};

fn topic(event: Option<Event>) -> String {
    match event {
        Some(Event::Message(message)) => message.topic,
        other => panic!("a message, not {other:?}"),
    }
}

fn success(identifier: u16) -> Ack<'static> {
    Ack::new(id(identifier), ReasonCode::Success)
}

/// The connection ends, and the broker is told this.
fn ends_with(mut rig: Rig, result: &Result<(), ConnectError>, expected: ReasonCode) {
    assert!(matches!(result, Err(ConnectError::Protocol(_))));
    let sent = rig.sent();
    match packets(V5, &sent).last() {
        Some(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason_code, expected),
        other => panic!("DISCONNECT, not {other:?}"),
    }
}

// [MQTT-4.3.2-4]: and not before the application is done with it.
#[test]
fn a_qos_1_message_is_acknowledged_when_the_next_event_is_asked_for() {
    for version in [V5, V311] {
        let mut rig = Rig::new(version);
        for identifier in [5, 6] {
            let delivery = Delivery::AtLeastOnce(id(identifier));
            rig.broker_sends(&publish("a", delivery)).unwrap();
        }
        assert_eq!(topic(rig.event()), "a");
        assert!(rig.sent().is_empty());
        assert_eq!(topic(rig.event()), "a");
        let sent = rig.sent();
        assert_eq!(packets(version, &sent), [Packet::PubAck(success(5))]);
        assert!(rig.event().is_none());
        let sent = rig.sent();
        assert_eq!(packets(version, &sent), [Packet::PubAck(success(6))]);
        assert!(rig.event().is_none());
        assert!(rig.sent().is_empty());
    }
}

#[test]
fn a_message_can_be_acknowledged_without_asking_for_another() {
    let mut rig = Rig::new(V5);
    rig.broker_sends(&publish("a", Delivery::AtLeastOnce(id(5))))
        .unwrap();
    rig.event();
    rig.machine.acknowledge(rig.clocks.now);
    let sent = rig.sent();
    assert_eq!(packets(V5, &sent), [Packet::PubAck(success(5))]);
    rig.machine.acknowledge(rig.clocks.now);
    assert!(rig.sent().is_empty());
}

// [MQTT-4.3.3-8] to [MQTT-4.3.3-12]
#[test]
fn a_qos_2_message_is_passed_on_once() {
    for version in [V5, V311] {
        let mut rig = Rig::new(version);
        let message = publish("a", Delivery::ExactlyOnce(id(5)));
        rig.broker_sends(&message).unwrap();
        // Before PUBREC a repetition gets no answer of its own.
        rig.broker_sends(&message).unwrap();
        assert!(rig.sent().is_empty());
        assert_eq!(topic(rig.event()), "a");
        assert!(rig.event().is_none());
        let sent = rig.sent();
        assert_eq!(packets(version, &sent), [Packet::PubRec(success(5))]);
        // After it, it gets another.
        rig.broker_sends(&message).unwrap();
        assert!(rig.event().is_none());
        let sent = rig.sent();
        assert_eq!(packets(version, &sent), [Packet::PubRec(success(5))]);
        rig.broker_sends(&Packet::PubRel(success(5))).unwrap();
        let sent = rig.sent();
        assert_eq!(packets(version, &sent), [Packet::PubComp(success(5))]);
        // And now it is a new message.
        rig.broker_sends(&message).unwrap();
        assert_eq!(topic(rig.event()), "a");
    }
}

#[test]
fn a_pubrel_for_nothing_is_answered_with_packet_identifier_not_found() {
    // 3.1.1 has no code for it.
    for (version, reason_code) in [
        (V5, ReasonCode::PacketIdentifierNotFound),
        (V311, ReasonCode::Success),
    ] {
        let mut rig = Rig::new(version);
        rig.broker_sends(&Packet::PubRel(success(9))).unwrap();
        let expected = Ack::new(id(9), reason_code);
        assert_eq!(packets(version, &rig.sent()), [Packet::PubComp(expected)]);
    }
}

#[test]
fn a_pubrel_before_pubrec_ends_the_connection() {
    let mut rig = Rig::new(V5);
    rig.broker_sends(&publish("a", Delivery::ExactlyOnce(id(5))))
        .unwrap();
    let result = rig.broker_sends(&Packet::PubRel(success(5)));
    ends_with(rig, &result, ReasonCode::ProtocolError);
}

#[test]
fn a_message_keeps_all_that_came_with_it() {
    let mut rig = Rig::new(V5);
    let mut buffer = PropertyBuffer::default();
    buffer.push_user_property("site", "north").unwrap();
    let mut identifiers = PropertyBuffer::default();
    identifiers.push_subscription_identifier(9).unwrap();
    rig.broker_sends(&Packet::Publish(Publish {
        duplicate: true,
        delivery: Delivery::AtLeastOnce(id(5)),
        retain: true,
        topic: Some(TopicName::parse("a/b").unwrap()),
        properties: PublishProperties {
            payload_is_utf8: Some(true),
            message_expiry_interval_secs: Some(30),
            response_topic: Some(TopicName::parse("answers").unwrap()),
            correlation_data: Some(b"c"),
            content_type: Some("text/plain"),
            subscription_identifiers: identifiers.subscription_identifiers(),
            user_properties: buffer.user_properties(),
            ..PublishProperties::default()
        },
        payload: b"21.5",
    }))
    .unwrap();
    let Some(Event::Message(message)) = rig.event() else {
        panic!("a message")
    };
    let expected = crate::connection::Message {
        topic: "a/b".to_owned(),
        payload: b"21.5".to_vec(),
        qos: Qos::AtLeastOnce,
        retain: true,
        duplicate: true,
        packet_identifier: Some(5),
        payload_is_utf8: Some(true),
        message_expiry_interval_secs: Some(30),
        response_topic: Some("answers".to_owned()),
        correlation_data: Some(b"c".to_vec()),
        subscription_identifiers: vec![9],
        content_type: Some("text/plain".to_owned()),
        user_properties: vec![("site".to_owned(), "north".to_owned())],
    };
    assert_eq!(message, expected);
    assert!(!format!("{message:?}").contains("21.5"));
}

// [MQTT-3.3.4-9]
#[test]
fn more_messages_in_flight_than_our_receive_maximum_end_the_connection() {
    let mut options = options(V5);
    options.receive_maximum = 2;
    let mut rig = Rig::with(&options, ConnAckProperties::default());
    rig.broker_sends(&publish("a", Delivery::AtLeastOnce(id(1))))
        .unwrap();
    rig.broker_sends(&publish("a", Delivery::ExactlyOnce(id(2))))
        .unwrap();
    rig.broker_sends(&publish("a", Delivery::AtMostOnce))
        .unwrap();
    // The first is acknowledged, which makes room for one.
    rig.event();
    rig.event();
    rig.broker_sends(&publish("a", Delivery::AtLeastOnce(id(3))))
        .unwrap();
    let result = rig.broker_sends(&publish("a", Delivery::AtLeastOnce(id(4))));
    ends_with(rig, &result, ReasonCode::ReceiveMaximumExceeded);
}

// [MQTT-3.3.2-9]: we allow no Topic Alias.
#[test]
fn a_topic_alias_ends_the_connection() {
    let mut rig = Rig::new(V5);
    // PUBLISH, QoS 0, empty topic, alias 1.
    let result = rig
        .machine
        .handle_bytes(&hex("3006000003230001"), rig.clocks);
    ends_with(rig, &result, ReasonCode::TopicAliasInvalid);
}

// [MQTT-3.1.2-24]
#[test]
fn a_packet_larger_than_we_allow_ends_the_connection_before_it_is_here() {
    let mut options = options(V5);
    options.maximum_packet_size = 1000;
    let mut rig = Rig::with(&options, ConnAckProperties::default());
    let result = rig.machine.handle_bytes(&hex("30ffff7f"), rig.clocks);
    ends_with(rig, &result, ReasonCode::PacketTooLarge);
}

#[test]
fn a_malformed_packet_ends_the_connection() {
    let mut rig = Rig::new(V5);
    // QoS 3.
    let result = rig
        .machine
        .handle_bytes(&hex("3605000161000100"), rig.clocks);
    ends_with(rig, &result, ReasonCode::MalformedPacket);
}

#[test]
fn a_packet_that_only_a_client_sends_ends_the_connection() {
    let mut rig = Rig::new(V5);
    let result = rig.broker_sends(&Packet::PingReq);
    assert!(matches!(result, Err(ConnectError::Protocol(_))));
}

#[test]
fn events_before_the_end_are_still_told() {
    let mut rig = Rig::new(V5);
    let mut bytes = encoded(V5, &publish("last words", Delivery::AtMostOnce));
    bytes.extend([0xe0, 1, 0x87]);
    assert!(matches!(
        rig.machine.handle_bytes(&bytes, rig.clocks),
        Err(ConnectError::Refused {
            reason_code: ReasonCode::NotAuthorized,
            ..
        })
    ));
    assert_eq!(topic(rig.event()), "last words");
}

#[test]
fn the_backlog_says_when_it_is_full_and_empties_with_events() {
    let mut options = options(V5);
    options.backlog_bytes = 1000;
    let mut rig = Rig::with(&options, ConnAckProperties::default());
    let mut count = 0;
    while !rig.machine.is_backlog_full() {
        rig.broker_sends(&publish("a", Delivery::AtMostOnce))
            .unwrap();
        count += 1;
        assert!(count < 1000);
    }
    assert!(count > 1);
    rig.event();
    assert!(!rig.machine.is_backlog_full());
}

#[test]
fn a_backlog_of_nothing_still_lets_one_read_through() {
    let mut options = options(V5);
    options.backlog_bytes = 0;
    let rig = Rig::with(&options, ConnAckProperties::default());
    assert!(!rig.machine.is_backlog_full());
}

// [MQTT-4.4.0-1]: seen from the other end.
#[test]
fn what_was_not_acknowledged_counts_as_new_in_a_resumed_session() {
    let mut rig = Rig::new(V5);
    let (acknowledged, unacknowledged) = (
        publish("done", Delivery::ExactlyOnce(id(1))),
        publish("in hand", Delivery::ExactlyOnce(id(2))),
    );
    rig.broker_sends(&acknowledged).unwrap();
    rig.broker_sends(&unacknowledged).unwrap();
    rig.event();
    rig.event();
    let session = rig.machine.into_session();
    let properties = ConnAckProperties::default();
    let mut rig = Rig::resumed(&options(V5), properties, session, true);
    rig.broker_sends(&acknowledged).unwrap();
    rig.broker_sends(&unacknowledged).unwrap();
    let sent = rig.sent();
    assert_eq!(packets(V5, &sent), [Packet::PubRec(success(1))]);
    assert_eq!(topic(rig.event()), "in hand");
    assert!(rig.event().is_none());
}
