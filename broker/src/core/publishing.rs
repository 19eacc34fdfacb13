//! The path of a PUBLISH: may it, where to, and what its publisher is told (RFC 9431 §3.1).

use super::{
    authority::KeySets,
    authz_info::AUTHZ_INFO,
    bounds::topic_beyond,
    counters::{Count, Limit, Reason},
    forwarding::Forwarding,
    holding::Needs,
    journal::{Entry, Transaction},
    message::{Message, Origin},
    publishers::{Publisher, TokenSerial},
    retaining::Stamp,
    router::{InterestedShard, Route, ShardIndex},
    session::{LastPublish, SessionKey},
    shard::{Close, Now, Shard, ShardMessage},
    system::is_of_broker,
};
use smallvec::SmallVec;
use std::{rc::Rc, sync::Arc};
use symbolon_mqtt_proto::{
    Ack, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish, Qos, ReasonCode, TopicName,
};

/// Why a PUBLISH goes nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotPublished {
    pub(super) reason_code: ReasonCode,
    pub(super) text: &'static str,
}

/// What became of a PUBLISH.
pub(super) struct Published {
    reason_code: ReasonCode,
    /// Shards that must confirm it before it is acknowledged.
    asked: SmallVec<[ShardIndex; 2]>,
    /// What is stored of it belongs to this.
    transaction: Option<Transaction>,
    /// Parts of it that are this shard's too, and empty.
    more_parts: usize,
}

impl Shard {
    pub(super) fn handle_publish(
        &mut self,
        key: SessionKey,
        publish: Publish<'_>,
        keys: &KeySets,
        now: Now,
    ) -> Result<(), Close> {
        self.counters.count(Count::Received(publish.delivery.qos()));
        let payload = publish.payload.len();
        self.counters.add(Count::PayloadReceived, payload);
        let session = &mut self.sessions[key as usize];
        if session.grant.is_expired(now.unix) {
            return Err(Close::token_expired());
        }
        if session.link.pace.is_on() {
            self.spend_token(key, now);
        }
        let alias_text = self.take_alias(key, &publish)?;
        let topic = match &alias_text {
            Some(text) => TopicName::parse(text)
                .map_err(|_| Close::new(ReasonCode::TopicNameInvalid, "topic alias"))?,
            None => publish.topic.ok_or(Close::new(
                ReasonCode::ProtocolError,
                "neither topic name nor topic alias",
            ))?,
        };
        if topic.as_str() == AUTHZ_INFO && self.admission.tokens.authz_info {
            return self.handle_token(key, &publish, keys, now);
        }
        if let Delivery::ExactlyOnce(identifier) = publish.delivery
            && !self.is_first(key, identifier)?
        {
            let needs = self.needs_everything();
            let told = (ReasonCode::Success, None);
            self.acknowledge(key, publish.delivery, told, needs);
            return Ok(());
        }
        let mark = self.mark();
        let by = self.origin_of(key, publish.retain);
        let forwarding = Forwarding::new(publish, topic, Some(key), by, now);
        // That it was received, and what became of it, is stored at once or not at all: else it would be lost or come twice after a crash.
        let received = self.received(key, publish.delivery);
        if received.is_some() {
            self.journal.begin_part();
        }
        let published = self
            .permit_and_route(key, topic)
            .and_then(|route| self.publish(&forwarding, &route, received.is_some(), now));
        if let Some(received) = received {
            let transaction = published.as_ref().ok().and_then(|one| one.transaction);
            if transaction.is_some() {
                self.journal.push(received);
            }
            self.journal.end_part(transaction);
            if let (Some(transaction), Ok(published)) = (transaction, &published) {
                for _ in 0..published.more_parts {
                    let entries = Vec::new();
                    self.journal.push(Entry::Part {
                        transaction,
                        entries,
                    });
                }
            }
        }
        match published {
            // Nothing is said at QoS 0, so nothing needs to be written first.
            Ok(_) if publish.delivery == Delivery::AtMostOnce => Ok(()),
            Ok(published) => {
                let needs = self.needs_since(mark, &published.asked);
                let told = (published.reason_code, None);
                self.acknowledge(key, publish.delivery, told, needs);
                Ok(())
            }
            Err(refused) => self.refuse_publish(key, publish.delivery, refused),
        }
    }

    /// By what a client publishes now.
    fn origin_of(&mut self, key: SessionKey, retain: bool) -> Origin {
        let token_expires_at = self.session(key).grant.expires_at();
        let publisher = retain.then(|| self.publisher_of(key)).flatten();
        let (publisher, token) = publisher.unzip();
        Origin {
            token_expires_at,
            publisher,
            token: token.unwrap_or_default(),
        }
    }

    /// Whose a retained message of this client is, and by which token; `None` without one.
    fn publisher_of(&mut self, key: SessionKey) -> Option<(Arc<Publisher>, TokenSerial)> {
        let session = &mut self.sessions[key as usize];
        if session.publisher.is_none() {
            let publisher = (self.admission.tokens.publishers).of(session.grant.holder()?);
            let token = publisher.renew(&session.grant);
            session.publisher = Some((publisher, token));
        }
        session.publisher.clone()
    }

