//! Whose the retained messages are. A retained message lives as long as its publisher's token (RFC 9431 §5): where the publisher renews, it
//! lives on if the new token still lets it be published; where the token is revoked, it is gone.
//!
//! One lock for all shards. It is taken when a client first retains something, when one connects or renews while there are such clients, and
//! when a token is revoked; on the path of other messages never.

use super::grant::{Grant, Holder, TokenMarks};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use symbolon_ace_proto::{TokenHash, UnixTime};
use symbolon_mqtt_proto::TopicName;

/// Tokens of one publisher that are remembered for the case that they are revoked; the oldest is forgotten first.
const TOKENS_AT_MOST: usize = 8;
/// Publishers without messages are looked for once there are so many, and then at twice the number that was left.
const FORGET_FROM: usize = 1_024;

/// A client that has retained something.
#[derive(Debug)]
pub struct Publisher {
    holder: Holder,
    tokens: Mutex<Tokens>,
    /// Some token of it was revoked, to be asked without the lock.
    has_revoked: AtomicBool,
}

/// Which of a publisher's tokens, in the order in which it came with them; 0 is one of an earlier life of the broker.
pub type TokenSerial = u32;

#[derive(Debug, Default)]
struct Tokens {
    /// Of those it has proved to hold, the one that is valid longest.
    current: Option<(TokenSerial, Grant)>,
    /// The newest last.
    known: Vec<(TokenSerial, TokenMarks)>,
    /// Those of them that were revoked.
    revoked: Vec<TokenSerial>,
    last: TokenSerial,
}

/// All of them, as long as anybody needs them: their sessions and their messages.
#[derive(Debug, Default)]
pub struct Publishers {
    by_holder: Mutex<ByHolder>,
    /// How many there are, to be asked without the lock.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct ByHolder {
    publishers: HashMap<Holder, Weak<Publisher>>,
    forget_at: usize,
}

impl Publisher {
    /// Of a client that has not come (again) yet.
    pub fn new(holder: &Holder) -> Self {
        Self {
            holder: holder.identity(),
            tokens: Mutex::default(),
            has_revoked: AtomicBool::new(false),
        }
    }

    /// Who it is: where it has a name, without its key, which may change.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// It has proved to hold this token; which of its tokens that is.
    pub fn renew(&self, grant: &Grant) -> TokenSerial {
        let mut tokens = self.tokens();
        let serial = tokens.serial_of(grant);
        let earlier = tokens.current.as_ref();
        if earlier.and_then(|(_, grant)| grant.expires_at()) <= grant.expires_at() {
            tokens.current = Some((serial, grant.clone()));
        }
        serial
    }

    /// Until when it may publish to `topic` by the token it has now, and which that is; `None` where that token does not let it.
    pub fn may_publish_until(&self, topic: TopicName<'_>) -> Option<(UnixTime, TokenSerial)> {
        let tokens = self.tokens();
        let (serial, grant) = tokens.current.as_ref()?;
        let until = grant.expires_at().filter(|_| grant.permits_publish(topic));
        until.map(|until| (until, *serial))
    }

    /// Whether this token of it was revoked: what was published by it is gone.
    pub fn is_revoked(&self, serial: TokenSerial) -> bool {
        self.has_revoked.load(Ordering::Relaxed) && self.tokens().revoked.contains(&serial)
    }

    fn revoke(&self, revoked: &HashSet<TokenHash>) {
        let mut tokens = self.tokens();
        let known = std::mem::take(&mut tokens.known);
        let (hit, known) = known
            .into_iter()
            .partition(|(_, marks)| marks.are_among(revoked));
        tokens.known = known;
        let hit: Vec<(TokenSerial, TokenMarks)> = hit;
        for (serial, _) in hit {
            if tokens.revoked.len() >= TOKENS_AT_MOST {
                tokens.revoked.remove(0);
            }
            tokens.revoked.push(serial);
            tokens.current.take_if(|(current, _)| *current == serial);
            self.has_revoked.store(true, Ordering::Relaxed);
        }
    }

    /// What is in there stays true whoever panics.
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    fn serial_of(&mut self, grant: &Grant) -> TokenSerial {
        let marks = grant.token_marks();
        let known = self.known.iter().find(|(_, known)| Some(*known) == marks);
        if let Some((serial, _)) = known {
            return *serial;
        }
        self.last += 1;
        if let Some(marks) = marks {
            if self.known.len() >= TOKENS_AT_MOST {
                self.known.remove(0);
            }
            self.known.push((self.last, marks));
        }
        self.last
    }
}

impl Publishers {
    /// The publisher that is this client, new where there was none.
    pub fn of(&self, holder: &Holder) -> Arc<Publisher> {
        let mut all = self.lock();
        let known = all.publishers.get(&holder.identity());
        if let Some(known) = known.and_then(Weak::upgrade) {
            return known;
        }
        let publisher = Arc::new(Publisher::new(holder));
        all.insert(&publisher);
        self.count.store(all.publishers.len(), Ordering::Relaxed);
        publisher
    }

    /// The same, but none is made.
    pub fn find(&self, holder: &Holder) -> Option<Arc<Publisher>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        (self.lock().publishers.get(&holder.identity())).and_then(Weak::upgrade)
    }

    /// One that the store remembers.
    pub fn restore(&self, publisher: &Arc<Publisher>) {
        let mut all = self.lock();
        all.insert(publisher);
        self.count.store(all.publishers.len(), Ordering::Relaxed);
    }

    /// The same, where nobody remembers it yet.
    pub fn restore_unknown(&self, publisher: &Arc<Publisher>) {
        let mut all = self.lock();
        let known = all.publishers.get(&publisher.holder);
        if known.and_then(Weak::upgrade).is_none() {
            all.insert(publisher);
            self.count.store(all.publishers.len(), Ordering::Relaxed);
        }
    }

    /// These tokens are revoked.
    pub fn revoke(&self, revoked: &HashSet<TokenHash>) {
        self.lock().publishers.retain(|_, publisher| {
            let publisher = publisher.upgrade();
            if let Some(publisher) = &publisher {
                publisher.revoke(revoked);
            }
            publisher.is_some()
        });
    }

    fn lock(&self) -> MutexGuard<'_, ByHolder> {
        self.by_holder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByHolder {
    fn insert(&mut self, publisher: &Arc<Publisher>) {
        if self.publishers.len() >= self.forget_at.max(FORGET_FROM) {
            self.publishers
                .retain(|_, publisher| publisher.strong_count() > 0);
            self.forget_at = 2 * self.publishers.len();
        }
        let holder = publisher.holder.clone();
        self.publishers.insert(holder, Arc::downgrade(publisher));
    }
}
