//! What the broker is told at its start, with defaults.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};
use symbolon_ace_proto::{DerivationKey, MacKey, Scope, jwe::ContentKey};
use symbolon_mqtt_proto::TopicFilter;

/// Everything the broker is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens, at least one.
    pub listeners: Vec<ListenerConfig>,
    /// How many shards, each a thread; 0 takes one for each core.
    pub shards: usize,
    /// Whose tokens count; without one only public topics are served.
    pub authorization: Option<AuthorizationConfig>,
    /// Topic Filters that anyone may publish and subscribe to, without a token (RFC 9431 §2.2.1).
    pub public_topics: Vec<TopicFilter>,
    /// Response Information for clients that ask for it; `${client_id}` stands for the Client Identifier (MQTT 5.0 §3.2.2.3.15).
    pub response_information: Option<String>,
    /// Topic Filters that are never public, whatever `public_topics` says: only a token opens them.
    pub private_topics: Vec<TopicFilter>,
    /// Whether a topic that a client has no right to is answered with 0x80 Unspecified error, so that nobody learns which topics
    /// there are, and not with 0x87 Not authorized (RFC 9431 §3.1 and §3.3 leave the choice).
    pub hide_topics: bool,
    /// Bounds.
    pub limits: Limits,
    /// Where health and metrics are asked for, over plain HTTP; without one nowhere.
    pub management: Option<ManagementConfig>,
    /// How often the values below `$SYS/broker/` are published, seconds; 0 is never. A client needs a scope, or a public topic, that covers
    /// them.
    pub sys_interval_secs: u32,
    /// Where sessions and retained messages are stored; without one they live in memory only and end with the process.
    pub store: Option<StoreConfig>,
}

impl Config {
    /// How often values are published where nothing else is said, seconds.
    pub const SYS_INTERVAL_SECS: u32 = 10;
}

/// The store of sessions and retained messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreConfig {
    /// Its directory, made with mode 0700 where it does not exist; the directory above must.
    pub path: PathBuf,
    /// What a message survives once it is acknowledged.
    pub durability: Durability,
    /// How much it holds, bytes. Beyond it QoS 1 and 2 are refused with Quota exceeded until there is room again.
    pub max_bytes: u64,
}

/// What is stored for good once its sender was told so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// Whatever ends the process: the system writes to the disk in its own time.
    #[default]
    ProcessCrash,
    /// A loss of power too: every commit waits for the disk.
    PowerLoss,
}

impl StoreConfig {
    /// How much a store holds where nothing else is said, bytes.
    pub const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;
    /// The least that it may be told to hold, bytes.
    pub const MAX_BYTES_AT_LEAST: u64 = 16 * 1024 * 1024;

    /// At this path, with defaults.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            max_bytes: Self::MAX_BYTES,
        }
    }
}

/// The management listener: `GET /health/live`, `/health/ready`, `/metrics`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ManagementConfig {
    /// The address; port 0 takes a free one. Refused outside loopback unless `insecure`.
    pub address: SocketAddr,
    /// The operator says it is meant: whoever reaches the address can read the metrics.
    pub insecure: bool,
}

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// How bytes travel.
    pub transport: Transport,
}

/// How bytes travel.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TLS with an X.509 certificate.
    Tls {
        /// PEM, leaf first.
        certificate_chain_pem: String,
        /// PEM.
        private_key_pem: String,
    },
    /// Bare TCP. Refused outside loopback unless `insecure`.
    Tcp {
        /// The operator says it is meant.
        insecure: bool,
    },
    /// WebSocket (RFC 6455) over TLS with an X.509 certificate.
    WebSocketTls {
        /// PEM, leaf first.
        certificate_chain_pem: String,
        /// PEM.
        private_key_pem: String,
        /// The origins whose pages may connect; `*` is any. Clients that name no origin are not asked.
        origins: Vec<String>,
    },
    /// WebSocket over bare TCP. Refused outside loopback unless `insecure`.
    WebSocketTcp {
        /// The operator says it is meant.
        insecure: bool,
        /// As above.
        origins: Vec<String>,
    },
}

