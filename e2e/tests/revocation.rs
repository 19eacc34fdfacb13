//! Rights that change at once: a token that is revoked counts no more, wherever it is used.

use std::{
    path::Path,
    time::{Duration, Instant},
};
use symbolon_e2e::{Command, Running, System, program::wait_for};

/// Far more than it should take, so that a busy machine does not matter here.
const SOON: Duration = Duration::from_secs(20);
const REFUSED_BY_BROKER: i32 = 4;
const TIMED_OUT: i32 = 27;
const ROOMS: &str = "--allow pub:rooms/# --allow sub:rooms/#";

/// A command about the site's database.
fn manage(system: &System, words: &str) -> Command {
    let command = Command::symbolon().words(words);
    command.arg("--dir").arg(system.site())
}

/// A subscriber that is there.
fn subscriber(system: &System, device: &Path) -> Running {
    let words = "-i reading -t rooms/quiet -v -d";
    let mut there = system.as_device("sub", device, words).start();
    let subscribed = wait_for(SOON, || {
        (there.stderr().contains("SUBACK") || there.ended().is_some()).then_some(())
    });
    assert!(
        subscribed.is_some() && there.ended().is_none(),
        "{}",
        there.stderr()
    );
    there
}

fn is_sent_away(mut client: Running) {
    let since = Instant::now();
    wait_for(SOON, || client.ended());
    println!("sent away after {:?}", since.elapsed());
    let ended = client.finish(Duration::ZERO);
    assert_eq!(ended.status.code(), Some(REFUSED_BY_BROKER), "{ended}");
    assert!(ended.stderr.contains("revoked"), "{ended}");
}

// RFC 9770 §7
#[test]
fn a_client_whose_token_is_revoked_is_sent_away_at_once_and_its_messages_are_gone() {
    let system = System::start();
    let writer = system.device("writer", ROOMS);
    let reader = system.device("reader", ROOMS);
    let words = "-t rooms/1 -m kept -r -q 1";
    system.as_device("pub", &writer, words).run().success();
    let there = subscriber(&system, &writer);
    let got = system.as_device("sub", &reader, "-t rooms/# -C 1 -W 20 -F %p");
    assert_eq!(got.run().success(), "kept\n");

    manage(&system, "token revoke --client writer")
        .run()
        .success();
    is_sent_away(there);
    // What it had retained is not given to new subscribers any more.
    let nothing = system.as_device("sub", &reader, "-t rooms/# -C 1 -W 2");
    assert_eq!(nothing.run().status.code(), Some(TIMED_OUT));
    // It may come back: only its tokens were taken from it.
    system.as_device("pub", &writer, words).run().success();
}

#[test]
fn a_client_that_loses_a_right_is_sent_away_at_once_and_comes_back_with_what_is_left() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let there = subscriber(&system, &device);
    let policies = manage(&system, "policy list meter -o json").run().success();
    let policies: serde_json::Value = serde_json::from_str(&policies).unwrap();
    let mut policies = policies.as_array().unwrap().iter();
    let publishing = policies.find(|policy| policy["permissions"] == serde_json::json!(["pub"]));
    let id = publishing.unwrap()["id"].to_string();
    manage(&system, &format!("policy remove {id}"))
        .run()
        .success();
    is_sent_away(there);
    let refused = system
        .as_device("pub", &device, "-t rooms/1 -m x -q 1")
        .run();
    assert_eq!(refused.status.code(), Some(REFUSED_BY_BROKER), "{refused}");
    drop(subscriber(&system, &device));
}

#[test]
fn a_client_that_is_removed_is_sent_away_at_once() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let there = subscriber(&system, &device);
    manage(&system, "client remove meter").run().success();
    is_sent_away(there);
    let refused = system.as_device("pub", &device, "-t rooms/1 -m x").run();
    assert_eq!(refused.status.code(), Some(3), "{refused}");
}
