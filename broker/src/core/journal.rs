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
    /// This shard's part of a transaction, whose other parts are in the journals of other shards: the store writes all parts at once, or none.
    Part {
        transaction: Transaction,
        entries: Vec<Self>,
    },
    /// A retained message in place of the one at its topic; deleted where its payload is empty. The later stamp wins.
    Retain { message: Arc<Message>, stamp: Stamp },
    /// Of an issuer's tokens with `exi`, those of numbers up to this one are over (RFC 9200 §5.10.3).
    Expired { issuer: Box<str>, number: u64 },
}

/// Changes of several shards that belong together: that a QoS 2 message was received, and what became of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Transaction {
    /// No other has the same.
    pub(crate) id: u64,
    /// How many shards have a part in it.
    pub(crate) parts: u16,
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
    /// Messages at places below this may have been sent: `u64::MAX` while the client is connected, since then it is not known.
    pub(crate) sent_below: u64,
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
    /// Of tokens with `exi`, by issuer: the highest number that is over.
    pub(crate) expired_numbers: Vec<(Box<str>, u64)>,
}

/// The changes of one shard that the store does not have yet.
#[derive(Debug)]
pub(crate) struct Journal {
    is_enabled: bool,
    entries: Vec<Entry>,
    /// How many entries there were so far.
    sequence: u64,
    /// So many of them are written.
    committed: u64,
    next_session: SessionId,
    session_step: u64,
    next_transaction: u64,
    /// Where the entries of the part begin that is being written.
    part_from: Option<usize>,
    /// How many entries there were, waiting and in all, when the turn began.
    before: (usize, u64),
}

/// Bits of a transaction's number that tell it from others of its shard.
const TRANSACTION_BITS: u32 = 48;

impl Journal {
    /// With a store, or without: then nothing outlives the process and nothing waits. Shards name sessions without asking each other: each
    /// has every `count`th number.
    pub(crate) fn new(first_session: Option<SessionId>, index: u16, count: u16) -> Self {
        Self {
            is_enabled: first_session.is_some(),
            entries: Vec::new(),
            sequence: 0,
            committed: 0,
            next_session: first_session.unwrap_or(0) + u64::from(index),
            session_step: u64::from(count),
            next_transaction: u64::from(index) << TRANSACTION_BITS,
            part_from: None,
            before: (0, 0),
        }
    }

    /// Whatever is pushed from now on belongs to another turn.
    pub(crate) fn begin_turn(&mut self) {
        self.before = (self.entries.len(), self.sequence);
    }

    /// As it was when the turn began. Names that were given since are not given again.
    pub(crate) fn undo_turn(&mut self) {
        let (waiting, sequence) = self.before;
        self.entries.truncate(waiting);
        self.sequence = sequence;
        self.part_from = None;
    }

    /// Whether there is a store.
    pub(crate) fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// A name for a new session; `None` without a store.
    pub(crate) fn name_session(&mut self) -> Option<SessionId> {
        if !self.is_enabled {
            return None;
        }
        let id = self.next_session;
        self.next_session += self.session_step;
        Some(id)
    }

    /// One more entry; until [`Journal::is_committed`] says so of the number returned, it is not written.
    pub(crate) fn push(&mut self, entry: Entry) -> u64 {
        if !self.is_enabled {
            return self.sequence;
        }
        self.entries.push(entry);
        if self.part_from.is_some() {
            // The part is one entry, which comes next.
            return self.sequence + 1;
        }
        self.sequence += 1;
        self.sequence
    }

    /// A name for a new transaction.
    pub(crate) fn name_transaction(&mut self) -> u64 {
        self.next_transaction += 1;
        self.next_transaction
    }

    /// What is pushed from now on is one part of a transaction, until [`Journal::end_part`].
    pub(crate) fn begin_part(&mut self) {
        if self.is_enabled {
            self.part_from = Some(self.entries.len());
        }
    }

    /// The part is complete. Without a transaction it is none: nothing must have been pushed but what may stand alone.
    pub(crate) fn end_part(&mut self, transaction: Option<Transaction>) {
        let Some(from) = self.part_from.take() else {
            return;
        };
        match transaction {
            None => self.sequence += (self.entries.len() - from) as u64,
            Some(transaction) => {
                let entries = self.entries.split_off(from);
                self.entries.push(Entry::Part {
                    transaction,
                    entries,
                });
                self.sequence += 1;
            }
        }
    }

    /// The number of the newest entry; of the part that is being written, it will be that.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence + u64::from(self.part_from.is_some())
    }

    pub(crate) fn is_committed(&self, sequence: u64) -> bool {
        sequence <= self.committed
    }

    /// Entries up to this one are written.
    pub(crate) fn handle_committed(&mut self, up_to: u64) {
        self.committed = self.committed.max(up_to);
    }

    /// What is not handed over yet, taken, and the number of its newest entry.
    pub(crate) fn take(&mut self) -> Option<(Vec<Entry>, u64)> {
        (!self.entries.is_empty()).then(|| (std::mem::take(&mut self.entries), self.sequence))
    }

    /// Gives back what could not be handed over, before what came since.
    pub(crate) fn give_back(&mut self, mut entries: Vec<Entry>) {
        entries.append(&mut self.entries);
        self.entries = entries;
    }

    /// How many entries are not written yet.
    pub(crate) fn unwritten(&self) -> u64 {
        self.sequence - self.committed
    }
}
