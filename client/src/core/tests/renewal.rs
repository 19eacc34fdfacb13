//! A new token in time.

use super::*;
use crate::token::{Token, TokenRequestError};
use symbolon_ace_proto::ClientNonce;
use symbolon_mqtt_proto::{Auth, UserProperties};

const REAUTHENTICATE: &str = "f018191615000361636516000d000b6162632e6465662e676869";
const CHALLENGE: &str = "f01318111500036163651600080102030405060708";
const RESPONSE: &str = "f0331831150003616365160028111213141516171807215b998b9a990c5cc6a160e9180b48\
    7dc80d13a7e464ed0d1298cfbf652467";

fn auth(reason_code: ReasonCode, method: Option<&str>) -> Packet<'_> {
    Packet::Auth(Auth {
        reason_code,
        authentication_method: method,
        authentication_data: None,
        reason_string: None,
        user_properties: UserProperties::default(),
    })
}

fn unreachable() -> TokenRequestError {
    TokenRequestError::Unreachable("no answer".to_owned())
}

impl Rig {
    /// A token that lives from now on for so many seconds.
    fn next_token(&self, lifetime_secs: u64) -> Token {
        Token {
            text: "abc.def.ghi".to_owned(),
            signer: hs256(),
            expires_at: self.clocks.unix.plus_secs(lifetime_secs),
            obtained_at: self.clocks.unix,
            scope: None,
            requested_scope: None,
            broker: None,
            raw: None,
            key_identifier: None,
        }
    }

    /// It is published.
    fn token_to_publish(&mut self, lifetime_secs: u64) {
        let token = self.next_token(lifetime_secs);
        self.machine
            .handle_token_to_publish(&token, self.clocks.now)
            .unwrap();
    }

    /// It goes into AUTH.
    fn token(&mut self, lifetime_secs: u64) {
        let token = self.next_token(lifetime_secs);
        let nonce = ClientNonce(*b"\x11\x12\x13\x14\x15\x16\x17\x18");
        self.machine
            .handle_token(&token, nonce, self.clocks.now)
            .unwrap();
    }

    fn is_due(&mut self) -> bool {
        self.machine.handle_timeout(self.clocks.now).unwrap();
        self.machine.poll_renewal(self.clocks.now)
    }

    fn seconds_to_timeout(&self) -> u64 {
        let timeout = self.machine.poll_timeout().unwrap();
        (timeout - self.clocks.now).as_secs()
    }
}

#[test]
fn a_token_is_asked_for_once_at_80_percent_of_its_life() {
    let mut rig = Rig::with_token(100);
    assert_eq!(rig.seconds_to_timeout(), 80);
    rig.wait(79);
    assert!(!rig.is_due());
    rig.wait(1);
    assert!(rig.is_due());
    assert!(!rig.is_due());
    assert_eq!(rig.machine.poll_timeout(), None);
}

#[test]
fn a_token_that_hardly_lives_is_renewed_a_second_sooner_than_it_seems_to_need() {
    for (lifetime_secs, due_secs) in [(5, 3), (4, 2), (3, 2), (2, 1), (10, 8)] {
        assert_eq!(
            Rig::with_token(lifetime_secs).seconds_to_timeout(),
            due_secs
        );
    }
}

// RFC 9431 §4
#[test]
fn renewing_is_by_auth_with_challenge_and_response() {
    let mut rig = Rig::with_token(100);
    rig.wait(80);
    assert!(rig.is_due());
    rig.token(1000);
    assert_eq!(rig.sent(), hex(REAUTHENTICATE));
    rig.machine
        .handle_bytes(&hex(CHALLENGE), rig.clocks)
        .unwrap();
    assert_eq!(rig.sent(), hex(RESPONSE));
    assert!(rig.event().is_none());
    // Messages flow meanwhile.
    rig.publish("a", Qos::AtMostOnce).unwrap();
    rig.sent();
    rig.broker_sends(&auth(ReasonCode::Success, Some("ace")))
        .unwrap();
    assert!(matches!(rig.event(), Some(Event::Renewed)));
    // And the next in its time.
    assert_eq!(rig.seconds_to_timeout(), 800);
}

#[test]
fn success_without_any_property_counts_too() {
    let mut rig = Rig::with_token(100);
    rig.wait(80);
    assert!(rig.is_due());
    rig.token(1000);
    rig.machine
        .handle_bytes(&hex(CHALLENGE), rig.clocks)
        .unwrap();
    rig.machine.handle_bytes(&hex("f000"), rig.clocks).unwrap();
    assert!(matches!(rig.event(), Some(Event::Renewed)));
}

