//! One message to many outboxes: encoded once for each layout, copied, its Packet Identifier patched.

use super::{
    counters::{Count, Dropped, Limit},
    groups::Phase,
    journal::{Entry, StoredMessage},
    message::{Message, Origin},
    outbox::SHARED_FROM_BYTES,
    router::LocalSubscriber,
    session::{Link, Queued, Session, SessionKey, State, SubscriptionKey},
    shard::{Close, Now, Shard},
    shrinking::shrink_queue,
    subscribing::RetainedDelivery,
};
use bytes::Bytes;
use std::{cell::OnceCell, ops::Range, rc::Rc, sync::Arc};
use symbolon_mqtt_proto::{
    Ack, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish, Qos, ReasonCode, TopicName,
    delivery::OutgoingState, property::PropertyBuffer,
};

/// A message on its way to the clients of this shard.
pub(crate) struct Forwarding<'a> {
    /// Without alias and Subscription Identifiers.
    pub(crate) publish: Publish<'a>,
    /// Its Topic Name.
    pub(crate) topic: TopicName<'a>,
    /// The session that published it, if it is of this shard.
    pub(crate) origin: Option<SessionKey>,
    by: Origin,
    received_ms: u64,
    /// Made when the message must outlive the buffer it came in.
    message: OnceCell<Arc<Message>>,
}

/// What makes two subscribers' frames the same but for the Packet Identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Layout {
    version: ProtocolVersion,
    qos: Qos,
    retain: bool,
}

/// How one subscriber wants the message.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    layout: Layout,
    subscription_identifiers: &'a Rc<[u32]>,
    /// The Shared Subscription it comes by.
    shared: Option<&'a Arc<SubscriptionKey>>,
    /// It may have been sent before (MQTT-3.3.1-1).
    duplicate: bool,
}

/// Frames of the message being forwarded, by layout: at most twelve.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    layouts: Vec<(Layout, Range<usize>, Option<usize>)>,
}

/// What became of one message for one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Forwarded {
    Sent,
    Queued,
    Dropped(Dropped),
}

impl<'a> Forwarding<'a> {
    pub(crate) fn new(
        mut publish: Publish<'a>,
        topic: TopicName<'a>,
        origin: Option<SessionKey>,
        by: Origin,
        now: Now,
    ) -> Self {
        publish.topic = Some(topic);
        publish.properties.topic_alias = None;
        Self {
            publish,
            topic,
            origin,
            by,
            received_ms: now.ms,
            message: OnceCell::new(),
        }
    }

    /// A message that is shared already.
    pub(crate) fn of(message: &'a Arc<Message>, now: Now) -> Self {
        let mut publish = message.publish();
        // It may have waited for another client meanwhile.
        if let Ok(left_secs) = message.remaining_secs(&publish, now.ms) {
            publish.properties.message_expiry_interval_secs = left_secs;
        }
        let forwarding = Self::new(publish, message.topic(), None, message.origin(), now);
        forwarding.message.get_or_init(|| Arc::clone(message));
        forwarding
    }

    /// The message, owned and shared.
    pub(crate) fn message(&self) -> &Arc<Message> {
        self.message
            .get_or_init(|| Message::new(&self.publish, self.received_ms, self.by.clone()))
    }
}

