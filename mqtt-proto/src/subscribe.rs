//! SUBSCRIBE and SUBACK (§3.8, §3.9).

use crate::property::section::{Section, once};
use crate::property::{PropertyBlock, identifier};
use crate::reader::{MAXIMUM_VARIABLE_BYTE_INTEGER, Reader};
use crate::topic::SHARE_PREFIX;
use crate::writer::{Body, Diagnostics, Output};
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, ProtocolVersion, Qos, ReasonCode,
    Sender, ShareName, TopicFilter, UserProperties,
};

/// The Subscription Options (§3.8.3.1).
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING_SHIFT: u32 = 4;
const RESERVED: u8 = 0b1100_0000;

/// What a failure becomes in 3.1.1 (MQTT 3.1.1 §3.9.3).
const FAILURE_V311: u8 = 0x80;

/// A Client asks for messages (§3.8).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscribe<'a> {
    /// The Packet Identifier.
    pub packet_identifier: PacketIdentifier,
    /// Subscription Identifier, 1 to 268,435,455.
    pub subscription_identifier: Option<u32>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// At least one (§3.8.3).
    pub subscriptions: Vec<Subscription>,
}

/// One Topic Filter with its options (§3.8.3.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// The group, where the Client wrote `$share/NAME/...` (§4.8.2).
    pub share_name: Option<ShareName>,
    /// The filter itself, without `$share/NAME/`.
    pub filter: TopicFilter,
    /// Maximum QoS.
    pub maximum_qos: Qos,
    /// No Local: do not send back what this Client published.
    pub no_local: bool,
    /// Retain As Published: keep the RETAIN flag when forwarding.
    pub retain_as_published: bool,
    /// Retain Handling.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent on subscribing (§3.8.3.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RetainHandling {
    /// At every subscribe (0; all of 3.1.1).
    #[default]
    Send = 0,
    /// Only if the subscription did not exist (1).
    SendIfNew = 1,
    /// Never (2).
    DoNotSend = 2,
}

/// The Server's answer to SUBSCRIBE (§3.9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SubAck<'a> {
    /// Of the SUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// One for each Topic Filter, in order. Failures become 0x80 in 3.1.1.
    pub reason_codes: Vec<ReasonCode>,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut subscribe = Self {
            packet_identifier: reader.packet_identifier()?,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: Vec::new(),
        };
        if version == ProtocolVersion::V5 {
            subscribe.decode_properties(&mut reader)?;
        }
        if reader.is_empty() {
            return Err(DecodeError::Protocol("SUBSCRIBE without Topic Filter"));
        }
        while !reader.is_empty() {
            let subscription = Subscription::decode(&mut reader, version)?;
            subscribe.subscriptions.push(subscription);
        }
        Ok(subscribe)
    }

    fn decode_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut section = Section::read(reader)?;
        while let Some(id) = section.next_identifier()? {
            match id {
                identifier::SUBSCRIPTION_IDENTIFIER => once(
                    &mut self.subscription_identifier,
                    section.subscription_identifier()?,
                )?,
                identifier::USER_PROPERTY => section.user_property()?,
                _ => return Err(Section::FOREIGN),
            }
        }
        self.user_properties = section.user_properties();
        Ok(())
    }
}

impl Subscription {
    fn decode(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        // Beyond 3.1.1, which knows no Shared Subscriptions: brokers in the field serve them there too, so they are taken apart.
        let (share_name, filter) = TopicFilter::parse_shared(reader.text()?)?;
        let options = reader.u8()?;
        let reserved = match version {
            ProtocolVersion::V311 => !0b11,
            ProtocolVersion::V5 => RESERVED,
        };
        if options & reserved != 0 {
            return Err(DecodeError::Malformed("reserved Subscription Options"));
        }
        let maximum_qos = Qos::from_bits(options).ok_or(match version {
            // 3.1.1 [MQTT-3.8.3-4] calls it malformed, 5.0 §3.8.3.1 a Protocol Error.
            ProtocolVersion::V311 => DecodeError::Malformed("QoS 3"),
            ProtocolVersion::V5 => DecodeError::Protocol("Maximum QoS 3"),
        })?;
        let no_local = options & NO_LOCAL != 0;
        if no_local && share_name.is_some() {
            return Err(DecodeError::Protocol("No Local on a Shared Subscription"));
        }
        let retain_handling = match options >> RETAIN_HANDLING_SHIFT {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::Protocol("Retain Handling 3")),
        };
        Ok(Self {
            share_name,
            filter,
            maximum_qos,
            no_local,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        })
    }

    fn options(&self, version: ProtocolVersion) -> Result<u8, EncodeError> {
        if self.no_local && self.share_name.is_some() {
            return Err(EncodeError::InvalidField(
                "No Local on a Shared Subscription",
            ));
        }
        let mut options = (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT;
        if self.no_local {
            options |= NO_LOCAL;
        }
        if self.retain_as_published {
            options |= RETAIN_AS_PUBLISHED;
        }
        if version == ProtocolVersion::V311 && options != 0 {
            return Err(EncodeError::InvalidField("Subscription Options in 3.1.1"));
        }
        Ok(options | self.maximum_qos as u8)
    }
}

