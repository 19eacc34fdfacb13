//! What another shard may hand on until somebody keeps it: whoever does tells the shard that gave it away, by the number of a ticket.
//!
//! A confirmation by count ([`super::holding`]) would not do: of two shards that hand messages on to each other each would wait for the other.

use super::{
    journal::Entry,
    router::ShardIndex,
    shard::{Now, Shard, ShardMessage},
};
use std::collections::{BTreeSet, VecDeque};

/// Names a message that a shard gave away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ticket {
    /// The shard that is to be told.
    shard: ShardIndex,
    number: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    /// How many were taken; the newest has this number.
    taken: u64,
    outstanding: BTreeSet<u64>,
    /// Entries of the journal that are due once all tickets up to this one are back.
    deferred: VecDeque<(u64, Entry)>,
    /// Tickets whose message is here, and the entry of the journal that must be written before that is told.
    to_tell: VecDeque<(u64, Ticket)>,
    turn: Turn,
}

/// What undoes a turn: how much there was, and what was taken out since.
#[derive(Debug, Default)]
struct Turn {
    taken: u64,
    deferred: usize,
    to_tell: usize,
    returned: Vec<u64>,
    journaled: Vec<(u64, Entry)>,
    told: Vec<(u64, Ticket)>,
}

impl Tickets {
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether all tickets up to this one are back.
    pub(crate) fn are_back(&self, up_to: u64) -> bool {
        self.outstanding.first().is_none_or(|first| *first > up_to)
    }

    /// Whatever is done from now on belongs to another turn.
    pub(crate) fn begin_turn(&mut self) {
        self.turn.taken = self.taken;
        self.turn.deferred = self.deferred.len();
        self.turn.to_tell = self.to_tell.len();
        self.turn.returned.clear();
        self.turn.journaled.clear();
        self.turn.told.clear();
    }

    /// As it was when the turn began. Numbers that were given since are not given again.
    pub(crate) fn undo_turn(&mut self) {
        let turn = std::mem::take(&mut self.turn);
        self.outstanding.extend(turn.returned);
        self.outstanding.retain(|number| *number <= turn.taken);
        self.deferred = (turn.journaled.into_iter())
            .chain(self.deferred.drain(..))
            .take(turn.deferred)
            .collect();
        self.to_tell = (turn.told.into_iter())
            .chain(self.to_tell.drain(..))
            .take(turn.to_tell)
            .collect();
    }

    /// What is taken out of the store once tickets are back.
    pub(crate) fn deferred(&self) -> impl Iterator<Item = &Entry> {
        self.deferred.iter().map(|(_, entry)| entry)
    }

    fn take(&mut self, shard: ShardIndex) -> Ticket {
        self.taken += 1;
        self.outstanding.insert(self.taken);
        Ticket {
            shard,
            number: self.taken,
        }
    }
}

impl Shard {
    /// A message is given away, and what is promised of it waits until it is kept elsewhere.
    pub(super) fn take_ticket(&mut self) -> Ticket {
        self.tickets.take(self.index)
    }

    /// The message of this ticket is kept here, or given up: its shard is told once the journal is written so far.
    pub(super) fn settle(&mut self, ticket: Ticket) {
        let sequence = self.journal.sequence();
        self.tickets.to_tell.push_back((sequence, ticket));
    }

    /// Tells of the messages that are written.
    pub(super) fn tell_settled(&mut self, now: Now) {
        while let Some((sequence, ticket)) = self.tickets.to_tell.front().copied() {
            if !self.journal.is_committed(sequence) {
                break;
            }
            self.tickets.to_tell.pop_front();
            self.tickets.turn.told.push((sequence, ticket));
            if ticket.shard == self.index {
                self.handle_settled(ticket.number, now);
            } else {
                let settled = ShardMessage::Settled {
                    ticket: ticket.number,
                };
                self.outbound.push(ticket.shard, settled);
            }
        }
    }

    /// One of our tickets is back.
    pub(super) fn handle_settled(&mut self, number: u64, now: Now) {
        if self.tickets.outstanding.remove(&number) {
            self.tickets.turn.returned.push(number);
        }
        while let Some((up_to, _)) = self.tickets.deferred.front() {
            if !self.tickets.are_back(*up_to) {
                break;
            }
            if let Some((up_to, entry)) = self.tickets.deferred.pop_front() {
                let taken_out = (up_to, entry.clone());
                self.tickets.turn.journaled.push(taken_out);
                self.journal.push(entry);
            }
        }
        self.release_held(now);
    }

    /// Takes something out of the store, but not before what was given away of it is kept elsewhere. The entry, where that is at once.
    pub(super) fn journal_after_tickets(&mut self, entry: Entry) -> Option<u64> {
        let taken = self.tickets.taken;
        if self.tickets.deferred.is_empty() && self.tickets.are_back(taken) {
            return Some(self.journal.push(entry));
        }
        self.tickets.deferred.push_back((taken, entry));
        None
    }
}
