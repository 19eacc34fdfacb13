//! Entries of the journal that are not written yet, over what the store has: so sessions are read as they will be.

use super::{
    journal::{Entry, SessionId, Stored, StoredSession},
    message::Message,
    retaining::Stamp,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What is stored, by what names it.
#[derive(Debug)]
pub(crate) struct Replay {
    sessions: BTreeMap<SessionId, StoredSession>,
    retained: HashMap<Box<str>, (Arc<Message>, Stamp)>,
}

impl Replay {
    pub(crate) fn new(stored: Stored) -> Self {
        let sessions = stored.sessions.into_iter();
        let retained = stored.retained.into_iter().map(|(message, stamp)| {
            let topic = message.topic().as_str().into();
            (topic, (message, stamp))
        });
        Self {
            sessions: sessions.map(|session| (session.id, session)).collect(),
            retained: retained.collect(),
        }
    }

    /// One entry more. Those of sessions that are not there say nothing.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Part { entries, .. } => entries.iter().for_each(|entry| self.apply(entry)),
            Entry::PutSession { id, record } => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.record = (**record).clone();
                } else {
                    let session = StoredSession {
                        id: *id,
                        record: (**record).clone(),
                        subscriptions: Vec::new(),
                        messages: Vec::new(),
                        received: Vec::new(),
                    };
                    self.sessions.insert(*id, session);
                }
            }
            Entry::RemoveSession { id } => {
                self.sessions.remove(id);
            }
            Entry::Retain { message, stamp } => self.retain(message, *stamp),
            Entry::Expired { .. } => {}
            Entry::PutSubscription { id, .. }
            | Entry::RemoveSubscription { id, .. }
            | Entry::PutMessage { id, .. }
            | Entry::Release { id, .. }
            | Entry::RemoveMessage { id, .. }
            | Entry::PutReceived { id, .. }
            | Entry::RemoveReceived { id, .. } => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.apply(entry);
                }
            }
        }
    }

    /// The sessions, in the order of their names, and what is retained, in the order of topics.
    pub(crate) fn into_stored(self) -> Stored {
        let mut retained: Vec<_> = self.retained.into_values().collect();
        retained.sort_unstable_by(|(one, _), (other, _)| one.topic().cmp(&other.topic()));
        Stored {
            sessions: self.sessions.into_values().collect(),
            retained,
            expired_numbers: Vec::new(),
        }
    }

    fn retain(&mut self, message: &Arc<Message>, stamp: Stamp) {
        let topic = message.topic().as_str();
        let deletes = message.publish().payload.is_empty();
        let kept = self.retained.get(topic);
        if kept.is_some_and(|(_, newer)| *newer > stamp || (*newer == stamp && !deletes)) {
            return;
        }
        if deletes {
            self.retained.remove(topic);
        } else {
            let kept = (Arc::clone(message), stamp);
            self.retained.insert(topic.into(), kept);
        }
    }
}

impl StoredSession {
    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::PutSubscription {
                subscription,
                options,
                ..
            } => {
                self.subscriptions.retain(|(one, _)| one != subscription);
                self.subscriptions.push((subscription.clone(), *options));
            }
            Entry::RemoveSubscription { subscription, .. } => {
                self.subscriptions.retain(|(one, _)| one != subscription);
            }
            Entry::PutMessage { place, message, .. } => {
                let message = (**message).clone();
                match self.find(*place) {
                    Ok(at) => self.messages[at].1 = message,
                    Err(at) => self.messages.insert(at, (*place, message)),
                }
            }
            Entry::Release { place, .. } => {
                if let Ok(at) = self.find(*place) {
                    self.messages[at].1.message = None;
                }
            }
            Entry::RemoveMessage { place, .. } => {
                if let Ok(at) = self.find(*place) {
                    self.messages.remove(at);
                }
            }
            Entry::PutReceived {
                packet_identifier, ..
            } => {
                if !self.received.contains(packet_identifier) {
                    self.received.push(*packet_identifier);
                }
            }
            Entry::RemoveReceived {
                packet_identifier, ..
            } => self.received.retain(|one| one != packet_identifier),
            Entry::PutSession { .. }
            | Entry::RemoveSession { .. }
            | Entry::Retain { .. }
            | Entry::Expired { .. }
            | Entry::Part { .. } => {}
        }
    }

    fn find(&self, place: u64) -> Result<usize, usize> {
        (self.messages).binary_search_by_key(&place, |(place, _)| *place)
    }
}
