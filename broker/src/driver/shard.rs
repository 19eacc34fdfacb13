//! A shard's thread: its core, its mailbox, its timers, and the tasks of its connections.

use super::{
    addresses::Addresses,
    arrival::{Arrival, Newcomer},
    connection::{Connection, turn_away},
    listener::Listener,
    lives::Falls,
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
    store::{
        commits::Commits,
        writer::{Batch as StoreBatch, Order},
    },
};
use arc_swap::ArcSwap;
use std::{
    cell::{Cell, Ref, RefCell, RefMut},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    task::{Poll, Waker},
    time::{Duration, Instant},
};
use symbolon_tls::Channel;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::{spawn_local, yield_now},
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
/// How long the connections of a shard that fell have for closing.
const BURIAL_LIMIT: Duration = Duration::from_millis(200);
/// How often what was counted is copied to where the management listener reads it.
const PUBLISH_COUNTERS_EVERY: Duration = Duration::from_secs(1);

/// Where something comes in from other shards. It outlives the shard's lives.
pub(crate) type Inlet<T> = Rc<RefCell<mpsc::Receiver<T>>>;

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
    pub(crate) falls: Falls,
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
    pub(crate) sender: mpsc::Sender<Order>,
    pub(crate) commits: Arc<Commits>,
    /// The first name that no stored session has.
    pub(crate) first_session: SessionId,
}

/// A shard as its tasks see it. They share one thread: nothing is borrowed over an `.await`.
pub(crate) struct ShardHandle {
    pub(crate) common: Arc<Common>,
    index: u16,
    seed: HashSeed,
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
    /// The core, once a turn of it has panicked; what stands in its place then knows nothing, and nothing of it counts.
    fallen: RefCell<Option<Shard>>,
    has_fallen: Notify,
}

/// Says that the shard fell, if its task panics.
struct Vital(Rc<ShardHandle>);

/// Says that the shard fell, unless the turn was completed.
struct Turn<'a> {
    shard: &'a ShardHandle,
    is_completed: bool,
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

impl ShardHandle {
    pub(super) fn new(
        common: Arc<Common>,
        (index, seed): (u16, HashSeed),
        core: Shard,
        store: Option<ShardStore>,
    ) -> Rc<Self> {
        Rc::new(Self {
            common,
            index,
            seed,
            core: RefCell::new(core),
            store,
            scratch: RefCell::new(Scratch::new()),
            wakers: RefCell::default(),
            waiting: RefCell::default(),
            backlog: Notify::new(),
            timers: Notify::new(),
            armed_ms: Cell::new(u64::MAX),
            fallen: RefCell::default(),
            has_fallen: Notify::new(),
        })
    }

    /// What it does from the first moment on: takes mail, and hears what is written.
    pub(super) fn listen(
        self: &Rc<Self>,
        mailbox: &Inlet<Batch>,
        in_hand: &Rc<RefCell<Option<Batch>>>,
    ) {
        let (mailbox, in_hand) = (Rc::clone(mailbox), Rc::clone(in_hand));
        self.spawn_vital(Rc::clone(self).take_mail(mailbox, in_hand));
        self.spawn_vital(Rc::clone(self).work_off_backlog());
        if let Some(store) = &self.store {
            self.spawn_vital(Rc::clone(self).follow_commits(Arc::clone(&store.commits)));
        }
    }

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
    ///
    /// If that panics, the shard has fallen: another goes on in its place, with what was given away before.
    pub(crate) fn with_core<T>(self: &Rc<Self>, work: impl FnOnce(&mut Shard, Now) -> T) -> T {
        let mut turn = Turn::begin(self);
        let mut core = self.core.borrow_mut();
        core.begin_turn();
        if let Some(store) = &self.store {
            core.store_is_full = store.commits.is_full();
        }
        let outcome = work(&mut core, self.now());
        #[cfg(feature = "faults")]
        self.fall_if_told();
        core.begin_turn();
        if self.has_ended() {
            turn.is_completed = true;
            return outcome;
        }
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
        turn.is_completed = true;
        outcome
    }

    /// Lets a connection's outbox be filled. What follows of it is carried out with the next [`Self::with_core`].
    pub(crate) fn fill_outbox(&self, core: &mut Shard, key: SessionKey) {
        core.begin_turn();
        core.handle_room(key, self.now());
        core.begin_turn();
    }

    /// A task that the shard cannot be without: if it panics, wherever, the shard has fallen.
    fn spawn_vital(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let shard = Rc::clone(self);
        spawn_local(async move {
            let _watch = Vital(shard);
            task.await;
        });
    }

    /// Whether the core has fallen: what stands in its place must not take anything on.
    pub(crate) fn has_ended(&self) -> bool {
        self.fallen.borrow().is_some()
    }

    /// For tests: falls where it hurts most, with everything done and nothing given away.
    #[cfg(feature = "faults")]
    fn fall_if_told(&self) {
        let told = &self.common.falls.wanted[self.index()];
        assert!(
            !told.swap(false, std::sync::atomic::Ordering::Relaxed),
            "the shard falls because a test wants it"
        );
    }

