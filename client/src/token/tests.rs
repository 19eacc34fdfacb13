//! What is asked and what is taken for an answer.

use super::*;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use symbolon_ace_proto::{
    ErrorCode, Jwk, PopAlgorithm, PopKey, client_assertion, dpop, token_request::TokenRequest,
};
use symbolon_tls::https::{HttpsRequest, HttpsResponse, Method};

const NOW: UnixTime = UnixTime(1_800_000_000);
const ENDPOINT: &str = "https://as.example:8443/token";

fn key(algorithm: PopAlgorithm) -> Jwk {
    PopSigner::generate(algorithm).unwrap().to_jwk()
}

fn public(jwk: &Jwk) -> PopKey {
    PopSigner::from_jwk(jwk).unwrap().verifying_key()
}

fn profile(client_auth: &Value, pop: &Value) -> Profile {
    let json = json!({
        "client_id": "sensor 1/ä",
        "issuer": "https://as.example:8443",
        "token_endpoint": ENDPOINT,
        "broker": "mqtts://broker.example",
        "audience": "broker",
        "ca": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
        "client_auth": client_auth,
        "pop": pop,
        "scope": [["sensors/1/#", ["pub", "sub"]]],
    });
    Profile::from_json(&json.to_string()).unwrap()
}

fn secret() -> Value {
    json!({"method": "client_secret_basic", "secret": "s+cret:1"})
}

fn header<'a>(post: &'a HttpsRequest, name: &str) -> Option<&'a str> {
    let mut found = post.headers.iter().filter(|(key, _)| *key == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none());
    value
}

fn asked(profile: &Profile, scope: Option<&Scope>) -> (HttpsRequest, TokenRequest) {
    let post = request::post(
        profile,
        Ask {
            scope,
            ..Ask::default()
        },
        NOW,
    )
    .unwrap();
    assert_eq!(post.url, ENDPOINT);
    assert_eq!(post.method, Method::POST);
    assert_eq!(header(&post, "content-type"), Some("application/ace+json"));
    let request = TokenRequest::from_json(&post.body).unwrap();
    (post, request)
}

fn answered(profile: &Profile, answer: &Value) -> Result<Token, TokenRequestError> {
    let response = HttpsResponse {
        status: 200,
        body: answer.to_string().into(),
    };
    answer::token(profile, Ask::default(), NOW, &response)
}

fn not_understood(result: Result<Token, TokenRequestError>) -> String {
    match result {
        Err(TokenRequestError::Answer(problem)) => problem,
        other => panic!("not understood, not {other:?}"),
    }
}

// RFC 6749 §2.3.1 and Appendix B
#[test]
fn a_secret_goes_form_encoded_into_the_authorization_header() {
    let (post, request) = asked(&profile(&secret(), &json!({"alg": "HS256"})), None);
    // "sensor+1%2F%C3%A4:s%2Bcret%3A1"
    let expected = "Basic c2Vuc29yKzElMkYlQzMlQTQ6cyUyQmNyZXQlM0Ex";
    assert_eq!(header(&post, "authorization"), Some(expected));
    assert!(!str::from_utf8(&post.body).unwrap().contains("cret"));
    assert_eq!(request.client_secret, None);
    assert_eq!(request.client_assertion, None);
}

