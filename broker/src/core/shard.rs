//! A shard: its clients, their subscriptions, and what goes to other shards. It decides; the driver moves bytes.
//!
//! In: `handle_*`. Out: `poll_*`, and each session's outbox. The story of a PUBLISH is in `publishing.rs`, that of a SUBSCRIBE in
//! `subscribing.rs`.

use super::{
    admission::{Admission, Admitted, Refusal},
    counters::{Count, Counters, Reason},
    forwarding::Frames,
    hash_seed::HashSeed,
    interest::Interest,
    message::Message,
    reauthentication::Reauthentication,
    retaining::{Retaining, Stamp},
    router::{Router, ShardIndex, Target},
    session::{Session, SessionKey, State, TOPIC_ALIAS_MAXIMUM},
    wheel::Wheel,
};
use crate::Limits;
use slab::Slab;
use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    num::{NonZeroU16, NonZeroU32},
    sync::Arc,
};
use symbolon_ace_proto::{AUTHENTICATION_METHOD, UnixTime};
use symbolon_mqtt_proto::{
    ConnAck, Disconnect, Packet, ProtocolVersion, ReasonCode, TopicFilter,
    connack::ConnAckProperties,
};

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
    },
    /// A client of mine has the first subscription to this filter. Acknowledge once it is in place.
    Interested { filter: TopicFilter, request: u64 },
    /// No client of mine has this filter any more.
    Uninterested { filter: TopicFilter },
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
}

/// What a timer was set for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    KeepAlive(SessionKey),
    TokenExpiry(SessionKey),
    /// Expired retained messages are looked for.
    Sweep,
}

/// One shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(super) index: ShardIndex,
    pub(super) limits: Limits,
    pub(super) admission: Arc<Admission>,
    pub(super) sessions: Slab<Session>,
    by_client: HashMap<Box<str>, SessionKey, ahash::RandomState>,
    pub(super) router: Router,
    pub(super) interest: Interest,
    pub(super) retaining: Retaining,
    pub(super) wheel: Wheel<Timer>,
    dirty: Vec<SessionKey>,
    pub(super) outbound: Vec<Vec<ShardMessage>>,
    pub(super) frames: Frames,
    pub(super) key_requests: VecDeque<SessionKey>,
    pub(crate) counters: Counters,
    due: Vec<Timer>,
    next_serial: u64,
}

/// What a shard is made from.
#[derive(Debug)]
pub(crate) struct ShardSetup {
    pub(crate) index: ShardIndex,
    /// How many shards there are, this one included.
    pub(crate) count: ShardIndex,
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    /// Keyed with a secret: client identifiers and topics are chosen by strangers.
    pub(crate) seed: HashSeed,
}

