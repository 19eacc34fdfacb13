//! What a client says of itself where it registers (RFC 7591 §2), and what it is told about that (§3.2.1). What it may do is no matter of
//! what it says: the initial access token decides that.

use super::certificate::Certificate;
use crate::store::{CertificateName, ClientAuthentication, sha256_of};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopKey};

/// The longest text of a member, bytes.
const MAX_TEXT_BYTES: usize = 2048;
/// The most texts in a member that is a list, and the most members that are kept.
const MAX_ITEMS: usize = 64;
/// What people or other programs read, and we only keep (RFC 7591 §2). With a language tag behind `#` too (§2.2).
const KEPT: [&str; 8] = [
    "client_name",
    "client_uri",
    "logo_uri",
    "tos_uri",
    "policy_uri",
    "software_id",
    "software_version",
    "contacts",
];
/// Our member for the algorithm of the proof-of-possession key; none is registered (RFC 7591 §4.1).
pub(crate) const POP_ALGORITHM: &str = "symbolon_pop_alg";
/// The members of `tls_client_auth`, of which there is one (RFC 8705 §2.1.2), and how we write them.
const CERTIFICATE_NAMES: [(&str, &str); 5] = [
    ("tls_client_auth_subject_dn", "dn"),
    ("tls_client_auth_san_dns", "dns"),
    ("tls_client_auth_san_uri", "uri"),
    ("tls_client_auth_san_ip", "ip"),
    ("tls_client_auth_san_email", "email"),
];

/// What a client says of itself, checked.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    /// How it authenticates; `None`: by a secret that the server makes.
    pub(crate) authentication: Option<ClientAuthentication>,
    /// The algorithm of its proof-of-possession key.
    pub(crate) pop_algorithm: PopAlgorithm,
    /// It asks for refresh tokens, and may have them.
    pub(crate) refresh_tokens: bool,
    /// All that was understood, as it is kept and answered. No secret.
    pub(crate) members: Map<String, Value>,
}

/// Why a client is not registered as it asks. The text goes to the client: ASCII without quotes and backslashes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("{0} is not what RFC 7591 has it be")]
    Member(&'static str),
    #[error("a member is too long, or there are too many")]
    TooLong,
    #[error("token_endpoint_auth_method is not one that this server supports")]
    Method,
    #[error(
        "grant_types has neither client_credentials nor anything else that this server supports"
    )]
    GrantTypes,
    #[error("jwks must be there with exactly one key, and jwks_uri must not")]
    Keys,
    #[error("jwks holds a private key: nobody but the client must know it")]
    PrivateKey,
    #[error("the key in jwks is not one of Ed25519 or P-256 for signatures")]
    UnsupportedKey,
    #[error("the key in jwks needs its certificate in x5c, and must be the certificate's own")]
    Certificate,
    #[error("tls_client_auth needs exactly one name of a certificate")]
    CertificateName,
    #[error("symbolon_pop_alg is not HS256, EdDSA or ES256")]
    PopAlgorithm,
    #[error("this server trusts no issuer of software statements")]
    SoftwareStatement,
    #[error("client_id is not that of the registration")]
    ClientId,
    #[error("client_secret is not that of the registration")]
    ClientSecret,
    #[error("{0} must not be sent")]
    NotForClients(&'static str),
}

impl MetadataError {
    /// RFC 7591 §3.2.2.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::SoftwareStatement => "unapproved_software_statement",
            Self::NotAnObject
            | Self::Member(_)
            | Self::TooLong
            | Self::Method
            | Self::GrantTypes
            | Self::Keys
            | Self::PrivateKey
            | Self::UnsupportedKey
            | Self::Certificate
            | Self::CertificateName
            | Self::PopAlgorithm
            | Self::ClientId
            | Self::ClientSecret
            | Self::NotForClients(_) => "invalid_client_metadata",
        }
    }
}

/// What a registered client sends along to change what it says (RFC 7592 §2.2).
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    pub(crate) metadata: Metadata,
    /// Its secret, to go on with it.
    pub(crate) client_secret: Option<String>,
}

/// Parses what a new client says. What is not understood is ignored (RFC 7591 §2), what cannot be had is left out of the answer (§3.2.1).
pub(crate) fn parse(body: &[u8], may_refresh: bool) -> Result<Metadata, MetadataError> {
    metadata(&object(body)?, may_refresh)
}

/// Parses what a registered client says in the place of what it said before (RFC 7592 §2.2).
pub(crate) fn parse_replacement(
    body: &[u8],
    client_id: &str,
    may_refresh: bool,
) -> Result<Replacement, MetadataError> {
    let said = object(body)?;
    if said.get("client_id").and_then(Value::as_str) != Some(client_id) {
        return Err(MetadataError::ClientId);
    }
    for name in [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ] {
        if said.contains_key(name) {
            return Err(MetadataError::NotForClients(name));
        }
    }
    Ok(Replacement {
        metadata: metadata(&said, may_refresh)?,
        client_secret: text(&said, "client_secret")?.map(str::to_owned),
    })
}

