//! A shard's thread: its core, its mailbox, its timers, and the tasks of its connections.

use super::{
    addresses::Addresses,
    arrival::{self, Arrival, Newcomer},
    connection::{Connection, turn_away},
    listener::Listener,
    system,
    time_of_day::TimeOfDay,
};
use crate::{
    Limits,
    core::{
        authority::KeySets,
        counters::Count,
        hash_seed::HashSeed,
        introspected::Question,
        journal::{SessionId, StoredSession},
        message::Message,
        reloading::Rules,
        retaining::Stamp,
        session::{ConnectionKey, SessionKey},
        shard::{Now, Shard, ShardMessage, ShardSetup},
    },
    keys::Keys,
    management::published::Published,
    reload::{Announced, Announcement},
    revocations::Revocations,
    store::{commits::Commits, writer::Batch as StoreBatch},
};
use arc_swap::ArcSwap;
use std::{
    cell::{Cell, Ref, RefCell, RefMut},
    collections::VecDeque,
    io,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    task::Waker,
    time::{Duration, Instant},
};
use symbolon_tls::Channel;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::{LocalSet, spawn_local, yield_now},
    time::{Instant as TokioInstant, sleep, sleep_until},
};

/// Batches that may wait for one shard; the senders keep the rest. How many bytes that are, `core/outbound.rs` bounds.
pub(crate) const MAILBOX_BATCHES: usize = 256;
/// Admitted connections that may wait for one shard.
pub(crate) const ARRIVALS: usize = 1_024;
/// What one read takes at the most, bytes.
const READ_BYTES: usize = 64 * 1024;
/// Connections that are let read at once after another shard has caught up: the next when these have, so that the first in the row do not
/// fill the window each time.
const RESUMED_AT_ONCE: usize = 16;
/// How long a shard that is shutting down waits for its clients to take their DISCONNECT.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);
/// How often a starting shard looks whether the others have heard of its stored subscriptions.
const RESTORE_PAUSE: Duration = Duration::from_millis(1);
/// How often what was counted is copied to where the management listener reads it.
const PUBLISH_COUNTERS_EVERY: Duration = Duration::from_secs(1);

/// What shards send each other: who, and what.
pub(crate) type Batch = (u16, Vec<ShardMessage>);

/// What all shards share. Nothing in it is locked on the path of a PUBLISH.
#[derive(Debug)]
pub(crate) struct Common {
    /// What new connections are judged by; the shards are told of other rules by [`ShardStart::rules`].
    pub(crate) rules: ArcSwap<Rules>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) revocations: Revocations,
    /// Chooses the home shard of a client; keyed, so that strangers cannot aim at one.
    pub(crate) home: HashSeed,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) mailboxes: Vec<mpsc::Sender<Batch>>,
    pub(crate) arrivals: Vec<mpsc::Sender<Arrival>>,
    pub(crate) started: Instant,
    pub(crate) time: TimeOfDay,
    /// All shards have put back what was stored, before any of them lets clients in.
    pub(crate) restored: tokio::sync::Barrier,
    /// What each shard lets the management listener read.
    pub(crate) published: Box<[Published]>,
    /// What the store tells, where there is one.
    pub(crate) commits: Option<Arc<Commits>>,
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
    pub(crate) rules: Announced<Rules>,
    pub(crate) seed: HashSeed,
    pub(crate) store: Option<ShardStore>,
    /// Sessions of clients that are at home here.
    pub(crate) sessions: Vec<StoredSession>,
    pub(crate) retained: Arc<[(Arc<Message>, Stamp)]>,
}

/// The store, as a shard sees it.
#[derive(Clone, Debug)]
pub(crate) struct ShardStore {
    pub(crate) sender: mpsc::Sender<StoreBatch>,
    pub(crate) commits: Arc<Commits>,
    /// The first name that no stored session has.
    pub(crate) first_session: SessionId,
}

