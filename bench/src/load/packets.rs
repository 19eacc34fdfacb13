//! Packets that are made once and sent often, and the few bytes of them that are looked at when they come back.

use anyhow::Context as _;
use std::num::NonZeroU16;
use symbolon_mqtt_proto::{
    Delivery, Packet, ProtocolVersion, Publish, PublishProperties, Qos, RetainHandling, Subscribe,
    Subscription, TopicFilter, TopicName, UserProperties,
};

/// Packet types, as the upper half of the first byte (MQTT 5.0 §2.1.2).
pub(crate) const CONNECT: u8 = 1;
pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const PUBREC: u8 = 5;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const PUBCOMP: u8 = 7;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const SUBACK: u8 = 9;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const PINGRESP: u8 = 13;
pub(crate) const DISCONNECT: u8 = 14;

/// A PINGREQ.
pub(crate) const PING: [u8; 2] = [0xc0, 0];
/// A DISCONNECT without a reason.
pub(crate) const GOODBYE: [u8; 2] = [0xe0, 0];

/// Bytes of every payload: a stamp, and filling.
pub(crate) const PAYLOAD_BYTES: usize = 100;
const STAMP_BYTES: usize = 20;

/// A PUBLISH of which the identifier and the stamp change.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    identifier_at: Option<usize>,
    identifier: u16,
}

/// What a message says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    /// Its place among that publisher's.
    pub(crate) sequence: u64,
    /// When it was due, nanoseconds on the generator's clock.
    pub(crate) due_ns: u64,
}

impl Template {
    pub(crate) fn new(topic: &str, qos: Qos) -> anyhow::Result<Self> {
        let publish = Publish {
            duplicate: false,
            delivery: match qos {
                Qos::AtMostOnce => Delivery::AtMostOnce,
                Qos::AtLeastOnce => Delivery::AtLeastOnce(NonZeroU16::MIN),
                Qos::ExactlyOnce => Delivery::ExactlyOnce(NonZeroU16::MIN),
            },
            retain: false,
            topic: Some(TopicName::parse(topic)?),
            properties: PublishProperties::default(),
            payload: &[b'.'; PAYLOAD_BYTES],
        };
        let mut bytes = Vec::new();
        let identifier_at = publish.encode(ProtocolVersion::V5, &mut bytes)?;
        Ok(Self {
            bytes,
            identifier_at,
            identifier: 0,
        })
    }

    /// Appends the next PUBLISH.
    pub(crate) fn append(&mut self, stamp: Stamp, out: &mut Vec<u8>) {
        if let Some(at) = self.identifier_at {
            self.identifier = self.identifier.checked_add(1).unwrap_or(1);
            self.bytes[at..at + 2].copy_from_slice(&self.identifier.to_be_bytes());
        }
        let start = self.bytes.len() - PAYLOAD_BYTES;
        let (publisher, rest) = self.bytes[start..start + STAMP_BYTES].split_at_mut(4);
        let (sequence, due) = rest.split_at_mut(8);
        publisher.copy_from_slice(&stamp.publisher.to_be_bytes());
        sequence.copy_from_slice(&stamp.sequence.to_be_bytes());
        due.copy_from_slice(&stamp.due_ns.to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }
}

impl Stamp {
    /// Of the body of a PUBLISH of ours.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let payload = body.get(body.len().checked_sub(PAYLOAD_BYTES)?..)?;
        let (publisher, rest) = payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (due, _) = rest.split_first_chunk()?;
        Some(Self {
            publisher: u32::from_be_bytes(*publisher),
            sequence: u64::from_be_bytes(*sequence),
            due_ns: u64::from_be_bytes(*due),
        })
    }
}

/// The text at the start of `body`, and what follows it.
pub(crate) fn text(body: &[u8]) -> anyhow::Result<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk().context("no text")?;
    let length = usize::from(u16::from_be_bytes(*length));
    rest.split_at_checked(length).context("half a text")
}

/// The answer to a PUBLISH with this first byte and body; nothing at QoS 0.
pub(crate) fn acknowledge(first: u8, body: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
    let kind = match first >> 1 & 3 {
        0 => return Ok(()),
        1 => PUBACK,
        _ => PUBREC,
    };
    let (_, rest) = text(body)?;
    answer(kind, rest, out);
    Ok(())
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP that says success, for the identifier at the start of `body`.
pub(crate) fn answer(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    let flags = if kind == PUBREL { 2 } else { 0 };
    let [high, low] = [0, 1].map(|place| body.get(place).copied().unwrap_or_default());
    out.extend_from_slice(&[kind << 4 | flags, 2, high, low]);
}

/// A SUBSCRIBE to one Topic Filter.
pub(crate) fn subscribe(filter: &str, qos: Qos) -> anyhow::Result<Vec<u8>> {
    subscribe_to_all(&[filter], qos)
}

/// One SUBSCRIBE to all of them.
pub(crate) fn subscribe_to_all(filters: &[impl AsRef<str>], qos: Qos) -> anyhow::Result<Vec<u8>> {
    let subscription = |filter: &str| {
        anyhow::Ok(Subscription {
            share_name: None,
            filter: TopicFilter::parse(filter)?,
            maximum_qos: qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        })
    };
    let subscriptions = (filters.iter()).map(|filter| subscription(filter.as_ref()));
    let subscribe = Subscribe {
        packet_identifier: NonZeroU16::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: subscriptions.collect::<Result<_, _>>()?,
    };
    let mut bytes = Vec::new();
    Packet::Subscribe(subscribe).encode(ProtocolVersion::V5, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written_whatever_stands_before_the_payload() {
        let stamp = Stamp {
            publisher: 7,
            sequence: 1 << 40,
            due_ns: 123_456_789_012,
        };
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut out = Vec::new();
            let mut template = Template::new("bench/1", qos).unwrap();
            template.append(stamp, &mut out);
            assert_eq!(Stamp::read(&out[2..]), Some(stamp));
            let mut answer = Vec::new();
            acknowledge(out[0], &out[2..], &mut answer).unwrap();
            assert_eq!(answer.get(2..).unwrap_or(&[0, 1]), [0, 1], "{qos:?}");
        }
    }
}
