//! Whom TLS has authenticated, for admission; and the keys that it does so with.

use super::shard::Common;
use crate::core::{
    refusal::Refusal,
    stored_tokens::{Capacity, StoredToken, Thumbprint},
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use symbolon_ace_proto::PopKey;
use symbolon_tls::{KeySource, Peer, PreSharedKey, PublicKey, Spki};

/// The pre-shared keys of the tokens that clients have published or bring as their identity. Listeners are there before the rest of the
/// broker: until then it knows none.
#[derive(Default)]
pub(crate) struct TokenKeys(OnceLock<Arc<Common>>);

impl TokenKeys {
    /// From now on, these rules count.
    pub(crate) fn serve(&self, common: &Arc<Common>) {
        // Said once, when the broker starts.
        self.0.get_or_init(|| Arc::clone(common));
    }
}

impl KeySource for TokenKeys {
    fn key(&self, identity: &[u8]) -> Option<PreSharedKey> {
        let common = self.0.get()?;
        let rules = common.rules.load();
        let keys = common.keys.current();
        let key = (rules.admission).pre_shared_key(identity, &keys, common.time.now())?;
        PreSharedKey::new(key.as_bytes()).ok()
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys").finish_non_exhaustive()
    }
}

/// What a handshake proved.
#[derive(Debug, Default)]
pub(super) struct Proved {
    /// The key that the client holds, by its thumbprint.
    pub(super) key: Option<Thumbprint>,
    /// The token for it that the client brought, where it could not be stored.
    pub(super) brought: Option<Arc<StoredToken>>,
}

/// The key that the handshake proved the client to hold, if any.
pub(super) fn proved_key(common: &Common, peer: &Peer) -> Result<Proved, Refusal> {
    match peer {
        Peer::Anonymous => Ok(Proved::default()),
        Peer::RawPublicKey(spki) => Ok(Proved {
            key: Some(pop_key(spki).thumbprint()),
            brought: None,
        }),
        Peer::PreSharedKey { identity } => {
            let rules = common.rules.load();
            let keys = common.keys.current();
            let bounds = (Capacity::of(&rules.limits), common.time.now());
            let (key, brought) = (rules.admission).key_of_identity(identity, &keys, bounds)?;
            Ok(Proved {
                key: Some(key),
                brought,
            })
        }
    }
}

fn pop_key(spki: &Spki) -> PopKey {
    match spki.public_key() {
        PublicKey::Ed25519(key) => PopKey::Ed25519(*key),
        PublicKey::P256 { x, y } => {
            let mut point = [4; 65];
            point[1..33].copy_from_slice(x);
            point[33..].copy_from_slice(y);
            PopKey::Es256(point)
        }
    }
}
