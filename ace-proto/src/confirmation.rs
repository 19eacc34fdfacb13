//! The `cnf` claim and parameter (RFC 7800 §3, RFC 9201 §3).

mod cbor;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de, de::IgnoredAny, ser::SerializeMap,
};

use crate::{
    Jwk, PopError, PopKey, base64url, identifier,
    json_object::{Object, present},
    jwe::ContentKeys,
};

/// How a token names its proof-of-possession key: exactly one way.
///
/// Stricter than RFC 7800 §3.1: `kid` beside `jwk` or `jwe` is refused too, so that there is never a question which of two keys is meant.
/// `jku` is refused, since nothing is ever fetched from where a token points (RFC 8725 §3.10). Unknown members are ignored.
#[derive(Clone, Debug)]
pub enum Confirmation {
    /// `jwk`: the key itself; symmetric only where the whole is confidential.
    Key(Box<Jwk>),
    /// A symmetric key under the key of AS and RS: `jwe` in compact form or, from a CWT, base64url of the `Encrypted_COSE_Key`. A compact
    /// JWE has dots in it and base64url has none, so one is never taken for the other.
    Encrypted(String),
    /// `kid`: a key the receiver knows, bytes. Text in JSON is base64url of them; text that is not base64url stands for its UTF-8 bytes.
    KeyIdentifier(Vec<u8>),
}

/// Not an object with exactly one of `jwk`, `jwe` and `kid`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cnf is not exactly one of jwk, jwe and kid")]
pub struct MalformedConfirmation;

impl Confirmation {
    /// The key, decrypted with `keys` where it must be. A `kid` alone, or a symmetric JWK with
    /// nothing but one, is not resolved here: [`PopError::KeyIdentifierOnly`].
    pub fn resolve(&self, keys: &ContentKeys) -> Result<PopKey, PopError> {
        self.resolve_named(keys).map(|(key, _kid)| key)
    }

    /// The same, with the key's `kid` where it has one, bytes.
    pub fn resolve_named(&self, keys: &ContentKeys) -> Result<(PopKey, Option<Vec<u8>>), PopError> {
        match self {
            Self::Key(jwk) if jwk.is_symmetric() && !jwk.is_secret() => {
                Err(PopError::KeyIdentifierOnly)
            }
            Self::Key(jwk) => Ok((PopKey::from_jwk(jwk)?, kid_of(jwk))),
            Self::Encrypted(jwe) => {
                let jwk = keys.decrypt(jwe)?;
                match PopKey::from_jwk(&jwk)? {
                    key @ PopKey::Hs256(_) => Ok((key, kid_of(&jwk))),
                    // RFC 7800 §3.3: what is encrypted is a symmetric key.
                    PopKey::Ed25519(_) | PopKey::Es256(_) => Err(PopError::UnsupportedKey),
                }
            }
            Self::KeyIdentifier(_) => Err(PopError::KeyIdentifierOnly),
        }
    }

    /// The key's name where nothing but a name is there: a `kid`, or a symmetric key of which only that is said. Bytes.
    pub fn key_identifier(&self) -> Option<Vec<u8>> {
        match self {
            Self::KeyIdentifier(kid) => Some(kid.clone()),
            Self::Key(jwk) if jwk.is_symmetric() && !jwk.is_secret() => kid_of(jwk),
            Self::Key(_) | Self::Encrypted(_) => None,
        }
    }

    /// From the value of `cnf` or `req_cnf`.
    pub fn parse(value: &serde_json::Value) -> Result<Self, MalformedConfirmation> {
        Self::deserialize(value).map_err(|_| MalformedConfirmation)
    }

    /// As the value of `cnf` or `req_cnf`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self)
    }
}

fn kid_of(jwk: &Jwk) -> Option<Vec<u8>> {
    jwk.kid.as_deref().map(identifier::to_bytes)
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "present")]
    jwk: Option<Box<Jwk>>,
    #[serde(default, deserialize_with = "present")]
    jwe: Option<String>,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    jku: Option<IgnoredAny>,
}

impl<'de> Deserialize<'de> for Confirmation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(wire) = Object::<Wire>::deserialize(deserializer)?;
        match (wire.jwk, wire.jwe, wire.kid, wire.jku) {
            (Some(jwk), None, None, None) => Ok(Self::Key(jwk)),
            (None, Some(jwe), None, None) => Ok(Self::Encrypted(jwe)),
            (None, None, Some(kid), None) => Ok(Self::KeyIdentifier(
                base64url::decode(&kid).unwrap_or_else(|| kid.into_bytes()),
            )),
            _ => Err(de::Error::custom(MalformedConfirmation)),
        }
    }
}

impl Serialize for Confirmation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Key(jwk) => map.serialize_entry("jwk", jwk)?,
            Self::Encrypted(jwe) => map.serialize_entry("jwe", jwe)?,
            Self::KeyIdentifier(kid) => map.serialize_entry("kid", &base64url::encode(kid))?,
        }
        map.end()
    }
}
