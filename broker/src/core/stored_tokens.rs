//! Tokens that clients published to `authz-info` or brought in CONNECT, by their proof-of-possession key (RFC 9431 §2.2.2, §2.4.2,
//! RFC 9200 §5.10.1). Those of one authorization server never stand in the place of another's, whatever keys and names are in them.
//!
//! One lock for all shards. It is taken when a token is published, which is rare, and when a client connects; never on the path of a PUBLISH.

use super::grant::{Grant, TokenMarks};
use aws_lc_rs::digest;
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

/// The place of a token: a hash of its issuer, and of its key or of a name.
type Place = [u8; 32];

/// A valid token, whether or not somebody has proved to hold its key.
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
    /// By which keys and under which configuration it was found good; `None` of a token by reference.
    pub judged_by: Option<(u64, u64)>,
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
    by_key: HashMap<Place, Arc<StoredToken>>,
    /// By whom a token speaks for: the newest of each name.
    by_name: HashMap<Place, Arc<StoredToken>>,
    /// By the key's name in `cnf`: the newest of each.
    by_key_identifier: HashMap<Place, Arc<StoredToken>>,
    /// By the token itself, under each of its names.
    by_token: HashMap<TokenHash, Arc<StoredToken>>,
    by_end: BTreeSet<(UnixTime, Place)>,
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
            judged_by: None,
        }
    }

    fn end(&self) -> UnixTime {
        self.grant.expires_at().unwrap_or(UnixTime(0))
    }

    fn issuer(&self) -> &str {
        self.grant.holder().map_or("", |holder| &holder.issuer)
    }

    fn names(&self) -> impl Iterator<Item = TokenHash> {
        let names = self.grant.token_marks().map(TokenMarks::names);
        names.into_iter().flatten()
    }

    fn place(&self) -> Place {
        place(self.issuer(), &self.key.thumbprint())
    }

    fn place_by_name(&self) -> Option<Place> {
        let name = self.grant.holder()?.name.as_deref()?;
        Some(place(self.issuer(), name.as_bytes()))
    }

    fn place_by_key_identifier(&self) -> Option<Place> {
        let kid = self.key_identifier.as_deref()?;
        Some(place(self.issuer(), kid))
    }
}

fn place(issuer: &str, name: &[u8]) -> Place {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(issuer.len() as u64).to_be_bytes());
    context.update(issuer.as_bytes());
    context.update(name);
    let mut place = [0; 32];
    place.copy_from_slice(context.finish().as_ref());
    place
}

impl StoredTokens {
    /// Stores a token; one for the same key is replaced (RFC 9200 §5.10.1), unless it was issued later: whoever has seen an old token could
    /// bring it back otherwise.
    pub fn insert(
        &self,
        token: impl Into<Arc<StoredToken>>,
        capacity: Capacity,
        now: UnixTime,
    ) -> Result<Arc<StoredToken>, NotStored> {
        let token = token.into();
        let place = token.place();
        let mut all = self.write();
        all.forget_expired(now);
        let earlier = all.by_key.get(&place);
        if earlier.is_some_and(|earlier| earlier.issued_at > token.issued_at) {
            return Err(NotStored::Older);
        }
        // What replaces another needs no place, and bytes only as far as it has more.
        if earlier.is_none() && all.by_key.len() >= capacity.tokens {
            return Err(NotStored::Tokens);
        }
        let freed = earlier.map_or(0, |earlier| earlier.size);
        let bytes = (all.bytes - freed).saturating_add(token.size);
        if bytes > capacity.bytes && token.size > freed {
            return Err(NotStored::Bytes);
        }
        all.remove(&place);
        all.put(place, Arc::clone(&token));
        Ok(token)
    }

    /// This issuer's token for this key, if there is one that is valid.
    pub fn by_key(
        &self,
        issuer: &str,
        thumbprint: &Thumbprint,
        now: UnixTime,
    ) -> Option<Arc<StoredToken>> {
        valid(self.read().by_key.get(&place(issuer, thumbprint))?, now)
    }

    /// Its newest token whose key has this name in `cnf`.
    pub fn by_key_identifier(
        &self,
        issuer: &str,
        kid: &[u8],
        now: UnixTime,
    ) -> Option<Arc<StoredToken>> {
        let place = place(issuer, kid);
        valid(self.read().by_key_identifier.get(&place)?, now)
    }

    /// Its newest token that speaks for the client of this name.
    pub fn by_name(&self, issuer: &str, name: &str, now: UnixTime) -> Option<Arc<StoredToken>> {
        let place = place(issuer, name.as_bytes());
        valid(self.read().by_name.get(&place)?, now)
    }

    /// This token, by its own bytes.
    pub fn by_token(&self, token: &[u8], now: UnixTime) -> Option<Arc<StoredToken>> {
        let hash = TokenHash::of_json_answer(token);
        let all = self.read();
        let named = all.by_token.get(&hash)?;
        // The other name is that of another text, which is no token.
        let is_its_own = named.names().next() == Some(hash);
        is_its_own.then(|| valid(named, now)).flatten()
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
        let hit = revoked.iter().filter_map(|name| all.by_token.get(name));
        let hit: BTreeSet<Place> = hit.map(|token| token.place()).collect();
        for place in hit {
            all.remove(&place);
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
    fn put(&mut self, place: Place, token: Arc<StoredToken>) {
        if let Some(name) = token.place_by_name() {
            self.by_name.insert(name, Arc::clone(&token));
        }
        if let Some(kid) = token.place_by_key_identifier() {
            self.by_key_identifier.insert(kid, Arc::clone(&token));
        }
        for name in token.names() {
            self.by_token.insert(name, Arc::clone(&token));
        }
        self.by_end.insert((token.end(), place));
        self.bytes += token.size;
        self.by_key.insert(place, token);
    }

    fn remove(&mut self, place: &Place) {
        let Some(token) = self.by_key.remove(place) else {
            return;
        };
        self.bytes -= token.size;
        self.by_end.remove(&(token.end(), *place));
        for name in token.names() {
            self.by_token.remove(&name);
        }
        // A name may be another token's by now.
        if let Some(name) = token.place_by_name()
            && (self.by_name.get(&name)).is_some_and(|named| Arc::ptr_eq(named, &token))
        {
            self.by_name.remove(&name);
        }
        if let Some(kid) = token.place_by_key_identifier()
            && (self.by_key_identifier.get(&kid)).is_some_and(|named| Arc::ptr_eq(named, &token))
        {
            self.by_key_identifier.remove(&kid);
        }
    }

    fn has_expired(&self, now: UnixTime) -> bool {
        self.by_end.first().is_some_and(|(end, _)| *end <= now)
    }

    fn forget_expired(&mut self, now: UnixTime) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some((end, place)) = self.by_end.first().copied() else {
                return;
            };
            if end > now {
                return;
            }
            self.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests;
