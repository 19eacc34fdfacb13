//! CBOR (RFC 8949) read strictly and written deterministically.
//!
//! What is read must be in preferred serialization (§4.1): shortest heads, definite lengths, nothing behind the item. Keys of maps are
//! integers or texts, and none stands twice (§5.6). Their order is free: other encoders keep that of insertion, and nothing here depends on
//! it, since what is signed is signed as bytes. What is written is deterministic (§4.2.1).

mod members;
mod reader;

use zeroize::Zeroizing;

pub use members::MalformedMessage;
pub(crate) use members::{Members, read};

/// How deep items may be nested. A token's deepest is a coordinate in a key in `cnf`.
const MAX_DEPTH: usize = 8;
/// The most items in one encoding, counting those inside others.
const MAX_ITEMS: usize = 8192;
/// The most members of one map.
const MAX_MEMBERS: usize = 128;

/// The longest head: the initial byte and eight more.
const MAX_HEAD_LENGTH: usize = 9;

/// A data item. Without `Debug`, since it may hold a secret.
#[derive(Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Unsigned(u64),
    /// -1 less this.
    Negative(u64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Self>),
    Map(Members<'a>),
    Tag(u64, Box<Self>),
    Bool(bool),
    Null,
    Float(f64),
    /// An item that is encoded already. Only written, never read.
    Encoded(&'a [u8]),
}

/// The bytes are not one data item as demanded here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// Reads exactly one item.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value<'_>, Malformed> {
    reader::Reader::new(bytes).whole()
}

/// Reads exactly one map.
pub(crate) fn decode_map(bytes: &[u8]) -> Result<Members<'_>, Malformed> {
    if let Value::Map(members) = decode(bytes)? {
        Ok(members)
    } else {
        Err(Malformed)
    }
}

impl<'a> Value<'a> {
    /// An integer.
    pub(crate) fn integer(number: i64) -> Self {
        match u64::try_from(number) {
            Ok(number) => Self::Unsigned(number),
            Err(_) => Self::Negative(number.unsigned_abs() - 1),
        }
    }

    /// A map of these members.
    pub(crate) fn map(members: Vec<(i64, Self)>) -> Self {
        Self::Map(Members::from_labelled(members))
    }

    /// With a tag before it.
    pub(crate) fn tagged(self, tag: u64) -> Self {
        Self::Tag(tag, Box::new(self))
    }

    /// The number, if it is an integer that fits.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        if let Self::Negative(number) = self {
            return i64::try_from(*number).ok().map(|number| -1 - number);
        }
        i64::try_from(self.as_unsigned()?).ok()
    }

    pub(crate) fn as_unsigned(&self) -> Option<u64> {
        if let Self::Unsigned(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    pub(crate) fn as_bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self {
            Some(bytes)
        } else {
            None
        }
    }

    pub(crate) fn as_text(&self) -> Option<&'a str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(bool) = self {
            Some(*bool)
        } else {
            None
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Members<'a>> {
        if let Self::Map(members) = self {
            Some(members)
        } else {
            None
        }
    }

    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.capacity());
        self.encode_onto(&mut bytes);
        bytes
    }

    /// As bytes that are wiped when dropped.
    pub(crate) fn encode_secret(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.encode())
    }

    /// At least the length of the encoding, bytes: a vector that grows leaves copies behind, which matters for secrets.
    fn capacity(&self) -> usize {
        MAX_HEAD_LENGTH
            + match self {
                Self::Bytes(bytes) | Self::Encoded(bytes) => bytes.len(),
                Self::Text(text) => text.len(),
                Self::Array(items) => items.iter().map(Self::capacity).sum(),
                Self::Map(members) => members.capacity(),
                Self::Tag(_, inner) => inner.capacity(),
                Self::Unsigned(_)
                | Self::Negative(_)
                | Self::Bool(_)
                | Self::Null
                | Self::Float(_) => 0,
            }
    }

    fn encode_onto(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Unsigned(number) => head(bytes, 0, *number),
            Self::Negative(number) => head(bytes, 1, *number),
            Self::Bytes(content) => {
                head(bytes, 2, content.len() as u64);
                bytes.extend_from_slice(content);
            }
            Self::Text(text) => {
                head(bytes, 3, text.len() as u64);
                bytes.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(bytes, 4, items.len() as u64);
                for item in items {
                    item.encode_onto(bytes);
                }
            }
            Self::Map(members) => members.encode_onto(bytes),
            Self::Tag(tag, inner) => {
                head(bytes, 6, *tag);
                inner.encode_onto(bytes);
            }
            Self::Bool(false) => bytes.push(0xf4),
            Self::Bool(true) => bytes.push(0xf5),
            Self::Null => bytes.push(0xf6),
            Self::Float(number) => {
                bytes.push(0xfb);
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            Self::Encoded(item) => bytes.extend_from_slice(item),
        }
    }
}

/// The shortest head for this major type and argument (RFC 8949 §3).
fn head(bytes: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let all = argument.to_be_bytes();
    match argument {
        0..24 => bytes.push(major | all[7]),
        24..0x100 => bytes.extend_from_slice(&[major | 0x18, all[7]]),
        0x100..0x1_0000 => {
            bytes.push(major | 0x19);
            bytes.extend_from_slice(&all[6..]);
        }
        0x1_0000..0x1_0000_0000 => {
            bytes.push(major | 0x1a);
            bytes.extend_from_slice(&all[4..]);
        }
        0x1_0000_0000.. => {
            bytes.push(major | 0x1b);
            bytes.extend_from_slice(&all);
        }
    }
}

#[cfg(test)]
mod tests;
