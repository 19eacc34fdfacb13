//! Who asks: `client_secret_basic` or `client_secret_post` (RFC 6749 §2.3.1), `private_key_jwt` (RFC 7521, RFC 7523), `tls_client_auth` or
//! `self_signed_tls_client_auth` (RFC 8705), or a raw public key in the TLS handshake (RFC 7250).

use super::certificate::Certificate;
use crate::{
    store::{CertificateName, Client, ClientAuthentication, Registered, ResourceServer, sha256_of},
    tls::{CertificateAuthorities, PeerCertificates},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::hash::{BuildHasher, RandomState};
use subtle::ConstantTimeEq;
use symbolon_ace_proto::{
    ErrorCode, ErrorResponse, PopKey, TokenRequest, UnixTime,
    client_assertion::{self, ASSERTION_TYPE, AssertionError, ClientAssertion},
};

/// What a request authenticates with, by exactly one method.
pub(crate) enum Credentials {
    /// `client_secret_basic` or `client_secret_post`.
    Secret {
        /// Who it claims to be.
        client_id: String,
        /// SHA-256 of the secret.
        sha256: [u8; 32],
    },
    /// `private_key_jwt`.
    Assertion {
        /// Who it claims to be.
        client_id: String,
        /// The JWT.
        assertion: String,
    },
    /// A certificate or a raw public key, whose key the TLS handshake has proved.
    Certificate {
        /// Who it claims to be.
        client_id: String,
        /// The certificate and what came with it.
        certificates: PeerCertificates,
    },
}

/// Who may ask something of an endpoint.
#[derive(Clone, Debug)]
pub(crate) enum Principal {
    /// A client.
    Client(Client),
    /// A resource server.
    ResourceServer(Box<ResourceServer>),
}

impl Principal {
    /// How it authenticates, if it can.
    pub(crate) fn authentication(&self) -> Option<&ClientAuthentication> {
        match self {
            Self::Client(client) => Some(&client.authentication),
            Self::ResourceServer(server) => {
                server.access.as_ref().map(|access| &access.authentication)
            }
        }
    }
}

impl From<&Registered> for Principal {
    fn from(registered: &Registered) -> Self {
        match registered {
            Registered::Client(client) => Self::Client(client.clone()),
            Registered::ResourceServer(server) => Self::ResourceServer(server.clone()),
        }
    }
}

/// A principal that proved who it is.
#[derive(Debug)]
pub(crate) struct Authenticated {
    /// Which.
    pub(crate) principal: Principal,
    /// The assertion and the key that signed it, where it used one.
    pub(crate) assertion: Option<(ClientAssertion, PopKey)>,
}

/// How assertions and certificates are verified.
#[derive(Debug)]
pub(crate) struct AuthenticationRules {
    /// What an assertion may name as its audience: the issuer and the token endpoint.
    pub(crate) audiences: [String; 2],
    /// What assertions of unknown clients are verified with.
    pub(crate) decoys: Decoys,
    /// Whose certificates `tls_client_auth` believes; nobody's where absent.
    pub(crate) certificate_authorities: Option<CertificateAuthorities>,
}

/// Keys that nobody has the private half of. An assertion of an unknown client costs the same time as a forged one of a known client; which
/// algorithm the decoy has is fixed for each name, as it is for real clients.
#[derive(Debug)]
pub(crate) struct Decoys {
    /// One of each algorithm.
    pub(crate) keys: [PopKey; 2],
    /// Its random keys keep the choice unknown outside.
    pub(crate) choice: RandomState,
}

/// Why a client is not authenticated. The log gets the variant; the client gets [`AuthenticationError::response`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum AuthenticationError {
    #[error("no client authentication")]
    None,
    #[error("more than one method of client authentication")]
    Several,
    #[error("a method of client authentication that is not supported")]
    Unsupported,
    #[error("client_secret without client_id")]
    NoClientId,
    #[error("malformed Authorization header")]
    MalformedHeader,
    #[error("client_assertion and client_assertion_type must come together")]
    HalfAssertion,
    #[error("unknown client")]
    UnknownClient,
    #[error("the client is registered for another method")]
    OtherMethod,
    #[error("wrong secret")]
    WrongSecret,
    #[error("{0}")]
    Assertion(AssertionError),
    #[error("the certificate or the raw public key is not the client's")]
    WrongCertificate,
    #[error("replayed assertion")]
    Replayed,
    #[error("client_id is not the authenticated client")]
    ClientIdMismatch,
}

