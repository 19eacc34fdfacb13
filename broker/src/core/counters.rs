//! What a shard has counted since its start: plain numbers, which its driver copies to where they can be read by others.

use symbolon_mqtt_proto::{Qos, ReasonCode};

/// One number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Count {
    /// PUBLISH packets that clients sent.
    Received(Qos),
    /// PUBLISH packets for clients.
    Sent(Qos),
    /// Messages that a subscriber did not get.
    Dropped(Dropped),
    BytesReceived,
    BytesSent,
    /// Clients disconnected because their token had expired.
    TokenExpiries,
    Reauthentications(Outcome),
    /// Tokens published to `authz-info`.
    AuthzInfo(Outcome),
    /// Connections that ended without DISCONNECT from either side.
    ConnectionsLost,
    /// Connections of which no client came.
    NoClient(NoClient),
    /// Now: clients connected.
    Clients,
    /// Now: subscriptions of this shard's clients.
    Subscriptions,
    /// Now: retained messages, of which every shard keeps all.
    RetainedMessages,
    /// Now: connections on their way to admission.
    Handshakes,
    /// Now: sessions, connected or not.
    Sessions,
    /// Now: acknowledgements that wait for the store.
    HeldAnswers,
    /// Now: bytes of the retained messages.
    RetainedBytes,
    /// Now: members of groups, of this shard's clients.
    SharedSubscriptions,
    /// Now: entries of the journal that the store has not written.
    Unwritten,
    /// Sessions that ended because their Session Expiry Interval was over.
    SessionExpiries,
    /// Bytes of the payloads of PUBLISH packets that clients sent.
    PayloadReceived,
    /// Bytes of the payloads of PUBLISH packets for clients.
    PayloadSent,
    /// Packets that clients sent from their CONNECT on, but PUBLISH.
    OtherReceived,
    /// Packets for clients, but PUBLISH that is sent for the first time.
    OtherSent,
    /// A bound of the configuration was reached.
    Limit(Limit),
    /// Something that ended with a reason code.
    Reason(Reason, ReasonCode),
}

/// Why a subscriber did not get a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dropped {
    /// `outbox_bytes` wait for its socket, and the message is of `QoS` 0.
    OutboxFull,
    /// `queued_messages` or `queued_bytes` wait for it.
    QueueFull,
    /// Larger than the client takes (MQTT-3.1.2-25).
    PacketTooLarge,
    /// Its Message Expiry Interval passed while it waited (MQTT 5.0 §3.3.2.3.3).
    Expired,
    /// Of `QoS` 0, while the client was away.
    Away,
}

/// A bound that was reached; its name is the configuration key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    Connections,
    ConnectionsPerAddress,
    Handshakes,
    HandshakeTimeout,
    ConnectTimeout,
    PacketSize,
    TopicLevels,
    TopicLength,
    Sessions,
    SubscriptionsPerClient,
    QueuedMessages,
    QueuedBytes,
    OutboxBytes,
    SessionExpiry,
    RetainedMessages,
    RetainedBytes,
    Wills,
    WillSize,
    ReceiveMaximum,
    SendMaximum,
    ReceiveRate,
    KeepAlive,
    StoredTokens,
    StoredTokensBytes,
    AuthzInfoRate,
}

/// How something ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Success,
    Failure,
}

/// Why no client came of a connection, where it was not told a reason code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoClient {
    /// The limit of connections is reached.
    Limit,
    /// Its address has as many connections as it may.
    AddressLimit,
    /// The TLS handshake failed.
    Tls,
    /// The TLS handshake took too long.
    HandshakeTimeout,
    /// There was no admitted CONNECT in time.
    ConnectTimeout,
    /// Bytes that are no packet.
    Malformed,
    /// Another packet than CONNECT came first.
    NotConnect,
    /// The peer closed the connection or it was lost.
    Closed,
    /// The client's shard takes no more.
    Busy,
}

