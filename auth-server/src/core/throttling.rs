//! Who shows wrong secrets again and again. Nobody guesses 256 random bits; this bounds what trying costs us, and makes it seen.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};
use symbolon_ace_proto::UnixTime;

/// Length of a window, seconds.
pub(crate) const WINDOW_SECS: u64 = 60;
/// The most wrong secrets from one address, or one /64 of IPv6, in a window.
pub(crate) const MAX_PER_ADDRESS: u32 = 20;
/// The most addresses that are remembered in a window. Beyond, wrong secrets are refused and not counted: memory is bounded, and whoever is
/// right is let in all the same.
pub(crate) const MAX_ADDRESSES: usize = 65_536;

/// Wrong secrets of the present window, by address.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    window: u64,
    wrong: HashMap<IpAddr, u32>,
}

impl Throttle {
    /// Whether this address may try.
    pub(crate) fn may_try(&mut self, address: IpAddr, now: UnixTime) -> bool {
        self.turn(now);
        let wrong = self.wrong.get(&network_of(address));
        wrong.is_none_or(|wrong| *wrong < MAX_PER_ADDRESS)
    }

    /// Counts a wrong secret.
    pub(crate) fn handle_wrong(&mut self, address: IpAddr, now: UnixTime) {
        self.turn(now);
        let address = network_of(address);
        let known = self.wrong.contains_key(&address);
        if known || self.wrong.len() < MAX_ADDRESSES {
            let wrong = self.wrong.entry(address).or_default();
            *wrong = wrong.saturating_add(1);
        }
    }

    fn turn(&mut self, now: UnixTime) {
        let window = now.0 / WINDOW_SECS;
        if window != self.window {
            self.window = window;
            self.wrong.clear();
        }
    }
}

/// One host has a whole /64 to choose its address from.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_wrong_too_often_waits_for_the_next_window_and_others_do_not() {
        let mut throttle = Throttle::default();
        let now = UnixTime(1_000 * WINDOW_SECS);
        let guesser: IpAddr = "2001:db8::1".parse().unwrap();
        for _ in 0..MAX_PER_ADDRESS {
            assert!(throttle.may_try(guesser, now));
            throttle.handle_wrong(guesser, now);
        }
        assert!(!throttle.may_try(guesser, now));
        let beside: IpAddr = "2001:db8::ffff:2".parse().unwrap();
        assert!(!throttle.may_try(beside, now));
        let other: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(throttle.may_try(other, now));
        assert!(throttle.may_try(guesser, now.plus_secs(WINDOW_SECS)));
    }

    #[test]
    fn the_addresses_that_are_remembered_are_bounded() {
        let mut throttle = Throttle::default();
        let now = UnixTime(1_000);
        for number in 0..=u32::try_from(MAX_ADDRESSES).unwrap() {
            let address = std::net::Ipv4Addr::from_bits(number);
            throttle.handle_wrong(address.into(), now);
        }
        assert_eq!(throttle.wrong.len(), MAX_ADDRESSES);
    }
}
