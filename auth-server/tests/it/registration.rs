//! Clients that register themselves (RFC 7591), and manage what they registered (RFC 7592).

use crate::harness::{
    AUDIENCE, Answer, ISSUER, JSON, Server, and, assertion, basic, by_assertion, key, now, proof,
    req_cnf,
};
use serde_json::{Value, json};
use symbolon_ace_proto::{PopAlgorithm, Scope};
use symbolon_auth_server::store::{
    Admission, Allowance, NewInitialAccessToken, NewName, Secret, StoreError,
};

fn admission(name: NewName) -> Admission {
    Admission {
        name,
        audience: AUDIENCE.to_owned(),
        allow: vec![Allowance {
            filter: "devices/${client_id}/#".to_owned(),
            publish: true,
            subscribe: false,
        }],
        groups: Vec::new(),
        token_lifetime_secs: Some(60),
        refresh_tokens: false,
        broker: Some("mqtts://broker.example:8883".to_owned()),
    }
}

async fn try_admit(
    server: &Server,
    admission: Admission,
    uses: u64,
) -> Result<(String, String), StoreError> {
    let secret = Secret::generate().unwrap();
    let token = NewInitialAccessToken {
        secret: &secret,
        admission,
        uses,
        expires_at: now().plus_secs(60),
    };
    let ids = server
        .store
        .add_initial_access_tokens(&[token], now())
        .await?;
    Ok((secret.as_str().to_owned(), ids[0].clone()))
}

async fn admit(server: &Server, admission: Admission, uses: u64) -> String {
    try_admit(server, admission, uses).await.unwrap().0
}

async fn for_name(server: &Server, name: &str) -> String {
    admit(server, admission(NewName::Exactly(name.to_owned())), 1).await
}

async fn call(server: &Server, start: &str, token: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", JSON), ("authorization", &*bearer)];
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    server.send(start, &headers, body.as_bytes()).await
}

async fn register(server: &Server, token: &str, body: &Value) -> Answer {
    call(server, "POST /register", token, body).await
}

#[track_caller]
fn registered(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some(JSON));
    answer.json()
}

fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    json[name].as_str().unwrap()
}

fn path_of(json: &Value) -> String {
    let uri = text(json, "registration_client_uri");
    uri.strip_prefix(ISSUER).unwrap().to_owned()
}

