//! CONNACK (§3.2; 3.1.1 §3.2).

use crate::property::section::Section;
use crate::property::{PropertyBlock, identifier};
use crate::reader::Reader;
use crate::redacted::Redacted;
use crate::writer::{Body, Output};
use crate::{
    DecodeError, EncodeError, PacketType, ProtocolVersion, Qos, ReasonCode, Sender, UserProperties,
};
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

/// The Server's answer to CONNECT (§3.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnAck<'a> {
    /// Session Present.
    pub session_present: bool,
    /// The Connect Reason Code. For 3.1.1 it is translated to the nearest return code (3.1.1 §3.2.2.3) and back.
    pub reason_code: ReasonCode,
    /// The properties; all default in 3.1.1.
    pub properties: ConnAckProperties<'a>,
}

/// The properties of CONNACK (§3.2.2.3).
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct ConnAckProperties<'a> {
    /// Session Expiry Interval, seconds.
    pub session_expiry_interval_secs: Option<u32>,
    /// Receive Maximum.
    pub receive_maximum: Option<NonZeroU16>,
    /// Maximum QoS: 0 or 1 only, absent for 2.
    pub maximum_qos: Option<Qos>,
    /// Retain Available.
    pub retain_available: Option<bool>,
    /// Maximum Packet Size, bytes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Assigned Client Identifier.
    pub assigned_client_identifier: Option<&'a str>,
    /// Topic Alias Maximum.
    pub topic_alias_maximum: Option<u16>,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// Wildcard Subscription Available.
    pub wildcard_subscription_available: Option<bool>,
    /// Subscription Identifiers Available.
    pub subscription_identifiers_available: Option<bool>,
    /// Shared Subscription Available.
    pub shared_subscription_available: Option<bool>,
    /// Server Keep Alive, seconds.
    pub server_keep_alive_secs: Option<u16>,
    /// Response Information.
    pub response_information: Option<&'a str>,
    /// Server Reference.
    pub server_reference: Option<&'a str>,
    /// Authentication Method.
    pub authentication_method: Option<&'a str>,
    /// Authentication Data.
    pub authentication_data: Option<&'a [u8]>,
}

impl<'a> ConnAck<'a> {
    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let session_present = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Malformed("reserved Connect Acknowledge Flags")),
        };
        let code = reader.u8()?;
        let (reason_code, properties) = match version {
            ProtocolVersion::V311 => (from_return_code(code)?, ConnAckProperties::default()),
            ProtocolVersion::V5 => (
                ReasonCode::decode(code, PacketType::ConnAck, Sender::Server)?,
                ConnAckProperties::decode(&mut reader)?,
            ),
        };
        reader.finish()?;
        if session_present && reason_code != ReasonCode::Success {
            return Err(DecodeError::Protocol("Session Present with a failure"));
        }
        Ok(Self {
            session_present,
            reason_code,
            properties,
        })
    }
}

/// MQTT 3.1.1 §3.2.2.3.
fn from_return_code(code: u8) -> Result<ReasonCode, DecodeError> {
    match code {
        0 => Ok(ReasonCode::Success),
        1 => Ok(ReasonCode::UnsupportedProtocolVersion),
        2 => Ok(ReasonCode::ClientIdentifierNotValid),
        3 => Ok(ReasonCode::ServerUnavailable),
        4 => Ok(ReasonCode::BadUserNameOrPassword),
        5 => Ok(ReasonCode::NotAuthorized),
        _ => Err(DecodeError::Malformed("reserved Connect Return Code")),
    }
}

/// The nearest return code of MQTT 3.1.1 §3.2.2.3: 3 (Server unavailable) where another try, or another Server, may succeed; 5 (not
/// authorized) where the same CONNECT will be refused again.
fn to_return_code(code: ReasonCode) -> Result<u8, EncodeError> {
    match code.encode(PacketType::ConnAck)? {
        0x00 => Ok(0),
        0x84 => Ok(1),
        0x85 => Ok(2),
        // Unspecified, implementation specific, unavailable, busy, quota, use another server, moved, connection rate.
        0x80 | 0x83 | 0x88 | 0x89 | 0x97 | 0x9C | 0x9D | 0x9F => Ok(3),
        0x86 => Ok(4),
        _ => Ok(5),
    }
}

impl Body for ConnAck<'_> {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        if self.session_present && self.reason_code != ReasonCode::Success {
            return Err(EncodeError::InvalidField("Session Present with a failure"));
        }
        out.u8(self.session_present.into());
        match version {
            ProtocolVersion::V311 => {
                out.u8(to_return_code(self.reason_code)?);
                Ok(())
            }
            ProtocolVersion::V5 => {
                out.u8(self.reason_code.encode(PacketType::ConnAck)?);
                out.properties(&self.properties)
            }
        }
    }
}