// RFC 9431 §2.1, RFC 9200 §5.8.1
#[test]
fn the_request_names_audience_scope_and_asks_for_the_profile() {
    let profile = profile(&secret(), &json!({"alg": "HS256"}));
    let (post, request) = asked(&profile, None);
    assert_eq!(request.grant_type.as_deref(), Some("client_credentials"));
    assert_eq!(request.audience.as_deref(), Some("broker"));
    assert_eq!(request.scope, Some(profile.parsed_scope().unwrap()));
    assert!(request.profile_asked);
    // The AS makes the key, so there is none to name and none to prove.
    assert!(request.req_cnf.is_none());
    assert_eq!(header(&post, "dpop"), None);
    let narrow = Scope::from_json(r#"[["sensors/1/t",["pub"]]]"#).unwrap();
    let (_, request) = asked(&profile, Some(&narrow));
    assert_eq!(request.scope, Some(narrow));
}

// RFC 9201 §3.1
#[test]
fn an_own_key_is_named_without_its_secret_and_proved() {
    for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
        let jwk = key(algorithm);
        let pop = json!({"alg": algorithm.as_str(), "jwk": jwk});
        let (post, request) = asked(&profile(&secret(), &pop), None);
        let Some(symbolon_ace_proto::Confirmation::Key(named)) = request.req_cnf else {
            panic!("a key")
        };
        assert!(PopSigner::from_jwk(&named).is_err());
        assert_eq!(PopKey::from_jwk(&named).unwrap(), public(&jwk));
        let proof = header(&post, "dpop").unwrap();
        let proof = dpop::verify(proof, "POST", ENDPOINT, NOW).unwrap();
        assert_eq!(proof.key, public(&jwk));
    }
}

// RFC 7523 §2.2
#[test]
fn a_private_key_signs_an_assertion_for_the_issuer() {
    let (own, pop) = (key(PopAlgorithm::Es256), key(PopAlgorithm::EdDsa));
    let client_auth = json!({"method": "private_key_jwt", "jwk": own});
    let (post, request) = asked(
        &profile(&client_auth, &json!({"alg": "EdDSA", "jwk": pop})),
        None,
    );
    assert_eq!(header(&post, "authorization"), None);
    assert_eq!(
        request.client_assertion_type.as_deref(),
        Some(client_assertion::ASSERTION_TYPE)
    );
    let assertion = request.client_assertion.unwrap();
    let audiences = ["https://as.example:8443"];
    let assertion = client_assertion::verify(&assertion, &public(&own), &audiences, NOW).unwrap();
    assert_eq!(assertion.client_id, "sensor 1/ä");
    assert!(header(&post, "dpop").is_some());
}

#[test]
fn an_assertion_with_the_same_key_proves_it_already() {
    let jwk = key(PopAlgorithm::EdDsa);
    let client_auth = json!({"method": "private_key_jwt", "jwk": jwk});
    let (post, request) = asked(
        &profile(&client_auth, &json!({"alg": "EdDSA", "jwk": jwk})),
        None,
    );
    assert_eq!(header(&post, "dpop"), None);
    assert!(request.req_cnf.is_some());
}

