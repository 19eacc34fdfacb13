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
    let post = request::post(profile, scope, NOW).unwrap();
    assert_eq!(post.url, ENDPOINT);
    assert_eq!(post.method, Method::POST);
    assert_eq!(header(&post, "content-type"), Some("application/ace+json"));
    let request = TokenRequest::from_json(post.body.as_bytes()).unwrap();
    (post, request)
}

fn answered(profile: &Profile, answer: &Value) -> Result<Token, TokenRequestError> {
    let response = HttpsResponse {
        status: 200,
        body: answer.to_string().into(),
    };
    answer::token(profile, None, NOW, &response)
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
    assert!(!post.body.contains("cret"));
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
    assert_eq!(token.broker_certificate_sha256, Some(digest));
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
        assert_eq!(token.broker_certificate_sha256, None);
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
        (
            "rs_cnf",
            json!({"jwk": public(&key(PopAlgorithm::EdDsa)).to_jwk()}),
        ),
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
        answer::token(&profile, None, NOW, &response)
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
