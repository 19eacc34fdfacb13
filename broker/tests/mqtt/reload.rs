//! Another configuration while clients are connected.

use super::peer::{Peer, SOON, V5, connect, identifier};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};
use symbolon_broker::{Broker, Config, Limits, ListenerConfig, ReloadError, Transport};
use symbolon_mqtt_proto::{Delivery, Packet, Qos, ReasonCode, TopicFilter};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};

fn config(public: &[&str], limits: Limits) -> Config {
    Config {
        listeners: vec![ListenerConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            transport: Transport::Tcp { insecure: false },
        }],
        shards: 3,
        authorization: None,
        public_topics: public
            .iter()
            .map(|filter| TopicFilter::parse(filter).unwrap())
            .collect(),
        response_information: None,
        private_topics: Vec::new(),
        hide_topics: false,
        limits,
        management: None,
        sys_interval_secs: Config::SYS_INTERVAL_SECS,
        store: None,
    }
}

fn start(config: &Config) -> (Broker, SocketAddr) {
    let broker = Broker::start(config).unwrap();
    let address = broker.local_addrs()[0];
    (broker, address)
}

fn join(address: SocketAddr, name: &str) -> Peer {
    let mut peer = Peer::open(address, V5);
    peer.send(&Packet::Connect(Box::new(connect(V5, name))));
    assert_eq!(peer.connack().reason_code, ReasonCode::Success);
    peer
}

fn puback(peer: &mut Peer) -> ReasonCode {
    peer.next(|packet| match packet {
        Some(Packet::PubAck(ack)) => ack.reason_code,
        other => panic!("PUBACK expected, {other:?} came"),
    })
}

#[test]
fn subscriptions_to_topics_that_are_public_no_more_end_in_every_shard() {
    let mut config = config(&["open/#", "news/#"], Limits::default());
    let (broker, address) = start(&config);
    // Enough that each of the three shards has some.
    let mut readers: Vec<Peer> = (0..12)
        .map(|number| join(address, &format!("reader-{number}")))
        .collect();
    for reader in &mut readers {
        let granted = reader.subscribe(&[("open/a", Qos::AtMostOnce), ("news/+", Qos::AtMostOnce)]);
        assert_eq!(granted, [ReasonCode::Success; 2]);
    }
    let mut publisher = join(address, "publisher");
    publisher.publish("open/a", b"1", Delivery::AtLeastOnce(identifier(1)));
    assert_eq!(puback(&mut publisher), ReasonCode::Success);
    for reader in &mut readers {
        assert_eq!(reader.message().1, b"1");
    }

    config.public_topics.remove(0);
    broker.reload(&config).unwrap();
    // Judged anew, though it is the topic of its last PUBLISH.
    publisher.publish("open/a", b"2", Delivery::AtLeastOnce(identifier(2)));
    assert_eq!(puback(&mut publisher), ReasonCode::NotAuthorized);
    publisher.publish("news/b", b"3", Delivery::AtLeastOnce(identifier(3)));
    assert_eq!(puback(&mut publisher), ReasonCode::Success);
    for reader in &mut readers {
        assert_eq!(reader.message().0, "news/b");
        let refused = reader.subscribe(&[("open/a", Qos::AtMostOnce)]);
        assert_eq!(refused, [ReasonCode::NotAuthorized]);
    }

    // Public again: the subscription that ended does not come back by itself.
    config.public_topics = vec![TopicFilter::parse("#").unwrap()];
    broker.reload(&config).unwrap();
    publisher.publish("open/a", b"4", Delivery::AtLeastOnce(identifier(4)));
    assert_eq!(puback(&mut publisher), ReasonCode::NoMatchingSubscribers);
    for reader in &mut readers {
        assert_eq!(
            reader.subscribe(&[("open/a", Qos::AtMostOnce)]),
            [ReasonCode::Success]
        );
    }
    assert!(broker.shutdown(SOON));
}

