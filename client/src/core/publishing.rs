//! Messages of the application on their way to the broker (MQTT 5.0 §4.3, §4.4, §4.9).

use super::{event::Event, fault::Fault, opening::Agreed, outbox::Outbox};
use crate::{ConnectError, connection::Outgoing};
use std::{collections::BTreeMap, fmt, sync::Arc};
use symbolon_mqtt_proto::{
    Ack, Delivery, Packet, PacketIdentifier, Publish, PublishProperties, Qos, ReasonCode,
    TopicName,
    delivery::{self, OutgoingState},
    property::SubscriptionIdentifiers,
};

/// Where tokens are published (RFC 9431 §2.2.2).
pub(crate) const AUTHZ_INFO: &str = "authz-info";
/// What a token on its way to [`AUTHZ_INFO`] is called; messages of the application begin at 1.
const TOKEN: u64 = 0;
/// DUP in the first byte of a PUBLISH (§3.3.1.1).
const DUP: u8 = 0b0000_1000;

/// Messages in flight. Together they are bounded by the broker's Receive Maximum and by the application, which waits while it is reached.
#[derive(Clone, Debug)]
pub(super) struct Publishing {
    outgoing: delivery::Outgoing<InFlight>,
    /// Messages given up to the broker, of which PUBCOMP is due: what the application calls them.
    releasing: BTreeMap<PacketIdentifier, u64>,
    next_identifier: u64,
}

/// A message as it was sent, with a Packet Identifier to be filled in.
#[derive(Clone)]
struct InFlight {
    identifier: u64,
    packet: Arc<Vec<u8>>,
    packet_identifier_at: usize,
}

impl Default for Publishing {
    fn default() -> Self {
        Self {
            outgoing: delivery::Outgoing::new(u16::MAX),
            releasing: BTreeMap::new(),
            next_identifier: 1,
        }
    }
}

impl Publishing {
    /// A new connection: what is in flight is due again, within the Receive Maximum told now.
    pub(super) fn handle_connected(&mut self, receive_maximum: u16, outbox: &mut Outbox) {
        self.outgoing.handle_reconnect(receive_maximum);
        self.resend(outbox);
    }

