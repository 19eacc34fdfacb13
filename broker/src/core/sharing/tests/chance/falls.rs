//! The same with shards that fall in the middle of a turn, and others that go on in their places.

use super::*;
use crate::core::{journal::Stored, replaying::Replay};

impl Story {
    /// All sessions are stored: what was sent to others goes with their shard.
    fn of_stored(seed: u64) -> Self {
        let mut story = Self::new(seed, true);
        for wanderer in &mut story.wanderers {
            wanderer.expiry_secs = 1_000;
        }
        story
    }

    fn step_or_fall(&mut self) {
        if self.roll(30) == 0 {
            let shard = self.roll(3);
            self.fall(shard);
        } else {
            self.step();
        }
    }

    fn fall(&mut self, shard: usize) {
        let from = self.roll(3);
        let batch = self.cluster.shards[from].poll_outbound(index(shard));
        let core = &mut self.cluster.shards[shard];
        core.begin_turn();
        match self.random >> 33 & 3 {
            0 => core.handle_timeout(after(0)),
            1 => {
                let parted = self.wanderers.iter().find(|one| one.shard == shard);
                if let Some(here) = parted.and_then(|one| one.here) {
                    core.handle_closed(here.at, after(0));
                }
            }
            _ => core.handle_batch(index(from), &batch, after(0)),
        }
        self.succeed(shard);
        // What nobody saw being handled is handled once more, while others are still awaited.
        (self.cluster.shards[shard]).handle_batch(index(from), &batch, after(0));
        self.cluster.exchange(after(0));
        assert!(!self.cluster.shards[shard].is_awaiting_others());
        for wanderer in &mut self.wanderers {
            if wanderer.shard == shard {
                wanderer.here = None;
                wanderer.unacknowledged.clear();
            }
        }
        self.publishers[shard] = self.cluster.connect(shard, "p", 1_000, 10);
    }

    fn succeed(&mut self, shard: usize) {
        let cluster = &mut self.cluster;
        let stand_in = cluster.shards[shard].stand_in(cluster.setup(shard));
        let mut fallen = std::mem::replace(&mut cluster.shards[shard], stand_in);
        let unwritten = fallen.undo_turn();
        let up_to = unwritten.as_ref().map(|(_, up_to)| *up_to);
        let entries = unwritten.into_iter().flat_map(|(entries, _)| entries);
        cluster.journals[shard].extend(entries);
        let mut replay = Replay::new(Stored::default());
        let written = cluster.journals[shard].iter();
        written
            .chain(fallen.deferred_entries())
            .for_each(|entry| replay.apply(entry));
        let stored = replay.into_stored();
        let setup = cluster.setup(shard);
        let mut core = Shard::succeed(fallen, setup, (stored.sessions, &[]), after(0));
        if let Some(up_to) = up_to {
            core.handle_committed(up_to, after(0));
        }
        cluster.shards[shard] = core;
    }
}

impl Cluster {
    fn setup(&self, shard: usize) -> ShardSetup {
        ShardSetup {
            index: index(shard),
            count: index(self.shards.len()),
            limits: self.shards[shard].limits,
            admission: Arc::clone(&self.shards[shard].admission),
            store: None,
            seed: HashSeed::from_words([5, 6, 7, 8]),
        }
    }
}

#[test]
fn whatever_falls_no_message_of_a_group_is_lost_and_none_of_qos_2_sent_to_a_second_member() {
    for seed in 0..150 {
        let mut story = Story::of_stored(seed);
        for _ in 0..300 {
            story.step_or_fall();
        }
        story.finish();
        let lost: Vec<_> = story.once_or_more.difference(&story.acknowledged).collect();
        assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
        assert_eq!(story.cluster.incomplete(), [], "seed {seed}");
        // [MQTT-4.8.2-5].
        for (text, receivers) in &story.receivers {
            assert_eq!(receivers.len(), 1, "seed {seed}: {text} at QoS 2");
        }
        for shard in &story.cluster.shards {
            assert_eq!(shard.holding.len(), 0, "seed {seed}: an answer still waits");
            assert_eq!(shard.deferred_entries().count(), 0, "seed {seed}");
        }
    }
}