/// What a reason code is counted for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// CONNACK refused the client.
    Refused,
    /// We sent DISCONNECT, or would have in 5.0.
    BrokerDisconnect,
    /// The client sent DISCONNECT.
    ClientDisconnect,
    /// A PUBLISH was refused.
    Publish,
    /// A Topic Filter of a SUBSCRIBE was refused.
    Subscribe,
}

/// Reason codes are a byte.
const CODES: usize = 256;
/// Where the numbers by bound begin.
const BY_LIMIT: usize = 42;
/// Where the numbers by reason code begin.
const BY_REASON: usize = BY_LIMIT + Limit::ALL.len();
/// How many numbers there are.
pub(crate) const NUMBERS: usize = BY_REASON + 5 * CODES;

impl Dropped {
    pub(crate) const ALL: [(Self, &str); 5] = [
        (Self::OutboxFull, "outbox_full"),
        (Self::QueueFull, "queue_full"),
        (Self::PacketTooLarge, "packet_too_large"),
        (Self::Expired, "expired"),
        (Self::Away, "away"),
    ];
}

impl Limit {
    pub(crate) const ALL: [(Self, &str); 25] = [
        (Self::Connections, "connections"),
        (Self::ConnectionsPerAddress, "connections_per_address"),
        (Self::Handshakes, "handshakes"),
        (Self::HandshakeTimeout, "handshake_timeout_secs"),
        (Self::ConnectTimeout, "connect_timeout_secs"),
        (Self::PacketSize, "packet_size"),
        (Self::TopicLevels, "topic_levels"),
        (Self::TopicLength, "topic_length"),
        (Self::Sessions, "sessions"),
        (Self::SubscriptionsPerClient, "subscriptions_per_client"),
        (Self::QueuedMessages, "queued_messages"),
        (Self::QueuedBytes, "queued_bytes"),
        (Self::OutboxBytes, "outbox_bytes"),
        (Self::SessionExpiry, "session_expiry_secs"),
        (Self::RetainedMessages, "retained_messages"),
        (Self::RetainedBytes, "retained_bytes"),
        (Self::Wills, "wills"),
        (Self::WillSize, "will_size"),
        (Self::ReceiveMaximum, "receive_maximum"),
        (Self::SendMaximum, "send_maximum"),
        (Self::ReceiveRate, "receive_rate"),
        (Self::KeepAlive, "keep_alive_secs"),
        (Self::StoredTokens, "stored_tokens"),
        (Self::StoredTokensBytes, "stored_tokens_bytes"),
        (Self::AuthzInfoRate, "authz_info_rate"),
    ];
}

impl Outcome {
    pub(crate) const ALL: [(Self, &str); 2] =
        [(Self::Success, "success"), (Self::Failure, "failure")];
}

impl NoClient {
    pub(crate) const ALL: [(Self, &str); 9] = [
        (Self::Limit, "limit"),
        (Self::AddressLimit, "address_limit"),
        (Self::Tls, "tls"),
        (Self::HandshakeTimeout, "handshake_timeout"),
        (Self::ConnectTimeout, "connect_timeout"),
        (Self::Malformed, "malformed"),
        (Self::NotConnect, "not_connect"),
        (Self::Closed, "closed"),
        (Self::Busy, "busy"),
    ];
}

impl Count {
    /// Its place among the numbers.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Received(qos) => qos as usize,
            Self::Sent(qos) => 3 + qos as usize,
            Self::Dropped(dropped) => 6 + dropped as usize,
            Self::BytesReceived => 11,
            Self::BytesSent => 12,
            Self::TokenExpiries => 13,
            Self::Reauthentications(outcome) => 14 + outcome as usize,
            Self::ConnectionsLost => 16,
            Self::NoClient(no_client) => 17 + no_client as usize,
            Self::Clients => 26,
            Self::Subscriptions => 27,
            Self::RetainedMessages => 28,
            Self::Handshakes => 29,
            Self::Sessions => 30,
            Self::HeldAnswers => 31,
            Self::RetainedBytes => 32,
            Self::SharedSubscriptions => 33,
            Self::Unwritten => 34,
            Self::SessionExpiries => 35,
            Self::PayloadReceived => 36,
            Self::PayloadSent => 37,
            Self::OtherReceived => 38,
            Self::OtherSent => 39,
            Self::AuthzInfo(outcome) => 40 + outcome as usize,
            Self::Limit(limit) => BY_LIMIT + limit as usize,
            Self::Reason(reason, code) => BY_REASON + reason as usize * CODES + code as usize,
        }
    }
}

