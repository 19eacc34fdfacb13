//! What a connected client sends, packet by packet.

use super::{
    counters::{Count, Outcome, Reason},
    reauthentication::AuthCircumstances,
    session::{SessionKey, State},
    shard::{Close, Now, Shard, WillFate},
};
use symbolon_mqtt_proto::{
    Ack, DecodeError, Disconnect, Packet, PacketIdentifier, PacketType, ReasonCode,
};

impl Shard {
    /// A packet came. Whatever is wrong with it ends this session and nothing else.
    pub(crate) fn handle_packet(
        &mut self,
        key: SessionKey,
        packet: &Packet<'_>,
        with: AuthCircumstances<'_>,
        now: Now,
    ) {
        if self.session(key).state != State::Live {
            return;
        }
        self.session_mut(key).link.last_packet_ms = now.ms;
        let outcome = match packet {
            Packet::Publish(publish) => self.handle_publish(key, *publish, now),
            Packet::PubAck(ack) => self.handle_puback(key, ack, now),
            Packet::PubRec(ack) => self.handle_pubrec(key, ack, now),
            Packet::PubRel(ack) => {
                self.handle_pubrel(key, ack.packet_identifier);
                Ok(())
            }
            Packet::PubComp(ack) => {
                self.handle_pubcomp(key, ack, now);
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.handle_subscribe(key, subscribe, now),
            Packet::Unsubscribe(unsubscribe) => {
                self.handle_unsubscribe(key, unsubscribe);
                Ok(())
            }
            Packet::PingReq => self.handle_pingreq(key, now),
            Packet::Disconnect(disconnect) => self.handle_disconnect(key, disconnect, now),
            Packet::Auth(auth) => self.handle_auth(key, auth, with, now).inspect_err(|_| {
                self.counters
                    .count(Count::Reauthentications(Outcome::Failure));
            }),
            // MQTT-3.1.0-2.
            Packet::Connect(_) => Err(Close::new(ReasonCode::ProtocolError, "a second CONNECT")),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(wrong_sender())
            }
        };
        if let Err(close) = outcome {
            self.close(key, &close, now);
        }
    }

    /// Bytes came that are no packet.
    pub(crate) fn handle_malformed(&mut self, key: SessionKey, error: DecodeError, now: Now) {
        let close = Close {
            reason_code: error.reason_code(),
            text: error.to_string().into(),
        };
        self.close(key, &close, now);
    }

    fn handle_puback(&mut self, key: SessionKey, ack: &Ack<'_>, now: Now) -> Result<(), Close> {
        let found = self
            .session_mut(key)
            .outgoing
            .handle_puback(ack.packet_identifier);
        found.map_err(|_| not_in_flight(PacketType::PubAck))?;
        self.handle_room(key, now);
        Ok(())
    }

    fn handle_pubrec(&mut self, key: SessionKey, ack: &Ack<'_>, now: Now) -> Result<(), Close> {
        let outgoing = &mut self.session_mut(key).outgoing;
        if ack.reason_code.is_failure() {
            outgoing
                .handle_pubrec_failure(ack.packet_identifier)
                .map_err(|_| not_in_flight(PacketType::PubRec))?;
            self.handle_room(key, now);
            return Ok(());
        }
        // MQTT 5.0 §3.6.2.1: an unknown identifier is answered, since the client may speak of an earlier connection.
        let known = outgoing.handle_pubrec(ack.packet_identifier).is_ok();
        let reason_code = if known {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        self.send(
            key,
            &Packet::PubRel(Ack::new(ack.packet_identifier, reason_code)),
        );
        Ok(())
    }

    fn handle_pubrel(&mut self, key: SessionKey, identifier: PacketIdentifier) {
        let known = self.session_mut(key).incoming.handle_pubrel(identifier);
        let reason_code = if known {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        self.send(key, &Packet::PubComp(Ack::new(identifier, reason_code)));
    }

    fn handle_pubcomp(&mut self, key: SessionKey, ack: &Ack<'_>, now: Now) {
        let outgoing = &mut self.session_mut(key).outgoing;
        // MQTT 5.0 §3.7.2.1: one that is not in flight is no error, it may be of an earlier connection.
        if outgoing.handle_pubcomp(ack.packet_identifier).is_ok() {
            self.handle_room(key, now);
        }
    }

    /// RFC 9431 §4: expiry is checked here too, where it says SHOULD.
    fn handle_pingreq(&mut self, key: SessionKey, now: Now) -> Result<(), Close> {
        if self.session(key).grant.is_expired(now.unix) {
            return Err(Close::token_expired());
        }
        self.send(key, &Packet::PingResp);
        Ok(())
    }

    fn handle_disconnect(
        &mut self,
        key: SessionKey,
        disconnect: &Disconnect<'_>,
        now: Now,
    ) -> Result<(), Close> {
        // MQTT-3.14.2-2 (5.0 §3.14.2.2.2): the session we granted ends with the connection, and may not be prolonged now.
        if disconnect
            .session_expiry_interval_secs
            .is_some_and(|secs| secs > 0)
        {
            return Err(Close::new(
                ReasonCode::ProtocolError,
                "session expiry interval was 0 and may not be raised",
            ));
        }
        // MQTT-3.14.4-3: a normal disconnection discards the Will.
        let reason = Count::Reason(Reason::ClientDisconnect, disconnect.reason_code);
        self.counters.count(reason);
        let normal = disconnect.reason_code == ReasonCode::Success;
        let will = if normal {
            WillFate::Discard
        } else {
            WillFate::Publish
        };
        self.end(key, will, now);
        Ok(())
    }
}

fn wrong_sender() -> Close {
    Close::new(
        ReasonCode::ProtocolError,
        "a packet that only a server sends",
    )
}

fn not_in_flight(packet: PacketType) -> Close {
    Close {
        reason_code: ReasonCode::ProtocolError,
        text: format!("{packet:?} for a message that is not in flight").into(),
    }
}
