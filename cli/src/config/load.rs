//! Settings into what the servers are started with. Keys, certificates and CAs are read and tried here, so that a start does not fail later.

mod signing;
mod trust;

pub(crate) use signing::{hsm, ring_in};

use super::{
    Opened,
    diagnostic::{ConfigError, Diagnostic},
    document::Document,
    settings::{AuthorizationServerSettings, BrokerSettings, ListenerSettings},
};
use crate::private_file;
use std::{path::Path, time::Duration};
use symbolon_auth_server::store::Location;
use symbolon_broker::{AuthorizationConfig, ListenerConfig, Transport};

/// Only to try whether a certificate and its key fit; nothing is accepted with it.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What the authorization server is started with.
pub(crate) fn authorization_server(
    opened: &Opened,
) -> Result<symbolon_auth_server::Config, ConfigError> {
    let mut files = Loader::new(&opened.document);
    let loaded = match &opened.settings.authorization_server {
        Some(settings) => files.authorization_server(settings),
        None => files.section_missing("as"),
    };
    files.finish(loaded)
}

/// What the broker is started with.
pub(crate) fn broker(opened: &Opened) -> Result<symbolon_broker::Config, ConfigError> {
    let mut files = Loader::new(&opened.document);
    let loaded = match &opened.settings.broker {
        Some(settings) => files.broker(settings),
        None => files.section_missing("broker"),
    };
    files.finish(loaded)
}

/// Reads files and collects complaints.
struct Loader<'a> {
    document: &'a Document,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Loader<'a> {
    fn new(document: &'a Document) -> Self {
        Self {
            document,
            diagnostics: Vec::new(),
        }
    }

    fn finish<T>(self, loaded: Option<T>) -> Result<T, ConfigError> {
        match (self.document.error(self.diagnostics), loaded) {
            (None, Some(loaded)) => Ok(loaded),
            (Some(error), _) => Err(error),
            (None, None) => Err(ConfigError::outside(
                self.document.file(),
                Diagnostic::new("cannot be used"),
            )),
        }
    }

    fn section_missing<T>(&mut self, section: &str) -> Option<T> {
        self.diagnostics
            .push(Diagnostic::new(format!("there is no section [{section}]")));
        None
    }

    fn authorization_server(
        &mut self,
        settings: &AuthorizationServerSettings,
    ) -> Option<symbolon_auth_server::Config> {
        let pair = self.certificate_and_key(
            ("as.certificate", &settings.certificate),
            ("as.key", &settings.key),
        );
        let signing_key = self.signing_keys(settings);
        let database = self.database(settings);
        let client_ca = settings.client_ca.as_deref().map(|path| {
            let text = private_file::read_text(path);
            self.accept("as.client_ca", path, text)
        });
        let client_ca_pem = match client_ca {
            Some(text) => Some(text?),
            None => None,
        };
        let (certificate_chain_pem, private_key_pem) = pair?;
        Some(symbolon_auth_server::Config {
            listen: settings.listen,
            issuer: settings.issuer.clone(),
            certificate_chain_pem,
            private_key_pem,
            client_ca_pem,
            database: database?,
            signing_key: signing_key?,
            token_lifetime_secs: settings.token_lifetime_secs,
            registration: settings.registration,
            admin: settings.admin,
            management: settings.management,
        })
    }

    /// Of a file whose place is told; of a URL, whose line may hold a password, the error alone.
    fn database(&mut self, settings: &AuthorizationServerSettings) -> Option<Location> {
        let is_file = settings.database.file().is_some();
        let refused = match settings.database.location() {
            Ok(location) => return Some(location),
            Err(error) if is_file => self.document.complaint("as.database", error),
            Err(error) => Diagnostic::new(format!("as.database: {error}")),
        };
        self.diagnostics.push(refused);
        None
    }

    fn broker(&mut self, settings: &BrokerSettings) -> Option<symbolon_broker::Config> {
        let servers = settings.authorization.iter();
        let servers: Vec<_> = servers.map(|server| self.server(server)).collect();
        let servers = servers.into_iter().collect::<Option<Vec<_>>>()?;
        let authorization = (!servers.is_empty()).then_some(AuthorizationConfig {
            servers,
            tokens: settings.tokens,
            clock: settings.clock,
        });
        let listeners = settings
            .listeners
            .iter()
            .enumerate()
            .map(|(index, listener)| self.listener(index, listener))
            .collect::<Option<Vec<_>>>()?;
        Some(symbolon_broker::Config {
            listeners,
            shards: settings.shards,
            authorization,
            public_topics: settings.public_topics.clone(),
            response_information: settings.response_information.clone(),
            private_topics: settings.private_topics.clone(),
            hide_topics: settings.hide_topics,
            limits: settings.limits,
            management: settings.management,
            sys_interval_secs: settings.sys_interval_secs,
            store: settings.store.clone(),
        })
    }

    fn listener(&mut self, index: usize, settings: &ListenerSettings) -> Option<ListenerConfig> {
        match settings {
            ListenerSettings::Tls {
                address,
                certificate,
                key,
                websocket,
            } => {
                let (certificate_chain_pem, private_key_pem) = self.certificate_and_key(
                    (
                        &format!("broker.listener[{index}].certificate"),
                        certificate,
                    ),
                    (&format!("broker.listener[{index}].key"), key),
                )?;
                Some(ListenerConfig {
                    address: *address,
                    transport: match websocket {
                        Some(websocket) => Transport::WebSocketTls {
                            certificate_chain_pem,
                            private_key_pem,
                            origins: websocket.origins.clone(),
                        },
                        None => Transport::Tls {
                            certificate_chain_pem,
                            private_key_pem,
                        },
                    },
                })
            }
            ListenerSettings::Tcp {
                address,
                insecure,
                websocket,
            } => Some(ListenerConfig {
                address: *address,
                transport: match websocket {
                    Some(websocket) => Transport::WebSocketTcp {
                        insecure: *insecure,
                        origins: websocket.origins.clone(),
                    },
                    None => Transport::Tcp {
                        insecure: *insecure,
                    },
                },
            }),
        }
    }

    fn certificate_and_key(
        &mut self,
        certificate: (&str, &Path),
        key: (&str, &Path),
    ) -> Option<(String, String)> {
        let chain = private_file::read_text(certificate.1);
        let chain = self.accept(certificate.0, certificate.1, chain);
        let private_key = self.secret(key.0, key.1);
        let (chain, private_key) = (chain?, private_key?);
        let tried = symbolon_tls::Acceptor::new(&chain, &private_key, TRIAL_TIMEOUT)
            .map_err(|error| error.to_string());
        self.accept(certificate.0, certificate.1, tried)?;
        Some((chain, private_key))
    }

    fn secret(&mut self, key: &str, path: &Path) -> Option<String> {
        let text = private_file::read_secret(path);
        self.accept(key, path, text)
    }

    fn accept<T>(&mut self, key: &str, path: &Path, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("{}: {error}", path.display());
                self.diagnostics.push(self.document.complaint(key, message));
                None
            }
        }
    }
}
