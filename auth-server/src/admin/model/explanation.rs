//! Which rule decides, and what a client may be granted.

use super::{Effect, ModelError, Permission, Policy};
use crate::store::{self, Standing, Verdict};
use serde::{Deserialize, Serialize};
use symbolon_ace_proto::{Scope, UnixTime};
use symbolon_mqtt_proto::TopicFilter;
use utoipa::ToSchema;

/// What is asked: may this client do that?
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The client.
    pub client: String,
    /// At which resource server.
    pub audience: String,
    /// What.
    pub permission: Permission,
    /// A Topic Name; for `sub` a Topic Filter too.
    pub filter: String,
    /// At which time; now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// Whether a client may do something, and which rule says so.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// The client.
    pub client_id: String,
    /// The topic, or the filter.
    pub topic: String,
    /// What was asked for.
    pub permission: Permission,
    /// The answer.
    pub allowed: bool,
    /// The rule that decides; absent where none is about it.
    pub decided_by: Option<i64>,
    /// All rules that are about it, and what each has to say.
    pub policies: Vec<Considered>,
}

/// A rule that is about what was asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Considered {
    /// The rule.
    #[serde(flatten)]
    pub policy: Policy,
    /// What it says to this client, placeholders filled in.
    pub means: String,
    /// What it has to say, in words.
    pub standing: String,
    /// An allow of whose filter this deny cuts so that no Topic Filter is left: it is granted in part only when less is asked for.
    pub cut_by: Option<i64>,
}

/// What a client may be granted at a resource server now.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Granted {
    /// The client.
    pub client_id: String,
    /// The resource server.
    pub audience: String,
    /// An AIF array; each filter stands once.
    #[schema(value_type = Vec<Object>)]
    pub scope: serde_json::Value,
    /// What is allowed, and yet granted in part only when less is asked for.
    pub cuts: Vec<Cut>,
}

/// A rule of which a deny leaves no Topic Filter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Cut {
    /// The number of the rule that allows.
    pub policy: i64,
    /// Its filter for this client.
    pub filter: String,
    /// The number of the rule that denies a part of it.
    pub cut_by: i64,
}

impl Question {
    /// What is asked about, and when; `now` where it does not say.
    pub fn parse(&self, now: UnixTime) -> Result<(TopicFilter, UnixTime), ModelError> {
        let filter = TopicFilter::parse(&self.filter)
            .map_err(|error| ModelError::new("filter", format!("{:?}: {error}", self.filter)))?;
        if self.permission == Permission::Publish && self.filter.contains(['+', '#']) {
            return Err(ModelError::new(
                "filter",
                "a topic to publish to has no wildcards",
            ));
        }
        Ok((filter, self.at.map_or(now, UnixTime)))
    }
}

impl Explanation {
    /// The answer to a question.
    pub fn new(question: &Question, explanation: &store::Explanation) -> Self {
        Self {
            client_id: question.client.clone(),
            topic: question.filter.clone(),
            permission: question.permission,
            allowed: explanation.verdict.is_allowed(),
            decided_by: match explanation.verdict {
                Verdict::Allowed(id) | Verdict::Denied(id) => Some(id),
                Verdict::NoRule => None,
            },
            policies: explanation.considered.iter().map(Into::into).collect(),
        }
    }
}

impl From<&store::Considered> for Considered {
    fn from(considered: &store::Considered) -> Self {
        let effect = Effect::from(considered.policy.effect).as_str();
        Self {
            policy: Policy::from(&considered.policy),
            means: format!("{effect} {}", considered.filter.as_str()),
            standing: words(considered.standing).to_owned(),
            cut_by: considered.cut_by,
        }
    }
}

impl Granted {
    /// From what [`Store::scope_of`](store::Store::scope_of) and [`Store::cuts`](store::Store::cuts) answered.
    pub fn new(
        (client_id, audience): (&str, &str),
        scope: &Scope,
        cuts: &[store::Considered],
    ) -> Self {
        let cuts = cuts.iter().filter_map(|cut| {
            Some(Cut {
                policy: cut.policy.id,
                filter: cut.filter.as_str().to_owned(),
                cut_by: cut.cut_by?,
            })
        });
        Self {
            client_id: client_id.to_owned(),
            audience: audience.to_owned(),
            scope: aif(scope),
            cuts: cuts.collect(),
        }
    }
}

/// A scope as an AIF array.
pub(super) fn aif(scope: &Scope) -> serde_json::Value {
    serde_json::from_str(&scope.to_json()).expect("a scope writes itself as JSON")
}

fn words(standing: Standing) -> &'static str {
    match standing {
        Standing::Decides => "decides",
        Standing::Agrees => "agrees",
        Standing::Overruled => "overruled by the deny",
        Standing::InPart => "allows a part only",
        Standing::NotYet => "does not hold yet",
        Standing::Over => "is over",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_considered_policy_has_its_members_and_those_of_the_policy_in_one_object() {
        let considered = store::Considered {
            policy: store::Policy::allow("c", "broker", "a/${client_id}"),
            filter: TopicFilter::parse("a/c").unwrap(),
            standing: Standing::Decides,
            cut_by: None,
        };
        let text = serde_json::to_string(&Considered::from(&considered)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["filter"], "a/${client_id}");
        assert_eq!(value["means"], "allow a/c");
        let read: Considered = serde_json::from_str(&text).unwrap();
        assert_eq!(read, Considered::from(&considered));
    }

    #[test]
    fn to_publish_is_asked_of_a_topic_and_not_of_a_filter() {
        let mut question = Question {
            client: "c".to_owned(),
            audience: "broker".to_owned(),
            permission: Permission::Publish,
            filter: "a/#".to_owned(),
            at: None,
        };
        assert!(question.parse(UnixTime(5)).is_err());
        question.permission = Permission::Subscribe;
        assert_eq!(question.parse(UnixTime(5)).unwrap().1, UnixTime(5));
        question.filter = "a/#/b".to_owned();
        assert!(question.parse(UnixTime(5)).is_err());
    }

    #[test]
    fn a_scope_is_an_aif_array() {
        let scope = Scope::from_json(r#"[["a/#",["pub"]]]"#).unwrap();
        let granted = Granted::new(("c", "broker"), &scope, &[]);
        assert_eq!(granted.scope, serde_json::json!([["a/#", ["pub"]]]));
    }
}
