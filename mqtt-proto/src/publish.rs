//! PUBLISH (§3.3).

use crate::property::section::Section;
use crate::property::{PropertyBlock, SubscriptionIdentifiers, identifier};
use crate::reader::Reader;
use crate::redacted::Redacted;
use crate::writer::{Body, Output, frame_len, remaining_length};
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, ProtocolVersion, Qos, Sender,
    TopicName, UserProperties,
};
use std::fmt;
use std::num::NonZeroU16;

/// The flags of the fixed header (§3.3.1).
const RETAIN: u8 = 0b0001;
const QOS_SHIFT: u32 = 1;
const DUPLICATE: u8 = 0b1000;

/// An Application Message on its way (§3.3).
#[derive(Clone, Copy, Eq, PartialEq)]
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
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct PublishProperties<'a> {
    /// Payload Format Indicator: `Some(true)` says UTF-8 text.
    pub payload_is_utf8: Option<bool>,
    /// Message Expiry Interval, seconds.
    pub message_expiry_interval_secs: Option<u32>,
    /// Topic Alias; zero on the wire is refused as Topic Alias invalid.
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
        let remaining_length = remaining_length(self, version)?;
        out.reserve(frame_len(remaining_length) as usize);
        let identifier_offset = self.write_head(version, remaining_length, out)?;
        out.bytes(self.payload);
        Ok(identifier_offset)
    }

    /// Like [`Publish::encode`], but leaves the payload to the caller, who sends it right behind: a large one need not be copied.
    pub fn encode_without_payload(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, EncodeError> {
        let remaining_length = remaining_length(self, version)?;
        self.write_head(version, remaining_length, out)
    }

    /// All but the payload. The offset is that of the Packet Identifier.
    fn write_head(
        &self,
        version: ProtocolVersion,
        remaining_length: u32,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, EncodeError> {
        out.u8(self.first_byte());
        out.variable_byte_integer(remaining_length);
        self.write_topic(version, out)?;
        let identifier = self.delivery.packet_identifier();
        let offset = identifier.map(|_| out.len());
        self.write_identifier_and_properties(version, out)?;
        Ok(offset)
    }

    /// Type and flags.
    pub(crate) fn first_byte(&self) -> u8 {
        let mut byte = (PacketType::Publish as u8) << 4;
        byte |= (self.delivery.qos() as u8) << QOS_SHIFT;
        if self.duplicate {
            byte |= DUPLICATE;
        }
        if self.retain {
            byte |= RETAIN;
        }
        byte
    }

    fn write_topic<O: Output>(
        &self,
        version: ProtocolVersion,
        out: &mut O,
    ) -> Result<(), EncodeError> {
        match self.topic {
            Some(topic) => out.binary("Topic Name", topic.as_str().as_bytes()),
            None if version == ProtocolVersion::V5 && self.properties.topic_alias.is_some() => {
                out.u16(0);
                Ok(())
            }
            None => Err(EncodeError::InvalidField("Topic Name")),
        }
    }

    fn write_identifier_and_properties<O: Output>(
        &self,
        version: ProtocolVersion,
        out: &mut O,
    ) -> Result<(), EncodeError> {
        match self.delivery {
            Delivery::AtMostOnce if self.duplicate => {
                return Err(EncodeError::InvalidField("DUP at QoS 0"));
            }
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(identifier) | Delivery::ExactlyOnce(identifier) => {
                out.packet_identifier(identifier);
            }
        }
        match version {
            ProtocolVersion::V311 => Ok(()),
            ProtocolVersion::V5 => out.properties(&self.properties),
        }
    }
}

impl Body for Publish<'_> {
    #[inline]
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        self.write_topic(version, out)?;
        self.write_identifier_and_properties(version, out)?;
        out.bytes(self.payload);
        Ok(())
    }
}

impl<'a> Publish<'a> {
    /// `flags` are the lower four bits of the first byte.
    #[inline]
    pub(crate) fn decode(
        flags: u8,
        body: &'a [u8],
        version: ProtocolVersion,
        sender: Sender,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let duplicate = flags & DUPLICATE != 0;
        let topic = reader.topic_name()?;
        let delivery = match (flags >> QOS_SHIFT) & 0b11 {
            0 if duplicate => return Err(DecodeError::Malformed("DUP at QoS 0")),
            0 => Delivery::AtMostOnce,
            1 => Delivery::AtLeastOnce(reader.packet_identifier()?),
            2 => Delivery::ExactlyOnce(reader.packet_identifier()?),
            _ => return Err(DecodeError::Malformed("QoS 3")),
        };
        let properties = match version {
            ProtocolVersion::V311 => PublishProperties::default(),
            ProtocolVersion::V5 => PublishProperties::decode(&mut reader, sender)?,
        };
        if topic.is_none() && properties.topic_alias.is_none() {
            return Err(DecodeError::Protocol("neither Topic Name nor Topic Alias"));
        }
        Ok(Self {
            duplicate,
            delivery,
            retain: flags & RETAIN != 0,
            topic,
            properties,
            payload: reader.rest(),
        })
    }
}

