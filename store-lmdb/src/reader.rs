//! A look into a store, also while another process writes: the state of one moment.

use crate::{
    directory::{DirectoryError, data_in},
    environment::{Environment, Pin},
    pages::{
        ReadError, Visit,
        meta::{Meta, MetaError},
        tree::Pages,
    },
    store::{Checked, OpenError, check, each_sealed, meta_error},
};
use std::{fmt, fs::File, path::Path};

/// How often a moment is looked for at which the newest state is the one that is kept from being overwritten.
const TRIES: usize = 1_000;

/// A store as it was at one moment. While it lives, whoever writes to the store cannot use pages again that become free.
pub struct Reader {
    file: File,
    meta: Meta,
    checked: Checked,
    _pin: Option<Pin>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// Reads and checks everything. `format` is the highest version that the caller knows.
    pub fn open(directory: &Path, format: u32) -> Result<Self, OpenError> {
        let missing = || DirectoryError::Missing(directory.to_owned());
        let file = data_in(directory)?.ok_or_else(missing)?;
        // Before anything is mapped.
        let newest = newest_of(&file).map_err(|error| meta_error(error, directory))?;
        let (meta, pin) = pin_newest(directory, &file, newest)?;
        let checked = check(&file, &meta, directory, format)?;
        Ok(Self {
            file,
            meta,
            checked,
            _pin: pin,
        })
    }

    /// The version of the format that the store has.
    pub fn format(&self) -> u32 {
        self.checked.format
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        let trees = self.checked.names.iter().map(|(_, tree)| tree);
        let pages = trees
            .chain([&self.meta.names])
            .map(|tree| tree.branch_pages + tree.leaf_pages + tree.overflow_pages);
        pages.sum::<u64>() * self.meta.page_bytes as u64
    }

    /// Calls `visit` with each key and value of the table with this name, in the order of the keys. A table that does not exist is empty.
    pub fn for_each<E: From<ReadError>>(&self, table: &str, visit: Visit<'_, E>) -> Result<(), E> {
        let mut pages = Pages::new(&self.file, &self.meta)?;
        for (name, tree) in &self.checked.names {
            if name == table.as_bytes() {
                return each_sealed(&mut pages, tree, visit);
            }
        }
        Ok(())
    }
}

/// The newest state. The two meta pages are not read at one moment: where they do not fit together, somebody may have written between.
fn newest_of(file: &File) -> Result<Meta, MetaError> {
    let mut newest = Meta::newest(file);
    for _ in 1..TRIES {
        if newest.is_ok() {
            break;
        }
        newest = Meta::newest(file);
    }
    newest
}

/// The newest state, kept from being overwritten.
fn pin_newest(
    directory: &Path,
    file: &File,
    mut newest: Meta,
) -> Result<(Meta, Option<Pin>), OpenError> {
    let refused = |message: String| OpenError::Lmdb {
        path: directory.to_owned(),
        message,
    };
    let bytes = (newest.last_page + 1).saturating_mul(newest.page_bytes as u64);
    let map = bytes.max(1024 * 1024).next_multiple_of(64 * 1024);
    for _ in 0..TRIES {
        let pin = Environment::pin(directory, map).map_err(|error| refused(error.to_string()))?;
        let metas = Meta::both(file).map_err(|error: MetaError| meta_error(error, directory))?;
        let pinned = metas
            .into_iter()
            .find(|meta| meta.transaction == pin.transaction());
        if let Some(meta) = pinned {
            return Ok((meta, Some(pin)));
        }
        newest = metas[0];
    }
    Err(refused(format!(
        "it is being written too fast to be read: transaction {}",
        newest.transaction
    )))
}
