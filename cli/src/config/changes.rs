//! What differs between two readings of a configuration, key by key.

use super::{Opened, document::Document};
use crate::{clock, serve::Which, shared_key};
use aws_lc_rs::digest;
use std::{collections::BTreeMap, path::Path};
use symbolon_auth_server::store::Location;
use toml::Value;

/// What can change while the servers run. Whatever is not in here needs a restart, so that no change is ever ignored.
const CHANGEABLE: &[&str] = &[
    "as.certificate",
    "as.key",
    "as.signing_key",
    "as.token_lifetime_secs",
    "as.pkcs11.module",
    "as.pkcs11.pin_file",
    "broker.audience",
    "broker.issuer",
    "broker.jwks_uri",
    "broker.token_endpoint",
    "broker.ca",
    "broker.content_key",
    "broker.mac_key",
    "broker.derivation_key",
    "broker.store_connect_tokens",
    "broker.certificate",
    "broker.key",
    "broker.public_topics",
    "broker.authz_info",
    "broker.stored_token_challenge",
    "broker.client_nonce",
    "broker.introspection.endpoint",
    "broker.introspection.revocation_list",
    "broker.introspection.client_id",
    "broker.introspection.secret",
    "broker.introspection.client_key",
    "broker.introspection.cache_secs",
    "broker.sys_interval_secs",
    "broker.private_topics",
    "broker.hide_topics",
    "broker.response_information",
    "broker.listener.certificate",
    "broker.listener.key",
    "broker.listener.origins",
    "log.level",
    "log.format",
];
/// All keys below these can change too.
const CHANGEABLE_SECTIONS: [&str; 2] = ["broker.limits.", "broker.authorization_server."];
/// The last words of keys that name files which the servers read.
const FILES: &[&str] = &[
    "certificate",
    "key",
    "signing_key",
    "ca",
    "client_ca",
    "content_key",
    "mac_key",
    "derivation_key",
    "secret",
    "client_key",
    "pin_file",
    "database_password_file",
];
/// How a key that is not set is shown.
const UNSET: &str = "(not set)";

/// All keys that some servers go by, with their values and what their files held. It holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Snapshot(BTreeMap<String, Held>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Held {
    /// As TOML writes it; of a file its path.
    value: String,
    /// SHA-256 of the file; `None` for other keys, and where it cannot be read.
    content: Option<Vec<u8>>,
}

/// One key that differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Change {
    /// Its dotted path.
    pub(crate) key: String,
    /// Only a restart can change it.
    pub(crate) needs_restart: bool,
    what: String,
}

impl Snapshot {
    /// Of what these servers go by.
    pub(crate) fn take(opened: &Opened, which: Which) -> Self {
        let document = &opened.document;
        let mut keys = BTreeMap::new();
        flatten("", &Value::Table(document.effective()), &mut keys);
        let own_issuer = keys.contains_key("broker.issuer");
        keys.retain(|key, _| {
            concerns(key, which) || (key == "as.issuer" && which == Which::Broker && !own_issuer)
        });
        let keys = keys.into_iter().map(|(key, value)| {
            let content = content_of(document, &key, &value);
            if key == "as.database" {
                return (key, held_database(&value));
            }
            let value = value.to_string();
            (key, Held { value, content })
        });
        Self(keys.collect())
    }

    /// Without a key that something else overrides.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// What is other in `next`.
    pub(crate) fn changes_to(&self, next: &Self, which: Which) -> Vec<Change> {
        let mut keys: Vec<&String> = self.0.keys().chain(next.0.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| {
                let what = difference(self.0.get(key), next.0.get(key))?;
                Some(Change {
                    key: key.clone(),
                    needs_restart: !is_changeable(key, which),
                    what,
                })
            })
            .collect()
    }
}

/// A URL is shown without the password that may be in it.
fn held_database(value: &Value) -> Held {
    let text = value.as_str().unwrap_or_default();
    let shown = match Location::parse(text) {
        Ok(Location::File(_)) => value.to_string(),
        Ok(location @ Location::Postgres(_)) => Value::from(location.to_string()).to_string(),
        Err(_) => "(not usable)".to_owned(),
    };
    Held {
        value: shown,
        content: Some(
            digest::digest(&digest::SHA256, text.as_bytes())
                .as_ref()
                .to_vec(),
        ),
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.what)?;
        if self.needs_restart {
            write!(f, " (needs a restart)")?;
        }
        Ok(())
    }
}

