//! Properties that are refused (§2.2.2).

use crate::{V5, decoder, frame, refusal};
use symbolon_mqtt_proto::DecodeError::{self, Malformed, Protocol};
use symbolon_mqtt_proto::Sender;

const FOREIGN: &str = "property does not belong to this packet";

/// Each property with a valid value, and the packets (by first byte, `W` for a Will) that it belongs to (§2.2.2.2, Table 2-4).
const PROPERTIES: &[(&[u8], &[u8])] = &[
    (&[0x01, 1], b"\x30W"),
    (&[0x02, 0, 0, 0, 1], b"\x30W"),
    (&[0x03, 0, 1, b't'], b"\x30W"),
    (&[0x08, 0, 1, b't'], b"\x30W"),
    (&[0x09, 0, 1, 0], b"\x30W"),
    (&[0x0B, 1], b"\x30\x82"),
    (&[0x11, 0, 0, 0, 1], b"\x10\x20\xE0"),
    (&[0x12, 0, 1, b'c'], b"\x20"),
    (&[0x13, 0, 1], b"\x20"),
    (&[0x15, 0, 1, b'm'], b"\x10\x20\xF0"),
    (&[0x16, 0, 1, 0], b"\x10\x20\xF0"),
    (&[0x17, 1], b"\x10"),
    (&[0x18, 0, 0, 0, 1], b"W"),
    (&[0x19, 1], b"\x10"),
    (&[0x1A, 0, 1, b'r'], b"\x20"),
    (&[0x1C, 0, 1, b's'], b"\x20\xE0"),
    (&[0x1F, 0, 1, b'r'], b"\x20\x40\x50\x62\x70\x90\xB0\xE0\xF0"),
    (&[0x21, 0, 1], b"\x10\x20"),
    (&[0x22, 0, 1], b"\x10\x20"),
    (&[0x23, 0, 1], b"\x30"),
    (&[0x24, 1], b"\x20"),
    (&[0x25, 1], b"\x20"),
    (
        &[0x26, 0, 1, b'n', 0, 1, b'v'],
        b"\x10\x20\x30W\x40\x50\x62\x70\x82\x90\xA2\xB0\xE0\xF0",
    ),
    (&[0x27, 0, 0, 0, 1], b"\x10\x20"),
    (&[0x28, 1], b"\x20"),
    (&[0x29, 1], b"\x20"),
    (&[0x2A, 1], b"\x20"),
];

/// A packet with a place for properties.
struct Place {
    /// The first byte, or `W` for the properties of a Will.
    kind: u8,
    first_byte: u8,
    sender: Sender,
    before: &'static [u8],
    behind: &'static [u8],
}

const fn place(
    first_byte: u8,
    sender: Sender,
    before: &'static [u8],
    behind: &'static [u8],
) -> Place {
    Place {
        kind: first_byte,
        first_byte,
        sender,
        before,
        behind,
    }
}

const PLACES: &[Place] = &[
    place(
        0x10,
        Sender::Client,
        b"\0\x04MQTT\x05\x02\0\x3C",
        b"\0\x01c",
    ),
    Place {
        kind: b'W',
        first_byte: 0x10,
        sender: Sender::Client,
        before: b"\0\x04MQTT\x05\x06\0\x3C\0\0\x01c",
        behind: b"\0\x01t\0\0",
    },
    place(0x20, Sender::Server, b"\0\0", b""),
    place(0x30, Sender::Server, b"\0\x01t", b""),
    place(0x40, Sender::Server, b"\0\x01\0", b""),
    place(0x50, Sender::Server, b"\0\x01\0", b""),
    place(0x62, Sender::Server, b"\0\x01\0", b""),
    place(0x70, Sender::Server, b"\0\x01\0", b""),
    place(0x82, Sender::Client, b"\0\x01", b"\0\x01a\0"),
    place(0x90, Sender::Server, b"\0\x01", b"\0"),
    place(0xA2, Sender::Client, b"\0\x01", b"\0\x01a"),
    place(0xB0, Sender::Server, b"\0\x01", b"\0"),
    place(0xE0, Sender::Client, b"\0", b""),
    place(0xF0, Sender::Client, b"\x18", b""),
];

