//! PUBLISH (§3.3).

use crate::property::SubscriptionIdentifiers;
use crate::{EncodeError, PacketIdentifier, ProtocolVersion, Qos, TopicName, UserProperties};
use std::num::NonZeroU16;

/// An Application Message on its way (§3.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Publish<'a> {
    /// DUP: this may be a repetition (§3.3.1.1). Never set at QoS 0.
    pub duplicate: bool,
    /// QoS and, above 0, the Packet Identifier.
    pub delivery: Delivery,
    /// RETAIN (§3.3.1.3).
    pub retain: bool,
    /// The Topic Name; absent (zero length on the wire) only where a Topic Alias stands for it.
    pub topic: Option<TopicName<'a>>,
    /// The properties; all default in 3.1.1.
    pub properties: PublishProperties<'a>,
    /// The Application Message.
    pub payload: &'a [u8],
}

/// QoS with the Packet Identifier that belongs to it (§3.3.1.2, §3.3.2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// QoS 0: no Packet Identifier.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketIdentifier),
    /// QoS 2.
    ExactlyOnce(PacketIdentifier),
}

/// The properties of a PUBLISH (§3.3.2.3), also used for a Will.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PublishProperties<'a> {
    /// Payload Format Indicator: `Some(true)` says UTF-8 text.
    pub payload_is_utf8: Option<bool>,
    /// Message Expiry Interval, seconds.
    pub message_expiry_interval_secs: Option<u32>,
    /// Topic Alias; zero on the wire is a protocol error.
    pub topic_alias: Option<NonZeroU16>,
    /// Response Topic.
    pub response_topic: Option<TopicName<'a>>,
    /// Correlation Data.
    pub correlation_data: Option<&'a [u8]>,
    /// Subscription Identifiers, from a Server only.
    pub subscription_identifiers: SubscriptionIdentifiers<'a>,
    /// Content Type.
    pub content_type: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl Delivery {
    /// The QoS level alone.
    pub fn qos(self) -> Qos {
        match self {
            Self::AtMostOnce => Qos::AtMostOnce,
            Self::AtLeastOnce(_) => Qos::AtLeastOnce,
            Self::ExactlyOnce(_) => Qos::ExactlyOnce,
        }
    }

    /// The Packet Identifier, above QoS 0.
    pub fn packet_identifier(self) -> Option<PacketIdentifier> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce(identifier) | Self::ExactlyOnce(identifier) => Some(identifier),
        }
    }
}

impl Publish<'_> {
    /// Appends the PUBLISH to `out`, as [`crate::Packet::encode`] does, without wrapping it first. Returns the offset in `out` of the Packet
    /// Identifier's first byte (two bytes, big endian), so that one encoding can serve many receivers; `None` at QoS 0.
    pub fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, EncodeError> {
        let _ = (version, out);
        todo!()
    }
}
