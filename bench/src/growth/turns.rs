//! Messages in turns: so many at once, and the next when all have come. So each message is handled in the same company, however many
//! connections and subscriptions there are beside it, and the broker's CPU time is the one thing that can grow.

use crate::{
    load::{
        clients::{Clients, LIMIT},
        packets::{self, Stamp, Template},
    },
    process::{FineUsage, precise},
};
use anyhow::{Context as _, ensure};
use std::time::{Duration, Instant};

/// Who sends what in a turn.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Clients that send, by their places, and what: one message each, one after the other, beginning anew after the last.
    pub(crate) senders: Vec<(usize, Template)>,
    /// Messages in a turn.
    pub(crate) at_once: usize,
    /// Subscribers that each message reaches.
    pub(crate) reach: usize,
}

/// What was carried, and what it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) messages: u64,
    pub(crate) cpu_ns: f64,
    pub(crate) waits: u64,
    pub(crate) took: Duration,
}

impl Carried {
    /// CPU nanoseconds for each message that was published.
    pub(crate) fn ns_each(self) -> f64 {
        self.cpu_ns / precise(self.messages)
    }
}

impl Turns {
    /// Turns for so long, after a part of that which is not counted.
    pub(crate) fn measure(
        mut self,
        clients: &mut Clients,
        process: u32,
        span: (Duration, Duration),
    ) -> anyhow::Result<Carried> {
        let (warm_up, measured) = span;
        let mut sent = 0;
        let until = Instant::now() + warm_up;
        while Instant::now() < until || sent < self.senders.len().min(self.at_once) {
            sent += self.turn(clients, sent)?;
        }
        let (before, first, began) = (FineUsage::of(process)?, sent, Instant::now());
        while began.elapsed() < measured {
            sent += self.turn(clients, sent)?;
        }
        let took = began.elapsed();
        let after = FineUsage::of(process)?;
        Ok(Carried {
            messages: u64::try_from(sent - first)?,
            cpu_ns: before.cpu_ns_until(after),
            waits: after.waits - before.waits,
            took,
        })
    }

    /// How many were sent.
    fn turn(&mut self, clients: &mut Clients, sent: usize) -> anyhow::Result<usize> {
        let mut writers = Vec::new();
        for number in 0..self.at_once {
            let from = (sent + number) % self.senders.len();
            let (place, template) = &mut self.senders[from];
            let stamp = Stamp {
                publisher: 0,
                sequence: u64::try_from(sent + number)?,
                due_ns: 0,
            };
            template.append(stamp, &mut clients.get(*place)?.socket.out);
            if writers.last() != Some(place) {
                writers.push(*place);
            }
        }
        for place in writers {
            clients.get(place)?.socket.flush()?;
        }
        self.take(clients, sent)?;
        Ok(self.at_once)
    }

    /// Waits until every message of this turn has come as often as it should.
    fn take(&self, clients: &mut Clients, sent: usize) -> anyhow::Result<()> {
        let (mut missing, began) = (self.at_once * self.reach, Instant::now());
        let mut came = vec![0; self.at_once];
        while missing > 0 {
            clients.turn(LIMIT, |_, frame, _| {
                ensure!(frame.first >> 4 == packets::PUBLISH, "no PUBLISH");
                let stamp = Stamp::read(frame.body).context("a message that is not ours")?;
                let number = usize::try_from(stamp.sequence)?.checked_sub(sent);
                let came = number.and_then(|number| came.get_mut(number));
                let came = came.context("a message of another turn")?;
                *came += 1;
                ensure!(*came <= self.reach, "a message came too often");
                missing -= 1;
                Ok(())
            })?;
            ensure!(began.elapsed() < LIMIT, "{missing} messages are lost");
        }
        Ok(())
    }
}
