//! Files with secrets that the authorization server and a resource server share: read where they are, made where they are not.

use crate::{config::Settings, exit::usage, private_file};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::path::{Path, PathBuf};
use symbolon_ace_proto::{SymmetricKey, UnixTime, jwe::ContentKey};
use symbolon_broker::AuthorizationServerConfig;

/// Length of a shared key, bytes.
const KEY_BYTES: usize = 32;

/// What a shared key is for; each has one algorithm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// Encrypts symmetric proof-of-possession keys.
    Content,
    /// Authenticates tokens.
    Mac,
    /// Derives symmetric proof-of-possession keys.
    Derivation,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct KeyFile {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enc: Option<String>,
    k: String,
    /// Until when it is good, where another has taken its place; seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    good_until: Option<u64>,
}

/// Several keys for one purpose, while they rotate: a JWK Set (RFC 7517 §5).
#[derive(serde::Deserialize, serde::Serialize)]
struct SetFile {
    keys: Vec<KeyFile>,
}

/// A key of a file, and until when it is good.
#[derive(Clone, Debug)]
pub(crate) struct SharedKey {
    pub(crate) key: ContentKey,
    pub(crate) good_until: Option<UnixTime>,
}

impl SharedKey {
    pub(crate) fn is_good(&self, now: UnixTime) -> bool {
        self.good_until.is_none_or(|until| until > now)
    }
}

impl Purpose {
    /// `alg` and `enc` in its file.
    fn algorithm(self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Content => (Some("dir"), Some("A256GCM")),
            Self::Mac => (Some("HS256"), None),
            Self::Derivation => (None, None),
        }
    }

    /// The key in this file, a symmetric JWK; a new one, written there, where there is no file.
    pub(crate) fn read_or_make(self, path: &Path) -> anyhow::Result<ContentKey> {
        if !path.exists() {
            return self.make(path);
        }
        let refused = |why: String| usage(format!("{}: {why}", path.display()));
        let text = private_file::read_secret(path).map_err(refused)?;
        self.parse(&text).map_err(refused)
    }

    /// The key in the text of a file that holds one; or why it is none. What is said never quotes the key.
    pub(crate) fn parse(self, text: &str) -> Result<ContentKey, String> {
        match <[SharedKey; 1]>::try_from(self.parse_all(text)?) {
            Ok([shared]) => Ok(shared.key),
            Err(_) => Err("holds several keys, where one is wanted".to_owned()),
        }
    }

    /// The keys in the text of a file: a JWK, or a JWK Set of up to four, the eldest first.
    pub(crate) fn parse_all(self, text: &str) -> Result<Vec<SharedKey>, String> {
        let files = match serde_json::from_str(text) {
            Ok(SetFile { keys }) => keys,
            Err(_) => vec![
                serde_json::from_str(text)
                    .map_err(|_| "is not a JWK with kty and k, nor a set of such".to_owned())?,
            ],
        };
        let most = AuthorizationServerConfig::SHARED_KEYS_AT_MOST;
        if files.is_empty() || files.len() > most {
            return Err(format!("is not a set of 1 to {most} keys"));
        }
        files.into_iter().map(|file| self.parse_one(file)).collect()
    }

    fn parse_one(self, file: KeyFile) -> Result<SharedKey, String> {
        let (alg, _) = self.algorithm();
        if file.alg.is_some() && file.alg.as_deref() != alg {
            return Err("is a key for another algorithm".to_owned());
        }
        let key = (URL_SAFE_NO_PAD.decode(&file.k))
            .map_err(|_| "`k` is not base64url without padding".to_owned())?;
        if file.kty != "oct" || key.len() != KEY_BYTES {
            return Err(format!("is not a symmetric key of {KEY_BYTES} bytes"));
        }
        let kid = match (self, file.kid) {
            (_, Some(kid)) => kid,
            (Self::Derivation, None) => String::new(),
            (Self::Content | Self::Mac, None) => return Err("is a JWK without `kid`".to_owned()),
        };
        Ok(SharedKey {
            key: ContentKey {
                kid,
                key: SymmetricKey::from_bytes(&key),
            },
            good_until: file.good_until.map(UnixTime),
        })
    }

    fn make(self, path: &Path) -> anyhow::Result<ContentKey> {
        let made = ContentKey::generate()?;
        let file = self.file(&made, None);
        private_file::write_secret(path, &serde_json::to_string(&file)?, false)?;
        Ok(made)
    }

    /// A file with these keys, as the broker reads it.
    pub(crate) fn to_text(self, keys: &[SharedKey]) -> anyhow::Result<String> {
        let file = |shared: &SharedKey| self.file(&shared.key, shared.good_until);
        Ok(serde_json::to_string(&SetFile {
            keys: keys.iter().map(file).collect(),
        })?)
    }

    fn file(self, key: &ContentKey, good_until: Option<UnixTime>) -> KeyFile {
        let (alg, enc) = self.algorithm();
        KeyFile {
            kty: "oct".to_owned(),
            kid: Some(key.kid.clone()).filter(|kid| !kid.is_empty()),
            alg: alg.map(str::to_owned),
            enc: enc.map(str::to_owned),
            k: URL_SAFE_NO_PAD.encode(key.key.as_bytes()),
            good_until: good_until.map(|until| until.0),
        }
    }
}

