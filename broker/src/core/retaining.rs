//! Retained messages (MQTT 5.0 §3.3.1.3). Every shard keeps all of them, so that a SUBSCRIBE finds them at home and a retained PUBLISH
//! reaches a shard's subscribers and its copy at the same moment. Of two publishers on two shards the later stamp wins everywhere.

use super::{
    counters::Limit, hash_seed::HashSeed, message::Message, retained::Retained, router::ShardIndex,
    shard::Now,
};
use crate::Limits;
use std::sync::Arc;
use symbolon_mqtt_proto::{TopicFilter, TopicName};

/// Orders retained messages of one topic: a Lamport clock, the shard breaking ties.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Stamp {
    pub(crate) counter: u64,
    pub(crate) shard: ShardIndex,
}

/// What is retained at a topic.
#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Message(Arc<Message>),
    /// Deleted at this time; remembered until no older message can still be under way between shards.
    Deleted {
        at_ms: u64,
    },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Retaining {
    shard: ShardIndex,
    clock: u64,
    entries: Retained<Entry>,
    /// Entries that are messages.
    messages: usize,
    /// Bytes of these messages.
    bytes: usize,
    messages_limit: usize,
    bytes_limit: usize,
}

/// What is kept of a topic: a message, or that it was deleted.
pub(crate) type Kept = (Box<str>, Stamp, Option<Arc<Message>>);

/// What a sweep found, each with its stamp.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// Messages that are gone.
    pub(crate) expired: Vec<(Arc<Message>, Stamp)>,
    /// Messages that live longer than was known.
    pub(crate) extended: Vec<(Arc<Message>, Stamp)>,
}

/// How long a deletion is remembered, milliseconds: far longer than a message waits between shards.
const DELETION_REMEMBERED_MS: u64 = 60_000;
/// How many deletions are remembered at once, beyond which no topic is added: with them the table is bounded.
const DELETIONS_AT_MOST: usize = 100_000;
/// How many entries one sweep looks at.
const SWEEP_ENTRIES: usize = 4_096;

impl Entry {
    /// Bytes of the message, where it is one.
    fn size(&self) -> Option<usize> {
        match &self.content {
            Content::Message(message) => Some(message.size()),
            Content::Deleted { .. } => None,
        }
    }
}

impl Retaining {
    pub(crate) fn new(shard: ShardIndex, limits: &Limits, seed: HashSeed) -> Self {
        Self {
            shard,
            clock: 0,
            entries: Retained::new(seed),
            messages: 0,
            bytes: 0,
            messages_limit: limits.retained_messages,
            bytes_limit: limits.retained_bytes,
        }
    }

    /// Other limits from now on; what is retained above them stays.
    pub(crate) fn set_limits(&mut self, limits: &Limits) {
        self.messages_limit = limits.retained_messages;
        self.bytes_limit = limits.retained_bytes;
    }

    /// A retained PUBLISH of a client of ours, of so many bytes, or `None` where it deletes: the stamp under which every shard keeps it, or
    /// the bound that it is beyond.
    pub(crate) fn stamp(
        &mut self,
        topic: TopicName<'_>,
        size: Option<usize>,
    ) -> Result<Stamp, Limit> {
        let earlier = self.entries.get(topic.as_str());
        let replaced = earlier.and_then(Entry::size);
        let adds_entry = earlier.is_none();
        if let Some(size) = size {
            if replaced.is_none() && self.messages >= self.messages_limit {
                return Err(Limit::RetainedMessages);
            }
            if self.bytes - replaced.unwrap_or(0) + size > self.bytes_limit {
                return Err(Limit::RetainedBytes);
            }
        }
        // Deletions are entries too, and need not have deleted anything.
        if adds_entry && self.entries.len() - self.messages >= DELETIONS_AT_MOST {
            return Err(Limit::RetainedMessages);
        }
        self.clock += 1;
        Ok(Stamp {
            counter: self.clock,
            shard: self.shard,
        })
    }

