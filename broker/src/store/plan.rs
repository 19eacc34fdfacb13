//! The changes of tables that a group of entries means.

use super::records::{self, EXPIRED, MESSAGES, RECEIVED, RETAINED, SESSIONS, STAMP, SUBSCRIPTIONS};
use crate::core::{
    journal::{Entry, SessionId, StoredMessage},
    message::Message,
    retaining::Stamp,
    shard::Now,
};
use std::collections::{BTreeMap, VecDeque};
use symbolon_mqtt_proto::Qos;
use symbolon_store_lmdb::Write;

/// How long a deletion is remembered, seconds: far longer than a message waits between shards and for the store.
const REMEMBERED_SECS: u64 = 600;
/// How many deletions are remembered at the most; then the oldest are forgotten.
const REMEMBERED: usize = 262_144;

/// Retained messages that were deleted a short while ago: an older one that arrives after the deletion must not come back.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    stamps: BTreeMap<Vec<u8>, Stamp>,
    /// In the order of their times, each with the stamp that it was remembered with.
    by_age: VecDeque<(u64, Vec<u8>, Stamp)>,
}

impl Deletions {
    fn remember(&mut self, key: &[u8], stamp: Stamp, now: Now) {
        let remembered = self.stamps.get(key);
        if remembered.is_some_and(|remembered| *remembered >= stamp) {
            return;
        }
        self.stamps.insert(key.to_vec(), stamp);
        self.by_age.push_back((now.unix.0, key.to_vec(), stamp));
        self.forget_oldest(now);
    }

    fn forget_oldest(&mut self, now: Now) {
        while let Some((at, key, stamp)) = self.by_age.front() {
            let is_old = now.unix.0.saturating_sub(*at) > REMEMBERED_SECS;
            if !is_old && self.by_age.len() <= REMEMBERED {
                break;
            }
            // A later deletion of the same topic stands further behind.
            if self.stamps.get(key) == Some(stamp) {
                self.stamps.remove(key);
            }
            self.by_age.pop_front();
        }
    }

    /// Whether a message of this stamp is deleted. The same stamp is that of the message itself, once it has expired.
    fn has_deleted(&self, key: &[u8], stamp: Stamp) -> bool {
        (self.stamps.get(key)).is_some_and(|deleted| *deleted >= stamp)
    }
}

/// The changes, in the order of the entries.
pub(super) fn plan(entries: &[Entry], deletions: &mut Deletions, now: Now) -> Vec<Write> {
    let mut writes = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry {
            Entry::PutSession { id, record } => writes.push(Write::Put {
                table: SESSIONS,
                key: records::session_key(*id),
                value: records::write_session(record, now),
            }),
            Entry::RemoveSession { id } => writes.extend(remove_session(*id)),
            Entry::PutSubscription {
                id,
                subscription,
                options,
            } => writes.push(Write::Put {
                table: SUBSCRIPTIONS,
                key: records::subscription_key(*id, subscription),
                value: records::write_subscription(subscription, options),
            }),
            Entry::RemoveSubscription { id, subscription } => writes.push(Write::Delete {
                table: SUBSCRIPTIONS,
                key: records::subscription_key(*id, subscription),
            }),
            Entry::PutMessage { id, place, message } => {
                writes.push(put_message(*id, *place, message, now));
            }
            Entry::Release { id, place } => {
                writes.push(put_message(*id, *place, &released(), now));
            }
            Entry::RemoveMessage { id, place } => writes.push(Write::Delete {
                table: MESSAGES,
                key: records::message_key(*id, *place),
            }),
            Entry::PutReceived {
                id,
                packet_identifier,
            } => writes.push(Write::Put {
                table: RECEIVED,
                key: records::received_key(*id, *packet_identifier),
                value: Vec::new(),
            }),
            Entry::RemoveReceived {
                id,
                packet_identifier,
            } => writes.push(Write::Delete {
                table: RECEIVED,
                key: records::received_key(*id, *packet_identifier),
            }),
            Entry::Expired { issuer, number } => writes.push(Write::Put {
                table: EXPIRED,
                key: records::expired_key(issuer),
                value: records::write_expired(issuer, *number),
            }),
            Entry::Part { entries, .. } => writes.extend(plan(entries, deletions, now)),
            Entry::Retain { message, stamp } => {
                writes.extend(retain(message, *stamp, deletions, now));
            }
        }
    }
    writes
}

/// The session and everything that belongs to it.
pub(super) fn remove_session(id: SessionId) -> [Write; 4] {
    let key = records::session_key(id);
    let prefix = |table| Write::DeletePrefix {
        table,
        prefix: key.clone(),
    };
    [
        prefix(SUBSCRIPTIONS),
        prefix(MESSAGES),
        prefix(RECEIVED),
        Write::Delete {
            table: SESSIONS,
            key: key.clone(),
        },
    ]
}

fn put_message(id: SessionId, place: u64, message: &StoredMessage, now: Now) -> Write {
    Write::Put {
        table: MESSAGES,
        key: records::message_key(id, place),
        value: records::write_stored_message(message, now),
    }
}

/// What is left of a message after its PUBREC: its place.
fn released() -> StoredMessage {
    StoredMessage {
        message: None,
        qos: Qos::ExactlyOnce,
        retain: false,
        subscription_identifiers: Box::default(),
        shared: None,
    }
}

fn retain(message: &Message, stamp: Stamp, deletions: &mut Deletions, now: Now) -> Option<Write> {
    let publish = message.publish();
    let topic = message.topic();
    let key = records::retained_key(topic.as_str());
    // [MQTT-3.3.1-6]
    if publish.payload.is_empty() {
        deletions.remember(&key, stamp, now);
        return Some(Write::DeleteUnlessHigher {
            table: RETAINED,
            key,
            than: records::stamp_bytes(stamp).to_vec(),
            from: STAMP.start,
        });
    }
    (!deletions.has_deleted(&key, stamp)).then(|| Write::PutUnlessLower {
        table: RETAINED,
        key,
        value: records::write_retained(message, stamp, now),
        compared: STAMP,
    })
}
