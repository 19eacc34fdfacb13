//! Keys, secrets, tokens and payloads stay where they belong: not in logs at any level, not in a core dump, not open to a debugger.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
    time::Duration,
};
use symbolon_e2e::{
    Command, System,
    messages::exchange,
    program::{self, wait_for},
};

/// An account that owns nothing.
const NOBODY: u32 = 65_534;
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Texts shorter than this may stand in a log by chance.
const TELLING: usize = 16;

/// Every secret member of a JSON file: private and symmetric keys, secrets. What is no JSON is a secret as a whole.
fn secrets_in(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else {
        return vec![text.trim_end().to_owned()];
    };
    let mut waiting = vec![value];
    let mut found = Vec::new();
    while let Some(value) = waiting.pop() {
        waiting.extend(value.as_array().into_iter().flatten().cloned());
        let Some(members) = value.as_object() else {
            continue;
        };
        for (name, member) in members {
            match member.as_str() {
                Some(text) if ["d", "k", "secret"].contains(&name.as_str()) => {
                    found.push(text.to_owned());
                }
                _ => waiting.push(member.clone()),
            }
        }
    }
    found
}

#[test]
fn no_log_at_any_level_shows_a_key_a_secret_a_token_or_a_payload() {
    let mut system = System::start_with(&[("SYMBOLON_LOG_LEVEL", "trace")]);
    let topics = "--allow pub:rooms/# --allow sub:rooms/#";
    let mut planted = vec!["a-payload-that-nobody-logs".to_owned()];
    let mut said = String::new();
    for (name, options) in [
        ("meter", "--auth secret --pop hs256"),
        ("gauge", "--auth key --pop ed25519"),
    ] {
        let device = system.device(name, &format!("{options} {topics}"));
        planted.extend(secrets_in(&device));
        let words = format!("-t rooms/{name} -q 2");
        let subscriber = system.as_device(
            "sub",
            &device,
            &format!("{words} -d -i {name}-in -C 1 -W 20"),
        );
        let got = exchange(subscriber, || {
            let words = format!("{words} -d -i {name}-out -m a-payload-that-nobody-logs");
            system.as_device("pub", &device, &words)
        });
        said.push_str(&got.stderr);
        got.success();
    }
    let keys = fs::read_dir(system.site().join("keys")).unwrap();
    planted.extend(keys.flat_map(|key| secrets_in(&key.unwrap().path())));
    assert!(planted.len() >= 6, "{}", planted.len());
    let log = system.log() + &said;
    assert!(log.contains("DEBUG"), "{log}");
    for secret in planted {
        assert!(secret.len() >= TELLING);
        assert!(!log.contains(&secret), "the log shows {secret}");
    }
    // It looks for tokens.
    system.stop();
}

/// Who owns what the kernel shows of a broker that runs as nobody: nobody, or root where it may be looked into by root alone.
fn owner_of_a_broker(more: &str) -> u32 {
    let system = System::initialized();
    let program = system.scratch("symbolon");
    fs::copy(program::symbolon(), &program).unwrap();
    let mut waiting = vec![system.site().parent().unwrap().to_owned()];
    while let Some(path) = waiting.pop() {
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|one| one.unwrap().path()));
        }
    }
    let command = Command::new("setpriv").words("--reuid 65534 --regid 65534 --clear-groups --");
    let command = command.arg(&program).arg("broker").arg(system.site());
    let broker = command.words(more).start();
    let ready = wait_for(READY_LIMIT, || {
        broker.stdout().contains("ready").then_some(())
    });
    assert!(ready.is_some(), "{}", broker.stderr());
    let process = format!("/proc/{}", broker.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{NOBODY}")), "{status}");
    fs::metadata(format!("{process}/maps")).unwrap().uid()
}

#[test]
fn a_server_leaves_no_core_dump_and_lets_no_debugger_in_unless_told() {
    let this = fs::metadata("/proc/self").unwrap().uid();
    if this != 0 {
        println!("skipped: needs root, to run the broker as somebody else");
        return;
    }
    assert_eq!(owner_of_a_broker(""), 0);
    assert_eq!(owner_of_a_broker("--allow-core-dumps"), NOBODY);
}
