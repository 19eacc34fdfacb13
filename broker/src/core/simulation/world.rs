//! Everything that there is in one run: clients, connections, shards, mail between them, the store and the clock.

use super::{
    client::{Client, Tick, filter},
    dice::Dice,
    disk::Disk,
    network::{Wire, WireId},
    oracle::Oracle,
};
use crate::{
    Limits,
    core::{
        admission::{Admission, TokenKeeping},
        counters::{Count, Dropped},
        grant::PublicTopics,
        hash_seed::HashSeed,
        journal::SessionId,
        quota::Quotas,
        shard::{Now, Shard, ShardMessage, ShardSetup},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::ProtocolVersion;

/// When every run begins.
const BEGIN: u64 = 1_800_000_000;
/// What was in flight stands in the queue again after a restart.
const IN_FLIGHT: usize = 8;
/// What a shard may have of another's messages where bounds are tight, bytes: two of the smallest.
pub(super) const NARROW_WINDOW: usize = 600;
/// What a client may send beyond that, having been read from before: one read of messages, each with what is counted beside it.
const BEYOND_WINDOW: usize = 60_000;
/// How many rounds it may take until nothing is left to be done.
const ROUNDS_TO_REST: usize = 2_000;

/// What is chosen once for a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) shards: u16,
    pub(super) clients: usize,
    pub(super) steps: usize,
    pub(super) crashes: bool,
    /// Shards fall.
    pub(super) falls: bool,
    pub(super) fills: bool,
    /// Bounds so low that they are met.
    pub(super) is_tight: bool,
    pub(super) is_lossy: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) scenario: Scenario,
    pub(super) now: Now,
    tick: Tick,
    pub(super) shards: Vec<Shard>,
    /// From each shard, to each shard.
    pub(super) mail: Vec<Vec<VecDeque<Vec<ShardMessage>>>>,
    pub(super) disk: Disk,
    pub(super) is_full: bool,
    /// Nothing new is begun any more.
    pub(super) is_resting: bool,
    pub(super) wires: BTreeMap<WireId, Wire>,
    pub(super) next_wire: WireId,
    pub(super) clients: Vec<Client>,
    pub(super) oracle: Oracle,
    pub(super) admission: Arc<Admission>,
    /// How often the broker was started.
    boot: u64,
    /// How often a shard fell.
    pub(super) falls: u64,
    traces: bool,
}

impl Scenario {
    fn new(dice: &mut Dice) -> Self {
        Self {
            shards: u16::try_from(dice.between(1, 3)).unwrap(),
            clients: 3 + dice.below(4),
            steps: 200 + dice.below(3_000),
            crashes: !dice.one_in(3),
            falls: dice.one_in(2),
            fills: dice.one_in(3),
            is_tight: dice.one_in(3),
            is_lossy: !dice.one_in(4),
        }
    }

    /// Whether something may be refused because there is no room.
    pub(super) fn has_bounds(self) -> bool {
        self.fills || self.is_tight
    }

    fn limits(self) -> Limits {
        let limits = Limits {
            session_expiry_secs: 1_000,
            receive_maximum: 8,
            ..Limits::default()
        };
        if self.is_tight {
            Limits {
                queued_messages: 6,
                queued_bytes: 20_000,
                outbox_bytes: 400,
                retained_messages: 2,
                subscriptions_per_client: 3,
                ..limits
            }
        } else {
            limits
        }
    }
}

