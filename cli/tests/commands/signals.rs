//! SIGTERM and SIGINT while clients are busy.

use crate::program::{Server, Site};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Clients that publish as fast as they can.
const PUBLISHERS: usize = 4;
/// Ends within this: what the servers give clients, and some air for a busy machine.
const IN_TIME: Duration = Duration::from_secs(12);
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00";
/// SUBSCRIBE to `t` at `QoS` 0.
const SUBSCRIBE: &[u8] = b"\x82\x07\x00\x01\x00\x00\x01t\x00";

pub(crate) fn signal(server: &Server, name: &str) {
    let pid = server.0.id().to_string();
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status();
    assert!(sent.unwrap().success());
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn end(server: &mut Server) -> Option<i32> {
    let deadline = Instant::now() + IN_TIME;
    loop {
        if let Some(status) = server.0.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < deadline, "it did not end in time");
        thread::sleep(Duration::from_millis(10));
    }
}

fn connect(port: &str) -> TcpStream {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(CONNECT).unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, [0x20]);
    stream
}

/// A broker with publishers that never stop and a subscriber that never reads; and a client that is idle.
struct Busy {
    server: Server,
    idle: TcpStream,
    _deaf: TcpStream,
    _site: Site,
}

impl Busy {
    fn start() -> Self {
        let site = Site::new();
        site.edit("transport = \"tls\"", "transport = \"tcp\"");
        site.edit("public_topics = []", "public_topics = [\"#\"]");
        let server = Server::start("up", &site, &[]);
        let broker = site.made["broker"].as_str().unwrap();
        let (_, port) = broker.rsplit_once(':').unwrap();
        let mut deaf = connect(port);
        deaf.write_all(SUBSCRIBE).unwrap();
        let mut publish = b"\x30\x84\x08\x00\x01t\x00".to_vec();
        publish.resize(3 + 1024 + 4, b'x');
        publish.truncate(3 + 1028);
        for _ in 0..PUBLISHERS {
            let mut stream = connect(port);
            let publish = publish.clone();
            // Ends with the connection.
            thread::spawn(move || while stream.write_all(&publish).is_ok() {});
        }
        let idle = connect(port);
        thread::sleep(Duration::from_millis(300));
        Self {
            server,
            idle,
            _deaf: deaf,
            _site: site,
        }
    }
}

#[test]
fn under_load_a_signal_ends_it_in_time_and_clients_are_told() {
    for name in ["TERM", "INT"] {
        let mut busy = Busy::start();
        signal(&busy.server, name);
        let mut rest = Vec::new();
        busy.idle.set_read_timeout(Some(IN_TIME)).unwrap();
        drop(busy.idle.read_to_end(&mut rest));
        // The rest of CONNACK, then DISCONNECT with 0x8B.
        let told = rest
            .windows(3)
            .any(|bytes| bytes[0] == 0xe0 && bytes[2] == 0x8b);
        assert!(told, "{name}: {rest:02x?}");
        assert_eq!(end(&mut busy.server), Some(0), "{name}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut busy = Busy::start();
    signal(&busy.server, "TERM");
    thread::sleep(Duration::from_millis(300));
    assert!(
        busy.server.0.try_wait().unwrap().is_none(),
        "the subscriber that does not read must be waited for"
    );
    let before = Instant::now();
    signal(&busy.server, "TERM");
    assert_eq!(end(&mut busy.server), Some(1));
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
}
