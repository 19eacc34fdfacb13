//! What outlives the process: the broker is stopped and started again on the same store.

use super::{
    peer::{Peer, Running, V5, V311, connect, identifier, publish},
    resumption::{acknowledged, lasting, leave, open, raw_message},
};
use symbolon_broker::{Limits, StoreConfig};
use symbolon_mqtt_proto::{
    Ack, Delivery, Packet, Publish, PublishProperties, Qos, ReasonCode, TopicName, Will,
};

/// A store that is deleted with the test.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// With another number of shards each time: clients change their homes.
    fn start(&self, shards: usize) -> Running {
        let store = StoreConfig::at(self.directory.path().join("store"));
        Running::on(shards, Limits::default(), Some(store))
    }
}

// MQTT 5.0 §4.1: sessions, their subscriptions, and what waits or is in flight.
#[test]
fn sessions_go_on_after_a_restart() {
    let site = Site::new();
    let running = site.start(2);
    let mut sleeper = open(&running, lasting(V5, "sleeper"), false);
    sleeper.subscribe(&[("a/+", Qos::ExactlyOnce)]);
    let mut publisher = running.connect(V5, "publisher");
    acknowledged(&mut publisher, "a/b", b"in flight", 1);
    let (payload, in_flight, _) = raw_message(&mut sleeper);
    assert_eq!(payload, b"in flight");
    leave(sleeper, None);
    let mut other = open(&running, lasting(V311, "other"), false);
    other.subscribe(&[("a/#", Qos::AtLeastOnce)]);
    leave(other, None);
    for number in 2..=40_u16 {
        acknowledged(&mut publisher, "a/b", &number.to_be_bytes(), number);
    }
    drop(running);
    for shards in [1, 3] {
        let running = site.start(shards);
        let mut publisher = running.connect(V5, "publisher");
        acknowledged(
            &mut publisher,
            "a/c",
            &[b'p', u8::try_from(shards).unwrap()],
            1,
        );
    }
    let running = site.start(2);
    let mut sleeper = open(&running, lasting(V5, "sleeper"), true);
    let again = raw_message(&mut sleeper);
    assert_eq!(again, (b"in flight".to_vec(), in_flight, true));
    let Delivery::AtLeastOnce(first) = in_flight else {
        panic!("published at QoS 1");
    };
    sleeper.send(&Packet::PubAck(Ack::new(first, ReasonCode::Success)));
    for number in 2..=40_u16 {
        assert_eq!(sleeper.message().1, number.to_be_bytes());
    }
    assert_eq!(sleeper.message().1, b"p\x01");
    assert_eq!(sleeper.message().1, b"p\x03");
    let mut other = open(&running, lasting(V311, "other"), true);
    for number in 2..=40_u16 {
        assert_eq!(other.message().1, number.to_be_bytes());
    }
    // What is acknowledged is not sent again.
    other.message();
    other.message();
    other.ping();
    drop((sleeper, other, running));
    let running = site.start(2);
    let mut other = open(&running, lasting(V311, "other"), true);
    other.expect_nothing();
    // A clean start takes it out of the store too.
    drop(running.connect(V311, "other"));
    drop(running);
    let running = site.start(2);
    open(&running, lasting(V311, "other"), false);
}

