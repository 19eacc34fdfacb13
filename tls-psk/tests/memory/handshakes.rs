//! Both ends in memory.

use std::sync::Arc;
use symbolon_tls_psk::{
    Connection, KeySource, Peer, PreSharedKey, Progress, PskClient, PskServer, TlsError,
};

const ALPN: &[u8] = b"mqtt";
/// More than any handshake here needs, and less than for ever.
const TURNS: usize = 20;

fn key(byte: u8) -> PreSharedKey {
    PreSharedKey::new(&[byte; 32]).unwrap()
}

fn only(identity: &[u8]) -> Arc<dyn KeySource> {
    let known = identity.to_vec();
    Arc::new(move |asked: &[u8]| (asked == known).then(|| key(1)))
}

fn carry(from: &mut Connection, to: &mut Connection) -> Vec<u8> {
    let sent = from.ciphertext().to_vec();
    to.handle_ciphertext(&sent);
    from.handle_sent(sent.len());
    sent
}

struct Outcome {
    client: Result<Peer, TlsError>,
    server: Result<Peer, TlsError>,
    /// All the Server sent.
    said: Vec<u8>,
}

fn meet(client: &mut Connection, server: &mut Connection) -> Outcome {
    let (mut told, mut said) = ((None, None), Vec::new());
    for _ in 0..TURNS {
        for (end, told) in [(&mut *client, &mut told.0), (&mut *server, &mut told.1)] {
            if told.is_none() {
                *told = match end.handshake() {
                    Ok(Progress::Blocked) => None,
                    Ok(Progress::Done(peer)) => Some(Ok(peer)),
                    Err(error) => Some(Err(error)),
                };
            }
        }
        carry(client, server);
        said.extend(carry(server, client));
    }
    Outcome {
        client: told.0.unwrap_or(Err(TlsError::Truncated)),
        server: told.1.unwrap_or(Err(TlsError::Truncated)),
        said,
    }
}

fn ends(identity: &[u8], shared: u8, keys: Arc<dyn KeySource>) -> (Connection, Connection) {
    let client = PskClient::new(identity, key(shared)).unwrap();
    let server = PskServer::new().unwrap();
    (
        client.connect(ALPN, Some("localhost")).unwrap(),
        server.accept_tls13(ALPN, keys, 1).unwrap(),
    )
}

fn ends_12(identity: &[u8], shared: u8, keys: Arc<dyn KeySource>) -> (Connection, Connection) {
    let client = PskClient::new(identity, key(shared)).unwrap();
    let server = PskServer::new().unwrap();
    (
        client.connect(ALPN, Some("localhost")).unwrap(),
        server.accept_tls12(ALPN, keys).unwrap(),
    )
}

#[test]
fn a_whole_token_may_be_the_identity() {
    for length in [1, 255, 256, 8_000, 62_000] {
        // Binary, zeros among it.
        let identity: Vec<u8> = (0..=255).cycle().take(length).collect();
        let (mut client, mut server) = ends(&identity, 1, only(&identity));
        let outcome = meet(&mut client, &mut server);
        assert_eq!(outcome.client.unwrap(), Peer::OwnKey);
        assert_eq!(outcome.server.unwrap(), Peer::PreSharedKey(identity.into()));
        let (mut one, mut other) = ([0; 32], [1; 32]);
        client.export("EXPORTER-test", &mut one).unwrap();
        server.export("EXPORTER-test", &mut other).unwrap();
        assert_eq!(one, other);
    }
}

// RFC 9431 §2.2.3.2, with a Server that speaks no TLS 1.3.
#[test]
fn a_short_identity_serves_on_tls_1_2_too() {
    for length in [1, 255] {
        let identity: Vec<u8> = (1..=255).cycle().take(length).collect();
        let (mut client, mut server) = ends_12(&identity, 1, only(&identity));
        let outcome = meet(&mut client, &mut server);
        assert_eq!(outcome.client.unwrap(), Peer::OwnKey);
        assert_eq!(outcome.server.unwrap(), Peer::PreSharedKey(identity.into()));
        let (mut one, mut other) = ([0; 32], [1; 32]);
        client.export("EXPORTER-test", &mut one).unwrap();
        server.export("EXPORTER-test", &mut other).unwrap();
        assert_eq!(one, other);
    }
}

#[test]
fn on_tls_1_2_a_wrong_key_an_unknown_identity_and_an_unfit_one_are_refused() {
    let zero = &b"a\0b"[..];
    let long = &[b'a'; 256][..];
    for (identity, shared) in [(&b"known"[..], 2), (b"other", 1), (zero, 1), (long, 1)] {
        let known = if identity == b"other" {
            b"known"
        } else {
            identity
        };
        let (mut client, mut server) = ends_12(identity, shared, only(known));
        let outcome = meet(&mut client, &mut server);
        assert!(outcome.client.is_err());
        assert!(outcome.server.is_err());
    }
}

// The identities of a broker are no secret to its holder, and shall stay one to everybody else.
#[test]
fn an_unknown_identity_and_a_wrong_key_get_the_same_answer() {
    let refuse = |identity: &[u8], shared| {
        let (mut client, mut server) = ends(identity, shared, only(b"known"));
        let outcome = meet(&mut client, &mut server);
        assert!(outcome.client.is_err());
        assert!(outcome.server.is_err());
        outcome.said
    };
    let unknown = refuse(b"other", 1);
    assert_eq!(unknown, refuse(b"known", 2));
    // A fatal alert, decrypt_error (RFC 8446 §6.2), and nothing else.
    assert_eq!(unknown, [21, 3, 3, 0, 2, 2, 51]);
}

#[test]
fn a_key_source_that_panics_knows_no_identity() {
    let keys = Arc::new(|_identity: &[u8]| -> Option<PreSharedKey> { panic!("a defect") });
    let (mut client, mut server) = ends(b"any", 1, keys);
    assert!(meet(&mut client, &mut server).server.is_err());
}

#[test]
fn the_end_is_told_apart_from_a_cut() {
    let (mut client, mut server) = ends(b"known", 1, only(b"known"));
    meet(&mut client, &mut server).server.unwrap();
    client.write(b"the last words").unwrap();
    client.close().unwrap();
    client.close().unwrap();
    carry(&mut client, &mut server);
    let mut place = [0; 64];
    assert_eq!(server.read(&mut place).unwrap(), Progress::Done(14));
    assert_eq!(server.read(&mut place).unwrap(), Progress::Done(0));

    assert_eq!(client.read(&mut place).unwrap(), Progress::Blocked);
    client.handle_end();
    assert!(matches!(client.read(&mut place), Err(TlsError::Truncated)));
}

#[test]
fn keys_have_at_least_128_bits() {
    assert!(PreSharedKey::new(&[0; 15]).is_err());
    assert!(PreSharedKey::new(&[0; 16]).is_ok());
    assert!(PreSharedKey::new(&[0; 512]).is_ok());
    assert!(PreSharedKey::new(&[0; 513]).is_err());
    assert_eq!(format!("{:?}", key(7)), "PreSharedKey(..)");
}
