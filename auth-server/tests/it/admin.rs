//! The administration API: each resource, and what is refused.

use crate::harness::{AUDIENCE, Answer, SECRET, Server, basic, with_secret};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use symbolon_ace_proto::PopAlgorithm;
use symbolon_auth_server::admin::{Bytes, LocalApi, http};

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const ACTOR: &str = "cli root uid=0";

/// The API as a program on the machine has it.
pub(crate) struct Local(LocalApi);

impl Local {
    pub(crate) fn new(server: &Server) -> Self {
        Self(LocalApi::new(server.store.clone(), ACTOR))
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/admin/v1{path}"))
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let response = self.0.call(request).await;
        let status = response.status().as_u16();
        let body = serde_json::from_slice(response.body()).unwrap_or_default();
        (status, body)
    }

    pub(crate) async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, body) = self.call(method, path, &body).await;
        assert!((200..300).contains(&status), "{method} {path}: {body}");
        body
    }

    /// An account with [`PASSWORD`].
    pub(crate) async fn add_account(&self, name: &str, role: &str) {
        let account = json!({ "name": name, "role": role, "password": PASSWORD });
        self.done("POST", "/accounts", account).await;
    }
}

/// A session of an account over HTTPS.
pub(crate) struct Session<'a> {
    server: &'a Server,
    authorization: String,
}

impl<'a> Session<'a> {
    pub(crate) async fn begin(server: &'a Server, name: &str) -> Self {
        let answer = login(server, name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        Self {
            server,
            authorization: format!("Bearer {token}"),
        }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &*self.authorization),
        ];
        let start = format!("{method} /admin/v1{path}");
        let body = body.to_string();
        self.server.send(&start, &headers, body.as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        // RFC 9111 §5.2.2.5: what is told here is for nobody else.
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.json()
    }

