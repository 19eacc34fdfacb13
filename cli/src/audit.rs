//! `symbolon audit`: who did what, and whether the log of it is whole.

use crate::{
    administration::Place,
    clock,
    output::{self, OutputArgs},
};
use std::str::FromStr;
use symbolon_ace_proto::UnixTime;
use symbolon_auth_server::{
    admin::model::{AuditMarkError, AuditRecord, AuditVerdict, mark_from_text},
    store::AuditMark,
};

/// How many records are shown where nothing else is said.
const SHOWN_BY_DEFAULT: usize = 50;

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
        limit: usize,
        #[command(flatten)]
        place: Place,
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
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `NUMBER:HASH`, the hash in hex.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(AuditMark);

impl AuditCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::List {
                from,
                limit,
                place,
                output,
            } => list(place.open().await?.audit(from, limit).await?, output),
            Self::Verify {
                mark,
                place,
                output,
            } => {
                let mark = mark.map(|mark| mark.0);
                let verdict = place.open().await?.verify_audit(mark).await?;
                print_verdict(&verdict, output)
            }
        }
    }
}

fn print_verdict(verdict: &AuditVerdict, output: OutputArgs) -> anyhow::Result<()> {
    match verdict {
        AuditVerdict::Damaged { damage } => anyhow::bail!("the audit log: {damage}"),
        AuditVerdict::Whole { .. } if output.is_json() => output::print_json(verdict),
        AuditVerdict::Whole { records, mark } => {
            println!("the audit log is whole up to record {records}");
            println!("mark {mark}");
            Ok(())
        }
    }
}

fn list(records: Vec<AuditRecord>, output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&records);
    }
    let rows: Vec<Vec<String>> = records
        .into_iter()
        .map(|record| {
            vec![
                record.number.to_string(),
                clock::local(UnixTime(record.at)),
                record.actor,
                record.action,
                record.object,
                record.outcome,
                record.detail,
            ]
        })
        .collect();
    output::print_table(
        &["NUMBER", "WHEN", "WHO", "WHAT", "OF", "OUTCOME", "DETAIL"],
        &rows,
    )
}

impl FromStr for Mark {
    type Err = AuditMarkError;

    fn from_str(text: &str) -> Result<Self, AuditMarkError> {
        mark_from_text(text).map(Self)
    }
}
