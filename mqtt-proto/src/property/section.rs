//! The property section of a packet being decoded (§2.2.2).

use super::{SubscriptionIdentifiers, UserProperties, identifier};
use crate::DecodeError;
use crate::TopicName;
use crate::reader::Reader;
use std::num::{NonZeroU16, NonZeroU32};

/// The properties of one packet. The packet asks for each identifier in turn and reads the value if the property is its own.
pub(crate) struct Section<'a> {
    whole: &'a [u8],
    reader: Reader<'a>,
    user_properties: Span,
    subscription_identifiers: Span,
}

/// The part of a section in which properties of one kind stand, perhaps among others.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    end: usize,
    /// Bytes of that kind alone.
    length: usize,
}

impl<'a> Section<'a> {
    /// Takes the Property Length and as many bytes off `reader`.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let length = reader.variable_byte_integer()?;
        let whole = reader.bytes(length as usize)?;
        Ok(Self {
            whole,
            reader: Reader::new(whole),
            user_properties: Span::default(),
            subscription_identifiers: Span::default(),
        })
    }

    /// A property that is not listed for the packet makes it malformed (§2.2.2.2).
    pub(crate) const FOREIGN: DecodeError =
        DecodeError::Malformed("property does not belong to this packet");

    /// The identifier of the next property.
    pub(crate) fn next_identifier(&mut self) -> Result<Option<u8>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        // Defined identifiers are below 128, where a Variable Byte Integer is one byte; the longer ones are foreign everywhere.
        let identifier = self.reader.variable_byte_integer()?;
        u8::try_from(identifier)
            .map(Some)
            .map_err(|_| Self::FOREIGN)
    }

    pub(crate) fn bool(&mut self, slot: &mut Option<bool>) -> Result<(), DecodeError> {
        let value = match self.reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Protocol("property is neither 0 nor 1")),
        };
        once(slot, value)
    }

    pub(crate) fn u16(&mut self, slot: &mut Option<u16>) -> Result<(), DecodeError> {
        once(slot, self.reader.u16()?)
    }

    pub(crate) fn u32(&mut self, slot: &mut Option<u32>) -> Result<(), DecodeError> {
        once(slot, self.reader.u32()?)
    }

    /// Fails with `zero` at 0.
    pub(crate) fn non_zero_u16(
        &mut self,
        slot: &mut Option<NonZeroU16>,
        zero: DecodeError,
    ) -> Result<(), DecodeError> {
        once(slot, NonZeroU16::new(self.reader.u16()?).ok_or(zero)?)
    }

    /// Fails with `zero` at 0.
    pub(crate) fn non_zero_u32(
        &mut self,
        slot: &mut Option<NonZeroU32>,
        zero: DecodeError,
    ) -> Result<(), DecodeError> {
        once(slot, NonZeroU32::new(self.reader.u32()?).ok_or(zero)?)
    }

    pub(crate) fn text(&mut self, slot: &mut Option<&'a str>) -> Result<(), DecodeError> {
        once(slot, self.reader.text()?)
    }

    pub(crate) fn binary(&mut self, slot: &mut Option<&'a [u8]>) -> Result<(), DecodeError> {
        once(slot, self.reader.binary()?)
    }

    pub(crate) fn topic_name(
        &mut self,
        slot: &mut Option<TopicName<'a>>,
    ) -> Result<(), DecodeError> {
        once(slot, self.reader.required_topic_name()?)
    }

    /// Checks a User Property, which may occur again and again.
    pub(crate) fn user_property(&mut self) -> Result<(), DecodeError> {
        let before = self.position();
        self.reader.text()?;
        self.reader.text()?;
        self.user_properties.extend(before, self.position());
        Ok(())
    }

    /// Checks a Subscription Identifier.
    pub(crate) fn subscription_identifier(&mut self) -> Result<u32, DecodeError> {
        let before = self.position();
        let identifier = self.reader.variable_byte_integer()?;
        if identifier == 0 {
            return Err(DecodeError::Protocol("Subscription Identifier is 0"));
        }
        self.subscription_identifiers
            .extend(before, self.position());
        Ok(identifier)
    }

    /// The User Properties read so far.
    pub(crate) fn user_properties(&self) -> UserProperties<'a> {
        let Span { start, end, length } = self.user_properties;
        UserProperties {
            wire: &self.whole[start..end],
            length,
        }
    }

    /// The Subscription Identifiers read so far.
    pub(crate) fn subscription_identifiers(&self) -> SubscriptionIdentifiers<'a> {
        let Span { start, end, length } = self.subscription_identifiers;
        SubscriptionIdentifiers {
            wire: &self.whole[start..end],
            length,
        }
    }

    fn position(&self) -> usize {
        self.whole.len() - self.reader.len()
    }
}

impl Span {
    /// Takes in a property whose identifier, one byte, stands just before `value_start`.
    fn extend(&mut self, value_start: usize, end: usize) {
        let start = value_start - 1;
        if self.length == 0 {
            self.start = start;
        }
        self.end = end;
        self.length += end - start;
    }
}

/// Fills `slot`; a property that is there twice is a Protocol Error (§3.1.2.11.2 and so on).
pub(crate) fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Protocol("property occurs twice")),
    }
}

/// A property cut off as a whole.
pub(super) struct RawProperty<'a> {
    pub(super) identifier: u8,
    /// Identifier and value.
    pub(super) wire: &'a [u8],
    /// The value alone.
    pub(super) value: Reader<'a>,
}

/// Cuts properties that were checked before; what was not ends the walk.
pub(super) fn raw_properties(wire: &[u8]) -> impl Iterator<Item = RawProperty<'_>> + use<'_> {
    let mut left = wire;
    std::iter::from_fn(move || {
        let mut reader = Reader::new(left);
        let identifier = reader.u8().ok()?;
        let value = reader;
        skip_value(&mut reader, identifier).ok()?;
        let (property, rest) = left.split_at(left.len() - reader.len());
        left = rest;
        Some(RawProperty {
            identifier,
            wire: property,
            value,
        })
    })
}

fn skip_value(reader: &mut Reader<'_>, identifier: u8) -> Result<(), DecodeError> {
    match identifier::data_type(identifier).ok_or(Section::FOREIGN)? {
        identifier::DataType::Byte => reader.bytes(1).map(drop),
        identifier::DataType::TwoByteInteger => reader.bytes(2).map(drop),
        identifier::DataType::FourByteInteger => reader.bytes(4).map(drop),
        identifier::DataType::VariableByteInteger => reader.variable_byte_integer().map(drop),
        identifier::DataType::LengthPrefixed => reader.binary().map(drop),
        identifier::DataType::StringPair => {
            reader.binary()?;
            reader.binary().map(drop)
        }
    }
}
