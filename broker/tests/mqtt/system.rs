//! `$SYS`: what the broker says of itself.

use super::{
    peer::{Peer, Running, SOON, V5, V311, connect, identifier, subscription},
    resumption::{lasting, leave, open},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use symbolon_broker::{Config, Limits, StoreConfig, store::Inspection};
use symbolon_mqtt_proto::{
    ConnAck, Delivery, Packet, ProtocolVersion, PublishProperties, Qos, ReasonCode, Subscribe,
    Subscription, TopicFilter, TopicName, UserProperties, Will,
};

/// Names that every broker has from its start.
const NAMES: [&str; 19] = [
    "version",
    "uptime",
    "clients/total",
    "clients/connected",
    "clients/disconnected",
    "clients/maximum",
    "clients/expired",
    "messages/received",
    "messages/sent",
    "publish/messages/received",
    "publish/messages/sent",
    "publish/messages/dropped",
    "publish/bytes/received",
    "publish/bytes/sent",
    "bytes/received",
    "bytes/sent",
    "subscriptions/count",
    "shared_subscriptions/count",
    "retained messages/count",
];

/// Each second, and for anybody.
fn config(shards: usize, store: Option<StoreConfig>) -> Config {
    let mut config = Running::config(shards, Limits::default(), store);
    config
        .public_topics
        .push(TopicFilter::parse("$SYS/#").unwrap());
    config.sys_interval_secs = 1;
    config
}

/// Takes values until `wanted` holds of what there is by then.
fn await_values(
    peer: &mut Peer,
    values: &mut BTreeMap<String, String>,
    wanted: impl Fn(&BTreeMap<String, String>) -> bool,
) {
    let deadline = Instant::now() + SOON;
    while !wanted(values) {
        assert!(Instant::now() < deadline, "{values:?}");
        let (topic, payload, qos, _) = peer.message();
        assert_eq!(qos, Qos::AtMostOnce);
        values.insert(topic, String::from_utf8(payload).unwrap());
    }
}

/// A client with these subscriptions, whose SUBACK came first: a value may change, and come, before it.
fn subscribed(running: &Running, name: &str, subscriptions: &[Subscription]) -> Peer {
    subscribed_as(running, V5, name, subscriptions)
}

fn subscribed_as(
    running: &Running,
    version: ProtocolVersion,
    name: &str,
    subscriptions: &[Subscription],
) -> Peer {
    for _ in 0..10 {
        let mut peer = running.connect(version, name);
        peer.send(&Packet::Subscribe(Subscribe {
            packet_identifier: identifier(1),
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: subscriptions.to_vec(),
        }));
        if peer.next(|packet| matches!(packet, Some(Packet::SubAck(_)))) {
            return peer;
        }
    }
    panic!("a value came before SUBACK each time");
}

fn at<'v>(values: &'v BTreeMap<String, String>, name: &str) -> Option<&'v str> {
    let value = values.get(&format!("$SYS/broker/{name}"));
    value.map(String::as_str)
}

fn has_all(values: &BTreeMap<String, String>) -> bool {
    let loads = ["messages", "publish", "bytes"].iter().flat_map(|what| {
        ["1min", "5min", "15min"].map(|minutes| format!("load/{what}/received/{minutes}"))
    });
    let names = NAMES.iter().map(ToString::to_string).chain(loads);
    names.into_iter().all(|name| at(values, &name).is_some())
}

#[test]
fn a_subscriber_gets_every_value_at_once_as_retained() {
    // The first values come with the start of the broker, whatever the interval.
    let mut config = config(3, None);
    config.sys_interval_secs = 3_600;
    let running = Running::start(&config);
    for (number, version) in [V5, V311, V5, V311].into_iter().enumerate() {
        let all = subscription("$SYS/#", Qos::ExactlyOnce);
        let name = format!("reader{number}");
        let mut reader = subscribed_as(&running, version, &name, &[all]);
        let mut values = BTreeMap::new();
        while !has_all(&values) {
            let (topic, payload, qos, retain) = reader.message();
            assert_eq!(qos, Qos::AtMostOnce, "{topic}");
            // The first values may be on their way to this shard still.
            if retain {
                values.insert(topic, String::from_utf8(payload).unwrap());
            }
        }
        assert_eq!(
            at(&values, "version"),
            Some(concat!("symbolon version ", env!("CARGO_PKG_VERSION")))
        );
        assert_eq!(at(&values, "uptime"), Some("0 seconds"));
        assert_eq!(at(&values, "load/bytes/received/15min"), Some("0.00"));
    }
    let mut one = running.connect(V5, "one");
    one.subscribe(&[("$SYS/broker/clients/+", Qos::AtMostOnce)]);
    let mut topics: Vec<_> = (0..5).map(|_| one.message().0).collect();
    topics.sort();
    let expected = ["connected", "disconnected", "expired", "maximum", "total"];
    assert_eq!(
        topics,
        expected.map(|one| format!("$SYS/broker/clients/{one}"))
    );
    one.expect_nothing();
}

