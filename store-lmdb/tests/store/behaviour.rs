//! The store as whoever uses it sees it.

use crate::site::{self, FORMAT, Site, TABLE, delete, put};
use std::{fs, os::unix::fs::PermissionsExt as _};
use symbolon_store_lmdb::{OpenError, Reader, Store, Table, Write, WriteError};

#[test]
fn what_was_written_is_there_after_opening_again() {
    let site = Site::new();
    let mut store = site.store();
    store
        .write(&[put(b"b", b"2"), put(b"a", b"1"), put(b"c", &[7; 100_000])])
        .unwrap();
    store.write(&[delete(b"b"), put(b"a", b"3")]).unwrap();
    drop(store);
    let expected = vec![
        (b"a".to_vec(), b"3".to_vec()),
        (b"c".to_vec(), vec![7; 100_000]),
    ];
    assert_eq!(site::all(&site.store()), expected);
}

#[test]
fn a_group_with_a_mistake_leaves_nothing_behind() {
    let site = Site::new();
    let mut store = site.store();
    let error = store.write(&[put(b"a", b"1"), put(b"", b"2")]).unwrap_err();
    assert!(matches!(error, WriteError::Key(0)), "{error}");
    let error = store
        .write(&[put(b"a", b"1"), put(&[1; 512], b"2")])
        .unwrap_err();
    assert!(matches!(error, WriteError::Key(512)), "{error}");
    assert_eq!(site::all(&store), []);
    store.write(&[put(&[1; 511], b"2")]).unwrap();
}

#[test]
fn a_prefix_deletes_all_that_begin_so_and_nothing_else() {
    let site = Site::new();
    let mut store = site.store();
    let keys: [&[u8]; 6] = [
        &[1, 255],
        &[1, 255, 255],
        &[2],
        &[2, 0],
        &[255],
        &[255, 255],
    ];
    store.write(&keys.map(|key| put(key, b""))).unwrap();
    let prefix = |prefix: &[u8]| Write::DeletePrefix {
        table: TABLE,
        prefix: prefix.to_vec(),
    };
    store.write(&[prefix(&[1, 255])]).unwrap();
    store.write(&[prefix(&[255])]).unwrap();
    let left: Vec<_> = site::all(&store).into_iter().map(|(key, _)| key).collect();
    assert_eq!(left, [vec![2], vec![2, 0]]);
}

#[test]
fn a_value_that_is_lower_in_the_compared_bytes_does_not_win() {
    let site = Site::new();
    let mut store = site.store();
    let put = |value: &[u8]| Write::PutUnlessLower {
        table: TABLE,
        key: b"k".to_vec(),
        value: value.to_vec(),
        compared: 1..3,
    };
    let delete = |than: &[u8]| Write::DeleteUnlessHigher {
        table: TABLE,
        key: b"k".to_vec(),
        than: than.to_vec(),
        from: 1,
    };
    store.write(&[put(b"v05first"), put(b"v04second")]).unwrap();
    assert_eq!(site::all(&store)[0].1, b"v05first");
    store.write(&[put(b"v05third")]).unwrap();
    assert_eq!(site::all(&store)[0].1, b"v05third");
    store.write(&[delete(b"04")]).unwrap();
    assert_eq!(site::all(&store).len(), 1);
    store.write(&[delete(b"05"), delete(b"09")]).unwrap();
    assert_eq!(site::all(&store), []);
}

#[test]
fn two_cannot_open_one_store() {
    let site = Site::new();
    let _store = site.store();
    let error = Store::open(&site.settings(), 0).unwrap_err();
    let text = error.to_string();
    let expected = format!("is in use by process {}", std::process::id());
    assert!(text.ends_with(&expected), "{text}");
}

#[test]
fn nobody_else_may_read_the_store() {
    let site = Site::new();
    let mut store = site.store();
    store.write(&[put(b"a", b"1")]).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(site.path()), 0o700);
    for entry in fs::read_dir(site.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(store);
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(site.store());
    assert_eq!(mode(site.path()), 0o700);
}

