//! Packets of every kind, for properties. What they borrow is leaked: a test ends soon.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use std::num::{NonZeroU16, NonZeroU32};
use symbolon_mqtt_proto::connack::ConnAckProperties;
use symbolon_mqtt_proto::connect::ConnectProperties;
use symbolon_mqtt_proto::property::{PropertyBuffer, SubscriptionIdentifiers};
use symbolon_mqtt_proto::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, Packet, PacketIdentifier, PacketType,
    ProtocolVersion, Publish, PublishProperties, Qos, ReasonCode, RetainHandling, Sender,
    ShareName, SubAck, Subscribe, Subscription, TopicFilter, TopicName, UnsubAck, Unsubscribe,
    UserProperties, Will,
};

/// A packet with what a decoder must know to read it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) version: ProtocolVersion,
    pub(crate) sender: Sender,
    pub(crate) packet: Packet<'static>,
}

/// Any packet that may be sent at all.
pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let versions = select(vec![ProtocolVersion::V311, ProtocolVersion::V5]);
    let senders = select(vec![Sender::Client, Sender::Server]);
    (versions, senders).prop_flat_map(|(version, sender)| {
        packets(version, sender).prop_map(move |packet| Case {
            version,
            sender,
            packet,
        })
    })
}

fn packets(version: ProtocolVersion, sender: Sender) -> BoxedStrategy<Packet<'static>> {
    let acks = |packet_type| acks(packet_type, version, sender);
    let mut any = vec![
        publishes(version, sender).prop_map(Packet::Publish).boxed(),
        acks(PacketType::PubAck).prop_map(Packet::PubAck).boxed(),
        acks(PacketType::PubRec).prop_map(Packet::PubRec).boxed(),
        acks(PacketType::PubRel).prop_map(Packet::PubRel).boxed(),
        acks(PacketType::PubComp).prop_map(Packet::PubComp).boxed(),
    ];
    match sender {
        Sender::Client => any.extend([
            connects(version)
                .prop_map(|connect| Packet::Connect(Box::new(connect)))
                .boxed(),
            subscribes(version).prop_map(Packet::Subscribe).boxed(),
            unsubscribes(version).prop_map(Packet::Unsubscribe).boxed(),
            Just(Packet::PingReq).boxed(),
        ]),
        Sender::Server => any.extend([
            connacks(version)
                .prop_map(|connack| Packet::ConnAck(Box::new(connack)))
                .boxed(),
            subacks(version).prop_map(Packet::SubAck).boxed(),
            unsubacks(version).prop_map(Packet::UnsubAck).boxed(),
            Just(Packet::PingResp).boxed(),
        ]),
    }
    match (version, sender) {
        (ProtocolVersion::V5, _) => any.extend([
            disconnects(sender).prop_map(Packet::Disconnect).boxed(),
            auths(sender).prop_map(Packet::Auth).boxed(),
        ]),
        (ProtocolVersion::V311, Sender::Client) => {
            let disconnect = Disconnect::new(ReasonCode::Success, None);
            any.push(Just(Packet::Disconnect(disconnect)).boxed());
        }
        (ProtocolVersion::V311, Sender::Server) => {}
    }
    proptest::strategy::Union::new(any).boxed()
}

/// `strategy` in 5.0, the default in 3.1.1, which has no such thing.
fn only_v5<T: Clone + std::fmt::Debug + Default + 'static>(
    version: ProtocolVersion,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    match version {
        ProtocolVersion::V311 => Just(T::default()).boxed(),
        ProtocolVersion::V5 => strategy.boxed(),
    }
}

fn text() -> impl Strategy<Value = &'static str> {
    "[^\u{0}]{0,8}".prop_map(|text| &*text.leak())
}

fn binary() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..200).prop_map(|bytes| &*bytes.leak())
}

fn topic_name() -> impl Strategy<Value = TopicName<'static>> {
    "[^+#\u{0}]{1,24}".prop_map(|text| TopicName::parse(text.leak()).unwrap())
}

fn topic_filter() -> impl Strategy<Value = TopicFilter> {
    let level = || prop_oneof![Just("+".to_owned()), "[^+#/\u{0}]{0,6}"];
    (level(), vec(level(), 0..4), any::<bool>()).prop_filter_map(
        "an empty filter, or one of a group",
        |(first, more, all)| {
            let mut levels = vec![first];
            levels.extend(more);
            if all {
                levels.push("#".to_owned());
            }
            let filter = TopicFilter::parse(&levels.join("/")).ok()?;
            Some(filter).filter(|filter| !filter.as_str().starts_with("$share/"))
        },
    )
}

