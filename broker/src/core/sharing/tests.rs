//! Groups over several shards in one thread, with a store that writes when it is told to.

use super::*;
use crate::core::{authority::KeySets, quota::Quotas};
use crate::{
    Limits,
    core::{
        admission::{Admission, Admitted, Introduction, TokenKeeping},
        grant::{Grant, PublicTopics},
        hash_seed::HashSeed,
        journal::{SessionRecord, StoredMessage, StoredSession},
        reauthentication::AuthCircumstances,
        session::ConnectionKey,
        shard::ShardSetup,
    },
};
use std::{collections::HashMap, num::NonZeroU16};
use symbolon_ace_proto::{Claims, Confirmation, PopAlgorithm, PopSigner, Scope, UnixTime};
use symbolon_mqtt_proto::{
    Ack, Decoder, Delivery, Packet, ProtocolVersion, Publish, PublishProperties, ReasonCode,
    RetainHandling, Sender, Subscribe, Subscription, TopicFilter, TopicName, UserProperties,
};

const BEGIN: UnixTime = UnixTime(1_800_000_000);
const GROUP: &str = "$share/g/t/+";

/// Several shards and what their stores were told.
struct Cluster {
    shards: Vec<Shard>,
    journals: Vec<Vec<Entry>>,
    public: Arc<PublicTopics>,
}

/// A client on its shard.
#[derive(Clone, Copy, Debug)]
struct Client {
    shard: usize,
    at: ConnectionKey,
}

/// What a client was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    Message(String),
    Acknowledged,
    Subscribed(ReasonCode),
    Disconnected(ReasonCode),
}

fn after(secs: u64) -> Now {
    Now {
        ms: secs * 1_000,
        unix: BEGIN.plus_secs(secs),
    }
}

fn message(text: &str) -> Seen {
    Seen::Message(text.to_owned())
}

impl Cluster {
    fn new(count: ShardIndex, is_stored: bool) -> Self {
        Self::with_queues(count, is_stored, 2)
    }

    fn with_queues(count: ShardIndex, is_stored: bool, queued_messages: usize) -> Self {
        let public = PublicTopics::compile(&[TopicFilter::parse("t/#").unwrap()], &[], false);
        let public = Arc::new(public);
        let admission = Arc::new(Admission {
            authorities: Vec::new(),
            generation: 0,
            clock: true,
            public_topics: Arc::clone(&public),
            response_information: None,
            quotas: Quotas::new(&Limits::default()),
            tokens: TokenKeeping::default(),
        });
        let shard = |index| {
            Shard::new(ShardSetup {
                index,
                count,
                limits: Limits {
                    queued_messages,
                    ..Limits::default()
                },
                admission: Arc::clone(&admission),
                store: is_stored.then_some(100),
                seed: HashSeed::from_words([1, 2, 3, 4]),
            })
        };
        Self {
            shards: (0..count).map(shard).collect(),
            journals: vec![Vec::new(); usize::from(count)],
            public,
        }
    }

    fn open(&self) -> Grant {
        Grant::anonymous(Arc::clone(&self.public))
    }

