//! The broker from outside: real sockets, packets made by hand with the codec, on a bare TCP listener with public topics.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    num::NonZeroU16,
    time::Duration,
};
use symbolon_broker::{Broker, Config, Limits, ListenerConfig, Transport};
use symbolon_mqtt_proto::{
    Ack, ConnAck, Connect, Decoder, Delivery, Disconnect, Packet, ProtocolVersion, Publish,
    PublishProperties, Qos, ReasonCode, RetainHandling, Sender, Subscribe, Subscription,
    TopicFilter, TopicName, Unsubscribe, UserProperties, Will, connect::ConnectProperties,
};

const V5: ProtocolVersion = ProtocolVersion::V5;
const V311: ProtocolVersion = ProtocolVersion::V311;
/// How long a packet that must come may take.
const SOON: Duration = Duration::from_secs(10);
/// How long we listen for a packet that must not come.
const A_WHILE: Duration = Duration::from_millis(200);

struct Running {
    broker: Option<Broker>,
    address: SocketAddr,
}

impl Running {
    fn with(shards: usize, limits: Limits) -> Self {
        let config = Config {
            listeners: vec![ListenerConfig {
                address: "127.0.0.1:0".parse().unwrap(),
                transport: Transport::Tcp { insecure: false },
            }],
            shards,
            authorization: None,
            public_topics: vec![TopicFilter::parse("#").unwrap()],
            limits,
        };
        let broker = Broker::start(&config).unwrap();
        let address = broker.local_addrs()[0];
        Self {
            broker: Some(broker),
            address,
        }
    }

    fn new(shards: usize) -> Self {
        Self::with(shards, Limits::default())
    }

    fn connect(&self, version: ProtocolVersion, name: &str) -> Peer {
        let mut peer = Peer::open(self.address, version);
        peer.send(&Packet::Connect(Box::new(connect(version, name))));
        let connack = peer.connack();
        assert_eq!(connack.reason_code, ReasonCode::Success);
        peer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            assert!(
                broker.shutdown(Duration::from_secs(10)),
                "the broker did not end in time"
            );
        }
    }
}

/// One client, blocking.
struct Peer {
    stream: TcpStream,
    version: ProtocolVersion,
    buffer: Vec<u8>,
}

