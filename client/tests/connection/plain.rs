//! What needs no TLS.

use crate::broker::{Broker, connack, listen, puback, publish, taken_apart};
use std::{num::NonZeroU16, time::Duration};
use symbolon_ace_proto::{PopAlgorithm, PopSigner, UnixTime};
use symbolon_client::{
    ConnectError, ConnectOptions, Connection, Event, Mode,
    connection::{Credentials, Outgoing},
    token::Token,
};
use symbolon_mqtt_proto::{
    Delivery, Disconnect, Packet, PublishProperties, Qos, ReasonCode, RetainHandling, SubAck,
    Subscription, TopicFilter, UserProperties, connack::ConnAckProperties,
};
use tokio::{io::AsyncWriteExt, net::TcpListener, time::timeout};

const SOON: Duration = Duration::from_millis(50);

fn outgoing<'a>(topic: &'a str, payload: &'a [u8], qos: Qos) -> Outgoing<'a> {
    Outgoing {
        topic,
        payload,
        qos,
        retain: false,
        properties: PublishProperties::default(),
    }
}

fn subscription(filter: &str) -> Subscription {
    Subscription {
        share_name: None,
        filter: TopicFilter::parse(filter).unwrap(),
        maximum_qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

/// Both ends of a connection that stands.
async fn connected(properties: ConnAckProperties<'_>) -> (Connection, Broker) {
    let (listener, options) = listen().await;
    connected_with(&listener, options, properties).await
}

async fn connected_with(
    listener: &TcpListener,
    options: ConnectOptions<'_>,
    properties: ConnAckProperties<'_>,
) -> (Connection, Broker) {
    let (connection, broker) = tokio::join!(Connection::connect(options, None), async {
        let mut broker = Broker::accept(listener).await;
        broker.admit(properties).await;
        broker
    });
    (connection.unwrap(), broker)
}

fn topic(event: Result<Event, ConnectError>) -> String {
    match event {
        Ok(Event::Message(message)) => message.topic,
        other => panic!("a message, not {other:?}"),
    }
}

#[tokio::test]
async fn connack_says_who_we_are() {
    let (connection, _broker) = connected(ConnAckProperties::default()).await;
    assert_eq!(connection.client_identifier(), "c1");
    assert!(!connection.session_present());
}

#[tokio::test]
async fn a_message_goes_out_and_its_acknowledgement_comes_in() {
    let (mut connection, mut broker) = connected(ConnAckProperties::default()).await;
    let message = outgoing("a", b"21.5", Qos::AtLeastOnce);
    let identifier = connection.publish(message).await.unwrap();
    let packet = broker.receive().await;
    let Packet::Publish(received) = taken_apart(&packet) else {
        panic!("PUBLISH")
    };
    let packet_identifier = received.delivery.packet_identifier().unwrap();
    broker.send(&puback(packet_identifier)).await;
    assert!(matches!(
        connection.next().await,
        Ok(Event::Published { identifier: done, reason_code: ReasonCode::Success, .. })
            if done == identifier
    ));
}

#[tokio::test]
async fn messages_before_suback_are_kept() {
    let (mut connection, mut broker) = connected(ConnAckProperties::default()).await;
    let script = async {
        let packet = broker.receive().await;
        let Packet::Subscribe(subscribe) = taken_apart(&packet) else {
            panic!("SUBSCRIBE")
        };
        broker.send(&publish("early", Delivery::AtMostOnce)).await;
        let suback = SubAck {
            packet_identifier: subscribe.packet_identifier,
            reason_string: None,
            user_properties: UserProperties::default(),
            reason_codes: vec![ReasonCode::GrantedQos1],
        };
        broker.send(&Packet::SubAck(suback)).await;
    };
    let (answer, ()) = tokio::join!(connection.subscribe(vec![subscription("#")]), script);
    assert_eq!(answer.unwrap().reason_codes, [ReasonCode::GrantedQos1]);
    assert_eq!(topic(connection.next().await), "early");
}

#[tokio::test]
async fn next_may_be_cancelled_at_any_time() {
    let (mut connection, mut broker) = connected(ConnAckProperties::default()).await;
    let (first, second) = (
        publish("first", Delivery::AtMostOnce),
        publish("second", Delivery::AtMostOnce),
    );
    let mut bytes = Vec::new();
    for packet in [first, second] {
        packet
            .encode(symbolon_mqtt_proto::ProtocolVersion::V5, &mut bytes)
            .unwrap();
    }
    // A packet and a half, then the rest.
    let (begin, rest) = bytes.split_at(bytes.len() - 3);
    broker.channel.write_all(begin).await.unwrap();
    assert_eq!(topic(connection.next().await), "first");
    assert!(timeout(SOON, connection.next()).await.is_err());
    broker.channel.write_all(rest).await.unwrap();
    assert_eq!(topic(connection.next().await), "second");
}

#[tokio::test]
async fn publish_waits_while_the_receive_maximum_is_reached() {
    let properties = ConnAckProperties {
        receive_maximum: NonZeroU16::new(1),
        ..ConnAckProperties::default()
    };
    let (mut connection, mut broker) = connected(properties).await;
    let message = outgoing("a", b"21.5", Qos::AtLeastOnce);
    connection.publish(message).await.unwrap();
    assert!(timeout(SOON, connection.publish(message)).await.is_err());
    let packet = broker.receive().await;
    let Packet::Publish(received) = taken_apart(&packet) else {
        panic!("PUBLISH")
    };
    let identifier = received.delivery.packet_identifier().unwrap();
    broker.send(&puback(identifier)).await;
    // The attempt that was given up was not sent.
    assert_eq!(connection.publish(message).await.unwrap(), 2);
    broker.receive().await;
    assert!(timeout(SOON, broker.receive()).await.is_err());
}

#[tokio::test]
async fn a_message_larger_than_every_buffer_arrives_while_the_broker_sends_as_much() {
    let (mut connection, mut broker) = connected(ConnAckProperties::default()).await;
    let payload = vec![7; 8_000_000];
    let script = async {
        let large = Packet::Publish(symbolon_mqtt_proto::Publish {
            duplicate: false,
            delivery: Delivery::AtMostOnce,
            retain: false,
            topic: Some(symbolon_mqtt_proto::TopicName::parse("a").unwrap()),
            properties: PublishProperties::default(),
            payload: &payload,
        });
        // It reads nothing until all is written: only a client that reads while it writes gets out of this.
        broker.send(&large).await;
        broker.receive().await
    };
    let message = outgoing("a", &payload, Qos::AtMostOnce);
    let (sent, received) = tokio::join!(connection.publish(message), script);
    sent.unwrap();
    let Packet::Publish(received) = taken_apart(&received) else {
        panic!("PUBLISH")
    };
    assert_eq!(received.payload, payload);
    assert!(
        matches!(connection.next().await, Ok(Event::Message(message)) if message.payload == payload)
    );
}

#[tokio::test]
async fn a_full_backlog_is_told_and_the_connection_goes_on() {
    let (listener, mut options) = listen().await;
    options.backlog_bytes = 1;
    let properties = ConnAckProperties {
        receive_maximum: NonZeroU16::new(1),
        ..ConnAckProperties::default()
    };
    let (mut connection, mut broker) = connected_with(&listener, options, properties).await;
    let message = outgoing("a", b"21.5", Qos::AtLeastOnce);
    connection.publish(message).await.unwrap();
    broker.send(&publish("flood", Delivery::AtMostOnce)).await;
    assert!(matches!(
        connection.publish(message).await,
        Err(ConnectError::Backlog)
    ));
    assert_eq!(topic(connection.next().await), "flood");
    connection
        .publish(outgoing("b", b"", Qos::AtMostOnce))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_brokers_last_word_is_told_after_the_messages_before_it_and_once() {
    let (mut connection, mut broker) = connected(ConnAckProperties::default()).await;
    broker.send(&publish("last", Delivery::AtMostOnce)).await;
    let goodbye = Disconnect::new(ReasonCode::NotAuthorized, Some("the token has expired"));
    broker.send(&Packet::Disconnect(goodbye)).await;
    drop(broker);
    assert_eq!(topic(connection.next().await), "last");
    let refused = connection.next().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the broker refuses: NotAuthorized (the token has expired)"
    );
    assert!(matches!(
        connection.next().await,
        Err(ConnectError::Lost(_))
    ));
    let message = outgoing("a", b"21.5", Qos::AtLeastOnce);
    assert!(connection.publish(message).await.is_err());
}

#[tokio::test]
async fn the_brokers_last_word_is_heard_even_where_writing_fails() {
    let (mut connection, mut broker) = connected(ConnAckProperties::default()).await;
    let goodbye = Disconnect::new(ReasonCode::ServerShuttingDown, None);
    broker.send(&Packet::Disconnect(goodbye)).await;
    drop(broker);
    tokio::time::sleep(SOON).await;
    let message = outgoing("a", b"21.5", Qos::AtMostOnce);
    let mut outcome = connection.publish(message).await;
    while outcome.is_ok() {
        outcome = connection.publish(message).await;
    }
    assert!(matches!(
        outcome,
        Err(ConnectError::Refused {
            reason_code: ReasonCode::ServerShuttingDown,
            ..
        })
    ));
}

#[tokio::test]
async fn a_broker_that_breaks_the_protocol_is_told() {
    let (mut connection, mut broker) = connected(ConnAckProperties::default()).await;
    broker.send(&connack(ConnAckProperties::default())).await;
    assert!(matches!(
        connection.next().await,
        Err(ConnectError::Protocol(_))
    ));
    let packet = broker.receive().await;
    let Packet::Disconnect(disconnect) = taken_apart(&packet) else {
        panic!("DISCONNECT")
    };
    assert_eq!(disconnect.reason_code, ReasonCode::ProtocolError);
}

#[tokio::test]
async fn a_broker_that_goes_without_a_word_is_lost() {
    let (mut connection, broker) = connected(ConnAckProperties::default()).await;
    drop(broker);
    assert!(matches!(
        connection.next().await,
        Err(ConnectError::Lost(_))
    ));
}

#[tokio::test]
async fn pings_go_out_while_the_application_waits() {
    let properties = ConnAckProperties {
        server_keep_alive_secs: Some(1),
        ..ConnAckProperties::default()
    };
    let (mut connection, mut broker) = connected(properties).await;
    let script = async {
        for _ in 0..2 {
            let packet = broker.receive().await;
            assert_eq!(taken_apart(&packet), Packet::PingReq);
            broker.send(&Packet::PingResp).await;
        }
        broker.send(&publish("done", Delivery::AtMostOnce)).await;
    };
    let (event, ()) = tokio::join!(connection.next(), script);
    assert_eq!(topic(event), "done");
}

#[tokio::test]
async fn disconnect_says_goodbye_behind_everything_else() {
    let (mut connection, mut broker) = connected(ConnAckProperties::default()).await;
    let delivery = Delivery::AtLeastOnce(NonZeroU16::MIN);
    broker.send(&publish("a", delivery)).await;
    assert_eq!(topic(connection.next().await), "a");
    let script = async {
        let packet = broker.receive().await;
        assert!(matches!(taken_apart(&packet), Packet::PubAck(_)));
        // Bytes that come too late do no harm.
        broker.send(&publish("late", Delivery::AtMostOnce)).await;
        let packet = broker.receive().await;
        let Packet::Disconnect(disconnect) = taken_apart(&packet) else {
            panic!("DISCONNECT")
        };
        assert_eq!(
            disconnect.reason_code,
            ReasonCode::DisconnectWithWillMessage
        );
        assert!(broker.receive().await.is_empty());
    };
    let goodbye = async {
        connection.acknowledge().await.unwrap();
        let reason_code = ReasonCode::DisconnectWithWillMessage;
        connection.disconnect(reason_code).await.unwrap();
    };
    tokio::join!(goodbye, script);
}

#[tokio::test]
async fn a_lost_session_is_resumed_with_what_was_in_flight() {
    let (listener, options) = listen().await;
    let (mut connection, broker) =
        connected_with(&listener, options.clone(), ConnAckProperties::default()).await;
    let message = outgoing("a", b"21.5", Qos::AtLeastOnce);
    let identifier = connection.publish(message).await.unwrap();
    drop(broker);
    let session = connection.into_session();
    let script = async {
        let mut broker = Broker::accept(&listener).await;
        broker.receive().await;
        broker
            .send(&Packet::ConnAck(Box::new(symbolon_mqtt_proto::ConnAck {
                session_present: true,
                reason_code: ReasonCode::Success,
                properties: ConnAckProperties::default(),
            })))
            .await;
        broker
    };
    let (connection, mut broker) = tokio::join!(Connection::resume(options, None, session), script);
    let mut connection = connection.unwrap();
    assert!(connection.session_present());
    let script = async {
        let packet = broker.receive().await;
        let Packet::Publish(again) = taken_apart(&packet) else {
            panic!("PUBLISH")
        };
        assert!(again.duplicate);
        let identifier = again.delivery.packet_identifier().unwrap();
        broker.send(&puback(identifier)).await;
    };
    let (event, ()) = tokio::join!(connection.next(), script);
    assert!(matches!(event, Ok(Event::Published { identifier: done, .. }) if done == identifier));
}

#[tokio::test]
async fn no_token_is_sent_over_bare_tcp() {
    let (listener, options) = listen().await;
    let credentials = Credentials {
        profile: None,
        token: Token {
            text: "abc.def.ghi".to_owned(),
            signer: PopSigner::generate(PopAlgorithm::Hs256).unwrap(),
            expires_at: UnixTime(u64::MAX),
            obtained_at: UnixTime(0),
            scope: None,
            requested_scope: None,
            broker: None,
            raw: None,
            key_identifier: None,
        },
        mode: Mode::Challenge,
    };
    let refused = Connection::connect(options, Some(credentials)).await;
    assert!(matches!(refused, Err(ConnectError::Options(_))));
    // Nobody has even called.
    assert!(timeout(SOON, listener.accept()).await.is_err());
}

#[tokio::test]
async fn a_host_that_is_not_there_is_unreachable() {
    let (listener, options) = listen().await;
    drop(listener);
    let error = Connection::connect(options, None).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_, _)), "{error}");
}

#[tokio::test]
async fn a_broker_that_never_answers_connect_times_out() {
    let (listener, mut options) = listen().await;
    options.timeout = SOON;
    let (refused, broker) = tokio::join!(
        Connection::connect(options, None),
        Broker::accept(&listener)
    );
    assert!(matches!(refused, Err(ConnectError::Timeout)));
    broker.until_closed().await;
}

#[test]
fn debug_shows_no_secret() {
    let mut options = ConnectOptions::new("localhost", 1883);
    options.password = Some(b"very-secret".to_vec());
    options.user_name = Some("very-secret".to_owned());
    let message = outgoing("a", b"very-secret", Qos::AtMostOnce);
    let shown = format!("{options:?} {message:?}");
    assert!(!shown.contains("very-secret"), "{shown}");
    assert!(!shown.contains("118, 101, 114, 121"), "{shown}");
}
