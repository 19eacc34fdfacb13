//! From a broker's address to its authorization server (RFC 9431 §2.4.1), and whether that is what it claims to be (RFC 8414).
//!
//! Nobody vouches for a hint: a broker may name any server, and that server is shown the client's credentials. Whether to trust it is a
//! question for people; [`metadata`] only tells whether the server itself says the same.

use crate::Profile;
use symbolon_ace_proto::AsHint;
use symbolon_tls::https::{HttpsClient, HttpsRequest, Method};

/// What stands before the issuer's path in the address of its metadata (RFC 8414 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// What an authorization server says of itself (RFC 8414 §2), as far as we need it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize)]
pub struct Metadata {
    /// Its issuer identifier.
    pub issuer: String,
    /// Its token endpoint.
    pub token_endpoint: String,
    /// Where clients register themselves (RFC 7591 §3), if they may.
    #[serde(default)]
    pub registration_endpoint: Option<String>,
}

/// Why a hint leads nowhere. One line each, for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// An authorization server and its token endpoint are `https` URLs, and nothing else is asked.
    #[error("{0:?} is not an https URL of an authorization server")]
    Endpoint(String),
    /// The CAs cannot be read.
    #[error("ca: {0}")]
    Authorities(String),
    /// No answer, or a certificate that is not trusted.
    #[error("cannot reach the authorization server: {0}")]
    Unreachable(String),
    /// There is no metadata where RFC 8414 §3 has it.
    #[error("the authorization server {0} publishes no metadata (RFC 8414)")]
    NoMetadata(String),
    /// The metadata is that of another issuer (§3.3), or names another token endpoint.
    #[error("the authorization server does not say of itself what the broker says of it: {0}")]
    Mismatch(String),
}

/// Whether a hint names a token endpoint that may be asked, and shown to people.
pub fn check_endpoint(token_endpoint: &str) -> Result<(), DiscoveryError> {
    match issuers(token_endpoint) {
        Some(_) => Ok(()),
        None => Err(DiscoveryError::Endpoint(token_endpoint.to_owned())),
    }
}

/// What the server of this token endpoint says of itself. Its certificate is checked against these CAs; its issuer must be the one whose
/// metadata was asked for (RFC 8414 §3.3), and its token endpoint the one given.
pub async fn metadata(ca_pem: &str, token_endpoint: &str) -> Result<Metadata, DiscoveryError> {
    let candidates = issuers(token_endpoint)
        .ok_or_else(|| DiscoveryError::Endpoint(token_endpoint.to_owned()))?;
    let client =
        HttpsClient::new(ca_pem).map_err(|error| DiscoveryError::Authorities(error.to_string()))?;
    for issuer in &candidates {
        if let Some(body) = ask(&client, issuer).await? {
            return check(&body, issuer, token_endpoint);
        }
    }
    Err(DiscoveryError::NoMetadata(token_endpoint.to_owned()))
}

/// What the server with this issuer identifier says of itself; it must name the same (RFC 8414 §3.3).
pub async fn of_issuer(ca_pem: &str, issuer: &str) -> Result<Metadata, DiscoveryError> {
    let is_ordinary = |byte: u8| byte.is_ascii_graphic() && !b"?#@".contains(&byte);
    if !issuer.starts_with("https://") || !issuer.bytes().all(is_ordinary) {
        return Err(DiscoveryError::Endpoint(issuer.to_owned()));
    }
    let client =
        HttpsClient::new(ca_pem).map_err(|error| DiscoveryError::Authorities(error.to_string()))?;
    match ask(&client, issuer).await? {
        Some(body) => parse(&body, issuer),
        None => Err(DiscoveryError::NoMetadata(issuer.to_owned())),
    }
}

/// The document, where there is one.
async fn ask(client: &HttpsClient, issuer: &str) -> Result<Option<Vec<u8>>, DiscoveryError> {
    let request = HttpsRequest {
        method: Method::GET,
        url: address(issuer),
        headers: vec![("accept", "application/json".to_owned())],
        body: Vec::new(),
    };
    let response = client.send(request).await;
    let response = response.map_err(|error| DiscoveryError::Unreachable(error.to_string()))?;
    Ok((response.status == 200).then(|| response.body.to_vec()))
}

fn parse(body: &[u8], issuer: &str) -> Result<Metadata, DiscoveryError> {
    let metadata: Metadata = serde_json::from_slice(body)
        .map_err(|_| DiscoveryError::Mismatch("it is no metadata".to_owned()))?;
    if metadata.issuer == issuer {
        return Ok(metadata);
    }
    let what = format!("its issuer is {:?}, not {issuer:?}", metadata.issuer);
    Err(DiscoveryError::Mismatch(what))
}

