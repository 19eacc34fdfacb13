//! How often somebody may ask.

use std::collections::HashMap;
use symbolon_ace_proto::UnixTime;

/// Length of a window, seconds.
const WINDOW_SECS: u64 = 10;
/// The most requests of one caller in a window, over all endpoints: 500 a second.
const MAX_PER_WINDOW: u32 = 5_000;

/// Requests of the present window, for each caller that proved who it is: so there are no more of them than are registered.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    window: u64,
    requests: HashMap<String, u32>,
}

impl Pacing {
    /// Counts one request; `false` where it is one too many.
    pub(crate) fn admit(&mut self, caller: &str, now: UnixTime) -> bool {
        let window = now.0 / WINDOW_SECS;
        if window != self.window {
            self.window = window;
            self.requests.clear();
        }
        let requests = self.requests.entry(caller.to_owned()).or_default();
        let admitted = *requests < MAX_PER_WINDOW;
        *requests = requests.saturating_add(1);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_too_often_waits_for_the_next_window_and_others_do_not() {
        let mut pacing = Pacing::default();
        let now = UnixTime(1_000);
        for _ in 0..MAX_PER_WINDOW {
            assert!(pacing.admit("a", now));
        }
        assert!(!pacing.admit("a", now.plus_secs(WINDOW_SECS - 1)));
        assert!(pacing.admit("b", now));
        assert!(pacing.admit("a", now.plus_secs(WINDOW_SECS)));
        assert_eq!(pacing.requests.len(), 1);
    }
}
