//! Two clients that do what they should, with tokens, over TLS: whatever strangers do meanwhile, none of their messages is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use symbolon_client::{
    ConnectOptions, Connection, Event, Profile,
    connection::{Credentials, Outgoing},
    token,
};
use symbolon_mqtt_proto::{
    PublishProperties, Qos, ReasonCode, RetainHandling, Subscription, TopicFilter,
};
use tokio::time::{sleep, timeout};

const TOPIC: &str = "rooms/1/warm";
/// Between two messages.
const PAUSE: Duration = Duration::from_millis(10);
/// How long anything may take on a machine that is busy with attacks.
const LIMIT: Duration = Duration::from_secs(30);

/// The two, on a thread of their own.
pub(crate) struct Pair {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Pair {
    /// Both connected, and messages flowing.
    pub(crate) fn start(writer: Profile, reader: Profile) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut reader = connect(&reader).await;
                subscribe(&mut reader).await;
                let mut writer = connect(&writer).await;
                ready.send(()).unwrap();
                let (sent, took) = tokio::join!(write(&mut writer, &over), read(&mut reader));
                assert_eq!(
                    took.len(),
                    sent,
                    "messages of well-behaved clients are lost"
                );
                took
            })
        });
        is_ready.recv_timeout(LIMIT).expect("they connect");
        Self { is_over, thread }
    }

    /// All that was sent has come, each once and in order; how long the slowest of a hundred took is printed.
    pub(crate) fn finish(self, during: &str) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().expect("nothing of theirs is lost");
        took.sort_unstable();
        assert!(took.len() > 20, "hardly anything was sent: {}", took.len());
        let of_hundred = |part: usize| took[(took.len() - 1) * part / 100];
        println!(
            "{during}: {} messages of well-behaved clients, none lost; p50 {:?}, p99 {:?}, max {:?}",
            took.len(),
            of_hundred(50),
            of_hundred(99),
            of_hundred(100)
        );
    }
}

async fn connect(profile: &Profile) -> Connection {
    let token = token::obtain(profile, None).await.expect("a token");
    let credentials = Credentials {
        profile: Some(profile.clone()),
        token,
        mode: symbolon_client::Mode::Exporter,
    };
    let options = ConnectOptions::for_profile(profile).expect("the profile names a broker");
    let connected = Connection::connect(options, Some(credentials)).await;
    connected.expect("it is let in")
}

async fn subscribe(reader: &mut Connection) {
    let subscription = Subscription {
        share_name: None,
        filter: TopicFilter::parse(TOPIC).unwrap(),
        maximum_qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    let answer = reader.subscribe(vec![subscription]).await.unwrap();
    assert_eq!(answer.reason_codes, [ReasonCode::GrantedQos1]);
}

/// How many were sent, each acknowledged.
async fn write(writer: &mut Connection, is_over: &AtomicBool) -> usize {
    let mut sent = 0;
    loop {
        let last = is_over.load(Ordering::Relaxed);
        let text = if last {
            "the end".to_owned()
        } else {
            format!("{sent} {}", now_nanos())
        };
        let message = Outgoing {
            topic: TOPIC,
            payload: text.as_bytes(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: PublishProperties::default(),
        };
        let published = timeout(LIMIT, writer.publish(message)).await;
        let wanted = published.expect("in time").expect("it stays connected");
        let acknowledged = async {
            loop {
                let event = writer.next().await.expect("it stays connected");
                if let Event::Published {
                    identifier,
                    reason_code,
                    ..
                } = event
                {
                    assert!(!reason_code.is_failure(), "{reason_code:?}");
                    if identifier == wanted {
                        return;
                    }
                }
            }
        };
        timeout(LIMIT, acknowledged).await.expect("in time");
        if last {
            return sent;
        }
        sent += 1;
        sleep(PAUSE).await;
    }
}

/// How long each message took.
async fn read(reader: &mut Connection) -> Vec<Duration> {
    let mut took = Vec::new();
    loop {
        let event = timeout(LIMIT, reader.next()).await;
        let event = event.expect("in time").expect("it stays connected");
        let Event::Message(message) = event else {
            continue;
        };
        let text = String::from_utf8(message.payload).unwrap();
        let Some((number, sent_at)) = text.split_once(' ').filter(|_| text != "the end") else {
            return took;
        };
        assert_eq!(number.parse(), Ok(took.len()), "one is missing");
        let sent_at: u64 = sent_at.parse().unwrap();
        took.push(Duration::from_nanos(now_nanos().saturating_sub(sent_at)));
    }
}

fn now_nanos() -> u64 {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let began = *BEGAN.get_or_init(Instant::now);
    u64::try_from(began.elapsed().as_nanos()).unwrap()
}