#[test]
fn a_refused_renewal_is_the_brokers_refusal() {
    let mut rig = Rig::with_token(100);
    rig.wait(80);
    assert!(rig.is_due());
    rig.token(1000);
    assert!(matches!(
        rig.machine.handle_bytes(&hex("e00187"), rig.clocks),
        Err(ConnectError::Refused {
            reason_code: ReasonCode::NotAuthorized,
            ..
        })
    ));
}

#[test]
fn a_broker_that_lets_a_renewal_hang_times_out() {
    for answered in [false, true] {
        let mut rig = Rig::with_token(100);
        rig.wait(80);
        assert!(rig.is_due());
        rig.token(1000);
        if answered {
            rig.machine
                .handle_bytes(&hex(CHALLENGE), rig.clocks)
                .unwrap();
        }
        let limit = options(V5).timeout.as_secs();
        assert_eq!(rig.seconds_to_timeout(), limit);
        rig.wait(limit);
        assert!(matches!(
            rig.machine.handle_timeout(rig.clocks.now),
            Err(ConnectError::Timeout)
        ));
    }
}

#[test]
fn an_auth_that_nothing_asked_for_ends_the_connection() {
    let mut waiting = Rig::with_token(100);
    let result = waiting
        .machine
        .handle_bytes(&hex(CHALLENGE), waiting.clocks);
    assert!(matches!(result, Err(ConnectError::Protocol(_))));

    let mut twice = Rig::with_token(100);
    twice.wait(80);
    assert!(twice.is_due());
    twice.token(1000);
    let result = twice
        .machine
        .handle_bytes(&hex(CHALLENGE).repeat(2), twice.clocks);
    assert!(matches!(result, Err(ConnectError::Protocol(_))));

    let mut without = Rig::new(V5);
    let result = without.broker_sends(&auth(ReasonCode::Success, Some("ace")));
    assert!(matches!(result, Err(ConnectError::Protocol(_))));
}

#[test]
fn without_a_token_it_is_tried_again_ever_later_until_the_old_one_ends() {
    let mut rig = Rig::with_token(1000);
    rig.wait(800);
    let mut waits = Vec::new();
    loop {
        assert!(rig.is_due());
        let told = rig.machine.handle_no_token(unreachable(), rig.clocks.now);
        if rig.clocks.unix.0 - BEGIN.0 >= 1000 {
            assert!(matches!(told, Err(ConnectError::NotRenewed(_))));
            break;
        }
        told.unwrap();
        assert!(matches!(rig.event(), Some(Event::NotRenewed(_))));
        let wait = rig.seconds_to_timeout();
        waits.push(wait);
        rig.wait(wait);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 17]);
}

#[test]
fn a_token_that_is_over_when_it_comes_is_not_renewed_in_a_hurry() {
    let mut rig = Rig::with_token(0);
    assert_eq!(rig.seconds_to_timeout(), 1);
    rig.wait(1);
    assert!(rig.is_due());
    let told = rig.machine.handle_no_token(unreachable(), rig.clocks.now);
    assert!(matches!(told, Err(ConnectError::NotRenewed(_))));
}

#[test]
fn a_token_without_end_needs_no_renewing() {
    let rig = Rig::with_token(u64::MAX);
    assert_eq!(rig.machine.poll_timeout(), None);
}

// RFC 9431 §6
#[test]
fn a_3_1_1_connection_asks_for_a_token_in_time_too() {
    let authentication = Authentication::Exporter {
        token: b"abc.def.ghi".to_vec(),
        signer: hs256(),
        exporter: [0; 32],
    };
    let life = TokenLife {
        obtained_at: BEGIN,
        expires_at: BEGIN.plus_secs(100),
    };
    let mut options = options(V311);
    options.keep_alive_secs = 0;
    let session = Session::new(V311);
    let mut opening = Opening::new(&options, authentication, Some(life), session).unwrap();
    take_connect(&mut opening);
    let clocks = clocks();
    let progress = opening.handle_bytes(&[0x20, 2, 0, 0], clocks);
    let timeout = connected(progress.unwrap()).poll_timeout().unwrap();
    assert_eq!((timeout - clocks.now).as_secs(), 80);
}

/// The Packet Identifier of the token that was published, and nothing else.
fn published_token(sent: &[u8]) -> PacketIdentifier {
    match packets(V5, sent).as_slice() {
        [Packet::Publish(publish)] => {
            assert_eq!(publish.topic.unwrap().as_str(), "authz-info");
            assert_eq!(publish.payload, b"abc.def.ghi");
            assert!(!publish.retain);
            publish.delivery.packet_identifier().unwrap()
        }
        other => panic!("a token, not {other:?}"),
    }
}

fn puback(identifier: PacketIdentifier, reason_code: ReasonCode) -> Packet<'static> {
    Packet::PubAck(symbolon_mqtt_proto::Ack::new(identifier, reason_code))
}

