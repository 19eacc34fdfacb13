//! `symbolon pub`, `sub` and the rest, as a person uses them at two terminals.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, time::Duration};
use symbolon_e2e::{Command, System, messages::exchange, peer};

const REFUSED_BY_AUTHORIZATION_SERVER: i32 = 3;
const REFUSED_BY_BROKER: i32 = 4;
const UNREACHABLE: i32 = 5;
const USAGE: i32 = 2;

/// A device that may do anything under `rooms/`.
const ROOMS: &str = "--allow pub:rooms/# --allow sub:rooms/#";

/// Sends a message at each `QoS` from a device to itself.
fn flows(key: &str, proof: &str) {
    let system = System::start();
    let device = system.device("meter", &format!("{ROOMS} {key}"));
    for qos in 0..=2 {
        let words = format!("--auth {proof} -t rooms/{qos} -q {qos}");
        let subscriber = format!("{words} -i reader -C 1 -W 20 -F %t:%q:%p");
        let subscriber = system.as_device("sub", &device, &subscriber);
        let publisher = || system.as_device("pub", &device, &format!("{words} -i writer -m warm"));
        let got = exchange(subscriber, publisher).success();
        assert_eq!(got, format!("rooms/{qos}:{qos}:warm\n"));
    }
}

macro_rules! flows {
    ($($name:ident: $key:literal $proof:literal)*) => {
        $(#[test]
        fn $name() {
            flows($key, $proof);
        })*
    };
}

flows! {
    messages_flow_with_a_shared_key_and_the_exporter: "--auth secret --pop hs256" "exporter"
    messages_flow_with_a_shared_key_and_a_challenge: "--auth key --pop hs256" "challenge"
    messages_flow_with_an_ed25519_key_and_the_exporter: "--auth key --pop ed25519" "exporter"
    messages_flow_with_an_ed25519_key_and_a_challenge: "--auth secret --pop ed25519" "challenge"
    messages_flow_with_a_p256_key_and_the_exporter: "--auth key --pop es256" "exporter"
    messages_flow_with_a_p256_key_and_a_challenge: "--auth secret --pop es256" "challenge"
    messages_flow_in_mqtt_3_1_1: "--auth key --pop ed25519" "v311"
}

#[test]
fn a_retained_message_waits_for_its_subscriber() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    system
        .as_device("pub", &device, "-t rooms/1 -m kept -r -q 1")
        .run()
        .success();
    let got = system
        .as_device("sub", &device, "-t rooms/# -C 1 -W 20 -F %t:%r:%p")
        .run();
    assert_eq!(got.success(), "rooms/1:1:kept\n");
}

#[test]
fn a_will_is_published_when_its_client_vanishes() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let words =
        "-i mortal -t rooms/life --will-topic rooms/death --will-payload gone --will-retain";
    let mut mortal = system.as_device("sub", &device, words).start();
    // It has connected, and so left its Will, once it gets something.
    for _ in 0..100 {
        system
            .as_device("pub", &device, "-i life -t rooms/life -m beat")
            .run()
            .success();
        if mortal.stdout().contains("beat") {
            break;
        }
    }
    assert!(mortal.stdout().contains("beat"), "{}", mortal.stderr());
    assert!(mortal.ended().is_none());
    // Dropping kills it, without a word to the broker.
    drop(mortal);
    let got = system
        .as_device("sub", &device, "-i heir -t rooms/death -C 1 -W 20")
        .run();
    assert_eq!(got.success(), "gone\n");
}

#[test]
fn the_same_client_identifier_takes_over() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let first = system
        .as_device("sub", &device, "-i one -t rooms/1")
        .start();
    for _ in 0..100 {
        system
            .as_device("pub", &device, "-i life -t rooms/1 -m beat")
            .run()
            .success();
        if first.stdout().contains("beat") {
            break;
        }
    }
    let second = system.as_device("sub", &device, "-i one -t rooms/1 -C 1 -W 20");
    let publisher = || system.as_device("pub", &device, "-i life -t rooms/1 -m beat");
    exchange(second, publisher).success();
    let said = first
        .finish(Duration::from_secs(10))
        .failure(REFUSED_BY_BROKER);
    assert!(said.to_lowercase().contains("taken over"), "{said}");
}

