//! What outlives the process: the broker is stopped and started again on the same store.

use super::{
    management::{self, await_metric},
    peer::{Peer, Running, V5, V311, connect, identifier, publish},
    resumption::{acknowledged, lasting, leave, open, raw_message},
};
use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::UnixTime;
use symbolon_broker::{
    Limits, ManagementConfig, StoreConfig,
    store::{Census, Inspection},
};
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

    fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// What is in the store, while no broker of this process uses it.
    fn census(&self) -> Census {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let inspection = Inspection::open(&self.path(), UnixTime(since.as_secs()));
        inspection.unwrap().census()
    }

    /// With another number of shards each time: clients change their homes.
    fn start(&self, shards: usize) -> Running {
        let store = StoreConfig::at(self.path());
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
        assert!(matches!(packet, Some(Packet::PubRel(ack)) if ack.packet_identifier == number));
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
        );
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

// MQTT 5.0 §3.3.2.3.3: a store into which devices write ever new topics must not grow until the next start.
#[test]
fn an_expired_retained_message_leaves_the_store_while_the_broker_runs() {
    let site = Site::new();
    let store = StoreConfig::at(site.path());
    let mut config = Running::config(3, Limits::default(), Some(store));
    config.management = Some(ManagementConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        insecure: false,
    });
    let (running, management) = management::start(&config);
    let mut publisher = running.connect(V5, "publisher");
    for number in 1..=30 {
        let topic = format!("short/{number}");
        let delivery = Delivery::AtLeastOnce(identifier(number));
        let mut brief = publish(&topic, b"x", delivery, true);
        brief.properties.message_expiry_interval_secs = Some(1);
        publisher.send(&Packet::Publish(brief));
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
    }
    for topic in ["lasting", "short/1"] {
        publisher.publish_with(topic, b"y", Delivery::AtLeastOnce(identifier(99)), true);
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
    }
    // What is published as a metric now is younger than the messages.
    std::thread::sleep(Duration::from_secs(2));
    // Every shard has forgotten them.
    await_metric(management, "retained_messages 2");
    let mut watcher = running.connect(V5, "watcher");
    watcher.subscribe(&[("#", Qos::AtLeastOnce)]);
    let mut topics = [watcher.message().0, watcher.message().0];
    topics.sort();
    assert_eq!(topics, ["lasting", "short/1"]);
    watcher.expect_nothing();
    drop((publisher, watcher, running));
    // And so has the store, before the next start.
    let census = site.census();
    assert_eq!((census.retained, census.expired), (2, 0));
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

// MQTT 5.0 §4.8.2: a message of a group is one member's, also where the broker ends in between.
#[test]
fn messages_of_a_group_outlive_the_process_and_reach_one_member_each() {
    let site = Site::new();
    let running = site.start(3);
    let names = ["one", "two", "three", "four"];
    for name in names {
        let mut member = open(&running, lasting(V5, name), false);
        member.subscribe(&[("$share/g/a", Qos::ExactlyOnce)]);
        leave(member, None);
    }
    let mut publisher = open(&running, lasting(V5, "publisher"), false);
    for number in 0..20_u16 {
        acknowledged(&mut publisher, "a", &number.to_be_bytes(), number + 1);
    }
    for number in 20..40_u16 {
        let packet_identifier = identifier(number);
        let delivery = Delivery::ExactlyOnce(packet_identifier);
        publisher.publish("a", &number.to_be_bytes(), delivery);
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
        let release = Ack::new(packet_identifier, ReasonCode::Success);
        publisher.send(&Packet::PubRel(release));
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubComp(_)))));
    }
    drop((publisher, running));
    let running = site.start(2);
    let mut got = Vec::new();
    for name in names {
        let mut member = open(&running, lasting(V5, name), true);
        let begin = got.len();
        take_all(&mut member, &mut got);
        assert!(got.len() > begin, "{name} had its turns");
        leave(member, None);
    }
    got.sort();
    let all: Vec<_> = (0..40).map(u16::to_be_bytes).collect();
    assert_eq!(got, all);
}

/// Takes messages, of any QoS, and acknowledges them until no more come.
fn take_all(peer: &mut Peer, got: &mut Vec<Vec<u8>>) {
    let ack_of = |identifier| Ack::new(identifier, ReasonCode::Success);
    loop {
        let reply = peer.try_next(Duration::from_millis(500), |packet| match packet {
            Some(Packet::Publish(publish)) => {
                got.push(publish.payload.to_vec());
                match publish.delivery {
                    Delivery::AtMostOnce => None,
                    Delivery::AtLeastOnce(identifier) => Some(Packet::PubAck(ack_of(identifier))),
                    Delivery::ExactlyOnce(identifier) => Some(Packet::PubRec(ack_of(identifier))),
                }
            }
            Some(Packet::PubRel(ack)) => Some(Packet::PubComp(ack_of(ack.packet_identifier))),
            other => panic!("{other:?} came"),
        });
        match reply {
            None => return,
            Some(answer) => answer.iter().for_each(|packet| peer.send(packet)),
        }
    }
}
