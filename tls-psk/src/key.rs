//! Pre-shared keys and where they come from.

use std::{fmt, ops::RangeInclusive};
use zeroize::Zeroizing;

/// How long a key may be, bytes: at least 128 bits (RFC 9257 §4.2), and no more than OpenSSL takes.
pub const KEY_BYTES: RangeInclusive<usize> = 16..=512;

/// A pre-shared key, for SHA-256 (RFC 8446 §4.2.11). Wiped when dropped, and never shown.
#[derive(Clone)]
pub struct PreSharedKey(Zeroizing<Box<[u8]>>);

/// The key is shorter or longer than [`KEY_BYTES`] allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a pre-shared key has {} to {} bytes", KEY_BYTES.start(), KEY_BYTES.end())]
pub struct KeyError;

/// Finds the key that belongs to an identity.
pub trait KeySource: Send + Sync {
    /// The key for this identity, or none: then the handshake fails as it does for a wrong key, so that a stranger does not learn which
    /// identities there are.
    ///
    /// Called on the thread of the handshake, which waits: it must not block. It may be called several times in one handshake, for
    /// several identities, and for one more than once; and before the peer has proved anything. So nothing may be used up or stored
    /// here. The identity has up to 65535 bytes on TLS 1.3, up to 255 and none of them zero on TLS 1.2. How long a call takes should not
    /// depend on whether there is a key.
    fn key(&self, identity: &[u8]) -> Option<PreSharedKey>;
}

impl<F: Fn(&[u8]) -> Option<PreSharedKey> + Send + Sync> KeySource for F {
    fn key(&self, identity: &[u8]) -> Option<PreSharedKey> {
        self(identity)
    }
}

impl PreSharedKey {
    /// Takes these bytes as a key.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        if !KEY_BYTES.contains(&key.len()) {
            return Err(KeyError);
        }
        Ok(Self(Zeroizing::new(key.into())))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSharedKey(..)")
    }
}
