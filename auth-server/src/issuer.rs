//! The issuer identifier and the URLs that follow from it (RFC 8414 §2 and §3).

use axum::http::Uri;

/// The issuer identifier, checked.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    identifier: String,
    /// Without a slash at its end; empty for most.
    path: String,
}

/// What lies below the issuer identifier.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint {
    /// RFC 6749 §3.2.
    Token,
    /// RFC 7662.
    Introspection,
    /// RFC 7009.
    Revocation,
    /// RFC 9770.
    RevocationList,
    /// RFC 7591.
    Registration,
    /// The keys as a JWK Set (RFC 7517).
    JwkSet,
    /// The keys as a `COSE_KeySet` (RFC 9052 §7).
    CoseKeySet,
}

impl Endpoint {
    fn as_str(self) -> &'static str {
        match self {
            Self::Token => "/token",
            Self::Introspection => "/introspect",
            Self::Revocation => "/revoke",
            Self::RevocationList => "/trl",
            Self::Registration => "/register",
            Self::JwkSet => "/jwks.json",
            Self::CoseKeySet => "/cose-keys",
        }
    }
}

/// Why an issuer identifier is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// Not a URL at all, or one with a path that has other than letters, digits and `-._~/`.
    #[error("it is not a plain URL")]
    NotAUrl,
    /// Another scheme.
    #[error("it does not begin with https://")]
    NotHttps,
    /// A query, a fragment, or a user.
    #[error("it has a query, a fragment or a user name")]
    Extra,
}

impl Issuer {
    pub(crate) fn parse(text: &str) -> Result<Self, IssuerError> {
        // A fragment is not part of a URI as the parser below sees it: it drops it silently.
        if text.contains(['?', '#', '@']) {
            return Err(IssuerError::Extra);
        }
        let uri: Uri = text.parse().map_err(|_| IssuerError::NotAUrl)?;
        if uri.scheme_str() != Some("https") || !text.starts_with("https://") {
            return Err(IssuerError::NotHttps);
        }
        let path = uri.path().trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if !path.bytes().all(plain) || path.contains("//") {
            return Err(IssuerError::NotAUrl);
        }
        Ok(Self {
            identifier: text.to_owned(),
            path: path.to_owned(),
        })
    }

    /// As it was given: receivers compare it byte by byte (RFC 8414 §3.3).
    pub(crate) fn as_str(&self) -> &str {
        &self.identifier
    }

    pub(crate) fn token_endpoint(&self) -> String {
        self.url(Endpoint::Token)
    }

    /// Where an endpoint is.
    pub(crate) fn url(&self, endpoint: Endpoint) -> String {
        format!("{}{}", self.base(), endpoint.as_str())
    }

    /// Its path on this server.
    pub(crate) fn path(&self, endpoint: Endpoint) -> String {
        format!("{}{}", self.path, endpoint.as_str())
    }

    /// Whether its endpoints lie below this path.
    pub(crate) fn is_within(&self, path: &str) -> bool {
        let rest = self.path.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// RFC 8414 §3.1: the well-known part stands between host and path.
    pub(crate) fn metadata_path(&self) -> String {
        format!("/.well-known/oauth-authorization-server{}", self.path)
    }

    fn base(&self) -> &str {
        self.identifier.trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_follow_from_the_issuer() {
        let issuer = Issuer::parse("https://as.example.com:8443").unwrap();
        assert_eq!(issuer.token_endpoint(), "https://as.example.com:8443/token");
        assert_eq!(issuer.path(Endpoint::Token), "/token");
        assert_eq!(issuer.path(Endpoint::JwkSet), "/jwks.json");
        assert_eq!(
            issuer.metadata_path(),
            "/.well-known/oauth-authorization-server"
        );
    }

    // RFC 8414 §3.1
    #[test]
    fn the_well_known_part_stands_between_host_and_path() {
        let issuer = Issuer::parse("https://example.com/issuer1/").unwrap();
        assert_eq!(
            issuer.metadata_path(),
            "/.well-known/oauth-authorization-server/issuer1"
        );
        assert_eq!(issuer.token_endpoint(), "https://example.com/issuer1/token");
        assert_eq!(issuer.path(Endpoint::Token), "/issuer1/token");
        assert_eq!(
            issuer.url(Endpoint::JwkSet),
            "https://example.com/issuer1/jwks.json"
        );
        assert_eq!(issuer.as_str(), "https://example.com/issuer1/");
    }

    // RFC 8414 §2
    #[test]
    fn an_issuer_is_an_https_url_without_query_and_fragment() {
        for (text, error) in [
            ("http://as.example.com", IssuerError::NotHttps),
            ("/token", IssuerError::NotHttps),
            ("as.example.com", IssuerError::NotHttps),
            ("https://as.example.com?a=b", IssuerError::Extra),
            ("https://as.example.com/#a", IssuerError::Extra),
            ("https://user@as.example.com", IssuerError::Extra),
            ("https://", IssuerError::NotAUrl),
            ("", IssuerError::NotAUrl),
            ("https://as.example.com/{a}", IssuerError::NotAUrl),
            ("https://as.example.com/a//b", IssuerError::NotAUrl),
        ] {
            assert_eq!(Issuer::parse(text).unwrap_err(), error, "{text:?}");
        }
    }
}
