//! Topic Aliases towards clients, and Response Information.

use super::{
    management::{config, start},
    peer::{Peer, Running, V5, V311, connect, identifier, publish},
};
use std::num::NonZeroU32;
use symbolon_mqtt_proto::{Ack, Connect, Delivery, Packet, Qos, ReasonCode};

/// How a PUBLISH named its topic, and its payload's length.
type Named = (Option<String>, Option<u16>, usize);

fn taking(name: &str, topic_alias_maximum: u16) -> Connect<'_> {
    let mut hello = connect(V5, name);
    hello.properties.topic_alias_maximum = Some(topic_alias_maximum);
    hello
}

fn open(running: &Running, hello: Connect<'_>) -> Peer {
    let mut peer = Peer::open(running.address, hello.version);
    peer.send(&Packet::Connect(Box::new(hello)));
    assert_eq!(peer.connack().reason_code, ReasonCode::Success);
    peer
}

fn named(peer: &mut Peer) -> Named {
    peer.next(|packet| match packet {
        Some(Packet::Publish(publish)) => (
            publish.topic.map(|topic| topic.as_str().to_owned()),
            publish.properties.topic_alias.map(Into::into),
            publish.payload.len(),
        ),
        packet => panic!("{packet:?}"),
    })
}

fn first(topic: &str, alias: u16, length: usize) -> Named {
    (Some(topic.into()), Some(alias), length)
}

fn later(alias: u16, length: usize) -> Named {
    (None, Some(alias), length)
}

fn full(topic: &str, length: usize) -> Named {
    (Some(topic.into()), None, length)
}

// [MQTT-3.3.2-8], [MQTT-3.3.2-9].
#[test]
fn topics_are_named_by_alias_to_those_that_take_them_and_no_more_than_they_take() {
    let running = Running::new(2);
    let mut taker = open(&running, taking("taker", 2));
    let mut plain = running.connect(V5, "plain");
    let mut old = running.connect(V311, "old");
    for peer in [&mut taker, &mut plain, &mut old] {
        peer.subscribe(&[("#", Qos::ExactlyOnce)]);
    }
    let mut publisher = running.connect(V5, "p");
    let sent = [
        ("topic/1", 5),
        ("topic/1", 6),
        ("topic/2", 7),
        // Large enough to be shared between clients.
        ("topic/1", 10_000),
        ("topic/3", 8),
        ("topic/3", 9),
        ("topic/2", 0),
        ("t", 1),
    ];
    for (topic, length) in sent {
        publisher.publish(topic, &vec![0; length], Delivery::AtMostOnce);
        assert_eq!(named(&mut plain), full(topic, length));
        assert_eq!(named(&mut old), full(topic, length));
    }
    for expected in [
        first("topic/1", 1, 5),
        later(1, 6),
        first("topic/2", 2, 7),
        later(1, 10_000),
        full("topic/3", 8),
        full("topic/3", 9),
        later(2, 0),
        full("t", 1),
    ] {
        assert_eq!(named(&mut taker), expected);
    }
}

#[test]
fn retained_messages_and_those_with_subscription_identifiers_have_aliases_too() {
    let running = Running::new(1);
    let mut publisher = running.connect(V5, "p");
    publisher.publish_with("topic/1", b"x", Delivery::AtMostOnce, true);
    publisher.ping();
    let mut taker = open(&running, taking("taker", 9));
    let wanted = super::peer::subscription("topic/+", Qos::AtLeastOnce);
    taker.subscribe_with(vec![wanted], Some(7));
    assert_eq!(named(&mut taker), first("topic/1", 1, 1));
    publisher.publish("topic/1", b"xy", Delivery::AtLeastOnce(identifier(1)));
    assert_eq!(named(&mut taker), later(1, 2));
}

#[test]
fn an_alias_is_not_told_by_a_packet_that_was_too_large_to_be_sent() {
    let running = Running::new(1);
    let mut hello = taking("taker", 9);
    hello.properties.maximum_packet_size = NonZeroU32::new(50);
    let mut taker = open(&running, hello);
    taker.subscribe(&[("#", Qos::AtMostOnce)]);
    let mut publisher = running.connect(V5, "p");
    // 2 + 2 + 7 + 1 + payload: with the alias three more.
    for length in [60, 36, 30, 31, 60, 41] {
        publisher.publish("topic/1", &vec![0; length], Delivery::AtMostOnce);
    }
    for expected in [
        full("topic/1", 36),
        first("topic/1", 1, 30),
        later(1, 31),
        later(1, 41),
    ] {
        assert_eq!(named(&mut taker), expected);
    }
    taker.expect_nothing();
}

