//! Every statement that a database sees, the same in SQLite and PostgreSQL: values are `i64`, text, bytes, and `Option` of them.

mod accounts;
mod applying;
mod audit;
mod backup;
mod changes;
mod groups;
mod issuing;
mod pages;
mod policies;
mod postgres;
mod registrations;
mod resource_servers;
mod revocations;
mod rights;
mod shared_keys;
mod sqlite;
mod tokens;
mod transfer;

pub(super) use audit::Deed;
pub(super) use issuing::Issued;

use super::{
    Client, ClientAuthentication, DatabaseTimes, Location, Policy, Requester, Revocation, Store,
    StoreError,
};
use sqlx::{Any as Engine, AnyConnection as EngineConnection, AnyPool, Transaction};
use std::{sync::Arc, time::Duration};
use symbolon_ace_proto::{PopAlgorithm, UnixTime};
use tokio::time::Instant;

/// Readers beside the one writer at a time.
const MAX_CONNECTIONS: u32 = 4;
/// How long a call waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Which database it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// Connections to one database.
#[derive(Clone)]
pub(super) struct Database {
    pool: AnyPool,
    /// For what need not wait for the disk.
    relaxed: AnyPool,
    kind: Kind,
    /// Who changes something, for the audit log.
    actor: Arc<str>,
    /// The most records of the audit log.
    audit_records: u64,
    times: DatabaseTimes,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database(..)")
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) {
            Self::Unavailable(error.to_string())
        } else if is_no_text(&error) {
            let why = "it has a character that no text may have".to_owned();
            Self::Invalid("text", String::new(), why)
        } else {
            Self::Database(error.to_string())
        }
    }
}

/// PostgreSQL: `character_not_in_repertoire`, which of UTF-8 is U+0000 alone.
fn is_no_text(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "22021")
}

/// Whether the same may go well in a moment: the database is not reached, too busy, or going down.
fn is_passing(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(error) = error {
        // SQLite: SQLITE_BUSY. PostgreSQL: a connection that breaks, a server that is full, ends, begins or only reads, a lock or a
        // statement that takes too long, a transaction that was cut.
        let code = error.code();
        let code = code.as_deref().unwrap_or_default();
        return sqlite::is_busy_code(code)
            || ["08", "53", "57"]
                .iter()
                .any(|class| code.len() == 5 && code.starts_with(class))
            || ["55P03", "25P03", "25006", "40001", "40P01"].contains(&code);
    }
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
    )
}

type ClientRow = (String, String, Vec<u8>, String, i64);

impl Database {
    pub(super) async fn open(location: &Location) -> Result<Self, StoreError> {
        let (kind, (pool, relaxed)) = match location {
            Location::File(path) => (Kind::Sqlite, sqlite::open(path).await?),
            Location::Postgres(url) => (Kind::Postgres, postgres::open(url).await?),
        };
        Ok(Self {
            pool,
            relaxed,
            kind,
            actor: "server".into(),
            audit_records: Store::MAX_AUDIT_RECORDS,
            times: DatabaseTimes::default(),
        })
    }

    pub(super) fn set_actor(&mut self, actor: &str) {
        self.actor = actor.into();
    }

    pub(super) fn set_audit_records(&mut self, most: u64) {
        self.audit_records = most;
    }

    pub(super) async fn close(self) {
        self.relaxed.close().await;
        self.pool.close().await;
    }

