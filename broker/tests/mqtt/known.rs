//! Clients that TLS knows by a raw public key (RFC 9431 §2.2.3.1): the token first, then the connection.

use crate::{
    introspection::{Server, serve},
    management::config,
    peer::{SOON, V5, connect, identifier, publish},
};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::{
    Claims, Confirmation, KeySet, PopAlgorithm, PopKey, PopSigner, Scope, SigningKey, UnixTime,
    jwt::SigningAlgorithm,
};
use symbolon_broker::{Broker, Config, ListenerConfig, Transport};
use symbolon_mqtt_proto::{Decoder, Delivery, Packet, ReasonCode, Sender};
use symbolon_tls::{Channel, Connector, PublicKey, Spki};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// A client over TLS.
struct Caller {
    channel: Channel,
    buffer: Vec<u8>,
}

impl Caller {
    async fn connect(connector: &Connector, address: SocketAddr, name: &str) -> (Self, ReasonCode) {
        let channel = connector.connect(address, "localhost").await.unwrap();
        let mut caller = Self {
            channel,
            buffer: Vec::new(),
        };
        let connack = caller
            .ask(&Packet::Connect(Box::new(connect(V5, name))))
            .await;
        (caller, connack)
    }

    /// Sends a packet; the Reason Code of the answer.
    async fn ask(&mut self, packet: &Packet<'_>) -> ReasonCode {
        let mut bytes = Vec::new();
        packet.encode(V5, &mut bytes).unwrap();
        self.channel.write_all(&bytes).await.unwrap();
        self.channel.flush().await.unwrap();
        let decoder = Decoder {
            version: V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        loop {
            if let Some((packet, size)) = decoder.decode(&self.buffer).unwrap() {
                let reason_code = match packet {
                    Packet::ConnAck(connack) => connack.reason_code,
                    Packet::PubAck(ack) => ack.reason_code,
                    other => panic!("{other:?}"),
                };
                self.buffer.drain(..size);
                return reason_code;
            }
            let read = timeout(SOON, self.channel.read_buf(&mut self.buffer)).await;
            assert!(read.expect("an answer in time").unwrap() > 0, "an answer");
        }
    }

    async fn publish(&mut self, topic: &str, payload: &[u8]) -> ReasonCode {
        let delivery = Delivery::AtLeastOnce(identifier(1));
        self.ask(&Packet::Publish(publish(topic, payload, delivery, false)))
            .await
    }
}

fn token(signer: &SigningKey, key: &PopKey, scope: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = Claims {
        issuer: "https://localhost".into(),
        subject: Some("device".into()),
        client_id: None,
        audience: vec!["mqtts://localhost".into()],
        expires_at: UnixTime(now.as_secs() + 600),
        expires_in_secs: None,
        not_before: None,
        issued_at: Some(UnixTime(now.as_secs())),
        token_identifier: None,
        scope: Scope::from_json(scope).unwrap(),
        confirmation: Confirmation::Key(Box::new(key.to_jwk())),
        client_nonce: None,
    };
    signer.sign(&claims).unwrap()
}

// RFC 9431 §2.2.1: TLS:Known(RPK), MQTT:none.
#[tokio::test]
async fn a_client_with_a_raw_public_key_comes_in_by_the_token_it_published_before() {
    let signer = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let server = Server {
        pop: PopSigner::generate(PopAlgorithm::EdDsa).unwrap(),
        keys: KeySet::from_keys(vec![signer.to_public_jwk()]).to_json(),
        open: AtomicBool::new(true),
        asked: AtomicUsize::new(0),
    };
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.pem();
    let listener = ListenerConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        transport: Transport::Tls {
            certificate_chain_pem: certificate.clone(),
            private_key_pem: certified.signing_key.serialize_pem(),
        },
    };
    let broker = Broker::start(&Config {
        listeners: vec![listener],
        public_topics: Vec::new(),
        ..config(Some(serve(Arc::new(server))))
    });
    let broker = broker.unwrap();
    let address = broker.local_addrs()[0];
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let spki = Spki::parse(&pair.subject_public_key_info()).unwrap();
    let PublicKey::Ed25519(key) = spki.public_key() else {
        panic!("the key is one of Ed25519");
    };
    let key = PopKey::Ed25519(*key);
    let anonymous = Connector::new(&certificate, SOON).unwrap();
    let known = anonymous
        .clone()
        .showing_raw_key(&pair.serialize_pem())
        .unwrap();
    // Without a token TLS knows the key, and the broker knows no right of it.
    let (_, refused) = Caller::connect(&known, address, "device").await;
    assert_eq!(refused, ReasonCode::NotAuthorized);
    let (mut stranger, reason_code) = Caller::connect(&anonymous, address, "stranger").await;
    assert_eq!(reason_code, ReasonCode::Success);
    let first = token(&signer, &key, r#"[["t",["pub"]]]"#);
    assert_eq!(
        stranger.publish("authz-info", first.as_bytes()).await,
        ReasonCode::Success
    );
    assert_eq!(stranger.publish("t", b"").await, ReasonCode::NotAuthorized);
    let (mut device, reason_code) = Caller::connect(&known, address, "device").await;
    assert_eq!(reason_code, ReasonCode::Success);
    assert_eq!(
        device.publish("t", b"").await,
        ReasonCode::NoMatchingSubscribers
    );
    // It renews on its live connection.
    let second = token(&signer, &key, r#"[["u",["pub"]]]"#);
    assert_eq!(
        device.publish("authz-info", second.as_bytes()).await,
        ReasonCode::Success
    );
    assert_eq!(device.publish("t", b"").await, ReasonCode::NotAuthorized);
    assert_eq!(
        device.publish("u", b"").await,
        ReasonCode::NoMatchingSubscribers
    );
    let ended = tokio::task::spawn_blocking(|| broker.shutdown(Duration::from_secs(10))).await;
    assert!(ended.unwrap());
}
