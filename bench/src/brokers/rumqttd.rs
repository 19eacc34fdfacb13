//! rumqttd of crates.io: anonymous clients, no access control, and its bounds lifted as far as it lets them be.

use super::{Addresses, Broker};
use crate::site::Certificates;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the command below puts it.
const PROGRAM: &str = "target/tools/bench/bin/rumqttd";
const INSTALL: &str = "cargo install rumqttd --version 0.20.0 --locked --root target/tools/bench";

/// See the module.
pub(super) struct Rumqttd {
    program: PathBuf,
    name: String,
    certificates: Certificates,
}

impl Rumqttd {
    /// Where it is installed: `SYMBOLON_BENCH_RUMQTTD`, or under `target/`. Says how to, where it is not.
    pub(super) fn find(certificates: &Certificates) -> Option<Self> {
        let told = env::var_os("SYMBOLON_BENCH_RUMQTTD");
        let program = told.map_or_else(|| PathBuf::from(PROGRAM), PathBuf::from);
        let Ok(said) = Command::new(&program).arg("--version").output() else {
            eprintln!("rumqttd is not here, and is left out: {INSTALL}");
            return None;
        };
        Some(Self {
            program,
            name: String::from_utf8_lossy(&said.stdout).trim().to_owned(),
            certificates: certificates.clone(),
        })
    }
}

impl Broker for Rumqttd {
    fn name(&self) -> &str {
        &self.name
    }

    /// What waits for a client that is away stands in a log that forgets its oldest part.
    fn keeps_sessions(&self) -> bool {
        false
    }

    fn command(&self, addresses: Addresses, directory: &Path) -> anyhow::Result<Command> {
        let listener = |number: u8, address| {
            format!(
                "[v5.{number}]\n\
                 name = \"v5-{number}\"\n\
                 listen = \"{address}\"\n\
                 next_connection_delay_ms = 0\n\
                 [v5.{number}.connections]\n\
                 connection_timeout_ms = 60000\n\
                 max_payload_size = 262144\n\
                 max_inflight_count = 1000\n\
                 dynamic_filters = true\n"
            )
        };
        let configuration = format!(
            "id = 0\n\
             [router]\n\
             id = 0\n\
             max_connections = 20000\n\
             max_outgoing_packet_count = 2000\n\
             max_segment_size = 104857600\n\
             max_segment_count = 10\n\
             {tcp}{tls}\
             [v5.2.tls]\n\
             certpath = \"{certificate}\"\n\
             keypath = \"{key}\"\n",
            tcp = listener(1, addresses.tcp),
            tls = listener(2, addresses.tls),
            certificate = self.certificates.certificate.display(),
            key = self.certificates.key.display(),
        );
        let file = directory.join("rumqttd.toml");
        fs::write(&file, configuration)?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(file);
        Ok(command)
    }
}
