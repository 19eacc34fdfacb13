//! Tokens published to `authz-info`, and what they open (RFC 9431 §2.2.2, §2.2.3, §2.2.4.1).

use super::*;
use crate::core::{
    admission::AwaitProof, counters::Limit, freshness::ClientNonces, stored_tokens::Capacity,
};
use symbolon_ace_proto::{
    PopKey, SymmetricKey, identifier, jwe::ContentKey, psk_identity::PskIdentity,
};

const SCOPE: &str = r#"[["t",["pub","sub"]]]"#;

/// One that stores tokens.
fn world() -> World {
    World::with(TokenKeeping {
        authz_info: true,
        stored_token_challenge: true,
        ..TokenKeeping::default()
    })
}

/// What a client says, and what TLS says of it.
#[derive(Default)]
struct Caller<'a> {
    identifier: &'a str,
    method: Option<&'a str>,
    data: Option<&'a [u8]>,
    session_expiry_secs: u32,
    proved_key: Option<[u8; 32]>,
    version: Option<ProtocolVersion>,
}

impl World {
    fn call(&self, caller: &Caller<'_>, now: Now) -> Result<Step, Refusal> {
        let connect = Connect {
            version: caller.version.unwrap_or(ProtocolVersion::V5),
            clean_start: true,
            keep_alive_secs: 0,
            client_identifier: caller.identifier,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties {
                authentication_method: caller.method,
                authentication_data: caller.data,
                session_expiry_interval_secs: Some(caller.session_expiry_secs),
                ..ConnectProperties::default()
            },
        };
        let at = Circumstances {
            keys: &self.keys,
            exporter: Some(&EXPORTER),
            proved_key: caller.proved_key,
            brought: None,
            fresh_nonce: &|| Some(NONCE),
            now: now.unix,
            now_ms: now.ms,
        };
        self.admission.handle_connect(&connect, at)
    }

    /// TLS:Anon, MQTT:None.
    fn stranger(&mut self) -> ConnectionKey {
        let caller = Caller {
            identifier: "stranger",
            ..Caller::default()
        };
        match self.call(&caller, after(0)).unwrap() {
            Step::Admit(admitted) => self.admit(&admitted),
            Step::Challenge(_) => panic!("challenged without a method"),
        }
    }

    /// TLS:Known, MQTT:None, at the beginning.
    fn known(&mut self) -> Result<ConnectionKey, Refusal> {
        let caller = Caller {
            identifier: "known",
            proved_key: Some(self.pop.verifying_key().thumbprint()),
            ..Caller::default()
        };
        match self.call(&caller, after(0))? {
            Step::Admit(admitted) => Ok(self.admit(&admitted)),
            Step::Challenge(_) => panic!("TLS has proved possession"),
        }
    }

    fn publish_token(
        &mut self,
        key: ConnectionKey,
        payload: &[u8],
        (delivery, retain): (Delivery, bool),
        now: Now,
    ) -> Vec<ReasonCode> {
        let publish = Publish {
            duplicate: false,
            delivery,
            retain,
            topic: Some(TopicName::parse("authz-info").unwrap()),
            properties: PublishProperties::default(),
            payload,
        };
        self.handle(key, &Packet::Publish(publish), now)
    }

    fn stored(&self) -> usize {
        self.admission.tokens.stored.count()
    }
}

const QOS_0: (Delivery, bool) = (Delivery::AtMostOnce, false);
const QOS_1: (Delivery, bool) = (Delivery::AtLeastOnce(NonZeroU16::MIN), false);

// RFC 9431 §2.2.1, §2.2.2.
#[test]
fn a_stranger_may_publish_a_token_and_do_nothing_else() {
    let mut world = world();
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    assert_eq!(
        world.publish_token(stranger, &token, QOS_1, after(0)),
        [ReasonCode::Success]
    );
    assert_eq!(world.stored(), 1);
    // That it published the token gives it no rights.
    assert_eq!(
        world.publish(stranger, "t", after(0)),
        [ReasonCode::NotAuthorized]
    );
    for filter in ["t", "#", "authz-info", "+"] {
        assert_eq!(
            world.subscribe(stranger, filter, after(0)),
            [ReasonCode::NotAuthorized],
            "{filter}"
        );
    }
    assert_eq!(world.counted(Count::AuthzInfo(Outcome::Success)), 1);
}

