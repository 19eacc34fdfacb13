//! `symbolon client` and `symbolon policy`, on a real directory.

use crate::program::Site;

#[test]
fn a_client_is_added_listed_shown_and_removed() {
    let site = Site::new();
    site.run("client add meter --allow pub:rooms/# --allow sub:rooms/+/set")
        .success();
    let list = site.run("client list -o json").json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["client_id"], "meter");
    let shown = site.run("client show meter -o json").json();
    assert_eq!(shown["policies"].as_array().unwrap().len(), 2);
    assert!(site.run("client list").success().contains("meter"));
    site.run("client remove meter").success();
    assert_eq!(
        site.run("client list -o json").json(),
        serde_json::json!([])
    );
    assert_eq!(
        site.run("policy list -o json").json(),
        serde_json::json!([])
    );
}

#[test]
fn the_profile_has_all_that_the_device_needs() {
    let site = Site::new();
    let words =
        "client add meter --allow pub:rooms/${client_id}/# --auth key --pop ed25519 -o json";
    let profile = site.run(words).json();
    for name in ["issuer", "token_endpoint", "broker", "audience"] {
        assert_eq!(profile[name], site.made[name], "{name}");
    }
    assert_eq!(profile["client_id"], "meter");
    assert_eq!(profile["client_auth"]["method"], "private_key_jwt");
    assert_eq!(profile["pop"]["alg"], "EdDSA");
    // One key pair serves both purposes.
    assert_eq!(profile["pop"]["jwk"], profile["client_auth"]["jwk"]);
    assert_eq!(
        profile["scope"],
        serde_json::json!([["rooms/meter/#", ["pub"]]])
    );
    let ca = std::fs::read_to_string(site.made["ca"].as_str().unwrap()).unwrap();
    assert_eq!(profile["ca"], ca.as_str());
    let file = std::fs::read_to_string(site.path().join("clients/meter.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&file).unwrap(),
        profile
    );
}

#[test]
fn with_hs256_the_authorization_server_makes_the_key() {
    let site = Site::new();
    let profile = site
        .run("client add meter --allow pub:a --auth secret --pop hs256 -o json")
        .json();
    assert_eq!(profile["client_auth"]["method"], "client_secret_basic");
    assert!(profile["client_auth"]["secret"].as_str().unwrap().len() >= 43);
    assert_eq!(profile["pop"], serde_json::json!({"alg": "HS256"}));
    let profile = site
        .run("client add gauge --allow pub:a --auth key --pop hs256 -o json")
        .json();
    assert_eq!(profile["client_auth"]["jwk"]["crv"], "Ed25519");
    assert_eq!(profile["pop"], serde_json::json!({"alg": "HS256"}));
}

#[cfg(unix)]
#[test]
fn a_profile_is_its_owners_alone() {
    use crate::program::mode;
    let site = Site::new();
    site.run("client add meter --allow pub:a").success();
    assert_eq!(mode(&site.path().join("clients/meter.json")), 0o600);
    let file = site.beside("elsewhere.json");
    let words = format!(
        "client add gauge --allow pub:a --profile {}",
        file.display()
    );
    site.run(&words).success();
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_name_is_given_once_and_its_profile_is_not_overwritten() {
    let site = Site::new();
    site.run("client add meter --allow pub:a").success();
    let file = site.path().join("clients/meter.json");
    let before = std::fs::read(&file).unwrap();
    let said = site.run("client add meter --allow pub:a").failure(2);
    assert!(said.contains("--force"), "{said}");
    let said = site
        .run("client add meter --allow pub:a --force")
        .failure(1);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_client_whose_profile_cannot_be_written_is_not_registered() {
    let site = Site::new();
    let words = "client add meter --allow pub:a --profile /nonexistent/meter.json";
    site.run(words).failure(1);
    assert_eq!(
        site.run("client list -o json").json(),
        serde_json::json!([])
    );
}

#[test]
fn names_and_filters_that_cannot_be_are_refused() {
    let site = Site::new();
    for words in [
        "client add ../meter --allow pub:a",
        "client add me+ter --allow pub:a",
        "client add meter --allow pub:a/#/b",
        "client add meter --allow write:a",
        "client add meter",
        "client add meter --allow pub:a --token-lifetime-secs 0",
    ] {
        site.run(words).failure(2);
    }
}

#[test]
fn a_client_that_is_not_there_is_told_as_such() {
    let site = Site::new();
    for words in [
        "client show ghost",
        "client remove ghost",
        "policy add ghost --allow pub:a",
        "policy remove 7",
    ] {
        let said = site.run(words).failure(1);
        assert!(said.contains("there is no"), "{words}: {said}");
    }
}

#[test]
fn policies_are_added_listed_and_removed() {
    let site = Site::new();
    site.run("client add meter --allow pub:a").success();
    let added = site
        .run("policy add meter --allow pubsub:b/# --token-lifetime-secs 60 -o json")
        .json();
    assert_eq!(added[0]["permissions"], serde_json::json!(["pub", "sub"]));
    assert_eq!(added[0]["token_lifetime_secs"], 60);
    let listed = site.run("policy list meter -o json").json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let words = format!("policy remove {}", added[0]["id"]);
    site.run(&words).success();
    assert_eq!(
        site.run("policy list -o json")
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
