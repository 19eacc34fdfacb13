//! The scope: AIF-MQTT, an array of Topic Filters with permissions (RFC 9431 §2.3, RFC 9237).

use symbolon_mqtt_proto::{TopicFilter, TopicName};

/// What may be done on a Topic Filter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Permission {
    /// `pub`.
    Publish,
    /// `sub`.
    Subscribe,
}

/// One Topic Filter and what may be done on it: at least one of the two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScopeEntry {
    /// The Topic Filter.
    pub filter: TopicFilter,
    /// Whether `pub` is among the permissions.
    pub publish: bool,
    /// Whether `sub` is among them.
    pub subscribe: bool,
}

/// A scope. Empty means no permission on any protected topic.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scope(Vec<ScopeEntry>);

/// Why a scope is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// Not base64url without padding.
    #[error("scope is not base64url without padding")]
    Base64,
    /// Not the structure of AIF-MQTT.
    #[error("scope is not an array of [topic filter, [permissions]]")]
    Structure,
    /// A permission that is neither `pub` nor `sub`, one given twice, or none.
    #[error("scope permissions must be one or both of \"pub\" and \"sub\"")]
    Permission,
    /// A Topic Filter is malformed.
    #[error("scope holds a malformed topic filter: {0}")]
    Filter(symbolon_mqtt_proto::TopicError),
    /// More entries than [`Scope::MAX_ENTRIES`].
    #[error("scope has too many entries")]
    TooLong,
}

impl Scope {
    /// The most entries accepted from a peer.
    pub const MAX_ENTRIES: usize = 1024;

    /// From entries.
    pub fn from_entries(entries: Vec<ScopeEntry>) -> Self {
        Self(entries)
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[ScopeEntry] {
        &self.0
    }

    /// From the JSON array, `[["topic1",["pub","sub"]]]`.
    pub fn from_json(json: &str) -> Result<Self, ScopeError> {
        let _ = json;
        todo!()
    }

    /// As the JSON array, compact.
    pub fn to_json(&self) -> String {
        todo!()
    }

    /// From the `scope` of a JWT or of a JSON message: base64url of the JSON array.
    pub fn from_base64url(text: &str) -> Result<Self, ScopeError> {
        let _ = text;
        todo!()
    }

    /// As the `scope` of a JWT or of a JSON message.
    pub fn to_base64url(&self) -> String {
        todo!()
    }

    /// Whether a PUBLISH to `topic` is allowed.
    pub fn permits_publish(&self, topic: TopicName<'_>) -> bool {
        let _ = topic;
        todo!()
    }

    /// Whether a subscription to `filter` is allowed: equal to or a subset of one entry's filter.
    pub fn permits_subscribe(&self, filter: &TopicFilter) -> bool {
        let _ = filter;
        todo!()
    }

    /// What of `self` `granted` allows: each entry of `self` narrowed to the filters of `granted` that cover it or that it covers. Nothing
    /// beyond either is ever in the result.
    #[must_use]
    pub fn intersect(&self, granted: &Self) -> Self {
        let _ = granted;
        todo!()
    }
}
