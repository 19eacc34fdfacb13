//! A device registers itself with a one-time code (RFC 7591). Its keys are made here, and the private ones go nowhere but into its profile.

use crate::{
    Profile,
    discovery::{self, DiscoveryError},
    profile::{ClientAuth, Pop, ProfileError},
};
use symbolon_ace_proto::{PopAlgorithm, PopError, PopSigner, Scope};
use symbolon_tls::https::{HttpsClient, HttpsRequest, Method};

/// The longest text of an authorization server that is shown to people, characters.
const SHOWN_CHARACTERS: usize = 300;

/// What a device needs to know to register itself. It has no `Debug`: the code is a secret.
#[derive(Clone, Copy)]
pub struct Enrolment<'a> {
    /// The authorization server's issuer identifier.
    pub issuer: &'a str,
    /// The CA that the authorization server, and later the broker, is checked against, PEM text.
    pub ca: &'a str,
    /// The code, or another initial access token.
    pub code: &'a str,
    /// How the device will authenticate.
    pub method: EnrolmentMethod,
    /// What will prove possession of its tokens. One key pair serves both purposes where it can.
    pub pop: PopAlgorithm,
}

/// How a device that registers itself authenticates from then on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EnrolmentMethod {
    /// `private_key_jwt`.
    #[default]
    Assertion,
    /// A raw public key in the TLS handshake, `symbolon_rpk`.
    RawPublicKey,
}

/// Why a device is not registered. One line each, for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// The authorization server cannot be reached, or is not what it should be.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// Devices do not register themselves there.
    #[error("the authorization server {0} lets nobody register")]
    NotOffered(String),
    /// It refuses. The words are the server's, and plain ASCII.
    #[error("the authorization server refuses: {0}")]
    Refused(String),
    /// It answers something that is no registration. If it registered the device, the code is used up.
    #[error("the authorization server's answer is not understood: {0}")]
    Answer(String),
    /// The answer makes no profile. The device is registered, and the code is used up.
    #[error("the registration makes no profile: {0}")]
    Profile(#[from] ProfileError),
    /// The system's source of random numbers failed, or the cryptographic library.
    #[error("cannot make a key: {0}")]
    Key(#[from] PopError),
}

/// What of the answer is needed (RFC 7591 §3.2.1).
#[derive(serde::Deserialize)]
struct Registered {
    client_id: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    symbolon_audience: String,
    #[serde(default)]
    symbolon_broker: String,
}

/// RFC 7591 §3.2.2.
#[derive(serde::Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Makes the device's keys, registers it, and says what it needs to know from then on. The code is used up, also where the profile then is
/// lost: whoever calls this makes sure before that it can be kept.
pub async fn enrol(enrolment: Enrolment<'_>) -> Result<Profile, EnrolmentError> {
    let metadata = discovery::of_issuer(enrolment.ca, enrolment.issuer).await?;
    let endpoint = (metadata.registration_endpoint.as_deref())
        .filter(|endpoint| endpoint.starts_with("https://"))
        .ok_or_else(|| EnrolmentError::NotOffered(metadata.issuer.clone()))?;
    let keys = Keys::make(enrolment.pop)?;
    let client = HttpsClient::new(enrolment.ca)
        .map_err(|error| DiscoveryError::Authorities(error.to_string()))?;
    let response = client
        .send(HttpsRequest {
            method: Method::POST,
            url: endpoint.to_owned(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("accept", "application/json".to_owned()),
                ("authorization", format!("Bearer {}", enrolment.code)),
            ],
            body: request(&keys, enrolment).to_string().into_bytes(),
        })
        .await
        .map_err(|error| DiscoveryError::Unreachable(error.to_string()))?;
    if response.status != 201 {
        return Err(refusal(response.status, &response.body));
    }
    // serde might quote the answer, and the answer holds a secret.
    let registered: Registered = serde_json::from_slice(&response.body)
        .map_err(|_| EnrolmentError::Answer("it is no registration".to_owned()))?;
    profile(registered, &metadata, &keys, enrolment)
}

/// One key pair, or two where the authorization server makes the key that proves possession.
struct Keys {
    authentication: PopSigner,
    pop: PopAlgorithm,
}

impl Keys {
    fn make(pop: PopAlgorithm) -> Result<Self, PopError> {
        let authentication = PopSigner::generate(match pop {
            PopAlgorithm::Es256 => PopAlgorithm::Es256,
            PopAlgorithm::EdDsa | PopAlgorithm::Hs256 => PopAlgorithm::EdDsa,
        })?;
        Ok(Self {
            authentication,
            pop,
        })
    }
}

impl EnrolmentMethod {
    fn as_str(self) -> &'static str {
        match self {
            Self::Assertion => "private_key_jwt",
            Self::RawPublicKey => "symbolon_rpk",
        }
    }
}

