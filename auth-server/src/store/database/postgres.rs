//! What is PostgreSQL's own: how it is reached, its settings, how one process at a time writes.

use super::{ACQUIRE_TIMEOUT, Engine, MAX_CONNECTIONS, StoreError};
use crate::store::{PostgresUrl, schema};
use sqlx::{
    AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Transaction, any::AnyPoolOptions,
};
use std::time::Duration;
use tokio::time::timeout;

/// What every connection is told. Nobody may hold the others up: whoever waits gives up, and whoever holds a lock and does nothing (a stopped
/// process, a broken network) loses it. Commits are as durable as the server makes them.
const DURABLE: &str = "SET lock_timeout = '5s'; SET statement_timeout = '10s';
     SET idle_in_transaction_session_timeout = '10s'; SET default_transaction_isolation = 'read committed'";
/// The same, and a commit does not wait for the disk: it is lost only where the database server itself dies within the next second.
const RELAXED: &str = "SET lock_timeout = '5s'; SET statement_timeout = '10s';
     SET idle_in_transaction_session_timeout = '10s'; SET default_transaction_isolation = 'read committed';
     SET synchronous_commit = off";
/// The longest way to a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that did nothing for so long is tried before it is used: the server may have been restarted meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Begins, and waits until nobody else writes. SQLite has one writer at a time, and what is written relies on it: numbers that go up by one,
/// the chain of the audit log, rights that shrink together with the tokens that have them. Here a lock says so, for all processes on one
/// database; the transaction's end gives it back. Read committed: each statement sees what the writer before has written.
///
/// The lock comes first: where it is not to be had, no transaction has begun that the connection would keep.
const BEGIN_TO_WRITE: &str = "SELECT pg_advisory_xact_lock(1398361410); BEGIN";
/// Sees one moment, however long it reads.
const BEGIN_TO_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Brings the schema up to date; the connections, and those whose commits do not wait for the disk.
pub(super) async fn open(url: &PostgresUrl) -> Result<(AnyPool, AnyPool), StoreError> {
    sqlx::any::install_default_drivers();
    let options = url
        .options()
        .map_err(|error| StoreError::Database(error.to_string()))?
        .disable_statement_logging();
    let connecting = timeout(CONNECT_TIMEOUT, AnyConnection::connect_with(&options)).await;
    let mut connection = connecting.map_err(|_| too_late())??;
    schema::postgres::migrate(&mut connection).await?;
    connection.close().await?;
    let pool = |connections, settings: &'static str| {
        AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, known| {
                Box::pin(async move {
                    if known.idle_for > TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(settings).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options.clone())
    };
    Ok((pool(MAX_CONNECTIONS, DURABLE), pool(1, RELAXED)))
}

fn too_late() -> StoreError {
    StoreError::Unavailable("no connection in time".to_owned())
}

pub(super) async fn begin_to_write(
    pool: &AnyPool,
) -> Result<Transaction<'static, Engine>, StoreError> {
    begin(pool, BEGIN_TO_WRITE).await
}

pub(super) async fn begin_to_read(
    pool: &AnyPool,
) -> Result<Transaction<'static, Engine>, StoreError> {
    begin(pool, BEGIN_TO_READ).await
}

/// In a task of its own: whoever asked may go away at any moment, and a transaction that has begun must still be ended, or the connection
/// would keep it, and the lock with it.
async fn begin(
    pool: &AnyPool,
    statement: &'static str,
) -> Result<Transaction<'static, Engine>, StoreError> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    match begun.await {
        Ok(begun) => Ok(begun?),
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}
