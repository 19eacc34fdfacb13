//! Exit codes, and what is said with them.

use crate::program::{Site, symbolon};
use std::net::TcpListener;

/// A port on which nobody listens.
fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

#[test]
fn a_broker_that_is_not_there_is_5() {
    let port = free_port();
    let said = symbolon(&["pub", "-h", "127.0.0.1", "-p", &port, "-t", "a", "-m", "x"]).failure(5);
    assert_eq!(said.lines().count(), 1, "{said}");
    let said = symbolon(&["sub", "-h", "127.0.0.1", "-p", &port, "-t", "a"]).failure(5);
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn an_authorization_server_that_is_not_there_is_5() {
    let site = Site::new();
    site.run("client add meter --allow pub:a").success();
    let profile = site.path().join("clients/meter.json");
    let profile = profile.to_str().unwrap();
    let said = symbolon(&["token", "get", "--profile", profile]).failure(5);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("localhost"), "it says where: {said}");
    symbolon(&["pub", "--profile", profile, "-t", "a", "-m", "x"]).failure(5);
}

#[test]
fn quiet_means_quiet() {
    let port = free_port();
    let mut arguments = vec!["pub", "-h", "127.0.0.1", "-p", &port];
    arguments.extend(["-t", "a", "-m", "x", "--quiet"]);
    assert_eq!(symbolon(&arguments).failure(5), "");
}

#[test]
fn wrong_words_are_2() {
    for words in [
        "pub -t a",
        "pub -m x",
        "pub -t a -m x -n",
        "pub -t a/# -m x",
        "pub -t a -m x -q 3",
        "pub -t a -m x -V 31",
        "pub -t a -m x -L http://x/y",
        "pub -t a -m x -D publish nonsense 1",
        "pub -t a -m x -V 311 -D publish content-type b",
        "pub -t a -m x --profile /nonexistent.json",
        "pub -t a -l --repeat 2",
        "pub -t a -m x -c",
        "pub -t a -m x --will-payload y",
        "pub -t a -m x -i one -I two",
        "pub -t a -m x --auth challenge",
        "sub",
        "sub -t a/#/b",
        "sub -t a -F %Z",
        "sub -t a -T a/#/b",
        "sub -t a --random-filter 0",
        "sub -t a -x soon",
        "nonsense",
        "client",
    ] {
        let arguments: Vec<&str> = words.split(' ').collect();
        let said = symbolon(&arguments).failure(2);
        assert!(!said.is_empty(), "{words}");
    }
}

#[test]
fn a_flag_of_mosquitto_that_cannot_be_honoured_is_refused_by_name() {
    for flag in [
        "-A 127.0.0.1",
        "-S",
        "--unix /x",
        "--proxy socks5h://x",
        "--insecure",
        "--cert x",
        "--key x",
        "--keyform pem",
        "--ciphers x",
        "--tls-version tlsv1.2",
        "--tls-engine x",
        "--tls-engine-kpass-sha1 x",
        "--psk 00",
        "--psk-identity x",
        "--tls-alpn http",
    ] {
        for command in ["pub -t a -m x", "sub -t a"] {
            let words = format!("{command} {flag}");
            let arguments: Vec<&str> = words.split(' ').collect();
            let said = symbolon(&arguments).failure(2);
            let name = flag.split(' ').next().unwrap();
            assert!(said.contains(name), "{words}: {said}");
        }
    }
}

#[test]
fn a_message_may_begin_with_a_hyphen() {
    let port = free_port();
    let arguments = ["pub", "-h", "127.0.0.1", "-p", &port, "-t", "a", "-m", "-5"];
    symbolon(&arguments).failure(5);
}

#[cfg(unix)]
#[test]
fn a_profile_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    site.run("client add meter --allow pub:a").success();
    let profile = site.path().join("clients/meter.json");
    std::fs::set_permissions(&profile, std::fs::Permissions::from_mode(0o604)).unwrap();
    let profile = profile.to_str().unwrap();
    let said = symbolon(&["token", "get", "--profile", profile]).failure(2);
    assert!(said.contains("chmod 600"), "{said}");
}
