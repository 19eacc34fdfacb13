//! The signing keys of an authorization server: the one that signs, the one that will, and those that did and whose tokens still live.
//!
//! In its file a ring is JSON, `{"keys": [{"signs_from": SECONDS, "verifies_until": SECONDS, "jwk": {..}}]}`; a private JWK alone is a ring
//! of one key. Of a key that lives in a hardware token the file has the public half, and `pkcs11` beside it says where the other one is. Each key signs from its moment until that of the next; all that may have tokens are published, and the next one before it signs.

use crate::pkcs11::{Hsm, HsmError, KeyUri};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopError, PopKey, SigningKey, UnixTime};

/// Signing keys by time. `Debug` shows no secret.
#[derive(Debug)]
pub struct KeyRing {
    /// By `signs_from`; the first signs already, and all that sign or will have their private half.
    keys: Vec<RingKey>,
    /// Where the keys sign that are not in the file.
    hsm: Option<Hsm>,
}

/// One key of a ring.
#[derive(Debug)]
pub struct RingKey {
    public: Jwk,
    kid: String,
    /// The private half, which a key that signs no more has not, unless it is in a token.
    signing: Option<PrivateHalf>,
    signs_from: UnixTime,
    /// Until when tokens live that it signed; `None` for the last one.
    verifies_until: Option<UnixTime>,
    /// It is published no more, though its tokens may live.
    revoked: bool,
}

/// What signs.
#[derive(Debug)]
pub(crate) enum PrivateHalf {
    /// A key that we have.
    Here(SigningKey),
    /// A key in a token of the ring's [`Hsm`].
    InToken(KeyUri),
}

/// A key that is to come into a ring.
#[derive(Debug)]
pub enum NextKey {
    /// A key of the ring's file.
    Here(SigningKey),
    /// A key in a token, with its public half.
    InToken(KeyUri, Box<Jwk>),
}

/// What a key does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyState {
    /// It is published, and will sign from this moment on.
    Next(UnixTime),
    /// It signs.
    Active,
    /// It signs no more, and is published until this moment.
    Retired(UnixTime),
    /// It is published no more.
    Gone,
}

/// Why a ring is refused, or does not change.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// Neither a private JWK nor a ring.
    #[error("is neither a private Ed25519 or P-256 JWK nor a ring of such keys")]
    Malformed,
    /// No key signs now.
    #[error("no key of the ring signs now")]
    NoneSigns,
    /// Two keys with one name.
    #[error("two keys of the ring are named {0:?}")]
    Twice(String),
    /// There are [`KeyRing::MAX_KEYS`] keys whose tokens still live.
    #[error("the ring has {max} keys, and tokens of all of them may still live", max = KeyRing::MAX_KEYS)]
    Full,
    /// A next key is there already; which, and from when on it signs.
    #[error("{0:?} is published already and signs soon; it signs at once with --now")]
    NextIsThere(String, UnixTime),
    /// There is no key of this name.
    #[error("there is no key {0:?} in the ring")]
    Unknown(String),
    /// The key signs, or will.
    #[error("{0:?} signs, or will: let another sign first")]
    Signs(String),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKey {
    signs_from: u64,
    verifies_until: Option<u64>,
    #[serde(default)]
    revoked: bool,
    pkcs11: Option<String>,
    jwk: Jwk,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<FileKey>,
}

impl From<SigningKey> for KeyRing {
    /// A ring of one, which signs from ever and for ever.
    fn from(key: SigningKey) -> Self {
        Self {
            keys: vec![RingKey::here(key, UnixTime(0))],
            hsm: None,
        }
    }
}

impl KeyRing {
    /// The most keys of a ring.
    pub const MAX_KEYS: usize = 16;

    /// From the text of its file.
    pub fn from_json(text: &str, now: UnixTime) -> Result<Self, KeyRingError> {
        if let Ok(file) = serde_json::from_str::<File>(text) {
            return Self::from_file(file, now);
        }
        // The parser's own words could quote the key.
        let jwk: Jwk = serde_json::from_str(text).map_err(|_| KeyRingError::Malformed)?;
        let key = SigningKey::from_jwk(&jwk).map_err(|_| KeyRingError::Malformed)?;
        Ok(key.into())
    }

