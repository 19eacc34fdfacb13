//! The combinations of RFC 9431 §2.2.1 in which TLS says who the client is, and brokers known by a raw public key.

use crate::{
    broker::{Broker, Pki, connack, puback, taken_apart},
    secure::{accept, authorization_server, credentials, profile, second_token, secure, success},
};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::json;
use std::sync::Arc;
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopKey, PopSigner, psk_identity::PskIdentity};
use symbolon_client::{
    BrokerKey, ConnectError, ConnectOptions, Connection, Event, Mode, ModeError,
    connection::{Credentials, Outgoing},
};
use symbolon_mqtt_proto::{
    ConnAck, Packet, ProtocolVersion, PublishProperties, Qos, ReasonCode,
    connack::ConnAckProperties, property::PropertyBuffer,
};
use symbolon_tls::{Acceptor, Peer, PreSharedKey, PublicKey, Spki};
use tokio::net::TcpListener;

const TOKEN: &[u8] = b"first token";

async fn accept_with(listener: &TcpListener, acceptor: &Acceptor) -> Broker {
    let (stream, _) = listener.accept().await.unwrap();
    Broker::new(acceptor.accept(stream).await.unwrap())
}

/// Knows these pre-shared keys.
fn knowing(pki: &Pki, keys: Vec<(Vec<u8>, Vec<u8>)>) -> Acceptor {
    let find = move |asked: &[u8]| {
        let found = keys.iter().find(|(identity, _)| identity == asked);
        found.map(|(_, key)| PreSharedKey::new(key).unwrap())
    };
    pki.acceptor().with_pre_shared_keys(Arc::new(find)).unwrap()
}

fn shared(key: &PopSigner) -> Vec<u8> {
    key.secret().to_vec()
}

fn identity(broker: &Broker) -> &[u8] {
    match broker.channel.peer() {
        Peer::PreSharedKey { identity } => identity,
        other @ (Peer::Anonymous | Peer::RawPublicKey(_)) => panic!("{other:?}"),
    }
}

/// CONNECT without a method is admitted.
async fn admit_known(broker: &mut Broker) {
    let packet = broker.receive().await;
    let Packet::Connect(connect) = taken_apart(&packet) else {
        panic!("CONNECT")
    };
    // RFC 9431 §2.2.1: TLS:Known, MQTT:ace is what should not be.
    assert_eq!(connect.properties.authentication_method, None);
    assert_eq!(connect.user_name, None);
    assert_eq!(connect.client_identifier, "c1");
    broker.send(&connack(ConnAckProperties::default())).await;
}

// RFC 9431 §2.2.3.1
#[tokio::test]
async fn a_raw_public_key_is_shown_after_its_token_was_published() {
    let pki = Pki::generate();
    for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Es256] {
        let key = PopSigner::generate(algorithm).unwrap();
        let (listener, options) = secure(&pki).await;
        let script = async {
            let visit = accept(&listener, &pki).await;
            assert_eq!(visit.channel.peer(), &Peer::Anonymous);
            visit.take_token(TOKEN, ReasonCode::Success).await;
            let mut broker = accept(&listener, &pki).await;
            let Peer::RawPublicKey(shown) = broker.channel.peer() else {
                panic!("a raw public key")
            };
            match (shown.public_key(), key.verifying_key()) {
                (PublicKey::Ed25519(shown), PopKey::Ed25519(own)) => assert_eq!(*shown, own),
                (PublicKey::P256 { x, y }, PopKey::Es256(own)) => {
                    assert_eq!([&[4], &x[..], &y[..]].concat(), own);
                }
                (shown, own) => panic!("{shown:?} is not {own:?}"),
            }
            admit_known(&mut broker).await;
            broker
        };
        let credentials = credentials(&key, Mode::Rpk, Some(&pki.leaf_der));
        let (connection, _broker) =
            tokio::join!(Connection::connect(options, Some(credentials)), script);
        connection.unwrap();
    }
}

// RFC 9431 §2.2.2
#[tokio::test]
async fn a_token_that_is_not_taken_is_the_end_of_it() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    for refusal in [
        ReasonCode::NotAuthorized,
        ReasonCode::PayloadFormatInvalid,
        ReasonCode::QuotaExceeded,
    ] {
        let (listener, options) = secure(&pki).await;
        let script = async {
            let visit = accept(&listener, &pki).await;
            visit.take_token(TOKEN, refusal).await;
        };
        let credentials = credentials(&key, Mode::Rpk, None);
        let (refused, ()) = tokio::join!(Connection::connect(options, Some(credentials)), script);
        assert!(
            matches!(&refused, Err(ConnectError::NotTaken { reason_code, .. }) if *reason_code == refusal),
            "{refused:?}"
        );
    }
}

