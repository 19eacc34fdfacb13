//! Tokens that clients published to `authz-info`, by their proof-of-possession key (RFC 9431 §2.2.2, RFC 9200 §5.10.1).
//!
//! One lock for all shards. It is taken when a token is published, which is rare, and when a client connects; never on the path of a PUBLISH.

use super::grant::Grant;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use symbolon_ace_proto::{PopKey, TokenHash, UnixTime};

/// What identifies a proof-of-possession key: its JWK Thumbprint (RFC 7638, SHA-256).
pub type Thumbprint = [u8; 32];

/// What a stored token takes besides the bytes it had, at most, in our reckoning: its places in the tables.
const OVERHEAD_BYTES: usize = 512;
/// Expired tokens that are forgotten at once; the others are forgotten at the next occasion.
const FORGOTTEN_AT_ONCE: usize = 1_024;

/// A valid token whose key nobody has proved to hold yet.
#[derive(Debug)]
pub struct StoredToken {
    /// What it allows. The public topics in it are those of the time when it came.
    pub grant: Grant,
    /// What a client must prove to hold.
    pub key: PopKey,
    /// The name of the key in `cnf`, bytes.
    pub key_identifier: Option<Box<[u8]>>,
    /// `iat`.
    pub issued_at: Option<UnixTime>,
    /// What it counts for, bytes.
    pub size: usize,
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Tokens.
    pub tokens: usize,
    /// Bytes of them, each with an allowance for the tables.
    pub bytes: usize,
}

/// Why a valid token is not stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotStored {
    /// There are as many as there may be.
    Tokens,
    /// They have as many bytes as they may.
    Bytes,
    /// The token stored for its key was issued later.
    Older,
}

/// All stored tokens, shared by the shards.
#[derive(Debug, Default)]
pub struct StoredTokens(RwLock<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    by_key: HashMap<Thumbprint, Arc<StoredToken>>,
    /// By whom a token speaks for: the newest of each name.
    by_name: HashMap<Box<str>, Arc<StoredToken>>,
    /// By the key's name in `cnf`: the newest of each.
    by_key_identifier: HashMap<Box<[u8]>, Arc<StoredToken>>,
    by_end: BTreeSet<(UnixTime, Thumbprint)>,
    bytes: usize,
}

impl StoredToken {
    /// Of a token of `length` bytes.
    pub fn new(grant: Grant, key: PopKey, length: usize) -> Self {
        Self {
            grant,
            key,
            key_identifier: None,
            issued_at: None,
            size: length + OVERHEAD_BYTES,
        }
    }

    fn end(&self) -> UnixTime {
        self.grant.expires_at().unwrap_or(UnixTime(0))
    }

    fn name(&self) -> Option<&str> {
        self.grant.holder()?.name.as_deref()
    }
}

impl StoredTokens {
    /// Stores a token; one for the same key is replaced (RFC 9200 §5.10.1), unless it was issued later: whoever has seen an old token could
    /// bring it back otherwise.
    pub fn insert(
        &self,
        token: StoredToken,
        capacity: Capacity,
        now: UnixTime,
    ) -> Result<Arc<StoredToken>, NotStored> {
        let thumbprint = token.key.thumbprint();
        let mut all = self.write();
        all.forget_expired(now);
        let (mut tokens, mut bytes) = (all.by_key.len(), all.bytes);
        if let Some(earlier) = all.by_key.get(&thumbprint) {
            if earlier.issued_at > token.issued_at {
                return Err(NotStored::Older);
            }
            tokens -= 1;
            bytes -= earlier.size;
        }
        if tokens >= capacity.tokens {
            return Err(NotStored::Tokens);
        }
        if bytes.saturating_add(token.size) > capacity.bytes {
            return Err(NotStored::Bytes);
        }
        all.remove(&thumbprint);
        let token = Arc::new(token);
        all.put(thumbprint, Arc::clone(&token));
        Ok(token)
    }

    /// The token for this key, if there is one that is valid.
    pub fn by_key(&self, thumbprint: &Thumbprint, now: UnixTime) -> Option<Arc<StoredToken>> {
        valid(self.read().by_key.get(thumbprint)?, now)
    }

    /// The newest token whose key has this name in `cnf`.
    pub fn by_key_identifier(&self, kid: &[u8], now: UnixTime) -> Option<Arc<StoredToken>> {
        valid(self.read().by_key_identifier.get(kid)?, now)
    }

    /// The newest token that speaks for the client of this name.
    pub fn by_name(&self, name: &str, now: UnixTime) -> Option<Arc<StoredToken>> {
        valid(self.read().by_name.get(name)?, now)
    }

    /// Forgets some of those that have expired.
    pub fn sweep(&self, now: UnixTime) {
        // Most of the time there is nothing to do, and then nobody is kept from reading.
        if self.read().has_expired(now) {
            self.write().forget_expired(now);
        }
    }

    /// Forgets those that were revoked.
    pub fn revoke(&self, revoked: &HashSet<TokenHash>) {
        let mut all = self.write();
        let is_revoked = |token: &Arc<StoredToken>| {
            (token.grant.token_marks()).is_some_and(|marks| marks.are_among(revoked))
        };
        // Found by their order, and not by the hash's.
        let ends = all.by_end.iter();
        let hit = ends.filter(|(_, key)| all.by_key.get(key).is_some_and(is_revoked));
        let hit: Vec<Thumbprint> = hit.map(|(_, key)| *key).collect();
        for key in hit {
            all.remove(&key);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.read().by_key.len()
    }

    /// What they count for, bytes.
    pub fn bytes(&self) -> usize {
        self.read().bytes
    }

    /// Tables stay true whoever panics: nothing in here can between two changes.
    fn read(&self) -> RwLockReadGuard<'_, Shelf> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn valid(token: &Arc<StoredToken>, now: UnixTime) -> Option<Arc<StoredToken>> {
    (!token.grant.is_expired(now)).then(|| Arc::clone(token))
}

impl Shelf {
    fn put(&mut self, thumbprint: Thumbprint, token: Arc<StoredToken>) {
        if let Some(name) = token.name() {
            self.by_name.insert(name.into(), Arc::clone(&token));
        }
        if let Some(kid) = &token.key_identifier {
            self.by_key_identifier
                .insert(kid.clone(), Arc::clone(&token));
        }
        self.by_end.insert((token.end(), thumbprint));
        self.bytes += token.size;
        self.by_key.insert(thumbprint, token);
    }

    fn remove(&mut self, thumbprint: &Thumbprint) {
        let Some(token) = self.by_key.remove(thumbprint) else {
            return;
        };
        self.bytes -= token.size;
        self.by_end.remove(&(token.end(), *thumbprint));
        // A name may be another token's by now.
        if let Some(name) = token.name()
            && (self.by_name.get(name)).is_some_and(|named| Arc::ptr_eq(named, &token))
        {
            self.by_name.remove(name);
        }
        if let Some(kid) = &token.key_identifier
            && (self.by_key_identifier.get(kid)).is_some_and(|named| Arc::ptr_eq(named, &token))
        {
            self.by_key_identifier.remove(kid);
        }
    }

    fn has_expired(&self, now: UnixTime) -> bool {
        self.by_end.first().is_some_and(|(end, _)| *end <= now)
    }

    fn forget_expired(&mut self, now: UnixTime) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some((end, thumbprint)) = self.by_end.first().copied() else {
                return;
            };
            if end > now {
                return;
            }
            self.remove(&thumbprint);
        }
    }
}

#[cfg(test)]
mod tests;
