//! DISCONNECT (§3.14).

use crate::property::section::Section;
use crate::property::{PropertyBlock, identifier};
use crate::reader::Reader;
use crate::writer::{Body, Output};
use crate::{
    DecodeError, EncodeError, PacketType, ProtocolVersion, ReasonCode, Sender, UserProperties,
};

/// The last packet of either end (§3.14). In 3.1.1 only a Client sends it, and it carries nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Disconnect<'a> {
    /// Why.
    pub reason_code: ReasonCode,
    /// Session Expiry Interval, seconds; from a Client only.
    pub session_expiry_interval_secs: Option<u32>,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// Server Reference; from a Server only.
    pub server_reference: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT with a reason and nothing else.
    pub fn new(reason_code: ReasonCode, reason_string: Option<&'a str>) -> Self {
        Self {
            reason_code,
            session_expiry_interval_secs: None,
            reason_string,
            server_reference: None,
            user_properties: UserProperties::default(),
        }
    }
}

impl<'a> Disconnect<'a> {
    pub(crate) fn decode(
        body: &'a [u8],
        version: ProtocolVersion,
        sender: Sender,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut disconnect = Self::new(ReasonCode::Success, None);
        if version == ProtocolVersion::V5 {
            // Without Reason Code it is a Normal disconnection (§3.14.2.1), which a Server does not send.
            let reason_code = if reader.is_empty() { 0 } else { reader.u8()? };
            disconnect.reason_code =
                ReasonCode::decode(reason_code, PacketType::Disconnect, sender)?;
            if !reader.is_empty() {
                disconnect.decode_properties(&mut reader, sender)?;
            }
        }
        reader.finish()?;
        Ok(disconnect)
    }

    fn decode_properties(
        &mut self,
        reader: &mut Reader<'a>,
        sender: Sender,
    ) -> Result<(), DecodeError> {
        let mut section = Section::read(reader)?;
        while let Some(id) = section.next_identifier()? {
            match (id, sender) {
                (identifier::SESSION_EXPIRY_INTERVAL, Sender::Client) => {
                    section.u32(&mut self.session_expiry_interval_secs)?;
                }
                (identifier::SESSION_EXPIRY_INTERVAL, Sender::Server) => {
                    return Err(DecodeError::Protocol(
                        "Session Expiry Interval from a Server",
                    ));
                }
                (identifier::SERVER_REFERENCE, Sender::Server) => {
                    section.text(&mut self.server_reference)?;
                }
                (identifier::SERVER_REFERENCE, Sender::Client) => {
                    return Err(DecodeError::Protocol("Server Reference from a Client"));
                }
                (identifier::REASON_STRING, _) => section.text(&mut self.reason_string)?,
                (identifier::USER_PROPERTY, _) => section.user_property()?,
                _ => return Err(Section::FOREIGN),
            }
        }
        self.user_properties = section.user_properties();
        Ok(())
    }

    fn has_properties(&self) -> bool {
        self.session_expiry_interval_secs.is_some()
            || self.reason_string.is_some()
            || self.server_reference.is_some()
            || !self.user_properties.is_empty()
    }
}

impl Body for Disconnect<'_> {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        if version == ProtocolVersion::V311 {
            return if self.reason_code == ReasonCode::Success {
                Ok(())
            } else {
                // The peer would take it for a normal disconnection.
                Err(EncodeError::InvalidField("reason of DISCONNECT in 3.1.1"))
            };
        }
        if self.session_expiry_interval_secs.is_some() && self.server_reference.is_some() {
            return Err(EncodeError::InvalidField(
                "DISCONNECT with properties of both ends",
            ));
        }
        let reason_code = self.reason_code.encode(PacketType::Disconnect)?;
        if self.has_properties() {
            out.u8(reason_code);
            out.properties(self)?;
        } else if self.reason_code != ReasonCode::Success {
            out.u8(reason_code);
        }
        Ok(())
    }
}

impl PropertyBlock for Disconnect<'_> {
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.property_u32(
            identifier::SESSION_EXPIRY_INTERVAL,
            self.session_expiry_interval_secs,
        );
        out.property_text(identifier::REASON_STRING, self.reason_string)?;
        out.property_text(identifier::SERVER_REFERENCE, self.server_reference)?;
        self.user_properties.write(out);
        Ok(())
    }
}
