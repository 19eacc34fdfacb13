//! No broker, however wrong or hostile, makes the machine panic or say what is no packet.

use super::*;
use proptest::prelude::*;
use symbolon_mqtt_proto::{Ack, Disconnect, RetainHandling, SubAck, Subscription, TopicFilter};
use symbolon_mqtt_proto::{UnsubAck, UserProperties};

/// Small, so that it hits what is in flight.
fn identifier() -> impl Strategy<Value = PacketIdentifier> {
    (1_u16..5).prop_map(id)
}

fn ack() -> impl Strategy<Value = Ack<'static>> {
    let code = prop_oneof![
        Just(ReasonCode::Success),
        Just(ReasonCode::NotAuthorized),
        Just(ReasonCode::PacketIdentifierNotFound),
    ];
    (identifier(), code).prop_map(|(identifier, code)| Ack::new(identifier, code))
}

fn answer() -> impl Strategy<Value = (PacketIdentifier, usize)> {
    (identifier(), 0_usize..3)
}

/// Packets that a broker may send, each at a moment when it may not.
fn packet() -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![
        identifier().prop_map(|identifier| publish("a", Delivery::AtLeastOnce(identifier))),
        identifier().prop_map(|identifier| publish("a", Delivery::ExactlyOnce(identifier))),
        Just(publish("a", Delivery::AtMostOnce)),
        ack().prop_map(Packet::PubAck),
        ack().prop_map(Packet::PubRec),
        ack().prop_map(Packet::PubRel),
        ack().prop_map(Packet::PubComp),
        answer().prop_map(|(packet_identifier, count)| Packet::SubAck(SubAck {
            packet_identifier,
            reason_string: None,
            user_properties: UserProperties::default(),
            reason_codes: vec![ReasonCode::Success; count],
        })),
        answer().prop_map(|(packet_identifier, count)| Packet::UnsubAck(UnsubAck {
            packet_identifier,
            reason_string: None,
            user_properties: UserProperties::default(),
            reason_codes: vec![ReasonCode::Success; count],
        })),
        Just(Packet::PingResp),
        Just(connack(ConnAckProperties::default())),
        Just(Packet::Disconnect(Disconnect::new(
            ReasonCode::NotAuthorized,
            None
        ))),
    ]
}

/// What an application does between two packets.
fn act(rig: &mut Rig, action: u8) {
    match action {
        0 => {
            rig.event();
        }
        1 => {
            rig.publish("a", Qos::AtLeastOnce).unwrap_or_default();
        }
        2 => {
            rig.publish("a", Qos::ExactlyOnce).unwrap_or_default();
        }
        3 => {
            let subscription = Subscription {
                share_name: None,
                filter: TopicFilter::parse("a").unwrap(),
                maximum_qos: Qos::ExactlyOnce,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::Send,
            };
            let now = rig.clocks.now;
            rig.machine
                .handle_subscribe(vec![subscription], now)
                .unwrap();
        }
        _ => {
            rig.machine.poll_answer();
        }
    }
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![Just(V5), Just(V311)]
}

proptest! {
    #[test]
    fn any_bytes_are_survived(version in version(), bytes: Vec<u8>, cut in 0_usize..64) {
        let mut rig = Rig::new(version);
        let (first, rest) = bytes.split_at(cut.min(bytes.len()));
        if rig.machine.handle_bytes(first, rig.clocks).is_ok() {
            rig.machine.handle_bytes(rest, rig.clocks).unwrap_or_default();
        }
        let opening = opening(&options(version), Authentication::None);
        prop_assert!(!matches!(
            opening.handle_bytes(&bytes, clocks()),
            Err(ConnectError::NotSent(_))
        ));
    }

    #[test]
    fn any_packets_at_any_moment_are_survived(
        version in version(),
        steps in proptest::collection::vec((packet(), 0_u8..5), 0..64),
    ) {
        let mut options = options(version);
        options.receive_maximum = 3;
        let mut rig = Rig::with(&options, ConnAckProperties::default());
        for (packet, action) in steps {
            let mut bytes = Vec::new();
            if packet.encode(version, &mut bytes).is_err() {
                continue;
            }
            if rig.machine.handle_bytes(&bytes, rig.clocks).is_err() {
                break;
            }
            act(&mut rig, action);
            rig.wait(1);
            if rig.machine.handle_timeout(rig.clocks.now).is_err() {
                break;
            }
            // What we send is well formed, whatever we were sent.
            let sent = rig.sent();
            packets(version, &sent);
        }
        let session = rig.machine.into_session();
        let properties = ConnAckProperties::default();
        let mut rig = Rig::resumed(&options, properties, session, true);
        let sent = rig.sent();
        packets(version, &sent);
    }
}
