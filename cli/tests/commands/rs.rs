//! `symbolon rs` and `symbolon token revoke`, on a real directory.

use crate::program::Site;

#[test]
fn the_broker_of_init_is_listed_and_gets_another_kind_of_tokens() {
    let site = Site::new();
    let audience = site.made["audience"].as_str().unwrap().to_owned();
    let list = site.run("rs list -o json").json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["audience"], audience.as_str());
    assert_eq!(list[0]["format"], "jwt");
    let mac = site.beside("mac.jwk");
    let words = format!(
        "rs set {audience} --format cwt --protection mac --mac-key {} -o json",
        mac.display()
    );
    let set = site.run(&words).json();
    assert_eq!(set["format"], "cwt");
    assert_eq!(set["protection"], "mac");
    // What was not said has stayed.
    assert_eq!(set["lifetime"], "exp");
    assert_eq!(set["content_key"], list[0]["content_key"]);
    assert_eq!(set["rs_cnf"], list[0]["rs_cnf"]);
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&mac).unwrap()).unwrap();
    assert_eq!(
        (&file["kid"], &file["alg"]),
        (&set["mac_key"], &"HS256".into())
    );
    // No command shows a key.
    let secret = file["k"].as_str().unwrap();
    for words in ["rs list -o json", "rs list", &format!("rs show {audience}")] {
        let shown = site.run(words).success();
        assert!(!shown.contains(secret) && shown.contains("cwt"), "{shown}");
    }
    // A key has one purpose.
    let words = format!("rs set {audience} --content-key {}", mac.display());
    site.run(&words).failure(2);
    let words = format!("rs set {audience} --symmetric-keys derived");
    let refused = site.run(&words).failure(1);
    assert!(refused.contains("derivation key"), "{refused}");
}

#[test]
fn a_resource_server_is_added_with_a_secret_and_removed() {
    let site = Site::new();
    let secret = site.beside("introspection");
    let words = format!(
        "rs add other --format reference --client-id broker-2 --introspection-secret {} -o json",
        secret.display()
    );
    let added = site.run(&words).json();
    assert_eq!(added["client_id"], "broker-2");
    assert_eq!(added["client_auth"], "client_secret_basic");
    assert_eq!(std::fs::read_to_string(&secret).unwrap().len(), 43);
    let again = site.run(&words).failure(1);
    assert!(again.contains("exists already"), "{again}");
    site.run("rs set nowhere --format jwt").failure(1);
    site.run("rs add third --client-id x").failure(2);
    site.run("rs remove other").success();
    site.run("rs show other").failure(1);
}

#[test]
fn one_audience_stands_for_several_resource_servers() {
    let site = Site::new();
    site.run("rs add a").success();
    site.run("rs add b").success();
    site.run("rs group add both a b").success();
    let groups = site.run("rs group list -o json").json();
    assert_eq!(
        groups,
        serde_json::json!([{ "name": "both", "members": ["a", "b"] }])
    );
    site.run("rs group add both nowhere").failure(1);
    site.run("rs group remove both").success();
    assert_eq!(
        site.run("rs group list -o json").json(),
        serde_json::json!([])
    );
}

#[test]
fn what_is_no_good_token_cannot_be_revoked() {
    let site = Site::new();
    assert_eq!(site.run("token list -o json").json(), serde_json::json!([]));
    let refused = site.run("token revoke unknown").failure(1);
    assert!(refused.contains("no such token"), "{refused}");
    site.run("token revoke").failure(2);
    site.run("token revoke x --client y").failure(2);
}

#[test]
fn a_client_with_a_certificate_keeps_its_key_to_itself() {
    let site = Site::new();
    let certificate = site.path().join("certificates/server.pem");
    let words = format!(
        "client add meter --allow pub:a --refresh-tokens --client-certificate {}",
        certificate.display()
    );
    site.run(&words).success();
    assert!(!site.path().join("clients/meter.json").exists());
    site.run("client add gauge --allow pub:a --certificate-name dns:gauge.example")
        .success();
    let list = site.run("client list -o json").json();
    assert_eq!(list[0]["client_auth"], "tls_client_auth");
    assert_eq!(list[1]["client_auth"], "self_signed_tls_client_auth");
    assert_eq!(list[1]["refresh_tokens"], true);
    site.run("client add other --allow pub:a --certificate-name gauge")
        .failure(2);
}
