//! Hostile clients against the real program, with bounds so low that each is met in seconds. Whatever they do: memory stays within its bound,
//! two well-behaved clients with tokens lose no message, and who was refused can be seen in a metric. What each bound answers to a single
//! client, `broker/tests/mqtt/bounds.rs` tests.

#[cfg(test)]
mod good;
#[cfg(test)]
mod stranger;
#[cfg(test)]
mod world;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};
use stranger::{Stranger, hello, id, message};
use symbolon_client::{profile::ClientAuth, token};
use symbolon_mqtt_proto::{
    Ack, Auth, Connect, Delivery, Packet, Publish, PublishProperties, Qos, ReasonCode,
    UserProperties, connect::ConnectProperties,
};
use world::{OPEN, World};

fn limit(name: &str) -> String {
    format!("limit_reached_total{{limit=\"{name}\"}}")
}

fn refused(reason: &str) -> String {
    format!("connections_refused_total{{reason=\"{reason}\"}}")
}

fn refused_with(code: &str) -> String {
    format!("connections_refused_total{{reason=\"refused\",reason_code=\"{code}\"}}")
}

fn disconnected(code: &str) -> String {
    format!("disconnects_total{{by=\"broker\",reason_code=\"{code}\"}}")
}

/// One byte each now and then on many connections, until the other side has had enough of all of them.
fn trickle(mut victims: Vec<TcpStream>, bytes: &[u8], limit: Duration) {
    let deadline = Instant::now() + limit;
    for byte in bytes.iter().cycle() {
        victims.retain_mut(|stream| {
            stream.set_nonblocking(true).expect("a socket");
            let is_open = match stream.read(&mut [0; 512]) {
                Ok(0) => false,
                Ok(_) => true,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            };
            is_open && stream.write_all(&[*byte]).is_ok()
        });
        if victims.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{} are not cut", victims.len());
        thread::sleep(Duration::from_millis(100));
    }
}

fn open(address: std::net::SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|_| TcpStream::connect(address).expect("the kernel takes it"))
        .collect()
}

#[test]
fn whoever_sends_byte_by_byte_is_cut_in_tls_connect_websocket_and_http() {
    let world = World::start(&[
        ("HANDSHAKE_TIMEOUT_SECS", "2"),
        ("CONNECT_TIMEOUT_SECS", "2"),
        ("HANDSHAKES", "256"),
    ]);
    let metrics = [
        &*refused("handshake_timeout"),
        &*refused("connect_timeout"),
        &*limit("connect_timeout_secs"),
    ];
    world.attack("slow senders", &metrics, |world| {
        // A record that promises much, a CONNECT that does, a request that never ends; each byte comes in time, the whole never does.
        let client_hello = [&[0x16, 3, 1, 0x10, 0, 1, 0, 0x0f, 0xfc, 3, 3][..], &[7; 99]].concat();
        let connect = [&[0x10, 0xff, 0x7f][..], &[0; 97]].concat();
        let request = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nX: aaaaaaaaaaaaaaaaaaaaaaaa";
        let limit = Duration::from_secs(30);
        thread::scope(|scope| {
            scope.spawn(|| trickle(open(world.tls, 150), &client_hello, limit));
            scope.spawn(|| trickle(open(world.tcp, 150), &connect, limit));
            scope.spawn(|| trickle(open(world.ws, 150), request, limit));
            scope.spawn(|| trickle(open(world.authorization_server, 150), &client_hello, limit));
            // Meanwhile whoever asks properly is served.
            scope.spawn(|| obtain(world, 10));
        });
    });
}

/// Tokens for a device that proves who it is.
fn obtain(world: &World, times: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        for _ in 0..times {
            let obtained = token::obtain(world.writer(), None).await;
            obtained.expect("the authorization server serves whoever proves who they are");
        }
    });
}

#[test]
fn connections_that_come_and_go_by_thousands_leave_nothing_behind() {
    let world = World::start(&[("CONNECTIONS", "100")]);
    let metrics = [
        &*refused("closed"),
        &*refused("limit"),
        &*limit("connections"),
    ];
    world.attack("churn", &metrics, |world| {
        for round in 0..3_000 {
            drop(TcpStream::connect(world.tcp).unwrap());
            if round % 10 == 0 {
                drop(TcpStream::connect(world.tls).unwrap());
                let mut brief = Stranger::open(world.tcp);
                brief.send(&Packet::Connect(Box::new(hello("brief", 0))));
            }
        }
        // More than there may be, and those beyond are closed at once.
        let held = open(world.tcp, 300);
        let left = held.into_iter().filter(|mut stream| {
            stream
                .set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            !matches!(stream.read(&mut [0; 16]), Ok(0))
        });
        assert!(left.count() <= 100);
    });
}

