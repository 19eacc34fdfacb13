//! What must hold, judged from outside: by what clients sent, what they were told, and when connections ended.

use super::{
    client::{SessionBook, Subscribed, Tick},
    network::{MessageId, WireId},
    world::World,
};
use std::collections::BTreeMap;
use symbolon_mqtt_proto::{Publish, Qos};

/// How far a time that the broker keeps may be off what was asked for, milliseconds: clocks are read in whole seconds.
pub(super) const SLACK_MS: u64 = 2_500;

/// A message that a client sent, or left as its Will.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) publisher: usize,
    pub(super) topic: String,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) expiry_secs: Option<u32>,
    /// Length of the payload; 0 deletes what is retained.
    pub(super) payload_len: usize,
    pub(super) sent: Tick,
    pub(super) acked: Option<Tick>,
    pub(super) was_resent: bool,
    /// A crash may have made the broker forget what it had done with it.
    pub(super) crashed: bool,
    pub(super) will: Option<Will>,
}

/// What is to become of a Will.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Will {
    /// Its client is connected.
    Armed,
    /// The connection is over since then; it is due at this time, milliseconds.
    Due {
        since: Tick,
        at_ms: u64,
    },
    Published,
    GivenUp,
    /// Either would be right.
    Unclear,
}

/// What a crash or a drop leaves open is counted here.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) messages: Vec<Posted>,
    /// By topic: retained messages and deletions, in the order they were sent.
    pub(super) retained: BTreeMap<String, Vec<MessageId>>,
    /// Messages that the broker says it dropped at a bound, in earlier lives.
    pub(super) dropped_before: u64,
    /// The Wills of sessions that are over or away, by the connection.
    pub(super) wills: BTreeMap<WireId, MessageId>,
    /// Wills that were given up when the store had not all that it was told: a crash may bring them back.
    pub(super) given_up: Vec<MessageId>,
}

impl Oracle {
    pub(super) fn add(&mut self, message: Posted) -> MessageId {
        let id = self.messages.len();
        if message.retain {
            let of_topic = self.retained.entry(message.topic.clone()).or_default();
            of_topic.push(id);
        }
        self.messages.push(message);
        id
    }

    fn give_up(&mut self, id: MessageId) {
        self.messages[id].will = Some(Will::GivenUp);
        self.given_up.push(id);
    }

    /// The payload of a message: its number and filling.
    pub(super) fn payload(&self, id: MessageId) -> Vec<u8> {
        let length = self.messages[id].payload_len;
        let mut payload = format!("{id}|").into_bytes();
        payload.resize(length, b'.');
        payload
    }

    /// Whether something later is retained at the topic for all to see, before `since`.
    fn is_superseded(&self, id: MessageId, since: Tick) -> bool {
        let message = &self.messages[id];
        let Some(acked) = message.acked else {
            return false;
        };
        let of_topic = self.retained.get(&message.topic);
        of_topic.into_iter().flatten().any(|later| {
            let later = &self.messages[*later];
            later.sent > acked && later.acked.is_some_and(|later| later < since)
        })
    }

    /// What a subscription made at `since` must get: the only candidate, if there is one.
    fn certainly_retained(&self, topic: &str, since: Tick) -> Option<MessageId> {
        let of_topic = self.retained.get(topic)?;
        let newest = *of_topic.iter().max_by_key(|id| self.messages[**id].sent)?;
        let message = &self.messages[newest];
        let acked = message.acked.filter(|acked| *acked < since)?;
        let before = |id: &MessageId| {
            let other = &self.messages[*id];
            *id == newest || other.acked.is_some_and(|acked| acked < message.sent)
        };
        (acked < since && message.payload_len > 0 && of_topic.iter().all(before)).then_some(newest)
    }
}

impl World {
    /// The publisher was told that its message is taken: from now on it may not be lost.
    pub(super) fn note_acked(&mut self, id: MessageId) {
        let tick = self.next_tick();
        let message = &mut self.oracle.messages[id];
        if message.acked.is_some() {
            return;
        }
        message.acked = Some(tick);
        self.owe(id, tick);
    }

    /// Every session that was certainly subscribed before the message was sent, and still is, must get it.
    fn owe(&mut self, id: MessageId, _tick: Tick) {
        let message = &self.oracle.messages[id];
        let since = match message.will {
            Some(Will::Due { since, .. }) => since,
            Some(_) | None => message.sent,
        };
        if message.payload_len == 0
            || message.expiry_secs.is_some()
            || message.qos == Qos::AtMostOnce
        {
            return;
        }
        for (index, client) in self.clients.iter_mut().enumerate() {
            let Some(book) = &mut client.session else {
                continue;
            };
            let is_owed = book.matching(&message.topic).any(|one| {
                one.holds
                    && one.qos > Qos::AtMostOnce
                    && one.acked.is_some_and(|acked| acked < since)
                    && !(one.no_local && message.publisher == index)
            });
            if is_owed
                && client.rights.may_receive(&message.topic)
                && !book.delivered.contains_key(&id)
            {
                book.owed.insert(id);
            }
        }
    }

