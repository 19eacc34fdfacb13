//! MQTT.js in `node/`, by itself and in headless Chromium, over TLS and WebSocket.

use crate::{
    program::{Command, Finished},
    system::System,
};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

/// A broker with all listeners that MQTT.js can use, some public topics, and an origin for web pages.
#[derive(Debug)]
pub struct NodeSystem {
    system: System,
    page: String,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn node() -> Command {
    let modules = root().join("target/npm/node_modules/mqtt");
    assert!(
        modules.exists(),
        "there is no {}: run ./check",
        modules.display()
    );
    Command::new("node").arg(root().join("e2e/node/run.mjs"))
}

/// The names of all cases.
///
/// # Panics
/// Where they cannot be listed.
pub fn cases() -> Vec<String> {
    let printed = node().arg("--list").run().success();
    printed.lines().map(str::to_owned).collect()
}

/// Runs one case against servers of its own.
///
/// # Panics
/// Where it fails.
pub fn run(case: &str) {
    NodeSystem::start().run(case).success();
}

impl NodeSystem {
    /// Starts both servers.
    ///
    /// # Panics
    /// Where that fails.
    pub fn start() -> Self {
        let mut system = System::initialized();
        let (_, port) = system.init().broker_address();
        let page = format!("http://127.0.0.1:{}/", free_port());
        let origin = page.trim_end_matches('/');
        let listeners = format!(
            r#"[{{address = "127.0.0.1:{port}"}},
                {{address = "127.0.0.1:0", transport = "ws", origins = ["{origin}"]}},
                {{address = "127.0.0.1:0", transport = "wss", origins = ["{origin}"]}}]"#
        )
        .replace('\n', " ");
        system.up(&[
            ("SYMBOLON_BROKER_PUBLIC_TOPICS", r#"["public/#"]"#),
            ("SYMBOLON_BROKER_AUTHZ_INFO", "true"),
            ("SYMBOLON_BROKER_LISTENER", &listeners),
        ]);
        Self { system, page }
    }

    /// Runs one case.
    ///
    /// # Panics
    /// Where it cannot be run.
    pub fn run(&self, case: &str) -> Finished {
        node().arg(case).arg(self.describe()).run()
    }

    fn describe(&self) -> PathBuf {
        let system = &self.system;
        let ports = system.broker_ports();
        let [_, ws, wss] = ports[..] else {
            panic!("three listeners were asked for: {ports:?}");
        };
        system.describe(&serde_json::json!({
            "page": self.page,
            "web_sockets": {
                "ws": format!("ws://127.0.0.1:{ws}/mqtt"),
                "wss": format!("wss://localhost:{wss}/mqtt"),
            },
        }))
    }
}

/// For a server that starts in a moment; nobody else is expected to ask for a port in between.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}