    pub(super) fn has_room(&self) -> bool {
        self.outgoing.has_room()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// A Packet Identifier for SUBSCRIBE or UNSUBSCRIBE.
    pub(super) fn handle_request(&mut self) -> Option<PacketIdentifier> {
        self.outgoing.handle_request()
    }

    /// SUBACK or UNSUBACK came.
    pub(super) fn handle_answer(&mut self, identifier: PacketIdentifier) -> Result<(), Fault> {
        self.outgoing
            .handle_answer(identifier)
            .map_err(|_| Fault::protocol("an answer to a request that was not made"))
    }

    /// Sends a message; what it is called from now on.
    pub(super) fn handle_publish(
        &mut self,
        message: &Outgoing<'_>,
        agreed: &Agreed,
        outbox: &mut Outbox,
    ) -> Result<u64, ConnectError> {
        let (identifier, _) = self.send(self.next_identifier, message, agreed, outbox)?;
        self.next_identifier += 1;
        Ok(identifier)
    }

    /// Publishes a token (RFC 9431 §2.2.2), at QoS 1 so that the broker says what it thinks of it. There must be room.
    pub(super) fn handle_token(
        &mut self,
        token: &[u8],
        agreed: &Agreed,
        outbox: &mut Outbox,
    ) -> Result<Option<PacketIdentifier>, ConnectError> {
        let message = Outgoing {
            topic: AUTHZ_INFO,
            payload: token,
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: PublishProperties::default(),
        };
        let (_, packet_identifier) = self.send(TOKEN, &message, agreed, outbox)?;
        Ok(packet_identifier)
    }

    /// A token that was published is not waited for any more: another connection has no use for it.
    pub(super) fn abandon(&mut self, packet_identifier: PacketIdentifier) {
        // One that is not in flight was answered.
        self.outgoing.handle_puback(packet_identifier).ok();
    }

    fn send(
        &mut self,
        identifier: u64,
        message: &Outgoing<'_>,
        agreed: &Agreed,
        outbox: &mut Outbox,
    ) -> Result<(u64, Option<PacketIdentifier>), ConnectError> {
        let publish = publish(message, agreed)?;
        let mut packet = Vec::new();
        let packet_identifier_at = publish
            .encode(outbox.version(), &mut packet)
            .map_err(ConnectError::not_sent)?;
        check_size(packet.len(), agreed)?;
        match packet_identifier_at {
            None => {
                outbox.push_encoded(&packet);
                Ok((identifier, None))
            }
            Some(packet_identifier_at) => {
                let in_flight = InFlight {
                    identifier,
                    packet: Arc::new(packet),
                    packet_identifier_at,
                };
                let packet_identifier =
                    self.outgoing
                        .handle_send(message.qos, in_flight.clone())
                        .map_err(|_| ConnectError::not_sent("too many messages are in flight"))?;
                in_flight.send(packet_identifier, false, outbox);
                Ok((identifier, Some(packet_identifier)))
            }
        }
    }

    /// PUBACK came.
    pub(super) fn handle_puback(
        &mut self,
        ack: &Ack<'_>,
        outbox: &mut Outbox,
    ) -> Result<Event, Fault> {
        let message = self.outgoing.handle_puback(ack.packet_identifier);
        let message = message.map_err(|_| Fault::protocol("PUBACK for no message in flight"))?;
        self.resend(outbox);
        Ok(Event::published(
            message.identifier,
            ack.reason_code,
            ack.reason_string,
        ))
    }

    /// PUBREC came: the message is done if it is a refusal, else PUBREL is due.
    pub(super) fn handle_pubrec(
        &mut self,
        ack: &Ack<'_>,
        outbox: &mut Outbox,
    ) -> Result<Option<Event>, Fault> {
        if ack.reason_code.is_failure() {
            let message = self.outgoing.handle_pubrec_failure(ack.packet_identifier);
            let message =
                message.map_err(|_| Fault::protocol("PUBREC for no message in flight"))?;
            self.resend(outbox);
            return Ok(Some(Event::published(
                message.identifier,
                ack.reason_code,
                ack.reason_string,
            )));
        }
        let reason_code = match self.outgoing.handle_pubrec(ack.packet_identifier) {
            Ok(message) => {
                if let Some(message) = message {
                    self.releasing
                        .insert(ack.packet_identifier, message.identifier);
                }
                ReasonCode::Success
            }
            // Of a session that an earlier run of the application has not kept (§4.3.3).
            Err(delivery::NotFound) => ReasonCode::PacketIdentifierNotFound,
        };
        send_pubrel(ack.packet_identifier, reason_code, outbox);
        Ok(None)
    }

    /// PUBCOMP came: the message is done. One that answers a PUBREL for a message not found says nothing new.
    pub(super) fn handle_pubcomp(&mut self, ack: &Ack<'_>, outbox: &mut Outbox) -> Option<Event> {
        self.outgoing.handle_pubcomp(ack.packet_identifier).ok()?;
        let identifier = self.releasing.remove(&ack.packet_identifier)?;
        self.resend(outbox);
        Some(Event::published(
            identifier,
            ack.reason_code,
            ack.reason_string,
        ))
    }

    /// The broker does not know the session. What was given up to it before has arrived; of the rest nobody knows.
    pub(super) fn forget(&mut self) -> Vec<Event> {
        let forgotten = std::mem::take(self);
        self.next_identifier = forgotten.next_identifier;
        let events = forgotten.outgoing.iter();
        let events = events.filter_map(|(packet_identifier, _, message)| match message {
            Some(message) => Some(Event::Forgotten {
                identifier: message.identifier,
            }),
            None => forgotten
                .releasing
                .get(&packet_identifier)
                .map(|identifier| Event::published(*identifier, ReasonCode::Success, None)),
        });
        events.collect()
    }

    /// Sends what a resumed session still owes, as far as there is room.
    fn resend(&mut self, outbox: &mut Outbox) {
        while let Some((packet_identifier, state, message)) = self.outgoing.poll_resend() {
            match (state, message) {
                (OutgoingState::AwaitPubAck | OutgoingState::AwaitPubRec, Some(message)) => {
                    message.send(packet_identifier, true, outbox);
                }
                (
                    OutgoingState::AwaitPubComp
                    | OutgoingState::AwaitPubAck
                    | OutgoingState::AwaitPubRec,
                    _,
                ) => send_pubrel(packet_identifier, ReasonCode::Success, outbox),
            }
        }
    }
}

impl InFlight {
    fn send(&self, packet_identifier: PacketIdentifier, duplicate: bool, outbox: &mut Outbox) {
        outbox.push_encoded(&self.packet);
        let sent = outbox.last_mut(self.packet.len());
        if duplicate {
            sent[0] |= DUP;
        }
        let at = self.packet_identifier_at;
        sent[at..at + 2].copy_from_slice(&packet_identifier.get().to_be_bytes());
    }
}

fn send_pubrel(identifier: PacketIdentifier, reason_code: ReasonCode, outbox: &mut Outbox) {
    outbox
        .push(&Packet::PubRel(Ack::new(identifier, reason_code)))
        .expect("a PUBREL without strings fits, and both its codes are for PUBREL");
}

fn publish<'a>(message: &Outgoing<'a>, agreed: &Agreed) -> Result<Publish<'a>, ConnectError> {
    if message.qos > agreed.maximum_qos {
        // [MQTT-3.2.2-11]
        return Err(ConnectError::not_sent("the broker does not take this QoS"));
    }
    if message.retain && !agreed.retain_available {
        // [MQTT-3.2.2-14]
        return Err(ConnectError::not_sent(
            "the broker does not retain messages",
        ));
    }
    let delivery = match message.qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce(PacketIdentifier::MIN),
        Qos::ExactlyOnce => Delivery::ExactlyOnce(PacketIdentifier::MIN),
    };
    Ok(Publish {
        duplicate: false,
        delivery,
        retain: message.retain,
        topic: Some(TopicName::parse(message.topic).map_err(ConnectError::not_sent)?),
        properties: PublishProperties {
            // An alias is worth nothing beside the topic itself, and would not outlive the connection.
            topic_alias: None,
            // From a Server only.
            subscription_identifiers: SubscriptionIdentifiers::default(),
            ..message.properties
        },
        payload: message.payload,
    })
}

/// [MQTT-3.2.2-15]
pub(super) fn check_size(length: usize, agreed: &Agreed) -> Result<(), ConnectError> {
    let fits = u32::try_from(length).is_ok_and(|length| length <= agreed.maximum_packet_size);
    if fits {
        return Ok(());
    }
    Err(ConnectError::NotSent(format!(
        "the packet has {length} bytes, and the broker takes {} at most",
        agreed.maximum_packet_size
    )))
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("identifier", &self.identifier)
            .field("bytes", &self.packet.len())
            .finish_non_exhaustive()
    }
}
