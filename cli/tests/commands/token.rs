//! `symbolon token`, with a real authorization server.

use crate::program::{Ended, Server, Site, command, symbolon};
use std::{io::Write as _, process::Stdio};

fn site_with(options: &str) -> (Site, String) {
    let site = Site::new();
    let words = format!("client add meter --allow pub:rooms/# {options}");
    site.run(&words).success();
    let profile = site.path().join("clients/meter.json");
    (site, profile.to_str().unwrap().to_owned())
}

#[test]
fn every_kind_of_device_gets_a_token_that_verifies() {
    for auth in ["secret", "key"] {
        for pop in ["hs256", "ed25519", "es256"] {
            let (site, profile) = site_with(&format!("--auth {auth} --pop {pop}"));
            let _server = Server::start("as", &site, &[]);
            let token = symbolon(&["token", "get", "--profile", &profile]).success();
            let shown = site
                .run(&format!("token show -o json {}", token.trim()))
                .json();
            assert_eq!(shown["valid"], true, "{auth} {pop}");
            assert_eq!(shown["size_bytes"], token.trim().len());
            assert_eq!(shown["scope"], serde_json::json!([["rooms/#", ["pub"]]]));
        }
    }
}

#[test]
fn a_scope_beyond_the_policies_is_refused_with_3() {
    let (site, profile) = site_with("");
    let _server = Server::start("as", &site, &[]);
    let arguments = [
        "token",
        "get",
        "--profile",
        &profile,
        "--scope",
        "pub:elsewhere",
    ];
    let said = symbolon(&arguments).failure(3);
    assert!(said.contains("invalid_scope"), "{said}");
}

#[test]
fn less_than_the_policies_can_be_asked_for() {
    let (site, profile) = site_with("");
    let _server = Server::start("as", &site, &[]);
    let mut arguments = vec!["token", "get", "--profile", &profile];
    arguments.extend(["--scope", "pub:rooms/kitchen", "-o", "json"]);
    let got = symbolon(&arguments).json();
    assert_eq!(
        got["scope"],
        serde_json::json!([["rooms/kitchen", ["pub"]]])
    );
}

#[test]
fn a_forged_token_is_not_valid_and_one_of_another_server_neither() {
    let (site, profile) = site_with("");
    let _server = Server::start("as", &site, &[]);
    let token = symbolon(&["token", "get", "--profile", &profile]).success();
    let (rest, _) = token.rsplit_once('.').unwrap();
    let forged = format!("token show {rest}.{}", "A".repeat(86));
    let said = site.run(&forged).failure(1);
    assert!(said.contains("signature"), "{said}");
    let other = Site::new();
    let said = other
        .run(&format!("token show {}", token.trim()))
        .failure(1);
    assert!(said.contains("unknown key"), "{said}");
}

#[test]
fn a_token_can_come_by_standard_input() {
    let (site, profile) = site_with("");
    let _server = Server::start("as", &site, &[]);
    let token = symbolon(&["token", "get", "--profile", &profile]).success();
    let mut child = command()
        .args(["token", "show", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(token.as_bytes())
        .unwrap();
    let shown = Ended::from(child.wait_with_output().unwrap()).json();
    // Without the server's key nobody knows.
    assert!(shown["valid"].is_null());
    assert_eq!(shown["verified"], false);
}

#[test]
fn what_is_no_token_is_told_as_such() {
    let said = symbolon(&["token", "show", "hello"]).failure(1);
    assert!(said.contains("not a token"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_server_with_0() {
    let (site, _) = site_with("");
    for signal in ["TERM", "INT"] {
        let mut server = Server::start("up", &site, &[]);
        let process = server.0.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", signal, &process])
            .status()
            .unwrap();
        assert!(sent.success());
        assert_eq!(server.0.wait().unwrap().code(), Some(0), "{signal}");
    }
}
