//! One mode, one version of MQTT, one key, and what must hold there.

use crate::world::{Devices, SHORT_SECS};
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopSigner};
use symbolon_client::{
    ConnectError, ConnectOptions, Connection, Event, Mode, Profile,
    connection::{Credentials, Outgoing},
    token::{self, Token},
};
use symbolon_mqtt_proto::{
    ProtocolVersion, PublishProperties, Qos, ReasonCode, RetainHandling, Subscription, TopicFilter,
};
use tokio::time::timeout;

/// How long anything may take that is not a token's life.
const SOON: Duration = Duration::from_mins(1);
const V5: ProtocolVersion = ProtocolVersion::V5;
const V311: ProtocolVersion = ProtocolVersion::V311;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key {
    Hs256,
    Ed25519,
    Es256,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) mode: Mode,
    version: ProtocolVersion,
    pub(crate) key: Key,
}

const fn cell(mode: Mode, version: ProtocolVersion, key: Key) -> Cell {
    Cell { mode, version, key }
}

/// All that can be: a shared secret is no raw public key, a key pair no pre-shared key, and 3.1.1 has no properties.
pub(crate) const CELLS: [Cell; 17] = [
    cell(Mode::Exporter, V5, Key::Hs256),
    cell(Mode::Exporter, V5, Key::Ed25519),
    cell(Mode::Exporter, V5, Key::Es256),
    cell(Mode::Challenge, V5, Key::Hs256),
    cell(Mode::Challenge, V5, Key::Ed25519),
    cell(Mode::Challenge, V5, Key::Es256),
    cell(Mode::V311, V311, Key::Hs256),
    cell(Mode::V311, V311, Key::Ed25519),
    cell(Mode::V311, V311, Key::Es256),
    cell(Mode::Rpk, V5, Key::Ed25519),
    cell(Mode::Rpk, V5, Key::Es256),
    cell(Mode::Rpk, V311, Key::Ed25519),
    cell(Mode::Rpk, V311, Key::Es256),
    cell(Mode::PskToken, V5, Key::Hs256),
    cell(Mode::PskToken, V311, Key::Hs256),
    cell(Mode::PskKid, V5, Key::Hs256),
    cell(Mode::PskKid, V311, Key::Hs256),
];

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            ProtocolVersion::V5 => "5",
            ProtocolVersion::V311 => "311",
        };
        let key = match self.key {
            Key::Hs256 => "hs256",
            Key::Ed25519 => "ed25519",
            Key::Es256 => "es256",
        };
        write!(f, "{}-{version}-{key}", self.mode.as_str())
    }
}

/// What went wrong, in words.
type Outcome = Result<(), String>;

fn must<T, E: fmt::Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

fn holds(condition: bool, what: &str, shown: &impl fmt::Debug) -> Outcome {
    condition.then_some(()).ok_or(format!("{what}: {shown:?}"))
}

fn unix_secs() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

fn subscription(filter: &str) -> Subscription {
    Subscription {
        share_name: None,
        filter: TopicFilter::parse(filter).expect("a filter of ours"),
        maximum_qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

fn outgoing<'a>(topic: &'a str, payload: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        topic,
        payload,
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: PublishProperties::default(),
    }
}

/// One character, or one byte, is another.
fn with_another_byte(mut token: Token) -> Token {
    if let Some(raw) = &mut token.raw {
        let middle = raw.len() / 2;
        raw[middle] ^= 1;
    }
    let middle = token.text.len() / 2;
    let another = if token.text[middle..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    token.text.replace_range(middle..=middle, another);
    token
}

/// One bit of a shared secret is another; of a key pair all of it, since there one that fits is needed.
fn with_another_key(mut token: Token) -> Token {
    token.signer = match token.signer.algorithm() {
        PopAlgorithm::Hs256 => {
            let mut secret = token.signer.secret().to_vec();
            secret[0] ^= 1;
            shared(&secret)
        }
        pair @ (PopAlgorithm::EdDsa | PopAlgorithm::Es256) => {
            PopSigner::generate(pair).expect("a key can be made")
        }
    };
    token
}

fn shared(secret: &[u8]) -> PopSigner {
    let jwk = serde_json::json!({"kty": "oct", "k": base64url(secret)}).to_string();
    let jwk = Jwk::from_json(jwk.as_bytes()).expect("a JWK");
    PopSigner::from_jwk(&jwk).expect("32 bytes")
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let chunks = bytes.chunks(3).flat_map(|chunk| {
        let bits = chunk
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |at| char::from(DIGITS[bits >> (18 - 6 * at) & 63]))
    });
    chunks.collect()
}

