//! The chain of the audit log: each record's hash covers the record and the hash of the one before, so that none can be changed or removed
//! without all after it.
//!
//! Who can write the database can write a chain of their own. What they cannot do is write one that ends, or passes through, a hash that was
//! noted elsewhere: `verify` takes such a note.

use aws_lc_rs::digest::{Context, SHA256};
use symbolon_ace_proto::UnixTime;

/// The longest text in a record, bytes; what is longer is cut.
pub(crate) const MAX_TEXT_BYTES: usize = 1024;
/// So that no hash of ours is taken for one of something else.
const DOMAIN: &[u8] = b"symbolon audit record 1";

/// SHA-256 over a record and all before it.
pub(crate) type Hash = [u8; 32];

/// One record of the audit log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditRecord {
    /// Its number; they rise by 1.
    pub number: u64,
    /// When.
    pub at: UnixTime,
    /// Who: `cli ...`, `client ...`, `administrator ...`, `owner ...` or `server`.
    pub actor: String,
    /// What was done or wanted, as `policy.add`.
    pub action: String,
    /// With what: a name, or a number.
    pub object: String,
    /// Whether it was done.
    pub outcome: AuditOutcome,
    /// More, for people. Never a secret.
    pub detail: String,
    /// SHA-256 over this record and all before it.
    pub hash: [u8; 32],
}

/// How it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuditOutcome {
    /// As wanted.
    Done,
    /// It was not allowed.
    Refused,
}

/// A place in the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditMark {
    /// The number of a record; 0 is before the first.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// What is wrong with the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditDamage {
    /// A record is not there.
    #[error("record {0} was removed")]
    Missing(u64),
    /// A record is not what was written, or the one before it was removed and the rest renumbered.
    #[error("record {0} was changed")]
    Changed(u64),
    /// The log does not pass through the noted hash, though it reaches that far.
    #[error("the log up to record {0} is not the one that was noted")]
    Rewritten(u64),
    /// The noted record was let go long ago, so that the note says nothing any more.
    #[error("record {0} is no longer kept, so the note cannot be checked")]
    NoteTooOld(u64),
}

impl AuditOutcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