    /// A ring of one key in a token, which signs from ever and for ever. Waits for the token.
    pub fn of_token(hsm: Hsm, uri: &KeyUri) -> Result<Self, HsmError> {
        let public = hsm.public_key(uri)?;
        hsm.try_key(uri, &public)?;
        Ok(Self {
            keys: vec![RingKey::in_token(uri.clone(), public, UnixTime(0))],
            hsm: Some(hsm),
        })
    }

    /// Whether it has keys that only sign with an [`Hsm`].
    pub fn needs_hsm(&self, now: UnixTime) -> bool {
        self.in_tokens(now).next().is_some()
    }

    /// Lets its keys that are in tokens sign there, once each of them that signs or will has been tried. Waits for the token.
    pub fn attach(&mut self, hsm: Hsm, now: UnixTime) -> Result<(), HsmError> {
        for (uri, public) in self.in_tokens(now) {
            hsm.try_key(uri, public)?;
        }
        self.hsm = Some(hsm);
        Ok(())
    }

    pub(crate) fn hsm(&self) -> Option<&Hsm> {
        self.hsm.as_ref()
    }

    /// Whether each key that signs or will can.
    pub(crate) fn is_ready(&self, now: UnixTime) -> bool {
        self.hsm.is_some() || !self.needs_hsm(now)
    }

    /// The keys in tokens that sign or will.
    fn in_tokens(&self, now: UnixTime) -> impl Iterator<Item = (&KeyUri, &Jwk)> {
        let active = self.active_at(now).unwrap_or(0);
        (self.keys[active..].iter()).filter_map(|key| Some((key.uri()?, &key.public)))
    }

