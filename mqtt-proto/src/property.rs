//! Properties of MQTT 5.0 (§2.2.2): those that may occur many times are kept as the bytes they came in.

/// User Properties (§2.2.2.2, property 0x26) in wire form: decoding checks them once, carrying them on costs a copy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UserProperties<'a> {
    /// Any properties, among which the checked user properties stand.
    wire: &'a [u8],
}

/// Subscription Identifiers (§3.3.2.3.8, property 0x0B) in wire form.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SubscriptionIdentifiers<'a> {
    wire: &'a [u8],
}

/// Builds what [`UserProperties`] or [`SubscriptionIdentifiers`] borrow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PropertyBuffer {
    wire: Vec<u8>,
}

impl<'a> UserProperties<'a> {
    /// The pairs, name and value, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let _ = self.wire;
        std::iter::empty()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<'a> SubscriptionIdentifiers<'a> {
    /// The identifiers, each from 1 to 268,435,455.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let _ = self.wire;
        std::iter::empty()
    }
}

impl PropertyBuffer {
    /// Adds a User Property. Fails when either text is longer than 65,535 bytes or contains U+0000.
    pub fn push_user_property(
        &mut self,
        name: &str,
        value: &str,
    ) -> Result<(), crate::EncodeError> {
        let _ = (name, value);
        todo!()
    }

    /// Adds a Subscription Identifier. Fails at 0 and above 268,435,455.
    pub fn push_subscription_identifier(
        &mut self,
        identifier: u32,
    ) -> Result<(), crate::EncodeError> {
        let _ = identifier;
        todo!()
    }

    /// The User Properties added.
    pub fn user_properties(&self) -> UserProperties<'_> {
        UserProperties { wire: &self.wire }
    }

    /// The Subscription Identifiers added.
    pub fn subscription_identifiers(&self) -> SubscriptionIdentifiers<'_> {
        SubscriptionIdentifiers { wire: &self.wire }
    }
}
