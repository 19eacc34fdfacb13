//! Both stores, and what they make of the journal.

mod strategies;
mod writing;

use super::{Store, StoreError, lmdb::LmdbStore, memory::MemoryStore};
use crate::{
    config::StoreConfig,
    core::{
        journal::{Entry, SessionRecord, Stored, StoredMessage},
        message::{Message, Origin},
        retaining::Stamp,
        session::SubscriptionKey,
        shard::Now,
    },
};
use proptest::prelude::*;
use std::{fs, path::Path, sync::Arc};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{Delivery, Publish, PublishProperties, Qos, TopicFilter, TopicName};

const MAX_BYTES: u64 = 1 << 30;

fn now() -> Now {
    at(0)
}

/// This many seconds after the beginning.
fn at(secs: u64) -> Now {
    Now {
        ms: 5_000 + secs * 1000,
        unix: UnixTime(1_800_000_000 + secs),
    }
}

/// The same moment, by the clocks of a broker that has just been started.
fn restarted_at(secs: u64) -> Now {
    Now {
        ms: 3,
        unix: at(secs).unix,
    }
}

fn lmdb(directory: &Path) -> LmdbStore {
    let config = StoreConfig {
        max_bytes: MAX_BYTES,
        ..StoreConfig::at(directory.join("store"))
    };
    LmdbStore::open(&config, now()).unwrap()
}

fn message(topic: &str, payload: &[u8], expiry_secs: Option<u32>) -> Arc<Message> {
    let publish = Publish {
        duplicate: false,
        delivery: Delivery::AtMostOnce,
        retain: true,
        topic: Some(TopicName::parse(topic).unwrap()),
        properties: PublishProperties {
            message_expiry_interval_secs: expiry_secs,
            ..PublishProperties::default()
        },
        payload,
    };
    Message::new(&publish, now().ms, Origin::default())
}

fn put_session(id: u64) -> Entry {
    Entry::PutSession {
        id,
        record: Box::new(SessionRecord {
            client_identifier: format!("client-{id}").into(),
            holder: None,
            expiry_secs: 3600,
            away_since: None,
            sent_below: u64::MAX,
            will: None,
        }),
    }
}

fn put_message(id: u64, place: u64, message: &Arc<Message>) -> Entry {
    Entry::PutMessage {
        id,
        place,
        message: Box::new(StoredMessage {
            message: Some(Arc::clone(message)),
            qos: Qos::AtLeastOnce,
            retain: false,
            subscription_identifiers: Box::default(),
            shared: None,
        }),
    }
}

fn retain(topic: &str, payload: &[u8], counter: u64, shard: u16) -> Entry {
    Entry::Retain {
        message: message(topic, payload, None),
        stamp: Stamp { counter, shard },
    }
}

/// What can be compared: messages by their frames and the end of their tokens.
fn text(stored: &Stored) -> String {
    let message =
        |message: &Message| format!("{:?} {:?}", message.frame, message.token_expires_at());
    let mut lines = Vec::new();
    for session in &stored.sessions {
        let mut record = session.record.clone();
        let will = record.will.take();
        let will = will.map(|(will, delay)| (message(&will), delay));
        lines.push(format!("{} {record:?} {will:?}", session.id));
        lines.push(format!(
            "{:?} {:?}",
            session.subscriptions, session.received
        ));
        for (place, stored) in &session.messages {
            let mut stored = stored.clone();
            let text = stored.message.take().map(|text| message(&text));
            lines.push(format!("{place} {stored:?} {text:?}"));
        }
    }
    for (retained, stamp) in &stored.retained {
        let publisher = retained.publisher.as_ref().map(|one| one.holder());
        lines.push(format!("{} {stamp:?} {publisher:?}", message(retained)));
    }
    lines.push(format!("{:?}", stored.expired_numbers));
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn both_stores_give_back_what_the_journal_says(groups in strategies::groups()) {
        let directory = tempfile::tempdir().unwrap();
        let mut on_disk = lmdb(directory.path());
        let mut in_memory = MemoryStore::new(MAX_BYTES);
        let mut model = strategies::Model::default();
        for group in &groups {
            on_disk.commit(group, now()).unwrap();
            in_memory.commit(group, now()).unwrap();
            // Twice is as once.
            in_memory.commit(group, now()).unwrap();
            model.apply(group);
        }
        let expected = text(&model.stored());
        prop_assert_eq!(text(&in_memory.load(restarted_at(0)).unwrap()), expected.clone());
        prop_assert_eq!(text(&on_disk.load(restarted_at(0)).unwrap()), expected.clone());
        drop(on_disk);
        let mut opened_again = lmdb(directory.path());
        prop_assert_eq!(text(&opened_again.load(restarted_at(0)).unwrap()), expected);
    }

    #[test]
    fn no_record_makes_reading_panic(
        table in 0_usize..5,
        key in prop::collection::vec(any::<u8>(), 1..30),
        value in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut value = value;
        if let Some(first) = value.first_mut() {
            *first = 1;
        }
        let read = MemoryStore::with_record(table, key, value).load(now());
        if let Err(error) = read {
            prop_assert!(matches!(error, StoreError::Record(_)));
        }
    }
}

#[test]
fn a_wrong_record_is_named_by_table_and_key() {
    let mut store = MemoryStore::with_record(2, vec![0, 0, 0, 0, 0, 0, 0, 9, 1], vec![1]);
    store.commit(&[put_session(9)], now()).unwrap();
    let error = store.load(now()).unwrap_err().to_string();
    assert!(
        error.contains("table messages, key 000000000000000901"),
        "{error}"
    );
}

#[test]
fn a_record_of_an_unknown_version_is_an_error() {
    let mut store = MemoryStore::with_record(0, 9_u64.to_be_bytes().to_vec(), vec![2, 0]);
    let error = store.load(now()).unwrap_err().to_string();
    assert!(error.contains("unknown version"), "{error}");
}

