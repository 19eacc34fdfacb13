//! Who the broker is at an authorization server, and how it proves that: for introspection and for the list of revoked tokens.

use crate::config::IntrospectionCredential;
use std::fmt;
use symbolon_ace_proto::{
    Jwk, PopAlgorithm, PopSigner, UnixTime, client_assertion, client_assertion::AssertionError,
    client_secret,
};
use zeroize::Zeroizing;

/// The broker's name at an authorization server, with what proves it, ready for use.
pub(crate) struct Credential {
    client_id: String,
    /// The authorization server: the audience of assertions.
    issuer: String,
    proof: Proof,
}

enum Proof {
    Secret(Zeroizing<String>),
    Key(PopSigner),
}

/// What a request carries to be known as the broker's.
#[derive(Default)]
pub(crate) struct Introduction {
    /// The value of `authorization`.
    pub(crate) authorization: Option<Zeroizing<String>>,
    /// Parameters of the form.
    pub(crate) parameters: Vec<(&'static str, String)>,
}

impl Credential {
    /// Fails with a sentence that says what of the configuration is wrong.
    pub(crate) fn new(
        client_id: &str,
        issuer: &str,
        credential: &IntrospectionCredential,
    ) -> Result<Self, String> {
        let proof = match credential {
            IntrospectionCredential::Secret(secret) => {
                Proof::Secret(Zeroizing::new(secret.clone()))
            }
            IntrospectionCredential::Key(jwk) => {
                let jwk = Jwk::from_json(jwk.as_bytes());
                let signer = jwk.ok().and_then(|jwk| PopSigner::from_jwk(&jwk).ok());
                let usable = signer.filter(|signer| signer.algorithm() != PopAlgorithm::Hs256);
                Proof::Key(usable.ok_or_else(|| {
                    "the broker's key at the authorization server: not a private JWK for Ed25519 or P-256"
                        .to_owned()
                })?)
            }
        };
        Ok(Self {
            client_id: client_id.to_owned(),
            issuer: issuer.to_owned(),
            proof,
        })
    }

    /// For one request. An assertion is good for one alone.
    pub(crate) fn introduce(&self, now: UnixTime) -> Result<Introduction, AssertionError> {
        Ok(match &self.proof {
            Proof::Secret(secret) => Introduction {
                authorization: Some(client_secret::basic(&self.client_id, secret)),
                ..Introduction::default()
            },
            Proof::Key(signer) => {
                let assertion = client_assertion::make(&self.client_id, &self.issuer, signer, now)?;
                Introduction {
                    parameters: vec![
                        ("client_id", self.client_id.clone()),
                        (
                            "client_assertion_type",
                            client_assertion::ASSERTION_TYPE.to_owned(),
                        ),
                        ("client_assertion", assertion),
                    ],
                    ..Introduction::default()
                }
            }
        })
    }
}

impl Introduction {
    /// The header, if any.
    pub(crate) fn authorization_header(&self) -> Option<(&'static str, String)> {
        let value = self.authorization.as_ref()?;
        Some(("authorization", value.to_string()))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
