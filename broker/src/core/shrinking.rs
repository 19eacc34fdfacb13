//! What a peak took is given back: tables that have grown shrink again once they are nearly empty.
//!
//! It is looked at once a second, and a table is made smaller only when it would hold four times as much, so that what shrinking costs is
//! paid by what made it grow.

use super::shard::Shard;
use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash},
};

/// A table for so many is never made smaller.
const KEPT: usize = 256;
/// A table shrinks where it would hold so many times what it holds.
const ROOMY: usize = 4;

/// Whether a table with room for `capacity` is far too large for `len`.
pub(super) fn is_roomy(capacity: usize, len: usize) -> bool {
    capacity > KEPT && capacity / ROOMY >= len.max(1)
}

pub(super) fn shrink_map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if is_roomy(map.capacity(), map.len()) {
        map.shrink_to(map.len() * 2);
    }
}

pub(super) fn shrink_queue<T>(queue: &mut VecDeque<T>) {
    if is_roomy(queue.capacity(), queue.len()) {
        queue.shrink_to(queue.len() * 2);
    }
}

impl Shard {
    /// Gives back what is far too large for what it holds.
    pub(super) fn shrink(&mut self) {
        if is_roomy(self.sessions.capacity(), self.sessions.len()) {
            // What stands behind the last session that is left.
            self.sessions.shrink_to_fit();
        }
        shrink_map(&mut self.by_client);
        shrink_map(&mut self.farewells);
        shrink_queue(&mut self.held_up);
        shrink_queue(&mut self.key_requests);
        if is_roomy(self.dirty.capacity(), self.dirty.len()) {
            self.dirty.shrink_to_fit();
        }
        self.router.shrink();
        self.holding.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shrinks_once_it_is_nearly_empty_and_not_before() {
        let mut queue: VecDeque<u32> = (0..10_000).collect();
        let peak = queue.capacity();
        queue.truncate(5_000);
        shrink_queue(&mut queue);
        assert_eq!(queue.capacity(), peak);
        queue.truncate(1_000);
        shrink_queue(&mut queue);
        assert!(queue.capacity() < peak / 2 && queue.capacity() >= 2_000);
        assert_eq!(queue.len(), 1_000);
        let mut map: HashMap<u32, u32> = (0..10_000).map(|number| (number, number)).collect();
        map.retain(|number, _| *number < 10);
        shrink_map(&mut map);
        assert!(map.capacity() < 100);
        assert_eq!(map.len(), 10);
    }

    #[test]
    fn small_tables_are_left_alone() {
        assert!(!is_roomy(KEPT, 0));
        assert!(is_roomy(KEPT + 1, 0));
        assert!(!is_roomy(1_000, 500));
    }
}
