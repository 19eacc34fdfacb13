//! CONNACK (§3.2; 3.1.1 §3.2).

use crate::{Qos, ReasonCode, UserProperties};
use std::num::{NonZeroU16, NonZeroU32};

/// The Server's answer to CONNECT (§3.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnAck<'a> {
    /// Session Present.
    pub session_present: bool,
    /// The Connect Reason Code. For 3.1.1 it is translated to the nearest return code (3.1.1 §3.2.2.3) and back.
    pub reason_code: ReasonCode,
    /// The properties; all default in 3.1.1.
    pub properties: ConnAckProperties<'a>,
}

/// The properties of CONNACK (§3.2.2.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConnAckProperties<'a> {
    /// Session Expiry Interval, seconds.
    pub session_expiry_interval_secs: Option<u32>,
    /// Receive Maximum.
    pub receive_maximum: Option<NonZeroU16>,
    /// Maximum QoS: 0 or 1 only, absent for 2.
    pub maximum_qos: Option<Qos>,
    /// Retain Available.
    pub retain_available: Option<bool>,
    /// Maximum Packet Size, bytes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Assigned Client Identifier.
    pub assigned_client_identifier: Option<&'a str>,
    /// Topic Alias Maximum.
    pub topic_alias_maximum: Option<u16>,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// Wildcard Subscription Available.
    pub wildcard_subscription_available: Option<bool>,
    /// Subscription Identifiers Available.
    pub subscription_identifiers_available: Option<bool>,
    /// Shared Subscription Available.
    pub shared_subscription_available: Option<bool>,
    /// Server Keep Alive, seconds.
    pub server_keep_alive_secs: Option<u16>,
    /// Response Information.
    pub response_information: Option<&'a str>,
    /// Server Reference.
    pub server_reference: Option<&'a str>,
    /// Authentication Method.
    pub authentication_method: Option<&'a str>,
    /// Authentication Data.
    pub authentication_data: Option<&'a [u8]>,
}