// MQTT 5.0 §3.3.2.3.3
#[test]
fn the_time_that_a_message_spent_in_the_store_counts_for_its_expiry() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = lmdb(directory.path());
    let entries = [
        put_session(1),
        put_message(1, 1, &message("a", b"short", Some(10))),
        put_message(1, 2, &message("a", b"long", Some(100))),
        put_message(1, 3, &message("a", b"for ever", None)),
        Entry::Retain {
            message: message("r", b"short", Some(10)),
            stamp: Stamp::default(),
        },
    ];
    // It had waited for 4 seconds when it was written.
    store.commit(&entries, at(4)).unwrap();
    drop(store);
    let stored = lmdb(directory.path()).load(restarted_at(9)).unwrap();
    let left = |place: usize, stored: &Stored| {
        let (_, message) = &stored.sessions[0].messages[place];
        let message = message.message.as_ref().unwrap();
        message.remaining_secs(&message.publish(), 3).unwrap()
    };
    assert_eq!(left(0, &stored), Some(1));
    assert_eq!(stored.retained.len(), 1);
    let stored = lmdb(directory.path()).load(restarted_at(10)).unwrap();
    assert_eq!(stored.sessions[0].messages.len(), 2);
    assert_eq!((left(0, &stored), left(1, &stored)), (Some(90), None));
    assert_eq!(stored.retained.len(), 0);
    // What has expired was deleted: a clock that goes back brings nothing back.
    let stored = lmdb(directory.path()).load(restarted_at(0)).unwrap();
    assert_eq!(stored.sessions[0].messages.len(), 2);
}

#[test]
fn of_two_retained_messages_the_later_stamp_wins_in_whatever_order_they_come() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = lmdb(directory.path());
    let mut retained = |entries: &[Entry]| {
        store.commit(entries, now()).unwrap();
        let stored = store.load(now()).unwrap();
        let payload = |(message, _): &(Arc<Message>, Stamp)| message.publish().payload.to_vec();
        stored.retained.iter().map(payload).collect::<Vec<_>>()
    };
    assert_eq!(retained(&[retain("t", b"5", 5, 0)]), [b"5"]);
    assert_eq!(retained(&[retain("t", b"4", 4, 9)]), [b"5"]);
    assert_eq!(retained(&[retain("t", b"6", 5, 1)]), [b"6"]);
    assert_eq!(
        retained(&[retain("t", b"", 5, 0)]),
        [b"6"],
        "an older deletion"
    );
    assert_eq!(retained(&[retain("t", b"", 7, 0)]), [[0; 0]; 0]);
    assert_eq!(
        retained(&[retain("t", b"6", 6, 0)]),
        [[0; 0]; 0],
        "what is older than a deletion does not come back"
    );
    assert_eq!(retained(&[retain("t", b"8", 8, 0)]), [b"8"]);
    // It has expired: another shard than its own says so under its own stamp, perhaps before it is written.
    assert_eq!(retained(&[retain("t", b"", 8, 0)]), [[0; 0]; 0]);
    assert_eq!(
        retained(&[retain("t", b"8", 8, 0)]),
        [[0; 0]; 0],
        "it comes too late"
    );
    assert_eq!(retained(&[retain("t", b"9", 9, 0)]), [b"9"]);
    assert_eq!(
        retained(&[retain("t", b"", 8, 0)]),
        [b"9"],
        "a newer one stays"
    );
}

#[test]
fn a_long_name_has_a_key_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = lmdb(directory.path());
    let long = |last: &str| format!("{}{last}", "a".repeat(60_000));
    store
        .commit(
            &[
                put_session(1),
                retain(&long("1"), b"one", 1, 0),
                retain(&long("2"), b"two", 1, 0),
                Entry::PutSubscription {
                    id: 1,
                    subscription: SubscriptionKey {
                        share_name: None,
                        filter: TopicFilter::parse(&long("/#")).unwrap(),
                    },
                    options: crate::core::router::SubscriptionOptions::interest(true),
                },
            ],
            now(),
        )
        .unwrap();
    let stored = store.load(now()).unwrap();
    assert_eq!(stored.retained.len(), 2);
    let (key, _) = &stored.sessions[0].subscriptions[0];
    assert_eq!(key.filter.as_str(), long("/#"));
}

#[test]
fn records_without_a_session_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = lmdb(directory.path());
    let orphan = put_message(7, 1, &message("a", b"x", None));
    store.commit(&[put_session(1), orphan], now()).unwrap();
    let stored = store.load(now()).unwrap();
    assert_eq!(stored.sessions.len(), 1);
    store.commit(&[put_session(7)], now()).unwrap();
    let stored = store.load(now()).unwrap();
    assert_eq!(stored.sessions[1].messages.len(), 0);
}

#[test]
fn a_store_whose_records_make_no_sense_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig::at(directory.path().join("store"));
    let settings = symbolon_store_lmdb::Settings {
        directory: &config.path,
        tables: &super::records::TABLES,
        format: super::FORMAT,
        max_bytes: MAX_BYTES,
        sync: symbolon_store_lmdb::Sync::ProcessCrash,
    };
    let opened = symbolon_store_lmdb::Store::open(&settings, 0).unwrap();
    let mut store = opened.store;
    store
        .write(&[symbolon_store_lmdb::Write::Put {
            table: super::records::SESSIONS,
            key: vec![1; 8],
            value: vec![1, 2, 3],
        }])
        .unwrap();
    drop(store);
    let (_store, stored) = LmdbStore::open_and_load(&config, now()).unwrap();
    assert!(stored.sessions.is_empty());
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["store", "store.damaged-1800000000"]);
}