// RFC 9431 §2.2.2.
#[test]
fn a_published_token_is_never_delivered_whoever_subscribes_to_what() {
    let mut world = world();
    let subscriber = world.connect(&token(
        r##"[["#",["sub"]],["+",["sub"]],["authz-info",["sub"]]]"##,
    ));
    for filter in ["#", "+"] {
        assert_eq!(
            world.subscribe(subscriber, filter, after(0)),
            [ReasonCode::Success]
        );
    }
    assert_eq!(
        world.subscribe(subscriber, "authz-info", after(0)),
        [ReasonCode::NotAuthorized]
    );
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    assert_eq!(
        world.publish_token(stranger, &token, QOS_1, after(0)),
        [ReasonCode::Success]
    );
    assert_eq!(world.sent(subscriber), []);
}

// RFC 9431 §2.2.2: PUBACK 0x99 for what is no token, 0x87 for one that is not valid.
#[test]
fn above_qos_0_the_acknowledgement_tells_what_a_token_is_worth_and_the_connection_stays() {
    let mut world = world();
    let stranger = world.stranger();
    let told =
        |world: &mut World, payload: &[u8]| world.publish_token(stranger, payload, QOS_1, after(0));
    for no_token in [&b""[..], b"hello", b"a.b", b"\xd2\x84"] {
        assert_eq!(
            told(&mut world, no_token),
            [ReasonCode::PayloadFormatInvalid]
        );
    }
    let good = world.sign(&token(SCOPE), after(0));
    let mut forged = good.clone();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(told(&mut world, &forged), [ReasonCode::NotAuthorized]);
    let expired = Token {
        lifetime_secs: 0,
        ..token(SCOPE)
    };
    let expired = world.sign(&expired, after(0));
    assert_eq!(told(&mut world, &expired), [ReasonCode::NotAuthorized]);
    let mut claims = world.claims(&token(SCOPE), after(0));
    claims.audience = vec!["mqtts://other.example".into()];
    let elsewhere = world.signing_key.sign(&claims).unwrap();
    assert_eq!(
        told(&mut world, elsewhere.as_bytes()),
        [ReasonCode::NotAuthorized]
    );
    claims.audience = vec![AUDIENCE.into()];
    claims.confirmation = Confirmation::KeyIdentifier(vec![7]);
    let unknown_key = world.signing_key.sign(&claims).unwrap();
    assert_eq!(
        told(&mut world, unknown_key.as_bytes()),
        [ReasonCode::NotAuthorized]
    );
    assert_eq!(world.stored(), 0);
    assert_eq!(world.counted(Count::AuthzInfo(Outcome::Failure)), 8);
    assert_eq!(told(&mut world, &good), [ReasonCode::Success]);
}

// RFC 9431 §2.2.2: DISCONNECT 0x99 or 0x87.
#[test]
fn at_qos_0_the_connection_ends_where_the_token_is_not_taken() {
    for (payload, code) in [
        (b"hello".to_vec(), ReasonCode::PayloadFormatInvalid),
        (
            World::new().sign(&token(SCOPE), after(0)),
            ReasonCode::NotAuthorized,
        ),
    ] {
        let mut world = world();
        // Of another authorization server; its keys were fetched and are still not known.
        let stranger = world.stranger();
        let mut told = world.publish_token(stranger, &payload, QOS_0, after(0));
        if told.is_empty() {
            let request = Some((stranger, ISSUER.into()));
            assert_eq!(world.shard.poll_key_request(), request);
            let keys = world.keys.clone();
            world.shard.handle_keys(stranger, &keys, after(1));
            told = world.sent(stranger);
        }
        assert_eq!(told, [code]);
        assert!(world.shard.live(stranger).is_none());
    }
    let mut world = world();
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    assert_eq!(world.publish_token(stranger, &token, QOS_0, after(0)), []);
    assert_eq!(world.stored(), 1);
}

#[test]
fn a_token_by_an_unknown_key_is_judged_once_the_keys_have_been_fetched() {
    let mut world = world();
    let fetched = std::mem::take(&mut world.keys);
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    assert_eq!(world.publish_token(stranger, &token, QOS_1, after(0)), []);
    // Another one does not wait beside it.
    let second = (Delivery::AtLeastOnce(NonZeroU16::MAX), false);
    assert_eq!(
        world.publish_token(stranger, &token, second, after(0)),
        [ReasonCode::QuotaExceeded]
    );
    let request = Some((stranger, ISSUER.into()));
    assert_eq!(world.shard.poll_key_request(), request);
    assert_eq!(world.shard.poll_key_request(), None);
    world.shard.handle_keys(stranger, &fetched, after(1));
    assert_eq!(world.sent(stranger), [ReasonCode::Success]);
    assert_eq!(world.stored(), 1);
}

