//! What clients do, and how they take what comes: by the book, which is what the broker is measured by.

use super::{
    client::{Request, Rights, SCOPES, SessionBook, Subscribed, filter},
    network::{BrokerEnd, MessageId, Presence, Wire, WireId},
    oracle::{Sent, Will as WillState},
    world::World,
};
use std::{
    collections::VecDeque,
    num::{NonZeroU16, NonZeroU32},
};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{
    Ack, Connect, Decoder, Delivery, Disconnect, Packet, PacketIdentifier, ProtocolVersion,
    Publish, PublishProperties, Qos, ReasonCode, RetainHandling, Sender, Subscribe, Subscription,
    TopicName, Unsubscribe, UserProperties, Will, connack::ConnAck, connect::ConnectProperties,
    delivery::OutgoingState,
};

const TOPICS: [&str; 8] = ["t/0", "t/1", "t/2/x", "t/3", "u/0", "u/1", "u/0/x", "u/2"];
const FILTERS: [&str; 12] = [
    "t/0", "t/1", "t/+", "t/#", "t/+/x", "u/#", "u/0/#", "u/+", "u/1", "u/0", "t/3", "#",
];
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const EXPIRIES: [u32; 4] = [0, 6, 60, 600];
/// What we tell 3.1.1 clients by other means.
const RECEIVE_MAXIMUM: u16 = 8;
/// The longest session the broker grants, seconds.
pub(super) const EXPIRY_LIMIT: u32 = 1_000;

impl World {
    /// A client does something, as the dice will have it.
    pub(super) fn act(&mut self, client: usize) {
        if self.clients[client].wire.is_none() {
            if self.dice.one_in(3) {
                self.connect(client);
            }
            return;
        }
        if !self.clients[client].is_connected {
            if self.dice.one_in(40) {
                self.leave_without_a_word(client);
            }
            return;
        }
        match self.dice.below(100) {
            0..45 => self.publish(client),
            45..60 => self.subscribe(client),
            60..64 => self.unsubscribe(client),
            64..90 => {
                let count = 1 + self.dice.below(4);
                self.send_acks(client, count);
            }
            90..93 => self.say_goodbye(client),
            93..96 if self.scenario.is_lossy => self.leave_without_a_word(client),
            _ => self.send(client, &Packet::PingReq),
        }
    }

    /// In the end everybody is there. Whether the client did something for it.
    pub(super) fn come_back(&mut self, client: usize) -> bool {
        let is_gone = self.clients[client].wire.is_none();
        if is_gone {
            self.connect(client);
        }
        is_gone
    }

    fn send(&mut self, client: usize, packet: &Packet<'_>) {
        let version = self.clients[client].version;
        let mut bytes = Vec::new();
        packet
            .encode(version, &mut bytes)
            .expect("clients send what can be sent");
        self.trace(|| format!("client {client} sends {packet:?}"));
        let wire = self.clients[client].wire.expect("it is connected");
        let wire = self.wires.get_mut(&wire).unwrap();
        if !wire.is_cut {
            wire.up.extend(bytes);
        }
    }

