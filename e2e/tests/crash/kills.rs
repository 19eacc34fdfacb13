//! Kill, start, and look what came.

use super::clients::{LIMIT, Publisher, Subscriber};
use std::{
    collections::HashSet,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use symbolon_e2e::{
    Command,
    program::{Running, wait_for},
};
use symbolon_mqtt_proto::Qos;

/// How often the broker is killed.
const KILLS: usize = 200;
/// The longest it lives before, milliseconds.
const LIFE_MS: u64 = 120;
/// So long nothing comes before all is taken to be there.
const QUIET: Duration = Duration::from_secs(2);

/// A directory with a configuration whose broker listens where nobody else did a moment ago.
fn site(directory: &Path) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap();
    let configuration = format!(
        "[broker]\npublic_topics = [\"#\"]\n[broker.store]\npath = \"store\"\n[broker.limits]\nqueued_messages = 10000000\n\
         queued_bytes = 1000000000\n[[broker.listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\n[log]\nlevel = \"warn\"\n"
    );
    std::fs::write(directory.join("symbolon.toml"), configuration).unwrap();
    address
}

fn start(directory: &Path) -> Running {
    let broker = Command::symbolon().arg("broker").arg(directory).start();
    let ready = wait_for(LIMIT, || broker.stdout().contains("ready").then_some(()));
    assert!(ready.is_some(), "not ready: {}", broker.stderr());
    broker
}

/// A cheap sequence of numbers that look random.
fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Waits until nothing more comes.
fn wait_for_quiet(count: &AtomicUsize) {
    let mut last = (usize::MAX, Instant::now());
    let quiet = wait_for(LIMIT, || {
        let now = count.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > QUIET).then_some(())
    });
    assert!(quiet.is_some(), "it never became quiet");
}

// [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.5.0-1]: an acknowledgement passes the responsibility on.
#[test]
fn nothing_acknowledged_is_lost_however_often_the_broker_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let address = site(directory.path());
    let mut seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .subsec_nanos()
        .into();
    println!("seed {seed}");
    let mut broker = start(directory.path());
    let stop = Arc::new(AtomicBool::new(false));
    let stop_reading = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let reader = {
        let (stop, count) = (Arc::clone(&stop_reading), Arc::clone(&count));
        thread::spawn(move || Subscriber::new(count).run(address, &stop))
    };
    // The subscription is there before the first message: what must come is known.
    Publisher::probe(address);
    let publishers: Vec<JoinHandle<u64>> = [("one", Qos::AtLeastOnce), ("two", Qos::ExactlyOnce)]
        .into_iter()
        .map(|(topic, qos)| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || Publisher::new(topic, qos).run(address, &stop))
        })
        .collect();
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(random(&mut seed) % LIFE_MS));
        // Dropping it is SIGKILL.
        drop(broker);
        broker = start(directory.path());
    }
    stop.store(true, Ordering::Relaxed);
    let sent: Vec<u64> = (publishers.into_iter())
        .map(|publisher| publisher.join().unwrap())
        .collect();
    wait_for_quiet(&count);
    stop_reading.store(true, Ordering::Relaxed);
    let received = reader.join().unwrap();
    println!(
        "{KILLS} kills; QoS 1: {} sent, {} received; QoS 2: {} sent, {} received",
        sent[0],
        received.at_least_once.len(),
        sent[1],
        received.exactly_once.len()
    );
    assert!(
        sent.iter().all(|sent| *sent > 1_000),
        "hardly anything was sent: {sent:?}"
    );
    check_at_least_once(sent[0], &received.at_least_once);
    let expected: Vec<u64> = (1..=sent[1]).collect();
    assert!(
        received.exactly_once == expected,
        "QoS 2: not each once and in order"
    );
}

fn check_at_least_once(sent: u64, received: &[u64]) {
    let mut seen = HashSet::new();
    // 0 is the probe's.
    let first: Vec<u64> = received
        .iter()
        .copied()
        .filter(|number| *number > 0 && seen.insert(*number))
        .collect();
    let expected: Vec<u64> = (1..=sent).collect();
    assert!(first == expected, "QoS 1: one is lost or out of order");
}
