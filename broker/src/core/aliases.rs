//! Topic Aliases towards a client that takes them (MQTT 5.0 §3.3.2.3.4): the topics that it got first are named by a number from then on.

use super::{
    counters::Dropped,
    forwarding::{Forwarded, Wanted},
    session::Link,
};
use bytes::Bytes;
use std::num::NonZeroU16;
use symbolon_mqtt_proto::{PacketIdentifier, Publish};

/// The most aliases towards one client, whatever it takes.
const ALIASES_AT_MOST: u16 = 16;
/// A shorter topic is not worth an alias, bytes: the alias takes three itself.
const TOPIC_BYTES_AT_LEAST: usize = 4;

/// What the client knows by number on this connection: the topic at index 0 is alias 1.
#[derive(Debug)]
pub(crate) struct Aliases {
    topics: Vec<Box<str>>,
    maximum: u16,
}

/// How one PUBLISH names its topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Named {
    InFull,
    /// In full, and by an alias that will stand for it.
    First(NonZeroU16),
    ByAlias(NonZeroU16),
}

impl Aliases {
    /// For a client with this Topic Alias Maximum. `None` where it takes none.
    pub(crate) fn new(topic_alias_maximum: u16) -> Option<Box<Self>> {
        (topic_alias_maximum > 0).then(|| {
            Box::new(Self {
                topics: Vec::new(),
                maximum: topic_alias_maximum.min(ALIASES_AT_MOST),
            })
        })
    }

    fn name(&self, topic: &str) -> Named {
        let known = self.topics.iter().position(|known| **known == *topic);
        let place = known.unwrap_or(self.topics.len());
        let alias = (u16::try_from(place).ok())
            .filter(|place| *place < self.maximum)
            .and_then(|place| NonZeroU16::new(place + 1));
        match (known, alias) {
            (Some(_), Some(alias)) => Named::ByAlias(alias),
            (None, Some(alias)) if topic.len() >= TOPIC_BYTES_AT_LEAST => Named::First(alias),
            (_, Some(_) | None) => Named::InFull,
        }
    }
}

impl Link {
    /// Appends a PUBLISH with its topic named as briefly as the client understands; `shared` is the payload, if it is large. An alias counts
    /// as told only once the packet that tells it stands in the outbox, whose order is that on the wire.
    pub(super) fn append_named(
        &mut self,
        publish: &Publish<'_>,
        shared: Option<&Bytes>,
        wanted: Wanted<'_>,
        identifier: Option<PacketIdentifier>,
    ) -> Forwarded {
        let Some(mut aliases) = self.topic_aliases.take() else {
            return self.append_publish(publish, shared, wanted, identifier);
        };
        let topic = publish.topic.map_or("", |topic| topic.as_str());
        let mut named = aliases.name(topic);
        let mut own = *publish;
        match named {
            Named::InFull => {}
            Named::First(alias) => own.properties.topic_alias = Some(alias),
            Named::ByAlias(alias) => {
                own.properties.topic_alias = Some(alias);
                own.topic = None;
            }
        }
        let mut forwarded = self.append_publish(&own, shared, wanted, identifier);
        if forwarded == Forwarded::Dropped(Dropped::PacketTooLarge) && named != Named::InFull {
            // The alias itself may be what does not fit.
            named = Named::InFull;
            forwarded = self.append_publish(publish, shared, wanted, identifier);
        }
        if let (Forwarded::Sent, Named::First(_)) = (forwarded, named) {
            aliases.topics.push(topic.into());
        }
        self.topic_aliases = Some(aliases);
        forwarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_given_first_come_first_served_up_to_the_maximum() {
        assert!(Aliases::new(0).is_none());
        let mut aliases = Aliases::new(2).unwrap();
        let [one, two] = [1, 2].map(|alias| NonZeroU16::new(alias).unwrap());
        assert_eq!(aliases.name("topic/1"), Named::First(one));
        aliases.topics.push("topic/1".into());
        assert_eq!(aliases.name("abc"), Named::InFull);
        assert_eq!(aliases.name("topic/2"), Named::First(two));
        aliases.topics.push("topic/2".into());
        assert_eq!(aliases.name("topic/3"), Named::InFull);
        assert_eq!(aliases.name("topic/1"), Named::ByAlias(one));
        assert_eq!(aliases.name("topic/2"), Named::ByAlias(two));
    }

    #[test]
    fn a_client_that_takes_any_number_gets_no_more_than_we_keep() {
        let mut aliases = Aliases::new(u16::MAX).unwrap();
        for number in 0..100 {
            let topic = format!("topic/{number}");
            if let Named::First(_) = aliases.name(&topic) {
                aliases.topics.push(topic.into());
            }
        }
        assert_eq!(aliases.topics.len(), usize::from(ALIASES_AT_MOST));
    }
}
