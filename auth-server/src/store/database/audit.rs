//! Statements on the audit log.

use super::{
    Database, Engine, EngineConnection, StoreError, corrupt,
    issuing::{parts, rows},
};
use crate::core::audit::{AuditDamage, AuditMark, AuditOutcome, AuditRecord, Hash, Verifier, clip};
use crate::issuing::now;
use sqlx::{AssertSqlSafe, Transaction};
use symbolon_ace_proto::UnixTime;

/// How many records are read at a time.
const PAGE: i64 = 4096;
/// The part of the records that goes when there are too many: a tenth.
const LET_GO: u64 = 10;
/// Columns of a record.
const COLUMNS: usize = 8;

type RecordRow = (i64, i64, String, String, String, String, String, Vec<u8>);

/// What is to be recorded; who did it, the database knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed<'a> {
    pub(crate) action: &'a str,
    pub(crate) object: &'a str,
    pub(crate) outcome: AuditOutcome,
    pub(crate) detail: &'a str,
}

impl<'a> Deed<'a> {
    pub(crate) fn done(action: &'a str, object: &'a str, detail: &'a str) -> Self {
        Self {
            action,
            object,
            outcome: AuditOutcome::Done,
            detail,
        }
    }
}

/// A deed of somebody, done.
#[derive(Debug)]
pub(super) struct OwnedDeed {
    pub(super) actor: String,
    pub(super) action: &'static str,
    pub(super) object: String,
    pub(super) detail: String,
}

impl Database {
    /// Commits a transaction together with the record of what it did, or neither.
    pub(super) async fn commit(
        &self,
        mut transaction: Transaction<'static, Engine>,
        deed: Deed<'_>,
    ) -> Result<(), StoreError> {
        self.record_within(&mut transaction, deed).await?;
        self.finish(transaction).await
    }

    /// Records what was done elsewhere.
    pub(crate) async fn record_own(&self, deed: Deed<'_>) -> Result<(), StoreError> {
        let transaction = self.write().await?;
        self.commit(transaction, deed).await
    }

    /// Records something that changed nothing, without waiting for the disk.
    pub(crate) async fn record(&self, actor: &str, deed: Deed<'_>) -> Result<(), StoreError> {
        let mut transaction = self.write_relaxed().await?;
        self.record_of(&mut transaction, actor, deed).await?;
        self.finish(transaction).await
    }

    pub(super) async fn record_within(
        &self,
        transaction: &mut Transaction<'static, Engine>,
        deed: Deed<'_>,
    ) -> Result<(), StoreError> {
        self.record_of(transaction, &self.actor, deed).await
    }

    pub(super) async fn record_of(
        &self,
        transaction: &mut Transaction<'static, Engine>,
        actor: &str,
        deed: Deed<'_>,
    ) -> Result<(), StoreError> {
        let last = append(transaction, actor, deed).await?;
        let begin = end_of_chain(transaction, "begin").await?;
        self.shorten(transaction, begin, last).await?;
        Ok(())
    }

    /// Records many deeds with few statements; the number of the last record. The ends are those that the chain has.
    pub(super) async fn record_all(
        &self,
        transaction: &mut Transaction<'static, Engine>,
        deeds: &[OwnedDeed],
        [begin, end]: [AuditMark; 2],
    ) -> Result<u64, StoreError> {
        let mut before = end;
        let mut records = Vec::with_capacity(deeds.len());
        for deed in deeds {
            let borrowed = Deed::done(deed.action, &deed.object, &deed.detail);
            let record = record_after(before, &deed.actor, borrowed);
            before = AuditMark {
                number: record.number,
                hash: record.hash,
            };
            records.push(record);
        }
        for part in parts(&records) {
            insert(transaction, part).await?;
        }
        let number = number_to_column(before.number)?;
        move_end(transaction, "end", number, &before.hash).await?;
        self.shorten(transaction, begin, before.number).await
    }

    /// Lets the oldest records go where there are too many; the number of the last record.
    async fn shorten(
        &self,
        transaction: &mut Transaction<'static, Engine>,
        begin: AuditMark,
        last: u64,
    ) -> Result<u64, StoreError> {
        if last - begin.number <= self.audit_records {
            return Ok(last);
        }
        let until = begin.number + (self.audit_records / LET_GO).max(1);
        let let_go = let_go(transaction, until).await?;
        let detail = format!("records {} to {until}", begin.number + 1);
        let last = let_go.number.to_string();
        let deed = Deed::done("audit.let_go", &last, &detail);
        append(transaction, "server", deed).await
    }

    /// The records from this number on, or the last ones, at most so many.
    pub(crate) async fn audit_records(
        &self,
        from: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let limit = i64::from(limit);
        if let Some(from) = from {
            let from = i64::try_from(from).unwrap_or(i64::MAX);
            return page(&mut connection, from, limit).await;
        }
        let rows: Vec<RecordRow> = sqlx::query_as(
            "SELECT * FROM (SELECT number, at, actor, action, object, outcome, detail, hash
             FROM audit ORDER BY number DESC LIMIT $1) AS last ORDER BY number",
        )
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;
        rows.into_iter().map(record_from).collect()
    }

    /// Follows the whole chain, as it is at one moment.
    pub(crate) async fn verify_audit(
        &self,
        note: Option<AuditMark>,
    ) -> Result<Result<AuditMark, AuditDamage>, StoreError> {
        // A transaction that only reads sees one moment, however long it reads.
        let mut transaction = self.read().await?;
        let begin = end_of_chain(&mut transaction, "begin").await?;
        let end = end_of_chain(&mut transaction, "end").await?;
        let mut verifier = match Verifier::new(begin, note) {
            Ok(verifier) => verifier,
            Err(damage) => return Ok(Err(damage)),
        };
        let mut next = 0;
        loop {
            let records = page(&mut transaction, next, PAGE).await?;
            for record in &records {
                if let Err(damage) = verifier.handle_record(record) {
                    return Ok(Err(damage));
                }
            }
            match records.last() {
                Some(last) => next = number_to_column(last.number)?.saturating_add(1),
                None => return Ok(verifier.finish(end)),
            }
        }
    }
}

