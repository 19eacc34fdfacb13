//! Topic Names and Topic Filters against brute force over a small alphabet (§4.7; RFC 9431 §2.3).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use symbolon_mqtt_proto::{ShareName, TopicError, TopicFilter, TopicName};

/// Levels that topics are made of. Filters use a subset of the literal ones, so each filter misses some topics.
const NAME_LEVELS: &[&str] = &["", "a", "b", "$a", "$", "c"];
const FILTER_LEVELS: &[&str] = &["", "a", "b", "$a", "+"];

/// Deeper than any filter below, so that what `#` stands for is seen.
const NAME_DEPTH: usize = 5;
const FILTER_DEPTH: usize = 3;

/// All sequences of `levels`, from one level to `depth`, each joined.
fn sequences(levels: &[&str], depth: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut longest: Vec<String> = levels.iter().map(|&level| level.to_owned()).collect();
    for _ in 1..depth {
        let longer = longest
            .iter()
            .flat_map(|head| levels.iter().map(move |level| format!("{head}/{level}")))
            .collect();
        all.append(&mut longest);
        longest = longer;
    }
    all.append(&mut longest);
    all
}

fn names() -> Vec<String> {
    sequences(NAME_LEVELS, NAME_DEPTH)
        .into_iter()
        .filter(|name| !name.is_empty())
        .collect()
}

fn filters() -> Vec<TopicFilter> {
    let mut texts = sequences(FILTER_LEVELS, FILTER_DEPTH);
    let with_all: Vec<_> = texts.iter().map(|text| format!("{text}/#")).collect();
    texts.extend(with_all);
    texts.push("#".to_owned());
    texts
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| TopicFilter::parse(text).unwrap())
        .collect()
}

/// §4.7.1 and §4.7.2 word by word, on whole vectors of levels.
fn matches_by_the_book(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let filter: Vec<_> = filter.split('/').collect();
    let name: Vec<_> = name.split('/').collect();
    let (fixed, has_all) = match filter.split_last() {
        Some((&"#", fixed)) => (fixed, true),
        _ => (&filter[..], false),
    };
    let is_deep_enough = if has_all {
        name.len() >= fixed.len()
    } else {
        name.len() == fixed.len()
    };
    is_deep_enough
        && fixed
            .iter()
            .zip(&name)
            .all(|(filter, name)| *filter == "+" || filter == name)
}

#[test]
fn a_filter_matches_what_the_standard_says() {
    // [MQTT-4.7.1-1] to [MQTT-4.7.1-3], [MQTT-4.7.2-1], [MQTT-4.7.3-4]
    let names = names();
    for filter in filters() {
        for name in &names {
            let topic = TopicName::parse(name).unwrap();
            let expected = matches_by_the_book(filter.as_str(), name);
            assert_eq!(filter.matches(topic), expected, "{filter:?} {name}");
        }
    }
}

/// The names that a filter matches, as a bitmap.
fn matched(filter: &TopicFilter, names: &[String]) -> Vec<u64> {
    let mut bits = vec![0; names.len().div_ceil(64)];
    for (at, name) in names.iter().enumerate() {
        if filter.matches(TopicName::parse(name).unwrap()) {
            bits[at / 64] |= 1 << (at % 64);
        }
    }
    bits
}

#[test]
fn a_filter_covers_exactly_those_that_match_a_subset() {
    // RFC 9431 §2.3. The names are deeper than the filters and have a level that no filter names, so a filter that is no subset shows it.
    let names = names();
    let filters: Vec<_> = filters()
        .into_iter()
        .map(|filter| (matched(&filter, &names), filter))
        .collect();
    let mut covered = 0;
    for (ours, cover) in &filters {
        for (theirs, other) in &filters {
            let is_subset = theirs
                .iter()
                .zip(ours)
                .all(|(their, our)| their & !our == 0);
            assert_eq!(cover.covers(other), is_subset, "{cover:?} {other:?}");
            covered += usize::from(is_subset);
        }
    }
    // Neither all nor none nor each only itself.
    assert!(covered > filters.len() && covered < filters.len() * filters.len() / 2);
}

fn covers(cover: &str, other: &str) -> bool {
    let cover = TopicFilter::parse(cover).unwrap();
    cover.covers(&TopicFilter::parse(other).unwrap())
}

