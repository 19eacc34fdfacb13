//! Registered clients.

use super::{ModelError, NewPolicy, Policy, SecretText};
use crate::store::{self, ClientAuthentication, Subject};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use symbolon_ace_proto::{Jwk, PopAlgorithm};
use utoipa::ToSchema;

/// The algorithm of a proof-of-possession key, by its name in JWA (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub enum ProofKey {
    /// A symmetric key that comes with each token.
    #[serde(rename = "HS256")]
    Hs256,
    /// A key pair on Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// A key pair on P-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// A registered client.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Client {
    /// Its identifier.
    pub client_id: String,
    /// How it authenticates, as RFC 7591 and RFC 8705 name the method.
    pub client_auth: String,
    /// The algorithm of its proof-of-possession key.
    pub pop: ProofKey,
    /// It gets refresh tokens.
    pub refresh_tokens: bool,
    /// Its own rules; of one client those of its groups too.
    pub policies: Vec<Policy>,
}

/// A client to be registered with its rules, all or nothing.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    /// Its identifier: 1 to 256 printable ASCII characters without space, `/`, `+` and `#`, not beginning with `$`.
    pub client_id: String,
    /// How it authenticates.
    pub authentication: Authentication,
    /// The algorithm of its proof-of-possession key.
    pub pop: ProofKey,
    /// It gets refresh tokens.
    #[serde(default)]
    pub refresh_tokens: bool,
    /// Its rules.
    #[serde(default)]
    pub policies: Vec<NewPolicy>,
}

/// How a client, or a resource server that asks, authenticates.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(tag = "method", deny_unknown_fields)]
pub enum Authentication {
    /// With a secret of 256 random bits, made by whoever registers it; the server never has more than its digest.
    #[serde(rename = "client_secret_basic")]
    Secret {
        /// SHA-256 of the secret's text, base64url.
        secret_sha256: SecretText,
    },
    /// With assertions of the private key to this public one.
    #[serde(rename = "private_key_jwt")]
    Key {
        /// The public key, for Ed25519 or P-256.
        #[schema(value_type = Object)]
        jwk: Box<Jwk>,
    },
    /// With this public key in the TLS handshake (RFC 7250).
    #[serde(rename = "symbolon_rpk")]
    RawPublicKey {
        /// The public key, for Ed25519 or P-256.
        #[schema(value_type = Object)]
        jwk: Box<Jwk>,
    },
    /// With this certificate (RFC 8705 §2.2).
    #[serde(rename = "self_signed_tls_client_auth")]
    Certificate {
        /// SHA-256 of the certificate in DER, base64url.
        #[serde(rename = "x5t#S256")]
        sha256: String,
    },
    /// With a certificate of a CA that the server trusts for this, with this name in it (RFC 8705 §2.1).
    #[serde(rename = "tls_client_auth")]
    CertificateName {
        /// `dns:NAME`, `uri:NAME`, `ip:ADDRESS`, `email:ADDRESS` or `dn:NAME`.
        name: String,
    },
}

impl ProofKey {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        PopAlgorithm::from(self).as_str()
    }
}

impl From<PopAlgorithm> for ProofKey {
    fn from(algorithm: PopAlgorithm) -> Self {
        match algorithm {
            PopAlgorithm::Hs256 => Self::Hs256,
            PopAlgorithm::EdDsa => Self::EdDsa,
            PopAlgorithm::Es256 => Self::Es256,
        }
    }
}

impl From<ProofKey> for PopAlgorithm {
    fn from(key: ProofKey) -> Self {
        match key {
            ProofKey::Hs256 => Self::Hs256,
            ProofKey::EdDsa => Self::EdDsa,
            ProofKey::Es256 => Self::Es256,
        }
    }
}

impl Client {
    /// The client with these of the rules.
    pub fn new<'p>(
        client: &store::Client,
        policies: impl IntoIterator<Item = &'p store::Policy>,
    ) -> Self {
        Self {
            client_id: client.client_id.clone(),
            client_auth: client.authentication.method_name().to_owned(),
            pop: client.pop_algorithm.into(),
            refresh_tokens: client.refresh_tokens,
            policies: policies.into_iter().map(Policy::from).collect(),
        }
    }
}

