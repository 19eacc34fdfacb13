//! What stands beside the token endpoint.

use crate::harness::{ISSUER, Server, TOKEN_ENDPOINT};
use serde_json::json;
use symbolon_ace_proto::{Jwk, SigningKey, jwt::SigningAlgorithm};
use symbolon_auth_server::{AuthServer, Config, IssuerError, StartError};

// RFC 8414 §2 and §3
#[tokio::test]
async fn metadata_names_the_endpoints_and_what_they_support() {
    let server = Server::start().await;
    let answer = server
        .send("GET /.well-known/oauth-authorization-server", &[], b"")
        .await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let methods = json!([
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
        "symbolon_rpk",
    ]);
    assert_eq!(
        answer.granted(),
        json!({
            "issuer": ISSUER,
            "token_endpoint": TOKEN_ENDPOINT,
            "introspection_endpoint": "https://as.example.com/introspect",
            "revocation_endpoint": "https://as.example.com/revoke",
            "registration_endpoint": "https://as.example.com/register",
            "jwks_uri": "https://as.example.com/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials", "refresh_token"],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256"],
            "introspection_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256"],
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256"],
            "dpop_signing_alg_values_supported": ["EdDSA", "ES256"],
            "symbolon_cose_keys_uri": "https://as.example.com/cose-keys",
            "symbolon_trl_endpoint": "https://as.example.com/trl",
            "symbolon_trl_hash": "sha-256",
            "symbolon_trl_max_n": 128,
            "symbolon_trl_max_diff_batch": 32,
        })
    );
}

#[tokio::test]
async fn where_nobody_may_register_there_is_no_endpoint_for_it() {
    let server = Server::start_without_registration().await;
    let answer = server
        .send("GET /.well-known/oauth-authorization-server", &[], b"")
        .await;
    assert!(answer.granted().get("registration_endpoint").is_none());
    for start in ["POST /register", "GET /register/c"] {
        assert_eq!(server.send(start, &[], b"").await.status, 404);
    }
}

// RFC 8414 §3.1
#[tokio::test]
async fn an_issuer_with_a_path_has_its_endpoints_below_it() {
    let server = Server::start_as("https://example.com/tenant").await;
    let answer = server
        .send(
            "GET /.well-known/oauth-authorization-server/tenant",
            &[],
            b"",
        )
        .await;
    let metadata = answer.granted();
    assert_eq!(metadata["issuer"], "https://example.com/tenant");
    assert_eq!(
        metadata["token_endpoint"],
        "https://example.com/tenant/token"
    );
    let answer = server.send("GET /tenant/jwks.json", &[], b"").await;
    answer.granted();
    let answer = server.send("POST /tenant/token", &[], b"").await;
    answer.refused(415, "invalid_request");
    let answer = server.send("POST /tenant/register", &[], b"").await;
    answer.refused(401, "invalid_token");
    assert_eq!(server.send("POST /token", &[], b"").await.status, 404);
}

// RFC 7517 §5
#[tokio::test]
async fn the_key_set_holds_public_keys_only_and_is_cached_for_a_short_time() {
    let server = Server::start().await;
    let answer = server.send("GET /jwks.json", &[], b"").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/jwk-set+json")
    );
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    let keys = answer.granted();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["alg"]), (&json!("OKP"), &json!("EdDSA")));
    assert!(key["kid"].is_string());
    assert_eq!(key.get("d"), None);
    let _: Jwk = serde_json::from_value(key.clone()).unwrap();
}

#[tokio::test]
async fn other_paths_and_methods_get_a_short_json_error() {
    let server = Server::start().await;
    for (start, status, error) in [
        ("GET /", 404, "not_found"),
        ("POST /token/", 404, "not_found"),
        ("GET /../../etc/passwd", 404, "not_found"),
        ("GET /%00", 404, "not_found"),
        ("GET /token", 405, "method_not_allowed"),
        ("PUT /token", 405, "method_not_allowed"),
        ("OPTIONS /token", 405, "method_not_allowed"),
        ("TRACE /token", 405, "method_not_allowed"),
        ("POST /jwks.json", 405, "method_not_allowed"),
    ] {
        let answer = server.send(start, &[], b"").await;
        assert_eq!(answer.status, status, "{start}");
        assert_eq!(answer.json(), json!({ "error": error }), "{start}");
        // RFC 9110 §15.5.6
        assert_eq!(answer.header("allow").is_some(), status == 405, "{start}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_work_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let place = crate::place::new(directory.path());
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = || Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        issuer: ISSUER.to_owned(),
        certificate_chain_pem: certified.cert.pem(),
        private_key_pem: certified.signing_key.serialize_pem(),
        client_ca_pem: None,
        database: place.clone(),
        signing_key: SigningKey::generate(SigningAlgorithm::Es256)
            .unwrap()
            .into(),
        token_lifetime_secs: 60,
        registration: true,
        admin: None,
        management: None,
    };
    let bound = AuthServer::bind(config()).await.unwrap();
    let taken = AuthServer::bind(Config {
        listen: bound.local_addr(),
        ..config()
    });
    assert!(matches!(taken.await, Err(StartError::Listen { .. })));
    let issuer = AuthServer::bind(Config {
        issuer: "http://as.example.com".to_owned(),
        ..config()
    });
    assert!(matches!(
        issuer.await,
        Err(StartError::Issuer(_, IssuerError::NotHttps))
    ));
    let lifetime = AuthServer::bind(Config {
        token_lifetime_secs: 0,
        registration: true,
        ..config()
    });
    assert!(matches!(lifetime.await, Err(StartError::TokenLifetime)));
    let database = AuthServer::bind(Config {
        client_ca_pem: None,
        database: crate::place::unusable(directory.path()),
        ..config()
    });
    assert!(matches!(database.await, Err(StartError::Store(_))));
    let other = rcgen::KeyPair::generate().unwrap();
    for (chain, key) in [
        (String::new(), certified.signing_key.serialize_pem()),
        (certified.cert.pem(), String::new()),
        (certified.cert.pem(), other.serialize_pem()),
        (
            "-----BEGIN CERTIFICATE-----".to_owned(),
            other.serialize_pem(),
        ),
    ] {
        let certificate = AuthServer::bind(Config {
            certificate_chain_pem: chain,
            private_key_pem: key,
            ..config()
        });
        assert!(matches!(certificate.await, Err(StartError::Certificate(_))));
    }
}