impl AuthenticationError {
    /// What the client is told: from the answer, unknown clients and wrong secrets or keys are the same.
    pub(crate) fn response(self) -> ErrorResponse {
        match self {
            Self::None => {
                ErrorResponse::new(ErrorCode::InvalidClient, "client authentication is missing")
            }
            Self::Unsupported => ErrorResponse::new(
                ErrorCode::InvalidClient,
                "use client_secret_basic, client_secret_post, private_key_jwt, a client certificate or a raw public key",
            ),
            // RFC 6749 §5.2 has several methods as invalid_request, RFC 7521 §4.2.1 as invalid_client; the former rules all methods.
            Self::Several | Self::HalfAssertion | Self::ClientIdMismatch | Self::NoClientId => {
                ErrorResponse::new(ErrorCode::InvalidRequest, &self.to_string())
            }
            Self::MalformedHeader
            | Self::UnknownClient
            | Self::OtherMethod
            | Self::WrongSecret
            | Self::WrongCertificate
            | Self::Assertion(_)
            | Self::Replayed => {
                ErrorResponse::new(ErrorCode::InvalidClient, "client authentication failed")
            }
        }
    }
}

impl Credentials {
    /// Takes them from the Authorization header, the body and the handshake. A certificate counts only where nothing else is there: it may
    /// be shown for its key alone.
    pub(crate) fn parse(
        authorization: Option<&[u8]>,
        request: &TokenRequest,
        certificates: Option<&PeerCertificates>,
    ) -> Result<Self, AuthenticationError> {
        let in_body = request.client_assertion.is_some() || request.client_assertion_type.is_some();
        let named = request.client_id.clone();
        match (authorization, &request.client_secret, in_body) {
            (None, None, false) => match (certificates, named) {
                (Some(certificates), Some(client_id)) => Ok(Self::Certificate {
                    client_id,
                    certificates: certificates.clone(),
                }),
                (None, _) | (_, None) => Err(AuthenticationError::None),
            },
            (None, Some(secret), false) => Ok(Self::Secret {
                client_id: named.ok_or(AuthenticationError::NoClientId)?,
                sha256: sha256_of(secret.as_bytes()),
            }),
            (None, None, true) => Self::from_assertion(request),
            (Some(header), None, false) => Self::from_header(header),
            (Some(_), Some(_), _) | (Some(_), _, true) | (None, Some(_), true) => {
                Err(AuthenticationError::Several)
            }
        }
    }

    /// Who it claims to be: nothing is proved yet.
    pub(crate) fn client_id(&self) -> &str {
        match self {
            Self::Secret { client_id, .. }
            | Self::Assertion { client_id, .. }
            | Self::Certificate { client_id, .. } => client_id,
        }
    }

    /// Checks them against the principal registered under that name, if there is one.
    pub(crate) fn authenticate(
        &self,
        principal: Option<Principal>,
        rules: &AuthenticationRules,
        now: UnixTime,
    ) -> Result<Authenticated, AuthenticationError> {
        let registered = principal.as_ref().and_then(Principal::authentication);
        let assertion = match self {
            Self::Secret { sha256, .. } => {
                check_secret(sha256, registered)?;
                None
            }
            Self::Assertion {
                client_id,
                assertion,
            } => {
                let key = registered.and_then(assertion_key);
                let decoy = rules.decoys.key_for(client_id);
                let audiences = rules.audiences.each_ref().map(String::as_str);
                let used = key.as_ref().unwrap_or(decoy);
                let verified = client_assertion::verify(assertion, used, &audiences, now);
                match (registered, key) {
                    (Some(_), Some(key)) => {
                        Some((verified.map_err(AuthenticationError::Assertion)?, key))
                    }
                    (Some(_), None) => return Err(AuthenticationError::OtherMethod),
                    (None, _) => return Err(AuthenticationError::UnknownClient),
                }
            }
            Self::Certificate { certificates, .. } => {
                check_certificate(certificates, registered, rules, now)?;
                None
            }
        };
        let principal = principal.ok_or(AuthenticationError::UnknownClient)?;
        Ok(Authenticated {
            principal,
            assertion,
        })
    }

