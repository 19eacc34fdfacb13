//! A client as it sees itself: what it may, what it asked for, and what it keeps of its session between connections.

use super::network::{MessageId, WireId};
use crate::core::grant::{Grant, PublicTopics};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, LazyLock},
};
use symbolon_ace_proto::{Claims, Confirmation, PopAlgorithm, PopSigner, Scope, UnixTime};
use symbolon_mqtt_proto::{
    ProtocolVersion, Qos, TopicFilter, TopicName,
    delivery::{Incoming, Outgoing},
};

/// Counts what happens, so that before and after can be told apart.
pub(super) type Tick = u64;

/// Open to all.
pub(super) const PUBLIC: &str = "t/#";
/// What a token may say.
pub(super) const SCOPES: [&str; 3] = [
    r#"[["u/#",["pub","sub"]]]"#,
    r#"[["u/0/#",["pub","sub"]],["u/1",["pub"]]]"#,
    r#"[["u/+",["sub"]],["u/#",["pub"]]]"#,
];

/// A key is costly to make, and which one it is makes no difference.
static KEY: LazyLock<PopSigner> =
    LazyLock::new(|| PopSigner::generate(PopAlgorithm::EdDsa).expect("there are random numbers"));

/// What a client's token allows.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    token: Option<(usize, UnixTime)>,
    publish: Vec<TopicFilter>,
    subscribe: Vec<TopicFilter>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) version: ProtocolVersion,
    pub(super) has_token: bool,
    pub(super) wire: Option<WireId>,
    /// CONNACK came.
    pub(super) is_connected: bool,
    pub(super) rights: Rights,
    pub(super) session: Option<SessionBook>,
    /// The broker may have a session that the client knows nothing of.
    pub(super) is_unsure: bool,
    pub(super) partial: Vec<u8>,
    /// Acknowledgements that it has not sent yet, and the Packet Identifier that each sets free.
    pub(super) acks_due: VecDeque<(Vec<u8>, Option<u16>)>,
    pub(super) requests: BTreeMap<u16, Request>,
    /// Messages of the broker in flight on this connection.
    pub(super) unacked: BTreeSet<u16>,
    pub(super) receive_maximum: u16,
}

/// What waits for SUBACK or UNSUBACK.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// Places in the list of subscriptions.
    Subscribe(Vec<usize>),
    Unsubscribe(TopicFilter),
}

/// What a client knows of its session.
#[derive(Debug)]
pub(super) struct SessionBook {
    pub(super) expiry_secs: u32,
    pub(super) outgoing: Outgoing<MessageId>,
    pub(super) incoming: Incoming,
    pub(super) subscriptions: Vec<Subscribed>,
    /// What came, and the highest `QoS` it came at.
    pub(super) delivered: BTreeMap<MessageId, Qos>,
    /// By publisher, topic and `QoS`: the last that came for the first time.
    pub(super) order: BTreeMap<(usize, String, Qos), u64>,
    /// Must still come.
    pub(super) owed: BTreeSet<MessageId>,
    /// Must still come with RETAIN.
    pub(super) owed_retained: BTreeSet<MessageId>,
    /// When it came last with RETAIN.
    pub(super) retained_seen: BTreeMap<MessageId, Tick>,
    /// An answer came that the broker gives only once it has written the session.
    pub(super) is_anchored: bool,
    /// It was not anchored in a crash.
    pub(super) may_be_lost: bool,
    pub(super) away: Option<Away>,
    /// Where the store may still have the time away before this connection: since when.
    pub(super) away_before_ms: Option<u64>,
}

/// The time without a connection began between these two, milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    pub(super) earliest_ms: u64,
    pub(super) latest_ms: u64,
}

/// A subscription, or one that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Subscribed {
    pub(super) filter: TopicFilter,
    pub(super) qos: Qos,
    pub(super) no_local: bool,
    pub(super) wants_retained: bool,
    pub(super) sent: Tick,
    pub(super) acked: Option<Tick>,
    /// It holds for sure, from `acked` on.
    pub(super) holds: bool,
    /// An UNSUBSCRIBE or another SUBSCRIBE follows it.
    pub(super) is_withdrawn: bool,
    /// It was refused, or its UNSUBACK came.
    pub(super) ended: Option<Tick>,
}

