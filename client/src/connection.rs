//! An MQTT connection that proves possession and renews its token in time.

use crate::{Profile, token::Token, token::TokenRequestError};
use std::time::Duration;
use symbolon_mqtt_proto::{ProtocolVersion, Qos, ReasonCode, SubAck, Subscription, Will};

/// How to prove possession (RFC 9431 §2.2.4.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Proof {
    /// Over the TLS exporter value, in CONNECT.
    #[default]
    Exporter,
    /// By the broker's challenge, in AUTH.
    Challenge,
}

/// What a connection is opened with.
#[derive(Clone, Debug)]
pub struct ConnectOptions<'a> {
    /// Host and port.
    pub host: String,
    /// Port.
    pub port: u16,
    /// CA in PEM; absent is bare TCP.
    pub ca_pem: Option<String>,
    /// 5.0 or 3.1.1.
    pub version: ProtocolVersion,
    /// MQTT Client Identifier; empty asks the broker to assign one.
    pub client_identifier: String,
    /// Clean Start.
    pub clean_start: bool,
    /// Keep Alive, seconds; the connection pings by itself.
    pub keep_alive_secs: u16,
    /// Session Expiry Interval, seconds.
    pub session_expiry_interval_secs: Option<u32>,
    /// User Name.
    pub user_name: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// The Will.
    pub will: Option<Will<'a>>,
    /// How long connecting may take in all.
    pub timeout: Duration,
}

/// A token for [`Connection::connect`], and what renewing it takes.
#[derive(Debug)]
pub struct Credentials {
    /// Where new tokens come from; without it the token is never renewed.
    pub profile: Option<Profile>,
    /// The first token.
    pub token: Token,
    /// How to prove possession at CONNECT; renewing always uses a challenge (RFC 9431 §4).
    pub proof: Proof,
}

/// A live connection.
#[derive(Debug)]
pub struct Connection {}

/// What a connection has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message came; it is acknowledged when the next event is asked for.
    Message(Message),
    /// A QoS 1 or 2 message of ours is done; which, and how it went.
    Published {
        /// What [`Connection::publish`] gave.
        identifier: u64,
        /// The broker's word.
        reason_code: ReasonCode,
        /// Why, where it said.
        reason_string: Option<String>,
    },
    /// The token was renewed in session.
    Renewed,
}

/// A message received.
#[derive(Clone, Debug)]
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
    /// Response Topic.
    pub response_topic: Option<String>,
    /// Correlation Data.
    pub correlation_data: Option<Vec<u8>>,
    /// Content Type.
    pub content_type: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

/// Why there is no connection, or none any more. One line each, for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host has no address or does not answer.
    #[error("cannot reach {0}: {1}")]
    Unreachable(String, String),
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The broker's certificate is not the one the token is for (`rs_cnf`).
    #[error("the broker's certificate is not the one that the authorization server vouches for")]
    WrongBroker,
    /// The broker refuses; its code, its words, and where to ask for a token if it said.
    #[error("the broker refuses: {reason_code:?}{}", reason_string.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// CONNACK or DISCONNECT.
        reason_code: ReasonCode,
        /// Its Reason String.
        reason_string: Option<String>,
        /// `ace_as_hint`.
        hint: Option<Box<symbolon_ace_proto::AsHint>>,
    },
    /// The broker ended the connection without a word, or it broke.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The broker breaks the protocol; how.
    #[error("the broker broke the protocol: {0}")]
    Protocol(String),
    /// It took too long.
    #[error("timed out")]
    Timeout,
    /// Renewing the token failed.
    #[error("token not renewed: {0}")]
    NotRenewed(TokenRequestError),
}

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Topic Name.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// QoS.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// Properties, 5.0 only.
    pub properties: symbolon_mqtt_proto::PublishProperties<'a>,
}

#[expect(clippy::unused_async, reason = "bodies follow")]
impl Connection {
    /// Opens the channel, sends CONNECT, proves possession, waits for CONNACK.
    pub async fn connect(
        options: ConnectOptions<'_>,
        credentials: Option<Credentials>,
    ) -> Result<Self, ConnectError> {
        let _ = (options, credentials);
        todo!()
    }

    /// Whether the broker went on with a session it had.
    pub fn session_present(&self) -> bool {
        todo!()
    }

    /// Sends a message; above QoS 0 an [`Event::Published`] with this identifier follows. Waits while the broker's Receive Maximum is
    /// reached.
    pub async fn publish(&mut self, message: Outgoing<'_>) -> Result<u64, ConnectError> {
        let _ = message;
        todo!()
    }

    /// Subscribes and waits for the answer; messages that come meanwhile are kept for [`Connection::next`].
    pub async fn subscribe(
        &mut self,
        subscriptions: Vec<Subscription>,
    ) -> Result<SubAck<'static>, ConnectError> {
        let _ = subscriptions;
        todo!()
    }

    /// The next event; pings and renews meanwhile. Cancel safe.
    pub async fn next(&mut self) -> Result<Event, ConnectError> {
        todo!()
    }

    /// Says goodbye and closes; with [`ReasonCode::DisconnectWithWillMessage`] the Will is published.
    pub async fn disconnect(self, reason_code: ReasonCode) -> Result<(), ConnectError> {
        let _ = reason_code;
        todo!()
    }
}
