//! Every grant and every refusal of the token endpoint.

use crate::harness::{
    ACE_JSON, AUDIENCE, CONTENT_KEY, FORM, ISSUER, JSON, LIFETIME, Registration, SECRET, Server,
    TOKEN_ENDPOINT, and, assertion, basic, by_assertion, key, now, proof, req_cnf, resource_server,
    scope, with_key, with_secret,
};
use serde_json::{Value, json};
use symbolon_ace_proto::{
    Confirmation, PopAlgorithm, PopKey, SymmetricKey,
    client_assertion::{self, ASSERTION_TYPE},
    dpop,
    jwe::{ContentKey, ContentKeys},
};
use symbolon_auth_server::store::{Client, ClientAuthentication, Policy, Store};

fn content_keys() -> ContentKeys {
    ContentKeys(vec![ContentKey {
        kid: "content-1".to_owned(),
        key: SymmetricKey::from_bytes(&CONTENT_KEY),
    }])
}

fn thumbprint_of(confirmation: &Confirmation) -> [u8; 32] {
    let key = confirmation.resolve(&content_keys()).unwrap();
    key.thumbprint()
}

fn policy(client_id: &str, filter: &str, token_lifetime_secs: Option<u64>) -> Policy {
    Policy {
        token_lifetime_secs,
        ..Policy::allow(client_id, AUDIENCE, filter)
    }
}

// RFC 9201 §3.1, RFC 9431 §2.1
#[tokio::test]
async fn a_client_with_a_secret_gets_a_token_for_a_key_it_proves_by_dpop() {
    let server = Server::start().await;
    for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
        let client_id = format!("c-{algorithm:?}");
        server.add(&client_id, with_secret(algorithm)).await;
        let own = key(algorithm);
        let before = now();
        let answer = server
            .ask(
                &[
                    ("authorization", &basic(&client_id, SECRET)),
                    ("dpop", &proof(&own)),
                ],
                &json!({ "req_cnf": req_cnf(&own), "audience": AUDIENCE, "ace_profile": "" }),
            )
            .await;
        let json = answer.granted();
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some(JSON));
        assert_eq!(json["token_type"], "PoP");
        assert_eq!(json["expires_in"], LIFETIME);
        assert_eq!(json["ace_profile"], "mqtt_tls");
        assert_eq!(json["rs_cnf"], resource_server(AUDIENCE).rs_cnf.unwrap());
        assert_eq!(json.get("cnf"), None);

        let claims = server.verify(&answer).await;
        assert_eq!(claims.subject.as_deref(), Some(&*client_id));
        assert_eq!(claims.client_id.as_deref(), Some(&*client_id));
        assert_eq!(claims.audience, [AUDIENCE]);
        let issued_at = claims.issued_at.unwrap();
        assert!(before <= issued_at && issued_at <= now());
        assert_eq!(claims.expires_at, issued_at.plus_secs(LIFETIME));
        assert_eq!(
            thumbprint_of(&claims.confirmation),
            own.verifying_key().thumbprint()
        );
        let whole = scope(&format!(
            r#"[["devices/{client_id}/#",["pub","sub"]],["news/+",["sub"]]]"#
        ));
        assert_eq!(claims.scope, whole);
        assert_eq!(json["scope"], whole.to_base64url());
    }
    server.stop().await;
}

// RFC 9200 §5.8.1 and RFC 9431 §2.1: without req_cnf the AS makes a symmetric key, encrypted in the token.
#[tokio::test]
async fn a_client_for_hs256_gets_a_new_key_which_only_it_and_the_broker_can_read() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let mut keys = Vec::new();
    let mut identifiers = Vec::new();
    for _ in 0..2 {
        let answer = server
            .ask(&[("authorization", &authorization)], &json!({}))
            .await;
        let json = answer.granted();
        let jwk = serde_json::from_value(json["cnf"]["jwk"].clone()).unwrap();
        let given = PopKey::from_jwk(&jwk).unwrap();
        let PopKey::Hs256(secret) = &given else {
            panic!("not symmetric")
        };
        assert_eq!(secret.as_bytes().len(), 32);
        // RFC 9201 §3.2: rs_cnf MUST NOT be present with a symmetric key.
        assert_eq!(json.get("rs_cnf"), None);

        let claims = server.verify(&answer).await;
        assert!(matches!(claims.confirmation, Confirmation::Encrypted(_)));
        assert_eq!(thumbprint_of(&claims.confirmation), given.thumbprint());
        keys.push(given.thumbprint());
        identifiers.push(claims.token_identifier.unwrap());
    }
    assert_ne!(keys[0], keys[1]);
    assert_ne!(identifiers[0], identifiers[1]);
    // 128 bits in base64url
    assert_eq!(identifiers[0].len(), 22);
}

