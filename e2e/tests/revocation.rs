//! Rights that change at once: a token that is revoked counts no more, wherever it is used.

use std::time::{Duration, Instant};
use symbolon_e2e::{Command, System, program::wait_for};

/// Far more than it should take, so that a busy machine does not matter here.
const SOON: Duration = Duration::from_secs(20);
const REFUSED_BY_BROKER: i32 = 4;

/// A command about the site's database.
fn manage(system: &System, words: &str) -> Command {
    Command::symbolon()
        .words(words)
        .arg("--dir")
        .arg(system.site())
}

#[test]
fn a_client_whose_token_is_revoked_is_sent_away_at_once_and_its_messages_are_gone() {
    let system = System::start();
    let topics = "--allow pub:rooms/# --allow sub:rooms/#";
    let writer = system.device("writer", topics);
    let reader = system.device("reader", topics);
    let words = "-t rooms/1 -m kept -r -q 1";
    system.as_device("pub", &writer, words).run().success();
    let mut away = system
        .as_device("sub", &writer, "-i away -t rooms/other -v -d")
        .start();
    let there = wait_for(SOON, || {
        (away.stderr().contains("SUBACK") || away.ended().is_some()).then_some(())
    });
    assert!(
        there.is_some() && away.ended().is_none(),
        "{}",
        away.stderr()
    );
    let got = system.as_device("sub", &reader, "-t rooms/# -C 1 -W 20 -F %p");
    assert_eq!(got.run().success(), "kept\n");

    manage(&system, "token revoke --client writer")
        .run()
        .success();
    let revoked_at = Instant::now();
    wait_for(SOON, || away.ended());
    println!("sent away after {:?}", revoked_at.elapsed());
    let ended = away.finish(Duration::ZERO);
    assert_eq!(ended.status.code(), Some(REFUSED_BY_BROKER), "{ended}");
    assert!(ended.stderr.contains("revoked"), "{ended}");
    // What it had retained is not given to new subscribers any more.
    let nothing = system.as_device("sub", &reader, "-t rooms/# -C 1 -W 2");
    assert_eq!(nothing.run().status.code(), Some(27));
    // It may come back: only its tokens were taken from it.
    system.as_device("pub", &writer, words).run().success();
}
