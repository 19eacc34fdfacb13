//! Who gets a channel, and who does not.

use crate::{
    pki::{Pki, accept_one, connected, tcp_pair},
    talk::say_both_ways,
};
use rustls::{
    HandshakeKind, ProtocolVersion, SupportedProtocolVersion,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use std::time::Duration;
use symbolon_tls::{Acceptor, Channel, Connector, ExporterValue, HandshakeError, Peer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const BOTH: [(&SupportedProtocolVersion, ProtocolVersion); 2] = [
    (&TLS13, ProtocolVersion::TLSv1_3),
    (&TLS12, ProtocolVersion::TLSv1_2),
];

/// A client of another make against our acceptor.
async fn foreign_handshake(
    acceptor: Acceptor,
    config: std::sync::Arc<rustls::ClientConfig>,
) -> (
    std::io::Result<TlsStream<TcpStream>>,
    Result<Channel, HandshakeError>,
) {
    let (address, accepting) = accept_one(acceptor).await;
    let tcp = TcpStream::connect(address).await.unwrap();
    let client = TlsConnector::from(config)
        .connect(ServerName::try_from("localhost").unwrap(), tcp)
        .await;
    (client, accepting.await.unwrap())
}

#[tokio::test]
async fn both_ends_talk_and_derive_the_same_exporter_value() {
    let pki = Pki::generate();
    let (mut client, mut server) = connected(&pki).await;
    say_both_ways(&mut client, &mut server).await;
    assert!(client.exporter().is_some());
    assert_eq!(client.exporter(), server.exporter());
    let (other, _) = connected(&pki).await;
    assert_ne!(client.exporter(), other.exporter());
}

#[tokio::test]
async fn the_peer_is_anonymous_and_the_client_knows_the_servers_certificate() {
    let pki = Pki::generate();
    let (client, server) = connected(&pki).await;
    assert_eq!(server.peer(), &Peer::Anonymous);
    assert_eq!(client.server_certificates().len(), 1);
    assert_eq!(*client.server_certificates()[0], *pki.leaf_der);
    assert!(server.server_certificates().is_empty());
    assert!(client.peer_addr().unwrap().ip().is_loopback());
    assert_ne!(client.peer_addr().unwrap(), server.peer_addr().unwrap());
}

// RFC 9431 §2.2.4.2.1: label, empty context, 32 bytes. On TLS 1.2 an absent context would give another value (RFC 5705 §4).
#[tokio::test]
async fn the_exporter_value_is_that_of_rfc_9431_on_both_versions() {
    let pki = Pki::generate();
    for (version, expected) in BOTH {
        let config = pki.foreign_client(&[version], &["mqtt"]);
        let (client, server) = foreign_handshake(pki.acceptor(), config).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let session = client.get_ref().1;
        assert_eq!(session.protocol_version(), Some(expected));
        assert_eq!(session.alpn_protocol(), Some(&b"mqtt"[..]));
        let label = b"EXPORTER-ACE-MQTT-Sign-Challenge";
        let value = session
            .export_keying_material([0; 32], label, Some(&[]))
            .unwrap();
        assert_eq!(server.exporter(), Some(ExporterValue(value)));
        say_both_ways(&mut client, &mut server).await;
    }
}

#[tokio::test]
async fn a_second_connection_is_a_full_handshake_again() {
    let pki = Pki::generate();
    for (version, _) in BOTH {
        let config = pki.foreign_client(&[version], &["mqtt"]);
        for _ in 0..2 {
            let (client, server) = foreign_handshake(pki.acceptor(), config.clone()).await;
            let (mut client, mut server) = (client.unwrap(), server.unwrap());
            // Tickets of TLS 1.3 would come with the first bytes.
            say_both_ways(&mut server, &mut client).await;
            let kind = client.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::Full));
            assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
        }
    }
}

#[tokio::test]
async fn a_client_without_alpn_is_accepted() {
    let pki = Pki::generate();
    let config = pki.foreign_client(&[&TLS13], &[]);
    let (client, server) = foreign_handshake(pki.acceptor(), config).await;
    say_both_ways(&mut client.unwrap(), &mut server.unwrap()).await;
}

