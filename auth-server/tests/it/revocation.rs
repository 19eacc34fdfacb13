//! Revoked tokens: who may revoke, and who learns of it how (RFC 7009, RFC 9770).

use crate::harness::{
    AUDIENCE, Answer, FORM, ISSUER, RESOURCE_SERVER, SECRET, Server, asking, basic, key, now,
    with_key, with_secret,
};
use serde_json::json;
use std::time::{Duration, Instant};
use symbolon_ace_proto::{
    PopAlgorithm, TokenHash, TokenRequest, TokenResponse,
    client_assertion::{self, ASSERTION_TYPE},
    revocation_list::RevocationList,
    token,
};
use symbolon_auth_server::store::{Policy, Revocation, Store};

async fn start() -> Server {
    let server = Server::start().await;
    let asking = asking(AUDIENCE, RESOURCE_SERVER);
    server.store.put_resource_server(&asking).await.unwrap();
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    server.add("other", with_secret(PopAlgorithm::Hs256)).await;
    server
}

async fn token_of(server: &Server, client_id: &str) -> String {
    let authorization = basic(client_id, SECRET);
    let body = json!({ "audience": AUDIENCE });
    let answer = server
        .ask(&[("authorization", &authorization)], &body)
        .await;
    answer.granted()["access_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn revoke(server: &Server, client_id: &str, token: &str) {
    let answer = server.question("/revoke", client_id, token).await;
    assert_eq!((answer.status, answer.bytes.len()), (200, 0));
}

async fn query(server: &Server, who: &str, query: &str) -> Answer {
    let authorization = basic(who, SECRET);
    let headers = [("authorization", &*authorization)];
    server
        .send(&format!("GET /trl{query}"), &headers, b"")
        .await
}

async fn list(server: &Server, who: &str, text: &str) -> RevocationList {
    let answer = query(server, who, text).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/ace-trl+cbor")
    );
    RevocationList::from_cbor(&answer.bytes).unwrap()
}

async fn full(server: &Server, who: &str) -> (Vec<TokenHash>, Option<u64>) {
    match list(server, who, "").await {
        RevocationList::Full { hashes, cursor } => (hashes, cursor),
        RevocationList::Diff { .. } => panic!("a diff"),
    }
}

/// Added hashes, the newest first.
async fn added(server: &Server, who: &str, text: &str) -> (Vec<TokenHash>, Option<u64>, bool) {
    match list(server, who, text).await {
        RevocationList::Diff {
            entries,
            cursor,
            more,
        } => {
            let added = entries.into_iter().flat_map(|entry| entry.added);
            (added.collect(), cursor, more)
        }
        RevocationList::Full { .. } => panic!("a full set"),
    }
}

// RFC 7009 §2
#[tokio::test]
async fn a_client_revokes_its_own_token_and_no_other() {
    let server = start().await;
    let (own, others) = (
        token_of(&server, "c").await,
        token_of(&server, "other").await,
    );
    assert!(server.is_active(&own).await && server.is_active(&others).await);
    // 200 whatever it is, and only its own is revoked.
    revoke(&server, "c", &others).await;
    revoke(&server, "c", "unknown").await;
    assert!(server.is_active(&others).await);
    revoke(&server, "c", &own).await;
    assert!(!server.is_active(&own).await);
    assert!(server.is_active(&others).await);
    revoke(&server, "c", &own).await;
    let answer = server.question("/revoke", "stranger", &others).await;
    answer.refused(401, "invalid_client");
    let answer = server.question("/revoke", RESOURCE_SERVER, &others).await;
    answer.refused(401, "invalid_client");
    server.stop().await;
}