#[test]
fn topics_become_private_while_clients_are_connected() {
    let mut config = config(&["#"], Limits::default());
    let (broker, address) = start(&config);
    let mut reader = join(address, "reader");
    let filters = [("#", Qos::AtMostOnce), ("plans/a", Qos::AtMostOnce)];
    assert_eq!(reader.subscribe(&filters), [ReasonCode::Success; 2]);
    let mut publisher = join(address, "publisher");
    publisher.publish_with("plans/a", b"1", Delivery::AtLeastOnce(identifier(1)), true);
    assert_eq!(puback(&mut publisher), ReasonCode::Success);
    assert_eq!(reader.message().1, b"1");

    config.private_topics = vec![TopicFilter::parse("plans/#").unwrap()];
    config.hide_topics = true;
    broker.reload(&config).unwrap();
    publisher.publish("plans/a", b"2", Delivery::AtLeastOnce(identifier(2)));
    assert_eq!(puback(&mut publisher), ReasonCode::UnspecifiedError);
    let refused = reader.subscribe(&[("plans/a", Qos::AtMostOnce)]);
    assert_eq!(refused, [ReasonCode::UnspecifiedError]);
    // Not the retained message either.
    let granted = reader.subscribe(&[("#", Qos::AtMostOnce)]);
    assert_eq!(granted, [ReasonCode::Success]);
    publisher.publish("end", b"3", Delivery::AtLeastOnce(identifier(3)));
    assert_eq!(puback(&mut publisher), ReasonCode::Success);
    assert_eq!(reader.message().0, "end");
    assert!(broker.shutdown(SOON));
}

#[test]
fn without_public_topics_nobody_comes_in_without_a_token_and_who_is_in_stays() {
    let mut config = config(&["#"], Limits::default());
    let (broker, address) = start(&config);
    let mut inside = join(address, "inside");
    config.public_topics.clear();
    broker.reload(&config).unwrap();
    let mut outside = Peer::open(address, V5);
    outside.send(&Packet::Connect(Box::new(connect(V5, "outside"))));
    assert_eq!(outside.connack().reason_code, ReasonCode::NotAuthorized);
    inside.ping();
    assert!(broker.shutdown(SOON));
}

#[test]
fn a_lowered_limit_disconnects_nobody_and_holds_from_then_on() {
    let mut config = config(&["#"], Limits::default());
    let (broker, address) = start(&config);
    let mut early = join(address, "early");
    early.subscribe(&[("a", Qos::AtMostOnce), ("b", Qos::AtMostOnce)]);
    for number in 1..=3 {
        early.publish("t", b"x", Delivery::ExactlyOnce(identifier(number)));
        early.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
    }

    config.limits = Limits {
        connections: 2,
        subscriptions_per_client: 1,
        receive_maximum: 2,
        topic_levels: 2,
        keep_alive_secs: 30,
        packet_size: 1_000,
        ..config.limits
    };
    broker.reload(&config).unwrap();
    // What CONNACK promised stays so: packets of 1 MiB, and more than two in flight.
    early.publish("t", &[7; 5_000], Delivery::ExactlyOnce(identifier(4)));
    early.next(|packet| assert!(matches!(packet, Some(Packet::PubRec(_)))));
    assert_eq!(
        early.subscribe(&[("c", Qos::AtMostOnce)]),
        [ReasonCode::QuotaExceeded]
    );
    early.publish("one/two/three", b"x", Delivery::AtLeastOnce(identifier(5)));
    assert_eq!(puback(&mut early), ReasonCode::TopicNameInvalid);

    let mut late = Peer::open(address, V5);
    late.send(&Packet::Connect(Box::new(connect(V5, "late"))));
    let told = late.connack().properties;
    assert_eq!(told.receive_maximum, Some(identifier(2)));
    assert_eq!(told.server_keep_alive_secs, Some(30));
    assert_eq!(Peer::open(address, V5).end(), None, "a third connection");
    for number in 1..=3 {
        late.publish("t", b"x", Delivery::ExactlyOnce(identifier(number)));
    }
    assert_eq!(late.end(), Some(ReasonCode::ReceiveMaximumExceeded));
    early.ping();
    assert!(broker.shutdown(SOON));
}

