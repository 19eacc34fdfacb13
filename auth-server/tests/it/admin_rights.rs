//! Who may do what by the administration API.

use crate::{
    admin::{Local, Session, problem, start},
    harness::{AUDIENCE, Server, with_secret},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use symbolon_ace_proto::PopAlgorithm;

/// Every route, and which of administrator, auditor and owner may use it. `-`: nobody needs to log in.
const RIGHTS: &[(&str, &str)] = &[
    ("GET /clients", "administrator auditor"),
    ("POST /clients", "administrator"),
    ("GET /clients/{client_id}", "administrator auditor"),
    ("DELETE /clients/{client_id}", "administrator"),
    ("GET /policies", "administrator auditor owner"),
    ("POST /policies", "administrator owner"),
    ("DELETE /policies/{id}", "administrator owner"),
    ("POST /policies/apply", "administrator"),
    ("GET /groups", "administrator auditor"),
    ("POST /groups", "administrator"),
    ("DELETE /groups/{name}", "administrator"),
    ("PATCH /groups/{name}/members", "administrator"),
    ("GET /owners", "administrator auditor"),
    ("POST /owners", "administrator"),
    ("POST /owners/{name}/remove", "administrator"),
    ("GET /resource-servers", "administrator auditor"),
    ("GET /resource-servers/{audience}", "administrator auditor"),
    ("PUT /resource-servers/{audience}", "administrator"),
    ("DELETE /resource-servers/{audience}", "administrator"),
    ("GET /audience-groups", "administrator auditor"),
    ("POST /audience-groups/{name}", "administrator"),
    ("DELETE /audience-groups/{name}", "administrator"),
    ("GET /tokens", "administrator auditor"),
    ("POST /tokens/revoke", "administrator"),
    ("POST /why", "administrator auditor owner"),
    ("GET /scope", "administrator auditor"),
    ("GET /audit", "administrator auditor"),
    ("GET /audit/verify", "administrator auditor"),
    ("GET /accounts", "administrator auditor"),
    ("POST /accounts", "administrator"),
    ("DELETE /accounts/{name}", "administrator"),
    // Others' passwords; their own everybody may change.
    ("PUT /accounts/{name}/password", "administrator"),
    ("PUT /accounts/{name}/certificate", "administrator"),
    // By a password, not by the token of a session.
    ("POST /login", ""),
    ("POST /logout", "administrator auditor owner"),
    ("GET /openapi.json", "-"),
];

async fn start_with_all_roles() -> Server {
    let server = start().await;
    let local = Local::new(&server);
    local.add_account("bob", "auditor").await;
    let tree = json!({ "audience": AUDIENCE, "filter": "acme/#" });
    let owner = json!({ "name": "acme", "trees": [tree] });
    local.done("POST", "/owners", owner).await;
    let account = json!({
        "name": "ann", "role": "owner", "owner": "acme", "password": crate::admin::PASSWORD,
    });
    local.done("POST", "/accounts", account).await;
    server
}

fn documented() -> BTreeSet<String> {
    let document = symbolon_auth_server::admin::openapi_json();
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut routes = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    routes
}

#[test]
fn the_document_lists_every_route_and_no_other() {
    let expected: BTreeSet<String> = RIGHTS
        .iter()
        .map(|(route, _)| (*route).to_owned())
        .collect();
    assert_eq!(documented(), expected);
}

#[tokio::test]
async fn every_route_is_for_those_roles_that_it_is_for_and_for_nobody_without_a_login() {
    let server = start_with_all_roles().await;
    let sessions = [
        ("administrator", Session::begin(&server, "alice").await),
        ("auditor", Session::begin(&server, "bob").await),
        ("owner", Session::begin(&server, "ann").await),
    ];
    for (route, roles) in RIGHTS {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", "999999");
        let path = path.split('/').map(|level| {
            if level.starts_with('{') {
                "none"
            } else {
                level
            }
        });
        let path = path.collect::<Vec<_>>().join("/");
        let start = format!("{method} /admin/v1{path}");
        let headers = [("content-type", "application/json")];
        let nobody = server.send(&start, &headers, b"{}").await;
        if *roles == "-" {
            assert_eq!(nobody.status, 200, "{route}");
            continue;
        }
        assert_eq!(nobody.status, 401, "{route}");
        problem(&nobody);
        // RFC 9110 §15.5.2
        assert!(nobody.header("www-authenticate").is_some());
        for (role, session) in &sessions {
            let answer = session.send(method, &path, &json!({})).await;
            let may = roles.split(' ').any(|one| one == *role);
            assert_eq!(answer.status != 403, may, "{role} {route}: {}", answer.body);
            assert!(
                answer.status < 500 && answer.status != 401,
                "{role} {route}"
            );
        }
    }
}

#[tokio::test]
async fn what_an_account_may_not_do_is_recorded() {
    let server = start_with_all_roles().await;
    let bob = Session::begin(&server, "bob").await;
    bob.refused("POST", "/groups", 403, json!({ "name": "a" }))
        .await;
    let last = server.store.audit_records(None, 1).await.unwrap().remove(0);
    assert_eq!(last.actor, "account bob");
    assert_eq!(last.action, "admin.request");
    assert_eq!(last.object, "POST /admin/v1/groups");
    assert_eq!(last.outcome.as_str(), "refused");
    assert!(server.store.groups().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_owner_grants_within_their_trees_in_their_own_name_and_sees_nothing_else() {
    let server = start_with_all_roles().await;
    server.add("sensor", with_secret(PopAlgorithm::Hs256)).await;
    let ann = Session::begin(&server, "ann").await;
    let alice = Session::begin(&server, "alice").await;
    let rule = |filter: &str| json!({ "client_id": "sensor", "audience": AUDIENCE, "filter": filter, "permissions": ["sub"] });
    let made = ann
        .done("POST", "/policies", 201, rule("acme/hall/#"))
        .await;
    assert_eq!(made["owner"], "acme");
    let why = ann.refused("POST", "/policies", 403, rule("other/#")).await;
    assert!(why.contains("does not own"), "{why}");
    let mut another = rule("acme/x");
    another["owner"] = json!("other");
    ann.refused("POST", "/policies", 403, another).await;
    // Three rules bear on the client; the owner sees the one that they granted.
    let seen = ann.get("/policies?client=sensor").await;
    assert_eq!(seen["items"], json!([made]));
    let all = alice.get("/policies?client=sensor").await;
    let others = all["items"][0]["id"].as_i64().unwrap();
    ann.refused("DELETE", &format!("/policies/{others}"), 404, json!({}))
        .await;
    let question = |filter: &str| json!({ "client": "sensor", "audience": AUDIENCE, "permission": "sub", "filter": filter });
    let why = ann.done("POST", "/why", 200, question("acme/hall/1")).await;
    assert_eq!(why["allowed"], true);
    ann.refused("POST", "/why", 403, question("news/1")).await;
    let own = format!("/policies/{}", made["id"]);
    ann.done("DELETE", &own, 204, json!({})).await;
    let last = server.store.audit_records(None, 1).await.unwrap().remove(0);
    let brief = (last.actor.as_str(), last.action.as_str());
    assert_eq!(brief, ("account ann", "policy.remove"));
    // With the owner go their accounts, at once.
    let remove = json!({ "trees": [] });
    alice.done("POST", "/owners/acme/remove", 200, remove).await;
    ann.refused("GET", "/policies", 401, json!({})).await;
}