#[test]
fn an_idle_client_stays_connected_by_pinging() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let mut idle = system
        .as_device("sub", &device, "-i idle -k 1 -t rooms/1 -C 1 -W 30")
        .start();
    std::thread::sleep(Duration::from_secs(5));
    assert!(idle.ended().is_none(), "{}", idle.stderr());
    system
        .as_device("pub", &device, "-i writer -t rooms/1 -m late -q 1")
        .run()
        .success();
    assert_eq!(idle.finish(Duration::from_secs(10)).success(), "late\n");
}

#[test]
fn a_token_is_renewed_before_it_runs_out() {
    let system = System::start_with(&[("SYMBOLON_AS_TOKEN_LIFETIME_SECS", "5")]);
    let device = system.device("meter", ROOMS);
    for proof in ["exporter", "challenge"] {
        let words = format!("--auth {proof} -i reader -t rooms/1 -C 1 -W 30");
        let mut reader = system.as_device("sub", &device, &words).start();
        std::thread::sleep(Duration::from_secs(12));
        assert!(reader.ended().is_none(), "{}", reader.stderr());
        system
            .as_device("pub", &device, "-i writer -t rooms/1 -m late -q 1")
            .run()
            .success();
        assert_eq!(reader.finish(Duration::from_secs(10)).success(), "late\n");
    }
}

#[test]
fn a_publish_beyond_the_scope_fails_and_says_why() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    for qos in [1, 2] {
        let words = format!("-t elsewhere -m x -q {qos}");
        let said = system
            .as_device("pub", &device, &words)
            .run()
            .failure(REFUSED_BY_BROKER);
        assert!(said.to_lowercase().contains("not authorized"), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "one line: {said}");
    }
}

#[test]
fn a_subscription_beyond_the_scope_fails_and_says_why() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let said = system
        .as_device("sub", &device, "-t # -W 10")
        .run()
        .failure(REFUSED_BY_BROKER);
    assert!(said.to_lowercase().contains("not authorized"), "{said}");
}

#[test]
fn a_will_beyond_the_scope_fails() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let words = "-t rooms/1 -m x --will-topic elsewhere --will-payload gone";
    system
        .as_device("pub", &device, words)
        .run()
        .failure(REFUSED_BY_BROKER);
}

#[test]
fn a_removed_device_gets_no_token() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let site = system.site();
    Command::symbolon()
        .words("client remove meter --dir")
        .arg(&site)
        .run()
        .success();
    let refused = system.as_device("pub", &device, "-t rooms/1 -m x").run();
    let said = refused.failure(REFUSED_BY_AUTHORIZATION_SERVER);
    assert!(said.contains("invalid_client"), "{said}");
}

#[test]
fn a_new_policy_is_in_the_next_token() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let words = "--scope pub:halls/# -t halls/1 -m x -q 1";
    let refused = system.as_device("pub", &device, words).run();
    refused.failure(REFUSED_BY_AUTHORIZATION_SERVER);
    let command = Command::symbolon().words("policy add meter --allow pub:halls/# --dir");
    command.arg(system.site()).run().success();
    system.as_device("pub", &device, words).run().success();
}

#[test]
fn servers_that_are_not_there_are_told_as_such() {
    let mut system = System::start();
    let device = system.device("meter", ROOMS);
    system.stop();
    let said = system
        .as_device("pub", &device, "-t rooms/1 -m x")
        .run()
        .failure(UNREACHABLE);
    assert_eq!(said.trim().lines().count(), 1, "one line: {said}");
}

#[test]
fn a_certificate_of_another_ca_is_refused() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let other = System::initialized();
    let profile = std::fs::read_to_string(&device).unwrap();
    let mut profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    profile["ca"] = std::fs::read_to_string(&other.init().ca).unwrap().into();
    std::fs::write(&device, profile.to_string()).unwrap();
    system
        .as_device("pub", &device, "-t rooms/1 -m x")
        .run()
        .failure(UNREACHABLE);
}

