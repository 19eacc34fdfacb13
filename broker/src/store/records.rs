//! Keys and values of the tables. Keys are big endian, so that their order is that of the numbers in them.
//!
//! | table | key | value |
//! |---|---|---|
//! | `sessions` | session | [`SessionRecord`] |
//! | `subscriptions` | session, name | [`SubscriptionKey`], its options |
//! | `messages` | session, place | [`StoredMessage`] |
//! | `received` | session, packet identifier | nothing |
//! | `retained` | topic | stamp, message |
//! | `expired` | issuer | itself, and the highest number of its tokens with `exi` that is over |

use super::fields::{FieldReader, FieldWriter, Malformed};
use crate::core::{
    grant::Holder,
    journal::{SessionId, SessionRecord, StoredMessage},
    message::{Message, Origin},
    publishers::{Publisher, Publishers},
    retaining::Stamp,
    router::SubscriptionOptions,
    session::SubscriptionKey,
    shard::Now,
};
use aws_lc_rs::digest;
use std::{fmt::Write as _, ops::Range, sync::Arc};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{
    Decoder, Packet, PacketIdentifier, ProtocolVersion, Publish, Qos, Sender, ShareName,
    TopicFilter,
};
use symbolon_store_lmdb::{KEY_BYTES_AT_MOST, Table};

pub(super) const TABLES: [&str; 6] = [
    "sessions",
    "subscriptions",
    "messages",
    "received",
    "retained",
    "expired",
];
pub(super) const SESSIONS: Table = Table(0);
pub(super) const SUBSCRIPTIONS: Table = Table(1);
pub(super) const MESSAGES: Table = Table(2);
pub(super) const RECEIVED: Table = Table(3);
pub(super) const RETAINED: Table = Table(4);
pub(super) const EXPIRED: Table = Table(5);

/// Where the stamp is in the record of a retained message.
pub(super) const STAMP: Range<usize> = 1..11;
/// How much of a long name stands in its key, before the hash of all of it.
const NAME_BYTES_IN_KEY: usize = 400;
/// How much of a key an error shows, bytes.
const KEY_BYTES_SHOWN: usize = 40;

/// A record that makes no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("table {table}, key {key}: {what}")]
pub struct RecordError {
    /// In which table.
    pub table: &'static str,
    /// At which key, the beginning of it, hexadecimal.
    pub key: String,
    /// What is wrong.
    pub what: &'static str,
}

impl RecordError {
    pub(super) fn new(table: Table, key: &[u8], Malformed(what): Malformed) -> Self {
        let mut shown = String::new();
        for byte in key.iter().take(KEY_BYTES_SHOWN) {
            write!(shown, "{byte:02x}").expect("a String takes everything");
        }
        Self {
            table: TABLES.get(table.0).copied().unwrap_or("unknown"),
            key: shown,
            what,
        }
    }
}

// Keys.

pub(super) fn session_key(id: SessionId) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

pub(super) fn subscription_key(id: SessionId, subscription: &SubscriptionKey) -> Vec<u8> {
    let mut key = session_key(id);
    let mut name = String::new();
    if let Some(share_name) = &subscription.share_name {
        // No share name has a slash.
        name.push_str(share_name.as_str());
        name.push('/');
    }
    key.push(u8::from(subscription.share_name.is_some()));
    name.push_str(subscription.filter.as_str());
    push_name(&mut key, &name);
    key
}

pub(super) fn message_key(id: SessionId, place: u64) -> Vec<u8> {
    let mut key = session_key(id);
    key.extend_from_slice(&place.to_be_bytes());
    key
}

pub(super) fn received_key(id: SessionId, packet_identifier: PacketIdentifier) -> Vec<u8> {
    let mut key = session_key(id);
    key.extend_from_slice(&packet_identifier.get().to_be_bytes());
    key
}

pub(super) fn retained_key(topic: &str) -> Vec<u8> {
    let mut key = Vec::new();
    push_name(&mut key, topic);
    key
}