impl Shard {
    /// Delivers to the clients of this shard. One whose token has expired gets nothing and is disconnected, never silently passed over
    /// (RFC 9431 §3.2); where its session goes on, the message waits there.
    pub(super) fn forward(
        &mut self,
        forwarding: &Forwarding<'_>,
        subscribers: &[LocalSubscriber],
        now: Now,
    ) {
        self.frames.clear();
        for subscriber in subscribers {
            if subscriber.no_local && forwarding.origin == Some(subscriber.session) {
                continue;
            }
            let session = &self.sessions[subscriber.session as usize];
            // One who is away shows a new token when it comes back, and is judged by that.
            if session.grant.is_expired(now.unix) && session.state == State::Live {
                self.close(subscriber.session, &Close::token_expired(), now);
                // Its Will may have gone out, in frames of its own.
                self.frames.clear();
            }
            let Some(session) = self.sessions.get_mut(subscriber.session as usize) else {
                continue;
            };
            if session.state == State::Live && !session.grant.permits_delivery(forwarding.topic) {
                continue;
            }
            let qos = subscriber
                .maximum_qos
                .min(forwarding.publish.delivery.qos());
            let retain = subscriber.retain_as_published && forwarding.publish.retain;
            let wanted = Wanted {
                layout: Layout {
                    version: session.link.version,
                    qos,
                    retain,
                },
                subscription_identifiers: &subscriber.subscription_identifiers,
                shared: None,
                duplicate: false,
            };
            let forwarded = if session.is_direct() {
                let single = subscribers.len() == 1;
                let frames = (!single).then_some(&mut self.frames);
                session.forward(forwarding, wanted, &self.limits, frames)
            } else {
                let queued = wanted.queued(forwarding.message());
                self.enqueue(subscriber.session, queued, now)
            };
            self.note_forwarded(subscriber.session, qos, forwarded);
            if forwarded == Forwarded::Sent {
                (self.counters).add(Count::PayloadSent, forwarding.publish.payload.len());
            }
        }
    }

    /// Delivers to a member of a Shared Subscription, or says why not. One whose token has expired is to be disconnected.
    pub(super) fn forward_to_member(
        &mut self,
        forwarding: &Forwarding<'_>,
        member: &LocalSubscriber,
        (group, phase): (&Arc<SubscriptionKey>, Phase),
        now: Now,
    ) -> Result<(), Dropped> {
        let key = member.session;
        let session = &mut self.sessions[key as usize];
        let qos = member.maximum_qos.min(forwarding.publish.delivery.qos());
        let is_expired = session.state == State::Live && session.grant.is_expired(now.unix);
        if is_expired {
            self.expired_members.push(session.connection_key(key));
        }
        let is_barred = session.state == State::Live
            && (is_expired || !session.grant.permits_delivery(forwarding.topic));
        if is_barred || (phase == Phase::Room && !session.has_room_at_once(qos, &self.limits)) {
            return Err(if qos == Qos::AtMostOnce {
                Dropped::OutboxFull
            } else {
                Dropped::QueueFull
            });
        }
        let wanted = Wanted {
            layout: Layout {
                version: session.link.version,
                qos,
                retain: member.retain_as_published && forwarding.publish.retain,
            },
            subscription_identifiers: &member.subscription_identifiers,
            shared: Some(group),
            duplicate: false,
        };
        let forwarded = if session.is_direct() {
            session.forward(forwarding, wanted, &self.limits, None)
        } else {
            self.enqueue(key, wanted.queued(forwarding.message()), now)
        };
        if let Forwarded::Dropped(why) = forwarded {
            return Err(why);
        }
        self.note_forwarded(key, qos, forwarded);
        if forwarded == Forwarded::Sent {
            (self.counters).add(Count::PayloadSent, forwarding.publish.payload.len());
        }
        Ok(())
    }

    fn note_forwarded(&mut self, key: SessionKey, qos: Qos, forwarded: Forwarded) {
        match forwarded {
            Forwarded::Sent => {
                self.counters.count(Count::Sent(qos));
                self.mark_dirty(key);
            }
            Forwarded::Queued => {
                let session = &self.sessions[key as usize];
                if session.state == State::Live && !session.outgoing.has_room() {
                    self.counters.count(Count::Limit(Limit::SendMaximum));
                }
            }
            Forwarded::Dropped(why) => {
                self.counters.count(Count::Dropped(why));
                self.count_limit_of(key, why);
                let client = &self.session(key).client_identifier;
                tracing::debug!(%client, ?qos, ?why, "message dropped at a bound of this client");
            }
        }
    }

    /// A message was dropped: which bound of its client was due.
    fn count_limit_of(&mut self, key: SessionKey, why: Dropped) {
        let session = &self.sessions[key as usize];
        let limit = match why {
            Dropped::OutboxFull => Limit::OutboxBytes,
            Dropped::QueueFull if session.queue.len() >= self.limits.queued_messages => {
                Limit::QueuedMessages
            }
            Dropped::QueueFull => Limit::QueuedBytes,
            Dropped::PacketTooLarge | Dropped::Expired | Dropped::Away => return,
        };
        self.counters.count(Count::Limit(limit));
    }