fn connect(version: ProtocolVersion, name: &str) -> Connect<'_> {
    Connect {
        version,
        clean_start: true,
        keep_alive_secs: 60,
        client_identifier: name,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

impl Peer {
    fn open(address: SocketAddr, version: ProtocolVersion) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            version,
            buffer: Vec::new(),
        }
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Hands the next packet over, or `None` at the end of the connection.
    fn next<T>(&mut self, take: impl FnOnce(Option<&Packet<'_>>) -> T) -> T {
        self.try_next(SOON, take).expect("a packet in time")
    }

    fn try_next<T>(
        &mut self,
        limit: Duration,
        take: impl FnOnce(Option<&Packet<'_>>) -> T,
    ) -> Option<T> {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let decoder = Decoder {
            version: self.version,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        loop {
            if let Some((packet, size)) = decoder.decode(&self.buffer).unwrap() {
                let taken = take(Some(&packet));
                self.buffer.drain(..size);
                return Some(taken);
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(take(None)),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Some(take(None));
                }
                Err(_) => return None,
            }
        }
    }

    fn connack(&mut self) -> ConnAck<'static> {
        self.next(|packet| match packet {
            Some(Packet::ConnAck(connack)) => ConnAck {
                session_present: connack.session_present,
                reason_code: connack.reason_code,
                properties: symbolon_mqtt_proto::connack::ConnAckProperties {
                    receive_maximum: connack.properties.receive_maximum,
                    server_keep_alive_secs: connack.properties.server_keep_alive_secs,
                    session_expiry_interval_secs: connack.properties.session_expiry_interval_secs,
                    ..Default::default()
                },
            },
            other => panic!("CONNACK expected, {other:?} came"),
        })
    }

    fn subscribe(&mut self, filters: &[(&str, Qos)]) -> Vec<ReasonCode> {
        let subscriptions = filters
            .iter()
            .map(|(filter, qos)| subscription(filter, *qos))
            .collect();
        self.subscribe_with(subscriptions, None)
    }

    fn subscribe_with(
        &mut self,
        subscriptions: Vec<Subscription>,
        subscription_identifier: Option<u32>,
    ) -> Vec<ReasonCode> {
        self.send(&Packet::Subscribe(Subscribe {
            packet_identifier: identifier(7),
            subscription_identifier,
            user_properties: UserProperties::default(),
            subscriptions,
        }));
        self.next(|packet| match packet {
            Some(Packet::SubAck(suback)) => suback.reason_codes.clone(),
            other => panic!("SUBACK expected, {other:?} came"),
        })
    }

    fn publish(&mut self, topic: &str, payload: &[u8], delivery: Delivery) {
        self.publish_with(topic, payload, delivery, false);
    }

    fn publish_with(&mut self, topic: &str, payload: &[u8], delivery: Delivery, retain: bool) {
        self.send(&Packet::Publish(publish(topic, payload, delivery, retain)));
    }

    /// The next PUBLISH: topic, payload, QoS, RETAIN; acknowledged as its QoS asks.
    fn message(&mut self) -> (String, Vec<u8>, Qos, bool) {
        let (message, delivery) = self.next(|packet| match packet {
            Some(Packet::Publish(publish)) => {
                let topic = publish.topic.unwrap().as_str().to_owned();
                (
                    (
                        topic,
                        publish.payload.to_vec(),
                        publish.delivery.qos(),
                        publish.retain,
                    ),
                    publish.delivery,
                )
            }
            other => panic!("PUBLISH expected, {other:?} came"),
        });
        match delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(identifier) => {
                self.send(&Packet::PubAck(Ack::new(identifier, ReasonCode::Success)))
            }
            Delivery::ExactlyOnce(identifier) => {
                self.send(&Packet::PubRec(Ack::new(identifier, ReasonCode::Success)));
                self.next(|packet| assert!(matches!(packet, Some(Packet::PubRel(ack)) if ack.packet_identifier == identifier)));
                self.send(&Packet::PubComp(Ack::new(identifier, ReasonCode::Success)));
            }
        }
        message
    }

    fn expect_nothing(&mut self) {
        let came = self.try_next(A_WHILE, |packet| format!("{packet:?}"));
        assert_eq!(came, None);
    }

    /// Waits for the end of the connection; the DISCONNECT before it, if any.
    fn end(&mut self) -> Option<ReasonCode> {
        let mut reason = None;
        loop {
            let ended = self.next(|packet| match packet {
                None => true,
                Some(Packet::Disconnect(disconnect)) => {
                    reason = Some(disconnect.reason_code);
                    false
                }
                Some(_) => false,
            });
            if ended {
                return reason;
            }
        }
    }

    fn ping(&mut self) {
        self.send(&Packet::PingReq);
        self.next(|packet| assert_eq!(packet, Some(&Packet::PingResp)));
    }
}

