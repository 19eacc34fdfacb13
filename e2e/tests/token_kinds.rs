//! The client's modes with tokens of other kinds than signed JWTs, with keys that have names, with nonces, and with brokers known by a raw
//! public key.

use std::path::Path;
use symbolon_ace_proto::{PopAlgorithm, PopKey, PopSigner};
use symbolon_e2e::{Command, System, messages::exchange, program::wait_for};
use symbolon_tls::{PublicKey, Spki};

const UNREACHABLE: i32 = 5;

/// A device that may do anything under `rooms/`.
const ROOMS: &str = "--allow pub:rooms/# --allow sub:rooms/#";
const PAIR: &str = "--auth key --pop ed25519";
const SHARED: &str = "--auth secret --pop hs256";

fn system(settings: &[(&str, &str)]) -> System {
    let authz_info = ("SYMBOLON_BROKER_AUTHZ_INFO", "true");
    System::start_with(&[&[authz_info], settings].concat())
}

/// Changes what the authorization server knows of the broker.
fn set_broker(system: &System, words: &str) {
    Command::symbolon()
        .words("rs set")
        .arg(&system.init().audience)
        .arg("--dir")
        .arg(system.site())
        .words(words)
        .run()
        .success();
}

/// Lets a device speak CBOR with the authorization server.
fn speak_cbor(device: &Path) {
    let text = std::fs::read_to_string(device).expect("client add wrote it");
    let mut profile: serde_json::Value = serde_json::from_str(&text).expect("a profile is JSON");
    profile["encoding"] = "cbor".into();
    std::fs::write(device, profile.to_string()).expect("a file can be written");
}

/// Sends a message from a device to itself.
fn flows(system: &System, device: &Path, mode: &str) {
    let words = format!("--auth {mode} -t rooms/1 -q 1");
    let subscriber = format!("{words} -i reader -C 1 -W 20");
    let subscriber = system.as_device("sub", device, &subscriber);
    let publisher = || system.as_device("pub", device, &format!("{words} -i writer -m warm"));
    assert_eq!(
        exchange(subscriber, publisher).success(),
        "warm\n",
        "{mode}"
    );
}

/// Stays connected while its token is renewed twice, and gets a message then; what it said of it.
fn stays(system: &System, device: &Path, mode: &str) -> String {
    let words = format!("--auth {mode} -i reader -t rooms/1 -q 1 -C 1 -W 40 -d");
    let subscriber = system.as_device("sub", device, &words).start();
    let renewed = || (subscriber.stderr().matches("token renewed").count() >= 2).then_some(());
    let renewed = wait_for(std::time::Duration::from_secs(30), renewed);
    assert!(renewed.is_some(), "{mode}: {}", subscriber.stderr());
    let words = format!("--auth {mode} -i writer -t rooms/1 -q 1 -m late");
    system.as_device("pub", device, &words).run().success();
    let finished = subscriber.finish(std::time::Duration::from_secs(20));
    let said = finished.stderr.clone();
    assert_eq!(finished.success(), "late\n", "{mode}");
    said
}

const SHORT: (&str, &str) = ("SYMBOLON_AS_TOKEN_LIFETIME_SECS", "5");

// RFC 9431 §2.2.3.2, RFC 9202 §4
#[test]
fn a_named_key_gets_new_rights_on_its_live_connection() {
    let system = system(&[SHORT]);
    let device = system.device("meter", &format!("{ROOMS} {SHARED}"));
    for mode in ["psk-kid", "psk-token"] {
        flows(&system, &device, mode);
        let said = stays(&system, &device, mode);
        assert!(!said.contains("another connection"), "{mode}: {said}");
    }
}

// RFC 9431 §2.1, §2.2.4.2
#[test]
fn cwts_serve_in_every_mode_whether_they_come_in_json_or_in_cbor() {
    let system = system(&[]);
    set_broker(&system, "--format cwt");
    let shared = system.device("shared", &format!("{ROOMS} {SHARED}"));
    let pair = system.device("pair", &format!("{ROOMS} {PAIR}"));
    for encoding in ["json", "cbor"] {
        if encoding == "cbor" {
            speak_cbor(&shared);
            speak_cbor(&pair);
        }
        for mode in ["exporter", "challenge", "v311"] {
            flows(&system, &shared, mode);
            flows(&system, &pair, mode);
        }
        flows(&system, &pair, "rpk");
        flows(&system, &shared, "psk-token");
        flows(&system, &shared, "psk-kid");
    }
}

