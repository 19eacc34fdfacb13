//! What resource servers are told about tokens (RFC 7662, RFC 9200 §5.9).

use crate::harness::{
    AUDIENCE, CBOR, CONTENT_KEY, FORM, ISSUER, JSON, LIFETIME, RESOURCE_SERVER, SECRET, Server,
    asking, basic, key, now, with_secret,
};
use serde_json::json;
use symbolon_ace_proto::{
    Confirmation, IntrospectionRequest, IntrospectionResponse, PopAlgorithm, PopKey, SymmetricKey,
    client_assertion::{self, ASSERTION_TYPE},
    introspection::ActiveToken,
    jwe::{ContentKey, ContentKeys},
    token,
};
use symbolon_auth_server::store::{
    ClientAuthentication, Policy, ResourceServer, ServerAccess, TokenFormat, TokenKind,
};

fn of_format(format: TokenFormat) -> ResourceServer {
    ResourceServer {
        tokens: TokenKind {
            format,
            ..TokenKind::default()
        },
        ..asking(AUDIENCE, RESOURCE_SERVER)
    }
}

async fn start(format: TokenFormat) -> Server {
    let server = Server::start().await;
    server
        .store
        .put_resource_server(&of_format(format))
        .await
        .unwrap();
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    server
}

/// The token and its key.
async fn token_of(server: &Server) -> (String, Vec<u8>) {
    let authorization = basic("c", SECRET);
    let body = json!({ "cnonce": "AQID" });
    let answer = server
        .ask(&[("authorization", &authorization)], &body)
        .await;
    let json = answer.granted();
    let jwk = serde_json::from_value(json["cnf"]["jwk"].clone()).unwrap();
    let PopKey::Hs256(secret) = PopKey::from_jwk(&jwk).unwrap() else {
        panic!("not symmetric")
    };
    let token = json["access_token"].as_str().unwrap().to_owned();
    (token, secret.as_bytes().to_vec())
}

async fn ask_in_cbor(server: &Server, token: &str) -> IntrospectionResponse {
    let question = IntrospectionRequest {
        token: token::to_bytes(token),
        token_type_hint: Some("PoP".to_owned()),
    };
    let authorization = basic(RESOURCE_SERVER, SECRET);
    let headers = [("content-type", CBOR), ("authorization", &*authorization)];
    let answer = server
        .send("POST /introspect", &headers, &question.to_cbor())
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some(CBOR));
    IntrospectionResponse::from_cbor(&answer.bytes).unwrap()
}

fn active(response: IntrospectionResponse) -> ActiveToken {
    match response {
        IntrospectionResponse::Active(token) => *token,
        IntrospectionResponse::Inactive => panic!("inactive"),
    }
}

fn key_in(told: &ActiveToken) -> Vec<u8> {
    let keys = ContentKeys(vec![ContentKey {
        kid: "content-1".to_owned(),
        key: SymmetricKey::from_bytes(&CONTENT_KEY),
    }]);
    let confirmation = told.confirmation.as_ref().unwrap();
    let PopKey::Hs256(secret) = confirmation.resolve(&keys).unwrap() else {
        panic!("not symmetric")
    };
    secret.as_bytes().to_vec()
}

// RFC 7662 §2.2, RFC 9200 §5.9.2, RFC 9201 §4
#[tokio::test]
async fn a_token_of_each_form_says_the_same_in_json_and_cbor() {
    for format in [TokenFormat::Reference, TokenFormat::Jwt, TokenFormat::Cwt] {
        let server = start(format).await;
        let before = now();
        let (token, secret) = token_of(&server).await;
        if format == TokenFormat::Reference {
            // 32 random bytes in base64url, which no CWT or JWT begins like.
            assert_eq!(token.len(), 43);
            assert_eq!(token::Form::of(token.as_bytes()), Some(token::Form::Jwt));
        }
        let answer = server
            .question("/introspect", RESOURCE_SERVER, &token)
            .await;
        assert_eq!(answer.header("content-type"), Some(JSON));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.granted();
        let in_json = active(IntrospectionResponse::from_json(answer.body.as_bytes()).unwrap());
        let in_cbor = active(ask_in_cbor(&server, &token).await);
        for told in [&in_json, &in_cbor] {
            assert_eq!(told.issuer.as_deref(), Some(ISSUER));
            assert_eq!(told.subject.as_deref(), Some("c"));
            assert_eq!(told.client_id.as_deref(), Some("c"));
            assert_eq!(told.audience, [AUDIENCE]);
            let issued_at = told.issued_at.unwrap();
            assert!(before <= issued_at && issued_at <= now());
            assert_eq!(told.expires_at, Some(issued_at.plus_secs(LIFETIME)));
            assert_eq!(told.scope.as_ref().unwrap().entries().len(), 2);
            assert_eq!(told.client_nonce, Some(vec![1, 2, 3]));
            assert!(told.profile_named);
            assert_eq!(key_in(told), secret, "{format:?}");
        }
        // Each message has the form of encrypted keys that is its own.
        let text = |told: &ActiveToken| match told.confirmation.clone().unwrap() {
            Confirmation::Encrypted(text) => text,
            Confirmation::Key(_) | Confirmation::KeyIdentifier(_) => panic!("not encrypted"),
        };
        assert!(text(&in_json).contains('.') && !text(&in_cbor).contains('.'));
    }
}

