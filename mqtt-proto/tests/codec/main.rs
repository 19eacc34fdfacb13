//! The codec by its public face.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod accepted;
mod encoding;
mod generator;
mod oracles;
mod refused_answers;
mod refused_connect;
mod refused_frames;
mod refused_properties;
mod refused_publish;
mod refused_requests;
mod roundtrip;
mod vectors;

use symbolon_mqtt_proto::{DecodeError, Decoder, Packet, ProtocolVersion, Sender};

const V311: ProtocolVersion = ProtocolVersion::V311;
const V5: ProtocolVersion = ProtocolVersion::V5;

fn decoder(version: ProtocolVersion, sender: Sender) -> Decoder {
    Decoder {
        version,
        sender,
        maximum_packet_size: u32::MAX,
    }
}

/// A whole packet of at most 127 bytes behind the fixed header.
fn frame(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 0x80, "the length would take two bytes");
    [&[first_byte, length], body].concat()
}

/// Why a packet is refused.
fn refusal(version: ProtocolVersion, sender: Sender, first_byte: u8, body: &[u8]) -> DecodeError {
    let wire = frame(first_byte, body);
    decoder(version, sender).decode(&wire).unwrap_err()
}

/// Decodes the one packet in `wire`.
fn accept(version: ProtocolVersion, sender: Sender, wire: &[u8]) -> Packet<'_> {
    let (packet, length) = decoder(version, sender).decode(wire).unwrap().unwrap();
    assert_eq!(length, wire.len());
    packet
}

fn encode(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut wire = Vec::new();
    packet.encode(version, &mut wire).unwrap();
    wire
}