#[test]
fn covering_knows_the_forms_that_say_the_same() {
    for (cover, other) in [
        ("#", "#"),
        ("#", "+/#"),
        ("+/#", "#"),
        ("/#", "/+/#"),
        ("/+/#", "/#"),
        ("a/#", "a"),
        ("a/#", "a/+"),
        ("a/#", "a/+/#"),
        ("a/#", "a/b/#"),
        ("+/#", "a"),
        ("+/+", "a/+"),
        ("$SYS/#", "$SYS/+/x"),
        ("$SYS/#", "$SYS"),
    ] {
        assert!(covers(cover, other), "{cover} {other}");
    }
    for (cover, other) in [
        ("a/+/#", "a/#"),
        ("a/+/#", "a"),
        ("a/+", "a/#"),
        ("a/+", "a"),
        ("a", "a/#"),
        ("a", "+"),
        ("+", "#"),
        ("#", "$SYS"),
        ("#", "$SYS/#"),
        ("+/a", "$SYS/a"),
        ("+", "$SYS"),
        ("+/#", "$SYS/#"),
        ("a/b", "a/+"),
    ] {
        assert!(!covers(cover, other), "{cover} {other}");
    }
}

#[test]
fn names_are_parsed_as_the_standard_says() {
    for (text, expected) in [
        ("", Some(TopicError::Empty)),
        ("a\0", Some(TopicError::Null)),
        ("a+b", Some(TopicError::WildcardInName)),
        ("some/longer/topic/name/#", Some(TopicError::WildcardInName)),
        ("/", None),
        (" ", None),
        ("$SYS/broker", None),
        ("grüße/世界", None),
    ] {
        assert_eq!(TopicName::parse(text).err(), expected, "{text:?}");
    }
    let longest = "x".repeat(65_535);
    assert!(TopicName::parse(&longest).is_ok());
    assert!(TopicFilter::parse(&longest).is_ok());
    // [MQTT-4.7.3-3]
    let too_long = "x".repeat(65_536);
    assert_eq!(TopicName::parse(&too_long), Err(TopicError::TooLong));
    assert_eq!(TopicFilter::parse(&too_long), Err(TopicError::TooLong));
    let shared = format!("$share/g/{longest}");
    assert_eq!(TopicFilter::parse_shared(&shared), Err(TopicError::TooLong));
}

#[test]
fn each_byte_at_each_place_is_judged_alone() {
    // The quick scan looks at eight bytes at once: neighbours must not hide or feign a wildcard.
    for length in 1..=24 {
        for at in 0..length {
            for byte in 0..0x80 {
                for around in [b'a', 1, b'*', b'"', b',', b'$', 0x7F] {
                    let mut bytes = vec![around; length];
                    bytes[at] = byte;
                    let text = String::from_utf8(bytes).unwrap();
                    let expected = match byte {
                        0 => Err(TopicError::Null),
                        b'+' | b'#' => Err(TopicError::WildcardInName),
                        _ => Ok(()),
                    };
                    assert_eq!(TopicName::parse(&text).map(|_| ()), expected, "{text:?}");
                }
            }
        }
    }
    // Bytes of two and more for one character, among them some that look like wildcards but for the top bit.
    let text = "«£«£«£«£";
    assert!(TopicName::parse(text).is_ok());
}

#[test]
fn filters_know_their_wildcards() {
    for (text, expected) in [("a/b", false), ("a/+", true), ("#", true), ("+", true)] {
        let filter = TopicFilter::parse(text).unwrap();
        assert_eq!(filter.has_wildcard(), expected, "{text}");
    }
}

#[test]
fn shared_filters_are_taken_apart() {
    // §4.8.2
    for (text, name, filter) in [
        ("$share/g/a/#", Some("g"), "a/#"),
        ("$share/g//", Some("g"), "/"),
        ("$share/$/$SYS/#", Some("$"), "$SYS/#"),
        // No Shared Subscriptions: the prefix has its slash, and its case.
        ("$share", None, "$share"),
        ("$SHARE/g/a", None, "$SHARE/g/a"),
        ("a/$share/g", None, "a/$share/g"),
    ] {
        let (found, rest) = TopicFilter::parse_shared(text).unwrap();
        assert_eq!(found.as_ref().map(ShareName::as_str), name);
        assert_eq!(rest.as_str(), filter);
    }
    let ordinary = TopicFilter::parse("$share/g/a").unwrap();
    assert_eq!(ordinary.as_str(), "$share/g/a");
}
