//! An authorization server and a broker in a temporary directory, as an operator would set them up.

use crate::program::{Command, Running, STOP_LIMIT, wait_for};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// How long the servers may take to say `ready`.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How every JWT begins: base64url of `{"`.
const TOKEN_BEGINS: &str = "eyJ";

/// What `symbolon init -o json` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Init {
    /// The issuer identifier.
    pub issuer: String,
    /// The token endpoint.
    pub token_endpoint: String,
    /// `mqtts://host:port`.
    pub broker: String,
    /// The broker's audience.
    pub audience: String,
    /// A PEM file.
    pub ca: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
}

/// Both servers at work. When dropped they are asked to end, and what they logged is printed if the test has failed.
#[derive(Debug)]
pub struct System {
    directory: TempDir,
    init: Init,
    init_json: String,
    server: Option<Running>,
}

impl Init {
    /// The broker's host and port.
    ///
    /// # Panics
    /// Where `broker` is not `mqtts://host:port`.
    pub fn broker_address(&self) -> (&str, &str) {
        let address = self
            .broker
            .strip_prefix("mqtts://")
            .expect("broker is an mqtts URL");
        address.rsplit_once(':').expect("with a port")
    }
}

impl System {
    /// Sets up and starts both servers.
    ///
    /// # Panics
    /// Where that fails.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with settings from the environment.
    ///
    /// # Panics
    /// Where that fails.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut system = Self::initialized();
        system.up(settings);
        system
    }

    /// Set up, but not started.
    ///
    /// # Panics
    /// Where `init` fails.
    pub fn initialized() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let site = directory.path().join("site");
        let init = Command::symbolon().arg("init").arg(&site);
        let init_json = init
            .words("--as-port 0 --broker-port 0 -o json")
            .run()
            .success();
        Self {
            directory,
            init: serde_json::from_str(&init_json).expect("init prints one JSON object"),
            init_json,
            server: None,
        }
    }

    /// Starts both servers and waits until they are ready.
    ///
    /// # Panics
    /// Where they do not become ready.
    pub fn up(&mut self, settings: &[(&str, &str)]) {
        let command = Command::symbolon().arg("up").arg(self.site());
        let command = settings
            .iter()
            .fold(command, |command, (name, value)| command.env(name, value));
        let mut server = command.start();
        let ready = wait_for(READY_LIMIT, || {
            let ready = server
                .stdout()
                .lines()
                .any(|line| line.starts_with("ready"));
            (ready || server.ended().is_some()).then_some(ready)
        });
        assert_eq!(
            ready,
            Some(true),
            "not ready:\n{}\n{}",
            server.stdout(),
            server.stderr()
        );
        self.server = Some(server);
    }

    /// The process of both servers.
    ///
    /// # Panics
    /// Where it is not up.
    pub fn process(&self) -> u32 {
        self.server.as_ref().expect("it is up").id()
    }

    /// The directory given to `init`.
    pub fn site(&self) -> PathBuf {
        self.directory.path().join("site")
    }

    /// A path for a file of the test's own.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What `init` printed.
    pub fn init(&self) -> &Init {
        &self.init
    }

    /// What `init` printed, as it was.
    pub fn init_json(&self) -> &str {
        &self.init_json
    }

    /// The ports of the broker's listeners, in the order of the configuration.
    ///
    /// # Panics
    /// Where it is not up.
    pub fn broker_ports(&self) -> Vec<u16> {
        let log = self.log();
        let ready = log.lines().find(|line| line.starts_with("ready"));
        let mut words = ready.expect("it is up").split(' ');
        let addresses = words.find_map(|word| word.strip_prefix("broker="));
        let addresses = addresses.expect("it says where the broker listens");
        let ports = addresses
            .split(',')
            .filter_map(|address| address.parse().ok());
        ports
            .map(|address: std::net::SocketAddr| address.port())
            .collect()
    }

    /// A JSON file that tells a client in another language all it needs, with `more` members.
    ///
    /// # Panics
    /// Where it cannot be written, or `more` is no object.
    pub fn describe(&self, more: &serde_json::Value) -> PathBuf {
        let path = self.scratch("system.json");
        let init: serde_json::Value =
            serde_json::from_str(&self.init_json).expect("it was parsed before");
        let mut described = serde_json::json!({
            "directory": self.site(),
            "program": crate::program::symbolon(),
            "init": init,
        });
        let members = described.as_object_mut().expect("it was made so");
        members.extend(more.as_object().expect("members").clone());
        std::fs::write(&path, described.to_string()).expect("a file can be written");
        path
    }

    /// What the servers have logged until now.
    pub fn log(&self) -> String {
        let server = self.server.as_ref();
        server
            .map(|server| server.stdout() + &server.stderr())
            .unwrap_or_default()
    }

    /// Registers a device, `options` as on the command line; its profile's path.
    ///
    /// # Panics
    /// Where that fails.
    pub fn device(&self, name: &str, options: &str) -> PathBuf {
        let command = Command::symbolon()
            .words("client add")
            .arg(name)
            .arg("--dir")
            .arg(self.site());
        command.words(options).run().success();
        self.site().join(format!("clients/{name}.json"))
    }

    /// `symbolon VERB --profile PROFILE` and more words.
    pub fn as_device(&self, verb: &str, profile: &Path, words: &str) -> Command {
        Command::symbolon()
            .arg(verb)
            .arg("--profile")
            .arg(profile)
            .words(words)
    }

    /// Asks the servers to end; they must do so cleanly and must have logged no token.
    ///
    /// # Panics
    /// Where they do not.
    pub fn stop(&mut self) {
        let Some(server) = self.server.take() else {
            return;
        };
        server.terminate();
        let finished = server.finish(STOP_LIMIT);
        assert!(
            finished.status.success(),
            "SIGTERM must end it cleanly: {finished}"
        );
        let log = format!("{}{}", finished.stdout, finished.stderr);
        let leak = log.lines().find(|line| line.contains(TOKEN_BEGINS));
        assert!(leak.is_none(), "a token was logged: {leak:?}");
        assert!(!log.contains("panicked"), "a server panicked: {finished}");
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the servers' log\n{}", self.log());
        } else {
            self.stop();
        }
    }
}
