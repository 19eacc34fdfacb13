//! The members of a map, and what a malformed one is called.

use super::{Malformed, Value, head};

/// The members of a map, each to be taken by its label.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Members<'a>(pub(super) Vec<(Value<'a>, Value<'a>)>);

/// Not a CBOR map in preferred serialization with unique keys, or a member is absent or of the wrong type.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed CBOR message: {0}")]
pub struct MalformedMessage(pub(crate) &'static str);

impl From<Malformed> for MalformedMessage {
    fn from(_: Malformed) -> Self {
        Self("not a map in preferred serialization with unique keys")
    }
}

impl<'a> Members<'a> {
    /// The value of an integer label.
    pub(crate) fn get(&self, label: i64) -> Option<&Value<'a>> {
        let label = Value::integer(label);
        self.find(&label)
    }

    /// The value of a text label.
    pub(crate) fn get_named(&self, name: &'static str) -> Option<&Value<'a>> {
        self.find(&Value::Text(name))
    }

    fn find(&self, label: &Value<'_>) -> Option<&Value<'a>> {
        let member = self.0.iter().find(|(own, _)| own == label);
        member.map(|(_, value)| value)
    }

    /// Whether there is no member.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a member; the caller writes no label twice.
    pub(crate) fn push(&mut self, label: i64, value: Value<'a>) {
        self.0.push((Value::integer(label), value));
    }

    /// Adds a member with a text for a label.
    pub(crate) fn push_named(&mut self, name: &'static str, value: Value<'a>) {
        self.0.push((Value::Text(name), value));
    }

    /// Sorted by the encoded labels (RFC 8949 §4.2.1).
    pub(super) fn encode_onto(&self, bytes: &mut Vec<u8>) {
        let labelled = self.0.iter().map(|(label, value)| (label.encode(), value));
        let mut members: Vec<(Vec<u8>, &Value<'a>)> = labelled.collect();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        head(bytes, 5, members.len() as u64);
        for (label, value) in members {
            bytes.extend_from_slice(&label);
            value.encode_onto(bytes);
        }
    }

    pub(super) fn from_labelled(members: Vec<(i64, Value<'a>)>) -> Self {
        let labelled = members.into_iter();
        Self(
            labelled
                .map(|(label, value)| (Value::integer(label), value))
                .collect(),
        )
    }

    pub(super) fn capacity(&self) -> usize {
        let lengths = self.0.iter();
        lengths
            .map(|(label, value)| label.capacity() + value.capacity())
            .sum()
    }

    /// The text of this label; `name` is for the error.
    pub(crate) fn text(
        &self,
        label: i64,
        name: &'static str,
    ) -> Result<Option<String>, MalformedMessage> {
        let text = read(self.get(label), name, Value::as_text)?;
        Ok(text.map(str::to_owned))
    }

    /// The bytes of this label.
    pub(crate) fn bytes(
        &self,
        label: i64,
        name: &'static str,
    ) -> Result<Option<&'a [u8]>, MalformedMessage> {
        read(self.get(label), name, Value::as_bytes)
    }

    /// What `parse` makes of the value of this label.
    pub(crate) fn parsed<T>(
        &self,
        label: i64,
        name: &'static str,
        parse: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, MalformedMessage> {
        read(self.get(label), name, parse)
    }

    /// Adds the text of this label if there is one.
    pub(crate) fn push_text(&mut self, label: i64, text: Option<&'a str>) {
        if let Some(text) = text {
            self.push(label, Value::Text(text));
        }
    }

    /// Adds the number of this label if there is one.
    pub(crate) fn push_unsigned(&mut self, label: i64, number: Option<u64>) {
        if let Some(number) = number {
            self.push(label, Value::Unsigned(number));
        }
    }

    /// Adds the bytes of this label if there are any.
    pub(crate) fn push_bytes(&mut self, label: i64, bytes: Option<&'a [u8]>) {
        if let Some(bytes) = bytes {
            self.push(label, Value::Bytes(bytes));
        }
    }
}

/// What is there must be what it ought to be; `null` is not absence.
pub(crate) fn read<'v, 'a, T>(
    value: Option<&'v Value<'a>>,
    name: &'static str,
    parse: impl FnOnce(&'v Value<'a>) -> Option<T>,
) -> Result<Option<T>, MalformedMessage> {
    value
        .map(|value| parse(value).ok_or(MalformedMessage(name)))
        .transpose()
}
