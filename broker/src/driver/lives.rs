//! The lives of a shard, one after another on its thread. One ends with the process, or with a panic: then its clients are gone, and the next
//! goes on with the same sockets and mailbox, with what the store has, and with what the other shards tell it (`core/falling.rs`).

use super::{
    arrival::{self, Arrival},
    listener::Listener,
    shard::{Batch, Common, Inlet, ShardHandle, ShardStart, ShardStore, home_of},
};
use crate::{
    core::{
        hash_seed::HashSeed,
        journal::{Entry, Stored, StoredSession},
        message::Message,
        reloading::Rules,
        replaying::Replay,
        retaining::Stamp,
        shard::{Now, Shard, ShardSetup},
    },
    reload::Announced,
    store::writer::{Batch as StoreBatch, Order},
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    select,
    sync::{oneshot, watch},
    task::{LocalSet, spawn_local},
};

/// A shard that falls more often than this within [`FALLS_WITHIN`] ends the process: it would not be better the next time.
const FALLS_AT_MOST: usize = 3;
/// See [`FALLS_AT_MOST`].
const FALLS_WITHIN: Duration = Duration::from_mins(10);

/// What is known of the falls of all shards.
#[derive(Debug)]
pub(crate) struct Falls {
    /// How often a shard fell, and another went on in its place.
    pub(crate) restarts: AtomicU64,
    /// For tests: shards whose next turn is to panic.
    #[cfg(feature = "faults")]
    pub(crate) wanted: Box<[std::sync::atomic::AtomicBool]>,
}

impl Falls {
    #[cfg_attr(
        not(feature = "faults"),
        expect(unused_variables, reason = "tests alone let one of them fall")
    )]
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            restarts: AtomicU64::new(0),
            #[cfg(feature = "faults")]
            wanted: (0..shards).map(|_| false.into()).collect(),
        }
    }
}

/// What outlives a life.
struct Lasting {
    index: u16,
    common: Arc<Common>,
    listeners: Vec<Listener>,
    mailbox: Inlet<Batch>,
    /// What was taken out of the mailbox and not handled to the end.
    in_hand: Rc<RefCell<Option<Batch>>>,
    arrivals: Inlet<Arrival>,
    shutdown: watch::Receiver<bool>,
    rules: Announced<Rules>,
    seed: HashSeed,
    store: Option<ShardStore>,
}

/// What a life begins with.
enum Beginning {
    First {
        sessions: Vec<StoredSession>,
        retained: Arc<[(Arc<Message>, Stamp)]>,
    },
    Again(Box<Shard>),
}

/// Runs the shard until shutdown. Called on its own thread.
// A function by itself: `bench/src/guard/callgrind.rs` counts what happens in it, by its name.
#[inline(never)]
pub(crate) fn run(start: ShardStart) -> io::Result<()> {
    let lasting = Lasting {
        index: start.index,
        common: start.common,
        listeners: start.listeners,
        mailbox: Rc::new(RefCell::new(start.mailbox)),
        in_hand: Rc::default(),
        arrivals: Rc::new(RefCell::new(start.arrivals)),
        shutdown: start.shutdown,
        rules: start.rules,
        seed: start.seed,
        store: start.store,
    };
    let mut beginning = Beginning::First {
        sessions: start.sessions,
        retained: start.retained,
    };
    let mut falls = VecDeque::new();
    loop {
        let runtime = super::runtime()?;
        let local = LocalSet::new();
        let ended = runtime.block_on(local.run_until(live(&lasting, beginning)));
        // With the tasks go the sockets, and with them the clients.
        drop(local);
        drop(runtime);
        let Some(fallen) = ended? else {
            return Ok(());
        };
        lasting.note_fall(&mut falls)?;
        beginning = Beginning::Again(Box::new(lasting.succeed(*fallen)?));
    }
}

