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
    is_revoked: AtomicBool,
}

#[derive(Debug, Default)]
struct Tokens {
    /// Of those it has proved to hold, the one that is valid longest.
    grant: Option<Grant>,
    /// The newest last.
    marks: Vec<TokenMarks>,
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
    pub fn new(holder: Holder) -> Self {
        Self {
            holder: holder.identity(),
            tokens: Mutex::default(),
            is_revoked: AtomicBool::new(false),
        }
    }

    /// Who it is: where it has a name, without its key, which may change.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// It has proved to hold this token.
    pub fn renew(&self, grant: &Grant) {
        let mut tokens = self.tokens();
        let earlier = tokens.grant.as_ref().and_then(Grant::expires_at);
        if earlier <= grant.expires_at() {
            tokens.grant = Some(grant.clone());
        }
        let Some(marks) = grant.token_marks() else {
            return;
        };
        if !tokens.marks.contains(&marks) {
            if tokens.marks.len() >= TOKENS_AT_MOST {
                tokens.marks.remove(0);
            }
            tokens.marks.push(marks);
        }
    }

    /// Until when it may publish to `topic` by the token it has now; `None` where that token does not let it.
    pub fn may_publish_until(&self, topic: TopicName<'_>) -> Option<UnixTime> {
        let tokens = self.tokens();
        let grant = tokens.grant.as_ref()?;
        (grant.permits_publish(topic))
            .then(|| grant.expires_at())
            .flatten()
    }

    /// Whether a token that it published by was revoked: what it left behind until then is gone.
    pub fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::Relaxed)
    }

    fn has_one_of(&self, revoked: &HashSet<TokenHash>) -> bool {
        (self.tokens().marks.iter()).any(|marks| marks.are_among(revoked))
    }

    /// What is in there stays true whoever panics.
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
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
        let publisher = Arc::new(Publisher::new(holder.clone()));
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

    /// These tokens are revoked. From now on a client of theirs is another publisher.
    pub fn revoke(&self, revoked: &HashSet<TokenHash>) {
        self.lock().publishers.retain(|_, publisher| {
            let Some(publisher) = publisher.upgrade() else {
                return false;
            };
            let is_revoked = publisher.has_one_of(revoked);
            if is_revoked {
                publisher.is_revoked.store(true, Ordering::Relaxed);
            }
            !is_revoked
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