fn check(body: &[u8], issuer: &str, token_endpoint: &str) -> Result<Metadata, DiscoveryError> {
    let metadata = parse(body, issuer)?;
    if metadata.token_endpoint != token_endpoint {
        let what = format!(
            "its token endpoint is {:?}, not {token_endpoint:?}",
            metadata.token_endpoint
        );
        return Err(DiscoveryError::Mismatch(what));
    }
    Ok(metadata)
}

/// Which issuers a token endpoint may belong to, likeliest first: its address without the last segment of its path, and without any.
fn issuers(token_endpoint: &str) -> Option<Vec<String>> {
    let rest = token_endpoint.strip_prefix("https://")?;
    let (authority, path) = rest.split_once('/')?;
    // What a broker says is shown to people too: nothing in it may move their terminal.
    let mut bytes = rest.bytes();
    let is_ordinary = bytes.all(|byte| byte.is_ascii_graphic() && !b"?#@".contains(&byte));
    if authority.is_empty() || !is_ordinary {
        return None;
    }
    let origin = format!("https://{authority}");
    let mut issuers = Vec::new();
    if let Some((parent, _)) = path.rsplit_once('/') {
        issuers.push(format!("{origin}/{parent}"));
    }
    issuers.push(origin);
    Some(issuers)
}

/// Where the metadata of an issuer is (RFC 8414 §3.1).
fn address(issuer: &str) -> String {
    let rest = issuer.trim_start_matches("https://");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    };
    format!("https://{authority}{WELL_KNOWN}{path}")
}

impl Profile {
    /// Whether it says where tokens are issued. Without that, the broker has to be asked: [`crate::Connection::discover`].
    pub fn names_authorization_server(&self) -> bool {
        !self.token_endpoint.is_empty()
    }

    /// The same device with this authorization server, and with the audience that the broker's hint names where the profile has none.
    #[must_use]
    pub fn with_authorization_server(&self, metadata: &Metadata, hint: &AsHint) -> Self {
        let mut profile = self.clone();
        profile.issuer.clone_from(&metadata.issuer);
        profile.token_endpoint.clone_from(&metadata.token_endpoint);
        if profile.audience.is_empty() {
            profile.audience = hint.audience.clone().unwrap_or_default();
        }
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8414 §3.1
    #[test]
    fn metadata_is_where_the_standard_has_it() {
        for (endpoint, addresses) in [
            (
                "https://as.example:8443/token",
                &["https://as.example:8443/.well-known/oauth-authorization-server"][..],
            ),
            (
                "https://as.example/realms/a/token",
                &[
                    "https://as.example/.well-known/oauth-authorization-server/realms/a",
                    "https://as.example/.well-known/oauth-authorization-server",
                ],
            ),
        ] {
            let issuers = issuers(endpoint).unwrap();
            let found: Vec<_> = issuers.iter().map(|issuer| address(issuer)).collect();
            assert_eq!(found, addresses);
        }
    }

    #[test]
    fn nothing_but_https_is_asked() {
        for endpoint in [
            "http://as.example/token",
            "coaps://as.example/token",
            "https:///token",
            "https://me@as.example/token",
            "https://as.example/token?x=1",
            "https://as.example",
            "https://as.example/\u{1b}[2Jtoken",
            "https://as.example/t\u{f6}ken",
            "",
        ] {
            assert_eq!(issuers(endpoint), None, "{endpoint}");
        }
    }

    // RFC 8414 §3.3: the issuer MUST be identical to the one asked.
    #[test]
    fn another_issuer_or_endpoint_is_refused() {
        let (issuer, endpoint) = ("https://as.example", "https://as.example/token");
        let right =
            br#"{"issuer":"https://as.example","token_endpoint":"https://as.example/token","x":1}"#;
        assert!(check(right, issuer, endpoint).is_ok());
        for wrong in [
            &br#"{"issuer":"https://as.example/","token_endpoint":"https://as.example/token"}"#[..],
            br#"{"issuer":"https://as.example","token_endpoint":"https://evil.example/token"}"#,
            br#"{"issuer":"https://as.example"}"#,
            b"<html>",
        ] {
            let refused = check(wrong, issuer, endpoint);
            assert!(matches!(refused, Err(DiscoveryError::Mismatch(_))));
        }
    }
}
