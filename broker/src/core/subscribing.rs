//! SUBSCRIBE and UNSUBSCRIBE: each Topic Filter is judged by the grant (RFC 9431 §3.3); SUBACK leaves once every shard knows.

use super::{
    authz_info::AUTHZ_INFO,
    bounds::topic_beyond,
    counters::{Count, Limit, Reason},
    interest::{Change, UNAWAITED, Waiting},
    journal::{Entry, SessionId},
    message::Message,
    router::{SubscriptionOptions, Target},
    session::{SessionKey, SubscriptionKey},
    shard::{Close, Now, Shard, ShardMessage},
};
use std::{collections::BTreeSet, sync::Arc};
use symbolon_mqtt_proto::{
    Packet, Qos, ReasonCode, RetainHandling, SubAck, Subscribe, Subscription, TopicFilter,
    UnsubAck, Unsubscribe, UserProperties,
};

/// A retained message for one of the subscriptions just made.
#[derive(Debug)]
pub(crate) struct RetainedDelivery {
    pub(crate) message: Arc<Message>,
    pub(super) maximum_qos: Qos,
    pub(super) subscription_identifier: Option<u32>,
}

impl Shard {
    pub(super) fn handle_subscribe(
        &mut self,
        key: SessionKey,
        subscribe: &Subscribe<'_>,
        now: Now,
    ) -> Result<(), Close> {
        if self.session(key).grant.is_expired(now.unix) {
            return Err(Close::token_expired());
        }
        let to = self.session(key).connection_key(key);
        let mut waiting = Waiting::new(to, subscribe.packet_identifier);
        waiting.subscription_identifier = subscribe.subscription_identifier;
        let mut told = 0;
        for subscription in &subscribe.subscriptions {
            let reason_code = match self.judge_subscription(key, subscription) {
                Err(refused) => {
                    self.counters
                        .count(Count::Reason(Reason::Subscribe, refused));
                    refused
                }
                Ok(granted) => {
                    told += usize::from(self.subscribe(key, subscription, &mut waiting, now));
                    granted
                }
            };
            waiting.reason_codes.push(reason_code);
        }
        if let Some(waiting) = self.interest.wait(waiting, told) {
            self.answer_subscribe_once_stored(waiting, now);
        }
        Ok(())
    }