#[test]
fn values_follow_what_clients_do() {
    let running = Running::start(&config(2, None));
    let mut as_published = subscription("$SYS/broker/clients/connected", Qos::AtMostOnce);
    as_published.retain_as_published = true;
    let all = subscription("$SYS/#", Qos::AtMostOnce);
    let mut reader = subscribed(&running, "reader", &[as_published, all]);
    let mut values = BTreeMap::new();
    await_values(&mut reader, &mut values, |values| {
        at(values, "clients/connected") == Some("1")
    });
    let mut sleeper = open(&running, lasting(V5, "sleeper"), false);
    sleeper.subscribe(&[("a", Qos::AtMostOnce), ("$share/g/a", Qos::AtMostOnce)]);
    let mut publisher = running.connect(V311, "publisher");
    publisher.publish_with("a", b"12345", Delivery::AtMostOnce, true);
    assert_eq!(sleeper.message().1, b"12345");
    assert_eq!(sleeper.message().1, b"12345");
    await_values(&mut reader, &mut values, |values| {
        [
            ("clients/connected", "3"),
            ("clients/total", "3"),
            ("subscriptions/count", "3"),
            ("shared_subscriptions/count", "1"),
            ("retained messages/count", "1"),
            ("publish/messages/received", "1"),
            ("publish/bytes/received", "5"),
        ]
        .iter()
        .all(|(name, value)| at(values, name) == Some(*value))
    });
    // Three CONNECT, two SUBSCRIBE, one PUBLISH, and what it took the reader to subscribe.
    let received = at(&values, "messages/received").unwrap();
    assert!(received.parse::<u64>().unwrap() >= 6, "{received}");
    await_values(&mut reader, &mut values, |values| {
        at(values, "load/publish/received/1min") != Some("0.00")
    });
    leave(sleeper, None);
    publisher.publish("a", b"away", Delivery::AtMostOnce);
    await_values(&mut reader, &mut values, |values| {
        [
            ("clients/connected", "2"),
            ("clients/disconnected", "1"),
            ("clients/total", "3"),
            ("clients/maximum", "3"),
        ]
        .iter()
        .all(|(name, value)| at(values, name) == Some(*value))
            && at(values, "publish/messages/dropped") != Some("0")
    });
    let expiring = open(&running, lasting(V5, "sleeper"), true);
    leave(expiring, Some(1));
    await_values(&mut reader, &mut values, |values| {
        at(values, "clients/expired") == Some("1")
            && at(values, "clients/disconnected") == Some("0")
    });
}

// MQTT 5.0 §3.3.1.3: RETAIN says whether it is old.
#[test]
fn a_changed_value_comes_without_retain_to_who_did_not_ask_for_it() {
    let running = Running::start(&config(2, None));
    for as_published in [false, true] {
        let mut uptime = subscription("$SYS/broker/uptime", Qos::AtMostOnce);
        uptime.retain_as_published = as_published;
        let mut reader = subscribed(&running, "reader", &[uptime]);
        let (_, first, _, retain) = reader.message();
        assert!(retain);
        let (_, second, _, retain) = reader.message();
        assert_eq!(retain, as_published);
        assert_ne!(first, second);
    }
}

#[test]
fn one_member_of_a_group_gets_each_value() {
    let running = Running::start(&config(3, None));
    let shared = subscription("$share/g/$SYS/broker/uptime", Qos::AtMostOnce);
    let mut members: Vec<_> = (0..4)
        .map(|number| {
            subscribed(
                &running,
                &format!("member{number}"),
                std::slice::from_ref(&shared),
            )
        })
        .collect();
    std::thread::sleep(Duration::from_secs(5));
    let mut uptimes = Vec::new();
    for member in &mut members {
        while let Some(uptime) = member.try_next(Duration::from_millis(50), |packet| match packet {
            Some(Packet::Publish(publish)) => publish.payload.to_vec(),
            other => panic!("{other:?} came"),
        }) {
            uptimes.push(uptime);
        }
    }
    let count = uptimes.len();
    uptimes.sort();
    uptimes.dedup();
    assert_eq!(uptimes.len(), count, "none comes twice");
    assert!(count >= 3, "{count}");
}

