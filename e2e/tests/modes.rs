//! Every mode of RFC 9431 §2.2.1 from the command line, with tokens that run out on the way; and authorization servers found by asking the
//! broker.

use std::{collections::BTreeSet, path::Path, time::Duration};
use symbolon_e2e::{Command, Running, System, messages::exchange, program::symbolon};

const USAGE: i32 = 2;
const REFUSED_BY_AUTHORIZATION_SERVER: i32 = 3;
const REFUSED_BY_BROKER: i32 = 4;

/// A device that may do anything under `rooms/`.
const ROOMS: &str = "--allow pub:rooms/# --allow sub:rooms/#";
const PAIR: &str = "--auth key --pop ed25519";
const P256: &str = "--auth key --pop es256";
const SHARED: &str = "--auth secret --pop hs256";

/// How many messages a stream has.
const MESSAGES: u32 = 40;
/// How long the last of them may take, from the start.
const STREAM_LIMIT: Duration = Duration::from_mins(1);

fn system(token_lifetime_secs: &str) -> System {
    System::start_with(&[
        ("SYMBOLON_BROKER_AUTHZ_INFO", "true"),
        ("SYMBOLON_AS_TOKEN_LIFETIME_SECS", token_lifetime_secs),
    ])
}

/// Sends a message at each `QoS` from a device to itself.
fn flows(key: &str, mode: &str) {
    let system = system("600");
    let device = system.device("meter", &format!("{ROOMS} {key}"));
    for qos in 0..=2 {
        let words = format!("--auth {mode} -t rooms/{qos} -q {qos}");
        let subscriber = format!("{words} -i reader -C 1 -W 20 -F %t:%q:%p");
        let subscriber = system.as_device("sub", &device, &subscriber);
        let publisher = || system.as_device("pub", &device, &format!("{words} -i writer -m warm"));
        let got = exchange(subscriber, publisher).success();
        assert_eq!(got, format!("rooms/{qos}:{qos}:warm\n"));
    }
}

/// `symbolon pub` with a line each 150 ms.
fn stream(device: &Path, words: &str) -> Running {
    let pipe = format!(
        "for i in $(seq 1 {MESSAGES}); do echo $i; sleep 0.15; done | env -u SYMBOLON_PROGRAM '{}' pub --profile '{}' {words} -l",
        symbolon().display(),
        device.display(),
    );
    Command::new("sh").arg("-c").arg(pipe).start()
}

