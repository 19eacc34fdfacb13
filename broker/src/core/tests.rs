//! Tokens in a shard's hands, with made-up clocks: admission, expiry, re-authentication (RFC 9431 §2.2, §4).

mod authority;
mod authz_info;
mod clock;
mod publishers;
mod reloading;
mod resuming;

use super::{
    admission::{Admission, Admitted, Circumstances, Step, TokenKeeping},
    authority::{Authority, KeySets},
    counters::{Count, Outcome},
    grant::PublicTopics,
    hash_seed::HashSeed,
    quota::Quotas,
    reauthentication::AuthCircumstances,
    refusal::Refusal,
    session::ConnectionKey,
    shard::{Now, Shard, ShardSetup},
};
use crate::Limits;
use std::{num::NonZeroU16, sync::Arc};
use symbolon_ace_proto::{
    AsHint, ChallengeResponse, Claims, ClientNonce, Confirmation, ConnectData, KeySet,
    PopAlgorithm, PopSigner, RsNonce, Scope, SigningKey, TokenError, UnixTime,
    authentication_data::{challenge_message, user_name},
    jwe::ContentKeys,
    jwt::SigningAlgorithm,
};
use symbolon_mqtt_proto::{
    Auth, Connect, Decoder, Delivery, Packet, PacketType, ProtocolVersion, Publish,
    PublishProperties, Qos, ReasonCode, RetainHandling, Sender, Subscribe, Subscription,
    TopicFilter, TopicName, UserProperties, Will, connect::ConnectProperties,
};

const ISSUER: &str = "https://as.example";
const AUDIENCE: &str = "mqtts://broker.example";
const EXPORTER: [u8; 32] = [0xa5; 32];
const NONCE: RsNonce = RsNonce([1, 2, 3, 4, 5, 6, 7, 8]);
/// When every test begins.
const BEGIN: UnixTime = UnixTime(1_800_000_000);

/// An authorization server, a device and a broker of one shard.
struct World {
    signing_key: SigningKey,
    keys: KeySets,
    pop: PopSigner,
    admission: Arc<Admission>,
    shard: Shard,
}

/// What a test's token says.
struct Token<'a> {
    scope: &'a str,
    subject: &'a str,
    lifetime_secs: u64,
}

fn token(scope: &str) -> Token<'_> {
    Token {
        scope,
        subject: "device",
        lifetime_secs: 100,
    }
}

/// The answer to the challenge [`NONCE`].
fn answer_by(signer: &PopSigner) -> Vec<u8> {
    let client_nonce = ClientNonce([9; 8]);
    let proof = signer
        .sign(&challenge_message(NONCE, client_nonce))
        .unwrap();
    ChallengeResponse {
        client_nonce,
        proof: &proof,
    }
    .encode()
}

fn to_publish(topic: &str, delivery: Delivery) -> Publish<'_> {
    Publish {
        duplicate: false,
        delivery,
        retain: false,
        topic: Some(TopicName::parse(topic).unwrap()),
        properties: PublishProperties::default(),
        payload: b"",
    }
}

fn after(secs: u64) -> Now {
    Now {
        ms: secs * 1_000,
        unix: BEGIN.plus_secs(secs),
    }
}

fn keys_of(signing_key: &SigningKey) -> KeySets {
    let keys = KeySet::from_keys(vec![signing_key.to_public_jwk()]);
    KeySets::new(vec![(ISSUER.into(), keys)])
}

impl World {
    fn new() -> Self {
        Self::with(TokenKeeping::default())
    }