pub(super) fn expired_key(issuer: &str) -> Vec<u8> {
    let mut key = Vec::new();
    push_name(&mut key, issuer);
    key
}

/// The name, or where it is too long for a key, the beginning of it and its hash. U+0000, which no name has, tells the two apart.
fn push_name(key: &mut Vec<u8>, name: &str) {
    if key.len() + name.len() <= KEY_BYTES_AT_MOST {
        key.extend_from_slice(name.as_bytes());
        return;
    }
    key.extend_from_slice(&name.as_bytes()[..NAME_BYTES_IN_KEY]);
    key.push(0);
    key.extend_from_slice(digest::digest(&digest::SHA256, name.as_bytes()).as_ref());
}

/// The session that a key of any table but `retained` begins with, and the rest.
pub(super) fn split_session(key: &[u8]) -> Result<(SessionId, &[u8]), Malformed> {
    let split = key.split_first_chunk::<{ size_of::<SessionId>() }>();
    let (id, rest) = split.ok_or(Malformed("its key is too short"))?;
    Ok((SessionId::from_be_bytes(*id), rest))
}

pub(super) fn place_of(rest: &[u8]) -> Result<u64, Malformed> {
    let place = rest.try_into().map_err(|_| WRONG_KEY)?;
    Ok(u64::from_be_bytes(place))
}

pub(super) fn packet_identifier_of(rest: &[u8]) -> Result<PacketIdentifier, Malformed> {
    let number = rest.try_into().map_err(|_| WRONG_KEY)?;
    PacketIdentifier::new(u16::from_be_bytes(number)).ok_or(WRONG_KEY)
}

const WRONG_KEY: Malformed = Malformed("its key is wrong");

// Values.

pub(super) fn write_session(record: &SessionRecord, now: Now) -> Vec<u8> {
    let mut writer = FieldWriter::new();
    writer.text(&record.client_identifier);
    writer.option(record.holder.as_ref(), write_holder);
    writer.u32(record.expiry_secs);
    writer.option(record.away_since, |writer, UnixTime(secs)| writer.u64(secs));
    writer.u64(record.sent_below);
    writer.option(record.will.as_ref(), |writer, (message, delay_secs)| {
        writer.u32(*delay_secs);
        write_message(writer, message, now);
    });
    writer.finish()
}

pub(super) fn read_session(record: &[u8], now: Now) -> Result<SessionRecord, Malformed> {
    let mut reader = FieldReader::new(record)?;
    let session = SessionRecord {
        client_identifier: reader.text()?.into(),
        holder: reader.option(read_holder)?,
        expiry_secs: reader.u32()?,
        away_since: reader.option(FieldReader::u64)?.map(UnixTime),
        sent_below: reader.u64()?,
        will: reader.option(|reader| {
            let delay_secs = reader.u32()?;
            // A Will's Message Expiry Interval begins when it is published (MQTT 5.0 §3.1.3.2.4).
            let will = StoredText::read(reader)?.rebuild(now);
            Ok((will, delay_secs))
        })?,
    };
    reader.finish()?;
    Ok(session)
}

fn write_holder(writer: &mut FieldWriter, holder: &Holder) {
    writer.text(&holder.issuer);
    writer.option(holder.name.as_deref(), FieldWriter::text);
    writer.raw(&holder.key_thumbprint);
}

fn read_holder(reader: &mut FieldReader<'_>) -> Result<Holder, Malformed> {
    Ok(Holder {
        issuer: reader.text()?.into(),
        name: reader.option(FieldReader::text)?.map(Box::from),
        key_thumbprint: reader.array()?,
    })
}

pub(super) fn write_subscription(
    subscription: &SubscriptionKey,
    options: &SubscriptionOptions,
) -> Vec<u8> {
    let mut writer = FieldWriter::new();
    write_subscription_key(&mut writer, subscription);
    writer.u8(options.maximum_qos as u8);
    writer.u8(u8::from(options.no_local));
    writer.u8(u8::from(options.retain_as_published));
    writer.option(options.subscription_identifier, FieldWriter::u32);
    writer.finish()
}

