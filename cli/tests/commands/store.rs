//! `symbolon store`, and the section of the configuration that says where it is.

use crate::program::{Site, symbolon};
use std::{ffi::OsStr, fs, path::Path};
use symbolon_store_lmdb::{Settings, Store, Sync, Table, Write};

/// A store as a broker makes it, with a session and its subscription.
fn make(path: &Path, format: u32) {
    let settings = Settings {
        directory: path,
        tables: &[
            "sessions",
            "subscriptions",
            "messages",
            "received",
            "retained",
        ],
        format,
        max_bytes: 1 << 24,
        sync: Sync::ProcessCrash,
    };
    let mut store = Store::open(&settings, 0).unwrap().store;
    let put = |table, key: &[u8], value: &[u8]| Write::Put {
        table: Table(table),
        key: key.to_vec(),
        value: value.to_vec(),
    };
    let id = [0, 0, 0, 0, 0, 0, 0, 9];
    // Version, Client Identifier, no holder, expiry, not away, nothing sent beyond place 10, no Will.
    let session = b"\x01\0\0\0\x06sensor\0\0\0\x0e\x10\0\0\0\0\0\0\0\0\x0a\0";
    // Version, no share name, filter, QoS 1, no flags, no identifier.
    let subscription = b"\x01\0\0\0\0\x03a/#\x01\0\0\0";
    let at = [&id[..], b"\0a/#"].concat();
    store
        .write(&[put(0, &id, session), put(1, &at, subscription)])
        .unwrap();
}

fn run(command: &str, path: &Path, more: &[&str]) -> crate::program::Ended {
    let mut arguments = vec![OsStr::new("store"), OsStr::new(command), path.as_os_str()];
    arguments.extend(more.iter().map(OsStr::new));
    symbolon(&arguments)
}

#[test]
fn check_counts_what_is_there_by_site_and_by_store() {
    let site = Site::new();
    let store = site.path().join("store");
    make(&store, 1);
    let json = run("check", &site.path(), &["-o", "json"]).json();
    assert_eq!(json["path"], store.to_str().unwrap());
    for (name, count) in [
        ("format", 1),
        ("sessions", 1),
        ("subscriptions", 1),
        ("messages", 0),
        ("retained", 0),
        ("expired", 0),
    ] {
        assert_eq!(json[name], count, "{name}");
    }
    assert!(json["used_bytes"].as_u64().unwrap() > 0);
    let table = run("check", &store, &[]).success();
    assert!(table.contains("/store: ok\n"), "{table}");
}

#[test]
fn export_writes_a_json_object_a_line() {
    let site = Site::new();
    make(&site.path().join("store"), 1);
    let lines = run("export", &site.path(), &[]).success();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["kind"], "session");
    assert_eq!(lines[0]["client_identifier"], "sensor");
    assert_eq!(lines[0]["expiry_secs"], 3600);
    assert_eq!(
        (&lines[1]["kind"], &lines[1]["filter"]),
        (&"subscription".into(), &"a/#".into())
    );
}

#[test]
fn what_is_not_a_sound_store_is_told_with_code_1() {
    let site = Site::new();
    let store = site.path().join("store");
    let said = run("check", &site.path(), &[]).failure(1);
    assert!(said.contains("there is no store at"), "{said}");
    make(&store, 2);
    let said = run("check", &site.path(), &[]).failure(1);
    assert!(
        said.contains("format version 2, this program knows versions up to 1"),
        "{said}"
    );
    fs::remove_dir_all(&store).unwrap();
    make(&store, 1);
    let data = fs::read(store.join("data.mdb")).unwrap();
    fs::write(store.join("data.mdb"), &data[..data.len() - 4096]).unwrap();
    for command in ["check", "export"] {
        let said = run(command, &site.path(), &[]).failure(1);
        assert!(said.contains("is damaged: "), "{said}");
    }
}

#[test]
fn the_section_can_be_left_out_but_not_be_nonsense() {
    let site = Site::new();
    site.edit(
        "path = \"store\"",
        "path = \"store\"\ndurability = \"power-loss\"",
    );
    site.check().success();
    site.edit("\"power-loss\"", "\"power\"");
    let said = site.check().failure(2);
    assert!(said.contains("power-loss"), "{said}");
    site.edit("durability = \"power\"", "max_bytes = 1000");
    let said = site.check().failure(2);
    assert!(said.contains("must be 16777216 or more"), "{said}");
    site.edit("max_bytes = 1000\n", "");
    site.edit("[broker.store]\npath = \"store\"\n", "");
    site.check().success();
    let said = run("check", &site.path(), &[]).failure(2);
    assert!(said.contains("no section [broker.store]"), "{said}");
}