    fn with(tokens: TokenKeeping) -> Self {
        let signing_key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let keys = keys_of(&signing_key);
        let authority = Authority {
            issuer: ISSUER.into(),
            audience: AUDIENCE.into(),
            content_keys: ContentKeys::default(),
            derivation_keys: Vec::new(),
            introspection: false,
            hint: AsHint::from_json(r#"{"AS":"https://as.example/token"}"#).unwrap(),
        };
        let admission = Arc::new(Admission {
            authorities: vec![authority],
            generation: 0,
            clock: true,
            public_topics: Arc::new(PublicTopics::default()),
            response_information: None,
            quotas: Quotas::new(&Limits::default()),
            tokens,
        });
        let shard = Shard::new(ShardSetup {
            index: 0,
            count: 1,
            limits: Limits::default(),
            admission: Arc::clone(&admission),
            store: None,
            seed: HashSeed::from_words([1, 2, 3, 4]),
        });
        Self {
            signing_key,
            keys,
            pop: PopSigner::generate(PopAlgorithm::EdDsa).unwrap(),
            admission,
            shard,
        }
    }

    fn counted(&self, what: Count) -> u64 {
        self.shard.counters.numbers()[what.place()]
    }

    fn sign(&self, token: &Token<'_>, now: Now) -> Vec<u8> {
        let claims = self.claims(token, now);
        self.signing_key.sign(&claims).unwrap().into_bytes()
    }

    fn claims(&self, token: &Token<'_>, now: Now) -> Claims {
        Claims {
            issuer: ISSUER.into(),
            subject: Some(token.subject.into()),
            client_id: None,
            audience: vec![AUDIENCE.into()],
            expires_at: now.unix.plus_secs(token.lifetime_secs),
            not_before: None,
            issued_at: Some(now.unix),
            token_identifier: None,
            scope: Scope::from_json(token.scope).unwrap(),
            expires_in_secs: None,
            client_nonce: None,
            confirmation: Confirmation::Key(Box::new(self.pop.verifying_key().to_jwk())),
        }
    }

    fn judge(
        &self,
        data: &ConnectData<'_>,
        will: Option<&str>,
        exporter: Option<&[u8; 32]>,
    ) -> Result<Step, Refusal> {
        let data = data.encode().unwrap();
        let connect = Connect {
            version: ProtocolVersion::V5,
            clean_start: true,
            keep_alive_secs: 0,
            client_identifier: "c",
            will: will.map(|topic| Will {
                topic: TopicName::parse(topic).unwrap(),
                payload: b"",
                qos: Qos::AtMostOnce,
                retain: false,
                delay_interval_secs: 0,
                properties: PublishProperties::default(),
            }),
            user_name: None,
            password: None,
            properties: ConnectProperties {
                authentication_method: Some("ace"),
                authentication_data: Some(&data),
                ..ConnectProperties::default()
            },
        };
        let at = Circumstances {
            keys: &self.keys,
            exporter,
            proved_key: None,
            brought: None,
            fresh_nonce: &|| Some(NONCE),
            now: BEGIN,
            now_ms: 0,
        };
        self.admission.handle_connect(&connect, at)
    }

    fn admit(&mut self, admitted: &Admitted) -> ConnectionKey {
        let key = (self.shard.handle_admitted(admitted, false, after(0))).unwrap();
        assert!(matches!(self.sent(key)[..], [ReasonCode::Success]));
        key
    }

    /// Admits a client by exporter proof.
    fn connect(&mut self, token: &Token<'_>) -> ConnectionKey {
        let token = self.sign(token, after(0));
        let proof = self.pop.sign(&EXPORTER).unwrap();
        let step = self.judge(
            &ConnectData::TokenAndProof {
                token: &token,
                proof: &proof,
            },
            None,
            Some(&EXPORTER),
        );
        match step.unwrap() {
            Step::Admit(admitted) => self.admit(&admitted),
            Step::Challenge(_) => panic!("the proof was there"),
        }
    }

    fn handle(&mut self, key: ConnectionKey, packet: &Packet<'_>, now: Now) -> Vec<ReasonCode> {
        let with = AuthCircumstances {
            keys: &self.keys,
            fresh_nonce: &|| Some(NONCE),
        };
        self.shard.handle_packet(key, packet, with, now);
        self.sent(key)
    }

    /// The Reason Codes of what was sent since the last time; `NoMatchingSubscribers` stands for a PUBLISH.
    fn sent(&mut self, key: ConnectionKey) -> Vec<ReasonCode> {
        let bytes = if self.shard.live(key).is_some() {
            let outbox = &mut self.shard.session_mut(key.session).link.outbox;
            let bytes = outbox.front().to_vec();
            outbox.advance(bytes.len());
            bytes
        } else {
            self.shard.take_farewell(key).outbox.front().to_vec()
        };
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        let mut rest = &bytes[..];
        let mut codes = Vec::new();
        while let Some((packet, size)) = decoder.decode(rest).unwrap() {
            rest = &rest[size..];
            if let Packet::ConnAck(connack) = &packet {
                codes.push(connack.reason_code);
            } else if let Packet::PubAck(ack) = packet {
                codes.push(ack.reason_code);
            } else if let Packet::SubAck(suback) = &packet {
                codes.extend(&suback.reason_codes);
            } else if let Packet::Disconnect(disconnect) = packet {
                codes.push(disconnect.reason_code);
            } else if let Packet::Auth(auth) = packet {
                codes.push(auth.reason_code);
            } else {
                assert_eq!(packet.packet_type(), PacketType::Publish);
                codes.push(ReasonCode::NoMatchingSubscribers);
            }
        }
        codes
    }

    fn auth(
        &mut self,
        key: ConnectionKey,
        reason_code: ReasonCode,
        data: &[u8],
        now: Now,
    ) -> Vec<ReasonCode> {
        let auth = Auth {
            reason_code,
            authentication_method: Some("ace"),
            authentication_data: Some(data),
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        self.handle(key, &Packet::Auth(auth), now)
    }

    /// AUTH 0x19 with a new token.
    fn reauthenticate(
        &mut self,
        key: ConnectionKey,
        token: &Token<'_>,
        now: Now,
    ) -> Vec<ReasonCode> {
        let token = self.sign(token, now);
        self.auth(
            key,
            ReasonCode::ReAuthenticate,
            &ConnectData::Token(&token).encode().unwrap(),
            now,
        )
    }

    fn publish(&mut self, key: ConnectionKey, topic: &str, now: Now) -> Vec<ReasonCode> {
        let publish = to_publish(topic, Delivery::AtLeastOnce(NonZeroU16::MIN));
        self.handle(key, &Packet::Publish(publish), now)
    }

    fn subscribe(&mut self, key: ConnectionKey, filter: &str, now: Now) -> Vec<ReasonCode> {
        let subscription = Subscription {
            share_name: None,
            filter: TopicFilter::parse(filter).unwrap(),
            maximum_qos: Qos::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let subscribe = Subscribe {
            packet_identifier: NonZeroU16::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: vec![subscription],
        };
        self.handle(key, &Packet::Subscribe(subscribe), now)
    }
}

// RFC 9431 §2.2.4.2.1.
#[test]
fn a_proof_over_another_connections_exporter_value_is_refused() {
    let world = World::new();
    let token = world.sign(&token(r#"[["t",["pub"]]]"#), after(0));
    let proof = world.pop.sign(&[0; 32]).unwrap();
    let data = ConnectData::TokenAndProof {
        token: &token,
        proof: &proof,
    };
    assert_eq!(
        world.judge(&data, None, Some(&EXPORTER)).unwrap_err(),
        Refusal::Proof
    );
    // Bare TCP has no exporter value.
    assert_eq!(
        world.judge(&data, None, None).unwrap_err(),
        Refusal::NoExporter
    );
}

// RFC 9431 §2.2.4.2.2.
#[test]
fn a_challenge_is_answered_over_both_nonces_or_refused() {
    let world = World::new();
    let token = world.sign(&token(r#"[["t",["pub"]]]"#), after(0));
    let challenge = || match world
        .judge(&ConnectData::Token(&token), None, None)
        .unwrap()
    {
        Step::Challenge(await_proof) => await_proof,
        Step::Admit(_) => panic!("admitted without proof"),
    };
    let auth = |data: &[u8], now: UnixTime| {
        let auth = Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            authentication_method: Some("ace"),
            authentication_data: Some(data),
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        challenge().handle_auth(&auth, now).map(|_| ())
    };
    let answer = answer_by(&world.pop);
    assert_eq!(auth(&answer, BEGIN), Ok(()));
    let thief = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    assert_eq!(auth(&answer_by(&thief), BEGIN), Err(Refusal::Proof));
    assert_eq!(auth(&answer[..8], BEGIN), Err(Refusal::Malformed));
    assert_eq!(auth(&[], BEGIN), Err(Refusal::Malformed));
    let mut other_nonce = answer.clone();
    other_nonce[0] ^= 1;
    assert_eq!(auth(&other_nonce, BEGIN), Err(Refusal::Proof));
    // The token ran out while the answer was on its way.
    assert_eq!(
        auth(&answer, BEGIN.plus_secs(100)),
        Err(Refusal::Token(TokenError::Expired))
    );
}

// RFC 9431 §6.
#[test]
fn a_3_1_1_client_brings_its_token_in_the_user_name_and_its_proof_in_the_password() {
    let world = World::new();
    let name = user_name(&world.sign(&token(r#"[["t",["pub"]]]"#), after(0)));
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let judge = |user_name: Option<&str>, password: Option<&[u8]>, exporter: Option<&[u8; 32]>| {
        let connect = Connect {
            version: ProtocolVersion::V311,
            clean_start: true,
            keep_alive_secs: 0,
            client_identifier: "c",
            will: None,
            user_name,
            password,
            properties: ConnectProperties::default(),
        };
        let at = Circumstances {
            keys: &world.keys,
            exporter,
            proved_key: None,
            brought: None,
            fresh_nonce: &|| Some(NONCE),
            now: BEGIN,
            now_ms: 0,
        };
        world.admission.handle_connect(&connect, at)
    };
    let admitted = judge(Some(&name), Some(&proof), Some(&EXPORTER)).unwrap();
    assert!(matches!(admitted, Step::Admit(admitted) if !admitted.extended_authentication));
    assert_eq!(
        judge(Some(&name), Some(&proof), Some(&[0; 32])).unwrap_err(),
        Refusal::Proof
    );
    assert_eq!(
        judge(Some(&name), Some(&proof), None).unwrap_err(),
        Refusal::NoExporter
    );
    assert_eq!(
        judge(Some(&name), None, Some(&EXPORTER)).unwrap_err(),
        Refusal::Malformed
    );
    assert_eq!(
        judge(Some("ace="), Some(&proof), Some(&EXPORTER)).unwrap_err(),
        Refusal::Malformed
    );
    assert_eq!(
        judge(Some("alice"), Some(&proof), Some(&EXPORTER)).unwrap_err(),
        Refusal::Password
    );
    assert_eq!(
        judge(None, None, Some(&EXPORTER)).unwrap_err(),
        Refusal::NoToken
    );
}

// RFC 9431 §2.2.4.1: the Will must be within the scope, or the connection is refused.
#[test]
fn a_will_beyond_the_scope_is_refused() {
    let world = World::new();
    let token = world.sign(
        &token(r#"[["status/#",["pub"]],["will",["sub"]]]"#),
        after(0),
    );
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let data = ConnectData::TokenAndProof {
        token: &token,
        proof: &proof,
    };
    assert!(
        world
            .judge(&data, Some("status/c"), Some(&EXPORTER))
            .is_ok()
    );
    assert_eq!(
        world
            .judge(&data, Some("will"), Some(&EXPORTER))
            .unwrap_err(),
        Refusal::Will
    );
}

// RFC 9431 §4: expiry is checked on PUBLISH and SUBSCRIBE; PINGREQ besides.
#[test]
fn an_expired_token_ends_the_session_whatever_the_client_sends() {
    type Send = fn(&mut World, ConnectionKey, Now) -> Vec<ReasonCode>;
    let packets: [Send; 3] = [
        |world, key, now| world.publish(key, "t", now),
        |world, key, now| world.subscribe(key, "t", now),
        |world, key, now| world.handle(key, &Packet::PingReq, now),
    ];
    for send in packets {
        let mut world = World::new();
        let key = world.connect(&token(r#"[["t",["pub","sub"]]]"#));
        assert_eq!(
            world.publish(key, "t", after(99)),
            [ReasonCode::NoMatchingSubscribers]
        );
        assert_eq!(
            send(&mut world, key, after(100)),
            [ReasonCode::NotAuthorized]
        );
        assert!(world.shard.live(key).is_none());
    }
}

// RFC 9431 §3.1 and §3.3: 0x80 may stand for 0x87, at every QoS.
#[test]
fn hidden_topics_are_refused_without_a_word_about_rights() {
    let mut world = World::new();
    world.admission = Arc::new(Admission {
        public_topics: Arc::new(PublicTopics::compile(&[], &[], true)),
        ..(*world.admission).clone()
    });
    let key = world.connect(&token(r#"[["t",["pub","sub"]]]"#));
    let unspecified = [ReasonCode::UnspecifiedError];
    assert_eq!(world.subscribe(key, "secret", after(1)), unspecified);
    assert_eq!(world.publish(key, "secret", after(1)), unspecified);
    assert_eq!(
        world.publish(key, "t", after(1)),
        [ReasonCode::NoMatchingSubscribers]
    );
    let at_qos_0 = Packet::Publish(to_publish("secret", Delivery::AtMostOnce));
    assert_eq!(world.handle(key, &at_qos_0, after(1)), unspecified);
    assert!(world.shard.live(key).is_none());
}

#[test]
fn an_expired_token_ends_a_silent_session_by_the_timer() {
    let mut world = World::new();
    let key = world.connect(&token(r#"[["t",["sub"]]]"#));
    world.shard.handle_timeout(after(99));
    assert_eq!(world.sent(key), []);
    world.shard.handle_timeout(after(101));
    assert_eq!(world.sent(key), [ReasonCode::NotAuthorized]);
    assert_eq!(world.counted(Count::TokenExpiries), 1);
}

// RFC 9431 §3.2: nothing is delivered on an expired token, and the subscriber is told.
#[test]
fn a_message_for_an_expired_subscriber_disconnects_it() {
    let mut world = World::new();
    let subscriber = world.connect(&token(r#"[["t",["sub"]]]"#));
    assert_eq!(
        world.subscribe(subscriber, "t", after(0)),
        [ReasonCode::Success]
    );
    let step = {
        let token = world.sign(
            &Token {
                lifetime_secs: 1_000,
                ..token(r#"[["t",["pub"]]]"#)
            },
            after(0),
        );
        let proof = world.pop.sign(&EXPORTER).unwrap();
        world
            .judge(
                &ConnectData::TokenAndProof {
                    token: &token,
                    proof: &proof,
                },
                None,
                Some(&EXPORTER),
            )
            .unwrap()
    };
    let Step::Admit(mut admitted) = step else {
        panic!("the proof was there")
    };
    admitted.introduction.client_identifier = "publisher".into();
    let publisher = world.admit(&admitted);
    assert_eq!(
        world.publish(publisher, "t", after(50)),
        [ReasonCode::Success]
    );
    assert_eq!(world.sent(subscriber), [ReasonCode::NoMatchingSubscribers]);
    world.publish(publisher, "t", after(100));
    assert_eq!(world.sent(subscriber), [ReasonCode::NotAuthorized]);
    assert_eq!(
        world.publish(publisher, "t", after(101)),
        [ReasonCode::NoMatchingSubscribers]
    );
}

// RFC 9431 §4: old rights until the new token is proved, then the new ones; subscriptions beyond them end.
#[test]
fn re_authentication_replaces_the_rights_once_it_succeeds() {
    let mut world = World::new();
    let key = world.connect(&token(r#"[["old",["pub","sub"]],["both",["sub"]]]"#));
    world.subscribe(key, "old", after(1));
    world.subscribe(key, "both", after(1));
    let renewed = token(r#"[["new",["pub"]],["both",["sub"]]]"#);
    assert_eq!(
        world.reauthenticate(key, &renewed, after(50)),
        [ReasonCode::ContinueAuthentication]
    );
    // It hears itself on `old`, and gets its PUBACK.
    assert_eq!(
        world.publish(key, "old", after(50)),
        [ReasonCode::NoMatchingSubscribers, ReasonCode::Success]
    );
    assert_eq!(
        world.publish(key, "new", after(50)),
        [ReasonCode::NotAuthorized]
    );
    let answer = answer_by(&world.pop);
    assert_eq!(
        world.auth(key, ReasonCode::ContinueAuthentication, &answer, after(51)),
        [ReasonCode::Success]
    );
    assert_eq!(
        world.publish(key, "old", after(52)),
        [ReasonCode::NotAuthorized]
    );
    assert_eq!(
        world.publish(key, "new", after(120)),
        [ReasonCode::NoMatchingSubscribers]
    );
    let kept: Vec<&str> = world
        .shard
        .session(key.session)
        .subscriptions
        .iter()
        .map(|held| held.filter.as_str())
        .collect();
    assert_eq!(kept, ["both"]);
    assert_eq!(world.counted(Count::Subscriptions), 1);
    let renewals = Count::Reauthentications(Outcome::Success);
    assert_eq!(world.counted(renewals), 1);
    // The timer follows the new token.
    world.shard.handle_timeout(after(140));
    assert_eq!(world.sent(key), []);
    world.shard.handle_timeout(after(151));
    assert_eq!(world.sent(key), [ReasonCode::NotAuthorized]);
}

// RFC 9431 §4: a failed re-authentication ends in DISCONNECT.
#[test]
fn a_failed_re_authentication_disconnects() {
    let scope = r#"[["t",["pub"]]]"#;
    let thief = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let expect_end =
        |world: &mut World, key: ConnectionKey, codes: Vec<ReasonCode>, expected: ReasonCode| {
            assert_eq!(codes, [expected]);
            assert!(world.shard.live(key).is_none());
            let failures = Count::Reauthentications(Outcome::Failure);
            assert_eq!(world.counted(failures), 1);
        };
    // A wrong proof.
    let mut world = World::new();
    let key = world.connect(&token(scope));
    world.reauthenticate(key, &token(scope), after(1));
    let answer = answer_by(&thief);
    let codes = world.auth(key, ReasonCode::ContinueAuthentication, &answer, after(1));
    expect_end(&mut world, key, codes, ReasonCode::NotAuthorized);
    // Another subject.
    let mut world = World::new();
    let key = world.connect(&token(scope));
    let codes = world.reauthenticate(
        key,
        &Token {
            subject: "other",
            ..token(scope)
        },
        after(1),
    );
    expect_end(&mut world, key, codes, ReasonCode::NotAuthorized);
    // An exporter proof, which must not be used here.
    let mut world = World::new();
    let key = world.connect(&token(scope));
    let fresh = world.sign(&token(scope), after(1));
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let data = ConnectData::TokenAndProof {
        token: &fresh,
        proof: &proof,
    }
    .encode()
    .unwrap();
    let codes = world.auth(key, ReasonCode::ReAuthenticate, &data, after(1));
    expect_end(&mut world, key, codes, ReasonCode::NotAuthorized);
    // An answer without a challenge.
    let mut world = World::new();
    let key = world.connect(&token(scope));
    let answer = answer_by(&world.pop);
    let codes = world.auth(key, ReasonCode::ContinueAuthentication, &answer, after(1));
    expect_end(&mut world, key, codes, ReasonCode::ProtocolError);
}

#[test]
fn a_new_token_with_an_unknown_key_waits_for_the_authorization_servers_keys() {
    let scope = r#"[["t",["pub"]]]"#;
    let mut world = World::new();
    let key = world.connect(&token(scope));
    let other = ConnectionKey {
        serial: key.serial + 1,
        ..key
    };
    world.signing_key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
    assert_eq!(world.reauthenticate(key, &token(scope), after(1)), []);
    let request = Some((key, ISSUER.into()));
    assert_eq!(world.shard.poll_key_request(), request);
    // It is the answer of an earlier session's request that comes first: ignored.
    let fetched = keys_of(&world.signing_key);
    world.shard.handle_keys(other, &fetched, after(2));
    assert_eq!(world.sent(key), []);
    world.shard.handle_keys(key, &fetched, after(2));
    assert_eq!(world.sent(key), [ReasonCode::ContinueAuthentication]);
    let answer = answer_by(&world.pop);
    assert_eq!(
        world.auth(key, ReasonCode::ContinueAuthentication, &answer, after(2)),
        [ReasonCode::Success]
    );
    // Fetched in vain: refused.
    world.signing_key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
    assert_eq!(world.reauthenticate(key, &token(scope), after(3)), []);
    world.shard.handle_keys(key, &fetched, after(4));
    assert_eq!(world.sent(key), [ReasonCode::NotAuthorized]);
}

// RFC 9431 §2.2.4.2
#[test]
fn a_cwt_is_admitted_as_a_jwt_is() {
    let world = World::new();
    let claims = world.claims(&token(r#"[["t",["pub"]]]"#), after(0));
    let cwt = world.signing_key.sign_cwt(&claims).unwrap();
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let other = world.pop.sign(&NONCE.0).unwrap();
    let judge = |proof| {
        let data = ConnectData::TokenAndProof { token: &cwt, proof };
        world.judge(&data, None, Some(&EXPORTER))
    };
    assert!(matches!(judge(&proof), Ok(Step::Admit(_))));
    assert!(matches!(judge(&other), Err(Refusal::Proof)));
}
