//! What verifies an authorization server's signatures.

use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::value::RawValue;

use crate::{
    Jwk, PopAlgorithm, PopKey, TokenError, base64url,
    cbor::{self, Value},
    cwt::MacKey,
    identifier,
    json_object::Members,
};

/// Public keys of an authorization server, found by `kid`; each for one algorithm. Cheap to clone; the keys are parsed once, when the set
/// is made.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Arc<[VerifyingKey]>,
    mac_keys: Arc<[MacKey]>,
}

#[derive(Debug)]
pub(crate) struct VerifyingKey {
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

    fn is_named(&self, is_named: impl Fn(&str) -> bool) -> bool {
        self.public.kid.as_deref().is_some_and(is_named)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
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
            mac_keys: Arc::default(),
        }
    }

    /// From a `COSE_KeySet` (RFC 9052 §7), as an AS that speaks CBOR publishes it. Keys that we cannot use are left out.
    pub fn from_cose(bytes: &[u8]) -> Result<Self, TokenError> {
        let set = cbor::decode(bytes).map_err(|_| TokenError::NotAKeySet)?;
        let keys = set
            .as_array()
            .filter(|keys| keys.len() <= Self::MAX_KEYS)
            .ok_or(TokenError::NotAKeySet)?;
        let jwks = keys.iter().filter_map(|key| {
            let mut jwk = Jwk::from_cose_members(key.as_map()?).ok()?;
            // To bytes as they stood there, and to the text that stands in a JWK Set of the same server.
            let kid = jwk.kid.as_deref().map(identifier::to_bytes);
            jwk.kid = kid.as_deref().map(identifier::name_to_text);
            Some(jwk)
        });
        Ok(Self::from_keys(jwks.collect()))
    }

    /// As a `COSE_KeySet`. Keys for MACs are secret and not in it.
    pub fn to_cose(&self) -> Vec<u8> {
        let keys = self.keys.iter().map(|key| {
            let mut named = key.public.clone();
            // As in the headers of tokens: the letters of the name.
            named.kid = named.kid.map(|kid| base64url::encode(kid.as_bytes()));
            named.to_cose_key()
        });
        let keys: Vec<_> = keys.filter_map(Result::ok).collect();
        let items = keys.iter().map(|key| Value::Encoded(key));
        Value::Array(items.collect()).encode()
    }

    /// With these keys for tokens that are protected by a MAC, in place of those there were.
    #[must_use]
    pub fn with_mac_keys(self, mac_keys: Vec<MacKey>) -> Self {
        Self {
            mac_keys: mac_keys.into(),
            ..self
        }
    }

    /// As a JWK Set. Keys for MACs are secret and not in it.
    pub fn to_json(&self) -> String {
        let keys: Vec<&Jwk> = self.keys.iter().map(|key| &key.public).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// Whether it holds the same keys as `other`. Keys for MACs are told apart by their names alone.
    pub fn is_same(&self, other: &Self) -> bool {
        let names = |set: &Self| -> Vec<String> {
            let keys = set.mac_keys.iter();
            keys.map(|key| key.kid().to_owned()).collect()
        };
        self.to_json() == other.to_json() && names(self) == names(other)
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.keys.len() + self.mac_keys.len()
    }

    /// Whether it holds no key: then every token is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key for a JWT: of this algorithm and `kid`; without `kid`, the only one of this algorithm.
    pub(super) fn find(
        &self,
        algorithm: PopAlgorithm,
        kid: Option<&str>,
    ) -> Result<&VerifyingKey, TokenError> {
        let fits = |key: &&VerifyingKey| key.algorithm == algorithm;
        let Some(kid) = kid else {
            return only(self.keys.iter().filter(fits));
        };
        self.find_named(algorithm, |own| own == kid)
    }

    /// The key for a CWT, by the same rules. `kid` is bytes there.
    pub(crate) fn find_by_identifier(
        &self,
        algorithm: PopAlgorithm,
        kid: Option<&[u8]>,
    ) -> Result<&VerifyingKey, TokenError> {
        let fits = |key: &&VerifyingKey| key.algorithm == algorithm;
        let Some(kid) = kid else {
            return only(self.keys.iter().filter(fits));
        };
        self.find_named(algorithm, |own| identifier::is_same(own, kid))
    }

    /// The key for the MAC of a JWT. The token has to name it: a secret key is tried for nobody who does not say which he means.
    pub(super) fn find_mac(&self, kid: Option<&str>) -> Result<&MacKey, TokenError> {
        self.find_mac_named(kid.map(|kid| move |own: &str| own == kid))
    }

    /// The key for the MAC of a CWT, by the same rules.
    pub(crate) fn find_mac_by_identifier(&self, kid: Option<&[u8]>) -> Result<&MacKey, TokenError> {
        self.find_mac_named(kid.map(|kid| move |own: &str| identifier::is_same(own, kid)))
    }

    fn find_mac_named(
        &self,
        is_named: Option<impl Fn(&str) -> bool>,
    ) -> Result<&MacKey, TokenError> {
        if self.mac_keys.is_empty() {
            return Err(TokenError::AlgorithmNotAllowed);
        }
        let is_named = is_named.ok_or(TokenError::UnknownKey)?;
        let mut named = self.mac_keys.iter().filter(|key| is_named(key.kid()));
        match (named.next(), named.next()) {
            (Some(key), None) => Ok(key),
            // One key, one algorithm: no public key verifies a MAC.
            (None, _) if self.keys.iter().any(|key| key.is_named(&is_named)) => {
                Err(TokenError::AlgorithmNotAllowed)
            }
            (None | Some(_), _) => Err(TokenError::UnknownKey),
        }
    }

    fn find_named(
        &self,
        algorithm: PopAlgorithm,
        is_named: impl Fn(&str) -> bool,
    ) -> Result<&VerifyingKey, TokenError> {
        let mut named = (self.keys.iter())
            .filter(|key| key.is_named(&is_named))
            .peekable();
        if named.peek().is_none() {
            let is_secret = self.mac_keys.iter().any(|key| is_named(key.kid()));
            return Err(if is_secret {
                TokenError::AlgorithmNotAllowed
            } else {
                TokenError::UnknownKey
            });
        }
        named
            .find(|key| key.algorithm == algorithm)
            .ok_or(TokenError::AlgorithmNotAllowed)
    }
}

/// The key, if there is exactly one.
fn only<T>(mut fitting: impl Iterator<Item = T>) -> Result<T, TokenError> {
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        (None | Some(_), _) => Err(TokenError::UnknownKey),
    }
}
