//! Connections come and go: Wills, takeover, keep alive, shutdown, what CONNACK says.

use super::peer::{Peer, Running, SOON, V5, V311, connect};
use std::{num::NonZeroU16, time::Duration};
use symbolon_broker::Limits;
use symbolon_mqtt_proto::{
    Disconnect, Packet, ProtocolVersion, PublishProperties, Qos, ReasonCode, TopicName, Will,
};

fn with_will(running: &Running, version: ProtocolVersion, name: &str) -> Peer {
    let mut peer = Peer::open(running.address, version);
    let mut hello = connect(version, name);
    hello.will = Some(Will {
        topic: TopicName::parse("will").unwrap(),
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: false,
        delay_interval_secs: 0,
        properties: PublishProperties::default(),
    });
    peer.send(&Packet::Connect(Box::new(hello)));
    peer.connack();
    peer
}

// [MQTT-3.1.2-8], [MQTT-3.14.4-3].
#[test]
fn a_will_is_published_when_the_client_is_lost_and_not_when_it_says_goodbye() {
    let running = Running::new(2);
    let mut watcher = running.connect(V5, "w");
    watcher.subscribe(&[("will", Qos::AtLeastOnce)]);
    drop(with_will(&running, V311, "lost"));
    assert_eq!(watcher.message().1, b"gone");
    let mut polite = with_will(&running, V5, "polite");
    polite.send(&Packet::Disconnect(Disconnect::new(
        ReasonCode::Success,
        None,
    )));
    assert_eq!(polite.end(), None);
    watcher.expect_nothing();
    let mut asking = with_will(&running, V5, "asking");
    asking.send(&Packet::Disconnect(Disconnect::new(
        ReasonCode::DisconnectWithWillMessage,
        None,
    )));
    assert_eq!(watcher.message().1, b"gone");
    let mut rude = with_will(&running, V5, "rude");
    rude.send_bytes(&[0xf5, 0]);
    assert_eq!(rude.end(), Some(ReasonCode::MalformedPacket));
    assert_eq!(watcher.message().1, b"gone");
}

// [MQTT-3.1.4-3].
#[test]
fn a_second_connection_takes_the_session_over() {
    let running = Running::new(3);
    for version in [V5, V311] {
        let mut first = running.connect(version, "same");
        let mut second = running.connect(version, "same");
        assert_eq!(
            first.end(),
            (version == V5).then_some(ReasonCode::SessionTakenOver)
        );
        second.ping();
    }
}

// [MQTT-3.1.2-22].
#[test]
fn a_silent_client_is_cut_after_one_and_a_half_keep_alive_intervals() {
    let running = Running::new(1);
    let mut peer = Peer::open(running.address, V5);
    let mut hello = connect(V5, "silent");
    hello.keep_alive_secs = 1;
    peer.send(&Packet::Connect(Box::new(hello)));
    peer.connack();
    std::thread::sleep(Duration::from_millis(900));
    peer.ping();
    let since = std::time::Instant::now();
    assert_eq!(peer.end(), Some(ReasonCode::KeepAliveTimeout));
    assert!(
        since.elapsed() >= Duration::from_millis(1_400),
        "cut too early, after {:?}",
        since.elapsed()
    );
}

#[test]
fn the_limit_of_connections_holds_and_frees() {
    let running = Running::with(
        2,
        Limits {
            connections: 2,
            ..Limits::default()
        },
    );
    let one = running.connect(V5, "one");
    let mut two = running.connect(V5, "two");
    let mut three = Peer::open(running.address, V5);
    assert_eq!(three.end(), None);
    drop(one);
    two.ping();
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let mut again = Peer::open(running.address, V5);
        again.send(&Packet::Connect(Box::new(connect(V5, "again"))));
        let admitted = again.next(|packet| packet.is_some());
        if admitted {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the place never became free"
        );
    }
}

#[test]
fn connack_says_what_the_broker_grants_where_it_is_not_what_was_asked_for() {
    let running = Running::with(
        1,
        Limits {
            keep_alive_secs: 30,
            receive_maximum: 9,
            session_expiry_secs: 60,
            ..Limits::default()
        },
    );
    let mut peer = Peer::open(running.address, V5);
    let mut hello = connect(V5, "");
    hello.properties.session_expiry_interval_secs = Some(3_600);
    peer.send(&Packet::Connect(Box::new(hello)));
    let connack = peer.connack();
    assert_eq!(connack.properties.session_expiry_interval_secs, Some(60));
    assert_eq!(connack.properties.server_keep_alive_secs, Some(30));
    assert_eq!(connack.properties.receive_maximum, NonZeroU16::new(9));
    assert!(!connack.session_present);
}

#[test]
fn a_clean_shutdown_says_goodbye() {
    let mut running = Running::new(2);
    let mut five = running.connect(V5, "five");
    let mut old = running.connect(V311, "old");
    assert!(
        running
            .broker
            .take()
            .unwrap()
            .shutdown(Duration::from_secs(10))
    );
    assert_eq!(five.end(), Some(ReasonCode::ServerShuttingDown));
    assert_eq!(old.end(), None);
}
