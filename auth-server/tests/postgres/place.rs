//! Where the databases of these tests are: in PostgreSQL.

use std::path::Path;
use symbolon_auth_server::store::{Location, PostgresUrl};
use symbolon_test_postgres::Cluster;

/// One that is not there yet.
pub(crate) fn new(_directory: &Path) -> Location {
    let url = Cluster::shared().create_database().unwrap();
    Location::Postgres(PostgresUrl::parse(&url).unwrap())
}

/// One that cannot be opened.
pub(crate) fn unusable(directory: &Path) -> Location {
    let url = format!("postgres://u@localhost/d?host={}", directory.display());
    Location::Postgres(PostgresUrl::parse(&url).unwrap())
}

/// What somebody with the database and without us can do.
pub(crate) async fn tamper(location: &Location, statements: String) -> Result<(), String> {
    let name = name_of(location);
    let done = Cluster::shared().execute(&name, &statements);
    done.map(drop).map_err(|error| error.to_string())
}

/// The name of the database.
pub(crate) fn name_of(location: &Location) -> String {
    let shown = location.to_string();
    shown.rsplit('/').next().unwrap().to_owned()
}

/// The statement that drops a trigger of the audit log.
pub(crate) fn drop_trigger(name: &str) -> String {
    format!("DROP TRIGGER {name} ON audit;")
}

/// `text` as bytes.
pub(crate) fn bytes_of(text: &str) -> String {
    format!("convert_to('{text}', 'UTF8')")
}