    /// Admits a client; what it is sent first is passed over.
    fn connect(&mut self, shard: usize, name: &str, expiry_secs: u32, window: u16) -> Client {
        let grant = self.open();
        self.connect_with(shard, name, expiry_secs, window, grant)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each says something of the client"
    )]
    fn connect_with(
        &mut self,
        shard: usize,
        name: &str,
        expiry_secs: u32,
        window: u16,
        grant: Grant,
    ) -> Client {
        let introduction = Introduction {
            version: ProtocolVersion::V5,
            client_identifier: name.into(),
            keep_alive_secs: 0,
            clean_start: false,
            session_expiry_secs: expiry_secs,
            receive_maximum: window,
            maximum_packet_size: u32::MAX,
            problem_information: true,
            response_information: false,
            topic_alias_maximum: 0,
            will: None,
        };
        let admitted = Admitted {
            introduction,
            grant,
            extended_authentication: false,
            proved_key: None,
            token: None,
        };
        let at = self.shards[shard]
            .handle_admitted(&admitted, false, after(0))
            .unwrap();
        Client { shard, at }
    }

    fn handle(&mut self, client: Client, packet: &Packet<'_>, now: Now) {
        let keys = KeySets::default();
        let with = AuthCircumstances {
            keys: &keys,
            fresh_nonce: &|| None,
        };
        self.shards[client.shard].handle_packet(client.at, packet, with, now);
    }

    fn ask(&mut self, client: Client, filter: &str) {
        let (share_name, filter) = TopicFilter::parse_shared(filter).unwrap();
        let subscribe = Subscribe {
            packet_identifier: NonZeroU16::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: vec![Subscription {
                share_name,
                filter,
                maximum_qos: Qos::ExactlyOnce,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::Send,
            }],
        };
        self.handle(client, &Packet::Subscribe(subscribe), after(0));
    }

    fn join(&mut self, client: Client) {
        self.ask(client, GROUP);
        self.settle();
        let granted = Seen::Subscribed(ReasonCode::GrantedQos2);
        assert_eq!(self.sent(client).last(), Some(&granted));
    }

    fn publish(&mut self, client: Client, payload: &str, now: Now) {
        let delivery = Delivery::AtLeastOnce(NonZeroU16::MIN);
        self.publish_with(client, payload, delivery, now);
    }

    fn publish_with(&mut self, client: Client, payload: &str, delivery: Delivery, now: Now) {
        let publish = Publish {
            duplicate: false,
            delivery,
            retain: false,
            topic: Some(TopicName::parse("t/x").unwrap()),
            properties: PublishProperties::default(),
            payload: payload.as_bytes(),
        };
        self.handle(client, &Packet::Publish(publish), now);
    }

    /// Carries messages between shards until there are none; whether there were any.
    fn exchange(&mut self, now: Now) -> bool {
        let mut was_any = false;
        loop {
            let mut batches = Vec::new();
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    let batch = self.shards[from].poll_outbound(index(to));
                    if !batch.is_empty() {
                        batches.push((from, to, batch));
                    }
                }
            }
            if batches.is_empty() {
                return was_any;
            }
            was_any = true;
            for (from, to, batch) in batches {
                self.shards[to].handle_batch(index(from), &batch, now);
            }
        }
    }

    /// The store of this shard writes all that it was given; whether there was any.
    fn commit(&mut self, shard: usize, now: Now) -> bool {
        let Some((entries, up_to)) = self.shards[shard].poll_journal() else {
            return false;
        };
        self.journals[shard].extend(entries);
        self.shards[shard].handle_committed(up_to, now);
        true
    }

    /// Everything that is under way comes to its end.
    fn settle(&mut self) {
        self.settle_at(after(0));
    }

    fn settle_at(&mut self, now: Now) {
        loop {
            let mut was_any = self.exchange(now);
            for shard in 0..self.shards.len() {
                was_any |= self.commit(shard, now);
            }
            if !was_any {
                return;
            }
        }
    }

    fn lose(&mut self, client: Client) {
        self.shards[client.shard].handle_closed(client.at, after(1));
    }

    fn sent(&mut self, client: Client) -> Vec<Seen> {
        let mut seen = Vec::new();
        self.read(client, |packet| {
            if let Packet::Publish(publish) = packet {
                seen.push(message(str::from_utf8(publish.payload).unwrap()));
            } else if let Packet::PubAck(_) = packet {
                seen.push(Seen::Acknowledged);
            } else if let Packet::SubAck(suback) = packet {
                seen.push(Seen::Subscribed(suback.reason_codes[0]));
            } else if let Packet::Disconnect(disconnect) = packet {
                seen.push(Seen::Disconnected(disconnect.reason_code));
            }
        });
        seen
    }

    fn read(&mut self, client: Client, mut take: impl FnMut(&Packet<'_>)) {
        let shard = &mut self.shards[client.shard];
        let bytes = if shard.live(client.at).is_some() {
            let outbox = &mut shard.session_mut(client.at.session).link.outbox;
            let bytes = outbox.front().to_vec();
            outbox.advance(bytes.len());
            bytes
        } else {
            shard.take_farewell(client.at).outbox.front().to_vec()
        };
        let decoder = Decoder {
            version: ProtocolVersion::V5,
            sender: Sender::Server,
            maximum_packet_size: u32::MAX,
        };
        let mut rest = &bytes[..];
        while let Some((packet, size)) = decoder.decode(rest).unwrap() {
            rest = &rest[size..];
            take(&packet);
        }
    }

    /// Transactions of which not all parts were written, or too many.
    fn incomplete(&self) -> Vec<Transaction> {
        let mut parts = HashMap::<_, u16>::new();
        for entry in self.journals.iter().flatten() {
            if let Entry::Part { transaction, .. } = entry {
                *parts.entry(*transaction).or_default() += 1;
            }
        }
        let wrong = (parts.into_iter()).filter(|(transaction, count)| transaction.parts != *count);
        wrong.map(|(transaction, _)| transaction).collect()
    }

    /// What the journal of a shard says of messages and of sessions that end, in its order.
    fn story(&self, shard: usize) -> Vec<String> {
        let tell = |entry: &Entry| {
            if let Entry::PutMessage { id, message, .. } = entry {
                let message = message.message.as_ref()?.publish();
                let text = str::from_utf8(message.payload).unwrap();
                Some(format!("put {text} {id}"))
            } else if let Entry::RemoveMessage { id, .. } = entry {
                Some(format!("remove {id}"))
            } else if let Entry::RemoveSession { id } = entry {
                Some(format!("end {id}"))
            } else {
                None
            }
        };
        self.journals[shard].iter().filter_map(tell).collect()
    }

    fn id(&self, client: Client) -> SessionId {
        let session = self.shards[client.shard].session(client.at.session);
        session.id.unwrap()
    }
}

