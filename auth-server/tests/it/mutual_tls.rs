//! Clients that authenticate by a certificate, or prove their key by one (RFC 8705).

use crate::harness::{
    AUDIENCE, FORM, RESOURCE_SERVER, SECRET, Server, basic, resource_server, with_secret,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use symbolon_ace_proto::{PopAlgorithm, jwe::ContentKeys};
use symbolon_auth_server::store::{
    Client, ClientAuthentication, Policy, ResourceServer, ServerAccess,
};

fn key_pair() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params("ca.example");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, key_pair()).unwrap()
}

fn sha256(der: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    digest.as_ref().try_into().unwrap()
}

async fn register(server: &Server, client_id: &str, authentication: ClientAuthentication) {
    let client = Client {
        client_id: client_id.to_owned(),
        authentication,
        pop_algorithm: PopAlgorithm::Es256,
        refresh_tokens: false,
    };
    let policy = Policy::allow(client_id, AUDIENCE, "a");
    server.store.add_client(&client, &[policy]).await.unwrap();
}

fn jwk_of(key: &KeyPair) -> Value {
    let point = key.public_key_raw();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
}

fn asking_for(client_id: &str, key: &KeyPair) -> Value {
    json!({ "client_id": client_id, "req_cnf": { "jwk": jwk_of(key) } })
}

// RFC 8705 §2.2; RFC 9201 §3.1: the same key proves itself.
#[tokio::test]
async fn a_client_with_a_registered_certificate_gets_a_token_for_its_key() {
    let mut server = Server::start().await;
    let key = key_pair();
    let certificate = params("sensor").self_signed(&key).unwrap();
    let authentication = ClientAuthentication::Certificate {
        sha256: sha256(certificate.der()),
    };
    register(&server, "sensor", authentication).await;
    // Without the certificate it is nobody.
    let body = asking_for("sensor", &key);
    server.ask(&[], &body).await.refused(401, "invalid_client");
    server.show(vec![certificate.der().clone()], &key);
    let answer = server.ask(&[], &body).await;
    let claims = server.verify(&answer).await;
    assert_eq!(claims.client_id.as_deref(), Some("sensor"));
    let there = claims
        .confirmation
        .resolve(&ContentKeys::default())
        .unwrap();
    let expected = serde_json::from_value(jwk_of(&key)).unwrap();
    let expected = symbolon_ace_proto::PopKey::from_jwk(&expected).unwrap();
    assert_eq!(there.thumbprint(), expected.thumbprint());
    // Another key is not proved by it.
    let answer = server.ask(&[], &asking_for("sensor", &key_pair())).await;
    answer.refused(400, "invalid_request");
    // Nor is it another client's, whether there is one or not.
    register(&server, "secret", ClientAuthentication::from_secret(SECRET)).await;
    for other in ["secret", "stranger"] {
        let answer = server.ask(&[], &asking_for(other, &key)).await;
        answer.refused(401, "invalid_client");
    }
    // Another certificate with the same key is not the registered one.
    let again = params("sensor").self_signed(&key).unwrap();
    server.show(vec![again.der().clone()], &key);
    server.ask(&[], &body).await.refused(401, "invalid_client");
    server.stop().await;
}

// RFC 8705 §2.1
#[tokio::test]
async fn a_client_is_known_by_the_name_in_a_certificate_of_a_trusted_ca() {
    let ca = ca();
    let mut server = Server::start_believing(&ca.pem()).await;
    for (client_id, name) in [
        ("by-dns", "dns:sensor.example"),
        ("by-subject", "dn:CN=sensor.example"),
        ("other", "dns:other.example"),
    ] {
        let name = name.parse().unwrap();
        register(
            &server,
            client_id,
            ClientAuthentication::CertificateName(name),
        )
        .await;
    }
    let key = key_pair();
    let mut signed = params("sensor.example");
    signed.distinguished_name = rcgen::DistinguishedName::new();
    signed
        .distinguished_name
        .push(DnType::CommonName, "sensor.example");
    let certificate = signed.signed_by(&key, &ca).unwrap();
    server.show(vec![certificate.der().clone()], &key);
    for client_id in ["by-dns", "by-subject"] {
        server
            .ask(&[], &asking_for(client_id, &key))
            .await
            .granted();
    }
    let answer = server.ask(&[], &asking_for("other", &key)).await;
    answer.refused(401, "invalid_client");
    // The same name from a CA that nobody believes, and from itself.
    let stranger = self::ca();
    for certificate in [
        signed.signed_by(&key, &stranger).unwrap(),
        signed.self_signed(&key).unwrap(),
    ] {
        server.show(vec![certificate.der().clone()], &key);
        let answer = server.ask(&[], &asking_for("by-dns", &key)).await;
        answer.refused(401, "invalid_client");
    }
    server.stop().await;
}

#[tokio::test]
async fn without_a_ca_no_name_in_a_certificate_counts() {
    let mut server = Server::start().await;
    let name = "dns:sensor.example".parse().unwrap();
    register(&server, "c", ClientAuthentication::CertificateName(name)).await;
    let key = key_pair();
    let certificate = params("sensor.example").self_signed(&key).unwrap();
    server.show(vec![certificate.der().clone()], &key);
    let answer = server.ask(&[], &asking_for("c", &key)).await;
    answer.refused(401, "invalid_client");
}

#[tokio::test]
async fn a_certificate_may_prove_the_key_of_a_client_with_a_secret() {
    let mut server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Es256)).await;
    let key = key_pair();
    let certificate = params("whoever").self_signed(&key).unwrap();
    let authorization = basic("c", SECRET);
    let headers = [("authorization", &*authorization)];
    let body = json!({ "req_cnf": { "jwk": jwk_of(&key) } });
    server
        .ask(&headers, &body)
        .await
        .refused(400, "invalid_request");
    server.show(vec![certificate.der().clone()], &key);
    server.ask(&headers, &body).await.granted();
}

#[tokio::test]
async fn a_resource_server_may_ask_with_a_certificate() {
    let mut server = Server::start().await;
    let key = key_pair();
    let certificate = params("broker").self_signed(&key).unwrap();
    let asking = ResourceServer {
        access: Some(ServerAccess {
            client_id: RESOURCE_SERVER.to_owned(),
            authentication: ClientAuthentication::Certificate {
                sha256: sha256(certificate.der()),
            },
        }),
        ..resource_server(AUDIENCE)
    };
    server.store.put_resource_server(&asking).await.unwrap();
    server.show(vec![CertificateDer::from(certificate.der().to_vec())], &key);
    let body = format!("token=unknown&client_id={RESOURCE_SERVER}");
    let headers = [("content-type", FORM)];
    let answer = server
        .send("POST /introspect", &headers, body.as_bytes())
        .await;
    assert_eq!(answer.granted(), json!({ "active": false }));
    let path = format!("GET /trl?client_id={RESOURCE_SERVER}");
    assert_eq!(server.send(&path, &[], b"").await.status, 200);
}
