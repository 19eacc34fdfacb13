//! Rules: who may, or must not, do what on which filters, and when.

use super::{
    name::{ClientId, ClientIdError},
    template::{self, FilterError, Names},
};
use symbolon_ace_proto::{Permission, UnixTime};
use symbolon_mqtt_proto::TopicFilter;

/// A rule as it is stored: a client or a group may, or must not, do this on these filters at this audience.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Given by the store; 0 in a new one.
    pub id: i64,
    /// Whom it is about.
    pub subject: Subject,
    /// Whether it gives or takes.
    pub effect: Effect,
    /// At which resource server; it must be registered.
    pub audience: String,
    /// A Topic Filter template: `${client_id}` stands for the client's identifier, in a group's rule `${group}` for the group's name.
    pub filter: String,
    /// It is about publishing.
    pub publish: bool,
    /// It is about subscribing.
    pub subscribe: bool,
    /// When it holds.
    pub validity: Validity,
    /// The longest life of a token that uses it, seconds; the server's own where absent. A deny has none.
    pub token_lifetime_secs: Option<u64>,
    /// The resource owner who granted it, within their own trees; absent where an administrator did.
    pub granted_by: Option<String>,
}

/// Whom a rule is about.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Subject {
    /// The client of this identifier.
    Client(String),
    /// All members of the group of this name.
    Group(String),
}

/// Whether a rule gives or takes. What one rule denies no other allows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Effect {
    /// It gives.
    Allow,
    /// It takes, whatever else allows.
    Deny,
}

/// When a rule holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Validity {
    /// From this second on; from ever where absent.
    pub from: Option<UnixTime>,
    /// Before this second; for ever where absent. No token outlives a rule that it comes from.
    pub until: Option<UnixTime>,
}

/// Where a moment lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    NotYet,
    InForce,
    Over,
}

/// A rule as it bears on one client: placeholders filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rule {
    pub(crate) id: i64,
    pub(crate) effect: Effect,
    pub(crate) filter: TopicFilter,
    pub(crate) publish: bool,
    pub(crate) subscribe: bool,
    pub(crate) validity: Validity,
    pub(crate) token_lifetime_secs: Option<u64>,
}

/// Why a rule is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("its client or group is no name: {0}")]
    Name(#[from] ClientIdError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("it is about neither publishing nor subscribing")]
    NoPermission,
    #[error("a token lifetime of 0 seconds")]
    NoLifetime,
    #[error("a time longer than time")]
    Endless,
    #[error("a deny has no token lifetime")]
    DenyWithLifetime,
    #[error("it ends before it begins")]
    Never,
}

impl Policy {
    /// That a client may do this, now and for ever, by an administrator's word.
    pub fn allow(client_id: &str, audience: &str, filter: &str) -> Self {
        Self {
            id: 0,
            subject: Subject::Client(client_id.to_owned()),
            effect: Effect::Allow,
            audience: audience.to_owned(),
            filter: filter.to_owned(),
            publish: true,
            subscribe: true,
            validity: Validity::default(),
            token_lifetime_secs: None,
            granted_by: None,
        }
    }

    /// What the store checks before it keeps it.
    pub(crate) fn check(&self) -> Result<(), RuleError> {
        let name = ClientId::parse(self.subject.name())?;
        // Any client stands for all: the same characters are allowed in every name.
        template::filter_of(&self.filter, self.names(name)?)?;
        if !self.publish && !self.subscribe {
            return Err(RuleError::NoPermission);
        }
        let Validity { from, until } = self.validity;
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            return Err(RuleError::Never);
        }
        let times = [from, until].into_iter().flatten().map(|time| time.0);
        let mut numbers = times.chain(self.token_lifetime_secs);
        if numbers.any(|secs| i64::try_from(secs).is_err()) {
            return Err(RuleError::Endless);
        }
        match (self.effect, self.token_lifetime_secs) {
            (Effect::Allow, Some(0)) => Err(RuleError::NoLifetime),
            (Effect::Deny, Some(_)) => Err(RuleError::DenyWithLifetime),
            (Effect::Allow | Effect::Deny, _) => Ok(()),
        }
    }

    /// As it bears on a client that is its subject, or a member of it.
    pub(crate) fn for_client(&self, client_id: ClientId<'_>) -> Result<Rule, RuleError> {
        Ok(Rule {
            id: self.id,
            effect: self.effect,
            filter: template::filter_of(&self.filter, self.names(client_id)?)?,
            publish: self.publish,
            subscribe: self.subscribe,
            validity: self.validity,
            token_lifetime_secs: self.token_lifetime_secs,
        })
    }

    fn names<'a>(&'a self, client_id: ClientId<'a>) -> Result<Names<'a>, ClientIdError> {
        let group = match &self.subject {
            Subject::Client(_) => None,
            Subject::Group(group) => Some(ClientId::parse(group)?),
        };
        Ok(Names { client_id, group })
    }
}

