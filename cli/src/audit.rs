//! `symbolon audit`: who did what, and whether the log of it is whole.

use crate::{
    clock,
    config::DirectoryArg,
    output::{self, OutputArgs},
    registry,
};
use std::str::FromStr;
use symbolon_auth_server::store::{AuditMark, AuditRecord};

/// How many records are shown where nothing else is said.
const SHOWN_BY_DEFAULT: u32 = 50;

/// `symbolon audit ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AuditCommand {
    /// Show records: the last ones, or those from a number on
    List {
        /// From this number on
        #[arg(long, value_name = "NUMBER")]
        from: Option<u64>,
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value_t = SHOWN_BY_DEFAULT)]
        limit: u32,
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Follow the whole log; ends with code 1 if a record was changed or removed. Prints a mark: who notes it elsewhere can tell later
    /// whether the log was written anew
    Verify {
        /// A mark that was printed before
        #[arg(long, value_name = "NUMBER:HASH")]
        mark: Option<Mark>,
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `NUMBER:HASH`, the hash in hex.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(AuditMark);

#[derive(serde::Serialize)]
struct ShownRecord {
    number: u64,
    at: u64,
    actor: String,
    action: String,
    object: String,
    outcome: &'static str,
    detail: String,
    hash: String,
}

#[derive(serde::Serialize)]
struct ShownMark {
    records: u64,
    mark: String,
}

impl AuditCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::List {
                from,
                limit,
                directory,
                output,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                list(store.audit_records(from, limit).await?, output)
            }
            Self::Verify {
                mark,
                directory,
                output,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                let end = store.verify_audit(mark.map(|mark| mark.0)).await?;
                let end = end.map_err(|damage| anyhow::anyhow!("the audit log: {damage}"))?;
                let shown = ShownMark {
                    records: end.number,
                    mark: format!("{}:{}", end.number, hex(&end.hash)),
                };
                if output.is_json() {
                    return output::print_json(&shown);
                }
                println!("the audit log is whole up to record {}", shown.records);
                println!("mark {}", shown.mark);
                Ok(())
            }
        }
    }
}

fn list(records: Vec<AuditRecord>, output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        let shown: Vec<ShownRecord> = records.into_iter().map(ShownRecord::from).collect();
        return output::print_json(&shown);
    }
    let rows: Vec<Vec<String>> = records
        .into_iter()
        .map(|record| {
            vec![
                record.number.to_string(),
                clock::local(record.at),
                record.actor,
                record.action,
                record.object,
                record.outcome.as_str().to_owned(),
                record.detail,
            ]
        })
        .collect();
    output::print_table(
        &["NUMBER", "WHEN", "WHO", "WHAT", "OF", "OUTCOME", "DETAIL"],
        &rows,
    )
}

impl From<AuditRecord> for ShownRecord {
    fn from(record: AuditRecord) -> Self {
        Self {
            number: record.number,
            at: record.at.0,
            outcome: record.outcome.as_str(),
            hash: hex(&record.hash),
            actor: record.actor,
            action: record.action,
            object: record.object,
            detail: record.detail,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    halves.map(|half| DIGITS[usize::from(half)]).collect()
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected NUMBER:HASH, as `audit verify` prints it".to_owned();
        let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
        if hash.len() != 64 || !hash.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = &hash[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        let number = number.parse().map_err(|_| wrong())?;
        Ok(Self(AuditMark {
            number,
            hash: bytes,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_printed() {
        let mark: Mark = format!("7:{}", hex(&[0xab; 32])).parse().unwrap();
        assert_eq!((mark.0.number, mark.0.hash), (7, [0xab; 32]));
        for text in ["", "7", "7:ab", &format!("x:{}", hex(&[0; 32]))] {
            assert!(text.parse::<Mark>().is_err(), "{text}");
        }
    }
}
