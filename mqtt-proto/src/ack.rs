//! PUBACK, PUBREC, PUBREL, PUBCOMP (§3.4 to §3.7): one layout.

use crate::property::identifier;
use crate::property::section::Section;
use crate::reader::Reader;
use crate::writer::{Diagnostics, Output};
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, ProtocolVersion, ReasonCode, Sender,
    UserProperties,
};

/// What PUBACK, PUBREC, PUBREL and PUBCOMP carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack<'a> {
    /// Of the PUBLISH that is acknowledged.
    pub packet_identifier: PacketIdentifier,
    /// The Reason Code; [`ReasonCode::Success`] in 3.1.1, which has none.
    pub reason_code: ReasonCode,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl Ack<'_> {
    /// An acknowledgement with nothing but its code.
    pub fn new(packet_identifier: PacketIdentifier, reason_code: ReasonCode) -> Self {
        Self {
            packet_identifier,
            reason_code,
            reason_string: None,
            user_properties: UserProperties::default(),
        }
    }
}

impl<'a> Ack<'a> {
    pub(crate) fn decode(
        packet_type: PacketType,
        body: &'a [u8],
        version: ProtocolVersion,
        sender: Sender,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut ack = Self::new(reader.packet_identifier()?, ReasonCode::Success);
        // The shorter forms are for success and for no properties (§3.4.2.1, §3.4.2.2.1).
        if version == ProtocolVersion::V5 && !reader.is_empty() {
            ack.reason_code = ReasonCode::decode(reader.u8()?, packet_type, sender)?;
            if !reader.is_empty() {
                let diagnostics = Diagnostics::decode(&mut reader)?;
                ack.reason_string = diagnostics.reason_string;
                ack.user_properties = diagnostics.user_properties;
            }
        }
        reader.finish()?;
        Ok(ack)
    }

    pub(crate) fn write<O: Output>(
        &self,
        packet_type: PacketType,
        version: ProtocolVersion,
        out: &mut O,
    ) -> Result<(), EncodeError> {
        out.packet_identifier(self.packet_identifier);
        let diagnostics = Diagnostics {
            reason_string: self.reason_string,
            user_properties: self.user_properties,
        };
        let is_plain = self.reason_code == ReasonCode::Success && diagnostics.is_empty();
        if version == ProtocolVersion::V311 || is_plain {
            return Ok(());
        }
        out.u8(self.reason_code.encode(packet_type)?);
        if diagnostics.is_empty() {
            return Ok(());
        }
        out.properties(&diagnostics)
    }
}

impl<'a> Diagnostics<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut section = Section::read(reader)?;
        let mut reason_string = None;
        while let Some(id) = section.next_identifier()? {
            match id {
                identifier::REASON_STRING => section.text(&mut reason_string)?,
                identifier::USER_PROPERTY => section.user_property()?,
                _ => return Err(Section::FOREIGN),
            }
        }
        Ok(Self {
            reason_string,
            user_properties: section.user_properties(),
        })
    }

    fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }
}
