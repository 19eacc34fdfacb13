//! Clients that TLS knows by a raw public key or a pre-shared key (RFC 9431 §2.2.3): the token first, then the connection.

use crate::{
    introspection::{Server, serve},
    management::config,
    peer::{SOON, V5, connect, identifier as packet_identifier, publish},
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
    Claims, Confirmation, KeySet, PopAlgorithm, PopKey, PopSigner, Scope, SigningKey, SymmetricKey,
    UnixTime, identifier, jwe::ContentKey, jwt::SigningAlgorithm, psk_identity::PskIdentity,
};
use symbolon_broker::{Broker, Config, ListenerConfig, Transport};
use symbolon_mqtt_proto::{Decoder, Delivery, Packet, ReasonCode, Sender};
use symbolon_tls::{Channel, Connector, PreSharedKey, PublicKey, Spki};
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
                let reason_code = if let Packet::ConnAck(connack) = packet {
                    connack.reason_code
                } else if let Packet::PubAck(ack) = packet {
                    ack.reason_code
                } else {
                    panic!("{packet:?}")
                };
                self.buffer.drain(..size);
                return reason_code;
            }
            let read = timeout(SOON, self.channel.read_buf(&mut self.buffer)).await;
            assert!(read.expect("an answer in time").unwrap() > 0, "an answer");
        }
    }

    async fn publish(&mut self, topic: &str, payload: &[u8]) -> ReasonCode {
        let delivery = Delivery::AtLeastOnce(packet_identifier(1));
        self.ask(&Packet::Publish(publish(topic, payload, delivery, false)))
            .await
    }
}

/// A broker on TLS where no topic is public, and its authorization server's key.
struct World {
    broker: Option<Broker>,
    signer: SigningKey,
    certificate: String,
    content_key: ContentKey,
}

impl World {
    fn start() -> Self {
        let signer = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let server = Server {
            pop: PopSigner::generate(PopAlgorithm::EdDsa).unwrap(),
            keys: KeySet::from_keys(vec![signer.to_public_jwk()]).to_json(),
            open: AtomicBool::new(true),
            asked: AtomicUsize::new(0),
            revoked: AtomicBool::new(false),
        };
        let content_key = ContentKey {
            kid: "content".into(),
            key: SymmetricKey::from_bytes(&[7; 32]),
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
        let mut authorization = serve(Arc::new(server));
        authorization.servers[0].content_keys = vec![content_key.clone()];
        let broker = Broker::start(&Config {
            listeners: vec![listener],
            public_topics: Vec::new(),
            ..config(Some(authorization))
        });
        Self {
            broker: Some(broker.unwrap()),
            signer,
            certificate,
            content_key,
        }
    }

    fn address(&self) -> SocketAddr {
        self.broker.as_ref().unwrap().local_addrs()[0]
    }

    fn anonymous(&self) -> Connector {
        Connector::new(&self.certificate, SOON).unwrap()
    }

    /// Publishes a token as somebody else would.
    async fn publish_token(&self, token: &str) -> ReasonCode {
        let (mut stranger, reason_code) =
            Caller::connect(&self.anonymous(), self.address(), "stranger").await;
        assert_eq!(reason_code, ReasonCode::Success);
        assert_eq!(stranger.publish("t", b"").await, ReasonCode::NotAuthorized);
        stranger.publish("authz-info", token.as_bytes()).await
    }

    fn token(&self, confirmation: Confirmation, scope: &str) -> String {
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
            confirmation,
            client_nonce: None,
        };
        self.signer.sign(&claims).unwrap()
    }

    async fn end(&mut self) {
        let broker = self.broker.take().unwrap();
        let ended = tokio::task::spawn_blocking(|| broker.shutdown(Duration::from_secs(10))).await;
        assert!(ended.unwrap());
    }
}

// RFC 9431 §2.2.1: TLS:Known(RPK), MQTT:none.
#[tokio::test]
async fn a_client_with_a_raw_public_key_comes_in_by_the_token_it_published_before() {
    let mut world = World::start();
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let spki = Spki::parse(&pair.subject_public_key_info()).unwrap();
    let PublicKey::Ed25519(key) = spki.public_key() else {
        panic!("the key is one of Ed25519");
    };
    let cnf = Confirmation::Key(Box::new(PopKey::Ed25519(*key).to_jwk()));
    let known = world.anonymous();
    let known = known.showing_raw_key(&pair.serialize_pem()).unwrap();
    // Without a token TLS knows the key, and the broker knows no right of it.
    let (_, refused) = Caller::connect(&known, world.address(), "device").await;
    assert_eq!(refused, ReasonCode::NotAuthorized);
    let first = world.token(cnf.clone(), r#"[["t",["pub"]]]"#);
    assert_eq!(world.publish_token(&first).await, ReasonCode::Success);
    let (mut device, reason_code) = Caller::connect(&known, world.address(), "device").await;
    assert_eq!(reason_code, ReasonCode::Success);
    assert_eq!(
        device.publish("t", b"").await,
        ReasonCode::NoMatchingSubscribers
    );
    // It renews on its live connection.
    let second = world.token(cnf, r#"[["u",["pub"]]]"#);
    assert_eq!(
        device.publish("authz-info", second.as_bytes()).await,
        ReasonCode::Success
    );
    assert_eq!(device.publish("t", b"").await, ReasonCode::NotAuthorized);
    assert_eq!(
        device.publish("u", b"").await,
        ReasonCode::NoMatchingSubscribers
    );
    world.end().await;
}

// RFC 9431 §2.2.1: TLS:Known(PSK), MQTT:none.
#[tokio::test]
async fn a_client_with_a_pre_shared_key_names_its_token_or_brings_it_in_the_handshake() {
    let mut world = World::start();
    let pop = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let PopKey::Hs256(secret) = pop.verifying_key() else {
        panic!("the key is symmetric");
    };
    let jwk = pop.verifying_key().to_jwk().with_kid("psk-1");
    let cnf = Confirmation::Encrypted(world.content_key.encrypt(&jwk).unwrap());
    let token = world.token(cnf, r#"[["t",["pub"]]]"#);
    let named = PskIdentity::of_key(&identifier::to_bytes("psk-1"));
    let connector = |identity: &[u8], secret: &[u8]| {
        let key = PreSharedKey::new(secret).unwrap();
        Connector::with_pre_shared_key(identity, key, SOON).unwrap()
    };
    let refused = |connector: Connector, address: SocketAddr| async move {
        connector.connect(address, "localhost").await.is_err()
    };
    let address = world.address();
    // There is no waiting for the authorization server's keys in a handshake: another token has them fetched before.
    let other = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let other = Confirmation::Key(Box::new(other.verifying_key().to_jwk()));
    let other = world.token(other, "[]");
    assert_eq!(world.publish_token(&other).await, ReasonCode::Success);
    // Nobody knows the name yet; the token is no use with another key.
    assert!(refused(connector(&named, secret.as_bytes()), address).await);
    assert!(refused(connector(token.as_bytes(), &[9; 32]), address).await);
    for identity in [token.as_bytes(), &named] {
        let known = connector(identity, secret.as_bytes());
        let (mut device, reason_code) = Caller::connect(&known, address, "device").await;
        assert_eq!(reason_code, ReasonCode::Success);
        assert_eq!(
            device.publish("t", b"").await,
            ReasonCode::NoMatchingSubscribers
        );
        assert_eq!(device.publish("u", b"").await, ReasonCode::NotAuthorized);
    }
    world.end().await;
}
