//! The token revocation list of RFC 9770: the answers that carry the names of tokens that were revoked before their time.

use crate::{
    MalformedMessage, TokenHash,
    cbor::{self, Value},
};

/// The media type of the answers (RFC 9770 §14.1).
pub const MEDIA_TYPE: &str = "application/ace-trl+cbor";
/// The media type of a refusal (RFC 9290).
pub const PROBLEM_MEDIA_TYPE: &str = "application/concise-problem-details+cbor";
/// `ace-trl-error` among the custom details of RFC 9290.
const ACE_TRL_ERROR: i64 = 1;

const FULL_SET: i64 = 0;
const DIFF_SET: i64 = 1;
const CURSOR: i64 = 2;
const MORE: i64 = 3;

const TITLE: i64 = -1;
const DETAIL: i64 = -2;
const ERROR_ID: i64 = 0;
const ERROR_CURSOR: i64 = 1;

/// What one update took from the list and put onto it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DiffEntry {
    /// They expired.
    pub removed: Vec<TokenHash>,
    /// They were revoked.
    pub added: Vec<TokenHash>,
}

/// An answer: what the asker may see of the list. The server supports diff queries with cursors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RevocationList {
    /// To a full query (RFC 9770 §7).
    Full {
        /// All of it.
        hashes: Vec<TokenHash>,
        /// The index of the last update; `None` if there was none yet.
        cursor: Option<u64>,
    },
    /// To a diff query (RFC 9770 §8, §9).
    Diff {
        /// The newest first.
        entries: Vec<DiffEntry>,
        /// The index of the first of them. `None` with `more`: updates were lost, a full query is due.
        cursor: Option<u64>,
        /// There are newer ones.
        more: bool,
    },
}

impl RevocationList {
    /// As `application/ace-trl+cbor`.
    pub fn to_cbor(&self) -> Vec<u8> {
        let cursor = |cursor: &Option<u64>| (CURSOR, cursor.map_or(Value::Null, Value::Unsigned));
        match self {
            Self::Full {
                hashes,
                cursor: last,
            } => {
                let bytes: Vec<_> = hashes.iter().map(|hash| hash.to_bytes()).collect();
                Value::map(vec![(FULL_SET, patch(&bytes)), cursor(last)]).encode()
            }
            Self::Diff {
                entries,
                cursor: last,
                more,
            } => {
                let bytes = |hashes: &[TokenHash]| -> Vec<[u8; TokenHash::LENGTH]> {
                    hashes.iter().map(|hash| hash.to_bytes()).collect()
                };
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| (bytes(&entry.removed), bytes(&entry.added)))
                    .collect();
                let set = entries
                    .iter()
                    .map(|(removed, added)| Value::Array(vec![patch(removed), patch(added)]));
                let set = Value::Array(set.collect());
                let more = (MORE, Value::Bool(*more));
                Value::map(vec![(DIFF_SET, set), cursor(last), more]).encode()
            }
        }
    }

    /// From `application/ace-trl+cbor`; unknown members are ignored, hashes of other functions are left out.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, MalformedMessage> {
        let members = cbor::decode_map(bytes)?;
        let cursor = match members.get(CURSOR) {
            None | Some(Value::Null) => None,
            Some(cursor) => Some(cursor.as_unsigned().ok_or(MalformedMessage("cursor"))?),
        };
        if let Some(hashes) = members.parsed(FULL_SET, "full_set", hashes_from)? {
            return Ok(Self::Full { hashes, cursor });
        }
        let entries = members.parsed(DIFF_SET, "diff_set", |set| {
            set.as_array()?.iter().map(entry_from).collect()
        })?;
        Ok(Self::Diff {
            entries: entries.ok_or(MalformedMessage("full_set"))?,
            cursor,
            more: members
                .parsed(MORE, "more", Value::as_bool)?
                .unwrap_or_default(),
        })
    }
}

fn patch(hashes: &[[u8; TokenHash::LENGTH]]) -> Value<'_> {
    Value::Array(hashes.iter().map(|hash| Value::Bytes(hash)).collect())
}

fn hashes_from(value: &Value<'_>) -> Option<Vec<TokenHash>> {
    let mut hashes = Vec::new();
    for hash in value.as_array()? {
        hashes.extend(TokenHash::from_bytes(hash.as_bytes()?));
    }
    Some(hashes)
}

fn entry_from(value: &Value<'_>) -> Option<DiffEntry> {
    let [removed, added] = value.as_array()? else {
        return None;
    };
    Some(DiffEntry {
        removed: hashes_from(removed)?,
        added: hashes_from(added)?,
    })
}

/// Why a query is refused (RFC 9770 §5.1, §13.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueryError {
    /// `diff` is no number.
    InvalidDiff,
    /// `cursor` is no number; with the index of the last update.
    InvalidCursor(Option<u64>),
    /// `cursor` without `diff`.
    CursorAlone,
    /// `cursor` lies beyond the last update; its index.
    OutOfBound(u64),
}

impl QueryError {
    /// As `application/concise-problem-details+cbor`.
    pub fn to_cbor(self) -> Vec<u8> {
        let index = |last: Option<u64>| Some(last.map_or(Value::Null, Value::Unsigned));
        let (number, detail, cursor) = match self {
            Self::InvalidDiff => (0, "diff is not a whole number", None),
            Self::InvalidCursor(last) => (0, "cursor is not a whole number", index(last)),
            Self::CursorAlone => (1, "cursor without diff", None),
            Self::OutOfBound(last) => (2, "cursor is beyond the last update", index(Some(last))),
        };
        let mut error = vec![(ERROR_ID, Value::Unsigned(number))];
        error.extend(cursor.map(|cursor| (ERROR_CURSOR, cursor)));
        let title = match number {
            0 => "Invalid parameter value",
            1 => "Invalid set of parameters",
            _ => "Out of bound cursor value",
        };
        Value::map(vec![
            (TITLE, Value::Text(title)),
            (DETAIL, Value::Text(detail)),
            (ACE_TRL_ERROR, Value::map(error)),
        ])
        .encode()
    }
}
