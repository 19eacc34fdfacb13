//! A tree, from its root to its last leaf.

use super::{
    ReadError, damage,
    meta::{Meta, TreeRecord},
    page::{Content, HEADER, Page, PageKind, u64_at},
};
use std::{cmp::Ordering, fs::File, io, os::unix::fs::FileExt as _};

/// The deepest tree that LMDB's cursors can walk.
const DEPTH_AT_MOST: u16 = 32;

/// Pages read so far, so that none is in use twice.
#[derive(Debug)]
pub(crate) struct Pages<'f> {
    file: &'f File,
    page_bytes: usize,
    last_page: u64,
    /// Pages that are in the file.
    pub(crate) in_file: u64,
    seen: Vec<u64>,
}

/// How keys are ordered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    Bytes,
    /// The free list: numbers in the byte order of the machine.
    Numbers,
}

/// What stands under a key of a leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'p> {
    Value(&'p [u8]),
    Tree(&'p [u8]),
}

/// Looks at a key and what stands under it.
pub(crate) type VisitFound<'v, E> = &'v mut dyn FnMut(&[u8], Found<'_>) -> Result<(), E>;

impl<'f> Pages<'f> {
    pub(crate) fn new(file: &'f File, meta: &Meta) -> Result<Self, ReadError> {
        let in_file = file.metadata()?.len() / meta.page_bytes as u64;
        let bits = in_file.min(meta.last_page + 1);
        let words = usize::try_from(bits.div_ceil(64)).unwrap_or(0);
        let mut pages = Self {
            file,
            page_bytes: meta.page_bytes,
            last_page: meta.last_page,
            in_file,
            seen: vec![0; words],
        };
        for number in 0..2 {
            pages.mark(number)?;
        }
        Ok(pages)
    }

    /// Takes note that a page is in use.
    fn mark(&mut self, number: u64) -> Result<(), ReadError> {
        if number > self.last_page {
            return Err(damage(number, "it is beyond the last page"));
        }
        if number >= self.in_file {
            return Err(damage(number, "the file ends before it"));
        }
        let word = usize::try_from(number / 64).ok();
        let word = word.and_then(|word| self.seen.get_mut(word));
        let word = word.ok_or_else(|| damage(number, "the file ends before it"))?;
        let bit = 1 << (number % 64);
        if *word & bit != 0 {
            return Err(damage(number, "it is used twice"));
        }
        *word |= bit;
        Ok(())
    }

    /// Takes note that a page is free; such a page may be beyond the end of the file.
    pub(crate) fn mark_free(&mut self, number: u64) -> Result<(), ReadError> {
        if number >= self.in_file && number <= self.last_page {
            return Ok(());
        }
        self.mark(number)
    }

    fn read(&mut self, number: u64) -> Result<Page, ReadError> {
        self.mark(number)?;
        let bytes = self.read_bytes(number, 0, self.page_bytes)?;
        Page::parse(number, bytes)
    }

    fn read_bytes(&self, page: u64, offset: usize, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; length];
        let at = page * self.page_bytes as u64 + offset as u64;
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(damage(page, "the file ends within it"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A value on pages of its own, and how many they are.
    fn read_overflow(&mut self, first: u64, length: usize) -> Result<(Vec<u8>, u64), ReadError> {
        let wrong = || damage(first, "a large value does not fit into its pages");
        let whole = length.checked_add(HEADER).ok_or_else(wrong)?;
        let pages = whole.div_ceil(self.page_bytes) as u64;
        let page = self.read(first)?;
        if page.kind != PageKind::Overflow || u64::from(page.overflow_pages()) != pages {
            return Err(wrong());
        }
        for number in first + 1..first.checked_add(pages).ok_or_else(wrong)? {
            self.mark(number)?;
        }
        Ok((self.read_bytes(first, HEADER, length)?, pages))
    }
}

/// Calls `visit` with each key of the tree and what stands under it, in order.
pub(crate) fn walk<E: From<ReadError>>(
    pages: &mut Pages<'_>,
    tree: &TreeRecord,
    order: Order,
    visit: VisitFound<'_, E>,
) -> Result<(), E> {
    let mut walk = Walk {
        pages,
        order,
        last_key: None,
        at_least: None,
        counted: TreeRecord {
            depth: tree.depth,
            branch_pages: 0,
            leaf_pages: 0,
            overflow_pages: 0,
            entries: 0,
            root: tree.root,
        },
        visit,
    };
    match tree.root {
        Some(root) if tree.depth == 0 || tree.depth > DEPTH_AT_MOST => {
            return Err(damage(root, "the depth of its tree cannot be").into());
        }
        Some(root) => walk.page(root, tree.depth)?,
        None => {}
    }
    if walk.counted == *tree {
        Ok(())
    } else {
        let root = tree.root.unwrap_or(0);
        Err(damage(root, "its tree does not hold what its record says").into())
    }
}

struct Walk<'w, 'f, E> {
    pages: &'w mut Pages<'f>,
    order: Order,
    last_key: Option<Vec<u8>>,
    /// What the branch above says of the next key.
    at_least: Option<Vec<u8>>,
    counted: TreeRecord,
    visit: VisitFound<'w, E>,
}

impl<E: From<ReadError>> Walk<'_, '_, E> {
    /// A page with `levels` levels of the tree from it on.
    fn page(&mut self, number: u64, levels: u16) -> Result<(), E> {
        let page = self.pages.read(number)?;
        let count = page.node_count()?;
        match (page.kind, levels) {
            (PageKind::Leaf, 1) => self.leaf(&page, count),
            (PageKind::Branch, 2..) if count > 0 => self.branch(&page, count, levels),
            _ => Err(damage(number, "it has no business at its place in the tree").into()),
        }
    }

    fn branch(&mut self, page: &Page, count: usize, levels: u16) -> Result<(), E> {
        self.counted.branch_pages += 1;
        for index in 0..count {
            let node = page.node(index)?;
            // The first key of a branch stands for "lower than all others" and means nothing.
            if index > 0 {
                self.check_order(page.number, node.key)?;
                self.at_least = Some(node.key.to_vec());
            }
            match node.content {
                Content::Child(child) => self.page(child, levels - 1)?,
                Content::Value(_) | Content::Overflow { .. } | Content::Tree(_) => {
                    return Err(damage(page.number, "a branch holds a value").into());
                }
            }
        }
        Ok(())
    }

    fn leaf(&mut self, page: &Page, count: usize) -> Result<(), E> {
        self.counted.leaf_pages += 1;
        for index in 0..count {
            let node = page.node(index)?;
            self.check_order(page.number, node.key)?;
            self.counted.entries += 1;
            match node.content {
                Content::Value(value) => (self.visit)(node.key, Found::Value(value))?,
                Content::Tree(record) => (self.visit)(node.key, Found::Tree(record))?,
                Content::Overflow { page, length } => {
                    let (value, pages) = self.pages.read_overflow(page, length)?;
                    self.counted.overflow_pages += pages;
                    (self.visit)(node.key, Found::Value(&value))?;
                }
                Content::Child(_) => {
                    return Err(damage(page.number, "a leaf holds a page number").into());
                }
            }
            self.last_key = Some(node.key.to_vec());
            self.at_least = None;
        }
        Ok(())
    }

    fn check_order(&self, page: u64, key: &[u8]) -> Result<(), ReadError> {
        let after = |other: &Option<Vec<u8>>, also_equal: bool| match other {
            None => true,
            Some(other) => match self.compare(other, key) {
                Some(Ordering::Less) => true,
                Some(Ordering::Equal) => also_equal,
                Some(Ordering::Greater) | None => false,
            },
        };
        if !key.is_empty() && after(&self.last_key, false) && after(&self.at_least, true) {
            Ok(())
        } else {
            Err(damage(page, "its keys are not in order"))
        }
    }

    fn compare(&self, one: &[u8], other: &[u8]) -> Option<Ordering> {
        match self.order {
            Order::Bytes => Some(one.cmp(other)),
            Order::Numbers if one.len() == 8 && other.len() == 8 => {
                Some(u64_at(one, 0)?.cmp(&u64_at(other, 0)?))
            }
            Order::Numbers => None,
        }
    }
}
