use proptest::prelude::*;
use symbolon_ace_proto::{Scope, ScopeEntry, ScopeError};
use symbolon_mqtt_proto::{TopicError, TopicFilter, TopicName};

use crate::vectors::{SCOPE, SCOPE_JSON, base64url};

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn topic(text: &str) -> TopicName<'_> {
    TopicName::parse(text).unwrap()
}

fn scope(json: &str) -> Scope {
    Scope::from_json(json).unwrap()
}

fn entry(text: &str, publish: bool, subscribe: bool) -> ScopeEntry {
    ScopeEntry {
        filter: filter(text),
        publish,
        subscribe,
    }
}

// RFC 9431 §2.3
#[test]
fn the_example_of_rfc_9431_is_read_and_written() {
    let expected = Scope::from_entries(vec![
        entry("topic1", true, true),
        entry("topic2/#", true, false),
        entry("+/topic3", false, true),
    ]);
    assert_eq!(Scope::from_base64url(SCOPE), Ok(expected.clone()));
    assert_eq!(scope(SCOPE_JSON), expected);
    assert_eq!(expected.to_base64url(), SCOPE);
    assert_eq!(expected.to_json(), SCOPE_JSON);
}

#[test]
fn the_order_of_permissions_and_white_space_do_not_matter() {
    let spaced = scope(" [ [ \"topic1\" , [ \"sub\" , \"pub\" ] ] ] ");
    assert_eq!(spaced, scope(r#"[["topic1",["pub","sub"]]]"#));
    assert_eq!(scope(r#"[["\u0074opic1",["\u0070ub","sub"]]]"#), spaced);
}

// RFC 9431 §2.3: an empty scope is no permission at all.
#[test]
fn an_empty_scope_permits_nothing() {
    let empty = Scope::from_base64url("W10").unwrap();
    assert_eq!(empty, Scope::default());
    assert!(empty.is_empty());
    assert!(!empty.permits_publish(topic("topic1")));
    assert!(!empty.permits_subscribe(&filter("topic1")));
}

#[test]
fn what_is_not_aif_mqtt_is_refused() {
    for json in [
        "",
        "{}",
        "null",
        "\"pub\"",
        r#"["topic1",["pub"]]"#,
        r#"[["topic1"]]"#,
        r#"[["topic1","pub"]]"#,
        r#"[["topic1",["pub"],1]]"#,
        r#"[["topic1",["pub"],["sub"]]]"#,
        r#"[[["pub"],"topic1"]]"#,
        r#"[{"filter":"topic1","permissions":["pub"]}]"#,
        r#"[[1,["pub"]]]"#,
        r#"[["topic1",[1]]]"#,
        r#"[["topic1",null]]"#,
        r#"[["topic1",["pub"]]"#,
        r#"[["topic1",["pub"]]] []"#,
    ] {
        assert_eq!(Scope::from_json(json), Err(ScopeError::Structure), "{json}");
    }
}

// RFC 9431 §2.3: `[+permission]`
#[test]
fn permissions_are_one_or_both_of_pub_and_sub_and_each_once() {
    for permissions in [
        "[]",
        r#"["pub","pub"]"#,
        r#"["pub","sub","pub"]"#,
        r#"["PUB"]"#,
        r#"["read"]"#,
        r#"[""]"#,
    ] {
        let json = format!(r#"[["topic1",{permissions}]]"#);
        assert_eq!(
            Scope::from_json(&json),
            Err(ScopeError::Permission),
            "{json}"
        );
    }
}

// MQTT 5.0 §4.7
#[test]
fn a_malformed_topic_filter_is_refused() {
    for (text, error) in [
        ("", TopicError::Empty),
        ("a/#/b", TopicError::MultiLevelWildcard),
        ("a+", TopicError::SingleLevelWildcard),
    ] {
        let json = format!(r#"[["{text}",["pub"]]]"#);
        assert_eq!(Scope::from_json(&json), Err(ScopeError::Filter(error)));
    }
}

#[test]
fn what_is_not_base64url_without_padding_is_refused() {
    for text in ["W10=", "W1 0", "W1+/", "W11", "[]", "é"] {
        assert_eq!(
            Scope::from_base64url(text),
            Err(ScopeError::Base64),
            "{text}"
        );
    }
    let not_utf8 = base64url([b'[', b'"', 0xff, b'"', b']']);
    assert_eq!(Scope::from_base64url(&not_utf8), Err(ScopeError::Structure));
}

#[test]
fn more_entries_than_the_limit_are_refused() {
    let entries = |count: usize| {
        let all: Vec<String> = (0..count).map(|i| format!(r#"["t{i}",["pub"]]"#)).collect();
        Scope::from_json(&format!("[{}]", all.join(",")))
    };
    assert!(entries(Scope::MAX_ENTRIES).is_ok());
    assert_eq!(entries(Scope::MAX_ENTRIES + 1), Err(ScopeError::TooLong));
}

#[test]
fn an_entry_without_a_permission_is_left_out() {
    let scope = Scope::from_entries(vec![entry("a", false, false), entry("b", true, false)]);
    assert_eq!(scope.entries(), [entry("b", true, false)]);
}

// RFC 9431 §3.1
#[test]
fn publishing_needs_pub_on_a_filter_that_matches() {
    let scope = scope(SCOPE_JSON);
    for permitted in ["topic1", "topic2", "topic2/a", "topic2/a/b"] {
        assert!(scope.permits_publish(topic(permitted)), "{permitted}");
    }
    for refused in [
        "topic3", "a/topic3", "topic1/a", "topic", "TOPIC1", "/topic1",
    ] {
        assert!(!scope.permits_publish(topic(refused)), "{refused}");
    }
}

// RFC 9431 §3.3: equal to or a subset of one filter
#[test]
fn subscribing_needs_sub_on_a_filter_that_covers() {
    let scope = scope(SCOPE_JSON);
    for permitted in ["topic1", "+/topic3", "a/topic3", "/topic3"] {
        assert!(scope.permits_subscribe(&filter(permitted)), "{permitted}");
    }
    for refused in ["topic2/a", "#", "+", "+/#", "topic1/#", "a/b/topic3", "+/+"] {
        assert!(!scope.permits_subscribe(&filter(refused)), "{refused}");
    }
}

// MQTT-4.7.2-1
#[test]
fn a_wildcard_first_does_not_reach_topics_of_the_server() {
    let scope = scope(r##"[["#",["pub","sub"]]]"##);
    assert!(!scope.permits_publish(topic("$SYS/a")));
    assert!(!scope.permits_subscribe(&filter("$SYS/#")));
    assert!(scope.permits_subscribe(&filter("#")));
}

#[test]
fn an_intersection_takes_the_narrower_filter_and_the_common_permissions() {
    for (requested, granted, both) in [
        // covered
        (
            r#"[["a/b",["pub","sub"]]]"#,
            r#"[["a/#",["sub"]]]"#,
            r#"[["a/b",["sub"]]]"#,
        ),
        // covering
        (
            r##"[["#",["pub","sub"]]]"##,
            r#"[["a",["pub"]],["b",["sub"]]]"#,
            r#"[["a",["pub"]],["b",["sub"]]]"#,
        ),
        // equal
        (
            SCOPE_JSON,
            SCOPE_JSON,
            r#"[["+/topic3",["sub"]],["topic1",["pub","sub"]],["topic2/#",["pub"]]]"#,
        ),
        // no common permission
        (r#"[["a",["pub"]]]"#, r##"[["#",["sub"]]]"##, "[]"),
        // no common topic
        (r#"[["a",["pub"]]]"#, r#"[["b",["pub"]]]"#, "[]"),
        // overlapping alone is not enough
        (r#"[["a/+",["pub"]]]"#, r#"[["+/b",["pub"]]]"#, "[]"),
        ("[]", r##"[["#",["pub"]]]"##, "[]"),
        (r##"[["#",["pub"]]]"##, "[]", "[]"),
        // permissions from two entries come together
        (
            r#"[["a",["pub","sub"]]]"#,
            r#"[["a",["pub"]],["+",["sub"]]]"#,
            r#"[["a",["pub","sub"]]]"#,
        ),
        // what another entry covers is dropped
        (
            r#"[["a/b",["pub"]],["a/#",["pub"]]]"#,
            r#"[["a/#",["pub"]]]"#,
            r#"[["a/#",["pub"]]]"#,
        ),
        // but not if it permits more
        (
            r#"[["a/b",["pub","sub"]],["a/#",["pub"]]]"#,
            r#"[["a/#",["pub","sub"]]]"#,
            r#"[["a/#",["pub"]],["a/b",["pub","sub"]]]"#,
        ),
        // `#` reaches no `$` topic
        (r#"[["$SYS/#",["sub"]]]"#, r##"[["#",["sub"]]]"##, "[]"),
    ] {
        let result = scope(requested).intersect(&scope(granted));
        assert_eq!(result.to_json(), both, "{requested} and {granted}");
    }
}

#[test]
fn of_two_filters_that_cover_each_other_one_stays() {
    let both = scope(r##"[["#",["pub"]],["+/#",["pub"]]]"##);
    assert_eq!(both.intersect(&both).entries().len(), 1);
}

fn level() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "", "$s", "+"]).prop_map(str::to_owned)
}

fn any_filter() -> impl Strategy<Value = String> {
    (prop::collection::vec(level(), 0..4), any::<bool>())
        .prop_map(|(levels, multi)| {
            let hash = multi.then(|| "#".to_owned());
            let levels: Vec<String> = levels.into_iter().chain(hash).collect();
            levels.join("/")
        })
        .prop_filter("a filter is not empty", |text| !text.is_empty())
}

fn any_topic() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "c", "", "$s"]);
    prop::collection::vec(level, 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a name is not empty", |text| !text.is_empty())
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let entry =
        (any_filter(), 1..4_u8).prop_map(|(text, bits)| entry(&text, bits & 1 != 0, bits & 2 != 0));
    prop::collection::vec(entry, 0..6).prop_map(Scope::from_entries)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(scope in any_scope()) {
        prop_assert_eq!(Scope::from_json(&scope.to_json()), Ok(scope.clone()));
        prop_assert_eq!(Scope::from_base64url(&scope.to_base64url()), Ok(scope));
    }

    #[test]
    fn what_an_intersection_permits_both_permit(
        requested in any_scope(),
        granted in any_scope(),
        name in any_topic(),
        wanted in any_filter(),
    ) {
        let both = requested.intersect(&granted);
        let name = topic(&name);
        if both.permits_publish(name) {
            prop_assert!(requested.permits_publish(name) && granted.permits_publish(name));
        }
        let wanted = filter(&wanted);
        if both.permits_subscribe(&wanted) {
            prop_assert!(requested.permits_subscribe(&wanted));
            prop_assert!(granted.permits_subscribe(&wanted));
        }
        // Subscribing delivers what matches, so a topic is no other case.
        for entry in both.entries() {
            prop_assert!(entry.publish || entry.subscribe);
            prop_assert!(!entry.subscribe || granted.permits_subscribe(&entry.filter));
            prop_assert!(!entry.subscribe || requested.permits_subscribe(&entry.filter));
        }
    }

    #[test]
    fn what_is_granted_can_be_requested_whole(scope in any_scope(), name in any_topic()) {
        let again = scope.intersect(&scope);
        let name = topic(&name);
        prop_assert_eq!(again.permits_publish(name), scope.permits_publish(name));
        for entry in scope.entries() {
            prop_assert!(!entry.subscribe || again.permits_subscribe(&entry.filter));
        }
    }

    #[test]
    fn no_entry_of_an_intersection_is_superfluous(one in any_scope(), other in any_scope()) {
        let both = one.intersect(&other);
        for (at, entry) in both.entries().iter().enumerate() {
            let mut others = both.entries().iter().enumerate().filter(|(i, _)| *i != at);
            prop_assert!(!others.any(|(_, wide)| wide.publish >= entry.publish
                && wide.subscribe >= entry.subscribe
                && wide.filter.covers(&entry.filter)));
        }
    }
}
