//! A damaged file is found, set aside, and never crashes the process.

use crate::site::{self, FORMAT, Site, delete, put};
use proptest::prelude::*;
use std::{fs, path::PathBuf, sync::OnceLock};
use symbolon_store_lmdb::{OpenError, Reader, SetAside, Store};

const PAGE: usize = 4096;

/// What the last commit put.
const LAST: &[u8] = b"the last commit";

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// A file with several levels, large values and free pages, and what is in it.
fn sample(site: &Site) -> (Vec<u8>, Records) {
    let mut store = site.store();
    for round in 0_u32..8 {
        let writes: Vec<_> = (0_u32..60)
            .map(|number| {
                let key = (number * 7 + round).to_be_bytes();
                let length = (number as usize % 9) * 90 + if number == 33 { 9_000 } else { 0 };
                put(&key, &vec![number as u8; length])
            })
            .collect();
        store.write(&writes).unwrap();
    }
    for number in 0_u32..40 {
        store.write(&[delete(&(number * 3).to_be_bytes())]).unwrap();
    }
    store.write(&[put(LAST, b"")]).unwrap();
    let records = site::all(&store);
    drop(store);
    (fs::read(site.data()).unwrap(), records)
}

/// Opens a store with this file: what was set aside, and what is in the store now.
fn open_with(bytes: &[u8]) -> (Option<SetAside>, Records) {
    let site = Site::new();
    fs::create_dir(site.path()).unwrap();
    fs::write(site.data(), bytes).unwrap();
    let opened = Store::open(&site.settings(), 1_800_000_000).unwrap();
    let mut store = opened.store;
    let records = site::all(&store);
    // It can be written, and keeps it, whatever was before.
    store.write(&[put(b"new", b"value")]).unwrap();
    drop(store);
    let store = site.store();
    assert_eq!(site::all(&store).len(), records.len() + 1);
    if let Some(SetAside { path, .. }) = &opened.set_aside {
        assert_eq!(
            *path,
            site.path().with_file_name("store.damaged-1800000000")
        );
        assert_eq!(fs::read(path.join("data.mdb")).unwrap(), bytes, "untouched");
    }
    (opened.set_aside, records)
}

/// Either set aside and begun anew, or all of it is there.
fn all_or_set_aside(bytes: &[u8], expected: &Records) -> bool {
    let (set_aside, records) = open_with(bytes);
    match set_aside {
        Some(_) => assert_eq!(records, []),
        None => assert_eq!(records, *expected),
    }
    set_aside_is(&records, expected)
}

fn set_aside_is(records: &Records, expected: &Records) -> bool {
    records != expected
}

#[test]
fn a_sound_file_is_taken_as_it_is() {
    let (bytes, records) = sample(&Site::new());
    assert!(bytes.len() > 20 * PAGE, "{}", bytes.len());
    assert_eq!(open_with(&bytes), (None, records));
}

#[test]
fn a_file_that_ends_too_early_is_set_aside() {
    let (bytes, records) = sample(&Site::new());
    let mut found = 0;
    for end in (0..bytes.len()).step_by(PAGE) {
        found += usize::from(all_or_set_aside(&bytes[..end], &records));
        if end > 0 {
            all_or_set_aside(&bytes[..end - 1], &records);
            all_or_set_aside(&bytes[..end - PAGE / 2], &records);
        }
    }
    // Only free pages at the end may be missing.
    assert!(found >= bytes.len() / PAGE - 20, "{found}");
}

#[test]
fn garbage_is_set_aside() {
    let (bytes, _) = sample(&Site::new());
    let noise: Vec<u8> = (0..20 * PAGE).map(|n| (n * 31 % 251) as u8).collect();
    for garbage in [&[][..], b"x", &noise, &[0; 5 * PAGE], &[0xff; 5 * PAGE]] {
        let (set_aside, records) = open_with(garbage);
        assert!(set_aside.is_some());
        assert_eq!(records, []);
    }
    // The right beginning is not enough.
    let mut mixed = bytes[..2 * PAGE].to_vec();
    mixed.extend_from_slice(&noise);
    assert!(open_with(&mixed).0.is_some());
}

