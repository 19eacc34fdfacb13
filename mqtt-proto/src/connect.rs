//! CONNECT (§3.1; 3.1.1 §3.1).

use crate::property::section::Section;
use crate::property::{PropertyBlock, identifier};
use crate::reader::Reader;
use crate::redacted::Redacted;
use crate::writer::{Body, Output};
use crate::{
    DecodeError, EncodeError, ProtocolVersion, PublishProperties, Qos, TopicName, UserProperties,
};
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

/// The Protocol Name (§3.1.2.1).
const PROTOCOL_NAME: &str = "MQTT";

/// The Connect Flags (§3.1.2.3).
const RESERVED: u8 = 0b0000_0001;
const CLEAN_START: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_QOS_SHIFT: u32 = 3;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USER_NAME: u8 = 0b1000_0000;

/// A Client asks to be let in (§3.1).
#[derive(Clone, Eq, PartialEq)]
pub struct Connect<'a> {
    /// The version this connection will speak.
    pub version: ProtocolVersion,
    /// Clean Start (5.0) or Clean Session (3.1.1).
    pub clean_start: bool,
    /// Keep Alive, seconds; 0 turns it off.
    pub keep_alive_secs: u16,
    /// The Client Identifier; empty asks the Server to assign one.
    pub client_identifier: &'a str,
    /// The Will, if any.
    pub will: Option<Will<'a>>,
    /// User Name.
    pub user_name: Option<&'a str>,
    /// Password; in 5.0 allowed without a User Name.
    pub password: Option<&'a [u8]>,
    /// The properties; all default in 3.1.1.
    pub properties: ConnectProperties<'a>,
}

/// The properties of CONNECT (§3.1.2.11).
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct ConnectProperties<'a> {
    /// Session Expiry Interval, seconds; `u32::MAX` is never.
    pub session_expiry_interval_secs: Option<u32>,
    /// Receive Maximum; 65,535 where absent.
    pub receive_maximum: Option<NonZeroU16>,
    /// Maximum Packet Size the Client accepts, bytes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Topic Alias Maximum the Client accepts; 0 where absent.
    pub topic_alias_maximum: Option<u16>,
    /// Request Response Information.
    pub request_response_information: Option<bool>,
    /// Request Problem Information; true where absent.
    pub request_problem_information: Option<bool>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// Authentication Method.
    pub authentication_method: Option<&'a str>,
    /// Authentication Data: bytes to this crate. Never without a method.
    pub authentication_data: Option<&'a [u8]>,
}

/// What the Server publishes for a Client that is gone (§3.1.2.5).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Will<'a> {
    /// Will Topic.
    pub topic: TopicName<'a>,
    /// Will Payload.
    pub payload: &'a [u8],
    /// Will QoS.
    pub qos: Qos,
    /// Will Retain.
    pub retain: bool,
    /// Will Delay Interval, seconds.
    pub delay_interval_secs: u32,
    /// The Will's properties; Topic Alias and Subscription Identifiers stay empty.
    pub properties: PublishProperties<'a>,
}

impl<'a> Connect<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let version = decode_version(&mut reader)?;
        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let clean_start = flags & CLEAN_START != 0;
        let keep_alive_secs = reader.u16()?;
        let properties = match version {
            ProtocolVersion::V311 => ConnectProperties::default(),
            ProtocolVersion::V5 => ConnectProperties::decode(&mut reader)?,
        };
        let client_identifier = reader.text()?;
        if version == ProtocolVersion::V311 && client_identifier.is_empty() && !clean_start {
            return Err(DecodeError::ClientIdentifierNotValid);
        }
        let will = if flags & WILL == 0 {
            None
        } else {
            Some(Will::decode(flags, &mut reader, version)?)
        };
        let user_name = if flags & USER_NAME == 0 {
            None
        } else {
            Some(reader.text()?)
        };
        let password = if flags & PASSWORD == 0 {
            None
        } else {
            Some(reader.binary()?)
        };
        reader.finish()?;
        Ok(Self {
            version,
            clean_start,
            keep_alive_secs,
            client_identifier,
            will,
            user_name,
            password,
            properties,
        })
    }

    fn flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| {
            let retain = if will.retain { WILL_RETAIN } else { 0 };
            WILL | (will.qos as u8) << WILL_QOS_SHIFT | retain
        });
        let clean_start = if self.clean_start { CLEAN_START } else { 0 };
        let user_name = self.user_name.map_or(0, |_| USER_NAME);
        let password = self.password.map_or(0, |_| PASSWORD);
        will | clean_start | user_name | password
    }

    /// What 3.1.1 does not allow.
    fn check_v311(&self) -> Result<(), EncodeError> {
        if self.password.is_some() && self.user_name.is_none() {
            return Err(EncodeError::InvalidField("Password without User Name"));
        }
        if self.client_identifier.is_empty() && !self.clean_start {
            return Err(EncodeError::InvalidField("empty Client Identifier"));
        }
        if self.properties.authentication_method.is_some() {
            return Err(EncodeError::InvalidField("Authentication Method in 3.1.1"));
        }
        Ok(())
    }
}

