//! The broker's threads, and the word that one of them has failed.

use std::{
    io,
    thread::{self, JoinHandle},
};
use tokio::sync::watch;

/// Starts threads, and learns of it when one ends as none should.
#[derive(Debug)]
pub(crate) struct Threads {
    running: Vec<JoinHandle<io::Result<()>>>,
    failed: watch::Sender<bool>,
}

/// Says so if its thread panics. The sender outlives the thread's work whatever becomes of it.
struct Guard(watch::Sender<bool>);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send_replace(true);
        }
    }
}

impl Threads {
    pub(crate) fn new() -> Self {
        let (failed, _) = watch::channel(false);
        Self {
            running: Vec::new(),
            failed,
        }
    }

    /// One more thread. An error that it ends with counts as its failure, as a panic does.
    pub(crate) fn spawn(
        &mut self,
        name: String,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let guard = Guard(self.failed.clone());
        let thread = thread::Builder::new().name(name).spawn(move || {
            let ended = work();
            if ended.is_err() {
                guard.0.send_replace(true);
            }
            ended
        })?;
        self.running.push(thread);
        Ok(())
    }

    /// Becomes true when one has failed.
    pub(crate) fn failed(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// The threads, to be waited for.
    pub(crate) fn into_running(self) -> Vec<JoinHandle<io::Result<()>>> {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(work: fn() -> io::Result<()>) -> bool {
        let mut threads = Threads::new();
        let failed = threads.failed();
        threads.spawn("worker".into(), work).unwrap();
        for thread in threads.into_running() {
            drop(thread.join());
        }
        *failed.borrow()
    }

    #[test]
    fn a_thread_that_panics_or_fails_is_noticed_and_one_that_ends_is_not() {
        assert!(fails(|| panic!("on purpose")));
        assert!(fails(|| Err(io::Error::other("on purpose"))));
        assert!(!fails(|| Ok(())));
    }
}
