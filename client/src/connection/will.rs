//! A Will that outlives the call that brought it: for connections that are opened again.

use super::ConnectError;
use symbolon_mqtt_proto::{
    Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish, Qos, Sender, Will,
};

/// A Will, kept as the PUBLISH it would become: so it is copied and borrowed again by the codec's own rules.
#[derive(Clone)]
pub(super) struct KeptWill {
    packet: Vec<u8>,
    delay_interval_secs: u32,
}

impl KeptWill {
    pub(super) fn new(will: &Will<'_>) -> Result<Self, ConnectError> {
        let publish = Publish {
            duplicate: false,
            delivery: match will.qos {
                Qos::AtMostOnce => Delivery::AtMostOnce,
                Qos::AtLeastOnce => Delivery::AtLeastOnce(PacketIdentifier::MIN),
                Qos::ExactlyOnce => Delivery::ExactlyOnce(PacketIdentifier::MIN),
            },
            retain: will.retain,
            topic: Some(will.topic),
            properties: will.properties,
            payload: will.payload,
        };
        let mut packet = Vec::new();
        publish
            .encode(ProtocolVersion::V5, &mut packet)
            .map_err(ConnectError::not_sent)?;
        Ok(Self {
            packet,
            delay_interval_secs: will.delay_interval_secs,
        })
    }

    pub(super) fn borrow(&self) -> Result<Will<'_>, ConnectError> {
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Client,
            maximum_packet_size: u32::MAX,
        };
        let Ok(Some((Packet::Publish(publish), _))) = decoder.decode(&self.packet) else {
            return Err(UNREADABLE);
        };
        Ok(Will {
            topic: publish.topic.ok_or(UNREADABLE)?,
            payload: publish.payload,
            qos: publish.delivery.qos(),
            retain: publish.retain,
            delay_interval_secs: self.delay_interval_secs,
            properties: publish.properties,
        })
    }
}

const UNREADABLE: ConnectError = ConnectError::Options("the Will cannot be sent a second time");

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_mqtt_proto::{PublishProperties, TopicName};

    #[test]
    fn a_will_is_the_same_when_it_is_taken_out_again() {
        let properties = PublishProperties {
            content_type: Some("text/plain"),
            correlation_data: Some(b"\0\x01"),
            message_expiry_interval_secs: Some(7),
            ..PublishProperties::default()
        };
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let will = Will {
                topic: TopicName::parse("a/b").unwrap(),
                payload: b"gone",
                qos,
                retain: true,
                delay_interval_secs: 3,
                properties,
            };
            let kept = KeptWill::new(&will).unwrap();
            assert!(kept.borrow().unwrap() == will);
        }
    }
}
