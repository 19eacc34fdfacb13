//! Signing keys in a hardware token: they sign what ours and others verify, they take turns with keys in a file, and a token that is away
//! stops new tokens and nothing else.
#![cfg(unix)]

use serde_json::Value;
use std::time::Duration;
use symbolon_e2e::{
    Command, System, peer,
    program::wait_for,
    soft_hsm::{PIN, SoftHsm, VARIABLE},
};

const USAGE: i32 = 2;
/// A case of the peer.
const PEER_CWT: &str = "a_signed_cwt_is_verified_by_the_published_keys";
const TOKEN: &str = "pkcs11:token=symbolon";
/// How long a token that was away may take to be used again.
const BACK_LIMIT: Duration = Duration::from_secs(20);

/// A system whose servers are not started, and a token.
struct World {
    hsm: SoftHsm,
    system: System,
}

impl World {
    fn new() -> Self {
        let (hsm, system) = (SoftHsm::new(), System::initialized());
        hsm.configure(&system.site(), PIN);
        Self { hsm, system }
    }

    fn up(&mut self) {
        let configuration = self.hsm.configuration();
        self.system.up(&[(VARIABLE, &configuration)]);
    }

    fn run(&self, words: &str) -> Command {
        let command = Command::symbolon().env(VARIABLE, &self.hsm.configuration());
        command.words(words).arg("--dir").arg(self.system.site())
    }

    fn keys(&self) -> Vec<Value> {
        let printed = self.run("key list -o json").run().success();
        serde_json::from_str(&printed).expect("key list prints JSON")
    }

    fn verified(&self, token: &str) -> Value {
        let shown = self.run(&format!("token show {token} -o json"));
        let shown: Value = serde_json::from_str(&shown.run().success()).expect("JSON");
        assert_eq!(shown["valid"], true, "{shown}");
        shown
    }
}

fn token(profile: &std::path::Path) -> Command {
    let get = Command::symbolon().words("token get --profile");
    get.arg(profile)
}

/// From a file into a token and back, and what was signed before stays good; a peer that shares no code with us verifies both.
fn there_and_back(algorithm: &str, peer_cases: &[&str]) {
    let mut world = World::new();
    let meter = world.system.device("gauge", "--allow pub:rooms/#");
    world.up();
    let get = || token(&meter).run().success().trim().to_owned();
    let in_file = get();
    let rotate = format!("key rotate --now --alg {algorithm} --in {TOKEN};object=as-2026");
    world.run(&rotate).run().success();
    let in_token = get();
    for case in peer_cases {
        peer::run_against(&world.system, case).success();
    }
    // Where the last one lives, the next one is made.
    let rotate = format!("key rotate --now --alg {algorithm}");
    world.run(&rotate).run().success();
    let in_token_too = get();
    world.run("key rotate --now --in file").run().success();
    let back_in_file = get();
    for token in [&in_file, &in_token, &in_token_too, &back_in_file] {
        world.verified(token);
    }
    let places: Vec<String> = world
        .keys()
        .iter()
        .map(|key| {
            let place = key["place"].as_str().expect("a text");
            place.split(";id=").next().unwrap_or_default().to_owned()
        })
        .collect();
    assert_eq!(places[0], "");
    assert_eq!(places[1], format!("{TOKEN};object=as-2026"));
    assert!(
        places[2].starts_with(&format!("{TOKEN};object=symbolon-")),
        "{places:?}"
    );
    assert_eq!(places[3], "file");
    let log = world.system.log();
    assert!(!log.contains(PIN), "{log}");
}

#[test]
fn an_ed25519_key_signs_in_a_token_and_keys_take_turns_between_it_and_a_file() {
    let cases = ["an_assertion_gets_a_token_for_an_ed25519_key", PEER_CWT];
    there_and_back("eddsa", &cases);
}