// RFC 9431 §2.2.3.2
#[tokio::test]
async fn a_token_is_the_identity_of_its_key() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let long: String = "x".repeat(8_000);
    for token in ["first token", &long] {
        let (listener, options) = secure(&pki).await;
        let acceptor = knowing(&pki, vec![(token.into(), shared(&key))]);
        let script = async {
            let mut broker = accept_with(&listener, &acceptor).await;
            assert_eq!(identity(&broker), token.as_bytes());
            admit_known(&mut broker).await;
            broker
        };
        let mut credentials = credentials(&key, Mode::PskToken, None);
        credentials.token.text = token.to_owned();
        let (connection, _broker) =
            tokio::join!(Connection::connect(options, Some(credentials)), script);
        connection.unwrap();
    }
}

// RFC 9431 §2.2.3.2, RFC 9202 §3.3.2
#[tokio::test]
async fn a_key_is_named_after_its_token_was_published() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let kid = b"\x3d\x02\x78\x33\xfc\x62\x67\xce".to_vec();
    let named = PskIdentity::of_key(&kid);
    let (listener, options) = secure(&pki).await;
    let acceptor = knowing(&pki, vec![(named.clone(), shared(&key))]);
    let script = async {
        let visit = accept_with(&listener, &acceptor).await;
        visit.take_token(TOKEN, ReasonCode::Success).await;
        let mut broker = accept_with(&listener, &acceptor).await;
        assert_eq!(identity(&broker), named);
        admit_known(&mut broker).await;
        broker
    };
    let mut credentials = credentials(&key, Mode::PskKid, None);
    credentials.token.key_identifier = Some(kid);
    let (connection, _broker) =
        tokio::join!(Connection::connect(options, Some(credentials)), script);
    connection.unwrap();
}

