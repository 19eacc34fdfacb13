//! What the keys mean together: required ones are there, and they do not contradict each other. No other file is read here.

mod signing;
mod trust;

pub(crate) use signing::{Pkcs11Settings, SigningKeys};
pub(crate) use trust::{AuthorizationSettings, CredentialFile, IntrospectionSettings};

use super::{
    database::DatabaseSettings,
    diagnostic::{ConfigError, Diagnostic},
    document::Document,
    schema,
};
use crate::logging::{LogFormat, parse_level};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use symbolon_auth_server::{AdminConfig, store::Location};
use symbolon_broker::{Durability, Limits, ManagementConfig, StoreConfig, TokensConfig};
use symbolon_mqtt_proto::TopicFilter;

/// The life of a token where the file says nothing, seconds.
const TOKEN_LIFETIME_SECS: u64 = 3600;

/// A configuration that makes sense.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The file it came from.
    pub(crate) file: PathBuf,
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// `[as]`, if there is one.
    pub(crate) authorization_server: Option<AuthorizationServerSettings>,
    /// `[broker]`, if there is one.
    pub(crate) broker: Option<BrokerSettings>,
    /// `[profile]`.
    pub(crate) profile: ProfileSettings,
    /// `log.level`.
    pub(crate) log_level: Option<String>,
    /// `log.format`.
    pub(crate) log_format: Option<LogFormat>,
}

/// `[as]`.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationServerSettings {
    pub(crate) listen: SocketAddr,
    pub(crate) issuer: String,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) database: DatabaseSettings,
    pub(crate) signing_key: SigningKeys,
    pub(crate) pkcs11: Option<Pkcs11Settings>,
    pub(crate) token_lifetime_secs: u64,
    pub(crate) registration: bool,
    pub(crate) admin: Option<AdminConfig>,
    pub(crate) management: Option<symbolon_auth_server::ManagementConfig>,
}

/// `[broker]`.
#[derive(Clone, Debug)]
pub(crate) struct BrokerSettings {
    /// In order; the first is the one that clients are sent to.
    pub(crate) authorization: Vec<AuthorizationSettings>,
    pub(crate) clock: bool,
    pub(crate) listeners: Vec<ListenerSettings>,
    pub(crate) public_topics: Vec<TopicFilter>,
    pub(crate) private_topics: Vec<TopicFilter>,
    pub(crate) hide_topics: bool,
    pub(crate) tokens: TokensConfig,
    pub(crate) shards: usize,
    pub(crate) response_information: Option<String>,
    pub(crate) sys_interval_secs: u32,
    pub(crate) limits: Limits,
    pub(crate) management: Option<ManagementConfig>,
    pub(crate) store: Option<StoreConfig>,
}

/// One listener.
#[derive(Clone, Debug)]
pub(crate) enum ListenerSettings {
    /// With TLS.
    Tls {
        address: SocketAddr,
        certificate: PathBuf,
        key: PathBuf,
        websocket: Option<WebSocketSettings>,
    },
    /// Bare TCP.
    Tcp {
        address: SocketAddr,
        insecure: bool,
        websocket: Option<WebSocketSettings>,
    },
}

/// WebSocket frames over it.
#[derive(Clone, Debug)]
pub(crate) struct WebSocketSettings {
    pub(crate) origins: Vec<String>,
}

/// What `client add` writes into device profiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProfileSettings {
    /// `mqtts://host:port`.
    pub(crate) broker: Option<String>,
    /// The CA file.
    pub(crate) ca: Option<PathBuf>,
}

/// The token endpoint of our authorization server with this issuer.
pub(crate) fn token_endpoint(issuer: &str) -> String {
    format!("{}/token", issuer.trim_end_matches('/'))
}

/// The introspection endpoint of our authorization server with this issuer.
pub(crate) fn introspection_endpoint(issuer: &str) -> String {
    format!("{}/introspect", issuer.trim_end_matches('/'))
}

