//! PUBACK, PUBREC, PUBREL, PUBCOMP (§3.4 to §3.7): one layout.

use crate::{PacketIdentifier, ReasonCode, UserProperties};

/// What PUBACK, PUBREC, PUBREL and PUBCOMP carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack<'a> {
    /// Of the PUBLISH that is acknowledged.
    pub packet_identifier: PacketIdentifier,
    /// The Reason Code; [`ReasonCode::Success`] in 3.1.1, which has none.
    pub reason_code: ReasonCode,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl Ack<'_> {
    /// An acknowledgement with nothing but its code.
    pub fn new(packet_identifier: PacketIdentifier, reason_code: ReasonCode) -> Self {
        Self {
            packet_identifier,
            reason_code,
            reason_string: None,
            user_properties: UserProperties::default(),
        }
    }
}