#[test]
fn subscribers_that_never_read_cost_their_bounds_and_no_more() {
    let world = World::start(&[
        ("OUTBOX_BYTES", "65536"),
        ("QUEUED_MESSAGES", "20"),
        ("SEND_MAXIMUM", "5"),
    ]);
    let metrics = [
        "messages_dropped_total{reason=\"outbox_full\"}",
        "messages_dropped_total{reason=\"queue_full\"}",
        &*limit("outbox_bytes"),
        &*limit("queued_messages"),
        &*limit("send_maximum"),
    ];
    world.attack("subscribers that never read", &metrics, |world| {
        let filters = [format!("{OPEN}/#")];
        let mut deaf: Vec<Stranger> = (0..20)
            .map(|number| Stranger::enter(world.tcp, &format!("deaf-{number}")))
            .collect();
        for stranger in &mut deaf {
            assert!(stranger.subscribe(&filters, Qos::AtLeastOnce));
        }
        let payload = vec![7; 8 * 1024];
        let mut loud = Stranger::enter(world.tcp, "loud");
        // 8 MiB for each of twenty.
        for number in 0..1_000 {
            let publish = message("hostile/loud", &payload, Delivery::AtMostOnce);
            assert!(loud.send(&Packet::Publish(publish)));
            if number % 10 == 0 {
                loud.publish("hostile/loud", &payload, false);
            }
        }
    });
}

#[test]
fn topics_of_64_kib_and_32_000_levels_are_refused_or_borne() {
    let deep = format!("{OPEN}/{}", "/".repeat(32_000));
    let wild = format!("{OPEN}/{}+", "+/".repeat(32_000));
    let world = World::start(&[("TOPIC_LENGTH", "65535")]);
    world.attack("deep topics, refused", &[&limit("topic_levels")], |world| {
        let mut stranger = Stranger::enter(world.tcp, "deep");
        for _ in 0..200 {
            assert!(!stranger.publish(&deep, b"x", true));
            assert!(!stranger.subscribe(std::slice::from_ref(&wild), Qos::AtLeastOnce));
        }
    });
    drop(world);
    let world = World::start(&[
        ("TOPIC_LEVELS", "65535"),
        ("TOPIC_LENGTH", "65535"),
        ("SUBSCRIPTIONS_PER_CLIENT", "20"),
        ("RETAINED_MESSAGES", "20"),
    ]);
    let metrics = [
        &*limit("subscriptions_per_client"),
        &*limit("retained_messages"),
    ];
    world.attack("deep topics, borne", &metrics, |world| {
        let mut stranger = Stranger::enter(world.tcp, "deep");
        for number in 0..40 {
            let filter = format!("{OPEN}/{number}/{}+", "+/".repeat(31_000));
            assert_eq!(stranger.subscribe(&[filter], Qos::AtMostOnce), number < 20);
            let topic = format!("{OPEN}/{number}/{}", "a/".repeat(31_000));
            assert_eq!(stranger.publish(&topic, b"x", true), number < 20);
        }
    });
}

/// All filters of so many levels, each `a` or `+`, and each with `#` behind it.
fn bomb(levels: u32) -> Vec<String> {
    let filters = (0..1_u32 << levels).flat_map(|bits| {
        let level = |at: u32| if bits >> at & 1 == 0 { "/a" } else { "/+" };
        let filter: String = (0..levels).map(level).collect();
        [format!("{OPEN}{filter}"), format!("{OPEN}{filter}/#")]
    });
    filters.collect()
}

