//! A shard that fell, because its thread panicked, and the one that goes on in its place.
//!
//! What a shard does in one turn is seen by nobody before the turn is over: entries of the journal, messages for other shards, bytes for
//! clients. So a turn that fell never was: it is undone, and what the shard had given away before stays true. Its successor has
//!
//! - from the fallen one: its journal, what waits for other shards and how much of theirs it has, its tickets, how many of their questions it
//!   owes an answer; numbers go on, so that nothing is taken for something else;
//! - from the store: the sessions, as all that the fallen one ever journaled leaves them;
//! - from each other shard, by [`ShardMessage::Welcome`]: what its clients want, and the retained messages. Until all of them have told it,
//!   no client is let in.
//!
//! The others hear by [`ShardMessage::Reborn`] what is left of its subscriptions, in one message, so that a session that goes on misses
//! nothing. What they had sent and nobody had read is read by the successor, a batch that was being handled once more.

use super::{
    counters::Counters,
    grant::Grant,
    groups::Census,
    journal::{Entry, StoredSession},
    message::Message,
    retaining::{Kept, Stamp},
    router::{ShardIndex, SubscriptionOptions, Target},
    session::{SessionWill, SubscriptionKey},
    shard::{Now, Shard, ShardMessage, ShardSetup},
    sharing::Shared,
};
use std::{
    collections::{BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
};
use symbolon_mqtt_proto::TopicFilter;

/// All that the clients of one shard want of the others.
#[derive(Debug)]
pub(crate) struct Told {
    /// In their order; and whether a stored session is among those that want it.
    filters: Vec<(TopicFilter, bool)>,
    /// In their order.
    groups: Vec<(Arc<SubscriptionKey>, Census)>,
}

/// What a shard that begins anew is told by another.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// Of the shard that is told.
    life: u32,
    told: Told,
    retained: Vec<Kept>,
    /// Values of `$SYS`, from the shard that makes them.
    system: Arc<[Arc<Message>]>,
}

/// A Will whose session fell with its shard.
#[derive(Clone, Debug)]
struct OrphanedWill {
    will: SessionWill,
    grant: Grant,
}

/// How far a shard is that begins anew.
#[derive(Debug, Default)]
pub(crate) struct Rebirth {
    /// How often it did.
    life: u32,
    /// Shards that have not told it what they want.
    awaited: BTreeSet<ShardIndex>,
    /// Messages of groups, until all members of the groups are known. Their senders' windows bound them.
    put_off: VecDeque<(ShardIndex, Shared)>,
    wills: Rc<[OrphanedWill]>,
    /// The last two when the turn began.
    before: (VecDeque<(ShardIndex, Shared)>, Rc<[OrphanedWill]>),
    /// What was restored may not be written before this entry of the journal is.
    inherited: u64,
}

impl Rebirth {
    /// Whether some shard has not told what its clients want.
    pub(crate) fn is_awaiting(&self) -> bool {
        !self.awaited.is_empty()
    }

    pub(super) fn awaits(&self, shard: ShardIndex) -> bool {
        self.awaited.contains(&shard)
    }

    pub(super) fn put_off(&mut self, from: ShardIndex, shared: &Shared) {
        self.put_off.push_back((from, shared.clone()));
    }

    pub(super) fn inherited(&self) -> u64 {
        self.inherited
    }

    fn begin_turn(&mut self) {
        let (put_off, wills) = &mut self.before;
        // Nothing to be done but in the moments of a rebirth.
        if !(put_off.is_empty() && self.put_off.is_empty()) {
            put_off.clone_from(&self.put_off);
        }
        if wills.len() != self.wills.len() {
            *wills = Rc::clone(&self.wills);
        }
    }

    fn undo_turn(&mut self) {
        let (put_off, wills) = &mut self.before;
        self.put_off = std::mem::take(put_off);
        self.wills = Rc::clone(wills);
    }
}

impl Shard {
    /// Whatever is done from now on belongs to another turn: what came before is not undone any more.
    pub(crate) fn begin_turn(&mut self) {
        self.journal.begin_turn();
        self.outbound.begin_turn();
        self.tickets.begin_turn();
        self.holding.begin_turn();
        self.rebirth.begin_turn();
    }

    /// Stands where a shard fell until its thread has ended: it knows no session, so that every connection finds that it is over.
    pub(crate) fn stand_in(&self, setup: ShardSetup) -> Self {
        let mut stand_in = Self::new(setup);
        stand_in.connected = self.connected;
        stand_in.next_serial = self.next_serial;
        stand_in
    }

    /// Undoes the turn that this shard fell in, and what is then still to be written: it must be, before the store is read for
    /// [`Shard::succeed`].
    pub(crate) fn undo_turn(&mut self) -> Option<(Vec<Entry>, u64)> {
        self.journal.undo_turn();
        self.outbound.undo_turn();
        self.tickets.undo_turn();
        self.rebirth.undo_turn();
        self.journal.take()
    }

    /// What is to be taken out of the store once others keep it. The successor's sessions are without it.
    pub(crate) fn deferred_entries(&self) -> impl Iterator<Item = &Entry> {
        self.tickets.deferred()
    }

