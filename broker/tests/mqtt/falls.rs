//! A shard panics, in the middle of its work and with all of it done that nobody has seen: its clients are disconnected, another shard goes on
//! in its place, and what was acknowledged is not lost.

use super::{
    management::{await_metric, get},
    peer::{Peer, Running, SOON, V5, connect, identifier, publish},
    resumption::lasting,
};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use symbolon_broker::{Config, Limits, ManagementConfig, StoreConfig};
use symbolon_mqtt_proto::{Ack, Delivery, Packet, Publish, Qos, ReasonCode};

const SHARDS: usize = 3;
const PUBLISHERS: usize = 2;
const READERS: usize = 4;
const MESSAGES: usize = 400;
/// How long a packet may take before a client looks whether all is over.
const GLANCE: Duration = Duration::from_millis(100);

fn config(store: Option<StoreConfig>) -> Config {
    let management = ManagementConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        insecure: false,
    };
    Config {
        management: Some(management),
        ..Running::config(SHARDS, Limits::default(), store)
    }
}

fn management(running: &Running) -> SocketAddr {
    running.broker.as_ref().unwrap().management_addr().unwrap()
}

fn await_ready(running: &Running) {
    let deadline = Instant::now() + SOON;
    while !get(management(running), "/health/ready").starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < deadline, "a shard does not come back");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until this shard has fallen and everything is as before, `count` times in all.
fn fall(running: &Running, shard: usize, count: usize) {
    await_ready(running);
    running.broker.as_ref().unwrap().let_shard_fall(shard);
    let expected = format!("shard_restarts_total {count}");
    await_metric(management(running), &expected);
    await_ready(running);
}

/// A client that comes back until it is let in, with its session.
fn come(address: SocketAddr, name: &str) -> Peer {
    let deadline = Instant::now() + SOON;
    loop {
        let mut peer = Peer::open(address, V5);
        let mut wanted = lasting(V5, name);
        wanted.clean_start = false;
        if peer.try_send(&Packet::Connect(Box::new(wanted))) {
            let connack = peer.try_next(SOON, |packet| {
                matches!(packet, Some(Packet::ConnAck(connack)) if connack.reason_code == ReasonCode::Success)
            });
            if connack == Some(true) {
                return peer;
            }
        }
        assert!(Instant::now() < deadline, "{name} is not let in");
    }
}

/// Publishes one message after another, each until it is acknowledged.
struct Publisher {
    address: SocketAddr,
    name: String,
    peer: Peer,
}

impl Publisher {
    fn run(mut self, qos: Qos) -> usize {
        let mut lost = 0;
        for number in 0..MESSAGES {
            let id = identifier(u16::try_from(number + 1).unwrap());
            let payload = format!("{} {number}", self.name);
            let delivery = match qos {
                Qos::ExactlyOnce => Delivery::ExactlyOnce(id),
                Qos::AtLeastOnce | Qos::AtMostOnce => Delivery::AtLeastOnce(id),
            };
            let mut message = publish("load", payload.as_bytes(), delivery, false);
            while !self.exchange(&Packet::Publish(message)) {
                lost += 1;
                message = Publish {
                    duplicate: true,
                    ..message
                };
            }
            if qos == Qos::ExactlyOnce {
                let release = Packet::PubRel(Ack::new(id, ReasonCode::Success));
                while !self.exchange(&release) {
                    lost += 1;
                }
            }
        }
        lost
    }

    /// Whether an answer came; else it has come back.
    fn exchange(&mut self, packet: &Packet<'_>) -> bool {
        let answered = self.peer.try_send(packet)
            && self.peer.try_next(SOON, |answer| match answer {
                Some(Packet::PubAck(ack) | Packet::PubRec(ack)) => {
                    assert!(!ack.reason_code.is_failure(), "{ack:?}");
                    true
                }
                Some(Packet::PubComp(_)) => true,
                None => false,
                other => panic!("an acknowledgement was due, not {other:?}"),
            }) == Some(true);
        if !answered {
            self.peer = come(self.address, &self.name);
        }
        answered
    }
}

/// Takes what comes, keeps to the rules of its QoS over any number of connections, and says what it got.
struct Reader {
    address: SocketAddr,
    name: String,
    peer: Peer,
    /// `QoS` 2: received, and not released.
    unreleased: BTreeSet<u16>,
    got: Vec<String>,
}

