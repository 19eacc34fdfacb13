//! UNSUBSCRIBE and UNSUBACK (§3.10, §3.11).

use crate::{PacketIdentifier, ReasonCode, ShareName, TopicFilter, UserProperties};

/// A Client wants no more of these (§3.10).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsubscribe<'a> {
    /// The Packet Identifier.
    pub packet_identifier: PacketIdentifier,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// At least one, each with its group if it is shared.
    pub filters: Vec<(Option<ShareName>, TopicFilter)>,
}

/// The Server's answer to UNSUBSCRIBE (§3.11).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnsubAck<'a> {
    /// Of the UNSUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// One for each Topic Filter, in order; none are sent in 3.1.1.
    pub reason_codes: Vec<ReasonCode>,
}