/// The numbers of one shard.
#[derive(Debug)]
pub(crate) struct Counters(Box<[u64; NUMBERS]>);

impl Default for Counters {
    fn default() -> Self {
        Self(Box::new([0; NUMBERS]))
    }
}

impl Counters {
    /// One more.
    #[inline]
    pub(crate) fn count(&mut self, what: Count) {
        self.add(what, 1);
    }

    /// So many more.
    #[inline]
    pub(crate) fn add(&mut self, what: Count, more: usize) {
        self.0[what.place()] += more as u64;
    }

    /// One fewer of what there is now.
    pub(crate) fn discount(&mut self, what: Count) {
        let number = &mut self.0[what.place()];
        *number = number.saturating_sub(1);
    }

    /// So many there are now.
    pub(crate) fn set(&mut self, what: Count, now: usize) {
        self.0[what.place()] = now as u64;
    }

    /// In place of those of a shard that fell: what was counted stays so, and of what there was now there is nothing.
    pub(crate) fn succeed(fallen: Self) -> Self {
        let mut counters = fallen;
        for now in [
            Count::Clients,
            Count::Subscriptions,
            Count::SharedSubscriptions,
            Count::RetainedMessages,
            Count::RetainedBytes,
            Count::Handshakes,
            Count::Sessions,
            Count::HeldAnswers,
            Count::Unwritten,
        ] {
            counters.set(now, 0);
        }
        counters
    }

    /// All of them, by [`Count::place`].
    pub(crate) fn numbers(&self) -> &[u64; NUMBERS] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_counts_share_a_place() {
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
        let mut all = vec![
            Count::BytesReceived,
            Count::BytesSent,
            Count::TokenExpiries,
            Count::ConnectionsLost,
            Count::Clients,
            Count::Subscriptions,
            Count::RetainedMessages,
            Count::Handshakes,
            Count::Sessions,
            Count::HeldAnswers,
            Count::RetainedBytes,
            Count::SharedSubscriptions,
            Count::Unwritten,
            Count::SessionExpiries,
            Count::PayloadReceived,
            Count::PayloadSent,
            Count::OtherReceived,
            Count::OtherSent,
        ];
        all.extend(qos.map(Count::Received));
        all.extend(qos.map(Count::Sent));
        all.extend(Dropped::ALL.map(|(dropped, _)| Count::Dropped(dropped)));
        all.extend(Limit::ALL.map(|(limit, _)| Count::Limit(limit)));
        all.extend(Outcome::ALL.map(|(outcome, _)| Count::Reauthentications(outcome)));
        all.extend(Outcome::ALL.map(|(outcome, _)| Count::AuthzInfo(outcome)));
        all.extend(NoClient::ALL.map(|(no_client, _)| Count::NoClient(no_client)));
        let codes: Vec<_> = (0..=u8::MAX).filter_map(ReasonCode::from_u8).collect();
        for reason in [
            Reason::Refused,
            Reason::BrokerDisconnect,
            Reason::ClientDisconnect,
            Reason::Publish,
            Reason::Subscribe,
        ] {
            all.extend(codes.iter().map(|code| Count::Reason(reason, *code)));
        }
        let places: BTreeSet<_> = all.iter().map(|count| count.place()).collect();
        assert_eq!(places.len(), all.len());
        assert!(places.iter().all(|place| *place < NUMBERS));
    }
}
