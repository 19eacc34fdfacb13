//! The broker's end of connections, as its driver has it.

use super::{
    client::Away,
    network::{BrokerEnd, Presence, WireId},
    oracle::SLACK_MS,
    world::World,
};
use crate::core::{
    admission::{Admitted, Circumstances, Introduction, Step},
    authority::KeySets,
    reauthentication::AuthCircumstances,
    session::ConnectionKey,
};
use symbolon_mqtt_proto::{Connect, Decoder, Packet, ProtocolVersion, ReasonCode, Sender};

impl World {
    /// Some bytes of some connection move, in one direction or the other.
    pub(super) fn move_bytes(&mut self) {
        let wires: Vec<WireId> = self.wires.keys().copied().collect();
        if wires.is_empty() {
            return;
        }
        let wire = *self.dice.pick(&wires);
        let bytes = match self.dice.below(4) {
            0 => self.dice.below(20),
            1 => self.dice.below(200),
            _ => usize::MAX,
        };
        self.move_bytes_of(wire, bytes);
    }

    /// Whether anything moved.
    pub(super) fn move_bytes_of(&mut self, wire: WireId, bytes: usize) -> bool {
        let mut moved = self.read_some(wire, bytes);
        moved |= self.write_some(wire, bytes);
        moved |= self.arrive(wire);
        moved |= self.receive(wire, bytes);
        moved |= self.give_up(wire);
        moved
    }

