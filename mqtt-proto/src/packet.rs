//! The Control Packet: its types, its fixed header, and the decoder that picks the right one (§2.1).

use crate::reader::{Reader, variable_byte_integer};
use crate::writer::{Body, Output, frame_len, remaining_length, write_packet};
use crate::{
    Ack, Auth, ConnAck, Connect, DecodeError, Disconnect, EncodeError, Publish, SubAck, Subscribe,
    UnsubAck, Unsubscribe,
};
use std::num::NonZeroU16;

/// The first byte: type above, flags below (§2.1).
const TYPE_SHIFT: u32 = 4;
const FLAGS: u8 = 0b1111;

/// A non-zero Packet Identifier (§2.2.1).
pub type PacketIdentifier = NonZeroU16;

/// The Protocol Version of a connection (§3.1.2.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ProtocolVersion {
    /// MQTT 3.1.1, level 4.
    V311,
    /// MQTT 5.0, level 5.
    V5,
}

/// The Quality of Service level (§4.3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Qos {
    /// 0.
    AtMostOnce = 0,
    /// 1.
    AtLeastOnce = 1,
    /// 2.
    ExactlyOnce = 2,
}

/// Which end sent the bytes being decoded: some packets and Reason Codes are for one end alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    /// The Client sent them.
    Client,
    /// The Server sent them.
    Server,
}

/// The fifteen Control Packet types (§2.1.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

