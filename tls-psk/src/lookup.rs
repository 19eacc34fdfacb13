//! One handshake's questions to the key source.

use crate::{KeySource, PreSharedKey};
use openssl::{
    error::ErrorStack,
    ex_data::Index,
    rand::rand_bytes,
    ssl::{Ssl, SslRef},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

/// How many identities of one `ClientHello` the key source is asked for; the others count as unknown.
const IDENTITIES_LIMIT: usize = 8;
/// The length of the key that stands for one that is not there, bytes.
const STAND_IN_BYTES: usize = 32;

/// What the callbacks of OpenSSL know of the handshake they are called in.
pub(crate) struct Handshake {
    pub(crate) alpn: &'static [u8],
    pub(crate) lookup: Option<Lookup>,
    /// A client's own identity and key.
    pub(crate) own: Option<(Arc<[u8]>, PreSharedKey)>,
}

pub(crate) struct Lookup {
    keys: Arc<dyn KeySource>,
    /// How many identities the `ClientHello` offers; 1 on TLS 1.2, where it comes later.
    offered: usize,
    asked: usize,
    /// The identity of the key given last; `None` where it was a stand-in.
    found: Option<Arc<[u8]>>,
}

impl Lookup {
    pub(crate) fn new(keys: Arc<dyn KeySource>, offered: usize) -> Self {
        Self {
            keys,
            offered,
            asked: 0,
            found: None,
        }
    }

    /// The key to go on with. `None`: try the next identity. For the last identity there always is one: an unknown identity gets a
    /// random key, and the handshake fails where, and as, it does for a client with a wrong key.
    pub(crate) fn ask(&mut self, identity: &[u8]) -> Result<Option<PreSharedKey>, ErrorStack> {
        let position = self.asked % self.offered.max(1);
        self.asked += 1;
        // Made in either case, so that a known identity does not answer sooner for it.
        let mut stand_in = [0; STAND_IN_BYTES];
        rand_bytes(&mut stand_in)?;
        let keys = &self.keys;
        let known = (position < IDENTITIES_LIMIT)
            // A panic must not cross C. It is a defect of the key source; to the peer it is an unknown identity.
            .then(|| catch_unwind(AssertUnwindSafe(|| keys.key(identity))).unwrap_or_default())
            .flatten();
        self.found = known.is_some().then(|| identity.into());
        if known.is_some() || position + 1 < self.offered {
            return Ok(known);
        }
        Ok(PreSharedKey::new(&stand_in).ok())
    }
}

fn index() -> Result<Index<Ssl, Handshake>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Handshake>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    // Two threads may both come here; the index of one is then never used.
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}

impl Handshake {
    pub(crate) fn attach(self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        ssl.set_ex_data(index()?, self);
        Ok(())
    }

    pub(crate) fn of(ssl: &mut SslRef) -> Option<&mut Self> {
        ssl.ex_data_mut(index().ok()?)
    }

    /// The identity whose key was given last.
    pub(crate) fn found(ssl: &SslRef) -> Option<Arc<[u8]>> {
        let handshake = ssl.ex_data(index().ok()?)?;
        handshake.lookup.as_ref()?.found.clone()
    }
}
