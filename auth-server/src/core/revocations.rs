//! What is answered about the token revocation list (RFC 9770 §7 to §9).

use crate::store::{ListUpdate, Store};
use symbolon_ace_proto::{
    TokenHash,
    revocation_list::{DiffEntry, QueryError, RevocationList},
};

/// The most updates in one answer: `MAX_DIFF_BATCH`.
pub(crate) const MAX_DIFF_BATCH: usize = 32;
/// The highest index: `MAX_INDEX`. Whoever revokes a million tokens in a second reaches it in 292 000 years.
const MAX_INDEX: u64 = i64::MAX as u64;

/// What is asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Query {
    /// `diff` as it was sent.
    pub(crate) diff: Option<String>,
    /// `cursor` as it was sent.
    pub(crate) cursor: Option<String>,
}

/// Answers `query`. `updates` are the last ones for who asks, the newest first and without gaps; `hashes` is what is on the list now.
pub(crate) fn answer(
    query: &Query,
    updates: &[ListUpdate],
    hashes: impl FnOnce() -> Vec<TokenHash>,
) -> Result<RevocationList, QueryError> {
    let last = updates.first().map(|update| update.number);
    let diff = match &query.diff {
        None if query.cursor.is_some() => return Err(QueryError::CursorAlone),
        None => {
            return Ok(RevocationList::Full {
                hashes: hashes(),
                cursor: last,
            });
        }
        Some(text) => number(text).ok_or(QueryError::InvalidDiff)?,
    };
    let cursor = match &query.cursor {
        None => None,
        Some(text) => Some(
            number(text)
                .filter(|cursor| *cursor <= MAX_INDEX)
                .ok_or(QueryError::InvalidCursor(last))?,
        ),
    };
    let most = match usize::try_from(diff).unwrap_or(usize::MAX) {
        0 => Store::MAX_LIST_UPDATES,
        most => most,
    };
    since(cursor, updates, most)
}

/// The updates after `cursor`, or of all, the last `most` of them, and of these the eldest that fit an answer.
fn since(
    cursor: Option<u64>,
    updates: &[ListUpdate],
    most: usize,
) -> Result<RevocationList, QueryError> {
    let (Some(newest), Some(oldest)) = (updates.first(), updates.last()) else {
        return Ok(RevocationList::Diff {
            entries: Vec::new(),
            cursor: None,
            more: false,
        });
    };
    let newer = match cursor {
        Some(cursor) if cursor > newest.number => {
            return Err(QueryError::OutOfBound(newest.number));
        }
        // RFC 9770 §9.2.3, case A: updates were lost.
        Some(cursor) if cursor.saturating_add(1) < oldest.number => {
            return Ok(RevocationList::Diff {
                entries: Vec::new(),
                cursor: None,
                more: true,
            });
        }
        Some(cursor) => updates.iter().take_while(|one| one.number > cursor).count(),
        None => updates.len(),
    };
    let asked = newer.min(most);
    let told = asked.min(MAX_DIFF_BATCH);
    let entries = &updates[asked - told..asked];
    Ok(RevocationList::Diff {
        cursor: Some(entries.first().map_or(newest.number, |first| first.number)),
        entries: entries.iter().map(entry_of).collect(),
        more: asked > told,
    })
}

fn entry_of(update: &ListUpdate) -> DiffEntry {
    let hash = vec![update.listed_as];
    if update.added {
        DiffEntry {
            added: hash,
            ..DiffEntry::default()
        }
    } else {
        DiffEntry {
            removed: hash,
            ..DiffEntry::default()
        }
    }
}