#[test]
fn more_or_fewer_handshakes_at_once_are_let_in() {
    let mut config = config(
        &["#"],
        Limits {
            handshakes: 1,
            connect_timeout: Duration::from_mins(1),
            ..Limits::default()
        },
    );
    config.shards = 1;
    let (broker, address) = start(&config);
    config.limits.handshakes = 3;
    broker.reload(&config).unwrap();
    // The one that was being waited for is let in by the old limit, and the new one noticed.
    drop(join(address, "first"));
    let _silent = [Peer::open(address, V5), Peer::open(address, V5)];
    let mut third = join(address, "third");
    third.ping();
    assert!(broker.shutdown(SOON));
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_else_changes() {
    let held = config(&["#"], Limits::default());
    let (broker, address) = start(&held);
    let mut other = config(&["other"], Limits::default());
    other.shards = 2;
    other.listeners[0].address = "127.0.0.2:0".parse().unwrap();
    assert_eq!(
        broker.reload(&other),
        Err(ReloadError::NeedsRestart(vec!["listeners", "shards"]))
    );
    let mut contradiction = config(&["other"], Limits::default());
    contradiction.limits.receive_maximum = 0;
    let refused = broker.reload(&contradiction);
    assert!(
        matches!(refused, Err(ReloadError::Config(_))),
        "{refused:?}"
    );
    let mut peer = join(address, "peer");
    assert_eq!(
        peer.subscribe(&[("all/#", Qos::AtMostOnce)]),
        [ReasonCode::Success]
    );
    // The same again changes nothing.
    broker.reload(&held).unwrap();
    peer.publish("all/x", b"x", Delivery::AtMostOnce);
    assert_eq!(peer.message().0, "all/x");
    assert!(broker.shutdown(SOON));
}

#[test]
fn a_broker_that_has_ended_can_be_told_anything() {
    let config = config(&["#"], Limits::default());
    let (broker, _) = start(&config);
    let reloader = broker.reloader();
    assert!(broker.shutdown(SOON));
    let before = Instant::now();
    reloader.reload(&config).unwrap();
    assert!(before.elapsed() < Duration::from_secs(1));
}

struct Identity {
    certificate: CertificateDer<'static>,
    transport: Transport,
}

fn identity() -> Identity {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Identity {
        certificate: certified.cert.der().clone(),
        transport: Transport::Tls {
            certificate_chain_pem: certified.cert.pem(),
            private_key_pem: certified.signing_key.serialize_pem(),
        },
    }
}

type TlsPeer = StreamOwned<ClientConnection, TcpStream>;

/// Connects over TLS and MQTT, if the broker presents this certificate.
fn join_tls(address: SocketAddr, expected: &CertificateDer<'static>) -> std::io::Result<TlsPeer> {
    let mut roots = RootCertStore::empty();
    roots.add(expected.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut peer = StreamOwned::new(session, stream);
    let mut bytes = Vec::new();
    Packet::Connect(Box::new(connect(V5, "")))
        .encode(V5, &mut bytes)
        .unwrap();
    peer.write_all(&bytes)?;
    let mut first = [0; 1024];
    let count = peer.read(&mut first)?;
    assert_eq!(first[0], 0x20, "CONNACK expected in {count} bytes");
    Ok(peer)
}

fn ping(peer: &mut TlsPeer) {
    peer.write_all(&[0xc0, 0]).unwrap();
    let mut answer = [0; 2];
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0xd0, 0]);
}

#[test]
fn a_new_certificate_is_for_new_connections_and_old_ones_go_on() {
    let (old, new) = (identity(), identity());
    let mut config = config(&["#"], Limits::default());
    config.listeners[0].transport = old.transport;
    let (broker, address) = start(&config);
    let mut early = join_tls(address, &old.certificate).unwrap();
    config.listeners[0].transport = new.transport;
    broker.reload(&config).unwrap();
    let mut late = join_tls(address, &new.certificate).unwrap();
    assert!(join_tls(address, &old.certificate).is_err());
    ping(&mut early);
    ping(&mut late);
    assert!(broker.shutdown(SOON));
}

#[test]
fn a_key_that_does_not_fit_is_refused_and_then_nothing_changes() {
    let (one, two, other) = (identity(), identity(), identity());
    let mut config = config(&["#"], Limits::default());
    config.listeners[0].transport = one.transport;
    config.listeners.push(ListenerConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        transport: two.transport.clone(),
    });
    let (broker, address) = start(&config);
    // The first pair is good, the second is not: neither is taken over, nor are the public topics.
    let Transport::Tls {
        certificate_chain_pem,
        ..
    } = identity().transport
    else {
        unreachable!("an identity is for TLS")
    };
    let Transport::Tls {
        private_key_pem, ..
    } = two.transport
    else {
        unreachable!("an identity is for TLS")
    };
    config.listeners[0].transport = other.transport;
    config.listeners[1].transport = Transport::Tls {
        certificate_chain_pem,
        private_key_pem,
    };
    config.public_topics.clear();
    let refused = broker.reload(&config);
    assert!(
        matches!(refused, Err(ReloadError::Config(_))),
        "{refused:?}"
    );
    ping(&mut join_tls(address, &one.certificate).unwrap());
    assert!(join_tls(address, &other.certificate).is_err());
    assert!(broker.shutdown(SOON));
}
