//! A PKCS #11 library: initialised once in a process, whoever asks for it (v2.40 §5.4, `C_Initialize`), so the process remembers.

use crate::issuing::now;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

static LOADED: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

/// How often a module that finds its token no more is begun anew at most, seconds.
const RESTART_EVERY_SECS: u64 = 2;

/// A library at work.
pub(super) struct Module {
    path: PathBuf,
    pkcs11: Pkcs11,
    /// Held for reading by whoever calls the library: nobody may while it ends (v2.40 §5.4, `C_Finalize`).
    calls: RwLock<()>,
    /// Another one with each beginning: sessions and handles of the one before mean nothing any more.
    generation: AtomicU64,
    /// Seconds since 1970.
    restarted_at: AtomicU64,
}

impl Module {
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, Error> {
        // A panic leaves the list as it was, or with one more.
        let mut known = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = known.iter().find(|module| module.path == path) {
            return Ok(Arc::clone(module));
        }
        let pkcs11 = Pkcs11::new(path)?;
        initialize(&pkcs11)?;
        let module = Arc::new(Self {
            path: path.to_owned(),
            pkcs11,
            calls: RwLock::new(()),
            generation: AtomicU64::new(0),
            restarted_at: AtomicU64::new(0),
        });
        known.push(Arc::clone(&module));
        Ok(module)
    }

    pub(super) fn pkcs11(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    /// For as long as the library is called, with the generation that it is in.
    pub(super) fn call(&self) -> (RwLockReadGuard<'_, ()>, u64) {
        let guard = self.calls.read().unwrap_or_else(PoisonError::into_inner);
        (guard, self.generation.load(Ordering::Relaxed))
    }

    /// Ends the library and begins it anew: some look for tokens only then. Not while somebody calls it, and not again and again; `false`
    /// where nothing was done.
    pub(super) fn restart(&self) -> bool {
        let Ok(_alone) = self.calls.try_write() else {
            return false;
        };
        let now = now().0;
        if now < self.restarted_at.load(Ordering::Relaxed) + RESTART_EVERY_SECS {
            return false;
        }
        self.restarted_at.store(now, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Relaxed);
        let ended = self.pkcs11.clone().finalize();
        match ended.and_then(|()| initialize(&self.pkcs11)) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the PKCS #11 module does not begin anew");
                false
            }
        }
    }
}

fn initialize(pkcs11: &Pkcs11) -> Result<(), Error> {
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // By another path to the same file.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(error),
    }
}
