//! Tables to sessions and retained messages.

use super::{
    RecordError, StoreError,
    fields::Malformed,
    records::{self, EXPIRED, MESSAGES, RECEIVED, RETAINED, SESSIONS, SUBSCRIPTIONS},
};
use crate::core::{
    journal::{SessionId, Stored, StoredSession},
    publishers::Publishers,
    shard::Now,
};
use symbolon_store_lmdb::{ReadError, Table, Write};

/// Looks at a key and its value.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// What can be read table by table, each in the order of its keys.
pub(super) trait Tables {
    /// Calls `visit` with each key and value of a table.
    fn for_each(&self, table: Table, visit: Visit<'_>) -> Result<(), StoreError>;
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => Self::Damaged(damage.to_string()),
            ReadError::Io(error) => Self::Io(error),
        }
    }
}

/// What is stored, and deletions of what has expired or belongs to nobody.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) stored: Stored,
    pub(super) rubbish: Vec<Write>,
    /// How much of the rubbish belongs to no session.
    pub(super) orphans: usize,
}

pub(super) fn load(tables: &impl Tables, now: Now) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let publishers = Publishers::default();
    tables.for_each(SESSIONS, &mut |key, value| {
        let session = session(key, value, now);
        let session = session.map_err(|what| RecordError::new(SESSIONS, key, what))?;
        loaded.stored.sessions.push(session);
        Ok(())
    })?;
    tables.for_each(SUBSCRIPTIONS, &mut |key, value| {
        loaded.add_to_session(SUBSCRIPTIONS, key, |session, _| {
            session
                .subscriptions
                .push(records::read_subscription(value)?);
            Ok(true)
        })
    })?;
    tables.for_each(MESSAGES, &mut |key, value| {
        loaded.add_to_session(MESSAGES, key, |session, rest| {
            let place = records::place_of(rest)?;
            let message = records::read_stored_message(value, now)?;
            let is_kept = message.is_some();
            session
                .messages
                .extend(message.map(|message| (place, message)));
            Ok(is_kept)
        })
    })?;
    tables.for_each(RECEIVED, &mut |key, _| {
        loaded.add_to_session(RECEIVED, key, |session, rest| {
            session.received.push(records::packet_identifier_of(rest)?);
            Ok(true)
        })
    })?;
    tables.for_each(RETAINED, &mut |key, value| {
        let read = records::read_retained(value, &publishers, now);
        let (message, stamp) = read.map_err(|what| RecordError::new(RETAINED, key, what))?;
        match message {
            Some(message) => loaded.stored.retained.push((message, stamp)),
            None => loaded.delete(RETAINED, key),
        }
        Ok(())
    })?;
    tables.for_each(EXPIRED, &mut |key, value| {
        let read = records::read_expired(value);
        let read = read.map_err(|what| RecordError::new(EXPIRED, key, what))?;
        loaded.stored.expired_numbers.push(read);
        Ok(())
    })?;
    Ok(loaded)
}

fn session(key: &[u8], value: &[u8], now: Now) -> Result<StoredSession, Malformed> {
    let (id, rest) = records::split_session(key)?;
    if !rest.is_empty() {
        return Err(Malformed("its key is too long"));
    }
    Ok(StoredSession {
        id,
        record: records::read_session(value, now)?,
        subscriptions: Vec::new(),
        messages: Vec::new(),
        received: Vec::new(),
    })
}

impl Loaded {
    /// Gives what belongs to a session to `add`, which says whether it is worth keeping.
    fn add_to_session(
        &mut self,
        table: Table,
        key: &[u8],
        add: impl FnOnce(&mut StoredSession, &[u8]) -> Result<bool, Malformed>,
    ) -> Result<(), StoreError> {
        let wrong = |what| RecordError::new(table, key, what);
        let (id, rest) = records::split_session(key).map_err(wrong)?;
        let is_kept = if let Some(session) = self.session(id) {
            add(session, rest).map_err(wrong)?
        } else {
            self.orphans += 1;
            false
        };
        if !is_kept {
            self.delete(table, key);
        }
        Ok(())
    }

    fn session(&mut self, id: SessionId) -> Option<&mut StoredSession> {
        let sessions = &mut self.stored.sessions;
        let index = sessions.binary_search_by_key(&id, |session| session.id);
        sessions.get_mut(index.ok()?)
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.rubbish.push(Write::Delete {
            table,
            key: key.to_vec(),
        });
    }
}
