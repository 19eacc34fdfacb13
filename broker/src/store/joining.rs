//! Batches on their way into a group: the parts of a transaction come from several shards, and are written together or not at all, while
//! each shard's batches stay in their order.

use super::writer::Batch;
use crate::core::{
    journal::{Entry, Transaction},
    router::ShardIndex,
};
use std::collections::{HashMap, HashSet, VecDeque};

/// What waits for a group.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    waiting: VecDeque<Waiting>,
    /// Of each transaction that is not written, how many parts have come.
    seen: HashMap<u64, u16>,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    transactions: Vec<Transaction>,
}

impl Joining {
    pub(crate) fn push(&mut self, batch: Batch) {
        let transactions: Vec<_> = batch.entries.iter().filter_map(transaction_of).collect();
        for transaction in &transactions {
            *self.seen.entry(transaction.id).or_default() += 1;
        }
        self.waiting.push_back(Waiting {
            batch,
            transactions,
        });
    }

    /// What of this shard waits.
    pub(crate) fn entries_of(&self, shard: ShardIndex) -> impl Iterator<Item = &Entry> {
        let batches = self.waiting.iter().map(|waiting| &waiting.batch);
        let its = batches.filter(move |batch| batch.shard == shard);
        its.flat_map(|batch| &batch.entries)
    }

