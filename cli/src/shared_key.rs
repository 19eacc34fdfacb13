//! Files with secrets that the authorization server and a resource server share: read where they are, made where they are not.

use crate::{exit::usage, private_file};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::path::Path;
use symbolon_ace_proto::{SymmetricKey, jwe::ContentKey};

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

    /// The key in the text of such a file; or why it is none. What is said never quotes the key.
    pub(crate) fn parse(self, text: &str) -> Result<ContentKey, String> {
        let file: KeyFile =
            serde_json::from_str(text).map_err(|_| "is not a JWK with kty and k".to_owned())?;
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
        Ok(ContentKey {
            kid,
            key: SymmetricKey::from_bytes(&key),
        })
    }

    fn make(self, path: &Path) -> anyhow::Result<ContentKey> {
        let made = ContentKey::generate()?;
        let (alg, enc) = self.algorithm();
        let file = KeyFile {
            kty: "oct".to_owned(),
            kid: Some(made.kid.clone()),
            alg: alg.map(str::to_owned),
            enc: enc.map(str::to_owned),
            k: URL_SAFE_NO_PAD.encode(made.key.as_bytes()),
        };
        private_file::write_secret(path, &serde_json::to_string(&file)?, false)?;
        Ok(made)
    }
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
