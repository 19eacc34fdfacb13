use super::*;
use proptest::prelude::*;
use symbolon_ace_proto::{Confirmation, Scope, ScopeEntry};

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn claims(entries: Vec<ScopeEntry>) -> Claims {
    Claims {
        issuer: "https://as.example".into(),
        subject: None,
        client_id: Some("sensor".into()),
        audience: vec!["mqtts://broker.example".into()],
        expires_at: UnixTime(1000),
        not_before: None,
        issued_at: None,
        token_identifier: None,
        scope: Scope::from_entries(entries),
        expires_in_secs: None,
        client_nonce: None,
        confirmation: Confirmation::KeyIdentifier(vec![1]),
    }
}

fn entry(text: &str, publish: bool, subscribe: bool) -> ScopeEntry {
    ScopeEntry {
        filter: filter(text),
        publish,
        subscribe,
    }
}

fn grant(entries: Vec<ScopeEntry>, public: &[&str]) -> Grant {
    let public: Vec<_> = public.iter().map(|text| filter(text)).collect();
    let public = Arc::new(PublicTopics::compile(&public, &[], false));
    Grant::compile(&claims(entries), [7; 32], public)
}

fn publishes(grant: &Grant, topic: &str) -> bool {
    grant.permits_publish(TopicName::parse(topic).unwrap())
}

#[test]
fn the_example_of_the_rfc_permits_what_it_says() {
    // RFC 9431 §2.3
    let grant = grant(
        vec![
            entry("topic1", true, true),
            entry("topic2/#", true, false),
            entry("+/topic3", false, true),
        ],
        &[],
    );
    assert!(publishes(&grant, "topic1"));
    assert!(publishes(&grant, "topic2"));
    assert!(publishes(&grant, "topic2/a/b"));
    assert!(!publishes(&grant, "topic1/a"));
    assert!(!publishes(&grant, "x/topic3"));
    assert!(grant.permits_subscribe(&filter("topic1")));
    assert!(grant.permits_subscribe(&filter("+/topic3")));
    assert!(grant.permits_subscribe(&filter("x/topic3")));
    assert!(!grant.permits_subscribe(&filter("topic2/#")));
    assert!(!grant.permits_subscribe(&filter("#")));
}

#[test]
fn an_empty_scope_permits_nothing_but_public_topics() {
    // RFC 9431 §2.3
    let grant = grant(vec![], &["open/#"]);
    assert!(!publishes(&grant, "a"));
    assert!(publishes(&grant, "open/a"));
    assert!(grant.permits_subscribe(&filter("open/+")));
    assert!(!grant.permits_subscribe(&filter("+/a")));
}

#[test]
fn without_a_token_public_topics_are_open_and_do_not_expire() {
    // RFC 9431 §2.2.1
    let public = Arc::new(PublicTopics::compile(&[filter("open/#")], &[], false));
    let grant = Grant::anonymous(public);
    assert!(publishes(&grant, "open/a"));
    assert!(!publishes(&grant, "a"));
    assert!(!grant.is_expired(UnixTime(u64::MAX)));
    assert_eq!(grant.holder(), None);
    assert_eq!(grant.expires_at(), None);
}

#[test]
fn a_private_topic_is_opened_by_a_token_alone() {
    let public = PublicTopics::compile(&[filter("#")], &[filter("private/#")], false);
    let public = Arc::new(public);
    let name = |text| TopicName::parse(text).unwrap();
    let anonymous = Grant::anonymous(Arc::clone(&public));
    assert!(!publishes(&anonymous, "private"));
    assert!(publishes(&anonymous, "a"));
    for refused in ["private/+", "private/#", "private"] {
        assert!(!anonymous.permits_subscribe(&filter(refused)), "{refused}");
    }
    assert!(anonymous.permits_subscribe(&filter("#")));
    assert!(!anonymous.permits_delivery(name("private/a")));
    assert!(anonymous.permits_delivery(name("a")));

    let entries = vec![entry("private/a", true, true)];
    let holder = Grant::compile(&claims(entries), [7; 32], public);
    assert!(publishes(&holder, "private/a"));
    assert!(!publishes(&holder, "private/b"));
    assert!(holder.permits_subscribe(&filter("private/a")));
    assert!(!holder.permits_subscribe(&filter("private/+")));
    assert!(holder.permits_delivery(name("private/a")));
    assert!(!holder.permits_delivery(name("private/b")));
}

#[test]
fn a_refusal_says_no_more_than_the_operator_wants() {
    // RFC 9431 §3.1, §3.3
    let refusal = |hide| {
        let public = PublicTopics::compile(&[], &[], hide);
        Grant::anonymous(Arc::new(public)).refusal()
    };
    assert_eq!(refusal(false), ReasonCode::NotAuthorized);
    assert_eq!(refusal(true), ReasonCode::UnspecifiedError);
}

#[test]
fn it_expires_on_the_second_of_exp() {
    // RFC 7519 §4.1.4
    let grant = grant(vec![], &[]);
    assert!(!grant.is_expired(UnixTime(999)));
    assert!(grant.is_expired(UnixTime(1000)));
    assert!(grant.is_expired(UnixTime(1001)));
    assert_eq!(grant.expires_at(), Some(UnixTime(1000)));
}

