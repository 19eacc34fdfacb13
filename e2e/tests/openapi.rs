//! The administration API of a running system: against its own `OpenAPI` document, and as its page in `docs/` shows it.

use std::{fs, path::Path};
use symbolon_e2e::{Command, System, peer};

const CASES: [&str; 1] = ["what_the_administration_api_answers_stands_in_its_document"];
const PAGE: &str = include_str!("../../docs/administration.md");

/// Both servers, and the administration API beside the endpoints.
fn system() -> System {
    let mut system = System::initialized();
    let config = system.init().config.clone();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[as.admin]\n")).unwrap();
    system.up(&[]);
    system
}

#[test]
fn every_case_is_run() {
    assert_eq!(peer::cases("administration"), CASES);
}

#[test]
fn what_the_administration_api_answers_stands_in_its_document() {
    peer::run_against(&system(), CASES[0]).success();
}

/// Writes a file that nobody else may read.
fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_examples_of_the_page_work() {
    let system = system();
    let password = system.scratch("password");
    write_private(&password, "correct horse battery\n");
    let account = Command::symbolon()
        .words("account add root --role administrator --password-file")
        .arg(&password)
        .arg("--dir")
        .arg(system.site());
    account.run().success();
    let examples: Vec<&str> = PAGE
        .split("```sh\n")
        .skip(1)
        .filter_map(|part| part.split("```").next())
        .filter(|block| block.contains("curl"))
        .collect();
    assert!(examples.len() >= 3, "{examples:?}");
    let script = format!("set -eu\n{}", examples.concat());
    let shell = Command::new("sh")
        .arg("-c")
        .arg(script)
        .env("CA", system.init().ca.to_str().unwrap())
        .env("AS", &system.init().issuer)
        .env("AUDIENCE", &system.init().audience)
        .env("PASSWORD", "correct horse battery");
    let printed = shell.run().success();
    assert!(printed.contains("\"client_id\":\"lamp\""), "{printed}");
    assert!(printed.contains("\"allowed\":true"), "{printed}");
    assert!(printed.contains("\"mark\":"), "{printed}");
}
