//! Which Topic Filters this shard's clients hold, counted, so that other shards hear of the first and of the last; and the requests that
//! wait until every other shard has heard.

use super::{hash_seed::HashSeed, session::ConnectionKey, subscribing::RetainedDelivery};
use std::collections::HashMap;
use symbolon_mqtt_proto::{PacketIdentifier, ReasonCode, TopicFilter};

/// A SUBSCRIBE whose SUBACK waits for other shards.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) to: ConnectionKey,
    pub(crate) packet_identifier: PacketIdentifier,
    pub(crate) subscription_identifier: Option<u32>,
    pub(crate) reason_codes: Vec<ReasonCode>,
    /// Retained messages as they were when the subscription was made.
    pub(crate) retained: Vec<RetainedDelivery>,
}

/// What waits for one request. Shards acknowledge in order, so no later request is done before it.
#[derive(Debug)]
struct Request {
    acknowledgements_due: usize,
    /// The SUBSCRIBE that made it, and those that told nothing new but rely on it or on one before.
    waiting: Vec<Waiting>,
}

/// What the other shards must hear of a subscription that ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Nothing,
    /// It was the last.
    Uninterested,
    /// It was the last of a stored session.
    NotDurable,
}

/// How many subscriptions there are to one filter.
#[derive(Clone, Copy, Debug)]
struct Count {
    all: usize,
    /// Those of stored sessions.
    durable: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Interest {
    other_shards: usize,
    counts: HashMap<TopicFilter, Count, ahash::RandomState>,
    requests: HashMap<u64, Request, ahash::RandomState>,
    next_request: u64,
    restored_due: usize,
}

/// The request of what is told at the start.
const RESTORED: u64 = u64::MAX;
/// A request whose acknowledgement nobody waits for.
pub(crate) const UNAWAITED: u64 = u64::MAX - 1;

impl Interest {
    pub(crate) fn new(other_shards: u16, seed: &HashSeed) -> Self {
        Self {
            other_shards: usize::from(other_shards),
            counts: HashMap::with_hasher(seed.state()),
            requests: HashMap::with_hasher(seed.state()),
            next_request: 0,
            restored_due: 0,
        }
    }

    /// One more subscription, which a stored session holds or another; what the other shards must hear: whether a stored one is among them.
    pub(crate) fn add(&mut self, filter: &TopicFilter, durable: bool) -> Option<bool> {
        if self.other_shards == 0 {
            return None;
        }
        let Some(count) = self.counts.get_mut(filter) else {
            let count = Count {
                all: 1,
                durable: usize::from(durable),
            };
            self.counts.insert(filter.clone(), count);
            return Some(durable);
        };
        count.all += 1;
        count.durable += usize::from(durable);
        (durable && count.durable == 1).then_some(true)
    }

    /// One less.
    pub(crate) fn remove(&mut self, filter: &TopicFilter, durable: bool) -> Change {
        let Some(count) = self.counts.get_mut(filter) else {
            return Change::Nothing;
        };
        count.all -= 1;
        count.durable -= usize::from(durable);
        if count.all == 0 {
            self.counts.remove(filter);
            Change::Uninterested
        } else if durable && count.durable == 0 {
            Change::NotDurable
        } else {
            Change::Nothing
        }
    }

    /// In place of one whose shard fell: requests of its clients may still be acknowledged, and must not be taken for others.
    pub(crate) fn succeed(&mut self, fallen: &Self) {
        self.next_request = fallen.next_request;
    }

    /// Nobody waits for what was restored: it is told in another way.
    pub(crate) fn forget_restored(&mut self) {
        self.restored_due = 0;
    }

    /// Every filter there is a subscription to, and whether a stored session holds one; in the order of filters.
    pub(crate) fn all(&self) -> Vec<(TopicFilter, bool)> {
        let counts = self.counts.iter();
        let mut all: Vec<_> = counts
            .map(|(filter, count)| (filter.clone(), count.durable > 0))
            .collect();
        all.sort_unstable();
        all
    }

    /// A request that no SUBSCRIBE waits for: what stored sessions hold is told at the start.
    pub(crate) fn tell_restored(&mut self) -> u64 {
        self.restored_due += self.other_shards;
        RESTORED
    }

    /// Whether the other shards have heard of all that stored sessions hold.
    pub(crate) fn is_settled(&self) -> bool {
        self.restored_due == 0
    }

    /// The number of the next request.
    pub(crate) fn next_request(&self) -> u64 {
        self.next_request
    }

    /// A SUBSCRIBE waits until `told` filters are acknowledged by every other shard, and all before it; where nothing is to be waited for
    /// it is given back.
    pub(crate) fn wait(&mut self, waiting: Waiting, told: usize) -> Option<Waiting> {
        if told == 0 {
            // Its filters may be those of another SUBSCRIBE of which not all shards have heard yet.
            let newest = self.next_request.wrapping_sub(1);
            let Some(request) = self.requests.get_mut(&newest) else {
                return Some(waiting);
            };
            request.waiting.push(waiting);
            return None;
        }
        let request = Request {
            acknowledgements_due: told * self.other_shards,
            waiting: vec![waiting],
        };
        self.requests.insert(self.next_request, request);
        self.next_request += 1;
        None
    }

    /// One acknowledgement came; the SUBSCRIBEs that need no more.
    pub(crate) fn acknowledge(&mut self, request: u64) -> Vec<Waiting> {
        if request == RESTORED {
            self.restored_due = self.restored_due.saturating_sub(1);
        }
        let Some(waiting) = self.requests.get_mut(&request) else {
            return Vec::new();
        };
        waiting.acknowledgements_due -= 1;
        if waiting.acknowledgements_due > 0 {
            return Vec::new();
        }
        let done = self.requests.remove(&request);
        done.map(|request| request.waiting).unwrap_or_default()
    }
}

impl Waiting {
    pub(crate) fn new(to: ConnectionKey, packet_identifier: PacketIdentifier) -> Self {
        Self {
            to,
            packet_identifier,
            subscription_identifier: None,
            reason_codes: Vec::new(),
            retained: Vec::new(),
        }
    }
}
