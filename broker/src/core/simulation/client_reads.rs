//! How clients take what comes: by the book, which is what the broker is measured by.

use super::{
    client::{Away, Request, SessionBook},
    client_end::RECEIVE_MAXIMUM,
    network::{MessageId, Presence, WireId},
    world::World,
};
use symbolon_mqtt_proto::{
    Ack, Decoder, Delivery, Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish,
    ReasonCode, Sender, SubAck, connack::ConnAck, delivery::OutgoingState,
};

impl World {
    /// The client reads.
    pub(super) fn receive(&mut self, id: WireId, bytes: usize) -> bool {
        let Some(wire) = self.wires.get_mut(&id) else {
            return false;
        };
        let client = wire.client;
        if self.clients[client].wire != Some(id) {
            wire.down.clear();
            if wire.is_over() {
                self.wires.remove(&id);
            }
            return false;
        }
        let count = bytes.min(wire.down.len());
        if count == 0 {
            let is_over = wire.down.is_empty() && (wire.is_over() || wire.is_cut);
            if is_over {
                self.lose(client);
            }
            return is_over;
        }
        let more: Vec<u8> = wire.down.drain(..count).collect();
        self.clients[client].partial.extend(more);
        let partial = std::mem::take(&mut self.clients[client].partial);
        let decoder = Decoder {
            version: self.clients[client].version,
            sender: Sender::Server,
            maximum_packet_size: 1024 * 1024,
        };
        let mut rest = &partial[..];
        while let Some((packet, size)) = decoder
            .decode(rest)
            .expect("the broker sends whole packets")
        {
            self.trace(|| format!("client {client} gets {packet:?}"));
            rest = &rest[size..];
            self.take_packet(client, id, &packet);
            if self.clients[client].wire != Some(id) {
                return true;
            }
        }
        self.clients[client].partial = rest.to_vec();
        true
    }

    fn take_packet(&mut self, client: usize, id: WireId, packet: &Packet<'_>) {
        let is_first = !self.clients[client].is_connected;
        let is_connack = matches!(packet, Packet::ConnAck(_));
        // [MQTT-3.2.0-1]
        assert_eq!(
            is_first, is_connack,
            "CONNACK comes first and once, not {packet:?}"
        );
        match packet {
            Packet::ConnAck(connack) => self.take_connack(client, id, connack),
            Packet::Publish(publish) => self.take_publish(client, publish),
            Packet::PubAck(ack) => {
                let book = self.clients[client].session.as_mut().unwrap();
                let found = book.outgoing.handle_puback(ack.packet_identifier);
                let message = found.expect("PUBACK for a message in flight");
                self.check_answer(client, message, ack.reason_code);
                if !ack.reason_code.is_failure() {
                    self.note_acked(message);
                }
                self.resend(client);
            }
            Packet::PubRec(ack) => self.take_pubrec(client, ack),
            Packet::PubRel(ack) => self.take_pubrel(client, ack),
            Packet::PubComp(ack) => {
                let book = self.clients[client].session.as_mut().unwrap();
                let found = book.outgoing.handle_pubcomp(ack.packet_identifier);
                found.expect("PUBCOMP for a message in flight");
                if ack.reason_code == ReasonCode::Success
                    && self.clients[client].version == ProtocolVersion::V5
                {
                    self.clients[client].session.as_mut().unwrap().anchor();
                }
                self.resend(client);
            }
            Packet::SubAck(suback) => self.take_suback(client, suback),
            Packet::UnsubAck(unsuback) => self.take_unsuback(client, unsuback.packet_identifier),
            Packet::PingResp => {}
            Packet::Disconnect(disconnect) => {
                self.check_disconnect(client, disconnect);
                self.wires.get_mut(&id).unwrap().client_closed = true;
                self.clients[client].forget_connection();
            }
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::Auth(_) => {
                panic!("a server does not send {packet:?}")
            }
        }
    }

