//! The JSON Web Key as it stands on the wire (RFC 7517, RFC 7518 §6, RFC 8037 §2).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize as _, Zeroizing};

use super::PopAlgorithm;
use crate::{
    base64url,
    json_object::{Object, present, to_json},
};

/// A JSON Web Key (RFC 7517), public, private or symmetric. `Debug` shows no secret member; secret members are wiped when dropped.
///
/// Unknown members are ignored. Whether the members make a key that we can use is for [`PopKey::from_jwk`](crate::PopKey::from_jwk) and
/// [`PopSigner::from_jwk`](crate::PopSigner::from_jwk) to say.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(remote = "Self")]
pub struct Jwk {
    /// `OKP`, `EC` or `oct`.
    pub kty: String,
    /// `crv`: `Ed25519` or `P-256`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub crv: Option<String>,
    /// `x`: public key or coordinate, base64url.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub x: Option<String>,
    /// `y`: coordinate, base64url.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub y: Option<String>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    k: Option<SecretText>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    d: Option<SecretText>,
    /// `kid`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub kid: Option<String>,
    /// `use`: `sig` where present.
    #[serde(
        default,
        rename = "use",
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub public_key_use: Option<String>,
    /// `alg`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub alg: Option<String>,
    /// `key_ops`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub key_ops: Option<Vec<String>>,
}

/// base64url of a secret.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
struct SecretText(String);

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Jwk {
    /// A symmetric key for HS256.
    pub(super) fn symmetric(secret: &[u8]) -> Self {
        Self {
            kty: "oct".to_owned(),
            k: Some(SecretText(base64url::encode(secret))),
            alg: Some(PopAlgorithm::Hs256.as_str().to_owned()),
            ..Self::default()
        }
    }

    /// A public key for Ed25519.
    pub(super) fn ed25519(x: &[u8]) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some(base64url::encode(x)),
            ..Self::default()
        }
    }

    /// A public key on P-256.
    pub(super) fn p256(x: &[u8], y: &[u8]) -> Self {
        Self {
            kty: "EC".to_owned(),
            crv: Some("P-256".to_owned()),
            x: Some(base64url::encode(x)),
            y: Some(base64url::encode(y)),
            ..Self::default()
        }
    }

    /// A symmetric key that is only named: what a PSK identity holds (RFC 9431 §2.2.3.2).
    pub fn symmetric_reference(kid: &str) -> Self {
        Self {
            kty: "oct".to_owned(),
            kid: Some(kid.to_owned()),
            ..Self::default()
        }
    }

    /// With this `kid`.
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// With the private part of an asymmetric key.
    pub(super) fn with_private(mut self, d: &[u8]) -> Self {
        self.d = Some(SecretText(base64url::encode(d)));
        self
    }

    /// Whether it is symmetric (`kty` is `oct`): then all of it is secret.
    pub fn is_symmetric(&self) -> bool {
        self.kty == "oct"
    }

    /// Whether it holds a secret: a symmetric key or the private part of an asymmetric one.
    pub fn is_secret(&self) -> bool {
        self.k.is_some() || self.d.is_some()
    }

    /// From JSON text.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// As JSON text, wiped when dropped since it may hold a secret.
    pub fn to_json(&self) -> Zeroizing<String> {
        Zeroizing::new(to_json(self))
    }

    pub(super) fn k(&self) -> Option<&str> {
        self.k.as_ref().map(|k| k.0.as_str())
    }

    pub(super) fn d(&self) -> Option<&str> {
        self.d.as_ref().map(|d| d.0.as_str())
    }

    /// Whether `alg`, where present, names this algorithm (RFC 8725 §3.1: one algorithm per key).
    pub(super) fn is_for(&self, algorithm: PopAlgorithm) -> bool {
        self.alg
            .as_deref()
            .is_none_or(|name| PopAlgorithm::from_name(name) == Some(algorithm))
    }

    /// Whether `use` and `key_ops`, where present, allow `operation` (RFC 7517 §4.2 and §4.3).
    pub(crate) fn may(&self, operation: &str) -> bool {
        self.public_key_use.as_deref().is_none_or(|u| u == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == operation))
    }
}

/// Calls the derived reader, which `remote` makes a function of [`Jwk`] itself.
struct Derived(Jwk);

impl<'de> Deserialize<'de> for Derived {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Jwk::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::<Derived>::deserialize(deserializer).map(|object| object.0.0)
    }
}

impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl std::fmt::Debug for Jwk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwk")
            .field("kty", &self.kty)
            .field("crv", &self.crv)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
