//! Raw public keys (RFC 7250, RFC 9431 §2.2.3.1) on TLS 1.3.

use crate::{
    pki::{LIMIT, Pki, accept_one},
    talk::say_both_ways,
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData};
use symbolon_tls::{Channel, Connector, HandshakeError, Peer, SetupError, Spki};

fn spki(key: &KeyPair) -> Spki {
    Spki::parse(&key.subject_public_key_info()).unwrap()
}

fn server_key(pki: &Pki) -> Spki {
    spki(&KeyPair::from_pem(&pki.key_pem).unwrap())
}

async fn meet(pki: &Pki, connector: Connector) -> (Channel, Channel) {
    let (address, accepting) = accept_one(pki.acceptor()).await;
    let client = connector.connect(address, "localhost").await.unwrap();
    (client, accepting.await.unwrap().unwrap())
}

#[tokio::test]
async fn a_client_shows_a_raw_key_of_both_kinds_to_a_server_with_a_certificate() {
    let pki = Pki::generate();
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let connector = pki
            .connector()
            .showing_raw_key(&key.serialize_pem())
            .unwrap();
        let (mut client, mut server) = meet(&pki, connector).await;
        assert_eq!(server.peer(), &Peer::RawPublicKey(spki(&key)));
        assert_eq!(client.peer(), &Peer::Anonymous);
        assert_eq!(client.server_certificates().len(), 1);
        assert!(client.exporter().is_some());
        assert_eq!(client.exporter(), server.exporter());
        say_both_ways(&mut client, &mut server).await;
    }
}

#[tokio::test]
async fn both_ends_do_without_certificates() {
    let pki = Pki::generate();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let connector = Connector::expecting_raw_key(server_key(&pki), LIMIT)
        .and_then(|connector| connector.showing_raw_key(&key.serialize_pem()))
        .unwrap();
    let (mut client, mut server) = meet(&pki, connector).await;
    assert_eq!(server.peer(), &Peer::RawPublicKey(spki(&key)));
    assert_eq!(client.peer(), &Peer::RawPublicKey(server_key(&pki)));
    assert!(client.server_certificates().is_empty());
    assert_eq!(client.exporter(), server.exporter());
    say_both_ways(&mut client, &mut server).await;
}

#[tokio::test]
async fn an_anonymous_client_may_expect_a_raw_key() {
    let pki = Pki::generate();
    let connector = Connector::expecting_raw_key(server_key(&pki), LIMIT).unwrap();
    let (mut client, mut server) = meet(&pki, connector).await;
    assert_eq!(server.peer(), &Peer::Anonymous);
    say_both_ways(&mut client, &mut server).await;
}

// RFC 9431 §2.2.1: the Client authenticates the Broker by `rs_cnf`. The order of TLS 1.3 has the Server prove itself first.
#[tokio::test]
async fn a_server_with_another_key_is_refused_before_the_client_shows_its_own() {
    let pki = Pki::generate();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let connector = Connector::expecting_raw_key(server_key(&Pki::generate()), LIMIT)
        .and_then(|connector| connector.showing_raw_key(&key.serialize_pem()))
        .unwrap();
    let (address, accepting) = accept_one(pki.acceptor()).await;
    let refused = connector.connect(address, "localhost").await;
    assert!(matches!(refused, Err(HandshakeError::Tls(_))));
    assert!(matches!(
        accepting.await.unwrap(),
        Err(HandshakeError::Tls(_))
    ));
}

#[test]
fn a_raw_key_is_of_ed25519_or_p256() {
    let pki = Pki::generate();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let refused = pki.connector().showing_raw_key(&key.serialize_pem());
    assert!(matches!(refused, Err(SetupError::RawKey)));
    assert!(matches!(
        pki.connector().showing_raw_key(&pki.chain_pem),
        Err(SetupError::Missing("private key"))
    ));
}
