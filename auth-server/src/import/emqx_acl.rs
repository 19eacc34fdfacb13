//! EMQX's `acl.conf`: `{allow | deny, WHO, ACTION, TOPICS}.`, of which the first that matches decides. Here a deny wins, wherever it stands.

use super::{
    ImportError, Imported, Right, Target,
    erlang::{self, Term},
    may_overlap, with_our_placeholders,
};
use crate::store::{Effect, Policy, Subject};

const PLACEHOLDERS: [&str; 4] = ["${clientid}", "${username}", "%c", "%u"];

/// Reads an ACL file of EMQX 4 or 5. What it says of all goes to the group.
pub fn emqx_acl(text: &str, target: Target<'_>) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    for (line, term) in erlang::parse(text)? {
        let place = format!("line {line}");
        let Term::Tuple(parts) = term else {
            imported.note(&place, "not carried over: not a rule");
            continue;
        };
        let effect = match parts.first() {
            Some(Term::Atom(word)) if word == "allow" => Effect::Allow,
            Some(Term::Atom(word)) if word == "deny" => Effect::Deny,
            Some(_) | None => {
                imported.note(&place, "not carried over: not a rule");
                continue;
            }
        };
        match &parts[1..] {
            [_] if effect == Effect::Deny => {
                // Nothing is allowed here that no rule allows.
            }
            [_] => imported.note(
                &place,
                "not carried over: here nothing is allowed that no rule allows",
            ),
            [who, action, Term::List(topics)] => {
                let mut rule = Rule {
                    place,
                    effect,
                    target,
                    imported: &mut imported,
                };
                rule.add(who, action, topics);
            }
            _ => imported.note(&place, "not carried over: not a rule"),
        }
    }
    imported.fill_group(target.group);
    Ok(imported)
}

struct Rule<'a> {
    place: String,
    effect: Effect,
    target: Target<'a>,
    imported: &'a mut Imported,
}

impl Rule<'_> {
    fn note(&mut self, text: impl Into<String>) {
        self.imported.note(&self.place, text);
    }

    fn add(&mut self, who: &Term, action: &Term, topics: &[Term]) {
        let Some((publish, subscribe)) = self.permissions(action) else {
            return self.note("not carried over: unknown action");
        };
        let subjects = self.subjects(who);
        let filters: Vec<String> = topics
            .iter()
            .filter_map(|topic| self.filter(topic))
            .collect();
        for subject in &subjects {
            for filter in &filters {
                let right = Right {
                    effect: self.effect,
                    filter,
                    publish,
                    subscribe,
                };
                if self.effect == Effect::Deny {
                    self.warn_of_order(subject, right);
                }
                self.imported
                    .add(&self.place, subject, self.target.audience, right);
            }
        }
    }

    fn permissions(&mut self, action: &Term) -> Option<(bool, bool)> {
        let word = match action {
            Term::Atom(word) => word,
            Term::Tuple(parts) => match &parts[..] {
                [Term::Atom(word), ..] => {
                    self.note("its quality of service and retain are not carried over");
                    word
                }
                _ => return None,
            },
            Term::Text(_) | Term::Number(_) | Term::List(_) => return None,
        };
        match word.as_str() {
            "publish" => Some((true, false)),
            "subscribe" => Some((false, true)),
            "all" | "pubsub" => Some((true, true)),
            _ => None,
        }
    }

    fn subjects(&mut self, who: &Term) -> Vec<Subject> {
        match who {
            Term::Atom(word) if word == "all" => {
                vec![Subject::Group(self.target.group.to_owned())]
            }
            Term::Tuple(parts) => match &parts[..] {
                [Term::Atom(kind), Term::Atom(all)]
                    if ["user", "username", "client", "clientid"].contains(&kind.as_str())
                        && all == "all" =>
                {
                    vec![Subject::Group(self.target.group.to_owned())]
                }
                [Term::Atom(kind), name] if ["user", "username"].contains(&kind.as_str()) => {
                    self.client(name)
                }
                [Term::Atom(kind), name] if ["client", "clientid"].contains(&kind.as_str()) => {
                    self.note("its MQTT Client Identifier is taken for the client's name");
                    self.client(name)
                }
                [Term::Atom(kind), Term::List(several)] if kind == "or" => {
                    several.iter().flat_map(|one| self.subjects(one)).collect()
                }
                _ => self.unknown(),
            },
            Term::Atom(_) | Term::Text(_) | Term::Number(_) | Term::List(_) => self.unknown(),
        }
    }

    fn unknown(&mut self) -> Vec<Subject> {
        self.note("not carried over: a rule is for a client or a group here, not for addresses or patterns of names");
        Vec::new()
    }

    fn client(&mut self, name: &Term) -> Vec<Subject> {
        let name = match name {
            Term::Text(name) => Some(name.as_str()),
            Term::Tuple(parts) => match &parts[..] {
                [Term::Atom(kind), Term::Text(pattern)] if kind == "re" => literal(pattern),
                _ => None,
            },
            Term::Atom(_) | Term::Number(_) | Term::List(_) => None,
        };
        match name {
            Some(name) => self
                .imported
                .client(&self.place, name)
                .into_iter()
                .collect(),
            None => self.unknown(),
        }
    }

    fn filter(&mut self, topic: &Term) -> Option<String> {
        let (text, exactly) = match topic {
            Term::Text(text) => (text, false),
            Term::Tuple(parts) => match &parts[..] {
                [Term::Atom(eq), Term::Text(text)] if eq == "eq" => (text, true),
                _ => {
                    self.note("not carried over: unknown form of a topic");
                    return None;
                }
            },
            Term::Atom(_) | Term::Number(_) | Term::List(_) => {
                self.note("not carried over: unknown form of a topic");
                return None;
            }
        };
        if exactly && text.contains(['+', '#']) && self.effect == Effect::Deny {
            self.note(format!(
                "not carried over: a deny of {text:?} alone would deny all that it matches; \
                 nobody subscribes to it here who may not receive all of it"
            ));
            return None;
        }
        let filter = with_our_placeholders(text, &PLACEHOLDERS);
        if filter.is_none() {
            self.note(format!("not carried over: unknown placeholder in {text:?}"));
        }
        filter
    }

    /// What stands before a deny and allows decides there, and here no more.
    fn warn_of_order(&mut self, subject: &Subject, deny: Right<'_>) {
        let before: Vec<String> = self
            .imported
            .desired
            .rules
            .values()
            .flatten()
            .filter(|rule| loses(rule, subject, deny))
            .map(|rule| format!("{} for {}", rule.filter, rule.subject))
            .collect();
        for allowed in before {
            let filter = deny.filter;
            self.note(format!(
                "the deny of {filter} wins here over what stands before it and allows {allowed}"
            ));
        }
    }
}

