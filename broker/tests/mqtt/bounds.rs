//! Every bound is reached once, answered as documented, and counted.

use super::{
    management::{await_metric, config, get, start},
    peer::{Peer, Running, SOON, V5, V311, connect, identifier, publish},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use symbolon_broker::{Broker, Limits, Transport};
use symbolon_mqtt_proto::{
    Connect, Delivery, Disconnect, Packet, PublishProperties, Qos, ReasonCode, TopicFilter,
    TopicName, Will,
};

/// A broker with a bound, and its metrics.
struct Bounded {
    running: Running,
    management: SocketAddr,
}

impl Bounded {
    fn new(limits: Limits) -> Self {
        let mut config = config(None);
        config.public_topics = vec![TopicFilter::parse("#").unwrap()];
        config.limits = limits;
        let (running, management) = start(&config);
        Self {
            running,
            management,
        }
    }

    fn reached(&self, limit: &str, times: u64) {
        self.metric(&format!("limit_reached_total{{limit=\"{limit}\"}} {times}"));
    }

    /// How often a bound was reached, as last published.
    fn count(&self, limit: &str) -> u64 {
        let name = format!("symbolon_broker_limit_reached_total{{limit=\"{limit}\"}} ");
        let answer = get(self.management, "/metrics");
        let count = answer.lines().find_map(|line| line.strip_prefix(&name));
        count.unwrap().parse().unwrap()
    }

    /// Waits until a bound was reached so often or more often.
    fn await_count(&self, limit: &str, at_least: u64) {
        let deadline = Instant::now() + SOON;
        while self.count(limit) < at_least {
            assert!(Instant::now() < deadline, "{limit} is never reached");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn metric(&self, line: &str) {
        await_metric(self.management, line);
    }

    fn open(&self) -> Peer {
        Peer::open(self.running.address, V5)
    }

    /// What CONNACK says to this CONNECT.
    fn try_connect(&self, hello: Connect<'_>) -> (Peer, ReasonCode) {
        let mut peer = Peer::open(self.running.address, hello.version);
        peer.send(&Packet::Connect(Box::new(hello)));
        let reason_code = peer.connack().reason_code;
        (peer, reason_code)
    }
}

fn lasting(name: &str) -> Connect<'_> {
    let mut hello = connect(V5, name);
    hello.clean_start = false;
    hello.properties.session_expiry_interval_secs = Some(600);
    hello
}

fn with_will<'a>(name: &'a str, topic: &'a str, payload: &'a [u8]) -> Connect<'a> {
    let mut hello = connect(V5, name);
    hello.will = Some(Will {
        topic: TopicName::parse(topic).unwrap(),
        payload,
        qos: Qos::AtMostOnce,
        retain: false,
        delay_interval_secs: 0,
        properties: PublishProperties::default(),
    });
    hello
}

fn goodbye(mut peer: Peer) {
    peer.send(&Packet::Disconnect(Disconnect::new(
        ReasonCode::Success,
        None,
    )));
    assert_eq!(peer.end(), None);
}

/// Publishes at `QoS` 1; what PUBACK says.
fn puback(peer: &mut Peer, topic: &str, payload: &[u8], retain: bool) -> ReasonCode {
    peer.publish_with(topic, payload, Delivery::AtLeastOnce(identifier(1)), retain);
    peer.next(|packet| match packet {
        Some(Packet::PubAck(ack)) => ack.reason_code,
        packet => panic!("{packet:?}"),
    })
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let bounded = Bounded::new(Limits {
        connections: 1,
        ..Limits::default()
    });
    let mut first = bounded.running.connect(V5, "first");
    assert_eq!(bounded.open().end(), None);
    first.ping();
    bounded.reached("connections", 1);
    bounded.metric("connections_refused_total{reason=\"limit\"} 1");
}

#[test]
fn connections_of_one_address_beyond_its_limit_are_closed_until_one_leaves() {
    let bounded = Bounded::new(Limits {
        connections_per_address: 2,
        ..Limits::default()
    });
    let first = bounded.running.connect(V5, "first");
    let mut second = bounded.running.connect(V5, "second");
    assert_eq!(bounded.open().end(), None);
    second.ping();
    bounded.reached("connections_per_address", 1);
    bounded.metric("connections_refused_total{reason=\"address_limit\"} 1");
    drop(first);
    bounded.metric("connections 1");
    bounded.running.connect(V5, "third").ping();
}

