//! The store: what it has written, what waits to be written, and what it has not told the shards yet. It tears between any two groups, which
//! it makes as the real one does.

use crate::{
    core::{
        journal::{Entry, SessionId, SessionRecord, Stored, StoredMessage, StoredSession},
        message::Message,
        replaying::Replay,
        retaining::Stamp,
        router::{ShardIndex, SubscriptionOptions},
        session::SubscriptionKey,
    },
    store::{joining::Joining, writer::Batch},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use symbolon_mqtt_proto::PacketIdentifier;

#[derive(Debug)]
struct Kept {
    record: SessionRecord,
    subscriptions: BTreeMap<SubscriptionKey, SubscriptionOptions>,
    messages: BTreeMap<u64, StoredMessage>,
    received: BTreeSet<PacketIdentifier>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Disk {
    sessions: BTreeMap<SessionId, Kept>,
    retained: BTreeMap<String, (Arc<Message>, Stamp)>,
    waiting: Joining,
    /// Written, but the shard does not know.
    untold: VecDeque<(ShardIndex, u64)>,
}

impl Disk {
    pub(super) fn take(&mut self, shard: ShardIndex, entries: Vec<Entry>, up_to: u64) {
        self.waiting.push(Batch {
            shard,
            up_to,
            entries,
        });
    }

    /// Writes so many groups of about so many entries, each as a whole.
    pub(super) fn commit(&mut self, groups: usize, entries: usize) {
        for _ in 0..groups {
            let group = self.waiting.take(entries);
            if group.is_empty() {
                return;
            }
            for batch in group {
                for entry in batch.entries {
                    self.apply(entry);
                }
                self.untold.push_back((batch.shard, batch.up_to));
            }
        }
    }

    /// What a shard may be told next.
    pub(super) fn poll_told(&mut self) -> Option<(ShardIndex, u64)> {
        self.untold.pop_front()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.untold.is_empty()
    }

    /// The power is gone.
    pub(super) fn crash(&mut self) {
        self.waiting = Joining::default();
        self.untold.clear();
        // Nothing older is under way any more.
        self.retained
            .retain(|_, (message, _)| !message.publish().payload.is_empty());
    }

    pub(super) fn load(&self) -> Stored {
        let session = |(id, kept): (&SessionId, &Kept)| StoredSession {
            id: *id,
            record: kept.record.clone(),
            subscriptions: (kept.subscriptions.iter())
                .map(|(key, options)| (key.clone(), *options))
                .collect(),
            messages: (kept.messages.iter())
                .map(|(place, message)| (*place, message.clone()))
                .collect(),
            received: kept.received.iter().copied().collect(),
        };
        Stored {
            sessions: self.sessions.iter().map(session).collect(),
            retained: self.retained.values().cloned().collect(),
            expired_numbers: Vec::new(),
        }
    }

    /// The same as it will be once all that a shard has handed over is written.
    pub(super) fn load_as_of(&self, shard: ShardIndex) -> Stored {
        let mut replay = Replay::new(self.load());
        let waiting = self.waiting.entries_of(shard);
        waiting.for_each(|entry| replay.apply(entry));
        replay.into_stored()
    }

    /// The first name that no session has.
    pub(super) fn free_session(&self) -> SessionId {
        self.sessions.last_key_value().map_or(0, |(id, _)| id + 1)
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            // No token here has `exi`.
            Entry::Expired { .. } => {}
            Entry::Part { entries, .. } => entries.into_iter().for_each(|entry| self.apply(entry)),
            Entry::PutSession { id, record } => {
                let record = *record;
                if let Some(kept) = self.sessions.get_mut(&id) {
                    kept.record = record;
                } else {
                    let kept = Kept {
                        record,
                        subscriptions: BTreeMap::new(),
                        messages: BTreeMap::new(),
                        received: BTreeSet::new(),
                    };
                    self.sessions.insert(id, kept);
                }
            }
            Entry::RemoveSession { id } => {
                let removed = self.sessions.remove(&id);
                assert!(removed.is_some(), "session {id} is removed but not stored");
            }
            Entry::PutSubscription {
                id,
                subscription,
                options,
            } => {
                self.kept(id).subscriptions.insert(subscription, options);
            }
            Entry::RemoveSubscription { id, subscription } => {
                self.kept(id).subscriptions.remove(&subscription);
            }
            Entry::PutMessage { id, place, message } => {
                let messages = &mut self.kept(id).messages;
                let last = messages.last_key_value().map(|(place, _)| *place);
                assert!(last < Some(place), "places go up");
                messages.insert(place, *message);
            }
            Entry::Release { id, place } => {
                let message = self.kept(id).messages.get_mut(&place);
                message.expect("what is released is stored").message = None;
            }
            Entry::RemoveMessage { id, place } => {
                let removed = self.kept(id).messages.remove(&place);
                assert!(
                    removed.is_some(),
                    "message {place} of session {id} is removed but not stored"
                );
            }
            Entry::PutReceived {
                id,
                packet_identifier,
            } => {
                self.kept(id).received.insert(packet_identifier);
            }
            Entry::RemoveReceived {
                id,
                packet_identifier,
            } => {
                self.kept(id).received.remove(&packet_identifier);
            }
            Entry::Retain { message, stamp } => {
                let topic = message.topic().as_str().to_owned();
                let kept = self.retained.get(&topic);
                // One that has expired is deleted under its own stamp.
                let deletes = message.publish().payload.is_empty();
                let wins = |newer: Stamp| newer < stamp || (newer == stamp && deletes);
                if kept.is_none_or(|(_, newer)| wins(*newer)) {
                    self.retained.insert(topic, (message, stamp));
                }
            }
        }
    }

    fn kept(&mut self, id: SessionId) -> &mut Kept {
        let kept = self.sessions.get_mut(&id);
        kept.unwrap_or_else(|| panic!("an entry speaks of session {id}, which is not stored"))
    }
}
