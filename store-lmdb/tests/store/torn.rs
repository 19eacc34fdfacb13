//! A commit that the disk took in part: data pages first, the meta page last.

use crate::site::{self, Site, delete, put};
use std::{collections::BTreeMap, fs};
use symbolon_store_lmdb::{Store, Write};

const PAGE: usize = 4096;
/// What is written at once.
const SECTOR: usize = 512;

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// What an image opens to; it must be sound.
fn open(bytes: &[u8]) -> Records {
    let site = Site::new();
    fs::create_dir(site.path()).unwrap();
    fs::write(site.data(), bytes).unwrap();
    let opened = Store::open(&site.settings(), 0).unwrap();
    assert_eq!(opened.set_aside, None);
    site::all(&opened.store)
}

/// Pieces that differ, those of the meta pages last.
fn changed(before: &[u8], after: &[u8], size: usize) -> Vec<usize> {
    let differs = |offset: &usize| {
        let end = (offset + size).min(after.len());
        before.get(*offset..end) != Some(&after[*offset..end])
    };
    let (meta, mut data): (Vec<_>, Vec<_>) = (0..after.len())
        .step_by(size)
        .filter(differs)
        .partition(|offset| *offset < 2 * PAGE);
    data.extend(meta);
    data
}

/// Every prefix of the pieces that a commit changes.
fn tear(before: &[u8], after: &[u8], states: (&Records, &Records), size: usize) -> usize {
    let pieces = changed(before, after, size);
    for count in 0..=pieces.len() {
        let mut image = before.to_vec();
        for offset in &pieces[..count] {
            let end = (offset + size).min(after.len());
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset..end].copy_from_slice(&after[*offset..end]);
        }
        let expected = if count == pieces.len() {
            states.1
        } else {
            states.0
        };
        assert_eq!(open(&image), *expected, "{count} of {}", pieces.len());
    }
    pieces.len()
}

/// Commits that grow, replace, shrink, and use free pages again.
fn commits() -> Vec<Vec<Write>> {
    let put_many = |from: u32, count: u32, length: usize| -> Vec<Write> {
        let numbers = from..from + count;
        numbers
            .map(|number| put(&number.to_be_bytes(), &vec![number as u8; length]))
            .collect()
    };
    let mut commits = vec![
        put_many(0, 3, 10),
        put_many(0, 200, 150),
        put_many(50, 5, 9_000),
    ];
    commits.push(
        (0_u32..120)
            .map(|number| delete(&number.to_be_bytes()))
            .collect(),
    );
    commits.extend((0..12).map(|round| put_many(round * 11, 20, 300)));
    commits
}

#[test]
fn a_torn_commit_is_whole_or_has_not_happened() {
    let site = Site::new();
    let mut store = site.store();
    let mut expected = BTreeMap::new();
    let mut torn = 0;
    for writes in commits() {
        let before = fs::read(site.data()).unwrap();
        let old: Records = expected.clone().into_iter().collect();
        store.write(&writes).unwrap();
        for write in writes {
            match write.clone() {
                Write::Put { key, value, .. } => expected.insert(key, value),
                Write::Delete { key, .. } => expected.remove(&key),
                Write::PutUnlessLower { .. }
                | Write::DeleteUnlessHigher { .. }
                | Write::DeletePrefix { .. } => panic!("not among the commits: {write:?}"),
            };
        }
        let after = fs::read(site.data()).unwrap();
        let new: Records = expected.clone().into_iter().collect();
        assert_eq!(site::all(&store), new);
        for size in [PAGE, PAGE / 2, SECTOR] {
            torn += tear(&before, &after, (&old, &new), size);
        }
    }
    assert!(torn > 300, "{torn}");
}
