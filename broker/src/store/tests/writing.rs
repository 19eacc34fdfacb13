//! The thread that writes, over a store that goes wrong.

use super::{message, now, put_message, put_session, text};
use crate::{
    core::{
        journal::{Entry, Stored},
        shard::Now,
    },
    store::{
        Store, StoreError, Usage,
        commits::Ended,
        memory::MemoryStore,
        writer::{Batch, Order, StoreWriter},
    },
};
use std::{
    io,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(10);

/// A store in memory that others can look into, and whose commits fail as long as they say so.
#[derive(Clone)]
struct Faulty(Arc<Mutex<State>>);

struct State {
    store: MemoryStore,
    fault: Option<fn() -> StoreError>,
    sync_fails: bool,
    /// Entries of each commit that succeeded.
    commits: Vec<usize>,
    tries: usize,
    /// What it says of itself in place of the truth.
    used_bytes: Option<u64>,
}

impl Faulty {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            store: MemoryStore::new(8_000),
            fault: None,
            sync_fails: false,
            commits: Vec::new(),
            tries: 0,
            used_bytes: Some(0),
        })))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    fn start(&self) -> StoreWriter {
        StoreWriter::start(Box::new(self.clone()), 2, now).unwrap()
    }

    fn stored(&self) -> Stored {
        self.with(|state| state.store.load(now())).unwrap()
    }
}

impl Store for Faulty {
    fn commit(&mut self, entries: &[Entry], now: Now) -> Result<(), StoreError> {
        self.with(|state| {
            state.tries += 1;
            if let Some(fault) = state.fault {
                return Err(fault());
            }
            state.store.commit(entries, now)?;
            state.commits.push(entries.len());
            Ok(())
        })
    }

    fn load(&mut self, now: Now) -> Result<Stored, StoreError> {
        self.with(|state| state.store.load(now))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.with(|state| {
            if state.sync_fails {
                Err(StoreError::Io(io::Error::other("no disk")))
            } else {
                Ok(())
            }
        })
    }

    fn usage(&self) -> Usage {
        self.with(|state| Usage {
            used_bytes: state.used_bytes.unwrap_or(state.store.usage().used_bytes),
            max_bytes: 1000,
        })
    }
}

fn batch(shard: u16, up_to: u64, entries: Vec<Entry>) -> Order {
    Order::Write(Batch {
        shard,
        up_to,
        entries,
    })
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come");
        thread::sleep(Duration::from_millis(1));
    }
}

fn no_space() -> StoreError {
    StoreError::Io(io::Error::from(io::ErrorKind::StorageFull))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.unwrap() })
}

#[test]
fn what_is_told_is_written_and_each_shard_hears_of_its_own() {
    let store = Faulty::new();
    let writer = store.start();
    let (sender, commits) = (writer.sender(), writer.commits());
    sender
        .blocking_send(batch(0, 2, vec![put_session(1), put_session(2)]))
        .unwrap();
    sender
        .blocking_send(batch(1, 1, vec![put_session(3)]))
        .unwrap();
    assert_eq!(block_on(commits.wait_beyond(0, 0)), Ok(2));
    assert_eq!(block_on(commits.wait_beyond(1, 0)), Ok(1));
    assert_eq!(store.stored().sessions.len(), 3);
    drop(sender);
    writer.finish(LIMIT).unwrap();
    assert_eq!(block_on(commits.wait_beyond(0, 2)), Err(Ended));
}

#[test]
fn what_waits_is_written_in_one_commit() {
    let store = Faulty::new();
    store.with(|state| state.fault = Some(no_space));
    let writer = store.start();
    let sender = writer.sender();
    for number in 1..=100 {
        sender
            .blocking_send(batch(0, number, vec![put_session(number)]))
            .unwrap();
    }
    until("the first try", || store.with(|state| state.tries > 0));
    store.with(|state| state.fault = None);
    drop(sender);
    writer.finish(LIMIT).unwrap();
    store.with(|state| assert_eq!(state.commits, [100]));
}

