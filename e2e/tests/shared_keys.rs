//! The keys that authorization server and broker share take turns while clients are connected: nobody notices.
#![cfg(unix)]

use serde_json::Value;
use std::{fs, time::Duration};
use symbolon_e2e::{
    Command, System,
    program::{symbolon, wait_for},
};

const USAGE: i32 = 2;
/// How many messages a stream has.
const MESSAGES: u32 = 60;
/// How long it may take.
const STREAM_LIMIT: Duration = Duration::from_mins(1);
/// How long a token lives: the stream outlives several.
const TOKEN_LIFETIME_SECS: &str = "4";

/// Servers that share a key of each kind, and make tokens as `options` of `rs set` say.
fn system(options: &str) -> System {
    let mut system = System::initialized();
    let site = system.site();
    let set = Command::symbolon()
        .words("rs set")
        .arg(&system.init().audience)
        .arg("--dir")
        .arg(&site)
        .words(options);
    let keys = site.join("keys");
    let set = set.arg("--mac-key").arg(keys.join("mac.jwk"));
    let set = set.arg("--derivation-key").arg(keys.join("derivation.jwk"));
    set.run().success();
    let file = site.join("symbolon.toml");
    let text = fs::read_to_string(&file).expect("init made it");
    let content = "content_key = \"keys/content.jwk\"\n";
    assert!(text.contains(content), "{text}");
    let more = "mac_key = \"keys/mac.jwk\"\nderivation_key = \"keys/derivation.jwk\"\n";
    fs::write(&file, text.replace(content, &format!("{content}{more}"))).expect("it is ours");
    system.up(&[("SYMBOLON_AS_TOKEN_LIFETIME_SECS", TOKEN_LIFETIME_SECS)]);
    system
}

fn rotate(system: &System, words: &str) -> Command {
    let rotate = Command::symbolon()
        .words("rs rotate")
        .arg(&system.init().audience);
    let rotate = rotate
        .env("SYMBOLON_AS_TOKEN_LIFETIME_SECS", TOKEN_LIFETIME_SECS)
        .words(words);
    rotate.arg("--dir").arg(system.site())
}

fn states(system: &System, purpose: &str) -> Vec<String> {
    let keys = Command::symbolon()
        .words("rs keys")
        .arg(&system.init().audience);
    let printed = keys.words("-o json --dir").arg(system.site()).run();
    let keys: Vec<Value> = serde_json::from_str(&printed.success()).expect("JSON");
    let own = keys.iter().filter(|key| key["purpose"] == purpose);
    own.map(|key| key["state"].as_str().expect("a text").to_owned())
        .collect()
}

/// Both ends renew their tokens in session while the key takes turns twice, and every message comes once.
fn nothing_is_lost(options: &str, purpose: &str) {
    let system = system(options);
    let rooms = "--allow pub:rooms/# --allow sub:rooms/# --auth secret --pop hs256";
    let reader = system.device("reader", rooms);
    let writer = system.device("writer", rooms);
    let words = format!("-t rooms/1 -q 2 -i reader -d -W 40 -C {MESSAGES}");
    let subscriber = system.as_device("sub", &reader, &words).start();
    let listens = || {
        let has = subscriber.stderr().contains("received SUBACK");
        has.then_some(())
    };
    let in_time = wait_for(STREAM_LIMIT, listens);
    assert!(in_time.is_some(), "{}", subscriber.stderr());
    let pipe = format!(
        "for i in $(seq 1 {MESSAGES}); do echo $i; sleep 0.2; done | env -u SYMBOLON_PROGRAM '{}' pub --profile '{}' -t rooms/1 -q 2 -i writer -d -l",
        symbolon().display(),
        writer.display(),
    );
    let publisher = Command::new("sh").arg("-c").arg(pipe).start();
    let renewed = |times: usize| {
        let has = || publisher.stderr().matches("token renewed").count() >= times;
        let renewed = wait_for(STREAM_LIMIT, || has().then_some(()));
        assert!(renewed.is_some(), "{}", publisher.stderr());
    };
    rotate(&system, &format!("{purpose} --after 1"))
        .run()
        .success();
    renewed(1);
    rotate(&system, &format!("{purpose} --now")).run().success();
    renewed(2);
    publisher.finish(STREAM_LIMIT).success();
    let finished = subscriber.finish(STREAM_LIMIT);
    assert!(finished.stderr.contains("token renewed"), "{finished}");
    assert!(!finished.stderr.contains("connection lost"), "{finished}");
    let got: Vec<u32> = finished
        .success()
        .lines()
        .map(|line| line.parse().expect("a number a line"))
        .collect();
    assert_eq!(got, (1..=MESSAGES).collect::<Vec<_>>());
    assert_eq!(states(&system, purpose), ["retired", "retired", "active"]);
    let log = system.log();
    assert!(log.contains(&format!("keys/{purpose}.jwk")), "{log}");
}

#[test]
fn nothing_is_lost_while_a_content_key_takes_turns() {
    nothing_is_lost("--symmetric-keys encrypted", "content");
}

#[test]
fn nothing_is_lost_while_a_mac_key_takes_turns() {
    nothing_is_lost("--protection mac", "mac");
}

#[test]
fn nothing_is_lost_while_a_derivation_key_takes_turns() {
    nothing_is_lost("--symmetric-keys derived", "derivation");
}

#[test]
fn nothing_is_lost_while_a_derivation_key_takes_turns_for_tokens_in_cbor() {
    nothing_is_lost("--symmetric-keys derived --format cwt", "derivation");
}

#[test]
fn one_key_waits_at_a_time_and_no_more_are_good_than_the_broker_takes() {
    let system = system("");
    rotate(&system, "content").run().success();
    assert_eq!(states(&system, "content"), ["active", "next"]);
    let said = rotate(&system, "content").run().failure(USAGE);
    assert!(said.contains("--now"), "{said}");
    rotate(&system, "content --now").run().success();
    assert_eq!(states(&system, "content"), ["retired", "active"]);
    for _ in 0..2 {
        rotate(&system, "content --now").run().success();
    }
    let full = rotate(&system, "content --now").run();
    assert!(!full.status.success(), "{full}");
    assert!(full.stderr.contains("4 keys"), "{full}");
    // The others are not touched, and `all` takes each.
    assert_eq!(states(&system, "mac"), ["active"]);
    rotate(&system, "mac").run().success();
    assert_eq!(states(&system, "mac"), ["active", "next"]);
    assert_eq!(states(&system, "derivation"), ["active"]);
    let other = system.scratch("elsewhere.jwk");
    fs::copy(system.site().join("keys/derivation.jwk"), &other).expect("it is there");
    let words = format!("derivation --file {}", other.display());
    rotate(&system, &words).run().success();
    let carried = fs::read_to_string(&other).expect("it is there");
    let carried: Value = serde_json::from_str(&carried).expect("a JWK Set");
    assert_eq!(carried["keys"].as_array().map(Vec::len), Some(2));
}
