//! What is no proper request gets a refusal or a closed connection, and the server goes on.

use crate::harness::{
    ACE_JSON, Answer, FORM, JSON, SECRET, Server, basic, parse_answer, with_secret,
};
use serde_json::json;
use symbolon_ace_proto::PopAlgorithm;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn start() -> (Server, String) {
    let server = Server::start().await;
    server.add("c", with_secret(PopAlgorithm::Hs256)).await;
    (server, basic("c", SECRET))
}

/// It still answers, and properly.
async fn goes_on(server: Server, authorization: &str) {
    let header = [("authorization", authorization)];
    server.ask(&header, &json!({})).await.granted();
    server.stop().await;
}

fn is_refusal_or_close(answer: Option<&Answer>) -> bool {
    answer.is_none_or(|answer| (400..500).contains(&answer.status))
}

// RFC 9112
#[tokio::test]
async fn bytes_that_are_not_http_are_refused() {
    let (server, authorization) = start().await;
    let many_headers = "x: y\r\n".repeat(1000);
    let long_header = "y".repeat(100_000);
    let requests: Vec<Vec<u8>> = vec![
        vec![0; 1000],
        vec![0xff; 1000],
        b"\r\n\r\n\r\n\r\nGARBAGE\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"POST /token HTTP/9.9\r\nhost: a\r\n\r\n".to_vec(),
        b"POST token HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(),
        b"POST /token HTTP/1.1\r\nbad header\r\n\r\n".to_vec(),
        b"POST /token HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n".to_vec(),
        b"POST /token HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"POST /token HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_vec(),
        b"POST /token HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n".to_vec(),
        b"POST /token HTTP/1.1\r\nhost: a\r\ntransfer-encoding: zip\r\n\r\n".to_vec(),
        format!("POST /token HTTP/1.1\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").into_bytes(),
        format!("POST /token HTTP/1.1\r\n{many_headers}\r\n").into_bytes(),
        format!("POST /token HTTP/1.1\r\nx: {long_header}\r\n\r\n").into_bytes(),
        format!("POST /{long_header} HTTP/1.1\r\n\r\n").into_bytes(),
    ];
    for request in requests {
        let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        let answer = server.send_raw(&request).await;
        assert!(
            is_refusal_or_close(answer.as_ref()),
            "{shown:?}: {answer:?}"
        );
    }
    goes_on(server, &authorization).await;
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_not_a_request() {
    let (server, authorization) = start().await;
    let mut stream = server.connect().await;
    let request = format!(
        "POST /token HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\ncontent-length: 100\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    assert!(is_refusal_or_close(parse_answer(&bytes).as_ref()));
    goes_on(server, &authorization).await;
}

#[tokio::test]
async fn a_body_past_16_kib_is_too_large() {
    let (server, authorization) = start().await;
    let header = ("authorization", &*authorization);
    let padded = |length| {
        let empty = json!({ "x": "" }).to_string().len();
        json!({ "x": "y".repeat(length - empty) }).to_string()
    };
    let fits = padded(16 * 1024);
    let headers = [header, ("content-type", JSON)];
    let answer = server.send("POST /token", &headers, fits.as_bytes()).await;
    answer.granted();
    for length in [16 * 1024 + 1, 200_000] {
        let answer = server
            .send("POST /token", &headers, padded(length).as_bytes())
            .await;
        answer.refused(413, "invalid_request");
    }
    // Chunked, without a length before.
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 20_000, "y".repeat(20_000));
    let request = format!(
        "POST /token HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {FORM}\r\n\
         transfer-encoding: chunked\r\n\r\n{chunk}"
    );
    let answer = server.send_raw(request.as_bytes()).await.unwrap();
    answer.refused(413, "invalid_request");
    // So long that the server does not listen to its end.
    let endless = padded(5_000_000);
    let request = format!(
        "POST /token HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\n\r\n{endless}",
        endless.len()
    );
    let answer = server.send_raw(request.as_bytes()).await;
    assert!(is_refusal_or_close(answer.as_ref()), "{answer:?}");
    goes_on(server, &authorization).await;
}

// RFC 6749 §5.2, RFC 8259
#[tokio::test]
async fn a_body_that_cannot_be_read_is_an_invalid_request() {
    let (server, authorization) = start().await;
    let header = ("authorization", &*authorization);
    let deep = "[".repeat(10_000);
    for content_type in [JSON, ACE_JSON] {
        for body in [
            &b""[..],
            b"{",
            b"[]",
            b"null",
            b"{}{}",
            b"{\"audience\":1}",
            b"{\"audience\":\"a\",\"audience\":\"b\"}",
            b"{\"scope\":[]}",
            b"{\"req_cnf\":{}}",
            b"{\"req_cnf\":{\"jwk\":{},\"kid\":\"a\",\"jwe\":\"b\"}}",
            b"{\"audience\":\"\xff\"}",
            b"\xff\xfe{\x00}\x00",
            deep.as_bytes(),
        ] {
            let headers = [header, ("content-type", content_type)];
            let answer = server.send("POST /token", &headers, body).await;
            let shown = String::from_utf8_lossy(body);
            assert_eq!(answer.status, 400, "{shown:.80}: {}", answer.body);
            assert!(answer.json()["error"].is_string());
        }
    }
    for body in [
        &b"audience=a&audience=b"[..],
        b"audience=%zz",
        b"audience=%ff",
        b"audience=\xff",
        b"req_cnf=%7B",
        b"scope=!",
    ] {
        let headers = [header, ("content-type", FORM)];
        let answer = server.send("POST /token", &headers, body).await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answer.status, 400, "{shown}: {}", answer.body);
        assert!(answer.json()["error"].is_string());
    }
    goes_on(server, &authorization).await;
}

#[tokio::test]
async fn several_requests_on_one_connection_are_answered_in_order() {
    let (server, authorization) = start().await;
    let mut stream = server.connect().await;
    let request = format!(
        "POST /token HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\nauthorization: {authorization}\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    let last = "GET /jwks.json HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let all = [&*request, &*request, last].concat();
    stream.write_all(all.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 3);
    assert_eq!(text.matches("access_token").count(), 2);
    server.stop().await;
}
