//! How sessions begin, go on and end (MQTT 5.0 §3.1, §4.1): admitted, taken over, resumed, left, expired; and their Wills.

use super::{
    admission::{Admitted, Introduction},
    authz_info::VISIT_MS,
    counters::{Count, Limit, Reason},
    holding::Needs,
    journal::Entry,
    pacing::Pace,
    quota::{Place, Quota},
    reauthentication::Reauthentication,
    refusal::Refusal,
    session::{ConnectionKey, Farewell, Link, Session, SessionKey, State, TOPIC_ALIAS_MAXIMUM},
    shard::{Close, Now, Shard, Timer, WillFate},
    wills::will_beyond,
};
use std::{
    num::{NonZeroU16, NonZeroU32},
    sync::Arc,
};
use symbolon_ace_proto::AUTHENTICATION_METHOD;
use symbolon_mqtt_proto::{
    ConnAck, Disconnect, Packet, ProtocolVersion, Qos, ReasonCode, UserProperties,
    connack::ConnAckProperties, delivery::OutgoingState,
};

/// A session that never ends by itself (MQTT 5.0 §3.1.2.11.2).
const NEVER: u32 = u32::MAX;

/// What stands for the Client Identifier in Response Information.
const CLIENT_ID: &str = "${client_id}";
/// More than the rest of a CONNACK takes, bytes.
const CONNACK_BYTES: usize = 256;

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
        if let Some(refusal) = self.objection(admitted) {
            return Err(self.refuse_admitted(admitted, &refusal));
        }
        // Strangers may publish a token. They may not leave sessions behind.
        let longest_secs = if admitted.grant.opens_nothing() {
            0
        } else {
            self.limits.session_expiry_secs
        };
        let expiry_secs = introduction.session_expiry_secs.min(longest_secs);
        if expiry_secs > 0 && self.store_is_full && !self.will_resume(introduction) {
            return Err(self.refuse_admitted(admitted, &Refusal::StoreFull));
        }
        let places = match self.reserve(introduction) {
            Ok(places) => places,
            Err(refusal) => return Err(self.refuse_admitted(admitted, &refusal)),
        };
        let earlier = self.take_over(admitted, now);
        let keep_alive_secs =
            granted_keep_alive_secs(introduction.keep_alive_secs, self.limits.keep_alive_secs);
        self.count_shortened(introduction, keep_alive_secs, expiry_secs);
        let mut link = Link::new(admitted, keep_alive_secs, now);
        link.pace = Pace::new(&self.limits);
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
        let session = self.session_mut(key);
        session.expiry_secs = expiry_secs;
        places.hand_to(session);
        self.renew_publisher(key);
        self.connected += 1;
        // The CONNECT that brought it here.
        self.counters.count(Count::OtherReceived);
        let granted = Granted {
            assigned,
            keep_alive_secs,
            expiry_secs,
            session_present: earlier.is_some(),
        };
        self.send_connack(key, admitted, &granted);
        self.keep_token(admitted.token.as_ref(), now);
        self.journal_session(key, None);
        if earlier.is_some() {
            self.judge_again(key, now);
            self.hold_up_releases(key);
            self.move_in_groups(key, true);
        }
        self.arm_keep_alive(key, now);
        self.arm_expiry(key, admitted.grant.expires_at(), now);
        self.arm_introspection(key, now);
        self.handle_room(key, now);
        let at = ConnectionKey {
            session: key,
            serial,
        };
        if admitted.grant.opens_nothing() {
            self.wheel.insert(now.ms + VISIT_MS, Timer::Visit(at));
        }
        Ok(at)
    }

    /// What has come to stand against a client that was admitted elsewhere.
    fn objection(&self, admitted: &Admitted) -> Option<Refusal> {
        // It may have been revoked while it was on its way here.
        if self.admission.tokens.revoked.covers(&admitted.grant) {
            return Some(Refusal::Revoked);
        }
        let earlier = (self.by_client).get(&admitted.introduction.client_identifier)?;
        let grant = &self.session(*earlier).grant;
        (!grant.may_be_resumed_by(&admitted.grant)).then_some(Refusal::OtherSession)
    }

    /// Whether the client comes back to a session that is stored: it takes its messages, and so makes room in a store that is full.
    fn will_resume(&self, introduction: &Introduction) -> bool {
        let earlier = self.by_client.get(&introduction.client_identifier);
        !introduction.clean_start && earlier.is_some_and(|key| self.session(*key).id.is_some())
    }

    /// Places for the session and the Will of a new connection. What takes the place of something that is there already gets one in any case.
    fn reserve(&mut self, introduction: &Introduction) -> Result<Places, Refusal> {
        let earlier = (self.by_client.get(&introduction.client_identifier))
            .map(|key| &self.sessions[*key as usize]);
        let quotas = &self.admission.quotas;
        let reserve = |quota: &Quota, replaces: bool| {
            let place = quota.take();
            place.or_else(|| replaces.then(|| quota.take_anyway()))
        };
        let Some(session) = reserve(&quotas.sessions, earlier.is_some()) else {
            self.counters.count(Count::Limit(Limit::Sessions));
            return Err(Refusal::Sessions);
        };
        let will = match &introduction.will {
            None => None,
            Some(will) => {
                let replaces = earlier.is_some_and(|session| session.will.is_some());
                let judged = will_beyond(&will.message, &self.limits).map_or_else(
                    || reserve(&quotas.wills, replaces).ok_or((Limit::Wills, Refusal::Wills)),
                    Err,
                );
                match judged {
                    Ok(place) => Some(place),
                    Err((limit, refusal)) => {
                        self.counters.count(Count::Limit(limit));
                        return Err(refusal);
                    }
                }
            }
        };
        Ok(Places { session, will })
    }

    /// The client gets less than it asked for.
    fn count_shortened(
        &mut self,
        introduction: &Introduction,
        keep_alive_secs: u16,
        expiry_secs: u32,
    ) {
        if keep_alive_secs != introduction.keep_alive_secs {
            self.counters.count(Count::Limit(Limit::KeepAlive));
        }
        // In 3.1.1 nobody asks for a time: there it is for ever or not at all.
        if introduction.version == ProtocolVersion::V5
            && expiry_secs != introduction.session_expiry_secs
        {
            self.counters.count(Count::Limit(Limit::SessionExpiry));
        }
    }

    /// For a client that asks (MQTT 5.0 §3.2.2.3.15). One that does not fit is left out: CONNACK must not fail of it.
    fn response_information(&self, introduction: &Introduction) -> Option<String> {
        let template = self.admission.response_information.as_deref();
        let template = template.filter(|_| introduction.response_information)?;
        let text = template.replace(CLIENT_ID, &introduction.client_identifier);
        let maximum = (introduction.maximum_packet_size as usize).min(usize::from(u16::MAX));
        (text.len() + CONNACK_BYTES <= maximum).then_some(text)
    }

    fn refuse_admitted(&mut self, admitted: &Admitted, refusal: &Refusal) -> Refused {
        let introduction = &admitted.introduction;
        let reason_code = refusal.reason_code();
        self.counters
            .count(Count::Reason(Reason::Refused, reason_code));
        tracing::info!(client = %introduction.client_identifier, reason = %refusal, "client refused");
        let mut farewell = Farewell {
            dismissed: true,
            ..Farewell::default()
        };
        append_refusal(
            farewell.outbox.tail(),
            introduction.version,
            (reason_code, &refusal.text()),
            UserProperties::default(),
        );
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
        let mut session = Session::new(serial, id, admitted, link);
        let window = (admitted.introduction.receive_maximum).min(self.limits.send_maximum);
        session.outgoing.set_receive_maximum(window);
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
        session.will.clone_from(&introduction.will);
        session.link = link;
        session.is_held_up = false;
        session
            .outgoing
            .handle_reconnect(introduction.receive_maximum.min(self.limits.send_maximum));
    }

    /// PUBREL is sent again only once the store knows of PUBREC: a client that releases a message must not get it again after a crash.
    fn hold_up_releases(&mut self, key: SessionKey) {
        let sequence = self.journal.sequence();
        let session = self.session_mut(key);
        let mut in_flight = session.outgoing.iter();
        let releases = in_flight.any(|(_, state, _)| state == OutgoingState::AwaitPubComp);
        if session.id.is_some() && releases {
            session.resend_after = sequence;
        }
    }

    /// A resumed session has the rights of its new token: subscriptions end that it does not cover, and messages are given up that it does
    /// not let the client receive (RFC 9431 §5).
    fn judge_again(&mut self, key: SessionKey, now: Now) {
        let ended = self.end_subscriptions_beyond_grant(key, now);
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
        // Other members of its group may have them.
        let mut orphans = Vec::new();
        queue.retain(|queued| {
            let keep = grant.permits_receive(queued.message.topic());
            if !keep {
                *queued_bytes -= queued.size();
                if queued.shared.is_some() {
                    orphans.push(queued.clone());
                } else if queued.qos > Qos::AtMostOnce {
                    // Those of QoS 0 have no place, and are not stored.
                    given_up.push((queued.place, Qos::AtMostOnce));
                }
            }
            keep
        });
        outgoing.retain(|place, queued| {
            let refused =
                (queued.as_ref()).filter(|queued| !grant.permits_receive(queued.message.topic()));
            match refused {
                Some(queued) if queued.shared.is_some() && queued.qos == Qos::AtLeastOnce => {
                    orphans.push((**queued).clone());
                }
                Some(queued) => given_up.push((place, queued.qos)),
                None => {}
            }
            refused.is_none()
        });
        if ended > 0 || !given_up.is_empty() || !orphans.is_empty() {
            tracing::info!(client = %client_identifier, subscriptions = ended, messages = given_up.len() + orphans.len(), "the new token does not cover all of the session");
        }
        let id = *id;
        if let Some(id) = id {
            for (place, in_flight_at) in given_up {
                self.journal.push(match in_flight_at {
                    // The client may have it, and must be told to forget its identifier.
                    Qos::ExactlyOnce => Entry::Release { id, place },
                    Qos::AtMostOnce | Qos::AtLeastOnce => Entry::RemoveMessage { id, place },
                });
            }
        }
        self.give_away(id, orphans, now);
    }

    fn send_connack(&mut self, key: SessionKey, admitted: &Admitted, granted: &Granted) {
        let introduction = &admitted.introduction;
        let Granted {
            assigned,
            keep_alive_secs,
            expiry_secs,
            session_present,
        } = *granted;
        let response_information = self.response_information(introduction);
        let properties = match introduction.version {
            ProtocolVersion::V311 => ConnAckProperties::default(),
            ProtocolVersion::V5 => ConnAckProperties {
                response_information: response_information.as_deref(),
                session_expiry_interval_secs: (expiry_secs != introduction.session_expiry_secs)
                    .then_some(expiry_secs),
                receive_maximum: NonZeroU16::new(self.limits.receive_maximum),
                maximum_packet_size: NonZeroU32::new(self.limits.packet_size),
                topic_alias_maximum: Some(TOPIC_ALIAS_MAXIMUM),
                assigned_client_identifier: assigned.then_some(&introduction.client_identifier),
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
        // A session that is said to be over must not be there again after a crash, with what it had received and sent.
        let needs = if session_present {
            Needs::default()
        } else {
            self.needs_end_of(&introduction.client_identifier)
        };
        self.answer(key, &Packet::ConnAck(Box::new(connack)), needs);
        let link = &mut self.session_mut(key).link;
        link.is_greeted = link.held == 0;
    }

    /// The connection is gone or done; what was still to be written to it is given up.
    pub(crate) fn handle_closed(&mut self, at: ConnectionKey, now: Now) {
        if self.live(at).is_some() {
            self.counters.count(Count::ConnectionsLost);
            self.part(at.session, WillFate::Publish, false, now);
            self.close_expired_members(now);
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

    /// The same for a token that was revoked: the Will goes with it.
    pub(super) fn close_revoked(&mut self, key: SessionKey, now: Now) {
        self.dismiss(key, &Close::token_revoked(), WillFate::Discard, now);
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
        // [MQTT-3.2.0-1] Nothing goes before CONNACK.
        if version == ProtocolVersion::V5 && session.link.is_greeted {
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
        session.is_held_up = false;
        let mut link = std::mem::replace(&mut session.link, Link::none());
        let serial = session.connection;
        let expiry_secs = session.expiry_secs;
        let pace_timer = link.pace.take_timer();
        let timers = [
            link.keep_alive_timer,
            link.expiry_timer,
            link.introspection_timer,
            pace_timer,
        ];
        for timer in timers.into_iter().flatten() {
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
            self.move_in_groups(key, false);
            if will != WillFate::Keep {
                self.hand_over_unsent(key, now);
            }
            self.settle_will(key, will, now);
            self.arm_end(key, u64::from(expiry_secs), now);
            self.journal_session(key, Some(now));
        }
    }

    /// The session is over, and all that belongs to it.
    pub(super) fn end(&mut self, key: SessionKey, will: WillFate, now: Now) {
        let mut session = self.sessions.remove(key as usize);
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
        let id = session.id;
        let due = session.will.take().filter(|_| will == WillFate::Publish);
        let due = due.map(|will| (will, session.grant.clone()));
        let client_identifier = session.client_identifier.clone();
        self.give_away(None, session.into_orphans(), now);
        if let Some(id) = id
            && let Some(journaled) = self.journal_after_tickets(Entry::RemoveSession { id })
        {
            self.note_end_of(client_identifier, journaled);
        }
        if let Some((will, grant)) = due {
            self.publish_will(&will, &grant, now);
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
            self.counters.count(Count::SessionExpiries);
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

    /// Tells the store of a session, and since when it is away.
    pub(super) fn journal_session(&mut self, key: SessionKey, away_since: Option<Now>) {
        let session = &self.sessions[key as usize];
        if let Some(id) = session.id {
            let record = session.record(away_since.map(|now| now.unix));
            let record = Box::new(record);
            self.journal.push(Entry::PutSession { id, record });
        }
    }
}

/// What a new connection holds of the limits.
struct Places {
    session: Place,
    will: Option<Place>,
}

impl Places {
    fn hand_to(self, session: &mut Session) {
        session.place = Some(self.session);
        if let Some(will) = &mut session.will {
            will.place = self.will.map(Arc::new);
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

/// A CONNACK that lets nobody in, and says why where the version can. Nothing where it cannot be written.
pub(crate) fn append_refusal(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    (reason_code, text): (ReasonCode, &str),
    user_properties: UserProperties<'_>,
) {
    let properties = match version {
        ProtocolVersion::V5 => ConnAckProperties {
            reason_string: Some(text),
            user_properties,
            ..ConnAckProperties::default()
        },
        ProtocolVersion::V311 => ConnAckProperties::default(),
    };
    let connack = Packet::ConnAck(Box::new(ConnAck {
        session_present: false,
        reason_code,
        properties,
    }));
    let start = out.len();
    if connack.encode(version, out).is_err() {
        out.truncate(start);
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

pub(super) fn session_key(index: usize) -> SessionKey {
    SessionKey::try_from(index).expect("the limit of connections is far below 2^32")
}
