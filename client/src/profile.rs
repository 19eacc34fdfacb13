//! A device profile: one JSON object, stable, documented in `docs/profile.md`.

use crate::{Mode, token::Encoding};
use std::fmt;
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopKey, PopSigner, Scope};
use symbolon_mqtt_proto::ProtocolVersion;

/// The port of MQTT over TLS where [`Profile::broker`] names none.
pub const DEFAULT_PORT: u16 = 8883;

/// What a device needs to know to get a token and connect.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Profile {
    /// The client identifier at the AS, also its MQTT Client Identifier.
    pub client_id: String,
    /// The AS's issuer identifier. Empty together with the next one: the broker has to be asked for both.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// The AS's token endpoint, an `https` URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token_endpoint: String,
    /// The broker, `mqtts://host:port`.
    pub broker: String,
    /// The broker's audience; may be empty where the broker has to be asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub audience: String,
    /// The CA that AS and broker are checked against, PEM text.
    pub ca: String,
    /// How it authenticates to the AS.
    pub client_auth: ClientAuth,
    /// Its proof-of-possession key.
    pub pop: Pop,
    /// The AIF array it may ask for: `[["topic", ["pub", "sub"]]]`.
    pub scope: serde_json::Value,
    /// How it says to the broker who it is; the client chooses where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Mode>,
    /// What it speaks with the AS; JSON where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}

/// How a device authenticates to the AS. `Debug` shows no secret.
#[derive(Clone, serde::Deserialize, serde::Serialize)]
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
    /// A raw public key in the TLS handshake (RFC 7250). No standard has a name for it.
    #[serde(rename = "symbolon_rpk")]
    RawPublicKey {
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

/// Why a text is no profile. Never shows a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Not JSON, or a member is missing or of the wrong type; where and what.
    #[error("line {line}, column {column}: {problem}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What.
        problem: String,
    },
    /// A member has a value that cannot be; which, and what it should be.
    #[error("{member}: {problem}")]
    Member {
        /// Its name, `a.b` for a nested one.
        member: &'static str,
        /// What it should be.
        problem: String,
    },
}

impl Profile {
    /// Reads a profile and checks every member. Members it does not know are ignored.
    pub fn from_json(json: &str) -> Result<Self, ProfileError> {
        let profile: Self =
            serde_json::from_str(json).map_err(|error| ProfileError::from_serde(&error))?;
        profile.check()?;
        Ok(profile)
    }

    /// As JSON for a file; it contains the device's secrets.
    #[expect(
        clippy::missing_panics_doc,
        reason = "nothing in a profile can fail to serialise"
    )]
    pub fn to_json_pretty(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and JSON values always serialise")
    }

    /// Host and port of the broker; a host that is an IPv6 address comes without its brackets.
    pub fn broker_address(&self) -> Result<(&str, u16), ProfileError> {
        parse_broker(&self.broker).ok_or_else(|| {
            member(
                "broker",
                "must be mqtts://host or mqtts://host:port, and nothing behind it",
            )
        })
    }

    /// The scope it may ask for.
    pub fn parsed_scope(&self) -> Result<Scope, ProfileError> {
        Scope::from_json(&self.scope.to_string()).map_err(|error| member("scope", &error))
    }

    /// How it proves possession.
    pub fn pop_algorithm(&self) -> Result<PopAlgorithm, ProfileError> {
        match self.pop.alg.as_str() {
            "HS256" => Ok(PopAlgorithm::Hs256),
            "EdDSA" => Ok(PopAlgorithm::EdDsa),
            "ES256" => Ok(PopAlgorithm::Es256),
            _ => Err(member("pop.alg", "must be HS256, EdDSA or ES256")),
        }
    }

    /// The key that proves possession; `None` where the AS makes it with each token.
    pub fn pop_signer(&self) -> Result<Option<PopSigner>, ProfileError> {
        let algorithm = self.pop_algorithm()?;
        match (&self.pop.jwk, algorithm) {
            (None, PopAlgorithm::Hs256) => Ok(None),
            (Some(_), PopAlgorithm::Hs256) => Err(member(
                "pop.jwk",
                "must be absent for HS256: the authorization server makes the key",
            )),
            (None, PopAlgorithm::EdDsa | PopAlgorithm::Es256) => Err(member(
                "pop.jwk",
                "is missing: EdDSA and ES256 need a private key",
            )),
            (Some(jwk), PopAlgorithm::EdDsa | PopAlgorithm::Es256) => {
                let signer = private_key("pop.jwk", jwk)?;
                if signer.algorithm() != algorithm {
                    return Err(member("pop.jwk", "is not a key for pop.alg"));
                }
                Ok(Some(signer))
            }
        }
    }

    /// The key that signs client assertions; `None` where the device authenticates in another way.
    pub fn assertion_signer(&self) -> Result<Option<PopSigner>, ProfileError> {
        match &self.client_auth {
            ClientAuth::Secret { .. } | ClientAuth::RawPublicKey { .. } => Ok(None),
            ClientAuth::Key { jwk } => authentication_key(jwk).map(Some),
        }
    }

    /// The key that is shown to the AS as a raw public key; `None` where the device authenticates in another way.
    pub fn raw_key_signer(&self) -> Result<Option<PopSigner>, ProfileError> {
        match &self.client_auth {
            ClientAuth::Secret { .. } | ClientAuth::Key { .. } => Ok(None),
            ClientAuth::RawPublicKey { jwk } => authentication_key(jwk).map(Some),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        if self.client_id.is_empty() {
            return Err(member("client_id", "must not be empty"));
        }
        // Without both, the broker is asked for them.
        if !(self.issuer.is_empty() && self.token_endpoint.is_empty()) {
            for (name, value) in [("issuer", &self.issuer), ("audience", &self.audience)] {
                if value.is_empty() {
                    return Err(member(name, "must not be empty"));
                }
            }
            if !self.token_endpoint.starts_with("https://") {
                return Err(member("token_endpoint", "must be an https URL"));
            }
        }
        if !self.ca.contains("-----BEGIN CERTIFICATE-----") {
            return Err(member(
                "ca",
                "must be the text of a PEM file with certificates",
            ));
        }
        if let ClientAuth::Secret { secret } = &self.client_auth
            && secret.is_empty()
        {
            return Err(member("client_auth.secret", "must not be empty"));
        }
        self.broker_address()?;
        self.parsed_scope()?;
        self.pop_signer()?;
        self.assertion_signer()?;
        self.raw_key_signer()?;
        self.check_auth()
    }

    /// A mode that no version of MQTT makes possible with this key.
    fn check_auth(&self) -> Result<(), ProfileError> {
        let Some(mode) = self.auth else {
            return Ok(());
        };
        let version = match mode {
            Mode::V311 => ProtocolVersion::V311,
            Mode::Anon
            | Mode::Exporter
            | Mode::Challenge
            | Mode::Rpk
            | Mode::PskToken
            | Mode::PskKid => ProtocolVersion::V5,
        };
        mode.check(version, self.pop_algorithm()?)
            .map_err(|error| member("auth", &error))
    }
}

