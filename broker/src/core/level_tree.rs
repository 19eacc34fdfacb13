//! A tree over the levels of topics, whatever hangs at them: subscriptions at Topic Filters, retained messages at Topic Names.

mod by_filter;
mod by_topic;

use super::{hash_seed::HashSeed, short_text::ShortText, split_index::SplitIndex};

/// The place of a node. [`ROOT`] is nobody's child, so where a child is meant it stands for none.
pub(super) type NodeId = u32;

/// The root; as a child or sibling: none.
const ROOT: NodeId = 0;

/// A map from Topic Filters or Topic Names, as bytes, to values.
///
/// Levels without a fork and without a value are drawn together into one node, so a million filters `devices/ID/+/cmd` make a million and one
/// nodes. A node is one cache line where the value takes up to 16 bytes. Its children by name are found through one hash table for the whole
/// tree, whose keys are the parent and the first level of the child's label.
#[derive(Clone, Debug)]
pub(super) struct LevelTree<T> {
    nodes: Vec<Node<T>>,
    /// The first free node; the others follow by `next`.
    free: NodeId,
    edges: SplitIndex,
    seed: HashSeed,
}

#[derive(Clone, Debug)]
struct Node<T> {
    /// One level or more, joined by `/`. Only the last of a Topic Filter can be `#`, so a node whose label ends in it has no children.
    label: ShortText<22>,
    parent: NodeId,
    /// The child whose label begins with the level `+`.
    plus: NodeId,
    /// The child whose label begins with the level `#`, and so is it.
    hash: NodeId,
    /// The first of the other children, which are linked by `next` and `previous`.
    first: NodeId,
    next: NodeId,
    previous: NodeId,
    value: Option<T>,
}

impl<T> LevelTree<T> {
    pub(super) fn new(seed: HashSeed) -> Self {
        Self {
            nodes: vec![Node::new(ROOT, b"")],
            free: ROOT,
            edges: SplitIndex::new(),
            seed,
        }
    }

    /// The node of `text`, where it has a value.
    pub(super) fn find(&self, text: &[u8]) -> Option<NodeId> {
        let mut node = ROOT;
        let mut rest = text;
        loop {
            node = self.child(node, level_at(rest, 0))?;
            let label = self.nodes[at(node)].label.as_bytes();
            let tail = rest.strip_prefix(label)?;
            match tail.split_first() {
                None => break,
                Some((b'/', tail)) => rest = tail,
                Some(_) => return None,
            }
        }
        self.nodes[at(node)].value.is_some().then_some(node)
    }

    /// The node of `text`, made if need be; the caller gives it a value. It keeps its identifier as long as it has one.
    pub(super) fn place(&mut self, text: &[u8]) -> NodeId {
        let mut node = ROOT;
        let mut rest = text;
        loop {
            let Some(mut child) = self.child(node, level_at(rest, 0)) else {
                let child = self.take_free(node, rest);
                self.link(child);
                return child;
            };
            let label = self.nodes[at(child)].label.as_bytes();
            let shared = shared_levels(label, rest);
            if shared < label.len() {
                child = self.split(child, shared);
            }
            if shared == rest.len() {
                return child;
            }
            rest = &rest[shared + 1..];
            node = child;
        }
    }

    /// The value of a node, to be read, set or changed. Who takes it out calls [`Self::prune`].
    #[inline]
    pub(super) fn value_mut(&mut self, node: NodeId) -> &mut Option<T> {
        &mut self.nodes[at(node)].value
    }

    /// Like [`Self::value_mut`], to be read only.
    #[inline]
    pub(super) fn value(&self, node: NodeId) -> Option<&T> {
        self.nodes[at(node)].value.as_ref()
    }

    /// Frees what is no longer needed because `node` has no value any more.
    pub(super) fn prune(&mut self, node: NodeId) {
        debug_assert!(self.nodes[at(node)].value.is_none());
        let Node {
            parent,
            first,
            plus,
            hash,
            ..
        } = self.nodes[at(node)];
        if (first, plus, hash) == (ROOT, ROOT, ROOT) {
            self.unlink(node);
            self.give_free(node);
            self.join(parent);
        } else {
            self.join(node);
        }
    }

