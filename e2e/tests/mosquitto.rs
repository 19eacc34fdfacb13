//! Debian's `mosquitto_pub` and `mosquitto_sub` against public topics: clients that know nothing of RFC 9431.

use std::time::Duration;
use symbolon_e2e::{
    Command, Running, System,
    messages::exchange,
    program::{COMMAND_LIMIT, wait_for},
};

const PUBLIC: &[(&str, &str)] = &[("SYMBOLON_BROKER_PUBLIC_TOPICS", r#"["public/#"]"#)];

fn mosquitto(verb: &str, system: &System, words: &str) -> Command {
    let init = system.init();
    let (host, port) = init.broker_address();
    let command = Command::new(format!("mosquitto_{verb}")).words(&format!("-h {host} -p {port}"));
    command.arg("--cafile").arg(&init.ca).words(words)
}

/// What a subscriber gets that wants one message, when one is published to the same topic.
fn one_message(system: &System, version: &str, qos: u8) -> String {
    let words = format!("-V {version} -q {qos} -t public/room");
    let subscriber = mosquitto("sub", system, &format!("{words} -C 1 -W 20 -F %t:%q:%r:%p"));
    exchange(subscriber, || {
        mosquitto("pub", system, &format!("{words} -m warm"))
    })
    .success()
}

#[test]
fn mosquitto_publishes_and_subscribes_to_a_public_topic_in_mqtt_5() {
    let system = System::start_with(PUBLIC);
    for qos in 0..=2 {
        assert_eq!(
            one_message(&system, "5", qos),
            format!("public/room:{qos}:0:warm\n")
        );
    }
}

#[test]
fn mosquitto_publishes_and_subscribes_to_a_public_topic_in_mqtt_3_1_1() {
    let system = System::start_with(PUBLIC);
    for qos in 0..=2 {
        assert_eq!(
            one_message(&system, "311", qos),
            format!("public/room:{qos}:0:warm\n")
        );
    }
}

#[test]
fn mosquitto_gets_the_retained_message_of_a_public_topic() {
    let system = System::start_with(PUBLIC);
    mosquitto("pub", &system, "-V 5 -q 1 -r -t public/room -m kept")
        .run()
        .success();
    let got = mosquitto("sub", &system, "-V 5 -t public/# -C 1 -W 20 -F %t:%r:%p").run();
    assert_eq!(got.success(), "public/room:1:kept\n");
}

/// For [`subscribed`].
fn start_with_retained_message() -> System {
    let system = System::start_with(PUBLIC);
    mosquitto("pub", &system, "-V 5 -q 1 -r -t public/ready -m ready")
        .run()
        .success();
    system
}

/// A subscriber that has subscribed: it has had the retained message of `public/ready`.
fn subscribed(system: &System, words: &str) -> Running {
    let subscriber = mosquitto("sub", system, &format!("{words} -t public/ready")).start();
    let ready = wait_for(COMMAND_LIMIT, || {
        subscriber.stdout().contains("ready").then_some(())
    });
    assert!(ready.is_some(), "{}", subscriber.stderr());
    subscriber
}

#[test]
fn the_will_of_mosquitto_is_published_when_its_connection_breaks() {
    let system = start_with_retained_message();
    for version in ["5", "311"] {
        for qos in 0..=2 {
            let watcher = subscribed(
                &system,
                &format!("-V {version} -q 2 -t public/will -C 2 -W 20 -F %q:%p"),
            );
            let will = format!("--will-topic public/will --will-payload gone --will-qos {qos}");
            // Dropped, it is killed.
            drop(subscribed(&system, &format!("-V {version} {will}")));
            let got = watcher.finish(COMMAND_LIMIT).success();
            assert!(got.ends_with(&format!("{qos}:gone\n")), "{got}");
        }
    }
}

// MQTT 5.0 §4.10.
#[test]
fn mosquitto_asks_and_is_answered() {
    let system = start_with_retained_message();
    for qos in 0..=2 {
        let answerer = subscribed(
            &system,
            "-V 5 -q 2 -t public/question -C 2 -W 20 -F %R:%D:%p",
        );
        let data = "-D publish correlation-data seven";
        let words = format!("-V 5 -q {qos} -t public/question -e public/answer -m warm? -W 20");
        let asker = mosquitto("rr", &system, &format!("{words} {data}")).start();
        let question = answerer.finish(COMMAND_LIMIT).success();
        assert!(
            question.ends_with("public/answer:seven:warm?\n"),
            "{question}"
        );
        let words = format!("-V 5 -q {qos} -t public/answer -m 21 {data}");
        mosquitto("pub", &system, &words).run().success();
        assert_eq!(asker.finish(COMMAND_LIMIT).success(), "21\n");
    }
}

#[test]
fn mosquitto_without_a_token_gets_nothing_of_a_protected_topic() {
    let system = System::start_with(PUBLIC);
    let device = system.device("meter", "--allow pub:rooms/# --allow pub:public/#");
    for version in ["5", "311"] {
        let words = format!("-V {version} -t rooms/# -t public/room -C 1 -W 20 -F %t");
        let publisher = || {
            system
                .as_device("pub", &device, "-t rooms/1 -m secret -q 1")
                .run()
                .success();
            mosquitto("pub", &system, "-V 5 -t public/room -m end -q 1")
        };
        let got = exchange(mosquitto("sub", &system, &words), publisher);
        assert!(!got.stdout.contains("rooms"), "{got}");
    }
}

#[test]
fn mosquitto_without_a_token_cannot_publish_to_a_protected_topic() {
    let system = System::start_with(PUBLIC);
    let device = system.device("board", "--allow sub:rooms/# --allow sub:public/#");
    let subscriber = system
        .as_device("sub", &device, "-t # -C 1 -W 20 -v")
        .start();
    // Not found out by the exit code: for QoS 0 there is no answer to wait for.
    let mut subscriber = subscriber;
    for _ in 0..100 {
        mosquitto("pub", &system, "-V 5 -t rooms/1 -m forged -q 0").run();
        mosquitto("pub", &system, "-V 5 -t rooms/1 -m forged -q 1").run();
        mosquitto("pub", &system, "-V 311 -t rooms/1 -m forged -q 1").run();
        mosquitto("pub", &system, "-V 5 -t public/room -m end -q 1")
            .run()
            .success();
        if subscriber.ended().is_some() {
            break;
        }
    }
    let got = subscriber.finish(Duration::from_secs(5));
    assert!(!got.stdout.contains("forged"), "{got}");
}

#[test]
fn a_private_topic_is_closed_to_mosquitto_whatever_else_is_public() {
    let system = System::start_with(&[
        ("SYMBOLON_BROKER_PUBLIC_TOPICS", r##"["#"]"##),
        ("SYMBOLON_BROKER_PRIVATE_TOPICS", r#"["private/#"]"#),
    ]);
    let device = system.device("meter", "--allow pub:private/#");
    let as_device = |words: &str| system.as_device("pub", &device, words).run().success();
    as_device("-t private/kept -m secret -q 1 -r");
    for version in ["5", "311"] {
        let words = format!("-V {version} -t # -t private/# -t end -C 1 -W 20 -F %t");
        let publisher = || {
            as_device("-t private/1 -m secret -q 1");
            mosquitto("pub", &system, "-V 5 -t private/1 -m forged -q 1").run();
            mosquitto("pub", &system, "-V 5 -t end -m end -q 1")
        };
        let got = exchange(mosquitto("sub", &system, &words), publisher);
        assert!(got.stdout.starts_with("end"), "{got}");
        let by_name = format!("-V {version} -t private/1 -C 1 -W 20");
        let refused = mosquitto("sub", &system, &by_name).run();
        assert!(refused.stderr.contains("denied"), "{refused}");
        assert_eq!(refused.stdout, "");
    }
}

#[test]
fn mosquitto_is_refused_where_no_topic_is_public_and_no_token_can_be_published() {
    let system = System::start();
    for version in ["5", "311"] {
        let refused = mosquitto("pub", &system, &format!("-V {version} -t a -m x")).run();
        assert!(!refused.status.success(), "{refused}");
        let said = format!("{}{}", refused.stdout, refused.stderr).to_lowercase();
        assert!(said.contains("not authori"), "{refused}");
    }
}

// RFC 9431 §2.2.1, §2.2.2.
#[test]
fn mosquitto_can_publish_a_token_to_authz_info_and_nothing_else() {
    let system = System::start_with(&[("SYMBOLON_BROKER_AUTHZ_INFO", "true")]);
    let device = system.device("meter", "--allow pub:a");
    let token = system.scratch("token");
    let got = Command::symbolon()
        .words("token get --profile")
        .arg(&device);
    let got = got.run().success();
    std::fs::write(&token, got.trim()).expect("the scratch directory can be written");
    let token = token.display();
    let words = format!("-V 5 -q 1 -t authz-info -f {token}");
    mosquitto("pub", &system, &words).run().success();
    for words in ["-V 5 -q 1 -t authz-info -m no-token", "-V 5 -q 1 -t a -m x"] {
        let refused = mosquitto("pub", &system, words).run();
        assert!(refused.stderr.contains("failed"), "{refused}");
    }
    let refused = mosquitto("sub", &system, "-V 5 -t authz-info -C 1 -W 20").run();
    assert!(refused.stderr.contains("denied"), "{refused}");
}
