//! Keys that are shared with resource servers take turns.

use crate::harness::{
    AUDIENCE, Place, RESOURCE_SERVER, SECRET, Server, asking, basic, now, with_secret,
};
use serde_json::json;
use symbolon_ace_proto::{
    Confirmation, DerivationKey, IntrospectionResponse, Jwk, PopAlgorithm, SymmetricKey, UnixTime,
    derivation_mark,
    jwe::{ContentKey, ContentKeys},
    jwt, token,
};
use symbolon_auth_server::{
    KeyState,
    store::{KeyPurpose, NextSharedKey, ResourceServer, SharedKeyRing, Store, SymmetricKeys},
};

const LIFE: u64 = 60;

fn new_key() -> ContentKey {
    ContentKey::generate().unwrap()
}

async fn rotate(
    store: &Store,
    purpose: KeyPurpose,
    key: &ContentKey,
    used_from: UnixTime,
) -> SharedKeyRing {
    let next = NextSharedKey {
        purpose,
        key,
        used_from,
        present_name: "present",
    };
    let rotated = store.rotate_shared_key(AUDIENCE, next, LIFE, now());
    rotated.await.unwrap()
}

fn states(ring: &SharedKeyRing) -> Vec<KeyState> {
    ring.states(now()).map(|(_, state)| state).collect()
}

/// The token with what the client learnt of its key.
async fn granted(server: &Server) -> (String, Jwk) {
    let authorization = basic("c", SECRET);
    let headers = [("authorization", &*authorization)];
    let answer = server.ask(&headers, &json!({ "audience": AUDIENCE })).await;
    let json = answer.granted();
    let key = serde_json::from_value(json["cnf"]["jwk"].clone()).unwrap();
    (json["access_token"].as_str().unwrap().to_owned(), key)
}

async fn confirmation_in(server: &Server, token: &str) -> Confirmation {
    let keys = server.key_set().await;
    let validation = symbolon_ace_proto::Validation {
        keys: &keys,
        issuer: crate::harness::ISSUER,
        audience: AUDIENCE,
        now: now(),
        leeway_secs: 0,
        lifetimes: symbolon_ace_proto::Lifetimes::default(),
    };
    jwt::verify(token, &validation).unwrap().confirmation
}

fn opens(key: &ContentKey, confirmation: &Confirmation) -> bool {
    let keys = ContentKeys(vec![key.clone()]);
    confirmation.resolve(&keys).is_ok()
}

#[tokio::test]
async fn keys_are_encrypted_under_the_content_key_in_use_and_told_so_of_earlier_tokens() {
    let server = Server::start().await;
    let asks = asking(AUDIENCE, RESOURCE_SERVER);
    server.store.put_resource_server(&asks).await.unwrap();
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let first = asks.content_key.clone().unwrap();
    let (before, _) = granted(&server).await;
    assert!(opens(&first, &confirmation_in(&server, &before).await));

    let next = new_key();
    let later = now().plus_secs(1_000);
    let ring = rotate(&server.store, KeyPurpose::Content, &next, later).await;
    assert_eq!(states(&ring), [KeyState::Active, KeyState::Next(later)]);
    let (still, _) = granted(&server).await;
    assert!(opens(&first, &confirmation_in(&server, &still).await));

    let hastened = server
        .store
        .use_next_shared_key(AUDIENCE, KeyPurpose::Content, LIFE, now());
    let ring = hastened.await.unwrap();
    assert!(matches!(
        states(&ring)[..],
        [KeyState::Retired(_), KeyState::Active]
    ));
    let (after, _) = granted(&server).await;
    let confirmation = confirmation_in(&server, &after).await;
    assert!(opens(&next, &confirmation) && !opens(&first, &confirmation));
    for token in [&before, &after] {
        let answer = server.question("/introspect", RESOURCE_SERVER, token).await;
        let told = IntrospectionResponse::from_json(answer.body.as_bytes()).unwrap();
        let IntrospectionResponse::Active(told) = told else {
            panic!("inactive")
        };
        assert!(opens(&next, &told.confirmation.unwrap()));
    }
}