/// The number of the new record.
async fn append(
    transaction: &mut Transaction<'static, Engine>,
    actor: &str,
    deed: Deed<'_>,
) -> Result<u64, StoreError> {
    let before = end_of_chain(transaction, "end").await?;
    let record = record_after(before, actor, deed);
    let number = number_to_column(record.number)?;
    insert(transaction, std::slice::from_ref(&record)).await?;
    move_end(transaction, "end", number, &record.hash).await?;
    Ok(record.number)
}

/// The record of a deed, with its place in the chain.
fn record_after(before: AuditMark, actor: &str, deed: Deed<'_>) -> AuditRecord {
    let mut record = AuditRecord {
        number: before.number + 1,
        at: now(),
        actor: clip(actor),
        action: clip(deed.action),
        object: clip(deed.object),
        outcome: deed.outcome,
        detail: clip(deed.detail),
        hash: [0; 32],
    };
    record.hash = record.expected_hash(&before.hash);
    record
}

async fn insert(
    transaction: &mut Transaction<'static, Engine>,
    records: &[AuditRecord],
) -> Result<(), StoreError> {
    let statement = format!(
        "INSERT INTO audit (number, at, actor, action, object, outcome, detail, hash) VALUES {}",
        rows(records.len(), COLUMNS)
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for record in records {
        query = query
            .bind(number_to_column(record.number)?)
            .bind(number_to_column(record.at.0)?)
            .bind(&record.actor)
            .bind(&record.action)
            .bind(&record.object)
            .bind(record.outcome.as_str())
            .bind(&record.detail)
            .bind(&record.hash[..]);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

/// Lets the records up to this number go; where the chain begins now.
async fn let_go(
    transaction: &mut Transaction<'static, Engine>,
    until: u64,
) -> Result<AuditMark, StoreError> {
    let number = number_to_column(until)?;
    let hash: Vec<u8> = sqlx::query_scalar("SELECT hash FROM audit WHERE number = $1")
        .bind(number)
        .fetch_one(&mut **transaction)
        .await?;
    let hash = hash_from(hash)?;
    move_end(transaction, "begin", number, &hash).await?;
    sqlx::query("DELETE FROM audit WHERE number <= $1")
        .bind(number)
        .execute(&mut **transaction)
        .await?;
    Ok(AuditMark {
        number: until,
        hash,
    })
}

async fn move_end(
    transaction: &mut Transaction<'static, Engine>,
    which: &str,
    number: i64,
    hash: &Hash,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE audit_end SET number = $2, hash = $3 WHERE which = $1")
        .bind(which)
        .bind(number)
        .bind(&hash[..])
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn end_of_chain(
    connection: &mut EngineConnection,
    which: &str,
) -> Result<AuditMark, StoreError> {
    let (number, hash): (i64, Vec<u8>) =
        sqlx::query_as("SELECT number, hash FROM audit_end WHERE which = $1")
            .bind(which)
            .fetch_one(connection)
            .await?;
    Ok(AuditMark {
        number: u64::try_from(number).map_err(|_| corrupt("audit record"))?,
        hash: hash_from(hash)?,
    })
}

/// Where the chain begins and where it ends.
pub(super) async fn ends(connection: &mut EngineConnection) -> Result<[AuditMark; 2], StoreError> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT number, hash FROM audit_end ORDER BY which")
            .fetch_all(connection)
            .await?;
    let mut marks = Vec::with_capacity(rows.len());
    for (number, hash) in rows {
        marks.push(AuditMark {
            number: u64::try_from(number).map_err(|_| corrupt("audit record"))?,
            hash: hash_from(hash)?,
        });
    }
    // `begin` stands before `end`.
    marks.try_into().map_err(|_| corrupt("audit record"))
}

async fn page(
    connection: &mut EngineConnection,
    from: i64,
    limit: i64,
) -> Result<Vec<AuditRecord>, StoreError> {
    let rows: Vec<RecordRow> = sqlx::query_as(
        "SELECT number, at, actor, action, object, outcome, detail, hash FROM audit
         WHERE number >= $1 ORDER BY number LIMIT $2",
    )
    .bind(from)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(record_from).collect()
}

fn record_from(row: RecordRow) -> Result<AuditRecord, StoreError> {
    let (number, at, actor, action, object, outcome, detail, hash) = row;
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| corrupt("audit record"));
    Ok(AuditRecord {
        number: unsigned(number)?,
        at: UnixTime(unsigned(at)?),
        actor,
        action,
        object,
        outcome: match outcome.as_str() {
            "done" => AuditOutcome::Done,
            _ => AuditOutcome::Refused,
        },
        detail,
        hash: hash_from(hash)?,
    })
}

fn hash_from(bytes: Vec<u8>) -> Result<Hash, StoreError> {
    bytes.try_into().map_err(|_| corrupt("audit record"))
}

pub(super) fn number_to_column(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| corrupt("audit record"))
}