// RFC 7662 §2.2: and nothing else.
#[tokio::test]
async fn unknown_expired_and_foreign_tokens_are_inactive() {
    let server = start(TokenFormat::Reference).await;
    let other = ResourceServer {
        tokens: TokenKind {
            format: TokenFormat::Reference,
            ..TokenKind::default()
        },
        ..asking("elsewhere", "broker-2")
    };
    server.store.put_resource_server(&other).await.unwrap();
    let authorization = basic("c", SECRET);
    let answer = server
        .ask(
            &[("authorization", &authorization)],
            &json!({ "audience": AUDIENCE }),
        )
        .await;
    let token = answer.granted()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(server.is_active(&token).await);
    assert!(!server.is_active("unknown").await);
    assert!(!server.is_active("2D3ShA").await);
    let foreign = server.question("/introspect", "broker-2", &token).await;
    assert_eq!(foreign.json(), json!({ "active": false }));
    let unknown = ask_in_cbor(&server, "unknown").await;
    assert!(matches!(unknown, IntrospectionResponse::Inactive));

    let short = Policy {
        subscribe: false,
        token_lifetime_secs: Some(1),
        ..Policy::allow("c", AUDIENCE, "short")
    };
    server.store.add_policy(&short).await.unwrap();
    let answer = server
        .ask(
            &[("authorization", &authorization)],
            &json!({ "audience": AUDIENCE }),
        )
        .await;
    let token = answer.granted()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    assert!(!server.is_active(&token).await);
    server.stop().await;
}

// RFC 9200 §5.9.3
#[tokio::test]
async fn whoever_may_not_ask_is_told_nothing() {
    let server = start(TokenFormat::Reference).await;
    let (token, _) = token_of(&server).await;
    for (who, status) in [("stranger", 401), ("c", 403)] {
        let answer = server.question("/introspect", who, &token).await;
        assert_eq!((answer.status, answer.bytes.len()), (status, 0));
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
    let wrong = basic(RESOURCE_SERVER, "wrong");
    let headers = [("content-type", FORM), ("authorization", &*wrong)];
    let body = format!("token={token}");
    let answer = server
        .send("POST /introspect", &headers, body.as_bytes())
        .await;
    assert_eq!((answer.status, answer.bytes.len()), (401, 0));
    let headers = [("content-type", FORM)];
    let answer = server
        .send("POST /introspect", &headers, body.as_bytes())
        .await;
    assert_eq!((answer.status, answer.bytes.len()), (401, 0));
    // A resource server is no client.
    let authorization = basic(RESOURCE_SERVER, SECRET);
    let answer = server
        .ask(&[("authorization", &authorization)], &json!({}))
        .await;
    answer.refused(401, "invalid_client");
    // RFC 7662 §4: a token does not stand in the URI.
    let answer = server
        .send(
            &format!("POST /introspect?{body}"),
            &[("content-type", FORM)],
            b"",
        )
        .await;
    answer.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_resource_server_may_authenticate_by_a_key_or_in_the_body() {
    let server = start(TokenFormat::Reference).await;
    let (token, _) = token_of(&server).await;
    let body = format!("token={token}&client_id={RESOURCE_SERVER}&client_secret={SECRET}");
    let headers = [("content-type", FORM)];
    let answer = server
        .send("POST /introspect", &headers, body.as_bytes())
        .await;
    assert_eq!(answer.granted()["active"], true);
    let own = key(PopAlgorithm::EdDsa);
    let with_key = ResourceServer {
        access: Some(ServerAccess {
            client_id: RESOURCE_SERVER.to_owned(),
            authentication: ClientAuthentication::Key(Box::new(own.verifying_key().to_jwk())),
        }),
        ..of_format(TokenFormat::Reference)
    };
    server.store.put_resource_server(&with_key).await.unwrap();
    let assertion = client_assertion::make(RESOURCE_SERVER, ISSUER, &own, now()).unwrap();
    let kind = ASSERTION_TYPE.replace(':', "%3A");
    let body = format!("token={token}&client_assertion_type={kind}&client_assertion={assertion}");
    let answer = server
        .send("POST /introspect", &headers, body.as_bytes())
        .await;
    assert_eq!(answer.granted()["active"], true);
    // Once.
    let answer = server
        .send("POST /introspect", &headers, body.as_bytes())
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn one_name_is_either_a_clients_or_a_resource_servers() {
    let server = start(TokenFormat::Jwt).await;
    let twice = asking("elsewhere", "c");
    assert!(server.store.put_resource_server(&twice).await.is_err());
    let twice = asking("elsewhere", RESOURCE_SERVER);
    assert!(server.store.put_resource_server(&twice).await.is_err());
    let client = symbolon_auth_server::store::Client {
        client_id: RESOURCE_SERVER.to_owned(),
        authentication: ClientAuthentication::from_secret(SECRET),
        pop_algorithm: PopAlgorithm::Hs256,
        refresh_tokens: false,
    };
    assert!(server.store.add_client(&client, &[]).await.is_err());
}
