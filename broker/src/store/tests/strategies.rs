//! Any journal, and what it comes to.

use super::{message, now};
use crate::core::{
    grant::Holder,
    journal::{Entry, SessionRecord, Stored, StoredMessage, StoredSession},
    message::{Message, Origin},
    publishers::Publisher,
    retaining::Stamp,
    router::SubscriptionOptions,
    session::SubscriptionKey,
};
use proptest::{collection::vec, option, prelude::*};
use std::{collections::BTreeMap, sync::Arc};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{PacketIdentifier, Qos, ShareName, TopicFilter};

/// Groups of entries, each of which is one commit.
pub(super) fn groups() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    vec(vec(entry(), 0..12), 0..8)
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![1_u64..5, Just(u64::MAX)]
}

fn entry() -> impl Strategy<Value = Entry> {
    let place = || prop_oneof![1_u64..6, Just(1 << 40)];
    prop_oneof![
        4 => (id(), record()).prop_map(|(id, record)| Entry::PutSession { id, record: Box::new(record) }),
        1 => id().prop_map(|id| Entry::RemoveSession { id }),
        1 => ("[a-c]{1,2}", any::<u64>()).prop_map(|(issuer, number)| Entry::Expired { issuer: issuer.into(), number }),
        2 => (id(), subscription(), options()).prop_map(|(id, subscription, options)| {
            Entry::PutSubscription { id, subscription, options }
        }),
        1 => (id(), subscription())
            .prop_map(|(id, subscription)| Entry::RemoveSubscription { id, subscription }),
        4 => (id(), place(), stored_message()).prop_map(|(id, place, message)| {
            Entry::PutMessage { id, place, message: Box::new(message) }
        }),
        1 => (id(), place()).prop_map(|(id, place)| Entry::Release { id, place }),
        1 => (id(), place()).prop_map(|(id, place)| Entry::RemoveMessage { id, place }),
        1 => (id(), packet_identifier())
            .prop_map(|(id, packet_identifier)| Entry::PutReceived { id, packet_identifier }),
        1 => (id(), packet_identifier())
            .prop_map(|(id, packet_identifier)| Entry::RemoveReceived { id, packet_identifier }),
        3 => (any_message(), 0_u64..9, 0_u16..3).prop_map(|(message, counter, shard)| {
            Entry::Retain { message, stamp: Stamp { counter, shard } }
        }),
    ]
}

fn packet_identifier() -> impl Strategy<Value = PacketIdentifier> {
    (1_u16..4).prop_filter_map("not 0", PacketIdentifier::new)
}

fn qos() -> impl Strategy<Value = Qos> {
    prop_oneof![
        Just(Qos::AtMostOnce),
        Just(Qos::AtLeastOnce),
        Just(Qos::ExactlyOnce)
    ]
}

fn holder(name: &str) -> Holder {
    Holder {
        issuer: "https://as.example".into(),
        name: Some(name.into()),
        key_thumbprint: [7; 32],
    }
}

fn any_message() -> impl Strategy<Value = Arc<Message>> {
    let parts = (
        "[ab]{1,2}(/[ab])?",
        vec(any::<u8>(), 0..3000),
        option::of(1_000_u32..2_000),
        option::of(Just(u64::MAX - 1)),
        option::of("[ab]"),
    );
    parts.prop_map(|(topic, payload, expiry_secs, token, publisher)| {
        let message = message(&topic, &payload, expiry_secs);
        let by = Origin {
            token_expires_at: token.map(UnixTime),
            publisher: publisher.map(|name| Arc::new(Publisher::new(&holder(&name)))),
            token: 0,
        };
        Message::new(&message.publish(), now().ms, by)
    })
}

fn subscription() -> impl Strategy<Value = SubscriptionKey> {
    (option::of("[a-c]"), "[ab+](/[ab+]){0,2}(/#)?").prop_map(|(share_name, filter)| {
        SubscriptionKey {
            share_name: share_name.map(|name| ShareName::parse(&name).unwrap()),
            filter: TopicFilter::parse(&filter).unwrap(),
        }
    })
}

fn options() -> impl Strategy<Value = SubscriptionOptions> {
    let parts = (
        qos(),
        any::<bool>(),
        any::<bool>(),
        option::of(any::<u32>()),
    );
    parts.prop_map(
        |(maximum_qos, no_local, retain_as_published, subscription_identifier)| {
            SubscriptionOptions {
                durable: true,
                maximum_qos,
                no_local,
                retain_as_published,
                subscription_identifier,
            }
        },
    )
}

fn stored_message() -> impl Strategy<Value = StoredMessage> {
    let parts = (
        option::of(any_message()),
        qos(),
        any::<bool>(),
        vec(any::<u32>(), 0..3),
        option::of(subscription()),
    );
    parts.prop_map(
        |(message, qos, retain, subscription_identifiers, shared)| StoredMessage {
            message,
            qos,
            retain,
            subscription_identifiers: subscription_identifiers.into(),
            shared,
        },
    )
}

