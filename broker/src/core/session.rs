//! What the broker knows of one client: the session, which may outlive its connections, and the link that it has now.

use super::{
    admission::Admitted,
    aliases::Aliases,
    authz_info::{PendingToken, TokenPace},
    grant::Grant,
    journal::{SessionId, SessionRecord},
    message::Message,
    outbox::Outbox,
    pacing::Pace,
    publishers::{Publisher, TokenSerial},
    quota::Place,
    reauthentication::Reauthentication,
    router::Route,
    shard::Now,
    stored_tokens::Thumbprint,
    wheel::TimerKey,
};
use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU16,
    rc::Rc,
    sync::Arc,
};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{
    ProtocolVersion, Qos, ShareName, TopicFilter,
    delivery::{Incoming, Outgoing},
};

/// A session's place in its shard.
pub(crate) type SessionKey = u32;

/// One connection of one session. A session has one at a time; the serial tells it from those before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ConnectionKey {
    pub(crate) session: SessionKey,
    pub(crate) serial: u64,
}

/// One client: who it is, what it may, what is in flight, and the bytes that wait for its socket.
#[derive(Debug)]
pub(crate) struct Session {
    /// The serial of its connection, or of the last one.
    pub(crate) connection: u64,
    /// One of the sessions that the limit counts.
    pub(crate) place: Option<Place>,
    /// Its name in the store; `None` where it need not outlive the process.
    pub(crate) id: Option<SessionId>,
    pub(crate) client_identifier: Box<str>,
    pub(crate) grant: Grant,
    pub(crate) state: State,
    /// Seconds from the end of its connection to its own; `u32::MAX` is never (MQTT 5.0 §3.1.2.11.2).
    pub(crate) expiry_secs: u32,
    /// The Will, authorised when the client connected (RFC 9431 §2.2.4.1).
    pub(crate) will: Option<SessionWill>,
    pub(crate) subscriptions: BTreeSet<SubscriptionKey>,
    /// In flight to the client; what must be sent again on the next connection is kept with it.
    pub(crate) outgoing: Outgoing<Option<Box<Queued>>>,
    pub(crate) incoming: Incoming,
    /// Waits until the client is there, its Receive Maximum allows more, and the store has it.
    pub(crate) queue: VecDeque<Queued>,
    /// Bytes of the messages in `queue`.
    pub(crate) queued_bytes: usize,
    /// Where the next message of a stored session stands in the order of delivery.
    pub(crate) next_place: u64,
    /// Of a stored session that was resumed: the journal's entry that must be written before anything is sent.
    pub(crate) resend_after: u64,
    /// It is on the list of sessions whose queue the store holds up.
    pub(crate) is_held_up: bool,
    pub(crate) will_timer: Option<TimerKey>,
    pub(crate) end_timer: Option<TimerKey>,
    pub(crate) link: Link,
    pub(crate) last_publish: Option<LastPublish>,
    /// Whose its retained messages are, once it has published one.
    pub(crate) publisher: Option<(Arc<Publisher>, TokenSerial)>,
    pub(crate) reauthentication: Reauthentication,
}

/// A Will and how long after the connection it is due, seconds (MQTT 5.0 §3.1.3.2.2).
#[derive(Clone, Debug)]
pub(crate) struct SessionWill {
    pub(crate) message: Arc<Message>,
    pub(crate) delay_secs: u32,
    /// One of the Wills that the limit counts.
    pub(crate) place: Option<Arc<Place>>,
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
    /// Connected: packets flow.
    Live,
    /// Its client may come back.
    Away,
}

/// What is still to be written to a connection whose session is over or goes on elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Farewell {
    pub(crate) outbox: Outbox,
    /// We ended it: the client must get to read why.
    pub(crate) dismissed: bool,
}

/// The connection's side of a session.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five facts that have nothing to do with each other"
)]
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
    /// The aliases that we use towards it; `None` where it takes none.
    pub(crate) topic_aliases: Option<Box<Aliases>>,
    /// How fast it may publish.
    pub(crate) pace: Pace,
    /// One and a half times the Keep Alive, milliseconds; 0 is off.
    pub(crate) keep_alive_ms: u64,
    pub(crate) last_packet_ms: u64,
    pub(crate) keep_alive_timer: Option<TimerKey>,
    pub(crate) expiry_timer: Option<TimerKey>,
    pub(crate) introspection_timer: Option<TimerKey>,
    /// It is among those that the authorization server is to be asked about.
    pub(crate) is_to_be_asked_about: bool,
    /// The key that TLS proved the client to hold, by its thumbprint, where that is what it was admitted by.
    pub(crate) proved_key: Option<Thumbprint>,
    /// How many tokens it may publish.
    pub(crate) token_pace: TokenPace,
    /// A published token whose judgement waits for the authorization server.
    pub(crate) pending_token: Option<PendingToken>,
    /// Answers that wait for the store.
    pub(crate) held: usize,
    /// CONNACK left.
    pub(crate) is_greeted: bool,
}