    /// Keeps the message, or deletes what is there where its payload is empty (MQTT-3.3.1-6), unless something later is there.
    pub(crate) fn apply(&mut self, message: &Arc<Message>, stamp: Stamp, now: Now) {
        let topic = message.topic();
        let deletes = message.publish().payload.is_empty();
        self.clock = self.clock.max(stamp.counter);
        if self
            .entries
            .get(topic.as_str())
            .is_some_and(|entry| entry.stamp > stamp)
        {
            return;
        }
        let content = if deletes {
            Content::Deleted { at_ms: now.ms }
        } else {
            Content::Message(Arc::clone(message))
        };
        self.replace(topic.as_str(), Entry { stamp, content });
    }

    /// In place of one whose shard fell: what its stamps were above, these are too.
    pub(crate) fn succeed(&mut self, fallen: &Self) {
        self.clock = self.clock.max(fallen.clock);
    }

    /// What a shard that lost everything is told by this one: what is of these shards, or all of it.
    pub(crate) fn all(&self, is_meant: impl Fn(Stamp) -> bool) -> Vec<Kept> {
        let mut all = Vec::new();
        self.entries.for_each(|topic, entry| {
            if is_meant(entry.stamp) {
                let message = match &entry.content {
                    Content::Message(message) => Some(Arc::clone(message)),
                    Content::Deleted { .. } => None,
                };
                all.push((topic.into(), entry.stamp, message));
            }
        });
        all
    }

    /// Takes over what another shard keeps, unless something later is here.
    pub(crate) fn adopt(&mut self, (topic, stamp, message): &Kept, now: Now) {
        self.clock = self.clock.max(stamp.counter);
        if let Some(message) = message {
            self.apply(message, *stamp, now);
        } else if (self.entries.get(topic)).is_none_or(|entry| entry.stamp <= *stamp) {
            let content = Content::Deleted { at_ms: now.ms };
            let stamp = *stamp;
            self.replace(topic, Entry { stamp, content });
        }
    }

    fn replace(&mut self, topic: &str, entry: Entry) {
        if let Some(size) = entry.size() {
            self.messages += 1;
            self.bytes += size;
        }
        let previous = self.entries.insert(topic, entry);
        if let Some(size) = previous.as_ref().and_then(Entry::size) {
            self.messages -= 1;
            self.bytes -= size;
        }
    }

    /// The messages that a new subscription to `filter` gets. Expired ones are not among them, nor those whose publisher's token has
    /// expired (RFC 9431 §5).
    pub(crate) fn matching(&self, filter: &TopicFilter, now: Now) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        self.entries.for_each_match(filter, |_, entry| {
            if let Content::Message(message) = &entry.content
                && message.may_be_retained(now)
            {
                found.push(Arc::clone(message));
            }
        });
        found
    }

    /// Whether `message` is still what is retained at `topic`.
    pub(crate) fn is_current(&self, topic: TopicName<'_>, message: &Arc<Message>) -> bool {
        match self.entries.get(topic.as_str()) {
            Some(Entry {
                content: Content::Message(kept),
                ..
            }) => Arc::ptr_eq(kept, message),
            Some(Entry {
                content: Content::Deleted { .. },
                ..
            })
            | None => false,
        }
    }

    /// How many messages there are.
    pub(crate) fn message_count(&self) -> usize {
        self.messages
    }

    /// How many bytes they are.
    pub(crate) fn message_bytes(&self) -> usize {
        self.bytes
    }

    /// Drops some of what has expired. With `extend`, what lives longer since its publisher renewed is told too: one shard speaks for all.
    pub(crate) fn sweep(&mut self, now: Now, extend: bool) -> Swept {
        let (messages, bytes) = (&mut self.messages, &mut self.bytes);
        let mut swept = Swept::default();
        self.entries
            .sweep(SWEEP_ENTRIES, |_, entry| match &entry.content {
                Content::Message(message) => {
                    let keep = message.may_be_retained(now);
                    if !keep {
                        *messages -= 1;
                        *bytes -= message.size();
                        swept.expired.push((Arc::clone(message), entry.stamp));
                    } else if extend && message.extend() {
                        swept.extended.push((Arc::clone(message), entry.stamp));
                    }
                    keep
                }
                Content::Deleted { at_ms } => now.ms < at_ms + DELETION_REMEMBERED_MS,
            });
        swept
    }
}
