//! A shard's thread: its core, its mailbox, its timers, and the tasks of its connections.

use super::{
    arrival::{self, Arrival, Newcomer},
    connection::Connection,
    listener::Listener,
};
use crate::{
    Limits,
    core::{
        admission::Admission,
        counters::Count,
        hash_seed::HashSeed,
        session::SessionKey,
        shard::{Now, Shard, ShardMessage, ShardSetup},
    },
    keys::Keys,
    management::published::Published,
};
use std::{
    cell::{Cell, Ref, RefCell, RefMut},
    io,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    task::Waker,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::{KeySet, UnixTime};
use symbolon_tls::Channel;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::{LocalSet, spawn_local},
    time::{Instant as TokioInstant, sleep, sleep_until},
};

/// Batches that may wait for one shard; the senders keep the rest, and stop reading from clients at their own bound.
pub(crate) const MAILBOX_BATCHES: usize = 256;
/// Admitted connections that may wait for one shard.
pub(crate) const ARRIVALS: usize = 1_024;
/// What one read takes at the most, bytes.
const READ_BYTES: usize = 64 * 1024;
/// How long a shard that is shutting down waits for its clients to take their DISCONNECT.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);
/// How often what was counted is copied to where the management listener reads it.
const PUBLISH_COUNTERS_EVERY: Duration = Duration::from_secs(1);

/// What shards send each other: who, and what.
pub(crate) type Batch = (u16, Vec<ShardMessage>);

/// What all shards share. Nothing in it is locked on the path of a PUBLISH.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) keys: Arc<Keys>,
    /// Chooses the home shard of a client; keyed, so that strangers cannot aim at one.
    pub(crate) home: HashSeed,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) mailboxes: Vec<mpsc::Sender<Batch>>,
    pub(crate) arrivals: Vec<mpsc::Sender<Arrival>>,
    pub(crate) started: Instant,
    /// What each shard lets the management listener read.
    pub(crate) published: Box<[Published]>,
}

/// What one shard's thread is started with.
#[derive(Debug)]
pub(crate) struct ShardStart {
    pub(crate) index: u16,
    pub(crate) common: Arc<Common>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) mailbox: mpsc::Receiver<Batch>,
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    pub(crate) shutdown: watch::Receiver<bool>,
    pub(crate) seed: HashSeed,
}

/// A shard as its tasks see it. They share one thread: nothing is borrowed over an `.await`.
pub(crate) struct ShardHandle {
    pub(crate) common: Arc<Common>,
    index: u16,
    core: RefCell<Shard>,
    scratch: RefCell<Scratch>,
    wakers: RefCell<Vec<Option<Waker>>>,
    /// Connections that wait until other shards keep up.
    waiting: RefCell<Vec<SessionKey>>,
    /// A mailbox was full.
    backlog: Notify,
    timers: Notify,
    /// What the timer task sleeps for, milliseconds on the broker's clock.
    armed_ms: Cell<u64>,
}

/// The buffer that all of a shard's connections read into, one after the other.
pub(crate) struct Scratch(Vec<u8>);

/// Runs the shard until shutdown. Called on its own thread.
pub(crate) fn run(start: ShardStart) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(serve(start)))
}