    /// A SUBACK came: what is certainly retained must come.
    pub(super) fn owe_retained(&mut self, client: usize, subscription: &Subscribed) {
        if !subscription.wants_retained || subscription.qos == Qos::AtMostOnce {
            return;
        }
        let topics: Vec<String> = self.oracle.retained.keys().cloned().collect();
        for topic in topics {
            let name = symbolon_mqtt_proto::TopicName::parse(&topic).unwrap();
            let Some(id) = self.oracle.certainly_retained(&topic, subscription.sent) else {
                continue;
            };
            let message = &self.oracle.messages[id];
            let ends = message.expiry_secs.is_some() || self.clients[message.publisher].has_token;
            if !ends
                && message.qos > Qos::AtMostOnce
                && subscription.filter.matches(name)
                && let Some(book) = &mut self.clients[client].session
                // It may come before the SUBACK.
                && (book.retained_seen.get(&id)).is_none_or(|seen| *seen < subscription.sent)
            {
                book.owed_retained.insert(id);
            }
        }
    }

    /// A message came to a client. `None` where its payload is empty and so cannot be told from others.
    pub(super) fn check_delivery(
        &mut self,
        client: usize,
        publish: &Publish<'_>,
        is_repetition: bool,
    ) {
        let topic = publish.topic.expect("we allow no topic aliases").as_str();
        let name = self.clients[client].name.clone();
        let rights = &self.clients[client].rights;
        assert!(
            rights.may_receive(topic),
            "{name} got a message of {topic}, which its token does not let it have"
        );
        if publish.payload.is_empty() {
            // [MQTT-3.3.1-6] and [MQTT-3.3.1-7]
            assert!(
                !publish.retain,
                "{name} got a deletion as if it were retained"
            );
            return;
        }
        let text = str::from_utf8(publish.payload).expect("payloads are text");
        let id: MessageId = text.split('|').next().unwrap().parse().unwrap();
        self.trace(|| format!("{name} has message {id}"));
        assert!(
            self.oracle.payload(id) == publish.payload,
            "the payload of message {id} was changed"
        );
        let message = &self.oracle.messages[id];
        assert_eq!(
            message.topic, topic,
            "the topic of message {id} was changed"
        );
        let qos = publish.delivery.qos();
        assert!(qos <= message.qos, "the QoS of message {id} was raised");
        self.check_will(id, &name);
        if is_repetition {
            return;
        }
        let tick = self.next_tick();
        let message = &self.oracle.messages[id];
        let book = self.clients[client].session.as_mut();
        let book = book.expect("a message came without a session");
        check_subscription(book, message, id, &name, qos);
        if publish.retain {
            let fresh = book
                .matching(topic)
                .any(|one| one.wants_retained && !self.oracle.is_superseded(id, one.sent));
            assert!(
                fresh,
                "{name} got retained message {id}, which something later had replaced"
            );
            book.owed_retained.remove(&id);
            book.retained_seen.insert(id, tick);
            return;
        }
        book.owed.remove(&id);
        let is_own = message.publisher == client && message.will.is_none();
        let hears_itself = book.matching(topic).any(|one| !one.no_local);
        // [MQTT-3.8.3-3]
        assert!(!is_own || hears_itself, "{name} got its own message {id}");
        check_count(book, message, id, &name, publish);
        check_order(book, message, id, &name, qos);
        let highest = book.delivered.entry(id).or_insert(qos);
        *highest = qos.max(*highest);
    }

    fn check_will(&self, id: MessageId, name: &str) {
        match self.oracle.messages[id].will {
            None | Some(Will::Published | Will::Unclear) => {}
            Some(Will::Due { at_ms, .. }) => assert!(
                self.now.ms + SLACK_MS >= at_ms,
                "{name} got will {id} before its delay was over"
            ),
            Some(Will::Armed) => panic!("{name} got will {id} while its client is connected"),
            Some(Will::GivenUp) => panic!("{name} got will {id}, which was given up"),
        }
    }

    /// A session's connection is over, as the broker sees it.
    pub(super) fn note_will(&mut self, wire: WireId, goodbye: bool, expiry_secs: u32) {
        let since = self.next_tick();
        let now_ms = self.now.ms;
        let is_full = self.is_full;
        let Some(wire_ends) = self.wires.get(&wire) else {
            return;
        };
        let delay_secs = wire_ends.will_delay_secs.min(expiry_secs);
        let Some(id) = wire_ends.will else {
            return;
        };
        if goodbye {
            self.oracle.give_up(id);
            return;
        }
        let at_ms = now_ms + u64::from(delay_secs) * 1_000;
        self.oracle.messages[id].will = Some(Will::Due { since, at_ms });
        if delay_secs == 0 {
            self.will_is_published(id, is_full);
        } else {
            self.oracle.wills.insert(wire, id);
        }
    }

