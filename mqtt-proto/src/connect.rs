//! CONNECT (§3.1; 3.1.1 §3.1).

use crate::{ProtocolVersion, PublishProperties, Qos, TopicName, UserProperties};
use std::num::{NonZeroU16, NonZeroU32};

/// A Client asks to be let in (§3.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connect<'a> {
    /// The version this connection will speak.
    pub version: ProtocolVersion,
    /// Clean Start (5.0) or Clean Session (3.1.1).
    pub clean_start: bool,
    /// Keep Alive, seconds; 0 turns it off.
    pub keep_alive_secs: u16,
    /// The Client Identifier; empty asks the Server to assign one.
    pub client_identifier: &'a str,
    /// The Will, if any.
    pub will: Option<Will<'a>>,
    /// User Name.
    pub user_name: Option<&'a str>,
    /// Password; in 5.0 allowed without a User Name.
    pub password: Option<&'a [u8]>,
    /// The properties; all default in 3.1.1.
    pub properties: ConnectProperties<'a>,
}

/// The properties of CONNECT (§3.1.2.11).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConnectProperties<'a> {
    /// Session Expiry Interval, seconds; `u32::MAX` is never.
    pub session_expiry_interval_secs: Option<u32>,
    /// Receive Maximum; 65,535 where absent.
    pub receive_maximum: Option<NonZeroU16>,
    /// Maximum Packet Size the Client accepts, bytes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Topic Alias Maximum the Client accepts; 0 where absent.
    pub topic_alias_maximum: Option<u16>,
    /// Request Response Information.
    pub request_response_information: Option<bool>,
    /// Request Problem Information; true where absent.
    pub request_problem_information: Option<bool>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// Authentication Method.
    pub authentication_method: Option<&'a str>,
    /// Authentication Data: bytes to this crate. Never without a method.
    pub authentication_data: Option<&'a [u8]>,
}

/// What the Server publishes for a Client that is gone (§3.1.2.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Will<'a> {
    /// Will Topic.
    pub topic: TopicName<'a>,
    /// Will Payload.
    pub payload: &'a [u8],
    /// Will QoS.
    pub qos: Qos,
    /// Will Retain.
    pub retain: bool,
    /// Will Delay Interval, seconds.
    pub delay_interval_secs: u32,
    /// The Will's properties; Topic Alias and Subscription Identifiers stay empty.
    pub properties: PublishProperties<'a>,
}
