//! Messages that wait for a client that is away, and then go to it.

use super::{
    Figures, Target,
    admission::Hello,
    clients::{Clients, LIMIT},
    packets::{self, Stamp, Template},
};
use crate::{
    process::{Usage, precise},
    scenario::Figure,
};
use anyhow::ensure;
use std::time::{Duration, Instant};
use symbolon_mqtt_proto::Qos;

const TOPIC: &str = "bench/durable";
const AWAY: &str = "away";
/// Messages that are published and not acknowledged at the most.
const WINDOW: u64 = 100;
const SESSION_EXPIRY_SECS: u32 = 3_600;
const WAIT: Duration = Duration::from_millis(50);

/// The client that goes away; with `begins` anew.
fn traveller(begins: bool, session_expiry_secs: u32) -> Hello {
    Hello {
        client_identifier: AWAY.into(),
        clean_start: begins,
        session_expiry_secs,
        credentials: None,
    }
}

/// Queues `messages` at QoS 1, then drains them.
pub(super) fn run(messages: u64, target: &Target) -> anyhow::Result<Figures> {
    let mut clients = Clients::new(target)?;
    clients.admit(vec![traveller(true, SESSION_EXPIRY_SECS)], 1)?;
    clients.subscribe(&[TOPIC.into()], Qos::AtLeastOnce)?;
    clients.leave_all();
    let queued = queue(messages, target, &mut clients)?;
    let drained = drain(messages, target, &mut clients)?;
    // Nothing is left behind.
    clients.admit(vec![traveller(true, 0)], 1)?;
    clients.leave_all();
    Ok(vec![
        (Figure::QueuedPerCpuSec, precise(messages) / queued),
        (Figure::DrainedPerCpuSec, precise(messages) / drained),
    ])
}

/// CPU seconds.
fn queue(messages: u64, target: &Target, clients: &mut Clients) -> anyhow::Result<f64> {
    clients.admit(vec![Hello::brief("publisher".into())], 1)?;
    let mut template = Template::new(TOPIC, Qos::AtLeastOnce)?;
    let usage = Usage::of(target.process)?;
    let (mut sent, mut acknowledged, began) = (0, 0, Instant::now());
    while acknowledged < messages {
        let socket = &mut clients.get(0)?.socket;
        while sent < messages.min(acknowledged + WINDOW) {
            let stamp = Stamp {
                publisher: 0,
                sequence: sent,
                due_ns: 0,
            };
            template.append(stamp, &mut socket.out);
            sent += 1;
        }
        socket.flush()?;
        clients.turn(WAIT, |_, frame, _| {
            acknowledged += u64::from(frame.first >> 4 == packets::PUBACK);
            Ok(())
        })?;
        ensure!(began.elapsed() < LIMIT, "{acknowledged} are acknowledged");
    }
    let cpu_secs = usage.cpu_secs_since(target.process)?;
    clients.leave_all();
    Ok(cpu_secs)
}

/// CPU seconds.
fn drain(messages: u64, target: &Target, clients: &mut Clients) -> anyhow::Result<f64> {
    let usage = Usage::of(target.process)?;
    clients.open(0, traveller(false, SESSION_EXPIRY_SECS))?;
    let (mut received, began) = (0, Instant::now());
    while received < messages {
        clients.turn(WAIT, |_, frame, out| {
            if frame.first >> 4 == packets::PUBLISH {
                packets::acknowledge(frame.first, frame.body, out)?;
                let sequence = Stamp::read(frame.body).map(|stamp| stamp.sequence);
                ensure!(sequence == Some(received), "lost, doubled or out of order");
                received += 1;
            }
            Ok(())
        })?;
        ensure!(began.elapsed() < LIMIT, "{received} have come");
    }
    let cpu_secs = usage.cpu_secs_since(target.process)?;
    clients.leave_all();
    Ok(cpu_secs)
}
