//! From SQLite to PostgreSQL and back: what was there is there.

use crate::{
    harness::{AUDIENCE, Place, resource_server},
    store::{client, policy},
};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path};
use symbolon_auth_server::store::{Store, StoreError};

/// A row or more in every table, with all that a column may hold.
const MORE: &str = r#"
    INSERT INTO client (client_id, auth_method, auth_data, pop_algorithm, refresh_tokens)
    VALUES ('key', 'key', CAST('{"kty":"OKP"}' AS BLOB), 'EdDSA', 1);
    UPDATE resource_server SET last_sequence = 9007199254740993, rs_cnf = '{"x5t#S256":"é"}';
    INSERT INTO audience_group (name, audience) VALUES ('all', 'broker');
    INSERT INTO token (sha256, listed_as, identifier, client_id, audience, pop_kid, answer, family, expires_at, revoked_at)
    VALUES (zeroblob(32), zeroblob(33), 'one', 'gone', 'broker', x'00ff', '{"a":"''"}', zeroblob(16), 9223372036854775807, 5),
        (CAST(printf('%032d', 7) AS BLOB), zeroblob(33), 'two', 'a', 'all', NULL, '', NULL, 0, NULL);
    INSERT INTO refresh_token (sha256, family, client_id, audience, scope, confirmation, expires_at, used)
    VALUES (zeroblob(32), zeroblob(16), 'key', 'broker', '[]', '{}', 7, 1);
    INSERT INTO revocation_update (requester, number, listed_as, added) VALUES ('ca', 0, zeroblob(33), 1), ('ca', 1, zeroblob(33), 0);
    INSERT INTO client_group (name) VALUES ('g');
    INSERT INTO client_group_member (group_name, client_id) VALUES ('g', 'a');
    INSERT INTO owner (name) VALUES ('o');
    INSERT INTO owner_tree (owner, audience, filter) VALUES ('o', 'broker', 'x/#');
    INSERT INTO policy (client_id, group_name, effect, audience, filter, publish, subscribe, valid_from, valid_until,
        token_lifetime_secs, granted_by)
    VALUES (NULL, 'g', 'allow', 'broker', 'x/é', 0, 1, 1, 2, 3, 'o');
    INSERT INTO policy (client_id, effect, audience, filter, publish, subscribe) VALUES ('a', 'deny', 'broker', 'last', 1, 0);
    DELETE FROM policy WHERE filter = 'last';
    INSERT INTO account (name, role, owner, password, certificate, created_at)
    VALUES ('o', 'owner', 'o', '$argon2id$x', NULL, 1), ('x', 'auditor', NULL, NULL, zeroblob(32), 2);
    INSERT INTO account_session (sha256, account, used_at, expires_at) VALUES (zeroblob(32), 'o', 1, 2);
    INSERT INTO initial_access_token (id, sha256, admission, client_id, uses_left, created_at, expires_at)
    VALUES ('i', zeroblob(32), '{}', NULL, 3, 1, 2);
    INSERT INTO registration (client_id, sha256, metadata, refresh_tokens, registered_at) VALUES ('a', zeroblob(32), '{}', 1, 2);
    INSERT INTO seen_identifier (mark, expires_at) VALUES (zeroblob(16), 3);
"#;

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// All rows of all tables, as SQLite quotes them, in some order of their own.
async fn content(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut connection = connect(path).await;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let mut content = BTreeMap::new();
    for table in tables
        .into_iter()
        .filter(|name| !name.starts_with("sqlite_stat"))
    {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
            .bind(&table)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let quoted: Vec<String> = columns
            .iter()
            .map(|name| format!("quote({name})"))
            .collect();
        let statement = format!(
            "SELECT {} FROM {table} ORDER BY 1",
            quoted.join(" || ',' || ")
        );
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        content.insert(table, rows);
    }
    content
}

/// A file with something in every table.
async fn filled(path: &Path) -> Store {
    let store = Store::open(path).await.unwrap();
    let server = resource_server(AUDIENCE);
    store.put_resource_server(&server).await.unwrap();
    let policies: Vec<_> = (0..300)
        .map(|number| policy("a", &format!("x/{number}")))
        .collect();
    store.add_client(&client("a"), &policies).await.unwrap();
    let mut connection = connect(path).await;
    sqlx::raw_sql(MORE).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    store
}

#[tokio::test]
async fn what_goes_from_sqlite_to_postgresql_and_back_is_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (first, last) = (
        directory.path().join("first"),
        directory.path().join("last"),
    );
    let file = filled(&first).await;
    let before = content(&first).await;
    for (table, rows) in &before {
        assert!(!rows.is_empty(), "put a row of {table} into this test");
    }
    let place = Place::new();
    let store = place.open().await;
    store.take_over(&file).await.unwrap();
    store.backup(&last).await.unwrap();
    let mode = last.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!directory.path().join("last-wal").exists());
    let after = content(&last).await;
    for (table, rows) in &before {
        assert_eq!(after.get(table), Some(rows), "{table}");
    }
    assert_eq!(before.len(), after.len());
    // And it is a database that works: the chain of records holds, and no number names a second rule.
    assert!(store.verify_audit(None).await.unwrap().is_ok());
    let next = store.add_policy(&policy("key", "y")).await.unwrap();
    let again = Store::open(&last).await.unwrap();
    again.revive().await.unwrap();
    assert_eq!(again.add_policy(&policy("key", "y")).await.unwrap(), next);
    assert!(next > 302, "{next}");
    assert!(again.verify_audit(None).await.unwrap().is_ok());
    // Nor is anything put over what is there.
    let refused = store.take_over(&file).await;
    assert!(matches!(refused, Err(StoreError::Exists(..))));
}

#[tokio::test]
async fn a_copy_is_of_one_moment_while_others_write() {
    let place = Place::new();
    let store = place.open().await;
    let server = resource_server(AUDIENCE);
    store.put_resource_server(&server).await.unwrap();
    let writing = async {
        for number in 0..60 {
            let name = format!("c{number}");
            store
                .add_client(&client(&name), &[policy(&name, "x")])
                .await
                .unwrap();
        }
    };
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let copying = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        store.backup(&copy).await.unwrap();
    };
    let ((), ()) = tokio::join!(writing, copying);
    let copied = Store::open(&copy).await.unwrap();
    let clients = copied.clients().await.unwrap().len();
    assert_eq!(copied.policies(None).await.unwrap().len(), clients);
    assert!(copied.verify_audit(None).await.unwrap().is_ok());
}
