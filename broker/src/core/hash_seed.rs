//! The secret of the hashes over text that strangers choose.

use std::hash::{BuildHasher, Hasher};

/// The secret of a keyed hash. Topics are chosen by clients: with a hash that they can compute, one client could aim all its topics at one
/// bucket and make every look-up there a linear search. The caller draws the words at random, once for each shard.
#[derive(Clone)]
pub struct HashSeed(ahash::RandomState);

impl HashSeed {
    /// From 256 random bits.
    pub fn from_words(words: [u64; 4]) -> Self {
        let [a, b, c, d] = words;
        Self(ahash::RandomState::with_seeds(a, b, c, d))
    }

    /// For a map whose keys strangers choose.
    pub(super) fn state(&self) -> ahash::RandomState {
        self.0.clone()
    }

    /// The hash of a whole text.
    #[inline]
    pub fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(text);
        hasher.finish()
    }

    /// The hash of a text that counts only below `parent`.
    #[inline]
    pub(super) fn hash_below(&self, parent: u32, text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u32(parent);
        hasher.write(text);
        hasher.finish()
    }
}

impl std::fmt::Debug for HashSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashSeed(..)")
    }
}
