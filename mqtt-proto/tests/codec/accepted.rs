//! What looks odd and is right.

use crate::{V5, V311, accept, encode, frame};
use std::num::NonZeroU16;
use symbolon_mqtt_proto::{
    Ack, Delivery, Disconnect, Packet, PacketIdentifier, Publish, PublishProperties, ReasonCode,
    Sender, TopicName,
};

fn check(wire: &[u8], sender: Sender, expected: &Packet<'_>) {
    assert_eq!(&accept(V5, sender, wire), expected);
    assert_eq!(encode(expected, V5), wire);
}

fn one() -> PacketIdentifier {
    PacketIdentifier::MIN
}

#[test]
fn a_password_without_user_name_is_accepted_in_5() {
    // §3.1.2.9
    let wire = frame(0x10, b"\0\x04MQTT\x05\x42\0\0\0\0\x01c\0\x01p");
    let Packet::Connect(connect) = accept(V5, Sender::Client, &wire) else {
        panic!("not a CONNECT")
    };
    assert_eq!(connect.user_name, None);
    assert_eq!(connect.password, Some(&b"p"[..]));
    assert_eq!(connect.keep_alive_secs, 0);
    assert_eq!(encode(&Packet::Connect(connect), V5), wire);
}

#[test]
fn an_empty_client_identifier_is_accepted() {
    // [MQTT-3.1.3-6]; MQTT 3.1.1 [MQTT-3.1.3-7]
    for (body, is_clean) in [
        (&b"\0\x04MQTT\x05\0\0\x3C\0\0\0"[..], false),
        (b"\0\x04MQTT\x05\x02\0\x3C\0\0\0", true),
        (b"\0\x04MQTT\x04\x02\0\x3C\0\0", true),
    ] {
        let wire = frame(0x10, body);
        let Packet::Connect(connect) = accept(V5, Sender::Client, &wire) else {
            panic!("not a CONNECT")
        };
        assert_eq!(connect.client_identifier, "");
        assert_eq!(connect.clean_start, is_clean);
    }
}

#[test]
fn intervals_of_0_are_accepted() {
    // §3.1.2.11.2, §3.1.3.2.2, §3.3.2.3.3
    let properties = b"\x0A\x18\0\0\0\0\x02\0\0\0\0";
    let body = [
        &b"\0\x04MQTT\x05\x06\0\x3C\x05\x11\0\0\0\0\0\x01c"[..],
        properties,
        b"\0\x01t\0\0",
    ]
    .concat();
    let wire = frame(0x10, &body);
    let Packet::Connect(connect) = accept(V5, Sender::Client, &wire) else {
        panic!("not a CONNECT")
    };
    assert_eq!(connect.properties.session_expiry_interval_secs, Some(0));
    let will = connect.will.unwrap();
    assert_eq!(will.delay_interval_secs, 0);
    assert_eq!(will.properties.message_expiry_interval_secs, Some(0));
    assert_eq!(will.payload, b"");
}

fn publish(topic: Option<&str>) -> Publish<'_> {
    Publish {
        duplicate: false,
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: topic.map(|topic| TopicName::parse(topic).unwrap()),
        properties: PublishProperties::default(),
        payload: b"",
    }
}

#[test]
fn an_empty_payload_is_accepted() {
    // §3.3.3
    let wire = frame(0x30, &[0, 1, b't', 0]);
    check(&wire, Sender::Client, &Packet::Publish(publish(Some("t"))));
    let wire = frame(0x30, &[0, 1, b't']);
    let packet = Packet::Publish(publish(Some("t")));
    assert_eq!(accept(V311, Sender::Client, &wire), packet);
    assert_eq!(encode(&packet, V311), wire);
}

#[test]
fn an_empty_topic_name_is_accepted_with_a_topic_alias() {
    // §3.3.2.3.4
    let mut expected = publish(None);
    expected.properties.topic_alias = NonZeroU16::new(0x102);
    let wire = frame(0x30, &[0, 0, 3, 0x23, 1, 2]);
    check(&wire, Sender::Client, &Packet::Publish(expected));
    expected.topic = TopicName::parse("t").ok();
    let wire = frame(0x30, &[0, 1, b't', 3, 0x23, 1, 2]);
    check(&wire, Sender::Client, &Packet::Publish(expected));
}

#[test]
fn dup_and_retain_are_told_apart() {
    // §3.3.1
    let mut expected = publish(Some("t"));
    expected.delivery = Delivery::ExactlyOnce(PacketIdentifier::MAX);
    for (first_byte, duplicate, retain) in [
        (0x34, false, false),
        (0x35, false, true),
        (0x3C, true, false),
        (0x3D, true, true),
    ] {
        expected.duplicate = duplicate;
        expected.retain = retain;
        let wire = frame(first_byte, &[0, 1, b't', 0xFF, 0xFF, 0]);
        check(&wire, Sender::Client, &Packet::Publish(expected));
    }
}

#[test]
fn the_longest_texts_are_accepted() {
    // §1.5.4: 65,535 bytes; in a User Property both texts.
    let longest = "x".repeat(65_535);
    let mut buffer = symbolon_mqtt_proto::property::PropertyBuffer::default();
    buffer.push_user_property(&longest, &longest).unwrap();
    let mut expected = publish(Some(&longest));
    expected.properties.content_type = Some(&longest);
    expected.properties.user_properties = buffer.user_properties();
    let packet = Packet::Publish(expected);
    let wire = encode(&packet, V5);
    assert_eq!(accept(V5, Sender::Client, &wire), packet);
}

