//! An Application Message that outlives the buffer it came in: queued, retained, or on its way to another shard.

use super::{
    outbox::SHARED_FROM_BYTES,
    publishers::{Publisher, TokenSerial},
    shard::Now,
};
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use symbolon_ace_proto::UnixTime;
use symbolon_mqtt_proto::{
    Decoder, Delivery, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishProperties,
    Sender, TopicName,
};

/// A message with what the broker must know about its publisher. Cheap to share.
#[derive(Debug)]
pub(crate) struct Message {
    /// The PUBLISH as MQTT 5.0 would carry it, with its Topic Name; the Packet Identifier in it means nothing.
    pub(crate) frame: Bytes,
    /// When it came, milliseconds on the broker's clock: its Message Expiry Interval counts from here.
    pub(crate) received_ms: u64,
    /// When the token that allowed it ends, seconds; [`NEVER`] where there was none.
    token_expires_at: AtomicU64,
    /// Of a retained message: who published it by a token.
    pub(crate) publisher: Option<Arc<Publisher>>,
    /// Which of the publisher's tokens it lives by.
    token: AtomicU32,
}

/// What a message may be published by, besides the message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// When the token ends; `None` without one.
    pub(crate) token_expires_at: Option<UnixTime>,
    /// Where the message is to be retained: whose token it was.
    pub(crate) publisher: Option<Arc<Publisher>>,
    /// And which of theirs.
    pub(crate) token: TokenSerial,
}

/// No token, so no end.
const NEVER: u64 = u64::MAX;

const ANY_IDENTIFIER: PacketIdentifier = PacketIdentifier::MIN;

impl Message {
    /// Copies `publish`, whose topic must be resolved.
    pub(crate) fn new(publish: &Publish<'_>, received_ms: u64, origin: Origin) -> Arc<Self> {
        let mut owned = *publish;
        owned.delivery = with_identifier(publish.delivery, ANY_IDENTIFIER);
        owned.duplicate = false;
        owned.properties.topic_alias = None;
        let mut frame = Vec::with_capacity(publish.payload.len() + 64);
        owned
            .encode(ProtocolVersion::V5, &mut frame)
            .expect("it came out of a packet of at least this size");
        Arc::new(Self {
            frame: frame.into(),
            received_ms,
            token_expires_at: AtomicU64::new(origin.token_expires_at.map_or(NEVER, |at| at.0)),
            publisher: origin.publisher,
            token: AtomicU32::new(origin.token),
        })
    }

    /// When the token that allowed it ends: a retained message lives no longer (RFC 9431 §5).
    pub(crate) fn token_expires_at(&self) -> Option<UnixTime> {
        let secs = self.token_expires_at.load(Ordering::Relaxed);
        (secs != NEVER).then_some(UnixTime(secs))
    }

    /// What it was published by.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            token_expires_at: self.token_expires_at(),
            publisher: self.publisher.clone(),
            token: self.token.load(Ordering::Relaxed),
        }
    }

    /// Its publisher has a newer token: it lives as long as that, if that lets it be published. Whether it lives longer than before.
    pub(crate) fn extend(&self) -> bool {
        let Some((until, token)) = self.allowed_until() else {
            return false;
        };
        // NEVER stays: what nothing limits cannot be extended.
        let is_longer = self.token_expires_at.fetch_max(until.0, Ordering::Relaxed) < until.0;
        if is_longer {
            self.token.store(token, Ordering::Relaxed);
        }
        is_longer
    }

    /// Until when its publisher might publish it now, and by which token.
    fn allowed_until(&self) -> Option<(UnixTime, TokenSerial)> {
        self.publisher.as_ref()?.may_publish_until(self.topic())
    }

    /// What deletes it where it is retained: an empty payload to its topic (MQTT-3.3.1-6).
    pub(crate) fn deletion(&self) -> Arc<Self> {
        let deletion = Publish {
            duplicate: false,
            delivery: Delivery::AtMostOnce,
            retain: true,
            topic: Some(self.topic()),
            properties: PublishProperties::default(),
            payload: &[],
        };
        Self::new(&deletion, self.received_ms, Origin::default())
    }

    /// The message as a PUBLISH.
    pub(crate) fn publish(&self) -> Publish<'_> {
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        match decoder.decode(&self.frame) {
            Ok(Some((Packet::Publish(publish), _))) => publish,
            _ => unreachable!("the frame was encoded by Message::new"),
        }
    }

    /// Its Topic Name.
    pub(crate) fn topic(&self) -> TopicName<'_> {
        self.publish()
            .topic
            .expect("a message is made with its topic resolved")
    }

    /// Seconds of its Message Expiry Interval that are left at `now_ms`: `Ok(None)` where it has none, `Err` where it has expired
    /// (MQTT 5.0 §3.3.2.3.3).
    pub(crate) fn remaining_secs(
        &self,
        publish: &Publish<'_>,
        now_ms: u64,
    ) -> Result<Option<u32>, Expired> {
        let Some(interval_secs) = publish.properties.message_expiry_interval_secs else {
            return Ok(None);
        };
        let waited_secs = now_ms.saturating_sub(self.received_ms) / 1000;
        match u64::from(interval_secs).checked_sub(waited_secs) {
            None | Some(0) => Err(Expired),
            Some(left_secs) => Ok(u32::try_from(left_secs).ok()),
        }
    }

    /// Whether it may still be given to new subscribers: its Message Expiry Interval is not over, nor is its publisher's token, which has not
    /// been revoked either.
    pub(crate) fn may_be_retained(&self, now: Now) -> bool {
        let is_over = |expires_at| now.unix >= expires_at;
        let token = self.token.load(Ordering::Relaxed);
        let is_revoked = (self.publisher.as_ref()).is_some_and(|one| one.is_revoked(token));
        !is_revoked
            && (!self.token_expires_at().is_some_and(is_over)
                || !self.allowed_until().is_none_or(|(until, _)| is_over(until)))
            && self.remaining_secs(&self.publish(), now.ms).is_ok()
    }

    /// Bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.frame.len()
    }

    /// The payload, if it is large enough to be shared rather than copied.
    pub(crate) fn shared_payload(&self, publish: &Publish<'_>) -> Option<Bytes> {
        (publish.payload.len() >= SHARED_FROM_BYTES).then(|| self.payload(publish))
    }

    /// The payload, shared with the message.
    pub(crate) fn payload(&self, publish: &Publish<'_>) -> Bytes {
        self.frame.slice(self.frame.len() - publish.payload.len()..)
    }
}

/// The message's time is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Expired;

/// The same QoS with another Packet Identifier.
pub(crate) fn with_identifier(delivery: Delivery, identifier: PacketIdentifier) -> Delivery {
    match delivery {
        Delivery::AtMostOnce => Delivery::AtMostOnce,
        Delivery::AtLeastOnce(_) => Delivery::AtLeastOnce(identifier),
        Delivery::ExactlyOnce(_) => Delivery::ExactlyOnce(identifier),
    }
}
