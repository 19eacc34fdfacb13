//! Sessions that outlive their connections (MQTT 5.0 §4.1, §4.4): what waits, what is sent again, when they end, and their Wills.

use super::peer::{Peer, Running, V5, V311, connect, identifier, publish};
use std::time::{Duration, Instant};
use symbolon_mqtt_proto::{
    Ack, Connect, Delivery, Disconnect, Packet, ProtocolVersion, Publish, PublishProperties, Qos,
    ReasonCode, TopicName, Will,
};

/// A CONNECT of a session that stays for an hour, and goes on if there is one.
pub(crate) fn lasting(version: ProtocolVersion, name: &str) -> Connect<'_> {
    let mut hello = connect(version, name);
    hello.clean_start = false;
    if version == V5 {
        hello.properties.session_expiry_interval_secs = Some(3_600);
    }
    hello
}

pub(crate) fn open(running: &Running, hello: Connect<'_>, session_present: bool) -> Peer {
    let mut peer = Peer::open(running.address, hello.version);
    peer.send(&Packet::Connect(Box::new(hello)));
    let connack = peer.connack();
    assert_eq!(connack.reason_code, ReasonCode::Success);
    assert_eq!(connack.session_present, session_present);
    peer
}

pub(crate) fn leave(mut peer: Peer, session_expiry_interval_secs: Option<u32>) {
    let mut disconnect = Disconnect::new(ReasonCode::Success, None);
    disconnect.session_expiry_interval_secs = session_expiry_interval_secs;
    peer.send(&Packet::Disconnect(disconnect));
    assert_eq!(peer.end(), None);
}

pub(crate) fn acknowledged(peer: &mut Peer, topic: &str, payload: &[u8], number: u16) {
    peer.publish(topic, payload, Delivery::AtLeastOnce(identifier(number)));
    peer.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_))), "{packet:?}"));
}

/// The next PUBLISH as it is: payload, delivery, DUP. Not acknowledged.
pub(crate) fn raw_message(peer: &mut Peer) -> (Vec<u8>, Delivery, bool) {
    peer.next(|packet| match packet {
        Some(Packet::Publish(publish)) => (
            publish.payload.to_vec(),
            publish.delivery,
            publish.duplicate,
        ),
        other => panic!("PUBLISH expected, {other:?} came"),
    })
}

// [MQTT-3.1.2-5], [MQTT-4.5.0-1], [MQTT-4.6.0-6].
#[test]
fn messages_wait_for_a_client_that_is_away_in_order() {
    for (shards, version) in [(1, V5), (3, V5), (3, V311)] {
        let running = Running::new(shards);
        let mut sleeper = open(&running, lasting(version, "sleeper"), false);
        sleeper.subscribe(&[("a", Qos::ExactlyOnce)]);
        leave(sleeper, None);
        let mut publisher = running.connect(V5, "publisher");
        for number in 1..=50_u16 {
            acknowledged(&mut publisher, "a", &number.to_be_bytes(), number);
        }
        publisher.publish("a", b"at most once", Delivery::AtMostOnce);
        // Acknowledged once every shard has it, and with it all that went before.
        let delivery = Delivery::AtLeastOnce(identifier(99));
        publisher.publish_with("barrier", b"x", delivery, true);
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
        let mut sleeper = open(&running, lasting(version, "sleeper"), true);
        for number in 1..=50_u16 {
            assert_eq!(sleeper.message().1, number.to_be_bytes());
        }
        sleeper.expect_nothing();
        acknowledged(&mut publisher, "a", b"live", 51);
        assert_eq!(sleeper.message().1, b"live");
    }
}

