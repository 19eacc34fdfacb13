//! Topic → who gets it: subscribers of this shard, and other shards that are interested. Remembered for one epoch of subscriptions.

use super::{
    groups::GroupKey, hash_seed::HashSeed, session::SessionKey, shrinking::shrink_map,
    subscriptions::Subscriptions,
};
use std::{collections::HashMap, rc::Rc};
use symbolon_mqtt_proto::{Qos, TopicFilter, TopicName};

/// A shard's place among the shards.
pub(crate) type ShardIndex = u16;

/// Who holds a subscription: a client of this shard, another shard for clients of its own, or a group of clients on any shards.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Target {
    Session(SessionKey),
    Shard(ShardIndex),
    Group(GroupKey),
}

/// The options of a subscription (MQTT 5.0 §3.8.3.1); of a shard's interest only `durable` means something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SubscriptionOptions {
    pub(crate) maximum_qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) subscription_identifier: Option<u32>,
    /// What it brings must outlive the process.
    pub(crate) durable: bool,
}

impl SubscriptionOptions {
    /// What stands beside another shard's interest.
    pub(crate) fn interest(durable: bool) -> Self {
        Self {
            maximum_qos: Qos::ExactlyOnce,
            no_local: false,
            retain_as_published: true,
            subscription_identifier: None,
            durable,
        }
    }
}

/// Where messages of one topic go.
#[derive(Debug)]
pub(crate) struct Route {
    epoch: u64,
    pub(crate) locals: Vec<LocalSubscriber>,
    pub(crate) shards: Vec<InterestedShard>,
    /// One member of each gets it (MQTT 5.0 §4.8.2).
    pub(crate) groups: Vec<GroupKey>,
}

/// Another shard whose clients want the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InterestedShard {
    pub(crate) index: ShardIndex,
    /// Among them are some for whom it must be written before it is acknowledged.
    pub(crate) durable: bool,
}

/// A client of this shard and how it wants the message. Overlapping subscriptions are one delivery (MQTT 5.0 §3.3.4): at the highest
/// QoS among them, with all their Subscription Identifiers.
#[derive(Clone, Debug)]
pub(crate) struct LocalSubscriber {
    pub(crate) session: SessionKey,
    pub(crate) maximum_qos: Qos,
    /// All of its matching subscriptions say No Local.
    pub(crate) no_local: bool,
    /// One of them says Retain As Published.
    pub(crate) retain_as_published: bool,
    pub(crate) subscription_identifiers: Rc<[u32]>,
}

/// The most topics remembered. At the bound no more are, until a second is over and all are forgotten: where more topics than this come in turn,
/// those remembered go on to be found, and the others do not push them out before they come again.
const REMEMBERED_ROUTES: usize = 65_536;

/// Subscriptions and the routes that follow from them.
#[derive(Debug)]
pub(crate) struct Router {
    subscriptions: Subscriptions<Target, SubscriptionOptions>,
    routes: HashMap<Box<str>, Rc<Route>, ahash::RandomState>,
    epoch: u64,
    /// No route is older than this.
    oldest: u64,
    /// A topic was not remembered because there was no room.
    is_full: bool,
    matches: Vec<(Target, SubscriptionOptions)>,
}

impl Router {
    /// The hash is keyed: topics are chosen by strangers, who must not be able to make them collide.
    pub(crate) fn new(seed: &HashSeed) -> Self {
        Self {
            subscriptions: Subscriptions::new(seed.clone()),
            routes: HashMap::with_hasher(seed.state()),
            epoch: 0,
            oldest: 0,
            is_full: false,
            matches: Vec::new(),
        }
    }

    /// Adds or replaces; whether it is new.
    pub(crate) fn subscribe(
        &mut self,
        filter: &TopicFilter,
        target: Target,
        options: SubscriptionOptions,
    ) -> bool {
        self.epoch += 1;
        self.subscriptions.insert(filter, target, options).is_none()
    }

    /// Removes; whether there was one.
    pub(crate) fn unsubscribe(&mut self, filter: &TopicFilter, target: Target) -> bool {
        self.epoch += 1;
        self.subscriptions.remove(filter, target).is_some()
    }

    /// The filters of a target. Looks at all filters there are.
    pub(crate) fn filters_of(&self, target: Target) -> Vec<TopicFilter> {
        let mut filters = Vec::new();
        (self.subscriptions).for_each_filter_of(target, |text| {
            filters.extend(TopicFilter::parse(text));
        });
        filters
    }

    /// Whether `route` still says the truth.
    pub(crate) fn is_current(&self, route: &Route) -> bool {
        route.epoch == self.epoch
    }

    /// Where messages of `topic` go.
    pub(crate) fn route(&mut self, topic: TopicName<'_>) -> Rc<Route> {
        if let Some(route) = self.routes.get(topic.as_str())
            && route.epoch == self.epoch
        {
            return Rc::clone(route);
        }
        let route = Rc::new(self.find(topic));
        if let Some(older) = self.routes.get_mut(topic.as_str()) {
            *older = Rc::clone(&route);
        } else if self.routes.len() < REMEMBERED_ROUTES {
            self.routes.insert(topic.as_str().into(), Rc::clone(&route));
        } else {
            self.is_full = true;
        }
        route
    }

