//! Requested scope ∩ what the rules let this client do at this audience.
//!
//! | module | holds |
//! |---|---|
//! | [`name`] | names that may become a topic level |
//! | [`template`] | `${client_id}` and `${group}` in a Topic Filter |
//! | [`rule`] | rules: allow or deny, for whom, from when until when |
//! | [`difference`] | a Topic Filter without another |
//! | [`explanation`] | which rule decides |
//! | [`ownership`] | within which trees an owner grants |
//! | [`plan`] | many changes at once, and who loses what |
//!
//! **Deny wins.** A client may publish to a topic if a rule allows it and none denies it, and so for subscribing. A scope has no way to say
//! "but not", so what is granted is cut to filters that no deny in force overlaps: where a deny covers a filter it goes; where what is left
//! is a filter again ([`difference`]) that is granted; else the whole filter is withheld, and the client has to ask for what it needs of
//! it. A single topic is always granted if and only if the rules allow it.
//!
//! **Time.** A token lives no longer than the shortest of the server's own limit, the limits and ends of all rules that its scope comes
//! from, and the beginning of a deny that will overlap it.

pub(crate) mod difference;
pub(crate) mod explanation;
pub(crate) mod name;
pub(crate) mod ownership;
pub(crate) mod plan;
pub(crate) mod rule;
pub(crate) mod template;

use crate::store::ResourceServer;
use difference::{Rest, overlap, without};
use rule::{Effect, Phase, Rule};
use std::collections::{HashMap, hash_map::Entry};
use symbolon_ace_proto::{ErrorCode, ErrorResponse, Permission, Scope, ScopeEntry, UnixTime};
use symbolon_mqtt_proto::TopicFilter;

pub(crate) use name::ClientId;

/// The most rules, of a client and of its groups together, that a token is made from.
pub(crate) const MAX_RULES: usize = 4 * Scope::MAX_ENTRIES;
/// The most filters while a scope is made, before those that others cover go.
const MAX_CANDIDATES: usize = 4 * Scope::MAX_ENTRIES;

const PERMISSIONS: [Permission; 2] = [Permission::Publish, Permission::Subscribe];

/// What a client is granted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Permitted {
    /// Never empty.
    pub(crate) scope: Scope,
    /// The shortest of the server's own and of what the rules that the scope comes from leave.
    pub(crate) token_lifetime_secs: u64,
}

/// Why nothing is granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("audience is missing: there is not exactly one resource server")]
    AudienceMissing,
    #[error("audience names no resource server")]
    UnknownAudience,
    #[error("audience names resource servers that want different tokens")]
    MixedGroup,
    #[error("the client may do nothing of the requested scope at this audience")]
    NothingGranted,
    #[error("a part of each filter is denied, and no Topic Filter is left of it: ask for less")]
    Withheld,
    #[error("the granted scope is too large for a token: ask for less")]
    TooLarge,
}

impl PolicyError {
    /// What the client is told. RFC 8707 has `invalid_target` for an audience; neither RFC 6749 nor RFC 9200 knows it.
    pub(crate) fn response(self) -> ErrorResponse {
        let code = match self {
            Self::AudienceMissing | Self::UnknownAudience | Self::MixedGroup => {
                ErrorCode::InvalidRequest
            }
            Self::NothingGranted | Self::Withheld | Self::TooLarge => ErrorCode::InvalidScope,
        };
        ErrorResponse::new(code, &self.to_string())
    }
}

/// Whom a token is for.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// The audience, as it is asked for by.
    pub(crate) audience: String,
    /// The resource server; of a group, one of them, and what is said of the kind of its tokens is true of all.
    pub(crate) server: ResourceServer,
    /// The others of the group.
    pub(crate) others: Vec<ResourceServer>,
}

impl Destination {
    /// Whether it stands for several resource servers, or would (RFC 9200 §6.9).
    pub(crate) fn is_group(&self) -> bool {
        self.audience != self.server.audience
    }

    /// The audience of each resource server.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        let servers = std::iter::once(&self.server).chain(&self.others);
        servers.map(|server| server.audience.as_str())
    }

    /// `aud`.
    pub(crate) fn claim(&self) -> Vec<String> {
        let group = self.is_group().then(|| self.audience.clone());
        let members = self.members().map(str::to_owned);
        group.into_iter().chain(members).collect()
    }
}

