//! Rotation of the keys that are shared with resource servers.

use super::{ResourceServer, Store, StoreError};
use crate::core::shared_keys::{KeyPurpose, SharedKey, SharedKeyError, SharedKeyRing};
use std::sync::Arc;
use symbolon_ace_proto::{
    DERIVATION_MARK_LENGTH, MacKey, SymmetricKey, UnixTime, derivation_mark, jwe::ContentKey,
    jwe::ContentKeys,
};

/// How long after the last token its key is good still, seconds: for a resource server whose clock is behind.
const MARGIN_SECS: u64 = 60;

/// The keys shared with a resource server, those that are not in use among them; empty where none ever rotated.
#[derive(Clone, Debug, Default)]
pub struct Rotation(Vec<SharedKey>);

/// A key that is to be used next.
#[derive(Clone, Debug)]
pub struct NextSharedKey<'a> {
    /// What for.
    pub purpose: KeyPurpose,
    /// The key, and its name.
    pub key: &'a ContentKey,
    /// From when on it is used; the resource server knows it by then.
    pub used_from: UnixTime,
    /// The name that the resource server has for the present derivation key, which we did not need until now; empty where it has none.
    pub present_name: &'a str,
}

impl Store {
    /// The keys shared with a resource server for one purpose.
    pub async fn shared_keys(
        &self,
        audience: &str,
        purpose: KeyPurpose,
    ) -> Result<SharedKeyRing, StoreError> {
        let server = self.existing(audience).await?;
        let ring = SharedKeyRing::of(purpose, &server.rotation.0);
        if ring.is_empty() {
            return Ok(server.first_ring(purpose, ""));
        }
        Ok(ring)
    }

    /// Makes a key the next one, which is used from its moment on. Tokens live for at most `token_lifetime_secs`, and for as long and some more
    /// the one before it is good.
    pub async fn rotate_shared_key(
        &self,
        audience: &str,
        next: NextSharedKey<'_>,
        token_lifetime_secs: u64,
        now: UnixTime,
    ) -> Result<SharedKeyRing, StoreError> {
        let server = self.existing(audience).await?;
        let begin = server.first_ring(next.purpose, next.present_name);
        let secs = server.key_lifetime_secs(token_lifetime_secs);
        let how = |ring: &mut SharedKeyRing| {
            ring.rotate(next.key, next.used_from, secs, now)
                .map_err(|error| refused(audience, &error))?;
            Ok(format!("{} from {}", next.key.kid, next.used_from.0))
        };
        self.database.change_shared_keys(&server, begin, how).await
    }

    /// Uses the key at once that waits.
    pub async fn use_next_shared_key(
        &self,
        audience: &str,
        purpose: KeyPurpose,
        token_lifetime_secs: u64,
        now: UnixTime,
    ) -> Result<SharedKeyRing, StoreError> {
        let server = self.existing(audience).await?;
        let begin = server.first_ring(purpose, "");
        let secs = server.key_lifetime_secs(token_lifetime_secs);
        let how = |ring: &mut SharedKeyRing| {
            if ring.hasten(secs, now) {
                return Ok("at once".to_owned());
            }
            Err(StoreError::NotFound("next key of", audience.to_owned()))
        };
        self.database.change_shared_keys(&server, begin, how).await
    }

    async fn existing(&self, audience: &str) -> Result<ResourceServer, StoreError> {
        let server = self.resource_server(audience).await?;
        server.ok_or_else(|| StoreError::NotFound("resource server", audience.to_owned()))
    }

    /// With the keys that are in use now.
    pub(super) async fn settle(
        &self,
        servers: Vec<(ResourceServer, bool)>,
        now: UnixTime,
    ) -> Result<Vec<ResourceServer>, StoreError> {
        let mut settled = Vec::with_capacity(servers.len());
        for (mut server, rotates) in servers {
            if rotates {
                let keys = self.database.shared_keys(&server.audience).await?;
                server.rotation = Rotation(keys);
                server.settle(now);
            }
            settled.push(server);
        }
        Ok(settled)
    }
}