fn member(member: &'static str, problem: &(impl ToString + ?Sized)) -> ProfileError {
    ProfileError::Member {
        member,
        problem: problem.to_string(),
    }
}

fn private_key(name: &'static str, jwk: &Jwk) -> Result<PopSigner, ProfileError> {
    PopSigner::from_jwk(jwk).map_err(|_error| {
        let problem = if PopKey::from_jwk(jwk).is_ok() {
            "is a public key; the private one is needed"
        } else {
            "is not an Ed25519 or P-256 private key"
        };
        member(name, problem)
    })
}

fn authentication_key(jwk: &Jwk) -> Result<PopSigner, ProfileError> {
    let signer = private_key("client_auth.jwk", jwk)?;
    if signer.algorithm() == PopAlgorithm::Hs256 {
        return Err(member("client_auth.jwk", "must be an asymmetric key"));
    }
    Ok(signer)
}

fn parse_broker(url: &str) -> Option<(&str, u16)> {
    let authority = url.strip_prefix("mqtts://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains(['/', '?', '#', '@']) {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return None,
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        // parse() would take "+1" too.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
        None => DEFAULT_PORT,
    };
    (!host.is_empty() && port != 0).then_some((host, port))
}

impl ProfileError {
    /// serde quotes the value it did not expect, and here that may be a secret in the wrong place: only what was expected is told.
    fn from_serde(error: &serde_json::Error) -> Self {
        let message = error.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(before, _)| before);
        let quotes_a_value =
            message.starts_with("invalid type") || message.starts_with("invalid value");
        let problem = match message.rsplit_once(", expected ") {
            Some((_, expected)) if quotes_a_value => format!("expected {expected}"),
            None if quotes_a_value => "value of the wrong type".to_owned(),
            Some(_) | None => message.to_owned(),
        };
        Self::Json {
            line: error.line(),
            column: error.column(),
            problem,
        }
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { .. } => f.write_str("Secret(..)"),
            Self::Key { jwk } => f.debug_struct("Key").field("jwk", jwk).finish(),
            Self::RawPublicKey { jwk } => f.debug_struct("RawPublicKey").field("jwk", jwk).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn profile_json() -> Value {
        let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap().to_jwk();
        json!({
            "client_id": "sensor-1",
            "issuer": "https://as.example",
            "token_endpoint": "https://as.example:8443/token",
            "broker": "mqtts://broker.example:8884",
            "audience": "broker",
            "ca": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
            "client_auth": {"method": "client_secret_basic", "secret": "very-secret"},
            "pop": {"alg": "EdDSA", "jwk": key},
            "scope": [["sensors/1/#", ["pub", "sub"]]],
        })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<Profile, ProfileError> {
        let mut json = profile_json();
        change(&mut json);
        Profile::from_json(&json.to_string())
    }

    fn wrong_member(change: impl FnOnce(&mut Value)) -> &'static str {
        match with(change) {
            Err(ProfileError::Member { member, .. }) => member,
            other => panic!("a wrong member, not {other:?}"),
        }
    }

