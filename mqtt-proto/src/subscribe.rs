//! SUBSCRIBE and SUBACK (§3.8, §3.9).

use crate::{PacketIdentifier, Qos, ReasonCode, ShareName, TopicFilter, UserProperties};

/// A Client asks for messages (§3.8).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscribe<'a> {
    /// The Packet Identifier.
    pub packet_identifier: PacketIdentifier,
    /// Subscription Identifier, 1 to 268,435,455.
    pub subscription_identifier: Option<u32>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// At least one (§3.8.3).
    pub subscriptions: Vec<Subscription>,
}

/// One Topic Filter with its options (§3.8.3.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// The group, where the Client wrote `$share/NAME/...` (§4.8.2).
    pub share_name: Option<ShareName>,
    /// The filter itself, without `$share/NAME/`.
    pub filter: TopicFilter,
    /// Maximum QoS.
    pub maximum_qos: Qos,
    /// No Local: do not send back what this Client published.
    pub no_local: bool,
    /// Retain As Published: keep the RETAIN flag when forwarding.
    pub retain_as_published: bool,
    /// Retain Handling.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent on subscribing (§3.8.3.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RetainHandling {
    /// At every subscribe (0; all of 3.1.1).
    #[default]
    Send = 0,
    /// Only if the subscription did not exist (1).
    SendIfNew = 1,
    /// Never (2).
    DoNotSend = 2,
}

/// The Server's answer to SUBSCRIBE (§3.9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SubAck<'a> {
    /// Of the SUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// One for each Topic Filter, in order. Failures become 0x80 in 3.1.1.
    pub reason_codes: Vec<ReasonCode>,
}