#[tokio::test]
async fn an_assertion_proves_the_key_it_is_signed_with() {
    let server = Server::start().await;
    for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
        let client_id = format!("c-{algorithm:?}");
        let own = key(algorithm);
        server.add(&client_id, with_key(&own)).await;
        for named in [false, true] {
            let mut body = by_assertion(&assertion(&client_id, &own));
            if named {
                body["req_cnf"] = req_cnf(&own);
            }
            let answer = server.ask(&[], &body).await;
            let claims = server.verify(&answer).await;
            assert_eq!(
                thumbprint_of(&claims.confirmation),
                own.verifying_key().thumbprint()
            );
            assert_eq!(answer.json().get("cnf"), None);
        }
    }
}

// RFC 7523 §3, point 3: the token endpoint URL may be the audience too.
#[tokio::test]
async fn an_assertion_may_name_the_token_endpoint_and_no_other_audience() {
    let server = Server::start().await;
    let own = key(PopAlgorithm::EdDsa);
    server.add("c", with_key(&own)).await;
    let made_for =
        |audience| by_assertion(&client_assertion::make("c", audience, &own, now()).unwrap());
    server.ask(&[], &made_for(TOKEN_ENDPOINT)).await.granted();
    let answer = server.ask(&[], &made_for("https://other.example")).await;
    answer.refused(401, "invalid_client");
}

#[tokio::test]
async fn another_key_than_the_assertions_needs_a_dpop_header() {
    let server = Server::start().await;
    let (own, other) = (key(PopAlgorithm::EdDsa), key(PopAlgorithm::EdDsa));
    server.add("c", with_key(&own)).await;
    let body = || {
        and(
            by_assertion(&assertion("c", &own)),
            "req_cnf",
            req_cnf(&other),
        )
    };
    let refused = server.ask(&[], &body()).await;
    let description = refused.refused(400, "invalid_request");
    assert!(description.contains("DPoP"), "{description}");
    let wrong = server.ask(&[("dpop", &proof(&own))], &body()).await;
    // The assertion proves `own`, the header too, and nothing proves `other`.
    wrong.refused(400, "invalid_request");

    let answer = server.ask(&[("dpop", &proof(&other))], &body()).await;
    let claims = server.verify(&answer).await;
    assert_eq!(
        thumbprint_of(&claims.confirmation),
        other.verifying_key().thumbprint()
    );
}

#[tokio::test]
async fn a_client_for_a_key_pair_must_name_one_unless_its_assertion_does() {
    let server = Server::start().await;
    server.add("secret", with_secret(PopAlgorithm::EdDsa)).await;
    let own = key(PopAlgorithm::Es256);
    let unlike = Registration {
        refresh_tokens: false,
        key: Some(&own),
        pop_algorithm: PopAlgorithm::EdDsa,
    };
    server.add("unlike", unlike).await;
    let authorization = basic("secret", SECRET);
    for answer in [
        server
            .ask(&[("authorization", &authorization)], &json!({}))
            .await,
        server
            .ask(&[], &by_assertion(&assertion("unlike", &own)))
            .await,
    ] {
        let description = answer.refused(400, "invalid_request");
        assert!(description.contains("req_cnf"), "{description}");
    }
}

