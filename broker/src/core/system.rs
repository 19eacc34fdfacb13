//! `$SYS`: what the broker says of itself. One shard makes the values, every shard keeps all of them and gives them to its own clients, as
//! retained messages that nobody stores and no bound counts.

use super::{
    forwarding::Forwarding,
    hash_seed::HashSeed,
    message::{Message, Origin},
    retained::Retained,
    shard::{Now, Shard, ShardMessage},
};
use std::sync::Arc;
use symbolon_mqtt_proto::{Delivery, Publish, PublishProperties, TopicFilter, TopicName};

/// The broker's own topics: clients read them, never write.
const ROOT: &str = "$SYS";

/// Whether the broker alone publishes to `topic`.
pub(super) fn is_of_broker(topic: &str) -> bool {
    (topic.strip_prefix(ROOT)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// One value: its topic, and how it is written. An empty one takes the topic away.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SystemValue {
    pub(crate) topic: String,
    pub(crate) payload: String,
}

/// The values there are.
#[derive(Debug)]
pub(crate) struct SystemTopics(Retained<Arc<Message>>);

impl SystemTopics {
    pub(crate) fn new(seed: HashSeed) -> Self {
        Self(Retained::new(seed))
    }

    /// The values that a new subscription to `filter` gets.
    pub(super) fn matching(&self, filter: &TopicFilter) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        // No wildcard at the beginning matches them (MQTT-4.7.2-1).
        if is_of_broker(filter.as_str()) {
            self.0
                .for_each_match(filter, |_, message| found.push(Arc::clone(message)));
        }
        found
    }

    /// All values.
    pub(super) fn all(&self) -> Arc<[Arc<Message>]> {
        let mut all = Vec::new();
        self.0.for_each(|_, message| all.push(Arc::clone(message)));
        all.into()
    }

    /// Whether `message` is still the value of its topic.
    pub(super) fn is_current(&self, topic: TopicName<'_>, message: &Arc<Message>) -> bool {
        let kept = self.0.get(topic.as_str());
        kept.is_some_and(|kept| Arc::ptr_eq(kept, message))
    }

    /// Whether it is a value, and not the end of one.
    fn keep(&mut self, message: &Arc<Message>) -> bool {
        let topic = message.topic();
        let is_value = !message.publish().payload.is_empty();
        if is_value {
            self.0.insert(topic.as_str(), Arc::clone(message));
        } else {
            self.0.remove(topic.as_str());
        }
        is_value
    }
}

impl SystemValue {
    /// At most once: a newer one is on its way, and nobody who is away needs them all.
    fn message(&self, now: Now) -> Option<Arc<Message>> {
        let publish = Publish {
            duplicate: false,
            delivery: Delivery::AtMostOnce,
            retain: true,
            topic: Some(TopicName::parse(&self.topic).ok()?),
            properties: PublishProperties::default(),
            payload: self.payload.as_bytes(),
        };
        Some(Message::new(&publish, now.ms, Origin::default()))
    }
}

impl Shard {
    /// Values that are new or have changed. Called on one shard alone; it tells the others.
    pub(crate) fn handle_system_values(&mut self, values: &[SystemValue], now: Now) {
        let messages = values.iter().filter_map(|value| value.message(now));
        let messages: Arc<[_]> = messages.collect();
        if messages.is_empty() {
            return;
        }
        self.tell_others(|| ShardMessage::System(Arc::clone(&messages)));
        for message in messages.iter() {
            if !self.show(message, now) {
                continue;
            }
            let groups = &self.router.route(message.topic()).groups;
            if !groups.is_empty() {
                self.share(&Forwarding::of(message, now), groups, None, now);
            }
        }
        self.close_expired_members(now);
    }

    /// What another shard made.
    pub(super) fn handle_remote_system_values(&mut self, messages: &[Arc<Message>], now: Now) {
        for message in messages {
            self.show(message, now);
        }
    }

    /// Keeps it for those who subscribe later, and sends it to those who did; whether it is a value.
    fn show(&mut self, message: &Arc<Message>, now: Now) -> bool {
        if !self.system.keep(message) {
            return false;
        }
        let route = self.router.route(message.topic());
        if !route.locals.is_empty() {
            self.forward(&Forwarding::of(message, now), &route.locals, now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_the_level_sys_is_the_brokers() {
        for topic in ["$SYS", "$SYS/", "$SYS/broker/uptime"] {
            assert!(is_of_broker(topic), "{topic}");
        }
        for topic in ["$SYSTEM", "$SYS2/a", "a/$SYS", "$sys/a", "+/broker"] {
            assert!(!is_of_broker(topic), "{topic}");
        }
    }
}