    /// Wills whose time has come.
    pub(super) fn note_wills_due(&mut self) {
        let due: Vec<(WireId, MessageId)> = (self.oracle.wills.iter())
            .map(|(wire, id)| (*wire, *id))
            .collect();
        for (wire, id) in due {
            if let Some(Will::Due { at_ms, .. }) = self.oracle.messages[id].will
                && self.now.ms > at_ms + SLACK_MS
            {
                self.oracle.wills.remove(&wire);
                self.will_is_published(id, true);
            }
        }
    }

    /// The client is back, with its session or a new one.
    pub(super) fn settle_wills_of(&mut self, client: usize, resumes: Option<bool>) {
        let wills = self.oracle.wills.clone();
        for (wire, id) in wills {
            let message = &self.oracle.messages[id];
            if message.publisher != client {
                continue;
            }
            let Some(Will::Due { at_ms, .. }) = message.will else {
                continue;
            };
            let in_time = self.now.ms + SLACK_MS < at_ms;
            match resumes {
                Some(true) if in_time => self.oracle.give_up(id),
                Some(false) => self.will_is_published(id, self.is_full),
                Some(true) | None => self.oracle.messages[id].will = Some(Will::Unclear),
            }
            self.oracle.wills.remove(&wire);
        }
    }

    fn will_is_published(&mut self, id: MessageId, is_doubtful: bool) {
        if !is_doubtful {
            let tick = self.next_tick();
            self.owe(id, tick);
        }
        self.oracle.messages[id].will = Some(Will::Published);
    }

    /// After a crash nothing is known of Wills, and what was in flight may come twice where nobody promised otherwise.
    pub(super) fn note_crash(&mut self) {
        self.oracle.wills.clear();
        for id in std::mem::take(&mut self.oracle.given_up) {
            self.oracle.messages[id].will = Some(Will::Unclear);
        }
        for message in &mut self.oracle.messages {
            message.crashed = true;
            if !matches!(message.will, None | Some(Will::Published | Will::GivenUp)) {
                message.will = Some(Will::Unclear);
            }
        }
        let messages = &self.oracle.messages;
        for client in &mut self.clients {
            if let Some(book) = &mut client.session {
                book.owed.retain(|id| messages[*id].will.is_none());
            }
        }
    }
}

fn check_subscription(book: &SessionBook, message: &Posted, id: MessageId, name: &str, qos: Qos) {
    let asked = book
        .matching(&message.topic)
        .any(|one| qos <= one.qos && one.ended.is_none_or(|ended| ended > message.sent));
    assert!(
        asked,
        "{name} got message {id} of {}, to which it is not subscribed at {qos:?}",
        message.topic
    );
}

fn check_count(
    book: &SessionBook,
    message: &Posted,
    id: MessageId,
    name: &str,
    publish: &Publish<'_>,
) {
    let Some(before) = book.delivered.get(&id).copied() else {
        return;
    };
    let qos = publish.delivery.qos();
    let crashed = message.crashed;
    // A crash may find the Will published on one shard and its session not yet without it on another.
    let is_will = message.will.is_some() && crashed;
    let may_repeat = match (message.qos, qos) {
        (Qos::AtMostOnce, _) => false,
        // One that came at QoS 0 is nowhere written down.
        (Qos::ExactlyOnce, Qos::ExactlyOnce) => crashed && before < Qos::ExactlyOnce,
        (Qos::ExactlyOnce, Qos::AtMostOnce) => message.was_resent && crashed,
        (Qos::AtLeastOnce, Qos::AtMostOnce) => message.was_resent,
        (Qos::AtLeastOnce, _) => message.was_resent || crashed || publish.duplicate,
        (Qos::ExactlyOnce, Qos::AtLeastOnce) => crashed || publish.duplicate,
    };
    let may_repeat = may_repeat || is_will;
    assert!(
        may_repeat,
        "{name} got message {id} again, sent at {:?} and delivered at {qos:?}",
        message.qos
    );
}

fn check_order(book: &mut SessionBook, message: &Posted, id: MessageId, name: &str, qos: Qos) {
    // One that had expired and was passed over may be back after a crash.
    let is_back = message.expiry_secs.is_some() && message.crashed;
    if is_back || message.was_resent || message.will.is_some() || book.delivered.contains_key(&id) {
        return;
    }
    let key = (message.publisher, message.topic.clone(), qos);
    let last = book.order.insert(key, message.sent);
    assert!(
        last.is_none_or(|last| last < message.sent),
        "{name} got message {id} of {} after one that was sent later",
        message.topic
    );
}
