//! Whose tokens count: several authorization servers, keys shared with them, tokens that count from first sight, tokens that are kept, and
//! tokens that the authorization server is asked about again.

use super::*;
use crate::core::{
    admission::AwaitProof,
    introspected::{Answer, Reference, Verdict},
    reloading::Rules,
    stored_tokens::Capacity,
};
use std::collections::HashSet;
use symbolon_ace_proto::{
    DerivationKey, MacKey, PopKey, SymmetricKey, TokenHash, derived_key, identifier,
    introspection::ActiveToken, jwe::ContentKey, psk_identity::PskIdentity,
};

const OTHER: &str = "https://other.example";
const SCOPE: &str = r#"[["t",["pub","sub"]]]"#;

impl World {
    /// Other rules, for the shard too.
    fn change(&mut self, change: impl FnOnce(&mut Admission)) {
        let mut admission = (*self.admission).clone();
        change(&mut admission);
        self.admission = Arc::new(admission);
        let rules = Rules {
            limits: self.shard.limits,
            admission: Arc::clone(&self.admission),
            sys_interval_secs: 0,
        };
        self.shard.handle_reload(&rules, after(0));
    }

    /// A second authorization server, with keys of its own.
    fn with_other(&mut self) -> SigningKey {
        let signer = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        self.change(|admission| {
            let other = Authority {
                issuer: OTHER.into(),
                ..admission.authorities[0].clone()
            };
            admission.authorities.push(other);
        });
        let set = |key: &SigningKey| KeySet::from_keys(vec![key.to_public_jwk()]);
        self.keys = KeySets::new(vec![
            (ISSUER.into(), set(&self.signing_key)),
            (OTHER.into(), set(&signer)),
        ]);
        signer
    }

    /// CONNECT with this token and the proof by the exporter value.
    fn bring(&self, token: &[u8], now: Now) -> Result<Box<Admitted>, Refusal> {
        let proof = self.pop.sign(&EXPORTER).unwrap();
        let data = ConnectData::TokenAndProof {
            token,
            proof: &proof,
        };
        match self.judge_at(&data, now)? {
            Step::Admit(admitted) => Ok(admitted),
            Step::Challenge(_) => panic!("the proof was there"),
        }
    }

    fn judge_at(&self, data: &ConnectData<'_>, now: Now) -> Result<Step, Refusal> {
        let data = data.encode().unwrap();
        let connect = Connect {
            version: ProtocolVersion::V5,
            clean_start: true,
            keep_alive_secs: 0,
            client_identifier: "device",
            will: None,
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
            exporter: Some(&EXPORTER),
            proved_key: None,
            brought: None,
            fresh_nonce: &|| Some(NONCE),
            now: now.unix,
            now_ms: now.ms,
        };
        self.admission.handle_connect(&connect, at)
    }

    fn refusal(&self, token: &[u8]) -> Option<Refusal> {
        self.bring(token, after(0)).err()
    }
}

fn challenged(step: Result<Step, Refusal>) -> AwaitProof {
    match step.unwrap() {
        Step::Challenge(await_proof) => *await_proof,
        Step::Admit(_) => panic!("admitted without proof"),
    }
}

fn answer(await_proof: AwaitProof, data: &[u8], now: Now) -> Result<Box<Admitted>, Refusal> {
    let auth = Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        authentication_method: Some("ace"),
        authentication_data: Some(data),
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    await_proof.handle_auth(&auth, now.unix)
}

// RFC 8725 §3.8, §3.9.
#[test]
fn a_token_is_judged_by_the_keys_of_its_own_issuer_alone() {
    let mut world = World::new();
    let other = world.with_other();
    let claims = |issuer: &str| Claims {
        issuer: issuer.into(),
        ..world.claims(&token(SCOPE), after(0))
    };
    let sign = |key: &SigningKey, issuer| key.sign(&claims(issuer)).unwrap().into_bytes();
    assert_eq!(world.refusal(&sign(&world.signing_key, ISSUER)), None);
    assert_eq!(world.refusal(&sign(&other, OTHER)), None);
    // Each other's keys are unknown, and each is asked for its own.
    let unknown = |issuer: &str| Some(Refusal::UnknownKey(issuer.into()));
    assert_eq!(world.refusal(&sign(&other, ISSUER)), unknown(ISSUER));
    assert_eq!(
        world.refusal(&sign(&world.signing_key, OTHER)),
        unknown(OTHER)
    );
    let cwt = other.sign_cwt(&claims(ISSUER)).unwrap();
    assert_eq!(world.refusal(&cwt), unknown(ISSUER));
    let nobodys = sign(&other, "https://nobody.example");
    let wrong = Some(Refusal::Token(TokenError::WrongIssuer));
    assert_eq!(world.refusal(&nobodys), wrong);
}

