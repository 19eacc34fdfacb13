//! Settings into what the servers are started with. Keys, certificates and CAs are read and tried here, so that a start does not fail later.

use super::{
    Opened,
    diagnostic::{ConfigError, Diagnostic},
    document::Document,
    settings::{
        AuthorizationServerSettings, AuthorizationSettings, BrokerSettings, CredentialFile,
        IntrospectionSettings, ListenerSettings,
    },
};
use crate::{clock, private_file};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{path::Path, time::Duration};
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopSigner, SymmetricKey, jwe::ContentKey};
use symbolon_auth_server::KeyRing;
use symbolon_broker::{
    AuthorizationConfig, IntrospectionConfig, IntrospectionCredential, ListenerConfig,
    TokensConfig, Transport,
};

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

/// A content key as its file has it: a symmetric JWK.
pub(crate) fn content_key_to_json(key: &ContentKey) -> String {
    serde_json::json!({
        "kty": "oct",
        "kid": key.kid,
        "alg": "dir",
        "enc": "A256GCM",
        "k": URL_SAFE_NO_PAD.encode(key.key.as_bytes()),
    })
    .to_string()
}

#[derive(serde::Deserialize)]
struct ContentKeyFile {
    kty: String,
    kid: String,
    k: String,
}

fn content_key_from_json(text: &str) -> Result<ContentKey, String> {
    const LENGTH: usize = 32;
    // The parser's own words could quote the key.
    let file: ContentKeyFile =
        serde_json::from_str(text).map_err(|_| "is not a JWK with kty, kid and k".to_owned())?;
    let key = URL_SAFE_NO_PAD
        .decode(file.k)
        .map_err(|_| "`k` is not base64url without padding".to_owned())?;
    if file.kty != "oct" || key.len() != LENGTH {
        return Err(format!("is not a symmetric key of {LENGTH} bytes"));
    }
    Ok(ContentKey {
        kid: file.kid,
        key: SymmetricKey::from_bytes(&key),
    })
}

fn key_ring_from_json(text: &str) -> Result<KeyRing, String> {
    KeyRing::from_json(text, clock::now()).map_err(|error| error.to_string())
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
        let signing_key = self.secret("as.signing_key", &settings.signing_key);
        let signing_key = signing_key.and_then(|text| {
            self.accept(
                "as.signing_key",
                &settings.signing_key,
                key_ring_from_json(&text),
            )
        });
        if settings.database.exists() {
            let refused = private_file::refuse_if_others_may_use(&settings.database);
            self.accept("as.database", &settings.database, refused);
        }
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
            database: settings.database.clone(),
            signing_key: signing_key?,
            token_lifetime_secs: settings.token_lifetime_secs,
        })
    }

    fn broker(&mut self, settings: &BrokerSettings) -> Option<symbolon_broker::Config> {
        let authorization = match &settings.authorization {
            None => None,
            Some(authorization) => Some(AuthorizationConfig {
                tokens: settings.tokens,
                ..self.authorization(authorization)?
            }),
        };
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

    fn authorization(&mut self, settings: &AuthorizationSettings) -> Option<AuthorizationConfig> {
        let content_key = self.secret("broker.content_key", &settings.content_key);
        let content_key = content_key.and_then(|text| {
            self.accept(
                "broker.content_key",
                &settings.content_key,
                content_key_from_json(&text),
            )
        });
        let ca_pem = private_file::read_text(&settings.ca).and_then(|pem| {
            symbolon_tls::Connector::new(&pem, TRIAL_TIMEOUT)
                .map(|_| pem)
                .map_err(|error| error.to_string())
        });
        let ca_pem = self.accept("broker.ca", &settings.ca, ca_pem);
        let introspection = match &settings.introspection {
            None => None,
            Some(introspection) => Some(self.introspection(introspection)?),
        };
        Some(AuthorizationConfig {
            issuer: settings.issuer.clone(),
            jwks_uri: settings.jwks_uri.clone(),
            ca_pem: ca_pem?,
            audience: settings.audience.clone(),
            content_keys: vec![content_key?],
            token_endpoint: settings.token_endpoint.clone(),
            hint_scope: None,
            tokens: TokensConfig::default(),
            introspection,
            revocation_list: None,
        })
    }

    fn introspection(&mut self, settings: &IntrospectionSettings) -> Option<IntrospectionConfig> {
        let credential = match &settings.credential {
            CredentialFile::Secret(path) => {
                let secret = self.secret("broker.introspection.secret", path)?;
                IntrospectionCredential::Secret(secret.trim_end().to_owned())
            }
            CredentialFile::Key(path) => {
                let key = "broker.introspection.client_key";
                let jwk = self.secret(key, path)?;
                let signer = Jwk::from_json(jwk.as_bytes())
                    .ok()
                    .and_then(|jwk| PopSigner::from_jwk(&jwk).ok())
                    .filter(|signer| signer.algorithm() != PopAlgorithm::Hs256)
                    .ok_or_else(|| "not a private JWK for Ed25519 or P-256".to_owned());
                self.accept(key, path, signer)?;
                IntrospectionCredential::Key(jwk)
            }
        };
        Some(IntrospectionConfig {
            endpoint: settings.endpoint.clone(),
            client_id: settings.client_id.clone(),
            credential,
            cache_secs: settings.cache_secs,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_key_survives_its_file() {
        let key = ContentKey {
            kid: "k1".into(),
            key: SymmetricKey::from_bytes(&[7; 32]),
        };
        let read = content_key_from_json(&content_key_to_json(&key)).unwrap();
        assert_eq!(read.kid, "k1");
        assert_eq!(read.key.as_bytes(), &[7; 32]);
    }

    #[test]
    fn a_short_content_key_is_refused_without_quoting_it() {
        let error = content_key_from_json(r#"{"kty":"oct","kid":"k","k":"c2VjcmV0"}"#).unwrap_err();
        assert!(error.contains("32 bytes"), "{error}");
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}
