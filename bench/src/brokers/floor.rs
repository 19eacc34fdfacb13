//! The relay of this program.

use super::{Addresses, Broker, Certificates};
use std::{path::Path, process::Command};

/// See [`crate::relay`].
pub(super) struct Floor(pub(super) Certificates);

impl Broker for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn keeps_sessions(&self) -> bool {
        false
    }

    fn command(&self, addresses: Addresses, _: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["relay", "--tcp", &addresses.tcp.to_string()])
            .args(["--tls", &addresses.tls.to_string()])
            .arg("--certificate")
            .arg(&self.0.certificate)
            .arg("--key")
            .arg(&self.0.key);
        Ok(command)
    }
}
