//! The ring of signing keys: from its file, or of one key in a token; with the token where keys are in one.

use super::Loader;
use crate::{
    clock,
    config::settings::{AuthorizationServerSettings, SigningKeys},
    private_file,
};
use std::path::Path;
use symbolon_auth_server::{KeyRing, pkcs11::Hsm};

/// The ring in a file, which signs nothing yet where keys are in a token. The error is for people, without the path.
pub(crate) fn ring_in(path: &Path) -> Result<KeyRing, String> {
    let text = private_file::read_secret(path)?;
    KeyRing::from_json(&text, clock::now()).map_err(|error| error.to_string())
}

/// The module of `[as.pkcs11]`. The error is for people, and has no PIN in it.
pub(crate) fn hsm(settings: &AuthorizationServerSettings) -> Result<Hsm, String> {
    let section = settings
        .pkcs11
        .as_ref()
        .ok_or("there is no section [as.pkcs11]")?;
    let pin = match &section.pin_file {
        Some(path) => Some(
            private_file::read_secret(path)
                .map_err(|error| format!("{}: {error}", path.display()))?,
        ),
        None => None,
    };
    let pin = pin.as_deref().map(str::trim_end);
    Hsm::open(&section.module, pin).map_err(|error| error.to_string())
}

/// All keys that sign or will have signed once.
fn ready(settings: &AuthorizationServerSettings) -> Result<KeyRing, String> {
    let told = |error: symbolon_auth_server::pkcs11::HsmError| error.to_string();
    match &settings.signing_key {
        SigningKeys::Token(uri) => KeyRing::of_token(hsm(settings)?, uri).map_err(told),
        SigningKeys::File(path) => {
            let mut ring = ring_in(path)?;
            let now = clock::now();
            if ring.needs_hsm(now) {
                ring.attach(hsm(settings)?, now).map_err(told)?;
            }
            Ok(ring)
        }
    }
}

impl Loader<'_> {
    pub(super) fn signing_keys(
        &mut self,
        settings: &AuthorizationServerSettings,
    ) -> Option<KeyRing> {
        let shown = settings.signing_key.to_string();
        self.accept("as.signing_key", Path::new(&shown), ready(settings))
    }
}
