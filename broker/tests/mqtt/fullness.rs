//! A store that is full: what is refused, what goes on, and how it comes to have room again.

use super::{
    peer::{Peer, Running, SOON, V5, V311, connect, identifier},
    resumption::{lasting, leave, open},
};
use std::time::Instant;
use symbolon_broker::{Limits, StoreConfig};
use symbolon_mqtt_proto::{Ack, Delivery, Packet, ProtocolVersion, Qos, ReasonCode};

/// What the store holds, bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Of each message.
const PAYLOAD_BYTES: usize = 64 * 1024;
/// So many messages fit in any case, and never twice as many.
const FIT: u16 = 40;

struct Site {
    directory: tempfile::TempDir,
}

/// A broker whose store is full of messages for "sleeper", which is away.
struct Full {
    running: Running,
    /// How many of them were acknowledged.
    accepted: u16,
}

impl Site {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn start(&self, shards: usize) -> Running {
        let mut store = StoreConfig::at(self.directory.path().join("store"));
        store.max_bytes = MAX_BYTES;
        Running::on(shards, Limits::default(), Some(store))
    }

    fn fill(&self, shards: usize) -> Full {
        let running = self.start(shards);
        let mut sleeper = open(&running, lasting(V5, "sleeper"), false);
        sleeper.subscribe(&[("a/#", Qos::ExactlyOnce)]);
        leave(sleeper, None);
        let accepted = fill(&running);
        assert!(accepted >= FIT, "{accepted}");
        Full { running, accepted }
    }
}

/// Publishes for the sleeper until that is refused; how many were not.
fn fill(running: &Running) -> u16 {
    let mut publisher = running.connect(V5, "filler");
    let mut accepted = 0;
    while at_least_once(&mut publisher, "a/b", accepted + 1, false) == ReasonCode::Success {
        accepted += 1;
        assert!(accepted < 2 * FIT, "the store never becomes full");
    }
    accepted
}

fn payload(number: u16) -> Vec<u8> {
    let mut payload = vec![0; PAYLOAD_BYTES];
    payload[..2].copy_from_slice(&number.to_be_bytes());
    payload
}

/// Publishes at QoS 1; what PUBACK says.
fn at_least_once(peer: &mut Peer, topic: &str, number: u16, retain: bool) -> ReasonCode {
    let delivery = Delivery::AtLeastOnce(identifier(1));
    peer.publish_with(topic, &payload(number), delivery, retain);
    peer.next(|packet| match packet {
        Some(Packet::PubAck(ack)) => ack.reason_code,
        other => panic!("PUBACK expected, {other:?} came"),
    })
}

/// Publishes at QoS 2 and, where it is taken, releases it; what PUBREC says.
fn exactly_once(peer: &mut Peer, topic: &str, number: u16) -> ReasonCode {
    let delivery = Delivery::ExactlyOnce(identifier(2));
    peer.publish(topic, &payload(number), delivery);
    let reason_code = peer.next(|packet| match packet {
        Some(Packet::PubRec(ack)) => ack.reason_code,
        other => panic!("PUBREC expected, {other:?} came"),
    });
    if !reason_code.is_failure() {
        let pubrel = Packet::PubRel(Ack::new(identifier(2), ReasonCode::Success));
        peer.send(&pubrel);
        peer.next(|packet| assert!(matches!(packet, Some(Packet::PubComp(_)))));
    }
    reason_code
}

fn hello(running: &Running, version: ProtocolVersion, name: &str) -> ReasonCode {
    let mut peer = Peer::open(running.address, version);
    peer.send(&Packet::Connect(Box::new(lasting(version, name))));
    peer.connack().reason_code
}

/// The sleeper gets exactly what was acknowledged, in order.
fn take_all(running: &Running, accepted: u16) -> Peer {
    let mut sleeper = open(running, lasting(V5, "sleeper"), true);
    for number in 1..=accepted {
        assert!(sleeper.message().1 == payload(number), "{number}");
    }
    sleeper
}

/// The store takes messages again, soon after there is room.
fn await_room(publisher: &mut Peer, number: u16) {
    let deadline = Instant::now() + SOON;
    while at_least_once(publisher, "a/b", number, false) != ReasonCode::Success {
        assert!(Instant::now() < deadline, "no room");
    }
}

