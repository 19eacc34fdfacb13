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
    /// A token comes that lives from now on for so many seconds.
    fn token(&mut self, lifetime_secs: u64) {
        let token = Token {
            text: "abc.def.ghi".to_owned(),
            signer: hs256(),
            expires_at: self.clocks.unix.plus_secs(lifetime_secs),
            obtained_at: self.clocks.unix,
            scope: None,
            requested_scope: None,
            broker_certificate_sha256: None,
        };
        let nonce = ClientNonce(*b"\x11\x12\x13\x14\x15\x16\x17\x18");
        self.machine
            .handle_token(token, nonce, self.clocks.now)
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
fn a_3_1_1_connection_is_never_renewed() {
    let authentication = Authentication::Exporter {
        token: "abc.def.ghi".to_owned(),
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
    let machine = connected(opening.handle_bytes(&[0x20, 2, 0, 0], clocks()).unwrap());
    assert_eq!(machine.poll_timeout(), None);
}
