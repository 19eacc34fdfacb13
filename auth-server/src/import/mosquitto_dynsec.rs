//! The JSON file of Mosquitto's dynamic security plugin: clients, groups, roles. A role becomes a group of ours.

use super::{ImportError, Imported, Right, Target, may_overlap, with_our_placeholders};
use crate::{
    core::policy::ClientId,
    store::{Effect, Subject},
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct File {
    #[serde(rename = "defaultACLAccess")]
    default_acl_access: BTreeMap<String, bool>,
    clients: Vec<Client>,
    groups: Vec<Group>,
    roles: Vec<Role>,
    anonymous_group: Option<String>,
}

#[derive(Deserialize)]
struct Client {
    username: String,
    clientid: Option<String>,
    password: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    roles: Vec<RoleName>,
    #[serde(default)]
    groups: Vec<GroupName>,
}

#[derive(Deserialize)]
struct Group {
    groupname: String,
    #[serde(default)]
    roles: Vec<RoleName>,
    #[serde(default)]
    clients: Vec<ClientName>,
}

#[derive(Deserialize)]
struct RoleName {
    rolename: String,
}

#[derive(Deserialize)]
struct GroupName {
    groupname: String,
}

#[derive(Deserialize)]
struct ClientName {
    username: String,
}

#[derive(Deserialize)]
struct Role {
    rolename: String,
    #[serde(default)]
    acls: Vec<Acl>,
}

#[derive(Deserialize)]
struct Acl {
    acltype: String,
    topic: String,
    #[serde(default)]
    priority: i64,
    allow: bool,
}

/// Reads the plugin's file.
pub fn mosquitto_dynsec(text: &str, target: Target<'_>) -> Result<Imported, ImportError> {
    let file: File = serde_json::from_str(text).map_err(|error| ImportError {
        place: format!("line {}", error.line()),
        text: "not the JSON of Mosquitto's dynamic security plugin".to_owned(),
    })?;
    let mut imported = Imported::default();
    for (kind, allowed) in &file.default_acl_access {
        if *allowed && ["publishClientSend", "subscribe"].contains(&kind.as_str()) {
            let text = "not carried over: here nothing is allowed that no rule allows";
            imported.note(&format!("defaultACLAccess {kind}"), text);
        }
    }
    if let Some(group) = &file.anonymous_group {
        let text = "not carried over: without a token only public_topics are open here";
        imported.note(&format!("anonymousGroup {group}"), text);
    }
    for role in &file.roles {
        add_role(&mut imported, role, target.audience);
    }
    for client in &file.clients {
        add_client(&mut imported, client, &file);
    }
    Ok(imported)
}

fn add_role(imported: &mut Imported, role: &Role, audience: &str) {
    let name = &role.rolename;
    let place = format!("role {name}");
    if let Err(error) = ClientId::parse(name) {
        let text = format!("not carried over: no group can have its name: {error}");
        return imported.note(&place, text);
    }
    let subject = Subject::Group(name.clone());
    imported.desired.rules.entry(subject.clone()).or_default();
    imported.desired.members.entry(name.clone()).or_default();
    for acl in &role.acls {
        let place = format!("{place}, {} {}", acl.acltype, acl.topic);
        let Some((publish, subscribe)) = permissions(imported, &place, acl) else {
            continue;
        };
        if loses_its_priority(acl, role) {
            let text = "its priority is lost: here the deny of the same role wins";
            imported.note(&place, text);
        }
        let Some(filter) = with_our_placeholders(&acl.topic, &["%u", "%c"]) else {
            imported.note(&place, "not carried over: \"${\" is a placeholder here");
            continue;
        };
        let right = Right {
            effect: if acl.allow {
                Effect::Allow
            } else {
                Effect::Deny
            },
            filter: &filter,
            publish,
            subscribe,
        };
        imported.add(&place, &subject, audience, right);
    }
}

/// Whether it is about publishing, and about subscribing. `None` where nothing of it is carried over, which is told where something is lost.
fn permissions(imported: &mut Imported, place: &str, acl: &Acl) -> Option<(bool, bool)> {
    let lost = match (acl.acltype.as_str(), acl.allow) {
        ("publishClientSend", _) => return Some((true, false)),
        ("subscribePattern", _) | ("publishClientReceive", false) => return Some((false, true)),
        // Who may subscribe receives, and may unsubscribe: nothing is lost.
        ("publishClientReceive" | "unsubscribeLiteral" | "unsubscribePattern", true) => {
            return None;
        }
        ("subscribeLiteral", _) if !acl.topic.contains(['+', '#']) => return Some((false, true)),
        ("subscribeLiteral", true) => {
            let text = "carried over as a pattern: narrower filters are allowed too";
            imported.note(place, text);
            return Some((false, true));
        }
        ("subscribeLiteral", false) => "a deny of this filter alone would deny all that it matches",
        ("unsubscribeLiteral" | "unsubscribePattern", false) => {
            "whoever subscribed may unsubscribe"
        }
        _ => "unknown type",
    };
    imported.note(place, format!("not carried over: {lost}"));
    None
}

fn loses_its_priority(acl: &Acl, role: &Role) -> bool {
    let mut others = role.acls.iter();
    acl.allow
        && others.any(|other| {
            !other.allow && other.priority < acl.priority && may_overlap(&acl.topic, &other.topic)
        })
}

fn add_client(imported: &mut Imported, client: &Client, file: &File) {
    let name = &client.username;
    let place = format!("client {name}");
    if client.disabled {
        return imported.note(&place, "not carried over: it is disabled");
    }
    if imported.client(&place, name).is_none() {
        return;
    }
    if client.password.is_some() {
        imported.note(
            &place,
            "its password is not carried over: it gets a key of its own",
        );
    }
    if client.clientid.as_ref().is_some_and(|id| id != name) {
        imported.note(
            &place,
            "its clientid is not carried over: its MQTT Client Identifier is its name here",
        );
    }
    let is_member = |group: &&Group| {
        let mut own = client.groups.iter();
        let mut members = group.clients.iter();
        own.any(|own| own.groupname == group.groupname)
            || members.any(|member| member.username == *name)
    };
    let of_groups = file.groups.iter().filter(is_member);
    let of_groups = of_groups.flat_map(|group| &group.roles);
    for role in client.roles.iter().chain(of_groups) {
        if let Some(members) = imported.desired.members.get_mut(&role.rolename) {
            members.insert(name.clone());
        } else {
            let text = format!("not carried over: there is no role {:?}", role.rolename);
            imported.note(&place, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{TARGET, lines},
        *,
    };

    const TEXT: &str = r##"{
        "defaultACLAccess": {"publishClientSend": false, "publishClientReceive": true, "subscribe": true, "unsubscribe": true},
        "clients": [
            {"username": "sensor", "textname": "x", "password": "aGFzaA==", "salt": "c2FsdA==", "iterations": 101,
             "roles": [{"rolename": "publisher", "priority": -1}], "groups": [{"groupname": "all"}]},
            {"username": "old", "disabled": true, "roles": []},
            {"username": "board", "clientid": "board-1", "roles": [{"rolename": "ghost"}]}
        ],
        "groups": [{"groupname": "all", "roles": [{"rolename": "reader"}], "clients": [{"username": "board", "priority": -1}]}],
        "roles": [
            {"rolename": "two words", "acls": []},
            {"rolename": "publisher", "acls": [
                {"acltype": "publishClientSend", "topic": "s/%u/#", "priority": 5, "allow": true},
                {"acltype": "publishClientSend", "topic": "s/+/secret", "priority": 0, "allow": false},
                {"acltype": "publishClientReceive", "topic": "#", "priority": 0, "allow": true},
                {"acltype": "teleport", "topic": "#", "priority": 0, "allow": true}]},
            {"rolename": "reader", "acls": [
                {"acltype": "subscribePattern", "topic": "s/#", "priority": 0, "allow": true},
                {"acltype": "subscribeLiteral", "topic": "#", "priority": 0, "allow": false},
                {"acltype": "unsubscribePattern", "topic": "s/#", "priority": 0, "allow": false}]}
        ]
    }"##;

    #[test]
    fn roles_become_groups_and_what_is_lost_is_told() {
        let imported = mosquitto_dynsec(TEXT, TARGET).unwrap();
        let (rules, notes) = lines(&imported);
        assert_eq!(
            rules,
            [
                "group publisher: allow pub:s/${client_id}/#",
                "group publisher: deny pub:s/+/secret",
                "group reader: allow sub:s/#",
            ]
        );
        let members = &imported.desired.members;
        assert!(members["publisher"].iter().eq(["sensor"]));
        assert!(members["reader"].iter().eq(["board", "sensor"]));
        assert!(imported.clients.iter().eq(["board", "sensor"]));
        for told in [
            "defaultACLAccess subscribe: not carried over",
            "s/%u/#: its priority is lost",
            "teleport #: not carried over: unknown type",
            "subscribeLiteral #: not carried over",
            "unsubscribePattern s/#: not carried over",
            "role two words: not carried over: no group can have its name",
            "client sensor: its password",
            "client old: not carried over: it is disabled",
            "client board: its clientid",
            "client board: not carried over: there is no role \"ghost\"",
        ] {
            assert!(
                notes.iter().any(|note| note.contains(told)),
                "{told}: {notes:?}"
            );
        }
        assert_eq!(notes.len(), 10, "{notes:?}");
        assert!(!format!("{notes:?}").contains("aGFzaA"));
    }

    #[test]
    fn what_is_not_such_a_file_is_refused_with_its_line() {
        let error = mosquitto_dynsec("{\n\"clients\": 7}", TARGET).unwrap_err();
        assert_eq!(error.place, "line 2");
    }
}