// [MQTT-4.3.3-10], [MQTT-4.3.3-7]: both halves of exactly once.
#[test]
fn exactly_once_holds_over_a_restart() {
    let site = Site::new();
    let running = site.start(2);
    let mut receiver = open(&running, lasting(V5, "receiver"), false);
    receiver.subscribe(&[("a", Qos::ExactlyOnce)]);
    let mut publisher = open(&running, lasting(V5, "publisher"), false);
    publisher.publish("a", b"once", Delivery::ExactlyOnce(identifier(9)));
    publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
    let (_, Delivery::ExactlyOnce(number), _) = raw_message(&mut receiver) else {
        panic!("published at QoS 2");
    };
    receiver.send(&Packet::PubRec(Ack::new(number, ReasonCode::Success)));
    receiver.next(|packet| assert!(matches!(packet, Some(Packet::PubRel(_)))));
    drop((receiver, publisher, running));
    let running = site.start(1);
    let mut receiver = open(&running, lasting(V5, "receiver"), true);
    receiver.next(|packet| {
        assert!(matches!(packet, Some(Packet::PubRel(ack)) if ack.packet_identifier == number))
    });
    receiver.send(&Packet::PubComp(Ack::new(number, ReasonCode::Success)));
    let mut publisher = open(&running, lasting(V5, "publisher"), true);
    publisher.send(&Packet::Publish(Publish {
        duplicate: true,
        ..publish("a", b"once", Delivery::ExactlyOnce(identifier(9)), false)
    }));
    publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
    receiver.expect_nothing();
    publisher.send(&Packet::PubRel(Ack::new(
        identifier(9),
        ReasonCode::Success,
    )));
    publisher.next(|packet| {
        assert!(
            matches!(packet, Some(Packet::PubComp(ack)) if ack.reason_code == ReasonCode::Success)
        )
    });
    drop((receiver, publisher, running));
    let running = site.start(2);
    let mut receiver = open(&running, lasting(V5, "receiver"), true);
    receiver.expect_nothing();
    // The identifier is free again: another message under it is another message.
    let mut publisher = open(&running, lasting(V5, "publisher"), true);
    publisher.publish("a", b"next", Delivery::ExactlyOnce(identifier(9)));
    assert_eq!(receiver.message().1, b"next");
}

#[test]
fn retained_messages_and_their_deletion_outlive_the_process() {
    let site = Site::new();
    let running = site.start(2);
    let mut publisher = running.connect(V5, "publisher");
    for (topic, payload) in [
        ("kept", &b"old"[..]),
        ("deleted", b"x"),
        ("kept", b"new"),
        ("deleted", b""),
    ] {
        publisher.publish_with(topic, payload, Delivery::AtLeastOnce(identifier(1)), true);
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
    }
    drop((publisher, running));
    let running = site.start(3);
    let mut watcher = running.connect(V5, "watcher");
    watcher.subscribe(&[("#", Qos::AtLeastOnce)]);
    assert_eq!(
        watcher.message(),
        ("kept".into(), b"new".to_vec(), Qos::AtLeastOnce, true)
    );
    watcher.expect_nothing();
}

// MQTT 5.0 §3.1.2.5: a server that ends may put Wills off until it starts again.
#[test]
fn a_will_of_a_stored_session_is_published_after_the_restart() {
    let site = Site::new();
    let running = site.start(2);
    let mut hello = lasting(V5, "lost");
    hello.will = Some(Will {
        topic: TopicName::parse("will").unwrap(),
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: false,
        delay_interval_secs: 1,
        properties: PublishProperties::default(),
    });
    let lost = open(&running, hello, false);
    let mut watcher = open(&running, lasting(V5, "watcher"), false);
    watcher.subscribe(&[("will", Qos::AtLeastOnce)]);
    drop((running, lost, watcher));
    let running = site.start(2);
    let mut watcher = open(&running, lasting(V5, "watcher"), true);
    assert_eq!(watcher.message().1, b"gone");
    // The broker has read the acknowledgement.
    watcher.ping();
    drop((watcher, running));
    let running = site.start(2);
    let mut watcher = open(&running, lasting(V5, "watcher"), true);
    watcher.expect_nothing();
}

#[test]
fn a_session_without_a_future_is_not_stored() {
    let site = Site::new();
    let running = site.start(1);
    let mut brief = Peer::open(running.address, V5);
    let mut hello = connect(V5, "brief");
    hello.clean_start = false;
    brief.send(&Packet::Connect(Box::new(hello)));
    assert!(!brief.connack().session_present);
    drop((running, brief));
    let running = site.start(1);
    open(&running, lasting(V5, "brief"), false);
}
