//! The house rules that neither the compiler nor clippy checks.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MAX_LINES: usize = 800;
/// What code that decides must not touch: IO, a runtime, a clock.
const NOT_IN_CORE: [&str; 6] = [
    "tokio",
    "std::net",
    "std::fs",
    ".await",
    "Instant::now",
    "SystemTime::now",
];
const NOT_A_NAME: [&str; 4] = ["utils", "common", "helpers", "types"];
/// Where rustls may be named: in the engine of `tls`, where the authorization server serves HTTPS, and in the load generator.
const NAMES_THE_ENGINE: [&str; 7] = [
    "tls/src/engine.rs",
    "tls/src/engine/client.rs",
    "tls/src/engine/raw_keys.rs",
    "tls/src/engine/server.rs",
    "auth-server/src/listener.rs",
    "auth-server/src/tls.rs",
    "bench/src/wire/secure.rs",
];

/// The members that may leave the language's safety, the files where they do, and in how many lines.
const LEAVES: [(&str, &str, usize); 3] = [
    ("reclaim", "reclaim/src/lib.rs", 1),
    ("store-lmdb", "store-lmdb/src/environment.rs", 1),
    ("tls-psk", "tls-psk/src/foreign.rs", 15),
];

/// Every Rust file of the project with its text, by path from the root.
fn rust_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of ours can be read") {
            let path = entry.expect("so can its entries").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("Rust files are UTF-8");
                let path = path.strip_prefix(root()).expect("it lies under the root");
                files.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The lines that are no comments, numbered from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether the word stands there and does not go on: `.awaits` is not `.await`.
fn names(line: &str, word: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    line.split(word).skip(1).any(|rest| !goes_on(rest))
}

/// Where `offends` holds, as `path:line`.
fn offences(applies: impl Fn(&str) -> bool, offends: impl Fn(&str) -> bool) -> Vec<String> {
    let files = rust_files().into_iter().filter(|(path, _)| applies(path));
    let lines = files.flat_map(|(path, text)| {
        let lines = code(&text).filter(|(_, line)| offends(line));
        lines
            .map(|(number, _)| format!("{path}:{number}"))
            .collect::<Vec<_>>()
    });
    lines.collect()
}

#[test]
fn no_file_is_longer_than_800_lines() {
    let mut files = rust_files();
    files.retain(|(_, text)| text.lines().count() > MAX_LINES);
    let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
    assert!(paths.is_empty(), "look for the second noun in {paths:?}");
}

#[test]
fn code_that_decides_touches_no_io_no_runtime_and_no_clock() {
    let decides = |path: &str| path.contains("/core/") || path.contains("-proto/src/");
    let decides = |path: &str| decides(path) && !is_test(path);
    let found = offences(decides, |line| {
        NOT_IN_CORE.iter().any(|word| names(line, word))
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_tls_engine_is_named_in_few_files() {
    // With the colons: `rustls_pki_types` is no engine, but the names of certificates and keys.
    let names_it = |line: &str| line.contains("rustls::");
    for justified in NAMES_THE_ENGINE {
        let found = offences(|path| path == justified, names_it);
        assert!(!found.is_empty(), "{justified} is on the list for nothing");
    }
    let other = |path: &str| !NAMES_THE_ENGINE.contains(&path) && !is_test(path);
    let found = offences(other, names_it);
    assert!(found.is_empty(), "go through the crate `tls`: {found:?}");
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let mut paths: Vec<_> = rust_files().into_iter().map(|(path, _)| path).collect();
    paths.retain(|path| {
        let mut names = path.trim_end_matches(".rs").split('/');
        names.any(|name| NOT_A_NAME.contains(&name)) || path.ends_with("/mod.rs")
    });
    assert!(paths.is_empty(), "{paths:?}");
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the root has a manifest");
    let members = manifest.split_once("members = [").expect("and members").1;
    let members = members.split_once(']').expect("in brackets").0;
    for member in members.split('"').skip(1).step_by(2) {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml"));
        let manifest = manifest.expect("a member has a manifest");
        if LEAVES.iter().any(|(leaf, _, _)| *leaf == member) {
            continue; // It allows itself a call or two, and has the other lints in its own manifest.
        }
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member}");
    }
}

#[test]
fn nothing_is_unsafe_but_in_the_leaves() {
    // Written in two parts, or this file would find itself.
    let word = concat!("un", "safe");
    let found = offences(|_| true, |line| line.split(' ').any(|part| part == word));
    let in_leaves = LEAVES.iter().map(|(_, file, count)| {
        let there = found.iter().filter(|place| place.starts_with(file)).count();
        assert_eq!(there, *count, "{file}");
        there
    });
    assert_eq!(found.len(), in_leaves.sum::<usize>(), "{found:?}");
}
