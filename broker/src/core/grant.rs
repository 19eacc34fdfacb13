//! What a client may do.

mod topic_set;

use super::introspected::Reference;
use std::{collections::HashSet, sync::Arc};
use symbolon_ace_proto::{Claims, TokenHash, UnixTime};
use symbolon_mqtt_proto::{ReasonCode, TopicFilter, TopicName};
use topic_set::TopicSet;

/// What a token allows, compiled once so that each PUBLISH costs a few nanoseconds (RFC 9431 §2.3, §3).
#[derive(Clone, Debug)]
pub struct Grant {
    /// None without a token: the public topics are open to anyone, for ever.
    token: Option<Token>,
    publish: TopicSet,
    subscribe: Box<[TopicFilter]>,
    public: Arc<PublicTopics>,
}

/// Whose the token is, and for how long.
#[derive(Clone, Debug)]
struct Token {
    holder: Holder,
    expires_at: UnixTime,
    marks: Option<TokenMarks>,
    /// It is by reference.
    introspected: Option<Arc<Introspection>>,
}

/// Of a token by reference: how to ask of it again, and when.
#[derive(Debug)]
pub(crate) struct Introspection {
    pub(crate) reference: Reference,
    /// What was said of it is believed until then.
    pub(crate) until: UnixTime,
}

/// By what names a token may be called in the list of revoked tokens (RFC 9770 §4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TokenMarks([TokenHash; 2]);

/// Who proved possession of a token's key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Holder {
    /// `iss`: who says so.
    pub issuer: Box<str>,
    /// `client_id`, else `sub`; `None` if the token names nobody.
    pub name: Option<Box<str>>,
    /// The JWK Thumbprint of the proof-of-possession key (RFC 7638, SHA-256).
    pub key_thumbprint: [u8; 32],
}

/// The Topic Filters that anyone may publish and subscribe to (RFC 9431 §2.2.1), and what of them is private after all. Shared by all grants.
#[derive(Clone, Debug, Default)]
pub struct PublicTopics {
    publish: TopicSet,
    subscribe: Box<[TopicFilter]>,
    private: TopicSet,
    private_filters: Box<[TopicFilter]>,
    hide: bool,
}

impl Grant {
    /// From the claims of a token that was validated and whose key, with this thumbprint, was proven to be in the client's possession.
    pub fn compile(claims: &Claims, key_thumbprint: [u8; 32], public: Arc<PublicTopics>) -> Self {
        let entries = claims.scope.entries();
        let publish = entries.iter().filter(|entry| entry.publish);
        let subscribe = entries.iter().filter(|entry| entry.subscribe);
        let name = claims.client_id.as_deref().or(claims.subject.as_deref());
        Self {
            token: Some(Token {
                holder: Holder {
                    issuer: claims.issuer.as_str().into(),
                    name: name.map(Box::from),
                    key_thumbprint,
                },
                expires_at: claims.expires_at,
                marks: None,
                introspected: None,
            }),
            publish: TopicSet::compile(publish.map(|entry| &entry.filter)),
            subscribe: subscribe.map(|entry| entry.filter.clone()).collect(),
            public,
        }
    }

    /// The token itself, as the client brought it, so that it is known again where it is revoked.
    #[must_use]
    pub fn by_token(mut self, token: &[u8]) -> Self {
        if let Some(of) = &mut self.token {
            of.marks = Some(TokenMarks::of(token));
        }
        self
    }

    /// By what names its token may be called; `None` without one, and for a session whose client has not come back with one.
    pub fn token_marks(&self) -> Option<TokenMarks> {
        self.token.as_ref().and_then(|token| token.marks)
    }

    /// For a client without a token: the public topics, and no end.
    pub fn anonymous(public: Arc<PublicTopics>) -> Self {
        Self {
            token: None,
            publish: TopicSet::default(),
            subscribe: Box::default(),
            public,
        }
    }

    /// Of a client that is away: whose it was, and nothing it may. It must show a token again (RFC 9431 §5).
    pub(crate) fn of_absent(holder: Option<Holder>, public: Arc<PublicTopics>) -> Self {
        Self {
            token: holder.map(|holder| Token {
                holder,
                expires_at: UnixTime(0),
                marks: None,
                introspected: None,
            }),
            ..Self::anonymous(public)
        }
    }

    /// Whether a message of `topic` may be delivered: a filter that it may subscribe to matches. Does not look at the time.
    pub fn permits_receive(&self, topic: TopicName<'_>) -> bool {
        let matches = |allowed: &TopicFilter| allowed.matches(topic);
        self.subscribe.iter().any(matches)
            || (self.public.subscribe.iter().any(matches) && !self.public.is_private(topic))
    }

