//! PKCS #11 URIs (RFC 7512): which key, in which token.

use std::{fmt, str::FromStr};

/// The longest URI that is read, bytes.
const MAX_LENGTH: usize = 1024;

/// A key in a token. It names a token by label or serial number, and a key by label, identifier, or both.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct KeyUri {
    pub(super) token: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
}

/// Why a URI is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyUriError {
    /// It has another scheme, or is too long.
    #[error("is no PKCS #11 URI: pkcs11:token=LABEL;object=LABEL")]
    NotOne,
    /// A part is not `name=value`, or its percent-encoding is wrong.
    #[error("has a part that cannot be read")]
    Malformed,
    /// A name that RFC 7512 does not have, or that means nothing for a signing key.
    #[error("has an attribute that is not known here: {0:?}")]
    Unknown(String),
    /// The same name twice (RFC 7512 §2.3).
    #[error("has {0:?} twice")]
    Twice(String),
    /// It has the PIN in it, or says where it is.
    #[error("a PIN does not stand in the URI: [as.pkcs11] pin_file names its file")]
    Pin,
    /// It says which module.
    #[error("the module does not stand in the URI: [as.pkcs11] module names it")]
    Module,
    /// It names no token.
    #[error("names no token: add token=LABEL or serial=NUMBER")]
    NoToken,
}

impl KeyUri {
    /// What every such URI begins with.
    pub const SCHEME: &str = "pkcs11:";

    /// Whether a key of the token is named, and not only the token.
    pub fn names_a_key(&self) -> bool {
        self.object.is_some() || self.id.is_some()
    }

    /// The token alone.
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self {
            object: None,
            id: None,
            ..self.clone()
        }
    }

    fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), KeyUriError> {
        if name == "id" {
            return put(&mut self.id, name, value);
        }
        let text = String::from_utf8(value).map_err(|_| KeyUriError::Malformed)?;
        let member = match name {
            "token" => &mut self.token,
            "serial" => &mut self.serial,
            "manufacturer" => &mut self.manufacturer,
            "model" => &mut self.model,
            "object" => &mut self.object,
            "type" if text == "private" => return Ok(()),
            _ => return Err(KeyUriError::Unknown(name.to_owned())),
        };
        put(member, name, text)
    }
}

impl FromStr for KeyUri {
    type Err = KeyUriError;

    fn from_str(text: &str) -> Result<Self, KeyUriError> {
        let rest = text
            .strip_prefix(Self::SCHEME)
            .filter(|_| text.len() <= MAX_LENGTH)
            .ok_or(KeyUriError::NotOne)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if let Some(part) = query.split('&').find(|part| !part.is_empty()) {
            return Err(match part.split('=').next().unwrap_or_default() {
                "pin-value" | "pin-source" => KeyUriError::Pin,
                "module-path" | "module-name" => KeyUriError::Module,
                other => KeyUriError::Unknown(other.to_owned()),
            });
        }
        let mut uri = Self::default();
        for part in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(KeyUriError::Malformed)?;
            uri.set(name, decoded(value).ok_or(KeyUriError::Malformed)?)?;
        }
        if uri.token.is_none() && uri.serial.is_none() {
            return Err(KeyUriError::NoToken);
        }
        Ok(uri)
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [
            ("token", &self.token),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("object", &self.object),
        ];
        let texts = texts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?.as_bytes())));
        let id = self.id.as_deref().map(|id| ("id", id));
        f.write_str(Self::SCHEME)?;
        for (index, (name, value)) in texts.chain(id).enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            write!(f, "{name}=")?;
            for byte in value {
                // An identifier is bytes: all of them encoded, as RFC 7512 §2.3 would have it.
                if name != "id" && (byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
                    write!(f, "{}", char::from(*byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        Ok(())
    }
}

fn put<T>(member: &mut Option<T>, name: &str, value: T) -> Result<(), KeyUriError> {
    match member.replace(value) {
        None => Ok(()),
        Some(_) => Err(KeyUriError::Twice(name.to_owned())),
    }
}

fn decoded(value: &str) -> Option<Vec<u8>> {
    let mut bytes = value.bytes();
    let mut decoded = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7512 §2.3
    #[test]
    fn a_uri_names_a_token_and_a_key() {
        let text = "pkcs11:token=My%20HSM;type=private;object=as-2026;id=%01%ff";
        let uri: KeyUri = text.parse().unwrap();
        assert_eq!(uri.token.as_deref(), Some("My HSM"));
        assert_eq!(uri.object.as_deref(), Some("as-2026"));
        assert_eq!(uri.id.as_deref(), Some(&[1, 255][..]));
        let shown = "pkcs11:token=My%20HSM;object=as-2026;id=%01%FF";
        assert_eq!(uri.to_string(), shown);
        assert_eq!(shown.parse(), Ok(uri.clone()));
        assert!(uri.names_a_key());
        assert!(!uri.without_key().names_a_key());
    }

    #[test]
    fn a_uri_that_says_too_much_or_too_little_is_refused() {
        let unknown = |name: &str| KeyUriError::Unknown(name.to_owned());
        for (text, error) in [
            ("keys/as.jwk", KeyUriError::NotOne),
            ("pkcs11:object=as", KeyUriError::NoToken),
            ("pkcs11:token=a;token=b", KeyUriError::Twice("token".into())),
            ("pkcs11:token=a;type=cert", unknown("type")),
            ("pkcs11:token=a;slot-id=1", unknown("slot-id")),
            ("pkcs11:token=a%2", KeyUriError::Malformed),
            ("pkcs11:token=%FF", KeyUriError::Malformed),
            ("pkcs11:token", KeyUriError::Malformed),
            ("pkcs11:token=a?pin-value=1234", KeyUriError::Pin),
            ("pkcs11:token=a?module-path=/x.so", KeyUriError::Module),
        ] {
            let refused = text.parse::<KeyUri>().unwrap_err();
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains("1234"));
        }
        let long = format!("pkcs11:token={}", "a".repeat(MAX_LENGTH));
        assert_eq!(long.parse::<KeyUri>(), Err(KeyUriError::NotOne));
    }
}
