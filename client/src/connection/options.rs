//! What a connection is opened with.

use crate::{Mode, Profile, profile::ProfileError, token::Token};
use std::{fmt, time::Duration};
use symbolon_mqtt_proto::{ProtocolVersion, Will};

/// What a connection is opened with. [`ConnectOptions::new`] has a default for everything but the address. `Debug` shows no password and
/// no Will.
#[derive(Clone)]
pub struct ConnectOptions<'a> {
    /// Host: a DNS name or an IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// CA in PEM; absent is bare TCP, over which no token is ever sent.
    pub ca_pem: Option<String>,
    /// 5.0 or 3.1.1.
    pub version: ProtocolVersion,
    /// MQTT Client Identifier; empty asks the broker to assign one.
    pub client_identifier: String,
    /// Clean Start.
    pub clean_start: bool,
    /// Keep Alive, seconds; the connection pings by itself. The broker may choose another.
    pub keep_alive_secs: u16,
    /// Session Expiry Interval, seconds.
    pub session_expiry_interval_secs: Option<u32>,
    /// User Name.
    pub user_name: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// The Will.
    pub will: Option<Will<'a>>,
    /// User Properties of CONNECT, 5.0 only.
    pub user_properties: Vec<(String, String)>,
    /// How many QoS 1 and 2 messages the broker may have in flight to us, 5.0 only; at least 1. A broker that sends more ends the
    /// connection, and Mosquitto 2.0 does so: to bound memory, [`ConnectOptions::backlog_bytes`] serves with every broker.
    pub receive_maximum: u16,
    /// The largest packet the broker may send, bytes. 5.0 tells the broker; in both a larger one ends the connection.
    pub maximum_packet_size: u32,
    /// About how many bytes of events may wait for [`crate::Connection::next`] before nothing more is read.
    pub backlog_bytes: usize,
    /// How long connecting may take in all, each time where a mode needs more than one connection; and then each answer of the broker.
    pub timeout: Duration,
}

/// A token for [`crate::Connection::connect`], and what renewing it takes.
#[derive(Debug)]
pub struct Credentials {
    /// Where new tokens come from; without it the token is never renewed.
    pub profile: Option<Profile>,
    /// The first token.
    pub token: Token,
    /// How to say who we are: [`Mode::choose`] knows. A new token comes to count by AUTH with a challenge (RFC 9431 §4); where TLS knows us, at
    /// `authz-info` on the live connection if it is for the same key; else, and in 3.1.1, on another connection that goes on with the
    /// session, for which the session is made to last and ended by [`crate::Connection::disconnect`].
    pub mode: Mode,
}

impl ConnectOptions<'_> {
    /// MQTT 5.0 over bare TCP to this address, a new session, no Will. Set `ca_pem` for TLS.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            ca_pem: None,
            version: ProtocolVersion::V5,
            client_identifier: String::new(),
            clean_start: true,
            keep_alive_secs: 60,
            session_expiry_interval_secs: None,
            user_name: None,
            password: None,
            will: None,
            user_properties: Vec::new(),
            receive_maximum: u16::MAX,
            maximum_packet_size: 16 * 1024 * 1024,
            backlog_bytes: 32 * 1024 * 1024,
            timeout: Duration::from_secs(30),
        }
    }

    /// What [`ConnectOptions::new`] gives, with address, CA and Client Identifier of a profile.
    pub fn for_profile(profile: &Profile) -> Result<Self, ProfileError> {
        let (host, port) = profile.broker_address()?;
        Ok(Self {
            ca_pem: Some(profile.ca.clone()),
            client_identifier: profile.client_id.clone(),
            ..Self::new(host, port)
        })
    }
}

impl fmt::Debug for ConnectOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.ca_pem.is_some())
            .field("version", &self.version)
            .field("client_identifier", &self.client_identifier)
            .field("clean_start", &self.clean_start)
            .field("keep_alive_secs", &self.keep_alive_secs)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