/// Whose tokens count, and what is kept of them.
#[derive(Clone, Debug)]
pub struct AuthorizationConfig {
    /// At least one and at most [`AuthorizationConfig::SERVERS_AT_MOST`], each with an issuer of its own. A token is judged by the one that
    /// its `iss` names, and by the keys of that one alone. Clients without a token are sent to the first.
    pub servers: Vec<AuthorizationServerConfig>,
    /// Tokens that are kept.
    pub tokens: TokensConfig,
    /// Whether the system's clock tells the time of day. Without one `exp` and `nbf` are not looked at, and a token must have `exi` or be by
    /// reference (RFC 9200 §5.10.3).
    pub clock: bool,
}

impl AuthorizationConfig {
    /// The most authorization servers.
    pub const SERVERS_AT_MOST: usize = 16;
}

/// One authorization server. There must be a way to trust its tokens: [`jwks_uri`](Self::jwks_uri), [`mac_keys`](Self::mac_keys) or
/// [`introspection`](Self::introspection).
#[derive(Clone, Debug)]
pub struct AuthorizationServerConfig {
    /// `iss` of its tokens.
    pub issuer: String,
    /// Where its public keys are, an `https` URL.
    pub jwks_uri: Option<String>,
    /// PEM of the CAs that its certificate is checked against; not looked at where nothing is fetched or asked there.
    pub ca_pem: String,
    /// This broker's audience there.
    pub audience: String,
    /// The content keys shared with it, for symmetric keys in tokens, found by `kid`; [`Self::SHARED_KEYS_AT_MOST`].
    pub content_keys: Vec<ContentKey>,
    /// The keys shared with it for tokens that are protected by a MAC: JWTs with HS256, CWTs with HMAC 256/256. Found by `kid`; as many.
    pub mac_keys: Vec<MacKey>,
    /// The keys shared with it that the keys of tokens which only name theirs are derived with (RFC 9202 §3.3.1), the eldest first; as many.
    pub derivation_keys: Vec<DerivationKey>,
    /// The token endpoint, told to clients without a token.
    pub token_endpoint: String,
    /// The scope told to them, if any.
    pub hint_scope: Option<Scope>,
    /// Where to ask what a token by reference says; without it such tokens are refused.
    pub introspection: Option<IntrospectionConfig>,
    /// Where the list of revoked tokens is; without it a token counts until it expires.
    pub revocation_list: Option<RevocationListConfig>,
}

impl AuthorizationServerConfig {
    /// The most keys that are shared for one purpose: one in use, one that comes, and those that go.
    pub const SHARED_KEYS_AT_MOST: usize = 4;
}

/// Where the authorization server lists revoked tokens (RFC 9770).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevocationListConfig {
    /// Where, an `https` URL.
    pub endpoint: String,
    /// Who the broker is there.
    pub client_id: String,
    /// How it proves that.
    pub credential: IntrospectionCredential,
}

/// How the authorization server is asked what a token says (RFC 7662, RFC 9200 §5.9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IntrospectionConfig {
    /// Where, an `https` URL.
    pub endpoint: String,
    /// Who the broker is there.
    pub client_id: String,
    /// How it proves that.
    pub credential: IntrospectionCredential,
    /// How long an answer is believed, seconds, at least 1.
    pub cache_secs: u64,
}

/// How the broker authenticates to the authorization server. `Debug` does not show the secret.
#[derive(Clone, Eq, PartialEq)]
pub enum IntrospectionCredential {
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    Secret(String),
    /// `private_key_jwt` (RFC 7523) with this private JWK, Ed25519 or P-256, as JSON.
    Key(String),
}

impl fmt::Debug for IntrospectionCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(..)",
            Self::Key(_) => "Key(..)",
        })
    }
}

impl IntrospectionConfig {
    /// How long an answer is believed where nothing else is said, seconds.
    pub const CACHE_SECS: u64 = 60;
}

