//! The files of an authorization server that the broker trusts: keys that both share, its CA, the broker's secret there.

use super::{Loader, TRIAL_TIMEOUT};
use crate::{
    config::settings::{AuthorizationSettings, CredentialFile, IntrospectionSettings},
    private_file,
    shared_key::Purpose,
};
use std::path::PathBuf;
use symbolon_ace_proto::{Jwk, MacKey, PopAlgorithm, PopSigner};
use symbolon_broker::{
    AuthorizationServerConfig, IntrospectionConfig, IntrospectionCredential, RevocationListConfig,
};

impl Loader<'_> {
    pub(super) fn server(
        &mut self,
        settings: &AuthorizationSettings,
    ) -> Option<AuthorizationServerConfig> {
        let section = &settings.section;
        let content_key = self.shared_key(
            &format!("{section}.content_key"),
            settings.content_key.as_ref(),
            |text| Purpose::Content.parse(text),
        );
        let mac_key = self.shared_key(
            &format!("{section}.mac_key"),
            settings.mac_key.as_ref(),
            |text| {
                let shared = Purpose::Mac.parse(text)?;
                let mac_key = MacKey::new(&shared.kid, shared.key.clone());
                Ok((mac_key.map_err(|error| error.to_string())?, shared.key))
            },
        );
        let derivation_key = self.shared_key(
            &format!("{section}.derivation_key"),
            settings.derivation_key.as_ref(),
            |text| Purpose::Derivation.parse(text).map(|shared| shared.key),
        );
        let ca_pem = self.ca(settings);
        let asked = match &settings.introspection {
            None => Some((None, None)),
            Some(asked) => self.asked(section, asked),
        };
        let (content_key, mac_key) = (content_key?, mac_key?);
        let derivation_key = derivation_key?;
        // RFC 8725 §3.1: one key, one algorithm.
        let keys = [
            content_key.as_ref().map(|key| &key.key),
            mac_key.as_ref().map(|(_, key)| key),
            derivation_key.as_ref(),
        ];
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        if (1..keys.len()).any(|place| keys[..place].contains(&keys[place])) {
            let message = "`content_key`, `mac_key` and `derivation_key` must not be the same key";
            let complaint = self.document.complaint(section, message);
            self.diagnostics.push(complaint);
            return None;
        }
        let (introspection, revocation_list) = asked?;
        Some(AuthorizationServerConfig {
            issuer: settings.issuer.clone(),
            jwks_uri: settings.jwks_uri.clone(),
            ca_pem: ca_pem?,
            audience: settings.audience.clone(),
            content_keys: content_key.into_iter().collect(),
            mac_key: mac_key.map(|(key, _)| key),
            derivation_key,
            token_endpoint: settings.token_endpoint.clone(),
            hint_scope: None,
            introspection,
            revocation_list,
        })
    }

    /// The key in a file, if one is named; the outer `None` is that of a complaint.
    #[expect(
        clippy::option_option,
        reason = "a complaint is one thing, and a key that nobody wants another"
    )]
    fn shared_key<T>(
        &mut self,
        name: &str,
        path: Option<&PathBuf>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let Some(path) = path else {
            return Some(None);
        };
        let text = self.secret(name, path)?;
        self.accept(name, path, parse(&text)).map(Some)
    }

    /// Empty where none is needed.
    fn ca(&mut self, settings: &AuthorizationSettings) -> Option<String> {
        let Some(path) = &settings.ca else {
            return Some(String::new());
        };
        let ca_pem = private_file::read_text(path).and_then(|pem| {
            symbolon_tls::Connector::new(&pem, TRIAL_TIMEOUT)
                .map(|_| pem)
                .map_err(|error| error.to_string())
        });
        self.accept(&format!("{}.ca", settings.section), path, ca_pem)
    }

    /// What is asked there, with the broker's credential.
    fn asked(
        &mut self,
        section: &str,
        settings: &IntrospectionSettings,
    ) -> Option<(Option<IntrospectionConfig>, Option<RevocationListConfig>)> {
        let credential = match &settings.credential {
            CredentialFile::Secret(path) => {
                let secret = self.secret(&format!("{section}.introspection.secret"), path)?;
                IntrospectionCredential::Secret(secret.trim_end().to_owned())
            }
            CredentialFile::Key(path) => {
                let key = format!("{section}.introspection.client_key");
                let jwk = self.secret(&key, path)?;
                let signer = Jwk::from_json(jwk.as_bytes())
                    .ok()
                    .and_then(|jwk| PopSigner::from_jwk(&jwk).ok())
                    .filter(|signer| signer.algorithm() != PopAlgorithm::Hs256)
                    .ok_or_else(|| "not a private JWK for Ed25519 or P-256".to_owned());
                self.accept(&key, path, signer)?;
                IntrospectionCredential::Key(jwk)
            }
        };
        let introspection = (settings.endpoint.as_ref()).map(|endpoint| IntrospectionConfig {
            endpoint: endpoint.clone(),
            client_id: settings.client_id.clone(),
            credential: credential.clone(),
            cache_secs: settings.cache_secs,
        });
        let list = (settings.revocation_list.as_ref()).map(|endpoint| RevocationListConfig {
            endpoint: endpoint.clone(),
            client_id: settings.client_id.clone(),
            credential,
        });
        Some((introspection, list))
    }
}