fn object(body: &[u8]) -> Result<Map<String, Value>, MetadataError> {
    serde_json::from_slice(body).map_err(|_| MetadataError::NotAnObject)
}

fn metadata(said: &Map<String, Value>, may_refresh: bool) -> Result<Metadata, MetadataError> {
    if said.contains_key("software_statement") {
        return Err(MetadataError::SoftwareStatement);
    }
    let mut members = kept(said)?;
    let method = text(said, "token_endpoint_auth_method")?.unwrap_or("client_secret_basic");
    let (authentication, key) = authentication(method, said, &mut members)?;
    members.insert("token_endpoint_auth_method".to_owned(), method.into());
    let pop_algorithm = match text(said, POP_ALGORITHM)? {
        Some(name) => pop_algorithm(name).ok_or(MetadataError::PopAlgorithm)?,
        None => key.map_or(PopAlgorithm::Hs256, |key| key.algorithm()),
    };
    members.insert(POP_ALGORITHM.to_owned(), pop_algorithm.as_str().into());
    let refresh_tokens = may_refresh && grants(said)?.contains(&"refresh_token");
    let grant_types: &[&str] = if refresh_tokens {
        &["client_credentials", "refresh_token"]
    } else {
        &["client_credentials"]
    };
    members.insert("grant_types".to_owned(), json!(grant_types));
    members.insert("response_types".to_owned(), json!([]));
    Ok(Metadata {
        authentication,
        pop_algorithm,
        refresh_tokens,
        members,
    })
}

fn pop_algorithm(name: &str) -> Option<PopAlgorithm> {
    [
        PopAlgorithm::Hs256,
        PopAlgorithm::EdDsa,
        PopAlgorithm::Es256,
    ]
    .into_iter()
    .find(|algorithm| algorithm.as_str() == name)
}

/// The grants asked for; what RFC 7591 takes where there are none, `authorization_code`, we have not.
fn grants(said: &Map<String, Value>) -> Result<Vec<&str>, MetadataError> {
    let Some(grants) = said.get("grant_types") else {
        return Ok(vec!["client_credentials"]);
    };
    let wrong = MetadataError::Member("grant_types");
    let grants = grants.as_array().ok_or(wrong)?;
    let grants: Option<Vec<&str>> = grants.iter().map(Value::as_str).collect();
    let grants = grants.ok_or(wrong)?;
    if grants.is_empty() || grants.contains(&"client_credentials") {
        return Ok(grants);
    }
    Err(MetadataError::GrantTypes)
}

/// How it authenticates, and the key that it does so with.
fn authentication(
    method: &str,
    said: &Map<String, Value>,
    members: &mut Map<String, Value>,
) -> Result<(Option<ClientAuthentication>, Option<PopKey>), MetadataError> {
    match method {
        "client_secret_basic" | "client_secret_post" => Ok((None, None)),
        "private_key_jwt" => {
            let key = PopKey::from_jwk(&key(said)?.1).map_err(|_| MetadataError::UnsupportedKey)?;
            let public = public(&key, members)?;
            Ok((Some(ClientAuthentication::Key(public)), Some(key)))
        }
        ClientAuthentication::RAW_PUBLIC_KEY => {
            let key = PopKey::from_jwk(&key(said)?.1).map_err(|_| MetadataError::UnsupportedKey)?;
            let public = public(&key, members)?;
            Ok((Some(ClientAuthentication::RawPublicKey(public)), Some(key)))
        }
        "self_signed_tls_client_auth" => {
            let (value, _) = key(said)?;
            let (certificate, key) = certificate(value)?;
            let mut shown: Map<String, Value> = ["kty", "crv", "x", "y", "n", "e"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), value.get(name)?.clone())))
                .collect();
            shown.insert("x5c".to_owned(), json!([STANDARD.encode(&certificate)]));
            members.insert("jwks".to_owned(), json!({ "keys": [shown] }));
            let sha256 = sha256_of(&certificate);
            Ok((Some(ClientAuthentication::Certificate { sha256 }), key))
        }
        "tls_client_auth" => {
            let (member, name) = certificate_name(said)?;
            members.insert(member.to_owned(), said[member].clone());
            Ok((Some(ClientAuthentication::CertificateName(name)), None))
        }
        _ => Err(MetadataError::Method),
    }
}

/// The key of a client as it is kept.
fn public(key: &PopKey, members: &mut Map<String, Value>) -> Result<Box<Jwk>, MetadataError> {
    let jwk = key.to_jwk();
    if jwk.is_symmetric() {
        return Err(MetadataError::UnsupportedKey);
    }
    members.insert("jwks".to_owned(), json!({ "keys": [jwk] }));
    Ok(Box::new(jwk))
}