/// Nothing is lost at `QoS` 1 and 2 while the tokens of both ends run out, twice at least.
fn outlives_its_tokens(key: &str, mode: &str) {
    let system = system("5");
    let reader = system.device("reader", &format!("{ROOMS} {key}"));
    let writer = system.device("writer", &format!("{ROOMS} {key}"));
    let subscribe = |qos: u8, words: &str| {
        let words = format!("--auth {mode} -t rooms/{qos} -q {qos} -i reader{qos} -d {words}");
        system.as_device("sub", &reader, &words).start()
    };
    let subscribers = [
        subscribe(1, "-W 30"),
        subscribe(2, &format!("-W 30 -C {MESSAGES}")),
    ];
    for subscriber in &subscribers {
        let subscribed = || {
            subscriber
                .stderr()
                .contains("received SUBACK")
                .then_some(())
        };
        let subscribed = symbolon_e2e::program::wait_for(STREAM_LIMIT, subscribed);
        assert!(subscribed.is_some(), "{}", subscriber.stderr());
    }
    let publishers = [1, 2].map(|qos| {
        let words = format!("--auth {mode} -t rooms/{qos} -q {qos} -i writer{qos} -d");
        stream(&writer, &words)
    });
    for publisher in publishers {
        let finished = publisher.finish(STREAM_LIMIT);
        assert!(finished.stderr.contains("token renewed"), "{finished}");
        finished.success();
    }
    let expected: Vec<u32> = (1..=MESSAGES).collect();
    let [once_at_least, once] = subscribers;
    let once = once.finish(STREAM_LIMIT);
    assert!(once.stderr.contains("token renewed"), "{once}");
    let got: Vec<u32> = once
        .success()
        .lines()
        .map(|line| line.parse().expect("a number a line"))
        .collect();
    assert_eq!(got, expected);
    let got: BTreeSet<u32> = once_at_least
        .finish(STREAM_LIMIT)
        .stdout
        .lines()
        .map(|line| line.parse().expect("a number a line"))
        .collect();
    assert_eq!(got.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn messages_flow_by_the_exporter() {
    flows(PAIR, "exporter");
}

#[test]
fn nothing_is_lost_by_the_exporter() {
    outlives_its_tokens(PAIR, "exporter");
}

#[test]
fn messages_flow_by_a_challenge() {
    flows(SHARED, "challenge");
}

#[test]
fn nothing_is_lost_by_a_challenge() {
    outlives_its_tokens(SHARED, "challenge");
}

#[test]
fn messages_flow_by_a_raw_public_key() {
    flows(PAIR, "rpk");
}

#[test]
fn nothing_is_lost_by_a_raw_public_key() {
    outlives_its_tokens(PAIR, "rpk");
}

#[test]
fn messages_flow_by_a_raw_key_of_p256() {
    flows(P256, "rpk");
}

#[test]
fn nothing_is_lost_by_a_raw_key_of_p256() {
    outlives_its_tokens(P256, "rpk");
}

#[test]
fn messages_flow_by_a_token_as_identity() {
    flows(SHARED, "psk-token");
}

#[test]
fn nothing_is_lost_by_a_token_as_identity() {
    outlives_its_tokens(SHARED, "psk-token");
}

#[test]
fn messages_flow_by_user_name_and_password() {
    flows(PAIR, "v311");
}

#[test]
fn nothing_is_lost_by_user_name_and_password() {
    outlives_its_tokens(PAIR, "v311");
}

#[test]
fn a_mode_that_a_profile_cannot_have_is_refused_before_anything_is_sent() {
    let system = System::initialized();
    let shared = system.device("shared", &format!("{ROOMS} {SHARED}"));
    let pair = system.device("pair", &format!("{ROOMS} {PAIR}"));
    for (device, words, why) in [
        (&shared, "--auth rpk", "--auth rpk: rpk needs a key pair"),
        (
            &pair,
            "--auth psk-kid",
            "--auth psk-kid: psk-kid needs a shared key",
        ),
        (&pair, "--auth v311 -V 5", "v311 is for MQTT 3.1.1 alone"),
        (&pair, "--auth challenge -V 311", "challenge needs MQTT 5.0"),
    ] {
        let said = system
            .as_device("pub", device, &format!("{words} -t rooms/1 -m x"))
            .run()
            .failure(USAGE);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_broker_that_takes_no_tokens_at_authz_info_says_so() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    system
        .as_device("pub", &device, "--auth rpk -t rooms/1 -m x")
        .run()
        .failure(REFUSED_BY_BROKER);
}

#[test]
fn without_a_token_there_are_public_topics_alone() {
    let system = System::start_with(&[("SYMBOLON_BROKER_PUBLIC_TOPICS", r#"["news/#"]"#)]);
    let device = system.device("meter", ROOMS);
    let publish = |topic: &str| {
        let words = format!("--auth anon -q 1 -m x -t {topic}");
        system.as_device("pub", &device, &words).run()
    };
    publish("news/1").success();
    let said = publish("rooms/1").failure(REFUSED_BY_BROKER);
    assert!(said.contains("0x87"), "{said}");
}

#[test]
fn a_profile_may_say_how() {
    let system = system("600");
    let path = system.device("meter", ROOMS);
    let mut profile = read_profile(&path);
    profile["auth"] = "rpk".into();
    write_profile(&path, &profile);
    system
        .as_device("pub", &path, "-t rooms/1 -q 1 -m x")
        .run()
        .success();
    profile["auth"] = "psk-kid".into();
    write_profile(&path, &profile);
    let said = system
        .as_device("pub", &path, "-t rooms/1 -q 1 -m x")
        .run()
        .failure(USAGE);
    assert!(said.contains("auth: "), "{said}");
}

fn read_profile(device: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(device).expect("client add wrote it");
    serde_json::from_str(&text).expect("a profile is JSON")
}

fn write_profile(device: &Path, profile: &serde_json::Value) {
    std::fs::write(device, profile.to_string()).expect("a file can be written");
}

/// A profile without an authorization server: the broker has to be asked.
fn forget_the_authorization_server(device: &Path) {
    let mut profile = read_profile(device);
    let members = profile.as_object_mut().expect("a profile is an object");
    for member in ["issuer", "token_endpoint", "audience"] {
        members.remove(member);
    }
    write_profile(device, &profile);
}

// RFC 9431 §2.4.1
#[test]
fn an_authorization_server_that_the_broker_names_is_trusted_once_it_was_accepted() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    forget_the_authorization_server(&device);
    let config = system.scratch("config");
    let publish = |words: &str| {
        let words = format!("-t rooms/1 -q 1 -m x {words}");
        let command = system.as_device("pub", &device, &words);
        command
            .env("XDG_CONFIG_HOME", config.to_str().unwrap())
            .run()
    };
    let endpoint = &system.init().token_endpoint;
    // There is no terminal, so nobody can be asked.
    let said = publish("").failure(USAGE);
    assert!(said.contains(&format!("--trust-as {endpoint}")), "{said}");
    let said = publish("--trust-as https://localhost:1/token").failure(USAGE);
    assert!(said.contains(endpoint), "{said}");
    assert!(!config.join("symbolon").exists());
    publish(&format!("--trust-as {endpoint}")).success();
    // It is remembered.
    publish("").success();
    let file = config.join("symbolon/authorization-servers.json");
    let known = std::fs::read_to_string(&file).unwrap();
    assert!(known.contains(endpoint), "{known}");
    // And another one is not taken for it.
    std::fs::write(&file, known.replace("/token", "/other")).unwrap();
    let said = publish("").failure(USAGE);
    assert!(said.contains("until now it said"), "{said}");
}

#[test]
fn a_name_and_a_key_are_enough_where_the_broker_says_the_rest() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let profile = read_profile(&device);
    let key = system.scratch("key.jwk");
    std::fs::write(&key, profile["client_auth"]["jwk"].to_string()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    let (host, port) = system.init().broker_address();
    let publish = |client: &str| {
        let words = format!(
            "pub -h {host} -p {port} --client-id {client} -t rooms/1 -q 1 -m x --scope pub:rooms/1 --trust-as {}",
            system.init().token_endpoint
        );
        Command::symbolon()
            .words(&words)
            .arg("--cafile")
            .arg(&system.init().ca)
            .arg("--client-key")
            .arg(&key)
            .env(
                "XDG_CONFIG_HOME",
                system.scratch("config").to_str().unwrap(),
            )
            .run()
    };
    publish("meter").success();
    publish("stranger").failure(REFUSED_BY_AUTHORIZATION_SERVER);
}
