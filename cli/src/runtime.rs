//! One thread is enough for everything but the servers.

use anyhow::Context as _;
use std::future::Future;

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .map(|runtime| runtime.block_on(future))
}
