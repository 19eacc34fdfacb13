//! Messages of ours.

use super::*;
use std::num::{NonZeroU16, NonZeroU32};
use symbolon_mqtt_proto::Ack;

fn published(event: Option<Event>) -> (u64, ReasonCode) {
    match event {
        Some(Event::Published {
            identifier,
            reason_code,
            ..
        }) => (identifier, reason_code),
        other => panic!("Published, not {other:?}"),
    }
}

fn ack(identifier: u16, reason_code: ReasonCode) -> Ack<'static> {
    Ack::new(id(identifier), reason_code)
}

#[test]
fn a_qos_0_message_is_sent_and_nothing_follows() {
    let mut rig = Rig::new(V5);
    rig.publish("a", Qos::AtMostOnce).unwrap();
    assert_eq!(
        packets(V5, &rig.sent()),
        [publish("a", Delivery::AtMostOnce)]
    );
    assert!(rig.event().is_none());
}

#[test]
fn a_qos_1_message_is_published_with_the_brokers_word() {
    for version in [V5, V311] {
        let mut rig = Rig::new(version);
        let first = rig.publish("a", Qos::AtLeastOnce).unwrap();
        let second = rig.publish("b", Qos::AtLeastOnce).unwrap();
        assert_ne!(first, second);
        let sent = rig.sent();
        let expected = [
            publish("a", Delivery::AtLeastOnce(id(1))),
            publish("b", Delivery::AtLeastOnce(id(2))),
        ];
        assert_eq!(packets(version, &sent), expected);
        rig.broker_sends(&Packet::PubAck(ack(1, ReasonCode::Success)))
            .unwrap();
        assert_eq!(published(rig.event()), (first, ReasonCode::Success));
        assert!(rig.event().is_none());
        rig.broker_sends(&Packet::PubAck(ack(2, ReasonCode::Success)))
            .unwrap();
        assert_eq!(published(rig.event()), (second, ReasonCode::Success));
    }
}

#[test]
fn a_refused_message_tells_why() {
    let mut rig = Rig::new(V5);
    rig.publish("a", Qos::AtLeastOnce).unwrap();
    let mut refusal = ack(1, ReasonCode::NotAuthorized);
    refusal.reason_string = Some("not in the token's scope");
    rig.broker_sends(&Packet::PubAck(refusal)).unwrap();
    assert!(matches!(
        rig.event(),
        Some(Event::Published { reason_code: ReasonCode::NotAuthorized, reason_string: Some(why), .. })
            if why == "not in the token's scope"
    ));
}

// [MQTT-4.3.3-4], [MQTT-4.3.3-5]
#[test]
fn a_qos_2_message_goes_by_pubrec_pubrel_and_pubcomp() {
    for version in [V5, V311] {
        let mut rig = Rig::new(version);
        let identifier = rig.publish("a", Qos::ExactlyOnce).unwrap();
        assert_eq!(
            packets(version, &rig.sent()),
            [publish("a", Delivery::ExactlyOnce(id(1)))]
        );
        for _ in 0..2 {
            // The second PUBREC is a repetition: PUBREL again.
            rig.broker_sends(&Packet::PubRec(ack(1, ReasonCode::Success)))
                .unwrap();
            assert_eq!(
                packets(version, &rig.sent()),
                [Packet::PubRel(ack(1, ReasonCode::Success))]
            );
            assert!(rig.event().is_none());
        }
        rig.broker_sends(&Packet::PubComp(ack(1, ReasonCode::Success)))
            .unwrap();
        assert_eq!(published(rig.event()), (identifier, ReasonCode::Success));
    }
}

#[test]
fn a_pubrec_that_refuses_is_the_end_of_a_message() {
    let mut rig = Rig::new(V5);
    let identifier = rig.publish("a", Qos::ExactlyOnce).unwrap();
    rig.sent();
    rig.broker_sends(&Packet::PubRec(ack(1, ReasonCode::NotAuthorized)))
        .unwrap();
    assert_eq!(
        published(rig.event()),
        (identifier, ReasonCode::NotAuthorized)
    );
    assert!(rig.sent().is_empty());
}

