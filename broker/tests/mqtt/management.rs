//! The management listener: health, metrics, and requests that it refuses.

use crate::{
    authority::serve_https,
    peer::{Peer, Running, SOON, V5, connect, identifier},
};
use hyper::StatusCode;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use symbolon_ace_proto::{KeySet, SigningKey, jwt::SigningAlgorithm};
use symbolon_broker::{
    AuthorizationConfig, Broker, Config, Limits, ListenerConfig, ManagementConfig, StoreConfig,
    Transport,
};
use symbolon_mqtt_proto::{
    Delivery, Disconnect, Packet, Qos, ReasonCode, TopicFilter, connect::ConnectProperties,
};

pub(crate) fn config(authorization: Option<AuthorizationConfig>) -> Config {
    Config {
        listeners: vec![ListenerConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            transport: Transport::Tcp { insecure: false },
        }],
        shards: 2,
        authorization,
        public_topics: vec![TopicFilter::parse("public/#").unwrap()],
        response_information: None,
        private_topics: Vec::new(),
        hide_topics: false,
        limits: Limits::default(),
        management: Some(ManagementConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            insecure: false,
        }),
        sys_interval_secs: Config::SYS_INTERVAL_SECS,
        store: None,
    }
}

pub(crate) fn start(config: &Config) -> (Running, SocketAddr) {
    let broker = Broker::start(config).unwrap();
    let management = broker.management_addr().unwrap();
    let address = broker.local_addrs()[0];
    let broker = Some(broker);
    (Running { broker, address }, management)
}

/// Sends a request as it stands; all that comes back.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

/// `GET path` says the line `expected` within the limit.
fn await_line(address: SocketAddr, path: &str, expected: &str) {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = get(address, path);
        if answer.lines().any(|line| line == expected) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{expected} is missing in {answer}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn await_metric(address: SocketAddr, line: &str) {
    await_line(address, "/metrics", &format!("symbolon_broker_{line}"));
}

/// An authorization server's key set over HTTPS, refused with 503 until `open`.
fn serve_keys(open: Arc<AtomicBool>) -> AuthorizationConfig {
    let signing_key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let keys = KeySet::from_keys(vec![signing_key.to_public_jwk()]).to_json();
    let served = serve_https(move |_, _, _| {
        let status = if open.load(Ordering::Relaxed) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        (status, keys.clone())
    });
    served.authorization()
}

#[test]
fn a_broker_is_ready_once_it_has_the_keys_of_its_authorization_server() {
    let open = Arc::new(AtomicBool::new(false));
    let (_running, management) = start(&config(Some(serve_keys(Arc::clone(&open)))));
    await_metric(management, "key_fetches_total{outcome=\"failure\"} 1");
    let answer = get(management, "/health/ready");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("keys have not been fetched"), "{answer}");
    assert!(get(management, "/health/live").starts_with("HTTP/1.1 200 "));
    open.store(true, Ordering::Relaxed);
    await_line(management, "/health/ready", "ready");
    assert!(get(management, "/health/ready").starts_with("HTTP/1.1 200 "));
    await_metric(management, "key_fetches_total{outcome=\"success\"} 1");
}

#[test]
fn with_another_authorization_server_a_broker_is_ready_once_it_has_its_keys() {
    let mut config = config(None);
    let (running, management) = start(&config);
    await_line(management, "/health/ready", "ready");
    let broker = running.broker.as_ref().unwrap();
    let is_ready = || get(management, "/health/ready").starts_with("HTTP/1.1 200 ");
    // None, then one, then another: each time the keys count only once they were fetched there.
    for fetched in 1..=2 {
        let open = Arc::new(AtomicBool::new(false));
        config.authorization = Some(serve_keys(Arc::clone(&open)));
        broker.reload(&config).unwrap();
        assert!(!is_ready());
        open.store(true, Ordering::Relaxed);
        await_line(management, "/health/ready", "ready");
        let line = format!("key_fetches_total{{outcome=\"success\"}} {fetched}");
        await_metric(management, &line);
    }
    // The same place: what was fetched still counts, and is fetched anew when somebody knows better.
    config.authorization.as_mut().unwrap().servers[0].audience = "mqtts://other".into();
    broker.reload(&config).unwrap();
    assert!(is_ready());
    broker.reloader().fetch_keys_anew();
    await_metric(management, "key_fetches_total{outcome=\"success\"} 3");
    assert!(is_ready());
    config.authorization = None;
    broker.reload(&config).unwrap();
    assert!(is_ready());
}

