//! Another configuration while requests are served.

use crate::harness::{AUDIENCE, ISSUER, Server, basic, now, with_secret};
use serde_json::json;
use symbolon_ace_proto::{
    PopAlgorithm, SigningKey, Validation,
    jwt::{self, SigningAlgorithm},
};
use symbolon_auth_server::{AdminConfig, Config, ManagementConfig, ReloadError, store::Location};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// As the server was started, with another certificate and signing key, and a lifetime of 60 s.
fn config(database: &Location) -> Config {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        issuer: ISSUER.to_owned(),
        certificate_chain_pem: certified.cert.pem(),
        private_key_pem: certified.signing_key.serialize_pem(),
        client_ca_pem: None,
        database: database.clone(),
        signing_key: SigningKey::generate(SigningAlgorithm::EdDsa)
            .unwrap()
            .into(),
        token_lifetime_secs: 60,
        registration: true,
        admin: Some(AdminConfig::default()),
        management: Some(ManagementConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            insecure: false,
        }),
    }
}

#[tokio::test]
async fn tokens_of_the_key_before_are_good_until_they_run_out() {
    let server = Server::start().await;
    server.add("sensor", with_secret(PopAlgorithm::Hs256)).await;
    let authorization = basic("sensor", crate::harness::SECRET);
    let headers = [("authorization", authorization.as_str())];
    let before = server.ask(&headers, &json!({})).await.granted();
    // The certificate of the connection that asks stays good for it alone.
    let mut standing = server.connect().await;
    let next = config(&server.database);
    let (key, _) = next.signing_key.keys(60, now()).next().unwrap();
    let key = key.kid().to_owned();
    server.reloader.prepare(next).unwrap().take_over();
    let request = b"GET /jwks.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    standing.write_all(request).await.unwrap();
    let mut answer = String::new();
    standing.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(body.contains(&key), "{body}");
    let keys = symbolon_ace_proto::KeySet::from_json(body.as_bytes()).unwrap();
    let validation = Validation {
        keys: &keys,
        issuer: ISSUER,
        audience: AUDIENCE,
        now: now(),
        leeway_secs: 0,
        lifetimes: symbolon_ace_proto::Lifetimes::default(),
    };
    jwt::verify(before["access_token"].as_str().unwrap(), &validation).unwrap();
    assert!(server.try_connect().await.is_err(), "the old certificate");
    server.stop().await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_nothing_changes() {
    let server = Server::start().await;
    let mut next = config(&server.database);
    next.listen = "127.0.0.1:1".parse().unwrap();
    next.issuer = "https://other.example".to_owned();
    next.database = Location::File("other.sqlite".into());
    let refused = server.reloader.prepare(next);
    let Err(ReloadError::NeedsRestart(keys)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(keys, ["listen", "issuer", "database"]);
    let mut next = config(&server.database);
    next.private_key_pem = config(&server.database).private_key_pem;
    assert!(matches!(
        server.reloader.prepare(next),
        Err(ReloadError::Config(_))
    ));
    // Prepared and not taken over: nothing has changed either.
    drop(server.reloader.prepare(config(&server.database)).unwrap());
    server.try_connect().await.unwrap();
    server.stop().await;
}
