//! Whether a message costs the same however much there is beside it: connections, subscriptions, Topic Filters in a scope.
//!
//! | module | holds |
//! |---|---|
//! | [`curve`] | what grows and what is measured: data |
//! | [`turns`] | messages in turns |
//! | [`holding`] | subscriptions |

pub(crate) mod curve;
pub(crate) mod holding;
pub(crate) mod turns;

use crate::{
    brokers::Running,
    load::{Target, admission::Hello, clients::Clients, packets::Template},
    process::{self, precise, resident_kib},
    report::{
        lines::{self, Line, Plot},
        median,
    },
    site::Site,
};
use curve::{Curve, FEW_TOPICS, PLOTS, Step, TOPICS_AT_MOST, steps};
use holding::{HOLDERS, Kind, spread, topic};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, time::Duration};
use symbolon_ace_proto::PopAlgorithm;
use symbolon_mqtt_proto::Qos;
use turns::Turns;

/// `symbolon-bench growth`.
#[derive(Debug, clap::Args)]
pub(crate) struct GrowthArgs {
    /// How often everything is measured; the medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each load is measured, milliseconds
    #[arg(long, default_value_t = 1_000)]
    millis: u64,
    /// One short round, and no more than 1 000 connections and 100 000 subscriptions
    #[arg(long)]
    quick: bool,
    /// Where an SVG with the plots is written
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
}

/// What a curve may rise by from its lowest to its highest point, and still be called flat.
const FLAT: f64 = 1.15;
/// Messages in a turn.
const AT_ONCE: usize = 100;
/// Connections that publish in one turn, a message each.
const PUBLISHING_AT_ONCE: usize = 10;
const ADMITTED_AT_ONCE: usize = 64;
/// The part of a measurement that is not counted is so many times shorter.
const WARM_UP_PART: u32 = 4;
const QUICK_MILLIS: u64 = 300;
const QUICK_CONNECTIONS: u32 = 1_000;
const QUICK_SUBSCRIPTIONS: u32 = 100_000;
/// Subscribed to by whoever shall get all.
const EVERYTHING: &str = "bench/#";
const BYTES_IN_KIB: f64 = 1_024.0;

/// All numbers of all rounds.
type Measured = BTreeMap<(Curve, u32), Vec<f64>>;

impl GrowthArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        process::allow_files(crate::compare::OPEN_FILES)?;
        let site = Site::make()?;
        let (rounds, millis) = if self.quick {
            (1, QUICK_MILLIS)
        } else {
            (self.rounds, self.millis)
        };
        let span = Duration::from_millis(millis);
        let mut measured = Measured::new();
        for round in 1..=rounds {
            for step in steps().into_iter().filter(|step| self.takes(*step)) {
                for (curve, value) in measure(step, &site, span)? {
                    let values = measured.entry((curve, step.count())).or_default();
                    values.push(value);
                }
            }
            eprintln!("round {round} of {rounds} is over");
        }
        let curves = curves(&measured);
        print!("{}", markdown(&curves));
        if let Some(file) = &self.chart {
            fs::write(file, chart(&curves))?;
        }
        Ok(())
    }

    fn takes(&self, step: Step) -> bool {
        !self.quick
            || match step {
                Step::Idle(count) | Step::Publishing(count) => count <= QUICK_CONNECTIONS,
                Step::Holding(_, count) => count <= QUICK_SUBSCRIPTIONS,
                Step::Scope(_) => true,
            }
    }
}

impl Step {
    fn count(self) -> u32 {
        match self {
            Self::Idle(count)
            | Self::Publishing(count)
            | Self::Holding(_, count)
            | Self::Scope(count) => count,
        }
    }
}

/// Starts a broker, brings it there, and measures.
fn measure(step: Step, site: &Site, span: Duration) -> anyhow::Result<Vec<(Curve, f64)>> {
    let broker = match step {
        Step::Scope(filters) => {
            site.with_tokens(1, PopAlgorithm::Es256, usize::try_from(filters)?)?
        }
        Step::Idle(_) | Step::Publishing(_) | Step::Holding(..) => site.open_to_all(1),
    };
    let running = Running::start(&broker, site)?;
    let target = running.target(false);
    let mut clients = Clients::new(&target)?;
    let figures = match step {
        Step::Idle(count) => {
            let each = one_to_one(&mut clients, &target, (count, span))?;
            vec![(Curve::Idle, each)]
        }
        Step::Scope(_) => {
            let each = one_to_one(&mut clients, &target, (0, span))?;
            vec![(Curve::Scope, each)]
        }
        Step::Publishing(count) => {
            let each = in_turn(&mut clients, &target, (count, span))?;
            vec![(Curve::Publishing, each)]
        }
        Step::Holding(kind, count) => held(&mut clients, &target, (kind, count, span))?,
    };
    clients.leave_all();
    Ok(figures)
}

/// Admits a subscriber to everything, in the first place, and so many others.
fn admit(clients: &mut Clients, others: u32) -> anyhow::Result<()> {
    let hellos = (0..=others).map(|number| Hello::brief(format!("client{number}")));
    clients.admit(hellos.collect(), ADMITTED_AT_ONCE)?;
    clients.subscribe(&[EVERYTHING.into()], Qos::AtMostOnce)
}

fn ns_each(
    clients: &mut Clients,
    target: &Target,
    (turns, span): (Turns, Duration),
) -> anyhow::Result<f64> {
    let carried = turns.measure(clients, target.process, (span / WARM_UP_PART, span))?;
    Ok(carried.ns_each())
}