    /// Forgets the routes that are not true any more, and gives back what only they needed; all of them where there was no room for others.
    pub(crate) fn shrink(&mut self) {
        if std::mem::take(&mut self.is_full) {
            self.routes.clear();
        }
        if self.oldest == self.epoch {
            return;
        }
        self.oldest = self.epoch;
        self.routes.retain(|_, route| route.epoch == self.epoch);
        shrink_map(&mut self.routes);
    }

    fn find(&mut self, topic: TopicName<'_>) -> Route {
        let matches = &mut self.matches;
        matches.clear();
        self.subscriptions
            .for_each_match(topic, |target, options| matches.push((target, *options)));
        // One target's subscriptions beside one another, so that they can be merged.
        matches
            .sort_unstable_by_key(|(target, options)| (*target, options.subscription_identifier));
        let mut route = Route {
            epoch: self.epoch,
            locals: Vec::new(),
            shards: Vec::new(),
            groups: Vec::new(),
        };
        for group in matches.chunk_by(|(one, _), (other, _)| one == other) {
            match group[0].0 {
                Target::Session(session) => {
                    route.locals.push(LocalSubscriber::merge(session, group));
                }
                Target::Shard(index) => route.shards.push(InterestedShard {
                    index,
                    durable: group.iter().any(|(_, options)| options.durable),
                }),
                Target::Group(key) => route.groups.push(key),
            }
        }
        route
    }
}

impl LocalSubscriber {
    pub(crate) fn merge(session: SessionKey, group: &[(Target, SubscriptionOptions)]) -> Self {
        let options = || group.iter().map(|(_, options)| options);
        Self {
            session,
            maximum_qos: options()
                .map(|options| options.maximum_qos)
                .max()
                .unwrap_or(Qos::AtMostOnce),
            no_local: options().all(|options| options.no_local),
            retain_as_published: options().any(|options| options.retain_as_published),
            subscription_identifiers: options()
                .filter_map(|options| options.subscription_identifier)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        Router::new(&HashSeed::from_words([1, 2, 3, 4]))
    }

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text).unwrap()
    }

    fn options(maximum_qos: Qos, subscription_identifier: Option<u32>) -> SubscriptionOptions {
        SubscriptionOptions {
            maximum_qos,
            no_local: false,
            retain_as_published: false,
            subscription_identifier,
            durable: false,
        }
    }

    // MQTT 5.0 §3.3.4: one copy, the highest QoS, all Subscription Identifiers.
    #[test]
    fn overlapping_subscriptions_of_one_client_become_one_delivery() {
        let mut router = router();
        router.subscribe(
            &filter("a/#"),
            Target::Session(7),
            options(Qos::AtMostOnce, Some(3)),
        );
        router.subscribe(
            &filter("a/+"),
            Target::Session(7),
            options(Qos::AtLeastOnce, Some(2)),
        );
        router.subscribe(
            &filter("a/b"),
            Target::Session(8),
            options(Qos::ExactlyOnce, None),
        );
        let route = router.route(TopicName::parse("a/b").unwrap());
        assert_eq!(route.locals.len(), 2);
        assert_eq!(
            (route.locals[0].session, route.locals[0].maximum_qos),
            (7, Qos::AtLeastOnce)
        );
        assert_eq!(*route.locals[0].subscription_identifiers, [2, 3]);
        assert_eq!(
            (route.locals[1].session, route.locals[1].maximum_qos),
            (8, Qos::ExactlyOnce)
        );
    }

    #[test]
    fn a_remembered_route_is_found_anew_after_a_change() {
        let mut router = router();
        let topic = TopicName::parse("a").unwrap();
        let before = router.route(topic);
        assert!(before.locals.is_empty() && router.is_current(&before));
        router.subscribe(
            &filter("a"),
            Target::Shard(1),
            SubscriptionOptions::interest(true),
        );
        assert!(!router.is_current(&before));
        let interested = InterestedShard {
            index: 1,
            durable: true,
        };
        assert_eq!(router.route(topic).shards, [interested]);
        router.unsubscribe(&filter("a"), Target::Shard(1));
        assert!(router.route(topic).shards.is_empty());
    }

    #[test]
    fn routes_that_are_not_true_any_more_are_forgotten() {
        let mut router = router();
        for number in 0..1_000 {
            router.route(TopicName::parse(&number.to_string()).unwrap());
        }
        router.shrink();
        assert_eq!(router.routes.len(), 1_000);
        let interest = SubscriptionOptions::interest(false);
        router.subscribe(&filter("a"), Target::Shard(1), interest);
        router.route(TopicName::parse("a").unwrap());
        router.shrink();
        assert_eq!(router.routes.len(), 1);
        assert!(router.routes.capacity() < 100);
    }

    #[test]
    fn remembered_routes_are_bounded_and_make_room_when_a_second_is_over() {
        let mut router = router();
        for number in 0..=REMEMBERED_ROUTES {
            router.route(TopicName::parse(&number.to_string()).unwrap());
        }
        let last = REMEMBERED_ROUTES.to_string();
        assert_eq!(router.routes.len(), REMEMBERED_ROUTES);
        assert!(router.routes.contains_key("0") && !router.routes.contains_key(last.as_str()));
        router.shrink();
        router.route(TopicName::parse(&last).unwrap());
        assert_eq!(router.routes.len(), 1);
        router.shrink();
        assert_eq!(router.routes.len(), 1);
    }
}