impl Reader {
    fn run(mut self, is_over: &AtomicBool, expected: usize) -> Vec<String> {
        let mut distinct = BTreeSet::new();
        while !is_over.load(Ordering::Relaxed) || distinct.len() < expected {
            let step = self.peer.try_next(GLANCE, |packet| match packet {
                None => None,
                Some(Packet::Publish(publish)) => {
                    let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                    Some((Some(text), publish.delivery))
                }
                Some(Packet::PubRel(ack)) => {
                    Some((None, Delivery::ExactlyOnce(ack.packet_identifier)))
                }
                Some(other) => panic!("nobody asked for {other:?}"),
            });
            let is_there = match step {
                // Nothing came yet; where all is over, it never will.
                None if is_over.load(Ordering::Relaxed) => self.is_alive(),
                None => true,
                Some(None) => false,
                Some(Some((text, delivery))) => self.take(text, delivery),
            };
            if !is_there {
                self.peer = come(self.address, &self.name);
            }
            distinct.extend(self.got.last().cloned());
        }
        self.got
    }

    fn is_alive(&mut self) -> bool {
        static TRIES: AtomicUsize = AtomicUsize::new(0);
        let tries = TRIES.fetch_add(1, Ordering::Relaxed);
        assert!(tries < 1_000, "{} waits for messages for ever", self.name);
        true
    }

    fn take(&mut self, text: Option<String>, delivery: Delivery) -> bool {
        match (text, delivery) {
            (Some(text), Delivery::AtMostOnce) => {
                self.got.push(text);
                true
            }
            (Some(text), Delivery::AtLeastOnce(id)) => {
                self.got.push(text);
                self.peer
                    .try_send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)))
            }
            (Some(text), Delivery::ExactlyOnce(id)) => {
                if self.unreleased.insert(id.get()) {
                    self.got.push(text);
                }
                self.peer
                    .try_send(&Packet::PubRec(Ack::new(id, ReasonCode::Success)))
            }
            (None, Delivery::ExactlyOnce(id)) => {
                self.unreleased.remove(&id.get());
                self.peer
                    .try_send(&Packet::PubComp(Ack::new(id, ReasonCode::Success)))
            }
            (None, Delivery::AtMostOnce | Delivery::AtLeastOnce(_)) => true,
        }
    }
}

/// Every message that was acknowledged, in order; of those at QoS 2 none twice.
fn check(got: &[String], publisher: &str, is_exact: bool) {
    let its: Vec<usize> = (got.iter())
        .filter_map(|text| text.strip_prefix(publisher))
        .map(|number| number.trim().parse().unwrap())
        .collect();
    let all: Vec<usize> = (0..MESSAGES).collect();
    if is_exact {
        assert_eq!(its, all, "of {publisher}");
    } else {
        let mut once = its;
        once.sort_unstable();
        once.dedup();
        assert_eq!(once, all, "of {publisher}");
    }
}

fn load(qos: Qos) {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig::at(directory.path().join("store"));
    let running = Running::start(&config(Some(store)));
    let address = running.address;
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let name = format!("reader {number}");
            let mut peer = come(address, &name);
            peer.subscribe(&[("load", qos)]);
            let reader = Reader {
                address,
                name,
                peer,
                unreleased: BTreeSet::new(),
                got: Vec::new(),
            };
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || reader.run(&is_over, PUBLISHERS * MESSAGES))
        })
        .collect();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let name = format!("publisher-{number}");
            let peer = come(address, &name);
            let publisher = Publisher {
                address,
                name,
                peer,
            };
            thread::spawn(move || publisher.run(qos))
        })
        .collect();
    let mut falls = 0;
    while falls < 3 * SHARDS && publishers.iter().any(|one| !one.is_finished()) {
        let shard = falls % SHARDS;
        falls += 1;
        fall(&running, shard, falls);
    }
    assert!(falls > SHARDS, "all was published before the shards fell");
    let lost: usize = publishers.into_iter().map(|one| one.join().unwrap()).sum();
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        let got = reader.join().unwrap();
        for number in 0..PUBLISHERS {
            check(
                &got,
                &format!("publisher-{number}"),
                qos == Qos::ExactlyOnce,
            );
        }
    }
    println!("{falls} falls, {lost} answers lost with a connection");
}

// [MQTT-4.3.2-2], [MQTT-4.4.0-1]
#[test]
fn what_is_acknowledged_at_qos_1_is_not_lost_when_shards_fall() {
    load(Qos::AtLeastOnce);
}

// [MQTT-4.3.3-10], [MQTT-4.4.0-1]
#[test]
fn what_is_published_at_qos_2_comes_exactly_once_when_shards_fall() {
    load(Qos::ExactlyOnce);
}