fn share_name() -> impl Strategy<Value = Option<ShareName>> {
    of("[^+#/\u{0}]{1,6}".prop_map(|name| ShareName::parse(&name).unwrap()))
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn packet_identifier() -> impl Strategy<Value = PacketIdentifier> {
    any::<NonZeroU16>()
}

fn user_properties() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..4).prop_map(|pairs| {
        let buffer = Box::leak(Box::new(PropertyBuffer::default()));
        for (name, value) in pairs {
            buffer.push_user_property(name, value).unwrap();
        }
        buffer.user_properties()
    })
}

fn subscription_identifier() -> impl Strategy<Value = u32> {
    prop_oneof![1..200_u32, 1..=268_435_455_u32]
}

fn subscription_identifiers(
    sender: Sender,
) -> impl Strategy<Value = SubscriptionIdentifiers<'static>> {
    let count = match sender {
        Sender::Client => 0..1,
        Sender::Server => 0..4,
    };
    vec(subscription_identifier(), count).prop_map(|identifiers| {
        let buffer = Box::leak(Box::new(PropertyBuffer::default()));
        for identifier in identifiers {
            buffer.push_subscription_identifier(identifier).unwrap();
        }
        buffer.subscription_identifiers()
    })
}

fn codes(packet_type: PacketType, sender: Sender) -> impl Strategy<Value = ReasonCode> {
    let allowed: Vec<_> = (0..=u8::MAX)
        .filter_map(ReasonCode::from_u8)
        .filter(|code| code.is_allowed_in(packet_type, sender))
        .collect();
    select(allowed)
}

/// Method and data of an authentication: data only with a method.
fn authentication() -> impl Strategy<Value = (Option<&'static str>, Option<&'static [u8]>)> {
    of((text(), of(binary()))).prop_map(|some| match some {
        None => (None, None),
        Some((method, data)) => (Some(method), data),
    })
}

fn message_properties() -> impl Strategy<Value = PublishProperties<'static>> {
    (
        of(any::<bool>()),
        of(any::<u32>()),
        of(topic_name()),
        of(binary()),
        of(text()),
        user_properties(),
    )
        .prop_map(
            |(utf8, expiry, response, correlation, content, user)| PublishProperties {
                payload_is_utf8: utf8,
                message_expiry_interval_secs: expiry,
                response_topic: response,
                correlation_data: correlation,
                content_type: content,
                user_properties: user,
                ..PublishProperties::default()
            },
        )
}

fn publish_properties(sender: Sender) -> impl Strategy<Value = PublishProperties<'static>> {
    (
        message_properties(),
        of(any::<NonZeroU16>()),
        subscription_identifiers(sender),
    )
        .prop_map(|(properties, topic_alias, identifiers)| PublishProperties {
            topic_alias,
            subscription_identifiers: identifiers,
            ..properties
        })
}

fn publishes(version: ProtocolVersion, sender: Sender) -> impl Strategy<Value = Publish<'static>> {
    (
        any::<(bool, bool)>(),
        (qos(), packet_identifier()),
        of(topic_name()),
        topic_name(),
        only_v5(version, publish_properties(sender)),
        binary(),
    )
        .prop_map(
            |((duplicate, retain), delivery, topic, spare, properties, payload)| {
                let delivery = match delivery {
                    (Qos::AtMostOnce, _) => Delivery::AtMostOnce,
                    (Qos::AtLeastOnce, identifier) => Delivery::AtLeastOnce(identifier),
                    (Qos::ExactlyOnce, identifier) => Delivery::ExactlyOnce(identifier),
                };
                Publish {
                    duplicate: duplicate && delivery != Delivery::AtMostOnce,
                    delivery,
                    retain,
                    topic: topic.or(properties.topic_alias.is_none().then_some(spare)),
                    properties,
                    payload,
                }
            },
        )
}