    #[test]
    fn a_profile_survives_its_file() {
        let profile = with(|_| {}).unwrap();
        let again = Profile::from_json(&profile.to_json_pretty()).unwrap();
        assert_eq!(again.to_json_pretty(), profile.to_json_pretty());
        assert_eq!(again.client_id, "sensor-1");
        assert_eq!(again.parsed_scope().unwrap().entries().len(), 1);
        assert!(again.pop_signer().unwrap().is_some());
        assert!(again.assertion_signer().unwrap().is_none());
    }

    #[test]
    fn members_it_does_not_know_are_ignored() {
        with(|json| json["note"] = "later versions".into()).unwrap();
    }

    #[test]
    fn the_broker_is_a_host_and_maybe_a_port() {
        for (url, expected) in [
            ("mqtts://b.example:8884", Some(("b.example", 8884))),
            ("mqtts://b.example", Some(("b.example", 8883))),
            ("mqtts://b.example/", Some(("b.example", 8883))),
            ("mqtts://192.0.2.1:1", Some(("192.0.2.1", 1))),
            ("mqtts://[2001:db8::1]:8884", Some(("2001:db8::1", 8884))),
            ("mqtts://[2001:db8::1]", Some(("2001:db8::1", 8883))),
            ("mqtt://b.example", None),
            ("mqtts://", None),
            ("mqtts://:8883", None),
            ("mqtts://b.example:0", None),
            ("mqtts://b.example:+1", None),
            ("mqtts://b.example:", None),
            ("mqtts://b.example:65536", None),
            ("mqtts://b.example/topic", None),
            ("mqtts://me@b.example", None),
            ("mqtts://[2001:db8::1]8884", None),
        ] {
            assert_eq!(parse_broker(url), expected, "{url}");
        }
        assert_eq!(
            wrong_member(|json| json["broker"] = "b.example:8883".into()),
            "broker"
        );
    }

    #[test]
    fn a_wrong_member_is_named() {
        let hs256 = PopSigner::generate(PopAlgorithm::Hs256).unwrap().to_jwk();
        let es256 = PopSigner::generate(PopAlgorithm::Es256).unwrap();
        let public = es256.verifying_key().to_jwk();
        let es256 = es256.to_jwk();
        for (change, member) in [
            (json!({"client_id": ""}), "client_id"),
            (json!({"issuer": ""}), "issuer"),
            (json!({"audience": ""}), "audience"),
            (
                json!({"token_endpoint": "http://as.example/token"}),
                "token_endpoint",
            ),
            (json!({"ca": "ca.pem"}), "ca"),
            (json!({"scope": [["a/#/b", ["pub"]]]}), "scope"),
            (json!({"scope": "a"}), "scope"),
            (json!({"pop": {"alg": "RS256"}}), "pop.alg"),
            (json!({"pop": {"alg": "EdDSA"}}), "pop.jwk"),
            (json!({"pop": {"alg": "EdDSA", "jwk": es256}}), "pop.jwk"),
            (json!({"pop": {"alg": "ES256", "jwk": public}}), "pop.jwk"),
            (json!({"pop": {"alg": "HS256", "jwk": hs256}}), "pop.jwk"),
            (
                json!({"client_auth": {"method": "client_secret_basic", "secret": ""}}),
                "client_auth.secret",
            ),
            (
                json!({"client_auth": {"method": "private_key_jwt", "jwk": hs256}}),
                "client_auth.jwk",
            ),
            (
                json!({"client_auth": {"method": "symbolon_rpk", "jwk": public}}),
                "client_auth.jwk",
            ),
        ] {
            let (name, value) = change.as_object().unwrap().iter().next().unwrap();
            assert_eq!(wrong_member(|json| json[name] = value.clone()), member);
        }
    }

    #[test]
    fn a_public_key_is_told_from_a_wrong_one() {
        let signer = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
        let public = serde_json::to_value(signer.verifying_key().to_jwk()).unwrap();
        let error = with(|json| json["pop"]["jwk"] = public).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pop.jwk: is a public key; the private one is needed"
        );
    }

    #[test]
    fn the_authorization_server_may_make_the_key() {
        let profile = with(|json| json["pop"] = json!({"alg": "HS256"})).unwrap();
        assert!(profile.pop_signer().unwrap().is_none());
    }

    #[test]
    fn what_is_missing_is_told_with_its_place() {
        let error = with(|json| {
            json.as_object_mut().unwrap().remove("broker");
        });
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("line 1, column "), "{error}");
        assert!(error.ends_with(": missing field `broker`"), "{error}");
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        for error in [
            with(|json| json["pop"]["jwk"] = "very-secret".into()),
            with(|json| json["client_auth"] = "very-secret".into()),
            with(|json| json["client_auth"]["secret"] = json!(["very-secret"])),
            with(|json| json["scope"] = "very-secret".into()),
        ] {
            let error = error.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("very-secret"));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let profile = with(|_| {}).unwrap();
        let shown = format!("{profile:?}");
        assert!(!shown.contains("very-secret"), "{shown}");
        let key = serde_json::to_value(profile.pop.jwk.as_ref().unwrap()).unwrap();
        assert!(!shown.contains(key["d"].as_str().unwrap()), "{shown}");
    }
}
