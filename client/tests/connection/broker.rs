//! A broker that does what the test says.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::time::Duration;
use symbolon_client::ConnectOptions;
use symbolon_mqtt_proto::{
    Ack, ConnAck, Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, ReasonCode, Sender, TopicName, connack::ConnAckProperties,
};
use symbolon_tls::{Acceptor, Channel};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// One connection, as the broker sees it.
pub(crate) struct Broker {
    pub(crate) channel: Channel,
    buffer: Vec<u8>,
}

/// A CA, and a Server's certificate for `localhost` from it.
pub(crate) struct Pki {
    pub(crate) ca_pem: String,
    pub(crate) chain_pem: String,
    pub(crate) leaf_der: Vec<u8>,
    pub(crate) key_pem: String,
}

impl Pki {
    pub(crate) fn generate() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &ca).unwrap();
        Self {
            ca_pem: ca.pem(),
            chain_pem: leaf.pem(),
            leaf_der: leaf.der().to_vec(),
            key_pem: key.serialize_pem(),
        }
    }

    pub(crate) fn acceptor(&self) -> Acceptor {
        Acceptor::new(&self.chain_pem, &self.key_pem, Duration::from_secs(20)).unwrap()
    }
}

/// A listener, and options to connect to it by bare TCP.
pub(crate) async fn listen() -> (TcpListener, ConnectOptions<'static>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = ConnectOptions {
        client_identifier: "c1".to_owned(),
        timeout: Duration::from_secs(20),
        ..ConnectOptions::new("localhost", port)
    };
    (listener, options)
}

impl Broker {
    /// The next connection on bare TCP.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self::new(Channel::plain(stream))
    }

    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            buffer: Vec::new(),
        }
    }

    /// The bytes of the next packet; empty once the client has closed.
    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        loop {
            let whole = decoder().decode(&self.buffer).unwrap();
            if let Some(length) = whole.map(|(_, length)| length) {
                return self.buffer.drain(..length).collect();
            }
            if self.channel.read_buf(&mut self.buffer).await.unwrap() == 0 {
                assert!(self.buffer.is_empty());
                return Vec::new();
            }
        }
    }

    pub(crate) async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(ProtocolVersion::V5, &mut bytes).unwrap();
        self.channel.write_all(&bytes).await.unwrap();
        self.channel.flush().await.unwrap();
    }

    /// CONNECT, and CONNACK with these properties.
    pub(crate) async fn admit(&mut self, properties: ConnAckProperties<'_>) {
        let connect = self.receive().await;
        assert!(matches!(taken_apart(&connect), Packet::Connect(_)));
        self.send(&connack(properties)).await;
    }

    /// As a visitor's: CONNECT without a method, and a token published; what is said to that. Then the client goes.
    pub(crate) async fn take_token(mut self, token: &[u8], reason_code: ReasonCode) {
        let connect = self.receive().await;
        let Packet::Connect(connect) = taken_apart(&connect) else {
            panic!("CONNECT")
        };
        assert_eq!(connect.properties.authentication_method, None);
        assert_eq!(connect.client_identifier, "");
        self.send(&connack(ConnAckProperties::default())).await;
        let identifier = self.published(token).await;
        self.send(&Packet::PubAck(Ack::new(identifier, reason_code)))
            .await;
        self.until_closed().await;
    }

    /// A token published to `authz-info`.
    pub(crate) async fn published(&mut self, token: &[u8]) -> PacketIdentifier {
        let packet = self.receive().await;
        let Packet::Publish(publish) = taken_apart(&packet) else {
            panic!("PUBLISH, not {:?}", taken_apart(&packet))
        };
        assert_eq!(publish.topic.unwrap().as_str(), "authz-info");
        assert_eq!(publish.payload, token);
        publish.delivery.packet_identifier().unwrap()
    }

    /// Reads until the client closes.
    pub(crate) async fn until_closed(mut self) {
        while !self.receive().await.is_empty() {}
    }
}

fn decoder() -> Decoder {
    Decoder {
        version: ProtocolVersion::V5,
        sender: Sender::Client,
        maximum_packet_size: u32::MAX,
    }
}

pub(crate) fn taken_apart(bytes: &[u8]) -> Packet<'_> {
    decoder().decode(bytes).unwrap().unwrap().0
}

pub(crate) fn connack(properties: ConnAckProperties<'_>) -> Packet<'_> {
    Packet::ConnAck(Box::new(ConnAck {
        session_present: false,
        reason_code: ReasonCode::Success,
        properties,
    }))
}

pub(crate) fn publish(topic: &str, delivery: Delivery) -> Packet<'_> {
    Packet::Publish(Publish {
        duplicate: false,
        delivery,
        retain: false,
        topic: Some(TopicName::parse(topic).unwrap()),
        properties: PublishProperties::default(),
        payload: b"21.5",
    })
}

pub(crate) fn puback(identifier: PacketIdentifier) -> Packet<'static> {
    Packet::PubAck(Ack::new(identifier, ReasonCode::Success))
}

/// The server's end of HTTPS with the same certificate.
pub(crate) async fn https(
    pki: &Pki,
    stream: tokio::net::TcpStream,
) -> tokio_rustls::server::TlsStream<tokio::net::TcpStream> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let key = PrivateKeyDer::from_pem_slice(pki.key_pem.as_bytes()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(pki.leaf_der.clone())], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    acceptor.accept(stream).await.unwrap()
}