impl Body for Subscribe<'_> {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        let identifier_is_valid = match (self.subscription_identifier, version) {
            (None, ProtocolVersion::V311 | ProtocolVersion::V5) => true,
            (Some(_), ProtocolVersion::V311) => false,
            (Some(value), ProtocolVersion::V5) => {
                (1..=MAXIMUM_VARIABLE_BYTE_INTEGER).contains(&value)
            }
        };
        if !identifier_is_valid {
            return Err(EncodeError::InvalidField("Subscription Identifier"));
        }
        if self.subscriptions.is_empty() {
            return Err(EncodeError::InvalidField("SUBSCRIBE without Topic Filter"));
        }
        out.packet_identifier(self.packet_identifier);
        if version == ProtocolVersion::V5 {
            out.properties(self)?;
        }
        for subscription in &self.subscriptions {
            write_filter(subscription.share_name.as_ref(), &subscription.filter, out)?;
            out.u8(subscription.options(version)?);
        }
        Ok(())
    }
}

impl PropertyBlock for Subscribe<'_> {
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        if let Some(value) = self.subscription_identifier {
            out.u8(identifier::SUBSCRIPTION_IDENTIFIER);
            out.variable_byte_integer(value);
        }
        self.user_properties.write(out);
        Ok(())
    }
}

/// A Topic Filter as a Client writes it, with its group.
pub(crate) fn write_filter<O: Output>(
    share_name: Option<&ShareName>,
    filter: &TopicFilter,
    out: &mut O,
) -> Result<(), EncodeError> {
    let Some(share_name) = share_name else {
        return out.binary("Topic Filter", filter.as_str().as_bytes());
    };
    let parts = [SHARE_PREFIX, share_name.as_str(), "/", filter.as_str()];
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let length = u16::try_from(length).map_err(|_| EncodeError::FieldTooLong("Topic Filter"))?;
    out.u16(length);
    for part in parts {
        out.bytes(part.as_bytes());
    }
    Ok(())
}

impl<'a> SubAck<'a> {
    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_identifier = reader.packet_identifier()?;
        let diagnostics = match version {
            ProtocolVersion::V311 => Diagnostics::default(),
            ProtocolVersion::V5 => Diagnostics::decode(&mut reader)?,
        };
        if reader.is_empty() {
            return Err(DecodeError::Protocol("SUBACK without Reason Code"));
        }
        let code = |byte: &u8| match version {
            ProtocolVersion::V311 => subscribe_return_code(*byte),
            ProtocolVersion::V5 => ReasonCode::decode(*byte, PacketType::SubAck, Sender::Server),
        };
        Ok(Self {
            packet_identifier,
            reason_string: diagnostics.reason_string,
            user_properties: diagnostics.user_properties,
            reason_codes: reader.rest().iter().map(code).collect::<Result<_, _>>()?,
        })
    }
}

/// MQTT 3.1.1 §3.9.3.
fn subscribe_return_code(byte: u8) -> Result<ReasonCode, DecodeError> {
    match byte {
        0 => Ok(ReasonCode::Success),
        1 => Ok(ReasonCode::GrantedQos1),
        2 => Ok(ReasonCode::GrantedQos2),
        FAILURE_V311 => Ok(ReasonCode::UnspecifiedError),
        _ => Err(DecodeError::Malformed("reserved return code")),
    }
}

impl Body for SubAck<'_> {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        if self.reason_codes.is_empty() {
            return Err(EncodeError::InvalidField("SUBACK without Reason Code"));
        }
        out.packet_identifier(self.packet_identifier);
        if version == ProtocolVersion::V5 {
            out.properties(&Diagnostics {
                reason_string: self.reason_string,
                user_properties: self.user_properties,
            })?;
        }
        for code in &self.reason_codes {
            let byte = code.encode(PacketType::SubAck)?;
            out.u8(match version {
                ProtocolVersion::V311 if code.is_failure() => FAILURE_V311,
                ProtocolVersion::V311 | ProtocolVersion::V5 => byte,
            });
        }
        Ok(())
    }
}