impl World {
    pub(super) fn new(seed: u64, traces: bool) -> Self {
        let mut dice = Dice::new(seed);
        let scenario = Scenario::new(&mut dice);
        let public = PublicTopics::compile(&[filter(super::client::PUBLIC)], &[], false);
        let admission = Arc::new(Admission {
            authorities: Vec::new(),
            generation: 0,
            clock: true,
            public_topics: Arc::new(public),
            response_information: None,
            quotas: Quotas::new(&scenario.limits()),
            tokens: TokenKeeping::default(),
        });
        let clients = (0..scenario.clients).map(|index| {
            let version = if dice.one_in(4) {
                ProtocolVersion::V311
            } else {
                ProtocolVersion::V5
            };
            Client::new(index, version, dice.one_in(2))
        });
        let clients = clients.collect();
        let mut world = Self {
            dice,
            scenario,
            now: Now {
                ms: 0,
                unix: UnixTime(BEGIN),
            },
            tick: 0,
            shards: Vec::new(),
            mail: Vec::new(),
            disk: Disk::default(),
            is_full: false,
            is_resting: false,
            wires: BTreeMap::new(),
            next_wire: 1,
            clients,
            oracle: Oracle::default(),
            admission,
            boot: 0,
            falls: 0,
            traces,
        };
        world.trace(|| format!("{scenario:?}"));
        world.boot();
        world
    }

    /// Lives through the whole run.
    pub(super) fn run(&mut self) {
        for _ in 0..self.scenario.steps {
            self.step();
        }
        self.come_to_rest();
        self.check_rest();
    }

    pub(super) fn trace(&self, text: impl FnOnce() -> String) {
        if self.traces {
            println!("{:>7} ms {}", self.now.ms, text());
        }
    }