#[test]
fn without_an_authorization_server_a_broker_is_ready_at_once() {
    let (_running, management) = start(&config(None));
    await_line(management, "/health/ready", "ready");
}

#[test]
fn metrics_follow_what_clients_do() {
    let (running, management) = start(&config(None));
    await_metric(management, "clients 0");
    let mut subscriber = running.connect(V5, "subscriber");
    let filters = [("public/#", Qos::AtLeastOnce), ("secret", Qos::AtMostOnce)];
    assert_eq!(
        subscriber.subscribe(&filters),
        [ReasonCode::GrantedQos1, ReasonCode::NotAuthorized]
    );
    let mut publisher = running.connect(V5, "publisher");
    publisher.publish_with("public/a", b"x", Delivery::AtMostOnce, true);
    publisher.publish("public/a", b"y", Delivery::AtLeastOnce(identifier(1)));
    publisher.publish("secret", b"z", Delivery::AtLeastOnce(identifier(2)));
    subscriber.message();
    subscriber.message();
    for line in [
        "connections 2",
        "clients 2",
        "handshakes 0",
        "subscriptions 1",
        "retained_messages 1",
        "messages_received_total{qos=\"0\"} 1",
        "messages_received_total{qos=\"1\"} 2",
        "messages_sent_total{qos=\"0\"} 1",
        "messages_sent_total{qos=\"1\"} 1",
        "publishes_refused_total{reason_code=\"0x87\"} 1",
        "subscriptions_refused_total{reason_code=\"0x87\"} 1",
        "messages_dropped_total{reason=\"queue_full\"} 0",
        "token_expiries_total 0",
        "reauthentications_total{outcome=\"failure\"} 0",
    ] {
        await_metric(management, line);
    }
    let answer = get(management, "/metrics");
    for bytes in ["received_bytes_total ", "sent_bytes_total "] {
        let name = format!("symbolon_broker_{bytes}");
        let value = answer.lines().find_map(|line| line.strip_prefix(&name));
        assert!(value.unwrap().parse::<u64>().unwrap() > 50, "{answer}");
    }
    publisher.send(&Packet::Disconnect(Disconnect::new(
        ReasonCode::Success,
        None,
    )));
    publisher.end();
    drop(subscriber);
    for line in [
        "disconnects_total{by=\"client\",reason_code=\"0x00\"} 1",
        "disconnects_total{by=\"network\"} 1",
        "clients 0",
        "subscriptions 0",
        "connections 0",
    ] {
        await_metric(management, line);
    }
}

#[test]
fn metrics_follow_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = StoreConfig::at(directory.path().join("store"));
    store.max_bytes = StoreConfig::MAX_BYTES_AT_LEAST;
    let (running, management) = start(&Config {
        store: Some(store),
        ..config(None)
    });
    let number = |name: &str| {
        let answer = get(management, "/metrics");
        let name = format!("symbolon_broker_{name} ");
        let value = answer.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap().parse::<u64>().unwrap()
    };
    let before = ["store_commits_total", "store_entries_total"].map(number);
    let mut publisher = running.connect(V5, "publisher");
    for count in 1..=5_u16 {
        let topic = format!("public/{count}");
        let delivery = Delivery::AtLeastOnce(identifier(count));
        publisher.publish_with(&topic, &[0; 4_096], delivery, true);
        publisher.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
    }
    // Each was acknowledged, and so was written by itself.
    assert!(number("store_commits_total") >= before[0] + 5);
    assert!(number("store_entries_total") >= before[1] + 5);
    assert!(number("store_used_bytes") > 5 * 4_096);
    let limit = StoreConfig::MAX_BYTES_AT_LEAST;
    for line in [
        &format!("store_max_bytes {limit}")[..],
        "store_full 0",
        "store_unwritten_entries 0",
        "store_failed_commits_total 0",
        "held_answers 0",
    ] {
        await_metric(management, line);
    }
}

#[test]
fn connections_that_bring_no_client_are_counted_by_reason() {
    let (running, management) = start(&config(None));
    let mut malformed = Peer::open(running.address, V5);
    malformed.send_bytes(&[0xFF; 16]);
    malformed.end();
    let mut not_connect = Peer::open(running.address, V5);
    not_connect.send(&Packet::PingReq);
    not_connect.end();
    drop(Peer::open(running.address, V5));
    let mut refused = Peer::open(running.address, V5);
    let mut strange = connect(V5, "strange");
    strange.properties = ConnectProperties {
        authentication_method: Some("other"),
        ..ConnectProperties::default()
    };
    refused.send(&Packet::Connect(Box::new(strange)));
    assert_eq!(
        refused.connack().reason_code,
        ReasonCode::BadAuthenticationMethod
    );
    for line in [
        "connections_refused_total{reason=\"malformed\"} 1",
        "connections_refused_total{reason=\"not_connect\"} 1",
        "connections_refused_total{reason=\"closed\"} 1",
        "connections_refused_total{reason=\"refused\",reason_code=\"0x8C\"} 1",
    ] {
        await_metric(management, line);
    }
}

