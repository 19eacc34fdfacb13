//! Tokens as JWTs (RFC 7519, RFC 8725), signed with EdDSA or ES256, and the key sets that verify them (RFC 7517).

use crate::{Claims, Jwk, ScopeError, UnixTime};

/// The algorithms an authorization server signs with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SigningAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

/// A private signing key of an authorization server.
#[derive(Debug)]
pub struct SigningKey {
    kid: String,
}

/// Public keys of an authorization server, found by `kid`; each for one algorithm.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Jwk>,
}

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
}

/// Why a token is refused. The order is that of RFC 9200 §5.10.1.1: protection first, then `iss`, `exp`, `aud`, scope.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not three base64url parts with a JSON header and JSON claims, or longer than 65,535 bytes.
    #[error("not a token")]
    NotAToken,
    /// `alg` is `none`, symmetric, unknown, or not the key's own.
    #[error("token algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// A critical header parameter that we do not know (RFC 7515 §4.1.11).
    #[error("token has an unknown critical header")]
    UnknownCriticalHeader,
    /// No key has this `kid`, or the token names none and there is not exactly one key.
    #[error("token is signed with an unknown key")]
    UnknownKey,
    /// The signature does not match.
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
    /// The scope is malformed.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

impl SigningKey {
    /// Makes a key; its `kid` is its JWK Thumbprint.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, crate::PopError> {
        let _ = algorithm;
        todo!()
    }

    /// From a private JWK with `d`.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, crate::PopError> {
        let _ = jwk;
        todo!()
    }

    /// As a private JWK, for its file.
    pub fn to_jwk(&self) -> Jwk {
        todo!()
    }

    /// As a public JWK with `kid`, `alg` and `use`, for the JWKS.
    pub fn to_public_jwk(&self) -> Jwk {
        todo!()
    }

    /// The key identifier.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs the claims, `typ` `at+jwt`.
    pub fn sign(&self, claims: &Claims) -> Result<String, crate::PopError> {
        let _ = claims;
        todo!()
    }
}

impl KeySet {
    /// From a JWK Set. Keys that we cannot use are left out (RFC 7517 §5); fails if it is no JWK Set.
    pub fn from_json(json: &[u8]) -> Result<Self, TokenError> {
        let _ = json;
        todo!()
    }

    /// From public keys.
    pub fn from_keys(keys: Vec<Jwk>) -> Self {
        Self { keys }
    }

    /// As a JWK Set.
    pub fn to_json(&self) -> String {
        let _ = &self.keys;
        todo!()
    }
}

/// Verifies a JWT and takes its claims. [`TokenError::UnknownKey`] is the caller's cue to fetch the key set anew.
pub fn verify(token: &str, validation: &Validation<'_>) -> Result<Claims, TokenError> {
    let _ = (token, validation);
    todo!()
}

/// Header and claims as they stand, nothing verified: for showing a token to a person, never for a decision.
pub fn take_apart(token: &str) -> Result<(serde_json::Value, serde_json::Value), TokenError> {
    let _ = token;
    todo!()
}