#[test]
fn a_content_key_of_one_authorization_server_opens_no_token_of_another() {
    let mut world = World::new();
    let other = world.with_other();
    let content_key = ContentKey {
        kid: "content".into(),
        key: SymmetricKey::from_bytes(&[7; 32]),
    };
    world.change(|admission| {
        admission.authorities[0].content_keys = ContentKeys(vec![content_key.clone()]);
    });
    world.pop = PopSigner::generate(PopAlgorithm::Hs256).unwrap();
    let jwk = world.pop.verifying_key().to_jwk();
    let encrypted = Confirmation::Encrypted(content_key.encrypt(&jwk).unwrap());
    let claims = |issuer: &str| Claims {
        issuer: issuer.into(),
        confirmation: encrypted.clone(),
        ..world.claims(&token(SCOPE), after(0))
    };
    let own = world.signing_key.sign(&claims(ISSUER)).unwrap();
    assert_eq!(world.refusal(own.as_bytes()), None);
    let others = other.sign(&claims(OTHER)).unwrap();
    assert_eq!(world.refusal(others.as_bytes()), Some(Refusal::Key));
}

#[test]
fn a_stored_key_of_one_authorization_server_is_not_named_by_a_token_of_another() {
    let mut world = World::new();
    let other = world.with_other();
    let jwk = world.pop.verifying_key().to_jwk().with_kid("key-1");
    let mut claims = world.claims(&token(SCOPE), after(0));
    claims.confirmation = Confirmation::Key(Box::new(jwk));
    let first = world.signing_key.sign(&claims).unwrap();
    let judged = world
        .admission
        .judge_to_store(first.as_bytes(), &world.keys, BEGIN);
    let capacity = Capacity {
        tokens: 9,
        bytes: 9_999,
    };
    let stored = &world.admission.tokens.stored;
    stored.insert(judged.unwrap(), capacity, BEGIN).unwrap();
    let kid = identifier::to_bytes("key-1");
    claims.confirmation = Confirmation::KeyIdentifier(kid);
    let update = world.signing_key.sign(&claims).unwrap();
    assert_eq!(world.refusal(update.as_bytes()), None);
    claims.issuer = OTHER.into();
    let others = other.sign(&claims).unwrap();
    assert_eq!(world.refusal(others.as_bytes()), Some(Refusal::Key));
}

#[test]
fn a_token_with_a_mac_counts_under_the_key_that_its_issuer_shares_with_us() {
    let mut world = World::new();
    world.with_other();
    let mac = MacKey::generate().unwrap();
    let set = KeySet::default().with_mac_keys(vec![mac.clone()]);
    world.keys = KeySets::new(vec![
        (ISSUER.into(), set),
        (OTHER.into(), KeySet::default()),
    ]);
    let mut claims = world.claims(&token(SCOPE), after(0));
    assert_eq!(world.refusal(&mac.mac_cwt(&claims).unwrap()), None);
    claims.issuer = OTHER.into();
    let refused = Some(Refusal::Token(TokenError::AlgorithmNotAllowed));
    assert_eq!(world.refusal(&mac.mac_cwt(&claims).unwrap()), refused);
}

