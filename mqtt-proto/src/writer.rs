//! The data types of §1.5, written; and the frame around every packet.

use crate::property::{PropertyBlock, identifier};
use crate::reader::MAXIMUM_VARIABLE_BYTE_INTEGER;
use crate::{EncodeError, PacketIdentifier, ProtocolVersion, UserProperties};

/// Where bytes go. A packet is written twice: to [`Length`], which finds out how long it is and whether it may be written at all, and then
/// to a vector; so the length that stands in front cannot disagree with what follows.
pub(crate) trait Output: Sized {
    fn bytes(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn packet_identifier(&mut self, identifier: PacketIdentifier) {
        self.u16(identifier.get());
    }

    /// §1.5.5. The caller has checked that it is at most 268,435,455.
    fn variable_byte_integer(&mut self, value: u32) {
        let mut left = value;
        while left > 0x7F {
            self.u8(low_byte(left) | 0x80);
            left >>= 7;
        }
        self.u8(low_byte(left));
    }

    /// §1.5.6.
    fn binary(&mut self, field: &'static str, bytes: &[u8]) -> Result<(), EncodeError> {
        let length = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong(field))?;
        self.u16(length);
        self.bytes(bytes);
        Ok(())
    }

    /// §1.5.4.
    fn text(&mut self, field: &'static str, text: &str) -> Result<(), EncodeError> {
        if text.as_bytes().contains(&0) {
            return Err(EncodeError::InvalidField(field));
        }
        self.binary(field, text.as_bytes())
    }

    /// The Property Length and the properties (§2.2.2).
    #[inline]
    fn properties<P: PropertyBlock>(&mut self, block: &P) -> Result<(), EncodeError> {
        let mut length = Length(0);
        block.write(&mut length)?;
        self.variable_byte_integer(length.checked()?);
        if length.0 > 0 {
            block.write(self)?;
        }
        Ok(())
    }

    fn property_bool(&mut self, identifier: u8, value: Option<bool>) {
        if let Some(value) = value {
            self.bytes(&[identifier, value.into()]);
        }
    }

    fn property_u16(&mut self, identifier: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(identifier);
            self.u16(value);
        }
    }

    fn property_u32(&mut self, identifier: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(identifier);
            self.u32(value);
        }
    }

    fn property_text(&mut self, identifier: u8, value: Option<&str>) -> Result<(), EncodeError> {
        if let Some(value) = value {
            self.u8(identifier);
            self.text(identifier::name(identifier), value)?;
        }
        Ok(())
    }

    fn property_binary(&mut self, identifier: u8, value: Option<&[u8]>) -> Result<(), EncodeError> {
        if let Some(value) = value {
            self.u8(identifier);
            self.binary(identifier::name(identifier), value)?;
        }
        Ok(())
    }
}

impl Output for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts what would be written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Length(usize);

impl Output for Length {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

impl Length {
    /// As a length prefix can say it.
    fn checked(self) -> Result<u32, EncodeError> {
        u32::try_from(self.0)
            .ok()
            .filter(|length| *length <= MAXIMUM_VARIABLE_BYTE_INTEGER)
            .ok_or(EncodeError::PacketTooLong)
    }
}

/// The Reason String and User Properties, which are all the properties that most answers have.
#[derive(Clone, Copy, Default)]
pub(crate) struct Diagnostics<'a> {
    pub(crate) reason_string: Option<&'a str>,
    pub(crate) user_properties: UserProperties<'a>,
}

impl PropertyBlock for Diagnostics<'_> {
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.property_text(identifier::REASON_STRING, self.reason_string)?;
        self.user_properties.write(out);
        Ok(())
    }
}

/// What stands behind the fixed header.
pub(crate) trait Body {
    fn write<O: Output>(&self, version: ProtocolVersion, out: &mut O) -> Result<(), EncodeError>;
}

/// The Remaining Length of a packet (§2.1.4).
pub(crate) fn remaining_length(
    body: &impl Body,
    version: ProtocolVersion,
) -> Result<u32, EncodeError> {
    let mut length = Length(0);
    body.write(version, &mut length)?;
    length.checked()
}

/// How many bytes the whole packet takes, fixed header included.
pub(crate) fn frame_len(remaining_length: u32) -> u32 {
    let fixed_header = match remaining_length {
        0..=0x7F => 2,
        0x80..=0x3FFF => 3,
        0x4000..=0x1F_FFFF => 4,
        _ => 5,
    };
    // At most 268,435,460.
    fixed_header + remaining_length
}

/// Appends a whole packet.
pub(crate) fn write_packet(
    first_byte: u8,
    body: &impl Body,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let remaining_length = remaining_length(body, version)?;
    out.reserve(frame_len(remaining_length) as usize);
    out.u8(first_byte);
    out.variable_byte_integer(remaining_length);
    body.write(version, out)
}

/// The lowest seven bits.
fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0] & 0x7F
}
