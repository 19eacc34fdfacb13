//! The management listener that `symbolon init` configures.

use crate::program::{Server, Site};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

fn get(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn health_and_metrics_are_where_init_said() {
    let site = Site::new();
    let url = site.made["management"].as_str().unwrap();
    let _server = Server::start("up", &site, &[]);
    assert!(get(url, "/health/live").starts_with("HTTP/1.1 200 "));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !get(url, "/health/ready").starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < deadline, "{}", get(url, "/health/ready"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(get(url, "/metrics").contains("symbolon_broker_connections 0"));
}

#[test]
fn outside_loopback_it_needs_a_word_of_the_operator() {
    let site = Site::new();
    let path = site.path().join("symbolon.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let address = site.made["management"].as_str().unwrap();
    let address = address.strip_prefix("http://").unwrap();
    let line = format!("address = \"{address}\"");
    assert!(text.contains(&line), "{text}");
    let open = text.replace(&line, "address = \"0.0.0.0:9880\"");
    std::fs::write(&path, &open).unwrap();
    let said = site.check().failure(2);
    assert!(said.contains("insecure = true"), "{said}");
    let meant = "address = \"0.0.0.0:9880\"\ninsecure = true";
    let meant = open.replace("address = \"0.0.0.0:9880\"", meant);
    std::fs::write(&path, meant).unwrap();
    site.check().success();
}

#[test]
fn a_configuration_without_it_still_works() {
    let site = Site::new();
    let path = site.path().join("symbolon.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, section) = text.split_once("[broker.management]\n").unwrap();
    let (_address, after) = section.split_once('\n').unwrap();
    std::fs::write(&path, format!("{before}{after}")).unwrap();
    site.check().success();
    let _server = Server::start("up", &site, &[]);
    let address = site.made["management"].as_str().unwrap();
    let address = address.strip_prefix("http://").unwrap();
    assert!(TcpStream::connect(address).is_err());
}
