//! The files of an authorization server that the broker trusts: keys that both share, its CA, the broker's secret there.

use super::{Loader, TRIAL_TIMEOUT};
use crate::{
    clock,
    config::settings::{AuthorizationSettings, CredentialFile, IntrospectionSettings},
    private_file,
    shared_key::Purpose,
};
use std::path::PathBuf;
use symbolon_ace_proto::{DerivationKey, Jwk, MacKey, PopAlgorithm, PopSigner, jwe::ContentKey};
use symbolon_broker::{
    AuthorizationServerConfig, IntrospectionConfig, IntrospectionCredential, RevocationListConfig,
};

/// Those keys in the text of a file that have not ended; there must be one.
fn good(purpose: Purpose, text: &str) -> Result<Vec<ContentKey>, String> {
    let now = clock::now();
    let keys = purpose.parse_all(text)?;
    let good = keys.into_iter().filter(|shared| shared.is_good(now));
    let good: Vec<_> = good.map(|shared| shared.key).collect();
    if good.is_empty() {
        return Err("all keys in it have ended".to_owned());
    }
    Ok(good)
}

impl Loader<'_> {
    pub(super) fn server(
        &mut self,
        settings: &AuthorizationSettings,
    ) -> Option<AuthorizationServerConfig> {
        let section = &settings.section;
        let content_keys = self.shared_keys(
            &format!("{section}.content_key"),
            settings.content_key.as_ref(),
            |text| good(Purpose::Content, text),
        );
        let mac_keys = self.shared_keys(
            &format!("{section}.mac_key"),
            settings.mac_key.as_ref(),
            |text| {
                let keys = good(Purpose::Mac, text)?.into_iter();
                keys.map(|shared| MacKey::new(&shared.kid, shared.key))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| error.to_string())
            },
        );
        let derivation_keys = self.shared_keys(
            &format!("{section}.derivation_key"),
            settings.derivation_key.as_ref(),
            |text| {
                let keys = good(Purpose::Derivation, text)?.into_iter();
                keys.map(|shared| DerivationKey::new(&shared.kid, &shared.key))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| error.to_string())
            },
        );
        let ca_pem = self.ca(settings);
        let asked = match &settings.introspection {
            None => Some((None, None)),
            Some(asked) => self.asked(section, asked),
        };
        let (content_keys, mac_keys) = (content_keys?, mac_keys?);
        let derivation_keys = derivation_keys?;
        // RFC 8725 §3.1: one key, one algorithm.
        let content = content_keys.iter().map(|shared| shared.key.clone());
        let macs = mac_keys.iter().map(|shared| shared.key().clone());
        let derivation = derivation_keys.iter().map(DerivationKey::key);
        let keys: Vec<_> = content.chain(macs).chain(derivation).collect();
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
            content_keys,
            mac_keys,
            derivation_keys,
            token_endpoint: settings.token_endpoint.clone(),
            hint_scope: None,
            introspection,
            revocation_list,
        })
    }

    /// The keys in a file, if one is named; `None` is a complaint.
    fn shared_keys<T>(
        &mut self,
        name: &str,
        path: Option<&PathBuf>,
        parse: impl FnOnce(&str) -> Result<Vec<T>, String>,
    ) -> Option<Vec<T>> {
        let Some(path) = path else {
            return Some(Vec::new());
        };
        let text = self.secret(name, path)?;
        self.accept(name, path, parse(&text))
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
