//! Tokens of each kind, in JSON and in CBOR, as their resource server verifies them.

use crate::harness::{
    AUDIENCE, CBOR, CONTENT_KEY, ISSUER, JSON, LIFETIME, RESOURCE_SERVER, SECRET, Server, asking,
    basic, key, now, proof, req_cnf, resource_server, with_secret,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use symbolon_ace_proto::{
    Claims, Confirmation, ErrorCode, ErrorResponse, Lifetimes, MacKey, PopAlgorithm, PopKey,
    SymmetricKey, TokenRequest, TokenResponse, Validation, derived_key, identifier,
    jwe::{ContentKey, ContentKeys},
    token,
};
use symbolon_auth_server::store::{
    Lifetime, Protection, ResourceServer, SymmetricKeys, TokenFormat, TokenKind,
};

const MAC_KEY: [u8; 32] = [8; 32];
const DERIVATION_KEY: [u8; 32] = [9; 32];

fn mac_key() -> MacKey {
    MacKey::new("mac-1", SymmetricKey::from_bytes(&MAC_KEY)).unwrap()
}

fn of_kind(tokens: TokenKind) -> ResourceServer {
    ResourceServer {
        tokens,
        mac_key: Some(mac_key()),
        derivation_key: Some(SymmetricKey::from_bytes(&DERIVATION_KEY)),
        ..asking(AUDIENCE, RESOURCE_SERVER)
    }
}

fn content_keys() -> ContentKeys {
    ContentKeys(vec![ContentKey {
        kid: "content-1".to_owned(),
        key: SymmetricKey::from_bytes(&CONTENT_KEY),
    }])
}

/// As a resource server does that knows one kind of keys only.
async fn verify(server: &Server, kind: TokenKind, token: &[u8]) -> Claims {
    let keys = match kind.protection {
        Protection::Sign => server.key_set().await,
        Protection::Mac => symbolon_ace_proto::KeySet::default().with_mac_keys(vec![mac_key()]),
    };
    let validation = Validation {
        keys: &keys,
        issuer: ISSUER,
        audience: AUDIENCE,
        now: now(),
        leeway_secs: 0,
        lifetimes: Lifetimes::DatesAndSpans,
    };
    token::verify(token, &validation).unwrap()
}

fn is_shape(format: TokenFormat, protection: Protection, token: &[u8]) -> bool {
    match (format, protection) {
        (TokenFormat::Jwt, _) => token.starts_with(b"ey"),
        // 61(18([ .. and 61(17([ ..
        (TokenFormat::Cwt, Protection::Sign) => token.starts_with(b"\xd8\x3d\xd2\x84"),
        (TokenFormat::Cwt, Protection::Mac) => token.starts_with(b"\xd8\x3d\xd1\x84"),
        (TokenFormat::Reference, _) => token.len() == 43,
    }
}

/// The key that the resource server finds for the token.
fn key_at_server(claims: &Claims, token: &[u8]) -> Vec<u8> {
    let resolved = match &claims.confirmation {
        Confirmation::KeyIdentifier(_) => return derived_key(&DERIVATION_KEY, token).to_vec(),
        other @ (Confirmation::Key(_) | Confirmation::Encrypted(_)) => {
            other.resolve(&content_keys()).unwrap()
        }
    };
    match resolved {
        PopKey::Hs256(secret) => secret.as_bytes().to_vec(),
        PopKey::Ed25519(_) | PopKey::Es256(_) => panic!("not symmetric"),
    }
}

fn key_at_client(response: &TokenResponse) -> (Vec<u8>, String) {
    let Some(Confirmation::Key(jwk)) = &response.cnf else {
        panic!("no key")
    };
    match PopKey::from_jwk(jwk).unwrap() {
        PopKey::Hs256(secret) => (secret.as_bytes().to_vec(), jwk.kid.clone().unwrap()),
        PopKey::Ed25519(_) | PopKey::Es256(_) => panic!("not symmetric"),
    }
}

/// What a client got, and the token as it reaches the resource server.
async fn granted(server: &Server, in_cbor: bool, client_id: &str) -> (TokenResponse, Vec<u8>) {
    let response = if in_cbor {
        let request = TokenRequest {
            audience: Some(AUDIENCE.to_owned()),
            profile_asked: true,
            ..TokenRequest::default()
        };
        let answer = server.ask_in_cbor(client_id, &request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("content-type"), Some(CBOR));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        TokenResponse::from_cbor(&answer.bytes).unwrap()
    } else {
        let authorization = basic(client_id, SECRET);
        let headers = [("authorization", &*authorization)];
        let body = json!({ "audience": AUDIENCE, "ace_profile": "" });
        let answer = server.ask(&headers, &body).await;
        answer.granted();
        TokenResponse::from_json(answer.body.as_bytes()).unwrap()
    };
    assert_eq!(response.ace_profile.as_deref(), Some("mqtt_tls"));
    let bytes = token::to_bytes(&response.access_token);
    (response, bytes)
}

// RFC 8392, RFC 9200 §5.8.2, RFC 9202 §3.3.1, RFC 9431 §2.1
#[tokio::test]
async fn a_symmetric_key_reaches_both_ends_by_a_token_of_each_kind() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    for format in [TokenFormat::Jwt, TokenFormat::Cwt] {
        for protection in [Protection::Sign, Protection::Mac] {
            for symmetric_keys in [SymmetricKeys::Encrypted, SymmetricKeys::Derived] {
                let kind = TokenKind {
                    format,
                    protection,
                    symmetric_keys,
                    lifetime: Lifetime::Exp,
                };
                server
                    .store
                    .put_resource_server(&of_kind(kind))
                    .await
                    .unwrap();
                for in_cbor in [false, true] {
                    let (response, token) = granted(&server, in_cbor, "c").await;
                    assert!(is_shape(format, protection, &token), "{kind:?}");
                    let claims = verify(&server, kind, &token).await;
                    let (secret, name) = key_at_client(&response);
                    assert_eq!(key_at_server(&claims, &token), secret, "{kind:?}");
                    // 16 random bytes, and the name that the token says too.
                    assert_eq!(identifier::to_bytes(&name).len(), 16);
                    if let Confirmation::KeyIdentifier(named) = &claims.confirmation {
                        assert_eq!(*named, identifier::to_bytes(&name));
                    }
                    assert_eq!(response.rs_cnf, None);
                    assert_eq!(response.expires_in_secs, Some(LIFETIME));
                }
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_public_key_stands_in_a_token_of_each_kind() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::EdDsa)).await;
    let own = key(PopAlgorithm::EdDsa);
    for (format, protection) in [
        (TokenFormat::Jwt, Protection::Mac),
        (TokenFormat::Cwt, Protection::Sign),
        (TokenFormat::Cwt, Protection::Mac),
    ] {
        let kind = TokenKind {
            format,
            protection,
            ..TokenKind::default()
        };
        server
            .store
            .put_resource_server(&of_kind(kind))
            .await
            .unwrap();
        let authorization = basic("c", SECRET);
        let answer = server
            .ask(
                &[("authorization", &authorization), ("dpop", &proof(&own))],
                &json!({ "req_cnf": req_cnf(&own) }),
            )
            .await;
        let json = answer.granted();
        assert_eq!(json["rs_cnf"], resource_server(AUDIENCE).rs_cnf.unwrap());
        let token = token::to_bytes(json["access_token"].as_str().unwrap());
        let claims = verify(&server, kind, &token).await;
        let there = claims.confirmation.resolve(&content_keys()).unwrap();
        assert_eq!(there.thumbprint(), own.verifying_key().thumbprint());
    }
}

// RFC 9200 §5.10.3
#[tokio::test]
async fn tokens_with_a_span_have_numbers_that_rise_and_are_used_once() {
    let server = Server::start().await;
    let beside = server.start_beside().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let kind = TokenKind {
        format: TokenFormat::Cwt,
        lifetime: Lifetime::Exi,
        ..TokenKind::default()
    };
    server
        .store
        .put_resource_server(&of_kind(kind))
        .await
        .unwrap();
    let number = async |at: &Server| {
        let (response, token) = granted(at, true, "c").await;
        let keys = at.key_set().await;
        let validation = Validation {
            keys: &keys,
            issuer: ISSUER,
            audience: AUDIENCE,
            now: now(),
            leeway_secs: 0,
            lifetimes: Lifetimes::Spans,
        };
        let claims = token::verify(&token, &validation).unwrap();
        assert_eq!(claims.expires_in_secs, Some(LIFETIME));
        assert_eq!(response.expires_in_secs, Some(LIFETIME));
        let cti = identifier::to_bytes(&claims.token_identifier.unwrap());
        let (audience, number) = cti.split_last_chunk::<8>().unwrap();
        assert_eq!(audience, AUDIENCE.as_bytes());
        u64::from_be_bytes(*number)
    };
    let mut numbers = BTreeSet::new();
    let mut last = [0; 2];
    for _ in 0..10 {
        // Two processes on one database, at once.
        let both: (u64, u64) = tokio::join!(number(&server), number(&beside));
        for (last, next) in last.iter_mut().zip([both.0, both.1]) {
            assert!(next > *last);
            *last = next;
            assert!(numbers.insert(next), "{next} twice");
        }
    }
    // A resource server that is changed goes on counting.
    server
        .store
        .put_resource_server(&of_kind(kind))
        .await
        .unwrap();
    assert!(number(&server).await > last[0]);
}

// RFC 9200 §5.8.3 and Figure 10: integers in CBOR.
#[tokio::test]
async fn errors_in_cbor_are_numbers() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let nowhere = TokenRequest {
        audience: Some("nowhere".to_owned()),
        ..TokenRequest::default()
    };
    let named = TokenRequest {
        req_cnf: Some(Confirmation::KeyIdentifier(vec![1, 2])),
        ..TokenRequest::default()
    };
    for (client_id, request, status, code) in [
        ("c", &nowhere, 400, ErrorCode::InvalidRequest),
        (
            "stranger",
            &TokenRequest::default(),
            401,
            ErrorCode::InvalidClient,
        ),
        ("c", &named, 400, ErrorCode::UnsupportedPopKey),
    ] {
        let answer = server.ask_in_cbor(client_id, request).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-type"), Some(CBOR));
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
        // 30: error, and its value is no text.
        assert!(
            answer
                .bytes
                .windows(3)
                .any(|part| part[..2] == [0x18, 30]
                    && part[2] == u8::try_from(code.number()).unwrap())
        );
        assert_eq!(ErrorResponse::from_cbor(&answer.bytes).unwrap().code, code);
    }
    // Another profile: 38 is ace_profile, 1 is coap_dtls.
    let authorization = basic("c", SECRET);
    let headers = [("content-type", CBOR), ("authorization", &*authorization)];
    let answer = server
        .send("POST /token", &headers, b"\xa1\x18\x26\x01")
        .await;
    let error = ErrorResponse::from_cbor(&answer.bytes).unwrap();
    assert_eq!(error.code, ErrorCode::IncompatibleAceProfiles);
    let answer = server.send("POST /token", &headers, b"nothing").await;
    let error = ErrorResponse::from_cbor(&answer.bytes).unwrap();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    // What OAuth has no code for has no body in CBOR.
    let answer = server.send("POST /nowhere", &headers, b"").await;
    assert_eq!((answer.status, answer.bytes.len()), (404, 0));
}