    /// Whether a client with `other` may take over what one with `self` left behind: the same client, or both without a token.
    pub(crate) fn may_be_resumed_by(&self, other: &Self) -> bool {
        match (self.holder(), other.holder()) {
            (Some(holder), Some(other)) => holder.may_be_renewed_by(other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Other topics are public from now on.
    pub fn set_public_topics(&mut self, public: Arc<PublicTopics>) {
        self.public = public;
    }

    /// The token is this reference, and what was said of it is believed until then.
    pub(crate) fn set_reference(&mut self, reference: Reference, until: UnixTime) {
        if let Some(token) = &mut self.token {
            token.introspected = Some(Arc::new(Introspection { reference, until }));
        }
    }

    /// How to ask again what the token says, if it is by reference.
    pub(crate) fn introspection(&self) -> Option<&Arc<Introspection>> {
        self.token.as_ref()?.introspected.as_ref()
    }

    /// Who holds the token; `None` without one.
    pub fn holder(&self) -> Option<&Holder> {
        self.token.as_ref().map(|token| &token.holder)
    }

    /// The first second in which it is not valid any more; `None` without a token, which never ends.
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.token.as_ref().map(|token| token.expires_at)
    }

    /// Whether there is nothing that it allows: no token, and no public topics. Such a client can publish a token and do nothing else.
    pub(crate) fn opens_nothing(&self) -> bool {
        self.token.is_none() && self.public.is_empty()
    }

    /// Whether it is over: at `exp` itself a token is over (RFC 7519 §4.1.4).
    #[inline]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.token
            .as_ref()
            .is_some_and(|token| now >= token.expires_at)
    }

    /// Whether a PUBLISH or a Will to `topic` is allowed, by the token or because the topic is public. Does not look at the time.
    #[inline]
    pub fn permits_publish(&self, topic: TopicName<'_>) -> bool {
        let octets = topic.as_str().as_bytes();
        self.publish.contains(octets)
            || (self.public.publish.contains(octets) && !self.public.is_private(topic))
    }

    /// Whether a subscription to `filter` is allowed: equal to or a subset of one filter of the token or of the public ones. For a Shared
    /// Subscription pass the filter inside. Does not look at the time. A public filter that is wider than a private topic is allowed: what it
    /// gets is [`permits_delivery`](Self::permits_delivery)'s part.
    pub fn permits_subscribe(&self, filter: &TopicFilter) -> bool {
        let covers = |allowed: &TopicFilter| allowed.covers(filter);
        self.subscribe.iter().any(covers)
            || (self.public.subscribe.iter().any(covers)
                && !self.public.private_filters.iter().any(covers))
    }

    /// Whether a message to `topic` may go to this client, one of whose subscriptions matches it: false for a private topic that its token
    /// does not open. Does not look at the time.
    #[inline]
    pub fn permits_delivery(&self, topic: TopicName<'_>) -> bool {
        !self.public.is_private(topic) || self.subscribe.iter().any(|filter| filter.matches(topic))
    }

    /// What is said of a topic that the client has no right to, where it publishes (RFC 9431 §3.1) and where it subscribes (§3.3).
    pub fn refusal(&self) -> ReasonCode {
        if self.public.hide {
            ReasonCode::UnspecifiedError
        } else {
            ReasonCode::NotAuthorized
        }
    }
}

impl TokenMarks {
    /// Of a token, as the client brought it.
    pub fn of(token: &[u8]) -> Self {
        Self(TokenHash::seen_by_rs(token))
    }

    /// The names; the first is the hash of the token's own bytes.
    pub fn names(self) -> [TokenHash; 2] {
        self.0
    }

    /// Whether the token is one of those.
    pub fn are_among(self, revoked: &HashSet<TokenHash>) -> bool {
        self.0.iter().any(|hash| revoked.contains(hash))
    }
}

impl Holder {
    /// What stays the same over all tokens of one client: where it has a name, the key does not count.
    #[must_use]
    pub fn identity(&self) -> Self {
        let mut identity = self.clone();
        if identity.name.is_some() {
            identity.key_thumbprint = [0; 32];
        }
        identity
    }

    /// Whether a token of `other` may renew one of `self` on a live connection: the same issuer, and the same name; where no name is given,
    /// the same key. RFC 9431 §4 leaves it open.
    pub fn may_be_renewed_by(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl PublicTopics {
    /// From the operator's lists; `hide` as in [`Config::hide_topics`](crate::Config::hide_topics).
    pub fn compile(public: &[TopicFilter], private: &[TopicFilter], hide: bool) -> Self {
        Self {
            publish: TopicSet::compile(public),
            subscribe: public.into(),
            private: TopicSet::compile(private),
            private_filters: private.into(),
            hide,
        }
    }

    #[inline]
    fn is_private(&self, topic: TopicName<'_>) -> bool {
        !self.private_filters.is_empty() && self.private.contains(topic.as_str().as_bytes())
    }

    /// Whether these are the operator's lists already.
    pub fn is_of(&self, public: &[TopicFilter], private: &[TopicFilter], hide: bool) -> bool {
        *self.subscribe == *public && *self.private_filters == *private && self.hide == hide
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.subscribe.is_empty()
    }
}

#[cfg(test)]
mod tests;