/// A message on its way to one client.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) subscription_identifiers: Rc<[u32]>,
    /// The Shared Subscription it came by.
    pub(crate) shared: Option<Arc<SubscriptionKey>>,
    /// Of a stored session: its place in the order of delivery.
    pub(crate) place: u64,
    /// Of a stored session: the journal's entry that must be written before it is sent.
    pub(crate) journaled: u64,
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
    pub(crate) fn new(serial: u64, id: Option<SessionId>, admitted: &Admitted, link: Link) -> Self {
        let introduction = &admitted.introduction;
        let client_identifier = introduction.client_identifier.clone();
        Self {
            connection: serial,
            state: State::Live,
            will: introduction.will.clone(),
            outgoing: Outgoing::new(introduction.receive_maximum),
            link,
            ..Self::away(id, client_identifier, admitted.grant.clone())
        }
    }

    /// As the store kept it, without a connection.
    pub(crate) fn away(id: Option<SessionId>, client_identifier: Box<str>, grant: Grant) -> Self {
        Self {
            // Serials of this process begin above.
            connection: 0,
            place: None,
            id,
            client_identifier,
            grant,
            state: State::Away,
            expiry_secs: 0,
            will: None,
            subscriptions: BTreeSet::new(),
            outgoing: Outgoing::new(u16::MAX),
            incoming: Incoming::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            next_place: 0,
            resend_after: 0,
            is_held_up: false,
            will_timer: None,
            end_timer: None,
            link: Link::none(),
            last_publish: None,
            publisher: None,
            reauthentication: Reauthentication::Idle,
        }
    }

    /// Its present connection, where `key` is its place.
    pub(crate) fn connection_key(&self, key: SessionKey) -> ConnectionKey {
        ConnectionKey {
            session: key,
            serial: self.connection,
        }
    }

    /// Whether there may be something to send once its outbox is empty.
    pub(crate) fn has_more(&self) -> bool {
        !self.queue.is_empty() || self.outgoing.is_resending()
    }

    /// Whether messages go straight to its outbox: the client is there, and nothing must be written first.
    pub(crate) fn is_direct(&self) -> bool {
        self.state == State::Live && self.id.is_none()
    }

    /// Whether what is in flight must be kept, to be sent again.
    pub(crate) fn outlives_connection(&self) -> bool {
        self.expiry_secs > 0
    }

    /// What the store is told of it.
    pub(crate) fn record(&self, away_since: Option<UnixTime>) -> SessionRecord {
        SessionRecord {
            client_identifier: self.client_identifier.clone(),
            holder: self.grant.holder().cloned(),
            expiry_secs: self.expiry_secs,
            away_since,
            sent_below: away_since.map_or(u64::MAX, |_| self.outgoing.next_sequence()),
            will: (self.will.as_ref()).map(|will| (Arc::clone(&will.message), will.delay_secs)),
        }
    }
}

impl Queued {
    /// Bytes it counts for.
    pub(crate) fn size(&self) -> usize {
        self.message.size()
    }
}

impl Link {
    /// Of an admitted client.
    pub(crate) fn new(admitted: &Admitted, keep_alive_secs: u16, now: Now) -> Self {
        let introduction = &admitted.introduction;
        Self {
            version: introduction.version,
            outbox: Outbox::default(),
            dirty: false,
            receive_maximum: u16::MAX,
            maximum_packet_size: introduction.maximum_packet_size,
            problem_information: introduction.problem_information,
            extended_authentication: admitted.extended_authentication,
            aliases: Vec::new(),
            topic_aliases: Aliases::new(introduction.topic_alias_maximum),
            pace: Pace::default(),
            // MQTT-3.1.2-22.
            keep_alive_ms: u64::from(keep_alive_secs) * 1_500,
            last_packet_ms: now.ms,
            keep_alive_timer: None,
            expiry_timer: None,
            introspection_timer: None,
            is_to_be_asked_about: false,
            proved_key: admitted.proved_key,
            token_pace: TokenPace::default(),
            pending_token: None,
            held: 0,
            is_greeted: false,
        }
    }

    /// Of a session without a connection.
    pub(crate) fn none() -> Self {
        Self {
            version: ProtocolVersion::V5,
            outbox: Outbox::default(),
            dirty: false,
            receive_maximum: u16::MAX,
            maximum_packet_size: u32::MAX,
            problem_information: false,
            extended_authentication: false,
            aliases: Vec::new(),
            topic_aliases: None,
            pace: Pace::default(),
            keep_alive_ms: 0,
            last_packet_ms: 0,
            keep_alive_timer: None,
            expiry_timer: None,
            introspection_timer: None,
            is_to_be_asked_about: false,
            proved_key: None,
            token_pace: TokenPace::default(),
            pending_token: None,
            held: 0,
            is_greeted: false,
        }
    }

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