    /// For a client that is away, or whose messages must be written before they are sent.
    fn enqueue(&mut self, key: SessionKey, mut queued: Queued, now: Now) -> Forwarded {
        let session = &mut self.sessions[key as usize];
        if queued.qos == Qos::AtMostOnce {
            return match session.state {
                State::Away => Forwarded::Dropped(Dropped::Away),
                State::Live if session.link.outbox.len() >= self.limits.outbox_bytes => {
                    Forwarded::Dropped(Dropped::OutboxFull)
                }
                State::Live => session.send_queued(queued, now).0,
            };
        }
        if let Err(why) = session.has_queue_room(&queued, &self.limits) {
            return Forwarded::Dropped(why);
        }
        if let Some(id) = session.id {
            queued.place = session.next_place.max(session.outgoing.next_sequence());
            session.next_place = queued.place + 1;
            let (place, message) = (queued.place, Box::new(queued.stored()));
            queued.journaled = self.journal.push(Entry::PutMessage { id, place, message });
        }
        let waits = queued.journaled;
        session.push_queued(queued);
        if session.id.is_some() && session.state == State::Live {
            self.hold_up(key, waits);
        }
        Forwarded::Queued
    }

    /// The first of a session's queue is sent once this entry of the journal is written.
    fn hold_up(&mut self, key: SessionKey, journaled: u64) {
        let session = &mut self.sessions[key as usize];
        if !session.is_held_up {
            session.is_held_up = true;
            let at = session.connection_key(key);
            self.held_up.push_back((journaled, at));
        }
    }

    /// Sends what waits, as far as the client's window, its outbox and the store allow: what was in flight before it came back first.
    pub(crate) fn handle_room(&mut self, key: SessionKey, now: Now) {
        let session = &mut self.sessions[key as usize];
        if session.state != State::Live {
            return;
        }
        let resend_after = session.resend_after;
        if !self.journal.is_committed(resend_after) {
            self.hold_up(key, resend_after);
            return;
        }
        let limit = self.limits.outbox_bytes;
        let resent = session.resend(limit, now);
        self.counters.add(Count::OtherSent, resent);
        let mut sent = resent > 0;
        let mut held_up = None;
        while session.link.outbox.len() < limit {
            let Some(queued) = session.queue.front() else {
                break;
            };
            if !session.outgoing.has_room() && queued.qos > Qos::AtMostOnce {
                break;
            }
            if !self.journal.is_committed(queued.journaled) {
                held_up = Some(queued.journaled);
                break;
            }
            let Some(queued) = session.pop_queued() else {
                break;
            };
            let (qos, place) = (queued.qos, queued.place);
            let (forwarded, payload) = session.send_queued(queued, now);
            match forwarded {
                Forwarded::Sent => {
                    sent = true;
                    self.counters.add(Count::PayloadSent, payload);
                    self.counters.count(Count::Sent(qos));
                }
                Forwarded::Queued => {}
                Forwarded::Dropped(why) => {
                    self.counters.count(Count::Dropped(why));
                    if let (Some(id), true) = (session.id, qos > Qos::AtMostOnce) {
                        self.journal.push(Entry::RemoveMessage { id, place });
                    }
                }
            }
        }
        if sent {
            self.mark_dirty(key);
        }
        if let Some(journaled) = held_up {
            self.hold_up(key, journaled);
        }
    }

    /// A retained message for a new subscription: RETAIN is set (MQTT-3.3.1-8).
    pub(super) fn send_retained(&mut self, key: SessionKey, retained: &RetainedDelivery, now: Now) {
        let message = &retained.message;
        let qos = (message.publish().delivery.qos()).min(retained.maximum_qos);
        let subscription_identifiers: Rc<[u32]> =
            retained.subscription_identifier.into_iter().collect();
        let queued = Queued {
            message: Arc::clone(message),
            qos,
            retain: true,
            subscription_identifiers,
            shared: None,
            place: 0,
            journaled: 0,
        };
        let session = &mut self.sessions[key as usize];
        let forwarded = if session.id.is_some() && qos > Qos::AtMostOnce {
            self.enqueue(key, queued, now)
        } else {
            session.queue_up(queued, &self.limits)
        };
        self.note_forwarded(key, qos, forwarded);
    }
}