impl Rights {
    pub(super) fn new(token: Option<(usize, UnixTime)>) -> Self {
        let mut rights = Self {
            token,
            publish: vec![filter(PUBLIC)],
            subscribe: vec![filter(PUBLIC)],
        };
        if let Some((place, _)) = token {
            for entry in Scope::from_json(SCOPES[place]).unwrap().entries() {
                if entry.publish {
                    rights.publish.push(entry.filter.clone());
                }
                if entry.subscribe {
                    rights.subscribe.push(entry.filter.clone());
                }
            }
        }
        rights
    }

    pub(super) fn may_publish(&self, topic: &str) -> bool {
        let topic = TopicName::parse(topic).unwrap();
        self.publish.iter().any(|allowed| allowed.matches(topic))
    }

    pub(super) fn may_receive(&self, topic: &str) -> bool {
        let topic = TopicName::parse(topic).unwrap();
        self.subscribe.iter().any(|allowed| allowed.matches(topic))
    }

    pub(super) fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        self.subscribe.iter().any(|allowed| allowed.covers(filter))
    }

    pub(super) fn expires_at(&self) -> Option<UnixTime> {
        self.token.map(|(_, expires_at)| expires_at)
    }

    /// The grant that the broker would compile from the token.
    pub(super) fn grant(&self, client: &str, public: Arc<PublicTopics>) -> Grant {
        let Some((place, expires_at)) = self.token else {
            return Grant::anonymous(public);
        };
        let claims = Claims {
            issuer: "as".into(),
            subject: Some(client.into()),
            client_id: None,
            audience: vec!["broker".into()],
            expires_at,
            not_before: None,
            issued_at: None,
            token_identifier: None,
            scope: Scope::from_json(SCOPES[place]).unwrap(),
            confirmation: Confirmation::Key(Box::new(KEY.verifying_key().to_jwk())),
        };
        Grant::compile(&claims, [7; 32], public)
    }
}

impl Client {
    pub(super) fn new(index: usize, version: ProtocolVersion, has_token: bool) -> Self {
        Self {
            name: format!("client-{index}"),
            version,
            has_token,
            wire: None,
            is_connected: false,
            rights: Rights::new(None),
            session: None,
            is_unsure: false,
            partial: Vec::new(),
            acks_due: VecDeque::new(),
            requests: BTreeMap::new(),
            unacked: BTreeSet::new(),
            receive_maximum: u16::MAX,
        }
    }

    /// The connection is gone; what belonged to it alone is forgotten.
    pub(super) fn forget_connection(&mut self) {
        self.wire = None;
        self.is_connected = false;
        self.partial.clear();
        self.acks_due.clear();
        self.requests.clear();
        self.unacked.clear();
        if (self.session.as_ref()).is_some_and(|book| book.expiry_secs == 0) {
            self.session = None;
        }
    }

    /// Sends nothing new for what it may not have any more.
    pub(super) fn take_rights(&mut self, rights: Rights) {
        if let Some(book) = &mut self.session {
            for subscription in &mut book.subscriptions {
                subscription.holds &= rights.may_subscribe(&subscription.filter);
            }
        }
        self.rights = rights;
    }
}

impl SessionBook {
    pub(super) fn new(expiry_secs: u32, receive_maximum: u16) -> Self {
        Self {
            expiry_secs,
            outgoing: Outgoing::new(receive_maximum),
            incoming: Incoming::default(),
            subscriptions: Vec::new(),
            delivered: BTreeMap::new(),
            order: BTreeMap::new(),
            owed: BTreeSet::new(),
            owed_retained: BTreeSet::new(),
            retained_seen: BTreeMap::new(),
            is_anchored: false,
            may_be_lost: false,
            away: None,
            away_before_ms: None,
        }
    }

    /// An answer came that waits for everything before it to be written.
    pub(super) fn anchor(&mut self) {
        self.is_anchored = true;
        self.away_before_ms = None;
    }

    /// What was subscribed with this filter may be over from now on.
    pub(super) fn withdraw(&mut self, filter: &TopicFilter) {
        for one in &mut self.subscriptions {
            if one.filter == *filter {
                one.holds = false;
                one.is_withdrawn = true;
            }
        }
    }

    /// Without a store nobody waits until a message is with its subscribers: one still on its way may come too late for a subscription that ends.
    pub(super) fn excuse_what_is_under_way(&mut self) {
        if self.expiry_secs == 0 {
            self.owed.clear();
        }
    }

    /// The subscriptions, present and past, that match.
    pub(super) fn matching(&self, topic: &str) -> impl Iterator<Item = &Subscribed> {
        let subscriptions = self.subscriptions.iter();
        subscriptions.filter(move |one| one.filter.matches(TopicName::parse(topic).unwrap()))
    }
}

pub(super) fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}