// RFC 9202 §3.3.1: the key is derived from the bytes of the token; with a MAC and for CWTs too, whichever encoding they come in.
#[test]
fn derived_keys_serve_in_every_mode_for_shared_keys() {
    let mut system = System::initialized();
    let (derivation, mac) = (system.scratch("derivation.jwk"), system.scratch("mac.jwk"));
    let keys = format!(
        "--derivation-key {} --mac-key {}",
        derivation.display(),
        mac.display()
    );
    set_broker(&system, &format!("--symmetric-keys derived {keys}"));
    system.up(&[
        SHORT,
        ("SYMBOLON_BROKER_AUTHZ_INFO", "true"),
        (
            "SYMBOLON_BROKER_DERIVATION_KEY",
            derivation.to_str().unwrap(),
        ),
        ("SYMBOLON_BROKER_MAC_KEY", mac.to_str().unwrap()),
    ]);
    let device = system.device("meter", &format!("{ROOMS} {SHARED}"));
    let modes = ["exporter", "challenge", "psk-token", "psk-kid", "v311"];
    for kind in ["--format jwt", "--format cwt", "--protection mac"] {
        set_broker(&system, kind);
        for mode in modes {
            flows(&system, &device, mode);
        }
    }
    speak_cbor(&device);
    for mode in modes {
        flows(&system, &device, mode);
    }
    for mode in ["psk-token", "psk-kid", "challenge"] {
        stays(&system, &device, mode);
    }
}

// RFC 9200 §5.3.1
#[test]
fn a_client_brings_the_nonce_of_the_brokers_hint_and_renews_with_another() {
    let nonce = ("SYMBOLON_BROKER_CLIENT_NONCE", "true");
    let system = system(&[SHORT, nonce]);
    let shared = system.device("shared", &format!("{ROOMS} {SHARED}"));
    let pair = system.device("pair", &format!("{ROOMS} {PAIR}"));
    for (device, mode) in [
        (&pair, "exporter"),
        (&shared, "challenge"),
        (&pair, "rpk"),
        (&shared, "psk-token"),
        (&shared, "psk-kid"),
        (&pair, "v311"),
    ] {
        stays(&system, device, mode);
    }
}

/// The public key of the broker's certificate.
fn broker_key(system: &System) -> PopKey {
    let (pem, der) = (system.scratch("broker.pem"), system.scratch("broker.der"));
    Command::new("openssl")
        .words("x509 -noout -pubkey -in")
        .arg(system.site().join("certificates/server.pem"))
        .arg("-out")
        .arg(&pem)
        .run()
        .success();
    Command::new("openssl")
        .words("pkey -pubin -outform DER -in")
        .arg(&pem)
        .arg("-out")
        .arg(&der)
        .run()
        .success();
    let der = std::fs::read(der).expect("openssl wrote it");
    let spki = Spki::parse(&der).expect("init makes a key of P-256");
    match spki.public_key() {
        PublicKey::Ed25519(key) => PopKey::Ed25519(*key),
        PublicKey::P256 { x, y } => {
            let mut point = [4; 65];
            point[1..33].copy_from_slice(x);
            point[33..].copy_from_slice(y);
            PopKey::Es256(point)
        }
    }
}

/// The authorization server says that this is the broker's key.
fn vouch(system: &System, key: &PopKey) {
    let path = system.scratch("key.jwk");
    std::fs::write(&path, key.to_jwk().to_json().as_bytes()).expect("a file can be written");
    set_broker(system, &format!("--public-key {}", path.display()));
}

// RFC 9431 §2.2.1, RFC 7250
#[test]
fn a_broker_is_known_by_its_raw_public_key() {
    let system = system(&[]);
    vouch(&system, &broker_key(&system));
    let pair = system.device("pair", &format!("{ROOMS} {PAIR}"));
    for mode in ["exporter", "challenge", "rpk", "v311"] {
        flows(&system, &pair, mode);
    }
    // Another key in its place: nothing is proved.
    let other = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    vouch(&system, &other.verifying_key());
    for mode in ["exporter", "challenge", "rpk", "v311"] {
        let words = format!("--auth {mode} -t rooms/1 -m x");
        system
            .as_device("pub", &pair, &words)
            .run()
            .failure(UNREACHABLE);
    }
}
