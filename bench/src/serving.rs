//! A server as a child process, from when it listens until it is dropped.

use anyhow::{Context as _, bail};
use std::{
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long one may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// A server at work.
#[derive(Debug)]
pub(crate) struct Serving {
    child: Child,
}

impl Serving {
    /// Starts it and waits until it listens on all of these.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        addresses: &[SocketAddr],
    ) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut serving = Self { child };
        serving.wait_until_ready(addresses)?;
        Ok(serving)
    }

    fn wait_until_ready(&mut self, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let began = Instant::now();
        let is_there = |address: &SocketAddr| TcpStream::connect(address).is_ok();
        while !addresses.iter().all(is_there) {
            if let Some(status) = self.child.try_wait()? {
                bail!("it has ended: {status}");
            }
            if began.elapsed() > START_LIMIT {
                bail!("it does not listen");
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// Its process identifier.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It is our child, and what it kept is thrown away: nothing is lost by not asking it first.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
