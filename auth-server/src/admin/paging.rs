//! Long lists, a part at a time.

use super::{
    model::{DEFAULT_PAGE, MAX_PAGE, Page},
    problem::Problem,
    route::{Query, QueryKind},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

/// `?limit=`, for the document.
pub(super) const LIMIT: Query = Query {
    name: "limit",
    about: "How many items at most; 100 where absent.",
    kind: QueryKind::Number(1, MAX_PAGE as u64),
    required: false,
};
/// `?after=`, for the document.
pub(super) const AFTER: Query = Query {
    name: "after",
    about: "`next` of the page before.",
    kind: QueryKind::Text,
    required: false,
};

/// The query of a list that cannot be narrowed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paged {
    limit: Option<u32>,
    after: Option<String>,
}

impl Paged {
    pub(super) fn parse(self) -> Result<Place, Problem> {
        Place::parse(self.limit, self.after.as_deref())
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// Items at most.
    pub(super) limit: u32,
    /// The key of the last item of the page before; empty for the first page.
    pub(super) after: String,
}

impl Place {
    pub(super) fn parse(limit: Option<u32>, after: Option<&str>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(DEFAULT_PAGE);
        if limit == 0 || limit > MAX_PAGE {
            let why = format!("limit is from 1 to {MAX_PAGE}");
            return Err(Problem::Malformed(why));
        }
        let after = match after {
            None => String::new(),
            Some(cursor) => text(cursor)
                .ok_or_else(|| Problem::Malformed("after is not what `next` was".to_owned()))?,
        };
        Ok(Self { limit, after })
    }

    /// The key as a number; 0 for the first page.
    pub(super) fn number(&self) -> Result<i64, Problem> {
        if self.after.is_empty() {
            return Ok(0);
        }
        let refused = |_| Problem::Malformed("after is not what `next` was".to_owned());
        self.after.parse().map_err(refused)
    }

    /// How many items to read: one more than the page has, to see whether there are more.
    pub(super) fn to_read(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// The page, from what was read.
    pub(super) fn page<T, U>(
        &self,
        mut read: Vec<T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(T) -> U,
    ) -> Page<U> {
        let limit = self.limit as usize;
        let more = read.len() > limit;
        read.truncate(limit);
        let last = read.last().filter(|_| more);
        let next = last.map(|last| URL_SAFE_NO_PAD.encode(key(last)));
        Page {
            items: read.into_iter().map(show).collect(),
            next,
        }
    }

    /// The page of a list that was read whole, in the order of its keys.
    pub(super) fn page_of_all<T, U>(
        &self,
        all: Vec<T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(T) -> U,
    ) -> Page<U> {
        let behind = all.into_iter().filter(|one| key(one) > self.after);
        let read = behind.take(self.to_read() as usize).collect();
        self.page(read, key, show)
    }
}

fn text(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let all: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let mut seen = Vec::new();
        let mut after = None;
        let mut pages = 0;
        loop {
            let place = Place::parse(Some(2), after.as_deref()).unwrap();
            let page = place.page_of_all(all.clone(), String::clone, |one| one);
            assert!(page.items.len() <= 2);
            seen.extend(page.items);
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), (all, 3));
    }

    #[test]
    fn a_limit_or_a_cursor_that_means_nothing_is_refused() {
        for limit in [0, 1001, u32::MAX] {
            assert!(Place::parse(Some(limit), None).is_err());
        }
        for cursor in ["!", "_w"] {
            assert!(Place::parse(None, Some(cursor)).is_err(), "{cursor}");
        }
        let place = Place::parse(None, Some("YQ")).unwrap();
        assert_eq!((place.limit, place.after.as_str()), (100, "a"));
        assert!(place.number().is_err());
    }
}
