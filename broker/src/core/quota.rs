//! How many sessions and Wills there may be, over all shards.

use crate::Limits;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many places, and how many of them are taken.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// One place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

/// What all shards share.
#[derive(Clone, Debug)]
pub(crate) struct Quotas {
    pub(crate) sessions: Quota,
    pub(crate) wills: Quota,
}

impl Quotas {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            sessions: Quota::new(limits.sessions),
            wills: Quota::new(limits.wills),
        }
    }
}

impl Quotas {
    /// The same places, and as many of them as other limits allow. Who has one above keeps it.
    pub(crate) fn limited_by(&self, limits: &Limits) -> Self {
        Self {
            sessions: self.sessions.limited_to(limits.sessions),
            wills: self.wills.limited_to(limits.wills),
        }
    }
}

impl Quota {
    fn limited_to(&self, limit: usize) -> Self {
        Self {
            taken: Arc::clone(&self.taken),
            limit,
        }
    }

    pub(crate) fn new(limit: usize) -> Self {
        Self {
            taken: Arc::new(AtomicUsize::new(0)),
            limit,
        }
    }

    /// A place, if one is free.
    pub(crate) fn take(&self) -> Option<Place> {
        Place::take(&self.taken, self.limit)
    }

    /// A place in any case: for what takes the place of something else, or was there before the limit was.
    pub(crate) fn take_anyway(&self) -> Place {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(&self.taken))
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Place {
    /// One of `limit` places, if fewer are taken.
    pub(crate) fn take(taken: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let place = Self(Arc::clone(taken));
        // One too many for a moment: dropping the place corrects it.
        (taken.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_place_costs_none_and_a_dropped_one_is_free_again() {
        let quota = Quota::new(1);
        let first = quota.take().unwrap();
        assert!(quota.take().is_none());
        assert_eq!(quota.taken(), 1);
        let beyond = quota.take_anyway();
        assert_eq!(quota.taken(), 2);
        drop(first);
        assert!(quota.take().is_none());
        let wider = quota.limited_to(3);
        let third = wider.take().unwrap();
        assert!(quota.take().is_none());
        drop((beyond, third));
        assert!(quota.take().is_some());
        assert_eq!(quota.taken(), 0);
    }
}
