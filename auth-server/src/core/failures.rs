//! Who has to wait before they may try a secret again.
//!
//! Failures count for a name at a network, and for the network: never for the name alone. So whoever fails on purpose under another's name delays
//! nobody but those who come from where they do; and of those, nobody whose own name was right there before.

use super::{network::Network, recent::Recent};
use symbolon_ace_proto::UnixTime;

/// How failures are answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Patience {
    /// So many failures in a row of a name at a network cost no pause.
    pub(crate) free: u32,
    /// The longest pause, seconds; the first lasts 1, each next one twice as long.
    pub(crate) longest_pause_secs: u64,
    /// So many failures a network may have at once, whatever the names.
    pub(crate) burst: u64,
    /// Each so many seconds a network may have one more.
    pub(crate) refill_secs: u64,
}

impl Patience {
    /// For passwords, which people choose.
    pub(crate) const PASSWORDS: Self = Self {
        free: 3,
        longest_pause_secs: 300,
        burst: 20,
        refill_secs: 6,
    };
    /// For secrets and assertions of clients, which are random; many devices may stand behind one address, and a clock that is wrong fails too.
    pub(crate) const CLIENTS: Self = Self {
        free: 10,
        longest_pause_secs: 60,
        burst: 200,
        refill_secs: 1,
    };
}

/// The most names at networks that are remembered, about 150 bytes each.
const MAX_PAIRS: usize = 1 << 16;
/// The most networks.
const MAX_NETWORKS: usize = 1 << 14;
/// After so many seconds without one, failures in a row are forgotten.
const FORGOTTEN_SECS: u64 = 900;
/// Names are kept up to this length, bytes; longer ones share a place.
const MAX_NAME_BYTES: usize = 64;

/// So many seconds must pass first.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many failures: wait {0} s")]
pub(crate) struct Wait(pub(crate) u64);

/// A name at a network.
type Pair = (Box<str>, Network);

/// Failures that are remembered.
#[derive(Debug)]
pub(crate) struct Failures {
    patience: Patience,
    pairs: Recent<Pair, Streak>,
    /// Names that were right at a network before.
    known: Recent<Pair, ()>,
    networks: Recent<Network, Bucket>,
}

#[derive(Debug)]
struct Streak {
    failures: u32,
    last: UnixTime,
}

/// Failures that the network still may have, as of a moment.
#[derive(Debug)]
struct Bucket {
    left: u64,
    at: UnixTime,
}

impl Failures {
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            patience,
            pairs: Recent::new(MAX_PAIRS),
            known: Recent::new(MAX_PAIRS),
            networks: Recent::new(MAX_NETWORKS),
        }
    }

    /// Whether this name may be tried from this network now.
    pub(crate) fn admit(&self, name: &str, network: Network, now: UnixTime) -> Result<(), Wait> {
        let pair = key(name, network);
        let streak = self.pairs.get(&pair);
        let mut wait = streak.map_or(0, |streak| self.left_of_pause(streak, now));
        // Whoever was right here before does not wait for what others at the same network do.
        if self.known.get(&pair).is_none()
            && let Some(bucket) = self.networks.get(&network)
        {
            wait = wait.max(self.until_refilled(bucket, now));
        }
        match wait {
            0 => Ok(()),
            secs => Err(Wait(secs)),
        }
    }

    /// It was tried, and it was wrong.
    pub(crate) fn handle_failure(&mut self, name: &str, network: Network, now: UnixTime) {
        let new = || Streak {
            failures: 0,
            last: now,
        };
        let streak = self.pairs.entry(key(name, network), new);
        if now.0.saturating_sub(streak.last.0) > FORGOTTEN_SECS {
            streak.failures = 0;
        }
        streak.failures = streak.failures.saturating_add(1);
        streak.last = now;
        let full = self.patience.burst;
        let refill_secs = self.patience.refill_secs;
        let bucket = self.networks.entry(network, || Bucket {
            left: full,
            at: now,
        });
        let refilled = now.0.saturating_sub(bucket.at.0) / refill_secs;
        bucket.left = bucket.left.saturating_add(refilled).min(full);
        bucket.at = if bucket.left == full {
            now
        } else {
            bucket.at.plus_secs(refilled * refill_secs)
        };
        bucket.left = bucket.left.saturating_sub(1);
    }

    /// It was tried, and it was right: the failures in a row are over.
    pub(crate) fn handle_success(&mut self, name: &str, network: Network) {
        let pair = key(name, network);
        self.pairs.remove(&pair);
        self.known.entry(pair, || ());
    }

    fn left_of_pause(&self, streak: &Streak, now: UnixTime) -> u64 {
        let Some(over) = streak.failures.checked_sub(self.patience.free) else {
            return 0;
        };
        if over == 0 {
            return 0;
        }
        let pause = 1_u64.checked_shl(over - 1).unwrap_or(u64::MAX);
        let pause = pause.min(self.patience.longest_pause_secs);
        // A clock that was set back makes nobody wait longer than the pause.
        let passed = now.0.saturating_sub(streak.last.0);
        pause.saturating_sub(passed)
    }

    fn until_refilled(&self, bucket: &Bucket, now: UnixTime) -> u64 {
        let refill_secs = self.patience.refill_secs;
        let passed = now.0.saturating_sub(bucket.at.0);
        match bucket.left {
            0 => refill_secs.saturating_sub(passed),
            _ => 0,
        }
    }
}

