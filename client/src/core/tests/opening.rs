//! CONNECT to CONNACK.

use super::*;
use std::num::{NonZeroU16, NonZeroU32};
use symbolon_ace_proto::ClientNonce;
use symbolon_mqtt_proto::{Auth, UserProperties, Will};

fn with_exporter() -> Authentication {
    Authentication::Exporter {
        token: b"abc.def.ghi".to_vec(),
        signer: hs256(),
        exporter: std::array::from_fn(|index| 0xa0 + u8::try_from(index).unwrap()),
    }
}

fn with_challenge() -> Authentication {
    Authentication::Challenge {
        token: b"abc.def.ghi".to_vec(),
        signer: hs256(),
        client_nonce: ClientNonce(*b"\x11\x12\x13\x14\x15\x16\x17\x18"),
    }
}

fn connect_bytes(options: &ConnectOptions<'_>, authentication: Authentication) -> Vec<u8> {
    let session = Session::new(options.version);
    let mut opening = Opening::new(options, authentication, None, session).unwrap();
    take_connect(&mut opening)
}

fn fails(opening: Opening, bytes: &[u8]) -> ConnectError {
    opening.handle_bytes(bytes, clocks()).unwrap_err()
}

fn challenge<'a>(method: &'a str, nonce: &'a [u8]) -> Packet<'a> {
    Packet::Auth(Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        authentication_method: Some(method),
        authentication_data: Some(nonce),
        reason_string: None,
        user_properties: UserProperties::default(),
    })
}

// RFC 9431 §2.2.4.2.1
#[test]
fn connect_carries_token_and_proof_over_the_exporter_value() {
    let bytes = connect_bytes(&options(V5), with_exporter());
    let [Packet::Connect(connect)] = &packets(V5, &bytes)[..] else {
        panic!("one CONNECT")
    };
    assert_eq!(connect.properties.authentication_method, Some("ace"));
    let expected = "000b6162632e6465662e676869\
        0c95bd8bdd96004ec3f84f7bcc9526ee33491925dae778d32b6b81a42c38fe93";
    assert_eq!(
        connect.properties.authentication_data,
        Some(&hex(expected)[..])
    );
    // RFC 9431 §2.2.4.1
    assert_eq!((connect.user_name, connect.password), (None, None));
    assert!(connect.clean_start);
}

// RFC 9431 §6
#[test]
fn connect_of_3_1_1_is_the_vector() {
    let expected = "104400044d51545404c2003c00026331001261636559574a6a4c6d526c5a69356e61476b0020\
        0c95bd8bdd96004ec3f84f7bcc9526ee33491925dae778d32b6b81a42c38fe93";
    assert_eq!(
        connect_bytes(&options(V311), with_exporter()),
        hex(expected)
    );
}

// RFC 9431 §2.2.4.2.2
#[test]
fn a_challenge_is_answered_with_the_vector() {
    let bytes = connect_bytes(&options(V5), with_challenge());
    let [Packet::Connect(connect)] = &packets(V5, &bytes)[..] else {
        panic!("one CONNECT")
    };
    assert_eq!(
        connect.properties.authentication_data,
        Some(&hex("000b6162632e6465662e676869")[..])
    );
    let opening = opening(&options(V5), with_challenge());
    let challenge = hex("f01318111500036163651600080102030405060708");
    let Progress::Opening(mut opening) = opening.handle_bytes(&challenge, clocks()).unwrap() else {
        panic!("CONNACK is still due")
    };
    let expected = "f0331831150003616365160028111213141516171807215b998b9a990c5cc6a160e9180b48\
        7dc80d13a7e464ed0d1298cfbf652467";
    assert_eq!(take_connect(&mut opening), hex(expected));
    let connack = hex("2009000006150003616365");
    connected(opening.handle_bytes(&connack, clocks()).unwrap());
}

#[test]
fn a_second_challenge_gets_no_answer() {
    let opening = opening(&options(V5), with_challenge());
    let challenge = hex("f01318111500036163651600080102030405060708").repeat(2);
    assert!(matches!(
        fails(opening, &challenge),
        ConnectError::Protocol(_)
    ));
}