    fn from_assertion(request: &TokenRequest) -> Result<Self, AuthenticationError> {
        let (Some(kind), Some(assertion)) =
            (&request.client_assertion_type, &request.client_assertion)
        else {
            return Err(AuthenticationError::HalfAssertion);
        };
        if kind != ASSERTION_TYPE {
            return Err(AuthenticationError::Unsupported);
        }
        Ok(Self::Assertion {
            client_id: client_assertion::claimed_client_id(assertion)
                .map_err(AuthenticationError::Assertion)?,
            assertion: assertion.clone(),
        })
    }

    fn from_header(header: &[u8]) -> Result<Self, AuthenticationError> {
        let (scheme, encoded) = header
            .iter()
            .position(|byte| *byte == b' ')
            .map_or((header, &[][..]), |space| header.split_at(space));
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Err(AuthenticationError::Unsupported);
        }
        let decoded = STANDARD
            .decode(encoded.trim_ascii())
            .map_err(|_| AuthenticationError::MalformedHeader)?;
        let colon = decoded
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(AuthenticationError::MalformedHeader)?;
        let (client_id, secret) = (&decoded[..colon], &decoded[colon + 1..]);
        let client_id = form_url_decode(client_id).and_then(|bytes| String::from_utf8(bytes).ok());
        let secret = form_url_decode(secret).ok_or(AuthenticationError::MalformedHeader)?;
        Ok(Self::Secret {
            client_id: client_id.ok_or(AuthenticationError::MalformedHeader)?,
            sha256: sha256_of(&secret),
        })
    }
}

impl Decoys {
    fn key_for(&self, client_id: &str) -> &PopKey {
        let odd = self.choice.hash_one(client_id) & 1 == 1;
        &self.keys[usize::from(odd)]
    }
}

/// Compares in constant time, and for a client that does not exist or has no secret too.
fn check_secret(
    sha256: &[u8; 32],
    registered: Option<&ClientAuthentication>,
) -> Result<(), AuthenticationError> {
    let (expected, refusal) = match registered {
        Some(ClientAuthentication::Secret { sha256 }) => (*sha256, None),
        Some(
            ClientAuthentication::Key(_)
            | ClientAuthentication::Certificate { .. }
            | ClientAuthentication::RawPublicKey(_)
            | ClientAuthentication::CertificateName(_),
        ) => ([0; 32], Some(AuthenticationError::OtherMethod)),
        None => ([0; 32], Some(AuthenticationError::UnknownClient)),
    };
    let equal = bool::from(expected.ct_eq(sha256));
    match refusal {
        None if equal => Ok(()),
        refusal => Err(refusal.unwrap_or(AuthenticationError::WrongSecret)),
    }
}

/// RFC 8705 §2: the certificate itself, or its name and who vouches for it.
fn check_certificate(
    certificates: &PeerCertificates,
    registered: Option<&ClientAuthentication>,
    rules: &AuthenticationRules,
    now: UnixTime,
) -> Result<(), AuthenticationError> {
    // Before it is known whether it matters, so that the time tells nothing.
    let authorities = rules.certificate_authorities.as_ref();
    let vouched = authorities.is_some_and(|them| them.vouch_for(certificates, now));
    let right = match registered {
        Some(ClientAuthentication::Certificate { sha256 }) => {
            let shown = certificates.end_entity().map(sha256_of);
            shown.is_some_and(|shown| bool::from(sha256.ct_eq(&shown)))
        }
        Some(ClientAuthentication::RawPublicKey(jwk)) => {
            let shown = certificates.raw_public_key();
            shown.is_some() && shown == PopKey::from_jwk(jwk).ok()
        }
        Some(ClientAuthentication::CertificateName(name)) => {
            vouched && is_named(certificates, name)
        }
        Some(ClientAuthentication::Secret { .. } | ClientAuthentication::Key(_)) => {
            return Err(AuthenticationError::OtherMethod);
        }
        None => return Err(AuthenticationError::UnknownClient),
    };
    if right {
        Ok(())
    } else {
        Err(AuthenticationError::WrongCertificate)
    }
}

