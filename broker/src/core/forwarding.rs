//! One message to many outboxes: encoded once for each layout, copied, its Packet Identifier patched.

use super::{
    counters::{Count, Dropped},
    message::Message,
    outbox::SHARED_FROM_BYTES,
    router::LocalSubscriber,
    session::{Queued, Session, SessionKey, State},
    shard::{Close, Now, Shard},
};
use std::{cell::OnceCell, ops::Range, rc::Rc, sync::Arc};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{
    Delivery, PacketIdentifier, ProtocolVersion, Publish, Qos, TopicName, property::PropertyBuffer,
};

/// A message on its way to the clients of this shard.
pub(crate) struct Forwarding<'a> {
    /// Without alias and Subscription Identifiers.
    pub(crate) publish: Publish<'a>,
    /// Its Topic Name.
    pub(crate) topic: TopicName<'a>,
    /// The session that published it, if it is of this shard.
    pub(crate) origin: Option<SessionKey>,
    pub(crate) token_expires_at: Option<UnixTime>,
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
struct Wanted<'a> {
    layout: Layout,
    subscription_identifiers: &'a Rc<[u32]>,
}

/// Frames of the message being forwarded, by layout: at most twelve.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    layouts: Vec<(Layout, Range<usize>, Option<usize>)>,
}

/// What became of one message for one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Forwarded {
    Sent,
    Queued,
    Dropped(Dropped),
}

impl<'a> Forwarding<'a> {
    pub(crate) fn new(
        mut publish: Publish<'a>,
        topic: TopicName<'a>,
        origin: Option<SessionKey>,
        token_expires_at: Option<UnixTime>,
        now: Now,
    ) -> Self {
        publish.topic = Some(topic);
        publish.properties.topic_alias = None;
        Self {
            publish,
            topic,
            origin,
            token_expires_at,
            received_ms: now.ms,
            message: OnceCell::new(),
        }
    }

    /// A message that is shared already.
    pub(crate) fn of(message: &'a Arc<Message>, now: Now) -> Self {
        let forwarding = Self::new(
            message.publish(),
            message.topic(),
            None,
            message.token_expires_at,
            now,
        );
        forwarding.message.get_or_init(|| Arc::clone(message));
        forwarding
    }

    /// The message, owned and shared.
    pub(crate) fn message(&self) -> &Arc<Message> {
        self.message
            .get_or_init(|| Message::new(&self.publish, self.received_ms, self.token_expires_at))
    }
}

impl Shard {
    /// Delivers to the clients of this shard. One whose token has expired gets nothing and is disconnected, never silently passed over
    /// (RFC 9431 §3.2).
    pub(super) fn forward(
        &mut self,
        forwarding: &Forwarding<'_>,
        subscribers: &[LocalSubscriber],
        now: Now,
    ) {
        self.frames.clear();
        let mut expired: Vec<SessionKey> = Vec::new();
        for subscriber in subscribers {
            if subscriber.no_local && forwarding.origin == Some(subscriber.session) {
                continue;
            }
            let session = &mut self.sessions[subscriber.session as usize];
            if session.grant.is_expired(now.unix) {
                expired.push(subscriber.session);
                continue;
            }
            if !session.grant.permits_delivery(forwarding.topic) {
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
            };
            let single = subscribers.len() == 1;
            let frames = (!single).then_some(&mut self.frames);
            match session.forward(forwarding, wanted, &self.limits, frames) {
                Forwarded::Sent => {
                    self.counters.count(Count::Sent(qos));
                    self.mark_dirty(subscriber.session);
                }
                Forwarded::Queued => {}
                Forwarded::Dropped(why) => {
                    self.counters.count(Count::Dropped(why));
                    tracing::debug!(client = %session.client_identifier, ?qos, ?why, "message dropped at a bound of this client");
                }
            }
        }
        for key in expired {
            self.close(key, &Close::token_expired(), now);
        }
    }

    /// Sends what waits, as far as the client's window and outbox allow.
    pub(crate) fn handle_room(&mut self, key: SessionKey, now: Now) {
        if self.session(key).state != State::Live {
            return;
        }
        let limit = self.limits.outbox_bytes;
        let session = &mut self.sessions[key as usize];
        let mut sent = false;
        while session.outgoing.has_room() && session.link.outbox.len() < limit {
            let Some(queued) = session.queue.pop_front() else {
                break;
            };
            match session.send_queued(&queued, now) {
                Forwarded::Sent => {
                    sent = true;
                    self.counters.count(Count::Sent(queued.qos));
                }
                Forwarded::Queued => {}
                Forwarded::Dropped(why) => self.counters.count(Count::Dropped(why)),
            }
        }
        if sent {
            self.mark_dirty(key);
        }
    }

