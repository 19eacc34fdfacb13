//! `symbolon reload` and SIGHUP: another configuration without a restart.

use crate::{
    program::{Ended, Server, Site, command, mode, symbolon},
    signals::{signal, until},
};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixDatagram, UnixStream},
    },
    path::Path,
    process::Stdio,
    time::Duration,
};

fn reload(site: &Site) -> Ended {
    symbolon(&["reload".as_ref(), site.path().as_os_str()])
}

fn port(site: &Site) -> u16 {
    let broker = site.made["broker"].as_str().unwrap();
    broker.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Publishes to a topic without a token, trusting this CA.
fn publish(site: &Site, ca: &Path, topic: &str) -> Ended {
    let port = port(site).to_string();
    let mut command = command();
    command.args(["pub", "-h", "localhost", "-p", &port, "-q", "1", "-m", "x"]);
    command.args(["-t", topic, "--cafile"]).arg(ca);
    Ended::from(command.output().unwrap())
}

fn is_public(site: &Site, topic: &str) -> bool {
    let ended = publish(site, &site.path().join("certificates/ca.pem"), topic);
    assert!([0, 4].contains(&ended.code), "{ended:?}");
    ended.code == 0
}

fn copy(from: &Site, to: &Site, names: &[&str]) {
    for name in names {
        std::fs::copy(from.path().join(name), to.path().join(name)).unwrap();
    }
}

const PAIR: &[&str] = &["certificates/server.pem", "certificates/server.key"];

#[test]
fn what_changed_is_told_and_holds() {
    let site = Site::new();
    let _server = Server::start("up", &site, &[]);
    assert!(!is_public(&site, "open/a"));
    site.edit("public_topics = []", "public_topics = [\"open/#\"]");
    site.edit("token_lifetime_secs = 3600", "token_lifetime_secs = 60");
    let said = reload(&site).success();
    assert_eq!(
        said,
        "as.token_lifetime_secs: 3600 → 60\n\
         broker.public_topics: [] → [\"open/#\"]\n\
         the configuration was reloaded\n"
    );
    assert!(is_public(&site, "open/a"));
    site.run("client add sensor --allow pub:rooms/#").success();
    let profile = site.path().join("clients/sensor.json");
    let token = [
        "token",
        "get",
        "-o",
        "json",
        "--profile",
        profile.to_str().unwrap(),
    ];
    let lives_for = symbolon(&token).json()["expires_in"].as_u64().unwrap();
    assert!((1..=60).contains(&lives_for), "{lives_for}");
    assert_eq!(reload(&site).success(), "nothing changed\n");
}

#[test]
fn a_file_with_a_mistake_changes_nothing() {
    let site = Site::new();
    let _server = Server::start("up", &site, &[]);
    site.edit("public_topics = []", "public_topics = [\"open/#\"]");
    site.edit("token_lifetime_secs", "token_lifetime");
    let said = reload(&site).failure(2);
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(said.contains("unknown key `token_lifetime`"), "{said}");
    assert!(!is_public(&site, "open/a"));
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_changes() {
    let site = Site::new();
    let _server = Server::start("up", &site, &[]);
    site.edit(
        "public_topics = []",
        "public_topics = [\"open/#\"]\nshards = 2",
    );
    let ended = reload(&site);
    assert!(
        ended
            .stdout
            .contains("broker.shards: (not set) → 2 (needs a restart)\n"),
        "{ended:?}"
    );
    let said = ended.failure(7);
    assert!(
        said.contains("only a restart can change broker.shards"),
        "{said}"
    );
    assert!(!is_public(&site, "open/a"));
    site.edit("\nshards = 2", "");
    for (old, new, key) in [
        ("listen = \"127.0.0.1", "listen = \"127.0.0.2", "as.listen"),
        (
            "[[broker.listener]]\naddress = \"127.0.0.1",
            "[[broker.listener]]\naddress = \"127.0.0.2",
            "broker.listener[0].address",
        ),
        (
            "[broker.management]\naddress = \"127.0.0.1",
            "[broker.management]\naddress = \"127.0.0.2",
            "broker.management.address",
        ),
    ] {
        site.edit(old, new);
        let said = reload(&site).failure(7);
        assert!(said.contains(key), "{said}");
        site.edit(new, old);
    }
    reload(&site).success();
    assert!(is_public(&site, "open/a"));
}

#[test]
fn a_certificate_is_read_again_and_one_without_its_key_is_refused() {
    let (site, other) = (Site::new(), Site::new());
    site.edit("public_topics = []", "public_topics = [\"#\"]");
    let _server = Server::start("broker", &site, &[]);
    let others_ca = other.path().join("certificates/ca.pem");
    copy(&other, &site, &PAIR[..1]);
    let said = reload(&site).failure(2);
    assert!(said.contains("server.pem"), "{said}");
    assert!(is_public(&site, "a"));
    copy(&other, &site, PAIR);
    let said = reload(&site).success();
    assert!(
        said.contains("broker.key: the content of \"certificates/server.key\" changed"),
        "{said}"
    );
    assert!(!said.contains("as.key"), "{said}");
    publish(&site, &others_ca, "a").success();
    let ended = publish(&site, &site.path().join("certificates/ca.pem"), "a");
    assert_eq!(ended.code, 5, "{ended:?}");
}

#[test]
fn tokens_of_a_new_signing_key_count_at_once() {
    let (site, other) = (Site::new(), Site::new());
    site.run("client add meter --allow pubsub:rooms/#")
        .success();
    let _server = Server::start("up", &site, &[]);
    let profile = site.path().join("clients/meter.json");
    let publish = || {
        let words = ["pub", "-q", "1", "-t", "rooms/a", "-m", "x", "--profile"];
        let mut command = command();
        command.args(words).arg(&profile);
        Ended::from(command.output().unwrap())
    };
    // The broker may still be on its way to the first keys.
    until("a message is published", || publish().code == 0);
    copy(&other, &site, &["keys/signing.jwk"]);
    let said = reload(&site).success();
    assert!(
        said.contains("as.signing_key: the content of \"keys/signing.jwk\" changed"),
        "{said}"
    );
    publish().success();
    // A key with others' rights is refused, and the one before goes on signing.
    let file = site.path().join("keys/signing.jwk");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = reload(&site).failure(2);
    assert!(said.contains("chmod 600"), "{said}");
    publish().success();
}

#[test]
fn sighup_does_the_same_and_tells_the_log() {
    let site = Site::new();
    let log = site.beside("log");
    let server = Server::start_with(
        command()
            .arg("up")
            .arg(site.path())
            .stderr(std::fs::File::create(&log).unwrap()),
    );
    let logged = || std::fs::read_to_string(&log).unwrap();
    signal(&server, "HUP");
    until("a reload is logged", || {
        logged().contains("reload: nothing changed")
    });
    site.edit("public_topics = []", "public_topics = [\"open/#\"]");
    site.edit(
        "[profile]",
        "[log]\nlevel = \"debug\"\nformat = \"json\"\n\n[profile]",
    );
    signal(&server, "HUP");
    until("the change is logged", || {
        logged().contains("reload: broker.public_topics: [] → [")
    });
    assert!(is_public(&site, "open/a"));
    // Level and format hold from then on.
    until("a line in JSON at debug", || {
        // A connection without a CONNECT is worth no more than a word at debug.
        drop(TcpStream::connect(("127.0.0.1", port(&site))).unwrap());
        let text = logged();
        let mut lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.any(|line| line["level"] == "DEBUG")
    });
    site.edit("[broker]", "[brokr]");
    signal(&server, "HUP");
    until("the mistake is logged", || {
        logged().contains("unknown section or key `brokr`")
    });
    assert!(is_public(&site, "open/a"));
}

#[test]
fn the_control_socket_is_its_owners_alone_and_goes_with_its_server() {
    let site = Site::new();
    let socket = site.path().join("symbolon-up.sock");
    let mut server = Server::start("up", &site, &[]);
    assert_eq!(mode(&socket), 0o600);
    // Killed, it leaves the file behind; the next one takes its place.
    server.0.kill().unwrap();
    server.0.wait().unwrap();
    assert!(socket.exists());
    assert!(reload(&site).failure(5).contains("no server"));
    let server = Server::start("up", &site, &[]);
    reload(&site).success();
    signal(&server, "TERM");
    until("the socket is gone", || !socket.exists());
    let left: Vec<_> = std::fs::read_dir(site.path()).unwrap().collect();
    let left: Vec<_> = left
        .into_iter()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with(".symbolon")),
        "{left:?}"
    );
}