#[test]
fn the_longest_packet_is_accepted() {
    // §2.1.4: a Remaining Length of 268,435,455.
    let payload = vec![7; 268_435_455 - 4];
    let mut expected = publish(Some("t"));
    expected.payload = &payload;
    let wire = encode(&Packet::Publish(expected), V5);
    assert_eq!(wire[..5], [0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    let packet = accept(V5, Sender::Client, &wire);
    assert!(packet == Packet::Publish(expected));
}

#[test]
fn acknowledgements_are_written_in_their_shortest_form_and_read_in_each() {
    // §3.4.2.1, §3.4.2.2.1
    for (first_byte, wrap) in [
        (0x40, Packet::PubAck as fn(Ack<'static>) -> Packet<'static>),
        (0x50, Packet::PubRec),
        (0x62, Packet::PubRel),
        (0x70, Packet::PubComp),
    ] {
        let success = wrap(Ack::new(one(), ReasonCode::Success));
        let shortest = frame(first_byte, &[0, 1]);
        check(&shortest, Sender::Client, &success);
        assert_eq!(accept(V311, Sender::Client, &shortest), success);
        assert_eq!(encode(&success, V311), shortest);
        for body in [&[0, 1, 0][..], &[0, 1, 0, 0]] {
            let wire = frame(first_byte, body);
            assert_eq!(accept(V5, Sender::Client, &wire), success);
        }
    }
    let failure = Packet::PubRel(Ack::new(one(), ReasonCode::PacketIdentifierNotFound));
    check(&frame(0x62, &[0, 1, 0x92]), Sender::Client, &failure);
    let failure = Packet::PubAck(Ack::new(one(), ReasonCode::NotAuthorized));
    check(&frame(0x40, &[0, 1, 0x87]), Sender::Server, &failure);
}

#[test]
fn a_reason_string_follows_a_success_too() {
    // §3.4.2.2.2
    let mut ack = Ack::new(one(), ReasonCode::Success);
    ack.reason_string = Some("r");
    let wire = frame(0x40, &[0, 1, 0, 4, 0x1F, 0, 1, b'r']);
    check(&wire, Sender::Server, &Packet::PubAck(ack));
}

#[test]
fn disconnect_is_written_in_its_shortest_form_and_read_in_each() {
    // §3.14.2.1, §3.14.2.2.1
    let normal = Packet::Disconnect(Disconnect::new(ReasonCode::Success, None));
    check(&frame(0xE0, &[]), Sender::Client, &normal);
    for body in [&[0][..], &[0, 0]] {
        assert_eq!(accept(V5, Sender::Client, &frame(0xE0, body)), normal);
    }
    assert_eq!(accept(V311, Sender::Client, &[0xE0, 0]), normal);
    assert_eq!(encode(&normal, V311), [0xE0, 0]);
    let expired = Packet::Disconnect(Disconnect::new(ReasonCode::NotAuthorized, None));
    check(&frame(0xE0, &[0x87]), Sender::Server, &expired);
    let told = Packet::Disconnect(Disconnect::new(ReasonCode::NotAuthorized, Some("expired")));
    let body = b"\x87\x0A\x1F\0\x07expired";
    check(&frame(0xE0, body), Sender::Server, &told);
}

#[test]
fn a_bare_auth_is_a_success_of_the_server() {
    // §3.15.2.1
    let wire = frame(0xF0, &[]);
    let packet = accept(V5, Sender::Server, &wire);
    let Packet::Auth(auth) = packet else {
        panic!("not an AUTH")
    };
    assert_eq!(auth.reason_code, ReasonCode::Success);
    assert_eq!(auth.authentication_method, None);
    assert_eq!(encode(&packet, V5), wire);
    // The same, said at length.
    assert_eq!(accept(V5, Sender::Server, &frame(0xF0, &[0, 0])), packet);
}

#[test]
fn pings_are_two_bytes() {
    // §3.12, §3.13
    for version in [V311, V5] {
        let request = accept(version, Sender::Client, &[0xC0, 0]);
        assert_eq!(request, Packet::PingReq);
        assert_eq!(encode(&request, version), [0xC0, 0]);
        let response = accept(version, Sender::Server, &[0xD0, 0]);
        assert_eq!(response, Packet::PingResp);
        assert_eq!(encode(&response, version), [0xD0, 0]);
    }
}

#[test]
fn a_shared_subscription_is_taken_apart_and_put_together() {
    // §4.8.2
    let wire = frame(0x82, b"\0\x01\0\0\x0E$share/g/a/+/#\x2A");
    let packet = accept(V5, Sender::Client, &wire);
    let Packet::Subscribe(subscribe) = &packet else {
        panic!("not a SUBSCRIBE")
    };
    let [subscription] = &subscribe.subscriptions[..] else {
        panic!("not one subscription")
    };
    let group = subscription.share_name.as_ref().unwrap();
    assert_eq!(group.as_str(), "g");
    assert_eq!(subscription.filter.as_str(), "a/+/#");
    assert!(subscription.retain_as_published);
    assert_eq!(encode(&packet, V5), wire);
}