fn key(name: &str, network: Network) -> Pair {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    (name[..end].into(), network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const NOW: UnixTime = UnixTime(1_000_000);

    fn network(number: u32) -> Network {
        Network::of(IpAddr::V4(Ipv4Addr::from(number)))
    }

    fn passwords() -> Failures {
        Failures::new(Patience::PASSWORDS)
    }

    #[test]
    fn pauses_grow_up_to_the_longest_and_end_with_a_success() {
        let mut failures = passwords();
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..14 {
            now = now.plus_secs(600);
            failures.handle_failure("a", network(1), now);
            pauses.push(
                failures
                    .admit("a", network(1), now)
                    .map_or_else(|w| w.0, |()| 0),
            );
        }
        let expected = [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];
        assert_eq!(pauses, expected);
        assert!(failures.admit("a", network(1), now.plus_secs(300)).is_ok());
        failures.handle_success("a", network(1));
        assert!(failures.admit("a", network(1), now).is_ok());
    }

    #[test]
    fn nobody_is_delayed_by_failures_under_their_name_from_elsewhere() {
        let mut failures = passwords();
        for _ in 0..10_000 {
            failures.handle_failure("a", network(1), NOW);
        }
        assert!(failures.admit("a", network(1), NOW).is_err());
        assert_eq!(failures.admit("a", network(2), NOW), Ok(()));
    }

    #[test]
    fn a_network_that_tries_one_name_after_the_other_waits_too() {
        let mut failures = passwords();
        for number in 0..Patience::PASSWORDS.burst {
            let name = number.to_string();
            assert_eq!(failures.admit(&name, network(1), NOW), Ok(()));
            failures.handle_failure(&name, network(1), NOW);
        }
        assert_eq!(failures.admit("another", network(1), NOW), Err(Wait(6)));
        let later = NOW.plus_secs(6);
        assert_eq!(failures.admit("another", network(1), later), Ok(()));
        failures.handle_failure("another", network(1), later);
        assert_eq!(failures.admit("more", network(1), later), Err(Wait(6)));
        assert_eq!(
            failures.admit("more", network(1), later.plus_secs(6)),
            Ok(())
        );
    }

    #[test]
    fn whoever_was_right_at_a_network_does_not_wait_for_others_there() {
        let mut failures = passwords();
        failures.handle_success("a", network(1));
        for number in 0..100 {
            failures.handle_failure(&number.to_string(), network(1), NOW);
        }
        assert!(failures.admit("b", network(1), NOW).is_err());
        assert_eq!(failures.admit("a", network(1), NOW), Ok(()));
        assert!(failures.admit("a", network(2), NOW).is_ok());
    }

    #[test]
    fn failures_long_ago_are_forgotten() {
        let mut failures = passwords();
        for _ in 0..8 {
            failures.handle_failure("a", network(1), NOW);
        }
        let later = NOW.plus_secs(FORGOTTEN_SECS + 1);
        failures.handle_failure("a", network(1), later);
        assert_eq!(failures.admit("a", network(1), later), Ok(()));
    }

    #[test]
    fn however_many_names_and_networks_fail_the_tables_stay_within_their_bounds() {
        let mut failures = passwords();
        for number in 0..200_000 {
            failures.handle_failure(&number.to_string(), network(number), NOW);
        }
        assert!(failures.pairs.len() <= MAX_PAIRS);
        assert!(failures.networks.len() <= MAX_NETWORKS);
        let long = "ä".repeat(1_000);
        failures.handle_failure(&long, network(1), NOW);
    }
}