// MQTT-4.7.2-1: what begins with a wildcard does not reach them, whoever asks.
#[test]
fn a_scope_of_all_topics_does_not_cover_them() {
    let mut config = Running::config(2, Limits::default(), None);
    config.sys_interval_secs = 1;
    let running = Running::start(&config);
    let mut reader = running.connect(V5, "reader");
    assert_eq!(
        reader.subscribe(&[
            ("$SYS/#", Qos::AtMostOnce),
            ("$SYS/broker/uptime", Qos::AtMostOnce),
            ("$share/g/$SYS/#", Qos::AtMostOnce),
        ]),
        [ReasonCode::NotAuthorized; 3]
    );
    reader.subscribe(&[("#", Qos::AtMostOnce), ("+/broker/uptime", Qos::AtMostOnce)]);
    assert_eq!(reader.try_next(Duration::from_secs(2), |_| ()), None);
    // One value may be open where the others are not.
    config
        .public_topics
        .push(TopicFilter::parse("$SYS/broker/version").unwrap());
    (running.broker.as_ref().unwrap()).reload(&config).unwrap();
    assert_eq!(
        reader.subscribe(&[
            ("$SYS/#", Qos::AtMostOnce),
            ("$SYS/broker/version", Qos::AtMostOnce)
        ]),
        [ReasonCode::NotAuthorized, ReasonCode::Success]
    );
    assert_eq!(reader.message().0, "$SYS/broker/version");
    reader.expect_nothing();
}

#[test]
fn no_client_writes_them() {
    let running = Running::start(&config(2, None));
    let mut writer = running.connect(V5, "writer");
    for topic in ["$SYS", "$SYS/broker/uptime", "$SYS/mine"] {
        for retain in [false, true] {
            writer.publish_with(topic, b"x", Delivery::AtLeastOnce(identifier(1)), retain);
            writer.next(|packet| {
                assert!(
                    matches!(packet, Some(Packet::PubAck(ack)) if ack.reason_code == ReasonCode::NotAuthorized),
                    "{packet:?}"
                );
            });
        }
    }
    for topic in ["$SYS", "$SYS/broker/uptime"] {
        let mut hello = connect(V5, "with a will");
        hello.will = Some(Will {
            topic: TopicName::parse(topic).unwrap(),
            payload: b"x",
            qos: Qos::AtMostOnce,
            retain: true,
            delay_interval_secs: 0,
            properties: PublishProperties::default(),
        });
        let mut peer = Peer::open(running.address, V5);
        peer.send(&Packet::Connect(Box::new(hello)));
        let ConnAck { reason_code, .. } = peer.connack();
        assert_eq!(reason_code, ReasonCode::NotAuthorized, "{topic}");
    }
}

#[test]
fn an_interval_of_zero_takes_the_values_away_and_another_brings_them_back() {
    let mut config = config(2, None);
    let running = Running::start(&config);
    let broker = running.broker.as_ref().unwrap();
    let has_values = |name: &str| {
        let mut reader = running.connect(V5, name);
        reader.subscribe(&[("$SYS/broker/version", Qos::AtMostOnce)]);
        reader
            .try_next(Duration::from_millis(200), |_| ())
            .is_some()
    };
    let deadline = Instant::now() + SOON;
    while !has_values("first") {
        assert!(Instant::now() < deadline, "no values at the start");
    }
    for (interval_secs, expected) in [(0, false), (1, true)] {
        config.sys_interval_secs = interval_secs;
        broker.reload(&config).unwrap();
        let deadline = Instant::now() + SOON;
        while ["here", "there", "elsewhere"].map(has_values) != [expected; 3] {
            assert!(Instant::now() < deadline, "{interval_secs}");
        }
    }
}

#[test]
fn values_are_not_stored_and_do_not_wait_for_who_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig::at(directory.path().join("store"));
    let running = Running::start(&config(2, Some(store.clone())));
    let mut sleeper = open(&running, lasting(V5, "sleeper"), false);
    let all = subscription("$SYS/#", Qos::ExactlyOnce);
    sleeper.send(&Packet::Subscribe(Subscribe {
        packet_identifier: identifier(1),
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: vec![all],
    }));
    while !sleeper.next(|packet| matches!(packet, Some(Packet::SubAck(_)))) {}
    leave(sleeper, None);
    std::thread::sleep(Duration::from_secs(3));
    drop(running);
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let inspection = Inspection::open(&store.path, symbolon_ace_proto::UnixTime(now.as_secs()));
    let census = inspection.unwrap().census();
    assert_eq!((census.sessions, census.subscriptions), (1, 1));
    assert_eq!((census.messages, census.retained), (0, 0));
}