impl Session {
    fn forward(
        &mut self,
        forwarding: &Forwarding<'_>,
        wanted: Wanted<'_>,
        limits: &crate::Limits,
        frames: Option<&mut Frames>,
    ) -> Forwarded {
        let qos = wanted.layout.qos;
        let outbox_full = self.link.outbox.len() >= limits.outbox_bytes;
        if qos == Qos::AtMostOnce {
            if outbox_full {
                return Forwarded::Dropped(Dropped::OutboxFull);
            }
            return self.append(forwarding, wanted, None, frames);
        }
        if outbox_full || !self.queue.is_empty() || !self.outgoing.has_room() {
            return self.queue_up(wanted.queued(forwarding.message()), limits);
        }
        let kept = (self.outlives_connection() || wanted.shared.is_some())
            .then(|| Box::new(wanted.queued(forwarding.message())));
        let Ok(identifier) = self.outgoing.handle_send(qos, kept) else {
            return Forwarded::Dropped(Dropped::QueueFull);
        };
        let forwarded = self.append(forwarding, wanted, Some(identifier), frames);
        if matches!(forwarded, Forwarded::Dropped(_)) {
            self.abandon(qos, identifier);
        }
        forwarded
    }

    /// Whether a message would not wait for the client.
    fn has_room_at_once(&self, qos: Qos, limits: &crate::Limits) -> bool {
        if self.link.outbox.len() >= limits.outbox_bytes {
            return false;
        }
        match (qos, self.id) {
            (Qos::AtMostOnce, _) => true,
            (_, None) => self.queue.is_empty() && self.outgoing.has_room(),
            // Its messages pass through the queue while they are written.
            (_, Some(_)) => {
                let waiting = self.queue.len() + self.outgoing.len();
                waiting < usize::from(self.outgoing.receive_maximum())
            }
        }
    }

    fn has_queue_room(&self, queued: &Queued, limits: &crate::Limits) -> Result<(), Dropped> {
        let fits = self.queue.len() < limits.queued_messages
            && self.queued_bytes + queued.size() <= limits.queued_bytes;
        fits.then_some(()).ok_or(Dropped::QueueFull)
    }

    /// Into the queue, where there is room.
    fn queue_up(&mut self, queued: Queued, limits: &crate::Limits) -> Forwarded {
        match self.has_queue_room(&queued, limits) {
            Ok(()) => {
                self.push_queued(queued);
                Forwarded::Queued
            }
            Err(why) => Forwarded::Dropped(why),
        }
    }

    pub(super) fn push_queued(&mut self, queued: Queued) {
        self.queued_bytes += queued.size();
        self.queue.push_back(queued);
    }

    pub(super) fn pop_queued(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.size();
        if self.queue.is_empty() {
            shrink_queue(&mut self.queue);
        }
        Some(queued)
    }

    /// Sends again what was in flight on the connection before (MQTT-4.4.0-1); how many packets.
    fn resend(&mut self, outbox_bytes: usize, now: Now) -> usize {
        let mut sent = 0;
        while self.link.outbox.len() < outbox_bytes {
            let Some((identifier, state, message)) = self.outgoing.poll_resend() else {
                break;
            };
            sent += 1;
            match (state, message) {
                (OutgoingState::AwaitPubAck | OutgoingState::AwaitPubRec, Some(Some(queued))) => {
                    let appended = self.link.append_again(queued, identifier, now);
                    if appended != Forwarded::Sent {
                        tracing::debug!(client = %self.client_identifier, "a message does not fit into this connection's packets");
                    }
                }
                (OutgoingState::AwaitPubComp, _) => {
                    let pubrel = Packet::PubRel(Ack::new(identifier, ReasonCode::Success));
                    let encoded = pubrel.encode(self.link.version, self.link.outbox.tail());
                    debug_assert!(encoded.is_ok(), "a PUBREL of four bytes can be written");
                }
                (OutgoingState::AwaitPubAck | OutgoingState::AwaitPubRec, Some(None) | None) => {
                    debug_assert!(
                        false,
                        "what is in flight in a session that outlives its connection is kept"
                    );
                }
            }
        }
        sent
    }