// RFC 9110 §12.5.1
#[tokio::test]
async fn accept_decides_between_json_and_cbor() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let cbor = TokenRequest::default().to_cbor().unwrap();
    for (content_type, accept, answered) in [
        (CBOR, "*/*", CBOR),
        (CBOR, JSON, JSON),
        (JSON, CBOR, CBOR),
        (JSON, "application/json;q=0.5, application/ace+cbor", CBOR),
        (CBOR, "application/json, application/ace+cbor", CBOR),
        (JSON, "application/ace+cbor, application/json", JSON),
        (CBOR, "application/ace+cbor;q=0", CBOR),
    ] {
        let headers = [
            ("content-type", content_type),
            ("accept", accept),
            ("authorization", &*authorization),
        ];
        let body = if content_type == CBOR {
            &cbor[..]
        } else {
            b"{}"
        };
        let answer = server.send("POST /token", &headers, body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            Some(answered),
            "{content_type} {accept}"
        );
    }
}

// RFC 9200 §5.8.4.4: the AS MUST copy cnonce into the token.
#[tokio::test]
async fn the_nonce_of_the_resource_server_stands_in_the_token() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let nonce = URL_SAFE_NO_PAD.encode([5; 8]);
    let answer = server.ask(&header, &json!({ "cnonce": nonce })).await;
    assert_eq!(server.verify(&answer).await.client_nonce, Some(vec![5; 8]));
    let request = TokenRequest {
        client_nonce: Some(vec![6; 8]),
        ..TokenRequest::default()
    };
    let answer = server.ask_in_cbor("c", &request).await;
    let response = TokenResponse::from_cbor(&answer.bytes).unwrap();
    let claims = verify(
        &server,
        TokenKind::default(),
        response.access_token.as_bytes(),
    )
    .await;
    assert_eq!(claims.client_nonce, Some(vec![6; 8]));
    for malformed in ["!", &"A".repeat(100)] {
        let answer = server.ask(&header, &json!({ "cnonce": malformed })).await;
        answer.refused(400, "invalid_request");
    }
}

