//! Tokens that count from when they are first seen: `exi` (RFC 9200 §5.10.3). Each has a number among those of its authorization server; of
//! those that are over, the highest is remembered, and all up to it count as over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use symbolon_ace_proto::UnixTime;

/// Tokens of one authorization server that are remembered while they are valid. Beyond it the one with the lowest number counts as over.
const RUNNING_AT_MOST: usize = 65_536;

/// By issuer; shared by all shards. Only a token whose protection was verified is ever asked about, so nobody else can fill it.
#[derive(Debug, Default)]
pub(crate) struct Spans(Mutex<BTreeMap<Box<str>, Numbers>>);

/// The tokens of one authorization server.
#[derive(Debug, Default)]
struct Numbers {
    highest_expired: Option<u64>,
    /// It is to be stored.
    is_news: bool,
    /// All of higher numbers.
    ends: BTreeMap<u64, UnixTime>,
    by_end: BTreeSet<(UnixTime, u64)>,
}

impl Spans {
    /// When the token of this number is over: `end`, if it is seen for the first time. `None` where it is over already, or counts so.
    pub(crate) fn see(
        &self,
        issuer: &str,
        number: u64,
        end: UnixTime,
        now: UnixTime,
    ) -> Option<UnixTime> {
        let mut all = self.lock();
        if !all.contains_key(issuer) {
            all.insert(issuer.into(), Numbers::default());
        }
        all.get_mut(issuer)?.see(number, end, now)
    }

    /// The highest number that is over, of each issuer that has a new one since the last call.
    pub(crate) fn take_news(&self, now: UnixTime) -> Vec<(Box<str>, u64)> {
        let mut news = Vec::new();
        for (issuer, numbers) in self.lock().iter_mut() {
            numbers.expire(now);
            if std::mem::take(&mut numbers.is_news) {
                news.extend(
                    numbers
                        .highest_expired
                        .map(|number| (issuer.clone(), number)),
                );
            }
        }
        news
    }

    /// What an earlier process found to be over.
    pub(crate) fn restore(&self, highest_expired: Vec<(Box<str>, u64)>) {
        let mut all = self.lock();
        for (issuer, number) in highest_expired {
            let numbers = all.entry(issuer).or_default();
            numbers.highest_expired = numbers.highest_expired.max(Some(number));
        }
    }

    /// Tables stay true whoever panics: nothing in here can between two changes.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Numbers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    fn see(&mut self, number: u64, end: UnixTime, now: UnixTime) -> Option<UnixTime> {
        self.expire(now);
        if self.highest_expired >= Some(number) || end <= now {
            return None;
        }
        if let Some(end) = self.ends.get(&number) {
            return Some(*end);
        }
        if self.ends.len() >= RUNNING_AT_MOST {
            let (lowest, _) = self.ends.first_key_value()?;
            if number < *lowest {
                return None;
            }
            let lowest = *lowest;
            self.drop_up_to(lowest);
        }
        self.ends.insert(number, end);
        self.by_end.insert((end, number));
        Some(end)
    }

    fn expire(&mut self, now: UnixTime) {
        let mut highest = None;
        while let Some((end, number)) = self.by_end.first().copied()
            && end <= now
        {
            self.by_end.pop_first();
            self.ends.remove(&number);
            highest = highest.max(Some(number));
        }
        if let Some(highest) = highest {
            self.drop_up_to(highest);
        }
    }

    /// This number is over, and so are those below: a MUST, though some of them may have been meant to live on.
    fn drop_up_to(&mut self, number: u64) {
        while let Some((lowest, end)) = self.ends.first_key_value().map(|(n, end)| (*n, *end))
            && lowest <= number
        {
            self.ends.remove(&lowest);
            self.by_end.remove(&(end, lowest));
        }
        if self.highest_expired < Some(number) {
            self.highest_expired = Some(number);
            self.is_news = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: UnixTime = UnixTime(1_800_000_000);
    const AS: &str = "https://as.example";

    fn at(secs: u64) -> UnixTime {
        BEGIN.plus_secs(secs)
    }

    // RFC 9200 §5.10.3.
    #[test]
    fn a_token_counts_from_when_it_was_first_seen() {
        let spans = Spans::default();
        assert_eq!(spans.see(AS, 1, at(10), at(0)), Some(at(10)));
        assert_eq!(spans.see(AS, 1, at(15), at(5)), Some(at(10)));
        assert_eq!(spans.see(AS, 1, at(20), at(10)), None);
        assert_eq!(spans.see(AS, 1, at(99), at(50)), None);
    }

    // RFC 9200 §5.10.3: "treat tokens with lower sequence numbers as expired".
    #[test]
    fn numbers_up_to_the_highest_that_is_over_are_over() {
        let spans = Spans::default();
        spans.see(AS, 5, at(100), at(0));
        spans.see(AS, 7, at(10), at(0));
        assert_eq!(spans.see(AS, 6, at(100), at(10)), None);
        assert_eq!(spans.see(AS, 5, at(100), at(10)), None);
        assert_eq!(spans.see(AS, 8, at(100), at(10)), Some(at(100)));
        // Another authorization server counts its own.
        assert_eq!(spans.see("other", 6, at(100), at(10)), Some(at(100)));
    }

    #[test]
    fn what_is_over_is_told_once_and_holds_after_a_restart() {
        let spans = Spans::default();
        spans.see(AS, 3, at(10), at(0));
        assert_eq!(spans.take_news(at(9)), []);
        assert_eq!(spans.take_news(at(10)), [(AS.into(), 3)]);
        assert_eq!(spans.take_news(at(11)), []);
        let again = Spans::default();
        again.restore(vec![(AS.into(), 3)]);
        assert_eq!(again.see(AS, 3, at(100), at(20)), None);
        assert_eq!(again.see(AS, 4, at(100), at(20)), Some(at(100)));
    }

    #[test]
    fn no_more_tokens_are_remembered_than_the_bound_and_those_given_up_count_as_over() {
        let spans = Spans::default();
        let most = RUNNING_AT_MOST as u64;
        for number in 10..10 + most {
            spans.see(AS, number, at(1_000), at(0));
        }
        // Older than all: there is no room for it, and it gets none.
        assert_eq!(spans.see(AS, 9, at(1_000), at(0)), None);
        assert_eq!(spans.see(AS, 10, at(1_000), at(0)), Some(at(1_000)));
        assert_eq!(spans.see(AS, 10 + most, at(1_000), at(0)), Some(at(1_000)));
        assert_eq!(spans.see(AS, 10, at(1_000), at(0)), None);
        let all = spans.lock();
        let numbers = all.get(AS).unwrap();
        assert_eq!(
            (numbers.ends.len(), numbers.by_end.len()),
            (RUNNING_AT_MOST, RUNNING_AT_MOST)
        );
    }
}
