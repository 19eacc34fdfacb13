//! Bytes to data items.

use super::{MAX_DEPTH, MAX_ITEMS, MAX_MEMBERS, Malformed, Members, Value};

/// What is left to read, and how much of it may still come.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    items_left: usize,
}

/// The first bytes of an item (RFC 8949 §3).
struct Head {
    major: u8,
    /// The low five bits of the initial byte.
    info: u8,
    argument: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            items_left: MAX_ITEMS,
        }
    }

    /// One item and nothing behind it.
    pub(super) fn whole(mut self) -> Result<Value<'a>, Malformed> {
        let value = self.item(MAX_DEPTH)?;
        if self.rest.is_empty() {
            Ok(value)
        } else {
            Err(Malformed)
        }
    }

    fn item(&mut self, depth_left: usize) -> Result<Value<'a>, Malformed> {
        let depth_left = depth_left.checked_sub(1).ok_or(Malformed)?;
        self.items_left = self.items_left.checked_sub(1).ok_or(Malformed)?;
        let head = self.head()?;
        match head.major {
            0 => Ok(Value::Unsigned(head.argument)),
            1 => Ok(Value::Negative(head.argument)),
            2 => self.take(head.argument).map(Value::Bytes),
            3 => str::from_utf8(self.take(head.argument)?)
                .map(Value::Text)
                .map_err(|_| Malformed),
            4 => self.array(head.argument, depth_left),
            5 => self.map(head.argument, depth_left),
            6 => Ok(self.item(depth_left)?.tagged(head.argument)),
            _ => simple(&head),
        }
    }

    fn array(&mut self, length: u64, depth_left: usize) -> Result<Value<'a>, Malformed> {
        // No room is made for what is only announced: each item has to come.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.item(depth_left)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, length: u64, depth_left: usize) -> Result<Value<'a>, Malformed> {
        if length > MAX_MEMBERS as u64 {
            return Err(Malformed);
        }
        let mut members: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        for _ in 0..length {
            let label = self.item(depth_left)?;
            let is_label = matches!(
                label,
                Value::Unsigned(_) | Value::Negative(_) | Value::Text(_)
            );
            // RFC 9052 §1.5: labels are integers and texts. RFC 8949 §5.6: a key stands once.
            if !is_label || members.iter().any(|(known, _)| *known == label) {
                return Err(Malformed);
            }
            members.push((label, self.item(depth_left)?));
        }
        Ok(Value::Map(Members(members)))
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let initial = self.take(1)?[0];
        let (major, info) = (initial >> 5, initial & 0x1f);
        let (length, least) = match info {
            0..24 => {
                let argument = u64::from(info);
                return Ok(Head {
                    major,
                    info,
                    argument,
                });
            }
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            // Reserved, and indefinite lengths.
            _ => return Err(Malformed),
        };
        let bytes = self.take(length)?.iter();
        let argument = bytes.fold(0, |number, byte| number << 8 | u64::from(*byte));
        // The bits of a float are no number that could be shorter.
        if major != 7 && argument < least {
            return Err(Malformed);
        }
        Ok(Head {
            major,
            info,
            argument,
        })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Major type 7. Half floats, `undefined` and unassigned simple values have no place in anything read here.
fn simple(head: &Head) -> Result<Value<'static>, Malformed> {
    match head.info {
        20 => Ok(Value::Bool(false)),
        21 => Ok(Value::Bool(true)),
        22 => Ok(Value::Null),
        26 => {
            let bits = u32::try_from(head.argument).map_err(|_| Malformed)?;
            Ok(Value::Float(f64::from(f32::from_bits(bits))))
        }
        27 => Ok(Value::Float(f64::from_bits(head.argument))),
        _ => Err(Malformed),
    }
}