#[test]
fn nothing_is_proved_to_a_broker_that_the_authorization_server_does_not_vouch_for() {
    // RFC 9431 §2.2.1: where the AS gives the thumbprint, the client checks it. The CA alone would let it pass.
    let mut system = System::initialized();
    let device = system.device("meter", ROOMS);
    let (certificate, key) = peer::another_certificate(&system);
    system.up(&[
        ("SYMBOLON_BROKER_CERTIFICATE", certificate.to_str().unwrap()),
        ("SYMBOLON_BROKER_KEY", key.to_str().unwrap()),
    ]);
    for proof in ["exporter", "challenge"] {
        let words = format!("--auth {proof} -t rooms/1 -m x -q 1");
        let said = system
            .as_device("pub", &device, &words)
            .run()
            .failure(UNREACHABLE);
        assert!(said.contains("vouches"), "{said}");
    }
}

#[test]
fn a_broken_profile_is_a_usage_error() {
    let system = System::initialized();
    let profile = system.scratch("broken.json");
    std::fs::write(&profile, "").unwrap();
    // Others must not read it, or that would be the error.
    std::fs::set_permissions(&profile, Permissions::from_mode(0o600)).unwrap();
    for text in ["", "{", "[]", "{\"client_id\":7}"] {
        std::fs::write(&profile, text).unwrap();
        let said = system
            .as_device("pub", &profile, "-t a -m x")
            .run()
            .failure(USAGE);
        assert!(
            said.contains("broken.json") && !said.contains("chmod"),
            "{said}"
        );
    }
}

#[test]
fn a_token_is_shown_with_its_claims_and_its_validity() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let token = Command::symbolon()
        .words("token get --profile")
        .arg(&device)
        .run()
        .success();
    let show = |token: &str| {
        let command = Command::symbolon()
            .words("token show -o json --dir")
            .arg(system.site());
        command.arg(token).run()
    };
    let shown: serde_json::Value = serde_json::from_str(&show(token.trim()).success()).unwrap();
    assert_eq!(shown["valid"], true);
    assert_eq!(shown["claims"]["iss"], system.init().issuer.as_str());
    assert_eq!(shown["size_bytes"], token.trim().len());
    let (rest, _) = token.trim().rsplit_once('.').unwrap();
    let forged = show(&format!("{rest}.{}", "A".repeat(86)));
    assert_eq!(forged.status.code(), Some(1), "{forged}");
    assert!(forged.stdout.contains("signature"), "{forged}");
}

#[test]
fn devices_and_policies_are_listed_as_json() {
    let system = System::initialized();
    system.device("meter", ROOMS);
    system.device("board", "--allow sub:rooms/#");
    let list = |words: &str| {
        let command = Command::symbolon()
            .words(words)
            .words("-o json --dir")
            .arg(system.site());
        let printed = command.run().success();
        serde_json::from_str::<serde_json::Value>(&printed).unwrap()
    };
    assert_eq!(list("client list").as_array().unwrap().len(), 2);
    assert_eq!(list("client show meter")["client_id"], "meter");
    let policies = list("policy list");
    assert_eq!(policies.as_array().unwrap().len(), 3, "{policies}");
    let twice = Command::symbolon().words("client add meter --allow pub:a --dir");
    assert!(!twice.arg(system.site()).run().status.success());
}

#[test]
fn nothing_secret_can_be_read_by_others() {
    let system = System::initialized();
    system.device("meter", ROOMS);
    let mut folders = vec![system.site()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mode = path.metadata().unwrap().permissions().mode();
            let public = path
                .extension()
                .is_some_and(|end| end == "pem" || end == "toml");
            assert!(
                public || mode.trailing_zeros() >= 6,
                "{}: {mode:o}",
                path.display()
            );
        }
    }
}

#[test]
fn a_directory_in_use_is_not_set_up_again() {
    let system = System::initialized();
    let config = std::fs::read(&system.init().config).unwrap();
    let again = Command::symbolon().arg("init").arg(system.site()).run();
    again.failure(USAGE);
    assert_eq!(std::fs::read(&system.init().config).unwrap(), config);
}

