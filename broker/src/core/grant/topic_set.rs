//! A few Topic Filters, compiled to say fast whether one of them matches a Topic Name.

use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use symbolon_mqtt_proto::TopicFilter;

/// How many `+` may wait for their turn on the stack; more, on the heap, need as many filters that branch one behind the other.
const WAITING: usize = 8;

/// The root: nobody's child, so as a child it stands for none.
const ROOT: u32 = 0;

/// A tree over the bytes of the filters. What filters have in common is compared once; where they part, the next byte of the topic chooses.
/// Each node is visited once at most, as its place in the topic follows from its place in the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicSet {
    /// Siblings stand side by side. Empty if there is no filter.
    nodes: Box<[Node]>,
    /// For each node the byte that leads to it from its parent.
    bytes: Box<[u8]>,
    /// The labels, one behind the other.
    text: Box<[u8]>,
    /// Whether `#` is one of the filters.
    all: bool,
}

/// Bytes that all filters below have, and how these go on.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    label_start: u32,
    label_end: u32,
    /// The children that a byte leads to; the topic is compared with that byte again at the start of the child's label.
    first_child: u32,
    children: u32,
    /// The child that any level leads to.
    plus: u32,
    /// A filter ends here.
    ends: bool,
    /// A filter goes on with `/#`, and ends.
    ends_in_all: bool,
}

/// Filters that agree up to a byte, and the node to be made for them.
struct Group<'a> {
    node: u32,
    filters: Vec<&'a [u8]>,
    agreed: usize,
}

impl TopicSet {
    pub(super) fn compile<'a>(filters: impl IntoIterator<Item = &'a TopicFilter>) -> Self {
        let mut filters: BTreeSet<&[u8]> =
            filters.into_iter().map(|f| f.as_str().as_bytes()).collect();
        let all = filters.remove(b"#".as_slice());
        if filters.is_empty() {
            return Self {
                all,
                ..Self::default()
            };
        }
        let mut draft = Draft::default();
        draft.add(&[0]);
        let mut groups = VecDeque::from([Group {
            node: ROOT,
            filters: filters.into_iter().collect(),
            agreed: 0,
        }]);
        while let Some(group) = groups.pop_front() {
            draft.fill(&group, &mut groups);
        }
        Self {
            nodes: draft.nodes.into(),
            bytes: draft.bytes.into(),
            text: draft.text.into(),
            all,
        }
    }

    /// Whether a filter matches `topic` (MQTT 5.0 §4.7).
    #[inline]
    pub(super) fn contains(&self, topic: &[u8]) -> bool {
        // [MQTT-4.7.2-1] a leading wildcard does not match a topic that begins with `$`.
        let dollar = topic.first() == Some(&b'$');
        if self.all && !dollar {
            return true;
        }
        if self.nodes.is_empty() {
            return false;
        }
        let mut waiting: SmallVec<[(u32, usize); WAITING]> = SmallVec::new();
        let (mut id, mut from) = (ROOT, 0);
        loop {
            let node = &self.nodes[id as usize];
            let label = &self.text[node.label_start as usize..node.label_end as usize];
            let rest = topic[from..].strip_prefix(label);
            let mut next = None;
            if let Some(rest) = rest {
                from += label.len();
                match rest.first() {
                    None if node.ends || node.ends_in_all => return true,
                    Some(b'/') if node.ends_in_all => return true,
                    Some(byte) => next = self.child(node, *byte).map(|child| (child, from)),
                    None => {}
                }
                if node.plus != ROOT && (from > 0 || !dollar) {
                    waiting.push((node.plus, from + level_length(rest)));
                }
            }
            match next.or_else(|| waiting.pop()) {
                Some(visit) => (id, from) = visit,
                None => return false,
            }
        }
    }

    #[inline]
    fn child(&self, node: &Node, byte: u8) -> Option<u32> {
        let first = node.first_child as usize;
        let place = self.bytes[first..first + node.children as usize]
            .iter()
            .position(|other| *other == byte)?;
        u32::try_from(first + place).ok()
    }
}

/// A set in the making.
#[derive(Default)]
struct Draft {
    nodes: Vec<Node>,
    bytes: Vec<u8>,
    text: Vec<u8>,
}

impl Draft {
    /// Makes nodes that these bytes lead to; returns the first.
    fn add(&mut self, bytes: &[u8]) -> u32 {
        let first = small(self.nodes.len());
        self.bytes.extend(bytes);
        self.nodes.resize(self.bytes.len(), Node::default());
        first
    }

    /// Fills the node of a group; the groups of its children are to be filled next.
    fn fill<'a>(&mut self, group: &Group<'a>, groups: &mut VecDeque<Group<'a>>) {
        let Group {
            filters, agreed, ..
        } = group;
        let shared = shared_literal(filters, *agreed);
        let mut node = Node {
            label_start: small(self.text.len()),
            ..Node::default()
        };
        self.text.extend(&filters[0][*agreed..shared]);
        node.label_end = small(self.text.len());

        let mut branches: BTreeMap<u8, Vec<&[u8]>> = BTreeMap::new();
        let mut plus = Vec::new();
        for &filter in filters {
            match &filter[shared..] {
                [] => node.ends = true,
                b"/#" => node.ends_in_all = true,
                [b'+', ..] => plus.push(filter),
                [byte, ..] => branches.entry(*byte).or_default().push(filter),
            }
        }
        if !plus.is_empty() {
            node.plus = self.add(b"+");
            groups.push_back(Group {
                node: node.plus,
                filters: plus,
                agreed: shared + 1,
            });
        }
        node.children = small(branches.len());
        node.first_child = self.add(&branches.keys().copied().collect::<Vec<_>>());
        groups.extend(
            (node.first_child..)
                .zip(branches.into_values())
                .map(|(node, filters)| Group {
                    node,
                    filters,
                    agreed: shared,
                }),
        );
        self.nodes[group.node as usize] = node;
    }
}

/// Up to where all filters have the same bytes, none of them a wildcard, the end or the `/` before a last `#`.
fn shared_literal(filters: &[&[u8]], agreed: usize) -> usize {
    let literal_end = |filter: &[u8]| {
        let end = filter.len() - if filter.ends_with(b"/#") { 2 } else { 0 };
        let plus = filter[agreed..end].iter().position(|byte| *byte == b'+');
        plus.map_or(end, |plus| agreed + plus)
    };
    let first = &filters[0][agreed..];
    let shared_with_first = |filter: &&[u8]| {
        let literal = &filter[agreed..literal_end(filter)];
        let same = first.iter().zip(literal).take_while(|(a, b)| a == b);
        agreed + same.count()
    };
    let shared = filters.iter().map(shared_with_first).min();
    shared.expect("a group has a filter")
}

/// The length of the level that `rest` begins with.
#[inline]
fn level_length(rest: &[u8]) -> usize {
    let slash = rest.iter().position(|byte| *byte == b'/');
    slash.unwrap_or(rest.len())
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("tokens and configurations are far smaller than 4 GiB")
}
