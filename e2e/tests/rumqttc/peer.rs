//! rumqttc in both versions behind one face, and the sidecar that it speaks to.

use rumqttc::{self as v311, v5};
use std::{fs, path::PathBuf, time::Duration};
use symbolon_ace_proto::AUTHENTICATION_METHOD;
use symbolon_e2e::System;
use symbolon_tls::{Connector, ExporterValue};
use tokio::{net::UnixListener, sync::mpsc, task::JoinHandle, time::timeout};

const LIMIT: Duration = Duration::from_secs(15);
const TEST_LIMIT: Duration = Duration::from_mins(2);
/// Requests and events that may wait.
const WAITING: usize = 64;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    V311,
    V5,
}

pub(super) const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// What the broker says.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    Admitted,
    Subscribed,
    Message(Message),
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) response_topic: Option<String>,
    pub(super) correlation_data: Option<Vec<u8>>,
}

enum Client {
    V311(v311::AsyncClient),
    V5(v5::AsyncClient),
}

pub(super) struct Peer {
    client: Client,
    seen: mpsc::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// What a CONNECT may have.
#[derive(Clone, Debug, Default)]
pub(super) struct Connect {
    /// A Will to this topic at this QoS.
    pub(super) will: Option<(&'static str, u8)>,
    pub(super) authentication_data: Option<Vec<u8>>,
}

pub(super) fn within<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let limited = async { timeout(TEST_LIMIT, work).await };
    runtime
        .unwrap()
        .block_on(limited)
        .expect("the test ends in time")
}

/// A sidecar for one connection: its socket, and the exporter value of its TLS connection.
pub(super) async fn sidecar(system: &System, name: &str) -> (PathBuf, ExporterValue) {
    let ca = fs::read_to_string(&system.init().ca).unwrap();
    let (host, port) = system.init().broker_address();
    let connector = Connector::new(&ca, LIMIT).unwrap();
    let connected = connector.connect_host(host, port.parse().unwrap()).await;
    let mut channel = connected.unwrap();
    let exporter = channel.exporter().unwrap();
    let path = system.scratch(name);
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        // However it ends, both sides see it.
        tokio::io::copy_bidirectional(&mut socket, &mut channel)
            .await
            .ok();
    });
    (path, exporter)
}

pub(super) async fn open(system: &System, version: Version, name: &str) -> Peer {
    open_with(system, version, name, Connect::default()).await
}

pub(super) async fn open_with(
    system: &System,
    version: Version,
    name: &str,
    connect: Connect,
) -> Peer {
    let (path, _) = sidecar(system, name).await;
    Peer::start(&path, version, name, connect).await
}

impl Peer {
    /// Admitted.
    pub(super) async fn start(
        path: &std::path::Path,
        version: Version,
        name: &str,
        with: Connect,
    ) -> Self {
        let path = path.to_str().unwrap();
        let mut peer = match version {
            Version::V311 => start_v311(path, name, &with),
            Version::V5 => start_v5(path, name, with),
        };
        assert_eq!(peer.next().await, Seen::Admitted);
        peer
    }

    async fn next(&mut self) -> Seen {
        let seen = timeout(LIMIT, self.seen.recv()).await;
        seen.expect("it comes in time")
            .expect("the connection stands")
    }

    pub(super) async fn message(&mut self) -> Message {
        match self.next().await {
            Seen::Message(message) => message,
            other @ (Seen::Admitted | Seen::Subscribed) => panic!("a message expected: {other:?}"),
        }
    }

    pub(super) async fn subscribe(&mut self, filter: &str, qos: u8) {
        match &self.client {
            Client::V311(client) => client.subscribe(filter, qos_v311(qos)).await.unwrap(),
            Client::V5(client) => client.subscribe(filter, qos_v5(qos)).await.unwrap(),
        }
        assert_eq!(self.next().await, Seen::Subscribed);
    }

