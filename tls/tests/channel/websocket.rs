//! WebSocket channels against a client that writes its frames by hand (RFC 6455).

use crate::pki::{LIMIT, Pki, tcp_pair};
use rustls::{pki_types::ServerName, version::TLS13};
use std::time::Duration;
use symbolon_tls::{
    Channel, ExporterValue, HandshakeError, ServerCertificate, UpgradeError, WebSocketAcceptor,
    WebSocketPolicy,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

const MESSAGE_BYTES: usize = 1024;
const GOOD: &str = "Host: broker\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const MQTT: &str = "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n";
const BINARY: u8 = 0x82;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn policy(origins: &[&str]) -> WebSocketPolicy {
    WebSocketPolicy {
        origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
        message_bytes: MESSAGE_BYTES,
    }
}

fn request(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{GOOD}{more}\r\n")
}

/// A masked frame with a length of seven or sixteen bits.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => bytes.push(0x80 | length),
        Ok(_) | Err(_) => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

async fn head(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// The answer to a request, and what the server made of it.
async fn ask(request: &str, origins: &[&str]) -> (String, Result<Channel, HandshakeError>) {
    let (mut client, server) = tcp_pair().await;
    let acceptor = WebSocketAcceptor::new(None, policy(origins), LIMIT);
    let accepting = tokio::spawn(async move { acceptor.accept(server).await });
    client.write_all(request.as_bytes()).await.unwrap();
    let head = head(&mut client).await;
    drop(client);
    (head, accepting.await.unwrap())
}

async fn open() -> (TcpStream, Channel) {
    let (mut client, server) = tcp_pair().await;
    let acceptor = WebSocketAcceptor::new(None, policy(&[]), LIMIT);
    let accepting = tokio::spawn(async move { acceptor.accept(server).await });
    let request = request("/mqtt", MQTT);
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    (client, accepting.await.unwrap().unwrap())
}

/// An unmasked frame of the server: its first byte and its payload.
async fn server_frame(client: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let first = client.read_u8().await.unwrap();
    let length = match client.read_u8().await.unwrap() {
        126 => usize::from(client.read_u16().await.unwrap()),
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    client.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

async fn expect_close(client: &mut (impl AsyncRead + Unpin), code: u16) {
    let (first, payload) = server_frame(client).await;
    assert_eq!((first, &payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
}

async fn hear(server: &mut Channel, count: usize) -> Vec<u8> {
    let mut heard = vec![0; count];
    server.read_exact(&mut heard).await.unwrap();
    heard
}

/// The server meets an offence, and tells the client so.
async fn offend(bytes: &[u8], code: u16) {
    let (mut client, mut server) = open().await;
    client.write_all(bytes).await.unwrap();
    let failed = server.read_u8().await.unwrap_err();
    assert_eq!(failed.kind(), std::io::ErrorKind::InvalidData);
    expect_close(&mut client, code).await;
}

// RFC 6455 §1.3 has this key and this answer.
#[tokio::test]
async fn the_answer_names_the_subprotocol_and_proves_that_the_key_was_read() {
    for path in ["/mqtt", "/", "/mqtt?a=b"] {
        let (head, opened) = ask(&request(path, MQTT), &[]).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(head.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{head}");
        assert!(opened.is_ok());
    }
}

#[tokio::test]
async fn other_requests_get_their_http_status() {
    let long = format!("Cookie: {}\r\n", "x".repeat(9000));
    let cases = [
        // [MQTT-6.0.0-3]
        (request("/mqtt", ""), "400"),
        (
            request("/mqtt", "Sec-WebSocket-Protocol: mqttv3.1\r\n"),
            "400",
        ),
        (request("/other", MQTT), "404"),
        (request("/mqtt", MQTT).replace("GET", "POST"), "405"),
        (request("/mqtt", MQTT).replace("Upgrade: web", "X: "), "426"),
        (
            request("/mqtt", MQTT).replace("Version: 13", "Version: 8"),
            "426",
        ),
        (request("/mqtt", MQTT).replace("dGhl", ""), "400"),
        (request("/mqtt", MQTT).replace("Host", "X"), "400"),
        (request("/mqtt", &long), "431"),
        ("\x16\x03\x01 is no HTTP\r\n\r\n".to_owned(), "400"),
    ];
    for (request, status) in cases {
        let (head, refused) = ask(&request, &[]).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {head}"
        );
        assert!(matches!(refused, Err(HandshakeError::Upgrade(_))));
    }
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_not_listed_is_refused() {
    let from = |origin: &str| request("/mqtt", &format!("{MQTT}Origin: {origin}\r\n"));
    let listed = ["https://app.example"];
    let cases: [(&str, &[&str], &str); 5] = [
        ("https://app.example", &listed, "101"),
        ("https://evil.example", &listed, "403"),
        ("https://app.example.evil", &listed, "403"),
        ("https://app.example", &[], "403"),
        ("https://any.example", &["*"], "101"),
    ];
    for (origin, origins, status) in cases {
        let (head, outcome) = ask(&from(origin), origins).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{origin}: {head}"
        );
        let is_refused = matches!(outcome, Err(HandshakeError::Upgrade(UpgradeError::Origin)));
        assert_eq!(is_refused, status == "403");
    }
}

// [MQTT-6.0.0-2]
#[tokio::test]
async fn borders_of_frames_mean_nothing() {
    let (mut client, mut server) = open().await;
    let mut bytes = frame(BINARY, b"two packets");
    bytes.extend(frame(0x02, b", a mess"));
    bytes.extend(frame(0x00, b"age in "));
    bytes.extend(frame(0x80, b"parts"));
    let whole = b"two packets, a message in parts";
    for split in 0..=bytes.len() {
        client.write_all(&bytes[..split]).await.unwrap();
        tokio::task::yield_now().await;
        client.write_all(&bytes[split..]).await.unwrap();
        assert_eq!(hear(&mut server, whole.len()).await, whole);
    }
    for byte in &bytes {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(hear(&mut server, whole.len()).await, whole);
}

#[tokio::test]
async fn frames_behind_the_request_are_not_lost() {
    let (mut client, server) = tcp_pair().await;
    let acceptor = WebSocketAcceptor::new(None, policy(&[]), LIMIT);
    let mut bytes = request("/mqtt", MQTT).into_bytes();
    bytes.extend(frame(BINARY, b"eager"));
    client.write_all(&bytes).await.unwrap();
    let mut server = acceptor.accept(server).await.unwrap();
    assert_eq!(hear(&mut server, 5).await, b"eager");
}

#[tokio::test]
async fn what_is_written_leaves_in_binary_frames_that_are_not_masked() {
    let (mut client, mut server) = open().await;
    let long: Vec<u8> = (0..40_000_u32)
        .map(|number| number.to_be_bytes()[3])
        .collect();
    let sent = long.clone();
    let writing = tokio::spawn(async move {
        server.write_all(&sent).await.unwrap();
        server.flush().await.unwrap();
        server
    });
    let mut heard = Vec::new();
    while heard.len() < long.len() {
        let (first, payload) = server_frame(&mut client).await;
        assert_eq!(first, BINARY);
        heard.extend(payload);
    }
    assert_eq!(heard, long);
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn a_ping_is_answered_between_the_frames_of_a_message() {
    let (mut client, mut server) = open().await;
    client.write_all(&frame(0x02, b"be")).await.unwrap();
    client.write_all(&frame(PING, b"there?")).await.unwrap();
    client.write_all(&frame(0x80, b"fore")).await.unwrap();
    assert_eq!(hear(&mut server, 6).await, b"before");
    assert_eq!(server_frame(&mut client).await, (PONG, b"there?".to_vec()));
}

#[tokio::test]
async fn offences_close_with_their_code() {
    // [MQTT-6.0.0-1]
    offend(&frame(TEXT, b"text"), 1003).await;
    // RFC 6455 §5.1: a frame of a client that is not masked.
    offend(&[BINARY, 1, 0], 1002).await;
    // A reserved bit, a reserved opcode, a continuation of nothing.
    offend(&frame(0xc2, b""), 1002).await;
    offend(&frame(0x83, b""), 1002).await;
    offend(&frame(0x80, b""), 1002).await;
    let length = u16::try_from(MESSAGE_BYTES + 1).unwrap().to_be_bytes();
    offend(&[BINARY, 0xfe, length[0], length[1], 0, 0, 0, 0], 1009).await;
    let mut message = frame(0x02, &[0; MESSAGE_BYTES]);
    message.extend(frame(0x80, &[0]));
    offend(&message, 1009).await;
}

#[tokio::test]
async fn the_largest_frame_is_taken() {
    let (mut client, mut server) = open().await;
    let largest = frame(BINARY, &[7; MESSAGE_BYTES]);
    client.write_all(&largest).await.unwrap();
    assert_eq!(hear(&mut server, MESSAGE_BYTES).await, [7; MESSAGE_BYTES]);
}

#[tokio::test]
async fn the_bound_of_a_frame_can_be_raised() {
    let (mut client, mut server) = open().await;
    server.set_message_bytes(2 * MESSAGE_BYTES);
    let largest = frame(BINARY, &[7; 2 * MESSAGE_BYTES]);
    client.write_all(&largest).await.unwrap();
    let heard = hear(&mut server, 2 * MESSAGE_BYTES).await;
    assert_eq!(heard, [7; 2 * MESSAGE_BYTES]);
}

#[tokio::test]
async fn what_follows_an_offence_is_read_and_dropped() {
    let (mut client, mut server) = open().await;
    client.write_all(&frame(TEXT, b"text")).await.unwrap();
    client.write_all(&frame(BINARY, b"more")).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(server.read_u8().await.is_err());
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert!(heard.is_empty());
    expect_close(&mut client, 1003).await;
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_and_read_as_the_end() {
    let (mut client, mut server) = open().await;
    client.write_all(&frame(BINARY, b"last")).await.unwrap();
    let code = 1000_u16.to_be_bytes();
    client.write_all(&frame(CLOSE, &code)).await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last");
    expect_close(&mut client, 1000).await;
    server.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn shutting_down_closes_with_1000_and_waits_for_no_answer() {
    let (mut client, mut server) = open().await;
    server.write_all(b"bye").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(server_frame(&mut client).await, (BINARY, b"bye".to_vec()));
    expect_close(&mut client, 1000).await;
    client
        .write_all(&frame(CLOSE, &1000_u16.to_be_bytes()))
        .await
        .unwrap();
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_slow_request_meets_the_handshake_timeout() {
    let (mut client, server) = tcp_pair().await;
    let acceptor = WebSocketAcceptor::new(None, policy(&[]), Duration::from_millis(100));
    client.write_all(b"GET /mqtt HTTP/1.1\r\n").await.unwrap();
    let cut = acceptor.accept(server).await;
    assert!(matches!(cut, Err(HandshakeError::Timeout)));
}

#[tokio::test]
async fn over_tls_both_ends_derive_the_same_exporter_value_and_the_channel_moves() {
    let pki = Pki::generate();
    let certificate = ServerCertificate::parse(&pki.chain_pem, &pki.key_pem).unwrap();
    let acceptor = WebSocketAcceptor::new(Some(&certificate), policy(&[]), LIMIT);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await
    });
    let mut client = TlsConnector::from(pki.foreign_client(&[&TLS13], &["http/1.1"]))
        .connect(ServerName::try_from("localhost").unwrap(), tcp)
        .await
        .unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let request = request("/mqtt", MQTT);
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    let mut server = accepting.await.unwrap().unwrap();
    let label = b"EXPORTER-ACE-MQTT-Sign-Challenge";
    let session = client.get_ref().1;
    let value = session
        .export_keying_material([0; 32], label, Some(&[]))
        .unwrap();
    assert_eq!(server.exporter(), Some(ExporterValue(value)));
    say(&mut client, b"begun, rest").await;
    assert_eq!(hear(&mut server, 5).await, b"begun");
    let detached = server.detach().unwrap();
    let moved = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let mut server = detached.attach().unwrap();
            let heard = hear(&mut server, 6).await;
            server.write_all(b"moved").await.unwrap();
            server.flush().await.unwrap();
            heard
        })
    });
    let heard = tokio::task::spawn_blocking(|| moved.join().unwrap())
        .await
        .unwrap();
    assert_eq!(heard, b", rest");
    assert_eq!(server_frame(&mut client).await, (BINARY, b"moved".to_vec()));
}

async fn say(client: &mut (impl AsyncWrite + Unpin), payload: &[u8]) {
    client.write_all(&frame(BINARY, payload)).await.unwrap();
    client.flush().await.unwrap();
}
