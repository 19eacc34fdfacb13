//! How many connections each address has, over all shards. Asked once for each connection, never for a packet.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Whom a connection counts for. An IPv6 network of 64 bits is one: whoever has one address of it has all.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Neighbour {
    V4(u32),
    V6(u64),
}

/// Connections by address. They are as many as `connections` allows, so the table is bounded too.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    counts: Mutex<HashMap<Neighbour, usize>>,
}

/// One connection of an address.
#[derive(Debug)]
pub(crate) struct Visit(Option<(Arc<Addresses>, Neighbour)>);

impl Addresses {
    /// One more connection from `address`; `None` where it has as many as `limit`. 0 is any number, and then nothing is counted.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, limit: usize) -> Option<Visit> {
        if limit == 0 {
            return Some(Visit(None));
        }
        let neighbour = Neighbour::of(address);
        let mut counts = self.counts();
        let count = counts.entry(neighbour).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Visit(Some((Arc::clone(self), neighbour))))
    }

    /// Counts stay true whoever panics: each is changed in one step.
    fn counts(&self) -> MutexGuard<'_, HashMap<Neighbour, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Neighbour {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(first_half(address.to_bits())),
        }
    }
}

fn first_half(bits: u128) -> u64 {
    u64::try_from(bits >> 64).expect("64 bits are left")
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some((addresses, neighbour)) = self.0.take() else {
            return;
        };
        if let Entry::Occupied(mut count) = addresses.counts().entry(neighbour) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_connections_and_others_have_their_own() {
        let addresses = Arc::new(Addresses::default());
        let first = addresses.enter(address("192.0.2.1"), 2).unwrap();
        // The same address, as a socket for both versions of IP shows it.
        let _second = addresses.enter(address("::ffff:192.0.2.1"), 2).unwrap();
        assert!(addresses.enter(address("192.0.2.1"), 2).is_none());
        let _other = addresses.enter(address("192.0.2.2"), 2).unwrap();
        drop(first);
        let _third = addresses.enter(address("192.0.2.1"), 2).unwrap();
    }

    #[test]
    fn an_ipv6_network_of_64_bits_counts_as_one() {
        let addresses = Arc::new(Addresses::default());
        let _first = addresses.enter(address("2001:db8:0:1::1"), 1).unwrap();
        assert!(
            addresses
                .enter(address("2001:db8:0:1:ffff::2"), 1)
                .is_none()
        );
        assert!(addresses.enter(address("2001:db8:0:2::1"), 1).is_some());
    }

    #[test]
    fn addresses_without_connections_are_forgotten() {
        let addresses = Arc::new(Addresses::default());
        let visits: Vec<_> = (0..100)
            .filter_map(|last| addresses.enter(IpAddr::from([192, 0, 2, last]), 1))
            .collect();
        assert_eq!(addresses.counts().len(), 100);
        drop(visits);
        assert!(addresses.counts().is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let addresses = Arc::new(Addresses::default());
        let _visit = addresses.enter(address("192.0.2.1"), 0).unwrap();
        assert!(addresses.counts().is_empty());
    }
}