    pub(super) fn next_tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }

    fn step(&mut self) {
        let scenario = self.scenario;
        match self.dice.below(100) {
            0..10 => self.pass_time(),
            10..22 => {
                let from = self.dice.below(usize::from(scenario.shards));
                let to = self.dice.below(usize::from(scenario.shards));
                self.deliver_mail(from, to);
            }
            22..32 => {
                let (groups, entries) = (self.dice.below(4), 1 + self.dice.below(4));
                self.disk.commit(groups, entries);
            }
            32..42 => {
                self.tell_committed();
            }
            42..68 => self.move_bytes(),
            68..96 => {
                let client = self.dice.below(self.clients.len());
                self.act(client);
            }
            96..98 if scenario.falls && self.dice.one_in(2) => self.fall(),
            98 if scenario.crashes && self.dice.one_in(3) => self.crash(),
            98 if scenario.fills => self.set_full(!self.is_full),
            _ if self.dice.one_in(10) => self.restart(),
            _ => {}
        }
    }

    fn pass_time(&mut self) {
        let ms = match self.dice.below(10) {
            0 => self.dice.between(10_000, 120_000),
            1 | 2 => self.dice.between(500, 5_000),
            _ => self.dice.between(1, 50),
        };
        self.advance(ms);
    }

    fn advance(&mut self, ms: u64) {
        self.now.ms += ms;
        self.now.unix = UnixTime(BEGIN + self.now.ms / 1_000);
        for shard in 0..self.shards.len() {
            let deadline = self.shards[shard].poll_timeout();
            let is_awaiting = self.shards[shard].is_awaiting_others();
            if !is_awaiting && deadline.is_some_and(|deadline| deadline <= self.now.ms) {
                self.with_shard(shard, Shard::handle_timeout);
            }
        }
        self.note_wills_due();
    }

    /// Whether there was some.
    pub(super) fn deliver_mail(&mut self, from: usize, to: usize) -> bool {
        let Some(batch) = self.mail[from][to].pop_front() else {
            return false;
        };
        self.trace(|| format!("mail {from} -> {to}: {batch:?}"));
        let from = u16::try_from(from).unwrap();
        self.with_shard(to, |shard, now| shard.handle_batch(from, &batch, now));
        true
    }

    fn tell_committed(&mut self) -> bool {
        let Some((shard, up_to)) = self.disk.poll_told() else {
            return false;
        };
        self.trace(|| format!("shard {shard} is told of {up_to}"));
        if self.disk.is_idle() {
            self.oracle.given_up.clear();
        }
        self.with_shard(shard.into(), |shard, now| {
            shard.handle_committed(up_to, now);
        });
        true
    }

    fn set_full(&mut self, is_full: bool) {
        self.trace(|| format!("the store is full: {is_full}"));
        self.is_full = is_full;
        for shard in &mut self.shards {
            shard.store_is_full = is_full;
        }
    }

    /// Lets a shard do something, then hands on what follows, in the order that the driver has: the journal first.
    pub(super) fn with_shard<T>(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Shard, Now) -> T,
    ) -> T {
        self.shards[index].begin_turn();
        let outcome = work(&mut self.shards[index], self.now);
        let shard = &mut self.shards[index];
        shard.begin_turn();
        if let Some((entries, up_to)) = shard.poll_journal() {
            if self.traces {
                println!("           shard {index} writes up to {up_to}: {entries:?}");
            }
            let name = u16::try_from(index).unwrap();
            self.disk.take(name, entries, up_to);
        }
        for (to, mail) in (0..).zip(&mut self.mail[index]) {
            let batch = shard.poll_outbound(to);
            if !batch.is_empty() {
                mail.push_back(batch);
            }
        }
        while shard.poll_dirty().is_some() {}
        self.note_ended();
        self.check_bounds(index);
        outcome
    }

    fn boot(&mut self) {
        self.boot += 1;
        let count = self.scenario.shards;
        let free = self.disk.free_session();
        let setup = |index| self.setup(index, free);
        self.shards = (0..count).map(|index| Shard::new(setup(index))).collect();
        if self.scenario.is_tight {
            for shard in &mut self.shards {
                shard.narrow_outbound(NARROW_WINDOW);
            }
        }
        let none = || (0..count).map(|_| VecDeque::new()).collect();
        self.mail = (0..count).map(|_| none()).collect();
        let stored = self.disk.load();
        for (message, stamp) in &stored.retained {
            for shard in 0..self.shards.len() {
                self.with_shard(shard, |shard, now| {
                    shard.restore_retained(message, *stamp, now);
                });
            }
        }
        for session in stored.sessions {
            let home = self.home(&session.record.client_identifier);
            self.with_shard(home, |shard, now| shard.restore_session(session, now));
        }
        self.set_full(self.is_full);
        while !self.shards.iter().all(Shard::is_settled) {
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    self.deliver_mail(from, to);
                }
            }
        }
    }

    pub(super) fn setup(&self, index: u16, free: SessionId) -> ShardSetup {
        ShardSetup {
            index,
            count: self.scenario.shards,
            limits: self.scenario.limits(),
            admission: Arc::clone(&self.admission),
            store: Some(free),
            seed: HashSeed::from_words([self.boot, 2, 3, 4]),
        }
    }

    /// Where a client is at home, until the broker starts again.
    pub(super) fn home(&self, client: &str) -> usize {
        let hash = HashSeed::from_words([self.boot, 5, 6, 7]).hash(client.as_bytes());
        usize::try_from(hash % u64::from(self.scenario.shards)).unwrap()
    }

    /// The process dies and starts again.
    fn crash(&mut self) {
        self.trace(|| "the broker is gone, and starts again".into());
        self.count_dropped();
        self.disk.crash();
        self.note_crash();
        self.lose_wires(None);
        self.boot();
    }

    /// The broker is shut down and started again.
    fn restart(&mut self) {
        self.trace(|| "restart".into());
        for shard in 0..self.shards.len() {
            self.with_shard(shard, Shard::handle_shutdown);
        }
        for wire in self.wires.keys().copied().collect::<Vec<_>>() {
            while self.write_some(wire, usize::MAX) {}
        }
        self.disk.commit(usize::MAX, usize::MAX);
        self.crash();
    }

    fn count_dropped(&mut self) {
        let dropped = [Dropped::QueueFull, Dropped::PacketTooLarge];
        for shard in &self.shards {
            let numbers = shard.counters.numbers();
            let of_shard = dropped.map(|why| numbers[Count::Dropped(why).place()]);
            self.oracle.dropped_before += of_shard.into_iter().sum::<u64>();
        }
    }

    /// All clients come back with all their rights, and everything that is under way arrives.
    fn come_to_rest(&mut self) {
        self.trace(|| "coming to rest".into());
        self.is_resting = true;
        self.set_full(false);
        for _ in 0..ROUNDS_TO_REST {
            let mut moved = false;
            for client in 0..self.clients.len() {
                moved |= self.come_back(client);
                moved |= self.send_acks(client, usize::MAX);
            }
            for wire in self.wires.keys().copied().collect::<Vec<_>>() {
                moved |= self.move_bytes_of(wire, usize::MAX);
            }
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    while self.deliver_mail(from, to) {
                        moved = true;
                    }
                }
            }
            self.disk.commit(usize::MAX, usize::MAX);
            while self.tell_committed() {
                moved = true;
            }
            if !moved && self.disk.is_idle() {
                return;
            }
            self.advance(1);
        }
        panic!("it does not come to rest");
    }

    fn check_rest(&mut self) {
        self.count_dropped();
        let dropped = self.oracle.dropped_before;
        assert!(
            self.scenario.is_tight || dropped == 0,
            "{dropped} dropped, though there is room"
        );
        let mut lost = 0;
        for client in &self.clients {
            let book = client.session.as_ref().expect("all are connected");
            assert!(
                book.outgoing.is_empty(),
                "{} waits for acknowledgements for ever",
                client.name
            );
            // A restored message that may have been sent before is given up without a word where it expires or may not be had any more.
            assert!(
                self.boot > 1 || self.falls > 0 || book.incoming.is_empty(),
                "{} waits for PUBREL for ever",
                client.name
            );
            for id in book.owed.iter().chain(&book.owed_retained) {
                lost += 1;
                assert!(
                    lost <= self.oracle.dropped_before,
                    "{} never got message {id} of {}: {:?}",
                    client.name,
                    self.oracle.messages[*id].topic,
                    self.oracle.messages[*id]
                );
            }
        }
        for shard in &mut self.shards {
            assert_eq!(shard.holding.len(), 0, "answers are held for ever");
            let subscriptions: usize = (shard.sessions.iter())
                .map(|(_, session)| session.subscriptions.len())
                .sum();
            let counted = shard.counters().numbers()[Count::Subscriptions.place()];
            assert_eq!(
                usize::try_from(counted).unwrap(),
                subscriptions,
                "subscriptions are miscounted"
            );
            for (_, session) in &shard.sessions {
                let name = &session.client_identifier;
                assert!(session.queue.is_empty(), "{name} has a queue for ever");
                assert_eq!(session.queued_bytes, 0, "bytes of {name} are miscounted");
                assert!(
                    session.outgoing.is_empty(),
                    "{name} has messages in flight for ever: {:?}",
                    session.outgoing
                );
                assert!(
                    session.incoming.is_empty(),
                    "{name} has messages unreleased for ever"
                );
                assert_eq!(
                    session.link.held, 0,
                    "held answers of {name} are miscounted"
                );
            }
        }
        let left: usize = self
            .disk
            .load()
            .sessions
            .iter()
            .map(|session| session.messages.len() + session.received.len())
            .sum();
        assert_eq!(left, 0, "the store keeps what is done");
    }

    fn check_bounds(&self, index: usize) {
        let limits = self.scenario.limits();
        if self.scenario.is_tight {
            let untaken = self.shards[index].most_untaken();
            assert!(
                untaken <= NARROW_WINDOW + BEYOND_WINDOW,
                "shard {index} is {untaken} bytes ahead of another"
            );
        }
        for (_, session) in &self.shards[index].sessions {
            let name = &session.client_identifier;
            assert!(
                session.queue.len() <= limits.queued_messages + IN_FLIGHT,
                "the queue of {name} is too long"
            );
            assert!(
                session.queued_bytes <= limits.queued_bytes + IN_FLIGHT * 6_100,
                "the queue of {name} is too large"
            );
            let bytes: usize = session
                .queue
                .iter()
                .map(super::super::session::Queued::size)
                .sum();
            assert_eq!(
                session.queued_bytes, bytes,
                "the queue of {name} is miscounted"
            );
            assert!(
                session.link.outbox.len() <= limits.outbox_bytes + 40_000,
                "the outbox of {name} is too large: {}",
                session.link.outbox.len()
            );
        }
    }
}
