//! Other limits and other rules of admission, while clients are connected.

use super::{
    admission::Admission,
    grant::{Grant, PublicTopics},
    reauthentication::Reauthentication,
    session::{SessionKey, State},
    shard::{Now, Shard},
};
use crate::Limits;
use std::sync::Arc;

/// What the operator may change while the broker runs.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    /// How often the values of `$SYS` are published, seconds; 0 is never.
    pub(crate) sys_interval_secs: u32,
}

impl Shard {
    /// Other rules hold from now on. Nobody is disconnected: what was promised to a client in CONNACK stays so for its connection, and a
    /// token that was accepted counts until it runs out. Where other topics are public, every session is judged by them at once:
    /// subscriptions that are not covered any more end.
    pub(crate) fn handle_reload(&mut self, rules: &Rules, now: Now) {
        self.limits = rules.limits;
        self.retaining.set_limits(&rules.limits);
        let before = std::mem::replace(&mut self.admission, Arc::clone(&rules.admission));
        let public = &rules.admission.public_topics;
        if Arc::ptr_eq(&before.public_topics, public) {
            return;
        }
        let keys: Vec<usize> = self.sessions.iter().map(|(index, _)| index).collect();
        for index in keys {
            let key = SessionKey::try_from(index).expect("sessions are keyed by 32 bits");
            self.give_public_topics(key, public, now);
        }
    }

    /// A client was admitted, perhaps by rules that have been replaced since.
    pub(crate) fn bring_up_to_date(&self, grant: &mut Grant) {
        grant.set_public_topics(Arc::clone(&self.admission.public_topics));
    }

    fn give_public_topics(&mut self, key: SessionKey, public: &Arc<PublicTopics>, now: Now) {
        let session = self.session_mut(key);
        session.grant.set_public_topics(Arc::clone(public));
        session.last_publish = None;
        // A token whose proof is awaited brings the topics with it that were public when it came.
        if let Reauthentication::AwaitProof(challenge) = &mut session.reauthentication {
            challenge.set_public_topics(Arc::clone(public));
        }
        // Who is away is judged when it comes back with a new token.
        if session.state == State::Away {
            return;
        }
        let ended = self.end_subscriptions_beyond_grant(key, now);
        if ended > 0 {
            let client = &self.session(key).client_identifier;
            tracing::info!(%client, ended, "subscriptions ended: their topics are not public any more");
        }
    }
}
