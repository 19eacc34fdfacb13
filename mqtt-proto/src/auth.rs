//! AUTH (§3.15), 5.0 only.

use crate::property::section::Section;
use crate::property::{PropertyBlock, identifier};
use crate::reader::Reader;
use crate::redacted::Redacted;
use crate::writer::{Body, Output};
use crate::{
    DecodeError, EncodeError, PacketType, ProtocolVersion, ReasonCode, Sender, UserProperties,
};
use std::fmt;

/// A step of an extended authentication (§3.15, §4.12).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Auth<'a> {
    /// Success, Continue authentication, or Re-authenticate.
    pub reason_code: ReasonCode,
    /// Authentication Method. Absent only in a Success that carries nothing else (§3.15.2.1).
    pub authentication_method: Option<&'a str>,
    /// Authentication Data.
    pub authentication_data: Option<&'a [u8]>,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    /// 5.0 only; the caller sees to that.
    pub(crate) fn decode(body: &'a [u8], sender: Sender) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut auth = Self {
            reason_code: ReasonCode::Success,
            authentication_method: None,
            authentication_data: None,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        // Without Reason Code it is a Success (§3.15.2.1), which a Client does not send.
        let reason_code = if reader.is_empty() { 0 } else { reader.u8()? };
        auth.reason_code = ReasonCode::decode(reason_code, PacketType::Auth, sender)?;
        if !body.is_empty() {
            auth.decode_properties(&mut reader)?;
        }
        reader.finish()?;
        if auth.authentication_method.is_none() && !auth.is_plain() {
            return Err(DecodeError::Protocol("no Authentication Method"));
        }
        Ok(auth)
    }

    fn decode_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut section = Section::read(reader)?;
        while let Some(id) = section.next_identifier()? {
            match id {
                identifier::AUTHENTICATION_METHOD => {
                    section.text(&mut self.authentication_method)?;
                }
                identifier::AUTHENTICATION_DATA => section.binary(&mut self.authentication_data)?,
                identifier::REASON_STRING => section.text(&mut self.reason_string)?,
                identifier::USER_PROPERTY => section.user_property()?,
                _ => return Err(Section::FOREIGN),
            }
        }
        self.user_properties = section.user_properties();
        Ok(())
    }

    /// Whether the form without Reason Code and properties says it all (§3.15.2.1).
    fn is_plain(&self) -> bool {
        self.reason_code == ReasonCode::Success
            && self.authentication_method.is_none()
            && self.authentication_data.is_none()
            && self.reason_string.is_none()
            && self.user_properties.is_empty()
    }
}

impl Body for Auth<'_> {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError> {
        if version == ProtocolVersion::V311 {
            return Err(EncodeError::InvalidField("AUTH in 3.1.1"));
        }
        let reason_code = self.reason_code.encode(PacketType::Auth)?;
        if self.is_plain() {
            return Ok(());
        }
        if self.authentication_method.is_none() {
            return Err(EncodeError::InvalidField("Authentication Method"));
        }
        out.u8(reason_code);
        out.properties(self)
    }
}

impl PropertyBlock for Auth<'_> {
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.property_text(
            identifier::AUTHENTICATION_METHOD,
            self.authentication_method,
        )?;
        out.property_binary(identifier::AUTHENTICATION_DATA, self.authentication_data)?;
        out.property_text(identifier::REASON_STRING, self.reason_string)?;
        self.user_properties.write(out);
        Ok(())
    }
}

impl fmt::Debug for Auth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("reason_code", &self.reason_code)
            .field("authentication_method", &self.authentication_method)
            .field(
                "authentication_data",
                &self.authentication_data.map(Redacted),
            )
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .finish()
    }
}