/// One life. The core that fell, if it did; in a box, since the runtime hands what this ends with from call to call each time that it looks.
async fn live(lasting: &Lasting, beginning: Beginning) -> io::Result<Option<Box<Shard>>> {
    let (core, stored) = match beginning {
        Beginning::First { sessions, retained } => {
            let store = lasting.store.as_ref().map(|store| store.first_session);
            (Shard::new(lasting.setup(store)), Some((sessions, retained)))
        }
        Beginning::Again(core) => (*core, None),
    };
    let common = Arc::clone(&lasting.common);
    let named = (lasting.index, lasting.seed.clone());
    let shard = ShardHandle::new(common, named, core, lasting.store.clone());
    shard.listen(&lasting.mailbox, &lasting.in_hand);
    if let Some((sessions, retained)) = stored {
        shard.restore(sessions, &retained).await;
        if shard.has_ended() {
            // The others wait for it, and nobody has been let in.
            return Err(io::Error::other("a shard panicked at the start"));
        }
    } else {
        // What its core has to tell the others, and the store.
        shard.with_core(|_, _| ());
        select! {
            () = shard.await_others() => {}
            () = shutting_down(lasting.shutdown.clone()) => {}
        }
    }
    let mut accepting = Vec::new();
    for listener in &lasting.listeners {
        let socket = listener.socket.try_clone()?;
        let entrance = listener.entrance.clone();
        let shard = Rc::clone(&shard);
        accepting.push(spawn_local(arrival::accept(shard, socket, entrance)?));
    }
    shard.begin_work(&lasting.arrivals, lasting.rules.clone());
    let accepts = lasting.common.published[usize::from(lasting.index)].accept();
    let has_fallen = select! {
        () = shard.fallen() => true,
        () = shutting_down(lasting.shutdown.clone()) => false,
    };
    drop(accepts);
    for task in accepting {
        task.abort();
    }
    if has_fallen {
        return Ok(shard.bury().await.map(Box::new));
    }
    shard.say_goodbye().await;
    Ok(None)
}

/// The sender lives as long as the Broker: its end means shutdown too.
async fn shutting_down(mut shutdown: watch::Receiver<bool>) {
    while !*shutdown.borrow_and_update() {
        if shutdown.changed().await.is_err() {
            return;
        }
    }
}

impl Lasting {
    fn setup(&self, store: Option<u64>) -> ShardSetup {
        let rules = self.common.rules.load_full();
        ShardSetup {
            index: self.index,
            count: self.common.shard_count(),
            store,
            limits: rules.limits,
            admission: Arc::clone(&rules.admission),
            seed: self.seed.clone(),
        }
    }

    fn note_fall(&self, falls: &mut VecDeque<Instant>) -> io::Result<()> {
        let now = Instant::now();
        falls.push_back(now);
        falls.retain(|at| now.duration_since(*at) < FALLS_WITHIN);
        let shard = self.index;
        if falls.len() > FALLS_AT_MOST {
            tracing::error!(shard, "a shard panicked too often");
            return Err(io::Error::other("a shard panicked too often"));
        }
        tracing::error!(
            shard,
            "a shard panicked: its clients are disconnected, and it begins anew"
        );
        self.common.falls.restarts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The core that goes on in the place of the one that fell.
    fn succeed(&self, mut fallen: Shard) -> io::Result<Shard> {
        let unwritten = fallen.undo_turn();
        let stored = self.read_store(unwritten, &fallen)?;
        let now = Now {
            ms: u64::try_from(self.common.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            unix: self.common.time.now(),
        };
        let setup = self.setup(None);
        let what = (stored.sessions, &*stored.retained);
        Ok(Shard::succeed(fallen, setup, what, now))
    }

    /// Hands over what the fallen core had to write, and reads what there will be of its sessions once it is written.
    fn read_store(
        &self,
        unwritten: Option<(Vec<Entry>, u64)>,
        fallen: &Shard,
    ) -> io::Result<Stored> {
        let Some(store) = &self.store else {
            return Ok(Stored::default());
        };
        let has_ended = || io::Error::other("the store has ended");
        let shard = self.index;
        if let Some((entries, up_to)) = unwritten {
            let batch = StoreBatch {
                shard,
                up_to,
                entries,
            };
            let sent = store.sender.blocking_send(Order::Write(batch));
            sent.map_err(|_| has_ended())?;
        }
        let (reply, answer) = oneshot::channel();
        let sent = store.sender.blocking_send(Order::Read { shard, reply });
        sent.map_err(|_| has_ended())?;
        let stored = answer.blocking_recv().map_err(|_| has_ended())?;
        let mut read = Replay::new(stored.map_err(io::Error::other)?);
        fallen
            .deferred_entries()
            .for_each(|entry| read.apply(entry));
        let mut stored = read.into_stored();
        let shards = self.common.mailboxes.len();
        stored.sessions.retain(|session| {
            let client = &session.record.client_identifier;
            home_of(&self.common.home, shards, client) == usize::from(shard)
        });
        Ok(stored)
    }
}