/// All files with such keys that the broker of this configuration reads.
fn files(settings: &Settings) -> impl Iterator<Item = (Purpose, &PathBuf)> {
    let servers = settings.broker.iter().flat_map(|one| &one.authorization);
    servers.flat_map(|server| {
        let files = [
            (Purpose::Content, &server.content_key),
            (Purpose::Mac, &server.mac_key),
            (Purpose::Derivation, &server.derivation_key),
        ];
        files
            .into_iter()
            .filter_map(|(purpose, file)| Some((purpose, file.as_ref()?)))
    })
}

/// When the next of the keys that the broker reads ends.
pub(crate) fn next_end(settings: &Settings, now: UnixTime) -> Option<UnixTime> {
    let keys = files(settings).filter_map(|(purpose, file)| {
        let text = private_file::read_secret(file).ok()?;
        purpose.parse_all(&text).ok()
    });
    let ends = keys.flatten().filter_map(|key| key.good_until);
    ends.filter(|end| *end > now).min()
}

/// How many keys in the text of such a file have ended.
pub(crate) fn ended(text: &str, now: UnixTime) -> usize {
    let ends = |key: &KeyFile| key.good_until.is_some_and(|until| until <= now.0);
    serde_json::from_str(text).map_or(0, |SetFile { keys }| {
        keys.iter().filter(|key| ends(key)).count()
    })
}

/// The secret in this file; a new one of 256 random bits, written there, where there is no file.
pub(crate) fn secret(path: &Path) -> anyhow::Result<String> {
    if !path.exists() {
        let made = ContentKey::generate()?;
        let text = URL_SAFE_NO_PAD.encode(made.key.as_bytes());
        private_file::write_secret(path, &text, false)?;
        return Ok(text);
    }
    let text = private_file::read_secret(path)
        .map_err(|error| usage(format!("{}: {error}", path.display())))?;
    let text = text.trim_end();
    if text.len() < KEY_BYTES {
        // Only its digest is stored, without salt: what people think up would be found.
        return Err(usage(format!(
            "{}: a secret has {KEY_BYTES} characters or more, from a random source",
            path.display()
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_made_is_read_again_and_for_its_purpose_only() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (purpose, other, name) in [
            (Purpose::Content, Purpose::Mac, "content"),
            (Purpose::Mac, Purpose::Content, "mac"),
        ] {
            let made = purpose.read_or_make(&at(name)).unwrap();
            let read = purpose.read_or_make(&at(name)).unwrap();
            assert_eq!(read.kid, made.kid);
            assert_eq!(read.key.as_bytes(), made.key.as_bytes());
            let refused = other.read_or_make(&at(name)).unwrap_err().to_string();
            assert!(refused.contains("another algorithm"), "{refused}");
        }
        let made = secret(&at("secret")).unwrap();
        assert_eq!(secret(&at("secret")).unwrap(), made);
    }

    #[test]
    fn what_is_no_such_key_is_refused_without_quoting_it() {
        let short = r#"{"kty":"oct","kid":"k","k":"c2VjcmV0"}"#;
        let error = Purpose::Content.parse(short).unwrap_err();
        assert!(error.contains("32 bytes"), "{error}");
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }

    #[test]
    fn only_a_key_that_others_are_derived_with_may_lack_a_name() {
        let k = URL_SAFE_NO_PAD.encode([7; 32]);
        let nameless = format!(r#"{{"kty":"oct","k":"{k}"}}"#);
        assert!(Purpose::Mac.parse(&nameless).is_err());
        assert!(Purpose::Content.parse(&nameless).is_err());
        assert!(Purpose::Derivation.parse(&nameless).is_ok());
    }
}
