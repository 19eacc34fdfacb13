//! Refresh tokens (RFC 6749 §6, RFC 9200 §4).

use crate::harness::{
    AUDIENCE, Answer, RESOURCE_SERVER, Registration, SECRET, Server, asking, basic, key, proof,
    req_cnf, scope, with_secret,
};
use serde_json::{Value, json};
use symbolon_ace_proto::{
    Confirmation, PopAlgorithm, PopKey, TokenRequest, TokenResponse, jwe::ContentKeys,
};

async fn start(pop_algorithm: PopAlgorithm) -> Server {
    let server = Server::start().await;
    let asking = asking(AUDIENCE, RESOURCE_SERVER);
    server.store.put_resource_server(&asking).await.unwrap();
    let how = Registration {
        refresh_tokens: true,
        ..with_secret(pop_algorithm)
    };
    server.add("c", how).await;
    server
}

async fn ask(server: &Server, client_id: &str, body: &Value) -> Answer {
    let authorization = basic(client_id, SECRET);
    server.ask(&[("authorization", &authorization)], body).await
}

fn refresh(token: &str) -> Value {
    json!({ "grant_type": "refresh_token", "refresh_token": token })
}

fn text(answer: &Answer, name: &str) -> String {
    answer.granted()[name].as_str().unwrap().to_owned()
}

// RFC 6749 §6, RFC 9200 §4
#[tokio::test]
async fn a_refresh_token_gets_a_token_for_the_same_key_and_is_replaced() {
    let server = start(PopAlgorithm::EdDsa).await;
    let own = key(PopAlgorithm::EdDsa);
    let authorization = basic("c", SECRET);
    let proof = proof(&own);
    let headers = [("authorization", &*authorization), ("dpop", &*proof)];
    let body = json!({ "req_cnf": req_cnf(&own) });
    let first = server.ask(&headers, &body).await;
    // No proof any more, and another refresh token.
    let second = ask(&server, "c", &refresh(&text(&first, "refresh_token"))).await;
    let claims = server.verify(&second).await;
    let there = claims
        .confirmation
        .resolve(&ContentKeys::default())
        .unwrap();
    assert_eq!(there.thumbprint(), own.verifying_key().thumbprint());
    assert_ne!(text(&second, "access_token"), text(&first, "access_token"));
    assert_ne!(
        text(&second, "refresh_token"),
        text(&first, "refresh_token")
    );
    // RFC 6749 §6: less may be asked for.
    let mut less = refresh(&text(&second, "refresh_token"));
    less["scope"] = json!(scope(r#"[["news/1",["sub"]]]"#).to_base64url());
    let third = ask(&server, "c", &less).await;
    assert_eq!(server.verify(&third).await.scope.entries().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_symmetric_key_stays_the_same_in_json_and_cbor() {
    let server = start(PopAlgorithm::Hs256).await;
    let secret = |cnf: &Confirmation| match cnf {
        Confirmation::Key(jwk) => match PopKey::from_jwk(jwk).unwrap() {
            PopKey::Hs256(secret) => secret.as_bytes().to_vec(),
            PopKey::Ed25519(_) | PopKey::Es256(_) => panic!("not symmetric"),
        },
        Confirmation::Encrypted(_) | Confirmation::KeyIdentifier(_) => panic!("no key"),
    };
    let first = ask(&server, "c", &json!({})).await;
    first.granted();
    let first = TokenResponse::from_json(first.body.as_bytes()).unwrap();
    let request = TokenRequest {
        grant_type: Some("refresh_token".to_owned()),
        refresh_token: first.refresh_token.clone(),
        ..TokenRequest::default()
    };
    let second = server.ask_in_cbor("c", &request).await;
    assert_eq!(second.status, 200, "{}", second.body);
    let second = TokenResponse::from_cbor(&second.bytes).unwrap();
    assert_eq!(secret(&second.cnf.unwrap()), secret(&first.cnf.unwrap()));
    let third = ask(&server, "c", &refresh(&second.refresh_token.unwrap())).await;
    third.granted();
}

// RFC 6749 §10.4: a token in two hands.
#[tokio::test]
async fn a_refresh_token_shown_twice_takes_all_that_came_from_it_along() {
    let server = start(PopAlgorithm::Hs256).await;
    let first = ask(&server, "c", &json!({})).await;
    let second = ask(&server, "c", &refresh(&text(&first, "refresh_token"))).await;
    assert!(server.is_active(&text(&second, "access_token")).await);
    let again = ask(&server, "c", &refresh(&text(&first, "refresh_token"))).await;
    again.refused(400, "invalid_grant");
    for answer in [&first, &second] {
        assert!(!server.is_active(&text(answer, "access_token")).await);
    }
    let next = ask(&server, "c", &refresh(&text(&second, "refresh_token"))).await;
    next.refused(400, "invalid_grant");
}

// RFC 7009 §2.1
#[tokio::test]
async fn a_revoked_refresh_token_is_of_no_use_and_neither_are_its_tokens() {
    let server = start(PopAlgorithm::Hs256).await;
    let first = ask(&server, "c", &json!({})).await;
    let token = text(&first, "refresh_token");
    let answer = server.question("/revoke", "c", &token).await;
    assert_eq!(answer.status, 200);
    ask(&server, "c", &refresh(&token))
        .await
        .refused(400, "invalid_grant");
    assert!(!server.is_active(&text(&first, "access_token")).await);
}

#[tokio::test]
async fn a_refresh_token_is_of_its_client_for_its_audience_and_its_key() {
    let server = start(PopAlgorithm::Hs256).await;
    server.add("other", with_secret(PopAlgorithm::Hs256)).await;
    // RFC 6749 §5.1: only whoever is registered for it.
    let plain = ask(&server, "other", &json!({})).await;
    assert_eq!(plain.granted().get("refresh_token"), None);
    let token = text(&ask(&server, "c", &json!({})).await, "refresh_token");
    for (client_id, body) in [
        ("other", refresh(&token)),
        ("c", refresh("unknown")),
        ("c", json!({ "grant_type": "refresh_token" })),
        ("c", {
            let mut body = refresh(&token);
            body["audience"] = json!("elsewhere");
            body
        }),
    ] {
        ask(&server, client_id, &body)
            .await
            .refused(400, "invalid_grant");
    }
    let mut other_key = refresh(&token);
    other_key["req_cnf"] = req_cnf(&key(PopAlgorithm::EdDsa));
    ask(&server, "c", &other_key)
        .await
        .refused(400, "invalid_request");
    // None of that used it up; and what the client may not do any more it does not get.
    for policy in server.store.policies(Some("c")).await.unwrap() {
        server.store.remove_policy(policy.id).await.unwrap();
    }
    ask(&server, "c", &refresh(&token))
        .await
        .refused(400, "invalid_scope");
}
