//! What the broker knows of one connected client.

use super::{
    admission::Admitted, grant::Grant, message::Message, outbox::Outbox,
    reauthentication::Reauthentication, router::Route, shard::Now, wheel::TimerKey,
};
use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU16,
    rc::Rc,
    sync::Arc,
};
use symbolon_mqtt_proto::{
    ProtocolVersion, Qos, ShareName, TopicFilter,
    delivery::{Incoming, Outgoing},
};

/// A session's place in its shard.
pub(crate) type SessionKey = u32;

/// One client: who it is, what it may, what is in flight, and the bytes that wait for its socket.
#[derive(Debug)]
pub(crate) struct Session {
    /// Tells this session from a later one in the same place.
    pub(crate) serial: u64,
    pub(crate) client_identifier: Box<str>,
    pub(crate) grant: Grant,
    pub(crate) state: State,
    /// The Will, authorised when the client connected (RFC 9431 §2.2.4.1).
    pub(crate) will: Option<Arc<Message>>,
    pub(crate) subscriptions: BTreeSet<TopicFilter>,
    pub(crate) outgoing: Outgoing<()>,
    pub(crate) incoming: Incoming,
    /// Waits until the client's Receive Maximum allows more.
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) link: Link,
    pub(crate) last_publish: Option<LastPublish>,
    pub(crate) reauthentication: Reauthentication,
}

/// What a subscription is known by: its Topic Filter and, where it is shared, its `ShareName` (MQTT 5.0 §4.8.2).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct SubscriptionKey {
    pub(crate) share_name: Option<ShareName>,
    pub(crate) filter: TopicFilter,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Packets flow.
    Live,
    /// The client has left it.
    Left,
    /// We ended it: what stands in the outbox, and why, is still to be written.
    Dismissed,
}

/// The connection's side of a session.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) version: ProtocolVersion,
    pub(crate) outbox: Outbox,
    /// The driver has been told that there is something to write.
    pub(crate) dirty: bool,
    /// What CONNACK said: the client's QoS 1 and 2 messages in flight to us.
    pub(crate) receive_maximum: u16,
    /// The largest packet the client takes, bytes.
    pub(crate) maximum_packet_size: u32,
    /// Reason Strings are welcome in every packet (MQTT 5.0 §3.1.2.11.7).
    pub(crate) problem_information: bool,
    /// The client authenticated by the method `ace`: AUTH is allowed, and CONNACK and AUTH name the method.
    pub(crate) extended_authentication: bool,
    /// What the client's Topic Aliases stand for; index 0 is alias 1.
    pub(crate) aliases: Vec<Option<Rc<str>>>,
    /// One and a half times the Keep Alive, milliseconds; 0 is off.
    pub(crate) keep_alive_ms: u64,
    pub(crate) last_packet_ms: u64,
    pub(crate) keep_alive_timer: Option<TimerKey>,
    pub(crate) expiry_timer: Option<TimerKey>,
}

/// A message that waits for room in the client's window.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) subscription_identifiers: Rc<[u32]>,
}

/// Where this client published last, and that it may: most clients publish to one topic again and again.
#[derive(Debug)]
pub(crate) struct LastPublish {
    pub(crate) topic: Box<str>,
    pub(crate) route: Rc<Route>,
}

/// The most Topic Aliases a client may use towards us (MQTT 5.0 §3.2.2.3.8).
pub(crate) const TOPIC_ALIAS_MAXIMUM: u16 = 32;

impl Session {
    /// Of an admitted client.
    pub(crate) fn new(serial: u64, admitted: &Admitted, keep_alive_secs: u16, now: Now) -> Self {
        let introduction = &admitted.introduction;
        Self {
            serial,
            client_identifier: introduction.client_identifier.clone(),
            grant: admitted.grant.clone(),
            state: State::Live,
            will: introduction.will.clone(),
            subscriptions: BTreeSet::new(),
            outgoing: Outgoing::new(introduction.receive_maximum),
            incoming: Incoming::default(),
            queue: VecDeque::new(),
            last_publish: None,
            reauthentication: Reauthentication::Idle,
            link: Link {
                version: introduction.version,
                outbox: Outbox::default(),
                dirty: false,
                receive_maximum: u16::MAX,
                maximum_packet_size: introduction.maximum_packet_size,
                problem_information: introduction.problem_information,
                extended_authentication: admitted.extended_authentication,
                aliases: Vec::new(),
                // MQTT-3.1.2-22.
                keep_alive_ms: u64::from(keep_alive_secs) * 1_500,
                last_packet_ms: now.ms,
                keep_alive_timer: None,
                expiry_timer: None,
            },
        }
    }
}

impl Link {
    /// What `alias` stands for.
    pub(crate) fn resolve_alias(&self, alias: NonZeroU16) -> Option<Rc<str>> {
        self.aliases.get(usize::from(alias.get()) - 1)?.clone()
    }

    /// `alias` stands for `topic` from now on. False where the alias is above the maximum.
    pub(crate) fn set_alias(&mut self, alias: NonZeroU16, topic: &str) -> bool {
        if alias.get() > TOPIC_ALIAS_MAXIMUM {
            return false;
        }
        let index = usize::from(alias.get()) - 1;
        if self.aliases.len() <= index {
            self.aliases.resize(index + 1, None);
        }
        self.aliases[index] = Some(topic.into());
        true
    }
}
