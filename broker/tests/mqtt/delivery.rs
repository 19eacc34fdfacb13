//! What is published arrives: QoS, order, retained messages, options, properties.

use super::peer::{Peer, Running, V5, V311, connect, identifier, publish, subscription};
use std::num::NonZeroU16;
use symbolon_broker::Limits;
use symbolon_mqtt_proto::{
    Ack, Delivery, Packet, PublishProperties, Qos, ReasonCode, RetainHandling, TopicFilter,
    TopicName, Unsubscribe, UserProperties,
};

#[test]
fn messages_of_every_qos_reach_subscribers_of_both_versions_on_every_shard() {
    let running = Running::new(3);
    let mut subscribers: Vec<Peer> = (0..12)
        .map(|number| {
            running.connect(
                if number % 2 == 0 { V5 } else { V311 },
                &format!("s{number}"),
            )
        })
        .collect();
    for subscriber in &mut subscribers {
        assert_eq!(
            subscriber.subscribe(&[("a/+", Qos::ExactlyOnce)]),
            [ReasonCode::GrantedQos2]
        );
    }
    let mut publisher = running.connect(V5, "p");
    publisher.publish("a/0", b"zero", Delivery::AtMostOnce);
    publisher.publish("a/1", b"one", Delivery::AtLeastOnce(identifier(1)));
    publisher.next(|packet| {
        assert!(
            matches!(packet, Some(Packet::PubAck(ack)) if ack.reason_code == ReasonCode::Success)
        );
    });
    publisher.publish("a/2", b"two", Delivery::ExactlyOnce(identifier(2)));
    publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
    publisher.send(&Packet::PubRel(Ack::new(
        identifier(2),
        ReasonCode::Success,
    )));
    publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubComp(_)))));
    for subscriber in &mut subscribers {
        assert_eq!(
            subscriber.message(),
            ("a/0".into(), b"zero".to_vec(), Qos::AtMostOnce, false)
        );
        assert_eq!(
            subscriber.message(),
            ("a/1".into(), b"one".to_vec(), Qos::AtLeastOnce, false)
        );
        assert_eq!(
            subscriber.message(),
            ("a/2".into(), b"two".to_vec(), Qos::ExactlyOnce, false)
        );
        subscriber.expect_nothing();
    }
}

// MQTT 5.0 §4.6.
#[test]
fn messages_of_one_publisher_arrive_in_order_across_shards_and_beyond_the_window() {
    let running = Running::new(2);
    let mut subscriber = Peer::open(running.address, V5);
    let mut hello = connect(V5, "slow");
    hello.properties.receive_maximum = NonZeroU16::new(3);
    subscriber.send(&Packet::Connect(Box::new(hello)));
    subscriber.connack();
    subscriber.subscribe(&[("t", Qos::AtLeastOnce)]);
    for name in ["p1", "p2", "p3", "p4"] {
        let mut publisher = running.connect(V5, name);
        for number in 0..200_u16 {
            publisher.publish(
                "t",
                &number.to_be_bytes(),
                Delivery::AtLeastOnce(identifier(number + 1)),
            );
            publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
        }
        for number in 0..200_u16 {
            assert_eq!(subscriber.message().1, number.to_be_bytes());
        }
    }
}

