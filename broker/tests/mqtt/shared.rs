//! Shared Subscriptions (MQTT 5.0 §4.8.2) over real sockets, members and publishers on one shard and on several.

use super::peer::{Peer, Running, SOON, V5, V311, connect, identifier, subscription};
use std::{
    num::NonZeroU16,
    time::{Duration, Instant},
};
use symbolon_mqtt_proto::{
    Ack, Delivery, Disconnect, Packet, Qos, ReasonCode, TopicFilter, Unsubscribe, UserProperties,
};

const ONE: Qos = Qos::AtLeastOnce;
const TWO: Qos = Qos::ExactlyOnce;
/// How long a member is listened to before it is another's turn.
const QUIET: Duration = Duration::from_millis(30);
/// How long nothing more may come before all is said to be there.
const SETTLED: Duration = Duration::from_millis(200);

/// A PUBLISH as a member got it.
#[derive(Debug)]
struct Got {
    payload: Vec<u8>,
    delivery: Delivery,
    duplicate: bool,
    identifiers: Vec<u32>,
}

fn member(running: &Running, name: &str, receive_maximum: u16, expiry_secs: u32) -> Peer {
    rejoin(running, name, receive_maximum, expiry_secs, true)
}

fn rejoin(
    running: &Running,
    name: &str,
    receive_maximum: u16,
    expiry_secs: u32,
    clean_start: bool,
) -> Peer {
    let mut peer = Peer::open(running.address, V5);
    let mut hello = connect(V5, name);
    hello.clean_start = clean_start;
    hello.properties.receive_maximum = NonZeroU16::new(receive_maximum);
    hello.properties.session_expiry_interval_secs = Some(expiry_secs);
    peer.send(&Packet::Connect(Box::new(hello)));
    assert_eq!(peer.connack().session_present, !clean_start);
    peer
}

/// The next PUBLISH, not acknowledged.
fn take(peer: &mut Peer, limit: Duration) -> Option<Got> {
    peer.try_next(limit, |packet| match packet {
        Some(Packet::Publish(publish)) => Got {
            payload: publish.payload.to_vec(),
            delivery: publish.delivery,
            duplicate: publish.duplicate,
            identifiers: publish.properties.subscription_identifiers.iter().collect(),
        },
        other => panic!("PUBLISH expected, {other:?} came"),
    })
}

fn acknowledge(peer: &mut Peer, got: &Got) {
    match got.delivery {
        Delivery::AtMostOnce => {}
        Delivery::AtLeastOnce(identifier) => {
            peer.send(&Packet::PubAck(Ack::new(identifier, ReasonCode::Success)));
        }
        Delivery::ExactlyOnce(_) => panic!("not at QoS 2"),
    }
}

/// Publishes at QoS 1 and waits for each PUBACK.
fn publish(peer: &mut Peer, payloads: impl IntoIterator<Item = u32>) {
    for payload in payloads {
        let text = payload.to_string();
        peer.publish("t/x", text.as_bytes(), Delivery::AtLeastOnce(identifier(1)));
        peer.next(|packet| match packet {
            Some(Packet::PubAck(ack)) => assert_eq!(ack.reason_code, ReasonCode::Success),
            other => panic!("PUBACK expected, {other:?} came"),
        });
    }
}

/// What the members get until `total` came, acknowledged, by member.
fn drain(members: &mut [Peer], total: usize) -> Vec<Vec<u32>> {
    let mut got = vec![Vec::new(); members.len()];
    let deadline = Instant::now() + SOON;
    while got.iter().map(Vec::len).sum::<usize>() < total {
        assert!(Instant::now() < deadline, "some are missing: {got:?}");
        for (member, got) in members.iter_mut().zip(&mut got) {
            while let Some(one) = take(member, QUIET) {
                acknowledge(member, &one);
                got.push(number(&one));
            }
        }
    }
    for member in members {
        assert!(take(member, QUIET).is_none());
    }
    got
}

fn number(got: &Got) -> u32 {
    str::from_utf8(&got.payload).unwrap().parse().unwrap()
}