impl Cell {
    /// All that must hold, in this mode and with this key.
    pub(crate) async fn run(self, devices: Devices) -> Outcome {
        let (flows, cut, renewed) = tokio::join!(
            self.lets_in_its_token_and_no_other(&devices.lasting),
            self.is_cut_at_the_end(&devices.short),
            self.renews(&devices.short),
        );
        flows.and(cut).and(renewed)
    }

    /// A reference is no identity of a pre-shared key until the broker has asked about it: nothing waits in a handshake. Once it was
    /// published it is one.
    pub(crate) async fn is_known_once_published(self, profile: &Profile) -> Outcome {
        let token = self.token(profile).await?;
        let (reference, secret) = (token.text.clone(), token.signer.secret().to_vec());
        let early = self.connect(profile, (token, false, "early")).await;
        self.is_refused("an unknown reference", early)?;
        let options = ConnectOptions {
            client_identifier: "stranger".into(),
            ..ConnectOptions::for_profile(profile).expect("the profile names a broker")
        };
        let mut stranger = must("TLS:Anon", Connection::connect(options, None).await)?;
        let published = outgoing("authz-info", reference.as_bytes());
        must("PUBLISH", stranger.publish(published).await)?;
        let event = self.next(&mut stranger, "authz-info").await?;
        let accepted = matches!(
            event,
            Event::Published {
                reason_code: ReasonCode::Success,
                ..
            }
        );
        holds(accepted, "at authz-info", &event)?;
        let token = Token {
            text: reference,
            signer: shared(&secret),
            ..self.token(profile).await?
        };
        let connected = self.connect(profile, (token, false, "later")).await;
        let mut connection = must("a known reference", connected)?;
        self.flows(&mut connection, "later").await
    }

    async fn token(self, profile: &Profile) -> Result<Token, String> {
        must("no token", token::obtain(profile, None).await)
    }

    async fn connect(
        self,
        profile: &Profile,
        (token, renewing, name): (Token, bool, &str),
    ) -> Result<Connection, ConnectError> {
        let options = ConnectOptions {
            version: self.version,
            client_identifier: format!("{name}-{self}"),
            ..ConnectOptions::for_profile(profile).expect("the profile names a broker")
        };
        let credentials = Credentials {
            profile: renewing.then(|| profile.clone()),
            token,
            mode: self.mode,
        };
        Connection::connect(options, Some(credentials)).await
    }

    async fn lets_in_its_token_and_no_other(self, profile: &Profile) -> Outcome {
        let token = self.token(profile).await?;
        let connected = self.connect(profile, (token, false, "flows")).await;
        let mut connection = must("not admitted", connected)?;
        self.flows(&mut connection, "lasting").await?;
        self.stays_within_its_scope(connection).await?;
        let changed = with_another_byte(self.token(profile).await?);
        let connected = self.connect(profile, (changed, false, "thief")).await;
        self.is_refused("a changed token", connected)?;
        let changed = with_another_key(self.token(profile).await?);
        let connected = self.connect(profile, (changed, false, "thief")).await;
        self.is_refused("a changed key", connected)?;
        let token = self.token(profile).await?;
        must(
            "not admitted again",
            self.connect(profile, (token, false, "again")).await,
        )?;
        Ok(())
    }

    /// Subscribes, publishes, and gets what it published.
    async fn flows(self, connection: &mut Connection, what: &str) -> Outcome {
        let topic = format!("rooms/{self}/{what}");
        let subscribed = connection.subscribe(vec![subscription(&topic)]).await;
        let reason_codes = must("SUBSCRIBE", subscribed)?.reason_codes;
        if reason_codes != [ReasonCode::GrantedQos1] {
            return Err(format!("{what}: SUBACK {reason_codes:?}"));
        }
        must(
            "PUBLISH",
            connection.publish(outgoing(&topic, b"warm")).await,
        )?;
        let (mut published, mut received) = (false, false);
        while !(published && received) {
            let event = self.next(connection, what).await?;
            // Renewing goes on meanwhile, and says so.
            if let Event::Published { reason_code, .. } = &event {
                holds(!reason_code.is_failure(), what, &event)?;
                published = true;
            } else if let Event::Message(message) = &event {
                received |= message.payload == b"warm";
            }
        }
        Ok(())
    }