impl ResourceServer {
    /// The key in use.
    pub(super) fn shared_key(&self, purpose: KeyPurpose) -> Option<&SymmetricKey> {
        match purpose {
            KeyPurpose::Content => self.content_key.as_ref().map(|key| &key.key),
            KeyPurpose::Mac => self.mac_key.as_ref().map(MacKey::key),
            KeyPurpose::Derivation => self.derivation_key.as_ref(),
        }
    }

    fn first_ring(&self, purpose: KeyPurpose, present_name: &str) -> SharedKeyRing {
        let kid = match purpose {
            KeyPurpose::Content => self.content_key.as_ref().map(|key| key.kid.as_str()),
            KeyPurpose::Mac => self.mac_key.as_ref().map(MacKey::kid),
            KeyPurpose::Derivation => Some(present_name),
        };
        let only = self
            .shared_key(purpose)
            .zip(kid)
            .map(|(key, kid)| SharedKey::only(purpose, kid, key));
        SharedKeyRing::of(purpose, only.as_slice())
    }

    /// How long things live that are made with a shared key.
    fn key_lifetime_secs(&self, token_lifetime_secs: u64) -> u64 {
        let unseen = match self.tokens.lifetime {
            super::Lifetime::Exp => 0,
            // It begins when the token is first seen.
            super::Lifetime::Exi => crate::EXI_KEPT_SECS,
        };
        token_lifetime_secs + unseen + MARGIN_SECS
    }

    /// With the keys that are in use now, which may be others than when these were read.
    pub(super) fn settled(mut servers: Arc<Vec<Self>>, now: UnixTime) -> Arc<Vec<Self>> {
        if servers.iter().any(|server| !server.rotation.0.is_empty()) {
            for server in Arc::make_mut(&mut servers) {
                server.settle(now);
            }
        }
        servers
    }

    fn settle(&mut self, now: UnixTime) {
        let in_use = |purpose| {
            let ring = SharedKeyRing::of(purpose, &self.rotation.0);
            ring.active(now).cloned()
        };
        let [content, mac, derivation] = KeyPurpose::ALL.map(in_use);
        if let Some(SharedKey { kid, key, .. }) = content {
            self.content_key = Some(ContentKey { kid, key });
        }
        // It was one when it was stored.
        if let Some(Ok(key)) = mac.map(|shared| MacKey::new(&shared.kid, shared.key)) {
            self.mac_key = Some(key);
        }
        if let Some(shared) = derivation {
            self.derivation_key = Some(shared.key);
        }
    }

    /// All content keys that there are, for what was encrypted under an earlier one.
    pub(crate) fn content_keys(&self) -> ContentKeys {
        let mut keys: Vec<ContentKey> = self.content_key.iter().cloned().collect();
        let others = self.rotation.0.iter();
        let others = others.filter(|key| key.purpose == KeyPurpose::Content);
        for other in others {
            if !keys.iter().any(|key| key.kid == other.kid) {
                keys.push(ContentKey {
                    kid: other.kid.clone(),
                    key: other.key.clone(),
                });
            }
        }
        ContentKeys(keys)
    }

    /// What the names of the keys begin with that are derived now; `None` where the resource server has one derivation key alone, or one without
    /// a name.
    pub(crate) fn derivation_mark(&self) -> Option<[u8; DERIVATION_MARK_LENGTH]> {
        let in_use = self.derivation_key.as_ref()?;
        let mut keys = self.rotation.0.iter();
        let shared =
            keys.find(|key| key.purpose == KeyPurpose::Derivation && key.key == *in_use)?;
        (!shared.kid.is_empty()).then(|| derivation_mark(&shared.kid))
    }
}

fn refused(audience: &str, error: &SharedKeyError) -> StoreError {
    StoreError::Invalid("next key of", audience.to_owned(), error.to_string())
}