#[test]
fn thousands_of_overlapping_filters_are_one_delivery_and_bounded() {
    let world = World::start(&[("SUBSCRIPTIONS_PER_CLIENT", "1000")]);
    let metrics = [&*limit("subscriptions_per_client")];
    world.attack("wildcard bombs", &metrics, |world| {
        let filters = bomb(9);
        let topic = format!("{OPEN}{}", "/a".repeat(9));
        let mut bombers: Vec<Stranger> = (0..5)
            .map(|number| Stranger::enter(world.tcp, &format!("bomber-{number}")))
            .collect();
        for bomber in &mut bombers {
            for some in filters.chunks(128) {
                bomber.subscribe(some, Qos::AtMostOnce);
            }
        }
        let mut publisher = Stranger::enter(world.tcp, "publisher");
        for number in 0..100_u8 {
            assert!(publisher.publish(&topic, &[number], false));
        }
        // MQTT 5.0 §3.3.4: one copy, whatever matches.
        for bomber in &mut bombers {
            for number in 0..100_u8 {
                let is_it = bomber.next(|packet| {
                    matches!(packet, Packet::Publish(publish) if publish.payload == [number])
                });
                assert_eq!(is_it, Some(true), "one copy of each, in order");
            }
        }
    });
}

#[test]
fn retained_messages_without_end_fill_their_bounds_and_no_more() {
    let world = World::start(&[("RETAINED_MESSAGES", "500"), ("RETAINED_BYTES", "1048576")]);
    let metrics = [&*limit("retained_messages"), &*limit("retained_bytes")];
    world.attack("retained messages", &metrics, |world| {
        let mut stranger = Stranger::enter(world.tcp, "hoarder");
        for number in 0..3_000 {
            // Small ones first, to meet their number; then large ones in the places of the small, to meet their bytes.
            let payload = vec![7; if number < 1_000 { 10 } else { 16 * 1024 }];
            let topic = format!("{OPEN}/{}", number % 1_000);
            stranger.publish(&topic, &payload, true);
        }
    });
}

#[test]
fn sessions_for_ever_fill_their_bound_and_those_that_have_one_get_in() {
    let world = World::start(&[("SESSIONS", "200")]);
    let metrics = [&*limit("sessions"), &*refused_with("0x97")];
    world.attack("sessions", &metrics, |world| {
        let filters = [format!("{OPEN}/waits")];
        let mut taken = 0;
        for number in 0..1_000 {
            let mut stranger = Stranger::open(world.tcp);
            let name = format!("forever-{number}");
            stranger.send(&Packet::Connect(Box::new(hello(&name, u32::MAX))));
            let is_in = stranger.next(
                |packet| matches!(packet, Packet::ConnAck(ack) if !ack.reason_code.is_failure()),
            );
            if is_in == Some(true) {
                taken += 1;
                assert!(stranger.subscribe(&filters, Qos::ExactlyOnce));
            }
        }
        assert!((100..200).contains(&taken), "{taken} sessions");
    });
}

fn with_alias(topic: Option<&str>, alias: usize) -> Packet<'_> {
    Packet::Publish(Publish {
        duplicate: false,
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: topic.map(|topic| symbolon_mqtt_proto::TopicName::parse(topic).expect("a topic")),
        properties: PublishProperties {
            topic_alias: Some(id(alias)),
            ..PublishProperties::default()
        },
        payload: b"x",
    })
}

#[test]
fn aliases_and_identifiers_that_make_no_sense_end_a_connection_and_nothing_else() {
    let world = World::start(&[]);
    let metrics = [&*disconnected("0x94"), &*disconnected("0x82")];
    world.attack("aliases and identifiers", &metrics, |world| {
        for round in 0..100 {
            let enter = |what: &str| Stranger::enter(world.tcp, &format!("{what}-{round}"));
            let mut high = enter("high");
            high.send(&with_alias(Some("hostile/a"), 60_000));
            high.await_end();
            let mut unknown = enter("unknown");
            unknown.send(&with_alias(None, 7));
            unknown.await_end();
            // Acknowledges what it was never sent.
            let mut liar = enter("liar");
            liar.send(&Packet::PubAck(Ack::new(id(9), ReasonCode::Success)));
            liar.await_end();
            // Changes what its aliases mean as often as it can.
            let mut restless = enter("restless");
            for number in 0..200 {
                let topic = format!("hostile/{round}/{number}");
                assert!(restless.send(&with_alias(Some(&topic), 1 + number % 32)));
            }
            // Releases and completes what nobody knows of: no error (MQTT 5.0 §3.6.2.1), and no state.
            for number in 1..100 {
                let ack = Ack::new(id(number), ReasonCode::Success);
                assert!(restless.send(&Packet::PubRel(ack)));
            }
        }
    });
}

