//! Clients that keep their sessions over every loss of the connection, and remember what is not done.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use symbolon_e2e::program::wait_for;
use symbolon_mqtt_proto::{
    Ack, Connect, Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, Qos, ReasonCode, RetainHandling, Sender, Subscribe, Subscription,
    TopicFilter, TopicName, UserProperties,
    connect::ConnectProperties,
    delivery::{Incoming, Outgoing, OutgoingState},
};

/// Messages that a publisher has in flight at the most.
pub(crate) const WINDOW: u16 = 64;
/// How long anything may take that must happen.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// How long a client waits for a packet before it looks whether the test is over.
const GLANCE: Duration = Duration::from_millis(20);

/// One connection of a client that keeps its session.
pub(crate) struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    session_present: bool,
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(ProtocolVersion::V5, &mut bytes).unwrap();
    bytes
}

impl Link {
    /// Connects, however often it takes.
    fn open(address: SocketAddr, name: &str) -> Self {
        let began = Instant::now();
        loop {
            match Self::try_open(address, name) {
                Ok(link) => return link,
                Err(error) => assert!(began.elapsed() < LIMIT, "{name} cannot connect: {error}"),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn try_open(address: SocketAddr, name: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GLANCE))?;
        let mut link = Self {
            stream,
            buffer: Vec::new(),
            session_present: false,
        };
        let connect = Connect {
            version: ProtocolVersion::V5,
            clean_start: false,
            keep_alive_secs: 60,
            client_identifier: name,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties {
                session_expiry_interval_secs: Some(3_600),
                ..ConnectProperties::default()
            },
        };
        link.stream
            .write_all(&encoded(&Packet::Connect(Box::new(connect))))?;
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            let connack = link.next(|packet| {
                let Packet::ConnAck(connack) = packet else {
                    panic!("CONNACK expected, {packet:?} came");
                };
                (connack.reason_code, connack.session_present)
            })?;
            if let Some((reason_code, session_present)) = connack {
                assert_eq!(reason_code, ReasonCode::Success);
                link.session_present = session_present;
                return Ok(link);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The next packet, if one comes within a glance.
    fn next<T>(&mut self, take: impl FnOnce(&Packet<'_>) -> T) -> io::Result<Option<T>> {
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        loop {
            if let Some((packet, size)) = decoder.decode(&self.buffer).unwrap() {
                let taken = take(&packet);
                self.buffer.drain(..size);
                return Ok(Some(taken));
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Publishes 1, 2, 3, ... to one topic; remembers what is not acknowledged over all connections.
pub(crate) struct Publisher {
    topic: &'static str,
    qos: Qos,
    outgoing: Outgoing<u64>,
    sent: u64,
}

impl Publisher {
    pub(crate) fn new(topic: &'static str, qos: Qos) -> Self {
        Self {
            topic,
            qos,
            outgoing: Outgoing::new(WINDOW),
            sent: 0,
        }
    }

    /// Publishes 0 at QoS 1 again and again until somebody subscribes.
    pub(crate) fn probe(address: SocketAddr) {
        let began = Instant::now();
        loop {
            let mut probe = Self::new("probe", Qos::AtLeastOnce);
            let mut link = Link::open(address, "probe");
            let identifier = probe.outgoing.handle_send(Qos::AtLeastOnce, 0).unwrap();
            let bytes = probe.publish(0, identifier, false);
            link.stream.write_all(&bytes).unwrap();
            let is_matched = wait_for(LIMIT, || {
                link.next(|packet| {
                    matches!(packet, Packet::PubAck(ack) if ack.reason_code == ReasonCode::Success)
                })
                .unwrap()
            });
            if is_matched == Some(true) {
                return;
            }
            assert!(began.elapsed() < LIMIT, "the subscriber never subscribed");
        }
    }

    fn publish(&self, number: u64, identifier: PacketIdentifier, duplicate: bool) -> Vec<u8> {
        let delivery = match self.qos {
            Qos::ExactlyOnce => Delivery::ExactlyOnce(identifier),
            Qos::AtMostOnce | Qos::AtLeastOnce => Delivery::AtLeastOnce(identifier),
        };
        encoded(&Packet::Publish(Publish {
            duplicate,
            delivery,
            retain: false,
            topic: Some(TopicName::parse(self.topic).unwrap()),
            properties: PublishProperties::default(),
            payload: &number.to_be_bytes(),
        }))
    }

    /// Publishes until told to stop and all is acknowledged; how many there were.
    pub(crate) fn run(mut self, address: SocketAddr, stop: &AtomicBool) -> u64 {
        loop {
            let mut link = Link::open(address, self.topic);
            if self.serve(&mut link, stop).is_ok() {
                return self.sent;
            }
        }
    }

    /// What the connection before left open, in its order (MQTT-4.4.0-1).
    fn send_again(&mut self, link: &mut Link) -> io::Result<()> {
        self.outgoing.handle_reconnect(WINDOW);
        let mut again = Vec::new();
        while let Some((identifier, state, number)) = self.outgoing.poll_resend() {
            again.push((identifier, state, number.copied()));
        }
        for (identifier, state, number) in again {
            let bytes = match (state, number) {
                (OutgoingState::AwaitPubComp, _) | (_, None) => {
                    encoded(&Packet::PubRel(Ack::new(identifier, ReasonCode::Success)))
                }
                (OutgoingState::AwaitPubAck | OutgoingState::AwaitPubRec, Some(number)) => {
                    self.publish(number, identifier, true)
                }
            };
            link.stream.write_all(&bytes)?;
        }
        Ok(())
    }

    fn serve(&mut self, link: &mut Link, stop: &AtomicBool) -> io::Result<()> {
        self.send_again(link)?;
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            if stopping && self.outgoing.is_empty() {
                return Ok(());
            }
            let mut burst = Vec::new();
            while !stopping && self.outgoing.has_room() {
                let number = self.sent + 1;
                let identifier = self.outgoing.handle_send(self.qos, number).unwrap();
                self.sent = number;
                burst.extend(self.publish(number, identifier, false));
            }
            link.stream.write_all(&burst)?;
            let outgoing = &mut self.outgoing;
            let released = link.next(|packet| acknowledge(outgoing, packet))?;
            if let Some(Some(identifier)) = released {
                let pubrel = Packet::PubRel(Ack::new(identifier, ReasonCode::Success));
                link.stream.write_all(&encoded(&pubrel))?;
            }
        }
    }
}

/// Takes an acknowledgement; the identifier that PUBREL is due for.
fn acknowledge(outgoing: &mut Outgoing<u64>, packet: &Packet<'_>) -> Option<PacketIdentifier> {
    let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack)) = packet else {
        panic!("an acknowledgement expected, {packet:?} came");
    };
    let identifier = ack.packet_identifier;
    if matches!(packet, Packet::PubComp(_)) {
        outgoing.handle_pubcomp(identifier).unwrap();
        return None;
    }
    // 0x10 would be: nobody subscribes. The subscriber does, so it was forgotten.
    assert_eq!(ack.reason_code, ReasonCode::Success, "{packet:?}");
    if matches!(packet, Packet::PubAck(_)) {
        outgoing.handle_puback(identifier).unwrap();
        return None;
    }
    outgoing.handle_pubrec(identifier).unwrap();
    Some(identifier)
}

/// What the subscriber got, in order.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) at_least_once: Vec<u64>,
    pub(crate) exactly_once: Vec<u64>,
}

pub(crate) struct Subscriber {
    incoming: Incoming,
    received: Received,
    count: Arc<AtomicUsize>,
    subscribed: bool,
}

impl Subscriber {
    /// `count` tells how many messages came, repetitions too.
    pub(crate) fn new(count: Arc<AtomicUsize>) -> Self {
        Self {
            incoming: Incoming::default(),
            received: Received::default(),
            count,
            subscribed: false,
        }
    }

    pub(crate) fn run(mut self, address: SocketAddr, stop: &AtomicBool) -> Received {
        while !stop.load(Ordering::Relaxed) {
            let mut link = Link::open(address, "subscriber");
            assert!(
                link.session_present || !self.subscribed,
                "an acknowledged subscription is lost"
            );
            // The connection is lost each time the broker is killed.
            self.serve(&mut link, stop).ok();
        }
        self.received
    }

    fn serve(&mut self, link: &mut Link, stop: &AtomicBool) -> io::Result<()> {
        if !self.subscribed {
            link.stream.write_all(&encoded(&subscribe()))?;
        }
        while !stop.load(Ordering::Relaxed) {
            let answer = link.next(|packet| self.answer(packet))?;
            if let Some(Some(answer)) = answer {
                link.stream.write_all(&answer)?;
            }
        }
        Ok(())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else comes is wrong, also what there may be one day"
    )]
    fn answer(&mut self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let answer = match packet {
            Packet::SubAck(_) => {
                self.subscribed = true;
                return None;
            }
            Packet::Publish(publish) => {
                let number = u64::from_be_bytes(publish.payload.try_into().unwrap());
                self.count.fetch_add(1, Ordering::Relaxed);
                match publish.delivery {
                    Delivery::AtMostOnce => panic!("published above QoS 0"),
                    Delivery::AtLeastOnce(identifier) => {
                        self.received.at_least_once.push(number);
                        Packet::PubAck(Ack::new(identifier, ReasonCode::Success))
                    }
                    Delivery::ExactlyOnce(identifier) => {
                        if self.incoming.handle_publish(identifier) {
                            self.received.exactly_once.push(number);
                        }
                        Packet::PubRec(Ack::new(identifier, ReasonCode::Success))
                    }
                }
            }
            Packet::PubRel(ack) => {
                self.incoming.handle_pubrel(ack.packet_identifier);
                Packet::PubComp(Ack::new(ack.packet_identifier, ReasonCode::Success))
            }
            other => panic!("unexpected: {other:?}"),
        };
        Some(encoded(&answer))
    }
}

fn subscribe() -> Packet<'static> {
    let subscription = Subscription {
        share_name: None,
        filter: TopicFilter::parse("+").unwrap(),
        maximum_qos: Qos::ExactlyOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    Packet::Subscribe(Subscribe {
        packet_identifier: PacketIdentifier::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: vec![subscription],
    })
}