impl AuditRecord {
    /// The hash that it must have after `before`.
    pub(crate) fn expected_hash(&self, before: &Hash) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(DOMAIN);
        context.update(before);
        context.update(&self.number.to_be_bytes());
        context.update(&self.at.0.to_be_bytes());
        for text in [
            self.actor.as_str(),
            &self.action,
            &self.object,
            self.outcome.as_str(),
            &self.detail,
        ] {
            // With its length, or two texts could share their bytes in another way.
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// Follows the chain record by record.
#[derive(Debug)]
pub(crate) struct Verifier {
    at: AuditMark,
    note: Option<AuditMark>,
}

impl Verifier {
    /// From where the chain begins. `note` is a mark that was taken of it before.
    pub(crate) fn new(begin: AuditMark, note: Option<AuditMark>) -> Result<Self, AuditDamage> {
        let note = match note {
            Some(note) if note.number < begin.number => {
                return Err(AuditDamage::NoteTooOld(note.number));
            }
            Some(note) if note.number == begin.number && note.hash != begin.hash => {
                return Err(AuditDamage::Rewritten(note.number));
            }
            other => other,
        };
        Ok(Self { at: begin, note })
    }

    pub(crate) fn handle_record(&mut self, record: &AuditRecord) -> Result<(), AuditDamage> {
        let number = self.at.number + 1;
        if record.number != number {
            return Err(AuditDamage::Missing(number));
        }
        if record.expected_hash(&self.at.hash) != record.hash {
            return Err(AuditDamage::Changed(number));
        }
        self.at = AuditMark {
            number,
            hash: record.hash,
        };
        if let Some(note) = self.note
            && note.number == number
            && note.hash != record.hash
        {
            return Err(AuditDamage::Rewritten(number));
        }
        Ok(())
    }

    /// After the last record; the mark to note.
    pub(crate) fn finish(self, end: AuditMark) -> Result<AuditMark, AuditDamage> {
        let furthest = self.note.map_or(0, |note| note.number).max(end.number);
        if self.at.number < furthest {
            return Err(AuditDamage::Missing(self.at.number + 1));
        }
        if self.at != end {
            return Err(AuditDamage::Changed(end.number));
        }
        Ok(self.at)
    }
}

/// At most [`MAX_TEXT_BYTES`], whole characters, no control characters: a record is one line wherever it is printed.
pub(crate) fn clip(text: &str) -> String {
    let mut clipped: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let mut length = clipped.len().min(MAX_TEXT_BYTES);
    while !clipped.is_char_boundary(length) {
        length -= 1;
    }
    clipped.truncate(length);
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: AuditMark = AuditMark {
        number: 0,
        hash: [0; 32],
    };

    fn chain(count: u64) -> Vec<AuditRecord> {
        let mut before = BEGIN.hash;
        let record = |number| {
            let mut record = AuditRecord {
                number,
                at: UnixTime(number),
                actor: "cli".to_owned(),
                action: "policy.add".to_owned(),
                object: number.to_string(),
                outcome: AuditOutcome::Done,
                detail: "a/#".to_owned(),
                hash: [0; 32],
            };
            record.hash = record.expected_hash(&before);
            before = record.hash;
            record
        };
        (1..=count).map(record).collect()
    }

    fn mark(record: &AuditRecord) -> AuditMark {
        AuditMark {
            number: record.number,
            hash: record.hash,
        }
    }

    fn verify(
        records: &[AuditRecord],
        end: AuditMark,
        note: Option<AuditMark>,
    ) -> Result<AuditMark, AuditDamage> {
        let mut verifier = Verifier::new(BEGIN, note)?;
        for record in records {
            verifier.handle_record(record)?;
        }
        verifier.finish(end)
    }

    #[test]
    fn a_chain_as_it_was_written_is_sound() {
        let records = chain(5);
        let end = mark(&records[4]);
        assert_eq!(verify(&records, end, None), Ok(end));
        assert_eq!(verify(&records, end, Some(mark(&records[2]))), Ok(end));
        assert_eq!(verify(&[], BEGIN, None), Ok(BEGIN));
    }

    #[test]
    fn whatever_is_changed_in_a_record_is_found() {
        let records = chain(5);
        let end = mark(&records[4]);
        let changes: [fn(&mut AuditRecord); 7] = [
            |record| record.at = UnixTime(99),
            |record| record.actor.push('x'),
            |record| record.action = "policy.remove".to_owned(),
            |record| record.object = "7".to_owned(),
            |record| record.outcome = AuditOutcome::Refused,
            |record| record.detail.clear(),
            |record| record.hash[0] ^= 1,
        ];
        for change in changes {
            let mut records = records.clone();
            change(&mut records[2]);
            assert_eq!(verify(&records, end, None), Err(AuditDamage::Changed(3)));
        }
        let mut moved = records.clone();
        let detail = std::mem::take(&mut moved[2].detail);
        moved[2].object.push_str(&detail);
        assert_eq!(verify(&moved, end, None), Err(AuditDamage::Changed(3)));
    }

    #[test]
    fn a_record_that_was_removed_is_found_wherever_it_stood() {
        for index in 0..5 {
            let mut records = chain(5);
            let end = mark(&records[4]);
            records.remove(index);
            let damage = verify(&records, end, None);
            assert_eq!(damage, Err(AuditDamage::Missing(index as u64 + 1)));
        }
    }

    #[test]
    fn a_chain_written_anew_is_found_by_a_note() {
        let before = mark(&chain(5)[2]);
        let mut records = chain(3);
        records[0].actor = "another".to_owned();
        let mut hash = BEGIN.hash;
        for record in &mut records {
            record.hash = record.expected_hash(&hash);
            hash = record.hash;
        }
        let end = mark(&records[2]);
        assert_eq!(verify(&records, end, None), Ok(end));
        let damage = verify(&records, end, Some(before));
        assert_eq!(damage, Err(AuditDamage::Rewritten(3)));
        let short = verify(&records[..2], mark(&records[1]), Some(before));
        assert_eq!(short, Err(AuditDamage::Missing(3)));
    }

    #[test]
    fn a_note_of_what_is_no_longer_kept_is_told_as_such() {
        let records = chain(5);
        let begin = mark(&records[2]);
        let old = Some(mark(&records[1]));
        let verifier = Verifier::new(begin, old);
        assert_eq!(verifier.unwrap_err(), AuditDamage::NoteTooOld(2));
    }

    #[test]
    fn a_text_is_one_line_and_not_too_long() {
        assert_eq!(clip("a\nb"), "a\u{fffd}b");
        let long = clip(&"ä".repeat(MAX_TEXT_BYTES));
        assert_eq!(long.len(), MAX_TEXT_BYTES);
    }
}
