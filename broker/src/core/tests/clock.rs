//! The time of day jumps by an hour, either way: tokens are judged by it, and everything else by the time that never goes back.

use super::*;
use crate::core::shard::WillFate;

const HOUR: u64 = 3_600;

/// So long after the beginning, by a clock that is off by so much.
fn at(secs: u64, off_secs: i64) -> Now {
    let unix = BEGIN.plus_secs(secs).0.checked_add_signed(off_secs);
    Now {
        ms: secs * 1_000,
        unix: UnixTime(unix.unwrap()),
    }
}

const AHEAD: i64 = HOUR.cast_signed();
const BEHIND: i64 = -AHEAD;

fn lasting(secs: u64) -> Token<'static> {
    Token {
        lifetime_secs: secs,
        ..token(r#"[["t",["pub","sub"]]]"#)
    }
}

// RFC 9431 §4: an expired token ends the session, whenever the clock says that it is.
#[test]
fn a_clock_that_jumps_ahead_ends_what_it_says_is_over_and_nothing_else() {
    let mut world = World::new();
    let brief = world.connect(&lasting(HOUR));
    assert_eq!(
        world.publish(brief, "t", at(1, 0)),
        [ReasonCode::NoMatchingSubscribers]
    );
    assert_eq!(
        world.publish(brief, "t", at(2, AHEAD)),
        [ReasonCode::NotAuthorized]
    );
    let long = world.connect(&lasting(3 * HOUR));
    world.shard.handle_timeout(at(3, AHEAD));
    assert_eq!(world.sent(long), []);
    // And back again.
    assert_eq!(
        world.publish(long, "t", at(4, 0)),
        [ReasonCode::NoMatchingSubscribers]
    );
    assert_eq!(world.counted(Count::TokenExpiries), 1);
}

#[test]
fn a_clock_that_jumps_back_lets_no_token_live_once_it_is_right_again() {
    let mut world = World::new();
    let key = world.connect(&lasting(100));
    world.shard.handle_timeout(at(101, BEHIND));
    // By the clock it is valid for an hour more; it is looked at again within an hour, whatever the clock does.
    assert_eq!(world.sent(key), []);
    let next = world.shard.poll_timeout().unwrap();
    assert!(next <= (101 + HOUR) * 1_000);
    assert_eq!(
        world.publish(key, "t", at(102, 0)),
        [ReasonCode::NotAuthorized]
    );
}

#[test]
fn sessions_end_when_their_time_has_passed_whatever_the_clock_says() {
    for off in [AHEAD, BEHIND] {
        let mut world = World::new();
        let bytes = world.sign(&lasting(10 * HOUR), after(0));
        let proof = world.pop.sign(&EXPORTER).unwrap();
        let data = ConnectData::TokenAndProof {
            token: &bytes,
            proof: &proof,
        };
        let Ok(Step::Admit(mut admitted)) = world.judge(&data, None, Some(&EXPORTER)) else {
            panic!("it proves possession");
        };
        admitted.introduction.clean_start = false;
        admitted.introduction.session_expiry_secs = 600;
        let key = world.admit(&admitted);
        (world.shard).part(key.session, WillFate::Discard, false, at(1, 0));
        world.shard.handle_timeout(at(500, off));
        assert_eq!(world.shard.sessions.len(), 1, "ended too early at {off}");
        world.shard.handle_timeout(at(602, off));
        assert_eq!(world.shard.sessions.len(), 0, "goes on for ever at {off}");
    }
}