/// A Control Packet. Text and bytes are borrowed from where it was decoded, or from whoever wants it encoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet<'a> {
    /// §3.1.
    Connect(Box<Connect<'a>>),
    /// §3.2.
    ConnAck(Box<ConnAck<'a>>),
    /// §3.3.
    Publish(Publish<'a>),
    /// §3.4.
    PubAck(Ack<'a>),
    /// §3.5.
    PubRec(Ack<'a>),
    /// §3.6.
    PubRel(Ack<'a>),
    /// §3.7.
    PubComp(Ack<'a>),
    /// §3.8.
    Subscribe(Subscribe<'a>),
    /// §3.9.
    SubAck(SubAck<'a>),
    /// §3.10.
    Unsubscribe(Unsubscribe<'a>),
    /// §3.11.
    UnsubAck(UnsubAck<'a>),
    /// §3.12.
    PingReq,
    /// §3.13.
    PingResp,
    /// §3.14.
    Disconnect(Disconnect<'a>),
    /// §3.15.
    Auth(Auth<'a>),
}

/// Takes packets off the front of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// The version of this connection. A CONNECT says its own, so before one this is ignored.
    pub version: ProtocolVersion,
    /// Whose bytes these are.
    pub sender: Sender,
    /// The largest packet accepted, in bytes, fixed header included (§3.1.2.11.4, §3.2.2.3.6).
    pub maximum_packet_size: u32,
}

impl Decoder {
    /// Decodes the packet at the front of `bytes`: the packet and how many bytes it took, or `None` while it is not whole yet.
    /// A packet past `maximum_packet_size` is refused as soon as its fixed header is there.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Packet<'a>, usize)>, DecodeError> {
        let Some((first_byte, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let packet_type = self.packet_type(*first_byte)?;
        let Some((remaining_length, length_bytes)) = variable_byte_integer(rest)? else {
            return Ok(None);
        };
        let size = frame_len(remaining_length);
        if size > self.maximum_packet_size {
            return Err(DecodeError::TooLarge { size });
        }
        let Some(body) = rest[length_bytes..].get(..remaining_length as usize) else {
            return Ok(None);
        };
        let packet = self.decode_body(packet_type, first_byte & FLAGS, body)?;
        Ok(Some((packet, size as usize)))
    }

    /// The type that the first byte tells, if its flags are right (§2.1.3) and this end sends it.
    #[inline]
    fn packet_type(self, first_byte: u8) -> Result<PacketType, DecodeError> {
        // Most are, and all flags and both senders are right there.
        if first_byte >> TYPE_SHIFT == PacketType::Publish as u8 {
            return Ok(PacketType::Publish);
        }
        self.other_packet_type(first_byte)
    }

    fn other_packet_type(self, first_byte: u8) -> Result<PacketType, DecodeError> {
        let packet_type = PacketType::from_bits(first_byte >> TYPE_SHIFT)
            .filter(|packet_type| {
                *packet_type != PacketType::Auth || self.version == ProtocolVersion::V5
            })
            .ok_or(DecodeError::Malformed("reserved packet type"))?;
        let flags_are_valid = match packet_type.flags() {
            None => true,
            Some(flags) => first_byte & FLAGS == flags,
        };
        if !flags_are_valid {
            return Err(DecodeError::Malformed("reserved flags of the fixed header"));
        }
        if packet_type.is_sent_by(self.sender, self.version) {
            Ok(packet_type)
        } else {
            Err(DecodeError::WrongSender(packet_type))
        }
    }

    #[inline]
    fn decode_body(
        self,
        packet_type: PacketType,
        flags: u8,
        body: &[u8],
    ) -> Result<Packet<'_>, DecodeError> {
        let Self {
            version, sender, ..
        } = self;
        let ack = || Ack::decode(packet_type, body, version, sender);
        let empty = |packet| Reader::new(body).finish().map(|()| packet);
        match packet_type {
            PacketType::Connect => Ok(Packet::Connect(Box::new(Connect::decode(body)?))),
            PacketType::ConnAck => Ok(Packet::ConnAck(Box::new(ConnAck::decode(body, version)?))),
            PacketType::Publish => {
                Publish::decode(flags, body, version, sender).map(Packet::Publish)
            }
            PacketType::PubAck => ack().map(Packet::PubAck),
            PacketType::PubRec => ack().map(Packet::PubRec),
            PacketType::PubRel => ack().map(Packet::PubRel),
            PacketType::PubComp => ack().map(Packet::PubComp),
            PacketType::Subscribe => Subscribe::decode(body, version).map(Packet::Subscribe),
            PacketType::SubAck => SubAck::decode(body, version).map(Packet::SubAck),
            PacketType::Unsubscribe => Unsubscribe::decode(body, version).map(Packet::Unsubscribe),
            PacketType::UnsubAck => UnsubAck::decode(body, version).map(Packet::UnsubAck),
            PacketType::PingReq => empty(Packet::PingReq),
            PacketType::PingResp => empty(Packet::PingResp),
            PacketType::Disconnect => {
                Disconnect::decode(body, version, sender).map(Packet::Disconnect)
            }
            PacketType::Auth => Auth::decode(body, sender).map(Packet::Auth),
        }
    }
}

impl Packet<'_> {
    /// Which of the fifteen types it is.
    pub fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Appends the packet's bytes to `out`. Fails, leaving `out` as it was, when a field does not fit its length prefix, or the packet says
    /// what no peer may accept.
    ///
    /// What 3.1.1 lacks (properties, most Reason Codes) is not written there; where the peer would then do other than was meant, it fails:
    /// AUTH, an Authentication Method, Subscription Options and a Subscription Identifier, DISCONNECT with a reason. A CONNECT is written in
    /// the version it asks for.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Self::Publish(publish) = self {
            return publish.encode(version, out).map(drop);
        }
        write_packet(self.first_byte(), self, version, out)
    }

    /// How many bytes [`Packet::encode`] would append.
    pub fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        remaining_length(self, version).map(|length| frame_len(length) as usize)
    }

    fn first_byte(&self) -> u8 {
        if let Self::Publish(publish) = self {
            return publish.first_byte();
        }
        let packet_type = self.packet_type();
        (packet_type as u8) << TYPE_SHIFT | packet_type.flags().unwrap_or(0)
    }
}

impl Body for Packet<'_> {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        match self {
            Self::Connect(connect) => connect.write(version, out),
            Self::ConnAck(connack) => connack.write(version, out),
            Self::Publish(publish) => publish.write(version, out),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                ack.write(self.packet_type(), version, out)
            }
            Self::Subscribe(subscribe) => subscribe.write(version, out),
            Self::SubAck(suback) => suback.write(version, out),
            Self::Unsubscribe(unsubscribe) => unsubscribe.write(version, out),
            Self::UnsubAck(unsuback) => unsuback.write(version, out),
            Self::PingReq | Self::PingResp => Ok(()),
            Self::Disconnect(disconnect) => disconnect.write(version, out),
            Self::Auth(auth) => auth.write(version, out),
        }
    }
}

impl PacketType {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The flags that the fixed header must have (§2.1.3, Table 2-2); `None` for PUBLISH, where they mean something.
    fn flags(self) -> Option<u8> {
        match self {
            Self::Publish => None,
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => Some(0b0010),
            Self::Connect
            | Self::ConnAck
            | Self::PubAck
            | Self::PubRec
            | Self::PubComp
            | Self::SubAck
            | Self::UnsubAck
            | Self::PingReq
            | Self::PingResp
            | Self::Disconnect
            | Self::Auth => Some(0),
        }
    }

    /// §2.1.2, Table 2-1. A Server does not send DISCONNECT in 3.1.1.
    fn is_sent_by(self, sender: Sender, version: ProtocolVersion) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::PingReq => {
                sender == Sender::Client
            }
            Self::ConnAck | Self::SubAck | Self::UnsubAck | Self::PingResp => {
                sender == Sender::Server
            }
            Self::Disconnect => sender == Sender::Client || version == ProtocolVersion::V5,
            Self::Publish
            | Self::PubAck
            | Self::PubRec
            | Self::PubRel
            | Self::PubComp
            | Self::Auth => true,
        }
    }
}

impl Qos {
    /// From the lower two bits; `None` at 3.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        match bits & 0b11 {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}
