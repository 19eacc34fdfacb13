//! Which Topic Filters this shard's clients hold, counted, so that other shards hear of the first and of the last; and the requests that
//! wait until every other shard has heard.

use super::{hash_seed::HashSeed, session::SessionKey, subscribing::RetainedDelivery};
use std::collections::HashMap;
use symbolon_mqtt_proto::{PacketIdentifier, ReasonCode, TopicFilter};

/// A SUBSCRIBE whose SUBACK waits for other shards.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) session: SessionKey,
    pub(crate) serial: u64,
    pub(crate) packet_identifier: PacketIdentifier,
    pub(crate) subscription_identifier: Option<u32>,
    pub(crate) reason_codes: Vec<ReasonCode>,
    /// Retained messages as they were when the subscription was made.
    pub(crate) retained: Vec<RetainedDelivery>,
    acknowledgements_due: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Interest {
    other_shards: usize,
    counts: HashMap<TopicFilter, usize, ahash::RandomState>,
    waiting: HashMap<u64, Waiting, ahash::RandomState>,
    next_request: u64,
}

impl Interest {
    pub(crate) fn new(other_shards: u16, seed: &HashSeed) -> Self {
        Self {
            other_shards: usize::from(other_shards),
            counts: HashMap::with_hasher(seed.state()),
            waiting: HashMap::with_hasher(seed.state()),
            next_request: 0,
        }
    }

    /// One more subscription; whether the other shards must hear of it.
    pub(crate) fn add(&mut self, filter: &TopicFilter) -> bool {
        if self.other_shards == 0 {
            return false;
        }
        if let Some(count) = self.counts.get_mut(filter) {
            *count += 1;
            return false;
        }
        self.counts.insert(filter.clone(), 1);
        true
    }

    /// One less; whether it was the last and the other shards must hear of it.
    pub(crate) fn remove(&mut self, filter: &TopicFilter) -> bool {
        let Some(count) = self.counts.get_mut(filter) else {
            return false;
        };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.counts.remove(filter);
        true
    }

    /// The number of the next request.
    pub(crate) fn next_request(&self) -> u64 {
        self.next_request
    }

    /// A SUBSCRIBE waits until `told` filters are acknowledged by every other shard.
    pub(crate) fn wait(&mut self, mut waiting: Waiting, told: usize) {
        waiting.acknowledgements_due = told * self.other_shards;
        self.waiting.insert(self.next_request, waiting);
        self.next_request += 1;
    }

    /// One acknowledgement came; the SUBSCRIBE that is now complete.
    pub(crate) fn acknowledge(&mut self, request: u64) -> Option<Waiting> {
        let waiting = self.waiting.get_mut(&request)?;
        waiting.acknowledgements_due -= 1;
        if waiting.acknowledgements_due > 0 {
            return None;
        }
        self.waiting.remove(&request)
    }
}

impl Waiting {
    pub(crate) fn new(
        session: SessionKey,
        serial: u64,
        packet_identifier: PacketIdentifier,
    ) -> Self {
        Self {
            session,
            serial,
            packet_identifier,
            subscription_identifier: None,
            reason_codes: Vec::new(),
            retained: Vec::new(),
            acknowledgements_due: 0,
        }
    }
}