// RFC 9202 §4: new rights for the same key.
#[test]
fn a_client_that_tls_knows_renews_by_publishing_its_token() {
    let mut rig = Rig::with_token(100);
    rig.wait(80);
    assert!(rig.is_due());
    rig.token_to_publish(1000);
    let identifier = published_token(&rig.sent());
    assert!(rig.event().is_none());
    rig.broker_sends(&puback(identifier, ReasonCode::Success))
        .unwrap();
    assert!(matches!(rig.event(), Some(Event::Renewed)));
    assert!(rig.event().is_none());
    assert_eq!(rig.seconds_to_timeout(), 800);
}

// RFC 9431 §2.2.2: 0x87 and 0x99, and 0x97 where there is no room.
#[test]
fn a_published_token_that_is_not_taken_is_tried_again_until_the_old_one_ends() {
    for reason_code in [
        ReasonCode::NotAuthorized,
        ReasonCode::PayloadFormatInvalid,
        ReasonCode::QuotaExceeded,
    ] {
        let mut rig = Rig::with_token(100);
        rig.wait(80);
        assert!(rig.is_due());
        rig.token_to_publish(1000);
        let identifier = published_token(&rig.sent());
        rig.broker_sends(&puback(identifier, reason_code)).unwrap();
        let event = rig.event();
        assert!(
            matches!(&event, Some(Event::NotRenewed(TokenRequestError::NotTaken { reason_code: told, .. })) if *told == reason_code),
            "{event:?}"
        );
        assert_eq!(rig.seconds_to_timeout(), 1);
        rig.wait(20);
        assert!(rig.is_due());
        rig.token_to_publish(1000);
        let identifier = published_token(&rig.sent());
        let over = rig.broker_sends(&puback(identifier, reason_code));
        assert!(matches!(over, Err(ConnectError::NotRenewed(_))));
    }
}

// [MQTT-3.3.4-7]: no more in flight than the broker's Receive Maximum, a token neither.
#[test]
fn a_token_waits_for_room_in_flight() {
    let mut options = options(V5);
    options.keep_alive_secs = 0;
    let properties = ConnAckProperties {
        receive_maximum: std::num::NonZeroU16::new(1),
        ..ConnAckProperties::default()
    };
    let life = TokenLife {
        obtained_at: BEGIN,
        expires_at: BEGIN.plus_secs(100),
    };
    let session = Session::new(V5);
    let mut opening = Opening::new(&options, Authentication::None, Some(life), session).unwrap();
    take_connect(&mut opening);
    let clocks = clocks();
    let bytes = encoded(V5, &connack(properties));
    let mut rig = Rig {
        machine: connected(opening.handle_bytes(&bytes, clocks).unwrap()),
        version: V5,
        clocks,
    };
    rig.publish("a", Qos::AtLeastOnce).unwrap();
    let sent = rig.sent();
    let in_flight = match packets(V5, &sent).as_slice() {
        [Packet::Publish(publish)] => publish.delivery.packet_identifier().unwrap(),
        other => panic!("a message, not {other:?}"),
    };
    rig.wait(80);
    assert!(rig.is_due());
    rig.token_to_publish(1000);
    assert!(rig.sent().is_empty());
    rig.broker_sends(&puback(in_flight, ReasonCode::Success))
        .unwrap();
    let identifier = published_token(&rig.sent());
    assert!(matches!(rig.event(), Some(Event::Published { .. })));
    rig.broker_sends(&puback(identifier, ReasonCode::Success))
        .unwrap();
    assert!(matches!(rig.event(), Some(Event::Renewed)));
}

#[test]
fn a_token_that_was_not_answered_is_not_sent_again_on_the_next_connection() {
    let mut rig = Rig::with_token(100);
    rig.wait(80);
    assert!(rig.is_due());
    rig.token_to_publish(1000);
    published_token(&rig.sent());
    let session = rig.machine.into_session();
    let mut next = Rig::resumed(&options(V5), ConnAckProperties::default(), session, true);
    assert!(next.sent().is_empty());
}

#[test]
fn a_connection_is_not_left_while_something_would_be_lost() {
    let mut rig = Rig::new(V5);
    assert!(rig.machine.may_be_left());
    rig.broker_sends(&publish("a", Delivery::ExactlyOnce(id(7))))
        .unwrap();
    assert!(!rig.machine.may_be_left());
    assert!(matches!(rig.event(), Some(Event::Message(_))));
    // In hand, and not acknowledged: it would come again, as if it was new.
    assert!(!rig.machine.may_be_left());
    assert!(rig.event().is_none());
    assert!(rig.machine.may_be_left());
}