#[test]
fn connections_beyond_the_handshakes_wait_for_their_turn() {
    let mut config = config(None);
    config.shards = 1;
    config.limits.handshakes = 1;
    let (running, management) = start(&config);
    let silent = Peer::open(running.address, V5);
    await_metric(management, "handshakes 1");
    let mut waiting = Peer::open(running.address, V5);
    waiting.send(&Packet::Connect(Box::new(connect(V5, "waiting"))));
    waiting.expect_nothing();
    await_metric(management, "limit_reached_total{limit=\"handshakes\"} 1");
    drop(silent);
    assert_eq!(waiting.connack().reason_code, ReasonCode::Success);
}

#[test]
fn a_client_that_takes_too_long_for_tls_or_for_connect_is_cut() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut config = config(None);
    config.listeners.push(config.listeners[0].clone());
    config.listeners[1].transport = Transport::Tls {
        certificate_chain_pem: certified.cert.pem(),
        private_key_pem: certified.signing_key.serialize_pem(),
    };
    config.limits.handshake_timeout = Duration::from_millis(300);
    config.limits.connect_timeout = Duration::from_millis(300);
    let broker = Broker::start(&config).unwrap();
    let management = broker.management_addr().unwrap();
    let addresses = broker.local_addrs().to_vec();
    let _running = Running {
        address: addresses[0],
        broker: Some(broker),
    };
    for address in addresses {
        assert_eq!(Peer::open(address, V5).end(), None);
    }
    for limit in ["handshake_timeout_secs", "connect_timeout_secs"] {
        let line = format!("limit_reached_total{{limit=\"{limit}\"}} 1");
        await_metric(management, &line);
    }
}

// [MQTT-3.2.2-15].
#[test]
fn a_packet_beyond_the_limit_ends_the_connection() {
    let bounded = Bounded::new(Limits {
        packet_size: 1_000,
        ..Limits::default()
    });
    let mut client = bounded.running.connect(V5, "c");
    client.publish("t", &[0; 1_000], Delivery::AtMostOnce);
    assert_eq!(client.end(), Some(ReasonCode::PacketTooLarge));
    bounded.reached("packet_size", 1);
    let (_, code) = bounded.try_connect(with_will("d", "t", &[0; 1_000]));
    assert_eq!(code, ReasonCode::PacketTooLarge);
    bounded.reached("packet_size", 2);
}

#[test]
fn topics_beyond_their_levels_or_their_length_are_refused() {
    let bounded = Bounded::new(Limits {
        topic_levels: 3,
        topic_length: 10,
        ..Limits::default()
    });
    let mut client = bounded.running.connect(V5, "c");
    for (limit, allowed, beyond) in [
        ("topic_levels", "a/b/c", "a/b/c/"),
        ("topic_length", "0123456789", "0123456789a"),
    ] {
        let refused = ReasonCode::TopicNameInvalid;
        let nobody = ReasonCode::NoMatchingSubscribers;
        assert_eq!(puback(&mut client, allowed, b"x", false), nobody);
        assert_eq!(puback(&mut client, beyond, b"x", false), refused);
        let zero = Qos::AtMostOnce;
        assert_eq!(
            client.subscribe(&[(allowed, zero), (beyond, zero)]),
            [ReasonCode::Success, ReasonCode::TopicFilterInvalid]
        );
        client.send(&Packet::Unsubscribe(symbolon_mqtt_proto::Unsubscribe {
            packet_identifier: identifier(1),
            user_properties: symbolon_mqtt_proto::UserProperties::default(),
            filters: vec![(None, TopicFilter::parse(allowed).unwrap())],
        }));
        client.next(|packet| assert!(matches!(packet, Some(Packet::UnsubAck(_)))));
        assert_eq!(bounded.try_connect(with_will("w", beyond, b"x")).1, refused);
        bounded.reached(limit, 3);
    }
    client.publish("a/b/c/d", b"x", Delivery::AtMostOnce);
    assert_eq!(client.end(), Some(ReasonCode::TopicNameInvalid));
}

