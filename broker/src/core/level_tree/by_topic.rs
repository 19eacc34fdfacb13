//! Which Topic Filters of the tree match a Topic Name.

use super::{LevelTree, NodeId, ROOT, at, level_at, slash};
use smallvec::SmallVec;

/// How many `+` may wait for their turn on the stack; beyond, which takes a filter set made for it, they wait on the heap.
const WAITING: usize = 16;

/// How far a Topic Name got in the label of a node.
enum Step {
    /// Nowhere.
    No,
    /// To the end of the label, and the next level of the topic begins here; beyond its length if there is none.
    At(usize),
    /// The label ends in `#`: all is matched.
    All,
}

impl<T> LevelTree<T> {
    /// Each value whose Topic Filter matches `topic` (MQTT 5.0 §4.7).
    ///
    /// Each node is seen once at most, and only where all levels above match.
    #[inline]
    pub(in super::super) fn for_each_match(&self, topic: &[u8], mut f: impl FnMut(&T)) {
        let mut waiting: SmallVec<[(NodeId, usize); WAITING]> = SmallVec::new();
        let (mut id, mut from) = (ROOT, 0);
        // [MQTT-4.7.2-1] a leading wildcard does not match a topic that begins with `$`.
        let mut wildcards = topic.first() != Some(&b'$');
        loop {
            let node = &self.nodes[at(id)];
            if node.hash != ROOT && wildcards {
                self.nodes[at(node.hash)].value.iter().for_each(&mut f);
            }
            if from > topic.len() {
                node.value.iter().for_each(&mut f);
            } else {
                let level = level_at(topic, from);
                let next = from + level.len() + 1;
                if node.plus != ROOT && wildcards {
                    match self.follow(node.plus, 1, topic, next) {
                        Step::No => {}
                        Step::At(next) => waiting.push((node.plus, next)),
                        Step::All => self.nodes[at(node.plus)].value.iter().for_each(&mut f),
                    }
                }
                if let Some(child) = self.named_child(id, level) {
                    match self.follow(child, level.len(), topic, next) {
                        Step::No => {}
                        Step::At(next) => waiting.push((child, next)),
                        Step::All => self.nodes[at(child)].value.iter().for_each(&mut f),
                    }
                }
            }
            wildcards = true;
            match waiting.pop() {
                Some(visit) => (id, from) = visit,
                None => break,
            }
        }
    }

    /// Compares the label of `child` from `skip`, where its first level ends, with the topic, whose next level begins at `next`.
    #[inline]
    fn follow(&self, child: NodeId, skip: usize, topic: &[u8], next: usize) -> Step {
        let tail = &self.nodes[at(child)].label.as_bytes()[skip..];
        if tail.is_empty() {
            return Step::At(next);
        }
        follow_tail(tail, topic, next - 1)
    }
}

/// Compares `/` and levels of a Topic Filter with what the topic has from `from`, where one of its levels ends.
fn follow_tail(tail: &[u8], topic: &[u8], mut from: usize) -> Step {
    for (i, byte) in tail.iter().enumerate() {
        match (byte, topic.get(from)) {
            (b'#', _) => return Step::All,
            // `a/#` matches `a` too (§4.7.1.2).
            (b'/', None) if &tail[i..] == b"/#" => return Step::All,
            (b'+', _) => from += slash(topic.get(from..).unwrap_or_default()),
            (byte, Some(same)) if byte == same => from += 1,
            _ => return Step::No,
        }
    }
    match topic.get(from) {
        None => Step::At(topic.len() + 1),
        Some(b'/') => Step::At(from + 1),
        Some(_) => Step::No,
    }
}
