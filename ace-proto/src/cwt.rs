//! Tokens as CWTs (RFC 8392): signed with EdDSA or ES256, or protected by HMAC-SHA-256.
//!
//! Stricter than RFC 8392: all headers are protected (RFC 9770), and a MAC cut to 64 bits (`HMAC 256/64`) is refused. What
//! `exi` stands for is as in a JWT: [`Lifetimes`](crate::Lifetimes) says.

use std::borrow::Cow;

use aws_lc_rs::hmac;

use crate::{
    Claims, PopAlgorithm, PopError, SymmetricKey, TokenError, Validation, base64url,
    cbor::Malformed,
    cose::{self, Algorithm, Kind, Message},
    json_object::to_json,
    jws,
    jwt::MAX_TOKEN_LENGTH,
    key::MIN_SYMMETRIC_LENGTH,
    unsigned_token::{cbor_payload, has_secret_key},
};

/// Tag 61 in its only form (RFC 8392 §6).
const TAG: [u8; 2] = [0xd8, 61];

/// Length of the random part of a `kid` made here, bytes.
const KID_LENGTH: usize = 16;

/// A key that AS and RS share for the MACs of tokens, at least 32 bytes, with its `kid`. Not to be the one that encrypts: one key, one
/// algorithm (RFC 8725 §3.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MacKey {
    kid: String,
    key: SymmetricKey,
}

impl MacKey {
    /// Takes the key; [`PopError::UnsupportedKey`] if it is shorter than 32 bytes.
    pub fn new(kid: &str, key: SymmetricKey) -> Result<Self, PopError> {
        if key.as_bytes().len() < MIN_SYMMETRIC_LENGTH {
            return Err(PopError::UnsupportedKey);
        }
        Ok(Self {
            kid: kid.to_owned(),
            key,
        })
    }

    /// Makes one with a random `kid`, from the system's random source.
    pub fn generate() -> Result<Self, PopError> {
        Ok(Self {
            kid: base64url::encode(SymmetricKey::random(KID_LENGTH)?.as_bytes()),
            key: SymmetricKey::random(MIN_SYMMETRIC_LENGTH)?,
        })
    }

    /// The key identifier.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key itself, for whoever keeps it.
    pub fn key(&self) -> &SymmetricKey {
        &self.key
    }

    /// The claims as a CWT with a MAC: `COSE_Mac0` with HMAC 256/256. What a secret key in `cnf` meets is as in
    /// [`SigningKey::sign_cwt`](crate::SigningKey::sign_cwt).
    pub fn mac_cwt(&self, claims: &Claims) -> Result<Vec<u8>, PopError> {
        let payload = cbor_payload(claims)?;
        let kid = self.kid.as_bytes();
        cose::make(Kind::Mac0, cose::HMAC_256, kid, &payload, |message| {
            Ok(hmac::sign(&self.hmac(), message).as_ref().to_vec())
        })
    }

    /// The claims as a JWT with `HS256`, `typ` `at+jwt`. A secret key in `cnf` is refused as [`PopError::UnsupportedKey`].
    pub fn mac_jwt(&self, claims: &Claims) -> Result<String, PopError> {
        if has_secret_key(claims) {
            return Err(PopError::UnsupportedKey);
        }
        let header = serde_json::json!({ "alg": "HS256", "kid": self.kid, "typ": "at+jwt" });
        jws::authenticate(&header.to_string(), &to_json(claims), |message| {
            Ok(hmac::sign(&self.hmac(), message).as_ref().to_vec())
        })
    }

    /// Compares in constant time.
    pub(crate) fn verifies(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.hmac(), message, mac).is_ok()
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key.as_bytes())
    }
}

/// Verifies a CWT and takes its claims, by the rules of [`jwt::verify`](crate::jwt::verify) and in the same order. Bytes that are not in
/// preferred serialization, or with something behind them, are no token.
pub fn verify(token: &[u8], validation: &Validation<'_>) -> Result<Claims, TokenError> {
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(TokenError::NotAToken);
    }
    let message = Message::parse(token)?;
    if message.header.critical {
        return Err(TokenError::UnknownCriticalHeader);
    }
    let algorithm = signature_algorithm(&message).ok_or(TokenError::AlgorithmNotAllowed)?;
    if message.header.of_another_type {
        return Err(TokenError::WrongType);
    }
    let (kid, signed) = (message.header.kid, message.authenticated());
    let matches = match algorithm {
        PopAlgorithm::Hs256 => {
            let key = validation.keys.find_mac_by_identifier(kid)?;
            key.verifies(&signed, message.authenticator)
        }
        PopAlgorithm::EdDsa | PopAlgorithm::Es256 => {
            let key = validation.keys.find_by_identifier(algorithm, kid)?;
            key.verifies(&signed, message.authenticator)
        }
    };
    if !matches {
        return Err(TokenError::BadSignature);
    }
    let claims = Claims::verify_cbor(message.payload, &validation.expected())?;
    if has_secret_key(&claims) {
        return Err(TokenError::BadClaim("cnf"));
    }
    Ok(claims)
}

/// `iss` of a CWT, nothing verified.
pub(crate) fn issuer(token: &[u8]) -> Result<String, TokenError> {
    Claims::issuer_in_cbor(Message::parse(token)?.payload)
}

/// The token with tag 61 before it, which [`verify`] does not ask for. A hash that is to name a token (RFC 9770) is taken of this form, or
/// a revoked token would pass without the tag.
pub fn with_tag(token: &[u8]) -> Cow<'_, [u8]> {
    if token.starts_with(&TAG) {
        Cow::Borrowed(token)
    } else {
        Cow::Owned([&TAG, token].concat())
    }
}

/// The algorithm, if it is one for this kind of message.
fn signature_algorithm(message: &Message<'_>) -> Option<PopAlgorithm> {
    match (message.kind, message.header.algorithm?) {
        (Kind::Sign1, Algorithm::EdDsa) => Some(PopAlgorithm::EdDsa),
        (Kind::Sign1, Algorithm::Es256) => Some(PopAlgorithm::Es256),
        (Kind::Mac0, Algorithm::Hmac256) => Some(PopAlgorithm::Hs256),
        (Kind::Sign1, Algorithm::Hmac256 | Algorithm::A256Gcm)
        | (Kind::Mac0, Algorithm::EdDsa | Algorithm::Es256 | Algorithm::A256Gcm) => None,
    }
}

impl From<Malformed> for TokenError {
    fn from(_: Malformed) -> Self {
        Self::NotAToken
    }
}
