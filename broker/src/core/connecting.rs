//! How sessions begin, go on and end (MQTT 5.0 §3.1, §4.1): admitted, taken over, resumed, left, expired; and their Wills.

use super::{
    admission::{Admitted, Refusal},
    counters::{Count, Reason},
    journal::Entry,
    reauthentication::Reauthentication,
    session::{ConnectionKey, Farewell, Link, Session, SessionKey, State, TOPIC_ALIAS_MAXIMUM},
    shard::{Close, Now, Shard, Timer, WillFate},
};
use std::num::{NonZeroU16, NonZeroU32};
use symbolon_ace_proto::AUTHENTICATION_METHOD;
use symbolon_mqtt_proto::{
    ConnAck, Disconnect, Packet, ProtocolVersion, ReasonCode, connack::ConnAckProperties,
};

/// A session that never ends by itself (MQTT 5.0 §3.1.2.11.2).
const NEVER: u32 = u32::MAX;

/// What a client that is not let in is told, in the form of what is to be written.
pub(crate) type Refused = Farewell;

impl Shard {
    /// A client was admitted and its connection is here. Answers CONNACK; a client of the same identifier is told that its session is
    /// taken over (MQTT-3.1.4-3).
    pub(crate) fn handle_admitted(
        &mut self,
        admitted: &Admitted,
        assigned: bool,
        now: Now,
    ) -> Result<ConnectionKey, Refused> {
        let introduction = &admitted.introduction;
        if let Some(&key) = self.by_client.get(&introduction.client_identifier)
            && let grant = &self.session(key).grant
            && !grant.may_be_resumed_by(&admitted.grant)
        {
            return Err(self.refuse_admitted(admitted, &Refusal::OtherSession));
        }
        let expiry_secs = (introduction.session_expiry_secs).min(self.limits.session_expiry_secs);
        if expiry_secs > 0 && self.store_is_full {
            return Err(self.refuse_admitted(admitted, &Refusal::StoreFull));
        }
        let earlier = self.take_over(admitted, now);
        let keep_alive_secs =
            granted_keep_alive_secs(introduction.keep_alive_secs, self.limits.keep_alive_secs);
        let mut link = Link::new(admitted, keep_alive_secs, now);
        link.receive_maximum = self.limits.receive_maximum;
        let serial = self.next_serial;
        self.next_serial += 1;
        let key = match earlier {
            Some(key) => {
                self.resume(key, serial, admitted, link);
                key
            }
            None => self.begin(serial, admitted, link, expiry_secs > 0),
        };
        self.session_mut(key).expiry_secs = expiry_secs;
        self.connected += 1;
        let granted = Granted {
            assigned,
            keep_alive_secs,
            expiry_secs,
            session_present: earlier.is_some(),
        };
        self.send_connack(key, admitted, &granted);
        self.journal_session(key, None);
        if earlier.is_some() {
            self.judge_again(key);
        }
        self.arm_keep_alive(key, now);
        self.arm_expiry(key, admitted.grant.expires_at(), now);
        self.handle_room(key, now);
        Ok(ConnectionKey {
            session: key,
            serial,
        })
    }

    fn refuse_admitted(&mut self, admitted: &Admitted, refusal: &Refusal) -> Refused {
        let introduction = &admitted.introduction;
        let reason_code = refusal.reason_code();
        self.counters
            .count(Count::Reason(Reason::Refused, reason_code));
        tracing::info!(client = %introduction.client_identifier, reason = %refusal, "client refused");
        let text = refusal.text();
        let properties = match introduction.version {
            ProtocolVersion::V5 => ConnAckProperties {
                reason_string: Some(&text),
                ..ConnAckProperties::default()
            },
            ProtocolVersion::V311 => ConnAckProperties::default(),
        };
        let mut farewell = Farewell {
            dismissed: true,
            ..Farewell::default()
        };
        let connack = ConnAck {
            session_present: false,
            reason_code,
            properties,
        };
        let out = farewell.outbox.tail();
        if Packet::ConnAck(Box::new(connack))
            .encode(introduction.version, out)
            .is_err()
        {
            out.clear();
        }
        farewell
    }

    /// Ends the connection of an earlier session of this client, and with Clean Start the session too (MQTT-3.1.2-4). The session that goes
    /// on.
    fn take_over(&mut self, admitted: &Admitted, now: Now) -> Option<SessionKey> {
        let introduction = &admitted.introduction;
        let key = *self.by_client.get(&introduction.client_identifier)?;
        let taken_over = Close::new(
            ReasonCode::SessionTakenOver,
            "session taken over by another connection",
        );
        self.close(key, &taken_over, now);
        // Closing may have ended it, where it was not to outlive its connection.
        let key = *self.by_client.get(&introduction.client_identifier)?;
        if introduction.clean_start {
            self.end(key, WillFate::Publish, now);
            return None;
        }
        Some(key)
    }

