//! The thread that writes: it takes what waits, writes it in one commit, and tells each shard how far its journal is written.

use super::{
    Store, StoreError,
    commits::Commits,
    group::{ENTRIES, Group},
    joining::Joining,
};
use crate::core::{
    journal::{Entry, Stored},
    replaying::Replay,
    router::ShardIndex,
    shard::Now,
};
use std::{
    fmt,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// How many batches may wait for the store, over all shards.
pub(crate) const BATCHES: usize = 256;
/// How long to wait before a commit that failed is tried again, at first.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// And at the most.
const RETRY_AT_MOST: Duration = Duration::from_secs(1);
/// How long commits are tried again once the shards have ended.
const LAST_TRIES: Duration = Duration::from_secs(3);
/// A store that was full takes new things again below so many hundredths of its limit.
const ROOM_AGAIN_PERCENT: u64 = 95;

/// A piece of a shard's journal.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) shard: ShardIndex,
    /// The number of its last entry: those of a shard are counted from 1.
    pub(crate) up_to: u64,
    pub(crate) entries: Vec<Entry>,
}

/// What the thread is told to do.
#[derive(Debug)]
pub(crate) enum Order {
    Write(Batch),
    /// Everything that is stored, as it will be once what this shard has handed over so far is written.
    Read {
        shard: ShardIndex,
        reply: oneshot::Sender<Result<Stored, StoreError>>,
    },
}

/// The thread, from outside.
#[derive(Debug)]
pub(crate) struct StoreWriter {
    sender: mpsc::Sender<Order>,
    commits: Arc<Commits>,
    thread: JoinHandle<Result<(), NotWritten>>,
}

/// What could not be written before the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NotWritten {
    /// How many entries; 0 where all is written but not on the disk.
    pub(crate) entries: usize,
    /// Why.
    pub(crate) error: String,
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, error } = self;
        write!(f, "{entries} entries could not be stored: {error}")
    }
}

impl StoreWriter {
    /// Starts the thread.
    pub(crate) fn start(
        store: Box<dyn Store>,
        shards: usize,
        clock: impl Fn() -> Now + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(BATCHES);
        let commits = Arc::new(Commits::new(shards));
        let writing = Writing {
            store,
            clock,
            receiver,
            commits: Arc::clone(&commits),
            joining: Joining::default(),
            group: Group::default(),
            failing: None,
        };
        writing.look_at_usage();
        let thread = thread::Builder::new().name("store".into());
        Ok(Self {
            sender,
            commits,
            thread: thread.spawn(move || writing.run())?,
        })
    }

    /// Where a shard sends its batches. Sending fails once the thread has ended, which only a panic of it makes before
    /// [`StoreWriter::finish`].
    pub(crate) fn sender(&self) -> mpsc::Sender<Order> {
        self.sender.clone()
    }

    /// How far it is.
    pub(crate) fn commits(&self) -> Arc<Commits> {
        Arc::clone(&self.commits)
    }