/// Whom a token is for. `servers` holds those that `audience` names, or some of all, at least two where there are more than one.
pub(crate) fn choose_destination(
    audience: Option<&str>,
    servers: Vec<ResourceServer>,
) -> Result<Destination, PolicyError> {
    let mut servers = servers.into_iter();
    let (first, others) = (servers.next(), servers.collect::<Vec<_>>());
    match (audience, first) {
        (Some(_), None) => Err(PolicyError::UnknownAudience),
        (None, None) => Err(PolicyError::AudienceMissing),
        (None, Some(_)) if !others.is_empty() => Err(PolicyError::AudienceMissing),
        (Some(_), Some(server)) if others.iter().any(|one| one.tokens != server.tokens) => {
            Err(PolicyError::MixedGroup)
        }
        (audience, Some(server)) => Ok(Destination {
            audience: audience.unwrap_or(&server.audience).to_owned(),
            server,
            others,
        }),
    }
}

/// All that a client may be granted now, each filter once. Empty where it is nothing, or too much for a scope.
pub(crate) fn whole_scope(rules: &[Rule], now: UnixTime) -> Scope {
    granted(None, rules, now).unwrap_or_default()
}

/// What of `requested` the rules let be granted now; all that they do where nothing was requested.
pub(crate) fn permit(
    requested: Option<&Scope>,
    rules: &[Rule],
    server_lifetime_secs: u64,
    now: UnixTime,
) -> Result<Permitted, PolicyError> {
    let scope = granted(requested, rules, now)?;
    let lives = rules.iter().filter_map(|rule| life_of(rule, &scope, now));
    Ok(Permitted {
        token_lifetime_secs: lives.fold(server_lifetime_secs, u64::min),
        scope,
    })
}

/// Whether a token with this scope says more than the rules let be granted now.
pub(crate) fn exceeds(scope: &Scope, rules: &[Rule], now: UnixTime) -> bool {
    match granted(Some(scope), rules, now) {
        Ok(left) => !plan::lost(scope, &left).is_empty(),
        // Nothing of it, or more than can be said.
        Err(_) => !scope.is_empty(),
    }
}

/// The deny that leaves no Topic Filter of what a rule allows: what an administrator is warned of.
pub(crate) fn cut_by<'r>(allowing: &Rule, rules: &'r [Rule], now: UnixTime) -> Option<&'r Rule> {
    rules.iter().find(|rule| {
        let shared = PERMISSIONS
            .iter()
            .any(|permission| rule.is_about(*permission) && allowing.is_about(*permission));
        let denies = rule.holds(Effect::Deny, now) && shared;
        denies && without(&allowing.filter, &rule.filter) == Rest::NoFilter
    })
}

fn granted(requested: Option<&Scope>, rules: &[Rule], now: UnixTime) -> Result<Scope, PolicyError> {
    if rules.len() > MAX_RULES {
        return Err(PolicyError::TooLarge);
    }
    let mut left = Gathered::default();
    let mut withheld = false;
    for candidate in allowed(requested, rules, now).entries {
        for permission in PERMISSIONS.into_iter().filter(|p| has(&candidate, *p)) {
            match undenied(&candidate.filter, permission, rules, now)? {
                Some(filters) => filters
                    .iter()
                    .for_each(|filter| left.add(filter, permission)),
                None => withheld = true,
            }
        }
        if left.entries.len() > MAX_CANDIDATES {
            return Err(PolicyError::TooLarge);
        }
    }
    let scope = left.into_scope();
    match scope.entries().len() {
        0 if withheld => Err(PolicyError::Withheld),
        0 => Err(PolicyError::NothingGranted),
        1..=Scope::MAX_ENTRIES => Ok(scope),
        _ => Err(PolicyError::TooLarge),
    }
}

/// What is asked for and allowed, denied or not: filters of the request that a rule covers, and filters of rules that the request covers. Of
/// two that only overlap nothing is taken: the result would be a filter that neither side wrote.
fn allowed(requested: Option<&Scope>, rules: &[Rule], now: UnixTime) -> Gathered {
    let mut candidates = Gathered::default();
    let allowing = || rules.iter().filter(|rule| rule.holds(Effect::Allow, now));
    let Some(requested) = requested else {
        for rule in allowing() {
            for permission in PERMISSIONS.into_iter().filter(|p| rule.is_about(*p)) {
                candidates.add(&rule.filter, permission);
            }
        }
        return candidates;
    };
    for asked in requested.entries() {
        for rule in allowing() {
            let filter = if rule.filter.covers(&asked.filter) {
                &asked.filter
            } else if asked.filter.covers(&rule.filter) {
                &rule.filter
            } else {
                continue;
            };
            for permission in PERMISSIONS {
                if has(asked, permission) && rule.is_about(permission) {
                    candidates.add(filter, permission);
                }
            }
        }
    }
    candidates
}

