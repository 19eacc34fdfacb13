//! Programs of others: `openssl s_client`, `mosquitto_pub`, `gnutls-cli`.

use crate::{
    pki::{LIMIT, Pki, accept_one},
    psk::{identity, knowing},
};
use std::{
    io::Write,
    process::{Child, Command, Stdio},
};
use symbolon_tls::{Acceptor, Channel, HandshakeError, Peer, Spki};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// 32 bytes of 1, and of 2.
const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const WRONG_KEY: &str = "0202020202020202020202020202020202020202020202020202020202020202";

/// Runs a program, which `{port}` among its arguments leads to the acceptor, and says "there" to it.
async fn visit(acceptor: Acceptor, command: &[&str]) -> (Result<Channel, HandshakeError>, Child) {
    let (address, accepting) = accept_one(acceptor).await;
    let port = address.port().to_string();
    let child = Command::new("timeout")
        .arg("20")
        .args(command.iter().map(|word| word.replace("{port}", &port)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.as_ref().unwrap();
    stdin.write_all(b"there\n").unwrap();
    let Ok(server) = tokio::time::timeout(LIMIT, accepting).await else {
        panic!("nobody came: {}", output(child).await);
    };
    (server.unwrap(), child)
}

/// What came of a visit.
struct Talk {
    peer: Peer,
    exporter: [u8; 32],
    /// What the program wrote.
    said: String,
}

/// Hears "there", answers, and ends the connection.
async fn talk(server: Result<Channel, HandshakeError>, child: Child) -> Talk {
    let mut server = match server {
        Ok(server) => server,
        Err(error) => panic!("{error}\n{}", output(child).await),
    };
    let mut heard = [0; 5];
    if let Err(error) = server.read_exact(&mut heard).await {
        panic!("{error}\n{}", output(child).await);
    }
    assert_eq!(&heard, b"there");
    server.write_all(b"back!\n").await.unwrap();
    server.shutdown().await.unwrap();
    let (peer, exporter) = (server.peer().clone(), server.exporter().unwrap().0);
    drop(server);
    let said = output(child).await;
    assert!(said.contains("back!"), "{said}");
    Talk {
        peer,
        exporter,
        said,
    }
}

async fn output(mut child: Child) -> String {
    drop(child.stdin.take());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = output.await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn s_client<'a>(identity: &'a str, key: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let connect = [
        "openssl",
        "s_client",
        "-connect",
        "127.0.0.1:{port}",
        "-ign_eof",
    ];
    let keyed = ["-psk_identity", identity, "-psk", key];
    [&connect[..], &keyed, more].concat()
}

#[tokio::test]
async fn openssl_comes_with_a_key_on_tls_1_3() {
    let pki = Pki::generate();
    let label = "EXPORTER-ACE-MQTT-Sign-Challenge";
    let more = [
        "-tls1_3",
        "-alpn",
        "mqtt",
        "-keymatexport",
        label,
        "-keymatexportlen",
        "32",
    ];
    let command = s_client("device", KEY, &more);
    let (server, child) = visit(knowing(&pki, b"device"), &command).await;
    let Talk {
        peer,
        exporter,
        said,
    } = talk(server, child).await;
    assert_eq!(identity(&peer), b"device");
    assert!(said.contains("ALPN protocol: mqtt"), "{said}");
    assert!(!said.contains("BEGIN CERTIFICATE"), "{said}");
    // On TLS 1.3 an absent context, as the program has it, is an empty one.
    let hex = |text: String, byte: &u8| text + &format!("{byte:02X}");
    let exporter = exporter.iter().fold(String::new(), hex);
    assert!(said.contains(&exporter), "{said}");
}

#[tokio::test]
async fn openssl_comes_with_a_key_on_tls_1_2() {
    let pki = Pki::generate();
    let identity = "d".repeat(255);
    for suite in ["ECDHE-PSK-CHACHA20-POLY1305", "ECDHE-PSK-AES128-CBC-SHA256"] {
        let command = s_client(&identity, KEY, &["-tls1_2", "-cipher", suite]);
        let (server, child) = visit(knowing(&pki, identity.as_bytes()), &command).await;
        let Talk { peer, said, .. } = talk(server, child).await;
        assert_eq!(self::identity(&peer), identity.as_bytes());
        assert!(said.contains(suite), "{said}");
        assert!(said.contains("Secure Renegotiation IS supported"), "{said}");
    }
}

#[tokio::test]
async fn openssl_is_never_shown_a_certificate_once_it_offered_a_key() {
    let pki = Pki::generate();
    for version in [&["-tls1_3"][..], &["-tls1_2", "-cipher", "PSK:ALL"]] {
        let mut answers = Vec::new();
        for (identity, key) in [("device", WRONG_KEY), ("nobody", KEY)] {
            let command = s_client(identity, key, version);
            let (server, child) = visit(knowing(&pki, b"device"), &command).await;
            assert!(matches!(server, Err(HandshakeError::Tls(_))), "{server:?}");
            let said = output(child).await;
            assert!(!said.contains("BEGIN CERTIFICATE"), "{said}");
            let alert = said
                .lines()
                .find_map(|line| line.split_once("alert number "));
            answers.push(alert.expect(&said).1.to_owned());
        }
        assert_eq!(answers[0], answers[1]);
    }
}

#[tokio::test]
async fn keys_without_forward_secrecy_are_refused() {
    let pki = Pki::generate();
    for suite in ["PSK-AES128-GCM-SHA256", "PSK-AES128-CBC-SHA256"] {
        let command = s_client("device", KEY, &["-tls1_2", "-cipher", suite]);
        let (server, _child) = visit(knowing(&pki, b"device"), &command).await;
        assert!(matches!(server, Err(HandshakeError::Tls(_))), "{server:?}");
    }
}

// RFC 9431 §2.2.3, RFC 7627.
#[tokio::test]
async fn tls_1_2_with_a_key_needs_the_extended_main_secret() {
    let pki = Pki::generate();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("openssl.cnf");
    let text = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nOptions = -ExtendedMasterSecret\n";
    std::fs::write(&config, text).unwrap();
    let config = format!("OPENSSL_CONF={}", config.display());
    let command = s_client(
        "device",
        KEY,
        &["-tls1_2", "-cipher", "ECDHE-PSK-CHACHA20-POLY1305"],
    );
    let command = [&["env", &config][..], &command].concat();
    let (server, _child) = visit(knowing(&pki, b"device"), &command).await;
    let error = server.unwrap_err().to_string();
    assert!(error.contains("extended main secret"), "{error}");
}

#[tokio::test]
async fn nothing_is_resumed_after_a_key() {
    let pki = Pki::generate();
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session.pem");
    let session = session.to_str().unwrap();
    for version in [
        &["-tls1_3"][..],
        &["-tls1_2", "-cipher", "ECDHE-PSK-CHACHA20-POLY1305"],
    ] {
        let command = s_client("device", KEY, &[version, &["-sess_out", session]].concat());
        let (server, child) = visit(knowing(&pki, b"device"), &command).await;
        talk(server, child).await;
        if !std::fs::exists(session).unwrap() {
            // No ticket came, so there is nothing to try.
            continue;
        }
        let again = [
            "openssl",
            "s_client",
            "-connect",
            "127.0.0.1:{port}",
            "-sess_in",
            session,
        ];
        let (server, child) = visit(knowing(&pki, b"device"), &[&again, version].concat()).await;
        drop(output(child).await);
        assert!(server.is_err(), "{server:?}");
    }
}

#[tokio::test]
async fn mosquitto_pub_comes_with_a_key() {
    let pki = Pki::generate();
    for version in ["tlsv1.2", "tlsv1.3"] {
        let command = [
            "mosquitto_pub",
            "-h",
            "127.0.0.1",
            "-p",
            "{port}",
            "--tls-version",
            version,
            "--psk-identity",
            "device",
            "--psk",
            KEY,
            "-t",
            "topic",
            "-m",
            "message",
        ];
        let (server, child) = visit(knowing(&pki, b"device"), &command).await;
        let mut server = match server {
            Ok(server) => server,
            Err(error) => panic!("{version}: {error}\n{}", output(child).await),
        };
        assert_eq!(identity(server.peer()), b"device");
        // Its CONNECT.
        assert_eq!(server.read_u8().await.unwrap(), 0x10);
    }
}

// On TLS 1.3 alone: gnutls-cli 3.7.9 itself crashes after a handshake with ECDHE_PSK, whoever the server is.
#[tokio::test]
async fn gnutls_comes_with_a_key() {
    let pki = Pki::generate();
    let command = [
        "gnutls-cli",
        "-p",
        "{port}",
        "--priority",
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK",
        "--pskusername",
        "device",
        "--pskkey",
        KEY,
        "127.0.0.1",
    ];
    let (server, child) = visit(knowing(&pki, b"device"), &command).await;
    let Talk { peer, .. } = talk(server, child).await;
    assert_eq!(identity(&peer), b"device");
}

/// What [`gnutls_shows_a_raw_key`] combines.
struct RawKeyVisit {
    /// For `openssl genpkey`: `GnuTLS` does not read the PKCS #8 of rcgen for Ed25519.
    algorithm: &'static [&'static str],
    version: &'static str,
    /// What it wants the Server to show.
    server: &'static str,
}

fn openssl(arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

async fn gnutls_shows_a_raw_key(case: RawKeyVisit) {
    let pki = Pki::generate();
    let folder = tempfile::tempdir().unwrap();
    let file = |name| folder.path().join(name).to_str().unwrap().to_owned();
    let (private, public, der) = (file("private.pem"), file("public.pem"), file("public.der"));
    openssl(&[&["genpkey", "-out", &private, "-algorithm"], case.algorithm].concat());
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
    openssl(&[
        "pkey", "-in", &private, "-pubout", "-outform", "DER", "-out", &der,
    ]);
    let priority = format!(
        "NORMAL:-VERS-ALL:+{}:-CTYPE-ALL:+CTYPE-CLI-RAWPK:+CTYPE-SRV-{}",
        case.version, case.server
    );
    let command = [
        "gnutls-cli",
        "-p",
        "{port}",
        "--insecure",
        "--priority",
        &priority,
        "--rawpkkeyfile",
        &private,
        "--rawpkfile",
        &public,
        "127.0.0.1",
    ];
    let (server, child) = visit(pki.acceptor(), &command).await;
    let Talk { peer, .. } = talk(server, child).await;
    let shown = Spki::parse(&std::fs::read(der).unwrap()).unwrap();
    assert_eq!(peer, Peer::RawPublicKey(shown), "{}", case.version);
}

#[tokio::test]
async fn gnutls_shows_a_raw_key_on_both_versions() {
    let p256: &[_] = &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    for version in ["VERS-TLS1.3", "VERS-TLS1.2"] {
        for server in ["X509", "RAWPK"] {
            for algorithm in [p256, &["ED25519"]] {
                gnutls_shows_a_raw_key(RawKeyVisit {
                    algorithm,
                    version,
                    server,
                })
                .await;
            }
        }
    }
}
