//! The file as LMDB lays it out, read page by page without mapping it. LMDB trusts every offset that it finds in a page, so a damaged file
//! could crash the process; here every number is checked before it is used.
//!
//! | file | reads |
//! |---|---|
//! | `page.rs` | one page and its nodes |
//! | `meta.rs` | the two meta pages, which say where the trees begin |
//! | `tree.rs` | a whole tree, in the order of its keys |
//! | `walk.rs` | everything: free list, names of tables, tables |

pub(crate) mod meta;
pub(crate) mod page;
pub(crate) mod tree;
pub(crate) mod walk;

use std::io;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("LMDB's file format depends on the word size; only that of 64 bits is known here");

/// Looks at a key and its value.
pub type Visit<'v, E> = &'v mut dyn FnMut(&[u8], &[u8]) -> Result<(), E>;

/// What is wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Damage(pub(crate) String);

/// Why reading ends early.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is damaged.
    #[error("the store is damaged: {0}")]
    Damaged(#[from] Damage),
    /// The file cannot be read.
    #[error("the store cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Shorthand for damage at a page.
pub(crate) fn damage(page: u64, what: impl std::fmt::Display) -> ReadError {
    Damage(format!("page {page}: {what}")).into()
}
