//! Rights that shrink do so at once: tokens that say more than the rules allow now are revoked with the change.

use crate::harness::{AUDIENCE, RESOURCE_SERVER, SECRET, Server, asking, basic, now, with_secret};
use serde_json::json;
use symbolon_ace_proto::{PopAlgorithm, Scope};
use symbolon_auth_server::store::{Desired, Effect, Policy, Store, Subject};

async fn start() -> Server {
    let server = Server::start().await;
    let asking = asking(AUDIENCE, RESOURCE_SERVER);
    server.store.put_resource_server(&asking).await.unwrap();
    for client in ["c", "other"] {
        server.add(client, with_secret(PopAlgorithm::Hs256)).await;
    }
    server
}

/// A token for this scope, or for all.
async fn token(server: &Server, client_id: &str, scope: Option<&str>) -> String {
    let authorization = basic(client_id, SECRET);
    let mut body = json!({ "audience": AUDIENCE });
    if let Some(scope) = scope {
        let scope = Scope::from_json(scope).unwrap();
        body["scope"] = json!(scope.to_base64url());
    }
    let answer = server
        .ask(&[("authorization", &authorization)], &body)
        .await;
    answer.granted()["access_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn allow(store: &Store, subject: Subject, filter: &str) -> i64 {
    let policy = Policy {
        subject,
        ..Policy::allow("c", AUDIENCE, filter)
    };
    store.add_policy(&policy).await.unwrap()
}

fn client(name: &str) -> Subject {
    Subject::Client(name.to_owned())
}

fn group(name: &str) -> Subject {
    Subject::Group(name.to_owned())
}

#[tokio::test]
async fn a_rule_that_goes_takes_the_tokens_that_need_it_and_no_others() {
    let server = start().await;
    let more = allow(&server.store, client("c"), "more/#").await;
    let whole = token(&server, "c", None).await;
    let narrow = token(&server, "c", Some(r#"[["more/1",["pub"]]]"#)).await;
    let others = token(&server, "other", None).await;
    server.store.remove_policy(more).await.unwrap();
    assert!(!server.is_active(&whole).await);
    assert!(!server.is_active(&narrow).await);
    assert!(server.is_active(&others).await);
    let smaller = token(&server, "c", None).await;
    assert!(server.is_active(&smaller).await);
    // One that gives nothing which the token says.
    let unused = allow(&server.store, client("c"), "unused").await;
    server.store.remove_policy(unused).await.unwrap();
    assert!(server.is_active(&smaller).await);
    server.stop().await;
}

#[tokio::test]
async fn a_deny_takes_the_tokens_that_it_cuts() {
    let server = start().await;
    allow(&server.store, client("c"), "more/#").await;
    let within = token(&server, "c", Some(r#"[["more/open",["pub"]]]"#)).await;
    let wide = token(&server, "c", Some(r#"[["more/#",["pub"]]]"#)).await;
    let deny = Policy {
        effect: Effect::Deny,
        ..Policy::allow("c", AUDIENCE, "more/secret")
    };
    server.store.add_policy(&deny).await.unwrap();
    assert!(!server.is_active(&wide).await);
    assert!(server.is_active(&within).await);
    server.stop().await;
}

#[tokio::test]
async fn who_leaves_a_group_or_whose_group_goes_loses_what_it_gave() {
    let server = start().await;
    let store = &server.store;
    store.add_group("g").await.unwrap();
    let both = ["c".to_owned(), "other".to_owned()];
    store.change_members("g", &both, &[]).await.unwrap();
    allow(store, group("g"), "of/the/group").await;
    let scope = Some(r#"[["of/the/group",["pub"]]]"#);
    let (leaving, staying) = (
        token(&server, "c", scope).await,
        token(&server, "other", scope).await,
    );
    store.change_members("g", &[], &both[..1]).await.unwrap();
    assert!(!server.is_active(&leaving).await);
    assert!(server.is_active(&staying).await);
    store.remove_group("g").await.unwrap();
    assert!(!server.is_active(&staying).await);
    server.stop().await;
}

#[tokio::test]
async fn what_a_file_takes_away_is_revoked_and_a_dry_run_takes_nothing() {
    let server = start().await;
    allow(&server.store, client("c"), "more/#").await;
    let whole = token(&server, "c", None).await;
    let mut desired = Desired::default();
    let left = Policy::allow("c", AUDIENCE, "less");
    desired.rules.insert(client("c"), vec![left]);
    let apply = |dry_run| server.store.apply(&desired, dry_run, now());
    apply(true).await.unwrap();
    assert!(server.is_active(&whole).await);
    apply(false).await.unwrap();
    assert!(!server.is_active(&whole).await);
    server.stop().await;
}

// Rules are read, then the token is made, then it is remembered: whoever takes a right away in between must find no hole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_slips_through_while_a_right_is_taken_away() {
    let server = start().await;
    let other = server.start_beside().await;
    for round in 0..10 {
        let filter = format!("slip/{round}");
        let rule = allow(&server.store, client("c"), &filter).await;
        let scope = Scope::from_json(&format!(r#"[["{filter}",["pub"]]]"#)).unwrap();
        let body = json!({ "audience": AUDIENCE, "scope": scope.to_base64url() });
        let authorization = basic("c", SECRET);
        let headers = [("authorization", authorization.as_str())];
        let removing = async {
            tokio::time::sleep(std::time::Duration::from_millis(2 * round)).await;
            server.store.remove_policy(rule).await.unwrap();
        };
        let (one, two, three, four, ()) = tokio::join!(
            server.ask(&headers, &body),
            other.ask(&headers, &body),
            server.ask(&headers, &body),
            other.ask(&headers, &body),
            removing
        );
        for answer in [one, two, three, four] {
            if answer.status == 200 {
                let json = answer.json();
                let token = json["access_token"].as_str().unwrap();
                assert!(!server.is_active(token).await, "round {round}");
            } else {
                let body = &answer.body;
                assert!([400, 503].contains(&answer.status), "{body}");
            }
        }
    }
    other.stop().await;
    server.stop().await;
}
