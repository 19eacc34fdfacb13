//! The audit log.

use crate::store::{self, AuditMark};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use utoipa::ToSchema;

/// One record of the audit log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct AuditRecord {
    /// Its number; they rise by 1.
    pub number: u64,
    /// When.
    pub at: u64,
    /// Who.
    pub actor: String,
    /// What was done or wanted, as `policy.add`.
    pub action: String,
    /// With what.
    pub object: String,
    /// `done`, or `refused`.
    pub outcome: String,
    /// More, for people.
    pub detail: String,
    /// SHA-256 over this record and all before it, in hex.
    pub hash: String,
}

/// What came of following the whole log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum AuditVerdict {
    /// It is whole.
    Whole {
        /// The number of the last record.
        records: u64,
        /// The mark of its end, `NUMBER:HASH`: who notes it elsewhere can tell later whether the log was written anew.
        mark: String,
    },
    /// Something is wrong with it.
    Damaged {
        /// What.
        damage: String,
    },
}

/// Not `NUMBER:HASH`, the hash as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected NUMBER:HASH, as `audit verify` prints it")]
pub struct AuditMarkError;

impl From<store::AuditRecord> for AuditRecord {
    fn from(record: store::AuditRecord) -> Self {
        Self {
            number: record.number,
            at: record.at.0,
            outcome: record.outcome.as_str().to_owned(),
            hash: hex(&record.hash),
            actor: record.actor,
            action: record.action,
            object: record.object,
            detail: record.detail,
        }
    }
}

impl From<Result<AuditMark, store::AuditDamage>> for AuditVerdict {
    fn from(verdict: Result<AuditMark, store::AuditDamage>) -> Self {
        match verdict {
            Ok(mark) => Self::Whole {
                records: mark.number,
                mark: mark_to_text(mark),
            },
            Err(damage) => Self::Damaged {
                damage: damage.to_string(),
            },
        }
    }
}

/// A mark as `NUMBER:HASH`, the hash in hex: for `?mark=` of `/audit/verify`.
pub fn mark_to_text(mark: AuditMark) -> String {
    format!("{}:{}", mark.number, hex(&mark.hash))
}

/// A mark from its text.
pub fn mark_from_text(text: &str) -> Result<AuditMark, AuditMarkError> {
    let (number, digits) = text.split_once(':').ok_or(AuditMarkError)?;
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(AuditMarkError);
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        let pair = &digits[2 * index..2 * index + 2];
        *byte = u8::from_str_radix(pair, 16).map_err(|_| AuditMarkError)?;
    }
    let number = number.parse().map_err(|_| AuditMarkError)?;
    Ok(AuditMark { number, hash })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all that is written to it");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let mark = AuditMark {
            number: 7,
            hash: [0xab; 32],
        };
        assert_eq!(mark_from_text(&mark_to_text(mark)), Ok(mark));
        let hash = "0".repeat(64);
        for text in ["", "7", "7:ab", &format!("x:{hash}"), &format!("7:+{hash}")] {
            assert_eq!(mark_from_text(text), Err(AuditMarkError), "{text}");
        }
    }

    #[test]
    fn a_verdict_says_the_mark_or_the_damage() {
        let whole = AuditVerdict::Whole {
            records: 3,
            mark: "3:ab".to_owned(),
        };
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(text, r#"{"records":3,"mark":"3:ab"}"#);
        let damaged = AuditVerdict::from(Err(store::AuditDamage::Changed(3)));
        let text = serde_json::to_string(&damaged).unwrap();
        assert_eq!(text, r#"{"damage":"record 3 was changed"}"#);
        let read: AuditVerdict = serde_json::from_str(&text).unwrap();
        assert_eq!(read, damaged);
    }
}