// RFC 9201 §3.1, RFC 9200 §5.8.3
#[tokio::test]
async fn a_key_the_as_cannot_or_must_not_take_is_refused() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::EdDsa)).await;
    server.add("h", with_secret(PopAlgorithm::Hs256)).await;
    let es256 = key(PopAlgorithm::Es256);
    let secret = key(PopAlgorithm::Hs256);
    let p384 = json!({ "jwk": { "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" } });
    for (client_id, cnf, code) in [
        ("c", json!({ "jwk": secret.to_jwk() }), "invalid_request"),
        ("h", json!({ "jwk": secret.to_jwk() }), "invalid_request"),
        ("c", json!({ "jwe": "a.b.c.d.e" }), "invalid_request"),
        ("c", json!({ "kid": "AAAA" }), "unsupported_pop_key"),
        ("c", req_cnf(&es256), "unsupported_pop_key"),
        ("h", req_cnf(&es256), "unsupported_pop_key"),
        ("c", p384, "unsupported_pop_key"),
    ] {
        let answer = server
            .ask(
                &[
                    ("authorization", &basic(client_id, SECRET)),
                    ("dpop", &proof(&es256)),
                ],
                &json!({ "req_cnf": cnf }),
            )
            .await;
        let description = answer.refused(400, code);
        assert!(description.contains("req_cnf"), "{cnf}: {description}");
    }
}

#[tokio::test]
async fn a_dpop_header_must_be_one_for_this_endpoint_used_once_and_with_req_cnf() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::EdDsa)).await;
    let own = key(PopAlgorithm::EdDsa);
    let authorization = basic("c", SECRET);
    let authorization = ("authorization", &*authorization);
    let body = json!({ "req_cnf": req_cnf(&own) });

    let once = proof(&own);
    let first = server.ask(&[authorization, ("dpop", &once)], &body).await;
    first.granted();
    let again = server.ask(&[authorization, ("dpop", &once)], &body).await;
    // RFC 9449 §11.1
    again.refused(400, "invalid_request");

    let elsewhere = dpop::make("POST", "https://other.example/token", &own, now()).unwrap();
    let get = dpop::make("GET", TOKEN_ENDPOINT, &own, now()).unwrap();
    let now = now();
    let old = dpop::make(
        "POST",
        TOKEN_ENDPOINT,
        &own,
        now.minus(dpop::WINDOW_SECS + 60),
    )
    .unwrap();
    for wrong in [&*elsewhere, &get, &old, "a.b.c", "", "\u{e4}"] {
        let answer = server.ask(&[authorization, ("dpop", wrong)], &body).await;
        answer.refused(400, "invalid_request");
    }
    let (left, right) = (proof(&own), proof(&own));
    let headers = [authorization, ("dpop", &left), ("dpop", &right)];
    let twice = server.ask(&headers, &body).await;
    twice.refused(400, "invalid_request");
    let alone = proof(&own);
    let alone = server
        .ask(&[authorization, ("dpop", &alone)], &json!({}))
        .await;
    alone.refused(400, "invalid_request");
}

/// A time some seconds before.
trait Minus {
    fn minus(self, secs: u64) -> Self;
}

impl Minus for symbolon_ace_proto::UnixTime {
    fn minus(self, secs: u64) -> Self {
        Self(self.0 - secs)
    }
}

// RFC 9431 §2.1: application/ace+json; RFC 9200 §5.8.1: forms as RFC 6749 has them.
#[tokio::test]
async fn requests_may_be_json_ace_json_or_forms_and_answers_follow() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let form = format!(
        "grant_type=client_credentials&audience={AUDIENCE}&scope={}",
        scope(r#"[["news/+",["sub"]]]"#).to_base64url()
    );
    let json = json!({ "audience": AUDIENCE }).to_string();
    for (content_type, accept, body, answered) in [
        (JSON, "*/*", &json, JSON),
        ("application/json; charset=utf-8", "*/*", &json, JSON),
        (ACE_JSON, "*/*", &json, ACE_JSON),
        ("Application/ACE+JSON", "*/*", &json, ACE_JSON),
        (JSON, ACE_JSON, &json, ACE_JSON),
        (
            JSON,
            "text/html, application/ace+json;q=0.5",
            &json,
            ACE_JSON,
        ),
        (JSON, "application/ace+json;q=0", &json, JSON),
        (FORM, "*/*", &form, JSON),
        (FORM, ACE_JSON, &form, ACE_JSON),
    ] {
        let headers = [
            ("authorization", &*authorization),
            ("content-type", content_type),
            ("accept", accept),
        ];
        let answer = server.send("POST /token", &headers, body.as_bytes()).await;
        answer.granted();
        assert_eq!(answer.header("content-type"), Some(answered));
        // A refusal has the same form.
        let headers = [("content-type", content_type), ("accept", accept)];
        let answer = server.send("POST /token", &headers, body.as_bytes()).await;
        answer.refused(401, "invalid_client");
        assert_eq!(answer.header("content-type"), Some(answered));
    }
}