/// The token revocation list of our authorization server with this issuer.
pub(crate) fn revocation_list(issuer: &str) -> String {
    format!("{}/trl", issuer.trim_end_matches('/'))
}

/// The key set of our authorization server with this issuer.
pub(crate) fn jwks_uri(issuer: &str) -> String {
    format!("{}/jwks.json", issuer.trim_end_matches('/'))
}

impl Settings {
    /// Checks what stands in the document; all complaints at once.
    pub(super) fn resolve(document: &Document) -> Result<Self, ConfigError> {
        let mut checker = Checker {
            document,
            diagnostics: Vec::new(),
        };
        let content = &document.content;
        let authorization_server = content
            .authorization_server
            .as_ref()
            .and_then(|section| checker.authorization_server(section));
        let broker = content
            .broker
            .as_ref()
            .and_then(|section| checker.broker(section));
        let profile = checker.profile(content.profile.as_ref());
        let log = content.log.clone().unwrap_or_default();
        if let Some(Err(message)) = log.level.as_deref().map(parse_level) {
            checker.complain("log.level", message);
        }
        if content.authorization_server.is_none() && content.broker.is_none() {
            let message = "there is neither [as] nor [broker]";
            checker.diagnostics.push(Diagnostic::new(message));
        }
        if let Some(error) = document.error(checker.diagnostics) {
            return Err(error);
        }
        Ok(Self {
            file: document.file().to_owned(),
            directory: document.directory().to_owned(),
            authorization_server,
            broker,
            profile,
            log_level: log.level,
            log_format: log.format,
        })
    }
}