impl Subject {
    /// Of the client or the group.
    pub fn name(&self) -> &str {
        match self {
            Self::Client(name) | Self::Group(name) => name,
        }
    }
}

impl Validity {
    pub(crate) fn phase(self, now: UnixTime) -> Phase {
        if self.until.is_some_and(|until| until <= now) {
            Phase::Over
        } else if self.from.is_some_and(|from| from > now) {
            Phase::NotYet
        } else {
            Phase::InForce
        }
    }
}

impl Rule {
    pub(crate) fn is_about(&self, permission: Permission) -> bool {
        match permission {
            Permission::Publish => self.publish,
            Permission::Subscribe => self.subscribe,
        }
    }

    /// Whether it gives or takes, as said, and holds now.
    pub(crate) fn holds(&self, effect: Effect, now: UnixTime) -> bool {
        self.effect == effect && self.validity.phase(now) == Phase::InForce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(from: Option<u64>, until: Option<u64>) -> Validity {
        Validity {
            from: from.map(UnixTime),
            until: until.map(UnixTime),
        }
    }

    #[test]
    fn a_rule_holds_from_its_first_second_and_before_its_last() {
        let validity = valid(Some(10), Some(20));
        for (now, phase) in [
            (9, Phase::NotYet),
            (10, Phase::InForce),
            (19, Phase::InForce),
            (20, Phase::Over),
        ] {
            assert_eq!(validity.phase(UnixTime(now)), phase, "{now}");
        }
        assert_eq!(
            Validity::default().phase(UnixTime(u64::MAX)),
            Phase::InForce
        );
    }

    #[test]
    fn a_rule_that_says_nothing_or_never_holds_is_refused() {
        let good = Policy::allow("c", "broker", "a/${client_id}/#");
        assert_eq!(good.check(), Ok(()));
        let wrong = |change: fn(&mut Policy)| {
            let mut policy = good.clone();
            change(&mut policy);
            policy.check().unwrap_err()
        };
        let error = wrong(|policy| (policy.publish, policy.subscribe) = (false, false));
        assert_eq!(error, RuleError::NoPermission);
        let error = wrong(|policy| policy.validity = valid(Some(5), Some(5)));
        assert_eq!(error, RuleError::Never);
        let error = wrong(|policy| policy.validity = valid(None, Some(u64::MAX)));
        assert_eq!(error, RuleError::Endless);
        let error = wrong(|policy| policy.token_lifetime_secs = Some(0));
        assert_eq!(error, RuleError::NoLifetime);
        let error = wrong(|policy| {
            (policy.effect, policy.token_lifetime_secs) = (Effect::Deny, Some(60));
        });
        assert_eq!(error, RuleError::DenyWithLifetime);
        let error = wrong(|policy| policy.filter = "${group}/a".to_owned());
        assert_eq!(error, RuleError::Filter(FilterError::Placeholder));
        let error = wrong(|policy| policy.subject = Subject::Group("a/b".to_owned()));
        assert_eq!(error, RuleError::Name(ClientIdError::TopicSyntax));
    }

    #[test]
    fn the_rule_of_a_group_has_both_names_filled_in() {
        let policy = Policy {
            subject: Subject::Group("meters".to_owned()),
            ..Policy::allow("", "broker", "${group}/${client_id}")
        };
        let rule = policy.for_client(ClientId::parse("m1").unwrap()).unwrap();
        assert_eq!(rule.filter.as_str(), "meters/m1");
    }
}
