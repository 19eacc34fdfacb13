//! What clients do of their own accord.

use super::{
    client::{Request, Rights, SCOPES, Subscribed, filter},
    network::{BrokerEnd, MessageId, Presence, Wire},
    oracle::{Posted, Will as WillState},
    world::World,
};
use std::num::{NonZeroU16, NonZeroU32};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{
    Connect, Delivery, Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, Qos, ReasonCode, RetainHandling, Subscribe, Subscription, TopicName,
    Unsubscribe, UserProperties, Will, connect::ConnectProperties,
};

const TOPICS: [&str; 8] = ["t/0", "t/1", "t/2/x", "t/3", "u/0", "u/1", "u/0/x", "u/2"];
const FILTERS: [&str; 12] = [
    "t/0", "t/1", "t/+", "t/#", "t/+/x", "u/#", "u/0/#", "u/+", "u/1", "u/0", "t/3", "#",
];
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const EXPIRIES: [u32; 4] = [0, 6, 60, 600];
/// What we tell 3.1.1 clients by other means.
pub(super) const RECEIVE_MAXIMUM: u16 = 8;
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

    pub(super) fn send(&mut self, client: usize, packet: &Packet<'_>) {
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
        self.excuse_what_may_not_be_had(client);
        let version = self.clients[client].version;
        let asked = match (&self.clients[client].session, version) {
            (Some(book), ProtocolVersion::V5) => book.expiry_secs,
            (None, ProtocolVersion::V5) => *self.dice.pick(&EXPIRIES),
            (_, ProtocolVersion::V311) if clean_start => 0,
            (_, ProtocolVersion::V311) => u32::MAX,
        };
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
        let mut wire = Wire::new(client, rights, clean_start);
        wire.expiry_secs = asked.min(EXPIRY_LIMIT);
        wire.will = will;
        wire.will_delay_secs = will_delay_secs;
        self.wires.insert(id, wire);
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

    /// Whether or not the client hears of it, the broker may give up what the new token does not cover.
    fn excuse_what_may_not_be_had(&mut self, client: usize) {
        let messages = &self.oracle.messages;
        let one = &mut self.clients[client];
        if let Some(book) = &mut one.session {
            let may_have = |id: &MessageId| one.rights.may_receive(&messages[*id].topic);
            book.owed.retain(may_have);
            book.owed_retained.retain(may_have);
        }
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
        self.oracle.add(Posted {
            publisher: client,
            topic: topic.into(),
            qos,
            retain: false,
            expiry_secs: None,
            payload_len,
            sent,
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
        let is_tried = is_v5 && qos > Qos::AtMostOnce && self.dice.one_in(10);
        if !(is_allowed || is_tried) {
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

    pub(super) fn send_publish(
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
            let subscription = self.any_subscription(version);
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

    fn any_subscription(&mut self, version: ProtocolVersion) -> Subscription {
        let wanted = *self.dice.pick(&FILTERS);
        let is_v5 = version == ProtocolVersion::V5;
        let often = Qos::ExactlyOnce;
        Subscription {
            share_name: None,
            filter: filter(wanted),
            maximum_qos: *(self.dice).pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, often, often]),
            no_local: is_v5 && self.dice.one_in(6),
            retain_as_published: false,
            retain_handling: if is_v5 && self.dice.one_in(3) {
                RetainHandling::DoNotSend
            } else {
                RetainHandling::Send
            },
        }
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
    pub(super) fn lose(&mut self, client: usize) {
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
}