    /// Writes what still waits, brings it to the disk, and ends. All senders must have been dropped. Waits at most `limit`.
    pub(crate) fn finish(self, limit: Duration) -> Result<(), NotWritten> {
        drop(self.sender);
        let deadline = Instant::now() + limit;
        while !self.thread.is_finished() {
            if Instant::now() >= deadline {
                return Err(lost("the store takes too long"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err(lost("the store's thread panicked")))
    }
}

fn lost(error: &str) -> NotWritten {
    NotWritten {
        entries: 0,
        error: error.into(),
    }
}

/// Commits have been failing.
#[derive(Debug)]
struct Failing {
    since: Instant,
    /// The next wait.
    wait: Duration,
    /// The first error.
    error: String,
}

/// The thread, from inside.
struct Writing<C> {
    store: Box<dyn Store>,
    clock: C,
    receiver: mpsc::Receiver<Order>,
    commits: Arc<Commits>,
    /// Bounded by what the shards let be unwritten before they stop reading from clients.
    joining: Joining,
    group: Group,
    failing: Option<Failing>,
}

impl<C> Drop for Writing<C> {
    // However the thread ends: shards must not wait for it for ever.
    fn drop(&mut self) {
        self.commits.end();
    }
}

impl<C: Fn() -> Now> Writing<C> {
    fn run(mut self) -> Result<(), NotWritten> {
        let mut give_up_at = None;
        while self.take() {
            let Err(error) = self.write() else {
                continue;
            };
            let wait = self.note_failure(&error);
            if self.receiver.is_closed() {
                let at = *give_up_at.get_or_insert_with(|| Instant::now() + LAST_TRIES);
                if Instant::now() >= at {
                    return Err(self.give_up(&error));
                }
            }
            thread::sleep(wait);
        }
        self.store.sync().map_err(|error| {
            tracing::error!(%error, "the store could not be brought to the disk");
            lost(&error.to_string())
        })
    }

    /// Adds what can be written together to the group; waits for something if it is empty. False when there is nothing and never will be.
    fn take(&mut self) -> bool {
        loop {
            while let Ok(order) = self.receiver.try_recv() {
                self.follow(order);
            }
            let room = ENTRIES.saturating_sub(self.group.entries().len());
            for batch in self.joining.take(room) {
                self.group.push(batch);
            }
            if !self.group.is_empty() {
                return true;
            }
            if let Some(order) = self.receiver.blocking_recv() {
                self.follow(order);
                continue;
            }
            for batch in self.joining.take_rest() {
                self.group.push(batch);
            }
            return !self.group.is_empty();
        }
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Write(batch) => self.joining.push(batch),
            Order::Read { shard, reply } => {
                if reply.send(self.read(shard)).is_err() {
                    tracing::warn!(shard, "nobody waits for what the store was asked for");
                }
            }
        }
    }

    fn read(&mut self, shard: ShardIndex) -> Result<Stored, StoreError> {
        let mut replay = Replay::new(self.store.load((self.clock)())?);
        let waiting = self.joining.entries_of(shard);
        (self.group.entries().iter().chain(waiting)).for_each(|entry| replay.apply(entry));
        Ok(replay.into_stored())
    }

    /// Writes the group. Where it is too much, at least what it begins with, as far as that makes room.
    fn write(&mut self) -> Result<(), StoreError> {
        let now = (self.clock)();
        let written = match self.store.commit(self.group.entries(), now) {
            Err(StoreError::Full) => self.make_room(now),
            other => other,
        };
        if written.is_ok() {
            self.commits.note_commit(self.group.entries().len());
            self.group.tell(&self.commits);
            self.note_success();
        }
        self.look_at_usage();
        written
    }

    fn make_room(&mut self, now: Now) -> Result<(), StoreError> {
        let count = self.group.leading_deletions();
        if count == 0 {
            return Err(StoreError::Full);
        }
        self.store.commit(&self.group.entries()[..count], now)?;
        self.commits.note_commit(count);
        self.group.drop_first(count);
        self.store.commit(self.group.entries(), now)
    }

    /// Says it once, and how long to wait.
    fn note_failure(&mut self, error: &StoreError) -> Duration {
        self.commits.set_full(true);
        self.commits.note_failure();
        let failing = self.failing.get_or_insert_with(|| {
            tracing::warn!(
                %error,
                "the store cannot be written: nothing is acknowledged until it can, and QoS 1 and 2 are refused"
            );
            Failing {
                since: Instant::now(),
                wait: RETRY_FIRST,
                error: error.to_string(),
            }
        });
        let wait = failing.wait;
        failing.wait = (wait * 2).min(RETRY_AT_MOST);
        wait
    }

    fn note_success(&mut self) {
        if let Some(Failing { since, error, .. }) = self.failing.take() {
            let secs = since.elapsed().as_secs();
            tracing::info!(secs, %error, "the store can be written again; nothing was lost");
        }
    }

    /// Full above the limit, and until there is some room again.
    fn look_at_usage(&self) {
        let usage = self.store.usage();
        self.commits.set_usage(usage);
        if self.failing.is_some() {
            return;
        }
        let room_again = usage.max_bytes / 100 * ROOM_AGAIN_PERCENT;
        let was_full = self.commits.is_full();
        let is_full =
            usage.used_bytes > usage.max_bytes || was_full && usage.used_bytes > room_again;
        if is_full != was_full {
            self.commits.set_full(is_full);
            let (used, limit) = (usage.used_bytes, usage.max_bytes);
            if is_full {
                tracing::warn!(used, limit, "the store is full: QoS 1 and 2 are refused");
            } else {
                tracing::info!(used, limit, "the store has room again");
            }
        }
    }

    fn give_up(&self, error: &StoreError) -> NotWritten {
        let not_written = NotWritten {
            entries: self.group.entries().len(),
            error: error.to_string(),
        };
        tracing::error!(
            entries = not_written.entries,
            %error,
            "not everything could be stored; none of it was acknowledged"
        );
        not_written
    }
}