fn shared_by(peer: &mut Peer) {
    let granted = peer.subscribe(&[("$share/g/t/+", TWO)]);
    assert_eq!(granted, [ReasonCode::GrantedQos2]);
}

fn leave(peer: &mut Peer) {
    let (share_name, filter) = TopicFilter::parse_shared("$share/g/t/+").unwrap();
    peer.send(&Packet::Unsubscribe(Unsubscribe {
        packet_identifier: identifier(9),
        user_properties: UserProperties::default(),
        filters: vec![(share_name, filter)],
    }));
    peer.next(|packet| {
        let unsuback = match packet {
            Some(Packet::UnsubAck(unsuback)) => unsuback,
            other => panic!("UNSUBACK expected, {other:?} came"),
        };
        assert_eq!(unsuback.reason_codes, [ReasonCode::Success]);
    });
}

#[test]
fn publishers_on_all_shards_reach_all_members_equally_often_and_each_message_one_of_them() {
    for shards in 1..=3 {
        let running = Running::new(shards);
        let version = |number: usize| if number.is_multiple_of(2) { V5 } else { V311 };
        let mut members: Vec<Peer> = (0..12)
            .map(|number| running.connect(version(number), &format!("m{number}")))
            .collect();
        for member in &mut members {
            shared_by(member);
        }
        let mut publishers: Vec<Peer> = (0..6)
            .map(|number| running.connect(version(number), &format!("p{number}")))
            .collect();
        for (publisher, first) in publishers.iter_mut().zip([0, 200, 400, 600, 800, 1_000]) {
            publish(publisher, first..first + 200);
        }
        let got = drain(&mut members, 1_200);
        let counts: Vec<_> = got.iter().map(Vec::len).collect();
        assert!(
            counts.iter().all(|count| (96..=104).contains(count)),
            "with {shards} shards: {counts:?}"
        );
        let mut all: Vec<_> = got.concat();
        all.sort_unstable();
        assert_eq!(all, (0..1_200).collect::<Vec<_>>());
    }
}

#[test]
fn at_qos_0_each_message_reaches_one_member() {
    let running = Running::new(3);
    let mut members = [0, 1, 2, 3].map(|number| running.connect(V5, &format!("m{number}")));
    for member in &mut members {
        shared_by(member);
    }
    let mut publisher = running.connect(V311, "p");
    for payload in 0..80 {
        let text = payload.to_string();
        publisher.publish("t/x", text.as_bytes(), Delivery::AtMostOnce);
    }
    let got = drain(&mut members, 80);
    assert!(got.iter().all(|got| got.len() == 20), "{got:?}");
}

#[test]
fn a_member_that_takes_no_more_is_passed_over() {
    for shards in 1..=3 {
        let running = Running::new(shards);
        for others in 0..6 {
            let mut full = member(&running, "full", 2, 0);
            shared_by(&mut full);
            let mut free = member(&running, &format!("free{others}"), 1_000, 0);
            shared_by(&mut free);
            let mut publisher = running.connect(V5, "p");
            publish(&mut publisher, 0..50);
            let got = drain(std::slice::from_mut(&mut free), 48);
            assert_eq!(got[0].len(), 48);
            for _ in 0..2 {
                assert!(take(&mut full, SOON).is_some());
            }
            assert!(take(&mut full, QUIET).is_none());
            leave(&mut full);
            leave(&mut free);
        }
    }
}

#[test]
fn when_all_are_full_messages_wait_and_none_is_lost() {
    let running = Running::new(3);
    let mut members = [0, 1, 2].map(|number| member(&running, &format!("m{number}"), 1, 0));
    for member in &mut members {
        shared_by(member);
    }
    let mut publisher = running.connect(V5, "p");
    publish(&mut publisher, 0..60);
    let mut all = drain(&mut members, 60).concat();
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>());
}

