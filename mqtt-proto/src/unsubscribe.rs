//! UNSUBSCRIBE and UNSUBACK (§3.10, §3.11).

use crate::property::identifier;
use crate::property::section::Section;
use crate::reader::Reader;
use crate::subscribe::write_filter;
use crate::writer::{Body, Diagnostics, Output};
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, ProtocolVersion, ReasonCode, Sender,
    ShareName, TopicFilter, UserProperties,
};

/// A Client wants no more of these (§3.10).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsubscribe<'a> {
    /// The Packet Identifier.
    pub packet_identifier: PacketIdentifier,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// At least one, each with its group if it is shared.
    pub filters: Vec<(Option<ShareName>, TopicFilter)>,
}

/// The Server's answer to UNSUBSCRIBE (§3.11).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnsubAck<'a> {
    /// Of the UNSUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// One for each Topic Filter, in order; none are sent in 3.1.1.
    pub reason_codes: Vec<ReasonCode>,
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_identifier = reader.packet_identifier()?;
        let user_properties = match version {
            ProtocolVersion::V311 => UserProperties::default(),
            ProtocolVersion::V5 => decode_user_properties(&mut reader)?,
        };
        if reader.is_empty() {
            return Err(DecodeError::Protocol("UNSUBSCRIBE without Topic Filter"));
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(TopicFilter::parse_shared(reader.text()?)?);
        }
        Ok(Self {
            packet_identifier,
            user_properties,
            filters,
        })
    }
}

/// The property section of UNSUBSCRIBE, which has nothing else (§3.10.2.1).
fn decode_user_properties<'a>(reader: &mut Reader<'a>) -> Result<UserProperties<'a>, DecodeError> {
    let mut section = Section::read(reader)?;
    while let Some(id) = section.next_identifier()? {
        match id {
            identifier::USER_PROPERTY => section.user_property()?,
            _ => return Err(Section::FOREIGN),
        }
    }
    Ok(section.user_properties())
}

impl Body for Unsubscribe<'_> {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::InvalidField(
                "UNSUBSCRIBE without Topic Filter",
            ));
        }
        out.packet_identifier(self.packet_identifier);
        if version == ProtocolVersion::V5 {
            out.properties(&Diagnostics {
                reason_string: None,
                user_properties: self.user_properties,
            })?;
        }
        for (share_name, filter) in &self.filters {
            write_filter(share_name.as_ref(), filter, out)?;
        }
        Ok(())
    }
}

impl<'a> UnsubAck<'a> {
    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut unsuback = Self {
            packet_identifier: reader.packet_identifier()?,
            reason_string: None,
            user_properties: UserProperties::default(),
            reason_codes: Vec::new(),
        };
        if version == ProtocolVersion::V311 {
            reader.finish()?;
            return Ok(unsuback);
        }
        let diagnostics = Diagnostics::decode(&mut reader)?;
        unsuback.reason_string = diagnostics.reason_string;
        unsuback.user_properties = diagnostics.user_properties;
        if reader.is_empty() {
            return Err(DecodeError::Protocol("UNSUBACK without Reason Code"));
        }
        for byte in reader.rest() {
            let code = ReasonCode::decode(*byte, PacketType::UnsubAck, Sender::Server)?;
            unsuback.reason_codes.push(code);
        }
        Ok(unsuback)
    }
}

impl Body for UnsubAck<'_> {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        out.packet_identifier(self.packet_identifier);
        if version == ProtocolVersion::V311 {
            return Ok(());
        }
        if self.reason_codes.is_empty() {
            return Err(EncodeError::InvalidField("UNSUBACK without Reason Code"));
        }
        out.properties(&Diagnostics {
            reason_string: self.reason_string,
            user_properties: self.user_properties,
        })?;
        for code in &self.reason_codes {
            out.u8(code.encode(PacketType::UnsubAck)?);
        }
        Ok(())
    }
}