fn is_named(certificates: &PeerCertificates, name: &CertificateName) -> bool {
    certificates
        .end_entity()
        .and_then(Certificate::parse)
        .is_some_and(|certificate| certificate.is_named(name))
}

fn assertion_key(registered: &ClientAuthentication) -> Option<PopKey> {
    match registered {
        ClientAuthentication::Key(jwk) => PopKey::from_jwk(jwk).ok(),
        ClientAuthentication::Secret { .. }
        | ClientAuthentication::Certificate { .. }
        | ClientAuthentication::RawPublicKey(_)
        | ClientAuthentication::CertificateName(_) => None,
    }
}

/// Decodes application/x-www-form-urlencoded (RFC 6749 Appendix B); `None` where a `%` lacks its two digits.
fn form_url_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            _ => byte,
        });
    }
    Some(decoded)
}

fn hex_digit(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_ace_proto::{PopAlgorithm, PopSigner};

    const NOW: UnixTime = UnixTime(1_000_000);
    const ISSUER: &str = "https://as.example.com";

    fn rules() -> AuthenticationRules {
        let public = |algorithm| PopSigner::generate(algorithm).unwrap().verifying_key();
        AuthenticationRules {
            audiences: [ISSUER.to_owned(), format!("{ISSUER}/token")],
            decoys: Decoys {
                keys: [public(PopAlgorithm::EdDsa), public(PopAlgorithm::Es256)],
                choice: RandomState::new(),
            },
            certificate_authorities: None,
        }
    }

    fn client(authentication: ClientAuthentication) -> Principal {
        Principal::Client(Client {
            client_id: "c".to_owned(),
            authentication,
            pop_algorithm: PopAlgorithm::EdDsa,
            refresh_tokens: false,
        })
    }

    fn basic(text: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    fn by_assertion(assertion: String) -> TokenRequest {
        TokenRequest {
            client_assertion_type: Some(ASSERTION_TYPE.to_owned()),
            client_assertion: Some(assertion),
            ..TokenRequest::default()
        }
    }

    // RFC 6749 §2.3.1 and Appendix B
    #[test]
    fn form_urlencoding_is_taken_off_both_parts() {
        assert_eq!(
            form_url_decode(b"a+b%2Bc%c3%A4").unwrap(),
            "a b+cä".as_bytes()
        );
        for malformed in ["%", "%4", "a%zz", "%+1"] {
            assert_eq!(form_url_decode(malformed.as_bytes()), None, "{malformed}");
        }
        let header = basic("a%3Ab:c:d%20");
        let credentials = Credentials::parse(Some(&header), &TokenRequest::default(), None);
        let Ok(Credentials::Secret { client_id, sha256 }) = credentials else {
            panic!("not a secret")
        };
        assert_eq!(client_id, "a:b");
        assert_eq!(sha256, sha256_of(b"c:d "));
    }

    #[test]
    fn a_secret_is_right_or_wrong() {
        let secret = client(ClientAuthentication::from_secret("s"));
        let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
        let jwk = Box::new(key.verifying_key().to_jwk());
        let other = client(ClientAuthentication::Key(jwk));
        // What a key-only client and an unknown one are compared with must not be a way in.
        let zero = client(ClientAuthentication::Secret { sha256: [0; 32] });
        for (text, client, expected) in [
            ("c:s", Some(secret.clone()), None),
            (
                "c:t",
                Some(secret.clone()),
                Some(AuthenticationError::WrongSecret),
            ),
            ("c:", Some(secret), Some(AuthenticationError::WrongSecret)),
            ("c:s", Some(zero), Some(AuthenticationError::WrongSecret)),
            ("c:s", Some(other), Some(AuthenticationError::OtherMethod)),
            ("c:s", None, Some(AuthenticationError::UnknownClient)),
        ] {
            let header = basic(text);
            let request = TokenRequest::default();
            let credentials = Credentials::parse(Some(&header), &request, None).unwrap();
            assert_eq!(credentials.client_id(), "c");
            let outcome = credentials.authenticate(client, &rules(), NOW);
            assert_eq!(outcome.err(), expected, "{text}");
        }
        let absent = Credentials::Secret {
            client_id: "c".to_owned(),
            sha256: [0; 32],
        };
        let outcome = absent.authenticate(None, &rules(), NOW);
        assert_eq!(outcome.err(), Some(AuthenticationError::UnknownClient));
    }

    // RFC 7523 §3
    #[test]
    fn an_assertion_must_be_signed_by_the_registered_key() {
        let rules = rules();
        let own = PopSigner::generate(PopAlgorithm::Es256).unwrap();
        let stranger = PopSigner::generate(PopAlgorithm::Es256).unwrap();
        let jwk = Box::new(own.verifying_key().to_jwk());
        let registered = client(ClientAuthentication::Key(jwk));
        let signed_by = |signer, client| {
            let assertion = client_assertion::make("c", ISSUER, signer, NOW).unwrap();
            let credentials = Credentials::parse(None, &by_assertion(assertion), None).unwrap();
            credentials.authenticate(client, &rules, NOW)
        };
        let authenticated = signed_by(&own, Some(registered.clone())).ok().unwrap();
        let (assertion, key) = authenticated.assertion.unwrap();
        assert_eq!(assertion.client_id, "c");
        assert_eq!(key, own.verifying_key());
        let forged = signed_by(&stranger, Some(registered)).err().unwrap();
        assert!(matches!(forged, AuthenticationError::Assertion(_)));
        let unknown = signed_by(&own, None).err();
        assert_eq!(unknown, Some(AuthenticationError::UnknownClient));
        let secret = client(ClientAuthentication::from_secret("s"));
        let other = signed_by(&own, Some(secret)).err();
        assert_eq!(other, Some(AuthenticationError::OtherMethod));
    }

    #[test]
    fn a_decoy_is_the_same_each_time_and_not_the_same_for_all() {
        let decoys = rules().decoys;
        let keys: Vec<&PopKey> = (0..100)
            .map(|number| decoys.key_for(&format!("c{number}")))
            .collect();
        assert!(decoys.keys.iter().all(|key| keys.contains(&key)));
        assert_eq!(decoys.key_for("c0"), keys[0]);
    }

    // RFC 8705 §2.2
    #[test]
    fn a_certificate_is_the_registered_one_or_another() {
        let of = |der: &[u8]| PeerCertificates::from_end_entity(der.to_vec());
        let registered = client(ClientAuthentication::Certificate {
            sha256: sha256_of(b"own"),
        });
        let request = TokenRequest {
            client_id: Some("c".to_owned()),
            ..TokenRequest::default()
        };
        let secret = client(ClientAuthentication::from_secret("s"));
        for (shown, principal, expected) in [
            (of(b"own"), Some(registered.clone()), None),
            (
                of(b"other"),
                Some(registered),
                Some(AuthenticationError::WrongCertificate),
            ),
            (
                of(b"own"),
                Some(secret),
                Some(AuthenticationError::OtherMethod),
            ),
            (of(b"own"), None, Some(AuthenticationError::UnknownClient)),
        ] {
            let credentials = Credentials::parse(None, &request, Some(&shown)).unwrap();
            let outcome = credentials.authenticate(principal, &rules(), NOW);
            assert_eq!(outcome.err(), expected);
        }
        let nameless = Credentials::parse(None, &TokenRequest::default(), Some(&of(b"own")));
        assert_eq!(nameless.err(), Some(AuthenticationError::None));
    }

    // RFC 6749 §5.2
    #[test]
    fn nothing_in_the_answer_tells_why_credentials_are_wrong() {
        let wrong = [
            AuthenticationError::MalformedHeader,
            AuthenticationError::UnknownClient,
            AuthenticationError::OtherMethod,
            AuthenticationError::WrongSecret,
            AuthenticationError::WrongCertificate,
            AuthenticationError::Replayed,
            AuthenticationError::Assertion(AssertionError("expired")),
        ];
        for error in wrong {
            assert_eq!(error.response(), wrong[0].response());
            assert_eq!(error.response().code, ErrorCode::InvalidClient);
        }
    }
}
