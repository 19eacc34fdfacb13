//! Health and metrics.

use crate::{
    admin::{login, start},
    harness::{SECRET, Server, basic, parse_answer, with_secret},
};
use serde_json::json;
use symbolon_ace_proto::PopAlgorithm;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn ask(server: &Server, start: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.management).await.unwrap();
    let request = format!("{start} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let answer = parse_answer(&bytes).unwrap();
    (answer.status, answer.body)
}

async fn number(server: &Server, series: &str) -> f64 {
    let (_, body) = ask(server, "GET /metrics").await;
    let line = body.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in {body}"));
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn a_server_says_that_it_lives_and_is_ready() {
    let server = Server::start().await;
    for (start, status, body) in [
        ("GET /health/live", 200, "alive\n"),
        ("GET /health/ready", 200, "ready\n"),
        ("GET /", 404, "not found\n"),
        ("POST /metrics", 405, "only GET\n"),
    ] {
        let answer = ask(&server, start).await;
        assert_eq!(answer, (status, body.to_owned()), "{start}");
    }
}

#[tokio::test]
async fn what_is_granted_refused_and_tried_is_counted() {
    let server = start().await;
    server.add("sensor", with_secret(PopAlgorithm::Hs256)).await;
    let token = async |secret: &str| {
        let authorization = basic("sensor", secret);
        let headers = [("authorization", &*authorization)];
        server.ask(&headers, &json!({})).await.status
    };
    assert_eq!(token(SECRET).await, 200);
    assert_eq!(token("wrong").await, 401);
    assert_eq!(
        login(&server, "alice", "a wrong password").await.status,
        401
    );
    for (series, expected) in [
        (
            "symbolon_as_requests_total{endpoint=\"token\",outcome=\"success\"}",
            1.0,
        ),
        (
            "symbolon_as_requests_total{endpoint=\"token\",outcome=\"refused\"}",
            1.0,
        ),
        (
            "symbolon_as_requests_total{endpoint=\"admin\",outcome=\"refused\"}",
            1.0,
        ),
        (
            "symbolon_as_request_duration_seconds_count{endpoint=\"token\"}",
            2.0,
        ),
        ("symbolon_as_tokens_issued_total{format=\"jwt\"}", 1.0),
        ("symbolon_as_tokens_issued_total{format=\"cwt\"}", 0.0),
        (
            "symbolon_as_token_refusals_total{error=\"invalid_client\"}",
            1.0,
        ),
        (
            "symbolon_as_authentication_failures_total{caller=\"client\"}",
            1.0,
        ),
        (
            "symbolon_as_authentication_failures_total{caller=\"account\"}",
            1.0,
        ),
        (
            "symbolon_as_authentication_delays_total{caller=\"client\"}",
            0.0,
        ),
        (
            "symbolon_as_database_errors_total{operation=\"commit\"}",
            0.0,
        ),
        ("symbolon_as_waiting_requests", 0.0),
    ] {
        let counted = number(&server, series).await;
        assert!(
            (counted - expected).abs() < f64::EPSILON,
            "{series}: {counted}"
        );
    }
    let standing = server.connect().await;
    assert!(number(&server, "symbolon_as_connections").await >= 1.0);
    drop(standing);
    let (_, body) = ask(&server, "GET /metrics").await;
    for name in ["sensor", "alice", SECRET] {
        assert!(!body.contains(name), "{name}");
    }
}
