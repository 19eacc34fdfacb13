//! The same bytes before us and before two published codecs. Where they are more lenient, or stricter, it is written down with the clause
//! that we follow.

use crate::generator::{Case, cases};
use crate::roundtrip::harms;
use crate::{V5, V311, decoder, encode};
use bytes::BytesMut;
use oracle_rmqtt_codec as rmqtt;
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use symbolon_mqtt_proto::DecodeError::{self, Malformed, Protocol, Topic, WrongSender};
use symbolon_mqtt_proto::{
    Disconnect, Packet, PacketType, ProtocolVersion, ReasonCode, Sender, TopicError,
};
use tokio_util::codec::{Decoder as _, Encoder as _};

/// Enough that each packet type is met thousands of times; the seed is fixed, so the outcome is too.
const CASES: usize = 20_000;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Oracle {
    MqttProto,
    RmqttCodec,
}
use Oracle::{MqttProto, RmqttCodec};

impl Oracle {
    /// Lets the oracle read a packet and write it again; `None` where it refuses, or panics.
    fn read_and_write(self, version: ProtocolVersion, wire: &[u8]) -> Option<Vec<u8>> {
        let attempt = || match (self, version) {
            (MqttProto, ProtocolVersion::V311) => {
                let packet = oracle_mqtt_proto::v3::Packet::decode(wire).ok()??;
                Some(packet.encode().ok()?.as_ref().to_vec())
            }
            (MqttProto, ProtocolVersion::V5) => {
                let packet = oracle_mqtt_proto::v5::Packet::decode(wire).ok()??;
                Some(packet.encode().ok()?.as_ref().to_vec())
            }
            (RmqttCodec, ProtocolVersion::V311) => {
                let mut codec = rmqtt::v3::Codec::default();
                let (packet, _) = codec.decode(&mut BytesMut::from(wire)).ok()??;
                let mut written = BytesMut::new();
                codec.encode(packet, &mut written).ok()?;
                Some(written.to_vec())
            }
            (RmqttCodec, ProtocolVersion::V5) => {
                let (packet, _) = rmqtt::v5::Codec::default()
                    .decode(&mut BytesMut::from(wire))
                    .ok()??;
                // Another codec, since reading a CONNECT makes this one leave out Reason Strings.
                let mut written = BytesMut::new();
                rmqtt::v5::Codec::default()
                    .encode(packet, &mut written)
                    .ok()?;
                Some(written.to_vec())
            }
        };
        catch_unwind(AssertUnwindSafe(attempt)).ok()?
    }

    fn accepts(self, version: ProtocolVersion, wire: &[u8]) -> bool {
        self.read_and_write(version, wire).is_some()
    }
}

/// Bytes that we refuse and an oracle accepts.
struct Lenient {
    oracles: &'static [Oracle],
    version: ProtocolVersion,
    sender: Sender,
    wire: &'static [u8],
    error: DecodeError,
}

const BOTH: &[Oracle] = &[MqttProto, RmqttCodec];

const fn lenient(
    oracles: &'static [Oracle],
    (version, sender): (ProtocolVersion, Sender),
    wire: &'static [u8],
    error: DecodeError,
) -> Lenient {
    Lenient {
        oracles,
        version,
        sender,
        wire,
        error,
    }
}

const C311: (ProtocolVersion, Sender) = (V311, Sender::Client);
const S311: (ProtocolVersion, Sender) = (V311, Sender::Server);
const C5: (ProtocolVersion, Sender) = (V5, Sender::Client);
const S5: (ProtocolVersion, Sender) = (V5, Sender::Server);

const NOT_SHORTEST: DecodeError = Malformed("Variable Byte Integer is not in its shortest form");
const BEHIND: DecodeError = Malformed("bytes behind the last field");
const PAST: DecodeError = Malformed("a field reaches past the end");
const NULL: DecodeError = Malformed("text contains U+0000");
const NOT_THIS_CODE: DecodeError = Protocol("Reason Code is not for this packet and sender");
const WILL_LOST: DecodeError = Malformed("Will QoS or Will Retain without Will");

