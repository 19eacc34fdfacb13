//! Where the databases of these tests are: files of SQLite. The same tests run on PostgreSQL from `tests/postgres`.

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::Path;
use symbolon_auth_server::store::Location;

/// One that is not there yet.
pub(crate) fn new(directory: &Path) -> Location {
    Location::File(directory.join("as.sqlite"))
}

/// One that cannot be opened.
pub(crate) fn unusable(directory: &Path) -> Location {
    Location::File(directory.join("none").join("as.sqlite"))
}

/// What somebody with the database and without us can do.
pub(crate) async fn tamper(location: &Location, statements: String) -> Result<(), String> {
    let options = SqliteConnectOptions::new().filename(location.file().unwrap());
    let told = |error: sqlx::Error| error.to_string();
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(told)?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&mut connection)
        .await
        .map_err(told)?;
    connection.close().await.map_err(told)
}

/// The statement that drops a trigger of the audit log.
pub(crate) fn drop_trigger(name: &str) -> String {
    format!("DROP TRIGGER {name};")
}

/// `text` as bytes.
pub(crate) fn bytes_of(text: &str) -> String {
    format!("CAST('{text}' AS BLOB)")
}