fn request(keys: &Keys, enrolment: Enrolment<'_>) -> serde_json::Value {
    serde_json::json!({
        "token_endpoint_auth_method": enrolment.method.as_str(),
        "jwks": { "keys": [keys.authentication.verifying_key().to_jwk()] },
        "grant_types": ["client_credentials", "refresh_token"],
        "symbolon_pop_alg": keys.pop.as_str(),
        "software_id": "symbolon",
        "software_version": env!("CARGO_PKG_VERSION"),
    })
}

fn profile(
    registered: Registered,
    metadata: &discovery::Metadata,
    keys: &Keys,
    enrolment: Enrolment<'_>,
) -> Result<Profile, EnrolmentError> {
    let scope = Scope::from_base64url(&registered.scope)
        .map_err(|_| EnrolmentError::Answer("its scope is none of RFC 9431".to_owned()))?;
    let scope = serde_json::from_str(&scope.to_json())
        .map_err(|_| EnrolmentError::Answer("its scope is no JSON".to_owned()))?;
    let jwk = Box::new(keys.authentication.to_jwk());
    let pop = Pop {
        alg: keys.pop.as_str().to_owned(),
        jwk: match keys.pop {
            PopAlgorithm::Hs256 => None,
            PopAlgorithm::EdDsa | PopAlgorithm::Es256 => Some(jwk.clone()),
        },
    };
    let profile = Profile {
        client_id: registered.client_id,
        issuer: metadata.issuer.clone(),
        token_endpoint: metadata.token_endpoint.clone(),
        broker: registered.symbolon_broker,
        audience: registered.symbolon_audience,
        ca: enrolment.ca.to_owned(),
        client_auth: match enrolment.method {
            EnrolmentMethod::Assertion => ClientAuth::Key { jwk },
            EnrolmentMethod::RawPublicKey => ClientAuth::RawPublicKey { jwk },
        },
        pop,
        scope,
        auth: None,
        encoding: None,
    };
    profile.check()?;
    Ok(profile)
}

fn refusal(status: u16, body: &[u8]) -> EnrolmentError {
    let Ok(refused) = serde_json::from_slice::<Refused>(body) else {
        return EnrolmentError::Answer(format!("HTTP status {status}"));
    };
    let text = match refused.error_description.as_str() {
        "" => refused.error,
        description => format!("{}: {description}", refused.error),
    };
    // It goes to a terminal.
    let plain = |char: char| matches!(char, ' '..='~');
    let text = text.chars().filter(|char| plain(*char));
    EnrolmentError::Refused(text.take(SHOWN_CHARACTERS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrolment(method: EnrolmentMethod, pop: PopAlgorithm) -> Enrolment<'static> {
        Enrolment {
            issuer: "https://as.example",
            ca: "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
            code: "sym_code",
            method,
            pop,
        }
    }

    fn metadata() -> discovery::Metadata {
        discovery::Metadata {
            issuer: "https://as.example".to_owned(),
            token_endpoint: "https://as.example/token".to_owned(),
            registration_endpoint: Some("https://as.example/register".to_owned()),
        }
    }

    fn registered(broker: &str) -> Registered {
        Registered {
            client_id: "meter".to_owned(),
            scope: Scope::from_json(r#"[["a",["pub"]]]"#)
                .unwrap()
                .to_base64url(),
            symbolon_audience: "broker".to_owned(),
            symbolon_broker: broker.to_owned(),
        }
    }

    #[test]
    fn no_private_key_is_sent_and_the_profile_has_it() {
        for pop in [
            PopAlgorithm::EdDsa,
            PopAlgorithm::Es256,
            PopAlgorithm::Hs256,
        ] {
            let enrolment = enrolment(EnrolmentMethod::Assertion, pop);
            let keys = Keys::make(pop).unwrap();
            let private = serde_json::to_value(keys.authentication.to_jwk()).unwrap();
            let private = private["d"].as_str().unwrap().to_owned();
            let sent = request(&keys, enrolment).to_string();
            assert!(!sent.contains(&private) && !sent.contains("sym_code"));
            let registered = registered("mqtts://broker.example");
            let profile = profile(registered, &metadata(), &keys, enrolment).unwrap();
            assert!(profile.to_json_pretty().contains(&private));
            assert_eq!(profile.pop_algorithm().unwrap(), pop);
        }
    }

    #[test]
    fn an_answer_without_a_broker_makes_no_profile() {
        let enrolment = enrolment(EnrolmentMethod::RawPublicKey, PopAlgorithm::EdDsa);
        let keys = Keys::make(PopAlgorithm::EdDsa).unwrap();
        let refused = profile(registered(""), &metadata(), &keys, enrolment);
        assert!(matches!(refused, Err(EnrolmentError::Profile(_))));
    }

    #[test]
    fn a_refusal_is_told_without_what_moves_a_terminal() {
        let body = r#"{"error":"invalid_token","error_description":"no\u001b[2J"}"#;
        let told = refusal(401, body.as_bytes()).to_string();
        assert_eq!(
            told,
            "the authorization server refuses: invalid_token: no[2J"
        );
        let told = refusal(502, b"<html>").to_string();
        assert!(told.ends_with("HTTP status 502"), "{told}");
    }
}