#[test]
fn messages_of_qos_2_that_are_never_completed_are_bounded_at_both_ends() {
    let world = World::start(&[("RECEIVE_MAXIMUM", "16"), ("SEND_MAXIMUM", "16")]);
    let metrics = [
        &*limit("receive_maximum"),
        &*limit("send_maximum"),
        &*disconnected("0x93"),
    ];
    world.attack("QoS 2 never completed", &metrics, |world| {
        let filters = [format!("{OPEN}/#")];
        let mut never = Stranger::enter(world.tcp, "never-acknowledges");
        assert!(never.subscribe(&filters, Qos::ExactlyOnce));
        for round in 0..100 {
            let mut stranger = Stranger::enter(world.tcp, &format!("never-releases-{round}"));
            for number in 1..=17 {
                let delivery = Delivery::ExactlyOnce(id(number));
                stranger.send(&Packet::Publish(message("hostile/2", &[7; 1024], delivery)));
            }
            stranger.await_end();
        }
    });
}

fn with_method<'a>(name: &'a str, data: &'a [u8]) -> Connect<'a> {
    let mut connect = hello(name, 0);
    connect.properties = ConnectProperties {
        authentication_method: Some("ace"),
        authentication_data: Some(data),
        ..ConnectProperties::default()
    };
    connect
}

#[test]
fn storms_of_auth_end_the_connections_they_come_on() {
    let world = World::start(&[]);
    let metrics = [
        &*disconnected("0x82"),
        &*refused_with("0x87"),
        &*refused("not_connect"),
    ];
    world.attack("AUTH", &metrics, |world| {
        let auth = |reason_code| {
            Packet::Auth(Auth {
                reason_code,
                authentication_method: Some("ace"),
                authentication_data: Some(&[7; 64]),
                reason_string: None,
                user_properties: UserProperties::default(),
            })
        };
        // A token that is none: as long as its length says, and longer.
        let garbage = [&[0, 200][..], &[b'x'; 200], &[7; 32]].concat();
        let short = [&[0xff, 0xff][..], b"x"].concat();
        for round in 0..150 {
            let mut late = Stranger::enter(world.tcp, &format!("late-{round}"));
            for _ in 0..50 {
                if !late.send(&auth(ReasonCode::ReAuthenticate)) {
                    break;
                }
            }
            late.await_end();
            let mut early = Stranger::open(world.tcp);
            early.send(&auth(ReasonCode::ContinueAuthentication));
            early.await_end();
            for data in [&garbage, &short] {
                let mut wrong = Stranger::open(world.tcp);
                wrong.send(&Packet::Connect(Box::new(with_method("wrong", data))));
                wrong.await_end();
            }
        }
    });
}

#[test]
fn tokens_published_without_end_meet_the_rate_of_their_connection() {
    let world = World::start(&[("AUTHZ_INFO_RATE", "5"), ("STORED_TOKENS", "8")]);
    let metrics = [
        &*limit("authz_info_rate"),
        "tokens_published_total{outcome=\"failure\"}",
    ];
    world.attack("authz-info", &metrics, |world| {
        let payload = vec![b'e'; 60_000];
        for round in 0..60 {
            let mut stranger = Stranger::enter(world.tcp, &format!("flood-{round}"));
            for _ in 0..20 {
                assert!(!stranger.publish("authz-info", &payload, false));
            }
        }
    });
}

/// Guesses the writer's secret so often.
fn guess(world: &World, thread: usize, times: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        for number in 0..times {
            let mut guessed = world.writer().clone();
            guessed.client_auth = ClientAuth::Secret {
                secret: format!("guess-{thread}-{number}"),
            };
            let answer = token::obtain(&guessed, None).await;
            let refused = answer.map(|_| ()).expect_err("it is a guess").to_string();
            assert!(refused.contains("invalid_client"), "{refused}");
        }
    });
}

// RFC 6749 §5.2, §10.10
#[test]
fn guesses_at_the_token_endpoint_are_all_wrong_and_keep_nobody_out() {
    let world = World::start(&[]);
    world.attack("guesses", &[], |world| {
        thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || guess(world, thread, 50));
            }
            scope.spawn(|| obtain(world, 10));
        });
    });
}
