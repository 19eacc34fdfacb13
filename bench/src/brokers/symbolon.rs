//! Symbolon: with tokens, and open to all.

use super::{Addresses, Broker};
use crate::{load::admission::Credentials, site::Site};
use anyhow::Context as _;
use std::{
    fs::read_to_string,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::{
    Claims, Confirmation, Jwk, PopAlgorithm, PopSigner, Scope, ScopeEntry, SigningKey,
    SymmetricKey, UnixTime, identifier, jwe::ContentKey,
};
use symbolon_mqtt_proto::TopicFilter;

/// Topic Filters in the scope of the token.
pub(super) const FILTERS: usize = 20;
/// The one that the scenarios need, behind all others.
const NEEDED: &str = "bench/#";
/// How long the token holds, seconds.
const LIFETIME_SECS: u64 = 6 * 3_600;
/// More than the scenarios let wait for one client.
const QUEUED_MESSAGES: &str = "250000";
/// More than `growth` makes.
const SUBSCRIPTIONS_PER_CLIENT: &str = "1000000";

/// See the module.
pub(crate) struct Symbolon {
    program: PathBuf,
    site: PathBuf,
    shards: u16,
    credentials: Option<Arc<Credentials>>,
}

impl Site {
    /// Nobody needs a token.
    pub(crate) fn open_to_all(&self, shards: u16) -> Symbolon {
        Symbolon {
            program: self.program.clone(),
            site: self.path(),
            shards,
            credentials: None,
        }
    }

    /// Everybody has one, with so many Topic Filters in its scope; the one that is needed is the last.
    pub(crate) fn with_tokens(
        &self,
        shards: u16,
        pop: PopAlgorithm,
        filters: usize,
    ) -> anyhow::Result<Symbolon> {
        let key = read_to_string(self.path().join("keys/signing.jwk"))?;
        let key = SigningKey::from_jwk(&serde_json::from_str::<Jwk>(&key)?)?;
        let signer = PopSigner::generate(pop)?;
        let token = key.sign(&self.claims(&signer, filters)?)?;
        let credentials = Credentials { token, signer };
        Ok(Symbolon {
            credentials: Some(Arc::new(credentials)),
            ..self.open_to_all(shards)
        })
    }

    /// A shared key travels under the one that the site's servers share.
    fn confirmation(&self, signer: &PopSigner) -> anyhow::Result<Confirmation> {
        let jwk = signer.verifying_key().to_jwk();
        if signer.algorithm() != PopAlgorithm::Hs256 {
            return Ok(Confirmation::Key(Box::new(jwk)));
        }
        let file = read_to_string(self.path().join("keys/content.jwk"))?;
        let made: serde_json::Value = serde_json::from_str(&file)?;
        let text = |name: &str| made[name].as_str().context("a symmetric JWK");
        let content_key = ContentKey {
            kid: text("kid")?.to_owned(),
            key: SymmetricKey::from_bytes(&identifier::to_bytes(text("k")?)),
        };
        Ok(Confirmation::Encrypted(content_key.encrypt(&jwk)?))
    }

    fn claims(&self, signer: &PopSigner, filters: usize) -> anyhow::Result<Claims> {
        let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
        let others = (1..filters).map(|number| match number % 4 {
            0 => format!("site/hall{number}/press/temperature"),
            1 => format!("site/hall{number}/press/#"),
            2 => format!("site/hall{number}/+/set"),
            _ => format!("site/+/press{number}/+/log"),
        });
        let entry = |filter: String| {
            anyhow::Ok(ScopeEntry {
                filter: TopicFilter::parse(&filter)?,
                publish: true,
                subscribe: true,
            })
        };
        let entries = others.chain([NEEDED.to_owned()]).map(entry);
        Ok(Claims {
            issuer: self.issuer.clone(),
            subject: Some("bench".into()),
            client_id: None,
            audience: vec![self.audience.clone()],
            expires_at: now.plus_secs(LIFETIME_SECS),
            not_before: None,
            issued_at: Some(now),
            token_identifier: None,
            scope: Scope::from_entries(entries.collect::<Result<_, _>>()?),
            expires_in_secs: None,
            client_nonce: None,
            confirmation: self.confirmation(signer)?,
        })
    }
}

impl Broker for Symbolon {
    fn name(&self) -> &'static str {
        match self.credentials {
            Some(_) => "Symbolon",
            None => "Symbolon, no tokens",
        }
    }

    fn command(&self, addresses: Addresses, directory: &Path) -> anyhow::Result<Command> {
        let Addresses { tcp, tls } = addresses;
        let listeners =
            format!(r#"[{{address = "{tcp}", transport = "tcp"}}, {{address = "{tls}"}}]"#);
        let public = match self.credentials {
            Some(_) => "[]",
            None => r##"["#"]"##,
        };
        let mut command = Command::new(&self.program);
        command
            .arg("up")
            .arg(&self.site)
            .env("SYMBOLON_BROKER_LISTENER", listeners)
            .env("SYMBOLON_BROKER_PUBLIC_TOPICS", public)
            .env("SYMBOLON_BROKER_SHARDS", self.shards.to_string())
            .env("SYMBOLON_BROKER_LIMITS_QUEUED_MESSAGES", QUEUED_MESSAGES)
            .env(
                "SYMBOLON_BROKER_LIMITS_SUBSCRIPTIONS_PER_CLIENT",
                SUBSCRIPTIONS_PER_CLIENT,
            )
            .env("SYMBOLON_BROKER_STORE_PATH", directory.join("store"))
            .env("SYMBOLON_LOG_LEVEL", "error");
        Ok(command)
    }

    fn credentials(&self) -> Option<Arc<Credentials>> {
        self.credentials.clone()
    }
}