pub(super) fn read_subscription(
    record: &[u8],
) -> Result<(SubscriptionKey, SubscriptionOptions), Malformed> {
    let mut reader = FieldReader::new(record)?;
    let subscription = read_subscription_key(&mut reader)?;
    let options = SubscriptionOptions {
        maximum_qos: read_qos(&mut reader)?,
        no_local: reader.flag()?,
        retain_as_published: reader.flag()?,
        subscription_identifier: reader.option(FieldReader::u32)?,
        // What is stored is meant to outlive the process.
        durable: true,
    };
    reader.finish()?;
    Ok((subscription, options))
}

fn write_subscription_key(writer: &mut FieldWriter, subscription: &SubscriptionKey) {
    let share_name = subscription.share_name.as_ref().map(ShareName::as_str);
    writer.option(share_name, FieldWriter::text);
    writer.text(subscription.filter.as_str());
}

fn read_subscription_key(reader: &mut FieldReader<'_>) -> Result<SubscriptionKey, Malformed> {
    let share_name = reader.option(|reader| {
        ShareName::parse(reader.text()?).map_err(|_| Malformed("a share name is wrong"))
    })?;
    let filter = TopicFilter::parse(reader.text()?);
    Ok(SubscriptionKey {
        share_name,
        filter: filter.map_err(|_| Malformed("a Topic Filter is wrong"))?,
    })
}

fn read_qos(reader: &mut FieldReader<'_>) -> Result<Qos, Malformed> {
    match reader.u8()? {
        0 => Ok(Qos::AtMostOnce),
        1 => Ok(Qos::AtLeastOnce),
        2 => Ok(Qos::ExactlyOnce),
        _ => Err(Malformed("a QoS is wrong")),
    }
}

pub(super) fn write_stored_message(message: &StoredMessage, now: Now) -> Vec<u8> {
    let mut writer = FieldWriter::new();
    writer.u8(message.qos as u8);
    writer.u8(u8::from(message.retain));
    let identifiers = &message.subscription_identifiers;
    let count = u32::try_from(identifiers.len()).expect("no more than a client has subscriptions");
    writer.u32(count);
    for identifier in identifiers {
        writer.u32(*identifier);
    }
    writer.option(message.shared.as_ref(), write_subscription_key);
    writer.option(message.message.as_ref(), |writer, message| {
        write_message(writer, message, now);
    });
    writer.finish()
}

/// `None` where the message has expired.
pub(super) fn read_stored_message(
    record: &[u8],
    now: Now,
) -> Result<Option<StoredMessage>, Malformed> {
    let mut reader = FieldReader::new(record)?;
    let (qos, retain) = (read_qos(&mut reader)?, reader.flag()?);
    let count = reader.u32()?;
    // Not collected by count: a wrong one must not reserve memory.
    let mut subscription_identifiers = Vec::new();
    for _ in 0..count {
        subscription_identifiers.push(reader.u32()?);
    }
    let shared = reader.option(read_subscription_key)?;
    let text = reader.option(StoredText::read)?;
    reader.finish()?;
    let message = match text.map(|text| text.resume(now)) {
        Some(None) => return Ok(None),
        Some(Some(message)) => Some(message),
        None => None,
    };
    Ok(Some(StoredMessage {
        message,
        qos,
        retain,
        subscription_identifiers: subscription_identifiers.into(),
        shared,
    }))
}

/// A stamp as it stands in a record: its order is that of the bytes.
pub(super) fn stamp_bytes(stamp: Stamp) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&stamp.counter.to_be_bytes());
    bytes[8..].copy_from_slice(&stamp.shard.to_be_bytes());
    bytes
}

