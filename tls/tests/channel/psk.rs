//! Pre-shared keys (RFC 9431 §2.2.3.2).

use crate::{
    pki::{LIMIT, Pki, accept_one},
    talk::say_both_ways,
};
use rustls::version::{TLS12, TLS13};
use std::{sync::Arc, time::Duration};
use symbolon_tls::{Acceptor, Channel, Connector, HandshakeError, Peer, PreSharedKey, SetupError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) fn key(byte: u8) -> PreSharedKey {
    PreSharedKey::new(&[byte; 32]).unwrap()
}

/// Serves who knows the key of this identity, besides everybody without a key.
pub(crate) fn knowing(pki: &Pki, identity: &[u8]) -> Acceptor {
    let known = identity.to_vec();
    pki.acceptor()
        .with_pre_shared_keys(Arc::new(move |asked: &[u8]| {
            (asked == known).then(|| key(1))
        }))
        .unwrap()
}

fn offering(identity: &[u8], shared: u8) -> Connector {
    Connector::with_pre_shared_key(identity, key(shared), LIMIT).unwrap()
}

pub(crate) fn identity(peer: &Peer) -> &[u8] {
    match peer {
        Peer::PreSharedKey { identity } => identity,
        other @ (Peer::Anonymous | Peer::RawPublicKey(_)) => panic!("{other:?}"),
    }
}

async fn meet(acceptor: Acceptor, connector: Connector) -> (Channel, Channel) {
    let (address, accepting) = accept_one(acceptor).await;
    let client = connector.connect(address, "localhost").await.unwrap();
    (client, accepting.await.unwrap().unwrap())
}

#[tokio::test]
async fn a_whole_token_is_an_identity_and_both_ends_derive_the_same_exporter_value() {
    let pki = Pki::generate();
    for length in [1, 300, 8_000, 62_000] {
        let identity: Vec<u8> = (0..=255).cycle().take(length).collect();
        let (mut client, mut server) = meet(knowing(&pki, &identity), offering(&identity, 1)).await;
        assert_eq!(self::identity(server.peer()), identity);
        assert_eq!(self::identity(client.peer()), identity);
        assert!(client.exporter().is_some());
        assert_eq!(client.exporter(), server.exporter());
        assert!(client.server_certificates().is_empty());
        say_both_ways(&mut client, &mut server).await;
    }
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_identity_are_refused_alike() {
    let pki = Pki::generate();
    let mut answers = Vec::new();
    for (identity, shared) in [(&b"known"[..], 2), (b"other", 1)] {
        let (address, accepting) = accept_one(knowing(&pki, b"known")).await;
        let refused = offering(identity, shared)
            .connect(address, "localhost")
            .await;
        answers.push(refused.unwrap_err().to_string());
        assert!(matches!(
            accepting.await.unwrap(),
            Err(HandshakeError::Tls(_))
        ));
    }
    assert_eq!(answers[0], answers[1]);
}

// RFC 9431 §2.2.3.2: who asks for a key is not shown a certificate in its place.
#[tokio::test]
async fn without_a_key_source_a_client_with_a_key_is_refused_by_itself() {
    let pki = Pki::generate();
    let (address, accepting) = accept_one(pki.acceptor()).await;
    let refused = offering(b"any", 1).connect(address, "localhost").await;
    assert!(matches!(refused, Err(HandshakeError::Tls(_))));
    assert!(accepting.await.unwrap().is_err());
}

#[tokio::test]
async fn one_port_serves_both_engines() {
    let pki = Pki::generate();
    let acceptor = knowing(&pki, b"known");
    for version in [&TLS13, &TLS12] {
        let (address, accepting) = accept_one(acceptor.clone()).await;
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let config = pki.foreign_client(&[version], &["mqtt"]);
        let name = "localhost".try_into().unwrap();
        let mut client = tokio_rustls::TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .unwrap();
        let mut server = accepting.await.unwrap().unwrap();
        assert_eq!(server.peer(), &Peer::Anonymous);
        say_both_ways(&mut client, &mut server).await;
    }
    let (_client, server) = meet(acceptor, offering(b"known", 1)).await;
    assert_eq!(identity(server.peer()), b"known");
}

#[tokio::test]
async fn large_messages_pass_both_ways_and_the_end_is_said() {
    let pki = Pki::generate();
    let (mut client, mut server) = meet(knowing(&pki, b"known"), offering(b"known", 1)).await;
    let sent: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let (echo, expected) = (sent.clone(), sent.len());
    let serving = tokio::spawn(async move {
        let mut heard = vec![0; expected];
        server.read_exact(&mut heard).await.unwrap();
        assert!(heard == echo);
        server.write_all(&heard).await.unwrap();
        server.shutdown().await.unwrap();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    });
    client.write_all(&sent).await.unwrap();
    client.flush().await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert!(heard == sent);
    client.shutdown().await.unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_connection_cut_without_close_notify_is_an_error() {
    let pki = Pki::generate();
    let (client, mut server) = meet(knowing(&pki, b"known"), offering(b"known", 1)).await;
    drop(client);
    let cut = server.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_keyed_channel_moves_with_what_was_not_read_yet() {
    let pki = Pki::generate();
    let (client, server) = meet(knowing(&pki, b"known"), offering(b"known", 1)).await;
    crate::moving::move_with_unread_bytes(client, server).await;
}

#[tokio::test]
async fn a_client_that_stops_after_its_hello_meets_the_timeout() {
    let pki = Pki::generate();
    let acceptor = Acceptor::new(&pki.chain_pem, &pki.key_pem, Duration::from_millis(300))
        .unwrap()
        .with_pre_shared_keys(Arc::new(|_: &[u8]| Some(key(1))))
        .unwrap();
    let (address, accepting) = accept_one(acceptor).await;
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    tcp.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
    assert!(matches!(
        accepting.await.unwrap(),
        Err(HandshakeError::Timeout)
    ));
}

#[test]
fn an_identity_has_a_length_that_fits() {
    for length in [0, 62_001] {
        let refused = Connector::with_pre_shared_key(&vec![1; length], key(1), LIMIT);
        assert!(matches!(refused, Err(SetupError::PskIdentity)));
    }
    let connector = offering(b"known", 1);
    assert!(matches!(
        connector.showing_raw_key(&Pki::generate().key_pem),
        Err(SetupError::TwoIdentities)
    ));
}
