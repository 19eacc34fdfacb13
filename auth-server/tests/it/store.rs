//! The store on a real database.

use crate::harness::{AUDIENCE, Place, SECRET, key, now, resource_server, scope};
use std::sync::Arc;
use symbolon_ace_proto::UnixTime;
use symbolon_ace_proto::{PopAlgorithm, PopKey, PopSigner};
use symbolon_auth_server::store::{
    Client, ClientAuthentication, Policy, Store, StoreError, Subject,
};

const NOW: UnixTime = UnixTime(1_000_000);

async fn open() -> (Place, Store) {
    let place = Place::new();
    let store = place.open().await;
    store
        .put_resource_server(&resource_server(AUDIENCE))
        .await
        .unwrap();
    (place, store)
}

pub(crate) fn client(client_id: &str) -> Client {
    Client {
        client_id: client_id.to_owned(),
        authentication: ClientAuthentication::from_secret(SECRET),
        pop_algorithm: PopAlgorithm::Hs256,
        refresh_tokens: false,
    }
}

pub(crate) fn policy(client_id: &str, filter: &str) -> Policy {
    Policy {
        subscribe: false,
        ..Policy::allow(client_id, AUDIENCE, filter)
    }
}

#[tokio::test]
async fn what_is_stored_is_there_after_reopening() {
    let (place, store) = open().await;
    let own = key(PopAlgorithm::Es256);
    let with_key = Client {
        client_id: "b".to_owned(),
        authentication: ClientAuthentication::Key(Box::new(own.verifying_key().to_jwk())),
        pop_algorithm: PopAlgorithm::EdDsa,
        refresh_tokens: false,
    };
    let limited = Policy {
        token_lifetime_secs: Some(60),
        subscribe: true,
        ..policy("b", "x/${client_id}")
    };
    store
        .add_client(&with_key, std::slice::from_ref(&limited))
        .await
        .unwrap();
    store.add_client(&client("a"), &[]).await.unwrap();
    store.close().await;

    let store = place.open().await;
    let clients = store.clients().await.unwrap();
    let names: Vec<_> = clients.iter().map(|client| &*client.client_id).collect();
    assert_eq!(names, ["a", "b"]);
    let ClientAuthentication::Secret { sha256 } = clients[0].authentication else {
        panic!("not a secret")
    };
    let ClientAuthentication::Secret { sha256: expected } =
        ClientAuthentication::from_secret(SECRET)
    else {
        panic!("not a secret")
    };
    assert_eq!(sha256, expected);
    let ClientAuthentication::Key(jwk) = &clients[1].authentication else {
        panic!("not a key")
    };
    let stored = PopKey::from_jwk(jwk).unwrap();
    assert_eq!(stored.thumbprint(), own.verifying_key().thumbprint());
    assert_eq!(clients[1].pop_algorithm, PopAlgorithm::EdDsa);
    let policies = store.policies(None).await.unwrap();
    assert_eq!(
        policies,
        [Policy {
            id: policies[0].id,
            ..limited
        }]
    );
    let servers = store.resource_servers().await.unwrap();
    assert_eq!(servers.len(), 1);
    let expected = resource_server(AUDIENCE);
    assert_eq!(servers[0].audience, expected.audience);
    assert_eq!(servers[0].rs_cnf, expected.rs_cnf);
    assert_eq!(
        servers[0].content_key.as_ref().unwrap().kid,
        expected.content_key.as_ref().unwrap().kid
    );
    assert_eq!(
        servers[0].content_key.as_ref().unwrap().key.as_bytes(),
        expected.content_key.as_ref().unwrap().key.as_bytes()
    );
}

#[tokio::test]
async fn a_client_and_its_policies_are_added_all_or_nothing() {
    let (_place, store) = open().await;
    let unknown = Policy {
        audience: "nowhere".to_owned(),
        ..policy("a", "y")
    };
    let added = store
        .add_client(&client("a"), &[policy("a", "x"), unknown])
        .await;
    assert!(
        matches!(added, Err(StoreError::NotFound("resource server", which)) if which == "nowhere")
    );
    assert!(store.client("a").await.unwrap().is_none());
    assert_eq!(store.policies(None).await.unwrap(), []);
    store
        .add_client(&client("a"), &[policy("a", "x")])
        .await
        .unwrap();
    let again = store.add_client(&client("a"), &[]).await;
    assert!(matches!(again, Err(StoreError::Exists("client", which)) if which == "a"));
    let foreign = store.add_client(&client("b"), &[policy("a", "z")]).await;
    assert!(matches!(foreign, Err(StoreError::Invalid("policy", ..))));
}

#[tokio::test]
async fn a_removed_client_takes_its_policies_along() {
    let (_place, store) = open().await;
    for name in ["a", "b"] {
        store
            .add_client(&client(name), &[policy(name, "x")])
            .await
            .unwrap();
    }
    store.remove_client("a", now()).await.unwrap();
    let left = store.policies(None).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].subject, Subject::Client("b".to_owned()));
    assert_eq!(store.policies(Some("a")).await.unwrap(), []);
    let again = store.remove_client("a", now()).await;
    assert!(matches!(again, Err(StoreError::NotFound("client", _))));
}

