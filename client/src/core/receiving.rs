//! Messages of the broker on their way to the application (MQTT 5.0 §4.3): acknowledged once the application asks for what follows.

use super::{
    backlog::Backlog,
    event::{Event, Message},
    fault::Fault,
    outbox::Outbox,
};
use std::collections::BTreeSet;
use symbolon_mqtt_proto::{
    Ack, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish, Qos, ReasonCode,
    delivery::Incoming,
};

/// What the broker has sent and we have not acknowledged. Bounded by the Receive Maximum we told it; in 3.1.1, which has none, by the bound
/// of the [`Backlog`].
#[derive(Debug)]
pub(super) struct Receiving {
    receive_maximum: usize,
    /// QoS 1 messages without PUBACK.
    unacknowledged: usize,
    /// QoS 2 messages without PUBREC.
    unreceived: BTreeSet<PacketIdentifier>,
    /// The message the application has in hand.
    in_hand: Option<(PacketIdentifier, Qos)>,
}

impl Receiving {
    pub(super) fn new(receive_maximum: u16) -> Self {
        Self {
            receive_maximum: receive_maximum.into(),
            unacknowledged: 0,
            unreceived: BTreeSet::new(),
            in_hand: None,
        }
    }

    /// PUBLISH came.
    pub(super) fn handle_publish(
        &mut self,
        publish: &Publish<'_>,
        incoming: &mut Incoming,
        backlog: &mut Backlog,
        outbox: &mut Outbox,
    ) -> Result<(), Fault> {
        // We told the broker a Topic Alias Maximum of 0.
        let Some(topic) = publish.topic else {
            let how = "a Topic Alias, and none is allowed".to_owned();
            return Err(Fault::Broken(ReasonCode::TopicAliasInvalid, how));
        };
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(_) => self.unacknowledged += 1,
            Delivery::ExactlyOnce(identifier) => {
                if !incoming.handle_publish(identifier) {
                    // [MQTT-4.3.3-10]: a repetition is acknowledged, not passed on. Where the first is not acknowledged yet, that will do.
                    if !self.unreceived.contains(&identifier) {
                        push_ack(Packet::PubRec, identifier, ReasonCode::Success, outbox);
                    }
                    return Ok(());
                }
                self.unreceived.insert(identifier);
            }
        }
        // [MQTT-3.3.4-9]
        if outbox.version() == ProtocolVersion::V5
            && self.unacknowledged + incoming.len() > self.receive_maximum
        {
            let how = "more messages in flight than our Receive Maximum".to_owned();
            return Err(Fault::Broken(ReasonCode::ReceiveMaximumExceeded, how));
        }
        backlog.push(Event::Message(Message::new(topic, publish)));
        Ok(())
    }

    /// PUBREL came.
    pub(super) fn handle_pubrel(
        &mut self,
        ack: &Ack<'_>,
        incoming: &mut Incoming,
        outbox: &mut Outbox,
    ) -> Result<(), Fault> {
        if self.unreceived.contains(&ack.packet_identifier) {
            return Err(Fault::protocol("PUBREL before PUBREC"));
        }
        let reason_code = if incoming.handle_pubrel(ack.packet_identifier) {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        push_ack(Packet::PubComp, ack.packet_identifier, reason_code, outbox);
        Ok(())
    }

    /// The application takes a message in hand.
    pub(super) fn handle_taken(&mut self, message: &Message) {
        let identifier = message.packet_identifier.and_then(PacketIdentifier::new);
        self.in_hand = identifier.map(|identifier| (identifier, message.qos));
    }

    /// The application is done with the message in hand: PUBACK or PUBREC is due.
    pub(super) fn acknowledge(&mut self, outbox: &mut Outbox) {
        match self.in_hand.take() {
            None | Some((_, Qos::AtMostOnce)) => {}
            Some((identifier, Qos::AtLeastOnce)) => {
                self.unacknowledged -= 1;
                push_ack(Packet::PubAck, identifier, ReasonCode::Success, outbox);
            }
            Some((identifier, Qos::ExactlyOnce)) => {
                self.unreceived.remove(&identifier);
                push_ack(Packet::PubRec, identifier, ReasonCode::Success, outbox);
            }
        }
    }

    /// Whether the application has a message in hand that it has not acknowledged.
    pub(super) fn is_in_hand(&self) -> bool {
        self.in_hand.is_some()
    }

    /// For the next connection: what was not acknowledged will come again, and must then count as new.
    pub(super) fn forget_unacknowledged(&self, incoming: &mut Incoming) {
        for identifier in &self.unreceived {
            incoming.handle_pubrel(*identifier);
        }
    }
}

fn push_ack(
    packet: fn(Ack<'static>) -> Packet<'static>,
    identifier: PacketIdentifier,
    reason_code: ReasonCode,
    outbox: &mut Outbox,
) {
    outbox
        .push(&packet(Ack::new(identifier, reason_code)))
        .expect("an acknowledgement without strings fits, and its code is one for it");
}