#[test]
fn a_new_session_beyond_the_limit_is_refused_and_an_old_one_goes_on() {
    let bounded = Bounded::new(Limits {
        sessions: 1,
        ..Limits::default()
    });
    let (first, code) = bounded.try_connect(lasting("first"));
    assert_eq!(code, ReasonCode::Success);
    drop(first);
    bounded.metric("clients 0");
    bounded.metric("sessions 1");
    let (_, code) = bounded.try_connect(lasting("second"));
    assert_eq!(code, ReasonCode::QuotaExceeded);
    let (_, code) = bounded.try_connect(connect(V311, "third"));
    assert!(code.is_failure());
    bounded.reached("sessions", 2);
    // Whoever has one gets in, and may begin anew.
    assert_eq!(bounded.try_connect(lasting("first")).1, ReasonCode::Success);
    let (first, code) = bounded.try_connect(connect(V5, "first"));
    assert_eq!(code, ReasonCode::Success);
    goodbye(first);
    bounded.metric("sessions 0");
    assert_eq!(
        bounded.try_connect(lasting("second")).1,
        ReasonCode::Success
    );
    bounded.reached("sessions", 2);
}

#[test]
fn sessions_that_were_there_before_a_reload_count_after_it() {
    let mut config = config(None);
    config.limits.sessions = 2;
    let (running, management) = start(&config);
    let bounded = Bounded {
        running,
        management,
    };
    let (_first, code) = bounded.try_connect(lasting("first"));
    assert_eq!(code, ReasonCode::Success);
    config.limits.sessions = 1;
    let broker = bounded.running.broker.as_ref().unwrap();
    broker.reload(&config).unwrap();
    let (_, code) = bounded.try_connect(lasting("second"));
    assert_eq!(code, ReasonCode::QuotaExceeded);
    bounded.reached("sessions", 1);
}

#[test]
fn subscriptions_beyond_the_limit_are_refused() {
    let bounded = Bounded::new(Limits {
        subscriptions_per_client: 1,
        ..Limits::default()
    });
    let mut client = bounded.running.connect(V5, "c");
    assert_eq!(
        client.subscribe(&[("a", Qos::AtMostOnce), ("b", Qos::AtMostOnce)]),
        [ReasonCode::Success, ReasonCode::QuotaExceeded]
    );
    bounded.reached("subscriptions_per_client", 1);
}

/// A session that is away queues what the limits allow; what it gets when it is back.
fn left_of_three(bounded: &Bounded) -> usize {
    let (mut sleeper, _) = bounded.try_connect(lasting("sleeper"));
    sleeper.subscribe(&[("t", Qos::AtLeastOnce)]);
    bounded.metric("clients 1");
    drop(sleeper);
    bounded.metric("clients 0");
    let mut publisher = bounded.running.connect(V5, "p");
    publisher.publish("t", b"at most once", Delivery::AtMostOnce);
    for number in 0..3 {
        puback(&mut publisher, "t", &[number; 100], false);
    }
    // Acknowledged once every shard has it, and with it all that went before.
    puback(&mut publisher, "barrier", b"x", true);
    let (mut sleeper, _) = bounded.try_connect(lasting("sleeper"));
    let mut count = 0;
    while sleeper
        .try_next(Duration::from_millis(200), |_| ())
        .is_some()
    {
        count += 1;
    }
    bounded.metric("messages_dropped_total{reason=\"away\"} 1");
    count
}

#[test]
fn of_too_many_messages_for_a_client_the_newest_are_dropped() {
    let bounded = Bounded::new(Limits {
        queued_messages: 2,
        ..Limits::default()
    });
    assert_eq!(left_of_three(&bounded), 2);
    bounded.reached("queued_messages", 1);
    bounded.metric("messages_dropped_total{reason=\"queue_full\"} 1");
}

#[test]
fn of_too_many_bytes_for_a_client_the_newest_are_dropped() {
    let bounded = Bounded::new(Limits {
        queued_bytes: 150,
        ..Limits::default()
    });
    assert_eq!(left_of_three(&bounded), 1);
    bounded.reached("queued_bytes", 2);
    bounded.reached("queued_messages", 0);
}

#[test]
fn of_too_many_bytes_for_a_socket_those_of_qos_0_are_dropped_and_counted() {
    let bounded = Bounded::new(Limits {
        outbox_bytes: 10_000,
        ..Limits::default()
    });
    let mut stuck = bounded.running.connect(V5, "stuck");
    stuck.subscribe(&[("t", Qos::AtMostOnce)]);
    let mut publisher = bounded.running.connect(V5, "p");
    let payload = vec![0; 60_000];
    let deadline = Instant::now() + SOON;
    loop {
        for _ in 0..100 {
            publisher.publish("t", &payload, Delivery::AtMostOnce);
        }
        publisher.ping();
        if bounded.count("outbox_bytes") > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the socket takes all");
    }
}