fn acks(
    packet_type: PacketType,
    version: ProtocolVersion,
    sender: Sender,
) -> impl Strategy<Value = Ack<'static>> {
    let code = match version {
        ProtocolVersion::V311 => Just(ReasonCode::Success).boxed(),
        ProtocolVersion::V5 => codes(packet_type, sender).boxed(),
    };
    let diagnostics = only_v5(version, (of(text()), user_properties()));
    (packet_identifier(), code, diagnostics).prop_map(
        |(packet_identifier, reason_code, (reason_string, user_properties))| Ack {
            packet_identifier,
            reason_code,
            reason_string,
            user_properties,
        },
    )
}

fn wills(version: ProtocolVersion) -> impl Strategy<Value = Will<'static>> {
    (
        topic_name(),
        binary(),
        qos(),
        any::<bool>(),
        only_v5(version, (any::<u32>(), message_properties())),
    )
        .prop_map(|(topic, payload, qos, retain, (delay, properties))| Will {
            topic,
            payload,
            qos,
            retain,
            delay_interval_secs: delay,
            properties,
        })
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties<'static>> {
    (
        of(any::<u32>()),
        of(any::<NonZeroU16>()),
        of(any::<NonZeroU32>()),
        of(any::<u16>()),
        of(any::<bool>()),
        of(any::<bool>()),
        user_properties(),
        authentication(),
    )
        .prop_map(
            |(expiry, receive, size, alias, response, problem, user, (method, data))| {
                ConnectProperties {
                    session_expiry_interval_secs: expiry,
                    receive_maximum: receive,
                    maximum_packet_size: size,
                    topic_alias_maximum: alias,
                    request_response_information: response,
                    request_problem_information: problem,
                    user_properties: user,
                    authentication_method: method,
                    authentication_data: data,
                }
            },
        )
}

fn connects(version: ProtocolVersion) -> impl Strategy<Value = Connect<'static>> {
    (
        any::<bool>(),
        any::<u16>(),
        text(),
        of(wills(version)),
        of(text()),
        of(binary()),
        only_v5(version, connect_properties()),
    )
        .prop_map(
            move |(clean, keep_alive_secs, client, will, user_name, password, properties)| {
                let is_v5 = version == ProtocolVersion::V5;
                Connect {
                    version,
                    clean_start: clean || (!is_v5 && client.is_empty()),
                    keep_alive_secs,
                    client_identifier: client,
                    will,
                    user_name,
                    password: password.filter(|_| is_v5 || user_name.is_some()),
                    properties,
                }
            },
        )
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties<'static>> {
    let limits = (
        of(any::<u32>()),
        of(any::<NonZeroU16>()),
        of(select(vec![Qos::AtMostOnce, Qos::AtLeastOnce])),
        of(any::<bool>()),
        of(any::<NonZeroU32>()),
        of(any::<u16>()),
        of(any::<u16>()),
    );
    let available = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()));
    let texts = (of(text()), of(text()), of(text()), of(text()));
    (
        limits,
        available,
        texts,
        user_properties(),
        authentication(),
    )
        .prop_map(
            |(limits, available, texts, user_properties, (method, data))| ConnAckProperties {
                session_expiry_interval_secs: limits.0,
                receive_maximum: limits.1,
                maximum_qos: limits.2,
                retain_available: limits.3,
                maximum_packet_size: limits.4,
                topic_alias_maximum: limits.5,
                server_keep_alive_secs: limits.6,
                wildcard_subscription_available: available.0,
                subscription_identifiers_available: available.1,
                shared_subscription_available: available.2,
                assigned_client_identifier: texts.0,
                reason_string: texts.1,
                response_information: texts.2,
                server_reference: texts.3,
                user_properties,
                authentication_method: method,
                authentication_data: data,
            },
        )
}

fn connacks(version: ProtocolVersion) -> impl Strategy<Value = ConnAck<'static>> {
    let code = match version {
        ProtocolVersion::V311 => select(vec![
            ReasonCode::Success,
            ReasonCode::UnsupportedProtocolVersion,
            ReasonCode::ClientIdentifierNotValid,
            ReasonCode::ServerUnavailable,
            ReasonCode::BadUserNameOrPassword,
            ReasonCode::NotAuthorized,
        ])
        .boxed(),
        ProtocolVersion::V5 => codes(PacketType::ConnAck, Sender::Server).boxed(),
    };
    let properties = only_v5(version, connack_properties());
    (any::<bool>(), code, properties).prop_map(|(present, reason_code, properties)| ConnAck {
        session_present: present && reason_code == ReasonCode::Success,
        reason_code,
        properties,
    })
}

