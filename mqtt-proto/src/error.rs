//! What can be wrong with bytes or with a packet.

use crate::{PacketType, ReasonCode, TopicError};

/// Why bytes from a peer are no packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A length, flag or value breaks the layout (§1.2, Malformed Packet).
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// The layout is right, but not allowed here (§1.2, Protocol Error).
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// A Topic Name or Topic Filter is refused.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// CONNECT asks for a version that is neither 3.1.1 nor 5.0 (§3.1.2.2).
    #[error("unsupported protocol version")]
    UnsupportedProtocolVersion,
    /// CONNECT of 3.1.1 has no Client Identifier, yet wants its session kept (MQTT 3.1.1 §3.1.3.1).
    #[error("empty Client Identifier without Clean Session")]
    ClientIdentifierNotValid,
    /// Topic Alias 0 (§3.3.2.3.4).
    #[error("Topic Alias is 0")]
    TopicAliasInvalid,
    /// Longer than the Maximum Packet Size.
    #[error("packet of {size} bytes is larger than the maximum packet size")]
    TooLarge {
        /// Bytes, fixed header included.
        size: u32,
    },
    /// A type that this end does not send.
    #[error("{0:?} is not sent by this end")]
    WrongSender(PacketType),
}

impl DecodeError {
    /// What the peer is told in CONNACK or DISCONNECT (§2.4).
    pub fn reason_code(self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::MalformedPacket,
            Self::Protocol(_) | Self::WrongSender(_) => ReasonCode::ProtocolError,
            Self::Topic(error) => error.reason_code(),
            Self::UnsupportedProtocolVersion => ReasonCode::UnsupportedProtocolVersion,
            Self::ClientIdentifierNotValid => ReasonCode::ClientIdentifierNotValid,
            Self::TopicAliasInvalid => ReasonCode::TopicAliasInvalid,
            Self::TooLarge { .. } => ReasonCode::PacketTooLarge,
        }
    }
}

/// Why a packet cannot be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A text or binary field is longer than 65,535 bytes.
    #[error("{0} is longer than 65535 bytes")]
    FieldTooLong(&'static str),
    /// The whole is longer than 268,435,455 bytes.
    #[error("packet is longer than 268435455 bytes")]
    PacketTooLong,
    /// A value that its field cannot carry.
    #[error("invalid {0}")]
    InvalidField(&'static str),
}