    pub(super) async fn publish(&self, message: &Message) {
        let (topic, payload, retain) = (&message.topic, message.payload.clone(), message.retain);
        match &self.client {
            Client::V311(client) => {
                let qos = qos_v311(message.qos);
                client.publish(topic, qos, retain, payload).await.unwrap();
            }
            Client::V5(client) => {
                let qos = qos_v5(message.qos);
                let properties = v5::mqttbytes::v5::PublishProperties {
                    response_topic: message.response_topic.clone(),
                    correlation_data: message.correlation_data.clone().map(Into::into),
                    ..Default::default()
                };
                let sent = client.publish_with_properties(topic, qos, retain, payload, properties);
                sent.await.unwrap();
            }
        }
    }

    /// Ends the connection without a DISCONNECT.
    pub(super) async fn cut(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

fn start_v311(path: &str, name: &str, with: &Connect) -> Peer {
    assert_eq!(
        with.authentication_data, None,
        "rumqttc takes text for a password"
    );
    let mut options = v311::MqttOptions::new(name, path, 0);
    options.set_transport(v311::Transport::unix());
    if let Some((topic, qos)) = with.will {
        let will = v311::LastWill::new(topic, "gone", qos_v311(qos), false);
        options.set_last_will(will);
    }
    let (client, mut events) = v311::AsyncClient::new(options, WAITING);
    let (seeing, seen) = mpsc::channel(WAITING);
    let task = tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Some(event) = saw_v311(event) {
                seeing.send(event).await.ok();
            }
        }
    });
    let client = Client::V311(client);
    Peer { client, seen, task }
}

fn start_v5(path: &str, name: &str, with: Connect) -> Peer {
    let mut options = v5::MqttOptions::new(name, path, 0);
    options.set_transport(v311::Transport::unix());
    if let Some((topic, qos)) = with.will {
        let will = v5::mqttbytes::v5::LastWill::new(topic, "gone", qos_v5(qos), false, None);
        options.set_last_will(will);
    }
    if let Some(authentication_data) = with.authentication_data {
        options.set_authentication_method(Some(AUTHENTICATION_METHOD.to_owned()));
        options.set_authentication_data(Some(authentication_data.into()));
    }
    let (client, mut events) = v5::AsyncClient::new(options, WAITING);
    let (seeing, seen) = mpsc::channel(WAITING);
    let task = tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Some(event) = saw_v5(event) {
                seeing.send(event).await.ok();
            }
        }
    });
    let client = Client::V5(client);
    Peer { client, seen, task }
}

fn saw_v311(event: v311::Event) -> Option<Seen> {
    let v311::Event::Incoming(packet) = event else {
        return None;
    };
    if let v311::Packet::Publish(publish) = packet {
        return Some(Seen::Message(Message {
            topic: publish.topic,
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            qos: publish.qos as u8,
            retain: publish.retain,
            ..Message::default()
        }));
    }
    if matches!(packet, v311::Packet::ConnAck(_)) {
        return Some(Seen::Admitted);
    }
    matches!(packet, v311::Packet::SubAck(_)).then_some(Seen::Subscribed)
}

fn saw_v5(event: v5::Event) -> Option<Seen> {
    use v5::mqttbytes::v5::Packet;
    let v5::Event::Incoming(packet) = event else {
        return None;
    };
    if let Packet::Publish(publish) = packet {
        let properties = publish.properties.unwrap_or_default();
        return Some(Seen::Message(Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            qos: publish.qos as u8,
            retain: publish.retain,
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data.map(|data| data.to_vec()),
        }));
    }
    if matches!(packet, Packet::ConnAck(_)) {
        return Some(Seen::Admitted);
    }
    matches!(packet, Packet::SubAck(_)).then_some(Seen::Subscribed)
}

fn qos_v311(qos: u8) -> v311::QoS {
    v311::qos(qos).unwrap()
}

fn qos_v5(qos: u8) -> v5::mqttbytes::QoS {
    v5::mqttbytes::qos(qos).unwrap()
}

pub(super) fn message(topic: &str, payload: &str, qos: u8) -> Message {
    Message {
        topic: topic.to_owned(),
        payload: payload.to_owned(),
        qos,
        ..Message::default()
    }
}