#[tokio::test]
async fn another_content_type_is_not_supported() {
    let server = Server::start().await;
    for headers in [
        &[("content-type", "text/plain")][..],
        &[("content-type", "application/cbor")],
        &[("content-type", "")],
        &[],
    ] {
        let answer = server.send("POST /token", headers, b"{}").await;
        answer.refused(415, "invalid_request");
    }
}

// RFC 6749 §2.3.1: both parts are form-urlencoded inside.
#[tokio::test]
async fn the_parts_of_basic_authentication_are_form_urlencoded() {
    let server = Server::start().await;
    server
        .add("urn:dev:%1", with_secret(PopAlgorithm::Hs256))
        .await;
    let encoded_secret = SECRET.replace('Y', "%59").replace('q', "%71");
    for authorization in [
        basic("urn%3Adev%3a%251", SECRET),
        basic("urn%3Adev%3A%251", &encoded_secret),
        basic("urn%3Adev%3A%251", SECRET).replace("Basic ", "bAsIc   "),
    ] {
        let answer = server
            .ask(&[("authorization", &authorization)], &json!({}))
            .await;
        answer.granted();
    }
    // Not encoded, the first colon ends the name.
    let answer = server
        .ask(
            &[("authorization", &basic("urn:dev:%251", SECRET))],
            &json!({}),
        )
        .await;
    answer.refused(401, "invalid_client");
}

// RFC 6749 §5.2
#[tokio::test]
async fn unknown_clients_and_wrong_credentials_get_the_same_answer() {
    let server = Server::start().await;
    let own = key(PopAlgorithm::EdDsa);
    server.add("secret", with_secret(PopAlgorithm::Hs256)).await;
    server.add("key", with_key(&own)).await;
    let mut answers = Vec::new();
    for authorization in [
        basic("secret", "wrong"),
        basic("secret", ""),
        basic("key", SECRET),
        basic("nobody", SECRET),
        basic("", ""),
        basic("a/b", SECRET),
        "Basic !".to_owned(),
        "Basic".to_owned(),
        "Basic YQ==".to_owned(),
        basic("secret%", SECRET),
        basic("%ff", SECRET),
    ] {
        answers.push(
            server
                .ask(&[("authorization", &authorization)], &json!({}))
                .await,
        );
    }
    let forger = key(PopAlgorithm::EdDsa);
    let es256 = key(PopAlgorithm::Es256);
    for assertion in [
        assertion("key", &forger),
        assertion("key", &es256),
        assertion("nobody", &forger),
        assertion("nobody", &es256),
        assertion("secret", &forger),
        client_assertion::make("key", ISSUER, &own, now().minus(3600)).unwrap(),
        client_assertion::make("key", ISSUER, &own, now().plus_secs(3600)).unwrap(),
        "a.b.c".to_owned(),
        String::new(),
    ] {
        answers.push(server.ask(&[], &by_assertion(&assertion)).await);
    }
    for answer in &answers {
        answer.refused(401, "invalid_client");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Basic realm=\"token\""));
        assert_eq!(answer, &answers[0]);
    }
}

