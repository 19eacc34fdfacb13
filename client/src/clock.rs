//! Where the clocks are read: what decides is told the time.

use crate::core::renewal::Clocks;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use symbolon_ace_proto::UnixTime;

/// Both clocks, now.
pub(crate) fn clocks() -> Clocks {
    Clocks {
        now: now(),
        unix: unix_now(),
    }
}

/// The clock that waiting is done by.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The clock that tokens count by.
pub(crate) fn unix_now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since_epoch.unwrap_or_default().as_secs())
}
