//! Filter templates: a Topic Filter in which `${client_id}` and `${group}` stand for names.

use super::name::ClientId;
use symbolon_mqtt_proto::{TopicError, TopicFilter};

/// What a template writes for the client identifier.
const CLIENT_ID: &str = "${client_id}";
/// What the template of a group's rule writes for the group's name.
const GROUP: &str = "${group}";
/// The most levels of a template: what a deny leaves of a filter may take one filter for each.
pub(crate) const MAX_LEVELS: usize = 64;

/// Why the filter of a rule is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error("the placeholders are ${{client_id}} and, in the rule of a group, ${{group}}")]
    Placeholder,
    #[error("policies name the filter inside of $share/NAME/FILTER")]
    Share,
    #[error("it has more than {MAX_LEVELS} levels")]
    TooDeep,
    #[error("a placeholder in a first level that begins with '$' is for administrators alone")]
    DollarPlaceholder,
}

/// What stands in the place of placeholders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    /// For `${client_id}`.
    pub(crate) client_id: ClientId<'a>,
    /// For `${group}`; a rule of a single client has none.
    pub(crate) group: Option<ClientId<'a>>,
}

/// The filter that a template means for a client.
pub(crate) fn filter_of(template: &str, names: Names<'_>) -> Result<TopicFilter, FilterError> {
    check(template)?;
    let filter = fill(template, |placeholder| match placeholder {
        Placeholder::ClientId => Some(names.client_id.as_str()),
        Placeholder::Group => names.group.map(ClientId::as_str),
    })?;
    Ok(TopicFilter::parse(&filter)?)
}

/// A filter that covers whatever the template may mean for any client. The name of the group, if it is a group's rule, is known.
pub(crate) fn widest_of(
    template: &str,
    group: Option<ClientId<'_>>,
) -> Result<TopicFilter, FilterError> {
    check(template)?;
    let first = template.split('/').next().unwrap_or_default();
    if first.starts_with('$') && !first.starts_with(CLIENT_ID) && first.contains(CLIENT_ID) {
        // `+` in its place would not match topics that begin with `$`.
        return Err(FilterError::DollarPlaceholder);
    }
    let levels = template.split('/').map(|level| {
        if level.contains(CLIENT_ID) {
            return Ok("+".to_owned());
        }
        fill(level, |placeholder| match placeholder {
            Placeholder::ClientId => None,
            Placeholder::Group => group.map(ClientId::as_str),
        })
    });
    let levels: Vec<String> = levels.collect::<Result<_, FilterError>>()?;
    Ok(TopicFilter::parse(&levels.join("/"))?)
}

fn check(template: &str) -> Result<(), FilterError> {
    if template.starts_with("$share/") {
        // A broker authorises the filter inside, so such a rule would say nothing.
        return Err(FilterError::Share);
    }
    if template.split('/').count() > MAX_LEVELS {
        return Err(FilterError::TooDeep);
    }
    Ok(())
}

enum Placeholder {
    ClientId,
    Group,
}

/// One pass: what a name itself looks like is never taken for a placeholder.
fn fill<'n>(
    template: &str,
    name_of: impl Fn(Placeholder) -> Option<&'n str>,
) -> Result<String, FilterError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, _)) = rest.split_once("${") {
        filled.push_str(before);
        let from_here = &rest[before.len()..];
        let (placeholder, length) = if from_here.starts_with(CLIENT_ID) {
            (Placeholder::ClientId, CLIENT_ID.len())
        } else if from_here.starts_with(GROUP) {
            (Placeholder::Group, GROUP.len())
        } else {
            return Err(FilterError::Placeholder);
        };
        filled.push_str(name_of(placeholder).ok_or(FilterError::Placeholder)?);
        rest = &from_here[length..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(client_id: &'a str, group: Option<&'a str>) -> Names<'a> {
        Names {
            client_id: ClientId::parse(client_id).unwrap(),
            group: group.map(|group| ClientId::parse(group).unwrap()),
        }
    }

    #[test]
    fn a_template_is_filled_in_once_and_then_checked() {
        let tricky = names("x${client_id}${group}", Some("g${client_id}"));
        let filter = filter_of("d/${client_id}/${group}/#", tricky).unwrap();
        assert_eq!(filter.as_str(), "d/x${client_id}${group}/g${client_id}/#");
        let client = names("c", None);
        assert_eq!(
            filter_of("$SYS/${client_id}", client).unwrap().as_str(),
            "$SYS/c"
        );
        for wrong in ["d/${clientid}", "d/${group}", "d/${", "${client_id}${x}"] {
            assert_eq!(filter_of(wrong, client), Err(FilterError::Placeholder));
        }
        assert_eq!(filter_of("$share/g/a", client), Err(FilterError::Share));
        assert_eq!(
            filter_of("a/#/b", client),
            Err(FilterError::Topic(TopicError::MultiLevelWildcard))
        );
        let deep = "a/".repeat(MAX_LEVELS);
        assert_eq!(filter_of(&deep, client), Err(FilterError::TooDeep));
    }

    #[test]
    fn the_widest_meaning_of_a_template_covers_every_meaning() {
        let group = ClientId::parse("g").unwrap();
        for template in [
            "a/${client_id}/#",
            "a/x-${client_id}/b",
            "${client_id}",
            "${group}/${client_id}/+",
            "$SYS/${client_id}",
        ] {
            let widest = widest_of(template, Some(group)).unwrap();
            for client in ["c", "x${group}", "-"] {
                let filter = filter_of(template, names(client, Some("g"))).unwrap();
                assert!(widest.covers(&filter), "{widest:?} {filter:?}");
            }
        }
        assert_eq!(widest_of("${group}/a", None), Err(FilterError::Placeholder));
        assert_eq!(
            widest_of("$x${client_id}/a", None),
            Err(FilterError::DollarPlaceholder)
        );
    }
}
