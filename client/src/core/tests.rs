//! The machine against hand-made packets of a broker.

mod any_broker;
mod keep_alive;
mod opening;
mod publishing;
mod receiving;
mod renewal;
mod requests;

use super::{
    connected::Connected,
    event::Event,
    opening::{Authentication, Opening, Progress},
    renewal::{Clocks, TokenLife},
    session::Session,
};
use crate::{ConnectError, ConnectOptions, connection::Outgoing};
use std::time::Duration;
use symbolon_ace_proto::{Jwk, PopSigner, UnixTime};
use symbolon_mqtt_proto::{
    ConnAck, Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, Qos, ReasonCode, Sender, TopicName, connack::ConnAckProperties,
};

const V5: ProtocolVersion = ProtocolVersion::V5;
const V311: ProtocolVersion = ProtocolVersion::V311;

/// When every test begins.
const BEGIN: UnixTime = UnixTime(1_800_000_000);

/// A machine, and the clock it is shown.
struct Rig {
    machine: Connected,
    version: ProtocolVersion,
    clocks: Clocks,
}

/// Options of the vectors: Clean Start, Keep Alive 60, `c1`.
fn options(version: ProtocolVersion) -> ConnectOptions<'static> {
    ConnectOptions {
        version,
        client_identifier: "c1".to_owned(),
        ..ConnectOptions::new("broker.example", 8883)
    }
}

fn clocks() -> Clocks {
    Clocks {
        unix: BEGIN,
        ..crate::clock::clocks()
    }
}

/// The HS256 key of the vectors, 00 to 1f.
fn hs256() -> PopSigner {
    let jwk = r#"{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;
    PopSigner::from_jwk(&serde_json::from_str::<Jwk>(jwk).unwrap()).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap())
        .collect()
}

fn id(identifier: u16) -> PacketIdentifier {
    PacketIdentifier::new(identifier).unwrap()
}

fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).unwrap();
    bytes
}

fn connack(properties: ConnAckProperties<'_>) -> Packet<'_> {
    Packet::ConnAck(Box::new(ConnAck {
        session_present: false,
        reason_code: ReasonCode::Success,
        properties,
    }))
}

fn publish(topic: &str, delivery: Delivery) -> Packet<'_> {
    Packet::Publish(Publish {
        duplicate: false,
        delivery,
        retain: false,
        topic: Some(TopicName::parse(topic).unwrap()),
        properties: PublishProperties::default(),
        payload: b"21.5",
    })
}

fn outgoing(topic: &str, qos: Qos) -> Outgoing<'_> {
    Outgoing {
        topic,
        payload: b"21.5",
        qos,
        retain: false,
        properties: PublishProperties::default(),
    }
}

/// What we sent, taken apart and numbered by what the test expects of it.
fn packets(version: ProtocolVersion, mut bytes: &[u8]) -> Vec<Packet<'_>> {
    let decoder = Decoder {
        version,
        sender: Sender::Client,
        maximum_packet_size: u32::MAX,
    };
    let mut packets = Vec::new();
    while let Some((packet, length)) = decoder.decode(bytes).unwrap() {
        packets.push(packet);
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty());
    packets
}

/// An [`Opening`] whose CONNECT is out.
fn opening(options: &ConnectOptions<'_>, authentication: Authentication) -> Opening {
    let session = Session::new(options.version);
    let mut opening = Opening::new(options, authentication, None, session).unwrap();
    take_connect(&mut opening);
    opening
}

fn take_connect(opening: &mut Opening) -> Vec<u8> {
    let connect = opening.outbox().pending().to_vec();
    opening.outbox().handle_written(connect.len());
    connect
}

fn connected(progress: Progress) -> Connected {
    match progress {
        Progress::Connected(connected) => *connected,
        Progress::Opening(_) => panic!("not connected"),
    }
}

impl Rig {
    fn new(version: ProtocolVersion) -> Self {
        Self::with(&options(version), ConnAckProperties::default())
    }

    fn with(options: &ConnectOptions<'_>, properties: ConnAckProperties<'_>) -> Self {
        let session = Session::new(options.version);
        Self::resumed(options, properties, session, false)
    }

    fn resumed(
        options: &ConnectOptions<'_>,
        properties: ConnAckProperties<'_>,
        session: Session,
        session_present: bool,
    ) -> Self {
        let mut opening = Opening::new(options, Authentication::None, None, session).unwrap();
        take_connect(&mut opening);
        let connack = Packet::ConnAck(Box::new(ConnAck {
            session_present,
            reason_code: ReasonCode::Success,
            properties,
        }));
        let clocks = clocks();
        let bytes = encoded(options.version, &connack);
        Self {
            machine: connected(opening.handle_bytes(&bytes, clocks).unwrap()),
            version: options.version,
            clocks,
        }
    }

    /// Connected with a token of this life, in seconds from [`BEGIN`].
    fn with_token(lifetime_secs: u64) -> Self {
        let authentication = Authentication::Exporter {
            token: b"abc.def.ghi".to_vec(),
            signer: hs256(),
            exporter: [0; 32],
        };
        let life = TokenLife {
            obtained_at: BEGIN,
            expires_at: BEGIN.plus_secs(lifetime_secs),
        };
        let mut options = options(V5);
        options.keep_alive_secs = 0;
        let session = Session::new(V5);
        let mut opening = Opening::new(&options, authentication, Some(life), session).unwrap();
        take_connect(&mut opening);
        let clocks = clocks();
        let progress = opening.handle_bytes(&hex("2009000006150003616365"), clocks);
        Self {
            machine: connected(progress.unwrap()),
            version: V5,
            clocks,
        }
    }

    fn broker_sends(&mut self, packet: &Packet<'_>) -> Result<(), ConnectError> {
        let bytes = encoded(self.version, packet);
        self.machine.handle_bytes(&bytes, self.clocks)
    }

    fn publish(&mut self, topic: &str, qos: Qos) -> Result<u64, ConnectError> {
        let message = outgoing(topic, qos);
        self.machine.handle_publish(&message, self.clocks.now)
    }

    fn event(&mut self) -> Option<Event> {
        self.machine.poll_event(self.clocks.now)
    }

    /// What we sent since the last call.
    fn sent(&mut self) -> Vec<u8> {
        let bytes = self.machine.outbox().pending().to_vec();
        self.machine.outbox().handle_written(bytes.len());
        bytes
    }

    fn wait(&mut self, secs: u64) {
        self.clocks.now += Duration::from_secs(secs);
        self.clocks.unix = self.clocks.unix.plus_secs(secs);
    }
}
