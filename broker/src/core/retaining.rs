//! Retained messages (MQTT 5.0 §3.3.1.3). Every shard keeps all of them, so that a SUBSCRIBE finds them at home and a retained PUBLISH
//! reaches a shard's subscribers and its copy at the same moment. Of two publishers on two shards the later stamp wins everywhere.

use super::{
    hash_seed::HashSeed, message::Message, retained::Retained, router::ShardIndex, shard::Now,
};
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

/// No more room for retained messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full;

/// See the module.
#[derive(Debug)]
pub(crate) struct Retaining {
    shard: ShardIndex,
    clock: u64,
    entries: Retained<Entry>,
    /// Entries that are messages.
    messages: usize,
    limit: usize,
}

/// How long a deletion is remembered, milliseconds: far longer than a message waits between shards.
const DELETION_REMEMBERED_MS: u64 = 60_000;
/// How many entries one sweep looks at.
const SWEEP_ENTRIES: usize = 4_096;

impl Retaining {
    pub(crate) fn new(shard: ShardIndex, limit: usize, seed: HashSeed) -> Self {
        Self {
            shard,
            clock: 0,
            entries: Retained::new(seed),
            messages: 0,
            limit,
        }
    }

    /// Another limit from now on; what is retained above it stays.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// A retained PUBLISH of a client of ours: the stamp under which every shard keeps it.
    pub(crate) fn stamp(&mut self, topic: TopicName<'_>, deletes: bool) -> Result<Stamp, Full> {
        let replaces = matches!(
            self.entries.get(topic.as_str()),
            Some(Entry {
                content: Content::Message(_),
                ..
            })
        );
        if !deletes && !replaces && self.messages >= self.limit {
            return Err(Full);
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
        self.messages += usize::from(!deletes);
        let previous = self
            .entries
            .insert(topic.as_str(), Entry { stamp, content });
        if matches!(
            previous,
            Some(Entry {
                content: Content::Message(_),
                ..
            })
        ) {
            self.messages -= 1;
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

    /// Drops some of what has expired.
    pub(crate) fn sweep(&mut self, now: Now) {
        let messages = &mut self.messages;
        self.entries
            .sweep(SWEEP_ENTRIES, |_, entry| match &entry.content {
                Content::Message(message) => {
                    let keep = message.may_be_retained(now);
                    *messages -= usize::from(!keep);
                    keep
                }
                Content::Deleted { at_ms } => now.ms < at_ms + DELETION_REMEMBERED_MS,
            });
    }
}
