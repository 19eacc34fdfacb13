//! What must outlive the process: a shard says each change of it as an [`Entry`], in order; the store writes them in order and says how far
//! it is. What a client is told waits for that.

use super::{
    message::Message, retaining::Stamp, router::SubscriptionOptions, session::SubscriptionKey,
};
use std::sync::Arc;
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{PacketIdentifier, Qos};

/// Names a stored session; never given twice while anything of it is stored.
pub(crate) type SessionId = u64;

/// One change. Entries of one shard are written in the order of its journal, and a commit holds a prefix of it.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A new session, or its record in place of the one before.
    PutSession {
        id: SessionId,
        record: Box<SessionRecord>,
    },
    /// The session and everything of it: subscriptions, messages, received identifiers.
    RemoveSession { id: SessionId },
    /// A new subscription, or its options in place of those before.
    PutSubscription {
        id: SessionId,
        subscription: SubscriptionKey,
        options: SubscriptionOptions,
    },
    RemoveSubscription {
        id: SessionId,
        subscription: SubscriptionKey,
    },
    /// A message for the client, at its place in the order of delivery: one above all places before.
    PutMessage {
        id: SessionId,
        place: u64,
        message: Box<StoredMessage>,
    },
    /// QoS 2: PUBREC came. The message is not needed any more, its place is until PUBCOMP.
    Release { id: SessionId, place: u64 },
    /// The message is done.
    RemoveMessage { id: SessionId, place: u64 },
    /// QoS 2: a PUBLISH of the client came and waits for its PUBREL.
    PutReceived {
        id: SessionId,
        packet_identifier: PacketIdentifier,
    },
    RemoveReceived {
        id: SessionId,
        packet_identifier: PacketIdentifier,
    },
    /// A retained message in place of the one at its topic; deleted where its payload is empty. The later stamp wins.
    Retain { message: Arc<Message>, stamp: Stamp },
}

/// What is stored of a session beside its lists.
#[derive(Clone, Debug)]
pub(crate) struct SessionRecord {
    pub(crate) client_identifier: Box<str>,
    /// Whose it is; `None` for a client without a token.
    pub(crate) holder: Option<crate::core::grant::Holder>,
    /// Seconds from the end of the connection to that of the session; `u32::MAX` is never (MQTT 5.0 §3.1.2.11.2).
    pub(crate) expiry_secs: u32,
    /// When the connection ended; `None` while there is one. After a crash it ended when the broker starts again.
    pub(crate) away_since: Option<UnixTime>,
    /// The client's Receive Maximum: so many of the first messages may have been sent.
    pub(crate) receive_maximum: u16,
    /// The Will, until it is published or given up, and its delay in seconds (MQTT 5.0 §3.1.3.2.2).
    pub(crate) will: Option<(Arc<Message>, u32)>,
}

/// A message that waits for a client or is in flight to it.
#[derive(Clone, Debug)]
pub(crate) struct StoredMessage {
    /// `None` once PUBREC came.
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) subscription_identifiers: Box<[u32]>,
    /// The Shared Subscription it came by.
    pub(crate) shared: Option<SubscriptionKey>,
}

/// A session as it was stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredSession {
    pub(crate) id: SessionId,
    pub(crate) record: SessionRecord,
    pub(crate) subscriptions: Vec<(SubscriptionKey, SubscriptionOptions)>,
    /// In the order of their places.
    pub(crate) messages: Vec<(u64, StoredMessage)>,
    pub(crate) received: Vec<PacketIdentifier>,
}

/// Everything that was stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) sessions: Vec<StoredSession>,
    pub(crate) retained: Vec<(Arc<Message>, Stamp)>,
}