#[test]
fn a_challenge_that_was_not_asked_for_gets_no_answer() {
    for authentication in [with_exporter(), Authentication::Discover] {
        let opening = opening(&options(V5), authentication);
        let challenge = hex("f01318111500036163651600080102030405060708");
        assert!(matches!(
            fails(opening, &challenge),
            ConnectError::Protocol(_)
        ));
    }
}

// RFC 9431 §2.2.4.2.2: the nonce is 8 bytes. MQTT 5.0 §3.15.2.2.2: the method is always there, and always the same (§4.12).
#[test]
fn a_challenge_of_the_wrong_length_or_method_gets_no_answer() {
    let wrong = [
        encoded(V5, &challenge("ace", b"1234567")),
        encoded(V5, &challenge("ace", b"123456789")),
        encoded(V5, &challenge("SCRAM-SHA-1", b"12345678")),
        // No method.
        hex("f00d180b1600080102030405060708"),
    ];
    for bytes in wrong {
        let opening = opening(&options(V5), with_challenge());
        let error = fails(opening, &bytes);
        assert!(matches!(error, ConnectError::Protocol(_)), "{error}");
    }
}

// RFC 9431 §2.4.1
#[test]
fn a_refusal_tells_code_words_and_where_to_ask() {
    let opening = opening(&options(V5), Authentication::Discover);
    let connack = "203800873526000b6163655f61735f68696e7400257b224153223a2268747470733a2f2f61732e\
        6578616d706c652e636f6d2f746f6b656e227d";
    let ConnectError::Refused {
        reason_code, hint, ..
    } = fails(opening, &hex(connack))
    else {
        panic!("refused")
    };
    assert_eq!(reason_code, ReasonCode::NotAuthorized);
    let hint = hint.unwrap();
    assert_eq!(hint.authorization_server, "https://as.example.com/token");
}

#[test]
fn a_refusal_of_3_1_1_is_told_too() {
    let opening = opening(&options(V311), Authentication::None);
    assert!(matches!(
        fails(opening, &[0x20, 2, 0, 5]),
        ConnectError::Refused {
            reason_code: ReasonCode::NotAuthorized,
            reason_string: None,
            hint: None,
        }
    ));
}

#[test]
fn discovery_sends_the_method_and_nothing_else() {
    let bytes = connect_bytes(&options(V5), Authentication::Discover);
    let [Packet::Connect(connect)] = &packets(V5, &bytes)[..] else {
        panic!("one CONNECT")
    };
    assert_eq!(connect.properties.authentication_method, Some("ace"));
    assert_eq!(connect.properties.authentication_data, None);
}

#[test]
fn what_3_1_1_cannot_do_is_refused_before_anything_is_sent() {
    for authentication in [with_challenge(), Authentication::Discover] {
        let refused = Opening::new(&options(V311), authentication, None, Session::new(V311));
        assert!(matches!(refused, Err(ConnectError::Options(_))));
    }
}

// RFC 9431 §2.2.4.1: the flags of user name and password are 0.
#[test]
fn a_token_beside_a_user_name_is_refused() {
    let mut options = options(V5);
    options.user_name = Some("me".to_owned());
    let refused = Opening::new(&options, with_exporter(), None, Session::new(V5));
    assert!(matches!(refused, Err(ConnectError::Options(_))));
}

#[test]
fn a_token_too_long_for_authentication_data_is_refused() {
    for version in [V5, V311] {
        let authentication = Authentication::Exporter {
            token: vec![b't'; 65_535],
            signer: hs256(),
            exporter: [0; 32],
        };
        let refused = Opening::new(
            &options(version),
            authentication,
            None,
            Session::new(version),
        );
        assert!(matches!(refused, Err(ConnectError::NotSent(_))));
    }
}

