//! A shard falls, in the middle of a turn or between two, and another goes on in its place.

use super::{network::BrokerEnd, world::NARROW_WINDOW, world::World};
use crate::core::{
    authority::KeySets,
    hash_seed::HashSeed,
    reauthentication::AuthCircumstances,
    replaying::Replay,
    shard::{Shard, ShardSetup},
};
use symbolon_mqtt_proto::{Decoder, Sender};

impl World {
    pub(super) fn fall(&mut self) {
        let index = self.dice.below(self.shards.len());
        self.shards[index].begin_turn();
        let what = self.fall_in_a_turn(index);
        self.trace(|| format!("shard {index} falls {what}"));
        self.falls += 1;
        self.note_crash();
        self.lose_wires(Some(index));
        self.succeed(index);
    }

    /// Lets it do something that nobody is to see.
    fn fall_in_a_turn(&mut self, index: usize) -> &'static str {
        let now = self.now;
        match self.dice.below(4) {
            0 => "between two turns",
            1 if !self.shards[index].is_awaiting_others() => {
                self.shards[index].handle_timeout(now);
                "by a timer"
            }
            1 | 2 => {
                let from = self.dice.below(self.shards.len());
                // It is read again by the one that comes after.
                if let Some(batch) = self.mail[from][index].front() {
                    let from = u16::try_from(from).unwrap();
                    self.shards[index].handle_batch(from, batch, now);
                }
                "in a batch"
            }
            _ => {
                self.fall_in_a_packet(index);
                "in a packet"
            }
        }
    }

    fn fall_in_a_packet(&mut self, index: usize) {
        for wire in self.wires.values() {
            let BrokerEnd::Open { shard, at } = wire.end else {
                continue;
            };
            let core = &self.shards[index];
            if shard != index || core.live(at).is_none() || !core.may_read(at.session) {
                continue;
            }
            let mut bytes = wire.partial.clone();
            bytes.extend(&wire.up);
            let decoder = Decoder {
                version: self.clients[wire.client].version,
                sender: Sender::Client,
                maximum_packet_size: 1024 * 1024,
            };
            if let Ok(Some((packet, _))) = decoder.decode(&bytes) {
                let with = AuthCircumstances {
                    keys: &KeySets::default(),
                    fresh_nonce: &|| None,
                };
                self.shards[index].handle_packet(at, &packet, with, self.now);
                return;
            }
        }
    }

    fn succeed(&mut self, index: usize) {
        let name = u16::try_from(index).unwrap();
        let setup = ShardSetup {
            seed: HashSeed::from_words([self.falls, 6, 7, 8]),
            ..self.setup(name, 0)
        };
        let stand_in = Shard::new(self.setup(name, 0));
        let mut fallen = std::mem::replace(&mut self.shards[index], stand_in);
        if let Some((entries, up_to)) = fallen.undo_turn() {
            self.disk.take(name, entries, up_to);
        }
        let mut replay = Replay::new(self.disk.load_as_of(name));
        fallen
            .deferred_entries()
            .for_each(|entry| replay.apply(entry));
        let mut stored = replay.into_stored();
        (stored.sessions).retain(|session| self.home(&session.record.client_identifier) == index);
        let is_full = self.is_full;
        let is_tight = self.scenario.is_tight;
        self.with_shard(index, |shard, now| {
            let stored = (stored.sessions, &*stored.retained);
            *shard = Shard::succeed(fallen, setup, stored, now);
            shard.store_is_full = is_full;
            if is_tight {
                shard.narrow_outbound(NARROW_WINDOW);
            }
        });
    }
}