    /// The QoS granted, or why not.
    fn judge_subscription(
        &mut self,
        key: SessionKey,
        subscription: &Subscription,
    ) -> Result<ReasonCode, ReasonCode> {
        let session = &self.sessions[key as usize];
        let filter = &subscription.filter;
        if filter.as_str() == AUTHZ_INFO || !session.grant.permits_subscribe(filter) {
            return Err(session.grant.refusal());
        }
        if let Some(limit) = topic_beyond(filter.as_str(), &self.limits) {
            self.counters.count(Count::Limit(limit));
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let is_new = !session.subscriptions.contains(&key_of(subscription));
        if is_new && session.subscriptions.len() >= self.limits.subscriptions_per_client {
            self.counters
                .count(Count::Limit(Limit::SubscriptionsPerClient));
            return Err(ReasonCode::QuotaExceeded);
        }
        if session.id.is_some() && self.store_is_full {
            return Err(ReasonCode::QuotaExceeded);
        }
        Ok(match subscription.maximum_qos {
            Qos::AtMostOnce => ReasonCode::Success,
            Qos::AtLeastOnce => ReasonCode::GrantedQos1,
            Qos::ExactlyOnce => ReasonCode::GrantedQos2,
        })
    }

    /// Makes or replaces the subscription (MQTT-3.8.4-3); whether other shards were told of a new interest.
    fn subscribe(
        &mut self,
        key: SessionKey,
        subscription: &Subscription,
        waiting: &mut Waiting,
        now: Now,
    ) -> bool {
        let filter = &subscription.filter;
        let maximum_qos = subscription.maximum_qos;
        let subscription_identifier = waiting.subscription_identifier;
        let id = self.session(key).id;
        let options = SubscriptionOptions {
            maximum_qos,
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
            subscription_identifier,
            durable: id.is_some(),
        };
        if let Some(id) = id {
            self.journal.push(Entry::PutSubscription {
                id,
                subscription: key_of(subscription),
                options,
            });
        }
        if subscription.share_name.is_some() {
            return self.subscribe_shared(key, &key_of(subscription), &options);
        }
        let is_new = self.router.subscribe(filter, Target::Session(key), options);
        let send_retained = match subscription.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if send_retained {
            let matching = self.retaining.matching(filter, now).into_iter();
            let matching = matching.chain(self.system.matching(filter));
            waiting
                .retained
                .extend(matching.map(|message| RetainedDelivery {
                    message,
                    maximum_qos,
                    subscription_identifier,
                }));
        }
        if !is_new {
            return false;
        }
        self.session_mut(key)
            .subscriptions
            .insert(key_of(subscription));
        self.counters.count(Count::Subscriptions);
        let Some(durable) = self.interest.add(filter, options.durable) else {
            return false;
        };
        let request = self.interest.next_request();
        self.tell_interest(filter, durable, request);
        true
    }

    /// A Shared Subscription gets no retained messages (MQTT 5.0 §4.8.2).
    fn subscribe_shared(
        &mut self,
        key: SessionKey,
        subscription: &SubscriptionKey,
        options: &SubscriptionOptions,
    ) -> bool {
        let request = self.interest.next_request();
        let is_new = self.join_group(key, subscription, options, request);
        if is_new {
            let subscription = subscription.clone();
            self.session_mut(key).subscriptions.insert(subscription);
        }
        is_new && self.other_shards().next().is_some()
    }

    pub(super) fn tell_interest(&mut self, filter: &TopicFilter, durable: bool, request: u64) {
        self.tell_others(|| ShardMessage::Interested {
            filter: filter.clone(),
            durable,
            request,
        });
    }

    /// Another shard knows now.
    pub(super) fn handle_interest_acknowledged(&mut self, request: u64, now: Now) {
        for waiting in self.interest.acknowledge(request) {
            self.answer_subscribe_once_stored(waiting, now);
        }
    }

    /// SUBACK, and the retained messages behind it.
    pub(super) fn answer_subscribe(&mut self, waiting: &Waiting, now: Now) {
        let key = waiting.to.session;
        let session = self.session(key);
        let refused = waiting.reason_codes.iter().any(|code| code.is_failure());
        let reason_string = (refused && session.link.problem_information)
            .then_some("some filters are not allowed by the token or the broker's limits");
        self.send(
            key,
            &Packet::SubAck(SubAck {
                packet_identifier: waiting.packet_identifier,
                reason_string,
                user_properties: UserProperties::default(),
                reason_codes: waiting.reason_codes.clone(),
            }),
        );
        self.send_retained_of(waiting, now);
        self.handle_room(key, now);
    }

    /// The retained messages for a SUBSCRIBE.
    pub(super) fn send_retained_of(&mut self, waiting: &Waiting, now: Now) {
        for retained in &waiting.retained {
            let topic = retained.message.topic();
            // One that was replaced meanwhile has reached the client as a live message.
            let is_current = self.retaining.is_current(topic, &retained.message)
                || self.system.is_current(topic, &retained.message);
            if is_current
                && self
                    .session(waiting.to.session)
                    .grant
                    .permits_delivery(topic)
            {
                self.send_retained(waiting.to.session, retained, now);
            }
        }
    }

    pub(super) fn handle_unsubscribe(
        &mut self,
        key: SessionKey,
        unsubscribe: &Unsubscribe<'_>,
        now: Now,
    ) {
        let mark = self.mark();
        let reason_codes = unsubscribe.filters.iter().map(|(share_name, filter)| {
            let subscription = SubscriptionKey {
                share_name: share_name.clone(),
                filter: filter.clone(),
            };
            if self.forget_subscription(key, &subscription, now) {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            }
        });
        let reason_codes = reason_codes.collect();
        let packet_identifier = unsubscribe.packet_identifier;
        let user_properties = UserProperties::default();
        let unsuback = Packet::UnsubAck(UnsubAck {
            packet_identifier,
            reason_string: None,
            user_properties,
            reason_codes,
        });
        let needs = self.needs_since(mark, &[]);
        self.answer(key, &unsuback, needs);
    }

    fn forget_subscription(
        &mut self,
        key: SessionKey,
        subscription: &SubscriptionKey,
        now: Now,
    ) -> bool {
        let session = self.session_mut(key);
        let id = session.id;
        let held = session.subscriptions.remove(subscription);
        if held {
            self.end_subscription(key, id, subscription, now);
        }
        held
    }

    fn end_subscription(
        &mut self,
        key: SessionKey,
        id: Option<SessionId>,
        subscription: &SubscriptionKey,
        now: Now,
    ) {
        self.drop_subscription(key, id, subscription);
        self.journal_subscription_end(id, subscription);
        if subscription.share_name.is_some() {
            self.hand_over_of_group(key, subscription, now);
        }
    }

    fn journal_subscription_end(&mut self, id: Option<SessionId>, subscription: &SubscriptionKey) {
        if let Some(id) = id {
            let subscription = subscription.clone();
            self.journal
                .push(Entry::RemoveSubscription { id, subscription });
        }
    }

    /// Takes a subscription out of the routes, and the interest in it from the other shards if it was the last.
    pub(super) fn drop_subscription(
        &mut self,
        key: SessionKey,
        id: Option<SessionId>,
        subscription: &SubscriptionKey,
    ) {
        if subscription.share_name.is_some() {
            return self.leave_group(key, id, subscription);
        }
        let filter = &subscription.filter;
        if self.router.unsubscribe(filter, Target::Session(key)) {
            self.counters.discount(Count::Subscriptions);
        }
        match self.interest.remove(filter, id.is_some()) {
            Change::Nothing => {}
            Change::Uninterested => self.tell_others(|| ShardMessage::Uninterested {
                filter: filter.clone(),
            }),
            Change::NotDurable => self.tell_interest(filter, false, UNAWAITED),
        }
    }

    /// A new grant holds: subscriptions that it does not cover end. How many did.
    pub(super) fn end_subscriptions_beyond_grant(&mut self, key: SessionKey, now: Now) -> usize {
        let session = self.session_mut(key);
        let id = session.id;
        let (kept, ended) = std::mem::take(&mut session.subscriptions)
            .into_iter()
            .partition::<BTreeSet<_>, _>(|held| session.grant.permits_subscribe(&held.filter));
        session.subscriptions = kept;
        for subscription in &ended {
            self.end_subscription(key, id, subscription, now);
        }
        ended.len()
    }

    pub(super) fn tell_others(&mut self, mut message: impl FnMut() -> ShardMessage) {
        for shard in self.other_shards() {
            self.outbound.push(shard, message());
        }
    }
}

/// What a subscription is known by.
fn key_of(subscription: &Subscription) -> SubscriptionKey {
    SubscriptionKey {
        share_name: subscription.share_name.clone(),
        filter: subscription.filter.clone(),
    }
}