fn named(kid: &str) -> Value {
    json!({ "req_cnf": { "kid": kid } })
}

// RFC 9202 §4
#[tokio::test]
async fn a_token_for_the_same_key_is_asked_for_by_its_name() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    server.add("other", with_secret(PopAlgorithm::Hs256)).await;
    for (format, symmetric_keys) in [
        (TokenFormat::Jwt, SymmetricKeys::Encrypted),
        (TokenFormat::Cwt, SymmetricKeys::Encrypted),
        (TokenFormat::Jwt, SymmetricKeys::Derived),
    ] {
        let kind = TokenKind {
            format,
            symmetric_keys,
            ..TokenKind::default()
        };
        server
            .store
            .put_resource_server(&of_kind(kind))
            .await
            .unwrap();
        let (first, _) = granted(&server, false, "c").await;
        let (secret, name) = key_at_client(&first);
        let authorization = basic("c", SECRET);
        let answer = server
            .ask(&[("authorization", &authorization)], &named(&name))
            .await;
        answer.granted();
        let second = TokenResponse::from_json(answer.body.as_bytes()).unwrap();
        let token = token::to_bytes(&second.access_token);
        let claims = verify(&server, kind, &token).await;
        match &claims.confirmation {
            // It MUST include the kid.
            Confirmation::KeyIdentifier(named) => {
                assert_eq!(*named, identifier::to_bytes(&name));
                assert_eq!(
                    second.cnf.unwrap().key_identifier(),
                    Some(identifier::to_bytes(&name))
                );
            }
            other @ (Confirmation::Key(_) | Confirmation::Encrypted(_)) => {
                let (_, named) = other.resolve_named(&content_keys()).unwrap();
                assert_eq!(named, Some(identifier::to_bytes(&name)));
                assert_eq!(key_at_server(&claims, &token), secret);
            }
        }
        // Nobody else's key, and none that never was.
        let authorization = basic("other", SECRET);
        for unknown in [&name, "AAAA"] {
            let answer = server
                .ask(&[("authorization", &authorization)], &named(unknown))
                .await;
            answer.refused(400, "unsupported_pop_key");
        }
    }
}