#[tokio::test]
async fn a_client_that_offers_other_protocols_only_is_refused() {
    let pki = Pki::generate();
    for (version, _) in BOTH {
        let config = pki.foreign_client(&[version], &["h2", "http/1.1"]);
        let (client, server) = foreign_handshake(pki.acceptor(), config).await;
        assert!(client.is_err());
        assert!(matches!(server, Err(HandshakeError::Tls(_))));
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let pki = Pki::generate();
    let (address, accepting) = accept_one(pki.acceptor()).await;
    let refused = Pki::generate()
        .connector()
        .connect(address, "localhost")
        .await;
    assert!(matches!(refused, Err(HandshakeError::Tls(_))));
    assert!(matches!(
        accepting.await.unwrap(),
        Err(HandshakeError::Tls(_))
    ));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let pki = Pki::generate();
    for name in ["broker.example", "127.0.0.1"] {
        let (address, accepting) = accept_one(pki.acceptor()).await;
        let refused = pki.connector().connect(address, name).await;
        assert!(matches!(refused, Err(HandshakeError::Tls(_))), "{name}");
        assert!(accepting.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_server_name_that_is_no_name_is_refused() {
    let pki = Pki::generate();
    let (tcp, _other) = tcp_pair().await;
    assert!(matches!(
        pki.connector().connect_stream(tcp, "no name").await,
        Err(HandshakeError::ServerName(name)) if name == "no name"
    ));
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_told_apart_from_tls() {
    let pki = Pki::generate();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(
        pki.connector().connect(address, "localhost").await,
        Err(HandshakeError::Connect(_))
    ));
}

#[tokio::test]
async fn a_silent_peer_meets_the_handshake_timeout_at_either_end() {
    let pki = Pki::generate();
    let limit = Duration::from_millis(50);
    let (client, server) = tcp_pair().await;
    let acceptor = Acceptor::new(&pki.chain_pem, &pki.key_pem, limit).unwrap();
    assert!(matches!(
        acceptor.accept(server).await,
        Err(HandshakeError::Timeout)
    ));
    drop(client);
    let (client, _server) = tcp_pair().await;
    let connector = Connector::new(&pki.ca_pem, limit).unwrap();
    assert!(matches!(
        connector.connect_stream(client, "localhost").await,
        Err(HandshakeError::Timeout)
    ));
}

#[tokio::test]
async fn a_client_that_stops_after_its_hello_meets_the_same_timeout() {
    let pki = Pki::generate();
    let acceptor = Acceptor::new(&pki.chain_pem, &pki.key_pem, Duration::from_millis(200)).unwrap();
    let (mut client, server) = tcp_pair().await;
    client.write_all(&tls12_client_hello(true)).await.unwrap();
    assert!(matches!(
        acceptor.accept(server).await,
        Err(HandshakeError::Timeout)
    ));
}

#[tokio::test]
async fn bytes_that_are_no_tls_are_refused() {
    let pki = Pki::generate();
    let (mut client, server) = tcp_pair().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let refused = pki.acceptor().accept(server).await;
    assert!(matches!(refused, Err(HandshakeError::Tls(_))));
}

#[tokio::test]
async fn a_peer_that_goes_away_is_an_io_error() {
    let pki = Pki::generate();
    let (client, server) = tcp_pair().await;
    drop(client);
    assert!(matches!(
        pki.acceptor().accept(server).await,
        Err(HandshakeError::Io(_))
    ));
}

// RFC 9431 §2.2.3: on TLS 1.2 the extended main secret (RFC 7627) is a MUST.
#[tokio::test]
async fn tls_1_2_without_extended_main_secret_is_refused() {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    let pki = Pki::generate();
    for (extended_main_secret, answer) in [(true, HANDSHAKE), (false, ALERT)] {
        let (mut client, server) = tcp_pair().await;
        let acceptor = pki.acceptor();
        let accepting = tokio::spawn(async move { acceptor.accept(server).await });
        client
            .write_all(&tls12_client_hello(extended_main_secret))
            .await
            .unwrap();
        let mut record_type = [0];
        client.read_exact(&mut record_type).await.unwrap();
        assert_eq!(record_type[0], answer);
        drop(client);
        let refused = accepting.await.unwrap().unwrap_err();
        assert_eq!(
            matches!(refused, HandshakeError::Tls(_)),
            !extended_main_secret
        );
    }
}

/// What a TLS 1.2 client with `ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`, P-256 and ECDSA-SHA-256 sends first.
fn tls12_client_hello(extended_main_secret: bool) -> Vec<u8> {
    let mut extensions = vec![
        0x00, 0x0a, 0, 4, 0, 2, 0x00, 0x17, // supported_groups: secp256r1
        0x00, 0x0b, 0, 2, 1, 0, // ec_point_formats: uncompressed
        0x00, 0x0d, 0, 4, 0, 2, 0x04, 0x03, // signature_algorithms: ecdsa_secp256r1_sha256
    ];
    if extended_main_secret {
        extensions.extend([0x00, 0x17, 0, 0]);
    }
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(hello.len() + 4).unwrap().to_be_bytes());
    record.extend([1, 0]);
    record.extend(u16::try_from(hello.len()).unwrap().to_be_bytes());
    record.extend(hello);
    record
}

#[tokio::test]
async fn bare_tcp_talks_and_proves_nothing() {
    let (client, server) = tcp_pair().await;
    let (mut client, mut server) = (Channel::plain(client), Channel::plain(server));
    say_both_ways(&mut client, &mut server).await;
    assert_eq!(server.peer(), &Peer::Anonymous);
    assert_eq!(server.exporter(), None);
    assert!(client.server_certificates().is_empty());
}

#[tokio::test]
async fn shutting_down_is_read_as_the_end() {
    let pki = Pki::generate();
    let (mut client, mut server) = connected(&pki).await;
    client.write_all(b"last").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last");
}

#[tokio::test]
async fn debug_shows_no_exporter_value() {
    let pki = Pki::generate();
    let (client, _server) = connected(&pki).await;
    assert_eq!(
        format!("{client:?} {:?}", client.exporter()),
        "Channel { transport: \"TLS\", peer: Anonymous, .. } Some(ExporterValue(..))"
    );
}
