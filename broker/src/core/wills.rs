//! Wills, from the end of their client's connection on (MQTT 5.0 §3.1.2.5): published at once, later, or not at all.

use super::{
    bounds::topic_beyond,
    counters::Limit,
    forwarding::Forwarding,
    grant::Grant,
    message::{Message, Origin},
    publishing::NotPublished,
    refusal::Refusal,
    session::{SessionKey, SessionWill, State},
    shard::{Now, Shard, Timer, WillFate},
};
use crate::Limits;

impl Shard {
    /// The connection of a session that goes on is over: its Will is due now or later, unless it is given up (MQTT-3.1.2-8).
    pub(super) fn settle_will(&mut self, key: SessionKey, fate: WillFate, now: Now) {
        let session = &mut self.sessions[key as usize];
        let Some(will) = &session.will else {
            return;
        };
        match fate {
            WillFate::Keep => {}
            WillFate::Discard => session.will = None,
            WillFate::Publish if will.delay_secs == 0 => self.publish_will_of(key, now),
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
        if session.state == State::Live || session.will.is_none() {
            return;
        }
        self.publish_will_of(key, now);
        self.journal_session(key, Some(now));
    }

    pub(super) fn arm_will(&mut self, key: SessionKey, wait_secs: u64, now: Now) {
        let deadline_ms = now.ms + (wait_secs * 1_000).max(1);
        let timer = self.wheel.insert(deadline_ms, Timer::Will(key));
        self.session_mut(key).will_timer = Some(timer);
    }

    fn publish_will_of(&mut self, key: SessionKey, now: Now) {
        let session = &mut self.sessions[key as usize];
        if let Some(will) = session.will.take() {
            let grant = session.grant.clone();
            self.publish_will(&will, &grant, now);
        }
    }

    /// A Will was authorised at CONNECT and is published even if its token has expired since (RFC 9431 §5).
    pub(super) fn publish_will(&mut self, will: &SessionWill, grant: &Grant, now: Now) {
        let publish = will.message.publish();
        let publishers = &self.admission.tokens.publishers;
        let holder = grant.holder().filter(|_| publish.retain);
        let publisher = holder.map(|holder| publishers.of(holder));
        let by = Origin {
            token_expires_at: will.message.token_expires_at(),
            token: (publisher.as_ref()).map_or(0, |publisher| publisher.renew(grant)),
            publisher,
        };
        // It is published now: its Message Expiry Interval begins.
        let message = &Message::new(&publish, now.ms, by);
        let route = self.router.route(message.topic());
        if let Err(NotPublished { text, .. }) =
            self.publish(&Forwarding::of(message, now), &route, false, now)
        {
            tracing::warn!(reason = text, "a will is not published");
        }
    }
}

/// The bound that a Will is beyond, if any, and what its client is told.
pub(super) fn will_beyond(will: &Message, limits: &Limits) -> Option<(Limit, Refusal)> {
    if will.size() > limits.will_size {
        return Some((Limit::WillSize, Refusal::WillSize));
    }
    topic_beyond(will.topic().as_str(), limits).map(|limit| (limit, Refusal::WillTopic))
}
