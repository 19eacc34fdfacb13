//! Every key there is. `docs/configuration.md` names each, and a test sees to that.

/// What kind of value a key takes, for the environment and the command line, where all is text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Text, without quotes there.
    Text,
    /// A number or a boolean, as TOML writes it.
    Plain,
    /// An array, as TOML writes it.
    Array,
}

/// All keys by their dotted path. Those of a listener and of a further authorization server stand in arrays of tables and cannot be set one by
/// one from outside.
pub(super) const KEYS: &[(&str, Kind)] = &[
    ("as.listen", Kind::Text),
    ("as.issuer", Kind::Text),
    ("as.certificate", Kind::Text),
    ("as.key", Kind::Text),
    ("as.client_ca", Kind::Text),
    ("as.database", Kind::Text),
    ("as.database_password_file", Kind::Text),
    ("as.signing_key", Kind::Text),
    ("as.token_lifetime_secs", Kind::Plain),
    ("as.pkcs11.module", Kind::Text),
    ("as.pkcs11.pin_file", Kind::Text),
    ("as.registration", Kind::Plain),
    ("as.admin.listen", Kind::Text),
    ("as.management.address", Kind::Text),
    ("as.management.insecure", Kind::Plain),
    ("broker.audience", Kind::Text),
    ("broker.issuer", Kind::Text),
    ("broker.jwks_uri", Kind::Text),
    ("broker.token_endpoint", Kind::Text),
    ("broker.ca", Kind::Text),
    ("broker.content_key", Kind::Text),
    ("broker.mac_key", Kind::Text),
    ("broker.derivation_key", Kind::Text),
    ("broker.clock", Kind::Plain),
    ("broker.authorization_server", Kind::Array),
    ("broker.authorization_server.audience", Kind::Text),
    ("broker.authorization_server.issuer", Kind::Text),
    ("broker.authorization_server.jwks_uri", Kind::Text),
    ("broker.authorization_server.token_endpoint", Kind::Text),
    ("broker.authorization_server.ca", Kind::Text),
    ("broker.authorization_server.content_key", Kind::Text),
    ("broker.authorization_server.mac_key", Kind::Text),
    ("broker.authorization_server.derivation_key", Kind::Text),
    (
        "broker.authorization_server.introspection.endpoint",
        Kind::Text,
    ),
    (
        "broker.authorization_server.introspection.revocation_list",
        Kind::Text,
    ),
    (
        "broker.authorization_server.introspection.client_id",
        Kind::Text,
    ),
    (
        "broker.authorization_server.introspection.secret",
        Kind::Text,
    ),
    (
        "broker.authorization_server.introspection.client_key",
        Kind::Text,
    ),
    (
        "broker.authorization_server.introspection.cache_secs",
        Kind::Plain,
    ),
    ("broker.certificate", Kind::Text),
    ("broker.key", Kind::Text),
    ("broker.public_topics", Kind::Array),
    ("broker.private_topics", Kind::Array),
    ("broker.hide_topics", Kind::Plain),
    ("broker.authz_info", Kind::Plain),
    ("broker.store_connect_tokens", Kind::Plain),
    ("broker.stored_token_challenge", Kind::Plain),
    ("broker.client_nonce", Kind::Plain),
    ("broker.shards", Kind::Plain),
    ("broker.response_information", Kind::Text),
    ("broker.sys_interval_secs", Kind::Plain),
    ("broker.listener", Kind::Array),
    ("broker.listener.address", Kind::Text),
    ("broker.listener.transport", Kind::Text),
    ("broker.listener.insecure", Kind::Plain),
    ("broker.listener.origins", Kind::Array),
    ("broker.listener.certificate", Kind::Text),
    ("broker.listener.key", Kind::Text),
    ("broker.limits.connections", Kind::Plain),
    ("broker.limits.connections_per_address", Kind::Plain),
    ("broker.limits.handshakes", Kind::Plain),
    ("broker.limits.handshake_timeout_secs", Kind::Plain),
    ("broker.limits.connect_timeout_secs", Kind::Plain),
    ("broker.limits.packet_size", Kind::Plain),
    ("broker.limits.topic_levels", Kind::Plain),
    ("broker.limits.topic_length", Kind::Plain),
    ("broker.limits.sessions", Kind::Plain),
    ("broker.limits.subscriptions_per_client", Kind::Plain),
    ("broker.limits.queued_messages", Kind::Plain),
    ("broker.limits.queued_bytes", Kind::Plain),
    ("broker.limits.session_expiry_secs", Kind::Plain),
    ("broker.limits.outbox_bytes", Kind::Plain),
    ("broker.limits.retained_messages", Kind::Plain),
    ("broker.limits.retained_bytes", Kind::Plain),
    ("broker.limits.wills", Kind::Plain),
    ("broker.limits.will_size", Kind::Plain),
    ("broker.limits.receive_maximum", Kind::Plain),
    ("broker.limits.send_maximum", Kind::Plain),
    ("broker.limits.receive_rate", Kind::Plain),
    ("broker.limits.receive_burst", Kind::Plain),
    ("broker.limits.keep_alive_secs", Kind::Plain),
    ("broker.limits.stored_tokens", Kind::Plain),
    ("broker.limits.stored_tokens_bytes", Kind::Plain),
    ("broker.limits.authz_info_rate", Kind::Plain),
    ("broker.introspection.endpoint", Kind::Text),
    ("broker.introspection.revocation_list", Kind::Text),
    ("broker.introspection.client_id", Kind::Text),
    ("broker.introspection.secret", Kind::Text),
    ("broker.introspection.client_key", Kind::Text),
    ("broker.introspection.cache_secs", Kind::Plain),
    ("broker.management.address", Kind::Text),
    ("broker.management.insecure", Kind::Plain),
    ("broker.store.path", Kind::Text),
    ("broker.store.durability", Kind::Text),
    ("broker.store.max_bytes", Kind::Plain),
    ("profile.broker", Kind::Text),
    ("profile.ca", Kind::Text),
    ("log.level", Kind::Text),
    ("log.format", Kind::Text),
];