// [MQTT-3.3.2-7]: an alias ends with its connection.
#[test]
fn a_message_sent_again_on_another_connection_has_its_topic_in_full() {
    let running = Running::new(1);
    let mut hello = taking("taker", 9);
    hello.clean_start = false;
    hello.properties.session_expiry_interval_secs = Some(600);
    let mut taker = open(&running, hello.clone());
    taker.subscribe(&[("topic/1", Qos::AtLeastOnce)]);
    let mut publisher = running.connect(V5, "p");
    for number in 1..=2 {
        let delivery = Delivery::AtLeastOnce(identifier(number));
        publisher.publish("topic/1", &vec![0; usize::from(number)], delivery);
    }
    assert_eq!(named(&mut taker), first("topic/1", 1, 1));
    assert_eq!(named(&mut taker), later(1, 2));
    drop(taker);
    let mut taker = open(&running, hello);
    for number in 1..=2 {
        assert_eq!(
            named(&mut taker),
            full("topic/1", usize::from(number)),
            "sent again"
        );
        let ack = Ack::new(identifier(number), ReasonCode::Success);
        taker.send(&Packet::PubAck(ack));
    }
    publisher.publish("topic/1", b"new", Delivery::AtMostOnce);
    assert_eq!(named(&mut taker), first("topic/1", 1, 3));
    publisher.publish("topic/1", b"newer", Delivery::AtMostOnce);
    assert_eq!(named(&mut taker), later(1, 5));
}

/// What CONNACK says of it.
fn response_information(running: &Running, hello: Connect<'_>) -> Option<String> {
    let mut peer = Peer::open(running.address, hello.version);
    peer.send(&Packet::Connect(Box::new(hello)));
    peer.next(|packet| match packet {
        Some(Packet::ConnAck(connack)) => {
            assert_eq!(connack.reason_code, ReasonCode::Success);
            (connack.properties.response_information).map(str::to_owned)
        }
        packet => panic!("{packet:?}"),
    })
}

// MQTT 5.0 §3.1.2.11.6, §3.2.2.3.15.
#[test]
fn response_information_is_told_to_clients_that_ask_and_to_no_others() {
    let mut with = config(None);
    with.response_information = Some("replies/${client_id}".into());
    let (running, _) = start(&with);
    let asking = |name, asks| {
        let mut hello = connect(V5, name);
        hello.properties.request_response_information = asks;
        hello
    };
    let told = |name, asks| response_information(&running, asking(name, asks));
    assert_eq!(told("device-7", Some(true)).unwrap(), "replies/device-7");
    assert_eq!(told("device-7", Some(false)), None);
    assert_eq!(told("device-7", None), None);
    assert_eq!(response_information(&running, connect(V311, "old")), None);
    // One that does not fit is left out, and the client gets in.
    let long = "x".repeat(65_535);
    assert_eq!(told(&long, Some(true)), None);
    let mut small = asking("device-7", Some(true));
    small.properties.maximum_packet_size = NonZeroU32::new(100);
    assert_eq!(response_information(&running, small), None);
    let (without, _) = start(&config(None));
    let hello = asking("device-7", Some(true));
    assert_eq!(response_information(&without, hello), None);
}

#[test]
fn response_information_that_is_no_text_is_a_fault_of_the_configuration() {
    for text in [String::new(), "a\0b".into(), "x".repeat(5_000)] {
        let mut config = config(None);
        config.response_information = Some(text);
        let error = symbolon_broker::Broker::start(&config).unwrap_err();
        assert!(
            error.to_string().contains("response_information"),
            "{error}"
        );
    }
}

#[test]
fn the_topics_of_a_client_without_aliases_are_unchanged_beside_one_with() {
    let running = Running::new(1);
    let mut taker = open(&running, taking("taker", 100));
    let mut plain = running.connect(V5, "plain");
    for peer in [&mut taker, &mut plain] {
        peer.subscribe(&[("topic/#", Qos::ExactlyOnce)]);
    }
    let mut publisher = running.connect(V5, "p");
    for number in 0..40_u16 {
        let topic = format!("topic/{}", number % 20);
        let message = publish(
            &topic,
            b"x",
            Delivery::AtLeastOnce(identifier(number + 1)),
            false,
        );
        publisher.send(&Packet::Publish(message));
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
        assert_eq!(named(&mut plain), full(&topic, 1));
        let place = number % 20;
        let expected = match (place < 16, number < 20) {
            (true, true) => first(&topic, place + 1, 1),
            (true, false) => later(place + 1, 1),
            (false, _) => full(&topic, 1),
        };
        assert_eq!(named(&mut taker), expected);
    }
}
