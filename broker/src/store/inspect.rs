//! A look into a store from outside, also while a broker uses it.

use super::{
    FORMAT, StoreError,
    load::{self, Tables, Visit},
    records::TABLES,
};
use crate::core::{
    journal::{Stored, StoredMessage, StoredSession},
    message::Message,
    shard::Now,
};
use std::path::Path;
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::ShareName;
use symbolon_store_lmdb::{Reader, Table};

/// A store as it was at one moment; every record in it has been read.
#[derive(Debug)]
pub struct Inspection {
    stored: Stored,
    census: Census,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Census {
    /// The version of the format.
    pub format: u32,
    /// Sessions.
    pub sessions: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Messages that wait for clients or are in flight to them.
    pub messages: usize,
    /// Retained messages.
    pub retained: usize,
    /// Expired messages, which the next start of a broker deletes.
    pub expired: usize,
    /// Bytes in use.
    pub used_bytes: u64,
}

/// A record for whoever reads it elsewhere. There are no secrets among them but what payloads hold.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum Exported<'e> {
    /// A session.
    Session {
        session: u64,
        client_identifier: &'e str,
        /// Who it belongs to: issuer and name; without a name a key alone.
        issuer: Option<&'e str>,
        name: Option<&'e str>,
        /// `u32::MAX` is never.
        expiry_secs: u32,
        away_since: Option<UnixTime>,
        will: Option<ExportedMessage<'e>>,
        /// QoS 2 messages of the client that wait for their PUBREL.
        received: Vec<u16>,
    },
    /// A subscription.
    Subscription {
        session: u64,
        share_name: Option<&'e str>,
        filter: &'e str,
        maximum_qos: u8,
        no_local: bool,
        retain_as_published: bool,
        subscription_identifier: Option<u32>,
    },
    /// A message for the client of a session.
    Message {
        session: u64,
        place: u64,
        qos: u8,
        /// `None` once the client has it, and PUBCOMP is missing.
        message: Option<ExportedMessage<'e>>,
    },
    /// A retained message.
    Retained(ExportedMessage<'e>),
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct ExportedMessage<'e> {
    /// Its Topic Name.
    pub topic: &'e str,
    /// Its payload.
    pub payload: &'e [u8],
    /// What is left of its Message Expiry Interval, seconds.
    pub expiry_secs: Option<u32>,
    /// Its Content Type.
    pub content_type: Option<&'e str>,
}

impl Inspection {
    /// Reads everything in the store at `directory`.
    pub fn open(directory: &Path, now: UnixTime) -> Result<Self, StoreError> {
        let reader = Reader::open(directory, FORMAT)?;
        let now = Now { ms: 0, unix: now };
        let loaded = load::load(&reader, now)?;
        let stored = loaded.stored;
        let sessions = || stored.sessions.iter();
        let census = Census {
            format: reader.format(),
            sessions: stored.sessions.len(),
            subscriptions: sessions().map(|one| one.subscriptions.len()).sum(),
            messages: sessions().map(|one| one.messages.len()).sum(),
            retained: stored.retained.len(),
            expired: loaded.rubbish.len(),
            used_bytes: reader.used_bytes(),
        };
        Ok(Self { stored, census })
    }

    /// How much there is.
    pub fn census(&self) -> Census {
        self.census
    }

    /// Calls `visit` with each record: a session, what belongs to it, the next; then retained messages. Ends with the first error of
    /// `visit`.
    pub fn for_each<E>(
        &self,
        mut visit: impl FnMut(Exported<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for session in &self.stored.sessions {
            visit(export_session(session))?;
            for (subscription, options) in &session.subscriptions {
                visit(Exported::Subscription {
                    session: session.id,
                    share_name: subscription.share_name.as_ref().map(ShareName::as_str),
                    filter: subscription.filter.as_str(),
                    maximum_qos: options.maximum_qos as u8,
                    no_local: options.no_local,
                    retain_as_published: options.retain_as_published,
                    subscription_identifier: options.subscription_identifier,
                })?;
            }
            for (place, message) in &session.messages {
                let StoredMessage { message, qos, .. } = message;
                visit(Exported::Message {
                    session: session.id,
                    place: *place,
                    qos: *qos as u8,
                    message: message.as_deref().map(export_message),
                })?;
            }
        }
        for (message, _) in &self.stored.retained {
            visit(Exported::Retained(export_message(message)))?;
        }
        Ok(())
    }
}

fn export_session(session: &StoredSession) -> Exported<'_> {
    let record = &session.record;
    let holder = record.holder.as_ref();
    Exported::Session {
        session: session.id,
        client_identifier: &record.client_identifier,
        issuer: holder.map(|holder| &*holder.issuer),
        name: holder.and_then(|holder| holder.name.as_deref()),
        expiry_secs: record.expiry_secs,
        away_since: record.away_since,
        will: record.will.as_ref().map(|(will, _)| export_message(will)),
        received: session.received.iter().map(|one| one.get()).collect(),
    }
}

fn export_message(message: &Message) -> ExportedMessage<'_> {
    let publish = message.publish();
    ExportedMessage {
        topic: message.topic().as_str(),
        payload: publish.payload,
        expiry_secs: publish.properties.message_expiry_interval_secs,
        content_type: publish.properties.content_type,
    }
}

impl Tables for Reader {
    fn for_each(&self, table: Table, visit: Visit<'_>) -> Result<(), StoreError> {
        match TABLES.get(table.0) {
            Some(name) => Self::for_each(self, name, visit),
            None => Ok(()),
        }
    }
}
