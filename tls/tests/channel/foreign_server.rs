//! Our client at servers of others: `openssl s_server`.

use crate::{pki::LIMIT, pki::Pki, psk::key};
use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};
use symbolon_tls::{Channel, Connector, HandshakeError, Peer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// 32 bytes of 1, and of 2.
const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const WRONG_KEY: &str = "0202020202020202020202020202020202020202020202020202020202020202";
/// How often the server is tried until it listens, and how long between.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// Killed when dropped. It turns every line round.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(words: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a port is free");
        let child = Command::new("openssl")
            .args(["s_server", "-rev", "-quiet", "-alpn", "mqtt", "-accept"])
            .arg(address.to_string())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        Self { child, address }
    }

    async fn visit(&self, connector: &Connector) -> Result<Channel, HandshakeError> {
        for _ in 0..ATTEMPTS {
            match connector.connect(self.address, "localhost").await {
                Err(HandshakeError::Connect(_)) => tokio::time::sleep(PAUSE).await,
                visited => return visited,
            }
        }
        panic!("the server does not listen");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already need not be ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn offering(identity: &str) -> Connector {
    Connector::with_pre_shared_key(identity.as_bytes(), key(1), LIMIT).expect("it fits")
}

// RFC 9431 §2.2.3.2, on both versions.
#[tokio::test]
async fn openssl_knows_our_key_on_both_versions() {
    let identity = "d".repeat(255);
    for version in [
        &["-tls1_3"][..],
        &["-tls1_2", "-cipher", "ECDHE-PSK-CHACHA20-POLY1305"],
        &["-tls1_2", "-cipher", "ECDHE-PSK-AES128-CBC-SHA256"],
    ] {
        let keyed = ["-nocert", "-psk_identity", &identity, "-psk", KEY];
        let server = Server::start(&[&keyed, version].concat());
        let mut channel = server.visit(&offering(&identity)).await.unwrap();
        assert!(matches!(channel.peer(), Peer::PreSharedKey { .. }));
        assert!(channel.exporter().is_some());
        channel.write_all(b"there\n").await.unwrap();
        channel.flush().await.unwrap();
        let mut heard = [0; 6];
        channel.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ereht\n");
    }
}

#[tokio::test]
async fn a_server_with_another_key_or_with_a_certificate_alone_is_refused_on_both_versions() {
    let pki = Pki::generate();
    let folder = tempfile::tempdir().unwrap();
    let (chain, private) = (folder.path().join("chain"), folder.path().join("key"));
    std::fs::write(&chain, &pki.chain_pem).unwrap();
    std::fs::write(&private, &pki.key_pem).unwrap();
    let (chain, private) = (chain.to_str().unwrap(), private.to_str().unwrap());
    for version in ["-tls1_3", "-tls1_2"] {
        for keys in [
            &["-nocert", "-psk_identity", "device", "-psk", WRONG_KEY][..],
            &["-cert", chain, "-key", private],
        ] {
            let server = Server::start(&[keys, &[version]].concat());
            let refused = server.visit(&offering("device")).await;
            assert!(refused.is_err(), "{version} {keys:?}");
        }
    }
}