// MQTT 5.0 §3.2.2.3.2, §3.2.2.3.14.
#[test]
fn a_client_that_asks_for_more_time_than_there_is_gets_the_bound() {
    let bounded = Bounded::new(Limits {
        session_expiry_secs: 60,
        keep_alive_secs: 30,
        ..Limits::default()
    });
    let mut peer = bounded.open();
    peer.send(&Packet::Connect(Box::new(lasting("long"))));
    let connack = peer.connack().properties;
    assert_eq!(connack.session_expiry_interval_secs, Some(60));
    assert_eq!(connack.server_keep_alive_secs, Some(30));
    let mut modest = lasting("modest");
    modest.properties.session_expiry_interval_secs = Some(60);
    modest.keep_alive_secs = 30;
    assert_eq!(bounded.try_connect(modest).1, ReasonCode::Success);
    bounded.reached("session_expiry_secs", 1);
    bounded.reached("keep_alive_secs", 1);
}

#[test]
fn retained_messages_beyond_their_number_are_refused() {
    let bounded = Bounded::new(Limits {
        retained_messages: 1,
        ..Limits::default()
    });
    let mut client = bounded.running.connect(V5, "c");
    let nobody = ReasonCode::NoMatchingSubscribers;
    assert_eq!(puback(&mut client, "a", b"1", true), nobody);
    assert_eq!(puback(&mut client, "a", b"2", true), nobody);
    let quota = ReasonCode::QuotaExceeded;
    assert_eq!(puback(&mut client, "b", b"3", true), quota);
    assert_eq!(puback(&mut client, "a", b"", true), nobody);
    assert_eq!(puback(&mut client, "b", b"3", true), nobody);
    bounded.reached("retained_messages", 1);
    client.publish_with("c", b"4", Delivery::AtMostOnce, true);
    assert_eq!(client.end(), Some(quota));
}

#[test]
fn retained_bytes_are_counted_exactly_and_bounded() {
    let size = |topic: &str, payload: usize| {
        let payload = vec![0; payload];
        let delivery = Delivery::AtLeastOnce(identifier(1));
        let mut bytes = Vec::new();
        Packet::Publish(publish(topic, &payload, delivery, true))
            .encode(V5, &mut bytes)
            .unwrap();
        bytes.len()
    };
    let both = size("a", 50) + size("longer/b", 200);
    let bounded = Bounded::new(Limits {
        retained_bytes: both,
        ..Limits::default()
    });
    let now = |bytes: usize| bounded.metric(&format!("retained_messages_bytes {bytes}"));
    let mut client = bounded.running.connect(V5, "c");
    let (kept, quota) = (ReasonCode::NoMatchingSubscribers, ReasonCode::QuotaExceeded);
    let mut retain =
        |topic: &str, payload: usize| puback(&mut client, topic, &vec![0; payload], true);
    assert_eq!(retain("a", 50), kept);
    assert_eq!(retain("longer/b", 201), quota);
    assert_eq!(retain("longer/b", 200), kept);
    now(both);
    // Replaced by less and by more, deleted, deleted again.
    assert_eq!(retain("longer/b", 10), kept);
    now(size("a", 50) + size("longer/b", 10));
    assert_eq!(retain("longer/b", 201), quota);
    assert_eq!(retain("a", 60), kept);
    now(size("a", 60) + size("longer/b", 10));
    assert_eq!(retain("a", 0), kept);
    assert_eq!(retain("a", 0), kept);
    now(size("longer/b", 10));
    bounded.reached("retained_bytes", 2);
    assert_eq!(retain("longer/b", 0), kept);
    now(0);
    // One that expires is swept.
    let mut brief = publish("brief", b"x", Delivery::AtMostOnce, true);
    brief.properties.message_expiry_interval_secs = Some(2);
    client.send(&Packet::Publish(brief));
    bounded.metric("retained_messages 1");
    bounded.metric("retained_messages 0");
    now(0);
}

#[test]
fn wills_beyond_their_number_or_their_size_are_refused() {
    let bounded = Bounded::new(Limits {
        wills: 1,
        will_size: 100,
        ..Limits::default()
    });
    let quota = ReasonCode::QuotaExceeded;
    let success = ReasonCode::Success;
    let (first, code) = bounded.try_connect(with_will("first", "t", b"x"));
    assert_eq!(code, success);
    let second = || with_will("second", "t", b"x");
    assert_eq!(bounded.try_connect(second()).1, quota);
    bounded.reached("wills", 1);
    bounded.metric("wills 1");
    // The client that has it may come again with another.
    let (again, code) = bounded.try_connect(with_will("first", "t", b"y"));
    assert_eq!(code, success);
    drop(first);
    goodbye(again);
    bounded.metric("wills 0");
    assert_eq!(bounded.try_connect(second()).1, success);
    let large = with_will("large", "t", &[0; 100]);
    assert_eq!(bounded.try_connect(large).1, quota);
    bounded.reached("will_size", 1);
}

