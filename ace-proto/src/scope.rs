//! The scope: AIF-MQTT, an array of Topic Filters with permissions (RFC 9431 §2.3, RFC 9237).

mod cbor;

use std::{borrow::Cow, collections::BTreeMap, mem::replace};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use symbolon_mqtt_proto::{TopicFilter, TopicName};

use crate::{base64url, json_object::to_json};

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

    /// From entries; one without a permission says nothing and is left out.
    pub fn from_entries(mut entries: Vec<ScopeEntry>) -> Self {
        entries.retain(|entry| entry.publish || entry.subscribe);
        Self(entries)
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[ScopeEntry] {
        &self.0
    }

    /// Whether it permits nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the JSON array, `[["topic1",["pub","sub"]]]`.
    pub fn from_json(json: &str) -> Result<Self, ScopeError> {
        let wire: Vec<WireEntry<'_>> =
            serde_json::from_str(json).map_err(|_| ScopeError::Structure)?;
        if wire.len() > Self::MAX_ENTRIES {
            return Err(ScopeError::TooLong);
        }
        wire.into_iter()
            .map(ScopeEntry::try_from)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// As the JSON array, compact.
    pub fn to_json(&self) -> String {
        let wire: Vec<_> = self.0.iter().map(ScopeEntry::to_wire).collect();
        to_json(&wire)
    }

    /// From the `scope` of a JWT or of a JSON message: base64url of the JSON array (RFC 9431 §2.3).
    pub fn from_base64url(text: &str) -> Result<Self, ScopeError> {
        let bytes = base64url::decode(text).ok_or(ScopeError::Base64)?;
        let json = str::from_utf8(&bytes).map_err(|_| ScopeError::Structure)?;
        Self::from_json(json)
    }

    /// As the `scope` of a JWT or of a JSON message.
    pub fn to_base64url(&self) -> String {
        base64url::encode(self.to_json().as_bytes())
    }

    /// Whether a PUBLISH to `topic` is allowed.
    pub fn permits_publish(&self, topic: TopicName<'_>) -> bool {
        self.0
            .iter()
            .any(|entry| entry.publish && entry.filter.matches(topic))
    }

    /// Whether a subscription to `filter` is allowed: equal to or a subset of one entry's filter.
    pub fn permits_subscribe(&self, filter: &TopicFilter) -> bool {
        self.0
            .iter()
            .any(|entry| entry.subscribe && entry.filter.covers(filter))
    }

    /// What of `self` `granted` allows: each entry of `self` narrowed to the filters of `granted` that cover it or that it covers. Nothing
    /// beyond either is ever in the result. It has at most as many entries as both together, which may be more than
    /// [`Scope::MAX_ENTRIES`].
    #[must_use]
    pub fn intersect(&self, granted: &Self) -> Self {
        let mut both: BTreeMap<TopicFilter, ScopeEntry> = BTreeMap::new();
        for requested in &self.0 {
            for narrowed in granted.0.iter().filter_map(|entry| entry.narrow(requested)) {
                let (publish, subscribe) = (narrowed.publish, narrowed.subscribe);
                let merged = both.entry(narrowed.filter.clone()).or_insert(narrowed);
                merged.publish |= publish;
                merged.subscribe |= subscribe;
            }
        }
        let mut kept: Vec<ScopeEntry> = Vec::new();
        for entry in both.into_values() {
            // Against those kept only: `#` and `+/#` cover each other, and one of them has to stay.
            if !kept.iter().any(|other| other.covers(&entry)) {
                kept.retain(|other| !entry.covers(other));
                kept.push(entry);
            }
        }
        Self(kept)
    }
}

impl Serialize for Scope {
    /// As the text of [`Scope::to_base64url`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64url())
    }
}

impl<'de> Deserialize<'de> for Scope {
    /// From the text of [`Scope::from_base64url`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_base64url(&text).map_err(de::Error::custom)
    }
}

impl ScopeEntry {
    fn from_wire<'p>(
        filter: &str,
        permissions: impl Iterator<Item = &'p str>,
    ) -> Result<Self, ScopeError> {
        let mut entry = Self {
            filter: TopicFilter::parse(filter).map_err(ScopeError::Filter)?,
            publish: false,
            subscribe: false,
        };
        for permission in permissions {
            let flag = match permission {
                "pub" => &mut entry.publish,
                "sub" => &mut entry.subscribe,
                _ => return Err(ScopeError::Permission),
            };
            if replace(flag, true) {
                return Err(ScopeError::Permission);
            }
        }
        if entry.publish || entry.subscribe {
            Ok(entry)
        } else {
            Err(ScopeError::Permission)
        }
    }

    /// As `["topic1",["pub","sub"]]`.
    fn to_wire(&self) -> (&str, Vec<&'static str>) {
        let permissions = [(self.publish, "pub"), (self.subscribe, "sub")];
        let named = permissions.into_iter().filter(|(given, _)| *given);
        (self.filter.as_str(), named.map(|(_, name)| name).collect())
    }

    /// Whether it allows at least what `other` does.
    fn covers(&self, other: &Self) -> bool {
        self.publish >= other.publish
            && self.subscribe >= other.subscribe
            && self.filter.covers(&other.filter)
    }

    /// What of `requested` this entry, which is granted, allows. Of two filters that only overlap nothing is taken: the result would be a
    /// filter that neither side wrote.
    fn narrow(&self, requested: &Self) -> Option<Self> {
        let filter = if self.filter.covers(&requested.filter) {
            &requested.filter
        } else if requested.filter.covers(&self.filter) {
            &self.filter
        } else {
            return None;
        };
        let publish = self.publish && requested.publish;
        let subscribe = self.subscribe && requested.subscribe;
        (publish || subscribe).then(|| Self {
            filter: filter.clone(),
            publish,
            subscribe,
        })
    }
}

/// The serde image of one entry, `["topic1",["pub","sub"]]`: borrowed from the JSON unless written with escapes.
#[derive(Deserialize)]
struct WireEntry<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Vec<WirePermission<'a>>,
);

#[derive(Deserialize)]
struct WirePermission<'a>(#[serde(borrow)] Cow<'a, str>);

impl TryFrom<WireEntry<'_>> for ScopeEntry {
    type Error = ScopeError;

    fn try_from(WireEntry(filter, permissions): WireEntry<'_>) -> Result<Self, ScopeError> {
        let permissions = permissions.iter().map(|permission| permission.0.as_ref());
        Self::from_wire(&filter, permissions)
    }
}
