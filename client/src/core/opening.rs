//! From CONNECT to CONNACK (MQTT 5.0 §3.1, §3.2, §4.12), proof of possession included (RFC 9431 §2.2.4).

use super::{
    connected::Connected,
    fault::Fault,
    inbox::Inbox,
    outbox::Outbox,
    renewal::{Clocks, TokenLife, answer_challenge},
    session::Session,
};
use crate::{
    ConnectError, ConnectOptions,
    token::{Token, copy},
};
use std::{num::NonZeroU16, num::NonZeroU32, time::Duration};
use symbolon_ace_proto::{
    AUTHENTICATION_METHOD, AsHint, ClientNonce, ConnectData, PopError, PopSigner,
    authentication_data::user_name, hint,
};
use symbolon_mqtt_proto::property::PropertyBuffer;
use symbolon_mqtt_proto::{
    Auth, ConnAck, Connect, Disconnect, Packet, ProtocolVersion, Qos, ReasonCode, UserProperties,
    connack::ConnAckProperties, connect::ConnectProperties,
};

/// How many messages above QoS 0 we have in flight in 3.1.1, which has no Receive Maximum: what brokers without one are known to bear
/// (Mosquitto drops the connection of a client that has more in flight than it is configured for, and that is 20 by default).
const IN_FLIGHT_V311: u16 = 20;

/// How a CONNECT says who we are.
#[derive(Debug)]
pub(crate) enum Authentication {
    /// User Name and Password, or nothing at all: also where TLS says who we are (RFC 9431 §2.2.3).
    None,
    /// The method without a token: the broker refuses, and says where to ask for one (RFC 9431 §2.4.1).
    Discover,
    /// Token and proof over the exporter value, in CONNECT.
    Exporter {
        token: Vec<u8>,
        signer: PopSigner,
        exporter: [u8; 32],
    },
    /// The token in CONNECT, the proof in answer to a challenge.
    Challenge {
        token: Vec<u8>,
        signer: PopSigner,
        client_nonce: ClientNonce,
    },
}

/// CONNECT is on its way.
#[derive(Debug)]
pub(crate) struct Opening {
    inbox: Inbox,
    outbox: Outbox,
    stage: Stage,
    local: Local,
    session: Session,
}

/// What the broker owes us.
#[derive(Debug)]
enum Stage {
    AwaitConnAck,
    AwaitChallenge {
        signer: PopSigner,
        client_nonce: ClientNonce,
    },
}

/// How far it is after some bytes.
#[derive(Debug)]
pub(crate) enum Progress {
    Opening(Box<Opening>),
    Connected(Box<Connected>),
}

/// What we asked for and promised.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub(super) authenticated: bool,
    pub(super) client_identifier: String,
    pub(super) keep_alive_secs: u16,
    pub(super) receive_maximum: u16,
    pub(super) backlog_bytes: usize,
    pub(super) answer_limit: Duration,
    pub(super) renewal: Option<TokenLife>,
}

/// What holds for the connection: the broker's word in CONNACK, or ours where it said nothing (MQTT 5.0 §3.2.2.3).
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    pub(crate) session_present: bool,
    pub(crate) client_identifier: String,
    pub(crate) keep_alive_secs: u16,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: u32,
    pub(crate) maximum_qos: Qos,
    pub(crate) retain_available: bool,
}

impl Opening {
    /// Writes CONNECT. With `renewal`, the life of the token, a new one is asked for in time. `session` is what is left of an earlier
    /// connection, or a new one.
    pub(crate) fn new(
        options: &ConnectOptions<'_>,
        authentication: Authentication,
        renewal: Option<TokenLife>,
        session: Session,
    ) -> Result<Self, ConnectError> {
        let local = Local {
            authenticated: !matches!(authentication, Authentication::None),
            client_identifier: options.client_identifier.clone(),
            keep_alive_secs: options.keep_alive_secs,
            receive_maximum: options.receive_maximum.max(1),
            backlog_bytes: options.backlog_bytes,
            answer_limit: options.timeout,
            renewal,
        };
        let mut outbox = Outbox::new(options.version);
        let credentials = Credentials::new(options, &authentication)?;
        let mut buffer = PropertyBuffer::default();
        for (name, value) in &options.user_properties {
            buffer
                .push_user_property(name, value)
                .map_err(ConnectError::not_sent)?;
        }
        let connect = connect(options, &credentials, buffer.user_properties());
        outbox
            .push(&Packet::Connect(Box::new(connect)))
            .map_err(ConnectError::not_sent)?;
        let stage = match authentication {
            Authentication::Challenge {
                signer,
                client_nonce,
                ..
            } => Stage::AwaitChallenge {
                signer,
                client_nonce,
            },
            Authentication::None | Authentication::Discover | Authentication::Exporter { .. } => {
                Stage::AwaitConnAck
            }
        };
        Ok(Self {
            inbox: Inbox::new(options.version, options.maximum_packet_size),
            outbox,
            stage,
            local,
            session,
        })
    }

