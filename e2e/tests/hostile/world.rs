//! Both servers in one process, a pair of well-behaved clients, and what is looked at while strangers attack.

use crate::good::Pair;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use symbolon_client::Profile;
use symbolon_e2e::{System, program::wait_for};

/// Anyone may publish and subscribe here.
pub(crate) const OPEN: &str = "hostile";
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long an attack goes on.
const AT_LEAST: Duration = Duration::from_secs(2);
/// Metrics are up to a second old.
const SOON: Duration = Duration::from_secs(10);
/// What both servers may take in memory more than before while they are attacked, MiB: far more than the bounds that each test sets allow,
/// and far less than what strangers send.
const MEMORY_MIB: u64 = 32;

pub(crate) struct World {
    system: System,
    pub(crate) tls: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) ws: SocketAddr,
    pub(crate) authorization_server: SocketAddr,
    management: SocketAddr,
    writer: Profile,
    reader: Profile,
}

impl World {
    /// With these limits of the broker: `("SESSIONS", "100")` is `sessions = 100`.
    pub(crate) fn start(limits: &[(&str, &str)]) -> Self {
        let mut system = System::initialized();
        let (_, port) = system.init().broker_address();
        let listeners = format!(
            r#"[{{address = "127.0.0.1:{port}"}}, {{address = "127.0.0.1:0", transport = "tcp"}}, {{address = "127.0.0.1:0", transport = "ws"}}]"#
        );
        let limits: Vec<(String, &str)> = (limits.iter())
            .map(|(name, value)| (format!("SYMBOLON_BROKER_LIMITS_{name}"), *value))
            .collect();
        let public = format!(r#"["{OPEN}/#"]"#);
        let mut settings = vec![
            ("SYMBOLON_BROKER_PUBLIC_TOPICS", &*public),
            ("SYMBOLON_BROKER_AUTHZ_INFO", "true"),
            ("SYMBOLON_BROKER_LISTENER", &*listeners),
            ("SYMBOLON_LOG_LEVEL", "error"),
        ];
        settings.extend(limits.iter().map(|(name, value)| (&**name, *value)));
        system.up(&settings);
        let device = |name| {
            let path = system.device(name, "--allow pubsub:rooms/#");
            Profile::from_json(&fs::read_to_string(path).unwrap()).unwrap()
        };
        let (writer, reader) = (device("writer"), device("reader"));
        let ports = system.broker_ports();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            tls: at(ports[0]),
            tcp: at(ports[1]),
            ws: at(ports[2]),
            authorization_server: said(&system, "as="),
            management: said(&system, "management="),
            system,
            writer,
            reader,
        }
    }

    pub(crate) fn writer(&self) -> &Profile {
        &self.writer
    }

    /// Lets strangers do as they like, again and again for a while. The well-behaved go on meanwhile, memory stays within its bound, and each of these metrics rises.
    pub(crate) fn attack(&self, name: &str, metrics: &[&str], attack: impl Fn(&Self)) {
        let pair = Pair::start(self.writer.clone(), self.reader.clone());
        let before: Vec<u64> = metrics.iter().map(|metric| self.metric(metric)).collect();
        let memory_before = self.resident_kib();
        let (is_over, highest) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    highest.fetch_max(self.resident_kib(), Ordering::Relaxed);
                    thread::sleep(LOOK);
                }
            });
            // However it ends, nobody is to look on for ever.
            let _over = Over(&is_over);
            let began = Instant::now();
            while began.elapsed() < AT_LEAST {
                attack(self);
            }
        });
        pair.finish(name);
        let highest = highest.load(Ordering::Relaxed);
        println!("{name}: memory {memory_before} KiB before, {highest} KiB at the most");
        assert!(
            highest <= memory_before + MEMORY_MIB * 1024,
            "{name}: memory went from {memory_before} to {highest} KiB"
        );
        for (metric, before) in metrics.iter().zip(before) {
            let risen = wait_for(SOON, || {
                Some(self.metric(metric)).filter(|now| *now > before)
            });
            let now = risen.unwrap_or_else(|| panic!("{name}: {metric} stays at {before}"));
            println!("{name}: {metric} {before} -> {now}");
        }
    }

    /// What the management listener says of this metric; 0 where it says nothing.
    pub(crate) fn metric(&self, metric: &str) -> u64 {
        let mut stream = TcpStream::connect(self.management).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let name = format!("symbolon_broker_{metric} ");
        let number = answer.lines().find_map(|line| line.strip_prefix(&name));
        number.map_or(0, |number| number.parse().unwrap())
    }

    fn resident_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.system.process());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An address of the line `ready`.
fn said(system: &System, name: &str) -> SocketAddr {
    let log = system.log();
    let ready = log.lines().find(|line| line.starts_with("ready"));
    let mut words = ready.expect("it is up").split(' ');
    let address = words.find_map(|word| word.strip_prefix(name));
    address.expect("it says so").parse().unwrap()
}