    fn connect(&mut self, client: usize) {
        let is_resting = self.is_resting;
        let rights = self.new_rights(client, is_resting);
        let clean_start = if self.clients[client].session.is_some() {
            !is_resting && self.dice.one_in(8)
        } else {
            self.clients[client].is_unsure || self.dice.one_in(2)
        };
        if clean_start {
            self.clients[client].session = None;
        }
        self.clients[client].take_rights(rights.clone());
        let version = self.clients[client].version;
        let asked = match (&self.clients[client].session, version) {
            (Some(book), ProtocolVersion::V5) => book.expiry_secs,
            (None, ProtocolVersion::V5) => *self.dice.pick(&EXPIRIES),
            (_, ProtocolVersion::V311) if clean_start => 0,
            (_, ProtocolVersion::V311) => u32::MAX,
        };
        let expiry_secs = asked.min(EXPIRY_LIMIT);
        let receive_maximum = match version {
            ProtocolVersion::V5 => u16::try_from(self.dice.between(1, 8)).unwrap(),
            ProtocolVersion::V311 => u16::MAX,
        };
        self.clients[client].receive_maximum = receive_maximum;
        let will = (!is_resting && self.dice.one_in(3))
            .then(|| self.new_will(client))
            .flatten();
        let will_delay_secs = match version {
            ProtocolVersion::V5 if will.is_some() => *self.dice.pick(&[0, 0, 5, 100]),
            ProtocolVersion::V5 | ProtocolVersion::V311 => 0,
        };
        let id = self.next_wire;
        self.next_wire += 1;
        self.wires.insert(
            id,
            Wire {
                client,
                up: VecDeque::new(),
                down: VecDeque::new(),
                end: BrokerEnd::Door,
                partial: Vec::new(),
                client_closed: false,
                is_cut: false,
                rights,
                clean_start,
                expiry_secs,
                presence: Presence::May,
                was_admitted: false,
                connack_seen: false,
                will,
                will_delay_secs,
                said_goodbye: false,
                end_noted: false,
            },
        );
        self.clients[client].wire = Some(id);
        let name = self.clients[client].name.clone();
        let payload = will.map(|will| self.oracle.payload(will));
        let topic = will.map(|will| self.oracle.messages[will].topic.clone());
        let packet = Connect {
            version,
            clean_start,
            keep_alive_secs: *self.dice.pick(&[0, 0, 0, 30]),
            client_identifier: &name,
            will: will.map(|will| Will {
                topic: TopicName::parse(topic.as_deref().unwrap()).unwrap(),
                payload: payload.as_deref().unwrap(),
                qos: self.oracle.messages[will].qos,
                retain: false,
                delay_interval_secs: will_delay_secs,
                properties: PublishProperties::default(),
            }),
            user_name: None,
            password: None,
            properties: match version {
                ProtocolVersion::V311 => ConnectProperties::default(),
                ProtocolVersion::V5 => ConnectProperties {
                    session_expiry_interval_secs: Some(asked),
                    receive_maximum: NonZeroU16::new(receive_maximum),
                    maximum_packet_size: NonZeroU32::new(1024 * 1024),
                    ..ConnectProperties::default()
                },
            },
        };
        self.trace(|| format!("client {client} connects on wire {id}"));
        self.send(client, &Packet::Connect(Box::new(packet)));
    }

    fn new_rights(&mut self, client: usize, is_resting: bool) -> Rights {
        if !self.clients[client].has_token {
            return Rights::new(None);
        }
        let place = if is_resting || self.dice.one_in(2) {
            0
        } else {
            self.dice.below(SCOPES.len())
        };
        let lifetime_secs = if is_resting || !self.dice.one_in(3) {
            1_000_000
        } else {
            self.dice.between(2, 200)
        };
        let expires_at = UnixTime(self.now.unix.0 + lifetime_secs);
        Rights::new(Some((place, expires_at)))
    }

    fn new_will(&mut self, client: usize) -> Option<MessageId> {
        let topic = *self.dice.pick(&TOPICS);
        if !self.clients[client].rights.may_publish(topic) {
            return None;
        }
        let qos = *self.dice.pick(&QOS);
        let id = self.new_message(client, topic, qos);
        self.oracle.messages[id].will = Some(WillState::Armed);
        Some(id)
    }

    fn new_message(&mut self, client: usize, topic: &str, qos: Qos) -> MessageId {
        let payload_len = match self.dice.below(20) {
            0 => 6_000,
            1..5 => 100,
            _ => 10,
        };
        let sent = self.next_tick();
        self.oracle.add(Sent {
            publisher: client,
            topic: topic.into(),
            qos,
            retain: false,
            expiry_secs: None,
            payload_len,
            sent,
            sent_ms: self.now.ms,
            acked: None,
            was_resent: false,
            crashed: false,
            will: None,
        })
    }

