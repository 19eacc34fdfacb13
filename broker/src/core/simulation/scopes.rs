//! Scopes, sessions, renewals, revocations and topics by chance, on two shards; and [`Model`], which says in few lines what may pass.
//!
//! No message may go beyond the model, and none may fall short of it. `SYMBOLON_SCOPE_CASES` says how many cases are tried.

use super::{dice::Dice, number};
use crate::{
    Limits,
    core::{
        admission::{Admission, Admitted, Introduction, TokenKeeping},
        authority::KeySets,
        grant::{Grant, PublicTopics},
        hash_seed::HashSeed,
        quota::Quotas,
        reauthentication::AuthCircumstances,
        session::ConnectionKey,
        shard::{Now, Shard, ShardSetup},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    num::NonZeroU16,
    sync::{Arc, LazyLock},
};
use symbolon_ace_proto::{Claims, Confirmation, PopAlgorithm, PopSigner, Scope, UnixTime};
use symbolon_mqtt_proto::{
    Ack, Connect, Decoder, Delivery, Packet, ProtocolVersion, Publish, PublishProperties, Qos,
    ReasonCode, RetainHandling, Sender, Subscribe, Subscription, TopicFilter, TopicName,
    UserProperties, connect::ConnectProperties,
};

/// How many cases are tried where nothing is said.
const CASES: u64 = 2_000;
const STEPS: usize = 32;
const CLIENTS: usize = 3;
const SHARDS: u16 = 2;
const BEGIN: u64 = 1_800_000_000;
/// What topics are made of: `$a` stands only in front, where no wildcard matches it (MQTT-4.7.2-1).
const LEVELS: [&str; 2] = ["a", "b"];
/// Topics have up to so many levels, filters up to one fewer: so no filter is taken for wider than it is.
const DEPTH: usize = 4;

/// A set of topics: one bit for each that there is.
type Topics = u64;

/// A message: its number, its topic, and its quality of service.
type Message = (u32, usize, Qos);

/// Every topic.
static ALL: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut all: Vec<String> = ["a", "b", "$a"].map(String::from).into();
    let mut last = all.clone();
    for _ in 1..DEPTH {
        let deeper = |topic: &String| LEVELS.map(|level| format!("{topic}/{level}"));
        last = last.iter().flat_map(deeper).collect();
        all.extend(last.iter().cloned());
    }
    assert!(all.len() <= 64, "a topic is one bit");
    all
});

/// A key is costly to make, and which one it is makes no difference.
static KEY: LazyLock<PopSigner> =
    LazyLock::new(|| PopSigner::generate(PopAlgorithm::EdDsa).expect("there are random numbers"));

// The model begins here.

fn topics_of(filter: &str) -> Topics {
    let matches = |topic: &&String| {
        let (mut levels, mut wanted) = (topic.split('/'), filter.split('/'));
        if topic.starts_with('$') && !filter.starts_with('$') {
            return false;
        }
        loop {
            match (wanted.next(), levels.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(one), Some(other)) if one == other => {}
                (Some(_) | None, Some(_) | None) => return false,
            }
        }
    };
    let bits = ALL.iter().map(|topic| u64::from(matches(&topic)));
    bits.rev().fold(0, |set, bit| set << 1 | bit)
}

#[derive(Default)]
struct Modelled {
    publish: Vec<Topics>,
    subscribe: Vec<Topics>,
    scope: Vec<String>,
    ends: u64,
    is_there: bool,
    is_kept: bool,
    subscriptions: BTreeMap<String, Qos>,
    waiting: Vec<Message>,
}

impl Modelled {
    fn may(among: &[Topics], wanted: Topics) -> bool {
        among.iter().any(|allowed| wanted & !allowed == 0)
    }

    fn go(&mut self) {
        self.is_there = false;
        if !self.is_kept {
            *self = Self::default();
        }
    }

    fn take_token(&mut self, scope: &[Entry], ends: u64) {
        let of = |wanted: fn(&Entry) -> bool| {
            let entries = scope.iter().filter(|entry| wanted(entry));
            entries.map(|entry| topics_of(&entry.filter)).collect()
        };
        (self.publish, self.subscribe) = (of(|one| one.publish), of(|one| one.subscribe));
        self.scope = scope.iter().map(|entry| entry.filter.clone()).collect();
        self.ends = ends;
        let subscribe = &self.subscribe;
        (self.subscriptions).retain(|filter, _| Self::may(subscribe, topics_of(filter)));
    }