#[tokio::test]
async fn a_public_key_is_named_as_its_client_has_named_it_or_by_its_thumbprint() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Es256)).await;
    let own = key(PopAlgorithm::Es256);
    let authorization = basic("c", SECRET);
    let thumbprint = URL_SAFE_NO_PAD.encode(own.verifying_key().thumbprint());
    let mut labelled = req_cnf(&own);
    labelled["jwk"]["kid"] = json!("my-key");
    for (asked, kid) in [(req_cnf(&own), thumbprint.as_str()), (labelled, "my-key")] {
        let header = [("authorization", &*authorization)];
        server
            .ask(&header, &named(kid))
            .await
            .refused(400, "unsupported_pop_key");
        let proof = proof(&own);
        let headers = [header[0], ("dpop", &*proof)];
        server
            .ask(&headers, &json!({ "req_cnf": asked }))
            .await
            .granted();
        // Without a proof: it was proved when the first token was asked for.
        let answer = server.ask(&header, &named(kid)).await;
        let claims = server.verify(&answer).await;
        let (there, named) = claims.confirmation.resolve_named(&content_keys()).unwrap();
        assert_eq!(there.thumbprint(), own.verifying_key().thumbprint());
        assert_eq!(named, Some(identifier::to_bytes(kid)));
    }
}

