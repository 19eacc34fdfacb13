//! One page: a header of 16 bytes, offsets of nodes, and the nodes from the end on.

use super::{ReadError, damage};

/// Bytes before the offsets of nodes.
pub(crate) const HEADER: usize = 16;
/// Bytes before a node's key.
const NODE_HEADER: usize = 8;

/// What a page is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PageKind {
    Branch,
    Leaf,
    Overflow,
    Meta,
}

impl PageKind {
    const BRANCH: u16 = 0x01;
    const LEAF: u16 = 0x02;
    const OVERFLOW: u16 = 0x04;
    const META: u16 = 0x08;

    fn parse(flags: u16) -> Option<Self> {
        match flags {
            Self::BRANCH => Some(Self::Branch),
            Self::LEAF => Some(Self::Leaf),
            Self::OVERFLOW => Some(Self::Overflow),
            Self::META => Some(Self::Meta),
            _ => None,
        }
    }
}

/// A page of any kind, whose number and kind were checked.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) number: u64,
    pub(crate) kind: PageKind,
    pub(crate) bytes: Vec<u8>,
}

/// An entry of a branch or a leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'p> {
    pub(crate) key: &'p [u8],
    pub(crate) content: Content<'p>,
}

/// What stands under a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'p> {
    /// In a branch: the page below.
    Child(u64),
    /// In a leaf: the value.
    Value(&'p [u8]),
    /// In a leaf: the value is on pages of its own.
    Overflow { page: u64, length: usize },
    /// In the tree of names: a table's record.
    Tree(&'p [u8]),
}

/// A number at `offset`, in the byte order of the machine, as LMDB writes it.
macro_rules! read_number {
    ($name:ident, $number:ty) => {
        pub(crate) fn $name(bytes: &[u8], offset: usize) -> Option<$number> {
            let end = offset.checked_add(size_of::<$number>())?;
            let bytes = bytes.get(offset..end)?.try_into().ok()?;
            Some(<$number>::from_ne_bytes(bytes))
        }
    };
}
read_number!(u16_at, u16);
read_number!(u32_at, u32);
read_number!(u64_at, u64);

impl Page {
    /// Checks that this is page `number` and of a kind that there is.
    pub(crate) fn parse(number: u64, bytes: Vec<u8>) -> Result<Self, ReadError> {
        if u64_at(&bytes, 0) != Some(number) {
            return Err(damage(number, "it has another page's number"));
        }
        let kind = u16_at(&bytes, 10).and_then(PageKind::parse);
        let kind = kind.ok_or_else(|| damage(number, "it is of no known kind"))?;
        Ok(Self {
            number,
            kind,
            bytes,
        })
    }

    /// Of an overflow page: how many pages the value takes.
    pub(crate) fn overflow_pages(&self) -> u32 {
        u32_at(&self.bytes, 12).unwrap_or(0)
    }

    /// How many nodes a branch or leaf has, after a look at the bounds of all of them: within the page, packed, none over another.
    pub(crate) fn node_count(&self) -> Result<usize, ReadError> {
        let wrong = || damage(self.number, "its nodes do not fit into it");
        let bound = |offset| u16_at(&self.bytes, offset).map(usize::from);
        let (lower, upper) = bound(12).zip(bound(14)).ok_or_else(wrong)?;
        if lower < HEADER || lower % 2 != 0 || lower > upper || upper > self.bytes.len() {
            return Err(wrong());
        }
        let count = (lower - HEADER) / 2;
        let mut spans = Vec::with_capacity(count);
        for index in 0..count {
            let offset = self.node_offset(index).ok_or_else(wrong)?;
            let length = self.node_length(offset).ok_or_else(wrong)?;
            let end = offset + length.next_multiple_of(2);
            if offset < upper || end > self.bytes.len() {
                return Err(wrong());
            }
            spans.push((offset, end));
        }
        spans.sort_unstable();
        let gapless = spans.windows(2).all(|pair| pair[0].1 == pair[1].0);
        let first = spans.first().map_or(self.bytes.len(), |span| span.0);
        let last = spans.last().map_or(self.bytes.len(), |span| span.1);
        if gapless && first == upper && last == self.bytes.len() {
            Ok(count)
        } else {
            Err(wrong())
        }
    }

    fn node_offset(&self, index: usize) -> Option<usize> {
        u16_at(&self.bytes, HEADER + 2 * index).map(usize::from)
    }

    /// Bytes of the node at `offset`, without what stands on overflow pages.
    fn node_length(&self, offset: usize) -> Option<usize> {
        let head = self.bytes.get(offset..offset.checked_add(NODE_HEADER)?)?;
        let key = usize::from(u16_at(head, 6)?);
        let data = match self.kind {
            PageKind::Branch => 0,
            PageKind::Leaf | PageKind::Overflow | PageKind::Meta => {
                if u16_at(head, 4)? & BIG == 0 {
                    low_word(head)? as usize
                } else {
                    size_of::<u64>()
                }
            }
        };
        Some(NODE_HEADER + key + data)
    }

    /// A node; `index` is below [`Self::node_count`], which has checked its bounds.
    pub(crate) fn node(&self, index: usize) -> Result<Node<'_>, ReadError> {
        self.find_node(index)
            .ok_or_else(|| damage(self.number, "a node is of no known kind"))
    }

    fn find_node(&self, index: usize) -> Option<Node<'_>> {
        let offset = self.node_offset(index)?;
        let bytes = self.bytes.get(offset..)?;
        let (low, flags) = (low_word(bytes)?, u16_at(bytes, 4)?);
        let key_end = NODE_HEADER + usize::from(u16_at(bytes, 6)?);
        let key = bytes.get(NODE_HEADER..key_end)?;
        if self.kind == PageKind::Branch {
            // The flags are the upper bits of the page number.
            let child = u64::from(low) | u64::from(flags) << 32;
            let content = Content::Child(child);
            return Some(Node { key, content });
        }
        let length = low as usize;
        let content = match flags {
            0 => Content::Value(bytes.get(key_end..key_end.checked_add(length)?)?),
            BIG => Content::Overflow {
                page: u64_at(bytes, key_end)?,
                length,
            },
            SUB_TREE => Content::Tree(bytes.get(key_end..key_end.checked_add(length)?)?),
            _ => return None,
        };
        Some(Node { key, content })
    }
}

/// The value is on overflow pages.
const BIG: u16 = 0x01;
/// The value is the record of a tree.
const SUB_TREE: u16 = 0x02;

/// The first word of a node: two half words, in the byte order of the machine.
fn low_word(node: &[u8]) -> Option<u32> {
    let (first, second) = (u16_at(node, 0)?, u16_at(node, 2)?);
    let (low, high) = if cfg!(target_endian = "little") {
        (first, second)
    } else {
        (second, first)
    };
    Some(u32::from(low) | u32::from(high) << 16)
}
