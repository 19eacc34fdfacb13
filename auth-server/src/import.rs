//! What other brokers' files say of clients and rights, in our rules. What cannot be said in them is told, line by line.
//!
//! | module | reads |
//! |---|---|
//! | [`mosquitto_acl`](fn@mosquitto_acl) | Mosquitto's `acl_file` |
//! | [`mosquitto_dynsec`](fn@mosquitto_dynsec) | the JSON of Mosquitto's dynamic security plugin |
//! | [`emqx_acl`](fn@emqx_acl) | EMQX's `acl.conf`, of versions 4 and 5 |

mod emqx_acl;
mod erlang;
mod mosquitto_acl;
mod mosquitto_dynsec;

pub use emqx_acl::emqx_acl;
pub use mosquitto_acl::mosquitto_acl;
pub use mosquitto_dynsec::mosquitto_dynsec;

use crate::{
    core::policy::difference::overlap,
    store::{Desired, Effect, Policy, Subject},
};
use std::collections::BTreeSet;
use symbolon_mqtt_proto::TopicFilter;

/// What a file comes to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Imported {
    /// Groups and rules.
    pub desired: Desired,
    /// The clients that the file names.
    pub clients: BTreeSet<String>,
    /// What was not carried over, or means something else here.
    pub notes: Vec<Note>,
}

/// Something to tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// Where: a line, or a name in the file.
    pub place: String,
    /// What.
    pub text: String,
}

/// Where the rules go.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The resource server they are for.
    pub audience: &'a str,
    /// The group that gets what the file says of all clients; all clients that it names are members.
    pub group: &'a str,
}

/// Why a file cannot be read at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {text}")]
pub struct ImportError {
    /// Where.
    pub place: String,
    /// What is wrong.
    pub text: String,
}

/// One right, as the formats have it.
#[derive(Clone, Copy, Debug)]
struct Right<'a> {
    effect: Effect,
    filter: &'a str,
    publish: bool,
    subscribe: bool,
}

impl Imported {
    fn note(&mut self, place: &str, text: impl Into<String>) {
        let note = Note {
            place: place.to_owned(),
            text: text.into(),
        };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds a rule that our rules allow; tells why where they do not.
    fn add(&mut self, place: &str, subject: &Subject, audience: &str, right: Right<'_>) {
        let policy = Policy {
            subject: subject.clone(),
            effect: right.effect,
            publish: right.publish,
            subscribe: right.subscribe,
            ..Policy::allow("", audience, right.filter)
        };
        if let Err(error) = policy.check() {
            let filter = right.filter;
            return self.note(place, format!("not carried over: {filter:?}: {error}"));
        }
        let rules = self.desired.rules.entry(subject.clone()).or_default();
        if !rules.contains(&policy) {
            rules.push(policy);
        }
    }

    /// A client of this name; tells why where there can be none.
    fn client(&mut self, place: &str, name: &str) -> Option<Subject> {
        if let Err(error) = crate::core::policy::ClientId::parse(name) {
            self.note(
                place,
                format!("not carried over: no client can be named {name:?}: {error}"),
            );
            return None;
        }
        self.clients.insert(name.to_owned());
        Some(Subject::Client(name.to_owned()))
    }

    /// Where rules for all were found: all clients that are named become members of the group for it.
    fn fill_group(&mut self, group: &str) {
        if self
            .desired
            .rules
            .contains_key(&Subject::Group(group.to_owned()))
        {
            let members = self.desired.members.entry(group.to_owned()).or_default();
            members.extend(self.clients.iter().cloned());
        }
    }
}

/// A filter with the placeholders of other brokers in ours. `None` where it has something that ours would take for a placeholder.
fn with_our_placeholders(filter: &str, theirs: &[&str]) -> Option<String> {
    let mut rest = filter.to_owned();
    for placeholder in theirs {
        rest = rest.replace(placeholder, "\0");
    }
    (!rest.contains("${")).then(|| rest.replace('\0', "${client_id}"))
}

/// Whether two filters of rules may be about the same topic; placeholders stand for any name.
fn may_overlap(left: &str, right: &str) -> bool {
    let parse = |filter: &str| {
        let levels = filter.split('/');
        let levels = levels.map(|level| if level.contains("${") { "+" } else { level });
        TopicFilter::parse(&levels.collect::<Vec<_>>().join("/"))
    };
    match (parse(left), parse(right)) {
        (Ok(left), Ok(right)) => overlap(&left, &right),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules and notes as lines.
    pub(super) fn lines(imported: &Imported) -> (Vec<String>, Vec<String>) {
        let rules = imported.desired.rules.values().flatten();
        let rules = rules.map(|rule| rule.to_string().replace(" at broker", ""));
        let notes = imported.notes.iter();
        let notes = notes.map(|note| format!("{}: {}", note.place, note.text));
        (rules.collect(), notes.collect())
    }

    pub(super) const TARGET: Target<'_> = Target {
        audience: "broker",
        group: "imported",
    };

    #[test]
    fn placeholders_of_others_become_ours_and_ours_are_not_smuggled_in() {
        let filled = with_our_placeholders("a/%u/%c", &["%u", "%c"]);
        assert_eq!(filled.as_deref(), Some("a/${client_id}/${client_id}"));
        assert_eq!(with_our_placeholders("a/${group}", &["%u"]), None);
    }
}