async fn serve(start: ShardStart) -> io::Result<()> {
    let ShardStart {
        index,
        common,
        listeners,
        mailbox,
        arrivals,
        mut shutdown,
        seed,
    } = start;
    let count =
        u16::try_from(common.mailboxes.len()).expect("Broker::start bounds the number of shards");
    let core = Shard::new(ShardSetup {
        index,
        count,
        limits: common.limits,
        admission: Arc::clone(&common.admission),
        seed,
    });
    let shard = Rc::new(ShardHandle {
        common,
        index,
        core: RefCell::new(core),
        scratch: RefCell::new(Scratch(vec![0; READ_BYTES])),
        wakers: RefCell::default(),
        waiting: RefCell::default(),
        backlog: Notify::new(),
        timers: Notify::new(),
        armed_ms: Cell::new(u64::MAX),
    });
    let mut accepting = Vec::new();
    for listener in listeners {
        accepting.push(spawn_local(arrival::accept(
            Rc::clone(&shard),
            listener.socket,
            listener.entrance,
        )?));
    }
    spawn_local(Rc::clone(&shard).take_arrivals(arrivals));
    spawn_local(Rc::clone(&shard).take_mail(mailbox));
    spawn_local(Rc::clone(&shard).run_timers());
    spawn_local(Rc::clone(&shard).work_off_backlog());
    spawn_local(Rc::clone(&shard).publish_counters());
    let accepts = shard.common.published[usize::from(index)].accept();
    // The sender lives as long as the Broker: its end means shutdown too.
    while !*shutdown.borrow_and_update() {
        if shutdown.changed().await.is_err() {
            break;
        }
    }
    drop(accepts);
    for task in accepting {
        task.abort();
    }
    shard.with_core(Shard::handle_shutdown);
    let limit = TokioInstant::now() + GOODBYE_LIMIT;
    while shard.core().session_count() > 0 && TokioInstant::now() < limit {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

impl ShardHandle {
    pub(crate) fn limits(&self) -> &Limits {
        &self.common.limits
    }

    pub(crate) fn keys(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.common.keys.current()
    }

    pub(crate) fn core(&self) -> Ref<'_, Shard> {
        self.core.borrow()
    }

    pub(crate) fn core_mut(&self) -> RefMut<'_, Shard> {
        self.core.borrow_mut()
    }

    pub(crate) fn count(&self, what: Count) {
        self.core_mut().counters.count(what);
    }

    pub(crate) fn scratch(&self) -> RefMut<'_, Scratch> {
        self.scratch.borrow_mut()
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            ms: self.elapsed_ms(),
            unix: unix_time(),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.common.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets the core do something, then carries out what follows: wakes connections, sends to other shards, sets the timer.
    pub(crate) fn with_core<T>(self: &Rc<Self>, work: impl FnOnce(&mut Shard, Now) -> T) -> T {
        let mut core = self.core.borrow_mut();
        let outcome = work(&mut core, self.now());
        let wakers = self.wakers.borrow();
        while let Some(key) = core.poll_dirty() {
            if let Some(Some(waker)) = wakers.get(key as usize) {
                waker.wake_by_ref();
            }
        }
        self.post(&mut core);
        while let Some(key) = core.poll_key_request() {
            let serial = core.session(key).serial;
            spawn_local(Rc::clone(self).fetch_keys_for(key, serial));
        }
        if core
            .poll_timeout()
            .is_some_and(|deadline_ms| deadline_ms < self.armed_ms.get())
        {
            self.timers.notify_one();
        }
        outcome
    }

    /// Hands what waits for other shards over, as far as their mailboxes have room.
    fn post(&self, core: &mut Shard) {
        for (shard, mailbox) in (0..).zip(&self.common.mailboxes) {
            let batch = core.poll_outbound(shard);
            if batch.is_empty() {
                continue;
            }
            if let Err(mpsc::error::TrySendError::Full((_, batch))) =
                mailbox.try_send((self.index, batch))
            {
                core.return_outbound(shard, batch);
                self.backlog.notify_one();
            }
        }
    }

    /// The connection of `key` is woken when its session has something to write.
    pub(crate) fn keep_waker(&self, key: SessionKey, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        let place = key as usize;
        if wakers.len() <= place {
            wakers.resize(place + 1, None);
        }
        match &mut wakers[place] {
            Some(kept) if kept.will_wake(waker) => {}
            slot => *slot = Some(waker.clone()),
        }
    }

    pub(crate) fn forget_waker(&self, key: SessionKey) {
        self.wakers.borrow_mut()[key as usize] = None;
    }

    /// The connection of `key` is woken when other shards keep up again.
    pub(crate) fn wait_for_room(&self, key: SessionKey) {
        self.waiting.borrow_mut().push(key);
        self.backlog.notify_one();
    }

    /// This shard's place among the shards.
    pub(crate) fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// An admitted client is at home here.
    pub(crate) fn admit(self: &Rc<Self>, channel: Channel, newcomer: Newcomer) {
        let Newcomer {
            admitted,
            assigned,
            unread,
            place,
        } = newcomer;
        let version = admitted.introduction.version;
        let key = self.with_core(|core, now| core.handle_admitted(&admitted, assigned, now));
        let connection = Connection::new(Rc::clone(self), key, channel, version, unread);
        spawn_local(async move {
            connection.run().await;
            drop(place);
        });
    }

    async fn take_arrivals(self: Rc<Self>, mut arrivals: mpsc::Receiver<Arrival>) {
        while let Some(Arrival { channel, newcomer }) = arrivals.recv().await {
            match channel.attach() {
                Ok(channel) => self.admit(channel, newcomer),
                Err(error) => tracing::warn!(%error, "cannot take a connection over"),
            }
        }
    }

    async fn take_mail(self: Rc<Self>, mut mailbox: mpsc::Receiver<Batch>) {
        while let Some((from, batch)) = mailbox.recv().await {
            self.with_core(|core, now| core.handle_batch(from, batch, now));
        }
    }

    async fn run_timers(self: Rc<Self>) {
        loop {
            let next = self.core().poll_timeout();
            self.armed_ms.set(next.unwrap_or(u64::MAX));
            let notified = self.timers.notified();
            match next {
                None => notified.await,
                Some(deadline_ms) => {
                    let deadline = self.common.started + Duration::from_millis(deadline_ms);
                    tokio::select! {
                        () = sleep_until(deadline.into()) => self.with_core(Shard::handle_timeout),
                        () = notified => {}
                    }
                }
            }
        }
    }

    async fn publish_counters(self: Rc<Self>) {
        loop {
            sleep(PUBLISH_COUNTERS_EVERY).await;
            self.common.published[usize::from(self.index)].store(self.core_mut().counters());
        }
    }

    /// Waits for room in full mailboxes, and lets the connections that waited for it read on.
    async fn work_off_backlog(self: Rc<Self>) {
        loop {
            self.backlog.notified().await;
            for (shard, mailbox) in (0..).zip(&self.common.mailboxes) {
                let Ok(room) = mailbox.reserve().await else {
                    continue;
                };
                let batch = self.core_mut().poll_outbound(shard);
                if !batch.is_empty() {
                    room.send((self.index, batch));
                }
            }
            let wakers = self.wakers.borrow();
            for key in self.waiting.take() {
                if let Some(Some(waker)) = wakers.get(key as usize) {
                    waker.wake_by_ref();
                }
            }
        }
    }

    async fn fetch_keys_for(self: Rc<Self>, key: SessionKey, serial: u64) {
        self.common.keys.refresh().await;
        let keys = self.keys();
        self.with_core(|core, now| core.handle_keys(key, serial, &keys, now));
    }
}

impl Scratch {
    /// Makes room for `kept` bytes and one read behind them.
    pub(crate) fn reserve_for(&mut self, kept: usize) {
        let wanted = kept + READ_BYTES;
        if self.0.len() < wanted {
            self.0.resize(wanted, 0);
        } else if kept == 0 && self.0.len() > READ_BYTES {
            self.0.truncate(READ_BYTES);
            self.0.shrink_to_fit();
        }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// The time of day.
pub(crate) fn unix_time() -> UnixTime {
    UnixTime(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}
