use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Map = Subscriptions<u32, u64>;

fn empty() -> Map {
    Subscriptions::new(HashSeed::from_words([1, 2, 3, 4]))
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn with(filters: &[&str]) -> Map {
    let mut map = empty();
    for (key, text) in (0..).zip(filters) {
        assert_eq!(map.insert(&filter(text), key, u64::from(key) * 10), None);
    }
    map
}

fn matches(map: &Map, topic: &str) -> Vec<u32> {
    let mut keys = Vec::new();
    map.for_each_match(TopicName::parse(topic).unwrap(), |key, value| {
        assert_eq!(*value, u64::from(key) * 10);
        keys.push(key);
    });
    keys.sort_unstable();
    keys
}

#[test]
fn a_multi_level_wildcard_matches_the_parent_and_all_below() {
    // [MQTT-4.7.1-1], examples of §4.7.1.2.
    let map = with(&["sport/tennis/player1/#", "#", "sport/#"]);
    for topic in [
        "sport/tennis/player1",
        "sport/tennis/player1/ranking",
        "sport/tennis/player1/score/wimbledon",
    ] {
        assert_eq!(matches(&map, topic), [0, 1, 2]);
    }
    assert_eq!(matches(&map, "sport"), [1, 2]);
    assert_eq!(matches(&map, "sport/tennis/player10"), [1, 2]);
    assert_eq!(matches(&map, "sports"), [1]);
    assert_eq!(matches(&map, "/"), [1]);
}

#[test]
fn a_single_level_wildcard_matches_one_level_even_if_it_is_empty() {
    // [MQTT-4.7.1-2], examples of §4.7.1.3.
    let map = with(&["sport/tennis/+", "sport/+", "+/+", "/+", "+"]);
    assert_eq!(matches(&map, "sport/tennis/player1"), [0]);
    assert_eq!(matches(&map, "sport/tennis/player1/ranking"), [0; 0]);
    assert_eq!(matches(&map, "sport"), [4]);
    assert_eq!(matches(&map, "sport/"), [1, 2]);
    assert_eq!(matches(&map, "/finance"), [2, 3]);
}

#[test]
fn a_leading_wildcard_does_not_match_a_topic_that_begins_with_a_dollar() {
    // [MQTT-4.7.2-1]
    let map = with(&[
        "#",
        "+/monitor/Clients",
        "$SYS/#",
        "$SYS/monitor/+",
        "+/#",
        "+",
    ]);
    assert_eq!(matches(&map, "$SYS/monitor/Clients"), [2, 3]);
    assert_eq!(matches(&map, "$SYS"), [2]);
    assert_eq!(matches(&map, "a/$SYS"), [0, 4]);
}

#[test]
fn empty_levels_are_levels() {
    let map = with(&["a//b", "a/+/b", "a/b", "//", "/+/", "+//#", "/", "a//b/"]);
    assert_eq!(matches(&map, "a//b"), [0, 1, 5]);
    assert_eq!(matches(&map, "//"), [3, 4, 5]);
    assert_eq!(matches(&map, "/"), [5, 6]);
    assert_eq!(matches(&map, "a//b/"), [5, 7]);
}

#[test]
fn a_subscriber_is_visited_for_each_filter_that_matches() {
    let mut map = empty();
    for text in ["a/b", "a/+", "a/#", "a/c"] {
        map.insert(&filter(text), 7, 70);
    }
    assert_eq!(matches(&map, "a/b"), [7, 7, 7]);
    assert_eq!(map.len(), 4);
    assert_eq!(map.filter_count(), 4);
}

#[test]
fn the_last_value_counts_and_the_one_before_is_returned() {
    for text in ["a/b", "a/+"] {
        let mut map = empty();
        assert_eq!(map.insert(&filter(text), 1, 1), None);
        assert_eq!(map.insert(&filter(text), 1, 2), Some(1));
        *map.get_mut(&filter(text), 1).unwrap() = 3;
        assert_eq!(map.get_mut(&filter(text), 2), None);
        assert_eq!(map.len(), 1);
        assert_eq!(map.subscriber_count(&filter(text)), 1);
        assert_eq!(map.remove(&filter(text), 2), None);
        assert_eq!(map.remove(&filter(text), 1), Some(3));
        assert_eq!(map.remove(&filter(text), 1), None);
        assert!(map.is_empty());
        assert_eq!(map.filter_count(), 0);
    }
}

#[test]
fn a_filter_with_many_subscribers_gives_all_memory_back() {
    for text in ["a/b", "a/+"] {
        let mut map = empty();
        let nothing = map.heap_bytes();
        for key in 0..100_000 {
            assert_eq!(map.insert(&filter(text), key, u64::from(key) * 10), None);
        }
        assert_eq!(matches(&map, "a/b").len(), 100_000);
        for key in (0..100_000).filter(|key| key % 1000 != 0) {
            assert_eq!(map.remove(&filter(text), key), Some(u64::from(key) * 10));
        }
        assert_eq!(matches(&map, "a/b").len(), 100);
        assert!(map.heap_bytes() < nothing + 16 * 1024);
        for key in (0..100_000).step_by(1000) {
            assert!(map.remove(&filter(text), key).is_some());
        }
        assert!(map.is_empty());
    }
}

#[test]
fn one_subscriber_is_two_words_so_that_a_filter_is_a_cache_line() {
    assert_eq!(size_of::<Option<Subscribers<u32, u64>>>(), 16);
}

#[test]
fn a_subscription_of_its_own_takes_less_than_100_bytes() {
    for (suffix, limit) in [("state", 90), ("+/cmd", 90)] {
        let mut map = empty();
        for key in 0..100_000_u32 {
            map.insert(&filter(&format!("devices/{key:08}/{suffix}")), key, 0);
        }
        let bytes = map.heap_bytes() / 100_000;
        println!("devices/ID/{suffix}: {bytes} bytes");
        assert!(bytes < limit, "{bytes}");
    }
}

#[test]
fn topics_and_filters_of_32768_levels_need_no_deep_stack() {
    let deep = "a/".repeat(32_766) + "a";
    let plus = "+/".repeat(32_766) + "+";
    let mut map = empty();
    map.insert(&filter(&deep), 0, 0);
    map.insert(&filter(&plus), 1, 10);
    // At each of the first levels there is a fork.
    for level in 0..500_u32 {
        let forks = "a/".repeat(level as usize) + "+/#";
        map.insert(&filter(&forks), level + 2, u64::from(level + 2) * 10);
    }
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(move || assert_eq!(matches(&map, &deep).len(), 502))
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn matching_allocates_nothing() {
    let mut map = empty();
    for key in 0..1000 {
        for text in ["devices/N/+/cmd", "devices/N/state", "+/N/#", "all/#"] {
            map.insert(&filter(&text.replace('N', &key.to_string())), key, 0);
        }
    }
    let mut seen = 0;
    let topics = ["devices/7/x/cmd", "devices/7/state", "all/a/b/c", "none"];
    let topics = topics.map(|topic| TopicName::parse(topic).unwrap());
    let counts = allocation_counter::measure(|| {
        for topic in topics {
            map.for_each_match(topic, |_, _| seen += 1);
        }
    });
    assert_eq!(counts.count_total, 0);
    assert_eq!(seen, 2 + 2 + 1000);
}

#[test]
fn all_filters_are_listed() {
    let mut map = with(&["a", "a/+/c", "a/+/d", "#", "x/y", "/"]);
    map.insert(&filter("a/+/c"), 99, 0);
    map.remove(&filter("x/y"), 4);
    let mut seen = BTreeMap::new();
    map.for_each_filter(|text, count| assert_eq!(seen.insert(text.to_owned(), count), None));
    let want = [("a", 1), ("a/+/c", 2), ("a/+/d", 1), ("#", 1), ("/", 1)];
    assert_eq!(seen, want.map(|(text, n)| (text.to_owned(), n)).into());
    let mut keys = Vec::new();
    map.for_each_subscriber(&filter("a/+/c"), |key, _| keys.push(key));
    assert_eq!(keys, [1, 99]);
}

proptest! {
    #[test]
    fn it_matches_what_a_list_of_filters_matches(
        steps in prop::collection::vec(
            (0..4_u8, r"(\$|[ab+]?)(/[ab+]?){0,4}(/#)?|#", 0..24_u32), 1..150),
        topics in prop::collection::vec(r"(\$|[ab]?)(/[ab]?){0,5}", 1..30),
    ) {
        let mut map = empty();
        let mut model: BTreeMap<(TopicFilter, u32), u64> = BTreeMap::new();
        for (step, text, key) in steps {
            let Ok(filter) = TopicFilter::parse(&text) else { continue };
            if step > 0 {
                let value = u64::from(key) * 10;
                prop_assert_eq!(map.insert(&filter, key, value), model.insert((filter, key), value));
            } else {
                prop_assert_eq!(map.remove(&filter, key), model.remove(&(filter, key)));
            }
        }
        prop_assert_eq!(map.len(), model.len());
        for text in topics {
            let Ok(topic) = TopicName::parse(&text) else { continue };
            let mut want: Vec<u32> = model
                .keys()
                .filter(|(filter, _)| filter.matches(topic))
                .map(|(_, key)| *key)
                .collect();
            want.sort_unstable();
            prop_assert_eq!(matches(&map, &text), want);
        }
        for (filter, key) in model.keys() {
            prop_assert!(map.remove(filter, *key).is_some());
        }
        prop_assert!(map.is_empty());
        prop_assert_eq!(map.filter_count(), 0);
        prop_assert_eq!(map.wildcards.node_count(), 0);
    }

    #[test]
    fn many_subscribers_are_a_map(steps in prop::collection::vec((0..3_u8, 0..60_u32), 0..400)) {
        let mut map = empty();
        let filter = filter("a");
        let mut model = BTreeMap::new();
        for (value, (step, key)) in (0_u64..).zip(steps) {
            if step > 0 {
                prop_assert_eq!(map.insert(&filter, key, value), model.insert(key, value));
            } else {
                prop_assert_eq!(map.remove(&filter, key), model.remove(&key));
            }
            let mut seen = BTreeMap::new();
            map.for_each_subscriber(&filter, |key, value| { seen.insert(key, *value); });
            prop_assert_eq!(&seen, &model);
            prop_assert_eq!(map.subscriber_count(&filter), model.len());
        }
    }
}