#[test]
fn members_that_are_away_get_messages_only_while_nobody_is_there() {
    for shards in 1..=3 {
        let running = Running::new(shards);
        let mut here = member(&running, "here", 100, 0);
        shared_by(&mut here);
        for name in ["away1", "away2"] {
            let mut away = member(&running, name, 100, 1_000);
            shared_by(&mut away);
            away.send(&Packet::Disconnect(Disconnect::new(
                ReasonCode::Success,
                None,
            )));
            assert_eq!(away.end(), None);
        }
        let mut publisher = running.connect(V5, "p");
        wait_for_shards(&mut publisher);
        publish(&mut publisher, 0..20);
        assert_eq!(drain(std::slice::from_mut(&mut here), 20)[0].len(), 20);
        here.send(&Packet::Disconnect(Disconnect::new(
            ReasonCode::Success,
            None,
        )));
        assert_eq!(here.end(), None);
        wait_for_shards(&mut publisher);
        publish(&mut publisher, 20..40);
        wait_for_shards(&mut publisher);
        let mut back = ["away1", "away2"].map(|name| rejoin(&running, name, 100, 0, false));
        let got = drain(&mut back, 20);
        assert_eq!([got[0].len(), got[1].len()], [10, 10]);
    }
}

/// A client's going is heard on other shards a moment later: long enough after this round trip.
fn wait_for_shards(peer: &mut Peer) {
    std::thread::sleep(SETTLED);
    peer.ping();
}

// [MQTT-4.8.2-5]; at QoS 1 it is a SHOULD of MQTT 5.0 §4.8.2.
#[test]
fn when_a_session_ends_its_unacknowledged_qos_1_goes_to_another_member_and_qos_2_does_not() {
    for shards in 1..=3 {
        let running = Running::new(shards);
        for name in ["a", "b", "c", "d"] {
            let mut lost = member(&running, name, 100, 0);
            shared_by(&mut lost);
            let mut publisher = running.connect(V5, "p");
            publish(&mut publisher, [1]);
            publisher.publish("t/x", b"2", Delivery::ExactlyOnce(identifier(2)));
            publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
            assert_eq!(take(&mut lost, SOON).unwrap().delivery.qos(), ONE);
            assert_eq!(take(&mut lost, SOON).unwrap().delivery.qos(), TWO);
            let mut heir = member(&running, "heir", 100, 0);
            shared_by(&mut heir);
            drop(lost);
            let got = take(&mut heir, SOON).unwrap();
            assert_eq!((number(&got), got.duplicate), (1, false));
            acknowledge(&mut heir, &got);
            assert!(take(&mut heir, SETTLED).is_none());
            leave(&mut heir);
        }
    }
}

// [MQTT-4.8.2-4] for what is in flight.
#[test]
fn what_was_not_sent_to_a_member_that_goes_away_is_sent_to_others_at_once() {
    for shards in 1..=3 {
        let running = Running::new(shards);
        for name in ["a", "b", "c", "d"] {
            let mut lost = member(&running, name, 1, 1_000);
            shared_by(&mut lost);
            let mut publisher = running.connect(V5, "p");
            publisher.publish("t/x", b"0", Delivery::ExactlyOnce(identifier(2)));
            publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
            publish(&mut publisher, 1..4);
            assert_eq!(number(&take(&mut lost, SOON).unwrap()), 0);
            let mut heir = member(&running, "heir", 100, 0);
            shared_by(&mut heir);
            drop(lost);
            let got = drain(std::slice::from_mut(&mut heir), 3);
            assert_eq!(got[0], [1, 2, 3]);
            let mut back = rejoin(&running, name, 1, 0, false);
            let again = take(&mut back, SOON).unwrap();
            assert_eq!((number(&again), again.duplicate), (0, true));
            drop(back);
            leave(&mut heir);
            wait_for_shards(&mut heir);
        }
    }
}

