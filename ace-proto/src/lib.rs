//! Tokens, keys, scopes and proof of possession of RFC 9431, and the OAuth messages of RFC 9200 around them. Without IO: values and a
//! clock reading in, values out.
//!
//! | module | holds |
//! |---|---|
//! | [`time`] | [`UnixTime`] |
//! | [`key`] | proof-of-possession keys: [`PopKey`] verifies, [`PopSigner`] signs; [`Jwk`] |
//! | [`confirmation`] | the `cnf` claim and parameter |
//! | [`scope`] | AIF-MQTT: which Topic Filters may be published and subscribed to |
//! | [`claims`] | what a token says |
//! | [`jwt`] | tokens as signed JWTs, and the keys of an authorization server |
//! | [`cwt`] | tokens as CWTs, signed or with a MAC |
//! | [`UnsignedToken`] | a token for a key that signs elsewhere |
//! | [`token`] | the one door: verifies a token, whichever of the two it is |
//! | [`jwe`] | a symmetric key under the key that the AS and the RS share |
//! | [`derived_key`] | a symmetric key computed from the token |
//! | [`authentication_data`] | what stands in MQTT's Authentication Data property |
//! | [`token_request`], [`token_response`] | the token endpoint |
//! | [`form`] | parameters of a request as a form |
//! | [`token_hash`] | what a revoked token is called (RFC 9770) |
//! | [`introspection`], [`token_question`] | asking the AS what a token says, and what it is asked |
//! | [`token_hash`] | what a revoked token is called (RFC 9770) |
//! | [`revocation_list`] | the list of them |
//! | [`client_assertion`], [`dpop`] | how a client proves itself and its key to the AS |
//! | [`hint`] | AS Request Creation Hints |

pub mod authentication_data;
mod base64url;
mod cbor;
pub mod claims;
pub mod client_assertion;
pub mod client_secret;
pub mod confirmation;
mod cose;
pub mod cwt;
mod derived_key;
pub mod dpop;
mod encrypted_cose_key;
pub mod form;
pub mod hint;
pub mod identifier;
pub mod introspection;
mod json_object;
pub mod jwe;
mod jws;
pub mod jwt;
pub mod key;
pub mod psk_identity;
pub mod revocation_list;
pub mod scope;
pub mod time;
pub mod token;
pub mod token_hash;
pub mod token_question;
pub mod token_request;
pub mod token_response;
mod unsigned_token;

pub use authentication_data::{ChallengeResponse, ClientNonce, ConnectData, RsNonce};
pub use cbor::MalformedMessage;
pub use claims::{Claims, Lifetimes};
pub use confirmation::Confirmation;
pub use cwt::MacKey;
pub use derived_key::{
    DERIVATION_MARK_LENGTH, DERIVED_KEY_LENGTH, DerivationKey, derivation_mark, derived_key,
};
pub use hint::AsHint;
pub use introspection::{IntrospectionRequest, IntrospectionResponse};
pub use jwt::{KeySet, SigningKey, TokenError, Validation};
pub use key::{Jwk, MalformedCoseKey, PopAlgorithm, PopError, PopKey, PopSigner, SymmetricKey};
pub use scope::{Permission, Scope, ScopeEntry, ScopeError};
pub use time::UnixTime;
pub use token_hash::TokenHash;
pub use token_question::TokenQuestion;
pub use token_request::TokenRequest;
pub use token_response::{ErrorCode, ErrorResponse, TokenResponse};
pub use unsigned_token::{SignedToken, UnsignedToken};

/// The profile's name in `ace_profile` (RFC 9431 §7).
pub const PROFILE: &str = "mqtt_tls";
/// The profile's number in `ace_profile` where the message is CBOR (IANA registry "ACE Profiles").
pub const PROFILE_NUMBER: i64 = 3;
/// The media type of CBOR messages to and from the AS (RFC 9200 §8.16).
pub const CBOR_MEDIA_TYPE: &str = "application/ace+cbor";
/// The MQTT Authentication Method (RFC 9431 §2.2.4.2).
pub const AUTHENTICATION_METHOD: &str = "ace";
/// The TLS exporter label (RFC 9431 §2.2.4.2.1).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-ACE-MQTT-Sign-Challenge";
/// Length of the exporter value, bytes.
pub const EXPORTER_LENGTH: usize = 32;