// RFC 9201 §3.2
#[test]
fn a_token_comes_with_the_key_that_the_server_made() {
    let jwk = key(PopAlgorithm::Hs256);
    let profile = profile(&secret(), &json!({"alg": "HS256"}));
    let digest = [7; 32];
    let token = answered(
        &profile,
        &json!({
            "access_token": "abc.def.ghi",
            "token_type": "PoP",
            "expires_in": 600,
            "ace_profile": "mqtt_tls",
            "cnf": {"jwk": jwk},
            "rs_cnf": {"x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(digest)},
        }),
    )
    .unwrap();
    assert_eq!(token.text, "abc.def.ghi");
    assert_eq!(token.obtained_at, NOW);
    assert_eq!(token.expires_at, NOW.plus_secs(600));
    assert_eq!(token.broker, Some(BrokerKey::CertificateSha256(digest)));
    assert_eq!(token.signer.verifying_key(), public(&jwk));
    assert!(!format!("{token:?}").contains("abc"));
}

#[test]
fn a_token_for_an_own_key_needs_no_key() {
    let jwk = key(PopAlgorithm::EdDsa);
    let profile = profile(&secret(), &json!({"alg": "EdDSA", "jwk": jwk}));
    for cnf in [json!(null), json!({"jwk": public(&jwk).to_jwk()})] {
        let mut answer = json!({"access_token": "t", "expires_in": 600});
        if !cnf.is_null() {
            answer["cnf"] = cnf;
        }
        let token = answered(&profile, &answer).unwrap();
        assert_eq!(token.signer.verifying_key(), public(&jwk));
        assert_eq!(token.broker, None);
    }
    let other = public(&key(PopAlgorithm::EdDsa)).to_jwk();
    let answer = json!({"access_token": "t", "expires_in": 600, "cnf": {"jwk": other}});
    let problem = not_understood(answered(&profile, &answer));
    assert_eq!(problem, "the token is bound to another key");
}

#[test]
fn an_answer_that_a_device_cannot_use_is_refused() {
    let profile = profile(&secret(), &json!({"alg": "HS256"}));
    let cnf = json!({"jwk": key(PopAlgorithm::Hs256)});
    let good = json!({"access_token": "t", "expires_in": 600, "cnf": cnf});
    answered(&profile, &good).unwrap();
    for (name, value) in [
        // RFC 9200 §5.10.4
        ("expires_in", json!(null)),
        ("access_token", json!(null)),
        ("token_type", json!("Bearer")),
        ("ace_profile", json!("coap_dtls")),
        ("cnf", json!(null)),
        ("cnf", json!({"jwe": "a.b.c.d.e"})),
        ("cnf", json!({"jwk": key(PopAlgorithm::EdDsa)})),
        ("rs_cnf", json!({"jwk": key(PopAlgorithm::EdDsa)})),
        ("rs_cnf", json!({"kid": "broker"})),
        ("rs_cnf", json!({"x5t#S256": "c2hvcnQ"})),
    ] {
        let mut answer = good.clone();
        if value.is_null() {
            answer.as_object_mut().unwrap().remove(name);
        } else {
            answer[name] = value;
        }
        not_understood(answered(&profile, &answer));
    }
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let profile = profile(&secret(), &json!({"alg": "HS256"}));
    let refused = |status, body: &'static str| {
        let response = HttpsResponse {
            status,
            body: body.into(),
        };
        answer::token(&profile, Ask::default(), NOW, &response)
    };
    let body = r#"{"error":"invalid_client","error_description":"no such client"}"#;
    match refused(401, body) {
        Err(TokenRequestError::Refused(refusal)) => {
            assert_eq!(refusal.code, ErrorCode::InvalidClient);
        }
        other => panic!("refused, not {other:?}"),
    }
    for status in [302, 404, 502] {
        let problem = not_understood(refused(status, "<html>"));
        assert_eq!(problem, format!("HTTP status {status}"));
    }
    not_understood(refused(200, body));
    not_understood(refused(200, "not JSON"));
}

// RFC 9201 §3.2, RFC 7250
#[test]
fn the_broker_may_be_known_by_a_raw_public_key() {
    let profile = profile(&secret(), &json!({"alg": "HS256"}));
    let broker = public(&key(PopAlgorithm::Es256)).to_jwk();
    let answer = json!({
        "access_token": "t",
        "expires_in": 600,
        "cnf": {"jwk": key(PopAlgorithm::Hs256)},
        "rs_cnf": {"jwk": broker},
    });
    let token = answered(&profile, &answer).unwrap();
    assert!(matches!(token.broker, Some(BrokerKey::Raw(_))));
}

// RFC 9200 §5.3.1: the nonce of the hint goes into the request.
#[test]
fn the_nonce_of_a_hint_goes_along() {
    let profile = profile(&secret(), &json!({"alg": "HS256"}));
    let ask = Ask {
        client_nonce: Some(b"nonce"),
        ..Ask::default()
    };
    let post = request::post(&profile, ask, NOW).unwrap();
    let request = TokenRequest::from_json(&post.body).unwrap();
    assert_eq!(request.client_nonce.as_deref(), Some(&b"nonce"[..]));
}

fn held() -> HeldKey {
    HeldKey {
        key_identifier: b"\x01\x02".to_vec(),
        signer: PopSigner::generate(PopAlgorithm::Hs256).unwrap(),
    }
}