    /// The client has a token that it did not have before: what it left retained lives as long as that.
    pub(super) fn renew_publisher(&mut self, key: SessionKey) {
        let publishers = &self.admission.tokens.publishers;
        let session = &mut self.sessions[key as usize];
        let publisher = (session.grant.holder()).and_then(|holder| publishers.find(holder));
        session.publisher = publisher.map(|publisher| {
            let token = publisher.renew(&session.grant);
            (publisher, token)
        });
    }

    /// Resolves or learns a Topic Alias, before anything is judged: a scope speaks of Topic Names. The topic it stands for, where the packet
    /// has none.
    fn take_alias(
        &mut self,
        key: SessionKey,
        publish: &Publish<'_>,
    ) -> Result<Option<Rc<str>>, Close> {
        let Some(alias) = publish.properties.topic_alias else {
            return Ok(None);
        };
        let link = &mut self.session_mut(key).link;
        let Some(topic) = publish.topic else {
            return link.resolve_alias(alias).map(Some).ok_or(Close::new(
                ReasonCode::ProtocolError,
                "topic alias was never given a topic",
            ));
        };
        if link.set_alias(alias, topic.as_str()) {
            Ok(None)
        } else {
            Err(Close::new(
                ReasonCode::TopicAliasInvalid,
                "topic alias above the maximum",
            ))
        }
    }

    /// A QoS 2 message is passed on once, however often it comes before its PUBREL (MQTT-4.3.3-10).
    pub(super) fn is_first(
        &mut self,
        key: SessionKey,
        identifier: PacketIdentifier,
    ) -> Result<bool, Close> {
        let session = &mut self.sessions[key as usize];
        let limit = usize::from(session.link.receive_maximum);
        let incoming = &mut session.incoming;
        let first = incoming.handle_publish(identifier);
        // MQTT-3.3.4-9.
        if first && incoming.len() > limit {
            self.counters.count(Count::Limit(Limit::ReceiveMaximum));
            return Err(Close::new(
                ReasonCode::ReceiveMaximumExceeded,
                "more messages in flight than Receive Maximum",
            ));
        }
        Ok(first)
    }

    /// What is stored of the receipt of a QoS 2 message by a stored session (MQTT 5.0 §4.1).
    fn received(&self, key: SessionKey, delivery: Delivery) -> Option<Entry> {
        match (self.session(key).id, delivery) {
            (Some(id), Delivery::ExactlyOnce(packet_identifier)) => Some(Entry::PutReceived {
                id,
                packet_identifier,
            }),
            _ => None,
        }
    }

    /// Whether the client may publish to `topic`, and where that goes. Both are remembered for its last topic.
    fn permit_and_route(
        &mut self,
        key: SessionKey,
        topic: TopicName<'_>,
    ) -> Result<Rc<Route>, NotPublished> {
        let session = &mut self.sessions[key as usize];
        if let Some(last) = &session.last_publish
            && *last.topic == *topic.as_str()
            && self.router.is_current(&last.route)
        {
            return Ok(Rc::clone(&last.route));
        }
        let text = topic.as_str();
        if text == AUTHZ_INFO || is_of_broker(text) || !session.grant.permits_publish(topic) {
            let reason_code = session.grant.refusal();
            let text = if reason_code == ReasonCode::NotAuthorized {
                "the token does not allow publishing to this topic"
            } else {
                "this message is not accepted"
            };
            return Err(NotPublished { reason_code, text });
        }
        if let Some(limit) = topic_beyond(text, &self.limits) {
            self.counters.count(Count::Limit(limit));
            return Err(NotPublished {
                reason_code: ReasonCode::TopicNameInvalid,
                text: "the topic has too many levels or bytes",
            });
        }
        let route = self.router.route(topic);
        session.last_publish = Some(LastPublish {
            topic: text.into(),
            route: Rc::clone(&route),
        });
        Ok(route)
    }

    pub(super) fn publish(
        &mut self,
        forwarding: &Forwarding<'_>,
        route: &Route,
        in_transaction: bool,
        now: Now,
    ) -> Result<Published, NotPublished> {
        if self.store_is_full
            && (forwarding.publish.retain || forwarding.publish.delivery.qos() > Qos::AtMostOnce)
        {
            return Err(NotPublished {
                reason_code: ReasonCode::QuotaExceeded,
                text: "the broker's store is full",
            });
        }
        let stamp = if forwarding.publish.retain {
            Some(self.retain(forwarding, now)?)
        } else {
            None
        };
        let asked = self.to_be_asked(forwarding, route, stamp.is_some());
        let transaction = in_transaction.then(|| {
            let groups = route.groups.iter();
            let storing = groups.filter(|group| self.groups.is_durable(**group));
            let parts = 1 + asked.len() + storing.count();
            Transaction {
                id: self.journal.name_transaction(),
                parts: u16::try_from(parts).unwrap_or(u16::MAX),
            }
        });
        self.forward(forwarding, &route.locals, now);
        self.hand_to_shards(forwarding, &route.shards, stamp, (&asked, transaction));
        let more_parts = if route.groups.is_empty() {
            0
        } else {
            self.share(forwarding, &route.groups, transaction, now)
        };
        let nobody = route.locals.is_empty() && route.shards.is_empty() && route.groups.is_empty();
        let reason_code = if nobody {
            ReasonCode::NoMatchingSubscribers
        } else {
            ReasonCode::Success
        };
        Ok(Published {
            reason_code,
            asked,
            transaction,
            more_parts,
        })
    }