    fn publish(&mut self, client: usize) {
        let topic = *self.dice.pick(&TOPICS);
        let qos = *self.dice.pick(&QOS);
        let is_allowed = self.clients[client].rights.may_publish(topic);
        let is_v5 = self.clients[client].version == ProtocolVersion::V5;
        if !is_allowed && !(is_v5 && qos > Qos::AtMostOnce && self.dice.one_in(10)) {
            return;
        }
        let book = self.clients[client].session.as_ref().unwrap();
        if qos > Qos::AtMostOnce && !book.outgoing.has_room() {
            return;
        }
        let id = self.new_message(client, topic, qos);
        // Where no more are retained, a 3.1.1 client cannot be told and comes again and again.
        let may_retain = is_v5 || !self.scenario.is_tight;
        if may_retain && self.dice.one_in(6) {
            let deletes = self.dice.one_in(3);
            let message = &mut self.oracle.messages[id];
            message.retain = true;
            if deletes {
                message.payload_len = 0;
            }
            self.oracle
                .retained
                .entry(topic.into())
                .or_default()
                .push(id);
        } else if is_v5 && self.dice.one_in(8) {
            self.oracle.messages[id].expiry_secs = Some(*self.dice.pick(&[1, 30, 500]));
        }
        let book = self.clients[client].session.as_mut().unwrap();
        let identifier = (qos > Qos::AtMostOnce)
            .then(|| book.outgoing.handle_send(qos, id).expect("there is room"));
        self.send_publish(client, id, identifier, false);
    }

    fn send_publish(
        &mut self,
        client: usize,
        id: MessageId,
        identifier: Option<PacketIdentifier>,
        duplicate: bool,
    ) {
        let message = &self.oracle.messages[id];
        let payload = if message.payload_len == 0 {
            Vec::new()
        } else {
            self.oracle.payload(id)
        };
        let topic = message.topic.clone();
        let publish = Publish {
            duplicate,
            delivery: match (message.qos, identifier) {
                (Qos::AtLeastOnce, Some(identifier)) => Delivery::AtLeastOnce(identifier),
                (Qos::ExactlyOnce, Some(identifier)) => Delivery::ExactlyOnce(identifier),
                (Qos::AtMostOnce, _) | (_, None) => Delivery::AtMostOnce,
            },
            retain: message.retain,
            topic: Some(TopicName::parse(&topic).unwrap()),
            properties: PublishProperties {
                message_expiry_interval_secs: message.expiry_secs,
                ..PublishProperties::default()
            },
            payload: &payload,
        };
        self.send(client, &Packet::Publish(publish));
    }

    fn subscribe(&mut self, client: usize) {
        let version = self.clients[client].version;
        let count = 1 + self.dice.below(2);
        let mut subscriptions = Vec::new();
        let mut places = Vec::new();
        let Some(identifier) = self.clients[client]
            .session
            .as_mut()
            .unwrap()
            .outgoing
            .handle_request()
        else {
            return;
        };
        for _ in 0..count {
            let wanted = *self.dice.pick(&FILTERS);
            let is_v5 = version == ProtocolVersion::V5;
            let subscription = Subscription {
                share_name: None,
                filter: filter(wanted),
                maximum_qos: *self.dice.pick(&[
                    Qos::AtMostOnce,
                    Qos::AtLeastOnce,
                    Qos::ExactlyOnce,
                    Qos::ExactlyOnce,
                ]),
                no_local: is_v5 && self.dice.one_in(6),
                retain_as_published: false,
                retain_handling: if is_v5 && self.dice.one_in(3) {
                    RetainHandling::DoNotSend
                } else {
                    RetainHandling::Send
                },
            };
            if subscriptions
                .iter()
                .any(|one: &Subscription| one.filter == subscription.filter)
            {
                continue;
            }
            let sent = self.next_tick();
            let book = self.clients[client].session.as_mut().unwrap();
            book.withdraw(&subscription.filter);
            let messages = &self.oracle.messages;
            book.owed.retain(|id| messages[*id].will.is_none());
            places.push(book.subscriptions.len());
            book.subscriptions.push(Subscribed {
                filter: subscription.filter.clone(),
                qos: subscription.maximum_qos,
                no_local: subscription.no_local,
                wants_retained: subscription.retain_handling == RetainHandling::Send,
                sent,
                acked: None,
                holds: false,
                is_withdrawn: false,
                ended: None,
            });
            subscriptions.push(subscription);
        }
        self.clients[client]
            .requests
            .insert(identifier.get(), Request::Subscribe(places));
        let subscription_identifier =
            (version == ProtocolVersion::V5 && self.dice.one_in(4)).then_some(7);
        self.send(
            client,
            &Packet::Subscribe(Subscribe {
                packet_identifier: identifier,
                subscription_identifier,
                user_properties: UserProperties::default(),
                subscriptions,
            }),
        );
    }

