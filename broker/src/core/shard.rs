//! A shard: its clients, their subscriptions, and what goes to other shards. It decides; the driver moves bytes.
//!
//! In: `handle_*`. Out: `poll_*`, and each session's outbox. The story of a PUBLISH is in `publishing.rs`, that of a SUBSCRIBE in
//! `subscribing.rs`.

use super::{
    admission::Admission,
    counters::{Count, Counters},
    falling::{Rebirth, Told, Welcome},
    forwarding::Frames,
    groups::{Census, Groups},
    hash_seed::HashSeed,
    holding::Holding,
    interest::{Interest, UNAWAITED},
    introspected::Question,
    journal::{Entry, Journal, SessionId, Transaction},
    message::Message,
    outbound::Outbound,
    refusal::Refusal,
    retaining::{Retaining, Stamp, Swept},
    router::{Router, ShardIndex, SubscriptionOptions, Target},
    session::{ConnectionKey, Farewell, Session, SessionKey, State, SubscriptionKey},
    sharing::Shared,
    system::SystemTopics,
    tickets::Tickets,
    wheel::Wheel,
};
use crate::Limits;
use slab::Slab;
use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{Packet, ReasonCode, TopicFilter};

/// A reading of the clocks, taken once for a batch of packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Milliseconds since the broker started; never goes back.
    pub(crate) ms: u64,
    /// The time of day, which tokens are measured by.
    pub(crate) unix: UnixTime,
}

/// What one shard tells another. Order holds between any two shards.
#[derive(Debug)]
pub(crate) enum ShardMessage {
    /// Deliver to your clients; with a stamp, retain it too.
    Publish {
        message: Arc<Message>,
        stamp: Option<Stamp>,
        /// Say once it is written for those who must not lose it.
        confirm: bool,
        /// What is written of it is a part of this.
        transaction: Option<Transaction>,
    },
    /// So many of the messages that you asked about are written.
    Confirmed { count: u64 },
    /// A client of mine has the first subscription to this filter, or the first or last that is stored. Acknowledge once it is in place.
    Interested {
        filter: TopicFilter,
        durable: bool,
        request: u64,
    },
    /// No client of mine has this filter any more.
    Uninterested { filter: TopicFilter },
    /// My members of this group from now on. Acknowledge, unless nobody waits for it.
    Group {
        group: Arc<SubscriptionKey>,
        census: Census,
        request: u64,
    },
    /// Give it to a member of a group, or hand it on.
    Shared(Shared),
    /// The message of this ticket of yours is kept.
    Settled { ticket: u64 },
    /// Values of `$SYS` that are new or have changed.
    System(Arc<[Arc<Message>]>),
    /// I have fallen, and begun anew: this is all that my clients want, and of what you want I know nothing. Answer with [`Self::Welcome`].
    Reborn { life: u32, told: Arc<Told> },
    /// All that a shard needs that has begun anew.
    Welcome(Box<Welcome>),
    /// So much of what you sent is taken.
    Taken { bytes: usize },
    /// The request is in place here.
    Acknowledged { request: u64 },
}

/// Why a session ends from our side: what DISCONNECT says (MQTT 5.0 §3.14).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Close {
    pub(crate) reason_code: ReasonCode,
    pub(crate) text: Cow<'static, str>,
}

/// What becomes of the Will (MQTT 5.0 §3.1.2.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WillFate {
    Publish,
    Discard,
    /// It is kept with the session: the broker ends, not the client.
    Keep,
}

/// What a timer was set for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    KeepAlive(SessionKey),
    TokenExpiry(SessionKey),
    /// The Will Delay Interval is over.
    Will(SessionKey),
    /// The Session Expiry Interval is over.
    SessionEnd(SessionKey),
    /// A client that published too fast may be read from again.
    Pace(SessionKey),
    /// What was said of a token by reference is stale.
    Introspection(ConnectionKey),
    /// A client that can do nothing but publish a token has had the time for it.
    Visit(ConnectionKey),
    /// Expired retained messages are looked for, and memory is given back.
    Sweep,
}

