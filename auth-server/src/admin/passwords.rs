//! Passwords: argon2id, a few at a time, on threads that may block.

use super::{
    model::{MAX_PASSWORD_BYTES, MIN_PASSWORD_BYTES},
    problem::Problem,
};
use crate::store::PasswordHash;
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, SaltString},
};
use aws_lc_rs::rand;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

/// Memory of one computation, KiB, passes and lanes: the least that OWASP recommends for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Computations at once.
const AT_ONCE: usize = 2;
/// The most that wait for one to end.
const MAX_WAITING: usize = 64;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nobody's: the password of an unknown account is compared with it, so that the time tells nothing.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c3ltYm9sb24gZGVjb3k$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Places for computations.
#[derive(Debug)]
pub(super) struct Passwords {
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The right to one computation.
pub(super) struct Slot(OwnedSemaphorePermit);

impl Default for Passwords {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

impl Passwords {
    /// Waits for a place, not for long.
    pub(super) async fn slot(&self) -> Result<Slot, Problem> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Problem::Busy)?;
        let running = Arc::clone(&self.running).acquire_owned();
        match timeout(PATIENCE, running).await {
            Ok(Ok(permit)) => Ok(Slot(permit)),
            Ok(Err(_)) | Err(_) => Err(Problem::Busy),
        }
    }
}

impl Slot {
    /// Whether this is the password; `known` is absent where there is no such account, or none with a password.
    pub(super) async fn verify(
        self,
        known: Option<PasswordHash>,
        password: Vec<u8>,
    ) -> Result<bool, Problem> {
        self.compute(move || {
            let phc = known.as_ref().map_or(DECOY, PasswordHash::as_phc);
            let Ok(hash) = argon2::PasswordHash::new(phc) else {
                return Err(Problem::Ours("a stored password is corrupt"));
            };
            // The parameters are those that stand in the hash.
            let right = Argon2::default().verify_password(&password, &hash).is_ok();
            Ok(right && known.is_some())
        })
        .await
    }

    /// A new password, as it is kept.
    pub(super) async fn hash(self, password: Vec<u8>) -> Result<PasswordHash, Problem> {
        if password.len() < MIN_PASSWORD_BYTES || password.len() > MAX_PASSWORD_BYTES {
            let why = format!("a password has {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes");
            return Err(Problem::Unusable(why));
        }
        self.compute(move || {
            let failed = || Problem::Ours("a password cannot be hashed");
            let mut salt = [0; 16];
            rand::fill(&mut salt).map_err(|_| failed())?;
            let salt = SaltString::encode_b64(&salt).map_err(|_| failed())?;
            let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| failed())?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let hash = argon2.hash_password(&password, &salt);
            hash.map(|hash| PasswordHash::from_phc(hash.to_string()))
                .map_err(|_| failed())
        })
        .await
    }

    async fn compute<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        // The place is given back when the work is done, also where nobody waits for it any more.
        let work = move || {
            let done = work();
            drop(self.0);
            done
        };
        let done = spawn_blocking(work).await;
        done.unwrap_or(Err(Problem::Ours("a password computation failed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_kept_as_argon2id_with_a_salt_of_its_own_and_verified() {
        let passwords = Passwords::default();
        let password = b"correct horse battery";
        let mut hashes = Vec::new();
        for _ in 0..2 {
            let slot = passwords.slot().await.unwrap();
            hashes.push(slot.hash(password.to_vec()).await.unwrap());
        }
        assert_ne!(hashes[0], hashes[1]);
        assert!(
            hashes[0]
                .as_phc()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
        );
        assert!(!format!("{:?}", hashes[0]).contains("argon2id"));
        for (known, given, right) in [
            (Some(hashes[0].clone()), &password[..], true),
            (Some(hashes[0].clone()), b"correct horse batterz", false),
            (Some(hashes[0].clone()), b"", false),
            (None, password, false),
        ] {
            let slot = passwords.slot().await.unwrap();
            assert_eq!(slot.verify(known, given.to_vec()).await.unwrap(), right);
        }
    }

    #[tokio::test]
    async fn the_decoy_is_a_hash_with_the_same_costs() {
        let decoy = argon2::PasswordHash::new(DECOY).unwrap();
        let params = Params::try_from(&decoy).unwrap();
        let costs = (params.m_cost(), params.t_cost(), params.p_cost());
        assert_eq!(costs, (MEMORY_KIB, PASSES, LANES));
        assert_eq!(decoy.hash.unwrap().len(), 32);
    }

    #[tokio::test]
    async fn a_password_that_is_short_or_endless_is_refused() {
        let passwords = Passwords::default();
        for length in [0, MIN_PASSWORD_BYTES - 1, MAX_PASSWORD_BYTES + 1] {
            let slot = passwords.slot().await.unwrap();
            let refused = slot.hash(vec![b'a'; length]).await;
            assert!(matches!(refused, Err(Problem::Unusable(_))), "{length}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_may_compute_wait_and_more_than_may_wait_are_told_so() {
        let passwords = Arc::new(Passwords::default());
        let first = passwords.slot().await.unwrap();
        let _second = passwords.slot().await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..MAX_WAITING {
            let passwords = Arc::clone(&passwords);
            waiting.push(tokio::spawn(async move { passwords.slot().await.is_ok() }));
        }
        while passwords.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.slot().await, Err(Problem::Busy)));
        drop(first);
        let mut served = 0;
        for one in waiting {
            served += usize::from(one.await.unwrap());
        }
        // Each lets the next one in at once.
        assert_eq!(served, MAX_WAITING);
        let _third = passwords.slot().await.unwrap();
        assert!(matches!(passwords.slot().await, Err(Problem::Busy)));
    }
}
