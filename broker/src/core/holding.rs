//! What a client is told once it is true for good: an acknowledgement waits until the store has what it promises, here and on other shards.
//!
//! They leave in the order they came in (MQTT-4.6.0-2). Nothing waits where no session must outlive the process.

use super::{
    counters::Count,
    hash_seed::HashSeed,
    interest::Waiting,
    router::ShardIndex,
    session::{ConnectionKey, SessionKey},
    shard::{Now, Shard, ShardMessage},
    shrinking::{shrink_map, shrink_queue},
};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use symbolon_mqtt_proto::Packet;

/// What must be written first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Needs {
    /// Of this shard's journal, up to this entry; 0 is nothing.
    own: u64,
    /// Of each of these shards, what came of our messages up to this one.
    others: SmallVec<[(ShardIndex, u64); 2]>,
    /// Our tickets up to this one; 0 is none.
    tickets: u64,
}

/// How much was promised at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    own: u64,
    tickets: u64,
}

/// What waits.
#[derive(Debug)]
struct Held {
    to: ConnectionKey,
    what: What,
    needs: Needs,
}

#[derive(Debug)]
enum What {
    /// A packet, encoded.
    Bytes(SmallVec<[u8; 16]>),
    Subscribed(Box<Waiting>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Holding {
    held: VecDeque<Held>,
    /// For each shard, how many messages we sent it whose commit we asked about.
    asked: Vec<u64>,
    /// For each shard, how many of them it confirmed.
    confirmed: Vec<u64>,
    /// For each shard, what it asked about: how many messages, and the entry that must be written before we confirm so many.
    to_confirm: Vec<VecDeque<(u64, u64)>>,
    /// For each shard, how many messages it asked about.
    heard: Vec<u64>,
    /// The same when the turn began.
    heard_before: Vec<u64>,
    /// Sessions whose end is not written, by client, and the entry that says it.
    ending: HashMap<Box<str>, u64, ahash::RandomState>,
    /// Sessions of others may have ended before this entry.
    ended_before: u64,
}

impl Holding {
    pub(crate) fn new(count: ShardIndex, seed: &HashSeed) -> Self {
        let count = usize::from(count);
        Self {
            held: VecDeque::new(),
            asked: vec![0; count],
            confirmed: vec![0; count],
            to_confirm: vec![VecDeque::new(); count],
            heard: vec![0; count],
            heard_before: vec![0; count],
            ending: HashMap::with_hasher(seed.state()),
            ended_before: 0,
        }
    }

    /// In place of one whose shard fell: what others asked about before its last turn is all in the journal, up to this entry.
    pub(super) fn succeed(&mut self, fallen: &Self, journaled: u64) {
        self.heard.clone_from(&fallen.heard_before);
        self.ended_before = journaled;
        for (questions, heard) in self.to_confirm.iter_mut().zip(&self.heard) {
            questions.extend((*heard > 0).then_some((*heard, journaled)));
        }
    }

    /// Whatever is noted from now on belongs to another turn.
    pub(super) fn begin_turn(&mut self) {
        self.heard_before.copy_from_slice(&self.heard);
    }

    /// Another shard has begun anew, and counts what it asks about from nothing.
    pub(super) fn forget_questions(&mut self, from: ShardIndex) {
        let from = usize::from(from);
        self.heard[from] = 0;
        self.to_confirm[from].clear();
    }

    /// A message goes to this shard whose commit we wait for.
    pub(crate) fn ask(&mut self, shard: usize) {
        self.asked[shard] += 1;
    }

    /// Gives back what is far too large for what it holds.
    pub(super) fn shrink(&mut self) {
        shrink_queue(&mut self.held);
        self.to_confirm.iter_mut().for_each(shrink_queue);
        shrink_map(&mut self.ending);
    }

    /// How many answers wait.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

impl Needs {
    fn is_empty(&self) -> bool {
        self.own == 0 && self.others.is_empty() && self.tickets == 0
    }
}

impl Shard {
    /// What was promised up to here; [`Shard::needs_since`] says what came on top.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            own: self.journal.sequence(),
            tickets: self.tickets.taken(),
        }
    }

    /// What was promised since `mark`: by this shard's journal, and by the shards that were asked for it in this turn.
    pub(super) fn needs_since(&self, mark: Mark, asked: &[ShardIndex]) -> Needs {
        let Mark { own, tickets } = self.mark();
        Needs {
            own: if own > mark.own { own } else { 0 },
            tickets: if tickets > mark.tickets { tickets } else { 0 },
            others: asked
                .iter()
                .map(|shard| (*shard, self.holding.asked[usize::from(*shard)]))
                .collect(),
        }
    }

    /// Everything that was promised so far: for an answer to a repetition, whose first may still be on its way.
    pub(super) fn needs_everything(&self) -> Needs {
        let others = (0..).zip(&self.holding.asked).zip(&self.holding.confirmed);
        Needs {
            own: self.journal.sequence(),
            tickets: self.tickets.taken(),
            others: others
                .filter(|((_, asked), confirmed)| asked > confirmed)
                .map(|((shard, asked), _)| (shard, *asked))
                .collect(),
        }
    }

    /// The session of this client is over, as this entry of the journal says.
    pub(super) fn note_end_of(&mut self, client: Box<str>, journaled: u64) {
        self.holding.ending.insert(client, journaled);
    }

    /// That the end of this client's last session is written.
    pub(super) fn needs_end_of(&self, client: &str) -> Needs {
        Needs {
            tickets: 0,
            own: (self.holding.ending.get(client).copied()).unwrap_or(self.holding.ended_before),
            others: SmallVec::new(),
        }
    }

    /// Sends the answer, or keeps it until what it needs is written.
    pub(super) fn answer(&mut self, key: SessionKey, packet: &Packet<'_>, needs: Needs) {
        let link = &self.session(key).link;
        if link.held == 0 && self.is_met(&needs) {
            self.send(key, packet);
            return;
        }
        let mut bytes = Vec::with_capacity(16);
        if packet.encode(link.version, &mut bytes).is_err()
            || bytes.len() > link.maximum_packet_size as usize
        {
            tracing::debug!(packet = ?packet.packet_type(), "packet left out: too large for the client");
            return;
        }
        self.hold(key, What::Bytes(bytes.into()), needs);
    }

    /// Answers a SUBSCRIBE, at once or when it is written.
    pub(super) fn answer_subscribe_once_stored(&mut self, mut waiting: Waiting, now: Now) {
        let Some(session) = self.live(waiting.to) else {
            return;
        };
        let needs = if session.id.is_some() {
            // They are promised with the SUBACK, so they are written before it.
            self.send_retained_of(&waiting, now);
            waiting.retained.clear();
            self.needs_everything()
        } else {
            Needs::default()
        };
        let key = waiting.to.session;
        if self.session(key).link.held == 0 && self.is_met(&needs) {
            self.answer_subscribe(&waiting, now);
        } else {
            self.hold(key, What::Subscribed(Box::new(waiting)), needs);
        }
    }

    fn hold(&mut self, key: SessionKey, what: What, needs: Needs) {
        let to = self.session(key).connection_key(key);
        self.session_mut(key).link.held += 1;
        self.holding.held.push_back(Held { to, what, needs });
    }

    fn is_met(&self, needs: &Needs) -> bool {
        needs.is_empty()
            || (self.journal.is_committed(needs.own)
                && self.tickets.are_back(needs.tickets)
                && needs
                    .others
                    .iter()
                    .all(|(shard, asked)| self.holding.confirmed[usize::from(*shard)] >= *asked))
    }

    /// The store has this shard's entries up to this one.
    pub(crate) fn handle_committed(&mut self, up_to: u64, now: Now) {
        self.journal.handle_committed(up_to);
        let journal = &self.journal;
        (self.holding.ending).retain(|_, journaled| !journal.is_committed(*journaled));
        self.confirm_to_others();
        self.tell_settled(now);
        self.release_held(now);
        while let Some((sequence, at)) = self.held_up.front().copied() {
            if !self.journal.is_committed(sequence) {
                break;
            }
            self.held_up.pop_front();
            if self.live(at).is_some() {
                self.session_mut(at.session).is_held_up = false;
                self.handle_room(at.session, now);
            }
        }
    }

    /// Another shard has written what came of our messages, so many of them.
    pub(super) fn handle_confirmed(&mut self, from: ShardIndex, count: u64, now: Now) {
        // Of what an earlier life of this shard asked.
        if self.rebirth.awaits(from) {
            return;
        }
        self.holding.confirmed[usize::from(from)] = count;
        self.release_held(now);
    }

    /// Another shard asks about a message, and all that came of it here is in the journal.
    pub(super) fn note_question(&mut self, from: ShardIndex) {
        let from = usize::from(from);
        self.holding.heard[from] += 1;
        let (count, sequence) = (self.holding.heard[from], self.journal.sequence());
        let questions = &mut self.holding.to_confirm[from];
        match questions.back_mut() {
            Some(last) if last.1 == sequence => last.0 = count,
            Some(_) | None => questions.push_back((count, sequence)),
        }
    }

    /// Confirms what is written, once for each shard that asked.
    pub(super) fn confirm_to_others(&mut self) {
        for (shard, questions) in (0..).zip(&mut self.holding.to_confirm) {
            let mut confirmed = None;
            while let Some((count, sequence)) = questions.front().copied() {
                if !self.journal.is_committed(sequence) {
                    break;
                }
                questions.pop_front();
                confirmed = Some(count);
            }
            if let Some(count) = confirmed {
                let told = ShardMessage::Confirmed { count };
                self.outbound.push(shard, told);
            }
        }
    }

    pub(super) fn release_held(&mut self, now: Now) {
        while let Some(first) = self.holding.held.front() {
            if !self.is_met(&first.needs) {
                break;
            }
            let Some(Held { to, what, .. }) = self.holding.held.pop_front() else {
                break;
            };
            // The client may be gone; it will ask again when it is back.
            if self.live(to).is_none() {
                continue;
            }
            let link = &mut self.session_mut(to.session).link;
            link.held -= 1;
            link.is_greeted = true;
            match what {
                What::Bytes(bytes) => {
                    link.outbox.tail().extend_from_slice(&bytes);
                    self.counters.count(Count::OtherSent);
                    self.mark_dirty(to.session);
                }
                What::Subscribed(waiting) => self.answer_subscribe(&waiting, now),
            }
        }
        self.counters
            .set(Count::HeldAnswers, self.holding.held.len());
    }
}