    /// The shard that goes on in the place of one whose turn was undone. Sessions and, where there is no other shard to ask, retained
    /// messages are as the store has them. Until [`Shard::is_awaiting_others`] is over, no client may be let in.
    pub(crate) fn succeed(
        mut fallen: Self,
        setup: ShardSetup,
        (sessions, retained): (Vec<StoredSession>, &[(Arc<Message>, Stamp)]),
        now: Now,
    ) -> Self {
        let life = fallen.rebirth.life + 1;
        let wills = fallen.take_orphaned_wills();
        let mut shard = Self::new(setup);
        shard.rebirth = Rebirth {
            life,
            awaited: shard.other_shards().collect(),
            put_off: std::mem::take(&mut fallen.rebirth.put_off),
            wills,
            before: Default::default(),
            inherited: fallen.journal.sequence(),
        };
        let inherited = shard.rebirth.inherited;
        shard.holding.succeed(&fallen.holding, inherited);
        shard.interest.succeed(&fallen.interest);
        shard.retaining.succeed(&fallen.retaining);
        shard.next_serial = fallen.next_serial;
        shard.journal = fallen.journal;
        shard.outbound = fallen.outbound;
        shard.tickets = fallen.tickets;
        shard.counters = Counters::succeed(fallen.counters);
        // Their places are free again before the successors of its sessions take theirs.
        drop(fallen.sessions);
        if !shard.rebirth.is_awaiting() {
            for (message, stamp) in retained {
                shard.restore_retained(message, *stamp, now);
            }
        }
        // What is told of each subscription is told below, of all at once.
        shard.outbound.begin_turn();
        for session in sessions {
            shard.restore_session(session, now);
        }
        shard.outbound.undo_turn();
        shard.interest.forget_restored();
        let told = Arc::new(shard.all_told());
        shard.tell_others(|| ShardMessage::Reborn {
            life,
            told: Arc::clone(&told),
        });
        if !shard.rebirth.is_awaiting() {
            shard.end_rebirth(now);
        }
        shard
    }

    /// Whether it has begun anew and some other shard has not told it what its clients want.
    pub(crate) fn is_awaiting_others(&self) -> bool {
        self.rebirth.is_awaiting()
    }

    /// The Wills of sessions that no store has: they end with their shard, and their clients did not say goodbye.
    fn take_orphaned_wills(&mut self) -> Rc<[OrphanedWill]> {
        let unstored = (self.sessions.iter_mut()).filter(|(_, session)| session.id.is_none());
        let orphaned = unstored.filter_map(|(_, session)| {
            let grant = session.grant.clone();
            let will = session.will.take()?;
            Some(OrphanedWill { will, grant })
        });
        (self.rebirth.wills.iter().cloned())
            .chain(orphaned)
            .collect()
    }

    fn all_told(&self) -> Told {
        Told {
            filters: self.interest.all(),
            groups: self.groups.own(),
        }
    }

    /// Another shard has begun anew.
    pub(super) fn handle_reborn(&mut self, from: ShardIndex, life: u32, told: &Told) {
        self.hear_all(from, told);
        self.holding.forget_questions(from);
        // Each tells what is its own; one tells all, for what was retained by shards that are no more.
        let own = self.index;
        let tells_all = own == u16::from(from == 0);
        let retained = self.retaining.all(|stamp| tells_all || stamp.shard == own);
        let welcome = Welcome {
            life,
            told: self.all_told(),
            retained,
            system: self.system.all(),
        };
        let welcome = ShardMessage::Welcome(Box::new(welcome));
        self.outbound.push(from, welcome);
    }

    /// Another shard has told what its clients want, and what it retains.
    pub(super) fn handle_welcome(&mut self, from: ShardIndex, welcome: &Welcome, now: Now) {
        if welcome.life != self.rebirth.life || !self.rebirth.awaited.remove(&from) {
            return;
        }
        self.hear_all(from, &welcome.told);
        for kept in &welcome.retained {
            self.retaining.adopt(kept, now);
        }
        self.handle_remote_system_values(&welcome.system, now);
        if !self.rebirth.is_awaiting() {
            self.end_rebirth(now);
        }
    }

    /// All is known again.
    fn end_rebirth(&mut self, now: Now) {
        while let Some((from, shared)) = self.rebirth.put_off.pop_front() {
            self.handle_shared(&shared, now);
            self.note_taken(from, ShardMessage::Shared(shared).bytes());
        }
        let wills = std::mem::take(&mut self.rebirth.wills);
        for OrphanedWill { will, grant } in wills.iter() {
            self.publish_will(will, grant, now);
        }
    }

    /// What the clients of another shard want, in place of all that was told before.
    fn hear_all(&mut self, from: ShardIndex, told: &Told) {
        let target = Target::Shard(from);
        for (filter, durable) in &told.filters {
            let options = SubscriptionOptions::interest(*durable);
            self.router.subscribe(filter, target, options);
        }
        for filter in self.router.filters_of(target) {
            if (told.filters.binary_search_by(|(one, _)| one.cmp(&filter))).is_err() {
                self.router.unsubscribe(&filter, target);
            }
        }
        for (group, census) in &told.groups {
            self.handle_census(from, group, *census);
        }
        for group in self.groups.of_shard(from) {
            if (told.groups.binary_search_by(|(one, _)| one.cmp(&group))).is_err() {
                self.handle_census(from, &group, Census::default());
            }
        }
    }
}
