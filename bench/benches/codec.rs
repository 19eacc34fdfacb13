//! The codec of `symbolon-mqtt-proto`: what a PUBLISH costs.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use symbolon_mqtt_proto::delivery::Outgoing;
use symbolon_mqtt_proto::property::PropertyBuffer;
use symbolon_mqtt_proto::{
    Ack, Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishProperties,
    Qos, ReasonCode, Sender, TopicFilter, TopicName, UserProperties,
};

const TOPIC: &str = "sensors/room-3/humid";
const PAYLOAD: [u8; 100] = [0x5A; 100];

const DECODER: Decoder = Decoder {
    version: ProtocolVersion::V5,
    sender: Sender::Client,
    maximum_packet_size: 1 << 20,
};

fn publish(delivery: Delivery, user_properties: UserProperties<'_>) -> Publish<'_> {
    Publish {
        duplicate: false,
        delivery,
        retain: false,
        topic: TopicName::parse(TOPIC).ok(),
        properties: PublishProperties {
            user_properties,
            ..PublishProperties::default()
        },
        payload: &PAYLOAD,
    }
}

fn encoded(publish: &Publish<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    publish.encode(ProtocolVersion::V5, &mut wire).unwrap();
    wire
}

/// Measures `routine` after it has shown that it allocates nothing.
fn bench_without_allocation(c: &mut Criterion, name: &str, mut routine: impl FnMut()) {
    // The first run may let a buffer grow.
    routine();
    let counted = allocation_counter::measure(&mut routine);
    assert_eq!(counted.count_total, 0, "{name} allocates");
    c.bench_function(name, |bencher| bencher.iter(&mut routine));
}

fn bench_publish(c: &mut Criterion, name: &str, publish: &Publish<'_>) {
    let wire = encoded(publish);
    bench_without_allocation(c, &format!("decode {name}"), || {
        black_box(DECODER.decode(black_box(&wire))).ok();
    });
    let mut out = Vec::new();
    bench_without_allocation(c, &format!("encode {name}"), || {
        out.clear();
        let offset = black_box(publish).encode(ProtocolVersion::V5, &mut out);
        black_box((offset, &out)).0.ok();
    });
}

fn codec(c: &mut Criterion) {
    let none = UserProperties::default();
    let mut buffer = PropertyBuffer::default();
    buffer
        .push_user_property("trace-id", "4bf92f3577b34da6")
        .unwrap();
    buffer.push_user_property("unit", "percent").unwrap();

    let at_most_once = publish(Delivery::AtMostOnce, none);
    bench_publish(c, "PUBLISH QoS 0", &at_most_once);
    let at_least_once = publish(Delivery::AtLeastOnce(PacketIdentifier::MIN), none);
    bench_publish(c, "PUBLISH QoS 1", &at_least_once);
    let with_properties = publish(Delivery::AtMostOnce, buffer.user_properties());
    bench_publish(c, "PUBLISH QoS 0, 2 user properties", &with_properties);

    let ack = Packet::PubAck(Ack::new(PacketIdentifier::MIN, ReasonCode::Success));
    let mut wire = Vec::new();
    ack.encode(ProtocolVersion::V5, &mut wire).unwrap();
    bench_without_allocation(c, "decode PUBACK", || {
        black_box(DECODER.decode(black_box(&wire))).ok();
    });
    let mut out = Vec::new();
    bench_without_allocation(c, "encode PUBACK", || {
        out.clear();
        black_box(&ack).encode(ProtocolVersion::V5, &mut out).ok();
        black_box(&out);
    });
}

fn stream(c: &mut Criterion) {
    let wire = encoded(&publish(Delivery::AtMostOnce, UserProperties::default()));
    let many = wire.repeat(1000);
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("decode 1000 PUBLISH QoS 0", |bencher| {
        bencher.iter(|| {
            let mut rest = black_box(&many[..]);
            let mut bytes = 0;
            while let Ok(Some((packet, length))) = DECODER.decode(rest) {
                if let Packet::Publish(publish) = packet {
                    bytes += publish.payload.len();
                }
                rest = &rest[length..];
            }
            bytes
        });
    });
    group.finish();
}

fn topics(c: &mut Criterion) {
    let topic = TopicName::parse(TOPIC).unwrap();
    for filter in ["sensors/+/humid", "sensors/#", TOPIC] {
        let filter = TopicFilter::parse(filter).unwrap();
        let name = format!("match {}", filter.as_str());
        bench_without_allocation(c, &name, || {
            assert!(black_box(&filter).matches(black_box(topic)));
        });
    }
    let cover = TopicFilter::parse("sensors/#").unwrap();
    let other = TopicFilter::parse("sensors/+/humid").unwrap();
    bench_without_allocation(c, "cover sensors/+/humid by sensors/#", || {
        assert!(black_box(&cover).covers(black_box(&other)));
    });
}

fn delivery(c: &mut Criterion) {
    let mut outgoing = Outgoing::new(100);
    for turn in 0..99_u64 {
        outgoing.handle_send(Qos::AtLeastOnce, turn).unwrap();
    }
    let mut oldest = 0;
    bench_without_allocation(c, "QoS 1 sent and acknowledged, 100 in flight", || {
        outgoing.handle_send(Qos::AtLeastOnce, 0).unwrap();
        oldest = oldest % u16::MAX + 1;
        outgoing
            .handle_puback(PacketIdentifier::new(oldest).unwrap())
            .unwrap();
    });
}

criterion_group!(benches, codec, stream, topics, delivery);
criterion_main!(benches);