fn loses(rule: &Policy, subject: &Subject, deny: Right<'_>) -> bool {
    // Members of the group are all clients, so a rule of either bears on the other.
    let same = rule.subject == *subject
        || matches!(rule.subject, Subject::Group(_))
        || matches!(subject, Subject::Group(_));
    let permission = (rule.publish && deny.publish) || (rule.subscribe && deny.subscribe);
    rule.effect == Effect::Allow && same && permission && may_overlap(&rule.filter, deny.filter)
}

/// `^name$` says a name and nothing else.
fn literal(pattern: &str) -> Option<&str> {
    let name = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_@:".contains(c);
    name.chars().all(plain).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{TARGET, lines},
        *,
    };

    #[test]
    fn rules_are_carried_over_and_what_is_lost_is_told() {
        let text = r##"
%% the file that EMQX comes with, and more
{allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.
{allow, {ipaddr, "127.0.0.1"}, all, ["$SYS/#", "#"]}.
{deny, all, subscribe, ["$SYS/#", {eq, "#"}, {eq, "+/#"}]}.
{allow, {user, "sensor"}, publish, ["s/${clientid}/#", {eq, "exact"}]}.
{allow, {'or', [{clientid, "c1"}, {username, "c2"}]}, pubsub, ["x/%u"]}.
{deny, {username, "sensor"}, publish, ["s/+/secret"]}.
{allow, all, {publish, [{qos, 1}]}, ["q/${nobody}"]}.
{allow, {username, {re, "^s.*"}}, all, ["y"]}.
{allow, all}.
{deny, all}.
"##;
        let imported = emqx_acl(text, TARGET).unwrap();
        let (rules, notes) = lines(&imported);
        assert_eq!(
            rules,
            [
                "client c1: allow pubsub:x/${client_id}",
                "client c2: allow pubsub:x/${client_id}",
                "client dashboard: allow sub:$SYS/#",
                "client sensor: allow pub:s/${client_id}/#",
                "client sensor: allow pub:exact",
                "client sensor: deny pub:s/+/secret",
                "group imported: deny sub:$SYS/#",
            ]
        );
        assert!(imported.desired.members["imported"].iter().eq([
            "c1",
            "c2",
            "dashboard",
            "sensor"
        ]));
        for told in [
            "line 4: not carried over: a rule is for a client",
            "line 5: not carried over: a deny of \"#\"",
            "line 5: not carried over: a deny of \"+/#\"",
            "line 5: the deny of $SYS/# wins here over what stands before it and allows $SYS/# for client dashboard",
            "line 7: its MQTT Client Identifier",
            "line 8: the deny of s/+/secret wins here",
            "line 9: its quality of service",
            "line 9: not carried over: unknown placeholder",
            "line 10: not carried over: a rule is for a client",
            "line 11: not carried over: here nothing is allowed",
        ] {
            assert!(
                notes.iter().any(|note| note.starts_with(told)),
                "{told}: {notes:?}"
            );
        }
        assert_eq!(notes.len(), 10, "{notes:?}");
    }

    #[test]
    fn what_is_no_rule_is_told_and_what_is_no_term_refused() {
        let imported = emqx_acl("hello.\n{maybe, all}.\n{allow, all, fly, [\"a\"]}.", TARGET);
        assert_eq!(imported.unwrap().notes.len(), 3);
        assert!(emqx_acl("{allow, all}", TARGET).is_err());
    }
}