fn identifier(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn subscription(filter: &str, maximum_qos: Qos) -> Subscription {
    let (share_name, filter) = TopicFilter::parse_shared(filter).unwrap();
    Subscription {
        share_name,
        filter,
        maximum_qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

fn publish<'a>(topic: &'a str, payload: &'a [u8], delivery: Delivery, retain: bool) -> Publish<'a> {
    Publish {
        duplicate: false,
        delivery,
        retain,
        topic: Some(TopicName::parse(topic).unwrap()),
        properties: PublishProperties::default(),
        payload,
    }
}

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
        )
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

fn with_will(running: &Running, version: ProtocolVersion, name: &str) -> Peer {
    let mut peer = Peer::open(running.address, version);
    let mut hello = connect(version, name);
    hello.will = Some(Will {
        topic: TopicName::parse("will").unwrap(),
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: false,
        delay_interval_secs: 0,
        properties: PublishProperties::default(),
    });
    peer.send(&Packet::Connect(Box::new(hello)));
    peer.connack();
    peer
}

// [MQTT-3.1.2-8], [MQTT-3.14.4-3].
#[test]
fn a_will_is_published_when_the_client_is_lost_and_not_when_it_says_goodbye() {
    let running = Running::new(2);
    let mut watcher = running.connect(V5, "w");
    watcher.subscribe(&[("will", Qos::AtLeastOnce)]);
    drop(with_will(&running, V311, "lost"));
    assert_eq!(watcher.message().1, b"gone");
    let mut polite = with_will(&running, V5, "polite");
    polite.send(&Packet::Disconnect(Disconnect::new(
        ReasonCode::Success,
        None,
    )));
    assert_eq!(polite.end(), None);
    watcher.expect_nothing();
    let mut asking = with_will(&running, V5, "asking");
    asking.send(&Packet::Disconnect(Disconnect::new(
        ReasonCode::DisconnectWithWillMessage,
        None,
    )));
    assert_eq!(watcher.message().1, b"gone");
    let mut rude = with_will(&running, V5, "rude");
    rude.send_bytes(&[0xf5, 0]);
    assert_eq!(rude.end(), Some(ReasonCode::MalformedPacket));
    assert_eq!(watcher.message().1, b"gone");
}

// [MQTT-3.1.4-3].
#[test]
fn a_second_connection_takes_the_session_over() {
    let running = Running::new(3);
    for version in [V5, V311] {
        let mut first = running.connect(version, "same");
        let mut second = running.connect(version, "same");
        assert_eq!(
            first.end(),
            (version == V5).then_some(ReasonCode::SessionTakenOver)
        );
        second.ping();
    }
}

// [MQTT-3.1.2-22].
#[test]
fn a_silent_client_is_cut_after_one_and_a_half_keep_alive_intervals() {
    let running = Running::new(1);
    let mut peer = Peer::open(running.address, V5);
    let mut hello = connect(V5, "silent");
    hello.keep_alive_secs = 1;
    peer.send(&Packet::Connect(Box::new(hello)));
    peer.connack();
    std::thread::sleep(Duration::from_millis(900));
    peer.ping();
    let since = std::time::Instant::now();
    assert_eq!(peer.end(), Some(ReasonCode::KeepAliveTimeout));
    assert!(
        since.elapsed() >= Duration::from_millis(1_400),
        "cut too early, after {:?}",
        since.elapsed()
    );
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
        )
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
fn the_limit_of_connections_holds_and_frees() {
    let running = Running::with(
        2,
        Limits {
            connections: 2,
            ..Limits::default()
        },
    );
    let one = running.connect(V5, "one");
    let mut two = running.connect(V5, "two");
    let mut three = Peer::open(running.address, V5);
    assert_eq!(three.end(), None);
    drop(one);
    two.ping();
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let mut again = Peer::open(running.address, V5);
        again.send(&Packet::Connect(Box::new(connect(V5, "again"))));
        let admitted = again.next(|packet| packet.is_some());
        if admitted {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the place never became free"
        );
    }
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
    let shared = ReasonCode::SharedSubscriptionsNotSupported;
    assert_eq!(
        codes,
        [
            ReasonCode::Success,
            ReasonCode::Success,
            quota,
            ReasonCode::Success,
            shared
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
fn what_the_broker_does_not_do_yet_is_said_in_connack() {
    let running = Running::with(
        1,
        Limits {
            keep_alive_secs: 30,
            receive_maximum: 9,
            ..Limits::default()
        },
    );
    let mut peer = Peer::open(running.address, V5);
    let mut hello = connect(V5, "");
    hello.properties.session_expiry_interval_secs = Some(3_600);
    peer.send(&Packet::Connect(Box::new(hello)));
    let connack = peer.connack();
    assert_eq!(connack.properties.session_expiry_interval_secs, Some(0));
    assert_eq!(connack.properties.server_keep_alive_secs, Some(30));
    assert_eq!(connack.properties.receive_maximum, NonZeroU16::new(9));
    assert!(!connack.session_present);
}

#[test]
fn a_clean_shutdown_says_goodbye() {
    let mut running = Running::new(2);
    let mut five = running.connect(V5, "five");
    let mut old = running.connect(V311, "old");
    assert!(
        running
            .broker
            .take()
            .unwrap()
            .shutdown(Duration::from_secs(10))
    );
    assert_eq!(five.end(), Some(ReasonCode::ServerShuttingDown));
    assert_eq!(old.end(), None);
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
        limits: Limits::default(),
    };
    let error = Broker::start(&config).unwrap_err();
    assert!(error.to_string().contains("insecure = true"), "{error}");
}