#[tokio::test]
async fn a_broker_without_the_key_is_refused() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    for acceptor in [
        pki.acceptor(),
        knowing(&pki, vec![(TOKEN.into(), vec![9; 32])]),
    ] {
        let (listener, options) = secure(&pki).await;
        let script = async {
            let (stream, _) = listener.accept().await.unwrap();
            assert!(acceptor.accept(stream).await.is_err());
        };
        let credentials = credentials(&key, Mode::PskToken, None);
        let (refused, ()) = tokio::join!(Connection::connect(options, Some(credentials)), script);
        assert!(matches!(refused, Err(ConnectError::Tls(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_mode_that_cannot_be_sends_nothing() {
    let pki = Pki::generate();
    let shared = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let pair = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    for (mode, key, version, expected) in [
        (
            Mode::Rpk,
            &shared,
            ProtocolVersion::V5,
            ModeError::NeedsKeyPair,
        ),
        (
            Mode::PskKid,
            &pair,
            ProtocolVersion::V5,
            ModeError::NeedsSharedKey(Mode::PskKid),
        ),
        (Mode::V311, &pair, ProtocolVersion::V5, ModeError::NeedsV311),
        (
            Mode::Exporter,
            &pair,
            ProtocolVersion::V311,
            ModeError::NeedsV5(Mode::Exporter),
        ),
    ] {
        let (listener, mut options) = secure(&pki).await;
        options.version = version;
        drop(listener);
        let refused = Connection::connect(options, Some(credentials(key, mode, None))).await;
        assert!(
            matches!(&refused, Err(ConnectError::Mode(error)) if *error == expected),
            "{refused:?}"
        );
    }
}

fn key_of(pki: &Pki) -> BrokerKey {
    let key = KeyPair::from_pem(&pki.key_pem).unwrap();
    BrokerKey::Raw(Spki::parse(&key.subject_public_key_info()).unwrap())
}

// RFC 9431 §2.2.1, RFC 7250: `rs_cnf` in place of a certificate.
#[tokio::test]
async fn a_broker_is_known_by_its_raw_public_key() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let (listener, mut options) = secure(&pki).await;
    // No certificate would be good for this.
    options.ca_pem = Some(Pki::generate().ca_pem);
    let script = async {
        let mut broker = accept(&listener, &pki).await;
        broker.receive().await;
        broker.send(&success()).await;
        broker
    };
    let mut credentials = credentials(&key, Mode::Exporter, None);
    credentials.token.broker = Some(key_of(&pki));
    let (connection, _broker) =
        tokio::join!(Connection::connect(options, Some(credentials)), script);
    connection.unwrap();
}

#[tokio::test]
async fn a_broker_with_another_raw_public_key_is_shown_nothing_in_any_mode() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    for mode in [Mode::Exporter, Mode::Challenge, Mode::Rpk] {
        let (listener, options) = secure(&pki).await;
        let script = async {
            let (stream, _) = listener.accept().await.unwrap();
            assert!(pki.acceptor().accept(stream).await.is_err());
        };
        let mut credentials = credentials(&key, mode, None);
        credentials.token.broker = Some(key_of(&Pki::generate()));
        let (refused, ()) = tokio::join!(Connection::connect(options, Some(credentials)), script);
        assert!(matches!(refused, Err(ConnectError::Tls(_))), "{refused:?}");
    }
}

// RFC 9202 §4
#[tokio::test]
async fn a_raw_public_key_gets_new_rights_on_the_live_connection() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let (listener, options) = secure(&pki).await;
    let as_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut credentials = credentials(&key, Mode::Rpk, None);
    let pop = json!({"alg": "EdDSA", "jwk": key.to_jwk()});
    credentials.profile = Some(profile(&pki, &as_listener, &pop));
    let script = async {
        let visit = accept(&listener, &pki).await;
        visit.take_token(TOKEN, ReasonCode::Success).await;
        let mut broker = accept(&listener, &pki).await;
        admit_known(&mut broker).await;
        let identifier = broker.published(b"second token").await;
        broker.send(&puback(identifier)).await;
        broker
    };
    let application = async {
        let connection = Connection::connect(options, Some(credentials)).await;
        let mut connection = connection.unwrap();
        let event = connection.next().await;
        (connection, event)
    };
    let ((_connection, event), _broker, _asked) = tokio::join!(
        application,
        script,
        authorization_server(&as_listener, &pki, second_token())
    );
    assert!(matches!(event, Ok(Event::Renewed)), "{event:?}");
}

/// A device whose key comes with each token, and the first token's.
async fn keyed(
    pki: &Pki,
    key: &PopSigner,
) -> (
    TcpListener,
    ConnectOptions<'static>,
    TcpListener,
    Credentials,
) {
    let (listener, options) = secure(pki).await;
    let as_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut credentials = credentials(key, Mode::PskToken, None);
    credentials.token.key_identifier = Some(vec![1, 2]);
    credentials.profile = Some(profile(pki, &as_listener, &json!({"alg": "HS256"})));
    (listener, options, as_listener, credentials)
}

// RFC 9202 §4: the AS is asked for a token for the same key, and gives one.
#[tokio::test]
async fn a_shared_key_gets_new_rights_on_the_live_connection() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let (listener, options, as_listener, credentials) = keyed(&pki, &key).await;
    let acceptor = knowing(&pki, vec![(TOKEN.into(), shared(&key))]);
    let script = async {
        let mut broker = accept_with(&listener, &acceptor).await;
        admit_known(&mut broker).await;
        let identifier = broker.published(b"second token").await;
        broker.send(&puback(identifier)).await;
        broker
    };
    let application = async {
        let connection = Connection::connect(options, Some(credentials)).await;
        let mut connection = connection.unwrap();
        let event = connection.next().await;
        (connection, event)
    };
    let answer = second_token();
    let ((_connection, event), _broker, asked) = tokio::join!(
        application,
        script,
        authorization_server(&as_listener, &pki, answer)
    );
    assert!(matches!(event, Ok(Event::Renewed)), "{event:?}");
    assert!(asked.contains(r#""req_cnf":{"kid":"AQI"}"#), "{asked}");
}

/// DISCONNECT; how long the session shall last.
async fn goodbye(broker: &mut Broker) -> Option<u32> {
    let packet = broker.receive().await;
    let Packet::Disconnect(goodbye) = taken_apart(&packet) else {
        panic!("DISCONNECT")
    };
    assert_eq!(goodbye.reason_code, ReasonCode::Success);
    goodbye.session_expiry_interval_secs
}

/// A client that goes on with its session.
async fn admit_again(broker: &mut Broker) {
    let packet = broker.receive().await;
    let Packet::Connect(connect) = taken_apart(&packet) else {
        panic!("CONNECT")
    };
    assert!(!connect.clean_start);
    assert_eq!(connect.client_identifier, "c1");
    assert_eq!(connect.properties.session_expiry_interval_secs, Some(300));
    let connack = ConnAck {
        session_present: true,
        reason_code: ReasonCode::Success,
        properties: ConnAckProperties::default(),
    };
    broker.send(&Packet::ConnAck(Box::new(connack))).await;
}

// Where the AS gives another key: the session goes on under it, and nothing is lost.
#[tokio::test]
async fn a_new_shared_key_comes_with_a_new_connection_that_goes_on_with_the_session() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let next = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let (listener, options, as_listener, credentials) = keyed(&pki, &key).await;
    let acceptor = knowing(
        &pki,
        vec![
            (TOKEN.into(), shared(&key)),
            (b"second token".into(), shared(&next)),
        ],
    );
    let script = async {
        let mut broker = accept_with(&listener, &acceptor).await;
        admit_known(&mut broker).await;
        // A message that is not acknowledged, and then goodbye.
        let packet = broker.receive().await;
        assert!(matches!(taken_apart(&packet), Packet::Publish(_)));
        assert_eq!(goodbye(&mut broker).await, None);
        broker.until_closed().await;
        let mut broker = accept_with(&listener, &acceptor).await;
        assert_eq!(identity(&broker), b"second token");
        admit_again(&mut broker).await;
        let packet = broker.receive().await;
        let Packet::Publish(again) = taken_apart(&packet) else {
            panic!("PUBLISH")
        };
        assert!(again.duplicate);
        let identifier = again.delivery.packet_identifier().unwrap();
        broker.send(&puback(identifier)).await;
        // The application wanted no session beyond its connection.
        assert_eq!(goodbye(&mut broker).await, Some(0));
    };
    let application = async {
        let connection = Connection::connect(options, Some(credentials)).await;
        let mut connection = connection.unwrap();
        let message = Outgoing {
            topic: "a",
            payload: b"21.5",
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: PublishProperties::default(),
        };
        let sent = connection.publish(message).await.unwrap();
        let event = connection.next().await;
        assert!(
            matches!(
                event,
                Ok(Event::Reconnected {
                    session_present: true
                })
            ),
            "{event:?}"
        );
        let event = connection.next().await;
        assert!(
            matches!(event, Ok(Event::Published { identifier, .. }) if identifier == sent),
            "{event:?}"
        );
        connection.disconnect(ReasonCode::Success).await.unwrap();
    };
    let jwk: Jwk = next.to_jwk();
    let mut answer = second_token();
    answer["cnf"] = json!({"jwk": jwk});
    tokio::join!(
        application,
        script,
        authorization_server(&as_listener, &pki, answer)
    );
}

// RFC 9200 §5.3.1, RFC 9431 §2.4.1
#[tokio::test]
async fn a_token_without_the_brokers_nonce_is_exchanged_for_one_with_it() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let (listener, options) = secure(&pki).await;
    let as_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut credentials = credentials(&key, Mode::Exporter, None);
    let pop = json!({"alg": "EdDSA", "jwk": key.to_jwk()});
    credentials.profile = Some(profile(&pki, &as_listener, &pop));
    let script = async {
        let mut broker = accept(&listener, &pki).await;
        broker.receive().await;
        let mut buffer = PropertyBuffer::default();
        let hint = r#"{"AS":"https://as.example/token","cnonce":"AQIDBA"}"#;
        buffer.push_user_property("ace_as_hint", hint).unwrap();
        let refusal = ConnAck {
            session_present: false,
            reason_code: ReasonCode::NotAuthorized,
            properties: ConnAckProperties {
                user_properties: buffer.user_properties(),
                ..ConnAckProperties::default()
            },
        };
        broker.send(&Packet::ConnAck(Box::new(refusal))).await;
        let mut broker = accept(&listener, &pki).await;
        let packet = broker.receive().await;
        let Packet::Connect(connect) = taken_apart(&packet) else {
            panic!("CONNECT")
        };
        let data = connect.properties.authentication_data.unwrap();
        assert!(data[2..].starts_with(b"second token"));
        broker.send(&success()).await;
        broker
    };
    let (connection, _broker, asked) = tokio::join!(
        Connection::connect(options, Some(credentials)),
        script,
        authorization_server(&as_listener, &pki, second_token())
    );
    connection.unwrap();
    assert!(asked.contains(r#""cnonce":"AQIDBA""#), "{asked}");
}
