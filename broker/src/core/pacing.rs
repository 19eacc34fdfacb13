//! How fast a client may publish: a token bucket in one number. Beyond it the client is not read from until the next token.

use super::{
    counters::{Count, Limit},
    session::SessionKey,
    shard::{Now, Shard, Timer},
    wheel::TimerKey,
};
use crate::Limits;

/// One client's bucket, as the time at which it would be full again.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Nanoseconds for one message; 0 is off.
    interval_ns: u64,
    /// Nanoseconds for a full bucket.
    burst_ns: u64,
    /// On the broker's clock.
    full_at_ns: u64,
    /// The client is not read from.
    paused: bool,
    timer: Option<TimerKey>,
}

const NS_PER_SEC: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let burst = match limits.receive_burst {
            0 => limits.receive_rate,
            burst => burst,
        };
        let interval_ns = NS_PER_SEC
            .checked_div(u64::from(limits.receive_rate))
            .unwrap_or(0);
        Self {
            interval_ns,
            burst_ns: interval_ns * u64::from(burst),
            ..Self::default()
        }
    }

    /// Whether messages are counted at all.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.interval_ns > 0
    }

    /// Whether the client is not read from now.
    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// The timer that ends the pause, if there is one.
    pub(crate) fn take_timer(&mut self) -> Option<TimerKey> {
        self.timer.take()
    }

    /// A message takes a token. When the next one is there, milliseconds on the broker's clock, if that was the last.
    fn spend(&mut self, now_ms: u64) -> Option<u64> {
        let earliest = now_ms.saturating_mul(NS_PER_MS);
        self.full_at_ns = self.full_at_ns.max(earliest) + self.interval_ns;
        let next = (self.full_at_ns + self.interval_ns).saturating_sub(self.burst_ns);
        (next > earliest).then(|| next.div_ceil(NS_PER_MS))
    }
}

impl Shard {
    /// A PUBLISH came, and messages are counted.
    pub(super) fn spend_token(&mut self, key: SessionKey, now: Now) {
        let pace = &mut self.sessions[key as usize].link.pace;
        let Some(next_ms) = pace.spend(now.ms) else {
            return;
        };
        pace.paused = true;
        if pace.timer.is_none() {
            let timer = self.wheel.insert(next_ms.max(now.ms + 1), Timer::Pace(key));
            pace.timer = Some(timer);
            self.counters.count(Count::Limit(Limit::ReceiveRate));
        }
    }

    /// There is a token again: the client is read from.
    pub(super) fn handle_pace_timer(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key as usize) else {
            return;
        };
        session.link.pace.timer = None;
        session.link.pace.paused = false;
        self.mark_dirty(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(receive_rate: u32, receive_burst: u32) -> Pace {
        Pace::new(&Limits {
            receive_rate,
            receive_burst,
            ..Limits::default()
        })
    }

    #[test]
    fn without_a_rate_nothing_is_counted() {
        assert!(!pace(0, 0).is_on());
        assert!(!pace(0, 7).is_on());
    }

    #[test]
    fn a_burst_is_taken_at_once_and_then_one_message_for_each_token() {
        let mut pace = pace(10, 3);
        assert_eq!(pace.spend(1_000), None);
        assert_eq!(pace.spend(1_000), None);
        assert_eq!(pace.spend(1_000), Some(1_100));
        assert_eq!(pace.spend(1_100), Some(1_200));
        // Idle time fills the bucket, and no more than that.
        assert_eq!(pace.spend(60_000), None);
        assert_eq!(pace.spend(60_000), None);
        assert_eq!(pace.spend(60_000), Some(60_100));
    }

    #[test]
    fn rates_beyond_one_message_a_millisecond_hold_on_average() {
        let mut pace = pace(5_000, 0);
        let mut now_ms = 1;
        let mut spent = 0;
        while now_ms < 2_001 {
            spent += 1;
            if let Some(next_ms) = pace.spend(now_ms) {
                now_ms = next_ms.max(now_ms + 1);
            }
        }
        // Two seconds and one bucket.
        assert!((14_000..=16_000).contains(&spent), "{spent}");
    }
}
