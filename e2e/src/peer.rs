//! The foreign client in `python/`: paho-mqtt, pyOpenSSL and `PyJWT`, written against the RFCs.

use crate::{
    program::{Command, Finished},
    system::System,
};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn python(program: &str) -> Command {
    let python = root().join("target/venv/bin/python");
    assert!(
        python.exists(),
        "there is no {}: run ./check",
        python.display()
    );
    Command::new(python).arg(root().join("e2e/python").join(program))
}

/// The names of all cases in this folder of `python/`.
///
/// # Panics
/// Where they cannot be listed.
pub fn cases(folder: &str) -> Vec<String> {
    let printed = python("run.py").arg("--list").arg(folder).run().success();
    printed.lines().map(str::to_owned).collect()
}

/// Runs one case against servers of its own with these settings; `PORT` in a value stands for the broker's.
///
/// # Panics
/// Where it fails.
pub fn run(case: &str, settings: &[(&str, &str)]) {
    let mut system = System::initialized();
    let (_, port) = system.init().broker_address();
    let settings: Vec<(&str, String)> = settings
        .iter()
        .map(|(name, value)| (*name, value.replace("PORT", port)))
        .collect();
    let borrowed: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    system.up(&borrowed);
    run_against(&system, case).success();
}

/// Runs one case against running servers.
///
/// # Panics
/// Where it cannot be run.
pub fn run_against(system: &System, case: &str) -> Finished {
    python("run.py")
        .arg(case)
        .arg(system.describe(&serde_json::json!({})))
        .run()
}

/// Another certificate for localhost by the CA of `system`, and its key.
///
/// # Panics
/// Where it cannot be made.
pub fn another_certificate(system: &System) -> (PathBuf, PathBuf) {
    let ca = &system.init().ca;
    let (certificate, key) = (system.scratch("another.pem"), system.scratch("another.key"));
    let command = python("certificate.py")
        .arg(ca)
        .arg(ca.with_extension("key"));
    command.arg(&certificate).arg(&key).run().success();
    (certificate, key)
}

/// Of a test target that names its cases in modules: one test for each, `settings` for the servers, and `NAMES` to hold against [`cases`].
#[macro_export]
macro_rules! peer_cases {
    ($settings:expr => $($name:ident)*) => {
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            $crate::peer::run(stringify!($name), $settings);
        })*
    };
}