/// The filter without all that is denied of it; `None` where that is no filter.
fn undenied(
    filter: &TopicFilter,
    permission: Permission,
    rules: &[Rule],
    now: UnixTime,
) -> Result<Option<Vec<TopicFilter>>, PolicyError> {
    let mut left = vec![filter.clone()];
    let denying = rules
        .iter()
        .filter(|rule| rule.is_about(permission) && rule.holds(Effect::Deny, now));
    let mut cut = false;
    for rule in denying {
        let mut next = Vec::with_capacity(left.len());
        for part in left {
            match without(&part, &rule.filter) {
                Rest::Whole => next.push(part),
                Rest::Filters(filters) => next.extend(filters),
                Rest::NoFilter => cut = true,
            }
        }
        if next.len() > MAX_CANDIDATES {
            return Err(PolicyError::TooLarge);
        }
        left = next;
    }
    Ok((!cut || !left.is_empty()).then_some(left))
}

/// How long a token with this scope may live as far as this rule is concerned, seconds.
fn life_of(rule: &Rule, scope: &Scope, now: UnixTime) -> Option<u64> {
    let concerns = |test: &dyn Fn(&TopicFilter) -> bool| {
        scope.entries().iter().any(|entry| {
            let shared = PERMISSIONS
                .iter()
                .any(|permission| has(entry, *permission) && rule.is_about(*permission));
            shared && test(&entry.filter)
        })
    };
    match (rule.effect, rule.validity.phase(now)) {
        (Effect::Allow, Phase::InForce) if concerns(&|filter| rule.filter.covers(filter)) => {
            let left = rule.validity.until.map(|until| now.secs_until(until));
            left.into_iter().chain(rule.token_lifetime_secs).min()
        }
        (Effect::Deny, Phase::NotYet) if concerns(&|filter| overlap(&rule.filter, filter)) => {
            rule.validity.from.map(|from| now.secs_until(from))
        }
        (Effect::Allow | Effect::Deny, _) => None,
    }
}

fn has(entry: &ScopeEntry, permission: Permission) -> bool {
    match permission {
        Permission::Publish => entry.publish,
        Permission::Subscribe => entry.subscribe,
    }
}

/// Scope entries in the order they came, those of one filter made one.
#[derive(Default)]
struct Gathered {
    entries: Vec<ScopeEntry>,
    position: HashMap<TopicFilter, usize>,
}

impl Gathered {
    fn add(&mut self, filter: &TopicFilter, permission: Permission) {
        let at = match self.position.entry(filter.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(self.entries.len());
                self.entries.push(ScopeEntry {
                    filter: filter.clone(),
                    publish: false,
                    subscribe: false,
                });
                self.entries.len() - 1
            }
            Entry::Occupied(occupied) => *occupied.get(),
        };
        match permission {
            Permission::Publish => self.entries[at].publish = true,
            Permission::Subscribe => self.entries[at].subscribe = true,
        }
    }

    /// Without entries that another says already.
    fn into_scope(self) -> Scope {
        let mut kept: Vec<ScopeEntry> = Vec::new();
        for entry in self.entries {
            // Against those kept only: `#` and `+/#` cover each other, and one of them has to stay.
            if !kept.iter().any(|other| says_all_of(other, &entry)) {
                kept.retain(|other| !says_all_of(&entry, other));
                kept.push(entry);
            }
        }
        Scope::from_entries(kept)
    }
}

fn says_all_of(one: &ScopeEntry, other: &ScopeEntry) -> bool {
    one.publish >= other.publish
        && one.subscribe >= other.subscribe
        && one.filter.covers(&other.filter)
}

#[cfg(test)]
mod tests {
    use super::{
        difference::tests::{any_filter, topics},
        explanation::judge,
        rule::Validity,
        *,
    };
    use proptest::prelude::*;
    use symbolon_ace_proto::{SymmetricKey, jwe::ContentKey};
    use symbolon_mqtt_proto::TopicName;

