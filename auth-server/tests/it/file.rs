//! What is SQLite's own: the store on real files.

use crate::{
    harness::{AUDIENCE, key, now, resource_server},
    store::{client, policy},
};
use std::{os::unix::fs::PermissionsExt, sync::Arc};
use symbolon_ace_proto::PopAlgorithm;
use symbolon_auth_server::store::{Client, ClientAuthentication, Store, StoreError};
use tempfile::TempDir;
use tokio::sync::Barrier;

async fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("as.sqlite"))
        .await
        .unwrap();
    store
        .put_resource_server(&resource_server(AUDIENCE))
        .await
        .unwrap();
    (directory, store)
}

#[tokio::test]
async fn whatever_stands_in_a_path_is_the_path() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a?mode=memory", "50%20#x", "b b", "\u{e4}.sqlite"] {
        let path = directory.path().join("none").join("..").join(name);
        std::fs::create_dir_all(directory.path().join("none")).unwrap();
        let store = Store::open(&path).await.unwrap();
        store.add_client(&client("a"), &[]).await.unwrap();
        store.close().await;
        let again = Store::open(&directory.path().join(name)).await.unwrap();
        assert_eq!(again.clients().await.unwrap().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let (directory, store) = open().await;
    store.add_client(&client("a"), &[]).await.unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
        files += 1;
    }
    // The database, its log and the log's index.
    assert_eq!(files, 3);
}

#[tokio::test]
async fn a_private_key_given_by_mistake_is_not_stored() {
    let (directory, store) = open().await;
    let own = key(PopAlgorithm::EdDsa);
    let private = own.to_jwk();
    let mistaken = Client {
        authentication: ClientAuthentication::Key(Box::new(private.clone())),
        ..client("a")
    };
    // Refused or stripped: either way the file never sees it.
    drop(store.add_client(&mistaken, &[]).await);
    store.close().await;
    let json = serde_json::to_value(&private).unwrap();
    let secret = json["d"].as_str().unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let mut windows = bytes.windows(secret.len());
        assert!(!windows.any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_file_is_made_once_however_many_open_it_together() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = directory.path().join(format!("{round}.sqlite"));
        let together = Arc::new(Barrier::new(8));
        let mut openers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (path, together) = (path.clone(), Arc::clone(&together));
            openers.spawn(async move {
                together.wait().await;
                Store::open(&path).await.unwrap();
            });
        }
        while let Some(opened) = openers.join_next().await {
            opened.unwrap();
        }
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_or_of_another_program_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let newer = directory.path().join("newer.sqlite");
    Store::open(&newer).await.unwrap().close().await;
    // `user_version` stands at byte 60, big-endian; `application_id` at 68 (SQLite file format §1.3).
    let mut bytes = std::fs::read(&newer).unwrap();
    bytes[60..64].copy_from_slice(&1000_u32.to_be_bytes());
    std::fs::write(&newer, &bytes).unwrap();
    assert!(matches!(Store::open(&newer).await, Err(StoreError::Newer)));

    bytes[68..72].copy_from_slice(&1_u32.to_be_bytes());
    let foreign = directory.path().join("foreign.sqlite");
    std::fs::write(&foreign, &bytes).unwrap();
    let opened = Store::open(&foreign).await;
    assert!(matches!(opened, Err(StoreError::Database(_))));

    let text = directory.path().join("text");
    let content = "This is no database, and should stay what it is.\n".repeat(100);
    std::fs::write(&text, &content).unwrap();
    let opened = Store::open(&text).await;
    assert!(matches!(opened, Err(StoreError::Database(_))));
    assert_eq!(std::fs::read_to_string(&text).unwrap(), content);

    let nowhere = directory.path().join("none").join("as.sqlite");
    let opened = Store::open(&nowhere).await;
    assert!(matches!(opened, Err(StoreError::Database(_))));
}

#[tokio::test]
async fn a_database_of_the_first_version_keeps_what_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("as.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    for statements in [
        include_str!("../../migrations/sqlite/0001_clients_servers_policies.sql"),
        "INSERT INTO client VALUES ('a', zeroblob(32), NULL, 'HS256');
         INSERT INTO client VALUES ('b', NULL, '{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}', 'EdDSA');
         INSERT INTO resource_server VALUES ('broker', 'k', zeroblob(32), NULL);
         INSERT INTO policy VALUES (5, 'a', 'broker', 'x', 1, 0, 60);
         INSERT INTO policy VALUES (9, 'a', 'broker', 'y', 1, 1, NULL);
         DELETE FROM policy WHERE id = 9;",
    ] {
        sqlx::raw_sql(statements).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let store = Store::open(&path).await.unwrap();
    let clients = store.clients().await.unwrap();
    assert_eq!(clients.len(), 2);
    assert!(matches!(
        clients[0].authentication,
        ClientAuthentication::Secret { sha256 } if sha256 == [0; 32]
    ));
    assert!(matches!(
        clients[1].authentication,
        ClientAuthentication::Key(_)
    ));
    let server = store.resource_server("broker").await.unwrap().unwrap();
    assert_eq!(server.content_key.unwrap().kid, "k");
    assert_eq!(
        server.tokens,
        symbolon_auth_server::store::TokenKind::default()
    );
    let policies = store.policies(None).await.unwrap();
    assert_eq!((policies.len(), policies[0].id), (1, 5));
    // An identifier that was removed never names another policy.
    assert_eq!(store.add_policy(&policy("a", "z")).await.unwrap(), 10);
    // And what refers to what is kept: a client takes its policies along.
    store.remove_client("a", now()).await.unwrap();
    assert_eq!(store.policies(None).await.unwrap(), []);
}