#[test]
fn what_would_be_stored_is_refused_until_there_is_room_and_the_rest_flows() {
    for shards in [1, 3] {
        let site = Site::new();
        let Full { running, accepted } = site.fill(shards);
        let mut reader = running.connect(V5, "reader");
        assert_eq!(
            reader.subscribe(&[("live", Qos::ExactlyOnce)]),
            [ReasonCode::GrantedQos2]
        );
        let mut publisher = running.connect(V5, "publisher");
        let full = ReasonCode::QuotaExceeded;
        for round in 0..3 {
            assert_eq!(at_least_once(&mut publisher, "a/b", 0, false), full);
            assert_eq!(exactly_once(&mut publisher, "a/b", 0), full);
            assert_eq!(at_least_once(&mut publisher, "kept", 0, true), full);
            // At most once is not stored, for the reader; nor is it for the sleeper, who is away.
            for topic in ["live", "a/b"] {
                publisher.publish(topic, &[round], Delivery::AtMostOnce);
            }
            assert_eq!(reader.message().1, [round]);
        }
        assert_eq!(hello(&running, V5, "newcomer"), full);
        drop(running.connect(V5, "newcomer"));
        // At QoS 0 there is no other way to say it.
        let mut hasty = running.connect(V5, "hasty");
        hasty.publish_with("kept", b"x", Delivery::AtMostOnce, true);
        assert_eq!(hasty.end(), Some(full));
        let mut sleeper = open(&running, lasting(V5, "sleeper"), true);
        sleeper.send(&Packet::PingReq);
        drop(sleeper);
        let mut sleeper = take_all(&running, accepted);
        await_room(&mut publisher, 1_000);
        assert!(sleeper.message().1 == payload(1_000));
        assert_eq!(
            exactly_once(&mut publisher, "a/c", 1_001),
            ReasonCode::Success
        );
        assert!(sleeper.message().1 == payload(1_001));
        assert_eq!(hello(&running, V5, "newcomer"), ReasonCode::Success);
        assert_eq!(
            sleeper.subscribe(&[("b", Qos::AtLeastOnce)]),
            [ReasonCode::GrantedQos1]
        );
        sleeper.expect_nothing();
    }
}

#[test]
fn a_stored_session_gets_no_new_subscription_and_keeps_those_it_has() {
    let site = Site::new();
    let Full { running, .. } = site.fill(2);
    let mut sleeper = Peer::open(running.address, V5);
    let mut returning = lasting(V5, "sleeper");
    returning.properties.receive_maximum = identifier(1).into();
    sleeper.send(&Packet::Connect(Box::new(returning)));
    assert!(sleeper.connack().session_present);
    // It takes one message and does not acknowledge it, so the store stays full.
    sleeper.next(|packet| assert!(matches!(packet, Some(Packet::Publish(_))), "{packet:?}"));
    assert_eq!(
        sleeper.subscribe(&[("b", Qos::AtLeastOnce), ("c", Qos::AtMostOnce)]),
        [ReasonCode::QuotaExceeded; 2]
    );
    let mut publisher = running.connect(V5, "publisher");
    publisher.publish("b", b"x", Delivery::AtMostOnce);
    publisher.publish("a/b", b"y", Delivery::AtMostOnce);
    // QoS 0 by the subscription that it has, nothing by those that it did not get.
    assert_eq!(sleeper.message().1, b"y");
    sleeper.ping();
}

// In 3.1.1 a PUBLISH is not refused: the connection ends, and the message was not taken [MQTT-3.3.5-2].
#[test]
fn a_client_of_3_1_1_is_told_by_the_end_of_its_connection() {
    let site = Site::new();
    let Full { running, accepted } = site.fill(2);
    let refused = [
        (Delivery::AtLeastOnce(identifier(1)), false),
        (Delivery::ExactlyOnce(identifier(1)), false),
        (Delivery::AtMostOnce, true),
    ];
    for (delivery, retain) in refused {
        let mut publisher = running.connect(V311, "old");
        publisher.publish_with("a/b", &payload(0), delivery, retain);
        publisher.next(|packet| assert_eq!(packet, None));
    }
    let refusal = hello(&running, V311, "newcomer");
    assert!(refusal.is_failure(), "{refusal:?}");
    let mut reader = running.connect(V311, "reader");
    reader.subscribe(&[("live", Qos::AtMostOnce)]);
    let mut publisher = running.connect(V311, "old");
    publisher.publish("live", b"x", Delivery::AtMostOnce);
    assert_eq!(reader.message().1, b"x");
    drop(take_all(&running, accepted));
    let deadline = Instant::now() + SOON;
    while hello(&running, V311, "newcomer") != ReasonCode::Success {
        assert!(Instant::now() < deadline, "no room");
    }
    let mut publisher = running.connect(V311, "old");
    assert_eq!(
        at_least_once(&mut publisher, "a/b", 7, false),
        ReasonCode::Success
    );
}

#[test]
fn a_store_that_is_full_is_so_after_a_restart_and_has_lost_nothing() {
    let site = Site::new();
    let Full { running, accepted } = site.fill(2);
    drop(running);
    let running = site.start(3);
    let mut publisher = running.connect(V5, "publisher");
    let full = ReasonCode::QuotaExceeded;
    assert_eq!(at_least_once(&mut publisher, "a/b", 0, false), full);
    let mut sleeper = take_all(&running, accepted);
    await_room(&mut publisher, 500);
    assert!(sleeper.message().1 == payload(500));
}

// A session that ends makes room as well as one that takes its messages.
#[test]
fn a_clean_start_makes_room_in_a_store_that_is_full() {
    let site = Site::new();
    let Full { running, .. } = site.fill(2);
    let mut publisher = running.connect(V5, "publisher");
    let full = ReasonCode::QuotaExceeded;
    assert_eq!(at_least_once(&mut publisher, "a/b", 0, false), full);
    let mut sleeper = Peer::open(running.address, V5);
    sleeper.send(&Packet::Connect(Box::new(connect(V5, "sleeper"))));
    assert!(!sleeper.connack().session_present);
    let deadline = Instant::now() + SOON;
    while at_least_once(&mut publisher, "kept", 1, true).is_failure() {
        assert!(Instant::now() < deadline, "no room");
    }
}
