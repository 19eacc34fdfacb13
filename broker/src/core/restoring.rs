//! What the store kept, put back: sessions, away until their clients return, and retained messages.

use super::{
    connecting::session_key,
    counters::Count,
    grant::Grant,
    journal::{SessionRecord, StoredMessage, StoredSession},
    message::Message,
    retaining::Stamp,
    router::{SubscriptionOptions, Target},
    session::{Queued, Session, SessionKey, SessionWill, SubscriptionKey},
    shard::{Now, Shard, WillFate},
};
use std::{rc::Rc, sync::Arc};

impl Shard {
    /// Puts back a session whose client is at home here. The other shards hear of its subscriptions; until [`Shard::is_settled`], they may
    /// not know of all.
    pub(crate) fn restore_session(&mut self, stored: StoredSession, now: Now) {
        let StoredSession {
            id,
            record,
            subscriptions,
            messages,
            received,
        } = stored;
        let public = Arc::clone(&self.admission.public_topics);
        let grant = Grant::of_absent(record.holder.clone(), public);
        let mut session = Session::absent(id, &record, grant);
        let quotas = &self.admission.quotas;
        session.place = Some(quotas.sessions.take_anyway());
        if let Some(will) = &mut session.will {
            will.place = Some(Arc::new(quotas.wills.take_anyway()));
        }
        for packet_identifier in received {
            session.incoming.handle_publish(packet_identifier);
        }
        for (place, message) in messages {
            session.restore_message(place, message, record.sent_below);
        }
        session.resend_after = self.rebirth.inherited();
        for queued in &mut session.queue {
            queued.journaled = self.rebirth.inherited();
        }
        let key = session_key(self.sessions.insert(session));
        let client_identifier = record.client_identifier.clone();
        let rival = self.by_client.insert(client_identifier.clone(), key);
        for (subscription, options) in subscriptions {
            self.restore_subscription(key, subscription, options);
        }
        self.rearm(key, &record, now);
        if let Some(rival) = rival {
            // One of them had ended, but messages of its groups were still on their way to others.
            let (ended, stays) = if self.session(rival).id < Some(id) {
                (rival, key)
            } else {
                (key, rival)
            };
            self.end(ended, WillFate::Discard, now);
            self.by_client.insert(client_identifier, stays);
        }
    }

    /// Puts back a retained message; every shard is given all.
    pub(crate) fn restore_retained(&mut self, message: &Arc<Message>, stamp: Stamp, now: Now) {
        if let Some(publisher) = &message.publisher {
            self.admission.tokens.publishers.restore(publisher);
        }
        self.retaining.apply(message, stamp, now);
    }

    /// Whether every other shard knows what our stored sessions subscribe to.
    pub(crate) fn is_settled(&self) -> bool {
        self.interest.is_settled()
    }

    fn restore_subscription(
        &mut self,
        key: SessionKey,
        subscription: SubscriptionKey,
        options: SubscriptionOptions,
    ) {
        if subscription.share_name.is_some() {
            let request = self.interest.tell_restored();
            self.join_group(key, &subscription, &options, request);
            self.session_mut(key).subscriptions.insert(subscription);
            return;
        }
        let filter = &subscription.filter;
        self.router.subscribe(filter, Target::Session(key), options);
        self.counters.count(Count::Subscriptions);
        if let Some(durable) = self.interest.add(filter, true) {
            let request = self.interest.tell_restored();
            self.tell_interest(filter, durable, request);
        }
        self.session_mut(key).subscriptions.insert(subscription);
    }

    /// The time away counts from when the connection ended; where the broker ended with it, from now.
    fn rearm(&mut self, key: SessionKey, record: &SessionRecord, now: Now) {
        let away_secs = record
            .away_since
            .map_or(0, |since| since.secs_until(now.unix));
        let left = |interval: u32| u64::from(interval).saturating_sub(away_secs);
        self.arm_end(key, left(record.expiry_secs), now);
        if let Some((_, delay_secs)) = &record.will {
            self.arm_will(key, left(*delay_secs), now);
        }
        if record.away_since.is_none() {
            self.journal_session(key, Some(now));
        }
    }
}

impl Session {
    fn restore_message(&mut self, place: u64, stored: StoredMessage, sent_below: u64) {
        let StoredMessage {
            message,
            qos,
            retain,
            subscription_identifiers,
            shared,
        } = stored;
        self.next_place = place + 1;
        let Some(message) = message else {
            // It was sent, and so were those before it.
            self.fly_queued();
            self.outgoing.skip_to(place);
            let identifier = self.outgoing.next_identifier();
            if self.outgoing.restore_release(identifier).is_err() {
                tracing::warn!(client = %self.client_identifier, "a stored packet identifier is in use");
            }
            return;
        };
        self.push_queued(Queued {
            message,
            qos,
            retain,
            subscription_identifiers: Rc::from(subscription_identifiers),
            shared: shared.map(Arc::new),
            place,
            journaled: 0,
        });
        if self.queue.len() == 1 && place < sent_below {
            self.fly_queued();
        }
    }

    /// Puts what is queued into flight, under the identifiers that belong to its places: those of messages that stay in the queue are not
    /// given to others.
    fn fly_queued(&mut self) {
        while let Some(queued) = self.pop_queued() {
            self.outgoing.skip_to(queued.place);
            let identifier = self.outgoing.next_identifier();
            let kept = Some(Box::new(queued.clone()));
            if self
                .outgoing
                .restore_message(identifier, queued.qos, kept)
                .is_err()
            {
                // All identifiers are in use: so far ahead of the first nothing was sent.
                self.queued_bytes += queued.size();
                self.queue.push_front(queued);
                return;
            }
        }
    }

    fn absent(id: u64, record: &SessionRecord, grant: Grant) -> Self {
        let mut session = Self::away(Some(id), record.client_identifier.clone(), grant);
        session.expiry_secs = record.expiry_secs;
        session.will = (record.will.as_ref()).map(|(message, delay_secs)| SessionWill {
            message: Arc::clone(message),
            delay_secs: *delay_secs,
            place: None,
        });
        session
    }
}