// RFC 9200 §6.9, RFC 9201 §5
#[tokio::test]
async fn one_audience_may_stand_for_several_resource_servers() {
    let server = Server::start().await;
    let other = resource_server("broker-b");
    server.store.put_resource_server(&other).await.unwrap();
    let members = [AUDIENCE.to_owned(), "broker-b".to_owned()];
    server
        .store
        .add_to_audience_group("brokers", &members)
        .await
        .unwrap();
    server
        .add_at(
            "c",
            with_secret(PopAlgorithm::EdDsa),
            &[AUDIENCE, "broker-b"],
        )
        .await;
    server
        .add_at("half", with_secret(PopAlgorithm::EdDsa), &[AUDIENCE])
        .await;
    server
        .add_at(
            "s",
            with_secret(PopAlgorithm::Hs256),
            &[AUDIENCE, "broker-b"],
        )
        .await;
    let own = key(PopAlgorithm::EdDsa);
    let ask = async |client_id: &str, audience: &str| {
        let authorization = basic(client_id, SECRET);
        let proof = proof(&own);
        let headers = [("authorization", &*authorization), ("dpop", &*proof)];
        let body = json!({ "audience": audience, "req_cnf": req_cnf(&own) });
        server.ask(&headers, &body).await
    };
    let answer = ask("c", "brokers").await;
    let claims = server.verify(&answer).await;
    assert_eq!(claims.audience, ["brokers", AUDIENCE, "broker-b"]);
    assert_eq!(claims.scope.entries().len(), 2);
    // rs_cnf MUST NOT be there.
    assert_eq!(answer.json().get("rs_cnf"), None);
    assert!(ask("c", AUDIENCE).await.json().get("rs_cnf").is_some());
    // What may be done at each of them, and at one of two that is nothing.
    ask("half", "brokers").await.refused(400, "invalid_scope");
    // Not with symmetric keys.
    let authorization = basic("s", SECRET);
    let body = json!({ "audience": "brokers" });
    let answer = server
        .ask(&[("authorization", &authorization)], &body)
        .await;
    answer.refused(400, "unsupported_pop_key");
    // None of what is one resource server's alone.
    let counting = of_kind(TokenKind {
        lifetime: Lifetime::Exi,
        ..TokenKind::default()
    });
    assert!(server.store.put_resource_server(&counting).await.is_err());
    let group = resource_server("brokers");
    assert!(server.store.put_resource_server(&group).await.is_err());
    server.store.remove_audience_group("brokers").await.unwrap();
    ask("c", "brokers").await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_resource_server_without_a_content_key_gets_no_encrypted_keys() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let keyless = ResourceServer {
        content_key: None,
        ..resource_server(AUDIENCE)
    };
    server.store.put_resource_server(&keyless).await.unwrap();
    let authorization = basic("c", SECRET);
    let answer = server
        .ask(&[("authorization", &authorization)], &json!({}))
        .await;
    answer.refused(400, "unsupported_pop_key");
}

#[tokio::test]
async fn a_kind_without_its_key_or_with_one_key_for_two_purposes_is_not_stored() {
    let server = Server::start().await;
    let kind = TokenKind::default();
    for wrong in [
        ResourceServer {
            mac_key: None,
            ..of_kind(TokenKind {
                protection: Protection::Mac,
                ..kind
            })
        },
        ResourceServer {
            derivation_key: None,
            ..of_kind(TokenKind {
                symmetric_keys: SymmetricKeys::Derived,
                ..kind
            })
        },
        of_kind(TokenKind {
            format: TokenFormat::Reference,
            lifetime: Lifetime::Exi,
            ..kind
        }),
        ResourceServer {
            derivation_key: Some(SymmetricKey::from_bytes(&MAC_KEY)),
            ..of_kind(kind)
        },
        ResourceServer {
            derivation_key: Some(SymmetricKey::from_bytes(&[1; 31])),
            ..of_kind(kind)
        },
        ResourceServer {
            rs_cnf: Some(json!({ "x5t#S256": "short" })),
            ..of_kind(kind)
        },
        ResourceServer {
            rs_cnf: Some(json!({ "jwk": key(PopAlgorithm::EdDsa).to_jwk() })),
            ..of_kind(kind)
        },
    ] {
        assert!(
            server.store.put_resource_server(&wrong).await.is_err(),
            "{wrong:?}"
        );
    }
    let public = ResourceServer {
        rs_cnf: Some(req_cnf(&key(PopAlgorithm::EdDsa))),
        ..of_kind(kind)
    };
    server.store.put_resource_server(&public).await.unwrap();
}

// RFC 9052 §7
#[tokio::test]
async fn the_keys_are_there_in_cose_too() {
    let server = Server::start().await;
    let answer = server.send("GET /cose-keys", &[], b"").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/cose-key-set")
    );
    let keys = symbolon_ace_proto::KeySet::from_cose(&answer.bytes).unwrap();
    assert_eq!(keys.to_json(), server.key_set().await.to_json());
}
