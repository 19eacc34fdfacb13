//! Who the client is: `client_secret_basic` (RFC 6749 §2.3.1) or `private_key_jwt` (RFC 7521, RFC 7523).

use crate::store::{Client, ClientAuthentication, sha256_of};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::hash::{BuildHasher, RandomState};
use subtle::ConstantTimeEq;
use symbolon_ace_proto::{
    ErrorCode, ErrorResponse, PopKey, TokenRequest, UnixTime,
    client_assertion::{self, ASSERTION_TYPE, AssertionError, ClientAssertion},
};

/// What a request authenticates with, by exactly one method.
pub(crate) enum Credentials {
    /// `client_secret_basic`.
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
}

/// A client that proved who it is.
pub(crate) struct Authenticated {
    /// Which.
    pub(crate) client: Client,
    /// The assertion and the key that signed it, where it used one.
    pub(crate) assertion: Option<(ClientAssertion, PopKey)>,
}

/// How assertions are verified.
#[derive(Debug)]
pub(crate) struct AssertionRules {
    /// What an assertion may name as its audience: the issuer and the token endpoint.
    pub(crate) audiences: [String; 2],
    /// What assertions of unknown clients are verified with.
    pub(crate) decoys: Decoys,
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
    #[error("malformed Authorization header")]
    MalformedHeader,
    #[error("client_assertion and client_assertion_type must come together")]
    HalfAssertion,
    #[error("unknown client")]
    UnknownClient,
    #[error("the client is registered for the other method")]
    OtherMethod,
    #[error("wrong secret")]
    WrongSecret,
    #[error("{0}")]
    Assertion(AssertionError),
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
                "use client_secret_basic or private_key_jwt",
            ),
            // RFC 6749 §5.2 has several methods as invalid_request, RFC 7521 §4.2.1 as invalid_client; the former rules all methods.
            Self::Several | Self::HalfAssertion | Self::ClientIdMismatch => {
                ErrorResponse::new(ErrorCode::InvalidRequest, &self.to_string())
            }
            Self::MalformedHeader
            | Self::UnknownClient
            | Self::OtherMethod
            | Self::WrongSecret
            | Self::Assertion(_)
            | Self::Replayed => {
                ErrorResponse::new(ErrorCode::InvalidClient, "client authentication failed")
            }
        }
    }
}

impl Credentials {
    /// Takes them from the Authorization header and the body.
    pub(crate) fn parse(
        authorization: Option<&[u8]>,
        request: &TokenRequest,
    ) -> Result<Self, AuthenticationError> {
        let in_body = request.client_assertion.is_some() || request.client_assertion_type.is_some();
        match (authorization, &request.client_secret, in_body) {
            (None, None, false) => Err(AuthenticationError::None),
            // client_secret_post, which RFC 6749 §2.3.1 does not recommend.
            (None, Some(_), false) => Err(AuthenticationError::Unsupported),
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
            Self::Secret { client_id, .. } | Self::Assertion { client_id, .. } => client_id,
        }
    }

    /// Checks them against the registered client of that name, if there is one.
    pub(crate) fn authenticate(
        &self,
        client: Option<Client>,
        rules: &AssertionRules,
        now: UnixTime,
    ) -> Result<Authenticated, AuthenticationError> {
        match self {
            Self::Secret { sha256, .. } => authenticate_secret(sha256, client),
            Self::Assertion {
                client_id,
                assertion,
            } => {
                let key = client.as_ref().and_then(assertion_key);
                let decoy = rules.decoys.key_for(client_id);
                let audiences = rules.audiences.each_ref().map(String::as_str);
                let used = key.as_ref().unwrap_or(decoy);
                let verified = client_assertion::verify(assertion, used, &audiences, now);
                match (client, key) {
                    (Some(client), Some(key)) => Ok(Authenticated {
                        client,
                        assertion: Some((verified.map_err(AuthenticationError::Assertion)?, key)),
                    }),
                    (Some(_), None) => Err(AuthenticationError::OtherMethod),
                    (None, _) => Err(AuthenticationError::UnknownClient),
                }
            }
        }
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
fn authenticate_secret(
    sha256: &[u8; 32],
    client: Option<Client>,
) -> Result<Authenticated, AuthenticationError> {
    let (expected, refusal) = match client.as_ref().map(|client| &client.authentication) {
        Some(ClientAuthentication::Secret { sha256 }) => (*sha256, None),
        Some(ClientAuthentication::Key(_)) => ([0; 32], Some(AuthenticationError::OtherMethod)),
        None => ([0; 32], Some(AuthenticationError::UnknownClient)),
    };
    let equal = bool::from(expected.ct_eq(sha256));
    match (client, refusal) {
        (Some(client), None) if equal => Ok(Authenticated {
            client,
            assertion: None,
        }),
        (_, refusal) => Err(refusal.unwrap_or(AuthenticationError::WrongSecret)),
    }
}

fn assertion_key(client: &Client) -> Option<PopKey> {
    match &client.authentication {
        ClientAuthentication::Key(jwk) => PopKey::from_jwk(jwk).ok(),
        ClientAuthentication::Secret { .. } => None,
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