    /// Takes what can be written together: at least `entries` of them where there are so many, none whose transaction is not complete, and
    /// nothing that comes behind such a one.
    pub(crate) fn take(&mut self, entries: usize) -> Vec<Batch> {
        let mut count = 0;
        let candidates = self
            .waiting
            .iter()
            .take_while(|waiting| {
                let begins_within = count < entries;
                count += waiting.batch.entries.len();
                begins_within
            })
            .count();
        let taken = self.take_of(candidates);
        if taken.is_empty() && entries > 0 && candidates < self.waiting.len() {
            // A transaction reaches beyond.
            return self.take_of(self.waiting.len());
        }
        taken
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Nothing more will come: what is left is taken, without the parts of transactions that never became complete. They were never
    /// acknowledged.
    pub(crate) fn take_rest(&mut self) -> Vec<Batch> {
        let seen = std::mem::take(&mut self.seen);
        let is_complete = |entry: &Entry| {
            transaction_of(entry).is_none_or(|one| seen.get(&one.id) == Some(&one.parts))
        };
        let rest = self.waiting.drain(..).map(|waiting| {
            let mut batch = waiting.batch;
            batch.entries.retain(is_complete);
            batch
        });
        rest.collect()
    }

    fn take_of(&mut self, candidates: usize) -> Vec<Batch> {
        let held_back = self.held_back(candidates);
        let mut taken = Vec::with_capacity(candidates);
        let mut left = VecDeque::new();
        for (place, waiting) in self.waiting.drain(..).enumerate() {
            let from = held_back.get(&waiting.batch.shard);
            if place >= candidates || from.is_some_and(|from| place >= *from) {
                left.push_back(waiting);
                continue;
            }
            for transaction in &waiting.transactions {
                self.seen.remove(&transaction.id);
            }
            taken.push(waiting.batch);
        }
        self.waiting = left;
        taken
    }

    /// From which place on each shard's batches must wait.
    fn held_back(&self, candidates: usize) -> HashMap<ShardIndex, usize> {
        let mut held_back: HashMap<ShardIndex, usize> = HashMap::new();
        if self.seen.is_empty() {
            return held_back;
        }
        loop {
            let waits = |place: usize, waiting: &Waiting| {
                place >= candidates
                    || (held_back.get(&waiting.batch.shard)).is_some_and(|from| place >= *from)
            };
            let outside: HashSet<u64> = (self.waiting.iter().enumerate())
                .filter(|(place, waiting)| waits(*place, waiting))
                .flat_map(|(_, waiting)| waiting.transactions.iter().map(|one| one.id))
                .collect();
            let must_wait = |one: &Transaction| {
                outside.contains(&one.id) || self.seen.get(&one.id) != Some(&one.parts)
            };
            let found = (self.waiting.iter().enumerate())
                .filter(|(place, waiting)| !waits(*place, waiting))
                .find(|(_, waiting)| waiting.transactions.iter().any(must_wait));
            let Some((place, waiting)) = found else {
                return held_back;
            };
            held_back.insert(waiting.batch.shard, place);
        }
    }
}

fn transaction_of(entry: &Entry) -> Option<Transaction> {
    match entry {
        Entry::Part { transaction, .. } => Some(*transaction),
        Entry::PutSession { .. }
        | Entry::RemoveSession { .. }
        | Entry::PutSubscription { .. }
        | Entry::RemoveSubscription { .. }
        | Entry::PutMessage { .. }
        | Entry::Release { .. }
        | Entry::RemoveMessage { .. }
        | Entry::PutReceived { .. }
        | Entry::RemoveReceived { .. }
        | Entry::Retain { .. }
        | Entry::Expired { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::RemoveSession { id: 1 }
    }

    fn part(id: u64, parts: u16) -> Entry {
        Entry::Part {
            transaction: Transaction { id, parts },
            entries: vec![entry()],
        }
    }

    fn push(joining: &mut Joining, shard: ShardIndex, up_to: u64, entries: Vec<Entry>) {
        joining.push(Batch {
            shard,
            up_to,
            entries,
        });
    }

    fn taken(joining: &mut Joining, entries: usize) -> Vec<(ShardIndex, u64)> {
        let batches = joining.take(entries);
        batches.iter().map(|one| (one.shard, one.up_to)).collect()
    }

    #[test]
    fn a_transaction_waits_for_all_its_parts_and_its_shards_wait_behind_it() {
        let mut joining = Joining::default();
        push(&mut joining, 0, 1, vec![entry()]);
        push(&mut joining, 0, 2, vec![part(7, 3)]);
        push(&mut joining, 0, 3, vec![entry()]);
        push(&mut joining, 1, 1, vec![entry(), part(7, 3)]);
        push(&mut joining, 2, 1, vec![entry()]);
        assert_eq!(taken(&mut joining, 100), [(0, 1), (2, 1)]);
        assert_eq!(taken(&mut joining, 100), []);
        push(&mut joining, 2, 2, vec![part(7, 3)]);
        assert_eq!(taken(&mut joining, 100), [(0, 2), (0, 3), (1, 1), (2, 2)]);
        assert!(joining.seen.is_empty() && joining.waiting.is_empty());
    }

    #[test]
    fn a_part_that_comes_behind_one_that_waits_holds_its_others_up() {
        let mut joining = Joining::default();
        // Transaction 1 is complete, but its part in shard 1 stands behind transaction 2, which is not.
        push(&mut joining, 0, 1, vec![part(1, 2)]);
        push(&mut joining, 1, 1, vec![part(2, 2)]);
        push(&mut joining, 1, 2, vec![part(1, 2)]);
        assert_eq!(taken(&mut joining, 100), []);
        push(&mut joining, 2, 1, vec![part(2, 2)]);
        assert_eq!(taken(&mut joining, 100).len(), 4);
    }

    #[test]
    fn a_group_that_is_limited_does_not_cut_a_transaction() {
        let mut joining = Joining::default();
        push(&mut joining, 0, 1, vec![entry(), entry()]);
        push(&mut joining, 0, 2, vec![part(1, 2)]);
        push(&mut joining, 1, 1, vec![part(1, 2)]);
        assert_eq!(taken(&mut joining, 3), [(0, 1)]);
        assert_eq!(taken(&mut joining, 1), [(0, 2), (1, 1)]);
    }

    #[test]
    fn what_never_became_complete_is_left_out_at_the_end() {
        let mut joining = Joining::default();
        push(&mut joining, 0, 2, vec![part(1, 2), entry()]);
        let rest = joining.take_rest();
        assert_eq!(rest.len(), 1);
        assert!(matches!(rest[0].entries[..], [Entry::RemoveSession { .. }]));
    }
}