fn decode_version(reader: &mut Reader<'_>) -> Result<ProtocolVersion, DecodeError> {
    if reader.text()? != PROTOCOL_NAME {
        return Err(DecodeError::UnsupportedProtocolVersion);
    }
    match reader.u8()? {
        4 => Ok(ProtocolVersion::V311),
        5 => Ok(ProtocolVersion::V5),
        _ => Err(DecodeError::UnsupportedProtocolVersion),
    }
}

fn check_flags(flags: u8, version: ProtocolVersion) -> Result<(), DecodeError> {
    if flags & RESERVED != 0 {
        return Err(DecodeError::Malformed("reserved Connect Flag"));
    }
    if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        return Err(DecodeError::Malformed(
            "Will QoS or Will Retain without Will",
        ));
    }
    if flags & WILL_QOS == WILL_QOS {
        return Err(DecodeError::Malformed("Will QoS 3"));
    }
    if version == ProtocolVersion::V311 && flags & (USER_NAME | PASSWORD) == PASSWORD {
        return Err(DecodeError::Malformed("Password without User Name"));
    }
    Ok(())
}

impl Body for Connect<'_> {
    /// In the version that the CONNECT itself asks for.
    fn write<O: Output>(&self, _: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        out.text("Protocol Name", PROTOCOL_NAME)?;
        match self.version {
            ProtocolVersion::V311 => {
                self.check_v311()?;
                out.u8(4);
            }
            ProtocolVersion::V5 => out.u8(5),
        }
        out.u8(self.flags());
        out.u16(self.keep_alive_secs);
        if self.version == ProtocolVersion::V5 {
            out.properties(&self.properties)?;
        }
        out.text("Client Identifier", self.client_identifier)?;
        if let Some(will) = &self.will {
            will.write(self.version, out)?;
        }
        if let Some(user_name) = self.user_name {
            out.text("User Name", user_name)?;
        }
        if let Some(password) = self.password {
            out.binary("Password", password)?;
        }
        Ok(())
    }
}

impl<'a> ConnectProperties<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut section = Section::read(reader)?;
        let mut properties = Self::default();
        while let Some(id) = section.next_identifier()? {
            properties.decode_property(id, &mut section)?;
        }
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(DecodeError::Protocol(
                "Authentication Data without Authentication Method",
            ));
        }
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
            identifier::MAXIMUM_PACKET_SIZE => section.non_zero_u32(
                &mut self.maximum_packet_size,
                DecodeError::Protocol("Maximum Packet Size is 0"),
            ),
            identifier::TOPIC_ALIAS_MAXIMUM => section.u16(&mut self.topic_alias_maximum),
            identifier::REQUEST_RESPONSE_INFORMATION => {
                section.bool(&mut self.request_response_information)
            }
            identifier::REQUEST_PROBLEM_INFORMATION => {
                section.bool(&mut self.request_problem_information)
            }
            identifier::USER_PROPERTY => section.user_property(),
            identifier::AUTHENTICATION_METHOD => section.text(&mut self.authentication_method),
            identifier::AUTHENTICATION_DATA => section.binary(&mut self.authentication_data),
            _ => Err(Section::FOREIGN),
        }
    }
}

