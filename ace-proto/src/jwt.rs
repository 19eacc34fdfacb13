//! Tokens as JWTs (RFC 7519, RFC 8725), signed with EdDSA or ES256 or protected by HS256, and the key sets that verify them (RFC 7517).

mod key_set;
mod signing_key;

pub use key_set::KeySet;
pub use signing_key::{SigningAlgorithm, SigningKey};

use crate::{
    Claims, Confirmation, PopAlgorithm, ScopeError, UnixTime,
    claims::{Expected, Lifetimes},
    json_object::{Members, Text},
    jws::{Compact, Malformed},
};

/// The longest token accepted, bytes: what MQTT Binary Data can hold.
pub const MAX_TOKEN_LENGTH: usize = 65_535;

/// What `typ` may be where it is present: ours, and the general one that other servers write.
const ACCEPTED_TYPES: [&str; 2] = ["at+jwt", "JWT"];

/// What a token must fit.
#[derive(Clone, Copy, Debug)]
pub struct Validation<'a> {
    /// The keys of the authorization server.
    pub keys: &'a KeySet,
    /// The only issuer accepted.
    pub issuer: &'a str,
    /// One of the token's audiences must be this.
    pub audience: &'a str,
    /// The clock.
    pub now: UnixTime,
    /// How far the clocks may differ for `nbf`, seconds. `exp` has no leeway: an expired token is expired.
    pub leeway_secs: u64,
    /// Which ends of a token can be judged.
    pub lifetimes: Lifetimes,
}

/// Why a token is refused. The order is that of RFC 9200 §5.10.1.1: protection first, then `iss`, `exp`, `aud`, scope.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not three base64url parts with a JSON header and JSON claims, nor a tagged COSE message as demanded of a CWT, or longer than 65,535
    /// bytes.
    #[error("not a token")]
    NotAToken,
    /// `alg` is `none`, a truncated MAC, unknown, or not the key's own; or a MAC where no key for one is shared with the AS.
    #[error("token algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// A critical header parameter that we do not know (RFC 7515 §4.1.11).
    #[error("token has an unknown critical header")]
    UnknownCriticalHeader,
    /// `typ` is that of something else than a token (RFC 8725 §3.11).
    #[error("token is of another type")]
    WrongType,
    /// No key has this `kid`, or the token names none and there is not exactly one key.
    #[error("token is signed with an unknown key")]
    UnknownKey,
    /// The signature or MAC does not match.
    #[error("token signature does not match")]
    BadSignature,
    /// `iss` is not the authorization server's.
    #[error("token is from another issuer")]
    WrongIssuer,
    /// `exp` has passed.
    #[error("token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("token is not yet valid")]
    NotYetValid,
    /// `aud` does not name this resource server.
    #[error("token is for another audience")]
    WrongAudience,
    /// A claim is absent or of the wrong type; which one.
    #[error("token claim {0} is missing or malformed")]
    BadClaim(&'static str),
    /// Not a JWK Set: an object with a list `keys` (RFC 7517 §5), of at most [`KeySet::MAX_KEYS`]; nor a `COSE_KeySet`.
    #[error("not a JWK Set")]
    NotAKeySet,
    /// The scope is malformed.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

/// Verifies a JWT and takes its claims. [`TokenError::UnknownKey`] is the caller's cue to fetch the key set anew.
///
/// A key that stands in `cnf` is public here: the token is signed or has a MAC, but is not encrypted, so a symmetric one has to be in a JWE (RFC 7800 §3.3,
/// RFC 9431 §2.1).
pub fn verify(token: &str, validation: &Validation<'_>) -> Result<Claims, TokenError> {
    let jws = Compact::parse(token, MAX_TOKEN_LENGTH)?;
    let header = jws.header()?;
    if header.critical {
        return Err(TokenError::UnknownCriticalHeader);
    }
    let algorithm =
        PopAlgorithm::from_name(header.alg.as_str()).ok_or(TokenError::AlgorithmNotAllowed)?;
    if header.typ.is_some() && !header.typ_is_one_of(&ACCEPTED_TYPES) {
        return Err(TokenError::WrongType);
    }
    let kid = header.kid.as_ref().map(Text::as_str);
    let signed = jws.signing_input.as_bytes();
    // The kind of key is chosen by the algorithm before any key is: a public key never verifies a MAC (RFC 8725 §2.1).
    let matches = match algorithm {
        PopAlgorithm::Hs256 => {
            let key = validation.keys.find_mac(kid)?;
            key.verifies(signed, &jws.signature)
        }
        PopAlgorithm::EdDsa | PopAlgorithm::Es256 => {
            let key = validation.keys.find(algorithm, kid)?;
            key.verifies(signed, &jws.signature)
        }
    };
    if !matches {
        return Err(TokenError::BadSignature);
    }
    let claims = Claims::verify_json(&jws.payload, &validation.expected())?;
    match &claims.confirmation {
        Confirmation::Key(jwk) if jwk.is_secret() => Err(TokenError::BadClaim("cnf")),
        Confirmation::Key(_) | Confirmation::Encrypted(_) | Confirmation::KeyIdentifier(_) => {
            Ok(claims)
        }
    }
}

/// `iss` of a JWT, nothing verified.
pub(crate) fn issuer(token: &str) -> Result<String, TokenError> {
    let jws = Compact::parse(token, MAX_TOKEN_LENGTH)?;
    let members = Members::parse(&jws.payload).map_err(|_| TokenError::NotAToken)?;
    members.take("iss")?.ok_or(TokenError::BadClaim("iss"))
}

impl<'a> Validation<'a> {
    /// What the claims must fit, whatever form the token has.
    pub(crate) fn expected(&self) -> Expected<'a> {
        Expected {
            issuer: self.issuer,
            audience: self.audience,
            now: self.now,
            leeway_secs: self.leeway_secs,
            lifetimes: self.lifetimes,
        }
    }
}

/// Header and claims as they stand, nothing verified: for showing a token to a person, never for a decision.
pub fn take_apart(token: &str) -> Result<(serde_json::Value, serde_json::Value), TokenError> {
    let jws = Compact::parse(token, MAX_TOKEN_LENGTH)?;
    let object = |json| {
        Members::parse(json).map_err(|_| TokenError::NotAToken)?;
        serde_json::from_slice(json).map_err(|_| TokenError::NotAToken)
    };
    Ok((object(jws.header_json())?, object(&jws.payload)?))
}

impl From<Malformed> for TokenError {
    fn from(_: Malformed) -> Self {
        Self::NotAToken
    }
}