    async fn next(self, connection: &mut Connection, what: &str) -> Result<Event, String> {
        let event = timeout(SOON, connection.next()).await;
        must(what, must("nothing came", event)?)
    }

    async fn stays_within_its_scope(self, mut connection: Connection) -> Outcome {
        let refused = connection.subscribe(vec![subscription("#")]).await;
        let reason_codes = must("SUBSCRIBE", refused)?.reason_codes;
        if !reason_codes.iter().all(|code| code.is_failure()) {
            return Err(format!("a subscription beyond the scope: {reason_codes:?}"));
        }
        must(
            "PUBLISH",
            connection.publish(outgoing("elsewhere", b"")).await,
        )?;
        let event = timeout(SOON, connection.next()).await;
        let event = must("nothing came", event)?;
        let refused = match self.version {
            ProtocolVersion::V5 => matches!(
                &event,
                Ok(Event::Published {
                    reason_code: ReasonCode::NotAuthorized,
                    ..
                })
            ),
            // RFC 9431 §6.4: there is no code to tell it.
            ProtocolVersion::V311 => matches!(&event, Err(ConnectError::Lost(_))),
        };
        holds(refused, "a message beyond the scope", &event)
    }

    fn is_refused(self, what: &str, connected: Result<Connection, ConnectError>) -> Outcome {
        let Err(error) = connected else {
            return Err(format!("{what} is let in"));
        };
        let codes = [ReasonCode::NotAuthorized, ReasonCode::PayloadFormatInvalid];
        let told = matches!(
            &error,
            ConnectError::Refused { reason_code, .. } | ConnectError::NotTaken { reason_code, .. }
                if codes.contains(reason_code)
        );
        // RFC 9431 §2.2.3: in the handshake.
        let by_tls = matches!(&error, ConnectError::Tls(_));
        let expected = match self.mode {
            Mode::PskToken => by_tls,
            Mode::PskKid => by_tls || told,
            Mode::Anon | Mode::Exporter | Mode::Challenge | Mode::Rpk | Mode::V311 => told,
        };
        holds(expected, what, &error)
    }

    async fn is_cut_at_the_end(self, profile: &Profile) -> Outcome {
        let token = self.token(profile).await?;
        let end = token.expires_at.0;
        let connected = self.connect(profile, (token, false, "cut")).await;
        let mut connection = must("a short token is not admitted", connected)?;
        let limit = Duration::from_secs(SHORT_SECS) + SOON;
        let ended = must("not cut", timeout(limit, connection.next()).await)?;
        if unix_secs() < end {
            return Err(format!("cut before the end: {ended:?}"));
        }
        let told = match self.version {
            // RFC 9431 §3.2, §4.
            ProtocolVersion::V5 => matches!(
                &ended,
                Err(ConnectError::Refused {
                    reason_code: ReasonCode::NotAuthorized,
                    ..
                })
            ),
            ProtocolVersion::V311 => matches!(&ended, Err(ConnectError::Lost(_))),
        };
        holds(told, "at the end of the token", &ended)
    }

    async fn renews(self, profile: &Profile) -> Outcome {
        let token = self.token(profile).await?;
        let end = token.expires_at.0;
        let connected = self.connect(profile, (token, true, "renews")).await;
        let mut connection = must("not admitted", connected)?;
        let event = self.next(&mut connection, "until it is renewed").await?;
        let renewed = matches!(event, Event::Renewed | Event::Reconnected { .. });
        holds(renewed, "not renewed", &event)?;
        if unix_secs() >= end {
            return Err("renewed after the end".into());
        }
        while unix_secs() <= end {
            // It lives on meanwhile.
            if let Ok(event) = timeout(Duration::from_millis(200), connection.next()).await {
                must("cut although it was renewed", event)?;
            }
        }
        self.flows(&mut connection, "renewed").await
    }
}