    pub(crate) async fn done(&self, method: &str, path: &str, status: u16, body: Value) -> Value {
        let answer = self.send(method, path, &body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    /// Refused as RFC 9457 has it; why.
    pub(crate) async fn refused(
        &self,
        method: &str,
        path: &str,
        status: u16,
        body: Value,
    ) -> String {
        let answer = self.send(method, path, &body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        problem(&answer)
    }
}

/// Checks the form of a refusal (RFC 9457 §3); why.
pub(crate) fn problem(answer: &Answer) -> String {
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("application/problem+json"));
    let json = answer.json();
    assert_eq!(json["status"], answer.status);
    assert_eq!(json["type"], "about:blank");
    assert!(json["title"].is_string());
    json["detail"].as_str().unwrap().to_owned()
}

pub(crate) async fn login(server: &Server, name: &str, password: &str) -> Answer {
    let authorization = basic(name, password);
    let headers = [("authorization", &*authorization)];
    server.send("POST /admin/v1/login", &headers, b"").await
}

/// A server with the administrator `alice`.
pub(crate) async fn start() -> Server {
    let server = Server::start().await;
    let local = Local::new(&server);
    local.add_account("alice", "administrator").await;
    server
}

fn new_client(client_id: &str) -> Value {
    let secret = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes());
    json!({
        "client_id": client_id,
        "authentication": {
            "method": "client_secret_basic",
            "secret_sha256": URL_SAFE_NO_PAD.encode(secret.as_ref()),
        },
        "pop": "HS256",
        "policies": [
            { "audience": AUDIENCE, "filter": "a/${client_id}", "permissions": ["pub", "sub"] },
        ],
    })
}

/// Actor, action and object of the last records.
async fn recorded(server: &Server, count: u32) -> Vec<(String, String, String)> {
    let records = server.store.audit_records(None, count).await.unwrap();
    let brief = records
        .into_iter()
        .map(|one| (one.actor, one.action, one.object));
    brief.collect()
}

fn record(actor: &str, action: &str, object: &str) -> (String, String, String) {
    (actor.to_owned(), action.to_owned(), object.to_owned())
}

#[tokio::test]
async fn a_client_comes_gets_tokens_and_goes_by_an_administrators_word() {
    let server = start().await;
    let alice = Session::begin(&server, "alice").await;
    let made = alice
        .done("POST", "/clients", 201, new_client("sensor"))
        .await;
    assert_eq!(made["client_auth"], "client_secret_basic");
    assert_eq!(made["policies"][0]["filter"], "a/${client_id}");
    assert_eq!(alice.get("/clients/sensor").await, made);
    let again = alice.refused("POST", "/clients", 409, new_client("sensor"));
    assert!(again.await.contains("exists already"));
    let authorization = basic("sensor", SECRET);
    let headers = [("authorization", &*authorization)];
    let answer = server.ask(&headers, &json!({})).await;
    let token = answer.granted()["access_token"].clone();
    let tokens = alice.get("/tokens?client=sensor").await;
    assert_eq!(tokens["items"].as_array().unwrap().len(), 1);
    let path = format!("/scope?client=sensor&audience={AUDIENCE}");
    let scope = alice.get(&path);
    assert_eq!(scope.await["scope"], json!([["a/sensor", ["pub", "sub"]]]));
    let revoke = json!({ "token": token });
    let revoked = alice.done("POST", "/tokens/revoke", 200, revoke).await;
    assert_eq!(revoked["revoked"], 1);
    alice
        .done("DELETE", "/clients/sensor", 204, json!({}))
        .await;
    alice
        .refused("GET", "/clients/sensor", 404, json!({}))
        .await;
    alice
        .refused("DELETE", "/clients/sensor", 404, json!({}))
        .await;
    let expected = [
        record("account alice", "token.revoke", ""),
        record("account alice", "client.remove", "sensor"),
    ];
    let last = recorded(&server, 2).await;
    assert_eq!((&last[0].0, &last[0].1), (&expected[0].0, &expected[0].1));
    assert_eq!(last[1], expected[1]);
}

#[tokio::test]
async fn rules_and_groups_come_change_and_go() {
    let server = start().await;
    let alice = Session::begin(&server, "alice").await;
    for name in ["m1", "m2"] {
        server.add(name, with_secret(PopAlgorithm::Hs256)).await;
    }
    alice
        .done("POST", "/groups", 201, json!({ "name": "meters" }))
        .await;
    let members = json!({ "add": ["m1", "m2"] });
    let group = alice
        .done("PATCH", "/groups/meters/members", 200, members)
        .await;
    assert_eq!(group, json!({ "name": "meters", "members": ["m1", "m2"] }));
    let stranger = json!({ "add": ["nobody"] });
    alice
        .refused("PATCH", "/groups/meters/members", 404, stranger)
        .await;
    let rule = json!({
        "group": "meters", "audience": AUDIENCE, "filter": "m/${client_id}/#", "permissions": ["pub"],
    });
    let made = alice.done("POST", "/policies", 201, rule).await;
    let id = made["id"].as_i64().unwrap();
    let listed = alice.get("/policies?group=meters").await;
    assert_eq!(listed["items"], json!([made]));
    let mine = alice.get("/policies?client=m1").await;
    assert_eq!(mine["items"].as_array().unwrap().len(), 3);
    let nowhere = alice.get("/policies?audience=nowhere").await;
    assert_eq!(nowhere["items"], json!([]));
    let question = json!({
        "client": "m1", "audience": AUDIENCE, "permission": "pub", "filter": "m/m1/x",
    });
    let why = alice.done("POST", "/why", 200, question).await;
    assert_eq!(
        (&why["allowed"], &why["decided_by"]),
        (&json!(true), &json!(id))
    );
    let desired = json!({
        "desired": { "groups": { "meters": { "members": ["m1"], "policies": [] } } }, "dry_run": true,
    });
    let plan = alice
        .done("POST", "/policies/apply", 200, desired.clone())
        .await;
    assert_eq!(plan["gone_members"], json!([["meters", "m2"]]));
    assert_eq!(plan["gone_policies"].as_array().unwrap().len(), 1);
    assert_eq!(
        alice.get("/policies?group=meters").await["items"],
        json!([made])
    );
    let mut real = desired;
    real["dry_run"] = json!(false);
    alice.done("POST", "/policies/apply", 200, real).await;
    let gone = alice.get("/policies?group=meters").await;
    assert_eq!(gone["items"], json!([]));
    alice
        .refused("DELETE", &format!("/policies/{id}"), 404, json!({}))
        .await;
    alice.done("DELETE", "/groups/meters", 204, json!({})).await;
    assert_eq!(alice.get("/groups").await["items"], json!([]));
}

#[tokio::test]
async fn resource_servers_and_their_groups_come_and_go_and_no_key_is_read_back() {
    let server = start().await;
    let alice = Session::begin(&server, "alice").await;
    let key = URL_SAFE_NO_PAD.encode([9; 32]);
    let put = json!({ "format": "cwt", "content_key": { "kid": "c9", "k": key } });
    let made = alice
        .done("PUT", "/resource-servers/urn%3Aa%2Fb", 200, put)
        .await;
    assert_eq!(made["audience"], "urn:a/b");
    assert_eq!(made["content_key"], "c9");
    let shown = alice.get("/resource-servers/urn%3Aa%2Fb").await;
    assert_eq!(shown, made);
    let all = alice.get("/resource-servers").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    assert!(!all.to_string().contains(&key));
    let wrong = json!({ "format": "xml" });
    let why = alice
        .refused("PUT", "/resource-servers/urn%3Aa%2Fb", 422, wrong)
        .await;
    assert!(why.contains("format"), "{why}");
    let members = json!({ "members": [AUDIENCE, "urn:a/b"] });
    let group = alice.done("POST", "/audience-groups/both", 200, members);
    assert_eq!(group.await["members"].as_array().unwrap().len(), 2);
    let groups = alice.get("/audience-groups").await;
    assert_eq!(groups["items"][0]["name"], "both");
    alice
        .done("DELETE", "/audience-groups/both", 204, json!({}))
        .await;
    alice
        .done("DELETE", "/resource-servers/urn%3Aa%2Fb", 204, json!({}))
        .await;
    alice
        .refused("GET", "/resource-servers/urn%3Aa%2Fb", 404, json!({}))
        .await;
    let last = recorded(&server, 1).await;
    assert_eq!(last[0].2, "urn:a/b");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = start().await;
    let alice = Session::begin(&server, "alice").await;
    for number in 0..5 {
        server
            .add(&format!("c{number}"), with_secret(PopAlgorithm::Hs256))
            .await;
    }
    for (path, count) in [("/clients", 5), ("/policies", 10), ("/audit?from=0", 3)] {
        let and = if path.contains('?') { '&' } else { '?' };
        let mut seen = Vec::new();
        let mut next = alice.get(&format!("{path}{and}limit=2")).await;
        while let Some(cursor) = next["next"].as_str().map(str::to_owned) {
            seen.extend(next["items"].as_array().unwrap().clone());
            next = alice
                .get(&format!("{path}{and}limit=2&after={cursor}"))
                .await;
        }
        seen.extend(next["items"].as_array().unwrap().clone());
        assert!(seen.len() >= count, "{path}: {}", seen.len());
        let mut texts: Vec<String> = seen.iter().map(Value::to_string).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), seen.len(), "{path}");
    }
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=!",
        "unknown=1",
        "limit=1&limit=2",
    ] {
        let path = format!("/clients?{query}");
        alice.refused("GET", &path, 400, json!({})).await;
    }
}