/// One shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(super) index: ShardIndex,
    pub(super) limits: Limits,
    pub(super) admission: Arc<Admission>,
    pub(super) sessions: Slab<Session>,
    pub(super) by_client: HashMap<Box<str>, SessionKey, ahash::RandomState>,
    pub(super) router: Router,
    pub(super) interest: Interest,
    pub(super) groups: Groups,
    pub(super) tickets: Tickets,
    /// Members of groups whose tokens were found to be over.
    pub(super) expired_members: Vec<ConnectionKey>,
    pub(super) retaining: Retaining,
    pub(super) system: SystemTopics,
    pub(super) wheel: Wheel<Timer>,
    pub(super) dirty: Vec<SessionKey>,
    pub(super) outbound: Outbound,
    pub(super) frames: Frames,
    pub(super) key_requests: VecDeque<(ConnectionKey, Arc<str>)>,
    pub(super) introspection_requests: VecDeque<(ConnectionKey, Question)>,
    /// Sessions that the authorization server is being asked about again, a few.
    pub(super) asking: Vec<ConnectionKey>,
    /// Those that wait for that, at most all.
    pub(super) to_ask: VecDeque<ConnectionKey>,
    pub(crate) counters: Counters,
    pub(super) journal: Journal,
    pub(super) holding: Holding,
    /// Sessions whose queue the store holds up, and by which entry of the journal.
    pub(super) held_up: VecDeque<(u64, ConnectionKey)>,
    /// The store takes nothing new.
    pub(crate) store_is_full: bool,
    /// Of connections that are over, by serial.
    pub(super) farewells: HashMap<u64, Farewell, ahash::RandomState>,
    /// Connections that the driver has not given back.
    pub(super) connected: usize,
    due: Vec<Timer>,
    pub(super) next_serial: u64,
    pub(super) rebirth: Rebirth,
}

/// What a shard is made from.
#[derive(Debug)]
pub(crate) struct ShardSetup {
    pub(crate) index: ShardIndex,
    /// How many shards there are, this one included.
    pub(crate) count: ShardIndex,
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    /// There is a store, and this is the first session name that is free in it.
    pub(crate) store: Option<SessionId>,
    /// Keyed with a secret: client identifiers and topics are chosen by strangers.
    pub(crate) seed: HashSeed,
}

/// While this many entries wait for the store, or so many answers for the entries, clients are not read from.
const UNWRITTEN_FROM: u64 = 64 * 1024;
/// How often a part of the retained messages is looked through for expired ones, milliseconds.
const SWEEP_EVERY_MS: u64 = 1_000;

impl Shard {
    pub(crate) fn new(setup: ShardSetup) -> Self {
        let mut wheel = Wheel::new(0);
        wheel.insert(SWEEP_EVERY_MS, Timer::Sweep);
        Self {
            index: setup.index,
            limits: setup.limits,
            admission: setup.admission,
            sessions: Slab::new(),
            by_client: HashMap::with_hasher(setup.seed.state()),
            router: Router::new(&setup.seed),
            interest: Interest::new(setup.count - 1, &setup.seed),
            groups: Groups::new(setup.index, setup.count, &setup.seed),
            tickets: Tickets::default(),
            expired_members: Vec::new(),
            journal: Journal::new(setup.store, setup.index, setup.count),
            holding: Holding::new(setup.count, &setup.seed),
            held_up: VecDeque::new(),
            store_is_full: false,
            farewells: HashMap::with_hasher(setup.seed.state()),
            connected: 0,
            system: SystemTopics::new(setup.seed.clone()),
            retaining: Retaining::new(setup.index, &setup.limits, setup.seed),
            wheel,
            dirty: Vec::new(),
            outbound: Outbound::new(setup.count),
            frames: Frames::default(),
            key_requests: VecDeque::new(),
            introspection_requests: VecDeque::new(),
            asking: Vec::new(),
            to_ask: VecDeque::new(),
            counters: Counters::default(),
            due: Vec::new(),
            next_serial: 1,
            rebirth: Rebirth::default(),
        }
    }

