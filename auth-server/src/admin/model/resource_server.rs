//! Resource servers.

use super::{Authentication, ModelError, SecretText};
use crate::store::{
    self, Lifetime, Protection, ServerAccess, SymmetricKeys, TokenFormat, TokenKind,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize};
use symbolon_ace_proto::{MacKey, SymmetricKey, jwe::ContentKey};
use utoipa::ToSchema;

/// A resource server. Of the keys that are shared with it, their names alone.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ResourceServer {
    /// Its audience.
    pub audience: String,
    /// The form of its tokens: `jwt`, `cwt` or `reference`.
    pub format: String,
    /// What protects them: `sign` or `mac`.
    pub protection: String,
    /// How symmetric keys get there: `encrypted` or `derived`.
    pub symmetric_keys: String,
    /// How its tokens say when they end: `exp` or `exi`.
    pub lifetime: String,
    /// The name of the content key shared with it.
    pub content_key: Option<String>,
    /// The name of the MAC key shared with it.
    pub mac_key: Option<String>,
    /// There is a derivation key shared with it.
    pub derivation_key: bool,
    /// How clients know it: `{"x5t#S256": "..."}` or `{"jwk": {...}}`.
    #[schema(value_type = Option<Object>)]
    pub rs_cnf: Option<serde_json::Value>,
    /// Its identifier where it asks about tokens.
    pub client_id: Option<String>,
    /// How it authenticates there.
    pub client_auth: Option<String>,
}

/// What is to be said of a resource server: of one that there is, what is absent stays; of a new one, it gets the default. Keys go in and
/// never come out.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutResourceServer {
    /// The form of its tokens: `jwt` (default), `cwt` or `reference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What protects them: `sign` (default) or `mac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<String>,
    /// How symmetric keys get there: `encrypted` (default) or `derived`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symmetric_keys: Option<String>,
    /// How its tokens say when they end: `exp` (default) or `exi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<String>,
    /// The content key shared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_key: Option<SharedKey>,
    /// The MAC key shared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_key: Option<SharedKey>,
    /// The derivation key shared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derivation_key: Option<SharedKey>,
    /// How clients know it: `{"x5t#S256": "..."}`, `{"jwk": {...}}`, or `null`: they are not told.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    #[schema(value_type = Option<Object>)]
    pub rs_cnf: Option<serde_json::Value>,
    /// Its identifier where it asks about tokens; its audience where absent and new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// How it authenticates there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
}

/// A key that is shared with a resource server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedKey {
    /// Its name; of a derivation key of no meaning.
    #[serde(default)]
    pub kid: String,
    /// Its 32 bytes, base64url.
    pub k: SecretText,
}

/// A member that is there, `null` too.
fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

impl From<&store::ResourceServer> for ResourceServer {
    fn from(server: &store::ResourceServer) -> Self {
        let access = server.access.as_ref();
        Self {
            audience: server.audience.clone(),
            format: server.tokens.format.as_str().to_owned(),
            protection: server.tokens.protection.as_str().to_owned(),
            symmetric_keys: server.tokens.symmetric_keys.as_str().to_owned(),
            lifetime: server.tokens.lifetime.as_str().to_owned(),
            content_key: server.content_key.as_ref().map(|key| key.kid.clone()),
            mac_key: server.mac_key.as_ref().map(|key| key.kid().to_owned()),
            derivation_key: server.derivation_key.is_some(),
            rs_cnf: server.rs_cnf.clone(),
            client_id: access.map(|access| access.client_id.clone()),
            client_auth: access.map(|access| access.authentication.method_name().to_owned()),
        }
    }
}

impl From<&ContentKey> for SharedKey {
    fn from(key: &ContentKey) -> Self {
        Self {
            kid: key.kid.clone(),
            k: SecretText(URL_SAFE_NO_PAD.encode(key.key.as_bytes())),
        }
    }
}

impl SharedKey {
    fn key(&self, member: &'static str) -> Result<SymmetricKey, ModelError> {
        let bytes = URL_SAFE_NO_PAD.decode(self.k.as_str());
        let bytes =
            bytes.map_err(|_| ModelError::new(member, "`k` is not base64url without padding"))?;
        Ok(SymmetricKey::from_bytes(&bytes))
    }
}