    fn come(&mut self, clean: bool, is_kept: bool, scope: &[Entry], ends: u64) -> Vec<Message> {
        self.go();
        if clean {
            *self = Self::default();
        }
        (self.is_there, self.is_kept) = (true, is_kept);
        self.take_token(scope, ends);
        let mut due = std::mem::take(&mut self.waiting);
        due.retain(|(_, topic, _)| Self::may(&self.subscribe, 1 << topic));
        due
    }

    /// Whether it gets the message now.
    fn gets(&mut self, message: Message) -> bool {
        let (_, topic, qos) = message;
        let matching =
            (self.subscriptions.iter()).filter(|(one, _)| topics_of(one) >> topic & 1 == 1);
        let Some(qos) = matching.map(|(_, maximum)| qos.min(*maximum)).max() else {
            return false;
        };
        if !self.is_there && qos > Qos::AtMostOnce {
            self.waiting.push(message);
        }
        self.is_there
    }
}

// The model ends here.

/// One entry of a scope.
#[derive(Debug)]
struct Entry {
    filter: String,
    publish: bool,
    subscribe: bool,
}

/// The broker under test, beside the model.
struct Case {
    dice: Dice,
    now: Now,
    admission: Arc<Admission>,
    shards: Vec<Shard>,
    connections: [Option<ConnectionKey>; CLIENTS],
    model: [Modelled; CLIENTS],
    tokens: u64,
    messages: u32,
    /// How many of them clients got.
    deliveries: usize,
    /// What happened, for whoever reads of a failure.
    story: Vec<String>,
}

/// What clients were sent since the last look.
#[derive(Debug, Default, Eq, PartialEq)]
struct Heard {
    messages: BTreeSet<(usize, u32)>,
    answers: Vec<(usize, ReasonCode)>,
}

fn limits() -> Limits {
    Limits {
        session_expiry_secs: 100_000,
        ..Limits::default()
    }
}

fn chance_of_filter(dice: &mut Dice) -> String {
    let first = *dice.pick(&["a", "a", "b", "+", "+", "#", "$a"]);
    let mut filter = first.to_owned();
    for _ in 0..dice.below(DEPTH - 1) {
        if filter.ends_with('#') {
            break;
        }
        filter.push('/');
        let level = *dice.pick(&["a", "b", "+", "#"]);
        filter.push_str(level);
    }
    filter
}

fn chance_of_scope(dice: &mut Dice) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..dice.between(1, 3) {
        let which = *dice.pick(&[1, 2, 3, 3, 3]);
        let filter = chance_of_filter(dice);
        if entries.iter().all(|entry| entry.filter != filter) {
            entries.push(Entry {
                filter,
                publish: which & 1 == 1,
                subscribe: which & 2 == 2,
            });
        }
    }
    entries
}

impl Case {
    fn new(seed: u64) -> Self {
        let admission = Arc::new(Admission {
            authorities: Vec::new(),
            generation: 0,
            clock: true,
            public_topics: Arc::new(PublicTopics::default()),
            response_information: None,
            quotas: Quotas::new(&limits()),
            tokens: TokenKeeping::default(),
        });
        let shard = |index| {
            Shard::new(ShardSetup {
                index,
                count: SHARDS,
                limits: limits(),
                admission: Arc::clone(&admission),
                store: None,
                seed: HashSeed::from_words([seed, 2, 3, 4]),
            })
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            admission: Arc::clone(&admission),
            dice: Dice::new(seed),
            now: Now {
                ms: 0,
                unix: UnixTime(BEGIN),
            },
            connections: [None; CLIENTS],
            model: Default::default(),
            tokens: 0,
            messages: 0,
            deliveries: 0,
            story: Vec::new(),
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            let client = self.dice.below(CLIENTS);
            match self.dice.below(24) {
                _ if self.connections[client].is_none() && self.dice.one_in(2) => {
                    self.connect(client);
                }
                0 => self.connect(client),
                1 => self.disconnect(client),
                2 => self.renew(client),
                3 => self.revoke(client),
                4 => self.pass_time(),
                5..13 => self.subscribe(client),
                _ => self.publish(client),
            }
        }
    }