#[test]
fn two_servers_of_one_directory_are_both_told() {
    let site = Site::new();
    let _one = Server::start("as", &site, &[]);
    let _two = Server::start("broker", &site, &[]);
    site.edit("public_topics = []", "public_topics = [\"open/#\"]");
    site.edit("token_lifetime_secs = 3600", "token_lifetime_secs = 60");
    let said = reload(&site).success();
    assert!(
        said.contains("as.token_lifetime_secs: 3600 → 60\n"),
        "{said}"
    );
    assert!(
        said.contains("broker.public_topics: [] → [\"open/#\"]\n"),
        "{said}"
    );
    assert!(is_public(&site, "open/a"));
}

#[test]
fn the_socket_of_a_server_at_work_is_not_taken() {
    let site = Site::new();
    let _one = Server::start("broker", &site, &[]);
    let elsewhere = "broker.listener=[{address = \"127.0.0.1:0\"}]";
    let mut second = command();
    second
        .arg("broker")
        .arg(site.path())
        .args(["--set", elsewhere]);
    second.args(["--set", "broker.management.address=127.0.0.1:0"]);
    second.args(["--set", "broker.store.path=another-store"]);
    drop(Server::start_with(second.stderr(Stdio::null())));
    site.edit("public_topics = []", "public_topics = [\"open/#\"]");
    reload(&site).success();
    assert!(is_public(&site, "open/a"));
}

#[test]
fn nonsense_on_the_control_socket_hurts_nobody() {
    let site = Site::new();
    let _server = Server::start("up", &site, &[]);
    let ask = |request: &[u8]| {
        let mut stream = UnixStream::connect(site.path().join("symbolon-up.sock")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        // It may hang up with our bytes unread.
        drop(stream.read_to_string(&mut answer));
        answer
    };
    assert!(ask(b"{\"command\":\"stop\"}\n").contains("\"refused\""));
    assert!(ask(b"\xff\n").is_empty());
    assert!(!ask(&[b'x'; 5_000]).contains("unchanged"));
    assert_eq!(
        ask(b"{\"command\":\"reload\"}\n"),
        "{\"outcome\":\"unchanged\"}\n"
    );
    reload(&site).success();
}

#[test]
fn without_a_server_there_is_nobody_to_tell() {
    let site = Site::new();
    let said = reload(&site).failure(5);
    assert!(said.contains("no server"), "{said}");
}

#[test]
fn the_service_manager_is_told() {
    let site = Site::new();
    let path = site.beside("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let told = || {
        let mut message = [0; 1024];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let server = Server::start("up", &site, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(told(), "READY=1\n");
    signal(&server, "HUP");
    let reloading = told();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(told(), "READY=1\n");
    signal(&server, "TERM");
    assert_eq!(told(), "STOPPING=1\n");
}
