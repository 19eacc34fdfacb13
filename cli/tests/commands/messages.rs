//! `symbolon pub` and `symbolon sub` with a real broker: what their flags do.

use crate::program::{Ended, Server, Site, command, symbolon};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Servers, and one device that may do all under `rooms/`.
struct Stage {
    server: Option<Server>,
    site: Site,
}

impl Stage {
    fn set() -> Self {
        let site = Site::new();
        site.run("client add meter --allow pubsub:rooms/#")
            .success();
        let server = Some(Server::start("up", &site, &[]));
        Self { server, site }
    }

    fn arguments(&self, words: &str) -> Vec<String> {
        let profile = self.site.path().join("clients/meter.json");
        let mut arguments: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        arguments.extend(["--profile".to_owned(), profile.to_str().unwrap().to_owned()]);
        arguments
    }

    /// Runs `symbolon WORDS --profile ...`.
    fn run(&self, words: &str) -> Ended {
        symbolon(&self.arguments(words))
    }

    /// The same, with something to read.
    fn run_with_input(&self, words: &str, input: &[u8]) -> Ended {
        let mut child = command()
            .args(self.arguments(words))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ended::from(child.wait_with_output().unwrap())
    }

    /// Publishes again and again until a subscriber has printed something.
    fn publish_until_seen(&self, payload: &str, seen: &mpsc::Receiver<String>) -> String {
        for _ in 0..100 {
            self.run(&format!("pub -i writer -t rooms/1 -m {payload}"))
                .success();
            if let Ok(line) = seen.recv_timeout(Duration::from_millis(500)) {
                return line;
            }
        }
        panic!("{payload} never came");
    }

    /// Subscribes to `rooms/#`, and returns once the broker has agreed.
    fn subscribe(&self, words: &str) -> Subscriber {
        let words = format!("sub -i reader -t rooms/# -q 1 -W 20 -d {words}");
        let mut child = command()
            .args(self.arguments(&words))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut steps = BufReader::new(child.stderr.take().unwrap()).lines();
        let last = if words.contains("-U ") {
            "received UNSUBACK"
        } else {
            "received SUBACK"
        };
        let agreed = steps.any(|step| step.unwrap().contains(last));
        assert!(agreed, "not {last}: {:?}", child.wait());
        // What else it tells is read, so that it never waits for us.
        let steps = thread::spawn(move || steps.for_each(drop));
        Subscriber { child, steps }
    }
}

/// `symbolon sub` at work.
struct Subscriber {
    child: Child,
    steps: thread::JoinHandle<()>,
}

impl Subscriber {
    /// What it printed, once it has ended.
    fn printed(self) -> String {
        self.steps.join().unwrap();
        Ended::from(self.child.wait_with_output().unwrap()).success()
    }
}

#[test]
fn each_line_of_standard_input_is_a_message() {
    let stage = Stage::set();
    let subscriber = stage.subscribe("-C 4");
    stage
        .run_with_input("pub -t rooms/1 -q 1 -l -M 2", b"one\ntwo\n\nfour")
        .success();
    assert_eq!(subscriber.printed(), "one\ntwo\n\nfour\n");
}

#[test]
fn standard_input_as_a_whole_is_one_message() {
    let stage = Stage::set();
    let subscriber = stage.subscribe("-C 1 -N");
    stage
        .run_with_input("pub -t rooms/1 -q 1 -s", b"one\ntwo\n")
        .success();
    assert_eq!(subscriber.printed(), "one\ntwo\n");
}

#[test]
fn a_message_is_repeated_as_often_as_asked() {
    let stage = Stage::set();
    let subscriber = stage.subscribe("-C 3 -v");
    stage
        .run("pub -t rooms/1 -q 2 -m again --repeat 3 --repeat-delay 0.01")
        .success();
    assert_eq!(subscriber.printed(), "rooms/1 again\n".repeat(3));
}

#[test]
fn a_file_and_an_empty_message_are_published() {
    let stage = Stage::set();
    let file = stage.site.beside("payload");
    std::fs::write(&file, [0, 159, 146, 150]).unwrap();
    let subscriber = stage.subscribe("-C 2 -F %l:%x");
    let words = format!("pub -t rooms/1 -q 1 -f {}", file.display());
    stage.run(&words).success();
    stage.run("pub -t rooms/1 -q 1 -n").success();
    assert_eq!(subscriber.printed(), "4:009f9296\n0:\n");
}