    fn take_pubrel(&mut self, client: usize, ack: &Ack<'_>) {
        let book = self.clients[client].session.as_mut().unwrap();
        let known = book.incoming.handle_pubrel(ack.packet_identifier);
        let reason_code = if known {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        let pubcomp = Packet::PubComp(Ack::new(ack.packet_identifier, reason_code));
        self.owe_ack(client, &pubcomp, Some(ack.packet_identifier.get()));
    }

    fn take_unsuback(&mut self, client: usize, identifier: PacketIdentifier) {
        let ended = self.next_tick();
        let one = &mut self.clients[client];
        let request = one.requests.remove(&identifier.get());
        let Some(Request::Unsubscribe(wanted)) = request else {
            panic!("UNSUBACK that nothing was asked for");
        };
        let book = one.session.as_mut().unwrap();
        book.outgoing.handle_answer(identifier).unwrap();
        for one in &mut book.subscriptions {
            if one.filter == wanted && one.acked.is_some() {
                one.ended.get_or_insert(ended);
            }
        }
    }

    fn take_connack(&mut self, client: usize, id: WireId, connack: &ConnAck<'_>) {
        if connack.reason_code.is_failure() {
            assert!(
                self.scenario.fills,
                "{} is refused: {:?}",
                self.clients[client].name, connack.reason_code
            );
            self.wires.get_mut(&id).unwrap().client_closed = true;
            self.lose(client);
            return;
        }
        let wire = self.wires.get_mut(&id).unwrap();
        wire.connack_seen = true;
        let (presence, expiry_secs) = (wire.presence, wire.expiry_secs);
        let name = &self.clients[client].name;
        match presence {
            Presence::Must => assert!(connack.session_present, "the session of {name} is lost"),
            Presence::MustNot => assert!(
                !connack.session_present,
                "{name} finds a session that is over"
            ),
            Presence::May => {}
        }
        if connack.session_present && self.clients[client].session.is_none() {
            // [MQTT-3.2.2-4]
            self.lose(client);
            let wire = self.wires.get_mut(&id).unwrap();
            wire.cut(0, 0);
            return;
        }
        let one = &mut self.clients[client];
        one.is_connected = true;
        one.is_unsure = false;
        if connack.session_present {
            let book = one.session.as_mut().unwrap();
            book.may_be_lost = false;
            if let Some(away) = book.away.take() {
                book.away_before_ms.get_or_insert(away.earliest_ms);
            }
            book.outgoing.handle_reconnect(RECEIVE_MAXIMUM);
            self.resend(client);
        } else {
            one.session = Some(SessionBook::new(expiry_secs, RECEIVE_MAXIMUM));
        }
        // CONNACK may have been on its way when the broker died.
        if self.wires[&id].is_cut
            && let Some(book) = &mut self.clients[client].session
        {
            book.may_be_lost |= !book.is_anchored;
        }
        // The connection may be over already, as the broker sees it.
        if self.wires[&id].end_noted
            && let Some(book) = &mut self.clients[client].session
        {
            let now_ms = self.now.ms;
            book.away = Some(Away {
                earliest_ms: 0,
                latest_ms: now_ms,
            });
        }
    }

    fn resend(&mut self, client: usize) {
        loop {
            let book = self.clients[client].session.as_mut().unwrap();
            let Some((identifier, state, message)) = book.outgoing.poll_resend() else {
                return;
            };
            match (state, message.copied()) {
                (OutgoingState::AwaitPubAck | OutgoingState::AwaitPubRec, Some(id)) => {
                    self.oracle.messages[id].was_resent = true;
                    self.send_publish(client, id, Some(identifier), true);
                }
                (
                    OutgoingState::AwaitPubAck
                    | OutgoingState::AwaitPubRec
                    | OutgoingState::AwaitPubComp,
                    _,
                ) => {
                    self.send(
                        client,
                        &Packet::PubRel(Ack::new(identifier, ReasonCode::Success)),
                    );
                }
            }
        }
    }

    fn owe_ack(&mut self, client: usize, packet: &Packet<'_>, freed: Option<u16>) {
        let mut bytes = Vec::new();
        let one = &mut self.clients[client];
        packet.encode(one.version, &mut bytes).unwrap();
        one.acks_due.push_back((bytes, freed));
    }

    fn take_publish(&mut self, client: usize, publish: &Publish<'_>) {
        let one = &mut self.clients[client];
        let mut is_repetition = false;
        if let Some(identifier) = publish.delivery.packet_identifier() {
            let is_new = one.unacked.insert(identifier.get());
            assert!(is_new, "identifier {identifier} is used twice at once");
            // [MQTT-3.3.4-9]
            assert!(
                one.unacked.len() <= usize::from(one.receive_maximum),
                "more messages in flight than {}'s Receive Maximum",
                one.name
            );
        }
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(identifier) => {
                let puback = Packet::PubAck(Ack::new(identifier, ReasonCode::Success));
                self.owe_ack(client, &puback, Some(identifier.get()));
            }
            Delivery::ExactlyOnce(identifier) => {
                let book = one.session.as_mut().unwrap();
                is_repetition = !book.incoming.handle_publish(identifier);
                let pubrec = Packet::PubRec(Ack::new(identifier, ReasonCode::Success));
                self.owe_ack(client, &pubrec, None);
            }
        }
        self.check_delivery(client, publish, is_repetition);
    }

