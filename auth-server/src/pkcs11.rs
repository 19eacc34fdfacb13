//! Signing keys that never leave a hardware security module: PKCS #11 (v2.40 and later), with `EdDSA` and ES256.
//!
//! | module | holds |
//! |---|---|
//! | [`KeyUri`] | which key in which token (RFC 7512) |
//! | [`Hsm`] | the module at work: a bounded number of sessions, each on a thread of its own |
//! | `session` | what is asked of a session |
//! | `workers` | the threads, the queue before them, and how long anyone waits |

mod session;
mod uri;
mod workers;

pub use uri::{KeyUri, KeyUriError};

use crate::key_ring::RingKey;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    types::AuthPin,
};
use session::Sessions;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};
use symbolon_ace_proto::{Jwk, PopKey, jwt::SigningAlgorithm};
use workers::{Waited, Workers};

/// What is signed to see whether a key signs: no token and no proof looks like it.
const TRIAL: &[u8] = b"Symbolon tries whether this key signs";

/// A module is initialised once in a process, whoever asks for it (PKCS #11 v2.40 §5.4, `C_Initialize`): so the process remembers.
static LOADED: Mutex<Vec<(PathBuf, Pkcs11)>> = Mutex::new(Vec::new());

/// A PKCS #11 module, with the PIN that opens its tokens. Cheap to clone; `Debug` shows no secret.
#[derive(Clone)]
pub struct Hsm {
    module: PathBuf,
    workers: Arc<Workers<Sessions>>,
}

/// Why a module does not do what it is asked. It names no PIN and no key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HsmError {
    /// The file is no PKCS #11 module, or does not start.
    #[error("the PKCS #11 module {0} does not load: {1}")]
    Module(String, String),
    /// No token has the label, serial number, and so on.
    #[error("no token is as {0} says")]
    NoToken(String),
    /// Several tokens have.
    #[error("several tokens are as {0} says: add `serial`")]
    SeveralTokens(String),
    /// The token refused the PIN. It is shown no second time, because a token locks itself after some.
    #[error(
        "the token refuses the PIN; it is not tried again before the configuration is read anew"
    )]
    Pin,
    /// The token wants a PIN and there is none.
    #[error("the token wants a PIN: name a file with `pin_file`")]
    NoPin,
    /// There is no such key in the token.
    #[error("there is no key {0} in the token")]
    NoKey(String),
    /// There are several.
    #[error("several keys in the token are as {0} says: add `id`")]
    SeveralKeys(String),
    /// Neither Ed25519 nor P-256.
    #[error("{0} is neither an Ed25519 nor a P-256 key")]
    Unsupported(String),
    /// The public key in the token is another than the ring says.
    #[error("{0} is another key than the one of this name in the ring")]
    AnotherKey(String),
    /// A signature that the public key does not verify.
    #[error("the token made a signature that is wrong")]
    WrongSignature,
    /// No answer within [`Hsm::LIMIT`].
    #[error("the token does not answer")]
    Silent,
    /// As many wait already as may.
    #[error("too many wait for the token")]
    Busy,
    /// What the module says.
    #[error("the token fails: {0}")]
    Failed(String),
}

impl Hsm {
    /// How many sessions sign side by side.
    pub const SESSIONS: usize = 4;
    /// How many may wait for one of them.
    pub const WAITING_AT_MOST: usize = 256;
    /// The longest that anyone waits for an answer.
    pub const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

    /// Loads the module. Its tokens are opened when they are needed first, and again after they were lost.
    pub fn open(module: &Path, pin: Option<&str>) -> Result<Self, HsmError> {
        let refused =
            |error: Error| HsmError::Module(module.display().to_string(), error.to_string());
        let pkcs11 = loaded(module).map_err(refused)?;
        let pin: Option<AuthPin> = pin.map(|pin| pin.to_owned().into());
        let is_refused = Arc::new(AtomicBool::new(false));
        let workers = Workers::start("pkcs11", Self::SESSIONS, Self::WAITING_AT_MOST, move || {
            Sessions::new(pkcs11.clone(), pin.clone(), Arc::clone(&is_refused))
        });
        let workers = workers.map_err(|error| HsmError::Failed(error.to_string()))?;
        Ok(Self {
            module: module.to_owned(),
            workers: Arc::new(workers),
        })
    }