impl PutResourceServer {
    /// The resource server of this audience as it is to be stored; `before` is the one that there is.
    pub fn change(
        self,
        audience: &str,
        before: Option<store::ResourceServer>,
    ) -> Result<store::ResourceServer, ModelError> {
        let mut server = before.unwrap_or_else(|| nothing_said_of(audience));
        let kind = &mut server.tokens;
        named(&mut kind.format, self.format.as_deref(), |name| {
            TokenFormat::from_name(name).ok_or("format")
        })?;
        named(&mut kind.protection, self.protection.as_deref(), |name| {
            Protection::from_name(name).ok_or("protection")
        })?;
        let symmetric_keys = self.symmetric_keys.as_deref();
        named(&mut kind.symmetric_keys, symmetric_keys, |name| {
            SymmetricKeys::from_name(name).ok_or("symmetric_keys")
        })?;
        named(&mut kind.lifetime, self.lifetime.as_deref(), |name| {
            Lifetime::from_name(name).ok_or("lifetime")
        })?;
        if let Some(key) = &self.content_key {
            server.content_key = Some(ContentKey {
                kid: key.kid.clone(),
                key: key.key("content_key")?,
            });
        }
        if let Some(key) = &self.mac_key {
            let key = MacKey::new(&key.kid, key.key("mac_key")?);
            server.mac_key = Some(key.map_err(|error| ModelError::new("mac_key", error))?);
        }
        if let Some(key) = &self.derivation_key {
            server.derivation_key = Some(key.key("derivation_key")?);
        }
        if let Some(rs_cnf) = self.rs_cnf {
            server.rs_cnf = Some(rs_cnf).filter(|rs_cnf| !rs_cnf.is_null());
        }
        server.access = access(&server, self.client_id, self.authentication)?;
        Ok(server)
    }
}

fn nothing_said_of(audience: &str) -> store::ResourceServer {
    store::ResourceServer {
        audience: audience.to_owned(),
        tokens: TokenKind::default(),
        content_key: None,
        mac_key: None,
        derivation_key: None,
        rs_cnf: None,
        access: None,
        rotation: store::Rotation::default(),
    }
}

/// Replaces a value where a name is given; the reader says which member it is of where it knows no such name.
fn named<T>(
    value: &mut T,
    name: Option<&str>,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<(), ModelError> {
    if let Some(name) = name {
        *value = read(name)
            .map_err(|member| ModelError::new(member, format!("there is no {name:?}")))?;
    }
    Ok(())
}

fn access(
    server: &store::ResourceServer,
    client_id: Option<String>,
    authentication: Option<Authentication>,
) -> Result<Option<ServerAccess>, ModelError> {
    let authentication = authentication.map(TryInto::try_into).transpose()?;
    let known = server.access.clone();
    let (known_id, known) = known
        .map(|access| (access.client_id, access.authentication))
        .unzip();
    match (authentication.or(known), client_id.or(known_id)) {
        (Some(authentication), client_id) => Ok(Some(ServerAccess {
            client_id: client_id.unwrap_or_else(|| server.audience.clone()),
            authentication,
        })),
        (None, Some(_)) => Err(ModelError::new(
            "client_id",
            "needs a way to authenticate beside it",
        )),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PutResourceServer {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_said_stays_and_null_takes_away() {
        let key = ContentKey::generate().unwrap();
        let put = PutResourceServer {
            content_key: Some(SharedKey::from(&key)),
            rs_cnf: Some(serde_json::json!({"x5t#S256": "AA"})),
            authentication: Some((&store::ClientAuthentication::from_secret("s")).into()),
            ..read(r#"{"format":"cwt"}"#)
        };
        let text = serde_json::to_string(&put).unwrap();
        assert_eq!(serde_json::to_string(&read(&text)).unwrap(), text);
        let made = put.change("broker", None).unwrap();
        assert_eq!(made.content_key.as_ref().unwrap().kid, key.kid);
        assert_eq!(made.access.as_ref().unwrap().client_id, "broker");
        let changed = read(r#"{"lifetime":"exi"}"#).change("broker", Some(made));
        let changed = changed.unwrap();
        let shown = ResourceServer::from(&changed);
        assert_eq!(
            (shown.format.as_str(), shown.lifetime.as_str()),
            ("cwt", "exi")
        );
        assert_eq!(changed.content_key.as_ref().unwrap().key, key.key);
        assert!(changed.rs_cnf.is_some());
        let text = serde_json::to_string(&read(r#"{"rs_cnf":null}"#)).unwrap();
        assert_eq!(text, r#"{"rs_cnf":null}"#);
        let changed = read(&text).change("broker", Some(changed)).unwrap();
        assert_eq!(changed.rs_cnf, None);
        assert!(changed.access.is_some());
    }

    #[test]
    fn a_shared_key_is_never_shown() {
        let key = ContentKey::generate().unwrap();
        let secret = URL_SAFE_NO_PAD.encode(key.key.as_bytes());
        let put = PutResourceServer {
            content_key: Some(SharedKey::from(&key)),
            ..PutResourceServer::default()
        };
        assert!(!format!("{put:?}").contains(&secret));
        let server = put.change("broker", None).unwrap();
        let shown = serde_json::to_string(&ResourceServer::from(&server)).unwrap();
        assert!(!shown.contains(&secret), "{shown}");
    }

    #[test]
    fn a_name_that_there_is_not_is_told_with_its_member() {
        let error = read(r#"{"format":"xml"}"#).change("b", None).unwrap_err();
        assert_eq!(error.to_string(), "format: there is no \"xml\"");
        let error = read(r#"{"client_id":"b"}"#).change("b", None).unwrap_err();
        assert_eq!(error.member, "client_id");
    }
}
