//! What breaks the protocol or a bound is answered with its code, and nobody else suffers.

use super::peer::{Peer, Running, V5, V311, connect, identifier};
use std::time::Duration;
use symbolon_broker::{Broker, Config, Limits, ListenerConfig, Transport};
use symbolon_mqtt_proto::{Delivery, Packet, Qos, ReasonCode};

// [MQTT-3.3.4-9].
#[test]
fn more_in_flight_than_receive_maximum_ends_the_connection() {
    let running = Running::with(
        1,
        Limits {
            receive_maximum: 2,
            ..Limits::default()
        },
    );
    let mut publisher = running.connect(V5, "p");
    for number in 1..=3 {
        publisher.publish("t", b"x", Delivery::ExactlyOnce(identifier(number)));
    }
    assert_eq!(publisher.end(), Some(ReasonCode::ReceiveMaximumExceeded));
}

// Packets that break the protocol end the connection with their code, and nothing else suffers.
#[test]
fn offences_are_answered_with_their_reason_code() {
    let running = Running::with(
        1,
        Limits {
            packet_size: 1_000,
            ..Limits::default()
        },
    );
    let mut bystander = running.connect(V5, "bystander");
    let offences: [(&[u8], ReasonCode); 6] = [
        (&[0x00, 0x00], ReasonCode::MalformedPacket),
        (
            &[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f],
            ReasonCode::MalformedPacket,
        ),
        (&[0x30, 0xe9, 0x07], ReasonCode::PacketTooLarge),
        (
            &[0x30, 0x06, 0x00, 0x03, b'a', b'/', b'#', 0x00],
            ReasonCode::TopicNameInvalid,
        ),
        // A second CONNECT. [MQTT-3.1.0-2]
        (
            b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02c1",
            ReasonCode::ProtocolError,
        ),
        // AUTH without a method in CONNECT. [MQTT-4.12.0-7]
        (
            b"\xf0\x08\x19\x06\x15\x00\x03ace",
            ReasonCode::ProtocolError,
        ),
    ];
    for (bytes, reason_code) in offences {
        let mut peer = running.connect(V5, "offender");
        peer.send_bytes(bytes);
        assert_eq!(peer.end(), Some(reason_code), "{bytes:02x?}");
        let mut peer = running.connect(V311, "offender");
        peer.send_bytes(bytes);
        assert_eq!(peer.end(), None, "{bytes:02x?}");
    }
    bystander.ping();
}

#[test]
fn what_comes_before_connect_or_is_no_connect_is_refused() {
    let running = Running::with(
        1,
        Limits {
            connect_timeout: Duration::from_millis(300),
            ..Limits::default()
        },
    );
    let mut peer = Peer::open(running.address, V5);
    peer.send(&Packet::PingReq);
    assert_eq!(peer.end(), None);
    // Level 6. [MQTT-3.1.2-2]
    let mut peer = Peer::open(running.address, V5);
    peer.send_bytes(b"\x10\x0f\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x02c1");
    assert_eq!(
        peer.connack().reason_code,
        ReasonCode::UnsupportedProtocolVersion
    );
    assert_eq!(peer.end(), None);
    // The reserved flag. [MQTT-3.1.2-3]
    let mut peer = Peer::open(running.address, V5);
    peer.send_bytes(b"\x10\x0f\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x02c1");
    assert_eq!(peer.connack().reason_code, ReasonCode::MalformedPacket);
    // [MQTT-4.12.0-1]
    let mut peer = Peer::open(running.address, V5);
    let mut hello = connect(V5, "c");
    hello.properties.authentication_method = Some("other");
    peer.send(&Packet::Connect(Box::new(hello)));
    assert_eq!(
        peer.connack().reason_code,
        ReasonCode::BadAuthenticationMethod
    );
    // Nothing at all, and half a packet.
    let mut silent = Peer::open(running.address, V5);
    let mut slow = Peer::open(running.address, V5);
    slow.send_bytes(b"\x10\x0f\x00");
    assert_eq!(silent.end(), None);
    assert_eq!(slow.end(), None);
}

#[test]
fn bounds_of_a_client_are_answered_and_not_exceeded() {
    let limits = Limits {
        subscriptions_per_client: 2,
        topic_levels: 4,
        retained_messages: 1,
        ..Limits::default()
    };
    let running = Running::with(1, limits);
    let mut client = running.connect(V5, "c");
    let zero = Qos::AtMostOnce;
    let codes = client.subscribe(&[
        ("a", zero),
        ("b", zero),
        ("c", zero),
        ("a", zero),
        ("$share/g/a", zero),
    ]);
    let quota = ReasonCode::QuotaExceeded;
    assert_eq!(
        codes,
        [
            ReasonCode::Success,
            ReasonCode::Success,
            quota,
            ReasonCode::Success,
            quota
        ]
    );
    let mut ack_of = |topic: &str, retain: bool| {
        client.publish_with(topic, b"x", Delivery::AtLeastOnce(identifier(1)), retain);
        client.next(|packet| match packet {
            Some(Packet::PubAck(ack)) => ack.reason_code,
            packet => panic!("{packet:?}"),
        })
    };
    assert_eq!(ack_of("1/2/3/4/5", false), ReasonCode::TopicNameInvalid);
    assert_eq!(ack_of("1/2/3/4", true), ReasonCode::NoMatchingSubscribers);
    assert_eq!(ack_of("other", true), quota);
    assert_eq!(ack_of("1/2/3/4", true), ReasonCode::NoMatchingSubscribers);
}

// MQTT 5.0 §4.7.2, RFC 9431 §2.2.2.
#[test]
fn dollar_topics_and_authz_info_are_not_matched_by_wildcards_nor_written_by_clients() {
    let running = Running::new(1);
    let mut client = running.connect(V5, "c");
    client.subscribe(&[("#", Qos::AtMostOnce), ("+", Qos::AtMostOnce)]);
    for topic in ["$SYS/broker/uptime", "authz-info"] {
        client.publish(topic, b"x", Delivery::AtLeastOnce(identifier(1)));
        client.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(ack)) if ack.reason_code == ReasonCode::NotAuthorized)));
    }
    assert_eq!(
        client.subscribe(&[("authz-info", Qos::AtMostOnce)]),
        [ReasonCode::NotAuthorized]
    );
    client.expect_nothing();
}

#[test]
fn bare_tcp_outside_loopback_needs_a_word_of_the_operator() {
    let config = Config {
        listeners: vec![ListenerConfig {
            address: "0.0.0.0:0".parse().unwrap(),
            transport: Transport::Tcp { insecure: false },
        }],
        shards: 1,
        authorization: None,
        public_topics: Vec::new(),
        response_information: None,
        private_topics: Vec::new(),
        hide_topics: false,
        limits: Limits::default(),
        management: None,
        sys_interval_secs: Config::SYS_INTERVAL_SECS,
        store: None,
    };
    let error = Broker::start(&config).unwrap_err();
    assert!(error.to_string().contains("insecure = true"), "{error}");
}