fn subscriptions(version: ProtocolVersion) -> impl Strategy<Value = Subscription> {
    let retain_handling = select(vec![
        RetainHandling::Send,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ]);
    let options = only_v5(version, (any::<bool>(), any::<bool>(), retain_handling));
    (share_name(), topic_filter(), qos(), options).prop_map(
        |(share_name, filter, maximum_qos, (local, published, retain_handling))| Subscription {
            no_local: local && share_name.is_none(),
            share_name,
            filter,
            maximum_qos,
            retain_as_published: published,
            retain_handling,
        },
    )
}

fn subscribes(version: ProtocolVersion) -> impl Strategy<Value = Subscribe<'static>> {
    (
        packet_identifier(),
        only_v5(version, (of(subscription_identifier()), user_properties())),
        vec(subscriptions(version), 1..4),
    )
        .prop_map(
            |(packet_identifier, (subscription_identifier, user_properties), subscriptions)| {
                Subscribe {
                    packet_identifier,
                    subscription_identifier,
                    user_properties,
                    subscriptions,
                }
            },
        )
}

fn subacks(version: ProtocolVersion) -> impl Strategy<Value = SubAck<'static>> {
    let code = match version {
        ProtocolVersion::V311 => select(vec![
            ReasonCode::Success,
            ReasonCode::GrantedQos1,
            ReasonCode::GrantedQos2,
            ReasonCode::UnspecifiedError,
        ])
        .boxed(),
        ProtocolVersion::V5 => codes(PacketType::SubAck, Sender::Server).boxed(),
    };
    let diagnostics = only_v5(version, (of(text()), user_properties()));
    (packet_identifier(), diagnostics, vec(code, 1..5)).prop_map(
        |(packet_identifier, (reason_string, user_properties), reason_codes)| SubAck {
            packet_identifier,
            reason_string,
            user_properties,
            reason_codes,
        },
    )
}

fn unsubscribes(version: ProtocolVersion) -> impl Strategy<Value = Unsubscribe<'static>> {
    (
        packet_identifier(),
        only_v5(version, user_properties()),
        vec((share_name(), topic_filter()), 1..4),
    )
        .prop_map(
            |(packet_identifier, user_properties, filters)| Unsubscribe {
                packet_identifier,
                user_properties,
                filters,
            },
        )
}

fn unsubacks(version: ProtocolVersion) -> impl Strategy<Value = UnsubAck<'static>> {
    let codes = vec(codes(PacketType::UnsubAck, Sender::Server), 1..5);
    let diagnostics = only_v5(version, (of(text()), user_properties()));
    (packet_identifier(), diagnostics, only_v5(version, codes)).prop_map(
        |(packet_identifier, (reason_string, user_properties), reason_codes)| UnsubAck {
            packet_identifier,
            reason_string,
            user_properties,
            reason_codes,
        },
    )
}

fn disconnects(sender: Sender) -> impl Strategy<Value = Disconnect<'static>> {
    (
        codes(PacketType::Disconnect, sender),
        of(any::<u32>()),
        of(text()),
        of(text()),
        user_properties(),
    )
        .prop_map(
            move |(reason_code, expiry, reason_string, reference, user_properties)| Disconnect {
                reason_code,
                session_expiry_interval_secs: expiry.filter(|_| sender == Sender::Client),
                reason_string,
                server_reference: reference.filter(|_| sender == Sender::Server),
                user_properties,
            },
        )
}

fn auths(sender: Sender) -> impl Strategy<Value = Auth<'static>> {
    let plain = Auth {
        reason_code: ReasonCode::Success,
        authentication_method: None,
        authentication_data: None,
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    let full = (
        codes(PacketType::Auth, sender),
        text(),
        of(binary()),
        of(text()),
        user_properties(),
    )
        .prop_map(
            |(reason_code, method, data, reason_string, user_properties)| Auth {
                reason_code,
                authentication_method: Some(method),
                authentication_data: data,
                reason_string,
                user_properties,
            },
        );
    // A Client sends no Success, and so not the plain one.
    match sender {
        Sender::Client => full.boxed(),
        Sender::Server => prop_oneof![9 => full, 1 => Just(plain)].boxed(),
    }
}