    fn from_file(file: File, now: UnixTime) -> Result<Self, KeyRingError> {
        if file.keys.len() > Self::MAX_KEYS {
            return Err(KeyRingError::Full);
        }
        let mut keys = Vec::with_capacity(file.keys.len());
        for key in file.keys {
            let ring_key = RingKey::from_file(key).map_err(|_| KeyRingError::Malformed)?;
            keys.push(ring_key);
        }
        keys.sort_by_key(|key: &RingKey| key.signs_from);
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|other| other.kid == key.kid) {
                return Err(KeyRingError::Twice(key.kid.clone()));
            }
        }
        let ring = Self { keys, hsm: None };
        let at = ring.active_at(now).ok_or(KeyRingError::NoneSigns)?;
        if ring.keys[at..].iter().any(|key| key.signing.is_none()) {
            return Err(KeyRingError::NoneSigns);
        }
        Ok(ring)
    }

    /// As the text of its file. It has secrets.
    pub fn to_json(&self) -> String {
        let keys: Vec<serde_json::Value> = self.keys.iter().map(RingKey::to_value).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// Puts a key behind all others, which signs from `signs_from` on, and forgets the private halves that sign no more and the keys whose
    /// tokens have all run out. No token lives longer than `token_lifetime_secs`.
    pub fn rotate(
        &mut self,
        next: impl Into<NextKey>,
        signs_from: UnixTime,
        token_lifetime_secs: u64,
        now: UnixTime,
    ) -> Result<(), KeyRingError> {
        self.has_room(now)?;
        let next = match next.into() {
            NextKey::Here(key) => RingKey::here(key, signs_from),
            NextKey::InToken(uri, public) => RingKey::in_token(uri, *public, signs_from),
        };
        if self.keys.iter().any(|key| key.kid == next.kid) {
            return Err(KeyRingError::Twice(next.kid));
        }
        if let Some(last) = self.keys.last_mut() {
            last.verifies_until = Some(signs_from.plus_secs(token_lifetime_secs));
        }
        self.keys.push(next);
        Ok(())
    }

    /// Whether there can be a next key, once what has run out is forgotten.
    pub fn has_room(&mut self, now: UnixTime) -> Result<(), KeyRingError> {
        self.forget(now);
        if let Some(last) = self.last().filter(|last| last.signs_from > now) {
            return Err(KeyRingError::NextIsThere(last.kid.clone(), last.signs_from));
        }
        if self.keys.len() >= Self::MAX_KEYS {
            return Err(KeyRingError::Full);
        }
        Ok(())
    }

    /// The key that signs last.
    pub fn last(&self) -> Option<&RingKey> {
        self.keys.last()
    }

    /// Lets the key that waits sign at once; `false` where none waits.
    pub fn hasten(&mut self, token_lifetime_secs: u64, now: UnixTime) -> bool {
        let [.., before, last] = &mut self.keys[..] else {
            return false;
        };
        if last.signs_from <= now {
            return false;
        }
        last.signs_from = now;
        before.verifies_until = Some(now.plus_secs(token_lifetime_secs));
        self.forget(now);
        true
    }

    /// Publishes a key no more that does not sign: its tokens are refused wherever keys are fetched from then on.
    pub fn revoke(&mut self, kid: &str, now: UnixTime) -> Result<(), KeyRingError> {
        let active = self.active_at(now).unwrap_or(0);
        let at = self.keys.iter().position(|key| key.kid == kid);
        let at = at.ok_or_else(|| KeyRingError::Unknown(kid.to_owned()))?;
        if at >= active {
            return Err(KeyRingError::Signs(kid.to_owned()));
        }
        self.keys[at].revoked = true;
        self.forget(now);
        Ok(())
    }

    /// Each key with what it does, in the order in which they sign.
    pub fn keys(
        &self,
        token_lifetime_secs: u64,
        now: UnixTime,
    ) -> impl Iterator<Item = (&RingKey, KeyState)> {
        let active = self.active_at(now).unwrap_or(0);
        self.keys.iter().enumerate().map(move |(index, key)| {
            let next = self.keys.get(index + 1);
            let state = match next {
                _ if key.revoked => KeyState::Gone,
                _ if index > active => KeyState::Next(key.signs_from),
                Some(next) if index < active => {
                    // Whichever is later: the lifetime may have grown since it was written down.
                    let until = next.signs_from.plus_secs(token_lifetime_secs);
                    let until = until.max(key.verifies_until.unwrap_or(UnixTime(0)));
                    if until > now {
                        KeyState::Retired(until)
                    } else {
                        KeyState::Gone
                    }
                }
                Some(_) | None => KeyState::Active,
            };
            (key, state)
        })
    }

    /// The public keys that verify what lives now, and the next one, the active one first.
    pub fn published(&self, token_lifetime_secs: u64, now: UnixTime) -> Vec<(Jwk, KeyState)> {
        let known = self.keys(token_lifetime_secs, now);
        let mut keys: Vec<_> = known
            .filter(|(_, state)| *state != KeyState::Gone)
            .map(|(key, state)| (key.public.clone(), state))
            .collect();
        keys.sort_by_key(|(_, state)| *state != KeyState::Active);
        keys
    }

    /// The key that signs now.
    pub(crate) fn active(&self, now: UnixTime) -> &RingKey {
        let at = self.active_at(now);
        let signing = at
            .map(|at| &self.keys[at])
            .filter(|key| key.signing.is_some());
        // Where a clock was set back, the key of that time may sign no more.
        signing
            .or_else(|| self.keys.iter().find(|key| key.signing.is_some()))
            .expect("the last key of a ring keeps its private half: every way to make or change one sees to it")
    }

    pub(crate) fn is_revoked(&self, key: &Jwk) -> bool {
        let json = key.to_json();
        let mut keys = self.keys.iter();
        keys.any(|own| own.revoked && own.public.to_json() == json)
    }

    fn active_at(&self, now: UnixTime) -> Option<usize> {
        self.keys.iter().rposition(|key| key.signs_from <= now)
    }

    fn forget(&mut self, now: UnixTime) {
        let active = self.active_at(now).unwrap_or(0);
        for key in &mut self.keys[..active] {
            // Of one in a token there is no secret here: where it is stays known, for whoever clears the token.
            if key.is_in_file() {
                key.signing = None;
            }
        }
        let mut index = 0;
        self.keys.retain(|key| {
            let lives = key.verifies_until.is_none_or(|until| until > now);
            index += 1;
            index > active || lives
        });
    }
}

impl RingKey {
    fn here(key: SigningKey, signs_from: UnixTime) -> Self {
        let verifying = Self::verifying(key.to_public_jwk(), signs_from);
        Self {
            signing: Some(PrivateHalf::Here(key)),
            ..verifying
        }
    }

    fn in_token(uri: KeyUri, public: Jwk, signs_from: UnixTime) -> Self {
        Self {
            signing: Some(PrivateHalf::InToken(uri)),
            ..Self::verifying(public, signs_from)
        }
    }

    fn verifying(public: Jwk, signs_from: UnixTime) -> Self {
        Self {
            kid: public.kid.clone().unwrap_or_default(),
            public,
            signing: None,
            signs_from,
            verifies_until: None,
            revoked: false,
        }
    }