#[tokio::test]
async fn the_audit_log_is_told_and_verified() {
    let server = start().await;
    let alice = Session::begin(&server, "alice").await;
    let log = alice.get("/audit").await;
    let actions: Vec<&str> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        ["rs.put", "account.add", "account.login", "account.login"]
    );
    assert_eq!(log["items"][1]["actor"], ACTOR);
    let verdict = alice.get("/audit/verify").await;
    let mark = verdict["mark"].as_str().unwrap();
    let again = alice.get(&format!("/audit/verify?mark={mark}")).await;
    assert_eq!(again["mark"], mark);
    let other = format!("{}:{}", verdict["records"], "0".repeat(64));
    let damaged = alice.get(&format!("/audit/verify?mark={other}")).await;
    assert!(damaged["damage"].is_string());
    alice
        .refused("GET", "/audit/verify?mark=x", 400, json!({}))
        .await;
}

#[tokio::test]
async fn what_is_not_json_too_long_or_nowhere_is_refused() {
    let server = start().await;
    let alice = Session::begin(&server, "alice").await;
    let authorization = alice.authorization.clone();
    let send = async |start: &str, content_type: &str, body: &[u8]| {
        let headers = [
            ("content-type", content_type),
            ("authorization", &*authorization),
        ];
        let answer = server.send(start, &headers, body).await;
        problem(&answer);
        answer.status
    };
    let post = "POST /admin/v1/groups";
    assert_eq!(send(post, "text/plain", b"{}").await, 415);
    assert_eq!(send(post, "application/json", b"{").await, 400);
    assert_eq!(send(post, "application/json", b"{}").await, 400);
    let unknown = br#"{"name":"a","more":1}"#;
    assert_eq!(send(post, "application/json", unknown).await, 400);
    let name = br#"{"name":"a/b"}"#;
    assert_eq!(send(post, "application/json", name).await, 422);
    let long = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(send(post, "application/json", &long).await, 413);
    assert_eq!(send("GET /admin/v1/none", "", b"").await, 404);
    assert_eq!(send("GET /admin/v1/clients/%ff", "", b"").await, 400);
    assert_eq!(send("PUT /admin/v1/clients", "", b"").await, 405);
}

#[tokio::test]
async fn a_server_that_is_not_told_to_serve_it_does_not() {
    let server = Server::start_without_admin().await;
    let answer = server.send("GET /admin/v1/openapi.json", &[], b"").await;
    assert_eq!(answer.status, 404);
    // The program on the machine has it all the same.
    let document = Local::new(&server)
        .done("GET", "/openapi.json", json!({}))
        .await;
    assert_eq!(document["openapi"], "3.1.0");
}