#[test]
fn a_leading_wildcard_does_not_permit_a_topic_that_begins_with_a_dollar() {
    // [MQTT-4.7.2-1]
    for text in ["#", "+/#", "+/broker", "+"] {
        let grant = grant(vec![entry(text, true, true)], &[]);
        assert!(!publishes(&grant, "$SYS/broker"), "{text}");
        assert!(!publishes(&grant, "$SYS"), "{text}");
        assert!(!grant.permits_subscribe(&filter("$SYS/broker")), "{text}");
    }
    let grant = grant(
        vec![entry("$SYS/+", true, true), entry("#", true, true)],
        &[],
    );
    assert!(publishes(&grant, "$SYS/broker"));
    assert!(publishes(&grant, "a/$SYS"));
}

#[test]
fn a_token_is_renewed_by_the_same_client_of_the_same_issuer_only() {
    let holder = |issuer: &str, name: Option<&str>, key: u8| Holder {
        issuer: issuer.into(),
        name: name.map(Into::into),
        key_thumbprint: [key; 32],
    };
    let sensor = holder("as", Some("sensor"), 1);
    assert!(sensor.may_be_renewed_by(&holder("as", Some("sensor"), 2)));
    assert!(!sensor.may_be_renewed_by(&holder("other", Some("sensor"), 1)));
    assert!(!sensor.may_be_renewed_by(&holder("as", Some("pump"), 1)));
    assert!(!sensor.may_be_renewed_by(&holder("as", None, 1)));
    let nobody = holder("as", None, 1);
    assert!(nobody.may_be_renewed_by(&holder("as", None, 1)));
    assert!(!nobody.may_be_renewed_by(&holder("as", None, 2)));
    assert!(!nobody.may_be_renewed_by(&sensor));
}

#[test]
fn the_holder_is_named_by_client_id_else_by_sub() {
    let mut claims = claims(vec![]);
    claims.subject = Some("subject".into());
    let public = Arc::new(PublicTopics::default());
    let name = |claims: &Claims| {
        let grant = Grant::compile(claims, [7; 32], Arc::clone(&public));
        grant.holder().unwrap().name.clone()
    };
    assert_eq!(name(&claims).as_deref(), Some("sensor"));
    claims.client_id = None;
    assert_eq!(name(&claims).as_deref(), Some("subject"));
    claims.subject = None;
    assert_eq!(name(&claims), None);
}

#[test]
fn a_check_allocates_nothing() {
    let entries = (0..20)
        .map(|i| match i % 4 {
            0 => entry(&format!("site/hall/{i}/state"), true, false),
            1 => entry(&format!("site/hall/{i}/+/set"), true, false),
            2 => entry(&format!("site/+/{i}/+/x/#"), true, false),
            _ => entry(&format!("+/+/+/+/{i}"), true, false),
        })
        .collect();
    let grant = grant(entries, &["open/#"]);
    let mut permitted = 0;
    let topics = ["site/hall/0/state", "site/a/18/b/x/y", "a/b/c/d/19", "a/b"];
    let topics = topics.map(|topic| TopicName::parse(topic).unwrap());
    let counts = allocation_counter::measure(|| {
        for topic in topics {
            permitted += u32::from(grant.permits_publish(topic));
        }
    });
    assert_eq!(permitted, 3);
    assert_eq!(counts.count_total, 0);
}

#[test]
fn filters_that_branch_at_each_of_32768_levels_need_no_deep_stack() {
    let mut entries: Vec<_> = (0..400)
        .map(|level| entry(&("a/".repeat(level) + "+/b"), true, false))
        .collect();
    entries.push(entry(&("+/".repeat(32_766) + "+"), true, false));
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(move || {
            let grant = grant(entries, &[]);
            assert!(publishes(&grant, &("a/".repeat(32_766) + "a")));
            assert!(!publishes(&grant, &("a/".repeat(32_765) + "a")));
        })
        .unwrap()
        .join()
        .unwrap();
}

const FILTER: &str = r"(\$|[ab+]?|ab)(/[ab+]?|/ab){0,4}(/#)?|#";

proptest! {
    #[test]
    fn it_permits_what_the_scope_permits(
        filters in prop::collection::vec((FILTER, any::<bool>()), 0..25),
        public in prop::collection::vec(FILTER, 0..3),
        topics in prop::collection::vec(r"(\$|[ab]?|ab)(/[ab]?|/ab){0,5}", 1..40),
        wanted in prop::collection::vec(FILTER, 1..20),
    ) {
        let parse = |text: &String| TopicFilter::parse(text).ok();
        let entries: Vec<_> = filters
            .iter()
            .filter_map(|(text, publish)| {
                Some(ScopeEntry { filter: parse(text)?, publish: *publish, subscribe: !publish })
            })
            .collect();
        let public: Vec<_> = public.iter().filter_map(parse).collect();
        let grant = Grant::compile(
            &claims(entries.clone()),
            [7; 32],
            Arc::new(PublicTopics::compile(&public, &[], false)),
        );
        for text in &topics {
            let Ok(topic) = TopicName::parse(text) else { continue };
            let want = entries.iter().any(|e| e.publish && e.filter.matches(topic))
                || public.iter().any(|filter| filter.matches(topic));
            prop_assert_eq!(grant.permits_publish(topic), want, "{}", text);
        }
        for filter in wanted.iter().filter_map(parse) {
            let want = entries.iter().any(|e| e.subscribe && e.filter.covers(&filter))
                || public.iter().any(|allowed| allowed.covers(&filter));
            prop_assert_eq!(grant.permits_subscribe(&filter), want, "{}", filter.as_str());
        }
    }
}
