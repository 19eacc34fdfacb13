//! What needs TLS: proof of possession, the broker's certificate, renewal.

use crate::broker::{Broker, Pki, connack, listen, taken_apart};
use aws_lc_rs::digest::{SHA256, digest};
use symbolon_ace_proto::{
    AUTHENTICATION_METHOD, ChallengeResponse, ConnectData, PopAlgorithm, PopSigner, RsNonce,
    UnixTime, authentication_data::challenge_message,
};
use symbolon_client::{
    BrokerKey, ConnectError, ConnectOptions, Connection, Event, Mode, Profile,
    connection::Credentials, token::Token,
};
use symbolon_mqtt_proto::{
    Auth, ConnAck, Packet, ProtocolVersion, ReasonCode, UserProperties, connack::ConnAckProperties,
    property::PropertyBuffer,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const RS_NONCE: RsNonce = RsNonce(*b"rs nonce");

pub(crate) fn signer(key: &PopSigner) -> PopSigner {
    PopSigner::from_jwk(&key.to_jwk()).unwrap()
}

pub(crate) fn now() -> UnixTime {
    let now = std::time::SystemTime::now();
    UnixTime(now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs())
}

pub(crate) fn credentials(
    key: &PopSigner,
    mode: Mode,
    certificate_der: Option<&[u8]>,
) -> Credentials {
    let sha256 = |der| digest(&SHA256, der).as_ref().try_into().unwrap();
    let broker = certificate_der.map(|der| BrokerKey::CertificateSha256(sha256(der)));
    Credentials {
        profile: None,
        token: Token {
            text: "first token".to_owned(),
            signer: signer(key),
            expires_at: now().plus_secs(1),
            obtained_at: now(),
            scope: None,
            requested_scope: None,
            broker,
            raw: None,
            key_identifier: None,
        },
        mode,
    }
}

pub(crate) fn auth(reason_code: ReasonCode, data: Option<&[u8]>) -> Packet<'_> {
    Packet::Auth(Auth {
        reason_code,
        authentication_method: Some(AUTHENTICATION_METHOD),
        authentication_data: data,
        reason_string: None,
        user_properties: UserProperties::default(),
    })
}

pub(crate) fn success() -> Packet<'static> {
    connack(ConnAckProperties {
        authentication_method: Some(AUTHENTICATION_METHOD),
        ..ConnAckProperties::default()
    })
}

pub(crate) async fn secure(pki: &Pki) -> (TcpListener, ConnectOptions<'static>) {
    let (listener, mut options) = listen().await;
    options.ca_pem = Some(pki.ca_pem.clone());
    (listener, options)
}

pub(crate) async fn accept(listener: &TcpListener, pki: &Pki) -> Broker {
    let (stream, _) = listener.accept().await.unwrap();
    Broker::new(pki.acceptor().accept(stream).await.unwrap())
}

/// Challenges, and checks the answer.
pub(crate) async fn challenge(broker: &mut Broker, key: &PopSigner) {
    let step = auth(ReasonCode::ContinueAuthentication, Some(&RS_NONCE.0));
    broker.send(&step).await;
    let packet = broker.receive().await;
    let Packet::Auth(answer) = taken_apart(&packet) else {
        panic!("AUTH")
    };
    assert_eq!(answer.reason_code, ReasonCode::ContinueAuthentication);
    assert_eq!(answer.authentication_method, Some(AUTHENTICATION_METHOD));
    let response = ChallengeResponse::parse(answer.authentication_data.unwrap()).unwrap();
    let message = challenge_message(RS_NONCE, response.client_nonce);
    key.verifying_key()
        .verify(&message, response.proof)
        .unwrap();
}

// RFC 9431 §2.2.4.2.1
#[tokio::test]
async fn the_exporter_value_is_proved_in_connect() {
    let pki = Pki::generate();
    for algorithm in [
        PopAlgorithm::Hs256,
        PopAlgorithm::EdDsa,
        PopAlgorithm::Es256,
    ] {
        let key = PopSigner::generate(algorithm).unwrap();
        let (listener, options) = secure(&pki).await;
        let script = async {
            let mut broker = accept(&listener, &pki).await;
            let packet = broker.receive().await;
            let Packet::Connect(connect) = taken_apart(&packet) else {
                panic!("CONNECT")
            };
            let data = ConnectData::parse(connect.properties.authentication_data).unwrap();
            let ConnectData::TokenAndProof { token, proof } = data else {
                panic!("token and proof")
            };
            assert_eq!(token, b"first token");
            let exporter = broker.channel.exporter().unwrap();
            key.verifying_key().verify(&exporter.0, proof).unwrap();
            broker.send(&success()).await;
            broker
        };
        let credentials = credentials(&key, Mode::Exporter, Some(&pki.leaf_der));
        let (connection, _broker) =
            tokio::join!(Connection::connect(options, Some(credentials)), script);
        connection.unwrap();
    }
}

// RFC 9431 §2.2.4.2.2
#[tokio::test]
async fn a_challenge_is_answered_in_auth() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let (listener, options) = secure(&pki).await;
    let script = async {
        let mut broker = accept(&listener, &pki).await;
        let packet = broker.receive().await;
        let Packet::Connect(connect) = taken_apart(&packet) else {
            panic!("CONNECT")
        };
        let data = ConnectData::parse(connect.properties.authentication_data).unwrap();
        assert_eq!(data, ConnectData::Token(b"first token"));
        challenge(&mut broker, &key).await;
        broker.send(&success()).await;
        broker
    };
    let credentials = credentials(&key, Mode::Challenge, None);
    let (connection, _broker) =
        tokio::join!(Connection::connect(options, Some(credentials)), script);
    connection.unwrap();
}