#[test]
fn a_misspelt_key_is_told_with_its_place_and_what_was_meant() {
    let system = System::initialized();
    let config = &system.init().config;
    let check = || Command::symbolon().words("config check").arg(config).run();
    check().success();
    let text = std::fs::read_to_string(config).unwrap();
    std::fs::write(config, text.replacen("audience", "audiense", 1)).unwrap();
    let line = text
        .lines()
        .position(|line| line.starts_with("audience"))
        .unwrap()
        + 1;
    let said = check().failure(USAGE);
    assert!(said.contains(&format!("symbolon.toml:{line}:1")), "{said}");
    assert!(said.contains("did you mean `audience`?"), "{said}");
    let up = Command::symbolon().arg("up").arg(system.site()).run();
    up.failure(USAGE);
}

#[test]
fn a_port_in_use_is_told_as_such() {
    let system = System::start();
    let second = Command::symbolon().arg("up").arg(system.site()).run();
    assert!(!second.status.success(), "{second}");
    assert!(second.stderr.contains("listen"), "{second}");
}

#[test]
fn the_two_servers_run_apart() {
    let system = System::initialized();
    let device = system.device("meter", ROOMS);
    let start = |verb: &str| {
        let running = Command::symbolon().arg(verb).arg(system.site()).start();
        let ready = || running.stdout().contains("ready").then_some(());
        let ready = symbolon_e2e::program::wait_for(Duration::from_secs(30), ready);
        assert!(
            ready.is_some(),
            "{}\n{}",
            running.stdout(),
            running.stderr()
        );
        running
    };
    // The broker first: it must not mind that the authorization server is not there yet.
    let servers = [start("broker"), start("as")];
    system
        .as_device("pub", &device, "-t rooms/1 -m x -q 1")
        .run()
        .success();
    for server in servers {
        server.terminate();
        server.finish(Duration::from_secs(20)).success();
    }
}

#[test]
fn a_subscriber_connects_again_after_a_restart() {
    let mut system = System::start();
    let device = system.device("meter", ROOMS);
    let subscriber = system
        .as_device("sub", &device, "-i reader -t rooms/1")
        .start();
    let publish = |system: &System, payload| {
        let words = format!("-i writer -t rooms/1 -m {payload}");
        system.as_device("pub", &device, &words).run().success();
    };
    let hears = |system: &System, payload| {
        let heard = || {
            publish(system, payload);
            subscriber.stdout().contains(payload).then_some(())
        };
        let heard = symbolon_e2e::program::wait_for(Duration::from_secs(30), heard);
        assert!(heard.is_some(), "{}", subscriber.stderr());
    };
    hears(&system, "before");
    system.stop();
    system.up(&[]);
    hears(&system, "after");
    let said = subscriber.stderr();
    assert!(said.to_lowercase().contains("shutting down"), "{said}");
}

#[test]
fn a_restart_keeps_devices_and_policies() {
    let mut system = System::start();
    let device = system.device("meter", ROOMS);
    system
        .as_device("pub", &device, "-t rooms/1 -m x -q 1")
        .run()
        .success();
    system.stop();
    system.up(&[]);
    system
        .as_device("pub", &device, "-t rooms/1 -m x -q 1")
        .run()
        .success();
}

#[test]
fn no_token_and_no_payload_is_logged_even_at_the_finest_level() {
    let mut system = System::start_with(&[("SYMBOLON_LOG_LEVEL", "trace")]);
    let device = system.device("meter", &format!("{ROOMS} --auth secret --pop hs256"));
    for proof in ["exporter", "challenge"] {
        let words = format!("--auth {proof} -t rooms/1 -m PAYLOAD-TO-HIDE -q 1");
        system.as_device("pub", &device, &words).run().success();
    }
    let profile = std::fs::read_to_string(&device).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    let secret = profile["client_auth"]["secret"].as_str().unwrap();
    let log = system.log();
    assert!(!log.contains("PAYLOAD-TO-HIDE"), "a payload was logged");
    assert!(!log.contains(secret), "a secret was logged");
    // Stopping looks for tokens.
    system.stop();
}

#[test]
fn the_demonstration_comes_out_as_it_must() {
    let demo = Command::symbolon().arg("demo").run();
    let said = demo.success();
    assert!(!said.is_empty());
}
