//! Where the keys that sign tokens are: in a file, or in a hardware token.

use super::Checker;
use crate::config::schema;
use std::{
    fmt,
    path::{Path, PathBuf},
};
use symbolon_auth_server::pkcs11::KeyUri;

/// What `as.signing_key` names.
#[derive(Clone, Debug)]
pub(crate) enum SigningKeys {
    /// The file of a key, or of a ring of keys, of which some may be in a token.
    File(PathBuf),
    /// One key in a token, for ever.
    Token(KeyUri),
}

/// `[as.pkcs11]`.
#[derive(Clone, Debug)]
pub(crate) struct Pkcs11Settings {
    pub(crate) module: PathBuf,
    pub(crate) pin_file: Option<PathBuf>,
}

impl SigningKeys {
    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Token(_) => None,
        }
    }
}

impl fmt::Display for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Token(uri) => uri.fmt(f),
        }
    }
}

impl Checker<'_> {
    pub(super) fn signing_keys(
        &mut self,
        section: &schema::AuthorizationServer,
    ) -> Option<SigningKeys> {
        let key = "as.signing_key";
        let value = self.required(key, section.signing_key.as_deref())?;
        let uri = value
            .to_str()
            .filter(|text| text.starts_with(KeyUri::SCHEME));
        let Some(uri) = uri else {
            return Some(SigningKeys::File(self.document.absolute(value)));
        };
        if section.pkcs11.is_none() {
            self.complain(key, "a key in a token needs [as.pkcs11] with `module`");
        }
        match uri.parse::<KeyUri>() {
            Ok(uri) if uri.names_a_key() => Some(SigningKeys::Token(uri)),
            Ok(_) => {
                self.complain(key, "names no key: add object=LABEL or id=%XX..");
                None
            }
            Err(error) => {
                self.complain(key, error.to_string());
                None
            }
        }
    }

    pub(super) fn pkcs11(&mut self, section: &schema::Pkcs11) -> Option<Pkcs11Settings> {
        let module = self.required_path("as.pkcs11.module", section.module.as_deref());
        let pin_file = section.pin_file.as_deref();
        Some(Pkcs11Settings {
            module: module?,
            pin_file: pin_file.map(|path| self.document.absolute(path)),
        })
    }
}