// RFC 9431 §2.2.1: the client MUST check the thumbprint.
#[tokio::test]
async fn nothing_is_proved_to_a_broker_with_another_certificate() {
    let pki = Pki::generate();
    let pair = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let shared = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    for (mode, key) in [
        (Mode::Exporter, &pair),
        (Mode::Challenge, &pair),
        (Mode::V311, &pair),
        // What is published first is no proof, and is not shown either.
        (Mode::Rpk, &pair),
        (Mode::PskKid, &shared),
    ] {
        let (listener, mut options) = secure(&pki).await;
        if mode == Mode::V311 {
            options.version = ProtocolVersion::V311;
        }
        let script = async {
            let mut broker = accept(&listener, &pki).await;
            // The client hangs up, and a channel cut short may say so.
            let mut heard = Vec::new();
            let read = broker.channel.read_to_end(&mut heard).await;
            assert!(heard.is_empty());
            drop(read);
        };
        let credentials = credentials(key, mode, Some(b"another certificate"));
        let (refused, ()) = tokio::join!(Connection::connect(options, Some(credentials)), script);
        assert!(matches!(refused, Err(ConnectError::WrongBroker)));
    }
}

#[tokio::test]
async fn a_broker_of_another_ca_is_refused() {
    let pki = Pki::generate();
    let (listener, mut options) = secure(&pki).await;
    options.ca_pem = Some(Pki::generate().ca_pem);
    let script = async {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(pki.acceptor().accept(stream).await.is_err());
    };
    let (refused, ()) = tokio::join!(Connection::connect(options, None), script);
    assert!(matches!(refused, Err(ConnectError::Tls(_))));
}

// RFC 9431 §2.4.1
#[tokio::test]
async fn discovery_finds_the_authorization_server() {
    let pki = Pki::generate();
    for (hint, expected) in [
        (
            Some(r#"{"AS":"https://as.example/token"}"#),
            Some("https://as.example/token"),
        ),
        (None, None),
    ] {
        let (listener, options) = secure(&pki).await;
        let script = async {
            let mut broker = accept(&listener, &pki).await;
            broker.receive().await;
            let mut buffer = PropertyBuffer::default();
            if let Some(hint) = hint {
                buffer.push_user_property("ace_as_hint", hint).unwrap();
            }
            broker
                .send(&Packet::ConnAck(Box::new(ConnAck {
                    session_present: false,
                    reason_code: ReasonCode::NotAuthorized,
                    properties: ConnAckProperties {
                        user_properties: buffer.user_properties(),
                        ..ConnAckProperties::default()
                    },
                })))
                .await;
        };
        let (found, ()) = tokio::join!(Connection::discover(options), script);
        let found = found.unwrap().map(|hint| hint.authorization_server);
        assert_eq!(found.as_deref(), expected);
    }
}

/// Answers one token request with this; what was asked.
pub(crate) async fn authorization_server(
    listener: &TcpListener,
    pki: &Pki,
    body: serde_json::Value,
) -> String {
    let (stream, _) = listener.accept().await.unwrap();
    // A client of HTTPS offers its own ALPN, so our acceptor would refuse it.
    let mut stream = crate::broker::https(pki, stream).await;
    let mut asked = Vec::new();
    while !asked.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
    }
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/ace+json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    String::from_utf8(asked).unwrap()
}

/// A token of a long life.
pub(crate) fn second_token() -> serde_json::Value {
    serde_json::json!({"access_token": "second token", "token_type": "PoP", "expires_in": 3600})
}

/// A device that asks at this listener for tokens.
pub(crate) fn profile(pki: &Pki, as_listener: &TcpListener, pop: &serde_json::Value) -> Profile {
    let port = as_listener.local_addr().unwrap().port();
    let profile = serde_json::json!({
        "client_id": "c1",
        "issuer": "https://as.example",
        "token_endpoint": format!("https://localhost:{port}/token"),
        "broker": "mqtts://localhost",
        "audience": "broker",
        "ca": pki.ca_pem,
        "client_auth": {"method": "client_secret_basic", "secret": "s"},
        "pop": pop,
        "scope": [["a", ["pub"]]],
    });
    Profile::from_json(&profile.to_string()).unwrap()
}

// RFC 9431 §4
#[tokio::test]
async fn a_token_is_renewed_in_session() {
    let pki = Pki::generate();
    let key = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let (listener, options) = secure(&pki).await;
    let as_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut credentials = credentials(&key, Mode::Exporter, None);
    let pop = serde_json::json!({"alg": "EdDSA", "jwk": key.to_jwk()});
    credentials.profile = Some(profile(&pki, &as_listener, &pop));
    let script = async {
        let mut broker = accept(&listener, &pki).await;
        broker.receive().await;
        broker.send(&success()).await;
        let packet = broker.receive().await;
        let Packet::Auth(again) = taken_apart(&packet) else {
            panic!("AUTH")
        };
        assert_eq!(again.reason_code, ReasonCode::ReAuthenticate);
        let data = ConnectData::parse(again.authentication_data).unwrap();
        assert_eq!(data, ConnectData::Token(b"second token"));
        challenge(&mut broker, &key).await;
        broker.send(&auth(ReasonCode::Success, None)).await;
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