    pub(crate) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Bytes came. Before CONNACK a broker that breaks the protocol is left without a word.
    pub(crate) fn handle_bytes(
        mut self,
        bytes: &[u8],
        clocks: Clocks,
    ) -> Result<Progress, ConnectError> {
        self.inbox.push(bytes);
        loop {
            let packet = self.inbox.take_packet().map_err(Fault::from);
            match packet.map_err(Fault::into_error)? {
                None => return Ok(Progress::Opening(Box::new(self))),
                Some(Packet::ConnAck(connack)) => {
                    let agreed = agree(&self.local, self.outbox.version(), &connack)
                        .map_err(Fault::into_error)?;
                    let connected = Connected::new(
                        (self.inbox, self.outbox),
                        &self.local,
                        agreed,
                        self.session,
                        clocks,
                    )?;
                    return Ok(Progress::Connected(Box::new(connected)));
                }
                Some(Packet::Auth(auth)) => {
                    let response = answer(self.stage, &auth).map_err(Fault::into_error)?;
                    self.outbox
                        .push(&Packet::Auth(response_packet(&response)))
                        .map_err(ConnectError::not_sent)?;
                    self.stage = Stage::AwaitConnAck;
                }
                Some(Packet::Disconnect(disconnect)) => return Err(said_goodbye(&disconnect)),
                Some(other) => {
                    let how = format!("{:?} before CONNACK", other.packet_type());
                    return Err(ConnectError::Protocol(how));
                }
            }
        }
    }
}

/// Answers the broker's challenge. One challenge gets one answer.
fn answer(stage: Stage, auth: &Auth<'_>) -> Result<Vec<u8>, Fault> {
    check_method(auth.authentication_method)?;
    match stage {
        Stage::AwaitChallenge {
            signer,
            client_nonce,
        } if auth.reason_code == ReasonCode::ContinueAuthentication => {
            answer_challenge(auth, &signer, client_nonce)
        }
        Stage::AwaitChallenge { .. } | Stage::AwaitConnAck => {
            Err(Fault::protocol("AUTH that nothing asked for"))
        }
    }
}

/// Every AUTH of an exchange names the method of the CONNECT (MQTT 5.0 §3.15.2.2.2, §4.12).
pub(super) fn check_method(method: Option<&str>) -> Result<(), Fault> {
    match method {
        Some(AUTHENTICATION_METHOD) => Ok(()),
        Some(_) => Err(Fault::protocol("AUTH with another Authentication Method")),
        None => Err(Fault::protocol("AUTH without Authentication Method")),
    }
}

/// AUTH 0x18 with our answer.
pub(super) fn response_packet(response: &[u8]) -> Auth<'_> {
    Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        authentication_method: Some(AUTHENTICATION_METHOD),
        authentication_data: Some(response),
        reason_string: None,
        user_properties: UserProperties::default(),
    }
}

/// What a DISCONNECT of the broker means to us: all its Reason Codes are failures (MQTT 5.0 §3.14.2.1).
pub(super) fn said_goodbye(disconnect: &Disconnect<'_>) -> ConnectError {
    refused(
        disconnect.reason_code,
        disconnect.reason_string,
        disconnect.user_properties,
    )
}

fn refused(
    reason_code: ReasonCode,
    reason_string: Option<&str>,
    user_properties: UserProperties<'_>,
) -> ConnectError {
    let hint = user_properties
        .iter()
        .find(|(name, _)| *name == hint::USER_PROPERTY)
        // A hint that cannot be read is no hint.
        .and_then(|(_, json)| AsHint::from_json(json).ok());
    ConnectError::Refused {
        reason_code,
        reason_string: reason_string.map(str::to_owned),
        hint: hint.map(Box::new),
    }
}

fn agree(local: &Local, version: ProtocolVersion, connack: &ConnAck<'_>) -> Result<Agreed, Fault> {
    let ConnAckProperties {
        receive_maximum,
        maximum_qos,
        retain_available,
        maximum_packet_size,
        assigned_client_identifier,
        reason_string,
        user_properties,
        server_keep_alive_secs,
        authentication_method,
        ..
    } = connack.properties;
    if connack.reason_code != ReasonCode::Success {
        return Err(refused(connack.reason_code, reason_string, user_properties).into());
    }
    if authentication_method
        .is_some_and(|method| !local.authenticated || method != AUTHENTICATION_METHOD)
    {
        return Err(Fault::protocol(
            "CONNACK with another Authentication Method",
        ));
    }
    let client_identifier = assigned_client_identifier.unwrap_or(&local.client_identifier);
    Ok(Agreed {
        session_present: connack.session_present,
        client_identifier: client_identifier.to_owned(),
        // [MQTT-3.2.2-21]
        keep_alive_secs: server_keep_alive_secs.unwrap_or(local.keep_alive_secs),
        receive_maximum: match version {
            ProtocolVersion::V5 => receive_maximum.map_or(u16::MAX, NonZeroU16::get),
            ProtocolVersion::V311 => IN_FLIGHT_V311,
        },
        maximum_packet_size: maximum_packet_size.map_or(u32::MAX, NonZeroU32::get),
        maximum_qos: maximum_qos.unwrap_or(Qos::ExactlyOnce),
        retain_available: retain_available.unwrap_or(true),
    })
}