/// One publisher, one subscriber, and so many that say nothing.
fn one_to_one(
    clients: &mut Clients,
    target: &Target,
    (idle, span): (u32, Duration),
) -> anyhow::Result<f64> {
    admit(clients, idle + 1)?;
    let turns = Turns {
        senders: vec![(1, Template::new(&topic(0), Qos::AtMostOnce)?)],
        at_once: AT_ONCE,
        reach: 1,
    };
    ns_each(clients, target, (turns, span))
}

/// Each publishes to a topic of its own.
fn in_turn(
    clients: &mut Clients,
    target: &Target,
    (count, span): (u32, Duration),
) -> anyhow::Result<f64> {
    admit(clients, count)?;
    let sender = |number: u32| {
        let template = Template::new(&topic(number), Qos::AtMostOnce)?;
        anyhow::Ok((usize::try_from(number)? + 1, template))
    };
    let turns = Turns {
        senders: (0..count).map(sender).collect::<Result<_, _>>()?,
        at_once: PUBLISHING_AT_ONCE,
        reach: 1,
    };
    ns_each(clients, target, (turns, span))
}

/// A few clients hold the subscriptions; one publishes, and one subscribes beside them.
fn held(
    clients: &mut Clients,
    target: &Target,
    (kind, count, span): (Kind, u32, Duration),
) -> anyhow::Result<Vec<(Curve, f64)>> {
    let (publisher, subscriber) = (HOLDERS, HOLDERS + 1);
    let hellos = (0..=subscriber).map(|number| Hello::brief(format!("client{number}")));
    clients.admit(hellos.collect(), ADMITTED_AT_ONCE)?;
    let before = resident_kib(target.process)?;
    holding::subscribe(clients, kind, count)?;
    let taken = resident_kib(target.process)?.saturating_sub(before);
    let turns = |topics: u32| {
        let sender = |number: u32| {
            // In no order, so that one message says nothing of the next.
            let topic = topic(spread(number) % count);
            anyhow::Ok((publisher, Template::new(&topic, Qos::AtMostOnce)?))
        };
        anyhow::Ok(Turns {
            senders: (0..topics).map(sender).collect::<Result<_, _>>()?,
            at_once: AT_ONCE,
            reach: 1,
        })
    };
    let few = ns_each(clients, target, (turns(FEW_TOPICS)?, span))?;
    let many = turns(count.min(TOPICS_AT_MOST))?;
    let many = ns_each(clients, target, (many, span))?;
    let at = (subscriber, span);
    let subscribe = holding::measure(clients, kind, target.process, at)?;
    Ok(vec![
        (Curve::Few(kind), few),
        (Curve::Many(kind), many),
        (Curve::Subscribe(kind), subscribe),
        (
            Curve::Memory(kind),
            precise(taken) * BYTES_IN_KIB / f64::from(count),
        ),
    ])
}

/// The medians, each curve by rising count.
fn curves(measured: &Measured) -> BTreeMap<Curve, Vec<(u32, f64)>> {
    let mut curves = BTreeMap::<_, Vec<_>>::new();
    for ((curve, count), values) in measured {
        let points = curves.entry(*curve).or_default();
        points.extend(median(values).map(|median| (*count, median)));
    }
    curves
}

/// Highest over lowest.
fn rise(points: &[(u32, f64)]) -> f64 {
    let values = || points.iter().map(|(_, value)| *value);
    let lowest = values().fold(f64::INFINITY, f64::min);
    values().fold(0.0, f64::max) / lowest
}

fn markdown(curves: &BTreeMap<Curve, Vec<(u32, f64)>>) -> String {
    let mut text =
        String::from("| what | unit | at each count | highest over lowest |\n|---|---|---|---:|\n");
    for (curve, points) in curves {
        let points_told = points
            .iter()
            .map(|(count, value)| format!("{count}: {value:.0}"));
        let told = points_told.collect::<Vec<_>>().join(" · ");
        let rise = rise(points);
        let judged = match curve.shall_be_flat() {
            false => "–".to_owned(),
            true if rise <= FLAT => format!("{rise:.2}"),
            true => format!("{rise:.2}, not flat"),
        };
        // Writing to a text does not fail.
        writeln!(
            text,
            "| {} | {} | {told} | {judged} |",
            curve.name(),
            curve.unit()
        )
        .ok();
    }
    text
}

fn chart(curves: &BTreeMap<Curve, Vec<(u32, f64)>>) -> String {
    let line = |curve: &Curve| {
        let points = curves.get(curve)?;
        let points = points
            .iter()
            .map(|(count, cost)| (f64::from(*count), *cost));
        Some(Line {
            name: curve.name(),
            points: points.collect(),
        })
    };
    let plots = PLOTS.map(|(title, drawn)| Plot {
        title,
        lines: drawn.iter().filter_map(line).collect(),
    });
    lines::svg(&plots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: &[(u32, f64)]) -> String {
        let measured = values.iter().map(|(count, value)| {
            let off = vec![value - 1.0, *value, value + 7.0];
            ((Curve::Scope, *count), off)
        });
        markdown(&curves(&measured.collect()))
    }

    #[test]
    fn a_curve_is_flat_while_its_medians_are_within_15_per_cent() {
        let flat = said(&[(1, 100.0), (5, 90.0), (20, 103.0)]);
        assert!(flat.contains("1: 100 · 5: 90 · 20: 103 | 1.14 |"), "{flat}");
        let steep = said(&[(1, 100.0), (5, 90.0), (20, 104.0)]);
        assert!(steep.contains("1.16, not flat"), "{steep}");
    }

    #[test]
    fn every_curve_that_shall_be_flat_is_drawn() {
        let drawn = PLOTS.iter().flat_map(|(_, curves)| *curves);
        assert_eq!(drawn.filter(|curve| curve.shall_be_flat()).count(), 9);
    }
}