// [MQTT-3.3.4-7]
#[test]
fn no_more_messages_are_in_flight_than_the_brokers_receive_maximum() {
    let mut rig = Rig::with(
        &options(V5),
        ConnAckProperties {
            receive_maximum: NonZeroU16::new(2),
            ..ConnAckProperties::default()
        },
    );
    rig.publish("a", Qos::AtLeastOnce).unwrap();
    assert!(rig.machine.has_room());
    rig.publish("b", Qos::ExactlyOnce).unwrap();
    assert!(!rig.machine.has_room());
    assert!(matches!(
        rig.publish("c", Qos::AtLeastOnce),
        Err(ConnectError::NotSent(_))
    ));
    rig.publish("d", Qos::AtMostOnce).unwrap();
    // PUBREC does not make room, PUBCOMP does (§4.9).
    rig.broker_sends(&Packet::PubRec(ack(2, ReasonCode::Success)))
        .unwrap();
    assert!(!rig.machine.has_room());
    rig.broker_sends(&Packet::PubComp(ack(2, ReasonCode::Success)))
        .unwrap();
    assert!(rig.machine.has_room());
}

#[test]
fn in_3_1_1_no_more_than_20_messages_are_in_flight() {
    let mut rig = Rig::new(V311);
    for _ in 0..20 {
        assert!(rig.machine.has_room());
        rig.publish("a", Qos::AtLeastOnce).unwrap();
    }
    assert!(!rig.machine.has_room());
}

// [MQTT-3.2.2-15], [MQTT-3.2.2-11], [MQTT-3.2.2-14]
#[test]
fn what_the_broker_does_not_take_is_not_sent() {
    let mut rig = Rig::with(
        &options(V5),
        ConnAckProperties {
            maximum_packet_size: NonZeroU32::new(20),
            maximum_qos: Some(Qos::AtLeastOnce),
            retain_available: Some(false),
            ..ConnAckProperties::default()
        },
    );
    let long = "t".repeat(20);
    let mut retained = outgoing("a", Qos::AtMostOnce);
    retained.retain = true;
    for message in [
        outgoing(&long, Qos::AtMostOnce),
        outgoing("a", Qos::ExactlyOnce),
        outgoing("a/#", Qos::AtMostOnce),
        outgoing("", Qos::AtMostOnce),
        retained,
    ] {
        let refused = rig.machine.handle_publish(&message, rig.clocks.now);
        assert!(
            matches!(refused, Err(ConnectError::NotSent(_))),
            "{message:?}"
        );
    }
    assert!(rig.sent().is_empty());
    assert!(rig.machine.has_room());
    rig.publish("a", Qos::AtLeastOnce).unwrap();
}

#[test]
fn a_puback_for_nothing_ends_the_connection_and_the_broker_is_told() {
    let mut rig = Rig::new(V5);
    let error = rig.broker_sends(&Packet::PubAck(ack(7, ReasonCode::Success)));
    assert!(matches!(error, Err(ConnectError::Protocol(_))));
    let sent = rig.sent();
    let [Packet::Disconnect(disconnect)] = &packets(V5, &sent)[..] else {
        panic!("one DISCONNECT")
    };
    assert_eq!(disconnect.reason_code, ReasonCode::ProtocolError);
}

// §4.3.3: of a session that an earlier process began.
#[test]
fn a_pubrec_for_nothing_is_answered_with_packet_identifier_not_found() {
    // 3.1.1 has no code for it.
    for (version, reason_code) in [
        (V5, ReasonCode::PacketIdentifierNotFound),
        (V311, ReasonCode::Success),
    ] {
        let mut rig = Rig::new(version);
        rig.broker_sends(&Packet::PubRec(ack(7, ReasonCode::Success)))
            .unwrap();
        let expected = [Packet::PubRel(ack(7, reason_code))];
        assert_eq!(packets(version, &rig.sent()), expected);
        rig.broker_sends(&Packet::PubComp(ack(7, reason_code)))
            .unwrap();
        assert!(rig.event().is_none());
    }
}

