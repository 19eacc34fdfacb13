//! Ten thousand idle clients over TLS, and others at full load: the broker's memory is back where it began when they are gone.
//!
//! By itself the test is a short one. `SYMBOLON_SOAK=full` asks for what the broker must stand: 10 000 clients and 60 seconds. Both programs
//! then want to be release builds:
//!
//! ```text
//! cargo build --release -p symbolon-cli
//! SYMBOLON_SOAK=full SYMBOLON_PROGRAM=$PWD/target/release/symbolon cargo test --release -p symbolon-e2e --test soak -- --nocapture
//! ```

#[cfg(test)]
mod client;
#[cfg(test)]
mod load;
#[cfg(test)]
mod memory;

use client::{Broker, Client, Session};
use load::{Counts, Load};
use memory::{Memory, allow_files};
use std::{
    cell::Cell,
    env, fs,
    net::SocketAddr,
    time::{Duration, Instant},
};
use symbolon_e2e::{
    Command, System,
    program::{Running, wait_for},
};
use symbolon_tls::Connector;
use tokio::{
    task::{JoinSet, LocalSet},
    time::sleep,
};

/// Less than this is what an allocator keeps of whatever was there, KiB.
const NOISE: u64 = 16 * 1024;
/// How long the broker may take to start, or to stop.
const LIMIT: Duration = Duration::from_mins(1);
/// A client that connects while many others do waits its turn.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
/// Idle clients that connect at the same time.
const AT_ONCE: usize = 64;
/// Open files beside those of the idle clients.
const MORE_FILES: u64 = 500;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long memory is looked at for where it stands.
const STAND: Duration = Duration::from_secs(3);

/// How much.
struct Plan {
    idle: usize,
    warm_up: Duration,
    load: Duration,
    /// How long it may take until memory is back. The allocator gives back what was not used for ten seconds.
    settle: Duration,
}

impl Plan {
    fn wanted() -> Self {
        match env::var("SYMBOLON_SOAK").as_deref() {
            Ok("full") => Self {
                idle: 10_000,
                warm_up: Duration::from_secs(10),
                load: Duration::from_mins(1),
                settle: Duration::from_secs(30),
            },
            Ok(other) => panic!("SYMBOLON_SOAK is `full` or unset, and not {other}"),
            Err(_) => Self {
                idle: 300,
                warm_up: Duration::from_secs(1),
                load: Duration::from_secs(3),
                settle: Duration::from_secs(15),
            },
        }
    }
}

/// The broker alone: what it takes with no authorization server beside it.
fn start(system: &System) -> Running {
    let broker = Command::symbolon()
        .arg("broker")
        .arg(system.site())
        .env("SYMBOLON_BROKER_PUBLIC_TOPICS", r##"["#"]"##)
        .env("SYMBOLON_LOG_LEVEL", "error")
        .start();
    let ready = wait_for(LIMIT, || broker.stdout().contains("ready").then_some(()));
    assert!(ready.is_some(), "not ready: {}", broker.stderr());
    broker
}

fn reach(system: &System) -> Broker {
    let ca = fs::read_to_string(&system.init().ca).expect("`init` made it");
    let (_, port) = system.init().broker_address();
    Broker {
        address: SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port"))),
        connector: Connector::new(&ca, HANDSHAKE_LIMIT).expect("a CA"),
    }
}

/// Lets `count` clients in that then say nothing.
async fn idle(broker: &Broker, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::with_capacity(count);
    let mut coming = JoinSet::new();
    for number in 0..count {
        let broker = broker.clone();
        coming.spawn_local(async move {
            let name = format!("idle-{number}");
            broker.connect(&name, Session::Brief).await
        });
        while coming.len() >= AT_ONCE || number + 1 == count {
            match coming.join_next().await {
                Some(client) => {
                    let client = client.expect("it did not panic");
                    clients.push(client.expect("the broker lets it in"));
                }
                None => break,
            }
        }
    }
    clients
}

/// Half of them say goodbye, half are lost.
async fn leave(clients: Vec<Client>) {
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 {
            client.leave(true).await.expect("the broker stays");
        }
    }
}

/// Looks at `process` until `enough`, at most for `limit`; the last and the highest that was seen.
async fn look(process: u32, limit: Duration, enough: impl Fn(Memory) -> bool) -> (Memory, Memory) {
    let began = Instant::now();
    let mut highest = Memory::default();
    loop {
        let memory = Memory::of(process);
        if memory.own > highest.own {
            highest = memory;
        }
        if enough(memory) || began.elapsed() >= limit {
            return (memory, highest);
        }
        sleep(LOOK).await;
    }
}

fn print(counts: &Counts) {
    let each = |cells: &[Cell<u64>; 3]| cells.each_ref().map(Cell::get);
    println!(
        "published at QoS 0, 1, 2: {:?}; delivered: {:?}; visits: {}",
        each(&counts.published),
        each(&counts.delivered),
        counts.visits.get()
    );
    for qos in 0..3 {
        assert!(
            counts.published[qos].get() > 100 && counts.delivered[qos].get() > 100,
            "hardly anything was sent"
        );
    }
}

/// Publishers and subscribers at full load for so long; the most memory meanwhile.
async fn at_full_load(process: u32, broker: &Broker, duration: Duration) -> Memory {
    let load = Load::new(broker.clone());
    load.start().await;
    let (_, highest) = look(process, duration, |_| false).await;
    load.stop().await;
    print(&load.counts);
    highest
}

/// A tenth more than before at the most; where little was there before, so much that a tenth would be noise.
fn is_back(now: Memory, before: Memory) -> bool {
    now.own <= before.own + (before.own / 10).max(NOISE)
}

/// Of what idle clients took, at least half is given back; the rest lies between pages that are in use.
fn have_left(now: Memory, idle: Memory, before: Memory) -> bool {
    now.own <= before.own + (idle.own.saturating_sub(before.own) / 2).max(NOISE)
}

async fn soak(process: u32, broker: Broker, plan: Plan) {
    println!("at first: {}", Memory::of(process));
    // What is made once is made now.
    at_full_load(process, &broker, plan.warm_up).await;
    let (began, _) = look(process, plan.settle, |_| false).await;
    println!("warm: {began}");
    let clients = idle(&broker, plan.idle).await;
    let (idle, _) = look(process, STAND, |_| false).await;
    let each = idle.above(began, plan.idle);
    println!("{} idle: {idle}; {each} bytes each", plan.idle);
    let highest = at_full_load(process, &broker, plan.load).await;
    println!("at full load: {highest} at the most");
    let (rested, _) = look(process, plan.settle, |now| is_back(now, idle)).await;
    println!("after the load: {rested}");
    leave(clients).await;
    let (ended, _) = look(process, plan.settle, |now| have_left(now, idle, began)).await;
    println!("all gone: {ended}");
    assert!(is_back(rested, idle), "the load left something behind");
    assert!(
        have_left(ended, idle, began),
        "the clients left something behind"
    );
}

#[test]
fn memory_is_back_where_it_began_after_idle_clients_and_a_full_load() {
    let plan = Plan::wanted();
    allow_files(plan.idle as u64 + MORE_FILES);
    let system = System::initialized();
    let server = start(&system);
    let broker = reach(&system);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, soak(server.id(), broker, plan));
    server.terminate();
    let finished = server.finish(LIMIT);
    assert!(finished.status.success(), "{finished}");
}
