//! Brings the SQLite schema up to date, once, however many processes open the file together.

use super::StoreError;
use sqlx::{Connection, SqliteConnection};

/// `SYMB`: tells our files from other SQLite databases.
const APPLICATION_ID: i64 = 0x5359_4d42;

/// One step each; a step sets `user_version` to its own number at its end.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/sqlite/0001_clients_servers_policies.sql"),
    include_str!("../../migrations/sqlite/0002_kinds_tokens.sql"),
    include_str!("../../migrations/sqlite/0003_groups_owners_audit.sql"),
];

/// Applies the steps the file still lacks. A file with more steps than we know is refused, so that an old program never
/// works on tables it does not understand.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // IMMEDIATE: of two processes that open a new file, one waits here and then finds it migrated.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let application_id: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *transaction)
        .await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *transaction)
        .await?;
    if tables > 0 && application_id != APPLICATION_ID {
        return Err(StoreError::Database(
            "the file is a database of another program".to_owned(),
        ));
    }
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await?;
    let applied = usize::try_from(version).map_err(|_| StoreError::Newer)?;
    let missing = MIGRATIONS.get(applied..).ok_or(StoreError::Newer)?;
    for step in missing {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
