//! Topic Filters without a wildcard.

use super::super::{hash_seed::HashSeed, short_text::ShortText, split_index::SplitIndex};

/// A map from whole texts to values. With a value of up to 16 bytes an entry is one cache line, text included if it has up to 46 bytes.
#[derive(Clone, Debug)]
pub(super) struct ExactFilters<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    index: SplitIndex,
    seed: HashSeed,
}

/// Without a value it is free.
#[derive(Clone, Debug)]
struct Entry<T> {
    text: ShortText<46>,
    value: Option<T>,
}

impl<T> ExactFilters<T> {
    pub(super) fn new(seed: HashSeed) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            index: SplitIndex::new(),
            seed,
        }
    }

    #[inline]
    pub(super) fn get(&self, text: &[u8]) -> Option<&T> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries[at(self.find(text)?)].value.as_ref()
    }

    /// Where `text` stands.
    #[inline]
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let is_text = |place| self.entries[at(place)].text.as_bytes() == text;
        self.index.find(self.seed.hash(text), is_text)
    }

    /// The value of `text`, whose place is made if need be; the caller gives it one.
    pub(super) fn place(&mut self, text: &[u8]) -> &mut Option<T> {
        let place = self.find(text).unwrap_or_else(|| self.add(text));
        self.value_mut(place)
    }

    /// Who takes the value out calls [`Self::prune`].
    pub(super) fn value_mut(&mut self, place: u32) -> &mut Option<T> {
        &mut self.entries[at(place)].value
    }

    /// Frees a place whose value is gone.
    pub(super) fn prune(&mut self, place: u32) {
        let text = std::mem::take(&mut self.entries[at(place)].text);
        self.index.remove(self.seed.hash(text.as_bytes()), place);
        self.free.push(place);
    }

    /// Each text and its value, in no order that means something.
    pub(super) fn for_each(&self, mut f: impl FnMut(&str, &T)) {
        for entry in &self.entries {
            if let Some(value) = &entry.value {
                let text = str::from_utf8(entry.text.as_bytes()).expect("it came as text");
                f(text, value);
            }
        }
    }

    fn add(&mut self, text: &[u8]) -> u32 {
        let entry = Entry {
            text: text.into(),
            value: None,
        };
        let place = if let Some(place) = self.free.pop() {
            self.entries[at(place)] = entry;
            place
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("2^32 entries would be 256 GiB")
        };
        self.index.insert(self.seed.hash(text), place);
        place
    }

    /// Bytes on the heap, nearly, without those of the values.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self.entries.iter().map(|e| e.text.heap_bytes()).sum();
        self.entries.len() * size_of::<Entry<T>>()
            + self.free.len() * 4
            + texts
            + self.index.heap_bytes()
    }
}

#[inline]
fn at(place: u32) -> usize {
    place as usize
}
