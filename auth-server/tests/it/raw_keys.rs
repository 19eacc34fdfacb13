//! Clients that authenticate by a raw public key in the TLS handshake (RFC 7250), on the port where others show certificates.

use crate::harness::{
    AUDIENCE, FORM, RESOURCE_SERVER, SECRET, Server, basic, resource_server, with_secret,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopKey, jwe::ContentKeys};
use symbolon_auth_server::store::{
    Client, ClientAuthentication, Policy, ResourceServer, ServerAccess,
};

fn key_pair(algorithm: PopAlgorithm) -> KeyPair {
    KeyPair::generate_for(match algorithm {
        PopAlgorithm::EdDsa => &rcgen::PKCS_ED25519,
        PopAlgorithm::Es256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        PopAlgorithm::Hs256 => panic!("no key pair"),
    })
    .unwrap()
}

fn jwk_of(key: &KeyPair) -> Value {
    let raw = key.public_key_raw();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    if raw.len() == 32 {
        return json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(raw) });
    }
    json!({ "kty": "EC", "crv": "P-256", "x": encode(&raw[1..33]), "y": encode(&raw[33..]) })
}

fn parsed(jwk: &Value) -> Jwk {
    serde_json::from_value(jwk.clone()).unwrap()
}

async fn register(server: &Server, client_id: &str, key: &KeyPair, algorithm: PopAlgorithm) {
    let client = Client {
        client_id: client_id.to_owned(),
        authentication: ClientAuthentication::RawPublicKey(Box::new(parsed(&jwk_of(key)))),
        pop_algorithm: algorithm,
        refresh_tokens: false,
    };
    let policy = Policy::allow(client_id, AUDIENCE, "a");
    server.store.add_client(&client, &[policy]).await.unwrap();
}

fn asking_for(client_id: &str, key: &KeyPair) -> Value {
    json!({ "client_id": client_id, "req_cnf": { "jwk": jwk_of(key) } })
}

// RFC 7250 §3; RFC 9201 §3.1: the same key proves itself.
#[tokio::test]
async fn a_client_with_a_registered_raw_key_gets_a_token_for_it() {
    for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
        let mut server = Server::start().await;
        let key = key_pair(algorithm);
        register(&server, "sensor", &key, algorithm).await;
        let body = asking_for("sensor", &key);
        server.ask(&[], &body).await.refused(401, "invalid_client");
        server.show_raw_key(&key);
        let answer = server.ask(&[], &body).await;
        let claims = server.verify(&answer).await;
        let there = claims
            .confirmation
            .resolve(&ContentKeys::default())
            .unwrap();
        let expected = PopKey::from_jwk(&parsed(&jwk_of(&key))).unwrap();
        assert_eq!(there.thumbprint(), expected.thumbprint());
        // Another key is not proved by it.
        let other = key_pair(algorithm);
        let answer = server.ask(&[], &asking_for("sensor", &other)).await;
        answer.refused(400, "invalid_request");
        server.show_raw_key(&other);
        server.ask(&[], &body).await.refused(401, "invalid_client");
        // It comes back from the database as what it was.
        let stored = server.store.client("sensor").await.unwrap().unwrap();
        assert_eq!(stored.authentication.method_name(), "symbolon_rpk");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_raw_key_and_a_certificate_of_it_are_not_the_same() {
    let mut server = Server::start().await;
    let key = key_pair(PopAlgorithm::Es256);
    register(&server, "by-key", &key, PopAlgorithm::Es256).await;
    let params = CertificateParams::new(vec!["sensor".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
    let client = Client {
        client_id: "by-certificate".to_owned(),
        authentication: ClientAuthentication::Certificate {
            sha256: sha256.as_ref().try_into().unwrap(),
        },
        pop_algorithm: PopAlgorithm::Es256,
        refresh_tokens: false,
    };
    let policy = Policy::allow("by-certificate", AUDIENCE, "a");
    server.store.add_client(&client, &[policy]).await.unwrap();
    for (raw, right, wrong) in [
        (true, "by-key", "by-certificate"),
        (false, "by-certificate", "by-key"),
    ] {
        if raw {
            server.show_raw_key(&key);
        } else {
            server.show(vec![certificate.der().clone()], &key);
        }
        server.ask(&[], &asking_for(right, &key)).await.granted();
        let answer = server.ask(&[], &asking_for(wrong, &key)).await;
        answer.refused(401, "invalid_client");
        let answer = server.ask(&[], &asking_for("stranger", &key)).await;
        answer.refused(401, "invalid_client");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_raw_key_may_prove_the_key_of_a_client_with_a_secret() {
    let mut server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::EdDsa)).await;
    let key = key_pair(PopAlgorithm::EdDsa);
    let authorization = basic("c", SECRET);
    let headers = [("authorization", &*authorization)];
    let body = json!({ "req_cnf": { "jwk": jwk_of(&key) } });
    let answer = server.ask(&headers, &body).await;
    answer.refused(400, "invalid_request");
    server.show_raw_key(&key);
    server.ask(&headers, &body).await.granted();
    server.stop().await;
}

#[tokio::test]
async fn a_resource_server_may_ask_with_a_raw_key() {
    let mut server = Server::start().await;
    let key = key_pair(PopAlgorithm::EdDsa);
    let asking = ResourceServer {
        access: Some(ServerAccess {
            client_id: RESOURCE_SERVER.to_owned(),
            authentication: ClientAuthentication::RawPublicKey(Box::new(parsed(&jwk_of(&key)))),
        }),
        ..resource_server(AUDIENCE)
    };
    server.store.put_resource_server(&asking).await.unwrap();
    let body = format!("token=unknown&client_id={RESOURCE_SERVER}");
    let headers = [("content-type", FORM)];
    let ask = "POST /introspect";
    assert_eq!(
        server.send(ask, &headers, body.as_bytes()).await.status,
        401
    );
    server.show_raw_key(&key);
    let answer = server.send(ask, &headers, body.as_bytes()).await;
    assert_eq!(answer.granted(), json!({ "active": false }));
    server.stop().await;
}