/// Every kind of refusal that an oracle does not share.
const LENIENT: &[Lenient] = &[
    // [MQTT-1.5.5-1]
    lenient(BOTH, C5, b"\xC0\x80\0", NOT_SHORTEST),
    lenient(BOTH, C311, b"\xC0\x80\0", NOT_SHORTEST),
    // [MQTT-1.5.4-2]
    lenient(BOTH, C5, b"\x40\x08\0\x01\0\x04\x1F\0\x01\0", NULL),
    lenient(BOTH, C311, b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01\0", NULL),
    // §1.2: what stands behind the last field of a packet is no part of it.
    lenient(BOTH, C5, b"\xC0\x01\0", BEHIND),
    lenient(BOTH, C311, b"\xE0\x01\0", BEHIND),
    // §2.1.4: the oracle reads fields beyond the Remaining Length.
    lenient(&[MqttProto], C311, b"\x50\0\0\x01", PAST),
    lenient(&[MqttProto], S5, b"\xF0\x03\0\x03\x15\0\0", PAST),
    // §3.15.2.2.1: a Property Length must follow.
    lenient(&[RmqttCodec], C5, b"\xF0\x01\x18", PAST),
    // §2.1.2, Table 2-1: the oracles are not told who sends.
    lenient(BOTH, C5, b"\xD0\0", WrongSender(PacketType::PingResp)),
    lenient(BOTH, C311, b"\xD0\0", WrongSender(PacketType::PingResp)),
    lenient(BOTH, S311, b"\xE0\0", WrongSender(PacketType::Disconnect)),
    // §3.14.2.1, §3.15.2.1: nor who may send which code or property.
    lenient(BOTH, S5, b"\xE0\0", NOT_THIS_CODE),
    lenient(
        BOTH,
        C5,
        b"\xE0\x06\0\x04\x1C\0\x01s",
        Protocol("Server Reference from a Client"),
    ),
    lenient(
        BOTH,
        S5,
        b"\xE0\x07\x80\x05\x11\0\0\0\x01",
        Protocol("Session Expiry Interval from a Server"),
    ),
    // [MQTT-3.3.4-6]
    lenient(
        BOTH,
        C5,
        b"\x30\x06\0\x01t\x02\x0B\x01",
        Protocol("Subscription Identifier from a Client"),
    ),
    // §3.1.2.1 and §3.1.2.2: level 3 goes with another name.
    lenient(
        &[RmqttCodec],
        C311,
        b"\x10\x0D\0\x04MQTT\x03\x02\0\0\0\x01c",
        DecodeError::UnsupportedProtocolVersion,
    ),
    // [MQTT-3.1.2-11], [MQTT-3.1.2-13]; MQTT 3.1.1 [MQTT-3.1.2-13], [MQTT-3.1.2-15]
    lenient(
        BOTH,
        C5,
        b"\x10\x0E\0\x04MQTT\x05\x22\0\0\0\0\x01c",
        WILL_LOST,
    ),
    lenient(
        &[RmqttCodec],
        C5,
        b"\x10\x0E\0\x04MQTT\x05\x0A\0\0\0\0\x01c",
        WILL_LOST,
    ),
    lenient(
        &[MqttProto],
        C311,
        b"\x10\x0D\0\x04MQTT\x04\x22\0\0\0\x01c",
        WILL_LOST,
    ),
    // MQTT 3.1.1 [MQTT-3.1.2-22]
    lenient(
        BOTH,
        C311,
        b"\x10\x10\0\x04MQTT\x04\x42\0\0\0\x01c\0\x01p",
        Malformed("Password without User Name"),
    ),
    // MQTT 3.1.1 [MQTT-3.1.3-8]
    lenient(
        &[MqttProto],
        C311,
        b"\x10\x0C\0\x04MQTT\x04\0\0\0\0\0",
        DecodeError::ClientIdentifierNotValid,
    ),
    // §3.1.2.11.10
    lenient(
        BOTH,
        S5,
        b"\x20\x07\0\0\x04\x16\0\x01d",
        Protocol("Authentication Data without Authentication Method"),
    ),
    // [MQTT-3.2.2-6]; MQTT 3.1.1 [MQTT-3.2.2-4]
    lenient(
        BOTH,
        S5,
        b"\x20\x03\x01\x87\0",
        Protocol("Session Present with a failure"),
    ),
    lenient(
        BOTH,
        S311,
        b"\x20\x02\x01\x05",
        Protocol("Session Present with a failure"),
    ),
    // MQTT 3.1.1 [MQTT-3.2.2-6]
    lenient(
        &[RmqttCodec],
        S311,
        b"\x20\x02\0\x06",
        Malformed("reserved Connect Return Code"),
    ),
    // §3.2.2.3.4: 0 or 1.
    lenient(
        &[RmqttCodec],
        S5,
        b"\x20\x05\0\0\x02\x24\x02",
        Protocol("property is neither 0 nor 1"),
    ),
    // [MQTT-3.3.1-2]
    lenient(BOTH, C5, b"\x38\x04\0\x01t\0", Malformed("DUP at QoS 0")),
    lenient(BOTH, C311, b"\x38\x03\0\x01t", Malformed("DUP at QoS 0")),
    // [MQTT-3.3.2-2]
    lenient(
        &[RmqttCodec],
        C5,
        b"\x30\x04\0\x01#\0",
        Topic(TopicError::WildcardInName),
    ),
    // [MQTT-3.3.2-8]
    lenient(
        &[MqttProto],
        C5,
        b"\x30\x07\0\x01t\x03\x23\0\0",
        DecodeError::TopicAliasInvalid,
    ),
    // §3.3.2.1; MQTT 3.1.1 [MQTT-4.7.3-1]
    lenient(
        BOTH,
        C5,
        b"\x30\x03\0\0\0",
        Protocol("neither Topic Name nor Topic Alias"),
    ),
    lenient(
        &[MqttProto],
        C311,
        b"\x30\x02\0\0",
        Protocol("neither Topic Name nor Topic Alias"),
    ),
    // §3.3.2.3.8, §3.8.2.1.2
    lenient(
        &[MqttProto],
        S5,
        b"\x30\x06\0\x01t\x02\x0B\0",
        Protocol("Subscription Identifier is 0"),
    ),
    // [MQTT-3.8.3-4]
    lenient(
        BOTH,
        C5,
        b"\x82\x10\0\x01\0\0\x0A$share/g/a\x04",
        Protocol("No Local on a Shared Subscription"),
    ),
    // MQTT 3.1.1 [MQTT-3-8.3-4]
    lenient(
        &[RmqttCodec],
        C311,
        b"\x82\x06\0\x01\0\x01a\x04",
        Malformed("reserved Subscription Options"),
    ),
    // [MQTT-3.8.4-6], [MQTT-3.10.4-5]
    lenient(
        BOTH,
        S5,
        b"\x90\x03\0\x01\0",
        Protocol("SUBACK without Reason Code"),
    ),
    lenient(
        BOTH,
        S311,
        b"\x90\x02\0\x01",
        Protocol("SUBACK without Reason Code"),
    ),
    lenient(
        BOTH,
        S5,
        b"\xB0\x03\0\x01\0",
        Protocol("UNSUBACK without Reason Code"),
    ),
    // [MQTT-4.7.1-1]
    lenient(
        &[RmqttCodec],
        C5,
        b"\x82\x08\0\x01\0\0\x02a#\0",
        Topic(TopicError::MultiLevelWildcard),
    ),
    // [MQTT-4.7.1-2]
    lenient(
        BOTH,
        C5,
        b"\x82\x08\0\x01\0\0\x02+a\0",
        Topic(TopicError::SingleLevelWildcard),
    ),
    // [MQTT-4.8.2-1]
    lenient(
        &[RmqttCodec],
        C5,
        b"\x82\x0E\0\x01\0\0\x08$share/g\0",
        Topic(TopicError::Share),
    ),
];

/// Whether `LENIENT` tells of this refusal. Of the packets that are not for this end it names a few for all.
fn is_known(oracle: Oracle, error: DecodeError) -> bool {
    LENIENT.iter().any(|known| {
        let same = match (known.error, error) {
            (WrongSender(_), WrongSender(_)) => true,
            (known, error) => known == error,
        };
        same && known.oracles.contains(&oracle)
    })
}

#[test]
fn what_we_refuse_and_an_oracle_accepts_is_as_listed() {
    for known in LENIENT {
        let wire = known.wire;
        let refused = decoder(known.version, known.sender).decode(wire);
        assert_eq!(refused, Err(known.error), "{wire:02X?}");
        for oracle in [MqttProto, RmqttCodec] {
            assert_eq!(
                oracle.accepts(known.version, wire),
                known.oracles.contains(&oracle),
                "{oracle:?} {wire:02X?}"
            );
        }
    }
}

/// Packets that we accept, rightly, and an oracle refuses or spoils.
fn is_oracles_fault(oracle: Oracle, version: ProtocolVersion, packet: &Packet<'_>) -> bool {
    let is_false_utf8 =
        |utf8: Option<bool>, payload: &[u8]| utf8 == Some(true) && str::from_utf8(payload).is_err();
    match (oracle, packet) {
        // §3.3.2.3.8: many are allowed. §3.3.2.3.2: a receiver MAY look whether the payload is text; we leave it to the application.
        (MqttProto, Packet::Publish(publish)) => {
            let properties = publish.properties;
            properties.subscription_identifiers.iter().count() > 1
                || is_false_utf8(properties.payload_is_utf8, publish.payload)
        }
        // §3.1.3.2.3: the same.
        (MqttProto, Packet::Connect(connect)) => connect
            .will
            .is_some_and(|will| is_false_utf8(will.properties.payload_is_utf8, will.payload)),
        // §2.4 lists it for DISCONNECT, though §3.14.2.1 does not.
        (MqttProto, Packet::Disconnect(disconnect)) => {
            disconnect.reason_code == ReasonCode::BadAuthenticationMethod
        }
        // MQTT 3.1.1 §3.9.3: the failure 0x80 is written as 3.
        (MqttProto, Packet::SubAck(suback)) => {
            version == V311 && suback.reason_codes.iter().any(|code| code.is_failure())
        }
        // [MQTT-3.1.3-6]: an empty Client Identifier does not ask for Clean Start in 5.0.
        (RmqttCodec, Packet::Connect(connect)) => {
            version == V5 && connect.client_identifier.is_empty() && !connect.clean_start
        }
        (_, _) => false,
    }
}

/// `value`, unless it says what its absence says.
fn unless<T: PartialEq>(value: &mut Option<T>, default: &T) {
    if value.as_ref() == Some(default) {
        *value = None;
    }
}

/// Without properties that say what their absence says: one of the oracles does not tell these apart.
fn without_defaults(mut packet: Packet<'_>) -> Packet<'_> {
    if let Packet::Connect(connect) = &mut packet {
        let properties = &mut connect.properties;
        unless(&mut properties.session_expiry_interval_secs, &0);
        unless(&mut properties.receive_maximum, &NonZeroU16::MAX);
        unless(&mut properties.topic_alias_maximum, &0);
        unless(&mut properties.request_response_information, &false);
        unless(&mut properties.request_problem_information, &true);
    }
    if let Packet::ConnAck(connack) = &mut packet {
        let properties = &mut connack.properties;
        unless(&mut properties.receive_maximum, &NonZeroU16::MAX);
        unless(&mut properties.topic_alias_maximum, &0);
        unless(&mut properties.retain_available, &true);
        unless(&mut properties.wildcard_subscription_available, &true);
        unless(&mut properties.subscription_identifiers_available, &true);
        unless(&mut properties.shared_subscription_available, &true);
    }
    if let Packet::Publish(publish) = &mut packet {
        unless(&mut publish.properties.payload_is_utf8, &false);
    }
    packet
}

/// Judges one run of bytes; `version` and `sender` are those of the decoder.
fn compare(oracle: Oracle, version: ProtocolVersion, sender: Sender, wire: &[u8]) {
    let context = || format!("{oracle:?} {version:?} {sender:?} {wire:02X?}");
    match decoder(version, sender).decode(wire) {
        Ok(None) => {}
        // Oracles that read on past the packet would judge what follows it.
        Ok(Some((_, length))) if length < wire.len() => {}
        Ok(Some((packet, _))) => {
            let version = if let Packet::Connect(connect) = &packet {
                connect.version
            } else {
                version
            };
            if is_oracles_fault(oracle, version, &packet) {
                return;
            }
            let written = oracle.read_and_write(version, wire);
            let written = written.unwrap_or_else(|| panic!("refused: {}", context()));
            let (same, length) = decoder(version, sender)
                .decode(&written)
                .unwrap_or_else(|error| panic!("{error}: {}", context()))
                .unwrap_or_else(|| panic!("incomplete: {}", context()));
            assert_eq!(length, written.len(), "{}", context());
            assert_eq!(
                without_defaults(same),
                without_defaults(packet),
                "{}",
                context()
            );
        }
        Err(error) => {
            assert!(
                is_known(oracle, error) || !oracle.accepts(version, wire),
                "accepted in spite of {error:?}: {}",
                context()
            );
        }
    }
}

#[test]
fn the_oracles_read_what_we_write_and_write_what_we_read() {
    let mut runner = TestRunner::deterministic();
    let strategy = (cases(), vec(harms(), 0..3));
    for _ in 0..CASES {
        let (
            Case {
                version,
                sender,
                packet,
            },
            harms,
        ) = strategy.new_tree(&mut runner).unwrap().current();
        let mut wire = encode(&packet, version);
        for harm in harms
            .iter()
            .filter(|_| !wire.is_empty())
            .collect::<Vec<_>>()
        {
            harm.apply(&mut wire);
        }
        for oracle in [MqttProto, RmqttCodec] {
            compare(oracle, version, sender, &wire);
        }
    }
}

#[test]
fn the_faults_of_the_oracles_are_as_listed() {
    // Each would otherwise hide more than it names.
    let disconnect = Disconnect::new(ReasonCode::BadAuthenticationMethod, None);
    for (oracle, version, wire) in [
        (MqttProto, V5, &b"\x30\x08\0\x01t\x04\x0B\x01\x0B\x02"[..]),
        (MqttProto, V5, b"\x30\x07\0\x01t\x02\x01\x01\xFF"),
        (MqttProto, V5, &encode(&Packet::Disconnect(disconnect), V5)),
        (RmqttCodec, V5, b"\x10\x0D\0\x04MQTT\x05\0\0\0\0\0\0"),
    ] {
        assert!(!oracle.accepts(version, wire), "{wire:02X?}");
    }
    let written = MqttProto.read_and_write(V311, b"\x90\x03\0\x01\x80");
    assert_eq!(written.as_deref(), Some(&b"\x90\x03\0\x01\x03"[..]));
}