#[tokio::test]
async fn policies_come_and_go_by_their_identifiers() {
    let (_place, store) = open().await;
    let orphan = store.add_policy(&policy("a", "x")).await;
    assert!(matches!(orphan, Err(StoreError::NotFound("client", _))));
    store.add_client(&client("a"), &[]).await.unwrap();
    let first = store.add_policy(&policy("a", "x")).await.unwrap();
    let twice = store.add_policy(&policy("a", "x")).await;
    assert!(matches!(twice, Err(StoreError::Exists("policy", _))));
    store.remove_policy(first).await.unwrap();
    let second = store.add_policy(&policy("a", "x")).await.unwrap();
    assert_ne!(first, second);
    let again = store.remove_policy(first).await;
    assert!(matches!(again, Err(StoreError::NotFound("policy", _))));
}

#[tokio::test]
async fn what_must_not_be_stored_is_refused() {
    let (_place, store) = open().await;
    store.add_client(&client("a"), &[]).await.unwrap();
    for client_id in ["", "a/b", "+", "#", "$a", "a b", "\u{e4}", "a\n"] {
        let added = store.add_client(&client(client_id), &[]).await;
        assert!(
            matches!(added, Err(StoreError::Invalid(..))),
            "{client_id:?}"
        );
    }
    let symmetric = Client {
        authentication: ClientAuthentication::Key(Box::new(
            PopSigner::generate(PopAlgorithm::Hs256).unwrap().to_jwk(),
        )),
        ..client("b")
    };
    let added = store.add_client(&symmetric, &[]).await;
    assert!(matches!(added, Err(StoreError::Invalid(..))));
    for wrong in [
        policy("a", ""),
        policy("a", "x/#/y"),
        policy("a", "x+"),
        policy("a", "${client}"),
        policy("a", "$share/g/x"),
        Policy {
            publish: false,
            ..policy("a", "x")
        },
        Policy {
            token_lifetime_secs: Some(0),
            ..policy("a", "x")
        },
        Policy {
            token_lifetime_secs: Some(u64::MAX),
            ..policy("a", "x")
        },
    ] {
        let added = store.add_policy(&wrong).await;
        assert!(
            matches!(added, Err(StoreError::Invalid("policy", ..))),
            "{wrong:?}"
        );
    }
    let mut server = resource_server("");
    assert!(store.put_resource_server(&server).await.is_err());
    server.audience = "b".to_owned();
    server.rs_cnf = Some("text".into());
    assert!(store.put_resource_server(&server).await.is_err());
    assert_eq!(store.policies(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_resource_server_put_again_is_replaced_and_keeps_its_policies() {
    let (_place, store) = open().await;
    store
        .add_client(&client("a"), &[policy("a", "x")])
        .await
        .unwrap();
    let mut server = resource_server(AUDIENCE);
    server.rs_cnf = None;
    server.content_key.as_mut().unwrap().kid = "content-2".to_owned();
    store.put_resource_server(&server).await.unwrap();
    let servers = store.resource_servers().await.unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0].content_key.as_ref().unwrap().kid, "content-2");
    assert_eq!(servers[0].rs_cnf, None);
    assert_eq!(store.policies(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_scope_of_a_client_has_its_identifier_filled_in() {
    let (_place, store) = open().await;
    let subscribe = Policy {
        publish: false,
        subscribe: true,
        ..policy("a", "d/${client_id}/#")
    };
    let policies = [
        policy("a", "d/${client_id}/#"),
        subscribe,
        policy("a", "$SYS/x"),
    ];
    store.add_client(&client("a"), &policies).await.unwrap();
    assert_eq!(
        store.scope_of("a", AUDIENCE, NOW).await.unwrap(),
        scope(r#"[["d/a/#",["pub","sub"]],["$SYS/x",["pub"]]]"#)
    );
    for (client_id, audience) in [("b", AUDIENCE), ("a", "nowhere")] {
        let nothing = store.scope_of(client_id, audience, NOW).await.unwrap();
        assert_eq!(nothing.entries(), []);
    }
}

#[tokio::test]
async fn a_client_cannot_have_more_policies_than_a_scope_has_entries() {
    let (_place, store) = open().await;
    let policies: Vec<Policy> = (0..Store::MAX_POLICIES_PER_CLIENT)
        .map(|number| policy("a", &format!("x/{number}")))
        .collect();
    store.add_client(&client("a"), &policies).await.unwrap();
    let one_more = store.add_policy(&policy("a", "y")).await;
    assert!(matches!(one_more, Err(StoreError::TooManyPolicies(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_may_open_and_write_at_once() {
    let place = Arc::new(Place::new());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let place = Arc::clone(&place);
        writers.spawn(async move {
            // Each its own pool, as another process has, and all on a database that is not there yet.
            let store = place.open().await;
            store
                .put_resource_server(&resource_server(AUDIENCE))
                .await
                .unwrap();
            for number in 0..10 {
                let name = format!("c-{writer}-{number}");
                store
                    .add_client(&client(&name), &[policy(&name, "x")])
                    .await
                    .unwrap();
                assert!(store.client(&name).await.unwrap().is_some());
                // This one reads before it writes.
                store.add_policy(&policy(&name, "y")).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let store = place.open().await;
    assert_eq!(store.clients().await.unwrap().len(), 80);
    assert_eq!(store.policies(None).await.unwrap().len(), 160);
}