/// Collects complaints while it reads.
struct Checker<'a> {
    document: &'a Document,
    diagnostics: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn authorization_server(
        &mut self,
        section: &schema::AuthorizationServer,
    ) -> Option<AuthorizationServerSettings> {
        let listen = self.required("as.listen", section.listen);
        let issuer = self.required("as.issuer", section.issuer.clone());
        let issuer = issuer.filter(|issuer| self.https_url("as.issuer", issuer));
        let certificate = self.required_path("as.certificate", section.certificate.as_deref());
        let key = self.required_path("as.key", section.key.as_deref());
        let database = self.required("as.database", section.database.as_deref());
        let database = database.and_then(|text| self.database(section, text));
        let pkcs11 = (section.pkcs11.as_ref()).and_then(|section| self.pkcs11(section));
        let signing_key = self.signing_keys(section);
        let token_lifetime_secs = section.token_lifetime_secs.unwrap_or(TOKEN_LIFETIME_SECS);
        if token_lifetime_secs == 0 {
            self.complain(
                "as.token_lifetime_secs",
                "a token must live for 1 second or more",
            );
        }
        let admin = section.admin.as_ref().map(|admin| AdminConfig {
            listen: admin.listen,
        });
        let management = section
            .management
            .as_ref()
            .and_then(|section| self.management("as.management.address", section));
        let management =
            management.map(
                |(address, insecure)| symbolon_auth_server::ManagementConfig { address, insecure },
            );
        Some(AuthorizationServerSettings {
            listen: listen?,
            issuer: issuer?,
            certificate: certificate?,
            key: key?,
            client_ca: section
                .client_ca
                .as_deref()
                .map(|path| self.document.absolute(path)),
            database: database?,
            signing_key: signing_key?,
            pkcs11,
            token_lifetime_secs,
            registration: section.registration.unwrap_or(true),
            admin,
            management,
        })
    }

    /// What is wrong is told without the place: the line may hold a password.
    fn database(
        &mut self,
        section: &schema::AuthorizationServer,
        text: &str,
    ) -> Option<DatabaseSettings> {
        let location = Location::parse(text).map_err(|error| error.to_string());
        let password_file = section.database_password_file.as_deref();
        let password_file = password_file.map(|path| self.document.absolute(path));
        let settings = location.and_then(|location| {
            let location = match location {
                Location::File(path) => Location::File(self.document.absolute(&path)),
                Location::Postgres(_) => location,
            };
            let overridden = self.document.is_overridden("as.database");
            let file = (!overridden).then(|| self.document.file());
            DatabaseSettings::new(location, password_file, file)
        });
        let complain = |error| {
            self.diagnostics
                .push(Diagnostic::new(format!("as.database: {error}")))
        };
        settings.map_err(complain).ok()
    }

    fn broker(&mut self, section: &schema::Broker) -> Option<BrokerSettings> {
        let complaints = self.diagnostics.len();
        let authorization = self.authorization(section);
        if section.listener.is_empty() {
            self.complain(
                "broker",
                "no listener: write [[broker.listener]] with address = \"127.0.0.1:8883\"",
            );
        }
        let listeners = section
            .listener
            .iter()
            .enumerate()
            .filter_map(|(index, listener)| self.listener(index, listener, section))
            .collect();
        let public_topics = self.filters("public_topics", section.public_topics.as_deref());
        let private_topics = self.filters("private_topics", section.private_topics.as_deref());
        let response_information = section.response_information.clone();
        if !(response_information.as_deref()).is_none_or(symbolon_broker::is_response_information) {
            let message = "expected a text of 1 to 4096 bytes without control characters";
            self.complain("broker.response_information", message);
        }
        let limits = self.limits(&section.limits);
        let default = TokensConfig::default();
        let management = section
            .management
            .as_ref()
            .and_then(|section| self.management("broker.management.address", section))
            .map(|(address, insecure)| ManagementConfig { address, insecure });
        let store = section
            .store
            .as_ref()
            .and_then(|section| self.store(section, &limits));
        (self.diagnostics.len() == complaints).then_some(BrokerSettings {
            authorization,
            clock: section.clock.unwrap_or(true),
            listeners,
            public_topics,
            private_topics,
            hide_topics: section.hide_topics,
            tokens: TokensConfig {
                store_connect_tokens: (section.store_connect_tokens)
                    .unwrap_or(default.store_connect_tokens),
                authz_info: section.authz_info.unwrap_or(default.authz_info),
                stored_token_challenge: (section.stored_token_challenge)
                    .unwrap_or(default.stored_token_challenge),
                client_nonce: section.client_nonce.unwrap_or(default.client_nonce),
            },
            shards: section.shards.unwrap_or(0),
            response_information,
            sys_interval_secs: section
                .sys_interval_secs
                .unwrap_or(symbolon_broker::Config::SYS_INTERVAL_SECS),
            limits,
            management,
            store,
        })
    }

    fn listener(
        &mut self,
        index: usize,
        listener: &schema::Listener,
        section: &schema::Broker,
    ) -> Option<ListenerSettings> {
        let key_path = |key: &str| format!("broker.listener[{index}].{key}");
        let address = self.required(&key_path("address"), listener.address)?;
        let websocket = self.websocket(index, listener);
        match listener.transport {
            schema::Transport::Tls | schema::Transport::Wss => {
                if listener.insecure {
                    let message = "`insecure` is for transport = \"tcp\" and \"ws\" alone";
                    self.complain(&key_path("insecure"), message);
                }
                let certificate = listener.certificate.as_deref();
                let certificate = certificate.or(section.certificate.as_deref());
                let certificate = self.required_path(&key_path("certificate"), certificate);
                let key = listener.key.as_deref().or(section.key.as_deref());
                let key = self.required_path(&key_path("key"), key);
                Some(ListenerSettings::Tls {
                    address,
                    certificate: certificate?,
                    key: key?,
                    websocket,
                })
            }
            schema::Transport::Tcp | schema::Transport::Ws => {
                if !address.ip().is_loopback() && !listener.insecure {
                    let message = "a plaintext listener outside loopback: tokens and messages could be read on the way; \
                                   use transport = \"tls\" or \"wss\", or write `insecure = true` beside it";
                    self.complain(&key_path("address"), message);
                }
                Some(ListenerSettings::Tcp {
                    address,
                    insecure: listener.insecure,
                    websocket,
                })
            }
        }
    }

    fn websocket(
        &mut self,
        index: usize,
        listener: &schema::Listener,
    ) -> Option<WebSocketSettings> {
        let key_path = |key: &str| format!("broker.listener[{index}].{key}");
        match listener.transport {
            schema::Transport::Ws | schema::Transport::Wss => {
                let origins = listener.origins.clone().unwrap_or_default();
                for (nth, origin) in origins.iter().enumerate() {
                    if !is_origin(origin) {
                        let message = "expected an origin as browsers send it, \"https://host\" or \"https://host:port\" without a path, or \"*\"";
                        self.complain(&key_path(&format!("origins[{nth}]")), message);
                    }
                }
                Some(WebSocketSettings { origins })
            }
            schema::Transport::Tls | schema::Transport::Tcp => {
                if listener.origins.is_some() {
                    let message = "`origins` is for transport = \"ws\" and \"wss\" alone";
                    self.complain(&key_path("origins"), message);
                }
                None
            }
        }
    }

    /// Where health and metrics are, and whether they may be outside of loopback.
    fn management(
        &mut self,
        key: &str,
        section: &schema::Management,
    ) -> Option<(SocketAddr, bool)> {
        let address = self.required(key, section.address)?;
        let insecure = section.insecure;
        if !address.ip().is_loopback() && !insecure {
            let message = "health and metrics outside loopback: whoever reaches the address could read them; \
                           use 127.0.0.1, or write `insecure = true` beside it";
            self.complain(key, message);
        }
        Some((address, insecure))
    }

    fn store(&mut self, section: &schema::Store, limits: &Limits) -> Option<StoreConfig> {
        let path = self.required_path("broker.store.path", section.path.as_deref());
        let max_bytes = section.max_bytes.unwrap_or(StoreConfig::MAX_BYTES);
        let least = StoreConfig::MAX_BYTES_AT_LEAST.max(u64::from(limits.packet_size) * 4);
        if max_bytes < least {
            let message =
                format!("must be {least} or more: 16 MiB, and four packets of `packet_size`");
            self.complain("broker.store.max_bytes", message);
        }
        Some(StoreConfig {
            path: path?,
            durability: match section.durability {
                schema::Durability::ProcessCrash => Durability::ProcessCrash,
                schema::Durability::PowerLoss => Durability::PowerLoss,
            },
            max_bytes,
        })
    }

    fn filters(&mut self, key: &str, topics: Option<&[String]>) -> Vec<TopicFilter> {
        let mut filters = Vec::new();
        for (index, topic) in topics.unwrap_or_default().iter().enumerate() {
            match TopicFilter::parse(topic) {
                Ok(filter) => filters.push(filter),
                Err(error) => {
                    self.complain(&format!("broker.{key}[{index}]"), error.to_string());
                }
            }
        }
        filters
    }

    fn limits(&mut self, section: &schema::Limits) -> Limits {
        let default = Limits::default();
        let nonzero = [
            ("connections", section.connections == Some(0)),
            ("handshakes", section.handshakes == Some(0)),
            (
                "handshake_timeout_secs",
                section.handshake_timeout_secs == Some(0),
            ),
            (
                "connect_timeout_secs",
                section.connect_timeout_secs == Some(0),
            ),
            ("packet_size", section.packet_size == Some(0)),
            ("topic_levels", section.topic_levels == Some(0)),
            ("outbox_bytes", section.outbox_bytes == Some(0)),
            ("topic_length", section.topic_length == Some(0)),
            ("sessions", section.sessions == Some(0)),
            ("receive_maximum", section.receive_maximum == Some(0)),
            ("send_maximum", section.send_maximum == Some(0)),
        ];
        for (key, _) in nonzero.iter().filter(|(_, is_zero)| *is_zero) {
            self.complain(&format!("broker.limits.{key}"), "must be 1 or more");
        }
        let seconds = |value: Option<u64>, default| value.map_or(default, Duration::from_secs);
        Limits {
            connections: section.connections.unwrap_or(default.connections),
            handshakes: section.handshakes.unwrap_or(default.handshakes),
            handshake_timeout: seconds(section.handshake_timeout_secs, default.handshake_timeout),
            connect_timeout: seconds(section.connect_timeout_secs, default.connect_timeout),
            packet_size: section.packet_size.unwrap_or(default.packet_size),
            topic_levels: section.topic_levels.unwrap_or(default.topic_levels),
            subscriptions_per_client: section
                .subscriptions_per_client
                .unwrap_or(default.subscriptions_per_client),
            queued_messages: section.queued_messages.unwrap_or(default.queued_messages),
            outbox_bytes: section.outbox_bytes.unwrap_or(default.outbox_bytes),
            retained_messages: section
                .retained_messages
                .unwrap_or(default.retained_messages),
            receive_maximum: section.receive_maximum.unwrap_or(default.receive_maximum),
            connections_per_address: section
                .connections_per_address
                .unwrap_or(default.connections_per_address),
            topic_length: section.topic_length.unwrap_or(default.topic_length),
            sessions: section.sessions.unwrap_or(default.sessions),
            queued_bytes: section.queued_bytes.unwrap_or(default.queued_bytes),
            session_expiry_secs: section
                .session_expiry_secs
                .unwrap_or(default.session_expiry_secs),
            retained_bytes: section.retained_bytes.unwrap_or(default.retained_bytes),
            wills: section.wills.unwrap_or(default.wills),
            will_size: section.will_size.unwrap_or(default.will_size),
            send_maximum: section.send_maximum.unwrap_or(default.send_maximum),
            receive_rate: section.receive_rate.unwrap_or(default.receive_rate),
            receive_burst: section.receive_burst.unwrap_or(default.receive_burst),
            keep_alive_secs: section.keep_alive_secs.unwrap_or(default.keep_alive_secs),
            stored_tokens: section.stored_tokens.unwrap_or(default.stored_tokens),
            stored_tokens_bytes: section
                .stored_tokens_bytes
                .unwrap_or(default.stored_tokens_bytes),
            authz_info_rate: section.authz_info_rate.unwrap_or(default.authz_info_rate),
        }
    }

    fn profile(&mut self, section: Option<&schema::Profile>) -> ProfileSettings {
        let section = section.cloned().unwrap_or_default();
        if let Some(broker) = &section.broker
            && crate::broker_address::parse(broker).is_err()
        {
            self.complain("profile.broker", "expected mqtts://HOST:PORT");
        }
        ProfileSettings {
            broker: section.broker,
            ca: section.ca.map(|ca| self.document.absolute(&ca)),
        }
    }

    fn required<T>(&mut self, path: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
            let section = section.split('[').next().unwrap_or(section);
            self.complain(path, format!("missing key `{key}` in [{section}]"));
        }
        value
    }

    fn required_path(&mut self, path: &str, value: Option<&Path>) -> Option<PathBuf> {
        self.required(path, value)
            .map(|value| self.document.absolute(value))
    }

    fn https_url(&mut self, path: &str, url: &str) -> bool {
        let rest = url.strip_prefix("https://").unwrap_or_default();
        let good = !rest.is_empty() && !rest.starts_with('/') && !url.contains(['?', '#', ' ']);
        if !good {
            self.complain(path, "expected an https URL without query and fragment");
        }
        good
    }

    fn complain(&mut self, path: &str, message: impl Into<String>) {
        let diagnostic = self.document.complaint(path, message);
        self.diagnostics.push(diagnostic);
    }
}

/// RFC 6454 §6.2: scheme, host and perhaps a port; `null` and `*` too.
fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").map_or("", |(_scheme, host)| host);
    matches!(text, "*" | "null") || (!host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']))
}