impl PropertyBlock for ConnectProperties<'_> {
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        if self.authentication_data.is_some() && self.authentication_method.is_none() {
            return Err(EncodeError::InvalidField(
                "Authentication Data without Authentication Method",
            ));
        }
        out.property_u32(
            identifier::SESSION_EXPIRY_INTERVAL,
            self.session_expiry_interval_secs,
        );
        out.property_u16(
            identifier::RECEIVE_MAXIMUM,
            self.receive_maximum.map(NonZeroU16::get),
        );
        out.property_u32(
            identifier::MAXIMUM_PACKET_SIZE,
            self.maximum_packet_size.map(NonZeroU32::get),
        );
        out.property_u16(identifier::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        out.property_bool(
            identifier::REQUEST_RESPONSE_INFORMATION,
            self.request_response_information,
        );
        out.property_bool(
            identifier::REQUEST_PROBLEM_INFORMATION,
            self.request_problem_information,
        );
        self.user_properties.write(out);
        out.property_text(
            identifier::AUTHENTICATION_METHOD,
            self.authentication_method,
        )?;
        out.property_binary(identifier::AUTHENTICATION_DATA, self.authentication_data)
    }
}

impl<'a> Will<'a> {
    fn decode(
        flags: u8,
        reader: &mut Reader<'a>,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        let mut properties = PublishProperties::default();
        let mut delay = None;
        if version == ProtocolVersion::V5 {
            let mut section = Section::read(reader)?;
            while let Some(id) = section.next_identifier()? {
                match id {
                    identifier::WILL_DELAY_INTERVAL => section.u32(&mut delay)?,
                    _ => properties.decode_message_property(id, &mut section)?,
                }
            }
            properties.user_properties = section.user_properties();
        }
        Ok(Self {
            topic: reader.required_topic_name()?,
            payload: reader.binary()?,
            qos: Qos::from_bits(flags >> WILL_QOS_SHIFT)
                .ok_or(DecodeError::Malformed("Will QoS 3"))?,
            retain: flags & WILL_RETAIN != 0,
            delay_interval_secs: delay.unwrap_or(0),
            properties,
        })
    }

    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        if version == ProtocolVersion::V5 {
            out.properties(self)?;
        }
        out.binary("Will Topic", self.topic.as_str().as_bytes())?;
        out.binary("Will Payload", self.payload)
    }
}

impl PropertyBlock for Will<'_> {
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        if self.properties.topic_alias.is_some()
            || !self.properties.subscription_identifiers.is_empty()
        {
            return Err(EncodeError::InvalidField("property of a Will"));
        }
        // Zero is what its absence says (§3.1.3.2.2).
        let delay = Some(self.delay_interval_secs).filter(|secs| *secs > 0);
        out.property_u32(identifier::WILL_DELAY_INTERVAL, delay);
        self.properties.write_message_properties(out)
    }
}

// The User Name too: in 3.1.1 it may carry a token (RFC 9431 §6).
impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("keep_alive_secs", &self.keep_alive_secs)
            .field("client_identifier", &self.client_identifier)
            .field("will", &self.will)
            .field(
                "user_name",
                &self.user_name.map(|name| Redacted(name.as_bytes())),
            )
            .field("password", &self.password.map(Redacted))
            .field("properties", &self.properties)
            .finish()
    }
}

impl fmt::Debug for ConnectProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectProperties")
            .field(
                "session_expiry_interval_secs",
                &self.session_expiry_interval_secs,
            )
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field(
                "request_response_information",
                &self.request_response_information,
            )
            .field(
                "request_problem_information",
                &self.request_problem_information,
            )
            .field("user_properties", &self.user_properties)
            .field("authentication_method", &self.authentication_method)
            .field(
                "authentication_data",
                &self.authentication_data.map(Redacted),
            )
            .finish()
    }
}

impl fmt::Debug for Will<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload", &Redacted(self.payload))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("delay_interval_secs", &self.delay_interval_secs)
            .field("properties", &self.properties)
            .finish()
    }
}
