//! The time of day, for a broker with a clock and for one without.

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use symbolon_ace_proto::UnixTime;

/// Where the time of day comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeOfDay {
    /// From the system, which keeps it right.
    Clock,
    /// Nobody knows it. What the system said when the broker started, and the seconds since: it never jumps, so that spans are counted right.
    Counted { from: UnixTime, started: Instant },
}

impl TimeOfDay {
    /// Of a broker that started then, with a `clock` or without.
    pub(crate) fn new(clock: bool, started: Instant) -> Self {
        if clock {
            Self::Clock
        } else {
            let from = system_time();
            Self::Counted { from, started }
        }
    }

    /// The time now.
    pub(crate) fn now(self) -> UnixTime {
        match self {
            Self::Clock => system_time(),
            Self::Counted { from, started } => from.plus_secs(started.elapsed().as_secs()),
        }
    }
}

fn system_time() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| since.as_secs()))
}
