//! What holds for every packet, and for every run of bytes.

use crate::generator::{Case, cases};
use crate::{V5, decoder, encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use symbolon_mqtt_proto::{Decoder, Packet, ProtocolVersion, Sender};

/// One small harm done to a packet.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    Change(Index, u8),
    Flip(Index, u8),
    Remove(Index),
    Insert(Index, u8),
}

pub(crate) fn harms() -> impl Strategy<Value = Harm> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Harm::Change(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        at().prop_map(Harm::Remove),
        (at(), any::<u8>()).prop_map(|(at, byte)| Harm::Insert(at, byte)),
    ]
}

impl Harm {
    /// Does it, and puts the Remaining Length right where it can, so that the harm reaches what stands behind.
    pub(crate) fn apply(&self, wire: &mut Vec<u8>) {
        let before = wire.len();
        match self {
            Self::Change(at, byte) => wire[at.index(before)] = *byte,
            Self::Flip(at, bit) => wire[at.index(before)] ^= 1 << bit,
            Self::Remove(at) => {
                wire.remove(at.index(before));
            }
            Self::Insert(at, byte) => wire.insert(at.index(before + 1), *byte),
        }
        let touched_header = match self {
            Self::Remove(at) => at.index(before) < 2,
            Self::Insert(at, _) => at.index(before + 1) < 2,
            Self::Change(..) | Self::Flip(..) => true,
        };
        if !touched_header && before < 0x80 {
            wire[1] = u8::try_from(wire.len() - 2).unwrap();
        }
    }
}

/// What is decoded from `wire` is written and read again as the same.
fn assert_stable(decoder: Decoder, wire: &[u8]) {
    let Ok(Some((packet, length))) = decoder.decode(wire) else {
        return;
    };
    assert!(length <= wire.len());
    let again = encode(&packet, decoder.version);
    let (same, length) = decoder.decode(&again).unwrap().unwrap();
    assert_eq!(length, again.len());
    assert_eq!(same, packet);
}

fn decoders() -> impl Strategy<Value = Decoder> {
    let versions = select(vec![ProtocolVersion::V311, ProtocolVersion::V5]);
    let senders = select(vec![Sender::Client, Sender::Server]);
    (versions, senders).prop_map(|(version, sender)| decoder(version, sender))
}

/// How many cases are tried: `SYMBOLON_SEEDS`, or so many.
fn case_count() -> u32 {
    let wanted = std::env::var("SYMBOLON_SEEDS").ok();
    wanted.map_or(2_000, |text| text.parse().expect("a number of seeds"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(case_count()))]

    #[test]
    fn what_is_encoded_is_decoded_as_the_same(Case { version, sender, packet } in cases()) {
        let mut wire = b"before".to_vec();
        packet.encode(version, &mut wire).unwrap();
        let own = &wire[6..];
        prop_assert_eq!(&wire[..6], b"before");
        prop_assert_eq!(packet.encoded_len(version), Ok(own.len()));
        let decoded = decoder(version, sender).decode(own);
        prop_assert_eq!(decoded, Ok(Some((packet, own.len()))));
    }

    #[test]
    fn a_packet_ends_where_the_next_begins(Case { version, sender, packet } in cases(), next in any::<Vec<u8>>()) {
        let own = encode(&packet, version);
        let wire = [&own[..], &next].concat();
        let decoded = decoder(version, sender).decode(&wire);
        prop_assert_eq!(decoded, Ok(Some((packet, own.len()))));
    }

    #[test]
    fn a_part_of_a_packet_is_not_whole_yet(Case { version, sender, packet } in cases()) {
        let wire = encode(&packet, version);
        for length in 0..wire.len() {
            prop_assert_eq!(decoder(version, sender).decode(&wire[..length]), Ok(None));
        }
    }

    #[test]
    fn a_packet_larger_than_allowed_is_refused(Case { version, sender, packet } in cases()) {
        // [MQTT-3.1.2-24], [MQTT-3.2.2-15]
        let wire = encode(&packet, version);
        let size = u32::try_from(wire.len()).unwrap();
        let exact = Decoder { maximum_packet_size: size, ..decoder(version, sender) };
        prop_assert!(exact.decode(&wire).is_ok());
        let short = Decoder { maximum_packet_size: size - 1, ..exact };
        prop_assert_eq!(
            short.decode(&wire),
            Err(symbolon_mqtt_proto::DecodeError::TooLarge { size })
        );
    }

    #[test]
    fn a_harmed_packet_is_refused_or_is_another_packet(
        Case { version, sender, packet } in cases(),
        harms in vec(harms(), 1..4),
    ) {
        let mut wire = encode(&packet, version);
        for harm in harms {
            if !wire.is_empty() {
                harm.apply(&mut wire);
            }
        }
        assert_stable(decoder(version, sender), &wire);
    }

    #[test]
    fn arbitrary_bytes_never_panic(decoder in decoders(), wire in any::<Vec<u8>>()) {
        assert_stable(decoder, &wire);
        for length in 0..wire.len() {
            assert_stable(decoder, &wire[..length]);
        }
    }

    #[test]
    fn arbitrary_bodies_never_panic(
        decoder in decoders(),
        first_byte in any::<u8>(),
        body in vec(any::<u8>(), 0..127),
    ) {
        assert_stable(decoder, &crate::frame(first_byte, &body));
    }
}

#[test]
fn a_user_property_among_others_is_carried_on_alone() {
    // An order that this crate itself does not write: other properties between two user properties.
    let properties = [
        &[0x26, 0, 1, b'a', 0, 1, b'b'][..],
        &[
            0x01, 1, 0x23, 0, 7, 0x0B, 0x81, 0x01, 0x02, 0, 0, 0, 9, 0x08, 0, 1, b'r',
        ],
        &[0x26, 0, 1, b'c', 0, 0, 0x0B, 5],
    ]
    .concat();
    let length = u8::try_from(properties.len()).unwrap();
    let body = [&[0, 1, b't', length], &properties[..], b"payload"].concat();
    let wire = crate::frame(0x30, &body);
    let Packet::Publish(publish) = crate::accept(V5, Sender::Server, &wire) else {
        panic!("not a PUBLISH")
    };
    let pairs: Vec<_> = publish.properties.user_properties.iter().collect();
    assert_eq!(pairs, [("a", "b"), ("c", "")]);
    let identifiers: Vec<_> = publish.properties.subscription_identifiers.iter().collect();
    assert_eq!(identifiers, [129, 5]);
    assert_stable(decoder(V5, Sender::Server), &wire);

    let only_user_properties = symbolon_mqtt_proto::PublishProperties {
        user_properties: publish.properties.user_properties,
        ..symbolon_mqtt_proto::PublishProperties::default()
    };
    let forwarded = symbolon_mqtt_proto::Publish {
        properties: only_user_properties,
        ..publish
    };
    let expected = [
        &[0, 1, b't', 13][..],
        &[0x26, 0, 1, b'a', 0, 1, b'b', 0x26, 0, 1, b'c', 0, 0],
        b"payload",
    ]
    .concat();
    assert_eq!(
        encode(&Packet::Publish(forwarded), V5),
        crate::frame(0x30, &expected)
    );
}
