//! Subscriptions that a few clients hold, and what another one pays for its own.

use crate::{
    load::{
        clients::{Clients, LIMIT},
        packets,
    },
    process::{FineUsage, precise},
};
use anyhow::ensure;
use std::time::{Duration, Instant};
use symbolon_mqtt_proto::Qos;

/// Clients that hold the subscriptions, in the first places.
pub(crate) const HOLDERS: usize = 8;
/// The same, to number subscriptions by.
const HOLDERS_U32: u32 = 8;
/// Topic Filters in one SUBSCRIBE of theirs.
const FILTERS_AT_ONCE: usize = 500;
/// SUBSCRIBE packets that are under way at once where their cost is measured.
const REQUESTS_AT_ONCE: u32 = 50;
/// Where the numbers of subscriptions begin that come beside those held.
const BESIDE: u32 = 0x8000_0000;

/// What the subscriptions look like.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Exact,
    /// Half of them with `+`, half with `#`.
    Wildcard,
}

impl Kind {
    fn filter(self, number: u32) -> String {
        let device = spread(number);
        match self {
            Self::Exact => topic(number),
            Self::Wildcard if number.is_multiple_of(2) => format!("bench/{device:08x}/+/set"),
            Self::Wildcard => format!("bench/{device:08x}/#"),
        }
    }
}

/// The topic that the subscription of this number matches.
pub(crate) fn topic(number: u32) -> String {
    format!("bench/{:08x}/valve/set", spread(number))
}

/// Spreads numbers, always the same way.
fn spread(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761)
}

/// Topics of these subscriptions, in no order. One after the other belongs to another holder: so a turn of messages is written to as many
/// clients whether there are few subscriptions or many.
pub(crate) fn topics(count: u32, held: u32) -> impl Iterator<Item = String> {
    let holders = HOLDERS_U32;
    (0..count).map(move |number| {
        let any = spread(number) % held.saturating_sub(holders).max(1);
        topic(any - any % holders + number % holders)
    })
}

/// Lets the holders hold so many: one after the other has the next.
pub(crate) fn subscribe(clients: &mut Clients, kind: Kind, count: u32) -> anyhow::Result<()> {
    let each = HOLDERS * FILTERS_AT_ONCE;
    for first in (0..count).step_by(each) {
        let mut asked = 0;
        for place in 0..HOLDERS {
            let numbers = (first..count).take(each).skip(place).step_by(HOLDERS);
            let filters: Vec<_> = numbers.map(|number| kind.filter(number)).collect();
            if filters.is_empty() {
                break;
            }
            let packet = packets::subscribe_to_all(&filters, Qos::AtMostOnce)?;
            send(clients, place, &packet)?;
            asked += 1;
        }
        await_answers(clients, packets::SUBACK, asked)?;
    }
    Ok(())
}

/// CPU nanoseconds that one SUBSCRIBE to one new Topic Filter takes, sent by the client in `place` for so long.
pub(crate) fn measure(
    clients: &mut Clients,
    kind: Kind,
    process: u32,
    (place, span): (usize, Duration),
) -> anyhow::Result<f64> {
    let before = FineUsage::of(process)?;
    let (mut made, began) = (0_u32, Instant::now());
    while began.elapsed() < span {
        let mut bytes = Vec::new();
        for number in made..made + REQUESTS_AT_ONCE {
            let filter = kind.filter(BESIDE + number);
            bytes.extend_from_slice(&packets::subscribe(&filter, Qos::AtMostOnce)?);
        }
        send(clients, place, &bytes)?;
        await_answers(clients, packets::SUBACK, REQUESTS_AT_ONCE)?;
        made += REQUESTS_AT_ONCE;
    }
    let spent = before.cpu_ns_until(FineUsage::of(process)?);
    Ok(spent / precise(made.into()))
}

fn send(clients: &mut Clients, place: usize, bytes: &[u8]) -> anyhow::Result<()> {
    let socket = &mut clients.get(place)?.socket;
    socket.out.extend_from_slice(bytes);
    Ok(socket.flush()?)
}

fn await_answers(clients: &mut Clients, kind: u8, count: u32) -> anyhow::Result<()> {
    let (mut came, began) = (0, Instant::now());
    while came < count {
        clients.turn(LIMIT, |_, frame, _| {
            ensure!(frame.first >> 4 == kind, "another packet");
            let refused = frame.body.last().is_none_or(|code| *code >= 0x80);
            ensure!(!refused, "a subscription is refused");
            came += 1;
            Ok(())
        })?;
        ensure!(began.elapsed() < LIMIT, "only {came} of {count} answers");
    }
    Ok(())
}
