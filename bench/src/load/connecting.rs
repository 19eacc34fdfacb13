//! Connections a second: TCP, TLS where it is used, CONNECT, CONNACK, DISCONNECT.

use super::{Figures, Span, Target, admission::Hello, clients::Clients, packets};
use crate::{
    process::{Usage, precise},
    scenario::Figure,
};
use std::time::{Duration, Instant};

/// Keeps `at_once` clients coming and going.
pub(super) fn run(at_once: usize, target: &Target, span: Span) -> anyhow::Result<Figures> {
    let mut clients = Clients::new(target)?;
    let mut coming = Coming::default();
    for place in 0..at_once {
        coming.open(&mut clients, place)?;
    }
    coming.go_on(&mut clients, span.warm_up)?;
    let (usage, before) = (Usage::of(target.process)?, coming.admitted);
    coming.go_on(&mut clients, span.measured)?;
    let spent = usage.cpu_secs_since(target.process)?;
    let admitted = precise(coming.admitted - before);
    Ok(vec![(Figure::ConnectionsPerCpuSec, admitted / spent)])
}

#[derive(Debug, Default)]
struct Coming {
    opened: u64,
    admitted: u64,
}

impl Coming {
    fn open(&mut self, clients: &mut Clients, place: usize) -> anyhow::Result<()> {
        self.opened += 1;
        clients.open(place, Hello::brief(format!("c{}", self.opened)))
    }

    fn go_on(&mut self, clients: &mut Clients, duration: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + duration;
        let mut admitted = Vec::new();
        while Instant::now() < until {
            clients.turn(Duration::from_millis(50), |place, frame, _| {
                if frame.first >> 4 == packets::CONNACK {
                    admitted.push(place);
                }
                Ok(())
            })?;
            for place in admitted.drain(..) {
                self.admitted += 1;
                clients.leave(place);
                self.open(clients, place)?;
            }
        }
        Ok(())
    }
}
