//! One POST against a server that is scripted byte by byte.

use crate::pki::Pki;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::sync::Arc;
use symbolon_tls::{
    HandshakeError, SetupError,
    https::{BODY_LIMIT, HttpsClient, HttpsError, HttpsRequest, HttpsResponse, Method},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

struct Server {
    url: String,
    ca_pem: String,
    /// What it was asked.
    asked: JoinHandle<String>,
}

/// Answers one request with these bytes.
async fn server(answer: Vec<u8>) -> Server {
    let pki = Pki::generate();
    let key = PrivateKeyDer::from_pem_slice(pki.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(pki.leaf_der)], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/token?a=b",
        listener.local_addr().unwrap().port()
    );
    let asked = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else {
            return String::new();
        };
        let mut asked = Vec::new();
        while !asked.ends_with(b"the body") {
            assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
        }
        // A client that has heard enough hangs up.
        if stream.write_all(&answer).await.is_ok() {
            stream.shutdown().await.unwrap_or_default();
        }
        String::from_utf8(asked).unwrap()
    });
    Server {
        url,
        ca_pem: pki.ca_pem,
        asked,
    }
}

async fn post(url: &str, ca_pem: &str) -> Result<HttpsResponse, HttpsError> {
    let request = HttpsRequest {
        method: Method::POST,
        url: url.to_owned(),
        headers: vec![("x-header", "value".to_owned())],
        body: b"the body".to_vec(),
    };
    HttpsClient::new(ca_pem).unwrap().send(request).await
}

#[tokio::test]
async fn a_post_is_sent_and_its_answer_comes_back() {
    let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nabcde";
    let server = server(answer.to_vec()).await;
    let response = post(&server.url, &server.ca_pem).await.unwrap();
    assert_eq!(response.status, 400);
    assert_eq!(response.body, "abcde");
    let asked = server.asked.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("post /token?a=b http/1.1\r\n"), "{asked}");
    for header in ["x-header: value", "content-length: 8", "host: localhost:"] {
        assert!(asked.contains(&format!("\r\n{header}")), "{asked}");
    }
}

#[tokio::test]
async fn an_answer_past_the_limit_is_refused() {
    for (length, fits) in [(BODY_LIMIT, true), (BODY_LIMIT + 1, false)] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let answer = [head.into_bytes(), vec![b' '; length]].concat();
        let server = server(answer).await;
        let response = post(&server.url, &server.ca_pem).await;
        assert_eq!(response.is_ok(), fits);
        assert_eq!(matches!(response, Err(HttpsError::TooLong)), !fits);
    }
}

#[tokio::test]
async fn an_answer_cut_short_is_no_answer() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc";
    let server = server(answer.to_vec()).await;
    let response = post(&server.url, &server.ca_pem).await;
    assert!(matches!(response, Err(HttpsError::Incomplete)));
}

#[tokio::test]
async fn a_server_of_another_ca_hears_nothing() {
    let server = server(Vec::new()).await;
    let other = self::server(Vec::new()).await;
    let response = post(&server.url, &other.ca_pem).await;
    assert!(matches!(response, Err(HttpsError::Handshake(_))));
    assert_eq!(server.asked.await.unwrap(), "");
}

#[tokio::test]
async fn what_is_no_https_url_is_refused() {
    let server = server(Vec::new()).await;
    for url in [
        "http://localhost/token",
        "https://",
        "https://user@localhost/token",
        "/token",
        "no url",
    ] {
        let response = post(url, &server.ca_pem).await;
        assert!(matches!(response, Err(HttpsError::Url)), "{url}");
    }
}

#[test]
fn a_ca_that_is_none_is_refused() {
    assert!(matches!(HttpsClient::new(""), Err(SetupError::Missing(_))));
    let broken = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        HttpsClient::new(broken),
        Err(SetupError::Refused(_))
    ));
}

#[tokio::test]
async fn a_header_that_would_begin_another_is_refused() {
    let server = server(Vec::new()).await;
    let request = HttpsRequest {
        method: Method::GET,
        url: server.url,
        headers: vec![("x-header", "value\r\nx-other: value".to_owned())],
        body: Vec::new(),
    };
    let client = HttpsClient::new(&server.ca_pem).unwrap();
    assert!(matches!(
        client.send(request).await,
        Err(HttpsError::Header("x-header"))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{port}/");
    let response = post(&url, &Pki::generate().ca_pem).await;
    assert!(matches!(
        response,
        Err(HttpsError::Timeout | HttpsError::Handshake(HandshakeError::Timeout))
    ));
}