impl NewClient {
    /// What is to be stored.
    pub fn parse(self) -> Result<(store::Client, Vec<store::Policy>), ModelError> {
        let subject = Subject::Client(self.client_id.clone());
        let policies = self.policies.into_iter();
        let policies: Result<_, ModelError> =
            policies.map(|policy| policy.within(&subject)).collect();
        let client = store::Client {
            client_id: self.client_id,
            authentication: self.authentication.try_into()?,
            pop_algorithm: self.pop.into(),
            refresh_tokens: self.refresh_tokens,
        };
        Ok((client, policies?))
    }
}

impl From<&ClientAuthentication> for Authentication {
    fn from(authentication: &ClientAuthentication) -> Self {
        match authentication {
            ClientAuthentication::Secret { sha256 } => Self::Secret {
                secret_sha256: SecretText(URL_SAFE_NO_PAD.encode(sha256)),
            },
            ClientAuthentication::Key(jwk) => Self::Key { jwk: jwk.clone() },
            ClientAuthentication::RawPublicKey(jwk) => Self::RawPublicKey { jwk: jwk.clone() },
            ClientAuthentication::Certificate { sha256 } => Self::Certificate {
                sha256: URL_SAFE_NO_PAD.encode(sha256),
            },
            ClientAuthentication::CertificateName(name) => Self::CertificateName {
                name: name.to_string(),
            },
        }
    }
}

impl TryFrom<Authentication> for ClientAuthentication {
    type Error = ModelError;

    fn try_from(authentication: Authentication) -> Result<Self, ModelError> {
        match authentication {
            Authentication::Secret { secret_sha256 } => Ok(Self::Secret {
                sha256: digest("secret_sha256", secret_sha256.as_str())?,
            }),
            Authentication::Key { jwk } => Ok(Self::Key(jwk)),
            Authentication::RawPublicKey { jwk } => Ok(Self::RawPublicKey(jwk)),
            Authentication::Certificate { sha256 } => Ok(Self::Certificate {
                sha256: digest("x5t#S256", &sha256)?,
            }),
            Authentication::CertificateName { name } => name
                .parse()
                .map(Self::CertificateName)
                .map_err(|error| ModelError::new("name", error)),
        }
    }
}

/// SHA-256 as base64url.
pub(super) fn digest(member: &'static str, text: &str) -> Result<[u8; 32], ModelError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| ModelError::new(member, "is not 32 bytes as base64url without padding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_authenticate_comes_back_from_its_message() {
        let key = symbolon_ace_proto::PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
        let all = [
            ClientAuthentication::from_secret("s"),
            ClientAuthentication::Key(Box::new(key.verifying_key().to_jwk())),
            ClientAuthentication::Certificate { sha256: [7; 32] },
            ClientAuthentication::CertificateName("dns:a.example".parse().unwrap()),
        ];
        for one in all {
            let text = serde_json::to_string(&Authentication::from(&one)).unwrap();
            assert!(text.contains(one.method_name()), "{text}");
            let read: Authentication = serde_json::from_str(&text).unwrap();
            let back = ClientAuthentication::try_from(read).unwrap();
            assert_eq!(
                serde_json::to_string(&Authentication::from(&back)).unwrap(),
                text
            );
            assert_eq!(back.method_name(), one.method_name());
        }
    }

    #[test]
    fn a_digest_of_another_length_and_an_unknown_member_are_refused() {
        let short: Authentication =
            serde_json::from_str(r#"{"method":"client_secret_basic","secret_sha256":"AAAA"}"#)
                .unwrap();
        let error = ClientAuthentication::try_from(short).unwrap_err();
        assert_eq!(error.member, "secret_sha256");
        let more = r#"{"method":"tls_client_auth","name":"dns:a","secret":"x"}"#;
        assert!(serde_json::from_str::<Authentication>(more).is_err());
    }

    #[test]
    fn no_debug_output_shows_the_digest_of_a_secret() {
        let authentication = ClientAuthentication::Secret { sha256: [0; 32] };
        let message = Authentication::from(&authentication);
        assert!(!format!("{message:?}").contains("AAAA"));
    }
}
