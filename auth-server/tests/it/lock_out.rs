//! Whoever fails is slowed down, and slows down nobody else.

use crate::{
    admin::{PASSWORD, Session, problem, start},
    harness::{Answer, SECRET, Server, basic, with_secret},
};
use serde_json::Value;
use symbolon_ace_proto::PopAlgorithm;

async fn login_from(server: &Server, from: &str, name: &str, password: &str) -> Answer {
    let authorization = basic(name, password);
    let headers = [("authorization", &*authorization)];
    let start = "POST /admin/v1/login";
    server.send_from(from, start, &headers, b"").await
}

async fn token_from(server: &Server, from: &str, client_id: &str, secret: &str) -> Answer {
    let authorization = basic(client_id, secret);
    let headers = [
        ("authorization", &*authorization),
        ("content-type", "application/json"),
    ];
    server.send_from(from, "POST /token", &headers, b"{}").await
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn whoever_guesses_a_password_waits_and_the_account_is_open_from_elsewhere() {
    let server = start().await;
    let alice = Session::begin(&server, "alice").await;
    let mut waited = None;
    for _ in 0..20 {
        let answer = login_from(&server, "127.0.0.2", "alice", "a wrong password").await;
        if answer.status == 429 {
            problem(&answer);
            waited = Some(retry_after(&answer));
            // A pause of a second may be over before the next request is.
            if waited >= Some(3) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            continue;
        }
        assert_eq!(answer.status, 401);
    }
    assert!(waited.is_some_and(|secs| secs >= 1));
    // From there even the right one has to wait; guesses are not sped up by it.
    let right = login_from(&server, "127.0.0.2", "alice", PASSWORD).await;
    assert_eq!(right.status, 429);
    // From elsewhere, and in a session, nothing is slower.
    let elsewhere = login_from(&server, "127.0.0.1", "alice", PASSWORD).await;
    assert_eq!(elsewhere.status, 200);
    alice.get("/clients").await;
    let waits = std::time::Duration::from_secs(waited.unwrap() + 1);
    tokio::time::sleep(waits).await;
    let later = login_from(&server, "127.0.0.2", "alice", PASSWORD).await;
    assert_eq!(later.status, 200);
}

#[tokio::test]
async fn one_address_cannot_try_one_name_after_the_other_without_end() {
    let server = start().await;
    let mut refused = 0;
    for number in 0..30 {
        let name = format!("guess{number}");
        let answer = login_from(&server, "127.0.0.2", &name, "a wrong password").await;
        refused += usize::from(answer.status == 429);
    }
    assert!(refused >= 5, "{refused}");
    let elsewhere = login_from(&server, "127.0.0.1", "alice", PASSWORD).await;
    assert_eq!(elsewhere.status, 200);
}

#[tokio::test]
async fn whoever_guesses_a_clients_secret_waits_and_the_client_does_not() {
    let server = Server::start().await;
    server.add("sensor", with_secret(PopAlgorithm::Hs256)).await;
    let mut waited = false;
    for _ in 0..20 {
        let answer = token_from(&server, "127.0.0.2", "sensor", "wrong").await;
        if answer.status == 429 {
            assert!(retry_after(&answer) >= 1);
            waited = true;
            break;
        }
        answer.refused(401, "invalid_client");
    }
    assert!(waited);
    let own = token_from(&server, "127.0.0.1", "sensor", SECRET).await;
    own.granted();
}

#[tokio::test]
async fn a_client_that_was_right_before_does_not_wait_for_others_at_its_address() {
    let server = Server::start().await;
    server.add("sensor", with_secret(PopAlgorithm::Hs256)).await;
    let before = token_from(&server, "127.0.0.2", "sensor", SECRET).await;
    before.granted();
    let mut refused = None;
    for number in 0..400 {
        let name = format!("guess{number}");
        let answer = token_from(&server, "127.0.0.2", &name, "wrong").await;
        if answer.status == 429 {
            refused = Some(number);
            break;
        }
    }
    assert!(refused.is_some(), "the address is never slowed down");
    let own = token_from(&server, "127.0.0.2", "sensor", SECRET).await;
    own.granted();
    let json: Value = token_from(&server, "127.0.0.3", "guess0", "wrong")
        .await
        .json();
    assert_eq!(json["error"], "invalid_client");
}