    /// The packet was not sent after all: its identifier is free again.
    fn abandon(&mut self, qos: Qos, identifier: PacketIdentifier) {
        let freed = match qos {
            Qos::ExactlyOnce => self.outgoing.handle_pubrec_failure(identifier),
            Qos::AtMostOnce | Qos::AtLeastOnce => self.outgoing.handle_puback(identifier),
        };
        debug_assert!(freed.is_ok(), "the identifier was taken a moment ago");
    }

    fn append(
        &mut self,
        forwarding: &Forwarding<'_>,
        wanted: Wanted<'_>,
        identifier: Option<PacketIdentifier>,
        frames: Option<&mut Frames>,
    ) -> Forwarded {
        let publish = &forwarding.publish;
        let maximum = self.link.maximum_packet_size as usize;
        if publish.payload.len() >= SHARED_FROM_BYTES {
            let payload = forwarding.message().payload(publish);
            return self
                .link
                .append_named(publish, Some(&payload), wanted, identifier);
        }
        match frames {
            Some(frames)
                if wanted.subscription_identifiers.is_empty()
                    && self.link.topic_aliases.is_none() =>
            {
                let out = self.link.outbox.tail();
                let start = out.len();
                let Some((frame, offset)) = frames.of(publish, wanted.layout) else {
                    return Forwarded::Dropped(Dropped::PacketTooLarge);
                };
                if frame.len() > maximum {
                    return Forwarded::Dropped(Dropped::PacketTooLarge);
                }
                out.extend_from_slice(frame);
                if let (Some(offset), Some(identifier)) = (offset, identifier) {
                    out[start + offset..][..2].copy_from_slice(&identifier.get().to_be_bytes());
                }
                Forwarded::Sent
            }
            Some(_) | None => self.link.append_named(publish, None, wanted, identifier),
        }
    }

    /// Sends one that waited. What expired meanwhile is not (MQTT 5.0 §3.3.2.3.3). With it the bytes of its payload.
    fn send_queued(&mut self, queued: Queued, now: Now) -> (Forwarded, usize) {
        let message = Arc::clone(&queued.message);
        let mut publish = message.publish();
        let payload_bytes = publish.payload.len();
        let Ok(left_secs) = message.remaining_secs(&publish, now.ms) else {
            return (Forwarded::Dropped(Dropped::Expired), payload_bytes);
        };
        publish.properties.message_expiry_interval_secs = left_secs;
        let qos = queued.qos;
        let subscription_identifiers = Rc::clone(&queued.subscription_identifiers);
        let wanted = Wanted {
            layout: Layout {
                version: self.link.version,
                qos,
                retain: queued.retain,
            },
            subscription_identifiers: &subscription_identifiers,
            shared: None,
            duplicate: false,
        };
        let identifier = if qos == Qos::AtMostOnce {
            None
        } else {
            if self.id.is_some() {
                self.outgoing.skip_to(queued.place);
            }
            let kept =
                (self.outlives_connection() || queued.shared.is_some()).then(|| Box::new(queued));
            match self.outgoing.handle_send(qos, kept) {
                Ok(identifier) => Some(identifier),
                Err(_) => return (Forwarded::Dropped(Dropped::QueueFull), payload_bytes),
            }
        };
        let payload = message.shared_payload(&publish);
        let forwarded = (self.link).append_named(&publish, payload.as_ref(), wanted, identifier);
        if let (Forwarded::Dropped(_), Some(identifier)) = (forwarded, identifier) {
            self.abandon(qos, identifier);
        }
        (forwarded, payload_bytes)
    }
}

impl Link {
    /// A message that may have been sent before. It is sent even if it has expired since: its delivery has begun.
    fn append_again(
        &mut self,
        queued: &Queued,
        identifier: PacketIdentifier,
        now: Now,
    ) -> Forwarded {
        let mut publish = queued.message.publish();
        let left_secs = queued.message.remaining_secs(&publish, now.ms);
        publish.properties.message_expiry_interval_secs = left_secs.unwrap_or(Some(0));
        let wanted = Wanted {
            layout: Layout {
                version: self.version,
                qos: queued.qos,
                retain: queued.retain,
            },
            subscription_identifiers: &queued.subscription_identifiers,
            shared: None,
            duplicate: true,
        };
        let payload = queued.message.shared_payload(&publish);
        // With its topic in full, whatever was told before.
        self.append_publish(&publish, payload.as_ref(), wanted, Some(identifier))
    }

