//! The file as it is written: every key optional, so that what is missing can be said in our own words.

use crate::logging::LogFormat;
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(rename = "as")]
    pub(super) authorization_server: Option<AuthorizationServer>,
    pub(super) broker: Option<Broker>,
    pub(super) profile: Option<Profile>,
    pub(super) log: Option<Log>,
}

/// `[as]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizationServer {
    pub(super) listen: Option<SocketAddr>,
    pub(super) issuer: Option<String>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) database: Option<String>,
    pub(super) database_password_file: Option<PathBuf>,
    pub(super) signing_key: Option<PathBuf>,
    pub(super) token_lifetime_secs: Option<u64>,
    pub(super) registration: Option<bool>,
    pub(super) pkcs11: Option<Pkcs11>,
    pub(super) admin: Option<Admin>,
    pub(super) management: Option<Management>,
}

/// `[as.pkcs11]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pkcs11 {
    pub(super) module: Option<PathBuf>,
    pub(super) pin_file: Option<PathBuf>,
}

/// `[as.admin]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) listen: Option<SocketAddr>,
}

/// `[broker]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Broker {
    pub(super) audience: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) jwks_uri: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) content_key: Option<PathBuf>,
    pub(super) mac_key: Option<PathBuf>,
    pub(super) derivation_key: Option<PathBuf>,
    pub(super) clock: Option<bool>,
    #[serde(default)]
    pub(super) authorization_server: Vec<Trusted>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) public_topics: Option<Vec<String>>,
    pub(super) private_topics: Option<Vec<String>>,
    #[serde(default)]
    pub(super) hide_topics: bool,
    pub(super) authz_info: Option<bool>,
    pub(super) store_connect_tokens: Option<bool>,
    pub(super) stored_token_challenge: Option<bool>,
    pub(super) client_nonce: Option<bool>,
    pub(super) shards: Option<usize>,
    pub(super) response_information: Option<String>,
    pub(super) sys_interval_secs: Option<u32>,
    #[serde(default)]
    pub(super) listener: Vec<Listener>,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) introspection: Option<Introspection>,
    pub(super) management: Option<Management>,
    pub(super) store: Option<Store>,
}

/// `[[broker.authorization_server]]`, and the same keys in `[broker]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trusted {
    pub(super) audience: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) jwks_uri: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) content_key: Option<PathBuf>,
    pub(super) mac_key: Option<PathBuf>,
    pub(super) derivation_key: Option<PathBuf>,
    pub(super) introspection: Option<Introspection>,
}

impl Broker {
    /// What stands in `[broker]` itself.
    pub(super) fn trusted(&self) -> Trusted {
        Trusted {
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            jwks_uri: self.jwks_uri.clone(),
            token_endpoint: self.token_endpoint.clone(),
            ca: self.ca.clone(),
            content_key: self.content_key.clone(),
            mac_key: self.mac_key.clone(),
            derivation_key: self.derivation_key.clone(),
            introspection: self.introspection.clone(),
        }
    }
}

impl Trusted {
    /// Whether there is anything that one authorization server alone can have.
    pub(super) fn names_a_server(&self) -> bool {
        let texts = [&self.issuer, &self.jwks_uri, &self.token_endpoint];
        let files = [&self.content_key, &self.mac_key, &self.derivation_key];
        texts.iter().any(|text| text.is_some())
            || files.iter().any(|file| file.is_some())
            || self.introspection.is_some()
    }
}

/// `[[broker.listener]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) address: Option<SocketAddr>,
    #[serde(default)]
    pub(super) transport: Transport,
    #[serde(default)]
    pub(super) insecure: bool,
    pub(super) origins: Option<Vec<String>>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// `transport` of a listener.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    #[default]
    Tls,
    Tcp,
    Wss,
    Ws,
}

/// `[broker.introspection]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Introspection {
    pub(super) endpoint: Option<String>,
    pub(super) revocation_list: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) secret: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) cache_secs: Option<u64>,
}

/// `[as.management]` and `[broker.management]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Management {
    pub(super) address: Option<SocketAddr>,
    #[serde(default)]
    pub(super) insecure: bool,
}

/// `[broker.store]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    pub(super) path: Option<PathBuf>,
    #[serde(default)]
    pub(super) durability: Durability,
    pub(super) max_bytes: Option<u64>,
}

/// `durability` of the store.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Durability {
    #[default]
    ProcessCrash,
    PowerLoss,
}

/// `[broker.limits]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) connections: Option<usize>,
    pub(super) connections_per_address: Option<usize>,
    pub(super) handshakes: Option<usize>,
    pub(super) handshake_timeout_secs: Option<u64>,
    pub(super) connect_timeout_secs: Option<u64>,
    pub(super) packet_size: Option<u32>,
    pub(super) topic_levels: Option<usize>,
    pub(super) topic_length: Option<usize>,
    pub(super) sessions: Option<usize>,
    pub(super) subscriptions_per_client: Option<usize>,
    pub(super) queued_messages: Option<usize>,
    pub(super) queued_bytes: Option<usize>,
    pub(super) session_expiry_secs: Option<u32>,
    pub(super) outbox_bytes: Option<usize>,
    pub(super) retained_messages: Option<usize>,
    pub(super) retained_bytes: Option<usize>,
    pub(super) wills: Option<usize>,
    pub(super) will_size: Option<usize>,
    pub(super) receive_maximum: Option<u16>,
    pub(super) send_maximum: Option<u16>,
    pub(super) receive_rate: Option<u32>,
    pub(super) receive_burst: Option<u32>,
    pub(super) keep_alive_secs: Option<u16>,
    pub(super) stored_tokens: Option<usize>,
    pub(super) stored_tokens_bytes: Option<usize>,
    pub(super) authz_info_rate: Option<u32>,
}

/// `[profile]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) broker: Option<String>,
    pub(super) ca: Option<PathBuf>,
}

/// `[log]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<String>,
    pub(super) format: Option<LogFormat>,
}