    /// A transaction that writes; one at a time, whoever opens them.
    async fn write(&self) -> Result<Transaction<'static, Engine>, StoreError> {
        self.write_to(&self.pool).await
    }

    /// The same, and its commit does not wait for the disk.
    async fn write_relaxed(&self) -> Result<Transaction<'static, Engine>, StoreError> {
        self.write_to(&self.relaxed).await
    }

    /// For a token that was issued. One that a power loss takes from us is not good any more where it must be asked for, which errs on the right
    /// side; so a file does not make it wait for the disk. A database server can die without its machine: there, what was given out is kept.
    async fn write_token(&self) -> Result<Transaction<'static, Engine>, StoreError> {
        self.write_to(match self.kind {
            Kind::Sqlite => &self.relaxed,
            Kind::Postgres => &self.pool,
        })
        .await
    }

    async fn write_to(&self, pool: &AnyPool) -> Result<Transaction<'static, Engine>, StoreError> {
        let asked = Instant::now();
        let begun = match self.kind {
            Kind::Sqlite => sqlite::begin_to_write(pool).await,
            Kind::Postgres => postgres::begin_to_write(pool).await,
        };
        self.times.observe("begin", asked, begun)
    }

    /// Commits, and counts how long that takes.
    async fn finish(&self, transaction: Transaction<'static, Engine>) -> Result<(), StoreError> {
        let begin = Instant::now();
        let committed = transaction.commit().await;
        Ok(self.times.observe("commit", begin, committed)?)
    }

    /// A transaction that only reads: it sees one moment, however long it reads.
    async fn read(&self) -> Result<Transaction<'static, Engine>, StoreError> {
        match self.kind {
            Kind::Sqlite => Ok(self.pool.begin().await?),
            Kind::Postgres => postgres::begin_to_read(&self.pool).await,
        }
    }

    pub(super) fn times(&self) -> &DatabaseTimes {
        &self.times
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let _: i64 = sqlx::query_scalar("SELECT CAST(1 AS BIGINT)")
            .fetch_one(&self.pool)
            .await?;
        Ok(())
    }

    pub(super) async fn add_client(
        &self,
        client: &Client,
        policies: &[Policy],
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        self.insert_client(&mut transaction, client).await?;
        for policy in policies {
            let id = policies::insert(&mut transaction, policy)
                .await?
                .to_string();
            let detail = policy.to_string();
            let deed = Deed::done("policy.add", &id, &detail);
            self.record_within(&mut transaction, deed).await?;
        }
        let deed = Deed::done("client.add", &client.client_id, "");
        self.commit(transaction, deed).await
    }

    /// Of a client that can be stored; no resource server has its name.
    async fn insert_client(
        &self,
        transaction: &mut Transaction<'static, Engine>,
        client: &Client,
    ) -> Result<(), StoreError> {
        let (method, data) = client.authentication.to_columns();
        let server: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM resource_server WHERE client_id = $1")
                .bind(&client.client_id)
                .fetch_optional(&mut **transaction)
                .await?;
        if server.is_some() {
            return Err(StoreError::Exists(
                "resource server with the identifier",
                client.client_id.clone(),
            ));
        }
        sqlx::query(
            "INSERT INTO client (client_id, auth_method, auth_data, pop_algorithm, refresh_tokens)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&client.client_id)
        .bind(method)
        .bind(data)
        .bind(client.pop_algorithm.as_str())
        .bind(i64::from(client.refresh_tokens))
        .execute(&mut **transaction)
        .await
        .map_err(|error| exists_or(error, "client", &client.client_id))?;
        Ok(())
    }

    pub(super) async fn client(&self, client_id: &str) -> Result<Option<Client>, StoreError> {
        let row: Option<ClientRow> = sqlx::query_as(
            "SELECT client_id, auth_method, auth_data, pop_algorithm, refresh_tokens FROM client
             WHERE client_id = $1",
        )
        .bind(client_id)
        .fetch_optional(&self.pool)
        .await?;
        row.map(client_from).transpose()
    }

    pub(super) async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        let rows: Vec<ClientRow> = sqlx::query_as(
            "SELECT client_id, auth_method, auth_data, pop_algorithm, refresh_tokens FROM client
             ORDER BY client_id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(client_from).collect()
    }

    /// Its policies and refresh tokens go with it, by ON DELETE CASCADE; its tokens are revoked.
    pub(super) async fn remove_client(
        &self,
        client_id: &str,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let all = Revocation::Client(client_id.to_owned());
        revocations::revoke_within(&mut transaction, &all, now).await?;
        let done = sqlx::query("DELETE FROM client WHERE client_id = $1")
            .bind(client_id)
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected(), "client", client_id)?;
        revocations::forget_updates(&mut transaction, Requester::Client(client_id)).await?;
        self.commit(transaction, Deed::done("client.remove", client_id, ""))
            .await
    }
}

fn exists_or(error: sqlx::Error, what: &'static str, which: &str) -> StoreError {
    let unique = error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation);
    if unique {
        StoreError::Exists(what, which.to_owned())
    } else {
        error.into()
    }
}

fn found(rows: u64, what: &'static str, which: &str) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::NotFound(what, which.to_owned())),
        _ => Ok(()),
    }
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Database(format!("a stored {what} is corrupt"))
}

fn algorithm_from(name: &str) -> Result<PopAlgorithm, StoreError> {
    match name {
        "HS256" => Ok(PopAlgorithm::Hs256),
        "EdDSA" => Ok(PopAlgorithm::EdDsa),
        "ES256" => Ok(PopAlgorithm::Es256),
        _ => Err(corrupt("client")),
    }
}

fn client_from(row: ClientRow) -> Result<Client, StoreError> {
    let (client_id, method, data, algorithm, refresh_tokens) = row;
    Ok(Client {
        client_id,
        authentication: ClientAuthentication::from_columns(&method, data)
            .ok_or_else(|| corrupt("client"))?,
        pop_algorithm: algorithm_from(&algorithm)?,
        refresh_tokens: refresh_tokens != 0,
    })
}

#[cfg(test)]
mod tests;