#[test]
fn a_directory_that_holds_other_things_is_not_taken() {
    let site = Site::new();
    fs::create_dir(site.path()).unwrap();
    fs::write(site.path().join("symbolon.toml"), "").unwrap();
    let error = Store::open(&site.settings(), 0).unwrap_err();
    assert!(error.to_string().contains("symbolon.toml"), "{error}");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_not_touched() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.format = FORMAT + 1;
    let mut newer = Store::open(&settings, 0).unwrap().store;
    newer.write(&[put(b"a", b"1")]).unwrap();
    drop(newer);
    let before = fs::read(site.data()).unwrap();
    let error = Store::open(&site.settings(), 0).unwrap_err();
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("version 8") && text.contains("up to 7"),
        "{text}"
    );
    assert_eq!(fs::read(site.data()).unwrap(), before);
    assert!(matches!(
        Reader::open(site.path(), FORMAT),
        Err(OpenError::Newer {
            found: 8,
            known: 7,
            ..
        })
    ));
}

#[test]
fn a_reader_sees_one_moment_and_needs_a_store() {
    let site = Site::new();
    let missing = Reader::open(site.path(), FORMAT).unwrap_err();
    assert!(missing.to_string().contains("no store at"), "{missing}");
    let mut store = site.store();
    store.write(&[put(b"a", b"1")]).unwrap();
    let used = store.used_bytes();
    drop(store);
    let reader = Reader::open(site.path(), FORMAT).unwrap();
    assert_eq!((reader.format(), reader.used_bytes()), (FORMAT, used));
    let mut found = Vec::new();
    reader
        .for_each("things", &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            Ok::<(), symbolon_store_lmdb::ReadError>(())
        })
        .unwrap();
    assert_eq!(found, [(b"a".to_vec(), b"1".to_vec())]);
}

#[test]
fn what_makes_no_sense_to_the_caller_can_be_set_aside() {
    let site = Site::new();
    let mut store = site.store();
    store.write(&[put(b"a", b"1")]).unwrap();
    let opened = store.set_aside("table things: no such record", 5).unwrap();
    assert_eq!(site::all(&opened.store), []);
    let aside = opened.set_aside.unwrap();
    assert!(aside.path.to_string_lossy().ends_with("store.damaged-5"));
    assert_eq!(aside.damage.to_string(), "table things: no such record");
    assert!(aside.path.join("data.mdb").exists());
}

#[test]
fn a_full_store_refuses_new_things_and_takes_deletions() {
    let site = Site::new();
    let mut store = site.store();
    let mut count = 0_u32;
    let error = loop {
        let key = count.to_be_bytes();
        match store.write(&[put(&key, &[9; 3_000])]) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
        assert!(count < 10_000, "there is no end");
    };
    assert!(matches!(error, WriteError::Full), "{error}");
    assert!(store.is_over_limit());
    assert!(store.used_bytes() < 2 * store.max_bytes());
    for key in 0..count {
        store.write(&[delete(&key.to_be_bytes())]).unwrap();
    }
    assert!(!store.is_over_limit());
    assert!(store.used_bytes() < 100_000, "{}", store.used_bytes());
    let file_bytes = fs::metadata(site.data()).unwrap().len();
    for key in 0..count / 2 {
        store
            .write(&[put(&key.to_be_bytes(), &[8; 3_000])])
            .unwrap();
    }
    assert_eq!(
        fs::metadata(site.data()).unwrap().len(),
        file_bytes,
        "pages that became free are used again"
    );
}

#[test]
fn an_unknown_table_is_an_error() {
    let site = Site::new();
    let write = Write::Delete {
        table: Table(17),
        key: vec![1],
    };
    assert!(site.store().write(&[write]).is_err());
}
