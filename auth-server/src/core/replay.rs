//! What was shown once and must not be accepted again: identifiers of client assertions (RFC 7523 §3) and DPoP proofs (RFC 9449 §11.1).

use crate::store::sha256_of;
use std::collections::{BTreeSet, HashSet};
use symbolon_ace_proto::UnixTime;

/// Half of a SHA-256: two identifiers that meet by chance cost one refusal.
pub(crate) type Mark = [u8; 16];

/// What was seen and has not expired.
#[derive(Debug)]
pub(crate) struct Seen {
    capacity: usize,
    marks: HashSet<Mark>,
    by_expiry: BTreeSet<(UnixTime, Mark)>,
}

/// Which kind of identifier: the same text in two kinds is not a replay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// `jti` of a client assertion.
    Assertion,
    /// `jti` of a DPoP proof.
    Dpop,
}

/// Why an identifier is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum SeenError {
    #[error("seen before")]
    Replayed,
    #[error("too many are remembered already")]
    Full,
}

impl Seen {
    /// Remembers at most `capacity` identifiers.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            marks: HashSet::new(),
            by_expiry: BTreeSet::new(),
        }
    }

    /// Remembers an identifier of a client until `expires_at`, that second included. Call it for verified ones only, so that strangers
    /// cannot fill the memory. Where it is full, nothing is forgotten early: the new one is refused. Gives the mark under which other processes
    /// know it.
    pub(crate) fn remember(
        &mut self,
        (kind, client_id, identifier): (Kind, &str, &str),
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<Mark, SeenError> {
        self.forget_expired(now);
        let mark = mark_of(kind, client_id, identifier);
        if self.marks.contains(&mark) {
            return Err(SeenError::Replayed);
        }
        if self.marks.len() >= self.capacity {
            return Err(SeenError::Full);
        }
        self.marks.insert(mark);
        self.by_expiry.insert((expires_at, mark));
        Ok(mark)
    }

    fn forget_expired(&mut self, now: UnixTime) {
        while let Some((expires_at, _)) = self.by_expiry.first()
            && *expires_at < now
        {
            if let Some((_, mark)) = self.by_expiry.pop_first() {
                self.marks.remove(&mark);
            }
        }
    }
}

fn mark_of(kind: Kind, client_id: &str, identifier: &str) -> Mark {
    let prefix = match kind {
        Kind::Assertion => 'a',
        Kind::Dpop => 'd',
    };
    // The length keeps ("ab", "c") and ("a", "bc") apart.
    let text = format!("{prefix}{}:{client_id}{identifier}", client_id.len());
    let mut mark = Mark::default();
    mark.copy_from_slice(&sha256_of(text.as_bytes())[..16]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1000);

    // RFC 7523 §3, point 7
    #[test]
    fn an_identifier_is_accepted_once_until_it_expires() {
        let mut seen = Seen::new(10);
        let id = (Kind::Assertion, "c", "1");
        assert!(seen.remember(id, NOW.plus_secs(60), NOW).is_ok());
        for later in [0, 59, 60] {
            let again = seen.remember(id, NOW.plus_secs(60), NOW.plus_secs(later));
            assert_eq!(again, Err(SeenError::Replayed));
        }
        let later = seen.remember(id, NOW.plus_secs(120), NOW.plus_secs(61));
        assert!(later.is_ok());
    }

    #[test]
    fn clients_and_kinds_do_not_share_identifiers() {
        let mut seen = Seen::new(10);
        for id in [
            (Kind::Assertion, "ab", "c"),
            (Kind::Assertion, "a", "bc"),
            (Kind::Dpop, "ab", "c"),
        ] {
            assert!(seen.remember(id, NOW, NOW).is_ok());
        }
    }

    #[test]
    fn a_full_memory_refuses_and_forgets_nothing_early() {
        let mut seen = Seen::new(2);
        let id = |text| (Kind::Dpop, "c", text);
        seen.remember(id("1"), NOW.plus_secs(10), NOW).unwrap();
        seen.remember(id("2"), NOW.plus_secs(20), NOW).unwrap();
        assert_eq!(seen.remember(id("3"), NOW, NOW), Err(SeenError::Full));
        assert_eq!(seen.remember(id("1"), NOW, NOW), Err(SeenError::Replayed));
        let later = NOW.plus_secs(11);
        assert!(seen.remember(id("3"), later, later).is_ok());
        assert_eq!(seen.marks.len(), seen.by_expiry.len());
    }
}
