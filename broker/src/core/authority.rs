//! The authorization servers: whose tokens count, and which keys vouch for which of them. The keys of one never vouch for tokens of another.

use std::sync::Arc;
use symbolon_ace_proto::{AsHint, Confirmation, DerivationKey, KeySet, PopKey, jwe::ContentKeys};

/// One authorization server, and this broker as it knows it.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    /// `iss` of its tokens.
    pub(crate) issuer: Arc<str>,
    /// This broker's audience there.
    pub(crate) audience: String,
    pub(crate) content_keys: ContentKeys,
    /// What the keys of its tokens are derived with (RFC 9202 §3.3.1).
    pub(crate) derivation_keys: Vec<DerivationKey>,
    /// It can be asked what a token by reference says.
    pub(crate) introspection: bool,
    /// The value of `ace_as_hint` (RFC 9431 §2.4.1).
    pub(crate) hint: AsHint,
}

/// The keys that verify tokens, by the issuer that they are of.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySets {
    sets: Vec<(Arc<str>, KeySet)>,
    /// Another one whenever there are other keys.
    generation: u64,
}

/// The key that a token is bound to, and its name in `cnf`.
pub(crate) type NamedKey = (PopKey, Option<Vec<u8>>);

impl KeySets {
    /// Of these authorization servers.
    pub(crate) fn new(sets: Vec<(Arc<str>, KeySet)>) -> Self {
        Self {
            sets,
            generation: 0,
        }
    }

    /// What comes after `before`.
    #[must_use]
    pub(crate) fn after(self, before: &Self) -> Self {
        Self {
            generation: before.generation + 1,
            ..self
        }
    }

    /// Which they are, among all that there were.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The keys of the authorization server with this issuer.
    pub(crate) fn of(&self, issuer: &str) -> Option<&KeySet> {
        let mut sets = self.sets.iter();
        sets.find(|(of, _)| **of == *issuer).map(|(_, keys)| keys)
    }

    /// With these keys in place of those that the issuer had, if it is one of those that are here.
    #[must_use]
    pub(crate) fn with(&self, issuer: &str, keys: &KeySet) -> Self {
        if self.of(issuer).is_some_and(|held| held.is_same(keys)) {
            return self.clone();
        }
        let replaced = self.sets.iter().map(|(of, held)| {
            let keys = if **of == *issuer { keys } else { held };
            (Arc::clone(of), keys.clone())
        });
        Self::new(replaced.collect()).after(self)
    }
}

impl Authority {
    /// The key in `cnf`. Where only its name is there: the key of that name in `stored`, since a token with other rights for the same key need
    /// not carry it again (RFC 9202 §4); else the one that is derived from `token`, which is all that the token's own bytes are for.
    pub(crate) fn key_of(
        &self,
        confirmation: &Confirmation,
        token: &[u8],
        stored: impl FnOnce(&[u8]) -> Option<PopKey>,
    ) -> Option<NamedKey> {
        let Some(kid) = confirmation.key_identifier() else {
            return confirmation.resolve_named(&self.content_keys).ok();
        };
        let derived = || {
            let key = DerivationKey::choose(&self.derivation_keys, &kid)?;
            Some(PopKey::Hs256(key.derive(token)))
        };
        let key = stored(&kid).or_else(derived)?;
        Some((key, Some(kid)))
    }
}
