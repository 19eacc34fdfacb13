//! A client over TLS that is cheap to have many of.

use std::{io, net::SocketAddr, time::Duration};
use symbolon_mqtt_proto::{
    Connect, Decoder, Delivery, Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, Qos, ReasonCode, RetainHandling, Sender, Subscribe, Subscription,
    TopicFilter, TopicName, UserProperties, connect::ConnectProperties,
};
use symbolon_tls::{Channel, Connector};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// How long anything may take that must happen.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
const READ_BYTES: usize = 16 * 1024;
const DECODER: Decoder = Decoder {
    version: ProtocolVersion::V5,
    sender: Sender::Server,
    maximum_packet_size: u32::MAX,
};

/// Where the broker is and how to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    pub(crate) connector: Connector,
}

/// An admitted client. When it is dropped, its connection is closed without a word.
pub(crate) struct Client {
    channel: Channel,
    /// What came and is not a whole packet yet.
    unread: Vec<u8>,
}

/// Appends `packet` to `out`.
pub(crate) fn encode(packet: &Packet<'_>, out: &mut Vec<u8>) {
    packet.encode(ProtocolVersion::V5, out).unwrap();
}

/// How long a session outlives its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Session {
    /// It begins and ends with the connection.
    Brief,
    /// It goes on for an hour, and is resumed.
    Kept,
}

impl Broker {
    /// A client that is let in.
    pub(crate) async fn connect(&self, name: &str, session: Session) -> io::Result<Client> {
        let channel = self.connector.connect(self.address, "localhost").await;
        let mut client = Client {
            channel: channel.map_err(io::Error::other)?,
            unread: Vec::new(),
        };
        let connect = Connect {
            version: ProtocolVersion::V5,
            clean_start: session == Session::Brief,
            keep_alive_secs: 0,
            client_identifier: name,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties {
                session_expiry_interval_secs: (session == Session::Kept).then_some(3_600),
                ..ConnectProperties::default()
            },
        };
        client.say(&Packet::Connect(Box::new(connect))).await?;
        let mut accepted = None;
        client
            .until(|packet, _| {
                if let Packet::ConnAck(connack) = packet {
                    accepted = Some(connack.reason_code == ReasonCode::Success);
                }
                accepted.is_some()
            })
            .await?;
        match accepted {
            Some(true) => Ok(client),
            Some(false) | None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl Client {
    /// Writes one packet.
    pub(crate) async fn say(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(packet, &mut bytes);
        self.write(&bytes).await
    }

    /// Writes encoded packets.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.channel.write_all(bytes).await?;
        self.channel.flush().await
    }

    /// Reads once, hands over every whole packet, and writes the answers that `handle` appends.
    pub(crate) async fn turn(
        &mut self,
        mut handle: impl FnMut(&Packet<'_>, &mut Vec<u8>),
    ) -> io::Result<()> {
        self.unread.reserve(READ_BYTES);
        if self.channel.read_buf(&mut self.unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut taken, mut answers) = (0, Vec::new());
        while let Some((packet, size)) = DECODER.decode(&self.unread[taken..]).unwrap() {
            if let Packet::Disconnect(disconnect) = &packet {
                panic!("disconnected: {disconnect:?}");
            }
            handle(&packet, &mut answers);
            taken += size;
        }
        self.unread.drain(..taken);
        if self.unread.is_empty() {
            // An idle client holds nothing.
            self.unread = Vec::new();
        }
        self.write(&answers).await
    }

    /// Turns until `handle` says that it has what it waits for.
    pub(crate) async fn until(
        &mut self,
        mut handle: impl FnMut(&Packet<'_>, &mut Vec<u8>) -> bool,
    ) -> io::Result<()> {
        let mut done = false;
        let turns = async {
            while !done {
                self.turn(|packet, answers| done |= handle(packet, answers))
                    .await?;
            }
            Ok(())
        };
        timeout(LIMIT, turns).await?
    }

    /// Subscribes at QoS 2 and waits for the answer; what else comes is given to `handle`.
    pub(crate) async fn subscribe(
        &mut self,
        filter: &str,
        mut handle: impl FnMut(&Packet<'_>, &mut Vec<u8>),
    ) -> io::Result<()> {
        let (share_name, filter) = TopicFilter::parse_shared(filter).unwrap();
        let subscription = Subscription {
            share_name,
            filter,
            maximum_qos: Qos::ExactlyOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        self.say(&Packet::Subscribe(Subscribe {
            packet_identifier: PacketIdentifier::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: vec![subscription],
        }))
        .await?;
        self.until(|packet, answers| {
            handle(packet, answers);
            matches!(packet, Packet::SubAck(_))
        })
        .await
    }

    /// Says goodbye; with `end`, the session ends too.
    pub(crate) async fn leave(mut self, end: bool) -> io::Result<()> {
        let mut disconnect = Disconnect::new(ReasonCode::Success, None);
        if end {
            disconnect.session_expiry_interval_secs = Some(0);
        }
        self.say(&Packet::Disconnect(disconnect)).await?;
        self.channel.shutdown().await
    }
}

/// One PUBLISH.
pub(crate) fn publish<'a>(
    topic: &'a str,
    delivery: Delivery,
    retain: bool,
    payload: &'a [u8],
) -> Packet<'a> {
    Packet::Publish(Publish {
        duplicate: false,
        delivery,
        retain,
        topic: Some(TopicName::parse(topic).unwrap()),
        properties: PublishProperties::default(),
        payload,
    })
}
