//! The two meta pages. Commits write them in turn, so that the older one stands for the state before.

use super::{
    Damage, ReadError,
    page::{HEADER, Page, PageKind, u16_at, u32_at, u64_at},
};
use std::{fs::File, io, os::unix::fs::FileExt as _};

const MAGIC: u32 = 0xBEEF_C0DE;
/// The version of LMDB's file format.
const VERSION: u32 = 1;
/// LMDB's own bounds.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 512..=32 * 1024;
/// `MDB_INTEGERKEY`, which the free list has; a table of ours has no flags.
const INTEGER_KEYS: u16 = 0x08;
/// The root of an empty tree.
const NO_PAGE: u64 = u64::MAX;
/// Bytes of a meta page that mean anything.
const META_BYTES: usize = 152;

/// Where a tree begins, and what it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TreeRecord {
    pub(crate) depth: u16,
    pub(crate) branch_pages: u64,
    pub(crate) leaf_pages: u64,
    pub(crate) overflow_pages: u64,
    pub(crate) entries: u64,
    /// `None` for an empty tree.
    pub(crate) root: Option<u64>,
}

/// A state of the whole store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Meta {
    pub(crate) page_bytes: usize,
    pub(crate) free_list: TreeRecord,
    pub(crate) names: TreeRecord,
    pub(crate) last_page: u64,
    pub(crate) transaction: u64,
}

/// Why there is no state to read.
#[derive(Debug)]
pub(crate) enum MetaError {
    Read(ReadError),
    /// LMDB's file, but in another version of its format.
    FileVersion(u32),
}

impl From<io::Error> for MetaError {
    fn from(error: io::Error) -> Self {
        Self::Read(error.into())
    }
}

fn damage(what: &str) -> MetaError {
    MetaError::Read(Damage(what.into()).into())
}

impl TreeRecord {
    pub(crate) const BYTES: usize = 48;

    /// Of a table, which has no flags.
    pub(crate) fn of_table(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes, 0).filter(|_| bytes.len() == Self::BYTES && u32_at(bytes, 0) == Some(0))
    }

    fn parse(bytes: &[u8], flags: u16) -> Option<Self> {
        if u16_at(bytes, 4)? != flags {
            return None;
        }
        let root = u64_at(bytes, 40)?;
        Some(Self {
            depth: u16_at(bytes, 6)?,
            branch_pages: u64_at(bytes, 8)?,
            leaf_pages: u64_at(bytes, 16)?,
            overflow_pages: u64_at(bytes, 24)?,
            entries: u64_at(bytes, 32)?,
            root: (root != NO_PAGE).then_some(root),
        })
    }
}

impl Meta {
    /// The newest state in the file.
    pub(crate) fn newest(file: &File) -> Result<Self, MetaError> {
        let [first, second] = Self::both(file)?;
        let distance = first.transaction.abs_diff(second.transaction);
        // Every transaction writes the page of its parity; both are 0 until the first.
        let in_turn = first.transaction % 2 == 0 && second.transaction % 2 == 1 && distance == 1;
        if !in_turn && (first.transaction, second.transaction) != (0, 0) {
            return Err(damage("the meta pages are not of two commits in a row"));
        }
        Ok(if first.transaction > second.transaction {
            first
        } else {
            second
        })
    }

    /// Both states, newer or older.
    pub(crate) fn both(file: &File) -> Result<[Self; 2], MetaError> {
        let first = Self::read(file, 0, 0)?;
        let second = Self::read(file, 1, first.page_bytes as u64)?;
        if first.page_bytes == second.page_bytes {
            Ok([first, second])
        } else {
            Err(damage("the meta pages have different page sizes"))
        }
    }

    fn read(file: &File, number: u64, offset: u64) -> Result<Self, MetaError> {
        let mut bytes = vec![0; META_BYTES];
        file.read_exact_at(&mut bytes, offset).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                damage("the file ends within its meta pages")
            } else {
                error.into()
            }
        })?;
        let page = Page::parse(number, bytes).map_err(MetaError::Read)?;
        let meta = &page.bytes[HEADER..];
        if page.kind != PageKind::Meta || u32_at(meta, 0) != Some(MAGIC) {
            return Err(damage("a meta page is not one"));
        }
        match u32_at(meta, 4) {
            Some(VERSION) => {}
            other => return Err(MetaError::FileVersion(other.unwrap_or(0))),
        }
        Self::parse(meta).ok_or_else(|| damage("a meta page contradicts itself"))
    }

    fn parse(meta: &[u8]) -> Option<Self> {
        let trees = meta.get(24..)?;
        let page_bytes = u32_at(trees, 0)? as usize;
        let read = Self {
            page_bytes,
            free_list: TreeRecord::parse(trees, INTEGER_KEYS)?,
            names: TreeRecord::parse(trees.get(TreeRecord::BYTES..)?, 0)?,
            last_page: u64_at(meta, 120)?,
            transaction: u64_at(meta, 128)?,
        };
        let sound = page_bytes.is_power_of_two()
            && PAGE_BYTES.contains(&page_bytes)
            && read.last_page >= 1
            && read.last_page < u64::MAX / page_bytes as u64 - 1;
        sound.then_some(read)
    }
}