#[tokio::test]
async fn the_operator_revokes_by_identifier_token_or_client_and_another_process_sees_it() {
    let server = start().await;
    let other = Store::open_at(&server.database).await.unwrap();
    let one = token_of(&server, "c").await;
    let issued = other.tokens(Some("c"), now()).await.unwrap();
    assert_eq!((issued.len(), issued[0].audience.as_str()), (1, AUDIENCE));
    let by_identifier = Revocation::Identifier(issued[0].identifier.clone());
    assert_eq!(other.revoke(&by_identifier, now()).await.unwrap(), 1);
    assert_eq!(other.revoke(&by_identifier, now()).await.unwrap(), 0);
    assert!(!server.is_active(&one).await);
    let two = token_of(&server, "c").await;
    let by_token = Revocation::Sha256(Store::token_sha256(two.as_bytes()));
    assert_eq!(other.revoke(&by_token, now()).await.unwrap(), 1);
    assert!(!server.is_active(&two).await);
    let (three, spared) = (
        token_of(&server, "c").await,
        token_of(&server, "other").await,
    );
    let all = Revocation::Client("c".to_owned());
    assert_eq!(other.revoke(&all, now()).await.unwrap(), 1);
    assert!(!server.is_active(&three).await);
    // A client that is removed takes its tokens with it.
    assert!(server.is_active(&spared).await);
    other.remove_client("other", now()).await.unwrap();
    assert!(!server.is_active(&spared).await);
    let (hashes, _) = full(&server, RESOURCE_SERVER).await;
    assert_eq!(hashes.len(), 4);
}

// RFC 9770 §7, §5.2
#[tokio::test]
async fn each_sees_the_part_of_the_list_that_is_about_it() {
    let server = start().await;
    let elsewhere = asking("elsewhere", "broker-2");
    server.store.put_resource_server(&elsewhere).await.unwrap();
    for who in [RESOURCE_SERVER, "broker-2", "c", "other"] {
        assert_eq!(full(&server, who).await, (vec![], None), "{who}");
    }
    let token = token_of(&server, "c").await;
    revoke(&server, "c", &token).await;
    let hash = TokenHash::of_json_answer(token.as_bytes());
    for who in [RESOURCE_SERVER, "c"] {
        assert_eq!(full(&server, who).await, (vec![hash], Some(0)), "{who}");
    }
    for who in ["broker-2", "other"] {
        assert_eq!(full(&server, who).await, (vec![], None), "{who}");
    }
    let answer = query(&server, "stranger", "").await;
    assert_eq!((answer.status, answer.bytes.len()), (401, 0));
    let answer = server.send("GET /trl", &[], b"").await;
    assert_eq!((answer.status, answer.bytes.len()), (401, 0));
}

// RFC 9770 §4: the hash is of what the client was given.
#[tokio::test]
async fn a_token_given_out_in_cbor_has_the_name_that_follows_from_it() {
    let server = start().await;
    let request = TokenRequest {
        audience: Some(AUDIENCE.to_owned()),
        ..TokenRequest::default()
    };
    let answer = server.ask_in_cbor("c", &request).await;
    let response = TokenResponse::from_cbor(&answer.bytes).unwrap();
    let bytes = token::to_bytes(&response.access_token);
    revoke(&server, "c", &response.access_token).await;
    let (hashes, _) = full(&server, RESOURCE_SERVER).await;
    assert_eq!(hashes, [TokenHash::of_cbor_answer(&bytes)]);
    assert_ne!(
        hashes,
        [TokenHash::of_json_answer(response.access_token.as_bytes())]
    );
}

// RFC 9770 §8 and §9
#[tokio::test]
async fn a_diff_query_tells_what_changed_since_the_cursor() {
    let server = start().await;
    assert_eq!(
        added(&server, RESOURCE_SERVER, "?diff=0").await,
        (vec![], None, false)
    );
    let mut hashes = Vec::new();
    for _ in 0..3 {
        let token = token_of(&server, "c").await;
        revoke(&server, "c", &token).await;
        hashes.insert(0, TokenHash::of_json_answer(token.as_bytes()));
    }
    let all = added(&server, RESOURCE_SERVER, "?diff=0").await;
    assert_eq!(all, (hashes.clone(), Some(2), false));
    let last = added(&server, RESOURCE_SERVER, "?diff=1").await;
    assert_eq!(last, (hashes[..1].to_vec(), Some(2), false));
    let since = added(&server, RESOURCE_SERVER, "?diff=0&cursor=0&other=1").await;
    assert_eq!(since, (hashes[..2].to_vec(), Some(2), false));
    let nothing = added(&server, RESOURCE_SERVER, "?diff=0&cursor=2").await;
    assert_eq!(nothing, (vec![], Some(2), false));
    for wrong in [
        "?diff=x",
        "?cursor=1",
        "?diff=0&cursor=-1",
        "?diff=0&cursor=3",
    ] {
        let answer = query(&server, RESOURCE_SERVER, wrong).await;
        assert_eq!(answer.status, 400, "{wrong}");
        let media_type = "application/concise-problem-details+cbor";
        assert_eq!(answer.header("content-type"), Some(media_type));
    }
}

