//! Whose tokens count at the broker: the authorization server that `[broker]` names, and those of `[[broker.authorization_server]]`.

use super::{Checker, jwks_uri, token_endpoint};
use crate::config::schema;
use std::path::PathBuf;
use symbolon_broker::{AuthorizationConfig, IntrospectionConfig};

/// One authorization server.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationSettings {
    /// Where its keys stand: `broker`, or `broker.authorization_server[0]`.
    pub(crate) section: String,
    pub(crate) audience: String,
    pub(crate) issuer: String,
    /// `None` where its tokens are trusted in other ways alone.
    pub(crate) jwks_uri: Option<String>,
    pub(crate) token_endpoint: String,
    /// `None` where nothing is fetched or asked there.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) content_key: Option<PathBuf>,
    pub(crate) mac_key: Option<PathBuf>,
    pub(crate) derivation_key: Option<PathBuf>,
    pub(crate) introspection: Option<IntrospectionSettings>,
}

/// What the broker asks about tokens, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct IntrospectionSettings {
    /// What a token by reference says.
    pub(crate) endpoint: Option<String>,
    /// Which tokens are revoked.
    pub(crate) revocation_list: Option<String>,
    pub(crate) client_id: String,
    pub(crate) credential: CredentialFile,
    pub(crate) cache_secs: u64,
}

/// What the broker authenticates with.
#[derive(Clone, Debug)]
pub(crate) enum CredentialFile {
    /// A text.
    Secret(PathBuf),
    /// A private JWK.
    Key(PathBuf),
}

impl Checker<'_> {
    /// The one of `[broker]` first, if it names one, then the others. Without any only public topics are served.
    pub(super) fn authorization(&mut self, section: &schema::Broker) -> Vec<AuthorizationSettings> {
        let own_issuer = (self.document.content.authorization_server.as_ref())
            .and_then(|section| section.issuer.clone());
        let mut first = section.trusted();
        let mut trusted = Vec::new();
        let is_alone = section.authorization_server.is_empty();
        // `audience` and `ca` alone are what the others have in common.
        if first.names_a_server()
            || (first.audience.is_some() && (is_alone || own_issuer.is_some()))
        {
            first.issuer = first.issuer.or(own_issuer);
            trusted.push(("broker".to_owned(), first));
        }
        for (index, other) in section.authorization_server.iter().enumerate() {
            let mut other = other.clone();
            other.audience = other.audience.or_else(|| section.audience.clone());
            other.ca = other.ca.or_else(|| section.ca.clone());
            trusted.push((format!("broker.authorization_server[{index}]"), other));
        }
        if trusted.len() > AuthorizationConfig::SERVERS_AT_MOST {
            let most = AuthorizationConfig::SERVERS_AT_MOST;
            let message = format!("more than {most} authorization servers");
            self.complain("broker.authorization_server", message);
        }
        let mut servers: Vec<AuthorizationSettings> = Vec::new();
        for (at, one) in trusted {
            let Some(server) = self.server(at, &one) else {
                continue;
            };
            if servers.iter().any(|other| other.issuer == server.issuer) {
                let message = "another authorization server has this issuer";
                self.complain(&format!("{}.issuer", server.section), message);
            }
            servers.push(server);
        }
        servers
    }

    fn server(
        &mut self,
        section: String,
        trusted: &schema::Trusted,
    ) -> Option<AuthorizationSettings> {
        let at = |key: &str| format!("{section}.{key}");
        let audience = self.required(&at("audience"), trusted.audience.clone());
        let issuer = self.required(&at("issuer"), trusted.issuer.clone());
        let introspection = (trusted.introspection.as_ref())
            .and_then(|asked| self.introspection(&at("introspection"), asked));
        let is_fetched = trusted.jwks_uri.as_deref() != Some("");
        let ca = if is_fetched || trusted.introspection.is_some() {
            Some(self.required_path(&at("ca"), trusted.ca.as_deref())?)
        } else {
            None
        };
        if !is_fetched && trusted.mac_key.is_none() && trusted.introspection.is_none() {
            let message = "nothing vouches for tokens: there must be a `jwks_uri`, a `mac_key` or an introspection endpoint";
            self.complain(&at("jwks_uri"), message);
        }
        let issuer = issuer.filter(|issuer| self.https_url(&at("issuer"), issuer))?;
        let jwks_uri = match &trusted.jwks_uri {
            _ if !is_fetched => None,
            Some(uri) => Some(uri.clone()),
            None => Some(jwks_uri(&issuer)),
        };
        if let Some(uri) = &jwks_uri {
            self.https_url(&at("jwks_uri"), uri);
        }
        let endpoint = trusted.token_endpoint.clone();
        let token_endpoint = endpoint.unwrap_or_else(|| token_endpoint(&issuer));
        self.https_url(&at("token_endpoint"), &token_endpoint);
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| self.document.absolute(path));
        Some(AuthorizationSettings {
            audience: audience?,
            issuer,
            jwks_uri,
            token_endpoint,
            ca,
            content_key: file(&trusted.content_key),
            mac_key: file(&trusted.mac_key),
            derivation_key: file(&trusted.derivation_key),
            introspection,
            section,
        })
    }

    fn introspection(
        &mut self,
        at: &str,
        section: &schema::Introspection,
    ) -> Option<IntrospectionSettings> {
        let key = |name: &str| format!("{at}.{name}");
        if section.endpoint.is_none() && section.revocation_list.is_none() {
            let message = "one of `endpoint` and `revocation_list` must be there";
            self.complain(at, message);
        }
        for (name, url) in [
            ("endpoint", &section.endpoint),
            ("revocation_list", &section.revocation_list),
        ] {
            if let Some(url) = url {
                self.https_url(&key(name), url);
            }
        }
        let client_id = self.required(&key("client_id"), section.client_id.clone());
        let absolute = |path: &PathBuf| self.document.absolute(path);
        let credential = match (&section.secret, &section.client_key) {
            (Some(secret), None) => Some(CredentialFile::Secret(absolute(secret))),
            (None, Some(key)) => Some(CredentialFile::Key(absolute(key))),
            (None, None) | (Some(_), Some(_)) => {
                let message = "one of `secret` and `client_key` must be there, and not both";
                self.complain(at, message);
                None
            }
        };
        let cache_secs = section
            .cache_secs
            .unwrap_or(IntrospectionConfig::CACHE_SECS);
        if cache_secs == 0 {
            self.complain(&key("cache_secs"), "must be 1 or more");
        }
        Some(IntrospectionSettings {
            endpoint: section.endpoint.clone(),
            revocation_list: section.revocation_list.clone(),
            client_id: client_id?,
            credential: credential?,
            cache_secs,
        })
    }
}