// RFC 9202 §3.3.1.
#[test]
fn a_token_that_only_names_its_key_is_bound_to_the_one_that_is_derived_from_it() {
    let mut world = World::new();
    let mut claims = world.claims(&token(SCOPE), after(0));
    claims.confirmation = Confirmation::KeyIdentifier(vec![0xff; 16]);
    let jwt = world.signing_key.sign(&claims).unwrap().into_bytes();
    let cwt = world.signing_key.sign_cwt(&claims).unwrap();
    let key_of = |bytes: &[u8]| SymmetricKey::from_bytes(&derived_key(&[3; 32], bytes));
    // Without a key to derive with, nobody knows whose the name is.
    assert_eq!(world.refusal(&jwt), Some(Refusal::Key));
    world.change(|admission| {
        let key = DerivationKey::new("", &SymmetricKey::from_bytes(&[3; 32]));
        admission.authorities[0].derivation_keys = vec![key.unwrap()];
    });
    let psk = |identity: &[u8]| world.admission.pre_shared_key(identity, &world.keys, BEGIN);
    // The token as the identity; a CWT in a text is the CWT.
    assert_eq!(psk(&jwt), Some(key_of(&jwt)));
    assert_eq!(psk(&cwt), Some(key_of(&cwt)));
    assert_eq!(psk(base64url(&cwt).as_bytes()), Some(key_of(&cwt)));
    // The proof in MQTT.
    let step = world.judge_at(&ConnectData::Token(&jwt), after(0));
    let signer = PopSigner::from_jwk(&PopKey::Hs256(key_of(&jwt)).to_jwk()).unwrap();
    let admitted = answer(challenged(step), &answer_by(&signer), after(0)).unwrap();
    let thief = PopSigner::from_jwk(&PopKey::Hs256(key_of(&cwt)).to_jwk()).unwrap();
    let step = world.judge_at(&ConnectData::Token(&jwt), after(0));
    let refused = answer(challenged(step), &answer_by(&thief), after(0));
    assert_eq!(refused.unwrap_err(), Refusal::Proof);
    // Stored, its key has the name.
    let named = PskIdentity::of_key(&[0xff; 16]);
    assert_eq!(psk(&named), None);
    let capacity = Capacity {
        tokens: 9,
        bytes: 9_999,
    };
    let stored = &world.admission.tokens.stored;
    stored
        .insert(admitted.token.unwrap(), capacity, BEGIN)
        .unwrap();
    assert_eq!(psk(&named), Some(key_of(&jwt)));
    // RFC 9202 §4: another token for that name has that key.
    claims.scope = Scope::from_json("[]").unwrap();
    let update = world.signing_key.sign(&claims).unwrap();
    assert_eq!(psk(update.as_bytes()), Some(key_of(&jwt)));
}

fn numbered(world: &World, number: u64, secs: u64) -> Vec<u8> {
    let identifier = [AUDIENCE.as_bytes(), &number.to_be_bytes()].concat();
    let claims = Claims {
        expires_in_secs: Some(secs),
        token_identifier: Some(base64url(&identifier)),
        ..world.claims(&token(SCOPE), after(0))
    };
    world.signing_key.sign(&claims).unwrap().into_bytes()
}

/// Bytes as base64url without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for digit in 0..=chunk.len() {
            let six = (group >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[six as usize]));
        }
    }
    text
}

// RFC 9200 §5.10.3.
#[test]
fn a_token_with_exi_is_over_so_long_after_it_was_first_seen_and_stays_over() {
    for clock in [true, false] {
        let mut world = World::new();
        world.change(|admission| admission.clock = clock);
        let first = numbered(&world, 7, 10);
        let admitted = world.bring(&first, after(1_000)).unwrap();
        assert_eq!(admitted.grant.expires_at(), Some(after(1_010).unix));
        let again = world.bring(&first, after(1_009)).unwrap();
        assert_eq!(again.grant.expires_at(), Some(after(1_010).unix));
        let over = Refusal::Token(TokenError::Expired);
        assert_eq!(world.bring(&first, after(1_010)).unwrap_err(), over);
        // One that was never seen, but has a lower number.
        let lower = numbered(&world, 6, 10);
        assert_eq!(world.bring(&lower, after(1_011)).unwrap_err(), over);
        assert!(world.bring(&numbered(&world, 8, 10), after(1_011)).is_ok());
    }
}

#[test]
fn a_token_with_exi_must_have_a_number() {
    let world = World::new();
    let claims = Claims {
        expires_in_secs: Some(10),
        token_identifier: Some("t1".into()),
        ..world.claims(&token(SCOPE), after(0))
    };
    let token = world.signing_key.sign(&claims).unwrap();
    let refused = Some(Refusal::Token(TokenError::BadClaim("cti")));
    assert_eq!(world.refusal(token.as_bytes()), refused);
}

// RFC 9200 §5.10.3: `exp` and `nbf` need a clock.
#[test]
fn without_a_clock_only_tokens_with_exi_count() {
    let mut world = World::new();
    world.change(|admission| admission.clock = false);
    let dated = world.sign(&token(SCOPE), after(0));
    let refused = Some(Refusal::Token(TokenError::BadClaim("exi")));
    assert_eq!(world.refusal(&dated), refused);
}

