//! Brings the schema in PostgreSQL up to date, once, however many processes open the database together.

use crate::store::StoreError;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// One step each, and the version that it leads to, which is the number of its file. The first ones of SQLite are one here.
const MIGRATIONS: [(i64, &str); 5] = [
    (
        3,
        include_str!("../../../migrations/postgres/0003_base.sql"),
    ),
    (
        4,
        include_str!("../../../migrations/postgres/0004_accounts.sql"),
    ),
    (
        5,
        include_str!("../../../migrations/postgres/0005_registration.sql"),
    ),
    (
        7,
        include_str!("../../../migrations/postgres/0007_changes_seen.sql"),
    ),
    (
        8,
        include_str!("../../../migrations/postgres/0008_shared_keys.sql"),
    ),
];

/// The table that tells our schemas from others, and which version it is.
const VERSION_TABLE: &str = "symbolon_schema";
/// Held while the schema is looked at and changed.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1398361411)";

/// Applies the steps that are missing, in the schema where the connection makes its tables. One that holds other tables is refused, and one of a
/// newer version too.
pub(in crate::store) async fn migrate(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(LOCK).execute(&mut *transaction).await?;
    let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
        .fetch_one(&mut *transaction)
        .await?;
    if encoding != "UTF8" {
        return Err(refused("its encoding is not UTF8"));
    }
    let schema: Option<String> = sqlx::query_scalar("SELECT CAST(current_schema() AS TEXT)")
        .fetch_one(&mut *transaction)
        .await?;
    let Some(schema) = schema else {
        return Err(refused("there is no schema to make tables in"));
    };
    let version = match version_in(&mut transaction, &schema).await? {
        Some(version) => version,
        None => first(&mut transaction, &schema).await?,
    };
    let newest = MIGRATIONS.last().map_or(0, |(number, _)| *number);
    if version > newest {
        return Err(StoreError::Newer);
    }
    for (number, step) in MIGRATIONS.iter().filter(|(number, _)| *number > version) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        let statement = format!("UPDATE {VERSION_TABLE} SET version = $1");
        sqlx::query(AssertSqlSafe(statement))
            .bind(*number)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// Nothing where the schema is not ours.
async fn version_in(
    connection: &mut AnyConnection,
    schema: &str,
) -> Result<Option<i64>, StoreError> {
    let ours: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2",
    )
    .bind(schema)
    .bind(VERSION_TABLE)
    .fetch_one(&mut *connection)
    .await?;
    if ours == 0 {
        return Ok(None);
    }
    let statement = format!("SELECT version FROM {VERSION_TABLE}");
    let version = sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(connection)
        .await?;
    Ok(Some(version))
}

/// Makes an empty schema ours; its version, 0.
async fn first(connection: &mut AnyConnection, schema: &str) -> Result<i64, StoreError> {
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1")
            .bind(schema)
            .fetch_one(&mut *connection)
            .await?;
    if tables > 0 {
        return Err(refused("it holds tables of another program"));
    }
    let statement = format!(
        "CREATE TABLE {VERSION_TABLE} (version BIGINT NOT NULL); INSERT INTO {VERSION_TABLE} VALUES (0)"
    );
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(0)
}

fn refused(why: &str) -> StoreError {
    StoreError::Database(format!("the database cannot be used: {why}"))
}
