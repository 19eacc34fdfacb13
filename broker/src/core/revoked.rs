//! Tokens that count no more although they have not expired (RFC 9770).
//!
//! One lock for all shards, taken when the list changes and, while there is anything on it, when a token is judged; never on the path of a
//! PUBLISH.

use super::{
    grant::{Grant, TokenMarks},
    reauthentication::Reauthentication,
    session::{SessionKey, State},
    shard::{Now, Shard},
};
use std::{
    collections::HashSet,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use symbolon_ace_proto::TokenHash;

/// The tokens that the authorization server has revoked and that have not expired yet, shared by the shards.
#[derive(Debug, Default)]
pub struct Revoked {
    hashes: RwLock<HashSet<TokenHash>>,
    /// How many, to be asked without the lock.
    count: AtomicUsize,
}

impl Revoked {
    /// From now on these are on the list, and no others. Those that were not before.
    pub fn replace(&self, hashes: HashSet<TokenHash>) -> HashSet<TokenHash> {
        let mut listed = self.hashes.write().unwrap_or_else(PoisonError::into_inner);
        let new = hashes.difference(&listed).copied().collect();
        self.count.store(hashes.len(), Ordering::Release);
        *listed = hashes;
        new
    }

    /// Whether this token is one of them.
    pub fn contains(&self, token: &[u8]) -> bool {
        self.count() > 0 && self.has(TokenMarks::of(token))
    }

    /// Whether the token of this grant is one of them.
    pub fn covers(&self, grant: &Grant) -> bool {
        self.count() > 0 && grant.token_marks().is_some_and(|marks| self.has(marks))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    fn has(&self, marks: TokenMarks) -> bool {
        let listed = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
        marks.are_among(&listed)
    }
}

impl Shard {
    /// Tokens were revoked; admission refuses them already. Whoever is connected by one is sent away, and no Will says goodbye: revoked is not
    /// expired, and what a token let a client do counts no more. How many were.
    pub(crate) fn handle_revoked(&mut self, revoked: &HashSet<TokenHash>, now: Now) -> usize {
        let is_revoked =
            |grant: &Grant| (grant.token_marks()).is_some_and(|marks| marks.are_among(revoked));
        let sessions = self.sessions.iter();
        let hit = sessions.filter(|(_, session)| match &session.reauthentication {
            Reauthentication::AwaitProof(challenge) if is_revoked(challenge.grant()) => true,
            Reauthentication::AwaitProof(_)
            | Reauthentication::AwaitKeys { .. }
            | Reauthentication::Idle => is_revoked(&session.grant),
        });
        let hit: Vec<usize> = hit.map(|(index, _)| index).collect();
        let count = hit.len();
        for index in hit {
            let key = SessionKey::try_from(index).expect("sessions are keyed by 32 bits");
            self.revoke(key, now);
        }
        count
    }

    fn revoke(&mut self, key: SessionKey, now: Now) {
        let session = self.session_mut(key);
        if session.state == State::Live {
            self.close_revoked(key, now);
        } else if session.will.take().is_some() {
            // It waited for its delay.
            self.journal_session(key, Some(now));
        }
    }
}