#[test]
fn while_nothing_can_be_written_nothing_is_told_and_then_nothing_is_lost() {
    for fault in [
        no_space,
        || StoreError::Full,
        || StoreError::Other("?".into()),
    ] {
        let store = Faulty::new();
        store.with(|state| state.fault = Some(fault));
        let writer = store.start();
        let (sender, commits) = (writer.sender(), writer.commits());
        sender
            .blocking_send(batch(0, 1, vec![put_session(1)]))
            .unwrap();
        until("a second try", || store.with(|state| state.tries >= 2));
        assert!(commits.is_full());
        assert_eq!(commits.up_to(0), 0);
        sender
            .blocking_send(batch(0, 2, vec![put_session(2)]))
            .unwrap();
        store.with(|state| state.fault = None);
        until("the end of it", || commits.up_to(0) == 2);
        until("room", || !commits.is_full());
        assert_eq!(store.stored().sessions.len(), 2);
        drop(sender);
        writer.finish(LIMIT).unwrap();
    }
}

#[test]
fn above_its_limit_it_is_full_until_some_room_is_there_again() {
    let store = Faulty::new();
    store.with(|state| state.used_bytes = Some(1001));
    let writer = store.start();
    let (sender, commits) = (writer.sender(), writer.commits());
    assert!(commits.is_full(), "from the start");
    let mut number = 0;
    for (used, is_full) in [
        (1001, true),
        (951, true),
        (950, false),
        (1000, false),
        (1001, true),
    ] {
        store.with(|state| state.used_bytes = Some(used));
        number += 1;
        sender
            .blocking_send(batch(0, number, vec![put_session(number)]))
            .unwrap();
        until("the commit", || commits.up_to(0) == number);
        until("the state", || commits.is_full() == is_full);
        assert_eq!(commits.used_bytes(), used);
    }
}

#[test]
fn deletions_at_the_front_make_room_for_what_follows() {
    let store = Faulty::new();
    let body = message("t", &[7; 7_000], None);
    store.with(|state| {
        state.store.commit(&[put_session(1)], now()).unwrap();
        state
            .store
            .commit(&[put_message(1, 1, &body)], now())
            .unwrap();
        state
            .store
            .commit(&[put_message(1, 2, &body)], now())
            .unwrap();
    });
    let writer = store.start();
    let (sender, commits) = (writer.sender(), writer.commits());
    let remove = Entry::RemoveMessage { id: 1, place: 1 };
    let entries = vec![remove, put_message(1, 3, &body)];
    sender.blocking_send(batch(0, 2, entries)).unwrap();
    assert_eq!(block_on(commits.wait_beyond(0, 0)), Ok(2));
    let places = store.stored().sessions[0]
        .messages
        .iter()
        .map(|(place, _)| *place)
        .collect::<Vec<_>>();
    assert_eq!(places, [2, 3]);
}

#[test]
fn the_end_writes_all_that_waits_and_says_what_it_could_not_write() {
    let store = Faulty::new();
    let writer = store.start();
    let sender = writer.sender();
    for number in 1..=50 {
        sender
            .blocking_send(batch(1, number, vec![put_session(number)]))
            .unwrap();
    }
    drop(sender);
    writer.finish(LIMIT).unwrap();
    assert_eq!(store.stored().sessions.len(), 50);

    store.with(|state| state.fault = Some(no_space));
    let writer = store.start();
    let before = text(&store.stored());
    let batch = batch(0, 2, vec![put_session(98), put_session(99)]);
    writer.sender().blocking_send(batch).unwrap();
    let not_written = writer.finish(LIMIT).unwrap_err();
    assert_eq!(not_written.entries, 2, "{not_written}");
    assert_eq!(text(&store.stored()), before);

    store.with(|state| (state.fault, state.sync_fails) = (None, true));
    let not_written = store.start().finish(LIMIT).unwrap_err();
    assert!(not_written.error.contains("no disk"), "{not_written}");
}

const ROUNDS: u64 = 2_000;

#[test]
fn no_wakeup_is_missed() {
    let store = Faulty::new();
    let writer = store.start();
    let (sender, commits) = (writer.sender(), writer.commits());
    let waiting = thread::spawn(move || {
        block_on(async {
            let mut known = 0;
            while known < ROUNDS {
                known = commits.wait_beyond(0, known).await.unwrap();
            }
        });
    });
    for number in 1..=ROUNDS {
        let entries = vec![Entry::RemoveSession { id: number }];
        sender.blocking_send(batch(0, number, entries)).unwrap();
    }
    waiting.join().unwrap();
    drop(sender);
    writer.finish(LIMIT).unwrap();
}
