//! Whole packets, byte for byte, as RFC 9431 has them exchanged.

use symbolon_mqtt_proto::{
    Auth, Decoder, Packet, ProtocolVersion, ReasonCode, Sender, UserProperties,
};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// Decodes `hex`, and sees that encoding gives it back.
fn check(hex: &str, version: ProtocolVersion, sender: Sender, check: impl FnOnce(&Packet<'_>)) {
    let wire = bytes(hex);
    let decoder = Decoder {
        version,
        sender,
        maximum_packet_size: u32::MAX,
    };
    let (packet, length) = decoder.decode(&wire).unwrap().unwrap();
    assert_eq!(length, wire.len());
    check(&packet);
    let mut encoded = Vec::new();
    packet.encode(version, &mut encoded).unwrap();
    assert_eq!(encoded, wire);
    assert_eq!(packet.encoded_len(version), Ok(wire.len()));
}

#[test]
fn connect_with_a_token_is_read_and_written() {
    // RFC 9431 §2.2.4.2
    check(
        "102500044d5154540502003c1615000361636516000d000b6162632e6465662e67686900026331",
        ProtocolVersion::V5,
        Sender::Client,
        |packet| {
            let Packet::Connect(connect) = packet else {
                panic!("{packet:?}")
            };
            assert!(connect.clean_start);
            assert_eq!(connect.version, ProtocolVersion::V5);
            assert_eq!(connect.keep_alive_secs, 60);
            assert_eq!(connect.client_identifier, "c1");
            assert_eq!(connect.properties.authentication_method, Some("ace"));
            assert_eq!(
                connect.properties.authentication_data,
                Some(&b"\x00\x0babc.def.ghi"[..])
            );
        },
    );
}

fn check_auth(hex: &str, sender: Sender, expected: ReasonCode, authentication_data: &str) {
    check(hex, ProtocolVersion::V5, sender, |packet| {
        let data = bytes(authentication_data);
        let auth = Auth {
            reason_code: expected,
            authentication_method: Some("ace"),
            authentication_data: Some(&data),
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        assert_eq!(*packet, Packet::Auth(auth));
    });
}

#[test]
fn the_authentication_exchange_is_read_and_written() {
    // RFC 9431 §2.2.4.2.2 and §4
    check_auth(
        "f01318111500036163651600080102030405060708",
        Sender::Server,
        ReasonCode::ContinueAuthentication,
        "0102030405060708",
    );
    check_auth(
        "f0331831150003616365160028111213141516171807215b998b9a990c5cc6a160e9180b487dc80d13a7e464ed0d1298cfbf652467",
        Sender::Client,
        ReasonCode::ContinueAuthentication,
        "111213141516171807215b998b9a990c5cc6a160e9180b487dc80d13a7e464ed0d1298cfbf652467",
    );
    check_auth(
        "f018191615000361636516000d000b6162632e6465662e676869",
        Sender::Client,
        ReasonCode::ReAuthenticate,
        "000b6162632e6465662e676869",
    );
}

#[test]
fn connack_of_success_is_read_and_written() {
    check(
        "2009000006150003616365",
        ProtocolVersion::V5,
        Sender::Server,
        |packet| {
            let Packet::ConnAck(connack) = packet else {
                panic!("{packet:?}")
            };
            assert!(!connack.session_present);
            assert_eq!(connack.reason_code, ReasonCode::Success);
            assert_eq!(connack.properties.authentication_method, Some("ace"));
        },
    );
}

#[test]
fn connack_with_a_hint_is_read_and_written() {
    // RFC 9431, AS Request Creation Hints
    check(
        "203800873526000b6163655f61735f68696e7400257b224153223a2268747470733a2f2f61732e6578616d706c652e636f6d2f746f6b656e227d",
        ProtocolVersion::V5,
        Sender::Server,
        |packet| {
            let Packet::ConnAck(connack) = packet else {
                panic!("{packet:?}")
            };
            assert_eq!(connack.reason_code, ReasonCode::NotAuthorized);
            let pairs: Vec<_> = connack.properties.user_properties.iter().collect();
            let hint = r#"{"AS":"https://as.example.com/token"}"#;
            assert_eq!(pairs, [("ace_as_hint", hint)]);
        },
    );
}

#[test]
fn connect_of_311_with_token_and_proof_is_read_and_written() {
    // RFC 9431 §6
    check(
        "104400044d51545404c2003c00026331001261636559574a6a4c6d526c5a69356e61476b00200c95bd8bdd96004ec3f84f7bcc9526ee33491925dae778d32b6b81a42c38fe93",
        ProtocolVersion::V311,
        Sender::Client,
        |packet| {
            let Packet::Connect(connect) = packet else {
                panic!("{packet:?}")
            };
            assert_eq!(connect.version, ProtocolVersion::V311);
            assert_eq!(connect.user_name, Some("aceYWJjLmRlZi5naGk"));
            assert_eq!(connect.password.map(<[u8]>::len), Some(32));
        },
    );
}