    const HOUR: u64 = 3600;
    const NOW: UnixTime = UnixTime(100);

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text).unwrap()
    }

    fn entry(text: &str, publish: bool, subscribe: bool) -> ScopeEntry {
        ScopeEntry {
            filter: filter(text),
            publish,
            subscribe,
        }
    }

    /// For both permissions, for ever.
    pub(crate) fn rule(id: i64, effect: Effect, text: &str) -> Rule {
        Rule {
            id,
            effect,
            filter: filter(text),
            publish: true,
            subscribe: true,
            validity: Validity::default(),
            token_lifetime_secs: None,
        }
    }

    fn allowed(text: &str, permissions: (bool, bool), lifetime: Option<u64>) -> Rule {
        Rule {
            publish: permissions.0,
            subscribe: permissions.1,
            token_lifetime_secs: lifetime,
            ..rule(0, Effect::Allow, text)
        }
    }

    fn deny(text: &str) -> Rule {
        rule(0, Effect::Deny, text)
    }

    fn permit(
        requested: Option<&Scope>,
        rules: &[Rule],
        life: u64,
    ) -> Result<Permitted, PolicyError> {
        super::permit(requested, rules, life, NOW)
    }

    /// The filters granted, if only these are asked for, or all.
    fn filters(rules: &[Rule], asked: Option<&[&str]>) -> Result<Vec<String>, PolicyError> {
        let asked = asked.map(|asked| {
            let entries = asked.iter().map(|text| entry(text, true, true));
            Scope::from_entries(entries.collect())
        });
        let permitted = permit(asked.as_ref(), rules, HOUR)?;
        let entries = permitted.scope.entries().iter();
        Ok(entries
            .map(|entry| entry.filter.as_str().to_owned())
            .collect())
    }

    fn server(audience: &str) -> ResourceServer {
        let content_key = ContentKey {
            kid: "k".to_owned(),
            key: SymmetricKey::from_bytes(&[0; 32]),
        };
        ResourceServer::new(audience, content_key)
    }

    #[test]
    fn without_an_audience_there_must_be_exactly_one_resource_server() {
        assert_eq!(
            choose_destination(None, vec![server("a")])
                .unwrap()
                .audience,
            "a"
        );
        for servers in [vec![], vec![server("a"), server("b")]] {
            let refusal = choose_destination(None, servers).unwrap_err();
            assert_eq!(refusal, PolicyError::AudienceMissing);
        }
        let refusal = choose_destination(Some("c"), vec![]).unwrap_err();
        assert_eq!(refusal, PolicyError::UnknownAudience);
        assert_eq!(refusal.response().code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn without_a_requested_scope_all_is_granted_each_filter_once() {
        let policies = [
            allowed("a/#", (true, false), None),
            allowed("b", (false, true), None),
            allowed("a/#", (false, true), None),
        ];
        let permitted = permit(None, &policies, HOUR).unwrap();
        let expected = [entry("a/#", true, true), entry("b", false, true)];
        assert_eq!(permitted.scope.entries(), expected);
        assert_eq!(permitted.token_lifetime_secs, HOUR);
        assert_eq!(whole_scope(&policies, NOW), permitted.scope);
    }

    #[test]
    fn only_policies_that_give_something_shorten_the_token() {
        let policies = [
            allowed("a/#", (true, false), Some(60)),
            allowed("a/#", (false, true), Some(600)),
            allowed("b", (true, true), Some(5)),
        ];
        let asked = Scope::from_entries(vec![entry("a/x", false, true)]);
        let permitted = permit(Some(&asked), &policies, HOUR).unwrap();
        assert_eq!(permitted.scope, asked);
        assert_eq!(permitted.token_lifetime_secs, 600);
        assert_eq!(
            permit(None, &policies, HOUR).unwrap().token_lifetime_secs,
            5
        );
        assert_eq!(permit(None, &policies, 3).unwrap().token_lifetime_secs, 3);
    }

    // RFC 6749 §3.3: the granted scope may be narrower than the requested one, and the client is told.
    #[test]
    fn a_wider_request_is_narrowed_to_the_policies() {
        let policies = [
            allowed("a/b", (true, false), None),
            allowed("a/c/#", (true, true), None),
        ];
        let asked = Scope::from_entries(vec![entry("a/#", true, true)]);
        let permitted = permit(Some(&asked), &policies, HOUR).unwrap();
        let expected = [entry("a/b", true, false), entry("a/c/#", true, true)];
        assert_eq!(permitted.scope.entries(), expected);
    }

    // RFC 6749 §5.2
    #[test]
    fn nothing_left_of_a_request_is_an_invalid_scope() {
        let policies = [allowed("a", (true, false), None)];
        let asked = Scope::from_entries(vec![entry("a", false, true), entry("b", true, true)]);
        for (asked, policies) in [
            (Some(&asked), &policies[..]),
            (Some(&Scope::default()), &policies[..]),
            (None, &[]),
        ] {
            let refusal = permit(asked, policies, HOUR).unwrap_err();
            assert_eq!(refusal, PolicyError::NothingGranted);
            assert_eq!(refusal.response().code, ErrorCode::InvalidScope);
        }
    }

    #[test]
    fn a_scope_past_the_limit_is_refused() {
        let policies: Vec<Rule> = (0..=Scope::MAX_ENTRIES)
            .map(|number| allowed(&format!("a/{number}"), (true, true), None))
            .collect();
        assert_eq!(permit(None, &policies, HOUR), Err(PolicyError::TooLarge));
        assert!(permit(None, &policies[1..], HOUR).is_ok());
    }

    #[test]
    fn a_deny_takes_what_it_covers_and_leaves_what_is_a_filter() {
        let rules = [
            rule(1, Effect::Allow, "a/#"),
            rule(2, Effect::Allow, "b"),
            deny("a"),
        ];
        assert_eq!(filters(&rules, None).unwrap(), ["a/+/#", "b"]);
        assert_eq!(
            filters(&[rules[0].clone(), deny("#")], None),
            Err(PolicyError::NothingGranted)
        );
        assert_eq!(
            filters(&[rules[0].clone(), deny("c/#")], None).unwrap(),
            ["a/#"]
        );
    }

    #[test]
    fn a_filter_of_which_a_deny_leaves_no_filter_is_withheld_but_not_its_parts() {
        let rules = [
            rule(1, Effect::Allow, "a/#"),
            rule(2, Effect::Allow, "a/open/#"),
            deny("a/secret/#"),
        ];
        // The narrower rule is not lost with the wider one.
        assert_eq!(filters(&rules, None).unwrap(), ["a/open/#"]);
        assert_eq!(filters(&rules[1..], Some(&["a/#"])).unwrap(), ["a/open/#"]);
        assert_eq!(
            filters(&rules, Some(&["a/x/#", "a/secret/y"])).unwrap(),
            ["a/x/#"]
        );
        let wide = [rules[0].clone(), rules[2].clone()];
        assert_eq!(filters(&wide, None), Err(PolicyError::Withheld));
        assert_eq!(
            PolicyError::Withheld.response().code,
            ErrorCode::InvalidScope
        );
        assert_eq!(cut_by(&wide[0], &wide, NOW), Some(&wide[1]));
        let narrower = rule(3, Effect::Allow, "a/x/#");
        assert_eq!(cut_by(&narrower, &wide, NOW), None);
    }

    #[test]
    fn a_deny_of_publishing_leaves_subscribing() {
        let mut publishing = deny("a/+");
        publishing.subscribe = false;
        let rules = [rule(1, Effect::Allow, "a/b"), publishing];
        let permitted = permit(None, &rules, HOUR).unwrap();
        assert_eq!(permitted.scope.entries(), [entry("a/b", false, true)]);
    }

    #[test]
    fn a_token_ends_before_its_rule_does_and_before_a_deny_begins() {
        let mut ends = rule(1, Effect::Allow, "a/#");
        ends.validity.until = Some(UnixTime(160));
        assert_eq!(
            permit(None, &[ends.clone()], HOUR)
                .unwrap()
                .token_lifetime_secs,
            60
        );
        let mut begins = deny("a/b");
        begins.validity.from = Some(UnixTime(130));
        let rules = [ends, begins];
        assert_eq!(permit(None, &rules, HOUR).unwrap().token_lifetime_secs, 30);
        let elsewhere = Scope::from_entries(vec![entry("a/c", true, true)]);
        let permitted = permit(Some(&elsewhere), &rules, HOUR).unwrap();
        assert_eq!(permitted.token_lifetime_secs, 60);
        for now in [UnixTime(160), UnixTime(1000)] {
            let refused = super::permit(None, &rules, HOUR, now);
            assert_eq!(refused, Err(PolicyError::NothingGranted));
        }
    }

    #[test]
    fn a_rule_that_does_not_hold_yet_gives_nothing() {
        let mut later = rule(1, Effect::Allow, "a");
        later.validity.from = Some(UnixTime(101));
        assert_eq!(
            filters(&[later.clone()], None),
            Err(PolicyError::NothingGranted)
        );
        let permitted = super::permit(None, &[later], HOUR, UnixTime(101)).unwrap();
        assert_eq!(permitted.token_lifetime_secs, HOUR);
    }

    #[test]
    fn no_more_rules_are_worked_through_than_the_bound() {
        let rules = vec![rule(1, Effect::Allow, "a"); MAX_RULES + 1];
        assert_eq!(filters(&rules, None), Err(PolicyError::TooLarge));
        assert!(filters(&rules[1..], None).is_ok());
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let effect = prop_oneof![2 => Just(Effect::Allow), 1 => Just(Effect::Deny)];
        let permissions = prop_oneof![Just((true, false)), Just((false, true)), Just((true, true))];
        let moment = || proptest::option::weighted(0.3, (95_u64..106).prop_map(UnixTime));
        (effect, any_filter(), permissions, moment(), moment()).prop_map(
            |(effect, filter, (publish, subscribe), from, until)| Rule {
                id: 0,
                effect,
                filter,
                publish,
                subscribe,
                validity: Validity { from, until },
                token_lifetime_secs: None,
            },
        )
    }

    fn any_scope() -> impl Strategy<Value = Option<Scope>> {
        let entry = (any_filter(), any::<bool>()).prop_map(|(filter, publish)| ScopeEntry {
            filter,
            publish,
            subscribe: !publish,
        });
        let entries = prop::collection::vec(entry, 1..4);
        proptest::option::of(entries.prop_map(Scope::from_entries))
    }

    /// The whole policy in a line: some rule allows the topic, and none denies it.
    fn model(rules: &[Rule], permission: Permission, topic: TopicName<'_>, now: UnixTime) -> bool {
        let says = |effect| {
            rules.iter().any(|rule| {
                rule.holds(effect, now) && rule.is_about(permission) && rule.filter.matches(topic)
            })
        };
        says(Effect::Allow) && !says(Effect::Deny)
    }

    fn says(scope: &Scope, permission: Permission, topic: TopicName<'_>) -> bool {
        let mut entries = scope.entries().iter();
        entries.any(|entry| has(entry, permission) && entry.filter.matches(topic))
    }

    proptest! {
        #[test]
        fn a_token_never_says_more_than_the_rules_and_the_request_as_long_as_it_lives(
            rules in prop::collection::vec(any_rule(), 0..6), requested in any_scope()
        ) {
            let Ok(permitted) = permit(requested.as_ref(), &rules, 10) else {
                return Ok(());
            };
            prop_assert!(permitted.token_lifetime_secs > 0);
            for text in topics() {
                let topic = TopicName::parse(&text).unwrap();
                for permission in PERMISSIONS {
                    if !says(&permitted.scope, permission, topic) {
                        continue;
                    }
                    let asked = requested.as_ref();
                    prop_assert!(asked.is_none_or(|scope| says(scope, permission, topic)));
                    for second in 0..permitted.token_lifetime_secs {
                        let now = NOW.plus_secs(second);
                        prop_assert!(model(&rules, permission, topic, now), "{} at {:?}", text, now);
                    }
                }
            }
        }

        #[test]
        fn a_single_topic_is_granted_if_and_only_if_the_rules_allow_it(
            rules in prop::collection::vec(any_rule(), 0..6), index in any::<prop::sample::Index>()
        ) {
            let topics = topics();
            let text = &topics[index.index(topics.len())];
            let topic = TopicName::parse(text).unwrap();
            for permission in PERMISSIONS {
                let publish = permission == Permission::Publish;
                let asked = Scope::from_entries(vec![entry(text, publish, !publish)]);
                let expected = model(&rules, permission, topic, NOW);
                prop_assert_eq!(permit(Some(&asked), &rules, 10).is_ok(), expected);
                let (verdict, _) = judge(&rules, permission, &filter(text), NOW);
                prop_assert_eq!(verdict.is_allowed(), expected);
            }
        }

        #[test]
        fn without_denies_nothing_that_is_allowed_is_left_out(
            rules in prop::collection::vec(any_rule(), 0..6)
        ) {
            let mut rules = rules;
            rules.retain(|rule| rule.effect == Effect::Allow);
            let scope = whole_scope(&rules, NOW);
            for text in topics() {
                let topic = TopicName::parse(&text).unwrap();
                for permission in PERMISSIONS {
                    let expected = model(&rules, permission, topic, NOW);
                    prop_assert_eq!(says(&scope, permission, topic), expected, "{}", text);
                }
            }
        }
    }
}