#[test]
fn a_p256_key_signs_in_a_token_and_keys_take_turns_between_it_and_a_file() {
    let cases = ["an_assertion_gets_a_token_for_a_p256_key", PEER_CWT];
    there_and_back("es256", &cases);
}

#[test]
fn a_token_that_is_away_stops_new_tokens_until_it_is_back_and_nothing_else() {
    let mut world = World::new();
    let rotate = format!("key rotate --now --in {TOKEN}");
    world.run(&rotate).run().success();
    let meter = world
        .system
        .device("gauge", "--allow pub:rooms/# --allow sub:rooms/#");
    world.up();
    let get = || token(&meter).run();
    let held = get().success();
    let held = held.trim();

    world.hsm.take_away();
    let refused = get();
    assert!(!refused.status.success(), "{refused}");
    assert!(
        refused.stderr.contains("503") || refused.stderr.contains("temporarily_unavailable"),
        "{refused}"
    );
    let log = world.system.log();
    assert!(log.contains("cannot sign"), "{log}");
    assert!(!log.contains(PIN), "{log}");
    // The keys are published, and what was issued before is taken.
    peer::run_against(&world.system, "the_metadata_names_the_endpoints").success();
    world.run("token list").run().success();

    world.hsm.bring_back();
    let again = wait_for(BACK_LIMIT, || get().status.success().then_some(()));
    assert!(again.is_some(), "{}", world.system.log());
    world.verified(held);
}

#[test]
fn a_key_that_is_there_is_taken_and_one_that_the_configuration_names_signs_alone() {
    let mut world = World::new();
    let there = format!("{TOKEN};object=there");
    let rotate = format!("key rotate --now --in {there}");
    world.run(&rotate).run().success();
    let made = world.keys().pop().unwrap()["kid"].clone();
    let refused = world.run(&rotate).run().failure(USAGE);
    assert!(refused.contains("named"), "{refused}");

    let file = world.system.site().join("symbolon.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("keys/signing.jwk", &there);
    std::fs::write(&file, text).unwrap();
    let alone = world.keys();
    assert_eq!((alone.len(), &alone[0]["kid"]), (1, &made));
    let refused = world.run("key rotate").run().failure(USAGE);
    assert!(refused.contains("symbolon key ring"), "{refused}");
    let meter = world.system.device("gauge", "--allow pub:rooms/#");
    world.up();
    let token = token(&meter).run().success();
    assert_eq!(world.verified(token.trim())["header"]["kid"], made);
}

#[test]
fn what_is_wrong_with_a_token_is_said_before_anything_starts() {
    let world = World::new();
    let rotate = format!("key rotate --now --in {TOKEN}");
    world.run(&rotate).run().success();
    let check = |world: &World| {
        let site = world.system.site();
        let check = Command::symbolon().words("config check").arg(site);
        check.env(VARIABLE, &world.hsm.configuration()).run()
    };
    check(&world).success();

    world.hsm.take_away();
    let said = check(&world).failure(USAGE);
    assert!(said.contains("no token is as"), "{said}");
    world.hsm.bring_back();

    let pin_file = world.system.site().join("token.pin");
    symbolon_e2e::soft_hsm::write_private(&pin_file, "11112222");
    let said = check(&world).failure(USAGE);
    assert!(said.contains("refuses the PIN"), "{said}");
    assert!(!said.contains("11112222"), "{said}");
    symbolon_e2e::soft_hsm::write_private(&pin_file, PIN);

    let file = world.system.site().join("symbolon.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let elsewhere = text.replace(world.hsm.module(), "/nonexistent/module.so");
    std::fs::write(&file, elsewhere).unwrap();
    let said = check(&world).failure(USAGE);
    assert!(said.contains("does not load"), "{said}");
    let (without, _) = text.split_once("[as.pkcs11]").unwrap();
    std::fs::write(&file, without).unwrap();
    let said = check(&world).failure(USAGE);
    assert!(said.contains("[as.pkcs11]"), "{said}");
}
