//! Messages from publishers to subscribers: as many as the windows allow, or so many a second.

use super::{
    Figures, Span, Target,
    admission::Hello,
    clients::Clients,
    latency::{Latencies, Timer},
    packets::{self, Stamp, Template},
};
use crate::{
    process::{Usage, precise},
    scenario::{Figure, Traffic},
    wire::Frame,
};
use anyhow::{Context as _, bail, ensure};
use std::time::{Duration, Instant};
use symbolon_mqtt_proto::Qos;

const ADMITTED_AT_ONCE: usize = 32;
/// Messages that are appended at once at the most.
const BURST: u64 = 1_024;
/// How long nothing may come while something is under way.
const STALL: Duration = Duration::from_secs(5);
const NS_PER_SEC: u32 = 1_000_000_000;

#[derive(Debug)]
struct Publisher {
    place: usize,
    template: Template,
    /// Subscribers that each message reaches.
    reach: u64,
    sent: u64,
    acknowledged: u64,
    delivered: u64,
}

/// Messages at a steady rate, each with a moment at which it is due.
#[derive(Debug)]
struct Pace {
    timer: Timer,
    gap_ns: u32,
    sent: u64,
}

#[derive(Debug)]
struct Run<'a> {
    traffic: &'a Traffic,
    began: Instant,
    publishers: Vec<Publisher>,
    /// By subscriber and publisher: which message comes next.
    expected: Vec<u64>,
    received: u64,
    latencies: Latencies,
    is_paced: bool,
}

impl Publisher {
    /// How many more may be under way.
    fn room(&self, qos: Qos, window: u64) -> u64 {
        let arrived = self.delivered / self.reach;
        let finished = match qos {
            Qos::AtMostOnce => arrived,
            Qos::AtLeastOnce | Qos::ExactlyOnce => arrived.min(self.acknowledged),
        };
        finished.saturating_add(window).saturating_sub(self.sent)
    }

    fn append(&mut self, publisher: usize, due_ns: u64, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let stamp = Stamp {
            publisher: u32::try_from(publisher)?,
            sequence: self.sent,
            due_ns,
        };
        self.template.append(stamp, out);
        self.sent += 1;
        Ok(())
    }
}

impl Run<'_> {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sends what the windows allow.
    fn fill(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        let now_ns = self.now_ns();
        let (qos, window) = (self.traffic.qos, self.traffic.window);
        for (number, publisher) in self.publishers.iter_mut().enumerate() {
            let room = publisher.room(qos, window).min(BURST);
            let socket = &mut clients.get(publisher.place)?.socket;
            if room == 0 || socket.is_blocked() {
                continue;
            }
            for _ in 0..room {
                publisher.append(number, now_ns, &mut socket.out)?;
            }
            socket.flush()?;
        }
        Ok(())
    }

    /// Sends what is due. What is late counts from when it was due.
    fn send_due(&mut self, pace: &mut Pace, clients: &mut Clients) -> anyhow::Result<()> {
        let now_ns = self.now_ns();
        loop {
            let due_ns = pace.sent * u64::from(pace.gap_ns);
            if due_ns > now_ns {
                return Ok(());
            }
            let number = usize::try_from(pace.sent)? % self.publishers.len();
            let publisher = &mut self.publishers[number];
            let socket = &mut clients.get(publisher.place)?.socket;
            publisher.append(number, due_ns, &mut socket.out)?;
            socket.flush()?;
            pace.sent += 1;
        }
    }

    fn take(&mut self, place: usize, frame: Frame<'_>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        match frame.first >> 4 {
            packets::PUBLISH => {
                packets::acknowledge(frame.first, frame.body, out)?;
                let stamp = Stamp::read(frame.body).context("a message that is not ours")?;
                let publisher = usize::try_from(stamp.publisher)?;
                let expected = &mut self.expected[place * self.traffic.publishers + publisher];
                ensure!(stamp.sequence == *expected, "lost, doubled or out of order");
                *expected += 1;
                self.publishers[publisher].delivered += 1;
                self.received += 1;
                if self.is_paced {
                    let now_ns = self.now_ns();
                    self.latencies.add(now_ns.saturating_sub(stamp.due_ns));
                }
            }
            packets::PUBREC => packets::answer(packets::PUBREL, frame.body, out),
            packets::PUBREL => packets::answer(packets::PUBCOMP, frame.body, out),
            packets::PUBACK | packets::PUBCOMP => {
                self.publishers[place - self.traffic.subscribers].acknowledged += 1;
            }
            kind => bail!("a packet of type {kind}"),
        }
        Ok(())
    }

    /// Runs the load until `until`, or else until everything has arrived.
    fn go_on(
        &mut self,
        clients: &mut Clients,
        pace: &mut Option<Pace>,
        until: Option<Instant>,
    ) -> anyhow::Result<()> {
        let mut progress = (self.received, Instant::now());
        loop {
            match until {
                Some(until) if Instant::now() >= until => return Ok(()),
                Some(_) => match pace {
                    Some(pace) => self.send_due(pace, clients)?,
                    None => self.fill(clients)?,
                },
                None if self.has_all_arrived() => return Ok(()),
                None => {}
            }
            let due = clients.turn(Duration::from_millis(50), |place, frame, out| {
                self.take(place, frame, out)
            })?;
            if let (true, Some(pace)) = (due, &pace) {
                pace.timer.take();
            }
            if self.received > progress.0 {
                progress = (self.received, Instant::now());
            } else if progress.1.elapsed() > STALL {
                bail!("nothing comes any more: messages were lost");
            }
        }
    }

    fn has_all_arrived(&self) -> bool {
        let mut publishers = self.publishers.iter();
        publishers.all(|publisher| publisher.delivered == publisher.sent * publisher.reach)
    }
}

