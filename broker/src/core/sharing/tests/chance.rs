//! Members come, go, acknowledge and leave by chance, and shards and stores lag by chance: no message of a group is lost.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use symbolon_mqtt_proto::Unsubscribe;

/// A client that comes and goes.
struct Wanderer {
    name: String,
    shard: usize,
    expiry_secs: u32,
    window: u16,
    here: Option<Client>,
    unacknowledged: Vec<(Delivery, String)>,
}

struct Story {
    cluster: Cluster,
    publishers: Vec<Client>,
    wanderers: Vec<Wanderer>,
    published: u32,
    /// Published at QoS 1.
    once_or_more: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
    /// Of QoS 2, whom it was sent to.
    receivers: BTreeMap<String, BTreeSet<usize>>,
    /// Deliveries that were acknowledged.
    acknowledgements: usize,
    random: u64,
}

impl Story {
    /// The first wanderer is a member for ever, so that the group never ends.
    fn new(seed: u64, is_stored: bool) -> Self {
        let mut cluster = Cluster::with_queues(3, is_stored, 1_000);
        let publishers = (0..3).map(|shard| cluster.connect(shard, "p", 1_000, 10));
        let publishers = publishers.collect();
        let wanderers = (0..7).map(|number| Wanderer {
            name: format!("w{number}"),
            shard: number % 3,
            expiry_secs: if number % 2 == 0 { 1_000 } else { 0 },
            window: if number < 4 { 1 } else { 3 },
            here: None,
            unacknowledged: Vec::new(),
        });
        let mut story = Self {
            cluster,
            publishers,
            wanderers: wanderers.collect(),
            published: 0,
            once_or_more: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            receivers: BTreeMap::new(),
            acknowledgements: 0,
            random: seed * 2 + 1,
        };
        story.come(0);
        story.subscribe(0);
        story.cluster.settle();
        story
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 40).unwrap() % sides
    }

    fn step(&mut self) {
        let which = self.roll(7);
        match self.roll(16) {
            0..5 => self.publish(self.publishers[which % 3]),
            5..8 => {
                let (from, to) = (self.roll(3), self.roll(3));
                let batch = self.cluster.shards[from].poll_outbound(index(to));
                self.cluster.shards[to].handle_batch(index(from), &batch, after(0));
            }
            8..10 => {
                self.cluster.commit(which % 3, after(0));
            }
            10 => self.go(which),
            11 => self.come(which),
            12 => self.subscribe(which),
            13 if which > 0 => self.unsubscribe(which),
            14 if which > 0 => self.end_or_take_over(which),
            _ => {
                self.listen(which);
                self.acknowledge(which);
            }
        }
    }

    fn publish(&mut self, publisher: Client) {
        let text = self.published.to_string();
        self.published += 1;
        if self.roll(3) == 0 {
            let identifier = NonZeroU16::MIN;
            let delivery = Delivery::ExactlyOnce(identifier);
            self.cluster
                .publish_with(publisher, &text, delivery, after(0));
            let release = Packet::PubRel(Ack::new(identifier, ReasonCode::Success));
            self.cluster.handle(publisher, &release, after(0));
        } else {
            self.cluster.publish(publisher, &text, after(0));
            self.once_or_more.insert(text);
        }
        self.cluster.sent(publisher);
    }

    fn come(&mut self, which: usize) {
        let wanderer = &mut self.wanderers[which];
        if wanderer.here.is_none() {
            let Wanderer {
                shard,
                expiry_secs,
                window,
                ..
            } = *wanderer;
            let here = self
                .cluster
                .connect(shard, &wanderer.name, expiry_secs, window);
            wanderer.here = Some(here);
        }
    }

    fn go(&mut self, which: usize) {
        let wanderer = &mut self.wanderers[which];
        wanderer.unacknowledged.clear();
        if let Some(here) = wanderer.here.take() {
            self.cluster.lose(here);
        }
    }

    /// Its session expires, or it connects while it is connected.
    fn end_or_take_over(&mut self, which: usize) {
        let wanderer = &mut self.wanderers[which];
        let shard = &mut self.cluster.shards[wanderer.shard];
        if wanderer.here.take().is_some() {
            wanderer.unacknowledged.clear();
            self.come(which);
        } else if let Some(key) = shard.by_client.get(&*wanderer.name).copied() {
            shard.end(key, crate::core::shard::WillFate::Discard, after(0));
        }
    }

    fn subscribe(&mut self, which: usize) {
        if let Some(here) = self.wanderers[which].here {
            self.cluster.ask(here, GROUP);
        }
    }

    fn unsubscribe(&mut self, which: usize) {
        if let Some(here) = self.wanderers[which].here {
            let unsubscribe = Unsubscribe {
                packet_identifier: NonZeroU16::MIN,
                user_properties: UserProperties::default(),
                filters: vec![TopicFilter::parse_shared(GROUP).unwrap()],
            };
            let unsubscribe = Packet::Unsubscribe(unsubscribe);
            self.cluster.handle(here, &unsubscribe, after(0));
        }
    }

    /// Whether anything came.
    fn listen(&mut self, which: usize) -> bool {
        let wanderer = &mut self.wanderers[which];
        let Some(here) = wanderer.here else {
            return false;
        };
        let receivers = &mut self.receivers;
        let mut released = Vec::new();
        let mut was_any = false;
        self.cluster.read(here, |packet| {
            was_any = true;
            if let Packet::Publish(publish) = packet {
                let text = str::from_utf8(publish.payload).unwrap().to_owned();
                if publish.delivery.qos() == Qos::ExactlyOnce {
                    receivers.entry(text.clone()).or_default().insert(which);
                }
                wanderer.unacknowledged.push((publish.delivery, text));
            } else if let Packet::PubRel(ack) = packet {
                released.push(ack.packet_identifier);
            }
        });
        assert!(wanderer.unacknowledged.len() <= usize::from(wanderer.window));
        for identifier in released {
            let complete = Packet::PubComp(Ack::new(identifier, ReasonCode::Success));
            self.cluster.handle(here, &complete, after(0));
        }
        was_any
    }

    fn acknowledge(&mut self, which: usize) -> bool {
        let wanderer = &mut self.wanderers[which];
        let Some(here) = wanderer.here else {
            return false;
        };
        if wanderer.unacknowledged.is_empty() {
            return false;
        }
        let (delivery, text) = wanderer.unacknowledged.remove(0);
        let ack = |identifier| Ack::new(identifier, ReasonCode::Success);
        let packet = match delivery {
            Delivery::AtMostOnce => panic!("published above QoS 0"),
            Delivery::AtLeastOnce(identifier) => {
                self.acknowledged.insert(text);
                self.acknowledgements += 1;
                Packet::PubAck(ack(identifier))
            }
            Delivery::ExactlyOnce(identifier) => Packet::PubRec(ack(identifier)),
        };
        self.cluster.handle(here, &packet, after(0));
        true
    }

    /// All come back and take what there is.
    fn finish(&mut self) {
        for which in 0..self.wanderers.len() {
            self.come(which);
        }
        loop {
            self.cluster.settle();
            let mut was_any = false;
            for which in 0..self.wanderers.len() {
                was_any |= self.listen(which);
                while self.acknowledge(which) {
                    self.listen(which);
                    was_any = true;
                }
            }
            if !was_any {
                return;
            }
        }
    }
}