fn index(shard: usize) -> ShardIndex {
    ShardIndex::try_from(shard).unwrap()
}

fn token(expires_at: UnixTime, scope: &str) -> Grant {
    let signer = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let claims = Claims {
        issuer: "https://as.example".into(),
        subject: Some("device".into()),
        client_id: None,
        audience: vec!["mqtts://broker.example".into()],
        expires_at,
        not_before: None,
        issued_at: None,
        token_identifier: None,
        scope: Scope::from_json(scope).unwrap(),
        expires_in_secs: None,
        client_nonce: None,
        confirmation: Confirmation::Key(Box::new(signer.verifying_key().to_jwk())),
    };
    Grant::compile(&claims, [7; 32], Arc::default())
}

// RFC 9431 §3.3.
#[test]
fn the_filter_inside_a_shared_subscription_is_judged() {
    let mut cluster = Cluster::new(1, false);
    let grant = token(BEGIN.plus_secs(100), r#"[["t/+",["sub"]]]"#);
    let client = cluster.connect_with(0, "c", 0, 10, grant);
    for (filter, expected) in [
        ("$share/g/t/#", ReasonCode::NotAuthorized),
        ("$share/g/u", ReasonCode::NotAuthorized),
        ("$share/g/authz-info", ReasonCode::NotAuthorized),
        ("$share/g/t/+", ReasonCode::GrantedQos2),
        ("$share/h/t/x", ReasonCode::GrantedQos2),
    ] {
        cluster.ask(client, filter);
        assert_eq!(cluster.sent(client), [Seen::Subscribed(expected)]);
    }
}

// RFC 9431 §3.2.
#[test]
fn a_member_whose_token_is_over_is_disconnected_and_another_gets_the_message() {
    for shards in 1..=2 {
        let mut cluster = Cluster::new(shards, false);
        let grant = token(BEGIN.plus_secs(10), r#"[["t/+",["sub"]]]"#);
        let late = cluster.connect_with(usize::from(shards) - 1, "late", 0, 10, grant);
        cluster.join(late);
        let publisher = cluster.connect(0, "p", 0, 10);
        cluster.sent(publisher);
        let valid = cluster.connect(0, "valid", 0, 10);
        cluster.join(valid);
        for payload in ["1", "2"] {
            cluster.publish(publisher, payload, after(20));
            cluster.settle_at(after(20));
        }
        let refused = Seen::Disconnected(ReasonCode::NotAuthorized);
        assert_eq!(cluster.sent(late), [refused]);
        assert_eq!(cluster.sent(valid), [message("1"), message("2")]);
    }
}

#[test]
fn many_members_whose_tokens_end_at_once_are_closed_one_after_another() {
    let mut cluster = Cluster::new(1, false);
    let publisher = cluster.connect(0, "p", 0, 10);
    let members: Vec<_> = (0..2_000)
        .map(|number| {
            let grant = token(BEGIN.plus_secs(10), r#"[["t/+",["sub"]]]"#);
            let member = cluster.connect_with(0, &number.to_string(), 0, 1, grant);
            cluster.join(member);
            member
        })
        .collect();
    for _ in &members {
        cluster.publish(publisher, "1", after(0));
    }
    cluster.publish(publisher, "2", after(20));
    assert!(
        members
            .iter()
            .all(|member| cluster.shards[0].live(member.at).is_none())
    );
}

#[test]
fn suback_waits_until_every_shard_knows_the_member() {
    let mut cluster = Cluster::new(3, false);
    let client = cluster.connect(1, "c", 0, 10);
    cluster.sent(client);
    cluster.ask(client, GROUP);
    assert_eq!(cluster.sent(client), []);
    let to_0 = cluster.shards[1].poll_outbound(0);
    cluster.shards[0].handle_batch(1, &to_0, after(0));
    let back = cluster.shards[0].poll_outbound(1);
    cluster.shards[1].handle_batch(0, &back, after(0));
    assert_eq!(cluster.sent(client), []);
    cluster.settle();
    let granted = Seen::Subscribed(ReasonCode::GrantedQos2);
    assert_eq!(cluster.sent(client), [granted]);
}

#[test]
fn a_puback_waits_until_the_message_is_written_where_it_was_handed_on_to() {
    let mut cluster = Cluster::new(3, true);
    let publisher = cluster.connect(0, "p", 0, 10);
    cluster.sent(publisher);
    let full = cluster.connect(1, "full", 1_000, 1);
    cluster.join(full);
    cluster.publish(publisher, "1", after(0));
    cluster.settle();
    assert_eq!(cluster.sent(full), [message("1")]);
    assert_eq!(cluster.sent(publisher), [Seen::Acknowledged]);
    let free = cluster.connect(2, "free", 1_000, 10);
    cluster.join(free);
    for payload in ["2", "3"] {
        cluster.publish(publisher, payload, after(0));
        cluster.exchange(after(0));
        assert_eq!(cluster.sent(publisher), []);
        cluster.commit(1, after(0));
        cluster.exchange(after(0));
        assert_eq!(cluster.sent(publisher), []);
        cluster.commit(2, after(0));
        cluster.exchange(after(0));
        assert_eq!(cluster.sent(publisher), [Seen::Acknowledged]);
    }
    cluster.settle();
    assert_eq!(cluster.sent(free), [message("2"), message("3")]);
}

#[test]
fn two_shards_that_hand_messages_to_each_other_do_not_wait_for_each_other() {
    let mut cluster = Cluster::new(2, true);
    let publishers = [0, 1].map(|shard| cluster.connect(shard, "p", 0, 10));
    let members = [0, 1].map(|shard| cluster.connect(shard, &format!("m{shard}"), 1_000, 1));
    for client in members {
        cluster.join(client);
    }
    for payload in ["1", "2", "3", "4", "5", "6"] {
        for publisher in publishers {
            cluster.publish(publisher, payload, after(0));
        }
    }
    cluster.settle();
    for publisher in publishers {
        let acknowledged = cluster.sent(publisher);
        assert_eq!(acknowledged, vec![Seen::Acknowledged; 6]);
    }
}

#[test]
fn what_a_stored_member_leaves_is_put_elsewhere_before_it_is_removed() {
    for shards in [1, 2] {
        let mut cluster = Cluster::new(shards, true);
        let publisher = cluster.connect(0, "p", 0, 10);
        let lost = cluster.connect(0, "lost", 1_000, 1);
        cluster.join(lost);
        for payload in ["1", "2"] {
            cluster.publish(publisher, payload, after(0));
        }
        cluster.settle();
        assert_eq!(cluster.sent(lost), [message("1")]);
        let home = usize::from(shards) - 1;
        let heir = cluster.connect(home, "heir", 1_000, 10);
        cluster.join(heir);
        let (lost_id, heir_id) = (cluster.id(lost), cluster.id(heir));
        // Away: what was not sent moves. Ended: what was not acknowledged too.
        for (is_ended, text, removed) in [
            (false, "2", format!("remove {lost_id}")),
            (true, "1", format!("end {lost_id}")),
        ] {
            let before = cluster.story(0).len();
            if is_ended {
                let key = lost.at.session;
                cluster.shards[0].end(key, crate::core::shard::WillFate::Discard, after(1));
            } else {
                cluster.lose(lost);
            }
            let put = format!("put {text} {heir_id}");
            if shards == 1 {
                cluster.settle();
                assert_eq!(cluster.story(0)[before..], [put, removed]);
            } else {
                cluster.commit(0, after(1));
                cluster.exchange(after(1));
                cluster.commit(0, after(1));
                assert_eq!(cluster.story(0)[before..], [""; 0]);
                cluster.commit(1, after(1));
                cluster.exchange(after(1));
                cluster.commit(0, after(1));
                assert_eq!(cluster.story(1).last(), Some(&put));
                assert_eq!(cluster.story(0)[before..], [removed]);
            }
        }
        cluster.settle();
        assert_eq!(cluster.sent(heir), [message("2"), message("1")]);
    }
}

#[test]
fn a_new_token_that_ends_a_membership_leaves_its_messages_to_others() {
    let mut cluster = Cluster::new(1, true);
    let wide = r#"[["t/+",["sub"]]]"#;
    let publisher = cluster.connect(0, "p", 0, 10);
    let narrowed = cluster.connect_with(0, "n", 1_000, 1, token(BEGIN.plus_secs(100), wide));
    cluster.join(narrowed);
    for payload in ["1", "2"] {
        cluster.publish(publisher, payload, after(0));
    }
    cluster.settle();
    cluster.lose(narrowed);
    let other = cluster.connect(0, "other", 1_000, 10);
    cluster.join(other);
    let narrow = token(BEGIN.plus_secs(100), r#"[["u",["sub"]]]"#);
    cluster.connect_with(0, "n", 1_000, 1, narrow);
    cluster.settle();
    let mut got = cluster.sent(other);
    got.sort_by_key(|seen| format!("{seen:?}"));
    assert_eq!(got, [message("1"), message("2")]);
}

#[test]
fn a_restored_member_is_away_and_gets_what_other_shards_publish() {
    let mut cluster = Cluster::new(2, true);
    let (share_name, filter) = TopicFilter::parse_shared(GROUP).unwrap();
    let subscription = SubscriptionKey { share_name, filter };
    let options = SubscriptionOptions {
        maximum_qos: Qos::AtLeastOnce,
        ..SubscriptionOptions::interest(true)
    };
    let record = SessionRecord {
        client_identifier: "c".into(),
        holder: None,
        expiry_secs: 1_000,
        away_since: Some(BEGIN),
        sent_below: u64::MAX,
        will: None,
    };
    let stored = StoredSession {
        id: 7,
        record,
        subscriptions: vec![(subscription, options)],
        messages: Vec::new(),
        received: Vec::new(),
    };
    cluster.shards[1].restore_session(stored, after(0));
    assert!(!cluster.shards[1].is_settled());
    cluster.settle();
    assert!(cluster.shards[1].is_settled());
    let publisher = cluster.connect(0, "p", 0, 10);
    cluster.publish(publisher, "1", after(0));
    cluster.settle();
    assert_eq!(cluster.sent(publisher), [Seen::Acknowledged]);
    let back = cluster.connect(1, "c", 1_000, 10);
    cluster.settle();
    assert_eq!(cluster.sent(back), [message("1")]);
    let identifier = NonZeroU16::MIN;
    let ack = Ack::new(identifier, ReasonCode::Success);
    cluster.handle(back, &Packet::PubAck(ack), after(0));
    cluster.settle();
    assert_eq!(cluster.story(1), ["put 1 7", "remove 7"]);
}

#[test]
fn of_two_stored_sessions_of_one_client_the_older_ends_and_leaves_its_messages_to_its_group() {
    for ids in [[7, 8], [8, 7]] {
        let mut cluster = Cluster::new(1, true);
        let heir = cluster.connect(0, "heir", 1_000, 10);
        cluster.join(heir);
        let (share_name, filter) = TopicFilter::parse_shared(GROUP).unwrap();
        let group = SubscriptionKey { share_name, filter };
        let publish = Publish {
            duplicate: false,
            delivery: Delivery::AtLeastOnce(NonZeroU16::MIN),
            retain: false,
            topic: Some(TopicName::parse("t/x").unwrap()),
            properties: PublishProperties::default(),
            payload: b"1",
        };
        for id in ids {
            let message = StoredMessage {
                message: Some(Message::new(
                    &publish,
                    0,
                    crate::core::message::Origin::default(),
                )),
                qos: Qos::AtLeastOnce,
                retain: false,
                subscription_identifiers: Box::default(),
                shared: Some(group.clone()),
            };
            let record = SessionRecord {
                client_identifier: "c".into(),
                holder: None,
                expiry_secs: 1_000,
                away_since: Some(BEGIN),
                sent_below: u64::MAX,
                will: None,
            };
            let messages = if id == 7 { vec![(0, message)] } else { vec![] };
            let stored = StoredSession {
                id,
                record,
                subscriptions: Vec::new(),
                messages,
                received: Vec::new(),
            };
            cluster.shards[0].restore_session(stored, after(0));
        }
        cluster.settle();
        assert_eq!(cluster.sent(heir), [message("1")]);
        assert!(cluster.story(0).contains(&"end 7".to_owned()));
        let back = cluster.connect(0, "c", 1_000, 10);
        assert_eq!(cluster.id(back), 8);
    }
}

#[test]
fn where_no_queue_has_room_the_message_is_dropped_and_counted_once() {
    let mut cluster = Cluster::new(2, false);
    let publisher = cluster.connect(0, "p", 0, 10);
    for shard in 0..2 {
        let member = cluster.connect(shard, &format!("m{shard}"), 0, 1);
        cluster.join(member);
    }
    // One in flight and two in the queue of each.
    for _ in 0..7 {
        cluster.publish(publisher, "x", after(0));
        cluster.settle();
    }
    let dropped = Count::Dropped(Dropped::QueueFull).place();
    let counted = cluster.shards.iter();
    let counted: u64 = counted.map(|shard| shard.counters.numbers()[dropped]).sum();
    assert_eq!(counted, 1);
}

mod chance;
mod flood;