    fn unsubscribe(&mut self, client: usize) {
        let book = self.clients[client].session.as_mut().unwrap();
        let held: Vec<_> = book
            .subscriptions
            .iter()
            .filter(|one| one.holds)
            .map(|one| one.filter.clone())
            .collect();
        if held.is_empty() {
            return;
        }
        let Some(identifier) = book.outgoing.handle_request() else {
            return;
        };
        let wanted = self.dice.pick(&held).clone();
        let book = self.clients[client].session.as_mut().unwrap();
        book.withdraw(&wanted);
        let messages = &self.oracle.messages;
        book.owed.retain(|id| messages[*id].will.is_none());
        book.excuse_what_is_under_way();
        self.clients[client]
            .requests
            .insert(identifier.get(), Request::Unsubscribe(wanted.clone()));
        self.send(
            client,
            &Packet::Unsubscribe(Unsubscribe {
                packet_identifier: identifier,
                user_properties: UserProperties::default(),
                filters: vec![(None, wanted)],
            }),
        );
    }

    /// Sends acknowledgements that are due. Whether there were any.
    pub(super) fn send_acks(&mut self, client: usize, count: usize) -> bool {
        let mut moved = false;
        for _ in 0..count {
            let Some((bytes, freed)) = self.clients[client].acks_due.pop_front() else {
                break;
            };
            if let Some(freed) = freed {
                self.clients[client].unacked.remove(&freed);
            }
            let wire = self.clients[client].wire.expect("it is connected");
            let wire = self.wires.get_mut(&wire).unwrap();
            if !wire.is_cut {
                wire.up.extend(bytes);
            }
            moved = true;
        }
        moved
    }

    fn say_goodbye(&mut self, client: usize) {
        let is_v5 = self.clients[client].version == ProtocolVersion::V5;
        let mut disconnect = Disconnect::new(ReasonCode::Success, None);
        if is_v5 && self.dice.one_in(5) {
            disconnect.reason_code = ReasonCode::DisconnectWithWillMessage;
        }
        let ends = is_v5 && self.dice.one_in(4);
        if ends {
            disconnect.session_expiry_interval_secs = Some(0);
        }
        self.send(client, &Packet::Disconnect(disconnect));
        let id = self.clients[client].wire.unwrap();
        let wire = self.wires.get_mut(&id).unwrap();
        wire.client_closed = true;
        if ends {
            wire.expiry_secs = 0;
            self.clients[client].session = None;
            self.clients[client].is_unsure = true;
        }
        self.clients[client].forget_connection();
    }

    /// The connection is lost in the network, or the client gives it up and the broker does not learn of it.
    fn leave_without_a_word(&mut self, client: usize) {
        let id = self.clients[client].wire.unwrap();
        let is_half_open = self.dice.one_in(3);
        let wire = self.wires.get_mut(&id).unwrap();
        self.dice.next();
        if matches!(wire.end, BrokerEnd::Door | BrokerEnd::Arriving(_)) {
            wire.end = BrokerEnd::Closed;
        } else if !is_half_open {
            let up = self.dice.below(wire.up.len() + 1);
            wire.cut(up, 0);
        }
        self.trace(|| format!("client {client} leaves wire {id}, half open: {is_half_open}"));
        self.lose(client);
    }