#[test]
fn what_was_not_sent_to_a_member_that_unsubscribes_goes_to_others() {
    for shards in 1..=3 {
        let running = Running::new(shards);
        let mut leaver = member(&running, "leaver", 1, 0);
        shared_by(&mut leaver);
        let mut publisher = running.connect(V5, "p");
        publish(&mut publisher, 0..4);
        let first = take(&mut leaver, SOON).unwrap();
        let mut stayer = member(&running, "stayer", 100, 0);
        shared_by(&mut stayer);
        leave(&mut leaver);
        let got = drain(std::slice::from_mut(&mut stayer), 3);
        assert_eq!(got[0], [1, 2, 3]);
        acknowledge(&mut leaver, &first);
        leaver.expect_nothing();
        publish(&mut publisher, 4..6);
        assert_eq!(drain(std::slice::from_mut(&mut stayer), 2)[0], [4, 5]);
    }
}

// [MQTT-4.8.2-6].
#[test]
fn a_message_that_a_member_refuses_goes_to_nobody_else() {
    let running = Running::new(2);
    let mut refusing = member(&running, "refusing", 100, 0);
    shared_by(&mut refusing);
    let mut publisher = running.connect(V5, "p");
    publish(&mut publisher, [1]);
    let got = take(&mut refusing, SOON).unwrap();
    let Delivery::AtLeastOnce(identifier) = got.delivery else {
        panic!("{got:?}");
    };
    refusing.send(&Packet::PubAck(Ack::new(
        identifier,
        ReasonCode::UnspecifiedError,
    )));
    let mut other = member(&running, "other", 100, 0);
    shared_by(&mut other);
    refusing.ping();
    drop(refusing);
    assert!(take(&mut other, SETTLED).is_none());
}

#[test]
fn groups_and_ordinary_subscriptions_are_independent_and_options_are_each_members_own() {
    let running = Running::new(3);
    let mut publisher = running.connect(V5, "p");
    publisher.publish_with("t/x", b"7", Delivery::AtLeastOnce(identifier(1)), true);
    publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
    let mut both = running.connect(V5, "both");
    let one = |filter| vec![subscription(filter, Qos::AtMostOnce)];
    both.subscribe_with(one("$share/g/t/+"), Some(5));
    both.subscribe_with(one("$share/h/t/+"), Some(6));
    // Retained messages are for ordinary subscriptions only.
    assert!(take(&mut both, SETTLED).is_none());
    both.subscribe_with(one("t/x"), Some(7));
    assert_eq!(take(&mut both, SOON).unwrap().identifiers, [7]);
    let mut old = running.connect(V311, "old");
    let granted = old.subscribe(&[("$share/i/t/x", ONE)]);
    assert_eq!(granted, [ReasonCode::GrantedQos1]);
    publish(&mut publisher, [8]);
    let mut identifiers: Vec<_> = (0..3)
        .map(|_| {
            let got = take(&mut both, SOON).unwrap();
            assert_eq!(got.delivery, Delivery::AtMostOnce);
            got.identifiers
        })
        .collect();
    identifiers.sort();
    assert_eq!(identifiers, [[5], [6], [7]]);
    assert_eq!(take(&mut old, SOON).unwrap().delivery.qos(), ONE);
    both.expect_nothing();
}

// [MQTT-3.8.3-4].
#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let running = Running::new(1);
    let mut peer = running.connect(V5, "c");
    let filter = b"$share/g/t";
    let mut bytes = vec![0x82, 16, 0, 1, 0, 0, 10];
    bytes.extend(filter);
    // QoS 0, No Local.
    bytes.push(0b0000_0100);
    peer.send_bytes(&bytes);
    assert_eq!(peer.end(), Some(ReasonCode::ProtocolError));
}

#[test]
fn groups_of_one_name_and_different_filters_are_different_groups() {
    let running = Running::new(2);
    let mut one = running.connect(V5, "one");
    let mut other = running.connect(V5, "other");
    one.subscribe(&[("$share/g/t/x", ONE)]);
    other.subscribe(&[("$share/g/t/#", ONE)]);
    let mut publisher = running.connect(V5, "p");
    publish(&mut publisher, 0..3);
    assert_eq!(drain(std::slice::from_mut(&mut one), 3)[0], [0, 1, 2]);
    assert_eq!(drain(std::slice::from_mut(&mut other), 3)[0], [0, 1, 2]);
}
