//! A session that goes on needs a token and a proof again, and has the rights of that token alone (RFC 9431 §2.2.4.1, §5).

use super::*;
use crate::core::shard::WillFate;

impl World {
    /// Comes by a token, with a session that outlives its connection.
    fn come(&mut self, name: &str, token: &Token<'_>) -> Vec<ReasonCode> {
        let bytes = self.sign(token, after(0));
        let proof = self.pop.sign(&EXPORTER).unwrap();
        let data = ConnectData::TokenAndProof {
            token: &bytes,
            proof: &proof,
        };
        let Ok(Step::Admit(mut admitted)) = self.judge(&data, None, Some(&EXPORTER)) else {
            panic!("it proves possession");
        };
        admitted.introduction.client_identifier = name.into();
        admitted.introduction.clean_start = false;
        admitted.introduction.session_expiry_secs = 3_600;
        let key = (self.shard.handle_admitted(&admitted, false, after(1))).unwrap();
        self.sent(key)
    }

    fn key_of(&self, name: &str) -> ConnectionKey {
        let key = self.shard.by_client[name];
        self.shard.session(key).connection_key(key)
    }

    fn subscribe_at_qos_1(&mut self, name: &str, filter: &str) {
        let subscription = Subscription {
            share_name: None,
            filter: TopicFilter::parse(filter).unwrap(),
            maximum_qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let subscribe = Packet::Subscribe(Subscribe {
            packet_identifier: NonZeroU16::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: vec![subscription],
        });
        let codes = self.handle(self.key_of(name), &subscribe, after(1));
        assert_eq!(codes, [ReasonCode::GrantedQos1]);
    }
}

#[test]
fn what_waits_in_a_session_is_judged_by_the_token_that_it_goes_on_with() {
    let mut world = World::new();
    let both = token(r#"[["kept",["sub"]],["lost",["sub"]]]"#);
    world.come("reader", &both);
    world.subscribe_at_qos_1("reader", "kept");
    world.subscribe_at_qos_1("reader", "lost");
    let key = world.key_of("reader");
    world
        .shard
        .part(key.session, WillFate::Discard, false, after(1));

    world.come("writer", &token(r##"[["#",["pub"]]]"##));
    let writer = world.key_of("writer");
    for topic in ["kept", "lost", "lost"] {
        assert_eq!(
            world.publish(writer, topic, after(1)),
            [ReasonCode::Success]
        );
    }
    let narrower = token(r#"[["kept",["sub"]]]"#);
    // One message, for which `NoMatchingSubscribers` stands.
    assert_eq!(
        world.come("reader", &narrower),
        [ReasonCode::Success, ReasonCode::NoMatchingSubscribers]
    );
    let key = world.key_of("reader").session;
    let left: Vec<String> = (world.shard.session(key).subscriptions.iter())
        .map(|one| one.filter.as_str().to_owned())
        .collect();
    assert_eq!(left, ["kept"]);
}

// RFC 9431 §6: what 3.1.1 needs is not for those who have the method.
#[test]
fn a_client_of_5_0_that_brings_its_token_in_the_user_name_is_refused() {
    let world = World::new();
    let bytes = world.sign(&token(r#"[["t",["pub"]]]"#), after(0));
    let proof = world.pop.sign(&EXPORTER).unwrap();
    let name = user_name(&bytes);
    let mut connect = Connect {
        version: ProtocolVersion::V311,
        clean_start: true,
        keep_alive_secs: 0,
        client_identifier: "c",
        will: None,
        user_name: Some(&name),
        password: Some(&proof),
        properties: ConnectProperties::default(),
    };
    let at = Circumstances {
        keys: &world.keys,
        exporter: Some(&EXPORTER),
        proved_key: None,
        brought: None,
        fresh_nonce: &|| Some(NONCE),
        now: BEGIN,
        now_ms: 0,
    };
    assert!(world.admission.handle_connect(&connect, at).is_ok());
    connect.version = ProtocolVersion::V5;
    let refused = world.admission.handle_connect(&connect, at).unwrap_err();
    assert_eq!(refused, Refusal::Password);
}