#[test]
fn pages_that_are_overwritten_are_found() {
    let (bytes, records) = sample(&Site::new());
    let mut found = 0;
    for page in 0..bytes.len() / PAGE {
        for filling in [0, 0xff] {
            let mut damaged = bytes.clone();
            damaged[page * PAGE..(page + 1) * PAGE].fill(filling);
            found += usize::from(all_or_set_aside(&damaged, &records));
        }
        // Another page of the same file in its place.
        let mut damaged = bytes.clone();
        let other = (page + 3) % (bytes.len() / PAGE);
        damaged.copy_within(other * PAGE..(other + 1) * PAGE, page * PAGE);
        all_or_set_aside(&damaged, &records);
    }
    assert!(found > 20, "{found}");
}

#[test]
fn a_file_of_another_version_of_lmdb_is_refused_and_not_touched() {
    let site = Site::new();
    let (mut bytes, _) = sample(&site);
    for page in 0..2 {
        bytes[page * PAGE + 20] = 2;
    }
    fs::write(site.data(), &bytes).unwrap();
    let error = Store::open(&site.settings(), 0).unwrap_err();
    assert!(
        matches!(error, OpenError::FileVersion { found: 2, .. }),
        "{error}"
    );
    assert_eq!(fs::read(site.data()).unwrap(), bytes);
}

#[test]
fn a_reader_says_that_a_store_is_damaged_and_leaves_it() {
    let site = Site::new();
    let (mut bytes, _) = sample(&site);
    bytes.truncate(5 * PAGE);
    fs::write(site.data(), &bytes).unwrap();
    let error = Reader::open(site.path(), FORMAT).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("is damaged: page"), "{error}");
    assert_eq!(fs::read(site.data()).unwrap(), bytes);
}

#[test]
fn several_damaged_stores_in_one_second_all_stay() {
    let site = Site::new();
    for _ in 0..3 {
        drop(Store::open(&site.settings(), 7).unwrap());
        fs::write(site.data(), "broken").unwrap();
    }
    drop(Store::open(&site.settings(), 7).unwrap());
    let above: PathBuf = site.path().parent().unwrap().into();
    let mut names: Vec<_> = fs::read_dir(above)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "store",
            "store.damaged-7",
            "store.damaged-7-1",
            "store.damaged-7-2"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_flipped_bit_is_found_or_means_nothing(at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let (bytes, records) = known_sample();
        let mut damaged = bytes.clone();
        let byte = at.index(bytes.len());
        damaged[byte] ^= 1_u8 << bit;
        let (set_aside, found) = open_refusable(&damaged);
        prop_assert!(set_aside || is_whole(found, records));
    }

    #[test]
    fn a_flipped_bit_in_a_meta_page_undoes_one_commit_at_the_most(byte in 0_usize..2 * 160, bit in 0_u32..8) {
        let (bytes, records) = known_sample();
        let mut damaged = bytes.clone();
        let byte = byte / 160 * PAGE + byte % 160;
        damaged[byte] ^= 1_u8 << bit;
        let (set_aside, found) = open_refusable(&damaged);
        prop_assert!(set_aside || is_whole(found, records), "byte {byte}");
    }

    #[test]
    fn several_wrong_bytes_never_crash(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let (bytes, records) = known_sample();
        let mut damaged = bytes.clone();
        for (at, value) in changes {
            damaged[at.index(bytes.len())] = value;
        }
        let (set_aside, found) = open_refusable(&damaged);
        prop_assert!(set_aside || is_whole(found, records));
    }
}

/// A sample that is made once.
fn known_sample() -> &'static (Vec<u8>, Records) {
    static SAMPLE: OnceLock<(Vec<u8>, Records)> = OnceLock::new();
    SAMPLE.get_or_init(|| sample(&Site::new()))
}

/// All of it; or, as LMDB has no checksum over its two meta pages, all but the last commit: a wrong number of a commit makes the other page
/// the newer one.
fn is_whole(found: Option<Records>, records: &Records) -> bool {
    found.is_some_and(|found| {
        let without_last = records.iter().filter(|(key, _)| key != LAST);
        found == *records || found.iter().eq(without_last)
    })
}

/// As `open_with`, for damage that can look like another version.
fn open_refusable(bytes: &[u8]) -> (bool, Option<Records>) {
    let site = Site::new();
    fs::create_dir(site.path()).unwrap();
    fs::write(site.data(), bytes).unwrap();
    match Store::open(&site.settings(), 0) {
        Ok(opened) => (opened.set_aside.is_some(), Some(site::all(&opened.store))),
        Err(OpenError::FileVersion { .. }) => (true, None),
        Err(error) => panic!("{error}"),
    }
}
