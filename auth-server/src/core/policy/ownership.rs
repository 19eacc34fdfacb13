//! Resource owners: whose Topic Filter trees a rule may be about.

use super::{
    name::ClientId,
    rule::{Policy, Subject},
    template,
};
use symbolon_mqtt_proto::TopicFilter;

/// Whether all that a rule may ever be about lies within one of these filters, which an owner owns at the rule's audience.
///
/// One filter has to cover it: several that only together do would have to be compared topic by topic.
pub(crate) fn is_within(policy: &Policy, owned: &[TopicFilter]) -> bool {
    let group = match &policy.subject {
        Subject::Client(_) => None,
        Subject::Group(name) => match ClientId::parse(name) {
            Ok(group) => Some(group),
            Err(_) => return false,
        },
    };
    template::widest_of(&policy.filter, group)
        .is_ok_and(|widest| owned.iter().any(|tree| tree.covers(&widest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(filter: &str, owned: &[&str]) -> bool {
        let trees: Vec<TopicFilter> = owned
            .iter()
            .map(|tree| TopicFilter::parse(tree).unwrap())
            .collect();
        let policy = Policy {
            subject: Subject::Group("g".to_owned()),
            ..Policy::allow("", "broker", filter)
        };
        is_within(&policy, &trees)
    }

    #[test]
    fn an_owner_grants_within_their_trees_and_nowhere_else() {
        for filter in ["site/1/#", "site/1", "site/1/${client_id}/+", "x/g/a"] {
            assert!(within(filter, &["site/1/#", "x/g/+"]), "{filter}");
        }
        for filter in ["#", "site/+/a", "site/2", "x/${client_id}/a", "+/1/#"] {
            assert!(!within(filter, &["site/1/#", "x/g/+"]), "{filter}");
        }
        assert!(within("x/${group}/a", &["x/g/+"]));
        assert!(!within("x/h/a", &["x/g/+"]));
    }

    #[test]
    fn who_owns_everything_still_does_not_own_what_begins_with_a_dollar() {
        assert!(within("a/${client_id}", &["#"]));
        assert!(within("${client_id}/a", &["#"]));
        for filter in ["$SYS/#", "$${client_id}/a"] {
            assert!(!within(filter, &["#"]), "{filter}");
        }
        assert!(within("$SYS/${client_id}", &["$SYS/#"]));
    }
}
