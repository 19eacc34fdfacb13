//! The bounds of a topic.

use super::counters::Limit;
use crate::Limits;

/// Which bound this Topic Name or Topic Filter is beyond, if any.
pub(super) fn topic_beyond(topic: &str, limits: &Limits) -> Option<Limit> {
    if topic.len() > limits.topic_length {
        Some(Limit::TopicLength)
    } else if levels_exceed(topic, limits.topic_levels) {
        Some(Limit::TopicLevels)
    } else {
        None
    }
}

/// Whether a topic has more than `limit` levels.
fn levels_exceed(topic: &str, limit: usize) -> bool {
    topic
        .bytes()
        .filter(|byte| *byte == b'/')
        .take(limit)
        .count()
        >= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_reach_its_bounds_and_not_pass_them() {
        let limits = Limits {
            topic_length: 7,
            topic_levels: 3,
            ..Limits::default()
        };
        assert_eq!(topic_beyond("aaaaa/a", &limits), None);
        assert_eq!(topic_beyond("a/b/c", &limits), None);
        assert_eq!(topic_beyond("aaaaa/aa", &limits), Some(Limit::TopicLength));
        assert_eq!(topic_beyond("a/b/c/", &limits), Some(Limit::TopicLevels));
        assert_eq!(topic_beyond("///", &limits), Some(Limit::TopicLevels));
    }
}
