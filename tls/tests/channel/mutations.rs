//! The beginnings of connections, harmed by a seed, for whoever reads them: the look at the `ClientHello`, rustls, OpenSSL.
//! `SYMBOLON_SEEDS` says how many seeds are tried.

#[path = "../../../ace-proto/tests/ace/mutator.rs"]
mod mutator;

use crate::{
    pki::{LIMIT, Pki, accept_one},
    psk::{key, knowing},
};
use mutator::harmed;
use rustls::version::{TLS12, TLS13};
use std::time::Duration;
use symbolon_tls::Connector;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const SEEDS: u64 = 300;
/// How long a handshake may take whose client has said all it will say.
const END_LIMIT: Duration = Duration::from_secs(5);
/// More than any of these hellos.
const HELLO_BYTES: usize = 8_192;

/// What the client of `connecting` says first.
async fn first_words<T: 'static + Send>(
    connecting: impl FnOnce(std::net::SocketAddr) -> tokio::task::JoinHandle<T>,
) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = connecting(listener.local_addr().unwrap());
    let (mut server, _) = listener.accept().await.unwrap();
    let mut hello = vec![0; HELLO_BYTES];
    let length = server.read(&mut hello).await.unwrap();
    client.abort();
    hello.truncate(length);
    hello
}

async fn of_ours(connector: Connector) -> Vec<u8> {
    first_words(|address| {
        tokio::spawn(async move { connector.connect(address, "localhost").await })
    })
    .await
}

/// A hello of every kind that leads to an engine or a configuration of its own.
async fn hellos(pki: &Pki) -> Vec<Vec<u8>> {
    let mut all = vec![
        of_ours(pki.connector()).await,
        of_ours(pki.connector().showing_raw_key(&pki.key_pem).unwrap()).await,
        of_ours(Connector::with_pre_shared_key(b"known", key(1), LIMIT).unwrap()).await,
        of_ours(Connector::with_pre_shared_key(&[7; 700], key(1), LIMIT).unwrap()).await,
    ];
    for version in [&TLS12, &TLS13] {
        let config = pki.foreign_client(&[version], &["mqtt", "http/1.1"]);
        let hello = first_words(|address| {
            tokio::spawn(async move {
                let tcp = TcpStream::connect(address).await.unwrap();
                let name = "localhost".try_into().unwrap();
                let connector = tokio_rustls::TlsConnector::from(config);
                connector.connect(name, tcp).await.map(drop)
            })
        });
        all.push(hello.await);
    }
    assert!(all.iter().all(|hello| hello.starts_with(&[22, 3])));
    all
}

#[tokio::test]
async fn a_harmed_hello_ends_the_handshake_and_no_more() {
    let pki = Pki::generate();
    let corpus = hellos(&pki).await;
    for (seed, hello) in harmed(&corpus, SEEDS) {
        let (address, accepting) = accept_one(knowing(&pki, b"known")).await;
        let mut tcp = TcpStream::connect(address).await.unwrap();
        // The broker may hang up before all of it is there.
        drop(tcp.write_all(&hello).await);
        drop(tcp.shutdown().await);
        let ended = tokio::time::timeout(END_LIMIT, accepting).await;
        let ended = ended.unwrap_or_else(|_| panic!("seed {seed}: {}", hello.escape_ascii()));
        let handshake = ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(
            handshake.is_err(),
            "seed {seed}: a client without a Finished"
        );
    }
}