#[test]
fn a_shard_that_falls_takes_its_own_clients_with_it_and_nobody_else() {
    let running = Running::start(&config(None));
    let names: Vec<String> = (0..24).map(|number| format!("idle {number}")).collect();
    let mut idle: Vec<Peer> = (names.iter())
        .map(|name| running.connect(V5, name))
        .collect();
    for (number, peer) in idle.iter_mut().enumerate() {
        let granted = peer.subscribe(&[(&format!("idle/{number}"), Qos::AtLeastOnce)]);
        assert_eq!(granted, [ReasonCode::GrantedQos1]);
    }
    let mut keeper = running.connect(V5, "keeper");
    keeper.publish_with(
        "kept",
        b"still here",
        Delivery::AtLeastOnce(identifier(1)),
        true,
    );
    keeper.next(|packet| assert!(matches!(packet, Some(Packet::PubAck(_)))));
    let mut left: Vec<(usize, Peer)> = idle.into_iter().enumerate().collect();
    for shard in 0..SHARDS {
        fall(&running, shard, shard + 1);
        let before = left.len();
        left.retain_mut(|(_, peer)| {
            peer.try_send(&Packet::PingReq)
                && peer.try_next(SOON, |packet| packet == Some(&Packet::PingResp)) == Some(true)
        });
        assert!(left.len() < before, "shard {shard} had no clients");
        assert!(
            shard + 1 == SHARDS || !left.is_empty(),
            "others were disconnected too"
        );
        // Whoever is left still gets what it subscribed to, from clients of every shard; and those that come get what is retained.
        for number in 0..6 {
            let mut newcomer = running.connect(V5, &format!("newcomer {shard} {number}"));
            newcomer.subscribe(&[("kept", Qos::AtLeastOnce)]);
            assert_eq!(newcomer.message().1, b"still here");
            for (place, peer) in &mut left {
                let topic = format!("idle/{place}");
                newcomer.publish(&topic, b"x", Delivery::AtLeastOnce(identifier(2)));
                let reason = newcomer.next(|packet| match packet {
                    Some(Packet::PubAck(ack)) => ack.reason_code,
                    other => panic!("PUBACK was due, not {other:?}"),
                });
                assert_eq!(reason, ReasonCode::Success, "shards forgot {topic}");
                assert_eq!(peer.message().0, topic);
            }
        }
    }
    // What those wanted who are gone is forgotten everywhere.
    let mut newcomer = running.connect(V5, "the last");
    newcomer.publish("idle/0", b"x", Delivery::AtLeastOnce(identifier(2)));
    newcomer.next(|packet| {
        let Some(Packet::PubAck(ack)) = packet else {
            panic!("PUBACK was due, not {packet:?}");
        };
        assert_eq!(ack.reason_code, ReasonCode::NoMatchingSubscribers);
    });
}

// [MQTT-3.1.2-8]
#[test]
fn the_will_of_a_client_that_fell_with_its_shard_is_published() {
    let running = Running::start(&config(None));
    let mut mortals = Vec::new();
    for number in 0..12 {
        let name = format!("mortal {number}");
        let topic = format!("dead/{number}");
        let mut peer = Peer::open(running.address, V5);
        let mut wanted = connect(V5, &name);
        wanted.will = Some(symbolon_mqtt_proto::Will {
            topic: symbolon_mqtt_proto::TopicName::parse(&topic).unwrap(),
            payload: b"gone",
            qos: Qos::AtLeastOnce,
            retain: true,
            delay_interval_secs: 0,
            properties: symbolon_mqtt_proto::PublishProperties::default(),
        });
        peer.send(&Packet::Connect(Box::new(wanted)));
        peer.connack();
        mortals.push(peer);
    }
    for shard in 0..SHARDS {
        fall(&running, shard, shard + 1);
    }
    let mut heir = running.connect(V5, "heir");
    heir.subscribe(&[("dead/#", Qos::AtLeastOnce)]);
    let topics: BTreeSet<String> = (0..12).map(|_| heir.message().0).collect();
    assert_eq!(topics.len(), 12);
}

#[test]
fn a_shard_that_falls_again_and_again_ends_the_broker() {
    let running = Running::start(&config(None));
    let broker = running.broker.as_ref().unwrap();
    for count in 1..=3 {
        fall(&running, 1, count);
    }
    broker.let_shard_fall(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let failed = runtime
        .unwrap()
        .block_on(async { tokio::time::timeout(SOON, broker.failed()).await });
    assert!(failed.is_ok(), "it goes on for ever");
}