/// While this many messages wait for one other shard, clients of this one are not read from.
const CONGESTED_FROM: usize = 16 * 1024;
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
            retaining: Retaining::new(setup.index, setup.limits.retained_messages, setup.seed),
            wheel,
            dirty: Vec::new(),
            outbound: (0..setup.count).map(|_| Vec::new()).collect(),
            frames: Frames::default(),
            key_requests: VecDeque::new(),
            counters: Counters::default(),
            due: Vec::new(),
            next_serial: 0,
        }
    }

    /// A client was admitted and its connection is here. Answers CONNACK; a client of the same identifier is told that its session is
    /// taken over (MQTT-3.1.4-3).
    pub(crate) fn handle_admitted(
        &mut self,
        admitted: &Admitted,
        assigned: bool,
        now: Now,
    ) -> SessionKey {
        if let Some(&other) = self.by_client.get(&admitted.introduction.client_identifier) {
            self.close(
                other,
                &Close::new(
                    ReasonCode::SessionTakenOver,
                    "session taken over by another connection",
                ),
                now,
            );
        }
        let introduction = &admitted.introduction;
        let keep_alive_secs =
            granted_keep_alive_secs(introduction.keep_alive_secs, self.limits.keep_alive_secs);
        let client_identifier = introduction.client_identifier.clone();
        let connack = ConnAckProperties {
            session_expiry_interval_secs: introduction.session_expiry_asked.then_some(0),
            receive_maximum: NonZeroU16::new(self.limits.receive_maximum),
            maximum_packet_size: NonZeroU32::new(self.limits.packet_size),
            topic_alias_maximum: Some(TOPIC_ALIAS_MAXIMUM),
            assigned_client_identifier: assigned.then_some(&introduction.client_identifier),
            shared_subscription_available: Some(false),
            server_keep_alive_secs: (keep_alive_secs != introduction.keep_alive_secs)
                .then_some(keep_alive_secs),
            authentication_method: admitted
                .extended_authentication
                .then_some(AUTHENTICATION_METHOD),
            ..ConnAckProperties::default()
        };
        let properties = match introduction.version {
            ProtocolVersion::V5 => connack,
            ProtocolVersion::V311 => ConnAckProperties::default(),
        };
        let connack = ConnAck {
            session_present: false,
            reason_code: ReasonCode::Success,
            properties,
        };
        let mut session = Session::new(self.next_serial, admitted, keep_alive_secs, now);
        session.link.receive_maximum = self.limits.receive_maximum;
        self.next_serial += 1;
        let expires_at = session.grant.expires_at();
        let key = session_key(self.sessions.insert(session));
        self.send(key, &Packet::ConnAck(Box::new(connack)));
        self.by_client.insert(client_identifier, key);
        self.arm_keep_alive(key, now);
        self.arm_expiry(key, expires_at, now);
        key
    }

    /// The connection is gone or done: the session's place is free afterwards.
    pub(crate) fn handle_closed(&mut self, key: SessionKey, now: Now) {
        if self.session(key).state == State::Live {
            self.counters.count(Count::ConnectionsLost);
        }
        self.end(key, WillFate::Publish, now);
        self.sessions.remove(key as usize);
    }

    /// The broker is shutting down.
    pub(crate) fn handle_shutdown(&mut self, now: Now) {
        let live: Vec<SessionKey> = self
            .sessions
            .iter()
            .map(|(index, _)| session_key(index))
            .collect();
        for key in live {
            self.session_mut(key).will = None;
            self.close(
                key,
                &Close::new(
                    ReasonCode::ServerShuttingDown,
                    "the broker is shutting down",
                ),
                now,
            );
        }
    }

    /// Messages from another shard, in its order.
    pub(crate) fn handle_batch(&mut self, from: ShardIndex, batch: Vec<ShardMessage>, now: Now) {
        for message in batch {
            match message {
                ShardMessage::Publish { message, stamp } => {
                    self.handle_remote_publish(&message, stamp, now);
                }
                ShardMessage::Interested { filter, request } => {
                    self.router.subscribe(
                        &filter,
                        Target::Shard(from),
                        super::router::SubscriptionOptions::INTEREST,
                    );
                    self.outbound[usize::from(from)].push(ShardMessage::Acknowledged { request });
                }
                ShardMessage::Uninterested { filter } => {
                    self.router.unsubscribe(&filter, Target::Shard(from));
                }
                ShardMessage::Acknowledged { request } => {
                    self.handle_interest_acknowledged(request, now);
                }
            }
        }
    }

    /// Timers that are due.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now.ms, &mut due);
        for timer in due.drain(..) {
            match timer {
                Timer::KeepAlive(key) => self.handle_keep_alive(key, now),
                Timer::TokenExpiry(key) => self.handle_token_expiry(key, now),
                Timer::Sweep => {
                    self.retaining.sweep(now);
                    self.wheel.insert(now.ms + SWEEP_EVERY_MS, Timer::Sweep);
                }
            }
        }
        self.due = due;
    }

    /// When [`Shard::handle_timeout`] is due next, milliseconds on the broker's clock.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.wheel.next_deadline()
    }

    /// A session whose driver has something to do.
    pub(crate) fn poll_dirty(&mut self) -> Option<SessionKey> {
        self.dirty.pop()
    }

    /// What waits for another shard, taken.
    pub(crate) fn poll_outbound(&mut self, shard: ShardIndex) -> Vec<ShardMessage> {
        std::mem::take(&mut self.outbound[usize::from(shard)])
    }

    /// Gives back what could not be sent, before what came since.
    pub(crate) fn return_outbound(&mut self, shard: ShardIndex, mut batch: Vec<ShardMessage>) {
        let newer = &mut self.outbound[usize::from(shard)];
        batch.append(newer);
        *newer = batch;
    }

    /// A session that needs the AS's keys fetched anew.
    pub(crate) fn poll_key_request(&mut self) -> Option<SessionKey> {
        self.key_requests.pop_front()
    }

    /// Whether clients should not be read from now, because another shard does not keep up.
    pub(crate) fn is_congested(&self) -> bool {
        self.outbound
            .iter()
            .any(|waiting| waiting.len() >= CONGESTED_FROM)
    }

    /// What was counted, with what there is now.
    pub(crate) fn counters(&mut self) -> &Counters {
        self.counters.set(Count::Clients, self.by_client.len());
        let retained = self.retaining.message_count();
        self.counters.set(Count::RetainedMessages, retained);
        &self.counters
    }

    /// Clients connected.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn session_mut(&mut self, key: SessionKey) -> &mut Session {
        &mut self.sessions[key as usize]
    }

    pub(crate) fn session(&self, key: SessionKey) -> &Session {
        &self.sessions[key as usize]
    }

    /// Whether the client may be read from: not while it does not take what we send.
    pub(crate) fn may_read(&self, key: SessionKey) -> bool {
        let session = self.session(key);
        session.state == State::Live && session.link.outbox.len() < self.limits.outbox_bytes
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

    /// Ends a session from our side: DISCONNECT with the reason in 5.0, silence in 3.1.1 (which has no server DISCONNECT).
    pub(crate) fn close(&mut self, key: SessionKey, close: &Close, now: Now) {
        let session = self.session_mut(key);
        if session.state != State::Live {
            return;
        }
        tracing::info!(client = %session.client_identifier, reason = ?close.reason_code, text = %close.text, "client disconnected");
        let version = session.link.version;
        let reason = Count::Reason(Reason::BrokerDisconnect, close.reason_code);
        self.counters.count(reason);
        if *close == Close::token_expired() {
            self.counters.count(Count::TokenExpiries);
        }
        match version {
            ProtocolVersion::V5 => {
                self.send(
                    key,
                    &Packet::Disconnect(Disconnect::new(close.reason_code, Some(&close.text))),
                );
            }
            ProtocolVersion::V311 => self.mark_dirty(key),
        }
        self.end(key, WillFate::Publish, now);
        self.session_mut(key).state = State::Dismissed;
    }

    /// The session is over: it gets nothing more, and its Will is published or not.
    pub(super) fn end(&mut self, key: SessionKey, will: WillFate, now: Now) {
        let session = &mut self.sessions[key as usize];
        if session.state != State::Live {
            return;
        }
        session.state = State::Left;
        let link = &mut session.link;
        for timer in [link.keep_alive_timer.take(), link.expiry_timer.take()]
            .into_iter()
            .flatten()
        {
            self.wheel.cancel(timer);
        }
        session.queue.clear();
        session.last_publish = None;
        session.reauthentication = Reauthentication::Idle;
        let subscriptions = std::mem::take(&mut session.subscriptions);
        let message = session.will.take();
        let client_identifier = std::mem::take(&mut session.client_identifier);
        for filter in &subscriptions {
            self.drop_subscription(key, filter);
        }
        self.by_client.remove(&client_identifier);
        self.mark_dirty(key);
        if let (Some(message), WillFate::Publish) = (message, will) {
            tracing::debug!(client = %client_identifier, "publishing the will");
            self.publish_will(&message, now);
        }
    }

    fn handle_keep_alive(&mut self, key: SessionKey, now: Now) {
        let link = &mut self.session_mut(key).link;
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
        self.session_mut(key).link.expiry_timer = None;
        let grant = &self.session(key).grant;
        if grant.is_expired(now.unix) {
            self.close(key, &Close::token_expired(), now);
        } else {
            let expires_at = grant.expires_at();
            self.arm_expiry(key, expires_at, now);
        }
    }

    fn arm_keep_alive(&mut self, key: SessionKey, now: Now) {
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
}

impl From<Refusal> for Close {
    fn from(refusal: Refusal) -> Self {
        Self {
            reason_code: refusal.reason_code(),
            text: refusal.text(),
        }
    }
}

/// The Keep Alive that holds: the client's, or ours where it is longer or off (MQTT 5.0 §3.2.2.3.14).
fn granted_keep_alive_secs(asked: u16, limit: u16) -> u16 {
    match (asked, limit) {
        (asked, 0) => asked,
        (0, limit) => limit,
        (asked, limit) => asked.min(limit),
    }
}

fn session_key(index: usize) -> SessionKey {
    SessionKey::try_from(index).expect("the limit of connections is far below 2^32")
}
