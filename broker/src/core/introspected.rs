//! What authorization servers have said of tokens by reference, for a while (RFC 9200 §5.9, RFC 9431 §2.2.5). Nobody is asked here.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use symbolon_ace_proto::{UnixTime, introspection::ActiveToken, token::Form};

use aws_lc_rs::digest;

/// The most answers that are remembered.
const REMEMBERED_AT_MOST: usize = 100_000;
/// The longest reference, bytes: it is to be short.
const REFERENCE_BYTES: usize = 4_096;

type TokenHash = [u8; 32];

/// A token that says nothing by itself. `Debug` does not show it: who has it may ask for what it stands for.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Reference(Box<[u8]>);

/// What an authorization server is to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) reference: Reference,
    /// Which one; `None` asks them all, until one knows the token.
    pub(crate) issuer: Option<Box<str>>,
}

/// What the authorization server said.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Inactive,
    Active(Arc<Answer>),
}

/// What an active token says, and how long that is believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) token: ActiveToken,
    pub(crate) asked_at: UnixTime,
    pub(crate) until: UnixTime,
}

/// Verdicts by token and by who said so, shared by the shards and by who asks.
#[derive(Default)]
pub(crate) struct Introspected(Mutex<Verdicts>);

#[derive(Default)]
struct Verdicts {
    by_token: HashMap<TokenHash, (UnixTime, Verdict)>,
    by_end: BTreeSet<(UnixTime, TokenHash)>,
}

impl Reference {
    /// If the token can be one: printable ASCII that no token of another form is, as RFC 6749 Appendix A.12 has it.
    pub(crate) fn parse(token: &[u8]) -> Option<Self> {
        let is_reference = (1..=REFERENCE_BYTES).contains(&token.len())
            && token.iter().all(u8::is_ascii_graphic)
            // Three parts with dots between are a JWT, if a broken one.
            && token.split(|byte| *byte == b'.').count() != 3
            && Form::of(token).is_some();
        is_reference.then(|| Self(token.into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn hash(&self, issuer: &str) -> TokenHash {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&(issuer.len() as u64).to_be_bytes());
        context.update(issuer.as_bytes());
        context.update(&self.0);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reference(..)")
    }
}

impl Introspected {
    /// What this authorization server said of the token, and is still to be believed.
    pub(crate) fn find(
        &self,
        issuer: &str,
        reference: &Reference,
        now: UnixTime,
    ) -> Option<Verdict> {
        let verdicts = self.lock();
        let (end, verdict) = verdicts.by_token.get(&reference.hash(issuer))?;
        (now < *end).then(|| verdict.clone())
    }

    /// The authorization server said so: it is believed until `end`.
    pub(crate) fn remember(
        &self,
        (issuer, reference): (&str, &Reference),
        verdict: Verdict,
        end: UnixTime,
    ) {
        let hash = reference.hash(issuer);
        let mut verdicts = self.lock();
        verdicts.forget(&hash);
        if verdicts.by_token.len() >= REMEMBERED_AT_MOST
            && let Some((_, soonest)) = verdicts.by_end.first().copied()
        {
            verdicts.forget(&soonest);
        }
        verdicts.by_token.insert(hash, (end, verdict));
        verdicts.by_end.insert((end, hash));
    }

    /// Tables stay true whoever panics: nothing in here can between two changes.
    fn lock(&self) -> MutexGuard<'_, Verdicts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verdicts {
    fn forget(&mut self, hash: &TokenHash) {
        if let Some((end, _)) = self.by_token.remove(hash) {
            self.by_end.remove(&(end, *hash));
        }
    }
}

/// There may be keys in it.
impl fmt::Debug for Introspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspected").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS: &str = "https://as.example";
    const BEGIN: UnixTime = UnixTime(1_800_000_000);

    fn reference(text: &str) -> Reference {
        Reference::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_was_said_is_believed_for_its_time() {
        let introspected = Introspected::default();
        introspected.remember(
            (AS, &reference("a")),
            Verdict::Inactive,
            BEGIN.plus_secs(10),
        );
        assert!(
            introspected
                .find(AS, &reference("a"), BEGIN.plus_secs(9))
                .is_some()
        );
        assert!(
            introspected
                .find(AS, &reference("a"), BEGIN.plus_secs(10))
                .is_none()
        );
        assert!(introspected.find(AS, &reference("b"), BEGIN).is_none());
        let active = Verdict::Active(Arc::default());
        introspected.remember((AS, &reference("a")), active, BEGIN.plus_secs(20));
        let found = introspected.find(AS, &reference("a"), BEGIN.plus_secs(15));
        assert!(matches!(found, Some(Verdict::Active(_))));
        assert_eq!(introspected.lock().by_token.len(), 1);
        // Another authorization server has said nothing of it.
        assert!(introspected.find("other", &reference("a"), BEGIN).is_none());
    }

    #[test]
    fn no_more_answers_are_remembered_than_there_is_room_for() {
        let introspected = Introspected::default();
        for number in 0..=REMEMBERED_AT_MOST {
            let end = BEGIN.plus_secs(1 + number as u64);
            introspected.remember(
                (AS, &reference(&number.to_string())),
                Verdict::Inactive,
                end,
            );
        }
        assert_eq!(introspected.lock().by_token.len(), REMEMBERED_AT_MOST);
        assert!(introspected.find(AS, &reference("0"), BEGIN).is_none());
        assert!(introspected.find(AS, &reference("1"), BEGIN).is_some());
    }

    #[test]
    fn a_reference_is_short_printable_and_no_jwt() {
        assert!(Reference::parse(b"2YotnFZFEjr1zCsicMWpAA").is_some());
        assert!(Reference::parse(b"v1.opaque").is_some());
        for no_reference in [&b""[..], b"a.b.c", b"a b", b"\xd2\x84", &[b'a'; 4_097]] {
            assert_eq!(Reference::parse(no_reference), None);
        }
    }
}
