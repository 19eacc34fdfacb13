//! Eclipse Mosquitto, as Debian has it: anonymous clients, no access control, and its own bounds of messages in flight and waiting lifted.

use super::{Addresses, Broker, Certificates};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian puts it.
const PROGRAMS: [&str; 2] = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];

/// See the module.
pub(super) struct Mosquitto {
    program: PathBuf,
    name: String,
    certificates: Certificates,
}

impl Mosquitto {
    /// Where it is installed.
    pub(super) fn find(certificates: &Certificates) -> Option<Self> {
        let mut programs = PROGRAMS.iter().map(PathBuf::from);
        let program = programs.find(|program| program.exists())?;
        // It says its version with its usage, and ends with an error.
        let usage = Command::new(&program).arg("-h").output().ok()?;
        let usage = String::from_utf8_lossy(&usage.stdout).into_owned();
        let version = usage.lines().next()?.strip_prefix("mosquitto version ")?;
        Some(Self {
            program,
            name: format!("Mosquitto {}", version.trim()),
            certificates: certificates.clone(),
        })
    }
}

impl Broker for Mosquitto {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self, addresses: Addresses, directory: &Path) -> anyhow::Result<Command> {
        let Certificates {
            ca,
            certificate,
            key,
        } = &self.certificates;
        let configuration = format!(
            "user root\n\
             allow_anonymous true\n\
             max_inflight_messages 1000\n\
             max_queued_messages 0\n\
             set_tcp_nodelay true\n\
             persistence true\n\
             persistence_location {directory}/\n\
             log_dest none\n\
             listener {tcp} 127.0.0.1\n\
             listener {tls} 127.0.0.1\n\
             cafile {ca}\n\
             certfile {certificate}\n\
             keyfile {key}\n\
             tls_version tlsv1.3\n",
            directory = directory.display(),
            tcp = addresses.tcp.port(),
            tls = addresses.tls.port(),
            ca = ca.display(),
            certificate = certificate.display(),
            key = key.display(),
        );
        let file = directory.join("mosquitto.conf");
        fs::write(&file, configuration)?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(file);
        Ok(command)
    }
}
