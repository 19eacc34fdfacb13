//! `pub:FILTER` and `sub:FILTER`, as `--allow` and `--scope` take them.

use std::str::FromStr;
use symbolon_ace_proto::{Scope, scope::ScopeEntry};
use symbolon_auth_server::admin::model::{Effect, NewPolicy, Permission};
use symbolon_mqtt_proto::TopicFilter;

/// A Topic Filter and what may be done on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Allowed {
    filter: TopicFilter,
    publish: bool,
    subscribe: bool,
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (permission, filter) = text
            .split_once(':')
            .ok_or("expected pub:FILTER, sub:FILTER or pubsub:FILTER")?;
        let (publish, subscribe) = match permission {
            "pub" => (true, false),
            "sub" => (false, true),
            "pubsub" => (true, true),
            _ => return Err(format!("{permission:?} is not pub, sub or pubsub")),
        };
        let (share, filter) = TopicFilter::parse_shared(filter).map_err(|e| e.to_string())?;
        if share.is_some() {
            return Err("write the Topic Filter alone, without $share/NAME/".into());
        }
        Ok(Self {
            filter,
            publish,
            subscribe,
        })
    }
}

/// One entry for each filter: `pub:a` and `sub:a` are one.
fn merge(allowed: &[Allowed]) -> Vec<Allowed> {
    let mut merged: Vec<Allowed> = Vec::new();
    for entry in allowed {
        match merged.iter_mut().find(|known| known.filter == entry.filter) {
            Some(known) => {
                known.publish |= entry.publish;
                known.subscribe |= entry.subscribe;
            }
            None => merged.push(entry.clone()),
        }
    }
    merged
}

/// As policies, one for each, so that each can be removed by itself. All else is as in `like`.
pub(crate) fn policies(allowed: &[Allowed], like: &NewPolicy) -> Vec<NewPolicy> {
    allowed
        .iter()
        .map(|entry| NewPolicy {
            filter: entry.filter.as_str().to_owned(),
            permissions: permissions(entry.publish, entry.subscribe),
            ..like.clone()
        })
        .collect()
}

/// `--scope`: each a `pub:FILTER` or the like, or one AIF array as JSON. None given is none asked for.
pub(crate) fn scope(arguments: &[String]) -> Result<Option<Scope>, String> {
    match arguments {
        [] => Ok(None),
        [json] if json.trim_start().starts_with('[') => Scope::from_json(json)
            .map(Some)
            .map_err(|error| error.to_string()),
        _ => {
            let allowed = arguments
                .iter()
                .map(|argument| {
                    argument
                        .parse()
                        .map_err(|error| format!("--scope {argument}: {error}"))
                })
                .collect::<Result<Vec<Allowed>, String>>()?;
            let entries = merge(&allowed).into_iter().map(|entry| ScopeEntry {
                filter: entry.filter,
                publish: entry.publish,
                subscribe: entry.subscribe,
            });
            Ok(Some(Scope::from_entries(entries.collect())))
        }
    }
}

/// Those of the two that are given.
pub(crate) fn permissions(publish: bool, subscribe: bool) -> Vec<Permission> {
    let named = [
        (publish, Permission::Publish),
        (subscribe, Permission::Subscribe),
    ];
    let given = named.into_iter().filter(|(given, _)| *given);
    given.map(|(_, permission)| permission).collect()
}

/// `pub`, `sub` or `pub sub`.
pub(crate) fn words(permissions: &[Permission]) -> String {
    let words: Vec<&str> = permissions.iter().map(|one| one.as_str()).collect();
    words.join(" ")
}

/// What policies at this audience are made like: an allow, for ever.
pub(crate) fn anything_at(audience: &str) -> NewPolicy {
    NewPolicy {
        client_id: None,
        group: None,
        effect: Effect::Allow,
        audience: audience.to_owned(),
        filter: String::new(),
        permissions: Vec::new(),
        from: None,
        until: None,
        token_lifetime_secs: None,
        owner: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_allow_is_a_policy_of_its_own() {
        let allowed = ["pub:a/#", "sub:a/#", "pubsub:b"].map(|text| text.parse().unwrap());
        let policies = policies(&allowed, &anything_at("aud"));
        let may: Vec<_> = policies.iter().map(|p| words(&p.permissions)).collect();
        assert_eq!(may, ["pub", "sub", "pub sub"]);
    }

    #[test]
    fn a_malformed_filter_or_permission_is_refused() {
        for text in ["a/b", "read:a", "pub:", "pub:a/#/b", "sub:$share/g/a"] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_scope_is_written_either_way() {
        let short = scope(&["pub:a".into(), "sub:a".into()]).unwrap().unwrap();
        let json = scope(&[r#"[["a",["pub","sub"]]]"#.into()])
            .unwrap()
            .unwrap();
        assert_eq!(short, json);
    }
}