#[test]
fn retained_messages_can_be_left_out_kept_alone_and_removed() {
    let stage = Stage::set();
    stage.run("pub -t rooms/1 -q 1 -m kept -r").success();
    let got = stage.run("sub -t rooms/# -C 1 -W 20 -F %r:%p").success();
    assert_eq!(got, "1:kept\n");
    assert_eq!(stage.run("sub -t rooms/# -R -W 1").code, 27);
    // The clearing message comes back, is not retained, and so ends it.
    let got = stage.run("sub -t rooms/# --remove-retained --retained-only -W 20");
    assert_eq!(got.success(), "kept\n");
    assert_eq!(stage.run("sub -t rooms/# -W 1").code, 27);
}

#[test]
fn topics_can_be_filtered_out() {
    let stage = Stage::set();
    stage.run("pub -t rooms/1 -q 1 -m one -r").success();
    stage.run("pub -t rooms/2 -q 1 -m two -r").success();
    let got = stage.run("sub -t rooms/# -T rooms/1 -C 1 -W 20 -v");
    assert_eq!(got.success(), "rooms/2 two\n");
}

#[test]
fn what_was_unsubscribed_from_does_not_come() {
    let stage = Stage::set();
    let subscriber = stage.subscribe("-t rooms/1 -U rooms/# -C 1 -v");
    stage.run("pub -t rooms/2 -q 1 -m lost").success();
    stage.run("pub -t rooms/1 -q 1 -m found").success();
    assert_eq!(subscriber.printed(), "rooms/1 found\n");
}

#[test]
fn properties_travel_with_the_message() {
    let stage = Stage::set();
    let subscriber = stage.subscribe("-C 1 -F %C|%R|%D|%P");
    let words = "pub -t rooms/1 -q 1 -m x -D publish content-type text/plain \
                 -D publish response-topic rooms/answer -D publish correlation-data 7 \
                 -D publish user-property unit celsius";
    stage.run(words).success();
    assert_eq!(
        subscriber.printed(),
        "text/plain|rooms/answer|7|unit:celsius\n"
    );
}

#[test]
fn a_refused_message_is_4_at_every_quality_of_service() {
    let stage = Stage::set();
    for qos in 0..=2 {
        let said = stage
            .run(&format!("pub -t elsewhere -m x -q {qos}"))
            .failure(4);
        assert!(said.contains("not authorized (0x87)"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn of_many_subscriptions_the_refused_one_is_named_and_the_others_work() {
    let stage = Stage::set();
    stage.run("pub -t rooms/1 -q 1 -m kept -r").success();
    let got = stage.run("sub -t elsewhere -t rooms/1 -C 1 -W 20");
    assert!(got.stderr.contains("subscription to elsewhere"), "{got:?}");
    assert_eq!(got.success(), "kept\n");
}

#[test]
fn time_without_messages_runs_out_with_27() {
    let stage = Stage::set();
    let said = stage.run("sub -t rooms/1 -W 1").failure(27);
    assert!(said.contains("timed out"), "{said}");
}

#[test]
fn a_url_names_broker_and_topic() {
    let stage = Stage::set();
    let broker = stage.site.made["broker"].as_str().unwrap().to_owned();
    stage
        .run(&format!("pub -L {broker}/rooms/1 -m kept -r -q 1"))
        .success();
    let got = stage.run(&format!("sub -L {broker}/rooms/1 -C 1 -W 20"));
    assert_eq!(got.success(), "kept\n");
}

#[test]
fn the_token_is_asked_for_with_the_scope_given() {
    let stage = Stage::set();
    stage
        .run("pub --scope pub:rooms/1 -t rooms/1 -m x -q 1")
        .success();
    let said = stage
        .run("pub --scope pub:rooms/1 -t rooms/2 -m x -q 1")
        .failure(4);
    assert!(said.contains("rooms/2"), "{said}");
}

#[test]
fn a_subscriber_finds_the_broker_again_after_a_restart() {
    let mut stage = Stage::set();
    let mut child = command()
        .args(stage.arguments("sub -t rooms/1 -i reader -C 2 -W 60"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, seen) = mpsc::channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = thread::spawn(move || lines.for_each(|line| sender.send(line.unwrap()).unwrap()));
    assert_eq!(stage.publish_until_seen("before", &seen), "before");
    stage.server = None;
    stage.server = Some(Server::start("up", &stage.site, &[]));
    assert_eq!(stage.publish_until_seen("after", &seen), "after");
    reader.join().unwrap();
    assert_eq!(Ended::from(child.wait_with_output().unwrap()).code, 0);
}