/// Runs `traffic`, at `per_sec` messages a second where that is given.
pub(super) fn run(
    traffic: &Traffic,
    target: &Target,
    span: Span,
    per_sec: Option<u32>,
) -> anyhow::Result<Figures> {
    let mut clients = Clients::new(target)?;
    let subscribers = (0..traffic.subscribers).map(|number| format!("s{number}"));
    let publishers = (0..traffic.publishers).map(|number| format!("p{number}"));
    let hellos = subscribers.chain(publishers).map(Hello::brief).collect();
    clients.admit(hellos, ADMITTED_AT_ONCE)?;
    clients.subscribe(&filters(traffic), traffic.qos)?;
    let mut pace = match per_sec {
        Some(per_sec) => Some(Pace {
            timer: Timer::every(NS_PER_SEC / per_sec, clients.poll.registry())?,
            gap_ns: NS_PER_SEC / per_sec,
            sent: 0,
        }),
        None => None,
    };
    let mut run = Run {
        traffic,
        began: Instant::now(),
        publishers: all_publishers(traffic)?,
        expected: vec![0; traffic.subscribers * traffic.publishers],
        received: 0,
        latencies: Latencies::default(),
        is_paced: pace.is_some(),
    };
    let measured_from = run.began + span.warm_up;
    run.go_on(&mut clients, &mut pace, Some(measured_from))?;
    run.latencies.clear();
    let (usage, before) = (Usage::of(target.process)?, run.received);
    let until = Instant::now() + span.measured;
    run.go_on(&mut clients, &mut pace, Some(until))?;
    let spent = usage.cpu_secs_since(target.process)?;
    let received = precise(run.received - before);
    run.go_on(&mut clients, &mut pace, None)?;
    clients.leave_all();
    Ok(if run.is_paced {
        vec![
            (Figure::MedianMicros, run.latencies.percentile_micros(50)),
            (
                Figure::Percentile99Micros,
                run.latencies.percentile_micros(99),
            ),
        ]
    } else {
        vec![(Figure::DeliveriesPerCpuSec, received / spent)]
    })
}

/// Each publisher has a topic of its own; subscribers share them.
fn topic(number: usize, traffic: &Traffic) -> String {
    format!("bench/{}", number % traffic.publishers)
}

fn filters(traffic: &Traffic) -> Vec<String> {
    let all = traffic.subscribers < traffic.publishers;
    let filter = |number| {
        if all {
            "bench/+".to_owned()
        } else {
            topic(number, traffic)
        }
    };
    (0..traffic.subscribers).map(filter).collect()
}

fn all_publishers(traffic: &Traffic) -> anyhow::Result<Vec<Publisher>> {
    let reach = u64::try_from(traffic.subscribers.div_ceil(traffic.publishers))?;
    let publisher = |number| {
        Ok(Publisher {
            place: traffic.subscribers + number,
            template: Template::new(&topic(number, traffic), traffic.qos)?,
            reach,
            sent: 0,
            acknowledged: 0,
            delivered: 0,
        })
    };
    (0..traffic.publishers).map(publisher).collect()
}