// RFC 7523 §3, point 7
#[tokio::test]
async fn an_assertion_is_accepted_once() {
    let server = Server::start().await;
    let own = key(PopAlgorithm::EdDsa);
    server.add("c", with_key(&own)).await;
    let body = by_assertion(&assertion("c", &own));
    server.ask(&[], &body).await.granted();
    server.ask(&[], &body).await.refused(401, "invalid_client");
    // By whatever process on the same database: a second one, or this one started again.
    let other = server.start_beside().await;
    other.ask(&[], &body).await.refused(401, "invalid_client");
    let next = by_assertion(&assertion("c", &own));
    other.ask(&[], &next).await.granted();
    server.ask(&[], &next).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn exactly_one_supported_method_of_authentication_is_needed() {
    let server = Server::start().await;
    let own = key(PopAlgorithm::EdDsa);
    server.add("secret", with_secret(PopAlgorithm::Hs256)).await;
    server.add("key", with_key(&own)).await;
    let authorization = basic("secret", SECRET);
    let header = [("authorization", &*authorization)];
    let in_body = json!({ "client_id": "secret", "client_secret": SECRET });
    let signed = by_assertion(&assertion("key", &own));
    // RFC 6749 §2.3: not more than one method.
    for (headers, body) in [
        (&header[..], in_body.clone()),
        (&header, signed.clone()),
        (&[], and(signed.clone(), "client_secret", SECRET)),
        (&[header[0], header[0]], json!({})),
    ] {
        let answer = server.ask(headers, &body).await;
        answer.refused(400, "invalid_request");
    }
    let half = json!({ "client_assertion": signed["client_assertion"] });
    server.ask(&[], &half).await.refused(400, "invalid_request");
    let half = json!({ "client_assertion_type": ASSERTION_TYPE });
    server.ask(&[], &half).await.refused(400, "invalid_request");
    // RFC 6749 §5.2: none, or one that is not supported.
    for (headers, body) in [
        (&[][..], json!({})),
        (&[], json!({ "client_id": "secret" })),
        (
            &[],
            and(signed.clone(), "client_assertion_type", "urn:other"),
        ),
        (&[("authorization", "Bearer abc")], json!({})),
        (&[("authorization", "")], json!({})),
    ] {
        let answer = server.ask(headers, &body).await;
        answer.refused(401, "invalid_client");
        assert!(answer.header("www-authenticate").is_some());
    }
    // RFC 6749 §2.3.1: client_secret_post.
    server.ask(&[], &in_body).await.granted();
    let wrong = json!({ "client_id": "secret", "client_secret": "x" });
    server.ask(&[], &wrong).await.refused(401, "invalid_client");
    let nameless = json!({ "client_secret": SECRET });
    let answer = server.ask(&[], &nameless).await;
    answer.refused(400, "invalid_request");
    // Nothing of that used the assertion up.
    server.ask(&[], &signed).await.granted();
}

#[tokio::test]
async fn a_client_id_in_the_body_must_be_the_authenticated_client() {
    let server = Server::start().await;
    let own = key(PopAlgorithm::EdDsa);
    server.add("secret", with_secret(PopAlgorithm::Hs256)).await;
    server.add("key", with_key(&own)).await;
    let authorization = basic("secret", SECRET);
    let header = [("authorization", &*authorization)];
    for (named, status) in [("secret", 200), ("key", 400)] {
        let answer = server.ask(&header, &json!({ "client_id": named })).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    for (named, status) in [("key", 200), ("secret", 400)] {
        let body = and(by_assertion(&assertion("key", &own)), "client_id", named);
        let answer = server.ask(&[], &body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

#[tokio::test]
async fn the_audience_may_be_left_out_while_there_is_one_resource_server() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let answer = server.ask(&header, &json!({})).await;
    assert_eq!(server.verify(&answer).await.audience, [AUDIENCE]);

    let other = resource_server("other");
    server.store.put_resource_server(&other).await.unwrap();
    let answer = server.ask(&header, &json!({})).await;
    let description = answer.refused(400, "invalid_request");
    assert!(description.contains("audience"), "{description}");
    let answer = server.ask(&header, &json!({ "audience": AUDIENCE })).await;
    answer.granted();
    let answer = server.ask(&header, &json!({ "audience": "nowhere" })).await;
    let description = answer.refused(400, "invalid_request");
    assert!(description.contains("audience"), "{description}");
    // Registered there, but with nothing allowed.
    let answer = server.ask(&header, &json!({ "audience": "other" })).await;
    answer.refused(400, "invalid_scope");
}

// RFC 9431 §2.3, RFC 6749 §3.3
#[tokio::test]
async fn the_requested_scope_is_cut_to_what_is_allowed() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let ask = |json| json!({ "scope": scope(json).to_base64url() });
    for (asked, granted) in [
        (
            r#"[["devices/c/a",["pub"]]]"#,
            r#"[["devices/c/a",["pub"]]]"#,
        ),
        (
            r##"[["#",["pub","sub"]]]"##,
            r#"[["devices/c/#",["pub","sub"]],["news/+",["sub"]]]"#,
        ),
        (
            r#"[["news/x",["pub","sub"]],["devices/d/a",["pub"]]]"#,
            r#"[["news/x",["sub"]]]"#,
        ),
    ] {
        let answer = server.ask(&header, &ask(asked)).await;
        assert_eq!(server.verify(&answer).await.scope, scope(granted));
        assert_eq!(answer.json()["scope"], scope(granted).to_base64url());
    }
    for asked in [
        r#"[["news/x",["pub"]]]"#,
        r#"[["devices/d/#",["sub"]]]"#,
        "[]",
    ] {
        let answer = server.ask(&header, &ask(asked)).await;
        answer.refused(400, "invalid_scope");
    }
    for malformed in ["!", "e30", "W1tdXQ"] {
        let answer = server.ask(&header, &json!({ "scope": malformed })).await;
        answer.refused(400, "invalid_scope");
    }
}

// RFC 9431 §2.2.4.2.1: token and proof share the 65,535 bytes of Authentication Data.
#[tokio::test]
async fn a_token_that_no_connect_could_carry_is_not_issued() {
    let server = Server::start().await;
    let client = Client {
        client_id: "c".to_owned(),
        authentication: ClientAuthentication::from_secret(SECRET),
        pop_algorithm: PopAlgorithm::Hs256,
        refresh_tokens: false,
    };
    let long = "x".repeat(100);
    let policies: Vec<Policy> = (0..Store::MAX_POLICIES_PER_CLIENT)
        .map(|number| policy("c", &format!("{long}/{number}"), None))
        .collect();
    server.store.add_client(&client, &policies).await.unwrap();
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let answer = server.ask(&header, &json!({})).await;
    let description = answer.refused(400, "invalid_scope");
    assert!(description.contains("ask for less"), "{description}");
    let less = scope(&format!(r#"[["{long}/7",["pub"]]]"#)).to_base64url();
    let answer = server.ask(&header, &json!({ "scope": less })).await;
    answer.granted();
}

#[tokio::test]
async fn a_broken_database_is_a_server_error_that_tells_nothing() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let broken = crate::place::bytes_of("broken");
    let statement = format!("UPDATE client SET auth_method = 'key', auth_data = {broken}");
    crate::place::tamper(&server.database, statement)
        .await
        .unwrap();
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let answer = server.ask(&header, &json!({})).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json(), json!({ "error": "server_error" }));
    // Others are served.
    server.add("d", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("d", SECRET);
    let header = [("authorization", &*authorization)];
    server.ask(&header, &json!({})).await.granted();
}

#[tokio::test]
async fn what_another_process_changes_holds_for_the_next_request() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let body = json!({ "scope": scope(r#"[["new",["pub"]]]"#).to_base64url() });
    let answer = server.ask(&header, &body).await;
    answer.refused(400, "invalid_scope");

    let other = Store::open_at(&server.database).await.unwrap();
    let id = other
        .add_policy(&policy("c", "new", Some(60)))
        .await
        .unwrap();
    let granted = server.ask(&header, &body).await.granted();
    // The policy's own limit is the shorter one.
    assert_eq!(granted["expires_in"], 60);
    other.remove_policy(id).await.unwrap();
    let answer = server.ask(&header, &body).await;
    answer.refused(400, "invalid_scope");
    other.remove_client("c", now()).await.unwrap();
    let answer = server.ask(&header, &json!({})).await;
    answer.refused(401, "invalid_client");
}

// RFC 6749 §5.2, RFC 9200 §5.8.1
#[tokio::test]
async fn client_credentials_is_the_default_and_grants_by_people_are_refused() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let body = json!({ "grant_type": "client_credentials" });
    server.ask(&header, &body).await.granted();
    for other in ["password", "authorization_code", ""] {
        let answer = server.ask(&header, &json!({ "grant_type": other })).await;
        answer.refused(400, "unsupported_grant_type");
    }
}

// RFC 6749 §3.2: unrecognized parameters are ignored.
#[tokio::test]
async fn unknown_parameters_are_ignored_and_those_in_the_uri_refused() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let body = json!({ "something": { "else": [1, null] } });
    server.ask(&header, &body).await.granted();
    let headers = [header[0], ("content-type", FORM)];
    let answer = server.send("POST /token?audience=a", &headers, b"").await;
    answer.refused(400, "invalid_request");
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("c", SECRET);
    let header = [("authorization", &*authorization)];
    let body: Value = json!({});
    let ask = || async { server.ask(&header, &body).await.status };
    let four = || async { tokio::join!(ask(), ask(), ask(), ask()) };
    let statuses = tokio::join!(four(), four(), four(), four());
    let all = (200, 200, 200, 200);
    assert_eq!(statuses, (all, all, all, all));
    server.stop().await;
}