#[tokio::test]
async fn a_token_leaves_the_list_when_it_expires() {
    let server = start().await;
    let short = Policy {
        subscribe: false,
        token_lifetime_secs: Some(2),
        ..Policy::allow("c", AUDIENCE, "short")
    };
    server.store.add_policy(&short).await.unwrap();
    let token = token_of(&server, "c").await;
    revoke(&server, "c", &token).await;
    assert_eq!(full(&server, "c").await.0.len(), 1);
    tokio::time::sleep(Duration::from_millis(3100)).await;
    assert_eq!(full(&server, "c").await.0, []);
    // The update is told once it is swept.
    let RevocationList::Diff { entries, .. } = list(&server, "c", "?diff=0&cursor=0&wait=30").await
    else {
        panic!("a full set")
    };
    assert_eq!(entries.len(), 1);
    assert_eq!(
        entries[0].removed,
        [TokenHash::of_json_answer(token.as_bytes())]
    );
}

// Our own: an answer that is held back.
#[tokio::test]
async fn whoever_waits_is_told_as_soon_as_something_is_revoked() {
    let server = start().await;
    let token = token_of(&server, "c").await;
    let hash = TokenHash::of_json_answer(token.as_bytes());
    let waiting = added(&server, RESOURCE_SERVER, "?diff=0&wait=60");
    let revoking = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        revoke(&server, "c", &token).await;
        Instant::now()
    };
    let (told, revoked) = tokio::join!(waiting, revoking);
    assert_eq!(told, (vec![hash], Some(0), false));
    // At once, not at the next look.
    assert!(revoked.elapsed() < Duration::from_secs(20));
    // By another process too.
    let other = Store::open_at(&server.database).await.unwrap();
    let second = token_of(&server, "c").await;
    let waiting = added(&server, RESOURCE_SERVER, "?diff=0&cursor=0&wait=60");
    let revoking = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let all = Revocation::Client("c".to_owned());
        other.revoke(&all, now()).await.unwrap();
    };
    let (told, ()) = tokio::join!(waiting, revoking);
    assert_eq!(told.0, [TokenHash::of_json_answer(second.as_bytes())]);
    // No news: an empty answer when time is up.
    let before = Instant::now();
    let nothing = added(&server, RESOURCE_SERVER, "?diff=0&cursor=1&wait=1").await;
    assert_eq!(nothing, (vec![], Some(1), false));
    assert!(before.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn nobody_keeps_the_server_from_ending_by_waiting() {
    let server = start().await;
    let mut stream = server.connect().await;
    let request = format!(
        "GET /trl?diff=0&wait=60 HTTP/1.1\r\nhost: a\r\nauthorization: {}\r\n\r\n",
        basic(RESOURCE_SERVER, SECRET)
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = Instant::now();
    server.stop().await;
    assert!(before.elapsed() < Duration::from_secs(9));
}

// Our own: POST for those who authenticate in the body.
#[tokio::test]
async fn the_list_may_be_asked_for_with_an_assertion() {
    let server = start().await;
    let own = key(PopAlgorithm::EdDsa);
    server.add("with-key", with_key(&own)).await;
    let assertion = client_assertion::make("with-key", ISSUER, &own, now()).unwrap();
    let kind = ASSERTION_TYPE.replace(':', "%3A");
    let body = format!("diff=0&client_assertion_type={kind}&client_assertion={assertion}");
    let headers = [("content-type", FORM)];
    let answer = server.send("POST /trl", &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 200);
    let list = RevocationList::from_cbor(&answer.bytes).unwrap();
    assert!(matches!(list, RevocationList::Diff { .. }));
}
