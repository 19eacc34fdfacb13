//! What a publisher's tokens mean for what it has left behind: renewed, expired, revoked (RFC 9431 §5, RFC 9770).

use super::*;
use crate::core::{message::Message, shard::WillFate};
use std::collections::HashSet;
use symbolon_ace_proto::TokenHash;

const SCOPE: &str = r#"[["t/#",["pub","sub"]]]"#;

/// A client with a token of 100 seconds has published a retained message to `t/1`.
fn world() -> (World, ConnectionKey) {
    let mut world = World::new();
    let key = world.connect(&token(SCOPE));
    let retained = Publish {
        retain: true,
        payload: b"kept",
        ..to_publish("t/1", Delivery::AtLeastOnce(NonZeroU16::MIN))
    };
    world.handle(key, &Packet::Publish(retained), after(1));
    (world, key)
}

impl World {
    fn retained(&self, secs: u64) -> Vec<Arc<Message>> {
        let filter = TopicFilter::parse("t/1").unwrap();
        self.shard.retaining.matching(&filter, after(secs))
    }

    fn renew(&mut self, key: ConnectionKey, scope: &str, secs: u64) {
        self.reauthenticate(key, &token(scope), after(secs));
        let answer = answer_by(&self.pop);
        let codes = self.auth(
            key,
            ReasonCode::ContinueAuthentication,
            &answer,
            after(secs),
        );
        assert_eq!(codes, [ReasonCode::Success]);
    }

    fn revoke(&mut self, tokens: &[Vec<u8>], now: Now) -> usize {
        let hashes = tokens.iter().map(|it| TokenHash::of_json_answer(it));
        let new = self.admission.tokens.revoke(hashes.collect());
        self.shard.handle_revoked(&new, now)
    }
}

// RFC 9431 §5
#[test]
fn a_retained_message_lives_on_when_its_publisher_renews() {
    let (mut world, key) = world();
    assert_eq!(world.retained(99).len(), 1);
    assert_eq!(world.retained(100).len(), 0);
    world.renew(key, SCOPE, 50);
    assert_eq!(world.retained(149).len(), 1);
    assert_eq!(world.retained(150).len(), 0);
}

#[test]
fn it_does_not_where_the_new_token_does_not_let_it_be_published() {
    let (mut world, key) = world();
    world.renew(key, r#"[["t/2",["pub"]]]"#, 50);
    assert_eq!(world.retained(99).len(), 1);
    assert_eq!(world.retained(100).len(), 0);
}

#[test]
fn a_publisher_that_comes_back_renews_what_it_has_left() {
    let (mut world, key) = world();
    world
        .shard
        .part(key.session, WillFate::Discard, false, after(2));
    assert!(world.shard.live(key).is_none());
    let other = Token {
        subject: "other",
        lifetime_secs: 300,
        ..token(SCOPE)
    };
    let key = world.connect(&other);
    assert_eq!(world.retained(100).len(), 0);
    world
        .shard
        .part(key.session, WillFate::Discard, false, after(2));
    let again = Token {
        lifetime_secs: 200,
        ..token(SCOPE)
    };
    world.connect(&again);
    assert_eq!(world.retained(199).len(), 1);
    assert_eq!(world.retained(200).len(), 0);
}

#[test]
fn a_sweep_remembers_in_the_message_how_long_it_lives() {
    let (mut world, key) = world();
    world.renew(key, SCOPE, 50);
    world.shard.handle_timeout(after(60));
    world.shard.handle_timeout(after(120));
    let message = world.retained(120).pop().unwrap();
    assert_eq!(message.token_expires_at(), Some(after(150).unix));
}

// RFC 9770 §7: a revoked token is expunged.
#[test]
fn a_revoked_token_ends_its_session_at_once_and_takes_what_it_left_along() {
    let (mut world, key) = world();
    let bytes = world.sign(&token(SCOPE), after(0));
    assert_eq!(world.revoke(&[b"another".to_vec()], after(2)), 0);
    assert!(world.shard.live(key).is_some());
    assert_eq!(world.revoke(std::slice::from_ref(&bytes), after(2)), 1);
    assert_eq!(world.sent(key), [ReasonCode::NotAuthorized]);
    assert!(world.shard.live(key).is_none());
    assert_eq!(world.retained(2).len(), 0);
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let again = ConnectData::TokenAndProof {
        token: &bytes,
        proof: &proof,
    };
    let refused = world.judge(&again, None, Some(&EXPORTER)).unwrap_err();
    assert_eq!(refused, Refusal::Revoked);
    // Another token of the same client is none of them, and what it publishes stays.
    let other = Token {
        lifetime_secs: 99,
        ..token(SCOPE)
    };
    let key = world.connect(&other);
    let retained = Publish {
        retain: true,
        payload: b"kept",
        ..to_publish("t/1", Delivery::AtLeastOnce(NonZeroU16::MIN))
    };
    world.handle(key, &Packet::Publish(retained), after(3));
    assert_eq!(world.retained(3).len(), 1);
}

#[test]
fn a_will_of_a_revoked_token_is_not_published() {
    let mut world = World::new();
    let bytes = world.sign(&token(SCOPE), after(0));
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let data = ConnectData::TokenAndProof {
        token: &bytes,
        proof: &proof,
    };
    let Ok(Step::Admit(mut admitted)) = world.judge(&data, Some("t/will"), Some(&EXPORTER)) else {
        panic!("it proves possession");
    };
    let will = admitted.introduction.will.as_mut().unwrap();
    let mut publish = will.message.publish();
    publish.retain = true;
    publish.payload = b"gone";
    will.message = Message::new(&publish, 0, will.message.origin());
    let published = |world: &World| world.shard.retaining.message_count();
    // A connection that is lost publishes it.
    let key = world.admit(&admitted);
    world.shard.handle_closed(key, after(1));
    assert_eq!(published(&world), 1);
    let key = world.admit(&admitted);
    let mut world = world;
    assert_eq!(world.revoke(&[bytes], after(2)), 1);
    assert!(world.shard.live(key).is_none());
    world.shard.handle_timeout(after(60));
    assert_eq!(published(&world), 0);
}

#[test]
fn a_token_that_was_revoked_before_its_client_came_in_lets_nobody_in() {
    let mut world = World::new();
    let bytes = world.sign(&token(SCOPE), after(0));
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let data = ConnectData::TokenAndProof {
        token: &bytes,
        proof: &proof,
    };
    let Ok(Step::Admit(admitted)) = world.judge(&data, None, Some(&EXPORTER)) else {
        panic!("it proves possession");
    };
    let hashes = HashSet::from([TokenHash::of_cbor_answer(&bytes)]);
    world.admission.tokens.revoke(hashes);
    assert!(
        world
            .shard
            .handle_admitted(&admitted, false, after(1))
            .is_err()
    );
}
