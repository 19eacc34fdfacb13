//! The Control Packet: its types, its fixed header, and the decoder that picks the right one (§2.1).

use crate::{
    Ack, Auth, ConnAck, Connect, DecodeError, Disconnect, EncodeError, Publish, SubAck, Subscribe,
    UnsubAck, Unsubscribe,
};
use std::num::NonZeroU16;

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
        let _ = bytes;
        todo!()
    }
}

impl Packet<'_> {
    /// Which of the fifteen types it is.
    pub fn packet_type(&self) -> PacketType {
        todo!()
    }

    /// Appends the packet's bytes to `out`. Fails, leaving `out` as it was, when a field does not fit its length prefix.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let _ = (version, out);
        todo!()
    }

    /// How many bytes [`Packet::encode`] would append.
    pub fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        let _ = version;
        todo!()
    }
}
