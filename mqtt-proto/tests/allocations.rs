//! What must not allocate: the way of a message through a broker.

use allocation_counter::measure;
use symbolon_mqtt_proto::property::PropertyBuffer;
use symbolon_mqtt_proto::{
    Ack, Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishProperties,
    ReasonCode, Sender, TopicFilter, TopicName,
};

#[track_caller]
fn allocates_nothing(routine: impl FnOnce()) {
    assert_eq!(measure(routine).count_total, 0);
}

#[test]
fn the_counter_counts() {
    let counted = measure(|| {
        std::hint::black_box(Vec::<u8>::with_capacity(1));
    });
    assert_eq!(counted.count_total, 1);
}

#[test]
fn publish_and_acknowledgements_are_decoded_and_encoded_in_place() {
    let mut buffer = PropertyBuffer::default();
    buffer.push_user_property("name", "value").unwrap();
    buffer.push_subscription_identifier(7).unwrap();
    let properties = PublishProperties {
        payload_is_utf8: Some(true),
        message_expiry_interval_secs: Some(60),
        topic_alias: None,
        response_topic: TopicName::parse("answer").ok(),
        correlation_data: Some(b"1"),
        subscription_identifiers: buffer.subscription_identifiers(),
        content_type: Some("text/plain"),
        user_properties: buffer.user_properties(),
    };
    let one = PacketIdentifier::MIN;
    let mut packets = vec![
        Packet::PubAck(Ack::new(one, ReasonCode::Success)),
        Packet::PubRec(Ack::new(one, ReasonCode::NotAuthorized)),
        Packet::PubRel(Ack::new(one, ReasonCode::Success)),
        Packet::PubComp(Ack::new(one, ReasonCode::PacketIdentifierNotFound)),
        Packet::PingResp,
    ];
    for delivery in [
        Delivery::AtMostOnce,
        Delivery::AtLeastOnce(one),
        Delivery::ExactlyOnce(one),
    ] {
        for properties in [PublishProperties::default(), properties] {
            packets.push(Packet::Publish(Publish {
                duplicate: false,
                delivery,
                retain: false,
                topic: TopicName::parse("sensors/room-3/humid").ok(),
                properties,
                payload: &[0x5A; 100],
            }));
        }
    }
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        let decoder = Decoder {
            version,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        let mut wire = Vec::with_capacity(1000);
        for packet in &packets {
            wire.clear();
            allocates_nothing(|| {
                packet.encode(version, &mut wire).unwrap();
                assert_eq!(packet.encoded_len(version), Ok(wire.len()));
                assert!(decoder.decode(&wire).unwrap().is_some());
                assert_eq!(decoder.decode(&wire[..1]), Ok(None));
            });
        }
    }
}

#[test]
fn refusing_bytes_allocates_nothing() {
    let decoder = Decoder {
        version: ProtocolVersion::V5,
        sender: Sender::Client,
        maximum_packet_size: 100,
    };
    for wire in [
        &b"\x30\x03\0\0\0"[..],
        b"\x30\x04\0\x01#\0",
        b"\x30\xFF\x7F",
    ] {
        allocates_nothing(|| assert!(decoder.decode(wire).is_err()));
    }
}

#[test]
fn matching_and_covering_allocate_nothing() {
    let topic = TopicName::parse("a/b/c").unwrap();
    let filters = ["#", "a/+/c", "a/b/c", "/#", "$SYS/#", "a/b/c/#"]
        .map(|filter| TopicFilter::parse(filter).unwrap());
    allocates_nothing(|| {
        for filter in &filters {
            filter.matches(topic);
            for other in &filters {
                filter.covers(other);
            }
        }
    });
}