    /// The key identifier.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// `EdDSA` or `ES256`.
    pub fn algorithm(&self) -> &str {
        self.public.alg.as_deref().unwrap_or_default()
    }

    /// Its public half, with `kid`, `alg` and `use`.
    pub fn public(&self) -> &Jwk {
        &self.public
    }

    /// Where its private half is, if that is a token.
    pub fn uri(&self) -> Option<&KeyUri> {
        match &self.signing {
            Some(PrivateHalf::InToken(uri)) => Some(uri),
            Some(PrivateHalf::Here(_)) | None => None,
        }
    }

    /// Whether its private half is in the file.
    pub fn is_in_file(&self) -> bool {
        matches!(self.signing, Some(PrivateHalf::Here(_)))
    }

    pub(crate) fn private_half(&self) -> Option<&PrivateHalf> {
        self.signing.as_ref()
    }

    pub(crate) fn labelled(key: &PopKey, kid: &str) -> Jwk {
        let mut jwk = key.to_jwk();
        jwk.alg = Some(key.algorithm().as_str().to_owned());
        jwk.public_key_use = Some("sig".to_owned());
        jwk.with_kid(kid)
    }

    fn from_file(file: FileKey) -> Result<Self, PopError> {
        let verifies_until = file.verifies_until.map(UnixTime);
        let signs_from = UnixTime(file.signs_from);
        let base = match (SigningKey::from_jwk(&file.jwk), file.pkcs11) {
            // A key that is in a token is in no file.
            (Ok(_), Some(_)) => return Err(PopError::UnsupportedKey),
            (Ok(key), None) => Self::here(key, signs_from),
            (Err(_), None) => Self::verifying(public_half(&file.jwk)?, signs_from),
            (Err(_), Some(uri)) => {
                let uri = uri.parse().map_err(|_| PopError::UnsupportedKey)?;
                Self::in_token(uri, public_half(&file.jwk)?, signs_from)
            }
        };
        Ok(Self {
            verifies_until,
            revoked: file.revoked,
            ..base
        })
    }

    fn to_value(&self) -> serde_json::Value {
        let private = match &self.signing {
            Some(PrivateHalf::Here(key)) => Some(key.to_jwk()),
            Some(PrivateHalf::InToken(_)) | None => None,
        };
        let mut value = serde_json::json!({
            "signs_from": self.signs_from.0,
            "jwk": private.as_ref().unwrap_or(&self.public),
        });
        if let Some(uri) = self.uri() {
            value["pkcs11"] = uri.to_string().into();
        }
        if let Some(until) = self.verifies_until {
            value["verifies_until"] = until.0.into();
        }
        if self.revoked {
            value["revoked"] = true.into();
        }
        value
    }
}

impl From<SigningKey> for NextKey {
    fn from(key: SigningKey) -> Self {
        Self::Here(key)
    }
}

/// The name of a key that nobody gave one: its JWK Thumbprint (RFC 7638).
pub(crate) fn thumbprint_kid(key: &PopKey) -> String {
    URL_SAFE_NO_PAD.encode(key.thumbprint())
}