    /// The client has no connection any more.
    fn lose(&mut self, client: usize) {
        let id = self.clients[client].wire.unwrap();
        let wire = &self.wires[&id];
        if !self.clients[client].is_connected {
            self.clients[client].is_unsure = true;
            if wire.was_admitted && wire.presence != Presence::Must {
                self.clients[client].session = None;
            }
        }
        self.clients[client].forget_connection();
    }

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
            Packet::PubRel(ack) => {
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
            Packet::SubAck(suback) => {
                self.take_suback(client, suback.packet_identifier, &suback.reason_codes)
            }
            Packet::UnsubAck(unsuback) => {
                let ended = self.next_tick();
                let request = self.clients[client]
                    .requests
                    .remove(&unsuback.packet_identifier.get());
                let Some(Request::Unsubscribe(wanted)) = request else {
                    panic!("UNSUBACK that nothing was asked for");
                };
                let book = self.clients[client].session.as_mut().unwrap();
                book.outgoing
                    .handle_answer(unsuback.packet_identifier)
                    .unwrap();
                for one in &mut book.subscriptions {
                    if one.filter == wanted && one.acked.is_some() {
                        one.ended.get_or_insert(ended);
                    }
                }
            }
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
            let may_have = one.rights.clone();
            let messages = &self.oracle.messages;
            book.owed
                .retain(|id| may_have.may_receive(&messages[*id].topic));
            book.owed_retained
                .retain(|id| may_have.may_receive(&messages[*id].topic));
            self.resend(client);
        } else {
            one.session = Some(SessionBook::new(expiry_secs, RECEIVE_MAXIMUM));
        }
        // The connection may be over already, as the broker sees it.
        if self.wires[&id].end_noted
            && let Some(book) = &mut self.clients[client].session
        {
            let now_ms = self.now.ms;
            book.away = Some(super::client::Away {
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

    fn take_suback(&mut self, client: usize, identifier: PacketIdentifier, codes: &[ReasonCode]) {
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
                let bounded = self.scenario.is_tight || self.scenario.fills;
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
        match code {
            ReasonCode::NotAuthorized => {
                assert!(!is_allowed, "publishing to {} is allowed", message.topic)
            }
            ReasonCode::QuotaExceeded => {
                assert!(
                    self.scenario.fills || self.scenario.is_tight,
                    "there is room"
                );
            }
            ReasonCode::Success | ReasonCode::NoMatchingSubscribers => {
                let is_v5 = self.clients[client].version == ProtocolVersion::V5;
                // One sent again may have been taken under the rights before.
                assert!(
                    is_allowed || !is_v5 || message.was_resent,
                    "publishing to {} is not allowed",
                    message.topic
                );
            }
            other => panic!("a PUBLISH is answered {other:?}"),
        }
    }

    fn check_disconnect(&self, client: usize, disconnect: &Disconnect<'_>) {
        let one = &self.clients[client];
        match disconnect.reason_code {
            ReasonCode::SessionTakenOver => panic!("{} has one connection at a time", one.name),
            ReasonCode::NotAuthorized => {
                let expires_at = one.rights.expires_at();
                assert!(
                    expires_at.is_some_and(|expires_at| expires_at <= self.now.unix),
                    "{} has a valid token",
                    one.name
                );
            }
            ReasonCode::KeepAliveTimeout | ReasonCode::ServerShuttingDown => {}
            ReasonCode::QuotaExceeded => assert!(self.scenario.fills || self.scenario.is_tight),
            other => panic!(
                "{} is disconnected: {other:?} {:?}",
                one.name, disconnect.reason_string
            ),
        }
    }
}