/// A shard as its tasks see it. They share one thread: nothing is borrowed over an `.await`.
pub(crate) struct ShardHandle {
    pub(crate) common: Arc<Common>,
    index: u16,
    core: RefCell<Shard>,
    store: Option<ShardStore>,
    scratch: RefCell<Scratch>,
    /// By the session's place.
    wakers: RefCell<Vec<Option<Sleeper>>>,
    /// Connections that wait until other shards keep up, the longest first, each once.
    waiting: RefCell<VecDeque<SessionKey>>,
    /// A mailbox was full.
    backlog: Notify,
    timers: Notify,
    /// What the timer task sleeps for, milliseconds on the broker's clock.
    armed_ms: Cell<u64>,
}

/// The task of a connection.
#[derive(Clone, Debug)]
struct Sleeper {
    /// The connection's.
    serial: u64,
    waker: Waker,
    /// It stands in [`ShardHandle::waiting`].
    waits_for_room: bool,
}

/// The buffer that all of a shard's connections read into, one after the other.
pub(crate) struct Scratch(Vec<u8>);

/// Runs the shard until shutdown. Called on its own thread.
pub(crate) fn run(start: ShardStart) -> io::Result<()> {
    let runtime = super::runtime()?;
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
        rules,
        seed,
        store,
        sessions,
        retained,
    } = start;
    let now_in_force = common.rules.load_full();
    let count =
        u16::try_from(common.mailboxes.len()).expect("Broker::start bounds the number of shards");
    let core = Shard::new(ShardSetup {
        index,
        count,
        store: store.as_ref().map(|store| store.first_session),
        limits: now_in_force.limits,
        admission: Arc::clone(&now_in_force.admission),
        seed,
    });
    let shard = Rc::new(ShardHandle {
        common,
        index,
        core: RefCell::new(core),
        store,
        scratch: RefCell::new(Scratch(vec![0; READ_BYTES])),
        wakers: RefCell::default(),
        waiting: RefCell::default(),
        backlog: Notify::new(),
        timers: Notify::new(),
        armed_ms: Cell::new(u64::MAX),
    });
    spawn_local(Rc::clone(&shard).take_mail(mailbox));
    spawn_local(Rc::clone(&shard).work_off_backlog());
    if let Some(store) = &shard.store {
        spawn_local(Rc::clone(&shard).follow_commits(Arc::clone(&store.commits)));
    }
    shard.restore(sessions, &retained).await;
    let mut accepting = Vec::new();
    for listener in listeners {
        accepting.push(spawn_local(arrival::accept(
            Rc::clone(&shard),
            listener.socket,
            listener.entrance,
        )?));
    }
    shard.begin_work(arrivals, rules);
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
    shard.say_goodbye().await;
    Ok(())
}

impl ShardHandle {
    /// The limits in force now.
    pub(crate) fn limits(&self) -> Limits {
        self.common.rules.load().limits
    }