    fn retain(&mut self, forwarding: &Forwarding<'_>, now: Now) -> Result<Stamp, NotPublished> {
        let deletes = forwarding.publish.payload.is_empty();
        let size = (!deletes).then(|| forwarding.message().size());
        let stamp = self
            .retaining
            .stamp(forwarding.topic, size)
            .map_err(|limit| {
                self.counters.count(Count::Limit(limit));
                NotPublished {
                    reason_code: ReasonCode::QuotaExceeded,
                    text: "the broker retains no more messages",
                }
            })?;
        self.retaining.apply(forwarding.message(), stamp, now);
        let message = Arc::clone(forwarding.message());
        self.journal.push(Entry::Retain { message, stamp });
        Ok(stamp)
    }

    /// The shards that must confirm before the message is acknowledged: those that store it; and of a retained message all, so that who
    /// subscribes after that gets it, wherever.
    fn to_be_asked(
        &self,
        forwarding: &Forwarding<'_>,
        route: &Route,
        retained: bool,
    ) -> SmallVec<[ShardIndex; 2]> {
        if forwarding.publish.delivery.qos() == Qos::AtMostOnce {
            return SmallVec::new();
        }
        if retained {
            return self.other_shards().collect();
        }
        let storing = route.shards.iter().filter(|shard| shard.durable);
        storing.map(|shard| shard.index).collect()
    }

    /// To the shards that are interested; a retained message goes to all, since each keeps a copy.
    fn hand_to_shards(
        &mut self,
        forwarding: &Forwarding<'_>,
        interested: &[InterestedShard],
        stamp: Option<Stamp>,
        (asked, transaction): (&[ShardIndex], Option<Transaction>),
    ) {
        if interested.is_empty() && stamp.is_none() {
            return;
        }
        for shard in self.other_shards() {
            let is_interested = interested.iter().any(|one| one.index == shard);
            if !(is_interested || stamp.is_some()) {
                continue;
            }
            let confirm = asked.contains(&shard);
            if confirm {
                self.holding.ask(shard.into());
            }
            let publish = ShardMessage::Publish {
                message: Arc::clone(forwarding.message()),
                stamp,
                confirm,
                transaction: transaction.filter(|_| confirm),
            };
            self.outbound.push(shard, publish);
        }
    }

    /// A message that a client of another shard published.
    pub(super) fn handle_remote_publish(
        &mut self,
        message: &Arc<Message>,
        stamp: Option<Stamp>,
        now: Now,
    ) {
        if let Some(stamp) = stamp {
            self.retaining.apply(message, stamp, now);
        }
        let route = self.router.route(message.topic());
        self.forward(&Forwarding::of(message, now), &route.locals, now);
    }

    pub(super) fn acknowledge(
        &mut self,
        key: SessionKey,
        delivery: Delivery,
        (reason_code, text): (ReasonCode, Option<&str>),
        needs: Needs,
    ) {
        let ack = |packet_identifier| Ack {
            reason_string: text,
            ..Ack::new(packet_identifier, reason_code)
        };
        match delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(identifier) => {
                self.answer(key, &Packet::PubAck(ack(identifier)), needs);
            }
            Delivery::ExactlyOnce(identifier) => {
                self.answer(key, &Packet::PubRec(ack(identifier)), needs);
            }
        }
    }

    /// RFC 9431 §3.1: above QoS 0 the acknowledgement says so and the connection stays; at QoS 0 and in 3.1.1 it is closed.
    pub(super) fn refuse_publish(
        &mut self,
        key: SessionKey,
        delivery: Delivery,
        refused: NotPublished,
    ) -> Result<(), Close> {
        let NotPublished { reason_code, text } = refused;
        self.counters
            .count(Count::Reason(Reason::Publish, reason_code));
        if let Delivery::ExactlyOnce(identifier) = delivery {
            // MQTT-4.3.3-9: with a failing PUBREC the identifier is free again; and in 3.1.1, where there is none, the message was not taken.
            self.session_mut(key).incoming.handle_pubrel(identifier);
        }
        let session = self.session(key);
        let link = &session.link;
        match (link.version, delivery) {
            (ProtocolVersion::V311, _) | (_, Delivery::AtMostOnce) => {
                Err(Close::new(reason_code, text))
            }
            (ProtocolVersion::V5, Delivery::AtLeastOnce(_) | Delivery::ExactlyOnce(_)) => {
                // A stranger is told no more than the code.
                let is_stranger = session.grant.holder().is_none();
                let text = (link.problem_information && !is_stranger).then_some(text);
                self.acknowledge(key, delivery, (reason_code, text), Needs::default());
                Ok(())
            }
        }
    }
}
