//! Which Topic Names of the tree a Topic Filter matches.

use super::{LevelTree, NodeId, ROOT, at, level_at};

/// What is still to be looked at.
enum Visit {
    /// All levels down to this node match; the next of the filter begins here, beyond its length if there is none.
    Node(NodeId, usize),
    /// This node and the siblings after it, their first level against a `+` that ends before this place.
    Siblings(NodeId, usize),
}

impl<T> LevelTree<T> {
    /// Each value whose Topic Name `filter` matches (MQTT 5.0 §4.7).
    pub(in super::super) fn for_each_under(&self, filter: &[u8], mut f: impl FnMut(&T)) {
        let mut visits = vec![Visit::Node(ROOT, 0)];
        while let Some(visit) = visits.pop() {
            match visit {
                Visit::Node(node, from) if from > filter.len() => {
                    self.nodes[at(node)].value.iter().for_each(&mut f);
                }
                Visit::Node(node, from) => match level_at(filter, from) {
                    b"#" if node == ROOT => self.for_each_visible(&mut f),
                    b"#" => self.for_each_below(node, &mut f),
                    b"+" => {
                        visits.push(Visit::Siblings(self.nodes[at(node)].first, from + 2));
                    }
                    level => {
                        let next = from + level.len() + 1;
                        if let Some(child) = self.named_child(node, level) {
                            visits.extend(self.enter(child, filter, next));
                        }
                    }
                },
                Visit::Siblings(ROOT, _) => {}
                Visit::Siblings(child, next) => {
                    let node = &self.nodes[at(child)];
                    visits.push(Visit::Siblings(node.next, next));
                    // [MQTT-4.7.2-1] a leading wildcard does not match a topic that begins with `$`.
                    if node.parent != ROOT || node.label.as_bytes().first() != Some(&b'$') {
                        visits.extend(self.enter(child, filter, next));
                    }
                }
            }
        }
    }

    /// Goes on into a child whose first level matches.
    fn enter(&self, child: NodeId, filter: &[u8], next: usize) -> Option<Visit> {
        let label = self.nodes[at(child)].label.as_bytes();
        follow(label, filter, next).map(|next| Visit::Node(child, next))
    }

    /// Each value whose topic does not begin with `$`.
    fn for_each_visible(&self, f: &mut impl FnMut(&T)) {
        let mut child = self.nodes[at(ROOT)].first;
        while child != ROOT {
            let node = &self.nodes[at(child)];
            if node.label.as_bytes().first() != Some(&b'$') {
                self.for_each_below(child, f);
            }
            child = node.next;
        }
    }

    /// The value of `top` and all below. Walks by the links, so depth costs no memory.
    fn for_each_below(&self, top: NodeId, f: &mut impl FnMut(&T)) {
        let mut id = top;
        loop {
            let node = &self.nodes[at(id)];
            node.value.iter().for_each(&mut *f);
            if node.first != ROOT {
                id = node.first;
                continue;
            }
            while id != top && self.nodes[at(id)].next == ROOT {
                id = self.nodes[at(id)].parent;
            }
            if id == top {
                return;
            }
            id = self.nodes[at(id)].next;
        }
    }
}

/// Compares the levels of `label` behind the first with those of the filter, the next of which begins at `next`. Returns where in the filter
/// the level begins behind those of the label, or its last level `#`.
fn follow(label: &[u8], filter: &[u8], mut next: usize) -> Option<usize> {
    for level in label.split(|byte| *byte == b'/').skip(1) {
        if next > filter.len() {
            return None;
        }
        let wanted = level_at(filter, next);
        match wanted {
            b"#" => return Some(next),
            b"+" => {}
            _ if wanted == level => {}
            _ => return None,
        }
        next += wanted.len() + 1;
    }
    Some(next)
}
