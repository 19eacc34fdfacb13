//! What tokens are signed with, and how long they live. It may change while the server runs.

use crate::{
    key_ring::{KeyRing, KeyState, PrivateHalf, RingKey},
    pkcs11::{Hsm, HsmError, KeyUri},
};
use std::time::{SystemTime, UNIX_EPOCH};
use symbolon_ace_proto::{Jwk, KeySet, PopError, SigningKey, UnixTime, jwt::SigningAlgorithm};

/// The most keys that are in no ring any more and stay in the key set; those that go first go first.
const KEPT_KEYS_AT_MOST: usize = 8;

/// What the next token is made with.
#[derive(Debug)]
pub(crate) struct Issuing {
    ring: KeyRing,
    token_lifetime_secs: u64,
    /// Keys with tokens from before the last change, whether the ring has them or not.
    kept: Vec<Kept>,
}

/// The key that signs now, wherever it is.
#[derive(Debug)]
pub(crate) enum Signer<'a> {
    Here(&'a SigningKey),
    InToken {
        hsm: &'a Hsm,
        uri: &'a KeyUri,
        key: &'a RingKey,
    },
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    /// The token is away, or slow: it may be there again soon.
    #[error("cannot sign: {0}")]
    Hsm(#[from] HsmError),
    #[error("cannot sign: {0}")]
    Key(#[from] PopError),
}

/// The public half of a key, and until when the last of its tokens may live.
#[derive(Clone, Debug)]
struct Kept {
    key: Jwk,
    until: UnixTime,
}

impl Issuing {
    pub(crate) fn new(ring: KeyRing, token_lifetime_secs: u64) -> Self {
        Self {
            ring,
            token_lifetime_secs,
            kept: Vec::new(),
        }
    }

    /// What comes after `before`. Tokens that `before` has issued stay good: its keys stay in the key set until the last has run out, unless
    /// the new ring revokes them.
    pub(crate) fn after(mut self, before: &Self, now: UnixTime) -> Self {
        let published = before.ring.published(before.token_lifetime_secs, now);
        let signed = published.into_iter().filter_map(|(key, state)| {
            let until = match state {
                KeyState::Active => now.plus_secs(before.token_lifetime_secs),
                KeyState::Retired(until) => until,
                KeyState::Next(_) | KeyState::Gone => return None,
            };
            Some(Kept { key, until })
        });
        for kept in before.kept.iter().cloned().chain(signed) {
            if kept.until <= now || self.ring.is_revoked(&kept.key) {
                continue;
            }
            let name = kept.key.to_json();
            match self
                .kept
                .iter_mut()
                .find(|known| known.key.to_json() == name)
            {
                Some(known) => known.until = known.until.max(kept.until),
                None => self.kept.push(kept),
            }
        }
        self.kept.sort_by_key(|kept| kept.until);
        let surplus = self.kept.len().saturating_sub(KEPT_KEYS_AT_MOST);
        self.kept.drain(..surplus);
        self
    }

    pub(crate) fn token_lifetime_secs(&self) -> u64 {
        self.token_lifetime_secs
    }

    /// The key that signs now.
    pub(crate) fn signing_key(&self) -> Result<Signer<'_>, SigningError> {
        let key = self.ring.active(now());
        Ok(match key.private_half() {
            Some(PrivateHalf::Here(key)) => Signer::Here(key),
            Some(PrivateHalf::InToken(uri)) => Signer::InToken {
                hsm: self.ring.hsm().ok_or(HsmError::NoPin)?,
                uri,
                key,
            },
            None => return Err(PopError::UnsupportedKey.into()),
        })
    }

    /// The keys that verify the tokens that are good now, and the one that will sign next; the one that signs is the first.
    pub(crate) fn key_set(&self, now: UnixTime) -> KeySet {
        let ring = self.ring.published(self.token_lifetime_secs, now);
        let mut keys: Vec<Jwk> = ring.into_iter().map(|(key, _)| key).collect();
        for kept in self.kept.iter().filter(|kept| kept.until > now) {
            let name = kept.key.to_json();
            if !keys.iter().any(|key| key.to_json() == name) {
                keys.push(kept.key.clone());
            }
        }
        KeySet::from_keys(keys)
    }
}

impl Signer<'_> {
    pub(crate) fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::Here(key) => key.algorithm(),
            Self::InToken { key, .. } if key.algorithm() == SigningAlgorithm::Es256.as_str() => {
                SigningAlgorithm::Es256
            }
            Self::InToken { .. } => SigningAlgorithm::EdDsa,
        }
    }

    pub(crate) fn kid(&self) -> &str {
        match self {
            Self::Here(key) => key.kid(),
            Self::InToken { key, .. } => key.kid(),
        }
    }

    /// The raw signature. At once with a key that we have; a token may take up to [`Hsm::LIMIT`].
    pub(crate) async fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, SigningError> {
        Ok(match self {
            Self::Here(key) => key.signature(signing_input)?,
            Self::InToken { hsm, uri, key } => hsm.sign(uri, key.public(), signing_input).await?,
        })
    }
}