    /// The broker reads.
    fn read_some(&mut self, id: WireId, bytes: usize) -> bool {
        let Some(wire) = self.wires.get_mut(&id) else {
            return false;
        };
        let count = bytes.min(wire.up.len());
        if let BrokerEnd::Open { shard, at } = wire.end {
            let core = &self.shards[shard];
            if core.live(at).is_none() || !core.may_read(at.session) || core.is_congested() {
                return false;
            }
        } else if !matches!(wire.end, BrokerEnd::Door) {
            return false;
        }
        if count == 0 && !(wire.partial.len() > 2 && wire.up.is_empty()) {
            return false;
        }
        wire.partial.extend(wire.up.drain(..count));
        let partial = std::mem::take(&mut wire.partial);
        let mut rest = &partial[..];
        loop {
            let taken = match self.wires[&id].end {
                BrokerEnd::Door => self.handle_connect(id, rest),
                BrokerEnd::Open { shard, at } => self.handle_packet(id, shard, at, rest),
                BrokerEnd::Arriving(_)
                | BrokerEnd::Leaving { .. }
                | BrokerEnd::TurnedAway(_)
                | BrokerEnd::Closed => 0,
            };
            rest = &rest[taken..];
            if taken == 0 {
                break;
            }
        }
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.partial = rest.to_vec();
        }
        count > 0 || rest.len() < partial.len()
    }

    /// How many bytes of CONNECT there were.
    fn handle_connect(&mut self, id: WireId, bytes: &[u8]) -> usize {
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Client,
            maximum_packet_size: 1024 * 1024,
        };
        let found = decoder.decode(bytes).expect("a client sends whole packets");
        let Some((Packet::Connect(connect), size)) = found else {
            return 0;
        };
        let admitted = self.admit(id, &connect);
        let wire = self.wires.get_mut(&id).unwrap();
        wire.end = BrokerEnd::Arriving(admitted);
        size
    }

    fn admit(&self, id: WireId, connect: &Connect<'_>) -> Box<Admitted> {
        let rights = &self.wires[&id].rights;
        if rights.expires_at().is_some() {
            let public = self.admission.public_topics.clone();
            let grant = rights.grant(connect.client_identifier, public);
            let introduction = Introduction::new(connect, self.now.ms, &grant);
            let introduction = introduction.expect("Wills are within the token");
            return Box::new(introduction.admit(grant, false));
        }
        let at = Circumstances {
            keys: &KeySets::default(),
            exporter: None,
            proved_key: None,
            brought: None,
            fresh_nonce: &|| None,
            now: self.now.unix,
            now_ms: self.now.ms,
        };
        match self.admission.handle_connect(connect, at) {
            Ok(Step::Admit(admitted)) => admitted,
            other => panic!("a client without a token is let in, not {other:?}"),
        }
    }

    /// An admitted client reaches its home shard.
    fn arrive(&mut self, id: WireId) -> bool {
        let Some(wire) = self.wires.get_mut(&id) else {
            return false;
        };
        if !matches!(wire.end, BrokerEnd::Arriving(_)) {
            return false;
        }
        let name = &self.clients[wire.client].name;
        if self.shards[self.home(name)].is_awaiting_others() {
            return false;
        }
        let Some(wire) = self.wires.get_mut(&id) else {
            return false;
        };
        let BrokerEnd::Arriving(admitted) = std::mem::replace(&mut wire.end, BrokerEnd::Closed)
        else {
            return false;
        };
        let (client, clean_start) = (wire.client, wire.clean_start);
        let home = self.home(&self.clients[client].name);
        let fell = self.falls > 0;
        let outcome = self.with_shard(home, |shard, now| {
            // While it waited for others its timers did too.
            if fell {
                shard.handle_timeout(now);
            }
            shard.handle_admitted(&admitted, false, now)
        });
        let now_ms = self.now.ms;
        let wire = self.wires.get_mut(&id).unwrap();
        match outcome {
            Ok(at) => {
                wire.end = BrokerEnd::Open { shard: home, at };
                wire.was_admitted = true;
                let presence = presence(&self.clients[client], clean_start, now_ms);
                self.wires.get_mut(&id).unwrap().presence = presence;
                let resumes = match presence {
                    Presence::Must => Some(true),
                    Presence::MustNot if clean_start => Some(false),
                    Presence::May | Presence::MustNot => None,
                };
                self.settle_wills_of(client, resumes);
                if presence == Presence::Must
                    && let Some(book) = &mut self.clients[client].session
                    && let Some(away) = book.away.take()
                {
                    book.away_before_ms.get_or_insert(away.earliest_ms);
                }
            }
            Err(refused) => wire.end = BrokerEnd::TurnedAway(refused),
        }
        true
    }

    fn handle_packet(
        &mut self,
        id: WireId,
        shard: usize,
        at: ConnectionKey,
        bytes: &[u8],
    ) -> usize {
        if self.shards[shard].live(at).is_none() {
            return 0;
        }
        let version = self.clients[self.wires[&id].client].version;
        let decoder = Decoder {
            version,
            sender: Sender::Client,
            maximum_packet_size: 1024 * 1024,
        };
        let found = decoder.decode(bytes).expect("a client sends whole packets");
        let Some((packet, size)) = found else {
            return 0;
        };
        let with = AuthCircumstances {
            keys: &KeySets::default(),
            fresh_nonce: &|| None,
        };
        self.trace(|| format!("wire {id}: shard {shard} reads {packet:?}"));
        let goodbye = matches!(&packet, Packet::Disconnect(disconnect) if disconnect.reason_code == ReasonCode::Success);
        self.wires.get_mut(&id).unwrap().said_goodbye = goodbye;
        self.with_shard(shard, |shard, now| {
            shard.handle_packet(at, &packet, with, now);
        });
        size
    }

    /// The broker writes.
    pub(super) fn write_some(&mut self, id: WireId, bytes: usize) -> bool {
        let mut left = bytes;
        while left > 0 {
            let taken = self.take_outbox(id, left);
            if taken.is_empty() {
                break;
            }
            left -= taken.len();
            self.wires.get_mut(&id).unwrap().down.extend(taken);
        }
        left < bytes
    }

    fn take_outbox(&mut self, id: WireId, limit: usize) -> Vec<u8> {
        let Some(wire) = self.wires.get(&id).filter(|wire| !wire.is_cut) else {
            return Vec::new();
        };
        if let BrokerEnd::Open { shard, at } = wire.end {
            let session = self.shards[shard].session_mut(at.session);
            session.link.dirty = false;
            if session.link.outbox.is_empty() && session.has_more() {
                self.with_shard(shard, |shard, now| shard.handle_room(at.session, now));
            }
        }
        let outbox = match &mut self.wires.get_mut(&id).unwrap().end {
            BrokerEnd::Open { shard, at } => {
                &mut self.shards[*shard].session_mut(at.session).link.outbox
            }
            BrokerEnd::Leaving { farewell, .. } | BrokerEnd::TurnedAway(farewell) => {
                &mut farewell.outbox
            }
            BrokerEnd::Door | BrokerEnd::Arriving(_) | BrokerEnd::Closed => return Vec::new(),
        };
        let front = outbox.front();
        let count = front.len().min(limit);
        let taken = front[..count].to_vec();
        outbox.advance(count);
        taken
    }

    /// The broker learns that a connection is over.
    fn give_up(&mut self, id: WireId) -> bool {
        let Some(wire) = self.wires.get_mut(&id) else {
            return false;
        };
        let is_read_out = wire.up.is_empty();
        let over = match &wire.end {
            BrokerEnd::Closed => false,
            BrokerEnd::Door | BrokerEnd::Arriving(_) => {
                wire.is_cut && is_read_out
                    || wire.client_closed && is_read_out && matches!(wire.end, BrokerEnd::Door)
            }
            BrokerEnd::Open { .. } => is_read_out && (wire.is_cut || wire.client_closed),
            BrokerEnd::Leaving { farewell, .. } | BrokerEnd::TurnedAway(farewell) => {
                wire.is_cut || farewell.outbox.is_empty()
            }
        };
        if !over {
            return false;
        }
        match std::mem::replace(&mut wire.end, BrokerEnd::Closed) {
            BrokerEnd::Open { shard, at } => {
                self.trace(|| format!("wire {id} is lost"));
                self.note_ended_as(id, false);
                self.with_shard(shard, |shard, now| shard.handle_closed(at, now));
            }
            BrokerEnd::Leaving { shard, at, .. } => {
                self.with_shard(shard, |shard, now| shard.handle_closed(at, now));
            }
            BrokerEnd::Door
            | BrokerEnd::Arriving(_)
            | BrokerEnd::TurnedAway(_)
            | BrokerEnd::Closed => {}
        }
        true
    }

    /// Notes which sessions have lost their connection.
    pub(super) fn note_ended(&mut self) {
        for id in self.wires.keys().copied().collect::<Vec<_>>() {
            self.note_ended_wire(id);
        }
    }

    fn note_ended_wire(&mut self, id: WireId) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        let BrokerEnd::Open { shard, at } = wire.end else {
            return;
        };
        if self.shards[shard].live(at).is_some() {
            return;
        }
        let farewell = self.shards[shard].take_farewell(at);
        wire.end = BrokerEnd::Leaving {
            shard,
            at,
            farewell,
        };
        let goodbye = wire.said_goodbye;
        self.note_ended_as(id, goodbye);
    }

    /// The session has no connection any more, from now on.
    fn note_ended_as(&mut self, id: WireId, goodbye: bool) {
        let wire = self.wires.get_mut(&id).unwrap();
        if std::mem::replace(&mut wire.end_noted, true) {
            return;
        }
        self.trace(|| format!("wire {id} ended, goodbye {goodbye}"));
        let wire = &self.wires[&id];
        let (client, presence, connack_seen) = (wire.client, wire.presence, wire.connack_seen);
        let expiry_secs = wire.expiry_secs;
        let now_ms = self.now.ms;
        if let Some(book) = &mut self.clients[client].session
            && (connack_seen || presence == Presence::Must)
        {
            book.away = Some(Away {
                earliest_ms: now_ms,
                latest_ms: now_ms,
            });
        }
        self.note_will(id, goodbye, expiry_secs);
    }

    /// The process is gone, and with it every connection; or a shard, with its own. What was written to them may still arrive.
    pub(super) fn lose_wires(&mut self, of: Option<usize>) {
        let now_ms = self.now.ms;
        for wire in self.wires.values_mut() {
            let at = match wire.end {
                BrokerEnd::Open { shard, .. } | BrokerEnd::Leaving { shard, .. } => Some(shard),
                BrokerEnd::Door
                | BrokerEnd::Arriving(_)
                | BrokerEnd::TurnedAway(_)
                | BrokerEnd::Closed => None,
            };
            if of.is_some() && at != of {
                continue;
            }
            let down = if self.dice.one_in(2) {
                wire.down.len()
            } else {
                self.dice.below(wire.down.len() + 1)
            };
            wire.cut(0, down);
            wire.end = BrokerEnd::Closed;
        }
        for index in 0..self.clients.len() {
            if of.is_some_and(|shard| self.home(&self.clients[index].name) != shard) {
                continue;
            }
            if let Some(book) = &mut self.clients[index].session {
                book.may_be_lost |= !book.is_anchored;
                let earliest = book.away.map_or(now_ms, |away| away.earliest_ms);
                let earliest_ms = book
                    .away_before_ms
                    .map_or(earliest, |before| before.min(earliest));
                book.away = Some(Away {
                    earliest_ms,
                    latest_ms: now_ms,
                });
            }
        }
    }
}

/// Whether the broker must have the session that this client asks for.
fn presence(client: &super::client::Client, clean_start: bool, now_ms: u64) -> Presence {
    if clean_start {
        return Presence::MustNot;
    }
    let Some(book) = &client.session else {
        return if client.is_unsure {
            Presence::May
        } else {
            Presence::MustNot
        };
    };
    if book.may_be_lost {
        return Presence::May;
    }
    let Some(away) = book.away else {
        return Presence::Must;
    };
    let expiry_ms = u64::from(book.expiry_secs) * 1_000;
    if now_ms + SLACK_MS < away.earliest_ms + expiry_ms {
        Presence::Must
    } else if now_ms > away.latest_ms + expiry_ms + SLACK_MS {
        Presence::MustNot
    } else {
        Presence::May
    }
}