/// How alike two words must be to be a suggestion, from 0 to 1.
const ALIKE: f64 = 0.6;

/// The kind of a key, if there is such a key.
pub(super) fn kind(path: &str) -> Option<Kind> {
    KEYS.iter()
        .find(|(key, _)| *key == path)
        .map(|(_, kind)| *kind)
}

/// Whether keys stand under this path.
pub(super) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|(key, _)| {
        key.strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The name of the environment variable of a key; the keys in arrays of tables have none.
pub(super) fn variable(path: &str) -> Option<String> {
    let arrays = ["broker.listener.", "broker.authorization_server."];
    (!arrays.iter().any(|array| path.starts_with(array)))
        .then(|| format!("SYMBOLON_{}", path.replace('.', "_").to_uppercase()))
}

/// Advice for a key that does not exist: its sibling, or the same name in another section.
pub(super) fn suggestion(path: &str) -> Option<String> {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let siblings = KEYS.iter().filter_map(|(key, _)| child_of(key, section));
    if let Some(sibling) = closest(name, siblings) {
        return Some(format!("did you mean `{sibling}`?"));
    }
    let elsewhere: Vec<String> = KEYS
        .iter()
        .filter_map(|(key, _)| key.rsplit_once('.'))
        .filter(|(_, last)| *last == name)
        .map(|(section, _)| format!("[{section}]"))
        .collect();
    (!elsewhere.is_empty())
        .then(|| format!("there is a `{name}` under {}", elsewhere.join(" and ")))
}

/// The candidate most like `word`, if one is alike enough.
pub(super) fn closest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| {
            (
                strsim::normalized_damerau_levenshtein(word, candidate),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// The first level of `key` below `section`.
fn child_of<'a>(key: &'a str, section: &str) -> Option<&'a str> {
    let below = if section.is_empty() {
        key
    } else {
        key.strip_prefix(section)?.strip_prefix('.')?
    };
    below.split('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_gets_its_sibling() {
        assert_eq!(
            suggestion("as.lisen").as_deref(),
            Some("did you mean `listen`?")
        );
        assert_eq!(
            suggestion("brokr").as_deref(),
            Some("did you mean `broker`?")
        );
    }

    #[test]
    fn a_key_in_the_wrong_section_is_told_where_it_belongs() {
        assert_eq!(
            suggestion("log.content_key").as_deref(),
            Some("there is a `content_key` under [broker] and [broker.authorization_server]")
        );
    }

    #[test]
    fn every_key_is_in_the_documentation() {
        let page = include_str!("../../../docs/configuration.md");
        for (key, _) in KEYS {
            let name = key.rsplit('.').next().unwrap();
            let named = [format!("`{name}`"), format!("`[[{key}]]`")];
            assert!(named.iter().any(|name| page.contains(name)), "{key}");
        }
    }
}