    /// A token by chance: what it says, until when, and the grant that the broker makes of it.
    fn token(&mut self, client: usize) -> (Vec<Entry>, u64, Grant) {
        let scope = chance_of_scope(&mut self.dice);
        let ends = self.now.unix.0 + self.dice.between(1, 60);
        let text: Vec<String> = (scope.iter())
            .map(|entry| {
                let rights = [("\"pub\"", entry.publish), ("\"sub\"", entry.subscribe)];
                let rights: Vec<_> = (rights.iter().filter(|one| one.1))
                    .map(|one| one.0)
                    .collect();
                format!(r#"["{}",[{}]]"#, entry.filter, rights.join(","))
            })
            .collect();
        let claims = Claims {
            issuer: "as".into(),
            subject: Some(format!("client-{client}")),
            client_id: None,
            audience: vec!["broker".into()],
            expires_at: UnixTime(ends),
            not_before: None,
            issued_at: None,
            token_identifier: None,
            scope: Scope::from_json(&format!("[{}]", text.join(","))).unwrap(),
            expires_in_secs: None,
            client_nonce: None,
            confirmation: Confirmation::Key(Box::new(KEY.verifying_key().to_jwk())),
        };
        let public = Arc::clone(&self.admission.public_topics);
        self.tokens += 1;
        let grant = Grant::compile(&claims, [7; 32], public);
        let grant = grant.by_token(self.tokens.to_string().as_bytes());
        (scope, ends, grant)
    }

    fn connect(&mut self, client: usize) {
        let (scope, ends, grant) = self.token(client);
        let (clean, is_kept) = (self.dice.one_in(4), !self.dice.one_in(3));
        self.story.push(format!(
            "client {client} connects, clean {clean}, kept {is_kept}, until {ends}: {scope:?}"
        ));
        let admitted = self.admitted(client, (clean, is_kept), grant);
        let shard = &mut self.shards[client % usize::from(SHARDS)];
        let at = shard.handle_admitted(&admitted, false, self.now);
        let at = at.expect("nothing stands against it");
        let before = self.connections[client].replace(at);
        let due = self.model[client].come(clean, is_kept, &scope, ends);
        let expected = Heard {
            messages: due.iter().map(|(id, ..)| (client, *id)).collect(),
            answers: vec![(client, ReasonCode::Success)],
        };
        if let Some(before) = before {
            self.shards[client % usize::from(SHARDS)].handle_closed(before, self.now);
        }
        self.check(&expected);
    }

    fn admitted(
        &self,
        client: usize,
        (clean_start, is_kept): (bool, bool),
        grant: Grant,
    ) -> Admitted {
        let name = format!("client-{client}");
        let connect = Connect {
            version: ProtocolVersion::V5,
            clean_start,
            keep_alive_secs: 0,
            client_identifier: &name,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties {
                session_expiry_interval_secs: Some(if is_kept { 50_000 } else { 0 }),
                ..ConnectProperties::default()
            },
        };
        let introduction = Introduction::new(&connect, self.now.ms, &grant);
        introduction.expect("there is no Will").admit(grant, true)
    }

    fn disconnect(&mut self, client: usize) {
        if let Some(at) = self.connections[client].take() {
            self.story.push(format!("client {client} is gone"));
            self.shards[client % usize::from(SHARDS)].handle_closed(at, self.now);
            self.model[client].go();
            self.check(&Heard::default());
        }
    }

    fn renew(&mut self, client: usize) {
        let Some(at) = self.connections[client].filter(|_| self.model[client].is_there) else {
            return;
        };
        let (scope, ends, grant) = self.token(client);
        self.story
            .push(format!("client {client} renews until {ends}: {scope:?}"));
        let shard = &mut self.shards[client % usize::from(SHARDS)];
        shard.replace_grant(at.session, grant, self.now);
        self.model[client].take_token(&scope, ends);
        self.check(&Heard::default());
    }

    fn revoke(&mut self, client: usize) {
        let Some(at) = self.connections[client] else {
            return;
        };
        let home = client % usize::from(SHARDS);
        let Some(session) = self.shards[home].live(at) else {
            return;
        };
        self.story
            .push(format!("the token of client {client} is revoked"));
        let marks = session.grant.token_marks().expect("it has a token");
        let names = HashSet::from(marks.names());
        for shard in &mut self.shards {
            shard.handle_revoked(&names, self.now);
        }
        let was_there = self.model[client].is_there;
        if was_there {
            self.model[client].go();
        }
        self.check(&Heard {
            messages: BTreeSet::new(),
            answers: vec![(client, ReasonCode::NotAuthorized)],
        });
    }

    fn subscribe(&mut self, client: usize) {
        let Some(at) = self.connections[client].filter(|_| self.model[client].is_there) else {
            return;
        };
        // One of the scope's as often as another.
        let filter = match self.model[client].scope.as_slice() {
            scope @ [_, ..] if self.dice.one_in(2) => self.dice.pick(scope).clone(),
            _ => chance_of_filter(&mut self.dice),
        };
        let maximum_qos = *self.dice.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce]);
        self.story.push(format!(
            "client {client} subscribes to {filter} at {maximum_qos:?}"
        ));
        let subscribe = Subscribe {
            packet_identifier: NonZeroU16::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: vec![Subscription {
                share_name: None,
                filter: TopicFilter::parse(&filter).unwrap(),
                maximum_qos,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::DoNotSend,
            }],
        };
        self.handle(client, at, &Packet::Subscribe(subscribe));
        let model = &mut self.model[client];
        let is_allowed = Modelled::may(&model.subscribe, topics_of(&filter));
        let answer = match maximum_qos {
            _ if !is_allowed => ReasonCode::NotAuthorized,
            Qos::AtMostOnce => ReasonCode::Success,
            Qos::AtLeastOnce | Qos::ExactlyOnce => ReasonCode::GrantedQos1,
        };
        if is_allowed {
            model.subscriptions.insert(filter, maximum_qos);
        }
        self.check(&Heard {
            messages: BTreeSet::new(),
            answers: vec![(client, answer)],
        });
    }

    fn publish(&mut self, client: usize) {
        let Some(at) = self.connections[client] else {
            return;
        };
        let most = *self.dice.pick(&[3, 9, ALL.len()]);
        let topic = self.dice.below(most);
        let qos = *self.dice.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce]);
        self.messages += 1;
        let id = self.messages;
        self.story.push(format!(
            "client {client} publishes {id} to {} at {qos:?}",
            ALL[topic]
        ));
        let payload = id.to_string();
        let publish = Publish {
            duplicate: false,
            delivery: match qos {
                Qos::AtMostOnce => Delivery::AtMostOnce,
                Qos::AtLeastOnce | Qos::ExactlyOnce => Delivery::AtLeastOnce(NonZeroU16::MIN),
            },
            retain: false,
            topic: Some(TopicName::parse(&ALL[topic]).unwrap()),
            properties: PublishProperties::default(),
            payload: payload.as_bytes(),
        };
        let was_live = self.shards[client % usize::from(SHARDS)].live(at).is_some();
        self.handle(client, at, &Packet::Publish(publish));
        let mut expected = Heard::default();
        let model = &mut self.model[client];
        if !model.is_there {
            // Its token is over, and the broker may not have noticed before.
            expected
                .answers
                .extend(was_live.then_some((client, ReasonCode::NotAuthorized)));
            self.check(&expected);
            return;
        }
        let is_allowed = Modelled::may(&model.publish, 1 << topic);
        if is_allowed {
            for other in 0..CLIENTS {
                let gets = self.model[other].gets((id, topic, qos));
                expected.messages.extend(gets.then_some((other, id)));
            }
            if qos > Qos::AtMostOnce {
                expected.answers.push((client, ReasonCode::Success));
            }
        } else {
            expected.answers.push((client, ReasonCode::NotAuthorized));
            if qos == Qos::AtMostOnce {
                model.go();
            }
        }
        self.check(&expected);
    }

    fn pass_time(&mut self) {
        let secs = self.dice.between(1, 15);
        self.now.ms += secs * 1_000;
        self.now.unix = self.now.unix.plus_secs(secs);
        self.story.push(format!("it is {}", self.now.unix.0));
        for model in &mut self.model {
            if model.is_there && model.ends <= self.now.unix.0 {
                model.go();
            }
        }
        // Late timers must make no difference.
        if self.dice.one_in(2) {
            for shard in &mut self.shards {
                shard.handle_timeout(self.now);
            }
        }
    }

    fn handle(&mut self, client: usize, at: ConnectionKey, packet: &Packet<'_>) {
        let with = AuthCircumstances {
            keys: &KeySets::default(),
            fresh_nonce: &|| None,
        };
        let shard = &mut self.shards[client % usize::from(SHARDS)];
        shard.handle_packet(at, packet, with, self.now);
    }

    /// Lets everything arrive, and compares. Of answers only those of the client count that acted: others may be told that they are over.
    fn check(&mut self, expected: &Heard) {
        let actor = expected.answers.first().map(|(client, _)| *client);
        let mut heard = Heard::default();
        loop {
            let mut moved = false;
            for from in 0..SHARDS {
                for to in 0..SHARDS {
                    let batch = self.shards[usize::from(from)].poll_outbound(to);
                    if !batch.is_empty() {
                        moved = true;
                        self.shards[usize::from(to)].handle_batch(from, &batch, self.now);
                    }
                }
            }
            for client in 0..CLIENTS {
                moved |= self.listen(client, actor, &mut heard);
            }
            if !moved {
                break;
            }
        }
        assert_eq!(heard, *expected, "after {:#?}", self.story);
        self.deliveries += heard.messages.len();
    }

    /// Whether anything came.
    fn listen(&mut self, client: usize, actor: Option<usize>, heard: &mut Heard) -> bool {
        let Some(at) = self.connections[client] else {
            return false;
        };
        let shard = &mut self.shards[client % usize::from(SHARDS)];
        let bytes = if shard.live(at).is_some() {
            shard.handle_room(at.session, self.now);
            let outbox = &mut shard.session_mut(at.session).link.outbox;
            let bytes = outbox.front().to_vec();
            outbox.advance(bytes.len());
            bytes
        } else {
            let farewell = shard.take_farewell(at).outbox.front().to_vec();
            shard.handle_closed(at, self.now);
            self.connections[client] = None;
            farewell
        };
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        let mut rest = &bytes[..];
        while let Some((packet, size)) = decoder.decode(rest).unwrap() {
            rest = &rest[size..];
            let answer = if let Packet::Publish(publish) = &packet {
                let id = str::from_utf8(publish.payload).unwrap().parse().unwrap();
                let is_new = heard.messages.insert((client, id));
                assert!(is_new, "message {id} came twice after {:#?}", self.story);
                if let Delivery::AtLeastOnce(identifier) = publish.delivery {
                    let ack = Packet::PubAck(Ack::new(identifier, ReasonCode::Success));
                    self.handle(client, at, &ack);
                }
                continue;
            } else if let Packet::ConnAck(connack) = &packet {
                connack.reason_code
            } else if let Packet::PubAck(ack) = &packet {
                // That nobody wants it is a success too.
                if ack.reason_code == ReasonCode::NoMatchingSubscribers {
                    ReasonCode::Success
                } else {
                    ack.reason_code
                }
            } else if let Packet::SubAck(suback) = &packet {
                suback.reason_codes[0]
            } else if let Packet::Disconnect(disconnect) = &packet {
                disconnect.reason_code
            } else {
                panic!("no client asked for {packet:?}")
            };
            heard
                .answers
                .extend((actor == Some(client)).then_some((client, answer)));
        }
        !bytes.is_empty()
    }
}

// RFC 9431 §2.3, §3.1 to §3.3, §4, §5; RFC 9770.
#[test]
fn no_message_goes_beyond_the_scope_and_none_falls_short_of_it() {
    let first = number("SYMBOLON_FIRST_SEED").unwrap_or(0);
    let cases = number("SYMBOLON_SCOPE_CASES").unwrap_or(CASES);
    let (mut messages, mut deliveries) = (0, 0);
    for seed in first..first + cases {
        let mut case = Case::new(seed);
        case.run();
        messages += u64::from(case.messages);
        deliveries += case.deliveries;
    }
    println!("{cases} cases, {messages} messages published, {deliveries} delivered");
    assert!(cases < 100 || deliveries > 0, "nothing was tried");
}