    pub(crate) fn keys(&self) -> arc_swap::Guard<Arc<KeySets>> {
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
            unix: self.common.time.now(),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.common.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets the core do something, then carries out what follows: wakes connections, sends to other shards, sets the timer.
    pub(crate) fn with_core<T>(self: &Rc<Self>, work: impl FnOnce(&mut Shard, Now) -> T) -> T {
        let mut core = self.core.borrow_mut();
        if let Some(store) = &self.store {
            core.store_is_full = store.commits.is_full();
        }
        let outcome = work(&mut core, self.now());
        let wakers = self.wakers.borrow();
        while let Some(key) = core.poll_dirty() {
            if let Some(Some(sleeper)) = wakers.get(key as usize) {
                sleeper.waker.wake_by_ref();
            }
        }
        // The journal first: what others make of our messages is written after it.
        self.post_journal(&mut core);
        self.post(&mut core);
        if !self.waiting.borrow().is_empty() {
            self.backlog.notify_one();
        }
        while let Some((at, issuer)) = core.poll_key_request() {
            spawn_local(Rc::clone(self).fetch_keys_for(at, issuer));
        }
        while let Some((at, question)) = core.poll_introspection_request() {
            spawn_local(Rc::clone(self).introspect_for(at, question));
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

    /// Hands what must be written to the store, as far as it has room. What it has not is handed over after its next commit.
    fn post_journal(&self, core: &mut Shard) {
        let Some(store) = &self.store else {
            return;
        };
        let Some((entries, up_to)) = core.poll_journal() else {
            return;
        };
        let batch = StoreBatch {
            shard: self.index,
            up_to,
            entries,
        };
        if let Err(mpsc::error::TrySendError::Full(batch)) = store.sender.try_send(batch) {
            core.return_journal(batch.entries);
        }
    }

    /// Tells the clients, waits until they have taken it, and brings what is left to the store.
    async fn say_goodbye(self: &Rc<Self>) {
        self.with_core(Shard::handle_shutdown);
        let limit = TokioInstant::now() + GOODBYE_LIMIT;
        while self.core().connection_count() > 0 && TokioInstant::now() < limit {
            sleep(Duration::from_millis(10)).await;
        }
        self.hand_over_journal().await;
    }

    /// Hands over what is left, at the end.
    async fn hand_over_journal(&self) {
        let Some(store) = &self.store else {
            return;
        };
        let left = self.core_mut().poll_journal();
        if let Some((entries, up_to)) = left {
            let batch = StoreBatch {
                shard: self.index,
                up_to,
                entries,
            };
            if store.sender.send(batch).await.is_err() {
                tracing::error!("the store has ended before the shards");
            }
        }
    }

    /// What it does beside its clients, once it has what was stored.
    fn begin_work(self: &Rc<Self>, arrivals: mpsc::Receiver<Arrival>, rules: Announced<Rules>) {
        spawn_local(Rc::clone(self).take_arrivals(arrivals));
        spawn_local(Rc::clone(self).run_timers());
        spawn_local(Rc::clone(self).publish_counters());
        spawn_local(Rc::clone(self).take_rules(rules));
        spawn_local(Rc::clone(self).take_revocations());
        // One shard speaks for all.
        if self.index == 0 {
            spawn_local(system::publish(Rc::clone(self)));
        }
    }

    /// Puts back what was stored. Returns once every shard knows what the sessions of all others subscribe to.
    async fn restore(
        self: &Rc<Self>,
        sessions: Vec<StoredSession>,
        retained: &[(Arc<Message>, Stamp)],
    ) {
        self.with_core(|core, now| {
            for (message, stamp) in retained {
                core.restore_retained(message, *stamp, now);
            }
            for session in sessions {
                core.restore_session(session, now);
            }
        });
        while !self.core().is_settled() {
            sleep(RESTORE_PAUSE).await;
        }
        self.common.restored.wait().await;
    }

    /// Tells the core how far the store is.
    async fn follow_commits(self: Rc<Self>, commits: Arc<Commits>) {
        let mut known = 0;
        while let Ok(up_to) = commits.wait_beyond(self.index, known).await {
            known = up_to;
            self.with_core(|core, now| core.handle_committed(up_to, now));
        }
        tracing::error!(
            "the store has ended: nothing is acknowledged any more that must be stored"
        );
    }

    /// The connection is woken when there is something to write to it, or when it is over.
    pub(crate) fn keep_waker(&self, at: ConnectionKey, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        let place = at.session as usize;
        if wakers.len() <= place {
            wakers.resize(place + 1, None);
        }
        match &mut wakers[place] {
            // One that is over leaves the place to the one that came after it.
            Some(sleeper) if sleeper.serial > at.serial => {}
            Some(sleeper) if sleeper.serial == at.serial && sleeper.waker.will_wake(waker) => {}
            slot => {
                *slot = Some(Sleeper {
                    serial: at.serial,
                    waker: waker.clone(),
                    waits_for_room: false,
                });
            }
        }
    }

    pub(crate) fn forget_waker(&self, at: ConnectionKey) {
        if let Some(slot) = self.wakers.borrow_mut().get_mut(at.session as usize)
            && (slot.as_ref()).is_some_and(|sleeper| sleeper.serial == at.serial)
        {
            *slot = None;
        }
    }

    /// Places behind the last connection are given back.
    fn shrink_wakers(&self) {
        let mut wakers = self.wakers.borrow_mut();
        let used = wakers.iter().rposition(Option::is_some);
        let used = used.map_or(0, |last| last + 1);
        if used < wakers.len() / 2 {
            wakers.truncate(used);
            wakers.shrink_to_fit();
        }
    }

    /// The connection of `key` is woken when other shards keep up again.
    pub(crate) fn wait_for_room(&self, key: SessionKey) {
        if let Some(Some(sleeper)) = self.wakers.borrow_mut().get_mut(key as usize)
            && !std::mem::replace(&mut sleeper.waits_for_room, true)
        {
            self.waiting.borrow_mut().push_back(key);
        }
        self.backlog.notify_one();
    }

    /// Lets some of the connections that waited longest read on.
    fn resume_some(&self) {
        let (mut waiting, mut wakers) = (self.waiting.borrow_mut(), self.wakers.borrow_mut());
        let some = waiting.len().min(RESUMED_AT_ONCE);
        for key in waiting.drain(..some) {
            if let Some(Some(sleeper)) = wakers.get_mut(key as usize) {
                sleeper.waits_for_room = false;
                sleeper.waker.wake_by_ref();
            }
        }
        if !waiting.is_empty() {
            self.backlog.notify_one();
        }
    }

    /// This shard's place among the shards.
    pub(crate) fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// An admitted client is at home here.
    pub(crate) fn admit(self: &Rc<Self>, channel: Channel, newcomer: Newcomer) {
        let Newcomer {
            mut admitted,
            assigned,
            unread,
            place,
        } = newcomer;
        let version = admitted.introduction.version;
        let outcome = self.with_core(|core, now| {
            core.bring_up_to_date(&mut admitted.grant);
            core.handle_admitted(&admitted, assigned, now)
        });
        match outcome {
            Ok(at) => {
                let connection = Connection::new(Rc::clone(self), at, channel, version, unread);
                spawn_local(connection.run(place));
            }
            Err(refused) => {
                spawn_local(async move {
                    turn_away(channel, refused).await;
                    drop(place);
                });
            }
        }
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

    async fn take_rules(self: Rc<Self>, mut rules: Announced<Rules>) {
        while rules.changed().await.is_ok() {
            let Announcement { content, done } = rules.borrow_and_update().clone();
            self.with_core(|core, now| core.handle_reload(&content, now));
            if let Some(done) = done {
                done.tell();
            }
        }
    }

    async fn take_revocations(self: Rc<Self>) {
        let mut revoked = self.common.revocations.subscribe();
        while revoked.changed().await.is_ok() {
            let hashes = Arc::clone(&revoked.borrow_and_update());
            let sessions = self.with_core(|core, now| core.handle_revoked(&hashes, now));
            if sessions > 0 {
                tracing::info!(sessions, "sessions of revoked tokens have ended");
            }
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
            self.shrink_wakers();
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
            // What is told of the other shard's progress, or of the store's, comes here again.
            if !self.core().is_congested() {
                self.resume_some();
                yield_now().await;
            }
        }
    }

    async fn fetch_keys_for(self: Rc<Self>, at: ConnectionKey, issuer: Arc<str>) {
        self.common.keys.refresh(&issuer).await;
        let keys = self.keys();
        self.with_core(|core, now| core.handle_keys(at, &keys, now));
    }

    async fn introspect_for(self: Rc<Self>, at: ConnectionKey, question: Question) {
        let Question { reference, issuer } = question;
        let now = self.common.time.now();
        (self.common.keys)
            .introspect(&reference, issuer.as_deref(), now)
            .await;
        let keys = self.keys();
        self.with_core(|core, now| core.handle_keys(at, &keys, now));
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

/// The home shard of a client, among so many.
pub(crate) fn home_of(home: &HashSeed, shards: usize, client_identifier: &str) -> usize {
    usize::try_from(home.hash(client_identifier.as_bytes()) % shards as u64)
        .expect("it is below the number of shards")
}
