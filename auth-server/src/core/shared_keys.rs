//! The keys that are shared with a resource server for one purpose: the one in use, the one that will be, and those that were and with which
//! things were made that still live. The states are those of signing keys.

use crate::key_ring::KeyState;
use symbolon_ace_proto::{SymmetricKey, UnixTime, derivation_mark, jwe::ContentKey};

/// How much longer than the resource server we keep what is encrypted under a content key readable, seconds: as long as a refresh token waits.
const KEPT_SECS: u64 = 30 * 24 * 3600;

/// The most keys that are remembered.
const KEPT_AT_MOST: usize = 16;

/// What a shared key is for; each has one algorithm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyPurpose {
    /// Encrypts symmetric proof-of-possession keys.
    Content,
    /// Authenticates tokens.
    Mac,
    /// Derives symmetric proof-of-possession keys.
    Derivation,
}

/// A key, and when it is used. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct SharedKey {
    pub(crate) purpose: KeyPurpose,
    pub(crate) kid: String,
    pub(crate) key: SymmetricKey,
    pub(crate) used_from: UnixTime,
    /// Until when something lives that was made with it; `None` for the last one.
    pub(crate) good_until: Option<UnixTime>,
}

/// All keys for one purpose, by when they are used.
#[derive(Clone, Debug)]
pub struct SharedKeyRing {
    purpose: KeyPurpose,
    keys: Vec<SharedKey>,
}

