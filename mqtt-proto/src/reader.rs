//! The data types of §1.5, read off the front of borrowed bytes.

use crate::{DecodeError, PacketIdentifier, TopicName};

/// The largest Variable Byte Integer (§1.5.5).
pub(crate) const MAXIMUM_VARIABLE_BYTE_INTEGER: u32 = 268_435_455;

/// The most bytes that a Variable Byte Integer takes (§1.5.5).
const MAXIMUM_INTEGER_BYTES: usize = 4;

const ENDS_EARLY: DecodeError = DecodeError::Malformed("a field reaches past the end");

/// What is not read yet of a packet, or of a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are left.
    pub(crate) fn len(self) -> usize {
        self.bytes.len()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    /// Refuses bytes behind the last field.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Malformed("bytes behind the last field"))
        }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.bytes = tail;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(ENDS_EARLY)?;
        self.bytes = tail;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        let (value, length) = variable_byte_integer(self.bytes)?.ok_or(ENDS_EARLY)?;
        self.bytes = &self.bytes[length..];
        Ok(value)
    }

    /// Takes the next byte if it is 0, as a Property Length mostly is.
    #[inline]
    pub(crate) fn skip_zero(&mut self) -> bool {
        match self.bytes.split_first() {
            Some((0, rest)) => {
                self.bytes = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Binary Data (§1.5.6).
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.bytes(length.into())
    }

    /// A UTF-8 Encoded String (§1.5.4).
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let text = utf8(self.binary()?)?;
        if text.as_bytes().contains(&0) {
            return Err(NULL);
        }
        Ok(text)
    }

    /// A Topic Name; `None` where the text is empty.
    #[inline]
    pub(crate) fn topic_name(&mut self) -> Result<Option<TopicName<'a>>, DecodeError> {
        let text = utf8(self.binary()?)?;
        match TopicName::parse(text) {
            Ok(name) => Ok(Some(name)),
            Err(_) if text.is_empty() => Ok(None),
            Err(_) if text.contains('\0') => Err(NULL),
            Err(error) => Err(error.into()),
        }
    }

    /// A Topic Name where one must stand.
    pub(crate) fn required_topic_name(&mut self) -> Result<TopicName<'a>, DecodeError> {
        self.topic_name()?
            .ok_or(DecodeError::Protocol("Topic Name is empty"))
    }

    #[inline]
    pub(crate) fn packet_identifier(&mut self) -> Result<PacketIdentifier, DecodeError> {
        PacketIdentifier::new(self.u16()?).ok_or(DecodeError::Protocol("Packet Identifier is 0"))
    }
}

const NULL: DecodeError = DecodeError::Malformed("text contains U+0000");

fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("text is not UTF-8"))
}

/// A Variable Byte Integer at the front of `bytes`, with the number of bytes it takes; `None` while it is not whole.
///
/// Stricter than 3.1.1 §2.2.3, which does not say that the shortest form is the only one (5.0 §1.5.5 does): no Client is known to pad.
#[inline]
pub(crate) fn variable_byte_integer(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    match bytes.first() {
        // Nearly always.
        Some(byte) if *byte < 0x80 => Ok(Some(((*byte).into(), 1))),
        Some(_) | None => long_variable_byte_integer(bytes),
    }
}

fn long_variable_byte_integer(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    let mut shift = 0;
    for (index, byte) in bytes.iter().take(MAXIMUM_INTEGER_BYTES).enumerate() {
        value |= u32::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return if index > 0 && *byte == 0 {
                Err(DecodeError::Malformed(
                    "Variable Byte Integer is not in its shortest form",
                ))
            } else {
                Ok(Some((value, index + 1)))
            };
        }
    }
    if bytes.len() < MAXIMUM_INTEGER_BYTES {
        Ok(None)
    } else {
        Err(DecodeError::Malformed(
            "Variable Byte Integer is longer than 4 bytes",
        ))
    }
}