/// A whole number in decimal, and nothing else.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a token that is called by a number.
    fn listed(number: u64) -> [u8; TokenHash::LENGTH] {
        let mut bytes = [u8::try_from(number).unwrap(); TokenHash::LENGTH];
        bytes[0] = 1;
        bytes
    }

    /// Updates of these numbers, the newest first, each adding a token of that number.
    fn updates(numbers: std::ops::Range<u64>) -> Vec<ListUpdate> {
        let update = |number: u64| ListUpdate {
            number,
            listed_as: TokenHash::from_bytes(&listed(number)).unwrap(),
            added: true,
        };
        numbers.rev().map(update).collect()
    }

    fn ask(
        diff: Option<&str>,
        cursor: Option<&str>,
        updates: &[ListUpdate],
    ) -> Result<RevocationList, QueryError> {
        let query = Query {
            diff: diff.map(str::to_owned),
            cursor: cursor.map(str::to_owned),
        };
        answer(&query, updates, Vec::new)
    }

    /// First bytes of the hashes added, cursor, more.
    fn diff(answer: Result<RevocationList, QueryError>) -> (Vec<u8>, Option<u64>, bool) {
        let RevocationList::Diff {
            entries,
            cursor,
            more,
        } = answer.unwrap()
        else {
            panic!("a full set")
        };
        let added = entries.iter().map(|entry| entry.added[0].to_bytes()[1]);
        (added.collect(), cursor, more)
    }

    // RFC 9770 §9.1
    #[test]
    fn a_full_query_names_the_last_update() {
        let cursor = |updates: &[ListUpdate]| match ask(None, None, updates).unwrap() {
            RevocationList::Full { cursor, .. } => cursor,
            RevocationList::Diff { .. } => panic!("a diff"),
        };
        assert_eq!(cursor(&[]), None);
        assert_eq!(cursor(&updates(0..3)), Some(2));
    }

    // RFC 9770 §9.2.1
    #[test]
    fn where_there_was_no_update_any_cursor_gets_the_same() {
        for cursor in [None, Some("0"), Some("77")] {
            assert_eq!(diff(ask(Some("0"), cursor, &[])), (vec![], None, false));
        }
    }

    // RFC 9770 §9.2.2
    #[test]
    fn without_a_cursor_the_last_updates_come_the_newest_first() {
        let three = updates(0..3);
        assert_eq!(
            diff(ask(Some("0"), None, &three)),
            (vec![2, 1, 0], Some(2), false)
        );
        assert_eq!(
            diff(ask(Some("2"), None, &three)),
            (vec![2, 1], Some(2), false)
        );
        let many = updates(0..100);
        let (added, cursor, more) = diff(ask(Some("40"), None, &many));
        // The eldest of the last 40.
        assert_eq!(added.len(), MAX_DIFF_BATCH);
        assert_eq!((added.first(), added.last()), (Some(&91), Some(&60)));
        assert_eq!((cursor, more), (Some(91), true));
    }

    // RFC 9770 §9.2.3
    #[test]
    fn with_a_cursor_what_came_after_it_follows() {
        let many = updates(20..100);
        assert_eq!(
            diff(ask(Some("0"), Some("99"), &many)),
            (vec![], Some(99), false)
        );
        assert_eq!(
            diff(ask(Some("0"), Some("97"), &many)),
            (vec![99, 98], Some(99), false)
        );
        // The one after it is still there, itself it is not.
        let (added, cursor, more) = diff(ask(Some("0"), Some("19"), &many));
        assert_eq!(
            (added.len(), added.last(), cursor, more),
            (32, Some(&20), Some(51), true)
        );
        // Lost.
        assert_eq!(
            diff(ask(Some("0"), Some("18"), &many)),
            (vec![], None, true)
        );
        assert_eq!(
            ask(Some("0"), Some("100"), &many),
            Err(QueryError::OutOfBound(99))
        );
    }

    #[test]
    fn by_cursors_every_update_is_told_once() {
        let many = updates(0..100);
        let (mut cursor, mut told) = (Some(3), Vec::new());
        loop {
            let text = cursor.map(|cursor: u64| cursor.to_string());
            let (mut added, next, more) = diff(ask(Some("0"), text.as_deref(), &many));
            added.reverse();
            told.extend(added);
            cursor = next;
            if !more {
                break;
            }
        }
        assert_eq!(told, (4..100).collect::<Vec<u8>>());
    }

    // RFC 9770 §6
    #[test]
    fn what_is_no_whole_number_is_refused() {
        let some = updates(0..3);
        for wrong in ["", "-1", "+1", "x", "1.0", "99999999999999999999999"] {
            assert_eq!(ask(Some(wrong), None, &some), Err(QueryError::InvalidDiff));
            let refused = ask(Some("0"), Some(wrong), &some);
            assert_eq!(refused, Err(QueryError::InvalidCursor(Some(2))));
        }
        assert_eq!(ask(None, Some("1"), &some), Err(QueryError::CursorAlone));
        let beyond = u64::MAX.to_string();
        assert_eq!(
            ask(Some("0"), Some(&beyond), &some),
            Err(QueryError::InvalidCursor(Some(2)))
        );
    }
}
