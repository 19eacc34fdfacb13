//! `symbolon init`.

use crate::program::{Site, symbolon};
use std::path::Path;

#[test]
fn the_json_names_all_that_a_client_needs() {
    let site = Site::new();
    let text = |name: &str| site.made[name].as_str().unwrap().to_owned();
    assert!(text("issuer").starts_with("https://localhost:"));
    assert_eq!(text("token_endpoint"), text("issuer") + "/token");
    assert!(text("broker").starts_with("mqtts://localhost:"));
    assert_eq!(text("audience"), "mqtts://localhost");
    let ca = std::fs::read_to_string(text("ca")).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(Path::new(&text("config")).is_file());
    assert!(text("management").starts_with("http://127.0.0.1:"));
    let ports = |name: &str| text(name).rsplit(':').next().unwrap().to_owned();
    assert_ne!(ports("issuer"), "0");
    assert_ne!(ports("issuer"), ports("broker"));
    assert!(![ports("issuer"), ports("broker")].contains(&ports("management")));
}

#[cfg(unix)]
#[test]
fn secrets_are_their_owners_alone() {
    use crate::program::mode;
    let site = Site::new();
    for name in [
        "certificates/ca.key",
        "certificates/server.key",
        "keys/signing.jwk",
        "keys/content.jwk",
        "symbolon.db",
    ] {
        assert_eq!(mode(&site.path().join(name)), 0o600, "{name}");
    }
    for name in ["keys", "clients"] {
        assert_eq!(mode(&site.path().join(name)), 0o700, "{name}");
    }
    assert_eq!(mode(&site.path().join("certificates/ca.pem")), 0o644);
}

#[test]
fn a_directory_that_is_not_empty_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("mine"), "x").unwrap();
    let said = symbolon(&["init".as_ref(), directory.path().as_os_str()]).failure(2);
    assert!(said.contains("is not empty"), "{said}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_a_host_is_refused_and_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site");
    let arguments = ["init", path.to_str().unwrap(), "--host", "no host"];
    let said = symbolon(&arguments).failure(2);
    assert!(
        said.contains("neither a DNS name nor an IP address"),
        "{said}"
    );
    assert!(!path.exists());
}

#[test]
fn another_host_is_in_every_address() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site");
    let mut arguments = vec!["init", path.to_str().unwrap(), "--host", "broker.example"];
    arguments.extend(["--as-port", "9443", "--broker-port", "9883", "-o", "json"]);
    let made = symbolon(&arguments).json();
    assert_eq!(made["issuer"], "https://broker.example:9443");
    assert_eq!(made["broker"], "mqtts://broker.example:9883");
    let config = std::fs::read_to_string(path.join("symbolon.toml")).unwrap();
    assert!(config.contains("address = \"0.0.0.0:9883\""), "{config}");
}