// [MQTT-4.4.0-1], [MQTT-3.3.1-1], [MQTT-4.3.3-7].
#[test]
fn what_was_not_acknowledged_is_sent_again_under_the_same_identifier() {
    let running = Running::new(2);
    let mut client = open(&running, lasting(V5, "client"), false);
    client.subscribe(&[("a", Qos::ExactlyOnce)]);
    let mut publisher = running.connect(V5, "publisher");
    acknowledged(&mut publisher, "a", b"one", 1);
    for (number, payload) in [(2, b"two"), (3, b"six")] {
        publisher.publish("a", payload, Delivery::ExactlyOnce(identifier(number)));
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
    }
    let first: Vec<_> = (0..3).map(|_| raw_message(&mut client)).collect();
    assert!(first.iter().all(|(_, _, duplicate)| !duplicate));
    let Delivery::ExactlyOnce(released) = first[1].1 else {
        panic!("the second is at QoS 2");
    };
    client.send(&Packet::PubRec(Ack::new(released, ReasonCode::Success)));
    client.next(|packet| assert!(matches!(packet, Some(Packet::PubRel(_)))));
    drop(client);
    let mut client = open(&running, lasting(V5, "client"), true);
    let again = raw_message(&mut client);
    assert_eq!(
        (&again.0, again.1, again.2),
        (&first[0].0, first[0].1, true)
    );
    client.next(|packet| {
        assert!(matches!(packet, Some(Packet::PubRel(ack)) if ack.packet_identifier == released));
    });
    let again = raw_message(&mut client);
    assert_eq!(
        (&again.0, again.1, again.2),
        (&first[2].0, first[2].1, true)
    );
}

// [MQTT-4.9.0-1]: what is sent again counts too.
#[test]
fn what_is_sent_again_keeps_to_the_new_receive_maximum() {
    let running = Running::new(1);
    let mut client = open(&running, lasting(V5, "client"), false);
    client.subscribe(&[("a", Qos::AtLeastOnce)]);
    let mut publisher = running.connect(V5, "publisher");
    for number in 1..=5 {
        acknowledged(&mut publisher, "a", &[number], number.into());
        raw_message(&mut client);
    }
    drop(client);
    let mut hello = lasting(V5, "client");
    hello.properties.receive_maximum = Some(identifier(2));
    let mut client = open(&running, hello, true);
    raw_message(&mut client);
    let (_, second, _) = raw_message(&mut client);
    client.expect_nothing();
    let Delivery::AtLeastOnce(second) = second else {
        panic!("the second is at QoS 1");
    };
    client.send(&Packet::PubAck(Ack::new(second, ReasonCode::Success)));
    assert_eq!(raw_message(&mut client).0, [3]);
    client.expect_nothing();
}

// [MQTT-4.3.3-10], [MQTT-4.1.0-1]: the receiver's state is the session's, not the connection's.
#[test]
fn a_message_at_qos_2_that_is_sent_again_after_a_reconnect_is_passed_on_once() {
    let running = Running::new(2);
    let mut watcher = running.connect(V5, "watcher");
    watcher.subscribe(&[("a", Qos::AtMostOnce)]);
    let mut publisher = open(&running, lasting(V5, "publisher"), false);
    publisher.publish("a", b"once", Delivery::ExactlyOnce(identifier(9)));
    publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
    assert_eq!(watcher.message().1, b"once");
    drop(publisher);
    let mut publisher = open(&running, lasting(V5, "publisher"), true);
    publisher.send(&Packet::Publish(Publish {
        duplicate: true,
        ..publish("a", b"once", Delivery::ExactlyOnce(identifier(9)), false)
    }));
    publisher.next(|packet| {
        assert!(matches!(packet, Some(Packet::PubRec(ack)) if !ack.reason_code.is_failure()));
    });
    watcher.expect_nothing();
}

// [MQTT-3.1.2-4], [MQTT-3.1.2-6].
#[test]
fn a_clean_start_forgets_the_session() {
    for version in [V5, V311] {
        let running = Running::new(2);
        let mut client = open(&running, lasting(version, "client"), false);
        client.subscribe(&[("a", Qos::AtLeastOnce)]);
        leave(client, None);
        let mut clean = lasting(version, "client");
        clean.clean_start = true;
        let mut client = open(&running, clean, false);
        let mut publisher = running.connect(V5, "publisher");
        acknowledged(&mut publisher, "a", b"?", 1);
        client.expect_nothing();
    }
}