    /// Each value and its text, in no order that means something.
    pub(super) fn for_each(&self, mut f: impl FnMut(&str, &T)) {
        let mut text = Vec::new();
        for (id, node) in (ROOT..).zip(&self.nodes) {
            if let Some(value) = &node.value {
                self.text_of(id, &mut text);
                let text = str::from_utf8(&text).expect("labels are text cut and joined at '/'");
                f(text, value);
            }
        }
    }

    /// Writes the text of a node.
    fn text_of(&self, node: NodeId, text: &mut Vec<u8>) {
        text.clear();
        let mut at_node = node;
        while at_node != ROOT {
            let Node { label, parent, .. } = &self.nodes[at(at_node)];
            if at_node != node {
                text.push(b'/');
            }
            text.extend(label.as_bytes().iter().rev());
            at_node = *parent;
        }
        text.reverse();
    }

    /// The child of `node` whose label begins with `level`.
    #[inline]
    fn child(&self, node: NodeId, level: &[u8]) -> Option<NodeId> {
        let wildcard = match level {
            b"+" => self.nodes[at(node)].plus,
            b"#" => self.nodes[at(node)].hash,
            _ => return self.named_child(node, level),
        };
        (wildcard != ROOT).then_some(wildcard)
    }

    /// Like [`Self::child`], where `level` is no wildcard.
    #[inline]
    fn named_child(&self, node: NodeId, level: &[u8]) -> Option<NodeId> {
        let first = self.nodes[at(node)].first;
        if first == ROOT {
            return None;
        }
        // An only child is known without the table.
        let only = &self.nodes[at(first)];
        if only.next == ROOT {
            return begins_with_level(only.label.as_bytes(), level).then_some(first);
        }
        let hash = self.seed.hash_below(node, level);
        self.edges.find(hash, |child| {
            let child = &self.nodes[at(child)];
            child.parent == node && begins_with_level(child.label.as_bytes(), level)
        })
    }

    /// Hangs `node` below its parent.
    fn link(&mut self, node: NodeId) {
        let parent = self.nodes[at(node)].parent;
        match level_at(self.nodes[at(node)].label.as_bytes(), 0) {
            b"+" => self.nodes[at(parent)].plus = node,
            b"#" => self.nodes[at(parent)].hash = node,
            level => {
                self.edges.insert(self.seed.hash_below(parent, level), node);
                let next = std::mem::replace(&mut self.nodes[at(parent)].first, node);
                self.nodes[at(node)].next = next;
                if next != ROOT {
                    self.nodes[at(next)].previous = node;
                }
            }
        }
    }

    /// Takes `node` from its parent.
    fn unlink(&mut self, node: NodeId) {
        let Node {
            ref label,
            parent,
            next,
            previous,
            ..
        } = self.nodes[at(node)];
        match level_at(label.as_bytes(), 0) {
            b"+" => self.nodes[at(parent)].plus = ROOT,
            b"#" => self.nodes[at(parent)].hash = ROOT,
            level => {
                self.edges.remove(self.seed.hash_below(parent, level), node);
                self.set_next(parent, previous, next);
                self.set_previous(next, previous);
            }
        }
    }

    /// Puts `node` where its sibling `old` hangs; both begin with the same level.
    fn relink(&mut self, old: NodeId, node: NodeId) {
        let Node {
            ref label,
            parent,
            next,
            previous,
            ..
        } = self.nodes[at(old)];
        match level_at(label.as_bytes(), 0) {
            b"+" => self.nodes[at(parent)].plus = node,
            b"#" => self.nodes[at(parent)].hash = node,
            level => {
                let hash = self.seed.hash_below(parent, level);
                self.edges.replace(hash, old, node);
                self.set_next(parent, previous, node);
                self.set_previous(next, node);
            }
        }
        let node = &mut self.nodes[at(node)];
        (node.parent, node.next, node.previous) = (parent, next, previous);
    }

    /// What follows `previous`, or is first below `parent` where there is none.
    fn set_next(&mut self, parent: NodeId, previous: NodeId, next: NodeId) {
        if previous == ROOT {
            self.nodes[at(parent)].first = next;
        } else {
            self.nodes[at(previous)].next = next;
        }
    }