    /// A turn has panicked: every connection finds that it is over, and this life of the shard ends.
    fn fall(&self) {
        if self.has_ended() {
            return;
        }
        let Ok(mut core) = self.core.try_borrow_mut() else {
            // It cannot be: whoever holds the core has begun a turn before, whose end comes later.
            return;
        };
        let stand_in = core.stand_in(self.setup());
        *self.fallen.borrow_mut() = Some(std::mem::replace(&mut *core, stand_in));
        self.has_fallen.notify_one();
        for sleeper in self.wakers.borrow().iter().flatten() {
            sleeper.waker.wake_by_ref();
        }
    }

    /// What a core of this shard is made from, but for the store.
    fn setup(&self) -> ShardSetup {
        let rules = self.common.rules.load_full();
        ShardSetup {
            index: self.index,
            count: self.common.shard_count(),
            store: None,
            limits: rules.limits,
            admission: Arc::clone(&rules.admission),
            seed: self.seed.clone(),
        }
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
        let refused = store.sender.try_send(Order::Write(batch));
        if let Err(mpsc::error::TrySendError::Full(Order::Write(batch))) = refused {
            core.return_journal(batch.entries);
        }
    }

    /// Tells the clients, waits until they have taken it, and brings what is left to the store.
    pub(super) async fn say_goodbye(self: &Rc<Self>) {
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
            if store.sender.send(Order::Write(batch)).await.is_err() {
                tracing::error!("the store has ended before the shards");
            }
        }
    }

    /// What it does beside its clients, once it has what was stored.
    pub(super) fn begin_work(self: &Rc<Self>, arrivals: &Inlet<Arrival>, rules: Announced<Rules>) {
        // Some may have waited for too long.
        self.with_core(Shard::handle_timeout);
        self.spawn_vital(Rc::clone(self).take_arrivals(Rc::clone(arrivals)));
        self.spawn_vital(Rc::clone(self).run_timers());
        self.spawn_vital(Rc::clone(self).publish_counters());
        self.spawn_vital(Rc::clone(self).take_rules(rules));
        self.spawn_vital(Rc::clone(self).take_revocations());
        // One shard speaks for all.
        if self.index == 0 {
            spawn_local(system::publish(Rc::clone(self)));
        }
    }

    /// Waits until every other shard has told what its clients want.
    pub(super) async fn await_others(&self) {
        while self.core().is_awaiting_others() && !self.has_ended() {
            sleep(RESTORE_PAUSE).await;
        }
    }

    /// Waits until the shard has fallen.
    pub(super) async fn fallen(&self) {
        self.has_fallen.notified().await;
    }

    /// Lets the connections find that they are over, and gives the core back that fell.
    pub(super) async fn bury(&self) -> Option<Shard> {
        let limit = TokioInstant::now() + BURIAL_LIMIT;
        while self.core().connection_count() > 0 && TokioInstant::now() < limit {
            sleep(Duration::from_millis(1)).await;
        }
        self.fallen.borrow_mut().take()
    }

    /// Puts back what was stored. Returns once every shard knows what the sessions of all others subscribe to.
    pub(super) async fn restore(
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
        if !self.has_ended() {
            self.common.restored.wait().await;
        }
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
        if self.has_ended() {
            // Nobody is there to let it in; it may come again.
            return;
        }
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

    async fn take_arrivals(self: Rc<Self>, arrivals: Inlet<Arrival>) {
        while let Some(Arrival { channel, newcomer }) = self.take(&arrivals).await {
            match channel.attach() {
                Ok(channel) => self.admit(channel, newcomer),
                Err(error) => tracing::warn!(%error, "cannot take a connection over"),
            }
        }
    }

    /// The batch that is being handled stays in `in_hand`: if the shard falls of it, or meanwhile, it is not lost.
    async fn take_mail(self: Rc<Self>, mailbox: Inlet<Batch>, in_hand: Rc<RefCell<Option<Batch>>>) {
        loop {
            let mut taken = in_hand.take();
            if taken.is_none() {
                taken = self.take(&mailbox).await;
            }
            let Some(batch) = taken else {
                return;
            };
            self.handle_in_hand(&in_hand, batch);
            in_hand.take();
        }
    }

    fn handle_in_hand(self: &Rc<Self>, in_hand: &RefCell<Option<Batch>>, batch: Batch) {
        let mut in_hand = in_hand.borrow_mut();
        let (from, messages) = in_hand.insert(batch);
        self.with_core(|core, now| core.handle_batch(*from, messages, now));
    }

    /// What comes next, unless the shard has fallen: then it is for whoever goes on.
    async fn take<T>(&self, inlet: &Inlet<T>) -> Option<T> {
        poll_fn(|context| {
            if self.has_ended() {
                return Poll::Pending;
            }
            inlet.borrow_mut().poll_recv(context)
        })
        .await
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
        while !self.has_ended() {
            self.common.published[usize::from(self.index)].store(self.core_mut().counters());
            self.shrink_wakers();
            sleep(PUBLISH_COUNTERS_EVERY).await;
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

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fall();
        }
    }
}

impl<'a> Turn<'a> {
    fn begin(shard: &'a ShardHandle) -> Self {
        Self {
            shard,
            is_completed: false,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_completed {
            self.shard.fall();
        }
    }
}

impl Common {
    /// How many shards there are.
    pub(crate) fn shard_count(&self) -> u16 {
        u16::try_from(self.mailboxes.len()).expect("Broker::start bounds the number of shards")
    }
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self(vec![0; READ_BYTES])
    }

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