    /// A large payload is not copied for each client: only what stands before it is, and `shared` is the payload.
    pub(super) fn append_publish(
        &mut self,
        publish: &Publish<'_>,
        shared: Option<&Bytes>,
        wanted: Wanted<'_>,
        identifier: Option<PacketIdentifier>,
    ) -> Forwarded {
        let out = self.outbox.tail();
        let start = out.len();
        let version = wanted.layout.version;
        let encoded = wanted.lay_out(publish, identifier, |own| {
            if shared.is_some() {
                own.encode_without_payload(version, out).map(|_| ())
            } else {
                own.encode(version, out).map(|_| ())
            }
        });
        let rest = shared.map_or(0, Bytes::len);
        let size = out.len() - start + rest;
        if encoded.is_err() || size > self.maximum_packet_size as usize {
            out.truncate(start);
            return Forwarded::Dropped(Dropped::PacketTooLarge);
        }
        if let Some(payload) = shared {
            self.outbox.push_shared(payload.clone());
        }
        Forwarded::Sent
    }
}

impl Queued {
    /// What the store keeps of it.
    fn stored(&self) -> StoredMessage {
        StoredMessage {
            message: Some(Arc::clone(&self.message)),
            qos: self.qos,
            retain: self.retain,
            subscription_identifiers: (*self.subscription_identifiers).into(),
            shared: self.shared.as_deref().cloned(),
        }
    }
}

impl Wanted<'_> {
    /// The message, to be sent later.
    fn queued(self, message: &Arc<Message>) -> Queued {
        Queued {
            message: Arc::clone(message),
            qos: self.layout.qos,
            retain: self.layout.retain,
            subscription_identifiers: Rc::clone(self.subscription_identifiers),
            shared: self.shared.map(Arc::clone),
            place: 0,
            journaled: 0,
        }
    }

    /// Calls `encode` with the PUBLISH as this subscriber gets it; 3.1.1 has no Subscription Identifiers.
    fn lay_out<T>(
        self,
        publish: &Publish<'_>,
        identifier: Option<PacketIdentifier>,
        encode: impl FnOnce(&Publish<'_>) -> T,
    ) -> T {
        let mut identifiers = PropertyBuffer::default();
        if self.layout.version == ProtocolVersion::V5 {
            for identifier in self.subscription_identifiers.iter() {
                identifiers
                    .push_subscription_identifier(*identifier)
                    .expect("it was checked when its SUBSCRIBE was decoded");
            }
        }
        let mut own = *publish;
        own.duplicate = self.duplicate;
        own.delivery = delivery(self.layout.qos, identifier);
        own.retain = self.layout.retain;
        own.properties.subscription_identifiers = identifiers.subscription_identifiers();
        encode(&own)
    }
}

impl Frames {
    fn clear(&mut self) {
        self.bytes.clear();
        self.layouts.clear();
    }

    /// The frame of `publish` in `layout`, and where its Packet Identifier stands. `None` where it cannot be written.
    fn of(&mut self, publish: &Publish<'_>, layout: Layout) -> Option<(&[u8], Option<usize>)> {
        let found = self.layouts.iter().find(|(one, ..)| *one == layout);
        let (range, offset) = if let Some((_, range, offset)) = found {
            (range.clone(), *offset)
        } else {
            let start = self.bytes.len();
            let mut own = *publish;
            own.duplicate = false;
            own.delivery = delivery(layout.qos, Some(PacketIdentifier::MIN));
            own.retain = layout.retain;
            let offset = own
                .encode(layout.version, &mut self.bytes)
                .ok()?
                .map(|offset| offset - start);
            let range = start..self.bytes.len();
            self.layouts.push((layout, range.clone(), offset));
            (range, offset)
        };
        Some((&self.bytes[range], offset))
    }
}

fn delivery(qos: Qos, identifier: Option<PacketIdentifier>) -> Delivery {
    match (qos, identifier) {
        (Qos::AtMostOnce, _) | (_, None) => Delivery::AtMostOnce,
        (Qos::AtLeastOnce, Some(identifier)) => Delivery::AtLeastOnce(identifier),
        (Qos::ExactlyOnce, Some(identifier)) => Delivery::ExactlyOnce(identifier),
    }
}