#[test]
fn a_retained_token_is_refused() {
    let mut world = world();
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    assert_eq!(
        world.publish_token(stranger, &token, (QOS_1.0, true), after(0)),
        [ReasonCode::ImplementationSpecificError]
    );
    assert_eq!(
        world.publish_token(stranger, &token, (QOS_0.0, true), after(0)),
        [ReasonCode::ImplementationSpecificError]
    );
    assert!(world.shard.live(stranger).is_none());
    assert_eq!(world.stored(), 0);
}

#[test]
fn a_connection_publishes_no_more_tokens_than_configured() {
    let mut world = world();
    world.shard.limits.authz_info_rate = 2;
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    for code in [
        ReasonCode::Success,
        ReasonCode::Success,
        ReasonCode::QuotaExceeded,
    ] {
        assert_eq!(
            world.publish_token(stranger, &token, QOS_1, after(0)),
            [code]
        );
    }
    assert_eq!(world.counted(Count::Limit(Limit::AuthzInfoRate)), 1);
    assert_eq!(
        world.publish_token(stranger, &token, QOS_1, after(30)),
        [ReasonCode::Success]
    );
}

#[test]
fn a_token_beyond_the_bound_is_refused_with_quota_exceeded() {
    let mut world = world();
    world.shard.limits.stored_tokens = 0;
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    assert_eq!(
        world.publish_token(stranger, &token, QOS_1, after(0)),
        [ReasonCode::QuotaExceeded]
    );
    assert_eq!(world.counted(Count::Limit(Limit::StoredTokens)), 1);
}

#[test]
fn a_stranger_leaves_no_session_behind_and_does_not_stay() {
    let mut world = world();
    let caller = Caller {
        identifier: "stranger",
        session_expiry_secs: 1_000,
        ..Caller::default()
    };
    let Step::Admit(admitted) = world.call(&caller, after(0)).unwrap() else {
        panic!("challenged without a method");
    };
    let stranger = world.admit(&admitted);
    assert!(!world.shard.session(stranger.session).outlives_connection());
    world.shard.handle_timeout(after(59));
    assert!(world.shard.live(stranger).is_some());
    world.shard.handle_timeout(after(61));
    assert_eq!(world.sent(stranger), [ReasonCode::MaximumConnectTime]);
}

