//! What is PostgreSQL's own.

use crate::{
    harness::{AUDIENCE, RESOURCE_SERVER, SECRET, Server, asking, basic, with_secret},
    harness::{Answer, Place},
    place::{name_of, tamper},
    store::client,
};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use symbolon_ace_proto::PopAlgorithm;
use symbolon_auth_server::store::{Location, PostgresUrl, Store, StoreError};
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

async fn token(server: &Server) -> Answer {
    let authorization = basic("c", SECRET);
    let headers = [("authorization", authorization.as_str())];
    server.ask(&headers, &json!({ "audience": AUDIENCE })).await
}

/// Asked again for half a minute at most, as a client does that heeds Retry-After.
async fn token_in_the_end(server: &Server) -> String {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = token(server).await;
        if answer.status == 200 {
            return answer.granted()["access_token"]
                .as_str()
                .unwrap()
                .to_owned();
        }
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(Instant::now() < until, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_the_database_is_away_answers_are_503_and_then_all_goes_on() {
    let mut cluster = Cluster::start().unwrap();
    let url = cluster.create_database().unwrap();
    let location = Location::Postgres(PostgresUrl::parse(&url).unwrap());
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::start_in((directory, location), |_| {}).await;
    let own = asking(AUDIENCE, RESOURCE_SERVER);
    server.store.put_resource_server(&own).await.unwrap();
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let first = token_in_the_end(&server).await;
    for crash in [false, true] {
        if crash {
            cluster.kill().unwrap();
        } else {
            cluster.stop().unwrap();
        }
        for _ in 0..6 {
            let answer = token(&server).await;
            assert_eq!(answer.status, 503, "{}", answer.body);
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.json(), json!({ "error": "temporarily_unavailable" }));
        }
        // Nothing is said of a token that may be good.
        let asked = server
            .question("/introspect", RESOURCE_SERVER, &first)
            .await;
        assert_eq!(asked.status, 503, "{}", asked.body);
        let revoked = server.question("/revoke", "c", &first).await;
        assert_eq!(revoked.status, 503, "{}", revoked.body);
        // What needs no database goes on.
        server.key_set().await;
        let path = "GET /.well-known/oauth-authorization-server";
        assert_eq!(server.send(path, &[], b"").await.status, 200);
        cluster.restart().unwrap();
        let next = token_in_the_end(&server).await;
        for token in [&first, &next] {
            assert!(server.is_active(token).await);
        }
    }
    assert!(server.store.verify_audit(None).await.unwrap().is_ok());
    server.stop().await;
}

/// What `tests/it` proves of a file it proves here too.
#[test]
fn no_test_of_the_other_database_is_left_out() {
    let here = include_str!("main.rs");
    let there = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    for entry in std::fs::read_dir(there).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let own = ["main.rs", "place.rs", "file.rs"].contains(&name.as_str());
        let named = here.contains(&format!("\"../it/{name}\""));
        assert!(own || named, "{name}");
    }
}
