//! The retained messages.

use super::{
    hash_seed::HashSeed,
    level_tree::{LevelTree, NodeId},
    split_index::SplitIndex,
};
use symbolon_mqtt_proto::TopicFilter;

/// From Topic Names to their retained message (MQTT 5.0 §3.3.1.3).
///
/// The records stand side by side, for sweeps. A topic is one look-up by its whole text; a filter with wildcards walks a tree of levels, past
/// what it cannot match.
#[derive(Clone, Debug)]
pub struct Retained<M> {
    records: Vec<Record<M>>,
    by_topic: SplitIndex,
    /// Each topic's place in `records`.
    by_levels: LevelTree<u32>,
    seed: HashSeed,
    /// Where the next sweep goes on.
    swept: usize,
}

#[derive(Clone, Debug)]
struct Record<M> {
    topic: Box<str>,
    node: NodeId,
    message: M,
}

impl<M> Retained<M> {
    /// None yet. The seed is secret, as clients choose topics.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            records: Vec::new(),
            by_topic: SplitIndex::new(),
            by_levels: LevelTree::new(seed.clone()),
            seed,
            swept: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The message of a topic.
    pub fn get(&self, topic: &str) -> Option<&M> {
        let place = self.find(topic, self.seed.hash(topic.as_bytes()))?;
        Some(&self.records[place].message)
    }

    /// The message of a topic, to be changed.
    pub fn get_mut(&mut self, topic: &str) -> Option<&mut M> {
        let place = self.find(topic, self.seed.hash(topic.as_bytes()))?;
        Some(&mut self.records[place].message)
    }

    /// Keeps the message of a topic; returns the one it replaces. The caller bounds how many there are, by [`Self::len`].
    pub fn insert(&mut self, topic: &str, message: M) -> Option<M> {
        let hash = self.seed.hash(topic.as_bytes());
        if let Some(place) = self.find(topic, hash) {
            let kept = &mut self.records[place].message;
            return Some(std::mem::replace(kept, message));
        }
        let place = u32::try_from(self.records.len()).expect("2^32 records would be 400 GiB");
        let node = self.by_levels.place(topic.as_bytes());
        *self.by_levels.value_mut(node) = Some(place);
        self.by_topic.insert(hash, place);
        self.records.push(Record {
            topic: topic.into(),
            node,
            message,
        });
        None
    }

    /// Takes the message of a topic out.
    pub fn remove(&mut self, topic: &str) -> Option<M> {
        let place = self.find(topic, self.seed.hash(topic.as_bytes()))?;
        Some(self.take(place).message)
    }

    /// Calls `f` with topic and message of each that `filter` matches (§4.7). The order is the same for the same history of calls.
    ///
    /// The work is bounded by the topics below what stands before the first wildcard.
    pub fn for_each_match(&self, filter: &TopicFilter, mut f: impl FnMut(&str, &M)) {
        match filter.as_str() {
            // All but those that begin with `$` [MQTT-4.7.2-1], in one sweep.
            "#" => {
                let visible = self.records.iter().filter(|r| !r.topic.starts_with('$'));
                visible.for_each(|record| f(&record.topic, &record.message));
            }
            text if filter.has_wildcard() => {
                self.by_levels.for_each_under(text.as_bytes(), |place| {
                    let Record { topic, message, .. } = &self.records[at(*place)];
                    f(topic, message);
                });
            }
            text => {
                if let Some(message) = self.get(text) {
                    f(text, message);
                }
            }
        }
    }

    /// Looks at the next `max` messages, in turn over calls, and drops those that `keep` refuses; returns how many it dropped.
    pub fn sweep(&mut self, max: usize, mut keep: impl FnMut(&str, &mut M) -> bool) -> usize {
        let before = self.records.len();
        for _ in 0..max.min(before) {
            if self.swept >= self.records.len() {
                self.swept = 0;
            }
            let Record { topic, message, .. } = &mut self.records[self.swept];
            if keep(topic, message) {
                self.swept += 1;
            } else {
                // The last record takes this place, so it is looked at next.
                drop(self.take(self.swept));
            }
        }
        before - self.records.len()
    }