    /// The public half of a key, with `kid` (its JWK Thumbprint), `alg` and `use`. Waits.
    pub fn public_key(&self, uri: &KeyUri) -> Result<Jwk, HsmError> {
        let uri = uri.clone();
        let key = self.wait(move |sessions| sessions.public_key(&uri))?;
        Ok(labelled(&key))
    }

    /// Makes a key in the token, which it never leaves, and says how it is found again. Without a label it gets one. Waits.
    pub fn generate(
        &self,
        uri: &KeyUri,
        algorithm: SigningAlgorithm,
    ) -> Result<(KeyUri, Jwk), HsmError> {
        let asked = uri.clone();
        let (uri, key) = self.wait(move |sessions| sessions.generate(&asked, algorithm))?;
        Ok((uri, labelled(&key)))
    }

    /// Whether a key is there, is the one that is meant, and signs. Waits.
    pub fn try_key(&self, uri: &KeyUri, public: &Jwk) -> Result<(), HsmError> {
        let named = uri.to_string();
        let key = PopKey::from_jwk(public).map_err(|_| HsmError::Unsupported(named.clone()))?;
        let own = self.public_key(uri)?;
        let is_it = PopKey::from_jwk(&own).is_ok_and(|own| own.thumbprint() == key.thumbprint());
        if !is_it {
            return Err(HsmError::AnotherKey(named));
        }
        let uri = uri.clone();
        let algorithm = algorithm_of(&key);
        let signature = self.wait(move |sessions| sessions.sign(&uri, algorithm, TRIAL))?;
        verified(&key, TRIAL, signature).map(|_| ())
    }

    /// The raw signature over a message: 64 bytes, verified before anyone sees it.
    pub(crate) async fn sign(
        &self,
        uri: &KeyUri,
        public: &Jwk,
        message: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        let key = PopKey::from_jwk(public).map_err(|_| HsmError::Unsupported(uri.to_string()))?;
        let (uri, owned) = (uri.clone(), message.to_vec());
        let algorithm = algorithm_of(&key);
        let job = move |sessions: &mut Sessions| sessions.sign(&uri, algorithm, &owned);
        let answer = self.workers.run(Self::LIMIT, job).await;
        verified(&key, message, answer.map_err(HsmError::from)??)
    }

    /// Whether it is the module in this file.
    pub fn is_of(&self, module: &Path) -> bool {
        self.module == module
    }

    fn wait<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Sessions) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, HsmError> {
        self.workers.wait(Self::LIMIT, job)?
    }
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hsm")
            .field("module", &self.module)
            .finish_non_exhaustive()
    }
}

impl From<Waited> for HsmError {
    fn from(waited: Waited) -> Self {
        match waited {
            Waited::TooLong => Self::Silent,
            Waited::QueueFull => Self::Busy,
            Waited::Panicked => Self::Failed("its thread ended".to_owned()),
        }
    }
}

fn loaded(module: &Path) -> Result<Pkcs11, Error> {
    // A panic leaves the list as it was, or with one more.
    let mut known = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, pkcs11)) = known.iter().find(|(path, _)| path == module) {
        return Ok(pkcs11.clone());
    }
    let pkcs11 = Pkcs11::new(module)?;
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // By another path to the same file.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(error),
    }
    known.push((module.to_owned(), pkcs11.clone()));
    Ok(pkcs11)
}

fn labelled(key: &PopKey) -> Jwk {
    RingKey::labelled(key, &crate::key_ring::thumbprint_kid(key))
}

fn algorithm_of(key: &PopKey) -> SigningAlgorithm {
    match key {
        PopKey::Es256(_) => SigningAlgorithm::Es256,
        // No symmetric key comes out of a token, nor into a ring.
        PopKey::Ed25519(_) | PopKey::Hs256(_) => SigningAlgorithm::EdDsa,
    }
}

/// What comes from outside is not given out before it is known to be right: a fault in a signature with `EdDSA` can tell the key.
fn verified(key: &PopKey, message: &[u8], signature: Vec<u8>) -> Result<Vec<u8>, HsmError> {
    key.verify(message, &signature)
        .map(|()| signature)
        .map_err(|_| HsmError::WrongSignature)
}
