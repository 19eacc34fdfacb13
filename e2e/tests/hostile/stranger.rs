//! A client without manners: bare TCP, the codec, and no promise to read or to wait.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    num::NonZeroU16,
    time::{Duration, Instant},
};
use symbolon_mqtt_proto::{
    Connect, Decoder, Delivery, Packet, ProtocolVersion, Publish, PublishProperties, Qos,
    RetainHandling, Sender, Subscribe, Subscription, TopicFilter, TopicName, UserProperties,
    connect::ConnectProperties,
};

const V5: ProtocolVersion = ProtocolVersion::V5;
/// How long an answer may take on a machine that is busy with attacks.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Stranger {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

pub(crate) fn id(number: usize) -> NonZeroU16 {
    NonZeroU16::new(u16::try_from(number).unwrap()).unwrap()
}

pub(crate) fn hello(name: &str, session_secs: u32) -> Connect<'_> {
    Connect {
        version: V5,
        clean_start: false,
        keep_alive_secs: 0,
        client_identifier: name,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties {
            session_expiry_interval_secs: Some(session_secs),
            ..ConnectProperties::default()
        },
    }
}

pub(crate) fn message<'a>(topic: &'a str, payload: &'a [u8], delivery: Delivery) -> Publish<'a> {
    Publish {
        duplicate: false,
        delivery,
        retain: false,
        topic: Some(TopicName::parse(topic).unwrap()),
        properties: PublishProperties::default(),
        payload,
    }
}

impl Stranger {
    /// Connected, and nothing said.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the kernel takes connections");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Let in.
    pub(crate) fn enter(address: SocketAddr, name: &str) -> Self {
        let mut stranger = Self::open(address);
        stranger.send(&Packet::Connect(Box::new(hello(name, 0))));
        let is_in = stranger
            .next(|packet| matches!(packet, Packet::ConnAck(ack) if !ack.reason_code.is_failure()));
        assert_eq!(is_in, Some(true), "{name} is not let in");
        stranger
    }

    /// Whether it went out.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) -> bool {
        let mut bytes = Vec::new();
        packet.encode(V5, &mut bytes).unwrap();
        self.stream.write_all(&bytes).is_ok()
    }

    /// The next packet; `None` once the connection is over.
    pub(crate) fn next<T>(&mut self, take: impl FnOnce(&Packet<'_>) -> T) -> Option<T> {
        let decoder = Decoder {
            version: V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        loop {
            if let Some((packet, size)) = decoder.decode(&self.buffer).unwrap() {
                let taken = take(&packet);
                self.buffer.drain(..size);
                return Some(taken);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) => {
                    let silent = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
                    assert!(!silent.contains(&error.kind()), "no answer in {LIMIT:?}");
                    return None;
                }
            }
        }
    }

    /// Reads until the broker ends the connection.
    pub(crate) fn await_end(mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.next(|_| ()).is_some() {
            assert!(Instant::now() < deadline, "it is not sent away");
        }
    }

    /// Whether the first filter was granted.
    pub(crate) fn subscribe(&mut self, filters: &[String], maximum_qos: Qos) -> bool {
        let subscriptions = filters.iter().map(|filter| Subscription {
            share_name: None,
            filter: TopicFilter::parse(filter).unwrap(),
            maximum_qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::DoNotSend,
        });
        let subscribe = Subscribe {
            packet_identifier: id(1),
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: subscriptions.collect(),
        };
        assert!(self.send(&Packet::Subscribe(subscribe)));
        loop {
            let answer = self.next(|packet| {
                let Packet::SubAck(suback) = packet else {
                    return None;
                };
                Some(!suback.reason_codes[0].is_failure())
            });
            if let Some(granted) = answer.expect("it stays connected") {
                return granted;
            }
        }
    }

    /// Publishes at QoS 1; whether it was taken.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> bool {
        let publish = Publish {
            retain,
            ..message(topic, payload, Delivery::AtLeastOnce(id(1)))
        };
        assert!(self.send(&Packet::Publish(publish)));
        loop {
            let answer = self.next(|packet| {
                let Packet::PubAck(ack) = packet else {
                    return None;
                };
                Some(!ack.reason_code.is_failure())
            });
            if let Some(taken) = answer.expect("it stays connected") {
                return taken;
            }
        }
    }
}
