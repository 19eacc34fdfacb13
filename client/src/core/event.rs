//! What a connection has to tell.

use crate::token::TokenRequestError;
use std::fmt;
use symbolon_mqtt_proto::{Publish, Qos, ReasonCode, TopicName};

/// What a connection has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message came; it is acknowledged when the next event is asked for.
    Message(Message),
    /// A QoS 1 or 2 message of ours is done; which, and how it went.
    Published {
        /// What [`crate::Connection::publish`] gave.
        identifier: u64,
        /// The broker's word.
        reason_code: ReasonCode,
        /// Why, where it said.
        reason_string: Option<String>,
    },
    /// The broker does not know the session that was to be resumed: whether this QoS 1 or 2 message of ours arrived is not known.
    Forgotten {
        /// What [`crate::Connection::publish`] gave.
        identifier: u64,
    },
    /// The token was renewed in session.
    Renewed,
    /// The token was renewed by connecting anew, since nothing else can be done for it in this mode. What was in flight is sent again; what the
    /// broker had for us comes now.
    Reconnected {
        /// Whether the broker still had the session. If not, subscriptions are gone, and an [`Event::Forgotten`] has told of each message of
        /// ours that may be.
        session_present: bool,
    },
    /// The token could not be renewed yet; it will be tried again until it ends.
    NotRenewed(TokenRequestError),
}

/// A message received. `Debug` shows no payload.
#[derive(Clone, Eq, PartialEq)]
pub struct Message {
    /// The Topic Name.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// QoS it was delivered at.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// DUP.
    pub duplicate: bool,
    /// Packet Identifier, above QoS 0.
    pub packet_identifier: Option<u16>,
    /// Payload Format Indicator: `Some(true)` says UTF-8 text.
    pub payload_is_utf8: Option<bool>,
    /// Message Expiry Interval, seconds, as it was when the broker sent it.
    pub message_expiry_interval_secs: Option<u32>,
    /// Response Topic.
    pub response_topic: Option<String>,
    /// Correlation Data.
    pub correlation_data: Option<Vec<u8>>,
    /// Subscription Identifiers.
    pub subscription_identifiers: Vec<u32>,
    /// Content Type.
    pub content_type: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

/// What an event weighs besides what it carries, bytes.
const EVENT_WEIGHT: usize = 128;

impl Event {
    /// About how many bytes it holds, for the bound on events that wait.
    pub(super) fn weight(&self) -> usize {
        EVENT_WEIGHT
            + match self {
                Self::Message(message) => message.weight(),
                Self::Published { reason_string, .. } => {
                    reason_string.as_ref().map_or(0, String::len)
                }
                Self::Forgotten { .. }
                | Self::Renewed
                | Self::Reconnected { .. }
                | Self::NotRenewed(_) => 0,
            }
    }
}

impl Message {
    pub(super) fn new(topic: TopicName<'_>, publish: &Publish<'_>) -> Self {
        let properties = &publish.properties;
        Self {
            topic: topic.as_str().to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.delivery.qos(),
            retain: publish.retain,
            duplicate: publish.duplicate,
            packet_identifier: publish.delivery.packet_identifier().map(u16::from),
            payload_is_utf8: properties.payload_is_utf8,
            message_expiry_interval_secs: properties.message_expiry_interval_secs,
            response_topic: properties
                .response_topic
                .map(|topic| topic.as_str().to_owned()),
            correlation_data: properties.correlation_data.map(<[u8]>::to_vec),
            subscription_identifiers: properties.subscription_identifiers.iter().collect(),
            content_type: properties.content_type.map(str::to_owned),
            user_properties: properties
                .user_properties
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    fn weight(&self) -> usize {
        let properties = self.user_properties.iter();
        let properties = properties.map(|(name, value)| name.len() + value.len() + 48);
        self.topic.len()
            + self.payload.len()
            + self.response_topic.as_ref().map_or(0, String::len)
            + self.correlation_data.as_ref().map_or(0, Vec::len)
            + self.content_type.as_ref().map_or(0, String::len)
            + 4 * self.subscription_identifiers.len()
            + properties.sum::<usize>()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("packet_identifier", &self.packet_identifier)
            .finish_non_exhaustive()
    }
}
