//! What tokens are signed with, and how long they live. It may change while the server runs.

use std::time::{SystemTime, UNIX_EPOCH};
use symbolon_ace_proto::{Jwk, KeySet, SigningKey, UnixTime};

/// The most replaced keys that stay in the key set; the oldest goes first.
const RETIRED_KEYS_AT_MOST: usize = 8;

/// What the next token is made with.
#[derive(Debug)]
pub(crate) struct Issuing {
    signing_key: SigningKey,
    token_lifetime_secs: u64,
    /// Until when tokens may live that were signed with this key before the lifetime was last changed.
    earlier_tokens_until: UnixTime,
    /// Keys that were replaced, the oldest first.
    retired: Vec<Retired>,
}

/// The public half of a key that signs no more, and until when the last of its tokens may live.
#[derive(Clone, Debug)]
struct Retired {
    key: Jwk,
    until: UnixTime,
}

impl Issuing {
    pub(crate) fn new(signing_key: SigningKey, token_lifetime_secs: u64) -> Self {
        Self {
            signing_key,
            token_lifetime_secs,
            earlier_tokens_until: UnixTime(0),
            retired: Vec::new(),
        }
    }

    /// What comes after `before`. Tokens that `before` has issued stay good: its key stays in the key set until the last has run out.
    pub(crate) fn after(mut self, before: &Self, now: UnixTime) -> Self {
        let own = self.signing_key.to_public_jwk().to_json();
        let until = now.plus_secs(before.token_lifetime_secs);
        let mut retired = before.retired.clone();
        retired.push(Retired {
            key: before.signing_key.to_public_jwk(),
            until: until.max(before.earlier_tokens_until),
        });
        retired.retain(|retired| retired.until > now);
        let (again, mut retired): (Vec<_>, Vec<_>) = retired
            .into_iter()
            .partition(|retired| retired.key.to_json() == own);
        // A key that stays, or comes back, is no retired one; its tokens are remembered.
        let again = again.into_iter().map(|retired| retired.until);
        self.earlier_tokens_until = again.max().unwrap_or(UnixTime(0));
        let surplus = retired.len().saturating_sub(RETIRED_KEYS_AT_MOST);
        self.retired = retired.split_off(surplus);
        self
    }

    pub(crate) fn token_lifetime_secs(&self) -> u64 {
        self.token_lifetime_secs
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    /// The keys that verify the tokens that are good now.
    pub(crate) fn key_set(&self, now: UnixTime) -> KeySet {
        let retired = self.retired.iter().filter(|retired| retired.until > now);
        let own = self.signing_key.to_public_jwk();
        let keys = retired.map(|retired| retired.key.clone());
        KeySet::from_keys(std::iter::once(own).chain(keys).collect())
    }
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

    fn issuing(lifetime_secs: u64) -> Issuing {
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        Issuing::new(key, lifetime_secs)
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
        let same = SigningKey::from_jwk(&first.signing_key.to_jwk()).unwrap();
        assert_eq!(count(&Issuing::new(same, 5).after(&first, NOW), 1_000), 1);
    }

    #[test]
    fn a_lifetime_made_shorter_does_not_cut_the_tokens_before_it() {
        let first = issuing(60);
        let same = SigningKey::from_jwk(&first.signing_key.to_jwk()).unwrap();
        let shorter = Issuing::new(same, 5).after(&first, NOW);
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
        assert_eq!(count(&last, 1_000), 1 + RETIRED_KEYS_AT_MOST);
    }
}