// RFC 9431 §2.4.2, §6.
#[test]
fn a_token_of_connect_is_stored_once_its_client_has_proved_possession() {
    let mut world = World::with(TokenKeeping {
        from_connect: true,
        stored_token_challenge: true,
        ..TokenKeeping::default()
    });
    let token_of_device = world.sign(&token(SCOPE), after(0));
    let step = world.judge_at(&ConnectData::Token(&token_of_device), after(0));
    drop(challenged(step));
    assert_eq!(
        world.admission.tokens.stored.count(),
        0,
        "nothing is proved"
    );
    let admitted = world.bring(&token_of_device, after(0)).unwrap();
    let key = world.admit(&admitted);
    assert_eq!(world.admission.tokens.stored.count(), 1);
    // During the connection and after it, the client may come without it.
    world.shard.handle_closed(key, after(1));
    let step = world.judge_at(&ConnectData::NoToken, after(1));
    let admitted = answer(challenged(step), &answer_by(&world.pop), after(1)).unwrap();
    assert!(admitted.token.is_none());
    // A token that renews takes its place.
    let key = world.admit(&admitted);
    let codes = world.reauthenticate(key, &token(r#"[["u",["pub"]]]"#), after(2));
    assert_eq!(codes, [ReasonCode::ContinueAuthentication]);
    let proof = answer_by(&world.pop);
    world.auth(key, ReasonCode::ContinueAuthentication, &proof, after(2));
    let stored = &world.admission.tokens.stored;
    let renewed = stored.by_name(ISSUER, "device", after(2).unix).unwrap();
    assert!(
        renewed
            .grant
            .permits_publish(TopicName::parse("u").unwrap())
    );
    assert_eq!(stored.count(), 1);
}

#[test]
fn a_token_that_was_found_good_is_verified_again_only_by_other_keys_or_another_configuration() {
    let keeping = TokenKeeping {
        from_connect: true,
        ..TokenKeeping::default()
    };
    let mut world = World::with(keeping);
    let bytes = world.sign(&token(SCOPE), after(0));
    let admitted = world.bring(&bytes, after(0)).unwrap();
    world.admit(&admitted);
    // Keys that nobody has fetched: were it verified again, it would not be let in.
    let (keys, none) = (world.keys.clone(), KeySets::new(Vec::new()));
    world.keys = none.clone();
    assert!(world.bring(&bytes, after(1)).is_ok());
    assert!(world.bring(&bytes, after(100)).is_err(), "it has expired");
    world.keys = none.clone().after(&keys);
    assert!(world.bring(&bytes, after(1)).is_err(), "other keys");
    world.keys = none;
    world.change(|admission| admission.generation += 1);
    assert!(world.bring(&bytes, after(1)).is_err(), "reloaded");
    world.change(|admission| admission.generation -= 1);
    assert!(world.bring(&bytes, after(1)).is_ok());
    let revoked = HashSet::from([TokenHash::of_json_answer(&bytes)]);
    world.admission.tokens.revoke(revoked);
    assert!(world.bring(&bytes, after(1)).is_err(), "revoked");
}

#[test]
fn keys_that_are_fetched_again_are_others_only_where_they_differ() {
    let world = World::new();
    let again = world.keys.of(ISSUER).unwrap().clone();
    let same = world.keys.with(ISSUER, &again);
    assert_eq!(same.generation(), world.keys.generation());
    let other = world.keys.with(ISSUER, &KeySet::default());
    assert_ne!(other.generation(), world.keys.generation());
}

#[test]
fn a_proved_client_is_never_refused_because_its_token_cannot_be_stored() {
    for tokens in [0, 1] {
        let mut world = World::with(TokenKeeping {
            from_connect: true,
            ..TokenKeeping::default()
        });
        // Half of one is none.
        world.shard.limits.stored_tokens = tokens;
        world.connect(&token(SCOPE));
        assert_eq!(world.admission.tokens.stored.count(), 0);
    }
}

/// A world whose authorization server is asked, and a reference.
struct Asked {
    world: World,
    reference: Reference,
}

impl Asked {
    fn new() -> Self {
        let mut world = World::new();
        world.change(|admission| admission.authorities[0].introspection = true);
        let reference = Reference::parse(b"opaque").unwrap();
        Self { world, reference }
    }

    fn says(&self, verdict: Verdict, until: Now) {
        let said = &self.world.admission.tokens.introspected;
        said.remember((ISSUER, &self.reference), verdict, until.unix);
    }

    /// A token that ends after `end_secs`, said at `at` and believed for ten seconds.
    fn says_active(&self, scope: &str, end_secs: u64, at_secs: u64) {
        let key = self.world.pop.verifying_key().to_jwk();
        let token = ActiveToken {
            client_id: Some("device".into()),
            expires_at: Some(after(end_secs).unix),
            scope: Some(Scope::from_json(scope).unwrap()),
            confirmation: Some(Confirmation::Key(Box::new(key))),
            ..ActiveToken::default()
        };
        let until = after(at_secs + 10);
        let answer = Answer {
            token,
            asked_at: after(at_secs).unix,
            until: until.unix,
        };
        self.says(Verdict::Active(Arc::new(answer)), until);
    }

    fn connect(&mut self) -> ConnectionKey {
        let admitted = self.world.bring(b"opaque", after(0)).unwrap();
        self.world.admit(&admitted)
    }

    /// Time passes until the authorization server is asked.
    fn is_asked(&mut self, key: ConnectionKey, from_secs: u64, to_secs: u64) {
        for secs in from_secs..=to_secs {
            self.world.shard.handle_timeout(after(secs));
            if let Some((at, question)) = self.world.shard.poll_introspection_request() {
                assert_eq!(at, key);
                assert_eq!(question.reference, self.reference);
                assert_eq!(question.issuer.as_deref(), Some(ISSUER));
                return;
            }
        }
        panic!("nobody asked");
    }

    fn answered(&mut self, key: ConnectionKey, at_secs: u64) {
        let keys = self.world.keys.clone();
        self.world.shard.handle_keys(key, &keys, after(at_secs));
    }
}

// RFC 9200 §5.9, RFC 9431 §2.4.2: "introspection result with a timeout".
#[test]
fn a_session_by_reference_is_asked_about_again_and_takes_the_rights_that_are_left() {
    let mut asked = Asked::new();
    asked.says_active(SCOPE, 1_000, 0);
    let key = asked.connect();
    let world = &mut asked.world;
    assert_eq!(world.subscribe(key, "t", after(1)), [ReasonCode::Success]);
    for secs in 1..10 {
        world.shard.handle_timeout(after(secs));
        assert!(world.shard.poll_introspection_request().is_none(), "{secs}");
    }
    asked.is_asked(key, 10, 12);
    asked.says_active(r#"[["u",["pub"]]]"#, 1_000, 12);
    asked.answered(key, 12);
    let world = &mut asked.world;
    assert!(world.shard.session(key.session).subscriptions.is_empty());
    assert_eq!(
        world.publish(key, "t", after(12)),
        [ReasonCode::NotAuthorized]
    );
    assert_eq!(
        world.publish(key, "u", after(12)),
        [ReasonCode::NoMatchingSubscribers]
    );
    // And again.
    asked.is_asked(key, 22, 24);
}

#[test]
fn while_the_authorization_server_is_away_nobody_is_cut_before_the_tokens_own_end() {
    let mut asked = Asked::new();
    asked.says_active(SCOPE, 60, 0);
    let key = asked.connect();
    asked.is_asked(key, 10, 12);
    asked.answered(key, 12);
    assert!(asked.world.shard.live(key).is_some());
    // It is asked once more after a while.
    asked.is_asked(key, 20, 32);
    asked.answered(key, 32);
    for secs in 33..60 {
        asked.world.shard.handle_timeout(after(secs));
        asked.answered(key, secs);
    }
    assert!(asked.world.shard.live(key).is_some());
    asked.world.shard.handle_timeout(after(61));
    assert_eq!(asked.world.sent(key), [ReasonCode::NotAuthorized]);
}

#[test]
fn a_revoked_token_ends_its_session_and_takes_its_retained_messages_with_it() {
    let mut asked = Asked::new();
    asked.says_active(SCOPE, 1_000, 0);
    let key = asked.connect();
    let publish = Publish {
        duplicate: false,
        delivery: Delivery::AtLeastOnce(NonZeroU16::MIN),
        retain: true,
        topic: Some(TopicName::parse("t").unwrap()),
        properties: PublishProperties::default(),
        payload: b"x",
    };
    asked.world.handle(key, &Packet::Publish(publish), after(1));
    // Somebody else's stays.
    let others = asked.world.sign(&token(r#"[["v",["pub"]]]"#), after(0));
    let proof = asked.world.pop.sign(&EXPORTER).unwrap();
    let data = ConnectData::TokenAndProof {
        token: &others,
        proof: &proof,
    };
    let Ok(Step::Admit(admitted)) = asked.world.judge(&data, None, Some(&EXPORTER)) else {
        panic!("the proof was there");
    };
    let other = asked.world.admit(&admitted);
    let publish = Publish {
        topic: Some(TopicName::parse("v").unwrap()),
        ..publish
    };
    asked
        .world
        .handle(other, &Packet::Publish(publish), after(1));
    let retained = |world: &mut World| {
        let place = Count::RetainedMessages.place();
        world.shard.counters().numbers()[place]
    };
    assert_eq!(retained(&mut asked.world), 2);
    asked.is_asked(key, 10, 12);
    asked.says(Verdict::Inactive, after(30));
    asked.answered(key, 12);
    assert_eq!(asked.world.sent(key), [ReasonCode::NotAuthorized]);
    assert!(asked.world.shard.live(other).is_some());
    // The next sweep takes it out of memory; nobody gets it before that either.
    asked.world.shard.handle_timeout(after(14));
    assert_eq!(retained(&mut asked.world), 1);
}

// Nobody learns from a refusal which part of a token, its key or its proof was wrong.
#[test]
fn whatever_is_wrong_with_a_token_is_told_in_the_same_words() {
    let reference = Reference::parse(b"opaque").unwrap();
    let refusals = [
        Refusal::Token(TokenError::NotAToken),
        Refusal::Token(TokenError::BadSignature),
        Refusal::Token(TokenError::Expired),
        Refusal::Token(TokenError::WrongAudience),
        Refusal::Token(TokenError::WrongIssuer),
        Refusal::Token(TokenError::BadClaim("scope")),
        Refusal::UnknownKey(ISSUER.into()),
        Refusal::NotIntrospected(reference),
        Refusal::Inactive,
        Refusal::Stale,
        Refusal::Key,
        Refusal::Proof,
    ];
    let told = |refusal: &Refusal| (refusal.reason_code(), refusal.text(), refusal.wants_hint());
    for refusal in &refusals {
        assert_eq!(told(refusal), told(&Refusal::Proof), "{refusal:?}");
        assert_ne!(refusal.text(), refusal.to_string(), "the log says more");
    }
}

// Who has found a token learns nothing of its scope by trying Wills.
#[test]
fn whether_a_token_covers_a_will_is_told_only_to_who_proves_possession() {
    let world = World::new();
    let token = world.sign(&token(SCOPE), after(0));
    let thief = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let refused = |topic: &str, signer: &PopSigner| {
        let step = world.judge(&ConnectData::Token(&token), Some(topic), None);
        answer(challenged(step), &answer_by(signer), after(0)).err()
    };
    for topic in ["t", "not/covered"] {
        assert_eq!(refused(topic, &thief), Some(Refusal::Proof));
    }
    assert_eq!(refused("t", &world.pop), None);
    assert_eq!(refused("not/covered", &world.pop), Some(Refusal::Will));
}

#[test]
fn the_authorization_server_is_asked_about_a_few_sessions_at_once_and_about_all_in_turn() {
    let mut asked = Asked::new();
    asked.says_active(SCOPE, 1_000, 0);
    let mut sessions = Vec::new();
    for number in 0..20 {
        let mut admitted = asked.world.bring(b"opaque", after(0)).unwrap();
        admitted.introduction.client_identifier = format!("device-{number}").into();
        sessions.push(asked.world.admit(&admitted));
    }
    let questions = |asked: &mut Asked| -> Vec<ConnectionKey> {
        let shard = &mut asked.world.shard;
        std::iter::from_fn(|| shard.poll_introspection_request().map(|(at, _)| at)).collect()
    };
    asked.world.shard.handle_timeout(after(12));
    let mut waiting = questions(&mut asked);
    assert_eq!(waiting.len(), 8);
    // Nobody answers: each question that is over lets another one go.
    let mut seen = waiting.clone();
    while let Some(at) = waiting.pop() {
        asked.answered(at, 12);
        let next = questions(&mut asked);
        assert!(next.len() <= 1);
        seen.extend(&next);
        waiting.extend(next);
    }
    assert_eq!(seen.len(), 20);
    // One answer is for all that have this token.
    asked.world.shard.handle_timeout(after(30));
    let waiting = questions(&mut asked);
    assert_eq!(waiting.len(), 8);
    asked.says_active(SCOPE, 1_000, 30);
    for at in waiting {
        asked.answered(at, 30);
    }
    assert_eq!(questions(&mut asked), []);
    assert!(
        sessions
            .iter()
            .all(|at| asked.world.shard.live(*at).is_some())
    );
}