/// The one key in `jwks`. Keys of a URL are not fetched: whoever registers would choose whom we call.
fn key(said: &Map<String, Value>) -> Result<(&Value, Jwk), MetadataError> {
    if said.contains_key("jwks_uri") {
        return Err(MetadataError::Keys);
    }
    let keys = said.get("jwks").and_then(|set| set["keys"].as_array());
    let [value] = keys.ok_or(MetadataError::Keys)?.as_slice() else {
        return Err(MetadataError::Keys);
    };
    let jwk: Jwk =
        serde_json::from_value(value.clone()).map_err(|_| MetadataError::UnsupportedKey)?;
    if jwk.is_symmetric() {
        return Err(MetadataError::UnsupportedKey);
    }
    if jwk.is_secret() {
        return Err(MetadataError::PrivateKey);
    }
    Ok((value, jwk))
}

/// The certificate in `x5c`, DER, and its key if it is one we know; the JWK must be of the same key (RFC 7517 §4.7).
fn certificate(jwk: &Value) -> Result<(Vec<u8>, Option<PopKey>), MetadataError> {
    let chain = jwk["x5c"].as_array().ok_or(MetadataError::Certificate)?;
    let first = chain.first().and_then(Value::as_str);
    let der = STANDARD.decode(first.ok_or(MetadataError::Certificate)?);
    let der = der.map_err(|_| MetadataError::Certificate)?;
    let certified = Certificate::parse(&der).ok_or(MetadataError::Certificate)?;
    let certified = certified.public_key();
    let named: Option<Jwk> = serde_json::from_value(jwk.clone()).ok();
    let named = named.and_then(|jwk| PopKey::from_jwk(&jwk).ok());
    if named != certified {
        return Err(MetadataError::Certificate);
    }
    Ok((der, certified))
}

fn certificate_name(
    said: &Map<String, Value>,
) -> Result<(&'static str, CertificateName), MetadataError> {
    let mut names = CERTIFICATE_NAMES
        .into_iter()
        .filter(|(member, _)| said.contains_key(*member));
    let (Some((member, kind)), None) = (names.next(), names.next()) else {
        return Err(MetadataError::CertificateName);
    };
    let name = text(said, member)?.unwrap_or_default();
    let name = format!("{kind}:{name}").parse();
    Ok((member, name.map_err(|_| MetadataError::CertificateName)?))
}

