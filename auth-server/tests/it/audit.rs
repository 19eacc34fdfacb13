//! The audit log on real files.

use crate::{
    harness::{AUDIENCE, Place, SECRET, Server, basic, resource_server, with_secret},
    place::{drop_trigger, tamper},
};
use serde_json::json;
use std::sync::Arc;
use symbolon_ace_proto::{PopAlgorithm, UnixTime};
use symbolon_auth_server::store::{
    AuditDamage, AuditMark, Client, ClientAuthentication, Policy, Store,
};

const GUESS: &str = "correct-horse-battery-staple";
const NOW: UnixTime = UnixTime(1_000_000);

async fn open() -> (Place, Store) {
    let place = Place::new();
    let store = place.open().await.acting_as("cli tester");
    store
        .put_resource_server(&resource_server(AUDIENCE))
        .await
        .unwrap();
    (place, store)
}

fn client(client_id: &str) -> Client {
    Client {
        client_id: client_id.to_owned(),
        authentication: ClientAuthentication::from_secret(SECRET),
        pop_algorithm: PopAlgorithm::Hs256,
        refresh_tokens: false,
    }
}

/// Adds and removes a client with a rule.
async fn come_and_go(store: &Store, name: &str) {
    let rule = Policy::allow(name, AUDIENCE, "x");
    store.add_client(&client(name), &[rule]).await.unwrap();
    store.remove_client(name, NOW).await.unwrap();
}

#[tokio::test]
async fn every_change_is_recorded_with_who_and_what() {
    let (_place, store) = open().await;
    come_and_go(&store, "a").await;
    let records = store.audit_records(None, 100).await.unwrap();
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.number, &*record.actor, &*record.action))
        .collect();
    let expected = [
        (1, "cli tester", "rs.put"),
        (2, "cli tester", "policy.add"),
        (3, "cli tester", "client.add"),
        (4, "cli tester", "client.remove"),
    ];
    assert_eq!(told, expected);
    assert!(records[1].detail.contains("allow pubsub:x at broker"));
    let all = format!("{records:?}");
    assert!(!all.contains(SECRET), "{all}");
    let page = store.audit_records(Some(3), 1).await.unwrap();
    assert_eq!(page[0].number, 3);
    let last = store.audit_records(None, 1).await.unwrap();
    assert_eq!(last[0].number, 4);
    let mark = store.verify_audit(None).await.unwrap().unwrap();
    assert_eq!(mark.number, 4);
    assert_eq!(mark.hash, records[3].hash);
}

