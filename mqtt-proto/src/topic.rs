//! Topic Names and Topic Filters (§4.7) and Shared Subscriptions (§4.8.2).

use crate::ReasonCode;

/// What a Topic Filter of a Shared Subscription begins with (§4.8.2).
pub(crate) const SHARE_PREFIX: &str = "$share/";

/// The longest text that its two-byte length can announce (§1.5.4).
const MAXIMUM_BYTES: usize = u16::MAX as usize;

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
    /// What the peer is told (§2.4): Topic Name invalid for a wildcard in a name, else Topic Filter invalid. Names that are empty or hold
    /// U+0000 are refused as a Protocol Error or Malformed Packet when decoding, so they do not come here.
    pub fn reason_code(self) -> ReasonCode {
        match self {
            Self::WildcardInName => ReasonCode::TopicNameInvalid,
            Self::Empty
            | Self::Null
            | Self::TooLong
            | Self::MultiLevelWildcard
            | Self::SingleLevelWildcard
            | Self::Share => ReasonCode::TopicFilterInvalid,
        }
    }
}

impl<'a> TopicName<'a> {
    /// Accepts what §4.7.3 allows and §3.3.2.1 does not forbid.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        match text.len() {
            0 => Err(TopicError::Empty),
            length if length > MAXIMUM_BYTES => Err(TopicError::TooLong),
            _ if !has_null_or_wildcard(text.as_bytes()) => Ok(Self(text)),
            _ if text.contains('\0') => Err(TopicError::Null),
            _ => Err(TopicError::WildcardInName),
        }
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl TopicFilter {
    /// Accepts what §4.7.1 and §4.7.3 allow. `$share/...` is an ordinary filter here; [`TopicFilter::parse_shared`] takes it apart.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        match text.len() {
            0 => return Err(TopicError::Empty),
            length if length > MAXIMUM_BYTES => return Err(TopicError::TooLong),
            _ => {}
        }
        if has_null_or_wildcard(text.as_bytes()) {
            check_levels(text)?;
        }
        Ok(Self(text.into()))
    }

    /// Like [`TopicFilter::parse`], but takes `$share/NAME/FILTER` apart (§4.8.2).
    pub fn parse_shared(text: &str) -> Result<(Option<ShareName>, Self), TopicError> {
        let Some(rest) = text.strip_prefix(SHARE_PREFIX) else {
            return Ok((None, Self::parse(text)?));
        };
        if text.len() > MAXIMUM_BYTES {
            return Err(TopicError::TooLong);
        }
        match rest.split_once('/') {
            None | Some((_, "")) => Err(TopicError::Share),
            Some((name, filter)) => Ok((Some(ShareName::parse(name)?), Self::parse(filter)?)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has a wildcard.
    pub fn has_wildcard(&self) -> bool {
        has_null_or_wildcard(self.0.as_bytes())
    }

    /// Whether `topic` matches (§4.7.1); a leading wildcard does not match a topic that begins with `$` (§4.7.2).
    pub fn matches(&self, topic: TopicName<'_>) -> bool {
        let filter = self.0.as_bytes();
        let topic = topic.0.as_bytes();
        if topic.starts_with(b"$") && begins_with_wildcard(filter) {
            return false;
        }
        let mut names = topic.split(is_separator);
        for level in filter.split(is_separator) {
            match (level, names.next()) {
                // Also when no name is left: `a/#` matches its parent `a`.
                (b"#", _) => return true,
                (b"+", Some(_)) => {}
                (level, Some(name)) if level == name => {}
                (_, _) => return false,
            }
        }
        names.next().is_none()
    }

    /// Whether every Topic Name that `other` matches is matched by `self` too: the exact subset rule (RFC 9431 §2.3). `a/#` covers `a`,
    /// `a/+` and `a/b/#`; `a/+` covers `a/b` but not `a/#`; `#` and `+/a` cover nothing that begins with `$`.
    ///
    /// Topic Names are taken as unbounded here: where only the limit of 65,535 bytes would make one filter a subset of another, the
    /// answer is no.
    pub fn covers(&self, other: &Self) -> bool {
        let ours = normal_form(&self.0).as_bytes();
        let theirs = normal_form(&other.0).as_bytes();
        if theirs.starts_with(b"$") && begins_with_wildcard(ours) {
            return false;
        }
        let mut others = theirs.split(is_separator);
        for level in ours.split(is_separator) {
            match (level, others.next()) {
                (b"#", _) => return true,
                // One level never stands for the many that `#` does.
                (b"+", Some(other)) if other != b"#" => {}
                (level, Some(other)) if level == other => {}
                (_, _) => return false,
            }
        }
        others.next().is_none()
    }
}

impl ShareName {
    /// Accepts what §4.8.2 allows.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        match text.len() {
            0 => Err(TopicError::Share),
            length if length > MAXIMUM_BYTES => Err(TopicError::TooLong),
            _ if text.contains('\0') => Err(TopicError::Null),
            _ if text.contains(['/', '+', '#']) => Err(TopicError::Share),
            _ => Ok(Self(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The form in which a filter names no level that every topic it matches has anyway. A topic has at least one level, so `#` says what `+/#`
/// says; and since no topic is empty, `/#` says what `/+/#` says.
fn normal_form(filter: &str) -> &str {
    match filter {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    }
}

fn begins_with_wildcard(filter: &[u8]) -> bool {
    matches!(filter.first(), Some(b'+' | b'#'))
}

/// A Topic Level Separator (§4.7.1.1). In UTF-8 its byte is part of no other character.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape `slice::split` asks for"
)]
fn is_separator(byte: &u8) -> bool {
    *byte == b'/'
}

/// What the quick scan took notice of, looked at closely.
fn check_levels(filter: &str) -> Result<(), TopicError> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('\0') {
            return Err(TopicError::Null);
        }
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MultiLevelWildcard);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::SingleLevelWildcard);
        }
    }
    Ok(())
}

/// Whether U+0000, `+` or `#` occurs, eight bytes at a time: this runs over the topic of every PUBLISH.
fn has_null_or_wildcard(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    if words
        .iter()
        .any(|word| word_has_null_or_wildcard(u64::from_ne_bytes(*word)))
    {
        return true;
    }
    match bytes.last_chunk::<8>() {
        // Looks at some bytes twice, which is cheaper than one by one.
        Some(last) => word_has_null_or_wildcard(u64::from_ne_bytes(*last)),
        None => tail.iter().any(|byte| matches!(byte, 0 | b'+' | b'#')),
    }
}

fn word_has_null_or_wildcard(word: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // `+` is 0x2B and `#` is 0x23: one bit apart.
    const APART: u64 = EACH * (b'+' ^ b'#') as u64;
    let wildcard_is_zero = (word & !APART) ^ (EACH * u64::from(b'#'));
    has_zero_byte(word) || has_zero_byte(wildcard_is_zero)
}

/// The borrow of the subtraction reaches a byte's top bit only if that byte, or one below it, is zero.
fn has_zero_byte(word: u64) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    word.wrapping_sub(LOW) & !word & HIGH != 0
}
