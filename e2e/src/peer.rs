//! The foreign client in `python/`: paho-mqtt, pyOpenSSL and `PyJWT`, written against the RFCs.

use crate::{
    program::{Command, Finished},
    system::System,
};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn python() -> Command {
    let python = root().join("target/venv/bin/python");
    assert!(
        python.exists(),
        "there is no {}: run ./check",
        python.display()
    );
    Command::new(python).arg(root().join("e2e/python/run.py"))
}

/// The names of all cases.
///
/// # Panics
/// Where they cannot be listed.
pub fn cases() -> Vec<String> {
    let printed = python().arg("--list").run().success();
    printed.lines().map(str::to_owned).collect()
}

/// Runs one case against servers of its own with these settings.
///
/// # Panics
/// Where it fails.
pub fn run(case: &str, settings: &[(&str, &str)]) {
    let system = System::start_with(settings);
    run_against(&system, case).success();
}

/// Runs one case against running servers.
///
/// # Panics
/// Where it cannot be run.
pub fn run_against(system: &System, case: &str) -> Finished {
    python().arg(case).arg(describe(system)).run()
}

fn describe(system: &System) -> PathBuf {
    let path = system.scratch("system.json");
    let init: serde_json::Value =
        serde_json::from_str(system.init_json()).expect("it was parsed before");
    let described = serde_json::json!({
        "directory": system.site(),
        "program": crate::program::symbolon(),
        "init": init,
    });
    std::fs::write(&path, described.to_string()).expect("a file can be written");
    path
}