    /// Messages from another shard, in its order.
    pub(crate) fn handle_batch(&mut self, from: ShardIndex, batch: &[ShardMessage], now: Now) {
        let mut bytes = batch.iter().map(ShardMessage::bytes).sum();
        for message in batch {
            match message {
                ShardMessage::Publish {
                    message,
                    stamp,
                    confirm,
                    transaction,
                } => {
                    if transaction.is_some() {
                        self.journal.begin_part();
                    }
                    self.handle_remote_publish(message, *stamp, now);
                    if transaction.is_some() {
                        self.journal.end_part(*transaction);
                    }
                    if *confirm {
                        self.note_question(from);
                    }
                }
                ShardMessage::Confirmed { count } => self.handle_confirmed(from, *count, now),
                ShardMessage::Interested {
                    filter,
                    durable,
                    request,
                } => {
                    let options = SubscriptionOptions::interest(*durable);
                    self.router.subscribe(filter, Target::Shard(from), options);
                    let acknowledged = ShardMessage::Acknowledged { request: *request };
                    self.outbound.push(from, acknowledged);
                }
                ShardMessage::Uninterested { filter } => {
                    self.router.unsubscribe(filter, Target::Shard(from));
                }
                ShardMessage::Group {
                    group,
                    census,
                    request,
                } => {
                    self.handle_census(from, group, *census);
                    if *request != UNAWAITED {
                        let acknowledged = ShardMessage::Acknowledged { request: *request };
                        self.outbound.push(from, acknowledged);
                    }
                }
                // Whom it could go to is not known yet.
                ShardMessage::Shared(shared) if self.rebirth.is_awaiting() => {
                    bytes -= message.bytes();
                    self.rebirth.put_off(from, shared);
                }
                ShardMessage::Shared(shared) => self.handle_shared(shared, now),
                ShardMessage::Settled { ticket } => self.handle_settled(*ticket, now),
                ShardMessage::Reborn { life, told } => self.handle_reborn(from, *life, told),
                ShardMessage::Welcome(welcome) => self.handle_welcome(from, welcome, now),
                ShardMessage::System(messages) => self.handle_remote_system_values(messages, now),
                ShardMessage::Taken { bytes } => self.handle_taken(from, *bytes),
                ShardMessage::Acknowledged { request } => {
                    self.handle_interest_acknowledged(*request, now);
                }
            }
        }
        self.close_expired_members(now);
        self.confirm_to_others();
        self.tell_settled(now);
        self.note_taken(from, bytes);
    }