fn every_message_reaches_one_member(is_stored: bool) {
    for seed in 0..150 {
        let mut story = Story::new(seed, is_stored);
        for _ in 0..300 {
            story.step();
        }
        story.finish();
        let published = &story.once_or_more;
        let lost: Vec<_> = published.difference(&story.acknowledged).collect();
        assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
        // Acknowledged twice only where the acknowledgement of a lost member was overtaken; here they never are.
        assert_eq!(story.acknowledgements, published.len(), "seed {seed}");
        assert_eq!(story.cluster.incomplete(), [], "seed {seed}");
        // [MQTT-4.8.2-5].
        assert!(!story.receivers.is_empty());
        for (text, receivers) in &story.receivers {
            assert_eq!(receivers.len(), 1, "seed {seed}: {text} at QoS 2");
        }
        for publisher in story.publishers.clone() {
            let link = &story.cluster.shards[publisher.shard]
                .session(publisher.at.session)
                .link;
            assert_eq!(link.held, 0, "seed {seed}: an answer still waits");
        }
    }
}

#[test]
fn whatever_happens_in_memory_qos_1_is_acknowledged_by_one_member_and_qos_2_sent_to_no_second_one()
{
    every_message_reaches_one_member(false);
}

#[test]
fn whatever_happens_with_a_store_qos_1_is_acknowledged_by_one_member_and_qos_2_sent_to_no_second_one()
 {
    every_message_reaches_one_member(true);
}