#[tokio::test]
async fn what_failed_is_not_recorded_as_done() {
    let (_place, store) = open().await;
    assert!(store.remove_client("ghost", NOW).await.is_err());
    assert!(store.add_group("a/b").await.is_err());
    assert_eq!(store.audit_records(None, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn sql_cannot_change_or_shorten_the_log() {
    let (place, store) = open().await;
    come_and_go(&store, "a").await;
    store.close().await;
    for statement in [
        "UPDATE audit SET detail = 'x' WHERE number = 2",
        "DELETE FROM audit WHERE number = 2",
        "DELETE FROM audit",
    ] {
        let error = tamper(&place.location, statement.to_owned())
            .await
            .unwrap_err();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[tokio::test]
async fn who_gets_around_that_is_found_out() {
    for (trigger, statement, damage) in [
        (
            "audit_is_never_changed",
            "UPDATE audit SET actor = 'x' WHERE number = 3",
            AuditDamage::Changed(3),
        ),
        (
            "audit_is_not_shortened",
            "DELETE FROM audit WHERE number = 2",
            AuditDamage::Missing(2),
        ),
        (
            "audit_is_not_shortened",
            "DELETE FROM audit WHERE number = 1",
            AuditDamage::Missing(1),
        ),
        (
            "audit_is_not_shortened",
            "DELETE FROM audit WHERE number = 4",
            AuditDamage::Missing(4),
        ),
    ] {
        let (place, store) = open().await;
        come_and_go(&store, "a").await;
        store.close().await;
        let statements = drop_trigger(trigger) + statement;
        tamper(&place.location, statements).await.unwrap();
        let store = place.open().await;
        assert_eq!(store.verify_audit(None).await.unwrap(), Err(damage));
    }
}

#[tokio::test]
async fn a_log_cut_short_with_its_end_moved_is_found_by_a_note() {
    let (place, store) = open().await;
    come_and_go(&store, "a").await;
    let note = store.verify_audit(None).await.unwrap().unwrap();
    store.close().await;
    let statements = drop_trigger("audit_is_not_shortened")
        + "DELETE FROM audit WHERE number = 4;
         UPDATE audit_end SET number = 3, hash = (SELECT hash FROM audit WHERE number = 3)
         WHERE which = 'end'";
    tamper(&place.location, statements).await.unwrap();
    let store = place.open().await;
    assert!(store.verify_audit(None).await.unwrap().is_ok());
    let damage = store.verify_audit(Some(note)).await.unwrap();
    assert_eq!(damage, Err(AuditDamage::Missing(4)));
}

#[tokio::test]
async fn the_oldest_records_go_when_there_are_too_many_and_the_rest_verifies() {
    let (_place, store) = open().await;
    let store = store.with_audit_records(50);
    for number in 0..40 {
        come_and_go(&store, &format!("c{number}")).await;
        let records = store.audit_records(Some(0), 1000).await.unwrap();
        assert!(records.len() <= 51, "{}", records.len());
    }
    let records = store.audit_records(Some(0), 1000).await.unwrap();
    assert!(records[0].number > 60);
    let told = records.iter().any(|record| record.action == "audit.let_go");
    assert!(told);
    let mark = store.verify_audit(None).await.unwrap().unwrap();
    assert_eq!(mark.number, records.last().unwrap().number);
    let old = AuditMark {
        number: 1,
        hash: [0; 32],
    };
    let damage = store.verify_audit(Some(old)).await.unwrap();
    assert_eq!(damage, Err(AuditDamage::NoteTooOld(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_write_one_chain() {
    let (place, store) = open().await;
    let place = Arc::new(place);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let place = Arc::clone(&place);
        writers.spawn(async move {
            let store = place.open().await;
            for number in 0..10 {
                come_and_go(&store, &format!("c-{writer}-{number}")).await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let mark = store.verify_audit(None).await.unwrap().unwrap();
    assert_eq!(mark.number, 1 + 4 * 10 * 3);
}

#[tokio::test]
async fn grants_and_refusals_are_recorded_and_show_no_secret() {
    let server = Server::start().await;
    server.add("sensor", with_secret(PopAlgorithm::Hs256)).await;
    let right = basic("sensor", SECRET);
    let wrong = basic("sensor", GUESS);
    let right = [("authorization", right.as_str())];
    let answer = server.ask(&right, &json!({})).await.granted();
    let refused = server.ask(&right, &json!({ "audience": "nowhere" })).await;
    assert_eq!(refused.status, 400);
    let headers = [("authorization", wrong.as_str())];
    assert_eq!(server.ask(&headers, &json!({})).await.status, 401);
    let records = server.store.audit_records(None, 3).await.unwrap();
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let outcome = record.outcome.as_str();
            (&*record.actor, &*record.action, &*record.object, outcome)
        })
        .collect();
    assert_eq!(told[0].0, "client sensor");
    assert_eq!((told[0].1, told[0].3), ("token.issue", "done"));
    assert!(records[0].detail.contains(r#"["news/+",["sub"]]"#));
    assert_eq!(
        told[1..],
        [
            ("client sensor", "token.issue", "-", "refused"),
            ("somebody as client sensor", "token.issue", "-", "refused"),
        ]
    );
    let all = format!("{records:?}");
    for secret in [SECRET, answer["access_token"].as_str().unwrap(), GUESS] {
        assert!(!all.contains(secret), "{all}");
    }
    assert!(server.store.verify_audit(None).await.unwrap().is_ok());
    server.stop().await;
}

#[tokio::test]
async fn whoever_sends_wrong_requests_does_not_fill_the_log() {
    let server = Server::start().await;
    server.add("sensor", with_secret(PopAlgorithm::Hs256)).await;
    let before = server.store.verify_audit(None).await.unwrap().unwrap();
    let wrong = basic("sensor", "wrong");
    let headers = [("authorization", wrong.as_str())];
    let began = std::time::Instant::now();
    for _ in 0..40 {
        // After some failures it has to wait.
        let status = server.ask(&headers, &json!({})).await.status;
        assert!([401, 429].contains(&status), "{status}");
    }
    let seconds = began.elapsed().as_secs() + 2;
    let after = server.store.verify_audit(None).await.unwrap().unwrap();
    assert!(after.number - before.number <= 10 * seconds);
    server.stop().await;
}
