//! Secrets that systemd hands over.

use crate::program::{Ended, Server, Site, symbolon_with};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

fn put(path: &Path, content: &[u8], mode: u32) {
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A site whose signing key, TLS key, content key and secret for introspection are credentials, and the directory of these.
fn site() -> (Site, String) {
    let site = Site::new();
    let credentials = site.beside("credentials");
    fs::create_dir(&credentials).unwrap();
    for (file, name) in [
        ("keys/signing.jwk", "signing"),
        ("certificates/server.key", "tls"),
        ("keys/content.jwk", "content"),
        ("keys/broker.secret", "broker"),
    ] {
        let from = site.path().join(file);
        put(&credentials.join(name), &fs::read(&from).unwrap(), 0o440);
        fs::remove_file(from).unwrap();
        while fs::read_to_string(site.path().join("symbolon.toml"))
            .unwrap()
            .contains(file)
        {
            site.edit(file, &format!("credential:{name}"));
        }
    }
    let directory = credentials.to_str().unwrap().to_owned();
    (site, directory)
}

fn check(site: &Site, directory: &str) -> Ended {
    let path = site.path();
    let variables = [("CREDENTIALS_DIRECTORY", directory)];
    symbolon_with(&variables, &["config", "check", path.to_str().unwrap()])
}

#[test]
fn a_server_takes_its_secrets_from_systemd() {
    let (site, directory) = site();
    check(&site, &directory).success();
    let server = Server::start("up", &site, &[("CREDENTIALS_DIRECTORY", &directory)]);
    drop(server);
}

#[test]
fn credentials_outside_a_service_are_not_there_and_it_says_so() {
    let (site, directory) = site();
    let said = site.check().failure(2);
    assert!(said.contains("CREDENTIALS_DIRECTORY"), "{said}");
    let said = check(&site, "relative").failure(2);
    assert!(said.contains("CREDENTIALS_DIRECTORY"), "{said}");
    site.edit("credential:signing", "credential:../site/symbolon.db");
    let said = check(&site, &directory).failure(2);
    assert!(said.contains("no slash"), "{said}");
}

#[test]
fn a_credential_that_others_may_read_is_refused() {
    let (site, directory) = site();
    let signing = Path::new(&directory).join("signing");
    for mode in [0o444, 0o460] {
        let content = fs::read(&signing).unwrap();
        put(&signing, &content, mode);
        let said = check(&site, &directory).failure(2);
        assert!(said.contains("others may use it"), "{said}");
    }
}

#[test]
fn a_credential_is_not_written() {
    let (site, directory) = site();
    let path = site.path();
    let words = ["key", "rotate", "--dir", path.to_str().unwrap()];
    let ended = symbolon_with(&[("CREDENTIALS_DIRECTORY", &directory)], &words);
    let said = ended.failure(1);
    assert!(said.contains("credential of systemd's"), "{said}");
}
