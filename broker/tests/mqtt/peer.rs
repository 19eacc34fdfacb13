//! A broker on a bare TCP listener with public topics, and a blocking client made by hand with the codec.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    num::NonZeroU16,
    time::Duration,
};
use symbolon_broker::{Broker, Config, Limits, ListenerConfig, StoreConfig, Transport};
use symbolon_mqtt_proto::{
    Ack, ConnAck, Connect, Decoder, Delivery, Packet, ProtocolVersion, Publish, PublishProperties,
    Qos, ReasonCode, RetainHandling, Sender, Subscribe, Subscription, TopicFilter, TopicName,
    UserProperties, connect::ConnectProperties,
};

pub(crate) const V5: ProtocolVersion = ProtocolVersion::V5;
pub(crate) const V311: ProtocolVersion = ProtocolVersion::V311;
/// How long a packet that must come may take.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long we listen for a packet that must not come.
const A_WHILE: Duration = Duration::from_millis(200);

pub(crate) struct Running {
    pub(crate) broker: Option<Broker>,
    pub(crate) address: SocketAddr,
}

impl Running {
    pub(crate) fn with(shards: usize, limits: Limits) -> Self {
        Self::on(shards, limits, None)
    }

    /// On a store, so that it can be started again.
    pub(crate) fn on(shards: usize, limits: Limits, store: Option<StoreConfig>) -> Self {
        Self::start(&Self::config(shards, limits, store))
    }

    /// All topics are public, but those of the broker.
    pub(crate) fn config(shards: usize, limits: Limits, store: Option<StoreConfig>) -> Config {
        Config {
            listeners: vec![ListenerConfig {
                address: "127.0.0.1:0".parse().unwrap(),
                transport: Transport::Tcp { insecure: false },
            }],
            shards,
            authorization: None,
            public_topics: vec![TopicFilter::parse("#").unwrap()],
            response_information: None,
            private_topics: Vec::new(),
            hide_topics: false,
            limits,
            management: None,
            sys_interval_secs: Config::SYS_INTERVAL_SECS,
            store,
        }
    }

    pub(crate) fn start(config: &Config) -> Self {
        let broker = Broker::start(config).unwrap();
        let address = broker.local_addrs()[0];
        Self {
            broker: Some(broker),
            address,
        }
    }

    pub(crate) fn new(shards: usize) -> Self {
        Self::with(shards, Limits::default())
    }

    pub(crate) fn connect(&self, version: ProtocolVersion, name: &str) -> Peer {
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
pub(crate) struct Peer {
    stream: TcpStream,
    version: ProtocolVersion,
    buffer: Vec<u8>,
}

pub(crate) fn connect(version: ProtocolVersion, name: &str) -> Connect<'_> {
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
    pub(crate) fn open(address: SocketAddr, version: ProtocolVersion) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            version,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    /// Whether the connection was still there.
    pub(crate) fn try_send(&mut self, packet: &Packet<'_>) -> bool {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.stream.write_all(&bytes).is_ok()
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Hands the next packet over, or `None` at the end of the connection.
    pub(crate) fn next<T>(&mut self, take: impl FnOnce(Option<&Packet<'_>>) -> T) -> T {
        self.try_next(SOON, take).expect("a packet in time")
    }

    pub(crate) fn try_next<T>(
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
            let mut chunk = [0; 16384];
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

    pub(crate) fn connack(&mut self) -> ConnAck<'static> {
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

    pub(crate) fn subscribe(&mut self, filters: &[(&str, Qos)]) -> Vec<ReasonCode> {
        let subscriptions = filters
            .iter()
            .map(|(filter, qos)| subscription(filter, *qos))
            .collect();
        self.subscribe_with(subscriptions, None)
    }

    pub(crate) fn subscribe_with(
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
        loop {
            let answer = self.next(|packet| match packet {
                Some(Packet::SubAck(suback)) => Some(suback.reason_codes.clone()),
                // Messages may come before SUBACK (MQTT 5.0 §3.8.4), and these come by themselves.
                Some(Packet::Publish(publish)) if is_of_the_broker(publish) => None,
                other => panic!("SUBACK expected, {other:?} came"),
            });
            if let Some(reason_codes) = answer {
                return reason_codes;
            }
        }
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], delivery: Delivery) {
        self.publish_with(topic, payload, delivery, false);
    }

    pub(crate) fn publish_with(
        &mut self,
        topic: &str,
        payload: &[u8],
        delivery: Delivery,
        retain: bool,
    ) {
        self.send(&Packet::Publish(publish(topic, payload, delivery, retain)));
    }

    /// The next PUBLISH: topic, payload, QoS, RETAIN; acknowledged as its QoS asks.
    pub(crate) fn message(&mut self) -> (String, Vec<u8>, Qos, bool) {
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
                self.send(&Packet::PubAck(Ack::new(identifier, ReasonCode::Success)));
            }
            Delivery::ExactlyOnce(identifier) => {
                self.send(&Packet::PubRec(Ack::new(identifier, ReasonCode::Success)));
                self.next(|packet| assert!(matches!(packet, Some(Packet::PubRel(ack)) if ack.packet_identifier == identifier)));
                self.send(&Packet::PubComp(Ack::new(identifier, ReasonCode::Success)));
            }
        }
        message
    }

    pub(crate) fn expect_nothing(&mut self) {
        let came = self.try_next(A_WHILE, |packet| format!("{packet:?}"));
        assert_eq!(came, None);
    }

    /// Waits for the end of the connection; the DISCONNECT before it, if any.
    pub(crate) fn end(&mut self) -> Option<ReasonCode> {
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

    pub(crate) fn ping(&mut self) {
        self.send(&Packet::PingReq);
        self.next(|packet| assert_eq!(packet, Some(&Packet::PingResp)));
    }
}

fn is_of_the_broker(publish: &Publish<'_>) -> bool {
    (publish.topic).is_some_and(|topic| topic.as_str().starts_with("$SYS/"))
}

pub(crate) fn identifier(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

pub(crate) fn subscription(filter: &str, maximum_qos: Qos) -> Subscription {
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

pub(crate) fn publish<'a>(
    topic: &'a str,
    payload: &'a [u8],
    delivery: Delivery,
    retain: bool,
) -> Publish<'a> {
    Publish {
        duplicate: false,
        delivery,
        retain,
        topic: Some(TopicName::parse(topic).unwrap()),
        properties: PublishProperties::default(),
        payload,
    }
}
