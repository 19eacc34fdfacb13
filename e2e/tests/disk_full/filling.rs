//! A disk that takes no more, by the limit of a file's size.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};
use symbolon_e2e::{
    Command,
    program::{Running, symbolon, wait_for},
};
use symbolon_mqtt_proto::{
    Ack, Connect, Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, Qos, ReasonCode, RetainHandling, Sender, Subscribe, Subscription,
    TopicFilter, TopicName, UserProperties, connect::ConnectProperties,
};

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_mins(1);
/// How long we wait for what does not come.
const A_WHILE: Duration = Duration::from_secs(3);
/// The most that a file may have, in the shell's blocks of 512 bytes.
const BLOCKS: &str = "8192";
/// Of each message.
const PAYLOAD_BYTES: usize = 32 * 1024;
/// More messages than fit.
const TOO_MANY: u32 = 200;

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects; with a session that stays or without. What CONNACK says, and whether there was one before.
    fn open(address: SocketAddr, name: &str, stays: bool) -> (Self, ReasonCode, bool) {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self {
            stream,
            buffer: Vec::new(),
        };
        client.send(&Packet::Connect(Box::new(Connect {
            version: ProtocolVersion::V5,
            clean_start: !stays,
            keep_alive_secs: 60,
            client_identifier: name,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties {
                session_expiry_interval_secs: stays.then_some(3_600),
                ..ConnectProperties::default()
            },
        })));
        let (reason_code, session_present) = client.next(|packet| {
            let Packet::ConnAck(connack) = packet else {
                panic!("CONNACK expected, {packet:?} came");
            };
            (connack.reason_code, connack.session_present)
        });
        (client, reason_code, session_present)
    }

    fn admitted(address: SocketAddr, name: &str, stays: bool) -> Self {
        let (client, reason_code, _) = Self::open(address, name, stays);
        assert_eq!(reason_code, ReasonCode::Success, "{name}");
        client
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(ProtocolVersion::V5, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    fn next<T>(&mut self, take: impl FnOnce(&Packet<'_>) -> T) -> T {
        self.try_next(LIMIT, take).expect("a packet in time")
    }

    fn try_next<T>(&mut self, limit: Duration, take: impl FnOnce(&Packet<'_>) -> T) -> Option<T> {
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        self.stream.set_read_timeout(Some(limit)).unwrap();
        loop {
            if let Some((packet, size)) = decoder.decode(&self.buffer).unwrap() {
                let taken = take(&packet);
                self.buffer.drain(..size);
                return Some(taken);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the broker closed the connection"),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn subscribe(&mut self, filter: &str) -> ReasonCode {
        let subscription = Subscription {
            share_name: None,
            filter: TopicFilter::parse(filter).unwrap(),
            maximum_qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        self.send(&Packet::Subscribe(Subscribe {
            packet_identifier: PacketIdentifier::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: vec![subscription],
        }));
        self.next(|packet| {
            let Packet::SubAck(suback) = packet else {
                panic!("SUBACK expected, {packet:?} came");
            };
            suback.reason_codes[0]
        })
    }

    fn publish(&mut self, topic: &str, number: u32, qos: Qos, retain: bool) {
        let delivery = match qos {
            Qos::AtMostOnce => Delivery::AtMostOnce,
            Qos::AtLeastOnce => Delivery::AtLeastOnce(PacketIdentifier::MIN),
            Qos::ExactlyOnce => Delivery::ExactlyOnce(PacketIdentifier::MIN),
        };
        self.send(&Packet::Publish(Publish {
            duplicate: false,
            delivery,
            retain,
            topic: Some(TopicName::parse(topic).unwrap()),
            properties: PublishProperties::default(),
            payload: &payload(number),
        }));
    }

    /// What PUBACK or PUBREC says, if one comes.
    fn answer(&mut self, limit: Duration) -> Option<ReasonCode> {
        self.try_next(limit, |packet| {
            let (Packet::PubAck(ack) | Packet::PubRec(ack)) = packet else {
                panic!("an acknowledgement expected, {packet:?} came");
            };
            ack.reason_code
        })
    }

    /// The number of the next message, acknowledged; where one comes.
    fn message(&mut self, limit: Duration) -> Option<u32> {
        let (number, delivery) = self.try_next(limit, |packet| {
            let Packet::Publish(publish) = packet else {
                panic!("PUBLISH expected, {packet:?} came");
            };
            let number = publish.payload.first_chunk().unwrap();
            assert_eq!(publish.payload.len(), PAYLOAD_BYTES);
            (u32::from_be_bytes(*number), publish.delivery)
        })?;
        if let Delivery::AtLeastOnce(identifier) = delivery {
            self.send(&Packet::PubAck(Ack::new(identifier, ReasonCode::Success)));
        }
        Some(number)
    }
}

fn payload(number: u32) -> Vec<u8> {
    let mut payload = vec![0; PAYLOAD_BYTES];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

/// A directory with a configuration whose broker listens where nobody else did a moment ago.
fn site(directory: &Path) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap();
    let configuration = format!(
        "[broker]\npublic_topics = [\"#\"]\n[broker.store]\npath = \"store\"\n\
         [[broker.listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\n[log]\nlevel = \"warn\"\n"
    );
    std::fs::write(directory.join("symbolon.toml"), configuration).unwrap();
    address
}

fn started(command: Command) -> Running {
    let broker = command.start();
    let ready = wait_for(LIMIT, || broker.stdout().contains("ready").then_some(()));
    assert!(ready.is_some(), "not ready: {}", broker.stderr());
    broker
}

/// On a disk that has no space beyond the limit.
fn start_limited(directory: &Path) -> Running {
    let script = "trap '' XFSZ; ulimit -f \"$0\"; exec \"$1\" broker \"$2\"";
    let shell = Command::new("sh").arg("-c").arg(script).arg(BLOCKS);
    started(shell.arg(symbolon()).arg(directory))
}

/// Publishes for the sleeper, one after the other, until an answer does not come; how many were acknowledged.
fn fill(publisher: &mut Client) -> u32 {
    for number in 1..TOO_MANY {
        publisher.publish("a", number, Qos::AtLeastOnce, false);
        match publisher.answer(A_WHILE) {
            Some(ReasonCode::Success) => {}
            // Not written, so not acknowledged.
            None => return number - 1,
            Some(other) => panic!("{other:?} before anything failed"),
        }
    }
    panic!("the disk never became full");
}

// [MQTT-4.3.2-4]
#[test]
fn on_a_full_disk_what_is_new_is_refused_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let address = site(directory.path());
    let mut broker = start_limited(directory.path());
    let mut sleeper = Client::admitted(address, "sleeper", true);
    assert_eq!(sleeper.subscribe("a"), ReasonCode::GrantedQos1);
    drop(sleeper);
    let mut first = Client::admitted(address, "first", false);
    let acknowledged = fill(&mut first);
    assert!(acknowledged > 20, "{acknowledged}");
    let mut second = Client::admitted(address, "second", false);
    let mut reader = Client::admitted(address, "reader", false);
    assert_eq!(reader.subscribe("live"), ReasonCode::GrantedQos1);
    let until = Instant::now() + A_WHILE;
    let mut rounds = 0;
    // The store tries again and again meanwhile.
    while rounds < 3 || Instant::now() < until {
        for (topic, qos, retain) in [
            ("a", Qos::AtLeastOnce, false),
            ("a", Qos::ExactlyOnce, false),
            ("kept", Qos::AtLeastOnce, true),
        ] {
            second.publish(topic, 0, qos, retain);
            assert_eq!(second.answer(LIMIT), Some(ReasonCode::QuotaExceeded));
        }
        let (_, newcomer, _) = Client::open(address, "newcomer", true);
        assert_eq!(newcomer, ReasonCode::QuotaExceeded);
        second.publish("live", rounds, Qos::AtMostOnce, false);
        assert_eq!(reader.message(LIMIT), Some(rounds));
        rounds += 1;
    }
    assert!(broker.ended().is_none(), "{}", broker.stderr());
    let complaints = broker.stderr();
    let times = complaints.matches("nothing is acknowledged until").count();
    assert_eq!(times, 1, "it is said once: {complaints}");
    // Dropping it is SIGKILL.
    drop(broker);
    let _broker = started(Command::symbolon().arg("broker").arg(directory.path()));
    let (mut sleeper, _, session_present) = Client::open(address, "sleeper", true);
    assert!(session_present);
    for number in 1..=acknowledged {
        assert_eq!(sleeper.message(LIMIT), Some(number));
    }
    // There is space again.
    let mut first = Client::admitted(address, "first", false);
    first.publish("a", TOO_MANY, Qos::AtLeastOnce, false);
    assert_eq!(first.answer(LIMIT), Some(ReasonCode::Success));
    let mut next = sleeper.message(LIMIT);
    if next == Some(acknowledged + 1) {
        // It was not acknowledged, and may have been stored.
        next = sleeper.message(LIMIT);
    }
    assert_eq!(next, Some(TOO_MANY));
    assert_eq!(sleeper.message(Duration::from_millis(300)), None);
}