// [MQTT-3.3.4-9].
#[test]
fn more_messages_in_flight_to_the_broker_than_it_takes_end_the_connection() {
    let bounded = Bounded::new(Limits {
        receive_maximum: 2,
        ..Limits::default()
    });
    let mut client = bounded.running.connect(V5, "c");
    for number in 1..=3 {
        client.publish("t", b"x", Delivery::ExactlyOnce(identifier(number)));
    }
    assert_eq!(client.end(), Some(ReasonCode::ReceiveMaximumExceeded));
    bounded.reached("receive_maximum", 1);
}

#[test]
fn no_more_messages_than_the_bound_are_in_flight_to_a_client_that_takes_any_number() {
    let bounded = Bounded::new(Limits {
        send_maximum: 2,
        ..Limits::default()
    });
    let mut client = bounded.running.connect(V5, "c");
    client.subscribe(&[("t", Qos::AtLeastOnce)]);
    let mut publisher = bounded.running.connect(V5, "p");
    for number in 0..5 {
        puback(&mut publisher, "t", &[number], false);
    }
    let mut came = Vec::new();
    let one = |packet: Option<&Packet<'_>>| match packet {
        Some(Packet::Publish(publish)) => publish.delivery,
        packet => panic!("{packet:?}"),
    };
    while let Some(delivery) = client.try_next(Duration::from_millis(200), one) {
        let Delivery::AtLeastOnce(identifier) = delivery else {
            panic!("{delivery:?}");
        };
        came.push(identifier);
    }
    assert_eq!(came.len(), 2);
    bounded.reached("send_maximum", 3);
    for identifier in came {
        let ack = symbolon_mqtt_proto::Ack::new(identifier, ReasonCode::Success);
        client.send(&Packet::PubAck(ack));
    }
    for number in 2..5 {
        assert_eq!(client.message().1, [number]);
    }
}

#[test]
fn a_client_that_publishes_too_fast_is_held_back_and_loses_nothing() {
    let bounded = Bounded::new(Limits {
        receive_rate: 20,
        receive_burst: 5,
        ..Limits::default()
    });
    let mut subscriber = bounded.running.connect(V5, "s");
    subscriber.subscribe(&[("t", Qos::AtMostOnce)]);
    // All in one go, the CONNECT too, and a packet that ends later.
    let mut bytes = Vec::new();
    let hello = Packet::Connect(Box::new(connect(V5, "fast")));
    hello.encode(V5, &mut bytes).unwrap();
    for number in 0..25 {
        let message = [number];
        let message = publish("t", &message, Delivery::AtMostOnce, false);
        Packet::Publish(message).encode(V5, &mut bytes).unwrap();
    }
    Packet::PingReq.encode(V5, &mut bytes).unwrap();
    let mut fast = bounded.open();
    let since = Instant::now();
    let (now, later) = bytes.split_at(bytes.len() - 1);
    fast.send_bytes(now);
    assert_eq!(fast.connack().reason_code, ReasonCode::Success);
    fast.send_bytes(later);
    for number in 0..25 {
        assert_eq!(subscriber.message().1, [number]);
    }
    fast.next(|packet| assert_eq!(packet, Some(&Packet::PingResp)));
    // Five at once, twenty at twenty a second, and the next token for what came behind.
    assert!(since.elapsed() >= Duration::from_millis(950));
    assert!(since.elapsed() < Duration::from_secs(5));
    bounded.await_count("receive_rate", 1);
    assert!(bounded.count("receive_rate") <= 21);
    fast.publish("t", b"x", Delivery::AtMostOnce);
    fast.ping();
}

#[test]
fn a_paused_client_that_leaves_is_gone() {
    let bounded = Bounded::new(Limits {
        receive_rate: 1,
        ..Limits::default()
    });
    let mut fast = bounded.running.connect(V5, "fast");
    for _ in 0..20 {
        fast.publish("t", b"x", Delivery::AtMostOnce);
    }
    bounded.await_count("receive_rate", 1);
    // Taken over while it waits: its timer must not touch the one who came.
    let mut again = bounded.running.connect(V5, "fast");
    again.ping();
    drop(fast);
    bounded.metric("connections 1");
    again.ping();
}
