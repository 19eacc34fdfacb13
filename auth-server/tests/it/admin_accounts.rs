//! Accounts of the administration API, how they log in, and how a login ends.

use crate::{
    admin::{Local, PASSWORD, Session, login, problem, start},
    harness::{Server, basic},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

async fn get(server: &Server, authorization: Option<&str>, path: &str) -> u16 {
    let headers: Vec<(&str, &str)> = authorization
        .iter()
        .map(|value| ("authorization", *value))
        .collect();
    let start = format!("GET /admin/v1{path}");
    let answer = server.send(&start, &headers, b"").await;
    if answer.status != 200 {
        problem(&answer);
    }
    answer.status
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_an_unknown_name_and_nonsense_do_not() {
    let server = start().await;
    let right = basic("alice", PASSWORD);
    assert_eq!(get(&server, Some(&right), "/clients").await, 200);
    let wrong = login(&server, "alice", "correct horse batterz").await;
    let unknown = login(&server, "nobody", PASSWORD).await;
    assert_eq!((wrong.status, unknown.status), (401, 401));
    // Which of the two it was is told to nobody.
    assert_eq!(problem(&wrong), problem(&unknown));
    for nonsense in [
        "Basic",
        "Basic !",
        "Basic YQ==",
        "Digest x",
        "Bearer",
        "Bearer x",
    ] {
        let status = get(&server, Some(nonsense), "/clients").await;
        assert_eq!(status, 401, "{nonsense}");
    }
    assert_eq!(get(&server, None, "/clients").await, 401);
    let refused = server.store.audit_records(None, 100).await.unwrap();
    let refused: Vec<&str> = refused
        .iter()
        .filter(|record| record.outcome.as_str() == "refused")
        .map(|record| record.actor.as_str())
        .collect();
    assert!(
        refused.contains(&"somebody as account alice"),
        "{refused:?}"
    );
    assert!(refused.contains(&"somebody as account nobody"));
}

#[tokio::test]
async fn a_login_is_recorded_once_and_not_with_each_request() {
    let server = start().await;
    let right = basic("alice", PASSWORD);
    for _ in 0..3 {
        assert_eq!(get(&server, Some(&right), "/clients").await, 200);
    }
    let records = server.store.audit_records(None, 100).await.unwrap();
    let logins = records
        .iter()
        .filter(|record| record.action == "account.login" && record.actor == "account alice");
    assert_eq!(logins.count(), 1);
}

#[tokio::test]
async fn a_session_ends_with_logout_another_password_and_its_account() {
    let server = start().await;
    let local = Local::new(&server);
    local.add_account("bob", "auditor").await;
    let alice = Session::begin(&server, "alice").await;
    let first = Session::begin(&server, "bob").await;
    let second = Session::begin(&server, "bob").await;
    first.done("POST", "/logout", 204, Value::Null).await;
    first.refused("GET", "/clients", 401, Value::Null).await;
    second.get("/clients").await;
    // No session begins another, or none would ever have to end.
    second.refused("POST", "/login", 403, Value::Null).await;
    let password = json!({ "password": "another long enough" });
    second
        .refused("PUT", "/accounts/alice/password", 403, password.clone())
        .await;
    second
        .done("PUT", "/accounts/bob/password", 204, password)
        .await;
    second.refused("GET", "/clients", 401, Value::Null).await;
    assert_eq!(login(&server, "bob", PASSWORD).await.status, 401);
    let login = login(&server, "bob", "another long enough").await;
    assert_eq!(login.status, 200);
    let authorization = format!("Bearer {}", login.json()["token"].as_str().unwrap());
    assert_eq!(get(&server, Some(&authorization), "/clients").await, 200);
    alice
        .done("DELETE", "/accounts/bob", 204, Value::Null)
        .await;
    assert_eq!(get(&server, Some(&authorization), "/clients").await, 401);
    // The database has digests of tokens alone.
    let token = authorization.strip_prefix("Bearer ").unwrap();
    if let Some(file) = server.database.file() {
        let bytes = std::fs::read(file).unwrap();
        assert!(
            !bytes
                .windows(token.len())
                .any(|part| part == token.as_bytes())
        );
    }
}

#[tokio::test]
async fn a_certificate_that_is_registered_opens_and_another_does_not() {
    let mut server = start().await;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = CertificateParams::new(vec!["carol".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    server.show(vec![certificate.der().clone()], &key);
    assert_eq!(get(&server, None, "/clients").await, 401);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
    let local = Local::new(&server);
    let account = json!({ "name": "carol", "role": "auditor" });
    let made = local.done("POST", "/accounts", account).await;
    assert_eq!(
        (&made["password"], &made["x5t#S256"]),
        (&json!(false), &Value::Null)
    );
    let registered = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(digest.as_ref()) });
    local
        .done("PUT", "/accounts/carol/certificate", registered.clone())
        .await;
    assert_eq!(get(&server, None, "/clients").await, 200);
    // Whoever names an account in the header is that one or nobody.
    let wrong = basic("carol", PASSWORD);
    assert_eq!(get(&server, Some(&wrong), "/clients").await, 401);
    let (status, _) = local
        .call("PUT", "/accounts/alice/certificate", &registered)
        .await;
    assert_eq!(status, 409);
}

#[tokio::test]
async fn accounts_that_make_no_sense_are_refused() {
    let server = start().await;
    let local = Local::new(&server);
    for (account, status) in [
        (json!({ "name": "a:b", "role": "auditor" }), 422),
        (json!({ "name": "", "role": "auditor" }), 422),
        (json!({ "name": "a", "role": "owner" }), 422),
        (
            json!({ "name": "a", "role": "auditor", "owner": "acme" }),
            422,
        ),
        (
            json!({ "name": "a", "role": "owner", "owner": "nobody" }),
            404,
        ),
        (
            json!({ "name": "a", "role": "auditor", "password": "short" }),
            422,
        ),
        (
            json!({ "name": "a", "role": "auditor", "x5t#S256": "AA" }),
            422,
        ),
        (json!({ "name": "a", "role": "king" }), 400),
        (json!({ "name": "alice", "role": "auditor" }), 409),
    ] {
        let (answered, body) = local.call("POST", "/accounts", &account).await;
        assert_eq!(answered, status, "{account}: {body}");
        assert!(!body.to_string().contains("short"));
    }
    assert_eq!(server.store.accounts().await.unwrap().len(), 1);
}
