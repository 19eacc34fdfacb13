//! A device profile: one JSON object, stable, documented in `docs/profile.md`.

use symbolon_ace_proto::Jwk;

/// What a device needs to know to get a token and connect.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Profile {
    /// The client identifier at the AS, also its MQTT Client Identifier.
    pub client_id: String,
    /// The AS's issuer identifier.
    pub issuer: String,
    /// The AS's token endpoint, an `https` URL.
    pub token_endpoint: String,
    /// The broker, `mqtts://host:port`.
    pub broker: String,
    /// The broker's audience.
    pub audience: String,
    /// The CA that AS and broker are checked against, PEM text.
    pub ca: String,
    /// How it authenticates to the AS.
    pub client_auth: ClientAuth,
    /// Its proof-of-possession key.
    pub pop: Pop,
    /// The AIF array it may ask for: `[["topic", ["pub", "sub"]]]`.
    pub scope: serde_json::Value,
}

/// How a device authenticates to the AS.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(tag = "method")]
pub enum ClientAuth {
    /// A shared secret in the Authorization header (RFC 6749 §2.3.1).
    #[serde(rename = "client_secret_basic")]
    Secret {
        /// The secret.
        secret: String,
    },
    /// An assertion signed with a private key (RFC 7523).
    #[serde(rename = "private_key_jwt")]
    Key {
        /// The private key.
        jwk: Box<Jwk>,
    },
}

/// The proof-of-possession key of a device.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Pop {
    /// `HS256`, `EdDSA` or `ES256`.
    pub alg: String,
    /// The private key; absent when the AS makes the key (HS256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwk: Option<Box<Jwk>>,
}