/// What CONNECT carries to say who we are.
#[derive(Default)]
struct Credentials {
    user_name: Option<String>,
    password: Option<Vec<u8>>,
    method: bool,
    data: Option<Vec<u8>>,
}

impl Credentials {
    fn new(
        options: &ConnectOptions<'_>,
        authentication: &Authentication,
    ) -> Result<Self, ConnectError> {
        let too_long = |_malformed| ConnectError::NotSent("the token is too long".to_owned());
        let sign = |signer: &PopSigner, exporter: &[u8; 32]| {
            signer.sign(exporter).map_err(ConnectError::not_sent)
        };
        if !matches!(authentication, Authentication::None)
            && (options.user_name.is_some() || options.password.is_some())
        {
            // RFC 9431 §2.2.4.1
            return Err(ConnectError::Options(
                "a token takes the place of user name and password",
            ));
        }
        match (authentication, options.version) {
            (Authentication::None, _) => Ok(Self {
                user_name: options.user_name.clone(),
                password: options.password.clone(),
                ..Self::default()
            }),
            (Authentication::Discover, ProtocolVersion::V5) => Ok(Self::with_data(None)),
            (
                Authentication::Exporter {
                    token,
                    signer,
                    exporter,
                },
                ProtocolVersion::V5,
            ) => {
                let data = ConnectData::TokenAndProof {
                    token,
                    proof: &sign(signer, exporter)?,
                };
                Ok(Self::with_data(Some(data.encode().map_err(too_long)?)))
            }
            (Authentication::Challenge { token, .. }, ProtocolVersion::V5) => {
                let data = ConnectData::Token(token);
                Ok(Self::with_data(Some(data.encode().map_err(too_long)?)))
            }
            (
                Authentication::Exporter {
                    token,
                    signer,
                    exporter,
                },
                ProtocolVersion::V311,
            ) => Ok(Self {
                user_name: Some(user_name(token)),
                password: Some(sign(signer, exporter)?),
                ..Self::default()
            }),
            (
                Authentication::Discover | Authentication::Challenge { .. },
                ProtocolVersion::V311,
            ) => Err(ConnectError::Options(
                "MQTT 3.1.1 has no AUTH packet: only a proof over the TLS exporter value works",
            )),
        }
    }

    fn with_data(data: Option<Vec<u8>>) -> Self {
        Self {
            method: true,
            data,
            ..Self::default()
        }
    }
}

fn connect<'a>(
    options: &'a ConnectOptions<'_>,
    credentials: &'a Credentials,
    user_properties: UserProperties<'a>,
) -> Connect<'a> {
    Connect {
        version: options.version,
        clean_start: options.clean_start,
        keep_alive_secs: options.keep_alive_secs,
        client_identifier: &options.client_identifier,
        will: options.will,
        user_name: credentials.user_name.as_deref(),
        password: credentials.password.as_deref(),
        properties: ConnectProperties {
            session_expiry_interval_secs: options.session_expiry_interval_secs,
            // Absent, it is 65,535 (MQTT 5.0 §3.1.2.11.3).
            receive_maximum: NonZeroU16::new(options.receive_maximum.max(1))
                .filter(|maximum| *maximum < NonZeroU16::MAX),
            maximum_packet_size: NonZeroU32::new(options.maximum_packet_size),
            // No aliases: the topic then stands in every message.
            topic_alias_maximum: None,
            user_properties,
            authentication_method: credentials.method.then_some(AUTHENTICATION_METHOD),
            authentication_data: credentials.data.as_deref(),
            ..ConnectProperties::default()
        },
    }
}

impl Authentication {
    /// By a proof over the exporter value.
    pub(crate) fn exporter(token: &Token, exporter: [u8; 32]) -> Result<Self, ConnectError> {
        Ok(Self::Exporter {
            token: token.as_bytes().to_vec(),
            signer: key_of(token)?,
            exporter,
        })
    }

    /// By the broker's challenge.
    pub(crate) fn challenge(
        token: &Token,
        client_nonce: ClientNonce,
    ) -> Result<Self, ConnectError> {
        Ok(Self::Challenge {
            token: token.as_bytes().to_vec(),
            signer: key_of(token)?,
            client_nonce,
        })
    }
}

/// The key of a token, for one proof.
pub(super) fn key_of(token: &Token) -> Result<PopSigner, ConnectError> {
    copy(&token.signer).ok_or_else(|| ConnectError::not_sent(PopError::UnsupportedKey))
}
