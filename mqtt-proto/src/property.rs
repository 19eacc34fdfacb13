//! Properties of MQTT 5.0 (§2.2.2): those that may occur many times are kept as the bytes they came in.

pub(crate) mod identifier;
pub(crate) mod section;

use crate::EncodeError;
use crate::reader::MAXIMUM_VARIABLE_BYTE_INTEGER;
use crate::writer::Output;
use section::{RawProperty, raw_properties};
use std::fmt;

/// User Properties (§2.2.2.2, property 0x26) in wire form: decoding checks them once, carrying them on costs a copy.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    /// Any properties, among which the checked user properties stand.
    wire: &'a [u8],
    /// The bytes of those alone.
    length: usize,
}

/// Subscription Identifiers (§3.3.2.3.8, property 0x0B) in wire form.
#[derive(Clone, Copy, Default)]
pub struct SubscriptionIdentifiers<'a> {
    /// Any properties, among which the checked identifiers stand.
    wire: &'a [u8],
    /// The bytes of those alone.
    length: usize,
}

/// Builds what [`UserProperties`] or [`SubscriptionIdentifiers`] borrow.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct PropertyBuffer {
    user_properties: Vec<u8>,
    subscription_identifiers: Vec<u8>,
}

/// The properties of one packet, as they are encoded.
pub(crate) trait PropertyBlock {
    fn write<O: Output>(&self, out: &mut O) -> Result<(), EncodeError>;
}

impl<'a> UserProperties<'a> {
    /// The pairs, name and value, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        raw_properties(self.wire)
            .filter(|property| property.identifier == identifier::USER_PROPERTY)
            .filter_map(|RawProperty { mut value, .. }| {
                Some((value.text().ok()?, value.text().ok()?))
            })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn write<O: Output>(&self, out: &mut O) {
        write_kind(self.wire, self.length, identifier::USER_PROPERTY, out);
    }
}

impl<'a> SubscriptionIdentifiers<'a> {
    /// The identifiers, each from 1 to 268,435,455.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        raw_properties(self.wire)
            .filter(|property| property.identifier == identifier::SUBSCRIPTION_IDENTIFIER)
            .filter_map(|RawProperty { mut value, .. }| value.variable_byte_integer().ok())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn write<O: Output>(&self, out: &mut O) {
        let kind = identifier::SUBSCRIPTION_IDENTIFIER;
        write_kind(self.wire, self.length, kind, out);
    }
}

/// Copies the properties of one kind: in one piece where nothing else stands among them.
fn write_kind<O: Output>(wire: &[u8], length: usize, kind: u8, out: &mut O) {
    if length == wire.len() {
        out.bytes(wire);
        return;
    }
    for property in raw_properties(wire) {
        if property.identifier == kind {
            out.bytes(property.wire);
        }
    }
}

impl PropertyBuffer {
    /// Adds a User Property. Fails when either text is longer than 65,535 bytes or contains U+0000.
    pub fn push_user_property(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        let before = self.user_properties.len();
        self.user_properties.u8(identifier::USER_PROPERTY);
        let pushed = self
            .user_properties
            .text("name of a User Property", name)
            .and_then(|()| self.user_properties.text("value of a User Property", value));
        if pushed.is_err() {
            self.user_properties.truncate(before);
        }
        pushed
    }

    /// Adds User Properties that came from elsewhere.
    pub fn extend_user_properties(&mut self, user_properties: UserProperties<'_>) {
        user_properties.write(&mut self.user_properties);
    }

    /// Adds a Subscription Identifier. Fails at 0 and above 268,435,455.
    pub fn push_subscription_identifier(&mut self, identifier: u32) -> Result<(), EncodeError> {
        if identifier == 0 || identifier > MAXIMUM_VARIABLE_BYTE_INTEGER {
            return Err(EncodeError::InvalidField("Subscription Identifier"));
        }
        self.subscription_identifiers
            .u8(identifier::SUBSCRIPTION_IDENTIFIER);
        self.subscription_identifiers
            .variable_byte_integer(identifier);
        Ok(())
    }

    /// The User Properties added.
    pub fn user_properties(&self) -> UserProperties<'_> {
        UserProperties {
            wire: &self.user_properties,
            length: self.user_properties.len(),
        }
    }

    /// The Subscription Identifiers added.
    pub fn subscription_identifiers(&self) -> SubscriptionIdentifiers<'_> {
        SubscriptionIdentifiers {
            wire: &self.subscription_identifiers,
            length: self.subscription_identifiers.len(),
        }
    }

    /// Takes all out, and keeps the memory for the next use.
    pub fn clear(&mut self) {
        self.user_properties.clear();
        self.subscription_identifiers.clear();
    }
}

// What else stands among the properties is none of theirs.
impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl PartialEq for SubscriptionIdentifiers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIdentifiers<'_> {}

// The names alone: what an application or a Server says in the values is not for logs.
impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

impl fmt::Debug for SubscriptionIdentifiers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for PropertyBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropertyBuffer")
            .field("user_properties", &self.user_properties())
            .field("subscription_identifiers", &self.subscription_identifiers())
            .finish()
    }
}