/// Why keys do not rotate.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SharedKeyError {
    /// There is none to rotate.
    #[error("no {0} key is shared")]
    None(&'static str),
    /// A next key is there already; which.
    #[error("{0:?} is known to both already and comes into use soon; it does at once with --now")]
    NextIsThere(String),
    /// As many as a resource server takes are good.
    #[error("{max} {0} keys are shared, and what was made with each may still live", max = SharedKeyRing::MAX_KEYS)]
    Full(&'static str),
    /// Another key has this name, or one that cannot be told from it.
    #[error("another {0} key has this name")]
    Twice(&'static str),
}

impl KeyPurpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Content, Self::Mac, Self::Derivation];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Mac => "mac",
            Self::Derivation => "derivation",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

impl SharedKey {
    /// Its name; of a derivation key from before it rotated it may be empty.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Until when something lives that was made with it; `None` for the last one.
    pub fn good_until(&self) -> Option<UnixTime> {
        self.good_until
    }

    /// A key from ever and for ever.
    pub(crate) fn only(purpose: KeyPurpose, kid: &str, key: &SymmetricKey) -> Self {
        Self {
            purpose,
            kid: kid.to_owned(),
            key: key.clone(),
            used_from: UnixTime(0),
            good_until: None,
        }
    }
}

impl SharedKeyRing {
    /// The most keys that a resource server takes for one purpose.
    pub const MAX_KEYS: usize = 4;

    /// Those of `keys` that are for this purpose.
    pub(crate) fn of(purpose: KeyPurpose, keys: &[SharedKey]) -> Self {
        let own = keys.iter().filter(|key| key.purpose == purpose);
        let mut keys: Vec<SharedKey> = own.cloned().collect();
        keys.sort_by_key(|key| key.used_from);
        Self { purpose, keys }
    }

    /// What for.
    pub fn purpose(&self) -> KeyPurpose {
        self.purpose
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn all(&self) -> &[SharedKey] {
        &self.keys
    }

    /// The one in use.
    pub(crate) fn active(&self, now: UnixTime) -> Option<&SharedKey> {
        let active = self.keys.iter().rev().find(|key| key.used_from <= now);
        // Where a clock was set back.
        active.or(self.keys.first())
    }

    /// Each key with what it does, in the order in which they are used. Those that are gone are good at the resource server no more.
    pub fn states(&self, now: UnixTime) -> impl Iterator<Item = (&SharedKey, KeyState)> {
        let active = self.active(now).map(|key| key.kid.clone());
        self.keys.iter().map(move |key| {
            let state = match key.good_until {
                _ if active.as_ref() == Some(&key.kid) => KeyState::Active,
                _ if key.used_from > now => KeyState::Next(key.used_from),
                Some(until) if until > now => KeyState::Retired(until),
                Some(_) | None => KeyState::Gone,
            };
            (key, state)
        })
    }

    /// Puts a key behind all others, which is used from `used_from` on. Nothing lives longer than `lifetime_secs` that is made with a key.
    pub(crate) fn rotate(
        &mut self,
        next: &ContentKey,
        used_from: UnixTime,
        lifetime_secs: u64,
        now: UnixTime,
    ) -> Result<(), SharedKeyError> {
        self.has_room(now)?;
        if self.keys.iter().any(|key| self.is_confused(key, next)) {
            return Err(SharedKeyError::Twice(self.purpose.as_str()));
        }
        if let Some(last) = self.keys.last_mut() {
            last.good_until = Some(used_from.plus_secs(lifetime_secs));
        }
        self.keys.push(SharedKey {
            used_from,
            ..SharedKey::only(self.purpose, &next.kid, &next.key)
        });
        Ok(())
    }

    /// Whether there can be a next key, once what has run out is forgotten.
    pub fn has_room(&mut self, now: UnixTime) -> Result<(), SharedKeyError> {
        self.forget(now);
        let last = self.keys.last();
        let last = last.ok_or(SharedKeyError::None(self.purpose.as_str()))?;
        if last.used_from > now {
            return Err(SharedKeyError::NextIsThere(last.kid.clone()));
        }
        let good = self.states(now);
        if good.filter(|(_, state)| *state != KeyState::Gone).count() >= Self::MAX_KEYS {
            return Err(SharedKeyError::Full(self.purpose.as_str()));
        }
        Ok(())
    }

    /// Lets the key that waits be used at once; `false` where none waits.
    pub(crate) fn hasten(&mut self, lifetime_secs: u64, now: UnixTime) -> bool {
        let [.., before, last] = &mut self.keys[..] else {
            return false;
        };
        if last.used_from <= now {
            return false;
        }
        last.used_from = now;
        before.good_until = Some(now.plus_secs(lifetime_secs));
        true
    }

    fn is_confused(&self, key: &SharedKey, next: &ContentKey) -> bool {
        let same_mark = || derivation_mark(&key.kid) == derivation_mark(&next.kid);
        key.kid == next.kid
            || key.key == next.key
            || (self.purpose == KeyPurpose::Derivation && same_mark())
    }

    fn forget(&mut self, now: UnixTime) {
        let ends = |until: UnixTime| until.plus_secs(KEPT_SECS);
        self.keys
            .retain(|key| key.good_until.is_none_or(|until| ends(until) > now));
        let is_gone = |key: &SharedKey| key.good_until.is_some_and(|until| until <= now);
        let gone = self.keys.iter().take_while(|key| is_gone(key)).count();
        let surplus = self.keys.len().saturating_sub(KEPT_AT_MOST);
        self.keys.drain(..surplus.min(gone));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_000);
    const LIFE: u64 = 60;

    fn key() -> ContentKey {
        ContentKey::generate().unwrap()
    }

    fn ring(purpose: KeyPurpose) -> SharedKeyRing {
        let key = key();
        SharedKeyRing::of(purpose, &[SharedKey::only(purpose, &key.kid, &key.key)])
    }

    fn states(ring: &SharedKeyRing, now: u64) -> Vec<KeyState> {
        ring.states(UnixTime(now)).map(|(_, state)| state).collect()
    }

    #[test]
    fn the_next_key_is_known_before_it_is_used_and_the_last_until_all_has_run_out() {
        let mut ring = ring(KeyPurpose::Content);
        ring.rotate(&key(), UnixTime(1_300), LIFE, NOW).unwrap();
        let next = KeyState::Next(UnixTime(1_300));
        assert_eq!(states(&ring, 1_299), [KeyState::Active, next]);
        let retired = KeyState::Retired(UnixTime(1_360));
        assert_eq!(states(&ring, 1_300), [retired, KeyState::Active]);
        assert_eq!(states(&ring, 1_360), [KeyState::Gone, KeyState::Active]);
        let refused = ring.rotate(&key(), UnixTime(2_000), LIFE, NOW);
        assert!(matches!(refused, Err(SharedKeyError::NextIsThere(_))));
    }

    #[test]
    fn a_key_that_waits_may_be_used_at_once() {
        let mut ring = ring(KeyPurpose::Mac);
        assert!(!ring.hasten(LIFE, NOW));
        ring.rotate(&key(), UnixTime(1_300), LIFE, NOW).unwrap();
        assert!(ring.hasten(LIFE, NOW));
        let retired = KeyState::Retired(UnixTime(1_060));
        assert_eq!(states(&ring, 1_000), [retired, KeyState::Active]);
        assert!(!ring.hasten(LIFE, NOW));
    }

    #[test]
    fn no_more_keys_are_good_than_a_resource_server_takes_and_old_ones_are_forgotten_at_last() {
        let mut ring = ring(KeyPurpose::Content);
        for second in 0..3 {
            let now = UnixTime(1_000 + second);
            ring.rotate(&key(), now, LIFE, now).unwrap();
        }
        let now = UnixTime(1_003);
        let full = ring.rotate(&key(), now, LIFE, now);
        assert_eq!(full, Err(SharedKeyError::Full("content")));
        let now = UnixTime(1_100);
        ring.rotate(&key(), now, LIFE, now).unwrap();
        // Refresh tokens may still be under the others.
        assert_eq!(ring.all().len(), 5);
        let now = now.plus_secs(KEPT_SECS + LIFE);
        ring.rotate(&key(), now, LIFE, now).unwrap();
        assert_eq!(ring.all().len(), 2);
    }

    #[test]
    fn a_key_comes_once_and_none_comes_where_none_is() {
        let mut ring = ring(KeyPurpose::Derivation);
        let again = ContentKey {
            kid: "other".to_owned(),
            key: ring.all()[0].key.clone(),
        };
        let named = ContentKey {
            kid: ring.all()[0].kid.clone(),
            ..key()
        };
        for twice in [again, named] {
            let refused = ring.rotate(&twice, NOW, LIFE, NOW);
            assert_eq!(refused, Err(SharedKeyError::Twice("derivation")));
        }
        let mut empty = SharedKeyRing::of(KeyPurpose::Mac, ring.all());
        let refused = empty.rotate(&key(), NOW, LIFE, NOW);
        assert_eq!(refused, Err(SharedKeyError::None("mac")));
    }
}