pub(super) fn write_retained(message: &Message, stamp: Stamp, now: Now) -> Vec<u8> {
    let mut writer = FieldWriter::new();
    writer.raw(&stamp_bytes(stamp));
    write_message(&mut writer, message, now);
    let publisher = message.publisher.as_ref();
    writer.option(publisher, |writer, publisher| {
        write_holder(writer, publisher.holder());
    });
    writer.finish()
}

/// The message is `None` where it has expired. Messages of one publisher get it from `publishers`.
pub(super) fn read_retained(
    record: &[u8],
    publishers: &Publishers,
    now: Now,
) -> Result<(Option<Arc<Message>>, Stamp), Malformed> {
    let mut reader = FieldReader::new(record)?;
    let stamp = Stamp {
        counter: reader.u64()?,
        shard: reader.u16()?,
    };
    let mut text = StoredText::read(&mut reader)?;
    // Records were shorter once.
    if !reader.is_over() {
        let holder = reader.option(read_holder)?;
        text.publisher = holder.map(|holder| publishers.of(&holder));
    }
    reader.finish()?;
    let message = text.resume(now);
    Ok((
        message.filter(|message| message.may_be_retained(now)),
        stamp,
    ))
}

pub(super) fn write_expired(issuer: &str, number: u64) -> Vec<u8> {
    let mut writer = FieldWriter::new();
    writer.text(issuer);
    writer.u64(number);
    writer.finish()
}

pub(super) fn read_expired(record: &[u8]) -> Result<(Box<str>, u64), Malformed> {
    let mut reader = FieldReader::new(record)?;
    let expired = (reader.text()?.into(), reader.u64()?);
    reader.finish()?;
    Ok(expired)
}

/// When it came as a time of day, since the broker's own clock begins anew with each start.
fn write_message(writer: &mut FieldWriter, message: &Message, now: Now) {
    let waited_secs = now.ms.saturating_sub(message.received_ms) / 1000;
    writer.u64(now.unix.0.saturating_sub(waited_secs));
    let expires_at = message.token_expires_at();
    writer.option(expires_at, |writer, UnixTime(secs)| writer.u64(secs));
    writer.bytes(&message.frame);
}

/// A message as it was stored.
struct StoredText<'r> {
    received_at: u64,
    token_expires_at: Option<UnixTime>,
    publisher: Option<Arc<Publisher>>,
    publish: Publish<'r>,
}

impl<'r> StoredText<'r> {
    fn read(reader: &mut FieldReader<'r>) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("its message is no PUBLISH");
        let received_at = reader.u64()?;
        let token_expires_at = reader.option(FieldReader::u64)?.map(UnixTime);
        let frame = reader.bytes()?;
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        let Ok(Some((Packet::Publish(publish), length))) = decoder.decode(frame) else {
            return Err(WRONG);
        };
        if length != frame.len() || publish.topic.is_none() {
            return Err(WRONG);
        }
        Ok(Self {
            received_at,
            token_expires_at,
            publisher: None,
            publish,
        })
    }

    /// With what is left of its Message Expiry Interval; `None` where that is over (MQTT 5.0 §3.3.2.3.3).
    fn resume(mut self, now: Now) -> Option<Arc<Message>> {
        if let Some(interval_secs) = self.publish.properties.message_expiry_interval_secs {
            let waited_secs = now.unix.0.saturating_sub(self.received_at);
            match u64::from(interval_secs).checked_sub(waited_secs) {
                None | Some(0) => return None,
                Some(left_secs) => {
                    let left_secs = u32::try_from(left_secs).unwrap_or(interval_secs);
                    self.publish.properties.message_expiry_interval_secs = Some(left_secs);
                }
            }
        }
        Some(self.rebuild(now))
    }

    /// As it was, received now.
    fn rebuild(self, now: Now) -> Arc<Message> {
        let by = Origin {
            token_expires_at: self.token_expires_at,
            publisher: self.publisher,
            token: 0,
        };
        Message::new(&self.publish, now.ms, by)
    }
}