impl<'a> PublishProperties<'a> {
    #[inline]
    fn decode(reader: &mut Reader<'a>, sender: Sender) -> Result<Self, DecodeError> {
        if reader.skip_zero() {
            return Ok(Self::default());
        }
        Self::decode_section(reader, sender)
    }

    fn decode_section(reader: &mut Reader<'a>, sender: Sender) -> Result<Self, DecodeError> {
        let mut section = Section::read(reader)?;
        let mut properties = Self::default();
        while let Some(id) = section.next_identifier()? {
            match id {
                identifier::TOPIC_ALIAS => section
                    .non_zero_u16(&mut properties.topic_alias, DecodeError::TopicAliasInvalid)?,
                identifier::SUBSCRIPTION_IDENTIFIER if sender == Sender::Client => {
                    return Err(DecodeError::Protocol(
                        "Subscription Identifier from a Client",
                    ));
                }
                identifier::SUBSCRIPTION_IDENTIFIER => {
                    section.subscription_identifier()?;
                }
                _ => properties.decode_message_property(id, &mut section)?,
            }
        }
        properties.user_properties = section.user_properties();
        properties.subscription_identifiers = section.subscription_identifiers();
        Ok(properties)
    }

    /// Those that a PUBLISH and a Will have in common.
    pub(crate) fn decode_message_property(
        &mut self,
        id: u8,
        section: &mut Section<'a>,
    ) -> Result<(), DecodeError> {
        match id {
            identifier::PAYLOAD_FORMAT_INDICATOR => section.bool(&mut self.payload_is_utf8),
            identifier::MESSAGE_EXPIRY_INTERVAL => {
                section.u32(&mut self.message_expiry_interval_secs)
            }
            identifier::RESPONSE_TOPIC => section.topic_name(&mut self.response_topic),
            identifier::CORRELATION_DATA => section.binary(&mut self.correlation_data),
            identifier::CONTENT_TYPE => section.text(&mut self.content_type),
            identifier::USER_PROPERTY => section.user_property(),
            _ => Err(Section::FOREIGN),
        }
    }

    /// See [`PublishProperties::decode_message_property`].
    #[inline]
    pub(crate) fn write_message_properties<O: Output>(
        &self,
        out: &mut O,
    ) -> Result<(), EncodeError> {
        out.property_bool(identifier::PAYLOAD_FORMAT_INDICATOR, self.payload_is_utf8);
        out.property_u32(
            identifier::MESSAGE_EXPIRY_INTERVAL,
            self.message_expiry_interval_secs,
        );
        let response_topic = self.response_topic.map(TopicName::as_str);
        out.property_text(identifier::RESPONSE_TOPIC, response_topic)?;
        out.property_binary(identifier::CORRELATION_DATA, self.correlation_data)?;
        out.property_text(identifier::CONTENT_TYPE, self.content_type)?;
        self.user_properties.write(out);
        Ok(())
    }
}

impl PropertyBlock for PublishProperties<'_> {
    #[inline]
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.property_u16(
            identifier::TOPIC_ALIAS,
            self.topic_alias.map(NonZeroU16::get),
        );
        self.subscription_identifiers.write(out);
        self.write_message_properties(out)
    }
}

impl fmt::Debug for Publish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("duplicate", &self.duplicate)
            .field("delivery", &self.delivery)
            .field("retain", &self.retain)
            .field("topic", &self.topic)
            .field("properties", &self.properties)
            .field("payload", &Redacted(self.payload))
            .finish()
    }
}

impl fmt::Debug for PublishProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishProperties")
            .field("payload_is_utf8", &self.payload_is_utf8)
            .field(
                "message_expiry_interval_secs",
                &self.message_expiry_interval_secs,
            )
            .field("topic_alias", &self.topic_alias)
            .field("response_topic", &self.response_topic)
            .field("correlation_data", &self.correlation_data.map(Redacted))
            .field("subscription_identifiers", &self.subscription_identifiers)
            .field("content_type", &self.content_type)
            .field("user_properties", &self.user_properties)
            .finish()
    }
}
