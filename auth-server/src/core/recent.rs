//! A table that forgets what was not touched for longest, and never grows past a bound.

use std::{collections::HashMap, hash::Hash};

/// Values by key, in two halves: once the young one is full it becomes the old one, and what the old one had is forgotten. What is touched moves
/// to the young one. So a value is kept at least until half of `most` others were touched after it.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// At most so many, and at least 2.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (most / 2).max(1),
        }
    }

    /// The value, if it is still there.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The value to change, made where there is none.
    pub(crate) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let before = self.old.remove(&key);
        self.young
            .entry(key)
            .or_insert_with(|| before.unwrap_or_else(new))
    }

    /// Forgets one.
    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_bound_and_keeps_what_is_touched() {
        let mut recent = Recent::new(10);
        *recent.entry(0, || 0) = 7;
        for key in 1..1_000 {
            *recent.entry(key, || 0) = key;
            assert!(recent.len() <= 10);
            *recent.entry(0, || 0) += 1;
        }
        assert_eq!(recent.get(&0), Some(&(7 + 999)));
        assert_eq!(recent.get(&999), Some(&999));
        assert_eq!(recent.get(&1), None);
        recent.remove(&0);
        assert_eq!(recent.get(&0), None);
    }
}
