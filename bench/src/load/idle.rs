//! What clients cost that say nothing.

use super::{Figures, Span, Target, admission::Hello, clients::Clients, clients::LIMIT, packets};
use crate::{
    process::{precise, resident_kib},
    scenario::Figure,
};
use anyhow::ensure;
use std::time::Instant;

const ADMITTED_AT_ONCE: usize = 64;

/// Lets them in, waits, and asks each whether it is still there.
pub(super) fn run(count: usize, target: &Target, span: Span) -> anyhow::Result<Figures> {
    let mut clients = Clients::new(target)?;
    // What is made once is made before.
    clients.admit(vec![Hello::brief("first".into())], 1)?;
    let before = resident_kib(target.process)?;
    let hellos = (0..count).map(|number| Hello::brief(format!("idle{number}")));
    clients.admit(hellos.collect(), ADMITTED_AT_ONCE)?;
    let until = Instant::now() + span.measured;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        clients.turn(left, |_, _, _| Ok(()))?;
    }
    let after = resident_kib(target.process)?;
    for place in 0..clients.len() {
        let socket = &mut clients.get(place)?.socket;
        socket.out.extend_from_slice(&packets::PING);
        socket.flush()?;
    }
    let (mut alive, began) = (0, Instant::now());
    while alive < clients.len() {
        ensure!(began.elapsed() < LIMIT, "only {alive} are still there");
        clients.turn(LIMIT, |_, frame, _| {
            alive += usize::from(frame.first >> 4 == packets::PINGRESP);
            Ok(())
        })?;
    }
    clients.leave_all();
    let each = precise(after.saturating_sub(before)) / precise(u64::try_from(count)?);
    Ok(vec![(Figure::KibPerConnection, each)])
}
