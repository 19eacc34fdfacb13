//! Everything in a file.

use super::{
    ReadError, Visit, damage,
    meta::{Meta, TreeRecord},
    page::u64_at,
    tree::{Found, Order, Pages, walk},
};
use std::fs::File;

/// Pages that are free but beyond the file's end, and that no list names: LMDB may lose a few.
const LOST_PAGES_AT_MOST: u64 = 1_024;

/// The tables of a state by their names.
pub(crate) type Names = Vec<(Vec<u8>, TreeRecord)>;

/// Reads the free list and the names of all tables.
pub(crate) fn names(pages: &mut Pages<'_>, meta: &Meta) -> Result<Names, ReadError> {
    let mut free_pages: Vec<u64> = Vec::new();
    walk(pages, &meta.free_list, Order::Numbers, &mut |key, found| {
        let Found::Value(list) = found else {
            return Err(damage(0, "the free list holds a tree"));
        };
        if key.len() != size_of::<u64>() {
            return Err(damage(0, "a key of the free list is no number"));
        }
        free_pages.extend(
            free_pages_of(list).ok_or_else(|| damage(0, "a list of free pages is no such list"))?,
        );
        Ok(())
    })?;
    for number in &free_pages {
        pages.mark_free(*number)?;
    }
    if meta.last_page >= pages.in_file + free_pages.len() as u64 + LOST_PAGES_AT_MOST {
        return Err(damage(meta.last_page, "the file ends long before it"));
    }
    let mut names = Vec::new();
    walk(pages, &meta.names, Order::Bytes, &mut |name, found| {
        let Found::Tree(record) = found else {
            return Err(damage(0, "a value among the names of tables"));
        };
        let record = TreeRecord::of_table(record);
        let record = record.ok_or_else(|| damage(0, "the record of a table is no such record"))?;
        names.push((name.to_vec(), record));
        Ok(())
    })?;
    Ok(names)
}

/// A list: how many, and as many page numbers, the highest first.
fn free_pages_of(list: &[u8]) -> Option<Vec<u64>> {
    let count = usize::try_from(u64_at(list, 0)?).ok()?;
    let numbers = list.get(8..8_usize.checked_add(count.checked_mul(8)?)?)?;
    let numbers: Vec<u64> = numbers
        .chunks_exact(8)
        .filter_map(|number| u64_at(number, 0))
        .collect();
    numbers
        .windows(2)
        .all(|pair| pair[0] > pair[1])
        .then_some(numbers)
}

/// Calls `visit` with each key and value of a table, in order.
pub(crate) fn table<E: From<ReadError>>(
    pages: &mut Pages<'_>,
    tree: &TreeRecord,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    walk(pages, tree, Order::Bytes, &mut |key, found| match found {
        Found::Value(value) => visit(key, value),
        Found::Tree(_) => Err(damage(0, "a table within a table").into()),
    })
}

/// One value of a table, for a look before all is read.
pub(crate) fn first_value(
    file: &File,
    meta: &Meta,
    tree: &TreeRecord,
    wanted: &[u8],
) -> Result<Option<Vec<u8>>, ReadError> {
    let mut value = None;
    table(&mut Pages::new(file, meta)?, tree, &mut |key, found| {
        if key == wanted {
            value = Some(found.to_vec());
        }
        Ok::<(), ReadError>(())
    })?;
    Ok(value)
}