    fn take_pubrec(&mut self, client: usize, ack: &Ack<'_>) {
        let book = self.clients[client].session.as_mut().unwrap();
        let identifier = ack.packet_identifier;
        if ack.reason_code.is_failure() {
            let found = book.outgoing.handle_pubrec_failure(identifier);
            let message = found.expect("PUBREC for a message in flight");
            self.check_answer(client, message, ack.reason_code);
            self.resend(client);
            return;
        }
        let found = book.outgoing.handle_pubrec(identifier);
        let found = found.expect("PUBREC for a message in flight");
        book.anchor();
        if let Some(message) = found {
            self.check_answer(client, message, ack.reason_code);
            self.note_acked(message);
        }
        let pubrel = Packet::PubRel(Ack::new(identifier, ReasonCode::Success));
        self.owe_ack(client, &pubrel, None);
    }

    fn take_suback(&mut self, client: usize, suback: &SubAck<'_>) {
        let (identifier, codes) = (suback.packet_identifier, &suback.reason_codes);
        let acked = self.next_tick();
        let request = self.clients[client].requests.remove(&identifier.get());
        let Some(Request::Subscribe(places)) = request else {
            panic!("SUBACK that nothing was asked for");
        };
        assert_eq!(places.len(), codes.len(), "one code for each filter");
        let one = &mut self.clients[client];
        let book = one.session.as_mut().unwrap();
        book.outgoing.handle_answer(identifier).unwrap();
        book.anchor();
        let mut held = Vec::new();
        for (place, code) in places.into_iter().zip(codes) {
            let subscription = &mut book.subscriptions[place];
            let is_allowed = one.rights.may_subscribe(&subscription.filter);
            if code.is_failure() {
                let bounded = self.scenario.has_bounds();
                assert!(
                    !is_allowed || bounded,
                    "{} may subscribe to {:?}",
                    one.name,
                    subscription.filter
                );
                subscription.ended = Some(acked);
            } else {
                assert!(
                    is_allowed,
                    "{} may not subscribe to {:?}",
                    one.name, subscription.filter
                );
                subscription.acked = Some(acked);
                subscription.holds = !subscription.is_withdrawn;
                if subscription.holds {
                    held.push(subscription.clone());
                }
            }
        }
        for subscription in held {
            self.owe_retained(client, &subscription);
        }
    }

    fn check_answer(&self, client: usize, message: MessageId, code: ReasonCode) {
        let message = &self.oracle.messages[message];
        let is_allowed = self.clients[client].rights.may_publish(&message.topic);
        if code == ReasonCode::NotAuthorized {
            assert!(!is_allowed, "publishing to {} is allowed", message.topic);
        } else if code == ReasonCode::QuotaExceeded {
            assert!(self.scenario.has_bounds(), "there is room");
        } else {
            assert!(!code.is_failure(), "a PUBLISH is answered {code:?}");
            let is_v5 = self.clients[client].version == ProtocolVersion::V5;
            // One sent again may have been taken under the rights before.
            assert!(
                is_allowed || !is_v5 || message.was_resent,
                "publishing to {} is not allowed",
                message.topic
            );
        }
    }

    fn check_disconnect(&self, client: usize, disconnect: &Disconnect<'_>) {
        let one = &self.clients[client];
        let code = disconnect.reason_code;
        if code == ReasonCode::NotAuthorized {
            let expires_at = one.rights.expires_at();
            assert!(
                expires_at.is_some_and(|expires_at| expires_at <= self.now.unix),
                "{} has a valid token",
                one.name
            );
        } else if code == ReasonCode::QuotaExceeded {
            assert!(self.scenario.has_bounds(), "there is room");
        } else {
            let expected = [ReasonCode::KeepAliveTimeout, ReasonCode::ServerShuttingDown];
            assert!(
                expected.contains(&code),
                "{} is disconnected: {code:?} {:?}",
                one.name,
                disconnect.reason_string
            );
        }
    }
}
