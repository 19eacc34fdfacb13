//! What a second shard costs: CPU time for a delivery with one shard and with two, and how often threads wait for each other.
//!
//! On a machine where the load generator needs a core of its own, the clock cannot tell how much faster two shards are. CPU time can: if a
//! delivery takes `one` with one shard and `two` with two, two cores carry `2 × one / two` times as much as one core, as long as shards never
//! wait for each other; and whether they do is counted too.

mod futexes;

use crate::{
    brokers::Running,
    growth::turns::{Carried, Turns},
    load::{admission::Hello, clients::Clients, packets::Template},
    process::{self, precise},
    report::median,
    site::Site,
};
use std::{collections::BTreeMap, time::Duration};
use symbolon_mqtt_proto::Qos;

/// `symbolon-bench scaling`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScalingArgs {
    /// How often everything is measured; the medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each load is measured, milliseconds
    #[arg(long, default_value_t = 1_000)]
    millis: u64,
}

/// Who sends to whom.
#[derive(Clone, Copy, Debug)]
struct Load {
    name: &'static str,
    /// Each with a publisher of its own.
    topics: usize,
    /// Of each topic.
    subscribers: usize,
    /// Messages that are under way at once.
    at_once: usize,
}

/// Where clients are at home is chosen by a keyed hash: so there are enough of them in each that both shards have their share.
const LOADS: [Load; 3] = [
    Load {
        name: "two topics, 250 subscribers each",
        topics: 2,
        subscribers: 250,
        at_once: 40,
    },
    Load {
        name: "100 topics, 10 subscribers each",
        topics: 100,
        subscribers: 10,
        at_once: 400,
    },
    Load {
        name: "100 topics, one subscriber each",
        topics: 100,
        subscribers: 1,
        at_once: 2_000,
    },
];
const SHARDS: [u16; 2] = [1, 2];
const ADMITTED_AT_ONCE: usize = 64;
/// The part of a measurement that is not counted is so many times shorter.
const WARM_UP_PART: u32 = 4;

/// What one run has given, for each delivery or for a thousand messages.
#[derive(Clone, Copy, Debug)]
struct Figures {
    cpu_ns: f64,
    deliveries_per_sec: f64,
    waits: f64,
    futexes: Option<f64>,
}

impl ScalingArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        process::allow_files(crate::compare::OPEN_FILES)?;
        let site = Site::make()?;
        let span = Duration::from_millis(self.millis);
        let mut measured = BTreeMap::<(usize, u16), Vec<Figures>>::new();
        for round in 1..=self.rounds {
            for (number, load) in LOADS.iter().enumerate() {
                for shards in SHARDS {
                    let figures = load.measure(&site, shards, span)?;
                    measured.entry((number, shards)).or_default().push(figures);
                }
            }
            eprintln!("round {round} of {} is over", self.rounds);
        }
        println!(
            "| load | shards | CPU ns/delivery | two cores carry | deliveries/s | waits/1000 messages | futex calls/1000 messages |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|");
        for ((number, shards), all) in &measured {
            let of = |figure: fn(&Figures) -> f64| middle(all, figure);
            let one = measured.get(&(*number, SHARDS[0]));
            let one = middle(one.map_or(&[], Vec::as_slice), |figures| figures.cpu_ns);
            let cpu_ns = of(|figures| figures.cpu_ns);
            let carried = f64::from(*shards) * one / cpu_ns;
            let futexes = all.iter().filter_map(|figures| figures.futexes);
            let futexes = median(&futexes.collect::<Vec<_>>());
            println!(
                "| {} | {shards} | {cpu_ns:.0} | {carried:.2} | {:.0} | {:.1} | {} |",
                LOADS[*number].name,
                of(|figures| figures.deliveries_per_sec),
                of(|figures| figures.waits),
                futexes.map_or("–".into(), |calls| format!("{calls:.2}")),
            );
        }
        Ok(())
    }
}

/// The median of one figure.
fn middle(all: &[Figures], figure: fn(&Figures) -> f64) -> f64 {
    median(&all.iter().map(figure).collect::<Vec<_>>()).unwrap_or(f64::NAN)
}

impl Load {
    fn topic(number: usize) -> String {
        format!("bench/scaling/{number}")
    }

    fn measure(self, site: &Site, shards: u16, span: Duration) -> anyhow::Result<Figures> {
        let running = Running::start(&site.open_to_all(shards), site)?;
        let target = running.target(false);
        let mut clients = Clients::new(&target)?;
        let subscribers = self.topics * self.subscribers;
        let hellos = (0..subscribers + self.topics).map(|number| format!("client{number}"));
        clients.admit(hellos.map(Hello::brief).collect(), ADMITTED_AT_ONCE)?;
        let filters = (0..subscribers).map(|number| Self::topic(number % self.topics));
        clients.subscribe(&filters.collect::<Vec<_>>(), Qos::AtMostOnce)?;
        let spans = (span / WARM_UP_PART, span);
        let carried = self.turns(subscribers)?;
        let carried = carried.measure(&mut clients, target.process, spans)?;
        // Counting futex calls slows the broker: so it is done after the rest.
        let watch = futexes::Watch::attach(target.process)?;
        let watched = self.turns(subscribers)?;
        let watched = watched.measure(&mut clients, target.process, (Duration::ZERO, span))?;
        let futexes = watch.map(futexes::Watch::finish).transpose()?;
        clients.leave_all();
        let thousands = |carried: Carried| precise(carried.messages) / 1_000.0;
        let deliveries = precise(carried.messages) * precise(u64::try_from(self.subscribers)?);
        Ok(Figures {
            cpu_ns: carried.cpu_ns / deliveries,
            deliveries_per_sec: deliveries / carried.took.as_secs_f64(),
            waits: precise(carried.waits) / thousands(carried),
            futexes: futexes.map(|calls| precise(calls) / thousands(watched)),
        })
    }

    fn turns(self, first_publisher: usize) -> anyhow::Result<Turns> {
        let sender = |number| {
            let template = Template::new(&Self::topic(number), Qos::AtMostOnce)?;
            anyhow::Ok((first_publisher + number, template))
        };
        Ok(Turns {
            senders: (0..self.topics).map(sender).collect::<Result<_, _>>()?,
            at_once: self.at_once,
            reach: self.subscribers,
        })
    }
}