// RFC 9202 §4
#[test]
fn another_token_for_the_key_that_is_held_is_asked_for_by_its_name() {
    let profile = profile(&secret(), &json!({"alg": "HS256"}));
    let held = held();
    let ask = Ask {
        held: Some(&held),
        ..Ask::default()
    };
    let post = request::post(&profile, ask, NOW).unwrap();
    let request = TokenRequest::from_json(&post.body).unwrap();
    let named = request.req_cnf.unwrap().key_identifier();
    assert_eq!(named.as_deref(), Some(&b"\x01\x02"[..]));

    let answered = |cnf: Value| {
        let mut answer = json!({"access_token": "t", "expires_in": 600});
        if !cnf.is_null() {
            answer["cnf"] = cnf;
        }
        let response = HttpsResponse {
            status: 200,
            body: answer.to_string().into(),
        };
        answer::token(&profile, ask, NOW, &response)
    };
    for cnf in [
        json!(null),
        json!({"kid": "AQI"}),
        json!({"jwk": {"kty": "oct", "kid": "AQI"}}),
    ] {
        let token = answered(cnf).unwrap();
        assert_eq!(token.signer.verifying_key(), held.signer.verifying_key());
        assert_eq!(token.key_identifier, Some(held.key_identifier.clone()));
    }
    let problem = not_understood(answered(json!({"kid": "AQM"})));
    assert_eq!(problem, "the token is bound to another key");
    // An AS that does not do so makes another key.
    let other = key(PopAlgorithm::Hs256).with_kid("AQM");
    let token = answered(json!({"jwk": other})).unwrap();
    assert_eq!(token.signer.verifying_key(), public(&other));
    assert_eq!(token.key_identifier.as_deref(), Some(&b"\x01\x03"[..]));
}

fn in_cbor(pop: &Value) -> Profile {
    let mut profile = profile(&secret(), pop);
    profile.encoding = Some(Encoding::Cbor);
    profile
}

// RFC 9431 §2.1, RFC 9200 §5.8.4
#[test]
fn a_request_may_be_cbor_and_a_cwt_in_the_answer_goes_on_as_its_bytes() {
    let profile = in_cbor(&json!({"alg": "HS256"}));
    let post = request::post(&profile, Ask::default(), NOW).unwrap();
    assert_eq!(header(&post, "content-type"), Some("application/ace+cbor"));
    assert_eq!(header(&post, "accept"), Some("application/ace+cbor"));
    let request = TokenRequest::from_cbor(&post.body).unwrap();
    assert_eq!(request.audience.as_deref(), Some("broker"));

    let cwt = b"\xd2\x84\x43\xa1\x01\x27\xa0\x41\xa0\x41\x00";
    let text = BASE64_URL_SAFE_NO_PAD.encode(cwt);
    let response = symbolon_ace_proto::TokenResponse::from_json(
        json!({
            "access_token": text,
            "expires_in": 600,
            "cnf": {"jwk": key(PopAlgorithm::Hs256)},
        })
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    let take = |body: Vec<u8>| {
        let response = HttpsResponse {
            status: 200,
            body: body.into(),
        };
        answer::token(&profile, Ask::default(), NOW, &response).unwrap()
    };
    let token = take(response.to_cbor().unwrap().to_vec());
    assert_eq!(token.as_bytes(), cwt);
    assert_eq!(token.text, text);
    // What came as text is opaque, and goes on as the same text: the broker takes both (RFC 9431 §2.2.4.2 does not say which).
    let token = take(response.to_json().into_bytes());
    assert_eq!(token.as_bytes(), text.as_bytes());
}

#[test]
fn a_refusal_in_cbor_is_understood_and_one_in_json_too() {
    let profile = in_cbor(&json!({"alg": "HS256"}));
    let refusal = symbolon_ace_proto::ErrorResponse::new(ErrorCode::InvalidScope, "no");
    for body in [refusal.to_cbor(), refusal.to_json().into_bytes()] {
        let response = HttpsResponse {
            status: 400,
            body: body.into(),
        };
        match answer::token(&profile, Ask::default(), NOW, &response) {
            Err(TokenRequestError::Refused(refused)) => assert_eq!(refused, refusal),
            other => panic!("refused, not {other:?}"),
        }
    }
}
