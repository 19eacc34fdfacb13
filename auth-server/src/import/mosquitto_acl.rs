//! Mosquitto's `acl_file` (`mosquitto.conf(5)`): `user NAME`, `topic [ACCESS] FILTER`, `pattern [ACCESS] FILTER`.

use super::{Imported, Right, Target, with_our_placeholders};
use crate::store::{Effect, Subject};

const IN_PATTERNS: [&str; 2] = ["%u", "%c"];

/// Reads an ACL file. User names become clients; what `pattern` says goes to the group.
pub fn mosquitto_acl(text: &str, target: Target<'_>) -> Imported {
    let mut imported = Imported::default();
    let group = Subject::Group(target.group.to_owned());
    // Before the first user it is about clients without a name; after one that cannot be a client, about nobody.
    let mut user: Result<Subject, &str> = Err(
        "not carried over: it is for clients without a user name; without a token only public_topics are open here",
    );
    for (index, line) in text.lines().enumerate() {
        let place = format!("line {}", index + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match keyword {
            "user" => {
                let client = imported.client(&place, rest);
                user = client.ok_or("not carried over: its user is none here");
            }
            "topic" => match &user {
                Ok(subject) => {
                    let (access, filter) = access_of(rest);
                    let Some(filter) = with_our_placeholders(filter, &[]) else {
                        imported.note(&place, "not carried over: \"${\" is a placeholder here");
                        continue;
                    };
                    let right = right(access, &filter);
                    imported.add(&place, subject, target.audience, right);
                }
                Err(why) => imported.note(&place, *why),
            },
            "pattern" => {
                let (access, filter) = access_of(rest);
                if filter.contains("%c") {
                    let text = "%c is taken for the client's name here: its MQTT Client Identifier is the same";
                    imported.note(&place, text);
                }
                if access == "deny" {
                    let text = "a deny for all wins here over what a user's own lines allow";
                    imported.note(&place, text);
                }
                match with_our_placeholders(filter, &IN_PATTERNS) {
                    Some(filter) => {
                        let right = right(access, &filter);
                        imported.add(&place, &group, target.audience, right);
                    }
                    None => imported.note(&place, "not carried over: \"${\" is a placeholder here"),
                }
            }
            other => imported.note(&place, format!("not carried over: unknown word {other:?}")),
        }
    }
    imported.fill_group(target.group);
    imported
}

/// The access, `readwrite` where none is named, and the filter, which may have spaces.
fn access_of(rest: &str) -> (&str, &str) {
    match rest.split_once(char::is_whitespace) {
        Some((access @ ("read" | "write" | "readwrite" | "deny"), filter)) => {
            (access, filter.trim())
        }
        Some(_) | None => ("readwrite", rest),
    }
}

fn right<'a>(access: &str, filter: &'a str) -> Right<'a> {
    Right {
        effect: match access {
            "deny" => Effect::Deny,
            _ => Effect::Allow,
        },
        filter,
        publish: access != "read",
        subscribe: access != "write",
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{TARGET, lines},
        *,
    };

    #[test]
    fn users_topics_and_patterns_become_clients_rules_and_a_group() {
        let text = "# a comment\n\
            topic read public/#\n\
            user sensor\n\
            topic write sensors/1\n\
            topic read set/two words\n\
            topic deny sensors/1/secret\n\
            topic status\n\
            \n\
            user a/b\n\
            topic x\n\
            pattern readwrite dev/%u/%c/#\n\
            pattern deny dev/+/secret\n\
            topic a/#/b\n\
            user gauge\n\
            topic ${client_id}\n\
            topic a/#/b\n\
            speak friend\n";
        let imported = mosquitto_acl(text, TARGET);
        let (rules, notes) = lines(&imported);
        assert_eq!(
            rules,
            [
                "client sensor: allow pub:sensors/1",
                "client sensor: allow sub:set/two words",
                "client sensor: deny pubsub:sensors/1/secret",
                "client sensor: allow pubsub:status",
                "group imported: allow pubsub:dev/${client_id}/${client_id}/#",
                "group imported: deny pubsub:dev/+/secret",
            ]
        );
        let members: Vec<_> = imported.desired.members["imported"].iter().collect();
        assert_eq!(members, ["gauge", "sensor"]);
        let places: Vec<&str> = notes
            .iter()
            .filter_map(|note| note.split(':').next())
            .collect();
        let expected = [2, 9, 10, 11, 12, 13, 15, 16, 17].map(|line| format!("line {line}"));
        assert_eq!(places, expected, "{notes:?}");
        assert!(notes[0].contains("public_topics"), "{notes:?}");
    }

    #[test]
    fn without_patterns_there_is_no_group() {
        let imported = mosquitto_acl("user a\ntopic b\n", TARGET);
        assert!(imported.desired.members.is_empty());
        assert!(imported.notes.is_empty());
    }
}