#[test]
fn connections_beyond_the_limit_and_the_time_for_connect_are_counted() {
    let mut config = config(None);
    config.limits.connections = 1;
    config.limits.connect_timeout = Duration::from_secs(3);
    let (running, management) = start(&config);
    let mut silent = Peer::open(running.address, V5);
    await_metric(management, "connections 1");
    let mut beyond = Peer::open(running.address, V5);
    beyond.end();
    silent.end();
    for line in [
        "connections_refused_total{reason=\"limit\"} 1",
        "connections_refused_total{reason=\"connect_timeout\"} 1",
        "connections 0",
    ] {
        await_metric(management, line);
    }
}

#[test]
fn a_dropped_message_is_counted_with_its_reason() {
    let mut config = config(None);
    config.limits.queued_messages = 1;
    let (running, management) = start(&config);
    let mut slow = Peer::open(running.address, V5);
    let mut hello = connect(V5, "slow");
    hello.properties.receive_maximum = identifier(1).into();
    hello.properties.maximum_packet_size = std::num::NonZeroU32::new(100);
    slow.send(&Packet::Connect(Box::new(hello)));
    slow.connack();
    slow.subscribe(&[("public/#", Qos::AtLeastOnce)]);
    let mut publisher = running.connect(V5, "publisher");
    for number in 1..=3 {
        let delivery = Delivery::AtLeastOnce(identifier(number));
        publisher.publish("public/a", b"x", delivery);
    }
    publisher.publish("public/a", &[0; 200], Delivery::AtMostOnce);
    for reason in ["queue_full", "packet_too_large"] {
        let line = format!("messages_dropped_total{{reason=\"{reason}\"}} 1");
        await_metric(management, &line);
    }
}

#[test]
fn bad_requests_are_refused() {
    let (_running, management) = start(&config(None));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        ("DELETE /health/live HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        (
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
            "405",
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
            "413",
        ),
        ("no request\r\n\r\n", "400"),
    ] {
        let answer = ask(management, request);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request}: {answer}");
    }
    let lines = "X: y\r\n".repeat(100);
    let answer = ask(management, &format!("GET /metrics HTTP/1.1\r\n{lines}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let long = "x".repeat(7_000);
    let answer = ask(management, &format!("GET /{long} HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[test]
fn silent_connections_are_cut_and_others_served_then() {
    let (_running, management) = start(&config(None));
    let silent: Vec<_> = (0..8)
        .map(|_| TcpStream::connect(management).unwrap())
        .collect();
    let began = Instant::now();
    assert!(get(management, "/health/live").starts_with("HTTP/1.1 200 "));
    assert!(began.elapsed() > Duration::from_secs(1));
    drop(silent);
}

#[test]
fn outside_loopback_it_needs_a_word_of_the_operator() {
    let mut config = config(None);
    let address = "0.0.0.0:0".parse().unwrap();
    let insecure = false;
    config.management = Some(ManagementConfig { address, insecure });
    let error = Broker::start(&config).unwrap_err();
    assert!(error.to_string().contains("insecure = true"), "{error}");
    let insecure = true;
    config.management = Some(ManagementConfig { address, insecure });
    let (_running, management) = start(&config);
    let local = SocketAddr::from(([127, 0, 0, 1], management.port()));
    assert!(get(local, "/health/live").starts_with("HTTP/1.1 200 "));
}

#[test]
fn every_metric_is_described() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig::at(directory.path().join("store"));
    let (_running, management) = start(&Config {
        store: Some(store),
        ..config(None)
    });
    let answer = get(management, "/metrics");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"));
    let text = text.unwrap();
    let mut metrics = 0;
    for line in answer.lines().filter(|line| line.starts_with("# TYPE ")) {
        let mut words = line.split(' ').skip(2);
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let suffix = if kind == "counter" { "_total" } else { "" };
        assert!(text.contains(&format!("`{name}{suffix}`")), "{name}");
        metrics += 1;
    }
    assert_eq!(metrics, 35, "{answer}");
}
