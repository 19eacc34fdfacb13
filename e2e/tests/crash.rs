//! The broker is killed again and again, at any moment, while clients publish at full speed: what it acknowledged is not lost, and at
//! `QoS` 2 nothing comes twice.

use std::{
    collections::HashSet,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use symbolon_e2e::{
    Command,
    program::{Running, wait_for},
};
use symbolon_mqtt_proto::{
    Ack, Connect, Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, Qos, ReasonCode, RetainHandling, Sender, Subscribe, Subscription,
    TopicFilter, TopicName, UserProperties,
    connect::ConnectProperties,
    delivery::{Incoming, Outgoing, OutgoingState},
};

/// How often the broker is killed.
const KILLS: usize = 200;
/// The longest it lives before, milliseconds.
const LIFE_MS: u64 = 120;
/// Messages that a publisher has in flight at the most.
const WINDOW: usize = 64;
/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_mins(1);
/// How long a client waits for a packet before it looks whether the test is over.
const GLANCE: Duration = Duration::from_millis(20);

/// One connection of a client that keeps its session.
struct Link {
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
            let connack = link.next(|packet| match packet {
                Packet::ConnAck(connack) => (connack.reason_code, connack.session_present),
                other => panic!("CONNACK expected, {other:?} came"),
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
struct Publisher {
    topic: &'static str,
    qos: Qos,
    outgoing: Outgoing<u64>,
    sent: u64,
}

impl Publisher {
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
    fn run(mut self, address: SocketAddr, stop: &AtomicBool) -> u64 {
        loop {
            let mut link = Link::open(address, self.topic);
            if self.serve(&mut link, stop).is_ok() {
                return self.sent;
            }
        }
    }

    fn serve(&mut self, link: &mut Link, stop: &AtomicBool) -> io::Result<()> {
        self.outgoing.handle_reconnect(WINDOW as u16);
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
struct Received {
    at_least_once: Vec<u64>,
    exactly_once: Vec<u64>,
}

struct Subscriber {
    incoming: Incoming,
    received: Received,
    count: Arc<AtomicUsize>,
    subscribed: bool,
}

impl Subscriber {
    fn run(mut self, address: SocketAddr, stop: &AtomicBool) -> Received {
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

/// A directory with a configuration whose broker listens where nobody else did a moment ago.
fn site(directory: &std::path::Path) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap();
    let configuration = format!(
        "[broker]\npublic_topics = [\"#\"]\n[broker.store]\npath = \"store\"\n[broker.limits]\nqueued_messages = 10000000\n\
         queued_bytes = 1000000000\n[[broker.listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\n[log]\nlevel = \"warn\"\n"
    );
    std::fs::write(directory.join("symbolon.toml"), configuration).unwrap();
    address
}

fn start(directory: &std::path::Path) -> Running {
    let broker = Command::symbolon().arg("broker").arg(directory).start();
    let ready = wait_for(LIMIT, || broker.stdout().contains("ready").then_some(()));
    assert!(ready.is_some(), "not ready: {}", broker.stderr());
    broker
}

/// A cheap sequence of numbers that look random.
fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn publisher(topic: &'static str, qos: Qos) -> Publisher {
    Publisher {
        topic,
        qos,
        outgoing: Outgoing::new(WINDOW as u16),
        sent: 0,
    }
}

// [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.5.0-1]: an acknowledgement passes the responsibility on.
#[test]
fn nothing_acknowledged_is_lost_however_often_the_broker_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let address = site(directory.path());
    let mut seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .subsec_nanos()
        .into();
    println!("seed {seed}");
    let mut broker = start(directory.path());
    let (stop, stop_reading) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let count = Arc::new(AtomicUsize::new(0));
    let subscriber = Subscriber {
        incoming: Incoming::default(),
        received: Received::default(),
        count: Arc::clone(&count),
        subscribed: false,
    };
    let reader = {
        let stop = Arc::clone(&stop_reading);
        thread::spawn(move || subscriber.run(address, &stop))
    };
    // The subscription is there before the first message: what it must get, it knows.
    let mut probe = publisher("probe", Qos::AtLeastOnce);
    let begun = wait_for(LIMIT, || {
        let mut link = Link::open(address, "probe");
        probe.outgoing = Outgoing::new(1);
        let identifier = probe.outgoing.handle_send(Qos::AtLeastOnce, 0).unwrap();
        link.stream
            .write_all(&probe.publish(0, identifier, false))
            .unwrap();
        let matched = wait_for(LIMIT, || {
            link.next(|packet| matches!(packet, Packet::PubAck(ack) if ack.reason_code == ReasonCode::Success))
                .unwrap()
        });
        matched.unwrap().then_some(())
    });
    assert!(begun.is_some(), "the subscriber never subscribed");
    let publishers: Vec<JoinHandle<u64>> = [("one", Qos::AtLeastOnce), ("two", Qos::ExactlyOnce)]
        .into_iter()
        .map(|(topic, qos)| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || publisher(topic, qos).run(address, &stop))
        })
        .collect();
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(random(&mut seed) % LIFE_MS));
        // Dropping it is SIGKILL.
        drop(broker);
        broker = start(directory.path());
    }
    stop.store(true, Ordering::Relaxed);
    let sent: Vec<u64> = publishers
        .into_iter()
        .map(|publisher| publisher.join().unwrap())
        .collect();
    let mut last = (usize::MAX, Instant::now());
    let quiet = wait_for(LIMIT, || {
        let now = count.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(2)).then_some(())
    });
    assert!(quiet.is_some(), "it never became quiet");
    stop_reading.store(true, Ordering::Relaxed);
    let received = reader.join().unwrap();
    println!(
        "{KILLS} kills; QoS 1: {} sent, {} received; QoS 2: {} sent, {} received",
        sent[0],
        received.at_least_once.len(),
        sent[1],
        received.exactly_once.len()
    );
    assert!(
        sent.iter().all(|sent| *sent > 1_000),
        "hardly anything was sent: {sent:?}"
    );
    check_at_least_once(sent[0], &received.at_least_once);
    let expected: Vec<u64> = (1..=sent[1]).collect();
    assert!(
        received.exactly_once == expected,
        "QoS 2: not each once and in order"
    );
}

fn check_at_least_once(sent: u64, received: &[u64]) {
    let mut seen = HashSet::new();
    // 0 is the probe's.
    let first: Vec<u64> = received
        .iter()
        .copied()
        .filter(|number| *number > 0 && seen.insert(*number))
        .collect();
    let expected: Vec<u64> = (1..=sent).collect();
    assert!(first == expected, "QoS 1: one is lost or out of order");
}