    fn begin(
        &mut self,
        serial: u64,
        admitted: &Admitted,
        link: Link,
        outlives_connection: bool,
    ) -> SessionKey {
        let id = outlives_connection
            .then(|| self.journal.name_session())
            .flatten();
        let session = Session::new(serial, id, admitted, link);
        let client_identifier = session.client_identifier.clone();
        let key = session_key(self.sessions.insert(session));
        self.by_client.insert(client_identifier, key);
        key
    }

    /// The client is back (MQTT-3.1.2-5). What was in flight is due again.
    fn resume(&mut self, key: SessionKey, serial: u64, admitted: &Admitted, link: Link) {
        let introduction = &admitted.introduction;
        let session = &mut self.sessions[key as usize];
        let timers = [session.will_timer.take(), session.end_timer.take()];
        for timer in timers.into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        session.connection = serial;
        session.state = State::Live;
        session.grant = admitted.grant.clone();
        session.will = introduction.will.clone();
        session.link = link;
        session.awaits_commit = false;
        session
            .outgoing
            .handle_reconnect(introduction.receive_maximum);
    }

    /// A resumed session has the rights of its new token: subscriptions end that it does not cover, and messages are given up that it does
    /// not let the client receive (RFC 9431 §5).
    fn judge_again(&mut self, key: SessionKey) {
        let ended = self.end_subscriptions_beyond_grant(key);
        let Session {
            id,
            grant,
            outgoing,
            queue,
            queued_bytes,
            client_identifier,
            ..
        } = &mut self.sessions[key as usize];
        let mut given_up = Vec::new();
        queue.retain(|queued| {
            let keep = grant.permits_receive(queued.message.topic());
            if !keep {
                *queued_bytes -= queued.size();
                given_up.push(queued.place);
            }
            keep
        });
        outgoing.retain(|place, queued| {
            let keep = (queued.as_ref())
                .is_none_or(|queued| grant.permits_receive(queued.message.topic()));
            if !keep {
                given_up.push(place);
            }
            keep
        });
        if ended > 0 || !given_up.is_empty() {
            tracing::info!(client = %client_identifier, subscriptions = ended, messages = given_up.len(), "the new token does not cover all of the session");
        }
        if let Some(id) = *id {
            for place in given_up {
                self.journal.push(Entry::RemoveMessage { id, place });
            }
        }
    }

    fn send_connack(&mut self, key: SessionKey, admitted: &Admitted, granted: &Granted) {
        let introduction = &admitted.introduction;
        let Granted {
            assigned,
            keep_alive_secs,
            expiry_secs,
            session_present,
        } = *granted;
        let properties = match introduction.version {
            ProtocolVersion::V311 => ConnAckProperties::default(),
            ProtocolVersion::V5 => ConnAckProperties {
                session_expiry_interval_secs: (expiry_secs != introduction.session_expiry_secs)
                    .then_some(expiry_secs),
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
            },
        };
        let connack = ConnAck {
            session_present,
            reason_code: ReasonCode::Success,
            properties,
        };
        self.send(key, &Packet::ConnAck(Box::new(connack)));
    }

    /// The connection is gone or done; what was still to be written to it is given up.
    pub(crate) fn handle_closed(&mut self, at: ConnectionKey, now: Now) {
        if self.live(at).is_some() {
            self.counters.count(Count::ConnectionsLost);
            self.part(at.session, WillFate::Publish, false, now);
        }
        self.farewells.remove(&at.serial);
        self.connected -= 1;
    }

    /// What is still to be written to a connection that is over.
    pub(crate) fn take_farewell(&mut self, at: ConnectionKey) -> Farewell {
        self.farewells.remove(&at.serial).unwrap_or_default()
    }

    /// The broker is shutting down. Wills of stored sessions are kept until it starts again (MQTT 5.0 §3.1.2.5), the others given up.
    pub(crate) fn handle_shutdown(&mut self, now: Now) {
        let live: Vec<SessionKey> = (self.sessions.iter())
            .filter(|(_, session)| session.state == State::Live)
            .map(|(index, _)| session_key(index))
            .collect();
        let close = Close::new(
            ReasonCode::ServerShuttingDown,
            "the broker is shutting down",
        );
        for key in live {
            self.dismiss(key, &close, WillFate::Keep, now);
        }
    }

    /// Ends a connection from our side: DISCONNECT with the reason in 5.0, silence in 3.1.1 (which has no server DISCONNECT).
    pub(crate) fn close(&mut self, key: SessionKey, close: &Close, now: Now) {
        self.dismiss(key, close, WillFate::Publish, now);
    }

    fn dismiss(&mut self, key: SessionKey, close: &Close, will: WillFate, now: Now) {
        let Some(session) = self.sessions.get(key as usize) else {
            return;
        };
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
        if version == ProtocolVersion::V5 {
            let text = Some(&*close.text);
            self.send(
                key,
                &Packet::Disconnect(Disconnect::new(close.reason_code, text)),
            );
        }
        self.part(key, will, true, now);
    }

