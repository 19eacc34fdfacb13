//! Which subscribers a message goes to.

mod exact;
mod subscribers;

use super::{hash_seed::HashSeed, level_tree::LevelTree};
use exact::ExactFilters;
use std::hash::Hash;
use subscribers::Subscribers;
use symbolon_mqtt_proto::{TopicFilter, TopicName};

/// From Topic Filters to subscribers (MQTT 5.0 §4.7).
///
/// `K` names a subscriber, a number that the broker gave; `V` is what it asked for. Filters without a wildcard are one look-up by their whole
/// text for each message. The others are a tree of levels: a message visits the nodes whose levels match, whatever stands beside them. With a key
/// of 4 bytes and a value of up to 8 a filter is one cache line.
#[derive(Clone, Debug)]
pub struct Subscriptions<K, V> {
    exact: ExactFilters<Subscribers<K, V>>,
    wildcards: LevelTree<Subscribers<K, V>>,
    filters: usize,
    len: usize,
}

impl<K: Copy + Eq + Hash, V> Subscriptions<K, V> {
    /// None yet. The seed is secret, as clients choose filters.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            exact: ExactFilters::new(seed.clone()),
            wildcards: LevelTree::new(seed),
            filters: 0,
            len: 0,
        }
    }

    /// How many pairs of a filter and a subscriber.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many different filters.
    pub fn filter_count(&self) -> usize {
        self.filters
    }

    /// How many subscribers a filter has: 1 after [`Self::insert`] returned `None` means that it is new.
    pub fn subscriber_count(&self, filter: &TopicFilter) -> usize {
        self.subscribers(filter).map_or(0, Subscribers::len)
    }

    /// Adds a subscriber to a filter, or changes its value; returns the value before.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        let text = filter.as_str().as_bytes();
        let slot = if filter.has_wildcard() {
            let node = self.wildcards.place(text);
            self.wildcards.value_mut(node)
        } else {
            self.exact.place(text)
        };
        let previous = match slot.take() {
            None => {
                *slot = Some(Subscribers::One(key, value));
                self.filters += 1;
                None
            }
            Some(subscribers) => {
                let (subscribers, previous) = subscribers.insert(key, value);
                *slot = Some(subscribers);
                previous
            }
        };
        self.len += usize::from(previous.is_none());
        previous
    }

    /// Takes a subscriber from a filter; returns its value.
    pub fn remove(&mut self, filter: &TopicFilter, key: K) -> Option<V> {
        let text = filter.as_str().as_bytes();
        let (value, filter_remains) = if filter.has_wildcard() {
            let node = self.wildcards.find(text)?;
            let slot = self.wildcards.value_mut(node);
            let value = remove_from(slot, key);
            let remains = slot.is_some();
            if !remains {
                self.wildcards.prune(node);
            }
            (value, remains)
        } else {
            let place = self.exact.find(text)?;
            let slot = self.exact.value_mut(place);
            let value = remove_from(slot, key);
            let remains = slot.is_some();
            if !remains {
                self.exact.prune(place);
            }
            (value, remains)
        };
        self.filters -= usize::from(!filter_remains);
        self.len -= usize::from(value.is_some());
        value
    }

    /// The value of a subscriber of a filter, to be changed.
    pub fn get_mut(&mut self, filter: &TopicFilter, key: K) -> Option<&mut V> {
        let text = filter.as_str().as_bytes();
        let slot = if filter.has_wildcard() {
            let node = self.wildcards.find(text)?;
            self.wildcards.value_mut(node)
        } else {
            let place = self.exact.find(text)?;
            self.exact.value_mut(place)
        };
        slot.as_mut()?.get_mut(key)
    }

    /// Calls `f` for each subscriber of each filter that matches `topic`: several times for one whose filters overlap (§3.3.4).
    ///
    /// The order is the same for the same history of calls. Allocates nothing, unless a topic of more than 16 levels meets filters that were
    /// made to branch at each of them.
    #[inline]
    pub fn for_each_match(&self, topic: TopicName<'_>, mut f: impl FnMut(K, &V)) {
        let topic = topic.as_str().as_bytes();
        if let Some(subscribers) = self.exact.get(topic) {
            subscribers.for_each(&mut f);
        }
        self.wildcards
            .for_each_match(topic, |subscribers| subscribers.for_each(&mut f));
    }

    /// Calls `f` for each subscriber of exactly this filter.
    pub fn for_each_subscriber(&self, filter: &TopicFilter, mut f: impl FnMut(K, &V)) {
        if let Some(subscribers) = self.subscribers(filter) {
            subscribers.for_each(&mut f);
        }
    }

    /// Calls `f` for each filter with the number of its subscribers.
    pub fn for_each_filter(&self, mut f: impl FnMut(&str, usize)) {
        self.exact
            .for_each(|text, subscribers| f(text, subscribers.len()));
        self.wildcards
            .for_each(|text, subscribers| f(text, subscribers.len()));
    }

    /// Calls `f` for each filter that this subscriber has, in no order that means something. Looks at all filters.
    pub fn for_each_filter_of(&self, key: K, mut f: impl FnMut(&str)) {
        let mut look = |text: &str, subscribers: &Subscribers<K, V>| {
            let mut has = false;
            subscribers.for_each(&mut |one, _| has |= one == key);
            if has {
                f(text);
            }
        };
        self.exact.for_each(&mut look);
        self.wildcards.for_each(&mut look);
    }

    fn subscribers(&self, filter: &TopicFilter) -> Option<&Subscribers<K, V>> {
        let text = filter.as_str().as_bytes();
        if filter.has_wildcard() {
            self.wildcards.value(self.wildcards.find(text)?)
        } else {
            self.exact.get(text)
        }
    }

    /// Bytes on the heap, nearly.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        let mut bytes = self.exact.heap_bytes() + self.wildcards.heap_bytes();
        self.exact.for_each(|_, s| bytes += s.heap_bytes());
        self.wildcards.for_each(|_, s| bytes += s.heap_bytes());
        bytes
    }
}

/// Takes a subscriber out; where it was the last, nothing is left.
fn remove_from<K: Copy + Eq + Hash, V>(slot: &mut Option<Subscribers<K, V>>, key: K) -> Option<V> {
    let (rest, value) = slot.take()?.remove(key);
    *slot = rest;
    value
}

#[cfg(test)]
mod tests;
