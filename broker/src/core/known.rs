//! Clients that TLS knows: which key belongs to the identity of a pre-shared key, and which token to it (RFC 9431 §2.2.3).

use super::{
    admission::Admission,
    authority::KeySets,
    refusal::Refusal,
    stored_tokens::{Capacity, NotStored, StoredToken, Thumbprint},
};
use std::sync::Arc;
use symbolon_ace_proto::{PopKey, SymmetricKey, UnixTime, psk_identity::PskIdentity};

/// The token that an identity means.
enum Meant {
    /// It was published before.
    Stored(Arc<StoredToken>),
    /// The identity is the token.
    Brought(Box<StoredToken>),
}

impl Admission {
    /// The key that the handshake is to be done with; `None` where the identity means no valid token for a symmetric key. Stores nothing:
    /// nobody has proved anything yet.
    pub(crate) fn pre_shared_key(
        &self,
        identity: &[u8],
        keys: &KeySets,
        now: UnixTime,
    ) -> Option<SymmetricKey> {
        let key = match self.meant_by(identity, keys, now).ok()? {
            Meant::Stored(token) => token.key.clone(),
            Meant::Brought(token) => token.key,
        };
        match key {
            PopKey::Hs256(key) => Some(key),
            PopKey::Ed25519(_) | PopKey::Es256(_) => None,
        }
    }

    /// The handshake was done with this identity: the key that was proved. A token that it brought is stored, as if it had been published; it
    /// is handed on where there is no room for it, since nobody who has proved possession is refused for that.
    pub(crate) fn key_of_identity(
        &self,
        identity: &[u8],
        keys: &KeySets,
        (capacity, now): (Capacity, UnixTime),
    ) -> Result<(Thumbprint, Option<Arc<StoredToken>>), Refusal> {
        match self.meant_by(identity, keys, now)? {
            Meant::Stored(token) => Ok((token.key.thumbprint(), None)),
            Meant::Brought(token) => {
                let thumbprint = token.key.thumbprint();
                let token = Arc::from(token);
                match (self.tokens.stored).insert(Arc::clone(&token), capacity, now) {
                    // The newer one counts.
                    Ok(_) | Err(NotStored::Older) => Ok((thumbprint, None)),
                    Err(NotStored::Tokens | NotStored::Bytes) => Ok((thumbprint, Some(token))),
                }
            }
        }
    }

    fn meant_by(&self, identity: &[u8], keys: &KeySets, now: UnixTime) -> Result<Meant, Refusal> {
        match PskIdentity::parse(identity) {
            PskIdentity::KeyIdentifier(kid) => {
                let stored =
                    self.stored_by(|stored, issuer| stored.by_key_identifier(issuer, &kid, now));
                stored.map(Meant::Stored).ok_or(Refusal::NoToken)
            }
            // There is no waiting in a handshake: what the authorization server has said before counts.
            PskIdentity::Token(token) => {
                let token = self.judge_to_store(token, keys, now)?;
                Ok(Meant::Brought(Box::new(token)))
            }
        }
    }
}