#[test]
fn a_payload_larger_than_every_buffer_arrives_whole() {
    let running = Running::new(2);
    let payload: Vec<u8> = (0..900_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let mut subscribers = [
        running.connect(V5, "one"),
        running.connect(V311, "two"),
        running.connect(V5, "three"),
    ];
    for subscriber in &mut subscribers {
        subscriber.subscribe(&[("big", Qos::AtLeastOnce)]);
    }
    let mut publisher = running.connect(V5, "p");
    publisher.publish("big", &payload, Delivery::AtLeastOnce(identifier(1)));
    for subscriber in &mut subscribers {
        assert!(subscriber.message().1 == payload);
    }
}

// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-8], MQTT 5.0 §3.8.3.1 Retain Handling.
#[test]
fn retained_messages_reach_later_subscribers_on_every_shard_until_they_are_deleted() {
    let running = Running::new(3);
    let mut publisher = running.connect(V5, "p");
    publisher.publish_with("r/1", b"old", Delivery::AtLeastOnce(identifier(1)), true);
    publisher.publish_with("r/1", b"kept", Delivery::AtLeastOnce(identifier(2)), true);
    publisher.publish_with("r/2", b"gone", Delivery::AtLeastOnce(identifier(3)), true);
    publisher.publish_with("r/2", b"", Delivery::AtLeastOnce(identifier(4)), true);
    for _ in 0..4 {
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
    }
    for number in 0..6 {
        let mut subscriber = running.connect(V5, &format!("s{number}"));
        assert_eq!(
            subscriber.subscribe(&[("r/#", Qos::AtLeastOnce)]),
            [ReasonCode::GrantedQos1]
        );
        assert_eq!(
            subscriber.message(),
            ("r/1".into(), b"kept".to_vec(), Qos::AtLeastOnce, true)
        );
        let mut again = subscription("r/#", Qos::AtLeastOnce);
        again.retain_handling = RetainHandling::SendIfNew;
        subscriber.subscribe_with(vec![again], None);
        subscriber.expect_nothing();
    }
}

// [MQTT-3.8.3-3] No Local; MQTT 5.0 §3.3.2.3.8 Subscription Identifiers; [MQTT-3.8.3.1] Retain As Published.
#[test]
fn subscription_options_are_obeyed() {
    let running = Running::new(1);
    let mut client = running.connect(V5, "c");
    let mut no_local = subscription("t", Qos::AtMostOnce);
    no_local.no_local = true;
    client.subscribe_with(vec![no_local], None);
    let mut other = running.connect(V5, "o");
    let mut as_published = subscription("t", Qos::AtMostOnce);
    as_published.retain_as_published = true;
    other.subscribe_with(vec![as_published], Some(321));
    client.publish_with("t", b"x", Delivery::AtMostOnce, true);
    other.next(|packet| match packet {
        Some(Packet::Publish(publish)) => {
            assert!(publish.retain);
            assert!(publish.properties.subscription_identifiers.iter().eq([321]));
        }
        packet => panic!("{packet:?}"),
    });
    client.expect_nothing();
}

#[test]
fn properties_travel_unchanged() {
    let running = Running::new(2);
    let mut subscribers = [
        running.connect(V5, "a"),
        running.connect(V5, "b"),
        running.connect(V5, "c"),
    ];
    for subscriber in &mut subscribers {
        subscriber.subscribe(&[("t", Qos::AtMostOnce)]);
    }
    let mut buffer = symbolon_mqtt_proto::property::PropertyBuffer::default();
    buffer.push_user_property("k", "v1").unwrap();
    buffer.push_user_property("k", "v2").unwrap();
    let mut message = publish("t", b"x", Delivery::AtMostOnce, false);
    message.properties = PublishProperties {
        payload_is_utf8: Some(true),
        message_expiry_interval_secs: Some(60),
        response_topic: Some(TopicName::parse("answer").unwrap()),
        correlation_data: Some(b"42"),
        content_type: Some("text/plain"),
        user_properties: buffer.user_properties(),
        ..PublishProperties::default()
    };
    let mut publisher = running.connect(V5, "p");
    publisher.send(&Packet::Publish(message));
    for subscriber in &mut subscribers {
        subscriber.next(|packet| match packet {
            Some(Packet::Publish(publish)) => {
                assert_eq!(publish.properties.payload_is_utf8, Some(true));
                assert_eq!(publish.properties.message_expiry_interval_secs, Some(60));
                assert_eq!(
                    publish.properties.response_topic.map(TopicName::as_str),
                    Some("answer")
                );
                assert_eq!(publish.properties.correlation_data, Some(&b"42"[..]));
                assert_eq!(publish.properties.content_type, Some("text/plain"));
                assert!(
                    publish
                        .properties
                        .user_properties
                        .iter()
                        .eq([("k", "v1"), ("k", "v2")])
                );
            }
            packet => panic!("{packet:?}"),
        });
    }
}

// MQTT 5.0 §3.3.2.3.4.
#[test]
fn a_topic_alias_stands_for_its_topic_and_an_unknown_one_is_refused() {
    let running = Running::new(1);
    let mut subscriber = running.connect(V5, "s");
    subscriber.subscribe(&[("long/topic", Qos::AtMostOnce)]);
    let mut publisher = running.connect(V5, "p");
    let mut first = publish("long/topic", b"1", Delivery::AtMostOnce, false);
    first.properties.topic_alias = NonZeroU16::new(5);
    publisher.send(&Packet::Publish(first));
    let mut second = first;
    second.topic = None;
    second.payload = b"2";
    publisher.send(&Packet::Publish(second));
    assert_eq!(subscriber.message().1, b"1");
    assert_eq!(subscriber.message().1, b"2");
    second.properties.topic_alias = NonZeroU16::new(6);
    publisher.send(&Packet::Publish(second));
    assert_eq!(publisher.end(), Some(ReasonCode::ProtocolError));
    let mut publisher = running.connect(V5, "p");
    first.properties.topic_alias = NonZeroU16::new(33);
    publisher.send(&Packet::Publish(first));
    // [MQTT-3.3.2-9]
    assert_eq!(publisher.end(), Some(ReasonCode::TopicAliasInvalid));
}

#[test]
fn unsubscribing_ends_delivery() {
    let running = Running::new(2);
    let mut subscriber = running.connect(V5, "s");
    subscriber.subscribe(&[("t", Qos::AtMostOnce)]);
    let filters = vec![
        (None, TopicFilter::parse("t").unwrap()),
        (None, TopicFilter::parse("u").unwrap()),
    ];
    subscriber.send(&Packet::Unsubscribe(Unsubscribe {
        packet_identifier: identifier(9),
        user_properties: UserProperties::default(),
        filters,
    }));
    subscriber.next(|packet| match packet {
        Some(Packet::UnsubAck(unsuback)) => {
            assert_eq!(
                unsuback.reason_codes,
                [ReasonCode::Success, ReasonCode::NoSubscriptionExisted]
            );
        }
        packet => panic!("{packet:?}"),
    });
    let mut publisher = running.connect(V5, "p");
    publisher.publish("t", b"x", Delivery::AtLeastOnce(identifier(1)));
    publisher.next(|packet| {
        assert!(matches!(packet, Some(Packet::PubAck(ack)) if ack.reason_code == ReasonCode::NoMatchingSubscribers));
    });
    subscriber.expect_nothing();
}

// [MQTT-4.3.3-10], [MQTT-4.3.3-11].
#[test]
fn a_repeated_qos_2_publish_is_delivered_once() {
    let running = Running::new(1);
    let mut subscriber = running.connect(V5, "s");
    subscriber.subscribe(&[("t", Qos::AtMostOnce)]);
    let mut publisher = running.connect(V5, "p");
    let mut message = publish("t", b"x", Delivery::ExactlyOnce(identifier(3)), false);
    for duplicate in [false, true, true] {
        message.duplicate = duplicate;
        publisher.send(&Packet::Publish(message));
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
    }
    publisher.send(&Packet::PubRel(Ack::new(
        identifier(3),
        ReasonCode::Success,
    )));
    publisher.next(|packet| {
        assert!(
            matches!(packet, Some(Packet::PubComp(ack)) if ack.reason_code == ReasonCode::Success)
        );
    });
    publisher.send(&Packet::PubRel(Ack::new(
        identifier(3),
        ReasonCode::Success,
    )));
    publisher.next(|packet| {
        assert!(matches!(packet, Some(Packet::PubComp(ack)) if ack.reason_code == ReasonCode::PacketIdentifierNotFound));
    });
    assert_eq!(subscriber.message().1, b"x");
    subscriber.expect_nothing();
}

/// A subscriber that does not read loses QoS 0 messages at its bound, and nobody waits for it.
#[test]
fn a_subscriber_that_never_reads_hurts_only_itself() {
    let limits = Limits {
        outbox_bytes: 64 * 1024,
        queued_messages: 10,
        ..Limits::default()
    };
    let running = Running::with(1, limits);
    let mut stuck = running.connect(V5, "stuck");
    stuck.subscribe(&[("t", Qos::AtLeastOnce)]);
    let mut reader = running.connect(V5, "reader");
    reader.subscribe(&[("t", Qos::AtMostOnce)]);
    let mut publisher = running.connect(V5, "p");
    let payload = vec![7; 3_000];
    for number in 0..4_000_u32 {
        let delivery = if number % 2 == 0 {
            Delivery::AtMostOnce
        } else {
            Delivery::AtLeastOnce(identifier(1))
        };
        publisher.publish("t", &payload, delivery);
        if number % 2 == 1 {
            publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
        }
        assert_eq!(reader.message().1.len(), 3_000);
    }
    publisher.ping();
}