// RFC 9431 §2.2.2: it would be delivered as any other Will.
#[test]
fn a_will_to_authz_info_is_refused_whatever_the_token_says() {
    let world = world();
    let token = world.sign(
        &token(r##"[["#",["pub"]],["authz-info",["pub"]]]"##),
        after(0),
    );
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let data = ConnectData::TokenAndProof {
        token: &token,
        proof: &proof,
    };
    let refused = world.judge(&data, Some("authz-info"), Some(&EXPORTER));
    assert_eq!(refused.unwrap_err(), Refusal::Will);
}

// RFC 9431 §6.1: there are no codes to say it by.
#[test]
fn in_3_1_1_a_publisher_gets_no_verdict() {
    let mut world = world();
    let caller = Caller {
        identifier: "old",
        version: Some(ProtocolVersion::V311),
        ..Caller::default()
    };
    let Step::Admit(admitted) = world.call(&caller, after(0)).unwrap() else {
        panic!("challenged in 3.1.1");
    };
    let old = (world.shard.handle_admitted(&admitted, false, after(0))).unwrap();
    let outbox = &mut world.shard.session_mut(old.session).link.outbox;
    outbox.advance(outbox.len());
    let publish = Publish {
        duplicate: false,
        delivery: QOS_1.0,
        retain: false,
        topic: Some(TopicName::parse("authz-info").unwrap()),
        properties: PublishProperties::default(),
        payload: b"no token",
    };
    let with = AuthCircumstances {
        keys: &world.keys,
        fresh_nonce: &|| Some(NONCE),
    };
    world
        .shard
        .handle_packet(old, &Packet::Publish(publish), with, after(0));
    assert!(world.shard.live(old).is_some());
    let outbox = &mut world.shard.session_mut(old.session).link.outbox;
    // PUBACK of 3.1.1: its identifier and nothing more.
    assert_eq!(outbox.front(), [0x40, 2, 0, 1]);
}

// RFC 9431 §2.2.3: TLS has proved possession, the token was there before.
#[test]
fn a_client_that_tls_knows_is_admitted_by_the_token_stored_for_its_key() {
    let mut world = world();
    assert_eq!(world.known().unwrap_err(), Refusal::NoToken);
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    world.publish_token(stranger, &token, QOS_1, after(0));
    let known = world.known().unwrap();
    assert_eq!(
        world.publish(known, "t", after(1)),
        [ReasonCode::NoMatchingSubscribers]
    );
    assert_eq!(
        world.publish(known, "other", after(1)),
        [ReasonCode::NotAuthorized]
    );
    // Another key opens nothing.
    let caller = Caller {
        identifier: "thief",
        proved_key: Some([7; 32]),
        ..Caller::default()
    };
    assert_eq!(world.call(&caller, after(1)).unwrap_err(), Refusal::NoToken);
    // The token's end is the end.
    world.shard.handle_timeout(after(101));
    assert_eq!(world.sent(known), [ReasonCode::NotAuthorized]);
}

#[test]
fn a_client_that_tls_knows_renews_by_publishing_a_new_token_for_the_same_key() {
    let mut world = world();
    let stranger = world.stranger();
    let first = world.sign(&token(SCOPE), after(0));
    world.publish_token(stranger, &first, QOS_1, after(0));
    let known = world.known().unwrap();
    let second = world.sign(&token(r#"[["other",["pub"]]]"#), after(50));
    assert_eq!(
        world.publish_token(known, &second, QOS_1, after(50)),
        [ReasonCode::Success]
    );
    assert_eq!(
        world.publish(known, "t", after(50)),
        [ReasonCode::NotAuthorized]
    );
    // Past the first token's end.
    world.shard.handle_timeout(after(120));
    assert_eq!(
        world.publish(known, "other", after(120)),
        [ReasonCode::NoMatchingSubscribers]
    );
    // One for another key is stored, and changes nothing here.
    let pop = std::mem::replace(
        &mut world.pop,
        PopSigner::generate(PopAlgorithm::EdDsa).unwrap(),
    );
    let foreign = world.sign(&token(SCOPE), after(120));
    world.publish_token(known, &foreign, QOS_1, after(120));
    assert_eq!(
        world.publish(known, "t", after(120)),
        [ReasonCode::NotAuthorized]
    );
    // One for the same key and another client is refused.
    world.pop = pop;
    let other = Token {
        subject: "other",
        ..token(SCOPE)
    };
    let other = world.sign(&other, after(120));
    assert_eq!(
        world.publish_token(known, &other, QOS_1, after(120)),
        [ReasonCode::NotAuthorized]
    );
    world.shard.handle_timeout(after(151));
    assert_eq!(world.sent(known), [ReasonCode::NotAuthorized]);
}

// RFC 9431 §2.2.1: TLS:Known, MQTT:ace.
#[test]
fn a_token_in_connect_replaces_what_tls_gave() {
    let mut world = world();
    let stranger = world.stranger();
    let first = world.sign(&token(SCOPE), after(0));
    world.publish_token(stranger, &first, QOS_1, after(0));
    let token = world.sign(&token(r#"[["other",["pub"]]]"#), after(0));
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let data = ConnectData::TokenAndProof {
        token: &token,
        proof: &proof,
    };
    let caller = Caller {
        identifier: "known",
        method: Some("ace"),
        data: Some(&data.encode().unwrap()),
        proved_key: Some(world.pop.verifying_key().thumbprint()),
        ..Caller::default()
    };
    let Step::Admit(admitted) = world.call(&caller, after(0)).unwrap() else {
        panic!("the proof was there");
    };
    assert!(admitted.proved_key.is_none());
    let known = world.admit(&admitted);
    assert_eq!(
        world.publish(known, "t", after(0)),
        [ReasonCode::NotAuthorized]
    );
}

fn challenged(step: Result<Step, Refusal>) -> Option<AwaitProof> {
    match step {
        Ok(Step::Challenge(await_proof)) => Some(*await_proof),
        Ok(Step::Admit(_)) => panic!("admitted without proof"),
        Err(refusal) => {
            assert_eq!(refusal, Refusal::NoToken);
            None
        }
    }
}

// RFC 9431 §2.2.4.1: without a token, by the stored one, else AS discovery.
#[test]
fn a_connect_without_a_token_is_challenged_by_the_stored_one() {
    let mut world = world();
    let ace = |identifier| Caller {
        identifier,
        method: Some("ace"),
        ..Caller::default()
    };
    assert!(challenged(world.call(&ace("device"), after(0))).is_none());
    let stranger = world.stranger();
    let mut claims = world.claims(&token(SCOPE), after(0));
    let jwk = world.pop.verifying_key().to_jwk().with_kid("key-1");
    claims.confirmation = Confirmation::Key(Box::new(jwk));
    let token = world.signing_key.sign(&claims).unwrap();
    world.publish_token(stranger, token.as_bytes(), QOS_1, after(0));
    // By the name that the token speaks for, and by the name of its key.
    for identifier in ["device", "key-1"] {
        let auth = |data: &[u8]| {
            let await_proof = challenged(world.call(&ace(identifier), after(0))).unwrap();
            let auth = Auth {
                reason_code: ReasonCode::ContinueAuthentication,
                authentication_method: Some("ace"),
                authentication_data: Some(data),
                reason_string: None,
                user_properties: UserProperties::default(),
            };
            await_proof.handle_auth(&auth, BEGIN)
        };
        let admitted = auth(&answer_by(&world.pop)).unwrap();
        assert!(admitted.extended_authentication);
        let thief = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
        assert_eq!(auth(&answer_by(&thief)).unwrap_err(), Refusal::Proof);
    }
    assert!(challenged(world.call(&ace("another"), after(0))).is_none());
    assert!(challenged(world.call(&ace("device"), after(100))).is_none());
}

#[test]
fn without_stored_token_challenge_nobody_learns_whose_token_is_stored() {
    let mut world = World::with(TokenKeeping {
        stored_token_challenge: false,
        ..world().admission.tokens.clone()
    });
    let stranger = world.stranger();
    let token = world.sign(&token(SCOPE), after(0));
    world.publish_token(stranger, &token, QOS_1, after(0));
    let caller = |proved_key| Caller {
        identifier: "device",
        method: Some("ace"),
        proved_key,
        ..Caller::default()
    };
    assert!(challenged(world.call(&caller(None), after(0))).is_none());
    // Who has proved the key on the TLS layer is no stranger.
    let proved_key = Some(world.pop.verifying_key().thumbprint());
    assert!(challenged(world.call(&caller(proved_key), after(0))).is_some());
}

// RFC 9202 §4: a token with other rights need not carry its key again.
#[test]
fn a_token_that_only_names_its_key_is_for_the_stored_key_of_that_name() {
    let mut world = world();
    let stranger = world.stranger();
    let mut claims = world.claims(&token(SCOPE), after(0));
    let jwk = world.pop.verifying_key().to_jwk().with_kid("key-1");
    claims.confirmation = Confirmation::Key(Box::new(jwk));
    let first = world.signing_key.sign(&claims).unwrap();
    world.publish_token(stranger, first.as_bytes(), QOS_1, after(0));
    claims.confirmation = Confirmation::KeyIdentifier(b"key-1".to_vec());
    claims.scope = Scope::from_json(r#"[["other",["pub"]]]"#).unwrap();
    let second = world.signing_key.sign(&claims).unwrap();
    assert_eq!(
        world.publish_token(stranger, second.as_bytes(), QOS_1, after(1)),
        [ReasonCode::Success]
    );
    assert_eq!(world.stored(), 1);
    let known = world.known().unwrap();
    assert_eq!(
        world.publish(known, "t", after(1)),
        [ReasonCode::NotAuthorized]
    );
}

#[test]
fn without_authz_info_the_topic_is_one_that_nobody_may_publish_to() {
    let mut world = World::new();
    let client = world.connect(&token(r#"[["authz-info",["pub"]]]"#));
    let token = world.sign(&token(SCOPE), after(0));
    assert_eq!(
        world.publish_token(client, &token, QOS_1, after(0)),
        [ReasonCode::NotAuthorized]
    );
    let caller = Caller::default();
    assert_eq!(world.call(&caller, after(0)).unwrap_err(), Refusal::NoToken);
}

/// A CONNECT without a method.
fn hello() -> Connect<'static> {
    Connect {
        version: ProtocolVersion::V5,
        clean_start: true,
        keep_alive_secs: 0,
        client_identifier: "known",
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

// RFC 9431 §2.2.3.2, RFC 9202 §3.3.2.
#[test]
fn the_identity_of_a_pre_shared_key_is_a_token_or_names_the_key_of_one() {
    let mut world = world();
    let content_key = ContentKey {
        kid: "content".into(),
        key: SymmetricKey::from_bytes(&[7; 32]),
    };
    let mut admission = (*world.admission).clone();
    let authority = &mut admission.authorities[0];
    authority.content_keys = ContentKeys(vec![content_key.clone()]);
    world.pop = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let jwk = world.pop.verifying_key().to_jwk().with_kid("psk-1");
    let mut claims = world.claims(&token(SCOPE), after(0));
    claims.confirmation = Confirmation::Encrypted(content_key.encrypt(&jwk).unwrap());
    let token = world.signing_key.sign(&claims).unwrap();
    let named = PskIdentity::of_key(&identifier::to_bytes("psk-1"));
    let key = |identity: &[u8]| admission.pre_shared_key(identity, &world.keys, BEGIN);
    let PopKey::Hs256(secret) = world.pop.verifying_key().clone() else {
        panic!("the key is symmetric");
    };
    // Before anything is stored: the token itself does, its key's name does not.
    assert_eq!(key(token.as_bytes()), Some(secret.clone()));
    assert_eq!(key(&named), None);
    assert_eq!(world.stored(), 0, "a handshake has not proved anything yet");
    let bounds = (
        Capacity {
            tokens: 1,
            bytes: 10_000,
        },
        BEGIN,
    );
    let prove = |identity: &[u8]| admission.key_of_identity(identity, &world.keys, bounds);
    let thumbprint = world.pop.verifying_key().thumbprint();
    assert_eq!(prove(token.as_bytes()).unwrap().0, thumbprint);
    assert_eq!(world.stored(), 1);
    assert_eq!(key(&named), Some(secret));
    assert_eq!(prove(&named).unwrap().0, thumbprint);
    // What is no token of ours, or for a key that is not symmetric, opens nothing.
    assert_eq!(key(b"stranger"), None);
    assert_eq!(key(b""), None);
    let other = World::new();
    let foreign = other.sign(&super::token(SCOPE), after(0));
    assert_eq!(key(&foreign), None);
    world.pop = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let asymmetric = world.sign(&super::token(SCOPE), after(0));
    let key = admission.pre_shared_key(&asymmetric, &world.keys, BEGIN);
    assert_eq!(key, None);
    // One more than there may be: it is not stored, and its client comes in by it all the same.
    let proved = admission.key_of_identity(&asymmetric, &world.keys, bounds);
    let (key, brought) = proved.unwrap();
    assert_eq!(world.stored(), 1);
    assert_eq!(
        brought.as_ref().map(|token| token.key.thumbprint()),
        Some(key)
    );
    let at = |brought| Circumstances {
        keys: &world.keys,
        exporter: None,
        proved_key: Some(key),
        brought,
        fresh_nonce: &|| None,
        now: BEGIN,
        now_ms: 0,
    };
    let admitted = admission.handle_connect(&hello(), at(brought.as_ref()));
    assert!(matches!(admitted, Ok(Step::Admit(_))));
    let unknown = admission.handle_connect(&hello(), at(None));
    assert_eq!(unknown.unwrap_err(), Refusal::NoToken);
}

// RFC 9200 §5.3.1.
#[test]
fn where_nonces_are_asked_for_a_token_without_a_fresh_one_is_refused() {
    let nonces = Arc::new(ClientNonces::new(Some([1; 32])));
    let mut world = World::with(TokenKeeping {
        nonces: Some(Arc::clone(&nonces)),
        ..world().admission.tokens.clone()
    });
    let stranger = world.stranger();
    let mut claims = world.claims(&token(SCOPE), after(0));
    for (nonce, told) in [
        (None, ReasonCode::NotAuthorized),
        (Some(vec![0; 24]), ReasonCode::NotAuthorized),
        (nonces.make(BEGIN), ReasonCode::Success),
    ] {
        claims.client_nonce = nonce;
        let token = world.signing_key.sign(&claims).unwrap();
        let answer = world.publish_token(stranger, token.as_bytes(), QOS_1, after(1));
        assert_eq!(answer, [told]);
    }
    let mut admission = (*world.admission).clone();
    let hint = AsHint {
        authorization_server: "https://as.example/token".into(),
        audience: None,
        scope: None,
        cnonce: None,
    };
    admission.authorities[0].hint = hint;
    let told = AsHint::from_json(&admission.hint(BEGIN).unwrap()).unwrap();
    assert!(nonces.is_fresh(&told.cnonce.unwrap(), BEGIN));
}