/// A public key with a name, that can verify tokens. A symmetric one is none: all of it is secret.
fn public_half(jwk: &Jwk) -> Result<Jwk, PopError> {
    let key = PopKey::from_jwk(jwk)?;
    match (&jwk.kid, key.algorithm()) {
        (Some(kid), PopAlgorithm::EdDsa | PopAlgorithm::Es256) => Ok(RingKey::labelled(&key, kid)),
        (None, _) | (_, PopAlgorithm::Hs256) => Err(PopError::UnsupportedKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_ace_proto::jwt::SigningAlgorithm;

    const NOW: UnixTime = UnixTime(1_000);
    const LIFE: u64 = 60;

    fn key(algorithm: SigningAlgorithm) -> SigningKey {
        SigningKey::generate(algorithm).unwrap()
    }

    fn states(ring: &KeyRing, now: u64) -> Vec<KeyState> {
        let now = UnixTime(now);
        ring.keys(LIFE, now).map(|(_, state)| state).collect()
    }

    fn published(ring: &KeyRing, now: u64) -> usize {
        ring.published(LIFE, UnixTime(now)).len()
    }

    fn private(key: &RingKey) -> &SigningKey {
        match &key.signing {
            Some(PrivateHalf::Here(key)) => key,
            Some(PrivateHalf::InToken(_)) | None => panic!("not here"),
        }
    }

    /// A ring whose second key signs from 1300 on.
    fn rotated() -> KeyRing {
        let mut ring = KeyRing::from(key(SigningAlgorithm::EdDsa));
        let next = key(SigningAlgorithm::Es256);
        ring.rotate(next, UnixTime(1_300), LIFE, NOW).unwrap();
        ring
    }

    #[test]
    fn the_next_key_is_published_before_it_signs_and_the_last_until_its_tokens_have_run_out() {
        let ring = rotated();
        let next = KeyState::Next(UnixTime(1_300));
        assert_eq!(states(&ring, 1_000), [KeyState::Active, next]);
        assert_eq!(ring.active(UnixTime(1_299)).kid(), ring.keys[0].kid);
        let retired = KeyState::Retired(UnixTime(1_360));
        assert_eq!(states(&ring, 1_300), [retired, KeyState::Active]);
        assert_eq!(ring.active(UnixTime(1_300)).kid(), ring.keys[1].kid);
        assert_eq!(published(&ring, 1_359), 2);
        assert_eq!(published(&ring, 1_360), 1);
    }

    #[test]
    fn a_ring_comes_back_from_its_file_as_it_was() {
        let ring = rotated();
        let text = ring.to_json();
        let again = KeyRing::from_json(&text, NOW).unwrap();
        assert_eq!(again.to_json(), text);
        let later = KeyRing::from_json(&text, UnixTime(1_400)).unwrap();
        assert_eq!(states(&later, 1_400), [KeyState::Gone, KeyState::Active]);
    }

    #[test]
    fn a_private_jwk_alone_is_a_ring_of_one() {
        let key = key(SigningAlgorithm::EdDsa);
        let text = serde_json::to_string(&key.to_jwk()).unwrap();
        let ring = KeyRing::from_json(&text, NOW).unwrap();
        assert_eq!(ring.active(NOW).kid(), key.kid());
        assert_eq!(states(&ring, 0), [KeyState::Active]);
    }

    #[test]
    fn what_signs_no_more_loses_its_private_half_and_then_goes() {
        let mut ring = rotated();
        let third = key(SigningAlgorithm::EdDsa);
        let secret = serde_json::to_value(private(&ring.keys[0]).to_jwk());
        let secret = secret.unwrap()["d"].as_str().unwrap().to_owned();
        let now = UnixTime(1_310);
        ring.rotate(third, UnixTime(1_610), LIFE, now).unwrap();
        assert!(!ring.to_json().contains(&secret));
        assert_eq!(ring.keys.len(), 3);
        assert!(KeyRing::from_json(&ring.to_json(), now).is_ok());
        let fourth = key(SigningAlgorithm::EdDsa);
        let now = UnixTime(1_700);
        ring.rotate(fourth, UnixTime(2_000), LIFE, now).unwrap();
        assert_eq!(ring.keys.len(), 2);
    }

    #[test]
    fn one_key_waits_at_a_time_and_may_sign_at_once() {
        let mut ring = rotated();
        let refused = ring.rotate(key(SigningAlgorithm::EdDsa), UnixTime(2_000), LIFE, NOW);
        assert!(matches!(refused, Err(KeyRingError::NextIsThere(..))));
        assert!(ring.hasten(LIFE, NOW));
        let retired = KeyState::Retired(UnixTime(1_060));
        assert_eq!(states(&ring, 1_000), [retired, KeyState::Active]);
        assert!(!ring.hasten(LIFE, NOW));
    }

    #[test]
    fn a_key_that_signs_no_more_can_be_taken_out_at_once() {
        let mut ring = rotated();
        let (first, second) = (ring.keys[0].kid.clone(), ring.keys[1].kid.clone());
        for signs in [&first, &second] {
            let refused = ring.revoke(signs, NOW);
            assert_eq!(refused, Err(KeyRingError::Signs(signs.clone())));
        }
        ring.revoke(&first, UnixTime(1_300)).unwrap();
        assert_eq!(states(&ring, 1_300), [KeyState::Gone, KeyState::Active]);
        assert!(ring.is_revoked(&ring.keys[0].public));
        let again = KeyRing::from_json(&ring.to_json(), UnixTime(1_300)).unwrap();
        assert_eq!(published(&again, 1_300), 1);
        let unknown = ring.revoke("ghost", NOW);
        assert_eq!(unknown, Err(KeyRingError::Unknown("ghost".to_owned())));
    }

    #[test]
    fn a_ring_that_cannot_sign_is_refused() {
        let ring = rotated();
        let mut file: serde_json::Value = serde_json::from_str(&ring.to_json()).unwrap();
        file["keys"][1]["jwk"].as_object_mut().unwrap().remove("d");
        let refused = KeyRing::from_json(&file.to_string(), NOW).unwrap_err();
        assert_eq!(refused, KeyRingError::NoneSigns);
        file["keys"][1] = file["keys"][0].clone();
        let refused = KeyRing::from_json(&file.to_string(), NOW).unwrap_err();
        assert!(matches!(refused, KeyRingError::Twice(_)));
        for text in ["", "{}", r#"{"keys":[]}"#, r#"{"kty":"oct","k":"AAAA"}"#] {
            let refused = KeyRing::from_json(text, NOW).unwrap_err();
            let expected = [KeyRingError::Malformed, KeyRingError::NoneSigns];
            assert!(expected.contains(&refused), "{text}");
        }
    }

    #[test]
    fn a_key_in_a_token_is_in_the_file_with_its_public_half_and_where_it_is() {
        let mut ring = KeyRing::from(key(SigningAlgorithm::EdDsa));
        let public = key(SigningAlgorithm::Es256).to_public_jwk();
        let uri: KeyUri = "pkcs11:token=hsm;object=next".parse().unwrap();
        let next = NextKey::InToken(uri.clone(), Box::new(public.clone()));
        ring.rotate(next, UnixTime(1_300), LIFE, NOW).unwrap();
        let again = NextKey::InToken(uri.clone(), Box::new(public));
        let twice = ring.rotate(again, UnixTime(2_000), LIFE, UnixTime(1_300));
        assert!(matches!(twice, Err(KeyRingError::Twice(_))));

        let text = ring.to_json();
        let ring = KeyRing::from_json(&text, NOW).unwrap();
        assert_eq!(ring.to_json(), text);
        assert_eq!(ring.last().and_then(RingKey::uri), Some(&uri));
        assert!(ring.needs_hsm(NOW) && !ring.is_ready(NOW));
        assert_eq!(ring.active(UnixTime(1_300)).algorithm(), "ES256");

        let mut ring = ring;
        let third = key(SigningAlgorithm::EdDsa);
        let now = UnixTime(1_400);
        ring.rotate(third, now, LIFE, now).unwrap();
        assert!(!ring.needs_hsm(now) && ring.is_ready(now));
        let place = ring.keys(LIFE, now).find_map(|(key, _)| key.uri().cloned());
        assert_eq!(place, Some(uri));
    }

    #[test]
    fn a_secret_key_does_not_stand_where_a_public_one_belongs() {
        let secret = key(SigningAlgorithm::EdDsa).to_jwk();
        let symmetric = serde_json::json!({"kty": "oct", "kid": "k", "k": "A".repeat(43)});
        let active = serde_json::to_value(key(SigningAlgorithm::EdDsa).to_jwk()).unwrap();
        let uri = "pkcs11:token=hsm;object=next";
        for first in [
            serde_json::json!({"signs_from": 0, "jwk": secret, "pkcs11": uri}),
            serde_json::json!({"signs_from": 0, "jwk": symmetric, "pkcs11": uri}),
            serde_json::json!({"signs_from": 0, "jwk": symmetric}),
        ] {
            let last = serde_json::json!({"signs_from": 1, "jwk": active});
            let ring = serde_json::json!({"keys": [first, last]}).to_string();
            let refused = KeyRing::from_json(&ring, NOW).unwrap_err();
            assert_eq!(refused, KeyRingError::Malformed);
        }
    }

    #[test]
    fn a_ring_has_a_bound() {
        let mut ring = KeyRing::from(key(SigningAlgorithm::EdDsa));
        let mut now = NOW;
        for _ in 1..KeyRing::MAX_KEYS {
            ring.rotate(key(SigningAlgorithm::EdDsa), now, 1_000_000, now)
                .unwrap();
            now = now.plus_secs(1);
        }
        let refused = ring.rotate(key(SigningAlgorithm::EdDsa), now, 1_000_000, now);
        assert_eq!(refused, Err(KeyRingError::Full));
    }
}