/// The members that say nothing to us.
fn kept(said: &Map<String, Value>) -> Result<Map<String, Value>, MetadataError> {
    let mut members = Map::new();
    for (name, value) in said {
        let base = name.split('#').next().unwrap_or_default();
        let Some(base) = KEPT.into_iter().find(|known| *known == base) else {
            continue;
        };
        let texts: Option<Vec<&str>> = match value {
            Value::String(text) if base != "contacts" => Some(vec![text]),
            Value::Array(texts) if base == "contacts" => texts.iter().map(Value::as_str).collect(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        };
        let texts = texts.ok_or(MetadataError::Member(base))?;
        let long = texts.iter().any(|text| text.len() > MAX_TEXT_BYTES);
        let many = texts.len() > MAX_ITEMS || members.len() >= MAX_ITEMS;
        if long || many || name.len() > MAX_TEXT_BYTES {
            return Err(MetadataError::TooLong);
        }
        members.insert(name.clone(), value.clone());
    }
    Ok(members)
}

fn text<'a>(
    said: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, MetadataError> {
    match said.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_TEXT_BYTES => Ok(Some(text)),
        Some(_) => Err(MetadataError::Member(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_ace_proto::PopSigner;

    fn said(value: &Value) -> Result<Metadata, MetadataError> {
        parse(value.to_string().as_bytes(), true)
    }

    fn error(value: &Value) -> MetadataError {
        said(value).unwrap_err()
    }

    fn jwk() -> Value {
        let key = PopSigner::generate(PopAlgorithm::Es256).unwrap();
        serde_json::to_value(key.verifying_key().to_jwk()).unwrap()
    }

    // RFC 7591 §2
    #[test]
    fn without_a_word_a_client_gets_a_secret_and_what_is_not_understood_is_ignored() {
        let metadata = said(&json!({ "redirect_uris": ["https://a"], "x": 1 })).unwrap();
        assert!(metadata.authentication.is_none());
        assert_eq!(metadata.pop_algorithm, PopAlgorithm::Hs256);
        assert!(!metadata.refresh_tokens);
        assert_eq!(
            Value::from(metadata.members),
            json!({
                "token_endpoint_auth_method": "client_secret_basic",
                "grant_types": ["client_credentials"],
                "response_types": [],
                "symbolon_pop_alg": "HS256",
            })
        );
    }

    #[test]
    fn a_client_with_a_key_proves_possession_of_it_unless_it_says_otherwise() {
        let asked = json!({
            "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [jwk()] },
            "client_name": "Meter", "client_name#de": "Zähler", "contacts": ["a@b"],
            "grant_types": ["client_credentials", "refresh_token", "authorization_code"],
        });
        let metadata = said(&asked).unwrap();
        assert_eq!(metadata.pop_algorithm, PopAlgorithm::Es256);
        assert!(metadata.refresh_tokens);
        assert_eq!(metadata.members["client_name#de"], "Zähler");
        assert_eq!(metadata.members["jwks"], asked["jwks"]);
        assert_eq!(
            metadata.members["grant_types"],
            json!(["client_credentials", "refresh_token"])
        );
        let not_allowed = parse(asked.to_string().as_bytes(), false).unwrap();
        assert!(!not_allowed.refresh_tokens);
        let mut other = asked;
        other[POP_ALGORITHM] = "HS256".into();
        assert_eq!(said(&other).unwrap().pop_algorithm, PopAlgorithm::Hs256);
    }

    // RFC 7591 §3.2.2
    #[test]
    fn what_cannot_be_registered_is_refused_with_its_reason() {
        let with_keys = |keys: Value| json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": keys } });
        let private = PopSigner::generate(PopAlgorithm::EdDsa).unwrap().to_jwk();
        let shared = PopSigner::generate(PopAlgorithm::Hs256).unwrap().to_jwk();
        let by_name = |names: Value| {
            let mut all = names;
            all["token_endpoint_auth_method"] = "tls_client_auth".into();
            all
        };
        for (asked, expected) in [
            (json!([]), MetadataError::NotAnObject),
            (
                json!({ "token_endpoint_auth_method": "none" }),
                MetadataError::Method,
            ),
            (
                json!({ "token_endpoint_auth_method": 1 }),
                MetadataError::Member("token_endpoint_auth_method"),
            ),
            (
                json!({ "token_endpoint_auth_method": "private_key_jwt" }),
                MetadataError::Keys,
            ),
            (with_keys(json!([])), MetadataError::Keys),
            (with_keys(json!([jwk(), jwk()])), MetadataError::Keys),
            (with_keys(json!([private])), MetadataError::PrivateKey),
            (with_keys(json!([shared])), MetadataError::UnsupportedKey),
            (
                with_keys(json!([{ "kty": "RSA" }])),
                MetadataError::UnsupportedKey,
            ),
            (
                json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://10.0.0.1/" }),
                MetadataError::Keys,
            ),
            (
                json!({ "token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": { "keys": [jwk()] } }),
                MetadataError::Certificate,
            ),
            (by_name(json!({})), MetadataError::CertificateName),
            (
                by_name(json!({ "tls_client_auth_san_dns": "a", "tls_client_auth_san_uri": "b" })),
                MetadataError::CertificateName,
            ),
            (
                by_name(json!({ "tls_client_auth_san_ip": "a" })),
                MetadataError::CertificateName,
            ),
        ] {
            assert_eq!(error(&asked), expected, "{asked}");
        }
    }

    // RFC 7591 §3.2.2
    #[test]
    fn what_cannot_be_had_or_kept_is_refused_with_its_reason() {
        for (asked, expected) in [
            (
                json!({ "grant_types": ["password"] }),
                MetadataError::GrantTypes,
            ),
            (
                json!({ "grant_types": "client_credentials" }),
                MetadataError::Member("grant_types"),
            ),
            (
                json!({ "software_statement": "e30.e30." }),
                MetadataError::SoftwareStatement,
            ),
            (
                json!({ "symbolon_pop_alg": "none" }),
                MetadataError::PopAlgorithm,
            ),
            (
                json!({ "client_name": 7 }),
                MetadataError::Member("client_name"),
            ),
            (
                json!({ "client_name": "x".repeat(MAX_TEXT_BYTES + 1) }),
                MetadataError::TooLong,
            ),
        ] {
            assert_eq!(error(&asked), expected, "{asked}");
        }
    }

    // RFC 7592 §2.2
    #[test]
    fn a_replacement_names_its_client_and_nothing_that_the_server_gives() {
        let parse = |value: Value| parse_replacement(value.to_string().as_bytes(), "c", false);
        let right = parse(json!({ "client_id": "c", "client_secret": "s" })).unwrap();
        assert_eq!(right.client_secret.as_deref(), Some("s"));
        let wrong = parse(json!({ "client_id": "d" })).unwrap_err();
        assert_eq!(wrong, MetadataError::ClientId);
        let wrong = parse(json!({ "client_id": "c", "registration_access_token": "t" }));
        assert_eq!(
            wrong.unwrap_err(),
            MetadataError::NotForClients("registration_access_token")
        );
    }
}