    /// Timers that are due.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now.ms, &mut due);
        for timer in due.drain(..) {
            match timer {
                Timer::KeepAlive(key) => self.handle_keep_alive(key, now),
                Timer::TokenExpiry(key) => self.handle_token_expiry(key, now),
                Timer::Will(key) => self.handle_will_timer(key, now),
                Timer::SessionEnd(key) => self.handle_end_timer(key, now),
                Timer::Pace(key) => self.handle_pace_timer(key),
                Timer::Introspection(at) => self.handle_introspection_timer(at, now),
                Timer::Visit(at) => self.handle_visit_timer(at, now),
                Timer::Sweep => {
                    self.sweep_retained(now);
                    self.note_expired_numbers(now);
                    self.admission.tokens.stored.sweep(now.unix);
                    self.shrink();
                    self.wheel.insert(now.ms + SWEEP_EVERY_MS, Timer::Sweep);
                }
            }
        }
        self.due = due;
        self.close_expired_members(now);
    }

    /// When [`Shard::handle_timeout`] is due next, milliseconds on the broker's clock.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.wheel.next_deadline()
    }

    /// A session whose driver has something to do.
    pub(crate) fn poll_dirty(&mut self) -> Option<SessionKey> {
        self.dirty.pop()
    }

    /// What must be written, taken, and the number of its newest entry: [`Shard::handle_committed`] says when it is.
    pub(crate) fn poll_journal(&mut self) -> Option<(Vec<Entry>, u64)> {
        self.journal.take()
    }

    /// Gives back what the store could not take, before what came since.
    pub(crate) fn return_journal(&mut self, entries: Vec<Entry>) {
        self.journal.give_back(entries);
    }

    /// A session that needs the keys of this issuer fetched anew.
    pub(crate) fn poll_key_request(&mut self) -> Option<(ConnectionKey, Arc<str>)> {
        self.key_requests.pop_front()
    }

    /// A session that needs the authorization server to be asked what a token says. [`Shard::handle_keys`] is due after that.
    pub(crate) fn poll_introspection_request(&mut self) -> Option<(ConnectionKey, Question)> {
        self.introspection_requests.pop_front()
    }

    /// Whether clients should not be read from now, because another shard or the store does not keep up.
    pub(crate) fn is_congested(&self) -> bool {
        self.journal.unwritten() >= UNWRITTEN_FROM
            || self.holding.len() as u64 >= UNWRITTEN_FROM
            || self.is_ahead_of_others()
    }

    /// What was counted, with what there is now.
    pub(crate) fn counters(&mut self) -> &Counters {
        self.counters.set(Count::Clients, self.connected);
        self.counters.set(Count::Sessions, self.sessions.len());
        let retained = self.retaining.message_count();
        self.counters.set(Count::RetainedMessages, retained);
        let retained_bytes = self.retaining.message_bytes();
        self.counters.set(Count::RetainedBytes, retained_bytes);
        let unwritten = usize::try_from(self.journal.unwritten()).unwrap_or(usize::MAX);
        self.counters.set(Count::Unwritten, unwritten);
        &self.counters
    }

    /// Connections that the driver has not given back.
    pub(crate) fn connection_count(&self) -> usize {
        self.connected
    }

    /// The session of a connection, as long as that is its connection.
    pub(crate) fn live(&self, at: ConnectionKey) -> Option<&Session> {
        let session = self.sessions.get(at.session as usize)?;
        (session.connection == at.serial && session.state == State::Live).then_some(session)
    }

    pub(crate) fn session_mut(&mut self, key: SessionKey) -> &mut Session {
        &mut self.sessions[key as usize]
    }

    pub(crate) fn session(&self, key: SessionKey) -> &Session {
        &self.sessions[key as usize]
    }

    /// Whether the client may be read from: not before its CONNACK, nor while it does not take what we send, nor while the store owes it as
    /// many answers as it may have messages in flight.
    pub(crate) fn may_read(&self, key: SessionKey) -> bool {
        let link = &self.session(key).link;
        link.is_greeted
            && link.outbox.len() < self.limits.outbox_bytes
            && link.held < usize::from(link.receive_maximum)
            && !link.pace.is_paused()
    }

    /// Appends a packet to a session's outbox. One that the client does not take (MQTT-3.1.2-24) or that cannot be written is left out.
    pub(super) fn send(&mut self, key: SessionKey, packet: &Packet<'_>) {
        let link = &mut self.session_mut(key).link;
        let out = link.outbox.tail();
        let start = out.len();
        let version = link.version;
        if packet.encode(version, out).is_err()
            || out.len() - start > link.maximum_packet_size as usize
        {
            out.truncate(start);
            tracing::debug!(packet = ?packet.packet_type(), "packet left out: too large for the client");
        } else {
            self.counters.count(Count::OtherSent);
        }
        self.mark_dirty(key);
    }

    pub(super) fn mark_dirty(&mut self, key: SessionKey) {
        let link = &mut self.sessions[key as usize].link;
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Expired retained messages leave the memory of every shard. One shard speaks for all of them to the store.
    fn sweep_retained(&mut self, now: Now) {
        let Swept { expired, extended } = self.retaining.sweep(now, self.index == 0);
        if self.index != 0 || !self.journal.is_enabled() {
            return;
        }
        for (message, stamp) in expired {
            // Under its own stamp: whatever was retained there since is later, and stays.
            let message = message.deletion();
            self.journal.push(Entry::Retain { message, stamp });
        }
        for (message, stamp) in extended {
            self.journal.push(Entry::Retain { message, stamp });
        }
    }

    /// Tokens with `exi` that are over must be so after a restart. One shard speaks for all.
    fn note_expired_numbers(&mut self, now: Now) {
        if self.index != 0 {
            return;
        }
        for (issuer, number) in self.admission.tokens.spans.take_news(now.unix) {
            self.journal.push(Entry::Expired { issuer, number });
        }
    }

    fn handle_keep_alive(&mut self, key: SessionKey, now: Now) {
        let Some(session) = self.sessions.get_mut(key as usize) else {
            return;
        };
        let link = &mut session.link;
        link.keep_alive_timer = None;
        if now.ms >= link.last_packet_ms + link.keep_alive_ms {
            self.close(
                key,
                &Close::new(
                    ReasonCode::KeepAliveTimeout,
                    "nothing came for one and a half keep alive intervals",
                ),
                now,
            );
        } else {
            self.arm_keep_alive(key, now);
        }
    }

    fn handle_token_expiry(&mut self, key: SessionKey, now: Now) {
        let Some(session) = self.sessions.get_mut(key as usize) else {
            return;
        };
        session.link.expiry_timer = None;
        if session.state == State::Away {
            return;
        }
        let grant = &session.grant;
        if grant.is_expired(now.unix) {
            self.close(key, &Close::token_expired(), now);
        } else {
            let expires_at = grant.expires_at();
            self.arm_expiry(key, expires_at, now);
        }
    }

    pub(super) fn arm_keep_alive(&mut self, key: SessionKey, now: Now) {
        let link = &self.session(key).link;
        if link.keep_alive_ms > 0 {
            let deadline_ms = (link.last_packet_ms + link.keep_alive_ms).max(now.ms + 1);
            let timer = self.wheel.insert(deadline_ms, Timer::KeepAlive(key));
            self.session_mut(key).link.keep_alive_timer = Some(timer);
        }
    }

    /// Sets the timer that cuts the client when its token runs out; the wall clock is looked at again then.
    pub(super) fn arm_expiry(&mut self, key: SessionKey, expires_at: Option<UnixTime>, now: Now) {
        if let Some(timer) = self.session_mut(key).link.expiry_timer.take() {
            self.wheel.cancel(timer);
        }
        if let Some(expires_at) = expires_at {
            // A wall clock set back must not let a token live: look at least once an hour.
            let wait_ms = now.unix.secs_until(expires_at).min(3_600) * 1_000;
            let timer = self
                .wheel
                .insert(now.ms + wait_ms.max(1), Timer::TokenExpiry(key));
            self.session_mut(key).link.expiry_timer = Some(timer);
        }
    }
}

impl Close {
    pub(crate) fn new(reason_code: ReasonCode, text: &'static str) -> Self {
        Self {
            reason_code,
            text: text.into(),
        }
    }

    pub(crate) fn token_expired() -> Self {
        Self::new(ReasonCode::NotAuthorized, "the token has expired")
    }

    pub(super) fn token_revoked() -> Self {
        Self::new(ReasonCode::NotAuthorized, "the token has been revoked")
    }
}

impl From<Refusal> for Close {
    fn from(refusal: Refusal) -> Self {
        // What the client is told, which the log has too, may say less.
        tracing::debug!(reason = %refusal, "a client is refused");
        Self {
            reason_code: refusal.reason_code(),
            text: refusal.text(),
        }
    }
}