impl Place {
    /// Decodes the packet with these properties, and the one that it may need beside them.
    fn decode(&self, properties: &[u8]) -> Result<(), DecodeError> {
        let identifier = properties[0];
        // Authentication Data and AUTH need a method (§3.1.2.11.10, §3.15.2.2.2).
        let needs_method = identifier == 0x16 && b"\x10\x20".contains(&self.kind)
            || identifier != 0x15 && self.kind == 0xF0;
        let method: &[u8] = if needs_method {
            &[0x15, 0, 1, b'm']
        } else {
            &[]
        };
        let length = u8::try_from(method.len() + properties.len()).unwrap();
        let body = [self.before, &[length], method, properties, self.behind].concat();
        let mut wire = frame(self.first_byte, &body);
        let mut sender = self.sender;
        // Server Reference in DISCONNECT is for the Server alone, which must then give a reason other than 0.
        if self.first_byte == 0xE0 && identifier == 0x1C {
            sender = Sender::Server;
            wire[2] = 0x9C;
        }
        let whole = decoder(V5, sender).decode(&wire)?;
        assert_eq!(whole.unwrap().1, wire.len());
        Ok(())
    }

    fn is_home(&self, homes: &[u8]) -> bool {
        homes.contains(&self.kind)
    }
}

#[test]
fn each_property_is_accepted_where_it_belongs_and_refused_elsewhere() {
    // §2.2.2.2
    for (property, homes) in PROPERTIES {
        for place in PLACES {
            let kind = place.kind;
            let decoded = place.decode(property);
            if place.is_home(homes) {
                assert_eq!(decoded, Ok(()), "{property:02X?} in {kind:02X}");
            } else {
                let foreign = Err(Malformed(FOREIGN));
                assert_eq!(decoded, foreign, "{property:02X?} in {kind:02X}");
            }
        }
    }
}

#[test]
fn a_property_that_occurs_twice_is_refused_where_it_may_occur_once() {
    // §3.1.2.11.2 to §3.15.2.2.5: each property but the repeatable ones at most once.
    for (property, homes) in PROPERTIES {
        for place in PLACES.iter().filter(|place| place.is_home(homes)) {
            let kind = place.kind;
            let twice = [property.to_vec(), property.to_vec()].concat();
            let decoded = place.decode(&twice);
            let may_repeat = property[0] == 0x26 || property[0] == 0x0B && kind == 0x30;
            if may_repeat {
                assert_eq!(decoded, Ok(()), "{property:02X?} in {kind:02X}");
            } else {
                let refused = Err(Protocol("property occurs twice"));
                assert_eq!(decoded, refused, "{property:02X?} in {kind:02X}");
            }
        }
    }
}

#[test]
fn a_property_that_the_standard_does_not_define_is_refused() {
    // §2.2.2.2
    let known: Vec<u8> = PROPERTIES.iter().map(|(property, _)| property[0]).collect();
    for identifier in (0..0x80).filter(|identifier| !known.contains(identifier)) {
        for place in PLACES {
            let decoded = place.decode(&[identifier, 0, 0, 0, 0]);
            assert_eq!(decoded, Err(Malformed(FOREIGN)), "{identifier:02X}");
        }
    }
    let body = [0, 1, b't', 4, 0xA6, 0x01, 0, 0];
    let refused = refusal(V5, Sender::Client, 0x30, &body);
    assert_eq!(refused, Malformed(FOREIGN));
}

#[test]
fn a_boolean_property_is_0_or_1() {
    // §3.1.2.11.6, §3.1.2.11.7, §3.2.2.3.4, §3.2.2.3.5, §3.2.2.3.11 to §3.2.2.3.13; so are Payload Format Indicators (§3.3.2.3.2).
    for (property, homes) in PROPERTIES {
        if property.len() != 2 || property[0] == 0x0B {
            continue;
        }
        for place in PLACES.iter().filter(|place| place.is_home(homes)) {
            for value in 0..=u8::MAX {
                let decoded = place.decode(&[property[0], value]);
                if value < 2 {
                    assert_eq!(decoded, Ok(()));
                } else {
                    let refused = Err(Protocol("property is neither 0 nor 1"));
                    assert_eq!(decoded, refused);
                }
            }
        }
    }
}