/// The time of day, milliseconds since 1970.
pub(crate) fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The time of day.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 reads as 1970: every assertion is then from the future, and refused.
    UnixTime(since.map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_ace_proto::jwt::SigningAlgorithm;

    const NOW: UnixTime = UnixTime(1_000);

    fn key() -> SigningKey {
        SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()
    }

    fn issuing(lifetime_secs: u64) -> Issuing {
        Issuing::new(key().into(), lifetime_secs)
    }

    /// With the ring of another.
    fn same(other: &Issuing, lifetime_secs: u64) -> Issuing {
        let ring = KeyRing::from_json(&other.ring.to_json(), NOW).unwrap();
        Issuing::new(ring, lifetime_secs)
    }

    fn count(issuing: &Issuing, at: u64) -> usize {
        let json = issuing.key_set(UnixTime(at)).to_json();
        json.matches("\"kid\"").count()
    }

    #[test]
    fn a_replaced_key_verifies_until_its_last_token_has_run_out() {
        let second = issuing(5).after(&issuing(60), NOW);
        assert_eq!(count(&second, 1_059), 2);
        assert_eq!(count(&second, 1_060), 1);
    }

    #[test]
    fn a_key_that_stays_is_in_the_key_set_once() {
        let first = issuing(60);
        assert_eq!(count(&same(&first, 5).after(&first, NOW), 1_000), 1);
    }

    #[test]
    fn a_lifetime_made_shorter_does_not_cut_the_tokens_before_it() {
        let first = issuing(60);
        let shorter = same(&first, 5).after(&first, NOW);
        let second = issuing(5).after(&shorter, NOW);
        assert_eq!(count(&second, 1_059), 2);
        assert_eq!(count(&second, 1_060), 1);
    }

    #[test]
    fn the_key_set_does_not_grow_for_ever() {
        let mut last = issuing(60);
        for _ in 0..20 {
            last = issuing(60).after(&last, NOW);
        }
        assert_eq!(count(&last, 1_000), 1 + KEPT_KEYS_AT_MOST);
    }

    #[test]
    fn a_lifetime_made_shorter_does_not_cut_the_tokens_of_a_ring_that_turned() {
        let first = issuing(60);
        let mut turned = same(&first, 5);
        turned.ring.rotate(key(), NOW, 5, NOW).unwrap();
        let turned = turned.after(&first, NOW);
        assert_eq!(count(&turned, 1_059), 2);
        assert_eq!(count(&turned, 1_060), 1);
    }

    #[test]
    fn a_key_that_the_new_ring_revokes_is_gone_at_once() {
        let first = issuing(60);
        let mut turned = same(&first, 60);
        turned.ring.rotate(key(), NOW, 60, NOW).unwrap();
        let kid = turned.ring.keys(60, NOW).next().unwrap().0.kid().to_owned();
        turned.ring.revoke(&kid, NOW).unwrap();
        assert_eq!(count(&turned.after(&first, NOW), 1_000), 1);
    }
}