#[test]
fn what_the_application_asks_for_stands_in_connect() {
    let options = ConnectOptions {
        clean_start: false,
        session_expiry_interval_secs: Some(3600),
        user_name: Some("me".to_owned()),
        password: Some(b"secret".to_vec()),
        user_properties: vec![("site".to_owned(), "north".to_owned())],
        receive_maximum: 7,
        maximum_packet_size: 1000,
        will: Some(Will {
            topic: TopicName::parse("gone").unwrap(),
            payload: b"c1",
            qos: Qos::AtLeastOnce,
            retain: true,
            delay_interval_secs: 5,
            properties: PublishProperties::default(),
        }),
        ..options(V5)
    };
    let bytes = connect_bytes(&options, Authentication::None);
    let [Packet::Connect(connect)] = &packets(V5, &bytes)[..] else {
        panic!("one CONNECT")
    };
    assert!(!connect.clean_start);
    assert_eq!(connect.keep_alive_secs, 60);
    assert_eq!(connect.client_identifier, "c1");
    assert_eq!(connect.user_name, Some("me"));
    assert_eq!(connect.password, Some(&b"secret"[..]));
    assert_eq!(connect.will, options.will);
    let properties = &connect.properties;
    assert_eq!(properties.session_expiry_interval_secs, Some(3600));
    assert_eq!(properties.receive_maximum, NonZeroU16::new(7));
    assert_eq!(properties.maximum_packet_size, NonZeroU32::new(1000));
    assert_eq!(properties.authentication_method, None);
    let pairs: Vec<_> = properties.user_properties.iter().collect();
    assert_eq!(pairs, [("site", "north")]);
}

#[test]
fn the_brokers_word_in_connack_holds() {
    let mut options = options(V5);
    options.client_identifier = String::new();
    let rig = Rig::with(
        &options,
        ConnAckProperties {
            assigned_client_identifier: Some("given"),
            server_keep_alive_secs: Some(7),
            receive_maximum: NonZeroU16::new(3),
            maximum_packet_size: NonZeroU32::new(100),
            maximum_qos: Some(Qos::AtLeastOnce),
            retain_available: Some(false),
            ..ConnAckProperties::default()
        },
    );
    let agreed = rig.machine.agreed();
    assert_eq!(agreed.client_identifier, "given");
    assert_eq!(agreed.keep_alive_secs, 7);
    assert_eq!(agreed.receive_maximum, 3);
    assert_eq!(agreed.maximum_packet_size, 100);
    assert_eq!(agreed.maximum_qos, Qos::AtLeastOnce);
    assert!(!agreed.retain_available);
    assert!(!agreed.session_present);
}

#[test]
fn connack_may_come_byte_by_byte_and_a_message_right_behind_it() {
    let mut opening = opening(&options(V5), Authentication::None);
    let connack = encoded(V5, &connack(ConnAckProperties::default()));
    let (last, first) = connack.split_last().unwrap();
    for byte in first {
        let Progress::Opening(further) = opening.handle_bytes(&[*byte], clocks()).unwrap() else {
            panic!("CONNACK is not whole yet")
        };
        opening = *further;
    }
    let mut rest = vec![*last];
    rest.extend(encoded(V5, &publish("a", Delivery::AtMostOnce)));
    let mut machine = connected(opening.handle_bytes(&rest, clocks()).unwrap());
    let event = machine.poll_event(clocks().now);
    assert!(matches!(event, Some(Event::Message(message)) if message.topic == "a"));
}

// [MQTT-3.2.0-1]
#[test]
fn a_packet_before_connack_is_refused() {
    let opening = opening(&options(V5), Authentication::None);
    let early = encoded(V5, &publish("a", Delivery::AtMostOnce));
    assert!(matches!(fails(opening, &early), ConnectError::Protocol(_)));
}

#[test]
fn a_disconnect_instead_of_connack_is_a_refusal() {
    let opening = opening(&options(V5), with_challenge());
    assert!(matches!(
        fails(opening, &[0xe0, 1, 0x89]),
        ConnectError::Refused {
            reason_code: ReasonCode::ServerBusy,
            ..
        }
    ));
}

#[test]
fn connack_with_another_authentication_method_is_refused() {
    let other = connack(ConnAckProperties {
        authentication_method: Some("other"),
        ..ConnAckProperties::default()
    });
    let opening = opening(&options(V5), with_exporter());
    let error = fails(opening, &encoded(V5, &other));
    assert!(matches!(error, ConnectError::Protocol(_)));
}
