//! The API of an authorization server elsewhere, over HTTPS.

use super::{AdministrationError, Answer, Verb, target::Target};
use crate::exit::usage;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;
use symbolon_auth_server::admin::model::PATH;
use symbolon_tls::https::{HttpsClient, HttpsRequest, Method};

/// The largest answer taken, bytes: a page of clients with all of their rules.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Where an issuer without a path publishes its metadata (RFC 8414 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// A server elsewhere, and the account that asks.
pub(super) struct Remote {
    https: HttpsClient,
    /// Without a slash at its end.
    url: String,
    ca_pem: String,
    /// The Authorization header; a certificate stands for it where there is none.
    authorization: Option<String>,
}

/// How an account says who it is.
pub(super) enum Login {
    /// A name and a password.
    Password(String, String),
    /// A certificate chain and its private key, PEM.
    Certificate(String, String),
    /// Not at all: for what everybody may ask.
    Nobody,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// At this URL, whose certificate must come from these CAs.
    pub(super) fn new(url: &str, ca_pem: &str, login: Login) -> anyhow::Result<Self> {
        let https = HttpsClient::new(ca_pem).map_err(|error| usage(format!("--ca: {error}")))?;
        let https = https.with_body_limit(ANSWER_BYTES);
        let (https, authorization) = match login {
            Login::Password(name, password) => {
                let credentials = STANDARD.encode(format!("{name}:{password}"));
                (https, Some(format!("Basic {credentials}")))
            }
            Login::Certificate(chain_pem, key_pem) => {
                let https = https.showing_certificate(&chain_pem, &key_pem);
                let https =
                    https.map_err(|error| usage(format!("--account-certificate: {error}")))?;
                (https, None)
            }
            Login::Nobody => (https, None),
        };
        Ok(Self {
            https,
            url: url.trim_end_matches('/').to_owned(),
            ca_pem: ca_pem.to_owned(),
            authorization,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(super) async fn send(
        &self,
        verb: Verb,
        target: &Target,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, AdministrationError> {
        let mut headers = vec![("accept", "application/json".to_owned())];
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        if let Some(authorization) = &self.authorization {
            headers.push(("authorization", authorization.clone()));
        }
        self.exchange(HttpsRequest {
            method: match verb {
                Verb::Get => Method::GET,
                Verb::Post => Method::POST,
                Verb::Put => Method::PUT,
                Verb::Patch => Method::PATCH,
                Verb::Delete => Method::DELETE,
            },
            url: format!("{}{PATH}{}", self.url, target.as_str()),
            headers,
            body: body.unwrap_or_default(),
        })
        .await
    }

    /// What the authorization server says of itself at this URL (RFC 8414), if it does.
    pub(super) async fn metadata(&self) -> Result<Answer, AdministrationError> {
        self.exchange(HttpsRequest {
            method: Method::GET,
            url: format!("{}{WELL_KNOWN}", self.url),
            headers: vec![("accept", "application/json".to_owned())],
            body: Vec::new(),
        })
        .await
    }

    async fn exchange(&self, request: HttpsRequest) -> Result<Answer, AdministrationError> {
        let response = self.https.send(request).await;
        let response = response.map_err(|source| AdministrationError::Unreachable {
            url: self.url.clone(),
            source,
        })?;
        Ok(Answer {
            status: response.status,
            body: response.body.to_vec(),
        })
    }
}
