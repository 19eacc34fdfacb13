//! Tokens of other kinds than `init` sets up, from the authorization server to the broker and back.

use symbolon_e2e::{Command, System, messages::exchange};

/// `symbolon rs set` for the broker, with these words.
fn set(system: &System, words: &str) {
    let command = Command::symbolon()
        .words("rs set")
        .arg(&system.init().audience)
        .arg("--dir")
        .arg(system.site());
    command.words(words).run().success();
}

/// A message at `QoS` 1 from a device to itself.
fn flows(system: &System, device: &std::path::Path) {
    let words = "-t rooms/1 -q 1";
    let subscriber = format!("{words} -i reader -C 1 -W 20 -F %p");
    let subscriber = system.as_device("sub", device, &subscriber);
    let publisher = || system.as_device("pub", device, &format!("{words} -i writer -m warm"));
    assert_eq!(exchange(subscriber, publisher).success(), "warm\n");
}

#[test]
fn a_broker_takes_cwts_of_its_authorization_server() {
    let system = System::start();
    set(&system, "--format cwt");
    for (name, key) in [("a", "--pop hs256"), ("b", "--pop ed25519")] {
        let device = system.device(name, &format!("--allow pubsub:rooms/# {key}"));
        flows(&system, &device);
    }
}

// RFC 9200 §5.9, RFC 7009
#[test]
fn a_broker_asks_what_references_say_and_revoked_ones_are_listed_as_such() {
    let mut system = System::initialized();
    let secret = system.site().join("keys/introspection");
    let words = "--format reference --client-id broker-1 --introspection-secret";
    set(&system, &format!("{words} {}", secret.display()));
    let endpoint = format!("{}/introspect", system.init().issuer);
    system.up(&[
        ("SYMBOLON_BROKER_INTROSPECTION_ENDPOINT", &endpoint),
        ("SYMBOLON_BROKER_INTROSPECTION_CLIENT_ID", "broker-1"),
        (
            "SYMBOLON_BROKER_INTROSPECTION_SECRET",
            &secret.display().to_string(),
        ),
    ]);
    for (name, key) in [("a", "--pop hs256"), ("b", "--pop ed25519")] {
        let device = system.device(name, &format!("--allow pubsub:rooms/# {key}"));
        flows(&system, &device);
    }
    let dir = system.site();
    let revoke = Command::symbolon().words("token revoke --client a --dir");
    let revoked = revoke.arg(&dir).run().success();
    assert!(revoked.starts_with("revoked "), "{revoked}");
    let list = Command::symbolon().words("token list --client a -o json --dir");
    let list: serde_json::Value = serde_json::from_str(&list.arg(&dir).run().success()).unwrap();
    let tokens = list.as_array().unwrap();
    assert!(!tokens.is_empty() && tokens.iter().all(|token| !token["revoked_at"].is_null()));
}

// RFC 9202 §3.3.1, RFC 9200 §5.10.3
#[test]
fn a_broker_derives_keys_from_tokens_with_a_mac_that_count_from_first_sight() {
    let mut system = System::initialized();
    let key = |name: &str| {
        system
            .site()
            .join(format!("keys/{name}.jwk"))
            .display()
            .to_string()
    };
    let (mac, derivation) = (key("mac"), key("derivation"));
    let words = format!("--mac-key {mac} --derivation-key {derivation} --symmetric-keys derived");
    set(
        &system,
        &format!("{words} --format cwt --protection mac --lifetime exi"),
    );
    system.up(&[
        ("SYMBOLON_BROKER_MAC_KEY", &mac),
        ("SYMBOLON_BROKER_DERIVATION_KEY", &derivation),
    ]);
    for (name, pop) in [("a", "--pop hs256"), ("b", "--pop ed25519")] {
        let device = system.device(name, &format!("--allow pubsub:rooms/# {pop}"));
        flows(&system, &device);
    }
}
