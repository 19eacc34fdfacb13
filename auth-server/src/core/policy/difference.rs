//! One Topic Filter without what another matches.
//!
//! A Topic Filter minus another is in general no Topic Filter, nor any number of them: of `a/#` without `a/secret/#` there would have to be
//! a filter for each other second level. It is one where the other has a wildcard wherever the first has: `a/#` without `a` is `a/+/#`.

use symbolon_mqtt_proto::TopicFilter;

/// What a filter has left without another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    /// Nothing that both match: all is left.
    Whole,
    /// These filters together match exactly what is left; none where nothing is.
    Filters(Vec<TopicFilter>),
    /// Something is left, and no Topic Filters match exactly that.
    NoFilter,
}

/// Whether some Topic Name is matched by both.
pub(crate) fn overlap(left: &TopicFilter, right: &TopicFilter) -> bool {
    let (left, right) = (normal_form(left), normal_form(right));
    let begins_with_wildcard = |filter: &str| filter.starts_with(['+', '#']);
    let dollar_against_wildcard = |one: &str, other: &str| {
        // MQTT 5.0 §4.7.2: a leading wildcard matches no topic that begins with `$`.
        one.starts_with('$') && begins_with_wildcard(other)
    };
    if dollar_against_wildcard(left, right) || dollar_against_wildcard(right, left) {
        return false;
    }
    let (mut left, mut right) = (left.split('/'), right.split('/'));
    loop {
        match (left.next(), right.next()) {
            // The parent of `#` counts, so the other may end here.
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(one), Some(other)) if one == "+" || other == "+" || one == other => {}
            (None | Some(_), Some(_)) | (Some(_), None) => return false,
        }
    }
}

/// `filter` without what `taken` matches.
pub(crate) fn without(filter: &TopicFilter, taken: &TopicFilter) -> Rest {
    if !overlap(filter, taken) {
        return Rest::Whole;
    }
    if taken.covers(filter) {
        return Rest::Filters(Vec::new());
    }
    let levels: Vec<&str> = normal_form(filter).split('/').collect();
    let texts = subtract(&levels, normal_form(taken).split('/'));
    let filters = texts.map(|texts| {
        let parsed = texts.iter().map(|text| TopicFilter::parse(text));
        parsed.collect::<Result<Vec<_>, _>>()
    });
    match filters {
        Some(Ok(filters)) => Rest::Filters(filters),
        // One that is too long for a filter can be granted as little as one that is none.
        Some(Err(_)) | None => Rest::NoFilter,
    }
}

/// Level by level, for filters that overlap. `None` where the rest is no filter.
fn subtract<'a>(filter: &[&'a str], taken: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    let (fixed, open) = match filter {
        [fixed @ .., "#"] => (fixed, true),
        fixed => (fixed, false),
    };
    let mut kept = Vec::new();
    // The levels gone through, as the filter has them.
    let mut common: Vec<&str> = Vec::new();
    for level in taken {
        if level == "#" {
            return Some(kept);
        }
        match (fixed.get(common.len()).copied(), level) {
            // One level of many is taken: there is no filter for the others.
            (Some("+") | None, level) if level != "+" => return None,
            (Some(own), _) => common.push(own),
            (None, _) => {
                kept.push(common.join("/"));
                common.push("+");
            }
        }
    }
    if open {
        kept.push(format!("{}/+/#", common.join("/")));
    }
    Some(kept)
}

/// The form in which a filter names no level that every topic it matches has anyway (as `TopicFilter::covers` has it).
fn normal_form(filter: &TopicFilter) -> &str {
    match filter.as_str() {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use symbolon_mqtt_proto::TopicName;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text).unwrap()
    }

    fn rest(of: &str, taken: &str) -> Option<Vec<String>> {
        match without(&filter(of), &filter(taken)) {
            Rest::Whole => Some(vec![of.to_owned()]),
            Rest::Filters(filters) => Some(filters.iter().map(|f| f.as_str().to_owned()).collect()),
            Rest::NoFilter => None,
        }
    }

    #[test]
    fn what_is_left_is_a_filter_where_the_other_has_a_wildcard_too() {
        for (of, taken, left) in [
            ("a/b", "a/#", Some(vec![])),
            ("a/b", "a/c", Some(vec!["a/b"])),
            ("a/#", "a", Some(vec!["a/+/#"])),
            ("a/#", "a/+", Some(vec!["a", "a/+/+/#"])),
            ("a/#", "a/+/#", Some(vec!["a"])),
            ("#", "+", Some(vec!["+/+/#"])),
            ("#", "$SYS/#", Some(vec!["#"])),
            ("a/#", "a/b/#", None),
            ("a/+", "a/b", None),
            ("+/b", "a/+", None),
            ("/#", "/+", Some(vec!["/+/+/#"])),
            ("a/+/#", "+/+", Some(vec!["a/+/+/#"])),
        ] {
            let left =
                left.map(|left: Vec<&str>| left.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(rest(of, taken), left, "{of} without {taken}");
        }
    }

    /// Topics of up to four levels; `z` is in no filter, so a wildcard always has more to match than what is named.
    pub(crate) fn topics() -> Vec<String> {
        let mut topics: Vec<String> = Vec::new();
        let mut longest = vec![String::new()];
        for depth in 0..4 {
            let mut next = Vec::new();
            for topic in &longest {
                for level in ["a", "b", "", "z", "$x"] {
                    if depth == 0 {
                        next.push(level.to_owned());
                    } else if level != "$x" {
                        next.push(format!("{topic}/{level}"));
                    }
                }
            }
            topics.extend(next.iter().filter(|topic| !topic.is_empty()).cloned());
            longest = next;
        }
        topics
    }

    pub(crate) fn any_filter() -> impl Strategy<Value = TopicFilter> {
        let level = prop_oneof![Just("a"), Just("b"), Just(""), Just("+")];
        let first = prop_oneof![4 => level.clone(), 1 => Just("$x")];
        let levels = prop::collection::vec(level, 0..3);
        (first, levels, any::<bool>()).prop_filter_map(
            "an empty filter",
            |(first, levels, open)| {
                let mut all = vec![first];
                all.extend(levels);
                all.extend(open.then_some("#"));
                TopicFilter::parse(&all.join("/")).ok()
            },
        )
    }

    proptest! {
        #[test]
        fn two_filters_overlap_if_and_only_if_a_topic_is_matched_by_both(
            left in any_filter(), right in any_filter()
        ) {
            let both = topics().iter().any(|topic| {
                let topic = TopicName::parse(topic).unwrap();
                left.matches(topic) && right.matches(topic)
            });
            prop_assert_eq!(overlap(&left, &right), both);
        }

        #[test]
        fn the_rest_matches_exactly_what_the_one_does_and_the_other_does_not(
            of in any_filter(), taken in any_filter()
        ) {
            let filters = match without(&of, &taken) {
                Rest::Whole => vec![of.clone()],
                Rest::Filters(filters) => filters,
                Rest::NoFilter => return Ok(()),
            };
            for text in topics() {
                let topic = TopicName::parse(&text).unwrap();
                let left = of.matches(topic) && !taken.matches(topic);
                let matched = filters.iter().any(|filter| filter.matches(topic));
                prop_assert_eq!(matched, left, "{:?} of {:?}", text, filters);
            }
        }
    }
}