impl<'a> ConnAckProperties<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut section = Section::read(reader)?;
        let mut properties = Self::default();
        let mut maximum_qos = None;
        while let Some(id) = section.next_identifier()? {
            match id {
                identifier::MAXIMUM_QOS => section.bool(&mut maximum_qos)?,
                _ => properties.decode_property(id, &mut section)?,
            }
        }
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(DecodeError::Protocol(
                "Authentication Data without Authentication Method",
            ));
        }
        properties.maximum_qos = maximum_qos.map(|is_one| {
            if is_one {
                Qos::AtLeastOnce
            } else {
                Qos::AtMostOnce
            }
        });
        properties.user_properties = section.user_properties();
        Ok(properties)
    }

    fn decode_property(&mut self, id: u8, section: &mut Section<'a>) -> Result<(), DecodeError> {
        match id {
            identifier::SESSION_EXPIRY_INTERVAL => {
                section.u32(&mut self.session_expiry_interval_secs)
            }
            identifier::RECEIVE_MAXIMUM => section.non_zero_u16(
                &mut self.receive_maximum,
                DecodeError::Protocol("Receive Maximum is 0"),
            ),
            identifier::RETAIN_AVAILABLE => section.bool(&mut self.retain_available),
            identifier::MAXIMUM_PACKET_SIZE => section.non_zero_u32(
                &mut self.maximum_packet_size,
                DecodeError::Protocol("Maximum Packet Size is 0"),
            ),
            identifier::ASSIGNED_CLIENT_IDENTIFIER => {
                section.text(&mut self.assigned_client_identifier)
            }
            identifier::TOPIC_ALIAS_MAXIMUM => section.u16(&mut self.topic_alias_maximum),
            identifier::REASON_STRING => section.text(&mut self.reason_string),
            identifier::USER_PROPERTY => section.user_property(),
            identifier::WILDCARD_SUBSCRIPTION_AVAILABLE => {
                section.bool(&mut self.wildcard_subscription_available)
            }
            identifier::SUBSCRIPTION_IDENTIFIER_AVAILABLE => {
                section.bool(&mut self.subscription_identifiers_available)
            }
            identifier::SHARED_SUBSCRIPTION_AVAILABLE => {
                section.bool(&mut self.shared_subscription_available)
            }
            identifier::SERVER_KEEP_ALIVE => section.u16(&mut self.server_keep_alive_secs),
            identifier::RESPONSE_INFORMATION => section.text(&mut self.response_information),
            identifier::SERVER_REFERENCE => section.text(&mut self.server_reference),
            identifier::AUTHENTICATION_METHOD => section.text(&mut self.authentication_method),
            identifier::AUTHENTICATION_DATA => section.binary(&mut self.authentication_data),
            _ => Err(Section::FOREIGN),
        }
    }

    fn write_limits<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        let maximum_qos = match self.maximum_qos {
            None => None,
            Some(Qos::AtMostOnce) => Some(false),
            Some(Qos::AtLeastOnce) => Some(true),
            Some(Qos::ExactlyOnce) => return Err(EncodeError::InvalidField("Maximum QoS")),
        };
        out.property_u32(
            identifier::SESSION_EXPIRY_INTERVAL,
            self.session_expiry_interval_secs,
        );
        out.property_u16(
            identifier::RECEIVE_MAXIMUM,
            self.receive_maximum.map(NonZeroU16::get),
        );
        out.property_bool(identifier::MAXIMUM_QOS, maximum_qos);
        out.property_bool(identifier::RETAIN_AVAILABLE, self.retain_available);
        out.property_u32(
            identifier::MAXIMUM_PACKET_SIZE,
            self.maximum_packet_size.map(NonZeroU32::get),
        );
        out.property_u16(identifier::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        out.property_bool(
            identifier::WILDCARD_SUBSCRIPTION_AVAILABLE,
            self.wildcard_subscription_available,
        );
        out.property_bool(
            identifier::SUBSCRIPTION_IDENTIFIER_AVAILABLE,
            self.subscription_identifiers_available,
        );
        out.property_bool(
            identifier::SHARED_SUBSCRIPTION_AVAILABLE,
            self.shared_subscription_available,
        );
        out.property_u16(identifier::SERVER_KEEP_ALIVE, self.server_keep_alive_secs);
        Ok(())
    }
}

impl PropertyBlock for ConnAckProperties<'_> {
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        if self.authentication_data.is_some() && self.authentication_method.is_none() {
            return Err(EncodeError::InvalidField(
                "Authentication Data without Authentication Method",
            ));
        }
        self.write_limits(out)?;
        out.property_text(
            identifier::ASSIGNED_CLIENT_IDENTIFIER,
            self.assigned_client_identifier,
        )?;
        out.property_text(identifier::REASON_STRING, self.reason_string)?;
        self.user_properties.write(out);
        out.property_text(identifier::RESPONSE_INFORMATION, self.response_information)?;
        out.property_text(identifier::SERVER_REFERENCE, self.server_reference)?;
        out.property_text(
            identifier::AUTHENTICATION_METHOD,
            self.authentication_method,
        )?;
        out.property_binary(identifier::AUTHENTICATION_DATA, self.authentication_data)
    }
}

impl fmt::Debug for ConnAckProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnAckProperties")
            .field(
                "session_expiry_interval_secs",
                &self.session_expiry_interval_secs,
            )
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_qos", &self.maximum_qos)
            .field("retain_available", &self.retain_available)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field(
                "assigned_client_identifier",
                &self.assigned_client_identifier,
            )
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .field(
                "wildcard_subscription_available",
                &self.wildcard_subscription_available,
            )
            .field(
                "subscription_identifiers_available",
                &self.subscription_identifiers_available,
            )
            .field(
                "shared_subscription_available",
                &self.shared_subscription_available,
            )
            .field("server_keep_alive_secs", &self.server_keep_alive_secs)
            .field("response_information", &self.response_information)
            .field("server_reference", &self.server_reference)
            .field("authentication_method", &self.authentication_method)
            .field(
                "authentication_data",
                &self.authentication_data.map(Redacted),
            )
            .finish()
    }
}