/// A session with message 1 released, and 2 and 3 sent.
fn interrupted(version: ProtocolVersion) -> Session {
    let mut rig = Rig::new(version);
    rig.publish("a", Qos::ExactlyOnce).unwrap();
    rig.publish("b", Qos::AtLeastOnce).unwrap();
    rig.publish("c", Qos::ExactlyOnce).unwrap();
    rig.broker_sends(&Packet::PubRec(ack(1, ReasonCode::Success)))
        .unwrap();
    rig.machine.into_session()
}

// [MQTT-4.4.0-1], [MQTT-3.3.1-1]
#[test]
fn a_resumed_session_sends_again_what_is_in_flight() {
    for version in [V5, V311] {
        let session = interrupted(version);
        let properties = ConnAckProperties::default();
        let mut rig = Rig::resumed(&options(version), properties, session, true);
        let sent = rig.sent();
        let again = |topic, delivery| {
            let mut packet = publish(topic, delivery);
            if let Packet::Publish(publish) = &mut packet {
                publish.duplicate = true;
            }
            packet
        };
        let expected = [
            Packet::PubRel(ack(1, ReasonCode::Success)),
            again("b", Delivery::AtLeastOnce(id(2))),
            again("c", Delivery::ExactlyOnce(id(3))),
        ];
        assert_eq!(packets(version, &sent), expected);
        rig.broker_sends(&Packet::PubComp(ack(1, ReasonCode::Success)))
            .unwrap();
        assert_eq!(published(rig.event()), (1, ReasonCode::Success));
        assert_eq!(rig.publish("d", Qos::AtLeastOnce).unwrap(), 4);
    }
}

#[test]
fn a_resumed_session_keeps_to_a_smaller_receive_maximum() {
    let properties = ConnAckProperties {
        receive_maximum: NonZeroU16::new(1),
        ..ConnAckProperties::default()
    };
    let mut rig = Rig::resumed(&options(V5), properties, interrupted(V5), true);
    assert_eq!(packets(V5, &rig.sent()).len(), 1);
    rig.broker_sends(&Packet::PubComp(ack(1, ReasonCode::Success)))
        .unwrap();
    let sent = rig.sent();
    let [Packet::Publish(second)] = &packets(V5, &sent)[..] else {
        panic!("one PUBLISH")
    };
    assert_eq!(second.topic.unwrap().as_str(), "b");
    assert!(!rig.machine.has_room());
}

// [MQTT-3.2.2-5]
#[test]
fn a_session_the_broker_has_forgotten_is_told_message_by_message() {
    let properties = ConnAckProperties::default();
    let mut rig = Rig::resumed(&options(V5), properties, interrupted(V5), false);
    assert!(rig.sent().is_empty());
    assert_eq!(published(rig.event()), (1, ReasonCode::Success));
    for lost in [2, 3] {
        assert!(matches!(rig.event(), Some(Event::Forgotten { identifier }) if identifier == lost));
    }
    assert_eq!(rig.publish("d", Qos::AtLeastOnce).unwrap(), 4);
    let sent = rig.sent();
    let expected = [publish("d", Delivery::AtLeastOnce(id(1)))];
    assert_eq!(packets(V5, &sent), expected);
}

#[test]
fn goodbye_is_a_disconnect_and_in_3_1_1_silence_where_the_will_is_wanted() {
    for (version, reason_code, expected) in [
        (V5, ReasonCode::Success, "e000"),
        (V5, ReasonCode::DisconnectWithWillMessage, "e00104"),
        (V311, ReasonCode::Success, "e000"),
        (V311, ReasonCode::DisconnectWithWillMessage, ""),
    ] {
        let mut rig = Rig::new(version);
        rig.machine.handle_disconnect(reason_code, None).unwrap();
        assert_eq!(rig.sent(), hex(expected));
    }
}
