//! Brings the SQLite schema up to date, once, however many processes open the file together; PostgreSQL's in `postgres`.

pub(super) mod postgres;

use super::StoreError;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// `SYMB`: tells our files from other SQLite databases.
const APPLICATION_ID: i64 = 0x5359_4d42;

/// One step each, and the version (`user_version`) that it leads to, which is the number of its file.
const MIGRATIONS: [(i64, &str); 7] = [
    (
        1,
        include_str!("../../migrations/sqlite/0001_clients_servers_policies.sql"),
    ),
    (
        2,
        include_str!("../../migrations/sqlite/0002_kinds_tokens.sql"),
    ),
    (
        3,
        include_str!("../../migrations/sqlite/0003_groups_owners_audit.sql"),
    ),
    (4, include_str!("../../migrations/sqlite/0004_accounts.sql")),
    (
        5,
        include_str!("../../migrations/sqlite/0005_registration.sql"),
    ),
    (
        7,
        include_str!("../../migrations/sqlite/0007_changes_seen.sql"),
    ),
    (
        8,
        include_str!("../../migrations/sqlite/0008_shared_keys.sql"),
    ),
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
    let newest = MIGRATIONS.last().map_or(0, |(number, _)| *number);
    if version > newest {
        return Err(StoreError::Newer);
    }
    for (number, step) in MIGRATIONS.iter().filter(|(number, _)| *number > version) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        let statement = format!("PRAGMA user_version = {number}");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Policy, Store, Subject};
    use sqlx::sqlite::SqliteConnectOptions;

    /// A database as the first version left it: two clients, a policy, and a removed one with a higher number.
    async fn first_version(path: &std::path::Path) {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(MIGRATIONS[0].1)
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::raw_sql(
            "INSERT INTO client VALUES ('a', zeroblob(32), NULL, 'HS256'), ('b', zeroblob(32), NULL, 'HS256');
             INSERT INTO resource_server VALUES ('broker', 'k', zeroblob(32), NULL);
             INSERT INTO policy VALUES (3, 'a', 'broker', 'x/${client_id}', 1, 0, 60), (9, 'b', 'broker', 'y', 0, 1, NULL);
             DELETE FROM policy WHERE id = 9",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_the_first_version_stored_is_there_after_all_steps_and_no_number_comes_twice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("as.sqlite");
        first_version(&path).await;
        let store = Store::open(&path).await.unwrap();
        let kept = Policy {
            id: 3,
            subscribe: false,
            token_lifetime_secs: Some(60),
            ..Policy::allow("a", "broker", "x/${client_id}")
        };
        assert_eq!(store.policies(None).await.unwrap(), [kept]);
        let next = Policy {
            subject: Subject::Client("b".to_owned()),
            ..Policy::allow("b", "broker", "y")
        };
        assert_eq!(store.add_policy(&next).await.unwrap(), 10);
        store.close().await;
        let again = Store::open(&path).await.unwrap();
        assert_eq!(again.clients().await.unwrap().len(), 2);
        assert!(again.verify_audit(None).await.unwrap().is_ok());
    }
}
