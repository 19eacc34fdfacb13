//! What is PostgreSQL's own.

use crate::{
    harness::Place,
    place::{name_of, tamper},
    store::client,
};
use symbolon_auth_server::store::{Store, StoreError};
use symbolon_test_postgres::Cluster;

#[tokio::test]
async fn a_database_of_a_newer_version_or_of_another_program_is_refused_and_left_alone() {
    let newer = Place::new();
    newer.open().await.close().await;
    let later = "UPDATE symbolon_schema SET version = 1000";
    tamper(&newer.location, later.to_owned()).await.unwrap();
    let opened = Store::open_at(&newer.location).await;
    assert!(matches!(opened, Err(StoreError::Newer)));

    let foreign = Place::new();
    let theirs = "CREATE TABLE theirs (n INT); INSERT INTO theirs VALUES (7)";
    tamper(&foreign.location, theirs.to_owned()).await.unwrap();
    let opened = Store::open_at(&foreign.location).await;
    let Err(StoreError::Database(why)) = opened else {
        panic!("{opened:?}");
    };
    assert!(why.contains("another program"), "{why}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables = Cluster::shared().execute(&name_of(&foreign.location), tables);
    assert_eq!(tables.unwrap(), "1");
}

#[tokio::test]
async fn a_log_is_not_emptied_at_one_stroke() {
    let place = Place::new();
    let store = place.open().await;
    store.add_client(&client("a"), &[]).await.unwrap();
    let emptied = tamper(&place.location, "TRUNCATE audit".to_owned()).await;
    let why = emptied.unwrap_err();
    assert!(why.contains("append-only"), "{why}");
    assert_eq!(store.audit_records(None, 10).await.unwrap().len(), 1);
}