    /// A retained message for a new subscription: RETAIN is set (MQTT-3.3.1-8).
    pub(super) fn send_retained(
        &mut self,
        key: SessionKey,
        message: &Arc<Message>,
        maximum_qos: Qos,
        identifier: Option<u32>,
    ) {
        let qos = message.publish().delivery.qos().min(maximum_qos);
        let subscription_identifiers: Rc<[u32]> = identifier.into_iter().collect();
        let queued = Queued {
            message: Arc::clone(message),
            qos,
            retain: true,
            subscription_identifiers,
        };
        let limit = self.limits.queued_messages;
        let session = &mut self.sessions[key as usize];
        if session.queue.len() < limit {
            session.queue.push_back(queued);
        } else {
            self.counters.count(Count::Dropped(Dropped::QueueFull));
            tracing::debug!(client = %session.client_identifier, "retained message dropped: the client's queue is full");
        }
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
        let Layout { qos, retain, .. } = wanted.layout;
        let outbox_full = self.link.outbox.len() >= limits.outbox_bytes;
        if qos == Qos::AtMostOnce {
            if outbox_full {
                return Forwarded::Dropped(Dropped::OutboxFull);
            }
            return self.append(forwarding, wanted, None, frames);
        }
        if outbox_full || !self.queue.is_empty() || !self.outgoing.has_room() {
            if self.queue.len() >= limits.queued_messages {
                return Forwarded::Dropped(Dropped::QueueFull);
            }
            self.queue.push_back(Queued {
                message: Arc::clone(forwarding.message()),
                qos,
                retain,
                subscription_identifiers: Rc::clone(wanted.subscription_identifiers),
            });
            return Forwarded::Queued;
        }
        let Ok(identifier) = self.outgoing.handle_send(qos, ()) else {
            return Forwarded::Dropped(Dropped::QueueFull);
        };
        let forwarded = self.append(forwarding, wanted, Some(identifier), frames);
        if matches!(forwarded, Forwarded::Dropped(_)) {
            self.abandon(qos, identifier);
        }
        forwarded
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
            let message = forwarding.message();
            return self.append_shared(message, &message.publish(), wanted, identifier);
        }
        let out = self.link.outbox.tail();
        let start = out.len();
        match frames {
            Some(frames) if wanted.subscription_identifiers.is_empty() => {
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
            }
            Some(_) | None => {
                let version = wanted.layout.version;
                let encoded = wanted.lay_out(publish, identifier, |own| own.encode(version, out));
                if encoded.is_err() || out.len() - start > maximum {
                    out.truncate(start);
                    return Forwarded::Dropped(Dropped::PacketTooLarge);
                }
            }
        }
        Forwarded::Sent
    }

    /// A large payload is not copied for each client: only what stands before it is.
    fn append_shared(
        &mut self,
        message: &Arc<Message>,
        publish: &Publish<'_>,
        wanted: Wanted<'_>,
        identifier: Option<PacketIdentifier>,
    ) -> Forwarded {
        let out = self.link.outbox.tail();
        let start = out.len();
        let version = wanted.layout.version;
        let encoded = wanted.lay_out(publish, identifier, |own| {
            own.encode_without_payload(version, out)
        });
        let size = out.len() - start + publish.payload.len();
        if encoded.is_err() || size > self.link.maximum_packet_size as usize {
            out.truncate(start);
            return Forwarded::Dropped(Dropped::PacketTooLarge);
        }
        self.link.outbox.push_shared(message.payload(publish));
        Forwarded::Sent
    }

    /// Sends one that waited. What expired meanwhile is not (MQTT 5.0 §3.3.2.3.3).
    fn send_queued(&mut self, queued: &Queued, now: Now) -> Forwarded {
        let mut publish = queued.message.publish();
        let Ok(left_secs) = queued.message.remaining_secs(&publish, now.ms) else {
            return Forwarded::Dropped(Dropped::Expired);
        };
        publish.properties.message_expiry_interval_secs = left_secs;
        let identifier = match queued.qos {
            Qos::AtMostOnce => None,
            qos @ (Qos::AtLeastOnce | Qos::ExactlyOnce) => match self.outgoing.handle_send(qos, ())
            {
                Ok(identifier) => Some(identifier),
                Err(()) => return Forwarded::Dropped(Dropped::QueueFull),
            },
        };
        let wanted = Wanted {
            layout: Layout {
                version: self.link.version,
                qos: queued.qos,
                retain: queued.retain,
            },
            subscription_identifiers: &queued.subscription_identifiers,
        };
        let forwarded = self.append_shared(&queued.message, &publish, wanted, identifier);
        if let (Forwarded::Dropped(_), Some(identifier)) = (forwarded, identifier) {
            self.abandon(queued.qos, identifier);
        }
        forwarded
    }
}

impl Wanted<'_> {
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
        own.duplicate = false;
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
