//! Which rule decides, and what became of the others.

use super::{
    difference::overlap,
    rule::{Effect, Phase, Rule},
};
use symbolon_ace_proto::{Permission, UnixTime};
use symbolon_mqtt_proto::TopicFilter;

/// The answer to whether a client may do something, with the rule that decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It may, by the rule of this number.
    Allowed(i64),
    /// It must not, by the rule of this number.
    Denied(i64),
    /// No rule says that it may.
    NoRule,
}

/// What a rule that is about a topic has to say on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It decides.
    Decides,
    /// It says the same as the one that decides.
    Agrees,
    /// It allows, and one that denies wins.
    Overruled,
    /// It allows a part of the filter that was asked for, and a scope must be allowed whole.
    InPart,
    /// It does not hold yet.
    NotYet,
    /// It holds no more.
    Over,
}

impl Verdict {
    /// Whether it may.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Judges a Topic Name, or a Topic Filter to subscribe to, written as a filter: it may be used where one rule allows all of it and none denies
/// any of it. Beside the verdict, what each rule that is about it has to say, in their order.
///
/// For a Topic Name this is what the rules mean; what a token can say of it is what [`permit`](super::permit) makes.
pub(crate) fn judge(
    rules: &[Rule],
    permission: Permission,
    asked: &TopicFilter,
    now: UnixTime,
) -> (Verdict, Vec<(i64, Standing)>) {
    let about: Vec<&Rule> = rules
        .iter()
        .filter(|rule| rule.is_about(permission) && overlap(&rule.filter, asked))
        .collect();
    let denying = about.iter().find(|rule| rule.holds(Effect::Deny, now));
    let allowing = about
        .iter()
        .find(|rule| rule.holds(Effect::Allow, now) && rule.filter.covers(asked));
    let verdict = match (denying, allowing) {
        (Some(rule), _) => Verdict::Denied(rule.id),
        (None, Some(rule)) => Verdict::Allowed(rule.id),
        (None, None) => Verdict::NoRule,
    };
    let standings = about
        .iter()
        .map(|rule| (rule.id, standing(rule, asked, verdict, now)));
    (verdict, standings.collect())
}

fn standing(rule: &Rule, asked: &TopicFilter, verdict: Verdict, now: UnixTime) -> Standing {
    match rule.validity.phase(now) {
        Phase::NotYet => return Standing::NotYet,
        Phase::Over => return Standing::Over,
        Phase::InForce => {}
    }
    let decides = match verdict {
        Verdict::Allowed(id) | Verdict::Denied(id) => id == rule.id,
        Verdict::NoRule => false,
    };
    match rule.effect {
        Effect::Allow | Effect::Deny if decides => Standing::Decides,
        Effect::Deny => Standing::Agrees,
        Effect::Allow if !rule.filter.covers(asked) => Standing::InPart,
        Effect::Allow if verdict.is_allowed() => Standing::Agrees,
        Effect::Allow => Standing::Overruled,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::rule, *};

    fn judged(rules: &[Rule], asked: &str) -> (Verdict, Vec<(i64, Standing)>) {
        let asked = TopicFilter::parse(asked).unwrap();
        judge(rules, Permission::Publish, &asked, UnixTime(100))
    }

    #[test]
    fn the_rule_that_denies_decides_and_the_others_are_told() {
        let mut later = rule(4, Effect::Deny, "a/b");
        later.validity.from = Some(UnixTime(101));
        let mut over = rule(5, Effect::Allow, "a/b");
        over.validity.until = Some(UnixTime(100));
        let rules = [
            rule(1, Effect::Allow, "a/#"),
            rule(2, Effect::Deny, "a/+"),
            rule(3, Effect::Deny, "a/b"),
            later,
            over,
            rule(6, Effect::Allow, "c"),
        ];
        let (verdict, standings) = judged(&rules, "a/b");
        assert_eq!(verdict, Verdict::Denied(2));
        let expected = [
            (1, Standing::Overruled),
            (2, Standing::Decides),
            (3, Standing::Agrees),
            (4, Standing::NotYet),
            (5, Standing::Over),
        ];
        assert_eq!(standings, expected);
        assert_eq!(judged(&rules, "a/b/c").0, Verdict::Allowed(1));
        assert_eq!(judged(&rules, "d"), (Verdict::NoRule, vec![]));
    }

    #[test]
    fn a_filter_is_allowed_whole_or_not_at_all() {
        let rules = [rule(1, Effect::Allow, "a/b"), rule(2, Effect::Allow, "a/+")];
        let (verdict, standings) = judged(&rules, "a/+");
        assert_eq!(verdict, Verdict::Allowed(2));
        assert_eq!(standings, [(1, Standing::InPart), (2, Standing::Decides)]);
        assert_eq!(judged(&rules, "a/#").0, Verdict::NoRule);
    }
}
