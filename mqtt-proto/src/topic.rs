//! Topic Names and Topic Filters (§4.7) and Shared Subscriptions (§4.8.2).

use crate::ReasonCode;

/// A Topic Name, as a PUBLISH carries it: no wildcards (§4.7). Borrowed, since it is decoded in place.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicName<'a>(&'a str);

/// A Topic Filter, as a SUBSCRIBE or a scope carries it: it may have wildcards (§4.7.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicFilter(Box<str>);

/// The name of a group of a Shared Subscription: not empty, no `/`, `+` or `#` (§4.8.2).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShareName(Box<str>);

/// Why a Topic Name, Topic Filter or Share Name is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// MQTT-4.7.3-1.
    #[error("topic is empty")]
    Empty,
    /// MQTT-4.7.3-2.
    #[error("topic contains U+0000")]
    Null,
    /// MQTT-4.7.3-3.
    #[error("topic is longer than 65535 bytes")]
    TooLong,
    /// MQTT-3.3.2-2.
    #[error("Topic Name contains a wildcard")]
    WildcardInName,
    /// MQTT-4.7.1-1: `#` is not a whole level, or not the last.
    #[error("'#' must be a whole level and the last one")]
    MultiLevelWildcard,
    /// MQTT-4.7.1-2: `+` is not a whole level.
    #[error("'+' must be a whole level")]
    SingleLevelWildcard,
    /// MQTT-4.8.2-1 and -2.
    #[error("'$share' needs a group name without wildcards and a Topic Filter behind it")]
    Share,
}

impl TopicError {
    /// What the peer is told (§2.4): Topic Name invalid or Topic Filter invalid.
    pub fn reason_code(self) -> ReasonCode {
        todo!()
    }
}

impl<'a> TopicName<'a> {
    /// Accepts what §4.7.3 allows and §3.3.2.1 does not forbid.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        let _ = text;
        todo!()
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl TopicFilter {
    /// Accepts what §4.7.1 and §4.7.3 allow. `$share/...` is an ordinary filter here; [`TopicFilter::parse_shared`] takes it apart.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let _ = text;
        todo!()
    }

    /// Like [`TopicFilter::parse`], but takes `$share/NAME/FILTER` apart (§4.8.2).
    pub fn parse_shared(text: &str) -> Result<(Option<ShareName>, Self), TopicError> {
        let _ = text;
        todo!()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has a wildcard.
    pub fn has_wildcard(&self) -> bool {
        todo!()
    }

    /// Whether `topic` matches (§4.7.1); a leading wildcard does not match a topic that begins with `$` (§4.7.2).
    pub fn matches(&self, topic: TopicName<'_>) -> bool {
        let _ = topic;
        todo!()
    }

    /// Whether every Topic Name that `other` matches is matched by `self` too: the exact subset rule (RFC 9431 §2.3). `a/#` covers `a`,
    /// `a/+` and `a/b/#`; `a/+` covers `a/b` but not `a/#`; `#` and `+/a` cover nothing that begins with `$`.
    pub fn covers(&self, other: &Self) -> bool {
        let _ = other;
        todo!()
    }
}

impl ShareName {
    /// Accepts what §4.8.2 allows.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let _ = text;
        todo!()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