    /// The connection is over: what waits for it is left to the driver, and the session goes on without it, or ends.
    pub(super) fn part(&mut self, key: SessionKey, will: WillFate, dismissed: bool, now: Now) {
        let session = &mut self.sessions[key as usize];
        session.state = State::Away;
        session.last_publish = None;
        session.reauthentication = Reauthentication::Idle;
        session.awaits_commit = false;
        let link = std::mem::replace(&mut session.link, Link::none());
        let serial = session.connection;
        let expiry_secs = session.expiry_secs;
        for timer in [link.keep_alive_timer, link.expiry_timer]
            .into_iter()
            .flatten()
        {
            self.wheel.cancel(timer);
        }
        let outbox = link.outbox;
        let farewell = Farewell { outbox, dismissed };
        self.farewells.insert(serial, farewell);
        // The driver's connection looks, and finds that it is over.
        self.dirty.push(key);
        if expiry_secs == 0 {
            self.end(key, will, now);
        } else {
            self.settle_will(key, will, now);
            self.arm_end(key, u64::from(expiry_secs), now);
            self.journal_session(key, Some(now));
        }
    }

    /// The session is over, and all that belongs to it.
    pub(super) fn end(&mut self, key: SessionKey, will: WillFate, now: Now) {
        let session = self.sessions.remove(key as usize);
        for timer in [session.will_timer, session.end_timer]
            .into_iter()
            .flatten()
        {
            self.wheel.cancel(timer);
        }
        for subscription in &session.subscriptions {
            self.drop_subscription(key, session.id, subscription);
        }
        self.by_client.remove(&session.client_identifier);
        if let Some(id) = session.id {
            self.journal.push(Entry::RemoveSession { id });
        }
        if let (Some(will), WillFate::Publish) = (session.will, will) {
            tracing::debug!(client = %session.client_identifier, "publishing the will");
            self.publish_will(&will.message, now);
        }
    }

    /// The connection of a session that goes on is over: its Will is due now or later, unless it is given up (MQTT-3.1.2-8).
    fn settle_will(&mut self, key: SessionKey, fate: WillFate, now: Now) {
        let session = &mut self.sessions[key as usize];
        let Some(will) = &session.will else {
            return;
        };
        match fate {
            WillFate::Keep => {}
            WillFate::Discard => session.will = None,
            WillFate::Publish if will.delay_secs == 0 => {
                let message = will.message.clone();
                session.will = None;
                self.publish_will(&message, now);
            }
            WillFate::Publish => {
                let wait_secs = u64::from(will.delay_secs);
                self.arm_will(key, wait_secs, now);
            }
        }
    }

    /// The Will Delay Interval is over, and the client has not come back (MQTT 5.0 §3.1.3.2.2).
    pub(super) fn handle_will_timer(&mut self, key: SessionKey, now: Now) {
        let Some(session) = self.sessions.get_mut(key as usize) else {
            return;
        };
        session.will_timer = None;
        if session.state == State::Live {
            return;
        }
        if let Some(will) = session.will.take() {
            self.publish_will(&will.message, now);
            self.journal_session(key, Some(now));
        }
    }

    /// The Session Expiry Interval is over.
    pub(super) fn handle_end_timer(&mut self, key: SessionKey, now: Now) {
        let Some(session) = self.sessions.get_mut(key as usize) else {
            return;
        };
        session.end_timer = None;
        if session.state == State::Away {
            tracing::debug!(client = %session.client_identifier, "session expired");
            self.end(key, WillFate::Publish, now);
        }
    }

    /// A session without a connection ends after this time.
    pub(super) fn arm_end(&mut self, key: SessionKey, wait_secs: u64, now: Now) {
        if self.session(key).expiry_secs != NEVER {
            let deadline_ms = now.ms + (wait_secs * 1_000).max(1);
            let timer = self.wheel.insert(deadline_ms, Timer::SessionEnd(key));
            self.session_mut(key).end_timer = Some(timer);
        }
    }

    pub(super) fn arm_will(&mut self, key: SessionKey, wait_secs: u64, now: Now) {
        let deadline_ms = now.ms + (wait_secs * 1_000).max(1);
        let timer = self.wheel.insert(deadline_ms, Timer::Will(key));
        self.session_mut(key).will_timer = Some(timer);
    }

    /// Tells the store of a session, and since when it is away.
    pub(super) fn journal_session(&mut self, key: SessionKey, away_since: Option<Now>) {
        let session = &self.sessions[key as usize];
        if let Some(id) = session.id {
            let receive_maximum = session.outgoing.receive_maximum();
            let record = session.record(away_since.map(|now| now.unix), receive_maximum);
            let record = Box::new(record);
            self.journal.push(Entry::PutSession { id, record });
        }
    }
}

/// What CONNACK says beside what is the same for all.
struct Granted {
    assigned: bool,
    keep_alive_secs: u16,
    expiry_secs: u32,
    session_present: bool,
}

/// The Keep Alive that holds: the client's, or ours where it is longer or off (MQTT 5.0 §3.2.2.3.14).
fn granted_keep_alive_secs(asked: u16, limit: u16) -> u16 {
    match (asked, limit) {
        (asked, 0) => asked,
        (0, limit) => limit,
        (asked, limit) => asked.min(limit),
    }
}

pub(super) fn session_key(index: usize) -> SessionKey {
    SessionKey::try_from(index).expect("the limit of connections is far below 2^32")
}
