//! What a connected client sends, packet by packet.

use super::{
    counters::{Count, Limit, Outcome, Reason},
    holding::Needs,
    journal::Entry,
    reauthentication::AuthCircumstances,
    session::{ConnectionKey, SessionKey},
    shard::{Close, Now, Shard, WillFate},
};
use symbolon_mqtt_proto::{
    Ack, DecodeError, Disconnect, Packet, PacketIdentifier, PacketType, ReasonCode,
};

impl Shard {
    /// A packet came. Whatever is wrong with it ends this session and nothing else.
    pub(crate) fn handle_packet(
        &mut self,
        at: ConnectionKey,
        packet: &Packet<'_>,
        with: AuthCircumstances<'_>,
        now: Now,
    ) {
        if self.live(at).is_none() {
            return;
        }
        let key = at.session;
        self.session_mut(key).link.last_packet_ms = now.ms;
        if !matches!(packet, Packet::Publish(_)) {
            self.counters.count(Count::OtherReceived);
        }
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
                self.handle_unsubscribe(key, unsubscribe, now);
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
        self.close_expired_members(now);
    }

    /// Bytes came that are no packet.
    pub(crate) fn handle_malformed(&mut self, key: SessionKey, error: DecodeError, now: Now) {
        if matches!(error, DecodeError::TooLarge { .. }) {
            self.counters.count(Count::Limit(Limit::PacketSize));
        }
        let close = Close {
            reason_code: error.reason_code(),
            text: error.to_string().into(),
        };
        self.close(key, &close, now);
    }

    fn handle_puback(&mut self, key: SessionKey, ack: &Ack<'_>, now: Now) -> Result<(), Close> {
        let outgoing = &mut self.session_mut(key).outgoing;
        let place = outgoing.sequence(ack.packet_identifier);
        let found = outgoing.handle_puback(ack.packet_identifier);
        let (Ok(place), Ok(_)) = (place, found) else {
            return Err(not_in_flight(PacketType::PubAck));
        };
        self.journal_done(key, place);
        self.handle_room(key, now);
        Ok(())
    }

    fn handle_pubrec(&mut self, key: SessionKey, ack: &Ack<'_>, now: Now) -> Result<(), Close> {
        let session = self.session_mut(key);
        let id = session.id;
        let outgoing = &mut session.outgoing;
        let place = outgoing.sequence(ack.packet_identifier);
        if ack.reason_code.is_failure() {
            let found = outgoing.handle_pubrec_failure(ack.packet_identifier);
            let (Ok(place), Ok(_)) = (place, found) else {
                return Err(not_in_flight(PacketType::PubRec));
            };
            self.journal_done(key, place);
            self.handle_room(key, now);
            return Ok(());
        }
        // MQTT 5.0 §3.6.2.1: an unknown identifier is answered, since the client may speak of an earlier connection.
        let found = outgoing.handle_pubrec(ack.packet_identifier);
        let mark = self.mark();
        if let (Some(id), Ok(place), Ok(Some(_))) = (id, place, &found) {
            self.journal.push(Entry::Release { id, place });
        }
        // A client that releases it must not get the message again after a crash, under the same identifier, as if it were new.
        let needs = match &found {
            Ok(None) => self.needs_everything(),
            Ok(Some(_)) | Err(_) => self.needs_since(mark, &[]),
        };
        let reason_code = found_or_not(found.is_ok());
        let pubrel = Packet::PubRel(Ack::new(ack.packet_identifier, reason_code));
        self.answer(key, &pubrel, needs);
        Ok(())
    }

    fn handle_pubrel(&mut self, key: SessionKey, packet_identifier: PacketIdentifier) {
        let session = self.session_mut(key);
        let known = session.incoming.handle_pubrel(packet_identifier);
        let id = session.id;
        let mark = self.mark();
        if let (Some(id), true) = (id, known) {
            self.journal.push(Entry::RemoveReceived {
                id,
                packet_identifier,
            });
        }
        // After PUBCOMP the client may use the identifier for another message, which must not be taken for a repetition after a crash.
        let needs = match (id, known) {
            (Some(_), false) => self.needs_everything(),
            (Some(_), true) => self.needs_since(mark, &[]),
            (None, _) => Needs::default(),
        };
        let pubcomp = Packet::PubComp(Ack::new(packet_identifier, found_or_not(known)));
        self.answer(key, &pubcomp, needs);
    }

    fn handle_pubcomp(&mut self, key: SessionKey, ack: &Ack<'_>, now: Now) {
        let outgoing = &mut self.session_mut(key).outgoing;
        let place = outgoing.sequence(ack.packet_identifier);
        // MQTT 5.0 §3.7.2.1: one that is not in flight is no error, it may be of an earlier connection.
        if let (Ok(place), Ok(())) = (place, outgoing.handle_pubcomp(ack.packet_identifier)) {
            self.journal_done(key, place);
            self.handle_room(key, now);
        }
    }

    /// The message at this place needs no storing any more.
    pub(super) fn journal_done(&mut self, key: SessionKey, place: u64) {
        if let Some(id) = self.session(key).id {
            self.journal.push(Entry::RemoveMessage { id, place });
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
        let limit = self.limits.session_expiry_secs;
        let session = self.session_mut(key);
        if let Some(secs) = disconnect.session_expiry_interval_secs {
            // MQTT-3.14.2-2 (5.0 §3.14.2.2.2): a session that was to end with its connection may not be prolonged now.
            if session.expiry_secs == 0 && secs > 0 {
                return Err(Close::new(
                    ReasonCode::ProtocolError,
                    "session expiry interval was 0 and may not be raised",
                ));
            }
            session.expiry_secs = secs.min(limit);
            if secs > limit {
                self.counters.count(Count::Limit(Limit::SessionExpiry));
            }
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
        self.part(key, will, false, now);
        Ok(())
    }
}

fn found_or_not(found: bool) -> ReasonCode {
    if found {
        ReasonCode::Success
    } else {
        ReasonCode::PacketIdentifierNotFound
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