fn difference(before: Option<&Held>, after: Option<&Held>) -> Option<String> {
    let value = |held: Option<&Held>| held.map_or(UNSET.to_owned(), |held| held.value.clone());
    match (before, after) {
        (Some(before), Some(after)) if before == after => None,
        (Some(before), Some(after)) if before.value == after.value => {
            Some(format!("the content of {} changed", after.value))
        }
        (before, after) => Some(format!("{} → {}", value(before), value(after))),
    }
}

/// Whether servers of this kind go by the key.
fn concerns(key: &str, which: Which) -> bool {
    match key.split('.').next() {
        Some("as") => which != Which::Broker,
        Some("broker") => which != Which::AuthorizationServer,
        // `[profile]` is read by `symbolon client` alone, each time anew.
        Some("profile") => false,
        Some(_) | None => true,
    }
}

fn is_changeable(key: &str, which: Which) -> bool {
    // To a broker alone it is the default of its own issuer.
    if key == "as.issuer" {
        return which == Which::Broker;
    }
    let key = without_indices(key);
    let sections = CHANGEABLE_SECTIONS;
    sections.iter().any(|section| key.starts_with(section)) || CHANGEABLE.contains(&key.as_str())
}

/// `broker.listener[0].key` is `broker.listener.key`.
fn without_indices(key: &str) -> String {
    let mut parts = key.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        name + part.split_once(']').map_or("", |(_, rest)| rest)
    })
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        // That a section without keys is there may mean something: `[as.admin]`.
        Value::Table(table) if table.is_empty() => {
            into.insert(path.to_owned(), value.clone());
        }
        Value::Table(table) => {
            for (key, value) in table {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                flatten(&path, value, into);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_table) => {
            for (index, value) in elements.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), value, into);
            }
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => {
            into.insert(path.to_owned(), value.clone());
        }
    }
}

fn content_of(document: &Document, key: &str, value: &Value) -> Option<Vec<u8>> {
    let (_, name) = key.rsplit_once('.')?;
    if !FILES.contains(&name) {
        return None;
    }
    let path = document.absolute(Path::new(value.as_str()?));
    let text = crate::private_file::read_text(&path).ok()?;
    // A key that has ended makes it another file.
    let ended = shared_key::ended(&text, clock::now());
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    Some([digest.as_ref(), &ended.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::{super::keys::KEYS, *};

    #[test]
    fn what_can_change_are_keys_that_there_are() {
        for key in CHANGEABLE {
            assert!(KEYS.iter().any(|(known, _)| known == key), "{key}");
        }
    }

    #[test]
    fn an_index_is_no_part_of_the_name() {
        assert_eq!(
            without_indices("broker.listener[12].key"),
            "broker.listener.key"
        );
        assert!(is_changeable("broker.listener[0].certificate", Which::Both));
        assert!(!is_changeable("broker.listener[0].address", Which::Both));
    }

    #[test]
    fn a_key_that_nobody_thought_of_needs_a_restart() {
        assert!(!is_changeable("broker.new_thing", Which::Both));
        assert!(!is_changeable("new_section.new_thing", Which::Both));
    }

    #[test]
    fn every_key_says_in_the_documentation_whether_it_can_change() {
        let page = include_str!("../../../docs/configuration.md");
        let (_, section) = page.split_once("## Changing it while it runs").unwrap();
        for (key, _) in KEYS.iter().filter(|(key, _)| !key.starts_with("profile.")) {
            let name = key.rsplit('.').next().unwrap();
            let named = [format!("`{name}`"), format!("`{key}`")];
            assert!(
                CHANGEABLE_SECTIONS
                    .iter()
                    .any(|section| key.starts_with(section))
                    || named.iter().any(|name| section.contains(name)),
                "{key}"
            );
        }
    }
}
