//! How long messages took, and when the next is due.

use mio::{Interest, Registry, unix::SourceFd};
use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    io::read,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

/// The most often that the timer wakes us, nanoseconds: below, one waking sends several.
const SHORTEST_NS: u32 = 100_000;
/// The most seldom, nanoseconds.
const LONGEST_NS: u32 = 1_000_000;

/// Wakes a poll again and again.
#[derive(Debug)]
pub(super) struct Timer(OwnedFd);

/// Latencies of messages, nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<u64>);

impl Timer {
    /// About as often as messages are due.
    pub(super) fn every(gap_ns: u32, registry: &Registry) -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let step = Timespec {
            tv_sec: 0,
            tv_nsec: gap_ns.clamp(SHORTEST_NS, LONGEST_NS).into(),
        };
        let each = Itimerspec {
            it_interval: step,
            it_value: step,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &each)?;
        let raw = timer.as_raw_fd();
        registry.register(
            &mut SourceFd(&raw),
            super::clients::TIMER,
            Interest::READABLE,
        )?;
        Ok(Self(timer))
    }

    /// It has woken us.
    pub(super) fn take(&self) {
        // How often it was due is not of interest: what is due is counted by the clock.
        read(&self.0, &mut [0; 8]).ok();
    }
}

impl Latencies {
    pub(super) fn add(&mut self, ns: u64) {
        self.0.push(ns);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The latency that so many of a hundred messages do not exceed, microseconds.
    pub(super) fn percentile_micros(&mut self, of_hundred: usize) -> f64 {
        self.0.sort_unstable();
        let place = (self.0.len() * of_hundred).div_ceil(100).saturating_sub(1);
        let ns = self.0.get(place).copied().unwrap_or_default();
        crate::process::precise(ns) / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_latency_that_was_seen() {
        let mut latencies = Latencies::default();
        for micros in (1..=200).rev() {
            latencies.add(micros * 1_000);
        }
        let percentiles = [50, 99, 100].map(|of_hundred| latencies.percentile_micros(of_hundred));
        assert!(
            percentiles.iter().eq(&[100.0, 198.0, 200.0]),
            "{percentiles:?}"
        );
    }
}