fn record() -> impl Strategy<Value = SessionRecord> {
    let holder = (".{0,9}", option::of(".{0,9}"), any::<[u8; 32]>());
    let holder = holder.prop_map(|(issuer, name, key_thumbprint)| Holder {
        issuer: issuer.into(),
        name: name.map(Into::into),
        key_thumbprint,
    });
    let parts = (
        ".{0,20}",
        option::of(holder),
        any::<u32>(),
        option::of(any::<u64>()),
        any::<u64>(),
        option::of((any_message(), any::<u32>())),
    );
    parts.prop_map(
        |(client_identifier, holder, expiry_secs, away_since, sent_below, will)| SessionRecord {
            client_identifier: client_identifier.into(),
            holder,
            expiry_secs,
            away_since: away_since.map(UnixTime),
            sent_below,
            will,
        },
    )
}

/// What should be stored, kept in the plainest way.
#[derive(Default)]
pub(super) struct Model {
    sessions: BTreeMap<u64, SessionRecord>,
    subscriptions: BTreeMap<(u64, bool, String), (SubscriptionKey, SubscriptionOptions)>,
    messages: BTreeMap<(u64, u64), StoredMessage>,
    received: BTreeMap<(u64, u16), PacketIdentifier>,
    retained: BTreeMap<String, (Arc<Message>, Stamp)>,
    expired_numbers: BTreeMap<Box<str>, u64>,
}

impl Model {
    pub(super) fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.apply_one(entry.clone());
        }
    }

    fn apply_one(&mut self, entry: Entry) {
        match entry {
            Entry::PutSession { id, record } => {
                self.sessions.insert(id, *record);
            }
            Entry::RemoveSession { id } => {
                self.sessions.remove(&id);
                self.subscriptions.retain(|(of, ..), _| *of != id);
                self.messages.retain(|(of, _), _| *of != id);
                self.received.retain(|(of, _), _| *of != id);
            }
            Entry::PutSubscription {
                id,
                subscription,
                options,
            } => {
                let key = subscription_order(id, &subscription);
                self.subscriptions.insert(key, (subscription, options));
            }
            Entry::RemoveSubscription { id, subscription } => {
                self.subscriptions
                    .remove(&subscription_order(id, &subscription));
            }
            Entry::PutMessage { id, place, message } => {
                self.messages.insert((id, place), *message);
            }
            Entry::Release { id, place } => {
                let released = StoredMessage {
                    message: None,
                    qos: Qos::ExactlyOnce,
                    retain: false,
                    subscription_identifiers: Box::default(),
                    shared: None,
                };
                self.messages.insert((id, place), released);
            }
            Entry::RemoveMessage { id, place } => {
                self.messages.remove(&(id, place));
            }
            Entry::PutReceived {
                id,
                packet_identifier,
            } => {
                let key = (id, packet_identifier.get());
                self.received.insert(key, packet_identifier);
            }
            Entry::RemoveReceived {
                id,
                packet_identifier,
            } => {
                self.received.remove(&(id, packet_identifier.get()));
            }
            Entry::Part { entries, .. } => self.apply(&entries),
            Entry::Expired { issuer, number } => {
                self.expired_numbers.insert(issuer, number);
            }
            Entry::Retain { message, stamp } => {
                let topic = message.topic().as_str().to_owned();
                let found = self.retained.get(&topic);
                if found.is_none_or(|(_, found)| *found <= stamp) {
                    // Deletions stay, with an empty payload.
                    self.retained.insert(topic, (message, stamp));
                }
            }
        }
    }

    pub(super) fn stored(&self) -> Stored {
        let sessions = self.sessions.iter().map(|(id, record)| StoredSession {
            id: *id,
            record: record.clone(),
            subscriptions: (self.subscriptions.iter())
                .filter(|((of, ..), _)| of == id)
                .map(|(_, subscription)| subscription.clone())
                .collect(),
            messages: (self.messages.iter())
                .filter(|((of, _), _)| of == id)
                .map(|((_, place), message)| (*place, message.clone()))
                .collect(),
            received: (self.received.iter())
                .filter(|((of, _), _)| of == id)
                .map(|(_, identifier)| *identifier)
                .collect(),
        });
        let is_message =
            |(message, _): &&(Arc<Message>, Stamp)| !message.publish().payload.is_empty();
        Stored {
            sessions: sessions.collect(),
            retained: self.retained.values().filter(is_message).cloned().collect(),
            expired_numbers: (self.expired_numbers.iter())
                .map(|(issuer, number)| (issuer.clone(), *number))
                .collect(),
        }
    }
}

/// In the order of the keys in the store.
fn subscription_order(id: u64, subscription: &SubscriptionKey) -> (u64, bool, String) {
    let filter = subscription.filter.as_str();
    match &subscription.share_name {
        Some(name) => (id, true, format!("{}/{filter}", name.as_str())),
        None => (id, false, filter.to_owned()),
    }
}