// RFC 9202 §3.3.1
#[tokio::test]
async fn the_name_of_a_derived_key_says_which_key_it_was_derived_with() {
    let server = Server::start().await;
    let old = SymmetricKey::from_bytes(&[3; 32]);
    let mut derives = asking(AUDIENCE, RESOURCE_SERVER);
    derives.tokens.symmetric_keys = SymmetricKeys::Derived;
    derives.derivation_key = Some(old.clone());
    server.store.put_resource_server(&derives).await.unwrap();
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    let unmarked = granted(&server).await;
    let next = new_key();
    let later = now().plus_secs(1_000);
    rotate(&server.store, KeyPurpose::Derivation, &next, later).await;
    let by_old = granted(&server).await;
    let hastened = server
        .store
        .use_next_shared_key(AUDIENCE, KeyPurpose::Derivation, LIFE, now());
    hastened.await.unwrap();
    let by_next = granted(&server).await;

    let at_server = [("present", &old), (&*next.kid, &next.key)]
        .map(|(kid, key)| DerivationKey::new(kid, key).unwrap());
    for (index, (token, key)) in [(0, unmarked), (0, by_old), (1, by_next)] {
        let named = confirmation_in(&server, &token).await;
        let kid = named.key_identifier().unwrap();
        let chosen = DerivationKey::choose(&at_server, &kid).unwrap();
        assert_eq!(chosen.kid(), at_server[index].kid());
        let at_broker = chosen.derive(&token::to_bytes(&token));
        let jwk = symbolon_ace_proto::PopKey::Hs256(at_broker).to_jwk();
        let of_client = symbolon_ace_proto::PopKey::from_jwk(&key).unwrap().to_jwk();
        assert_eq!(jwk.to_json(), of_client.to_json());
        assert_eq!(kid.len(), 16);
        let is_marked = |key: &str| kid.starts_with(&derivation_mark(key));
        assert!(index == 0 || is_marked(&next.kid));
    }
}

#[tokio::test]
async fn keys_that_take_turns_are_there_after_reopening_until_somebody_sets_another() {
    let place = Place::new();
    let store = place.open().await;
    let server = asking(AUDIENCE, RESOURCE_SERVER);
    store.put_resource_server(&server).await.unwrap();
    let (second, at) = (new_key(), now());
    rotate(&store, KeyPurpose::Content, &second, at).await;
    store.close().await;

    let store = place.open().await;
    let in_use = |server: &ResourceServer| server.content_key.as_ref().unwrap().kid.clone();
    let known = store.resource_server(AUDIENCE).await.unwrap().unwrap();
    assert_eq!(in_use(&known), second.kid);
    // What changes something else leaves them.
    store.put_resource_server(&known).await.unwrap();
    let ring = store.shared_keys(AUDIENCE, KeyPurpose::Content).await;
    assert_eq!(states(&ring.unwrap()).len(), 2);
    // So does one that had the key from before.
    store.put_resource_server(&server).await.unwrap();
    let known = store.resource_server(AUDIENCE).await.unwrap().unwrap();
    assert_eq!(in_use(&known), second.kid);

    let set = ResourceServer {
        content_key: Some(new_key()),
        ..known
    };
    store.put_resource_server(&set).await.unwrap();
    let known = store.resource_server(AUDIENCE).await.unwrap().unwrap();
    assert_eq!(in_use(&known), in_use(&set));
    let ring = store.shared_keys(AUDIENCE, KeyPurpose::Content).await;
    assert_eq!(states(&ring.unwrap()), [KeyState::Active]);
    assert!(store.verify_audit(None).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_key_that_is_not_shared_does_not_rotate() {
    let place = Place::new();
    let store = place.open().await;
    let server = asking(AUDIENCE, RESOURCE_SERVER);
    store.put_resource_server(&server).await.unwrap();
    let key = new_key();
    let next = NextSharedKey {
        purpose: KeyPurpose::Mac,
        key: &key,
        used_from: now(),
        present_name: "",
    };
    let refused = store.rotate_shared_key(AUDIENCE, next.clone(), LIFE, now());
    assert!(refused.await.is_err());
    let unknown = store.rotate_shared_key("ghost", next, LIFE, now());
    assert!(unknown.await.is_err());
    let none = store.use_next_shared_key(AUDIENCE, KeyPurpose::Content, LIFE, now());
    assert!(none.await.is_err());
}