    /// Calls `f` with each topic and message.
    pub fn for_each(&self, mut f: impl FnMut(&str, &M)) {
        for Record { topic, message, .. } in &self.records {
            f(topic, message);
        }
    }

    fn find(&self, topic: &str, hash: u64) -> Option<usize> {
        let is_topic = |place| *self.records[at(place)].topic == *topic;
        self.by_topic.find(hash, is_topic).map(at)
    }

    /// Takes a record out; the last one moves to its place.
    fn take(&mut self, place: usize) -> Record<M> {
        let record = self.records.swap_remove(place);
        let [old, last] = [place, self.records.len()]
            .map(|place| u32::try_from(place).expect("places were given as u32"));
        self.by_topic
            .remove(self.seed.hash(record.topic.as_bytes()), old);
        *self.by_levels.value_mut(record.node) = None;
        self.by_levels.prune(record.node);
        if let Some(moved) = self.records.get(place) {
            let hash = self.seed.hash(moved.topic.as_bytes());
            self.by_topic.replace(hash, last, old);
            *self.by_levels.value_mut(moved.node) = Some(old);
        }
        record
    }

    /// Bytes on the heap, nearly, without those of the messages.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        let texts: usize = self.records.iter().map(|record| record.topic.len()).sum();
        self.records.len() * size_of::<Record<M>>()
            + texts
            + self.by_topic.heap_bytes()
            + self.by_levels.heap_bytes()
    }
}

