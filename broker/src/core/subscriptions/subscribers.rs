//! The subscribers of one Topic Filter.

use hashbrown::HashTable;
use std::hash::Hash;

/// Up to how many subscribers are searched one by one.
const SEARCHED: usize = 16;

/// The subscribers of one Topic Filter, at least one. Most filters have exactly one, which costs no heap; many stand side by side, as a
/// fan-out reads them all.
#[derive(Clone, Debug)]
pub(super) enum Subscribers<K, V> {
    One(K, V),
    Many(Box<Many<K, V>>),
}

/// Two subscribers or more.
#[derive(Clone, Debug)]
pub(super) struct Many<K, V> {
    entries: Vec<(K, V)>,
    /// The places of all entries once they are more than [`SEARCHED`]; before that it is empty.
    places: HashTable<u32>,
}

impl<K: Copy + Eq + Hash, V> Subscribers<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Many(many) => many.entries.len(),
        }
    }

    #[inline]
    pub(super) fn for_each(&self, f: &mut impl FnMut(K, &V)) {
        match self {
            Self::One(key, value) => f(*key, value),
            Self::Many(many) => many.entries.iter().for_each(|(key, value)| f(*key, value)),
        }
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match self {
            Self::One(one, value) => (*one == key).then_some(value),
            Self::Many(many) => {
                let place = many.find(key)?;
                Some(&mut many.entries[place].1)
            }
        }
    }

    /// With one more, and the value that the key had before.
    pub(super) fn insert(self, key: K, value: V) -> (Self, Option<V>) {
        match self {
            Self::One(one, old) if one == key => (Self::One(key, value), Some(old)),
            Self::One(one, old) => (
                Self::Many(Box::new(Many::new([(one, old), (key, value)]))),
                None,
            ),
            Self::Many(mut many) => {
                let old = many.insert(key, value);
                (Self::Many(many), old)
            }
        }
    }

    /// What remains without one, and the value that it had.
    pub(super) fn remove(self, key: K) -> (Option<Self>, Option<V>) {
        match self {
            Self::One(one, value) if one == key => (None, Some(value)),
            Self::One(..) => (Some(self), None),
            Self::Many(mut many) => {
                let old = many.remove(key);
                let rest = match many.entries.pop() {
                    Some((key, value)) if many.entries.is_empty() => Some(Self::One(key, value)),
                    Some(last) => {
                        many.entries.push(last);
                        Some(Self::Many(many))
                    }
                    None => None,
                };
                (rest, old)
            }
        }
    }

    /// Bytes on the heap, nearly.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::One(..) => 0,
            Self::Many(many) => {
                size_of::<Many<K, V>>()
                    + many.entries.capacity() * size_of::<(K, V)>()
                    + many.places.allocation_size()
            }
        }
    }
}

impl<K: Copy + Eq + Hash, V> Many<K, V> {
    fn new(entries: [(K, V); 2]) -> Self {
        Self {
            entries: entries.into(),
            places: HashTable::new(),
        }
    }

    fn find(&self, key: K) -> Option<usize> {
        if self.places.is_empty() {
            return self.entries.iter().position(|(other, _)| *other == key);
        }
        let is_key = |place: &u32| self.entries[*place as usize].0 == key;
        let place = self.places.find(hash(key), is_key)?;
        Some(*place as usize)
    }

    fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(place) = self.find(key) {
            return Some(std::mem::replace(&mut self.entries[place].1, value));
        }
        self.entries.push((key, value));
        let count = self.entries.len();
        if !self.places.is_empty() {
            self.note(count - 1);
        } else if count > SEARCHED {
            (0..count).for_each(|place| self.note(place));
        }
        None
    }

    fn remove(&mut self, key: K) -> Option<V> {
        let place = self.find(key)?;
        let last = self.entries.len() - 1;
        if !self.places.is_empty() {
            self.forget(key, place);
            if place != last {
                self.forget(self.entries[last].0, last);
            }
        }
        let (_, value) = self.entries.swap_remove(place);
        if place != last && !self.places.is_empty() {
            self.note(place);
        }
        self.shrink();
        Some(value)
    }

    /// Writes down where an entry stands.
    fn note(&mut self, place: usize) {
        let Self { entries, places } = self;
        let number = u32::try_from(place).expect("fewer subscribers than clients, 2^32");
        places.insert_unique(hash(entries[place].0), number, |place| {
            hash(entries[*place as usize].0)
        });
    }

    fn forget(&mut self, key: K, place: usize) {
        let entry = self
            .places
            .find_entry(hash(key), |other| *other as usize == place);
        entry.expect("it was noted").remove();
    }

    /// Gives memory back once it is nearly all unused, rarely enough to cost nothing on average.
    fn shrink(&mut self) {
        let Self { entries, places } = self;
        if entries.len() * 2 <= SEARCHED {
            *places = HashTable::new();
        }
        if entries.capacity() >= 4 * SEARCHED && entries.len() * 8 < entries.capacity() {
            entries.shrink_to(entries.len() * 2);
            places.shrink_to(entries.len() * 2, |place| hash(entries[*place as usize].0));
        }
    }
}

/// Keys are numbers that the broker gave, so no stranger can aim them and the seed may be known.
fn hash<K: Hash>(key: K) -> u64 {
    const STATE: ahash::RandomState = ahash::RandomState::with_seeds(1, 2, 3, 4);
    STATE.hash_one(key)
}
