//! What verifies an authorization server's signatures.

use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::value::RawValue;

use crate::{Jwk, PopAlgorithm, PopKey, TokenError, json_object::Members};

/// Public keys of an authorization server, found by `kid`; each for one algorithm. Cheap to clone; the keys are parsed once, when the set
/// is made.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Arc<[VerifyingKey]>,
}

#[derive(Debug)]
pub(super) struct VerifyingKey {
    /// What is published: never a private part.
    public: Jwk,
    algorithm: PopAlgorithm,
    parsed: ParsedPublicKey,
}

impl VerifyingKey {
    /// `None` for a key that we cannot use: another type, or not for signatures.
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        if !jwk.may("verify") {
            return None;
        }
        let key = PopKey::from_members(jwk)?;
        let parsed = key.parse_public().ok()?;
        let mut public = key.to_jwk();
        public.kid.clone_from(&jwk.kid);
        public.alg = Some(key.algorithm().as_str().to_owned());
        public.public_key_use = Some("sig".to_owned());
        Some(Self {
            public,
            algorithm: key.algorithm(),
            parsed,
        })
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl KeySet {
    /// The most keys accepted in a JWK Set.
    pub const MAX_KEYS: usize = 64;

    /// From a JWK Set. Keys that we cannot use are left out (RFC 7517 §5), so the set may turn out empty; [`TokenError::NotAKeySet`] if it
    /// is no JWK Set.
    pub fn from_json(json: &[u8]) -> Result<Self, TokenError> {
        let keys = Members::parse(json)
            .ok()
            .and_then(|members| members.take::<Vec<&RawValue>>("keys").ok().flatten())
            .filter(|keys| keys.len() <= Self::MAX_KEYS)
            .ok_or(TokenError::NotAKeySet)?;
        let jwks = keys.iter().map(|key| serde_json::from_str(key.get()));
        Ok(Self::from_keys(jwks.filter_map(Result::ok).collect()))
    }

    /// From public keys. Those that we cannot use are left out, and so is a private part: the set can always be published.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers have the list at hand and no use for it afterwards"
    )]
    pub fn from_keys(keys: Vec<Jwk>) -> Self {
        Self {
            keys: keys.iter().filter_map(VerifyingKey::from_jwk).collect(),
        }
    }

    /// As a JWK Set.
    pub fn to_json(&self) -> String {
        let keys: Vec<&Jwk> = self.keys.iter().map(|key| &key.public).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it holds no key: then every token is refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key for a token: of this algorithm and `kid`; without `kid`, the only one of this algorithm.
    pub(super) fn find(
        &self,
        algorithm: PopAlgorithm,
        kid: Option<&str>,
    ) -> Result<&VerifyingKey, TokenError> {
        let fits = |key: &&VerifyingKey| key.algorithm == algorithm;
        let Some(kid) = kid else {
            let mut fitting = self.keys.iter().filter(fits);
            return match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(only),
                (None | Some(_), _) => Err(TokenError::UnknownKey),
            };
        };
        let mut named = self
            .keys
            .iter()
            .filter(|key| key.public.kid.as_deref() == Some(kid))
            .peekable();
        if named.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        named.find(fits).ok_or(TokenError::AlgorithmNotAllowed)
    }
}