// RFC 7591 §3.2.1
#[tokio::test]
async fn a_client_registers_with_a_secret_and_gets_a_token() {
    let server = Server::start().await;
    let code = for_name(&server, "meter").await;
    let asked = json!({ "client_name": "A meter", "grant_types": ["client_credentials"] });
    let json = registered(&register(&server, &code, &asked).await);
    assert_eq!(json["client_id"], "meter");
    assert_eq!(json["client_name"], "A meter");
    assert_eq!(json["client_secret_expires_at"], 0);
    assert_eq!(json["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(json["symbolon_broker"], "mqtts://broker.example:8883");
    assert_eq!(json["symbolon_audience"], AUDIENCE);
    assert!(json["client_id_issued_at"].as_u64().unwrap() <= now().0);
    let scope = Scope::from_base64url(text(&json, "scope")).unwrap();
    assert_eq!(scope.to_json(), r#"[["devices/meter/#",["pub"]]]"#);
    let authorization = basic("meter", text(&json, "client_secret"));
    let headers = [("authorization", &*authorization)];
    let answer = server.ask(&headers, &json!({})).await;
    let claims = server.verify(&answer).await;
    assert_eq!(claims.client_id.as_deref(), Some("meter"));
    // Not more than its token says, however much it asks for.
    assert_eq!(claims.scope.to_json(), scope.to_json());
    assert_eq!(answer.granted()["expires_in"], 60);
    server.stop().await;
}

#[tokio::test]
async fn a_client_registers_with_its_own_key_under_a_name_that_it_does_not_choose() {
    let server = Server::start().await;
    let token = admit(&server, admission(NewName::Beginning("dev-".to_owned())), 2).await;
    let key = key(PopAlgorithm::Es256);
    let asked = json!({
        "client_id": "admin",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": { "keys": [key.verifying_key().to_jwk()] },
        "grant_types": ["client_credentials", "refresh_token"],
        "scope": Scope::from_json(r##"[["#",["pub","sub"]]]"##).unwrap().to_base64url(),
    });
    let json = registered(&register(&server, &token, &asked).await);
    let client_id = text(&json, "client_id");
    assert!(
        client_id.starts_with("dev-") && client_id.len() == 20,
        "{client_id}"
    );
    assert!(json.get("client_secret").is_none());
    assert_eq!(json["symbolon_pop_alg"], "ES256");
    // The initial access token gives no refresh tokens.
    assert_eq!(json["grant_types"], json!(["client_credentials"]));
    let request = by_assertion(&assertion(client_id, &key));
    let answer = server
        .ask(&[], &and(request, "req_cnf", req_cnf(&key)))
        .await;
    let claims = server.verify(&answer).await;
    let filter = format!(r#"[["devices/{client_id}/#",["pub"]]]"#);
    assert_eq!(claims.scope.to_json(), filter);
    // The second use is the last.
    registered(&register(&server, &token, &json!({})).await);
    let answer = register(&server, &token, &json!({})).await;
    answer.refused(401, "invalid_token");
    server.stop().await;
}

// RFC 6750 §3: unknown, expired, used and malformed tokens get one answer.
#[tokio::test]
async fn without_a_good_initial_access_token_nobody_registers() {
    let server = Server::start().await;
    let used = for_name(&server, "a").await;
    registered(&register(&server, &used, &json!({})).await);
    let (removed, id) = try_admit(&server, admission(NewName::Exactly("b".to_owned())), 1)
        .await
        .unwrap();
    server.store.remove_initial_access_token(&id).await.unwrap();
    let mut answers = Vec::new();
    for token in [&*used, &removed, "sym_unknown", "\u{fc}"] {
        let answer = register(&server, token, &json!({})).await;
        answer.refused(401, "invalid_token");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"register\", error=\"invalid_token\"")
        );
        answers.push(answer);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    for headers in [
        &[("content-type", JSON)][..],
        &[("content-type", JSON), ("authorization", "Basic YTpi")],
    ] {
        let answer = server.send("POST /register", headers, b"{}").await;
        answer.refused(401, "invalid_token");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"register\"")
        );
    }
    assert_eq!(server.store.clients().await.unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn of_two_devices_that_race_with_one_code_exactly_one_is_registered() {
    let server = Server::start().await;
    for round in 0..8 {
        let code = for_name(&server, &format!("meter-{round}")).await;
        let nothing = json!({});
        let (one, other) = tokio::join!(
            register(&server, &code, &nothing),
            register(&server, &code, &nothing)
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 401], "{} {}", one.body, other.body);
    }
    assert_eq!(server.store.clients().await.unwrap().len(), 8);
    server.stop().await;
}

#[tokio::test]
async fn whoever_guesses_tokens_is_told_to_wait() {
    let server = Server::start().await;
    let mut last = 401;
    for number in 0..50 {
        let answer = register(&server, &format!("sym_{number}"), &json!({})).await;
        last = answer.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_registered_uses_no_code_up() {
    let server = Server::start().await;
    let code = for_name(&server, "meter").await;
    let answer = register(
        &server,
        &code,
        &json!({ "token_endpoint_auth_method": "none" }),
    )
    .await;
    answer.refused(400, "invalid_client_metadata");
    let bearer = format!("Bearer {code}");
    for (content_type, body, status) in [
        ("text/plain", &b"{}"[..], 415),
        (JSON, b"{", 400),
        (JSON, &vec![b' '; 20_000], 413),
    ] {
        let headers = [("content-type", content_type), ("authorization", &*bearer)];
        let answer = server.send("POST /register", &headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    // Somebody else has the name by now.
    server
        .add("meter", crate::harness::with_secret(PopAlgorithm::Hs256))
        .await;
    let answer = register(&server, &code, &json!({})).await;
    answer.refused(400, "invalid_client_metadata");
    server.store.remove_client("meter", now()).await.unwrap();
    registered(&register(&server, &code, &json!({})).await);
    server.stop().await;
}

#[tokio::test]
async fn a_registered_client_joins_groups_and_has_their_rights() {
    let server = Server::start().await;
    server.store.add_group("meters").await.unwrap();
    let in_group = Admission {
        allow: Vec::new(),
        groups: vec!["meters".to_owned()],
        ..admission(NewName::Exactly("m".to_owned()))
    };
    let code = admit(&server, in_group.clone(), 1).await;
    registered(&register(&server, &code, &json!({})).await);
    let groups = server.store.groups().await.unwrap();
    assert_eq!(groups[0].members, ["m"]);
    let nowhere = Admission {
        groups: vec!["ghosts".to_owned()],
        ..in_group
    };
    let refused = try_admit(&server, nowhere, 1).await.unwrap_err();
    assert!(matches!(
        refused,
        StoreError::Exists(..) | StoreError::NotFound(..)
    ));
    server.stop().await;
}

#[tokio::test]
async fn an_initial_access_token_that_says_nothing_or_too_much_is_not_made() {
    let server = Server::start().await;
    let exactly = |name: &str| admission(NewName::Exactly(name.to_owned()));
    let nothing = Admission {
        allow: Vec::new(),
        ..exactly("a")
    };
    let elsewhere = Admission {
        audience: "nowhere".to_owned(),
        ..exactly("a")
    };
    let mut malformed = exactly("a");
    malformed.allow[0].filter = "a/#/b".to_owned();
    for (admission, uses) in [
        (exactly("a/b"), 1),
        (exactly("a"), 2),
        (exactly("a"), 0),
        (nothing, 1),
        (elsewhere, 1),
        (malformed, 1),
        (admission(NewName::Beginning("$".to_owned())), 1),
    ] {
        try_admit(&server, admission, uses).await.unwrap_err();
    }
    // None where one of several is refused.
    let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
    let token = |secret, name: &str| NewInitialAccessToken {
        secret,
        admission: exactly(name),
        uses: 1,
        expires_at: now().plus_secs(60),
    };
    server
        .add("there", crate::harness::with_secret(PopAlgorithm::Hs256))
        .await;
    let both = [token(&one, "new"), token(&other, "there")];
    server
        .store
        .add_initial_access_tokens(&both, now())
        .await
        .unwrap_err();
    let known = server.store.initial_access_tokens(None, now()).await;
    assert_eq!(known.unwrap(), []);
    server.stop().await;
}

// RFC 7592 §2.1 and §3
#[tokio::test]
async fn a_client_reads_what_it_registered() {
    let server = Server::start().await;
    let code = for_name(&server, "urn:dev:1").await;
    let json = registered(&register(&server, &code, &json!({ "client_name": "x" })).await);
    let path = path_of(&json);
    assert_eq!(path, "/register/urn%3Adev%3A1");
    let token = text(&json, "registration_access_token");
    let answer = call(&server, &format!("GET {path}"), token, &Value::Null).await;
    let shown = answer.granted();
    for name in [
        "client_id",
        "client_name",
        "client_id_issued_at",
        "registration_client_uri",
        "registration_access_token",
        "scope",
        "grant_types",
        "symbolon_broker",
    ] {
        assert_eq!(shown[name], json[name], "{name}");
    }
    // The server knows no more than its digest.
    assert!(shown.get("client_secret").is_none());
    let other = for_name(&server, "other").await;
    let other = registered(&register(&server, &other, &json!({})).await);
    for (path, token) in [
        (&*path, text(&other, "registration_access_token")),
        ("/register/ghost", token),
        (&path, text(&json, "client_secret")),
        (&path, &code),
    ] {
        let answer = call(&server, &format!("GET {path}"), token, &Value::Null).await;
        answer.refused(401, "invalid_token");
    }
    server.stop().await;
}

// RFC 7592 §2.2
#[tokio::test]
async fn a_client_changes_how_it_authenticates_and_its_old_ways_end() {
    let server = Server::start().await;
    let code = for_name(&server, "meter").await;
    let json = registered(&register(&server, &code, &json!({})).await);
    let (path, first) = (path_of(&json), text(&json, "registration_access_token"));
    let secret = basic("meter", text(&json, "client_secret"));
    let put = format!("PUT {path}");
    let key = key(PopAlgorithm::EdDsa);
    let asked = json!({
        "client_id": "meter",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": { "keys": [key.verifying_key().to_jwk()] },
    });
    for (member, value) in [
        ("client_id", json!("other")),
        ("client_secret", json!("wrong")),
        ("registration_access_token", json!(first)),
    ] {
        let wrong = and(asked.clone(), member, value);
        let answer = call(&server, &put, first, &wrong).await;
        answer.refused(400, "invalid_client_metadata");
    }
    let changed = call(&server, &put, first, &asked).await.granted();
    let second = text(&changed, "registration_access_token");
    assert_ne!(second, first);
    assert_eq!(changed["symbolon_audience"], AUDIENCE);
    let answer = call(&server, &put, first, &asked).await;
    answer.refused(401, "invalid_token");
    let headers = [("authorization", &*secret)];
    let answer = server.ask(&headers, &json!({})).await;
    answer.refused(401, "invalid_client");
    let request = by_assertion(&assertion("meter", &key));
    let request = and(request, "req_cnf", req_cnf(&key));
    server.ask(&[], &request).await.granted();
    // Back to a secret: a new one, then the same on.
    let back = json!({ "client_id": "meter", "symbolon_pop_alg": "EdDSA" });
    let back = call(&server, &put, second, &back).await.granted();
    let (third, secret) = (
        text(&back, "registration_access_token"),
        text(&back, "client_secret"),
    );
    let same =
        json!({ "client_id": "meter", "client_secret": secret, "symbolon_pop_alg": "EdDSA" });
    let same = call(&server, &put, third, &same).await.granted();
    assert_eq!(same["client_secret"], secret);
    let (authorization, dpop) = (basic("meter", secret), proof(&key));
    let headers = [("authorization", &*authorization), ("dpop", &*dpop)];
    let request = json!({ "req_cnf": req_cnf(&key) });
    server.ask(&headers, &request).await.granted();
    server.stop().await;
}

// RFC 7592 §2.3
#[tokio::test]
async fn a_client_removes_itself_with_all_that_it_has() {
    let server = Server::start().await;
    let code = for_name(&server, "meter").await;
    let json = registered(&register(&server, &code, &json!({})).await);
    let authorization = basic("meter", text(&json, "client_secret"));
    let headers = [("authorization", &*authorization)];
    server.ask(&headers, &json!({})).await.granted();
    let (path, token) = (path_of(&json), text(&json, "registration_access_token"));
    let delete = format!("DELETE {path}");
    let answer = call(&server, &delete, token, &Value::Null).await;
    assert_eq!((answer.status, &*answer.body), (204, ""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = call(&server, &delete, token, &Value::Null).await;
    answer.refused(401, "invalid_token");
    let answer = server.ask(&headers, &json!({})).await;
    answer.refused(401, "invalid_client");
    let tokens = server.store.tokens(None, now()).await.unwrap();
    assert!(tokens.iter().all(|token| token.revoked_at.is_some()));
    let records = server.store.audit_records(None, 10).await.unwrap();
    let last = records
        .iter()
        .find(|record| record.action == "client.remove");
    assert_eq!(last.unwrap().actor, "client meter");
    assert_eq!(
        server.send("POST /register/meter", &[], b"").await.status,
        405
    );
    server.stop().await;
}

// RFC 7592 §2.1: a client that an administrator registered has no registration of its own.
#[tokio::test]
async fn a_client_that_an_administrator_registered_manages_nothing() {
    let server = Server::start().await;
    server
        .add("meter", crate::harness::with_secret(PopAlgorithm::Hs256))
        .await;
    let answer = call(&server, "GET /register/meter", "", &Value::Null).await;
    answer.refused(401, "invalid_token");
    server.stop().await;
}

#[tokio::test]
async fn what_was_done_stands_in_the_audit_log_without_secrets() {
    let server = Server::start().await;
    let (code, id) = try_admit(&server, admission(NewName::Exactly("meter".to_owned())), 1)
        .await
        .unwrap();
    let json = registered(&register(&server, &code, &json!({})).await);
    register(&server, &code, &json!({}))
        .await
        .refused(401, "invalid_token");
    let records = server.store.audit_records(None, 20).await.unwrap();
    let by = format!("initial access token {id}");
    for (actor, action) in [
        ("server", "initial_access_token.add"),
        (&*by, "policy.add"),
        (&by, "client.register"),
        ("somebody", "client.register"),
    ] {
        let found = records
            .iter()
            .any(|record| record.actor == actor && record.action == action);
        assert!(found, "{actor} {action}: {records:?}");
    }
    let all = format!("{records:?}");
    for secret in [
        &*code,
        text(&json, "client_secret"),
        text(&json, "registration_access_token"),
    ] {
        assert!(!all.contains(secret));
    }
    server.stop().await;
}