/// Tokens that are kept beyond the packet that they came in (RFC 9431 §2.2.2, §2.4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four choices of the operator that have nothing to do with each other"
)]
pub struct TokensConfig {
    /// Whether a token that came in CONNECT or AUTH is stored too once its client has proved to hold its key, so that the client may come
    /// back without it. It takes no more than half of the room for tokens.
    pub store_connect_tokens: bool,
    /// Whether tokens may be published to `authz-info`: then a client without a token may connect, even where no topic is public.
    pub authz_info: bool,
    /// Whether a client with the method `ace` and no token is challenged by the token that is stored for its Client Identifier. A stranger
    /// learns by it which Client Identifiers have one; with `false` each is sent to the authorization server.
    pub stored_token_challenge: bool,
    /// Whether a token must bring back the nonce of a hint that is at most five minutes old, `cnonce` (RFC 9200 §5.3.1).
    pub client_nonce: bool,
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self {
            store_connect_tokens: true,
            authz_info: false,
            stored_token_challenge: true,
            client_nonce: false,
        }
    }
}

/// Bounds, each with a default.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, over all shards.
    pub connections: usize,
    /// Connections of one address, over all shards; 0 is any number. An IPv6 network of 64 bits is one address.
    pub connections_per_address: usize,
    /// Connections on their way to admission at once, for each listener and shard; the kernel keeps the others waiting.
    pub handshakes: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the end of the TLS handshake to an admitted CONNECT.
    pub connect_timeout: Duration,
    /// The largest packet a client may send, bytes.
    pub packet_size: u32,
    /// Levels in a Topic Name or Topic Filter.
    pub topic_levels: usize,
    /// Bytes of a Topic Name or Topic Filter.
    pub topic_length: usize,
    /// Sessions, connected or away, over all shards.
    pub sessions: usize,
    /// Subscriptions of one client.
    pub subscriptions_per_client: usize,
    /// Messages that wait for one client because its window is full.
    pub queued_messages: usize,
    /// Bytes of them.
    pub queued_bytes: usize,
    /// The longest that a session outlives its connection, seconds; `u32::MAX` is for ever.
    pub session_expiry_secs: u32,
    /// Bytes that wait for one client's socket.
    pub outbox_bytes: usize,
    /// Retained messages, over all shards.
    pub retained_messages: usize,
    /// Bytes of them.
    pub retained_bytes: usize,
    /// Wills that wait, over all shards.
    pub wills: usize,
    /// Bytes of one Will: topic, properties and payload.
    pub will_size: usize,
    /// Receive Maximum told to clients: their QoS 1 and 2 messages in flight to us.
    pub receive_maximum: u16,
    /// The most `QoS` 1 and 2 messages in flight to one client, whatever its own Receive Maximum is.
    pub send_maximum: u16,
    /// Messages that one client may send, for each second; 0 is any number.
    pub receive_rate: u32,
    /// Messages that one client may send at once, before the rate holds; 0 is as many as `receive_rate`.
    pub receive_burst: u32,
    /// The longest Keep Alive a client may have, seconds; 0 for any.
    pub keep_alive_secs: u16,
    /// Tokens that are kept, over all shards: published to `authz-info`, or come in CONNECT.
    pub stored_tokens: usize,
    /// Bytes of them, 512 for each counted in.
    pub stored_tokens_bytes: usize,
    /// Tokens that one connection may publish, for each minute; 0 is any number.
    pub authz_info_rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_address: 0,
            handshakes: 1_024,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            packet_size: 1024 * 1024,
            topic_levels: 128,
            topic_length: 4_096,
            sessions: 500_000,
            subscriptions_per_client: 10_000,
            queued_messages: 1_000,
            queued_bytes: 64 * 1024 * 1024,
            session_expiry_secs: 7 * 24 * 3_600,
            outbox_bytes: 1024 * 1024,
            retained_messages: 100_000,
            retained_bytes: 256 * 1024 * 1024,
            wills: 100_000,
            will_size: 16 * 1024,
            receive_maximum: 1_024,
            send_maximum: 1_024,
            receive_rate: 0,
            receive_burst: 0,
            keep_alive_secs: 0,
            stored_tokens: 100_000,
            stored_tokens_bytes: 256 * 1024 * 1024,
            authz_info_rate: 30,
        }
    }
}