// [MQTT-3.1.2-23], §3.14.2.2.2.
#[test]
fn a_session_ends_when_its_interval_is_over() {
    let running = Running::new(2);
    let mut hello = lasting(V5, "client");
    hello.properties.session_expiry_interval_secs = Some(1);
    let client = open(&running, hello, false);
    leave(client, None);
    let client = open(&running, lasting(V5, "client"), true);
    // DISCONNECT may shorten it ...
    leave(client, Some(1));
    let left = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(1_200));
        let mut hello = lasting(V5, "client");
        hello.properties.session_expiry_interval_secs = Some(0);
        let mut peer = Peer::open(running.address, V5);
        peer.send(&Packet::Connect(Box::new(hello)));
        if !peer.connack().session_present {
            // ... but not give life to one that has none [MQTT-3.14.2-2].
            let mut disconnect = Disconnect::new(ReasonCode::Success, None);
            disconnect.session_expiry_interval_secs = Some(10);
            peer.send(&Packet::Disconnect(disconnect));
            assert_eq!(peer.end(), Some(ReasonCode::ProtocolError));
            break;
        }
        leave(peer, Some(1));
        assert!(left.elapsed() < Duration::from_secs(20), "it never ended");
    }
}

fn with_delayed_will(name: &str, delay_secs: u32, expiry_secs: u32) -> Connect<'_> {
    let mut hello = lasting(V5, name);
    hello.properties.session_expiry_interval_secs = Some(expiry_secs);
    hello.will = Some(Will {
        topic: TopicName::parse("will").unwrap(),
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: false,
        delay_interval_secs: delay_secs,
        properties: PublishProperties::default(),
    });
    hello
}

// [MQTT-3.1.3-9], [MQTT-3.1.2-8].
#[test]
fn a_delayed_will_waits_for_its_time_or_the_sessions_end_and_not_if_the_client_is_back() {
    let running = Running::new(2);
    let mut watcher = running.connect(V5, "watcher");
    watcher.subscribe(&[("will", Qos::AtMostOnce)]);
    // Back in time.
    drop(open(
        &running,
        with_delayed_will("back", 3_000, 3_600),
        false,
    ));
    let back = open(&running, lasting(V5, "back"), true);
    watcher.expect_nothing();
    leave(back, None);
    // Taken over: the session goes on.
    let first = open(&running, with_delayed_will("same", 3_000, 3_600), false);
    let _second = open(&running, lasting(V5, "same"), true);
    drop(first);
    watcher.expect_nothing();
    // The delay is over.
    let lost = Instant::now();
    drop(open(&running, with_delayed_will("late", 1, 3_600), false));
    assert_eq!(watcher.message().1, b"gone");
    assert!(lost.elapsed() >= Duration::from_secs(1));
    // The session ends before.
    drop(open(&running, with_delayed_will("ended", 3_000, 1), false));
    assert_eq!(watcher.message().1, b"gone");
    // A clean start ends it too.
    drop(open(
        &running,
        with_delayed_will("anew", 3_000, 3_600),
        false,
    ));
    watcher.expect_nothing();
    let mut clean = lasting(V5, "anew");
    clean.clean_start = true;
    open(&running, clean, false);
    assert_eq!(watcher.message().1, b"gone");
}

// [MQTT-3.1.4-3]: the session that is taken over goes on, with what was not acknowledged.
#[test]
fn a_session_that_is_taken_over_goes_on() {
    let running = Running::new(2);
    let mut publisher = running.connect(V5, "publisher");
    let mut first = open(&running, lasting(V5, "same"), false);
    first.subscribe(&[("a", Qos::AtLeastOnce)]);
    acknowledged(&mut publisher, "a", b"one", 1);
    assert_eq!(raw_message(&mut first).0, b"one");
    let mut second = open(&running, lasting(V311, "same"), true);
    assert_eq!(first.end(), Some(ReasonCode::SessionTakenOver));
    assert_eq!(second.message().1, b"one");
    acknowledged(&mut publisher, "a", b"two", 2);
    assert_eq!(second.message().1, b"two");
}