    fn set_previous(&mut self, node: NodeId, previous: NodeId) {
        if node != ROOT {
            self.nodes[at(node)].previous = previous;
        }
    }

    /// Cuts the label of `node` after `shared` bytes: what comes before moves to a new node above, which is returned.
    fn split(&mut self, node: NodeId, shared: usize) -> NodeId {
        let label = self.nodes[at(node)].label.clone();
        let parent = self.nodes[at(node)].parent;
        let upper = self.take_free(parent, &label.as_bytes()[..shared]);
        self.relink(node, upper);
        let lower = &mut self.nodes[at(node)];
        lower.label = label.as_bytes()[shared + 1..].into();
        (lower.parent, lower.next, lower.previous) = (upper, ROOT, ROOT);
        self.link(node);
        upper
    }

    /// Draws `node` and its child into one, if it has no value and a single child. The child's identifier stays, as values hang there.
    fn join(&mut self, node: NodeId) {
        let upper = &self.nodes[at(node)];
        if node == ROOT || upper.value.is_some() {
            return;
        }
        let children = (upper.first, upper.plus, upper.hash);
        let ((child, ROOT, ROOT) | (ROOT, child, ROOT) | (ROOT, ROOT, child)) = children else {
            return;
        };
        if self.nodes[at(child)].next != ROOT {
            return;
        }
        let lower = self.nodes[at(child)].label.as_bytes();
        let label = [upper.label.as_bytes(), lower].join(&b'/');
        self.unlink(child);
        self.relink(node, child);
        self.nodes[at(child)].label = label.as_slice().into();
        self.give_free(node);
    }

    /// A node that hangs nowhere yet.
    fn take_free(&mut self, parent: NodeId, label: &[u8]) -> NodeId {
        let node = Node::new(parent, label);
        if self.free == ROOT {
            let id = NodeId::try_from(self.nodes.len()).expect("2^32 nodes would be 256 GiB");
            self.nodes.push(node);
            return id;
        }
        let id = self.free;
        self.free = self.nodes[at(id)].next;
        self.nodes[at(id)] = node;
        id
    }

    fn give_free(&mut self, node: NodeId) {
        self.nodes[at(node)] = Node::new(ROOT, b"");
        self.nodes[at(node)].next = self.free;
        self.free = node;
    }

    /// Bytes on the heap, nearly, without those of the values.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let labels: usize = self.nodes.iter().map(|n| n.label.heap_bytes()).sum();
        self.nodes.len() * size_of::<Node<T>>() + labels + self.edges.heap_bytes()
    }

    /// Nodes in use, the root not counted.
    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        let free = std::iter::successors(Some(self.free), |id| Some(self.nodes[at(*id)].next))
            .take_while(|id| *id != ROOT)
            .count();
        self.nodes.len() - 1 - free
    }
}

impl<T> Node<T> {
    fn new(parent: NodeId, label: &[u8]) -> Self {
        Self {
            label: label.into(),
            parent,
            plus: ROOT,
            hash: ROOT,
            first: ROOT,
            next: ROOT,
            previous: ROOT,
            value: None,
        }
    }
}

/// The place of a node in the vector.
#[inline]
fn at(node: NodeId) -> usize {
    node as usize
}

/// The level that begins at `from`.
#[inline]
fn level_at(text: &[u8], from: usize) -> &[u8] {
    let rest = &text[from..];
    &rest[..slash(rest)]
}

/// Where the level ends that `rest` begins with.
#[inline]
fn slash(rest: &[u8]) -> usize {
    rest.iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(rest.len())
}

/// Whether the first level of `label` is `level`.
#[inline]
fn begins_with_level(label: &[u8], level: &[u8]) -> bool {
    match label.strip_prefix(level) {
        Some(tail) => matches!(tail, [] | [b'/', ..]),
        None => false,
    }
}

/// How many bytes the levels take that both texts begin with; at least the first level is the same.
fn shared_levels(a: &[u8], b: &[u8]) -> usize {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let ends = |text: &[u8]| matches!(text[same..], [] | [b'/', ..]);
    if ends(a) && ends(b) {
        return same;
    }
    let cut = a[..same].iter().rposition(|byte| *byte == b'/');
    cut.expect("the first level is the same, and it is not where they differ")
}

#[cfg(test)]
mod tests;
