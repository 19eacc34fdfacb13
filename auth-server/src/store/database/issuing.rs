//! Statements that store tokens, many at once.

use super::{Database, Engine, StoreError, audit::OwnedDeed, tokens::seconds};
use crate::store::{Store, token::NewToken};
use sqlx::{AssertSqlSafe, Transaction};
use std::collections::HashMap;
use symbolon_ace_proto::UnixTime;

/// Deeds that change nothing that a token is decided by: not the clients, resource servers and rules that there are. A client that is new is
/// not among those that are known. Any deed that is not named here counts as a change.
const CHANGES_NOTHING: &str = "('token.issue', 'token.revoke', 'refresh_token.revoke', 'client.revoke', 'client.add', 'client.register',
     'group.add', 'account.add', 'account.certificate', 'account.login', 'account.logout', 'account.password', 'account.remove',
     'initial_access_token.add', 'initial_access_token.remove', 'database.backup', 'audit.let_go')";
/// How many rows a statement has: few statements, so that each is prepared once.
const ROWS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];
/// Columns of a token that are written.
const COLUMNS: usize = 9;

/// What came of storing tokens.
#[derive(Debug)]
pub(in crate::store) enum Issued {
    /// Something has changed until this record: none is stored.
    Outdated { until: u64 },
    /// Whether each is stored, or its client has too many; and the last record now.
    Done { stored: Vec<bool>, until: u64 },
}

impl Database {
    /// The number of the last record of the audit log.
    pub(in crate::store) async fn last_record(&self) -> Result<u64, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let [_, end] = super::audit::ends(&mut connection).await?;
        Ok(end.number)
    }

    /// The number of the last record, where none since `until` changes what tokens are decided by.
    pub(in crate::store) async fn unchanged_since(
        &self,
        until: u64,
    ) -> Result<Option<u64>, StoreError> {
        let mut transaction = self.read().await?;
        let [begin, end] = super::audit::ends(&mut transaction).await?;
        let unchanged = is_unchanged(&mut transaction, (begin.number, end.number), until).await?;
        Ok(unchanged.then_some(end.number))
    }

    /// Stores tokens that were decided by what was so at the record `until`, with their records in the audit log: all for whose client there
    /// is room, or none where something has changed since.
    pub(in crate::store) async fn issue(
        &self,
        tokens: &[&NewToken],
        until: u64,
        now: UnixTime,
    ) -> Result<Issued, StoreError> {
        let mut transaction = self.write_token().await?;
        let [begin, end] = super::audit::ends(&mut transaction).await?;
        if !is_unchanged(&mut transaction, (begin.number, end.number), until).await? {
            let until = end.number;
            return Ok(Issued::Outdated { until });
        }
        let mut held = held_by(&mut transaction, tokens, now).await?;
        let mut stored = Vec::with_capacity(tokens.len());
        let mut fitting = Vec::with_capacity(tokens.len());
        for token in tokens {
            let held = held.entry(&token.client_id).or_default();
            let fits = *held < Store::MAX_TOKENS_PER_CLIENT;
            stored.push(fits);
            if fits {
                *held += 1;
                fitting.push(*token);
            }
        }
        if fitting.is_empty() {
            let until = end.number;
            return Ok(Issued::Done { stored, until });
        }
        for part in parts(&fitting) {
            insert(&mut transaction, part).await?;
        }
        let deeds: Vec<OwnedDeed> = fitting.iter().map(|token| deed(token)).collect();
        let until = self
            .record_all(&mut transaction, &deeds, [begin, end])
            .await?;
        self.finish(transaction).await?;
        Ok(Issued::Done { stored, until })
    }
}

/// Whether no record after `until` changes what tokens are decided by. Where the log does not reach back as far, nobody knows.
async fn is_unchanged(
    transaction: &mut Transaction<'static, Engine>,
    (begin, end): (u64, u64),
    until: u64,
) -> Result<bool, StoreError> {
    if end == until {
        return Ok(true);
    }
    if end < until || begin > until {
        return Ok(false);
    }
    let statement = format!(
        "SELECT count(*) FROM audit WHERE number > $1 AND outcome = 'done' AND action NOT IN {CHANGES_NOTHING}"
    );
    let changes: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(super::audit::number_to_column(until)?)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(changes == 0)
}

/// How many tokens the clients of these tokens have.
async fn held_by<'a>(
    transaction: &mut Transaction<'static, Engine>,
    tokens: &[&'a NewToken],
    now: UnixTime,
) -> Result<HashMap<&'a str, usize>, StoreError> {
    let mut clients: Vec<&'a str> = tokens
        .iter()
        .map(|token| token.client_id.as_str())
        .collect();
    clients.sort_unstable();
    clients.dedup();
    let mut held: HashMap<&str, usize> = HashMap::new();
    for part in parts(&clients) {
        let names: Vec<String> = (2..part.len() + 2)
            .map(|number| format!("${number}"))
            .collect();
        let statement = format!(
            "SELECT client_id, count(*) FROM token WHERE expires_at > $1 AND client_id IN ({}) GROUP BY client_id",
            names.join(", ")
        );
        let mut query = sqlx::query_as(AssertSqlSafe(statement)).bind(seconds(now));
        for client in part {
            query = query.bind(*client);
        }
        let rows: Vec<(String, i64)> = query.fetch_all(&mut **transaction).await?;
        for (client, count) in rows {
            if let Ok(place) = part.binary_search(&client.as_str()) {
                held.insert(part[place], usize::try_from(count).unwrap_or(usize::MAX));
            }
        }
    }
    Ok(held)
}

async fn insert(
    transaction: &mut Transaction<'static, Engine>,
    tokens: &[&NewToken],
) -> Result<(), StoreError> {
    let statement = format!(
        "INSERT INTO token (sha256, listed_as, identifier, client_id, audience, pop_kid, answer, family, expires_at) VALUES {}",
        rows(tokens.len(), COLUMNS)
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for token in tokens {
        query = query
            .bind(token.sha256.as_slice())
            .bind(token.listed_as.to_bytes().to_vec())
            .bind(&token.identifier)
            .bind(&token.client_id)
            .bind(&token.audience)
            .bind(token.pop_kid.as_deref())
            .bind(&token.answer)
            .bind(token.family.map(|family| family.to_vec()))
            .bind(seconds(token.expires_at));
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

fn deed(token: &NewToken) -> OwnedDeed {
    let (audience, until, scope) = (&token.audience, token.expires_at.0, &token.scope);
    OwnedDeed {
        actor: format!("client {}", token.client_id),
        action: "token.issue",
        object: token.identifier.clone(),
        detail: format!("at {audience} until {until}: {scope}"),
    }
}

/// What `all` is cut into, so that each part has a number of rows that there is a statement for.
pub(super) fn parts<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let size = ROWS.into_iter().find(|size| *size <= rest.len())?;
        let (part, after) = rest.split_at(size);
        rest = after;
        Some(part)
    })
}

/// `($1, $2), ($3, $4)` and so on.
pub(super) fn rows(count: usize, columns: usize) -> String {
    let row = |row: usize| {
        let numbers = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", numbers.collect::<Vec<_>>().join(", "))
    };
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_part_and_every_part_has_a_statement() {
        for count in 0..200 {
            let all: Vec<usize> = (0..count).collect();
            let cut: Vec<&[usize]> = parts(&all).collect();
            assert_eq!(cut.concat(), all);
            assert!(cut.iter().all(|part| ROWS.contains(&part.len())));
        }
        assert_eq!(rows(2, 2), "($1, $2), ($3, $4)");
    }
}