#[inline]
fn at(place: u32) -> usize {
    place as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use symbolon_mqtt_proto::TopicName;

    fn empty() -> Retained<u32> {
        Retained::new(HashSeed::from_words([1, 2, 3, 4]))
    }

    fn with(topics: &[&str]) -> Retained<u32> {
        let mut retained = empty();
        for (message, topic) in (0..).zip(topics) {
            assert_eq!(retained.insert(topic, message), None);
        }
        retained
    }

    fn matches(retained: &Retained<u32>, filter: &str) -> Vec<String> {
        let mut topics = Vec::new();
        retained.for_each_match(&TopicFilter::parse(filter).unwrap(), |topic, message| {
            assert_eq!(retained.get(topic), Some(message));
            topics.push(topic.to_owned());
        });
        topics.sort_unstable();
        topics
    }

    #[test]
    fn a_multi_level_wildcard_matches_the_parent_and_all_below() {
        // [MQTT-4.7.1-1]
        let retained = with(&["a", "a/b", "a/b/c", "ab", "b/a", "a/"]);
        assert_eq!(matches(&retained, "a/#"), ["a", "a/", "a/b", "a/b/c"]);
        assert_eq!(matches(&retained, "a/b/#"), ["a/b", "a/b/c"]);
        assert_eq!(matches(&retained, "a/b/c/#"), ["a/b/c"]);
        assert_eq!(matches(&retained, "#").len(), 6);
        assert_eq!(matches(&retained, "c/#"), [""; 0]);
    }

    #[test]
    fn a_single_level_wildcard_matches_one_level_even_if_it_is_empty() {
        // [MQTT-4.7.1-2]
        let retained = with(&["a", "a/", "a/b", "a/b/c", "/b", "x/b/c", "x/y/c"]);
        assert_eq!(matches(&retained, "a/+"), ["a/", "a/b"]);
        assert_eq!(matches(&retained, "+"), ["a"]);
        assert_eq!(matches(&retained, "+/b"), ["/b", "a/b"]);
        assert_eq!(matches(&retained, "+/b/#"), ["/b", "a/b", "a/b/c", "x/b/c"]);
        assert_eq!(matches(&retained, "x/+/c"), ["x/b/c", "x/y/c"]);
    }

    #[test]
    fn a_leading_wildcard_does_not_match_a_topic_that_begins_with_a_dollar() {
        // [MQTT-4.7.2-1]
        let retained = with(&["$SYS/a", "$SYS", "b/a", "b/$a"]);
        assert_eq!(matches(&retained, "#"), ["b/$a", "b/a"]);
        assert_eq!(matches(&retained, "+/a"), ["b/a"]);
        assert_eq!(matches(&retained, "+"), [""; 0]);
        assert_eq!(matches(&retained, "$SYS/#"), ["$SYS", "$SYS/a"]);
        assert_eq!(matches(&retained, "$SYS/+"), ["$SYS/a"]);
        assert_eq!(matches(&retained, "b/+"), ["b/$a", "b/a"]);
    }

    #[test]
    fn a_topic_keeps_one_message() {
        // [MQTT-3.3.1-5]
        let mut retained = with(&["a"]);
        assert_eq!(retained.insert("a", 7), Some(0));
        assert_eq!(retained.len(), 1);
        assert_eq!(retained.remove("a"), Some(7));
        assert_eq!(retained.remove("a"), None);
        assert!(retained.is_empty());
    }

    #[test]
    fn sweeps_look_at_all_in_turn_and_no_more_than_allowed() {
        let mut retained = empty();
        for message in 0..100 {
            retained.insert(&format!("t/{message}"), message);
        }
        let mut looks = 0;
        let dropped = retained.sweep(30, |_, message| {
            looks += 1;
            *message % 3 != 0
        });
        assert_eq!(looks, 30);
        assert_eq!(retained.len(), 100 - dropped);
        retained.sweep(70, |_, message| {
            looks += 1;
            *message % 3 != 0
        });
        assert_eq!(looks, 100);
        assert_eq!(retained.len(), 66);
        retained.for_each(|_, message| assert_ne!(message % 3, 0));
        assert_eq!(retained.sweep(1000, |_, _| false), 66);
        assert!(retained.is_empty());
        assert_eq!(retained.sweep(1000, |_, _| false), 0);
    }

    #[test]
    fn topics_of_32768_levels_need_no_deep_stack() {
        let deep = "a/".repeat(32_767) + "a";
        let mut retained = with(&[&deep[..1], &deep[..3], &deep]);
        for levels in 2..500 {
            retained.insert(&"a/".repeat(levels), 0);
        }
        let plus = "+/".repeat(32_766) + "+/#";
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || {
                assert_eq!(matches(&retained, "#").len(), 501);
                assert_eq!(matches(&retained, &plus).len(), 1);
            })
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn a_retained_message_takes_less_than_180_bytes_besides_itself() {
        let mut retained = Retained::new(HashSeed::from_words([1, 2, 3, 4]));
        for key in 0..100_000_u32 {
            retained.insert(&format!("devices/{key:08}/state"), ());
        }
        let bytes = retained.heap_bytes() / 100_000;
        println!("{bytes} bytes");
        assert!(bytes < 180, "{bytes}");
    }

    proptest! {
        #[test]
        fn it_finds_what_a_list_of_topics_finds(
            steps in prop::collection::vec((0..4_u8, r"(\$|[ab]?)(/[ab]?){0,4}", 0..100_u32), 1..150),
            filters in prop::collection::vec(r"(\$|[ab+]?)(/[ab+]?){0,4}(/#)?|#", 1..30),
        ) {
            let mut retained = empty();
            let mut model: BTreeMap<String, u32> = BTreeMap::new();
            for (step, topic, message) in steps {
                if TopicName::parse(&topic).is_err() {
                    continue;
                }
                if step > 0 {
                    prop_assert_eq!(retained.insert(&topic, message), model.insert(topic, message));
                } else {
                    prop_assert_eq!(retained.remove(&topic), model.remove(&topic));
                }
            }
            prop_assert_eq!(retained.len(), model.len());
            for text in filters {
                let Ok(filter) = TopicFilter::parse(&text) else { continue };
                let want: Vec<&String> = model
                    .keys()
                    .filter(|topic| filter.matches(TopicName::parse(topic).unwrap()))
                    .collect();
                prop_assert_eq!(matches(&retained, &text), want.into_iter().cloned().collect::<Vec<_>>());
            }
            retained.sweep(model.len(), |_, message| *message % 2 == 0);
            model.retain(|_, message| *message % 2 == 0);
            let mut left = BTreeMap::new();
            retained.for_each(|topic, message| { left.insert(topic.to_owned(), *message); });
            prop_assert_eq!(&left, &model);
            for topic in model.keys() {
                prop_assert!(retained.remove(topic).is_some());
            }
            prop_assert_eq!(retained.by_levels.node_count(), 0);
        }
    }
}
